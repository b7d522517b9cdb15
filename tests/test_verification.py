import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese.verification import (
    Calibration,
    OperatingPoint,
    area_under_curve,
    calibration,
    equal_error_point,
    false_acceptance_rate,
    false_rejection_rate,
    most_accurate_threshold,
    operating_point,
    receiver_operating_characteristic,
    threshold_at_far,
)

SAME = torch.tensor([0.9, 0.8, 0.4, 0.7])
DIFFERENT = torch.tensor([0.1, 0.5, 0.3, 0.75, 0.2])
SCORES = st.lists(st.integers(0, 8).map(lambda n: n / 8), min_size=1, max_size=12)


def test_rates_count_a_score_at_the_threshold_as_accepted():
    assert false_acceptance_rate(DIFFERENT, 0.5) == pytest.approx(2 / 5)
    assert false_acceptance_rate(DIFFERENT, 0.51) == pytest.approx(1 / 5)
    assert false_rejection_rate(SAME, 0.75) == pytest.approx(2 / 4)
    assert false_rejection_rate(torch.tensor([0.5]), 0.5) == 0


def test_an_operating_point_weighs_both_kinds_alike():
    point = operating_point(SAME, DIFFERENT, 0.6)
    assert (point.far, point.frr) == (pytest.approx(1 / 5), pytest.approx(1 / 4))
    assert point.accuracy == pytest.approx(1 - (0.2 + 0.25) / 2)


@settings(max_examples=40, deadline=None)
@given(SCORES, SCORES)
def test_each_point_of_the_curve_is_what_a_loop_counts(same, different):
    roc = receiver_operating_characteristic(torch.tensor(same), torch.tensor(different))
    assert roc.threshold.tolist() == [*sorted({*same, *different}), float("inf")]
    for threshold, far, frr in zip(roc.threshold.tolist(), roc.far.tolist(), roc.frr.tolist(), strict=True):
        assert far == pytest.approx(sum(score >= threshold for score in different) / len(different))
        assert frr == pytest.approx(sum(score < threshold for score in same) / len(same))


@settings(max_examples=40, deadline=None)
@given(SCORES, SCORES)
def test_the_area_is_the_chance_that_a_same_pair_outscores_a_different_one(same, different):
    wins = sum((s > d) + 0.5 * (s == d) for s in same for d in different)
    roc = receiver_operating_characteristic(torch.tensor(same), torch.tensor(different))
    assert area_under_curve(roc) == pytest.approx(wins / (len(same) * len(different)))


def test_equal_error_by_hand():
    # Thresholds rise over 0.5 and 0.7: FAR 0.4 -> 0.2, FRR 0.25 -> 0.25; they meet between them at FRR 0.25,
    # three quarters of the way.
    point = equal_error_point(receiver_operating_characteristic(SAME, DIFFERENT))
    assert point.far == point.frr == pytest.approx(0.25)
    assert point.threshold == pytest.approx(0.5 + 0.75 * 0.2)


def test_equal_error_of_scores_that_are_apart_and_of_scores_the_wrong_way_round():
    low, high = torch.tensor([0.1, 0.2]), torch.tensor([0.8, 0.9])
    assert equal_error_point(receiver_operating_characteristic(high, low)).far == 0
    assert equal_error_point(receiver_operating_characteristic(low, high)).far == 1


@settings(max_examples=40, deadline=None)
@given(SCORES, SCORES)
def test_equal_error_lies_between_neighbouring_points(same, different):
    roc = receiver_operating_characteristic(torch.tensor(same), torch.tensor(different))
    rate = equal_error_point(roc).far
    before = max(i for i in range(len(roc.far)) if roc.far[i] > roc.frr[i])
    assert roc.far[before + 1] - 1e-12 <= rate <= roc.far[before] + 1e-12
    assert roc.frr[before] - 1e-12 <= rate <= roc.frr[before + 1] + 1e-12


@settings(max_examples=40, deadline=None)
@given(SCORES, SCORES)
def test_no_threshold_beats_the_most_accurate_one(same, different):
    same, different = torch.tensor(same), torch.tensor(different)
    point = most_accurate_threshold(receiver_operating_characteristic(same, different))
    # What the point claims is what its threshold, moved off the score, gives.
    assert point == operating_point(same, different, point.threshold)
    every = torch.arange(-1, 18)[:, None] / 16
    accuracy = ((same >= every).double().mean(1) + (different < every).double().mean(1)) / 2
    assert accuracy.max().item() == pytest.approx(point.accuracy)


def test_the_most_accurate_threshold_stands_half_way_between_two_clouds():
    roc = receiver_operating_characteristic(torch.tensor([0.8, 0.9]), torch.tensor([0.1, 0.2]))
    point = most_accurate_threshold(roc)
    assert point == OperatingPoint(point.threshold, 0.0, 0.0)
    assert point.threshold == pytest.approx(0.5)


def test_threshold_for_a_rate_of_false_acceptance():
    roc = receiver_operating_characteristic(SAME, DIFFERENT)
    point = threshold_at_far(roc, 0.2)
    assert 0.5 < point.threshold < 0.7
    assert (point.far, point.frr) == (pytest.approx(0.2), pytest.approx(0.25))
    none_accepted = threshold_at_far(roc, 0.0)
    assert none_accepted.far == 0
    assert none_accepted.frr == pytest.approx(2 / 4)
    with pytest.raises(ValueError, match=r"far is 1\.5, must lie in 0 to 1"):
        threshold_at_far(roc, 1.5)


def test_error_rates_need_both_kinds_of_pairs_and_numbers():
    with pytest.raises(ValueError, match="0 same and 5"):
        receiver_operating_characteristic(torch.empty(0), DIFFERENT)
    with pytest.raises(ValueError, match="finite"):
        operating_point(SAME, torch.tensor([float("nan")]), 0.5)


def test_calibration_by_hand():
    similarity = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    same = torch.tensor([False, False, False, True, True, False, True, True])
    # Four bins of two: shares 0, 1/2, 1/2, 1; the two equal ones are joined.
    measured = calibration(similarity, same, bins=4)
    assert measured.similarity_edges == pytest.approx((0, 0.3, 0.8, 1))
    assert measured.share_same == pytest.approx((0, 0.5, 1))


def test_calibration_joins_bins_in_which_the_share_would_fall():
    similarity = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.6, 0.7])
    same = torch.tensor([True, True, False, False, True, True])
    measured = calibration(similarity, same, bins=3)  # 1, 0, 1 -> 1/2, 1
    assert measured.similarity_edges == pytest.approx((0, 0.6, 1))
    assert measured.share_same == pytest.approx((0.5, 1))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10).map(lambda n: n / 10), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 12),
)
def test_a_calibration_counts_each_pair_once_and_never_falls(pairs, bins):
    similarity = torch.tensor([value for value, _ in pairs], dtype=torch.float64)
    same = torch.tensor([is_same for _, is_same in pairs])
    measured = calibration(similarity, same, bins)
    assert list(measured.share_same) == sorted(measured.share_same)
    # The expected number of same pairs over all pairs is the true one: nobody was left out or counted twice.
    assert sum(measured.share_same_at(value) for value, _ in pairs) == pytest.approx(int(same.sum()))


def test_a_bin_holds_its_lower_edge():
    measured = Calibration((0.0, 0.25, 0.5, 1.0), (0.1, 0.2, 0.9))
    assert [measured.share_same_at(x) for x in (0.0, 0.24, 0.25, 0.5, 1.0)] == [0.1, 0.1, 0.2, 0.9, 0.9]
    assert measured.as_dict() == {"similarity_edges": [0.0, 0.25, 0.5, 1.0], "share_same": [0.1, 0.2, 0.9]}


@pytest.mark.parametrize(
    ("edges", "shares", "message"),
    [
        ((0.0, 1.0), (0.1, 0.9), "2 bins needs one edge more, not 2"),
        ((0.0, 0.6, 0.5, 1.0), (0.1, 0.5, 0.9), "must rise from 0 to 1"),
        ((0.0, 0.5), (0.5,), "must rise from 0 to 1"),
    ],
)
def test_a_calibration_that_does_not_fit_is_refused(edges, shares, message):
    with pytest.raises(ValueError, match=message):
        Calibration(edges, shares)

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese.metrics import (
    NAMED_POINTS,
    Calibration,
    ErrorCurve,
    OperatingPoint,
    area_under_curve,
    calibration,
    equal_error_interval,
    equal_error_point,
    error_curve,
    false_acceptance_rate,
    false_rejection_rate,
    most_accurate_threshold,
    named_points,
    operating_point,
    receiver_operating_characteristic,
    threshold_at_far,
    threshold_at_frr,
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
    assert sum(measured.posterior(value) for value, _ in pairs) == pytest.approx(int(same.sum()))


def test_a_bin_holds_its_lower_edge():
    measured = Calibration((0.0, 0.25, 0.5, 1.0), (0.1, 0.2, 0.9))
    assert [measured.posterior(x) for x in (0.0, 0.24, 0.25, 0.5, 1.0)] == [0.1, 0.1, 0.2, 0.9, 0.9]
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


# Thresholds that people choose among


def test_the_highest_threshold_that_refuses_few_by_hand():
    # Scores of same pairs are 0.4, 0.7, 0.8 and 0.9; a quarter refused is the 0.4 alone, so the threshold lies
    # between the highest score that may be refused with it (0.5, of a different pair) and 0.7.
    roc = receiver_operating_characteristic(SAME, DIFFERENT)
    point = threshold_at_frr(roc, 0.25)
    assert point.threshold == pytest.approx(0.6)
    assert (point.far, point.frr) == (pytest.approx(1 / 5), pytest.approx(1 / 4))
    assert threshold_at_frr(roc, 0.0).frr == 0
    assert threshold_at_frr(roc, 0.0).threshold == pytest.approx(0.35)  # between 0.3 and the lowest same pair, 0.4
    assert threshold_at_frr(roc, 1.0).frr == 1  # nothing is below a threshold above all
    with pytest.raises(ValueError, match="must lie in 0 to 1"):
        threshold_at_frr(roc, 1.5)


def test_named_points_go_from_lenient_to_strict():
    same, different = torch.linspace(0.3, 1, 1001), torch.linspace(0, 0.7, 1001)
    points = named_points(receiver_operating_characteristic(same, different))
    assert tuple(points) == NAMED_POINTS
    # Uniform scores: FAR 1 % at 0.7 - 0.007, FRR 1 % at 0.3 + 0.007, both alike half-way, where 2 / 7 err.
    assert points["strict"].threshold == pytest.approx(0.693, abs=2e-3)
    assert points["strict"].far <= 0.01
    assert points["lenient"].threshold == pytest.approx(0.307, abs=2e-3)
    assert points["lenient"].frr <= 0.01
    assert points["balanced"].threshold == pytest.approx(0.5, abs=2e-3)
    assert points["balanced"].far == pytest.approx(2 / 7, abs=2e-3)


def test_scores_that_are_parted_have_one_point_under_three_names():
    points = named_points(receiver_operating_characteristic(torch.tensor([0.8, 0.9]), torch.tensor([0.1, 0.2])))
    assert len(set(points.values())) == 1
    assert 0.2 < points["strict"].threshold <= 0.8 + 1e-6
    assert (points["strict"].far, points["strict"].frr) == (0, 0)


def test_a_curve_keeps_the_rates_in_few_points():
    generator = torch.Generator().manual_seed(1)
    same, different = (torch.randn(5000, generator=generator) + shift for shift in (1, -1))
    roc = receiver_operating_characteristic(same.sigmoid(), different.sigmoid())
    curve = error_curve(roc)
    assert 90 <= len(curve.threshold) <= 100
    for threshold in torch.linspace(0.05, 0.95, 19).tolist():
        point, exact = curve.at(threshold), operating_point(same.sigmoid(), different.sigmoid(), threshold)
        assert point.far == pytest.approx(exact.far, abs=0.012)
        assert point.frr == pytest.approx(exact.frr, abs=0.012)
    assert curve.at(0.0).far == 1
    assert curve.at(1.0).frr == curve.frr[-1]
    assert ErrorCurve(**{name: tuple(values) for name, values in curve.as_dict().items()}) == curve


def test_a_curve_between_its_points_by_hand():
    curve = ErrorCurve((0.2, 0.4), (1.0, 0.5), (0.0, 0.1))
    point = curve.at(0.25)
    assert (point.threshold, point.far, point.frr) == (0.25, pytest.approx(0.875), pytest.approx(0.025))
    assert curve.at(0.4) == OperatingPoint(0.4, 0.5, 0.1)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (((), (), ()), "at least one"),
        (((0.1,), (0.1, 0.2), (0.1,)), "as many thresholds as rates"),
        (((0.2, 0.1), (0.2, 0.1), (0.1, 0.2)), "thresholds of a curve must rise"),
        (((0.1, 0.2), (0.1, 0.2), (0.1, 0.2)), "far of a curve must not rise"),
        (((0.1, 0.2), (0.2, 0.1), (0.2, 0.1)), "frr must not fall"),
        (((0.1, 0.2), (1.2, 0.1), (0.1, 0.2)), "rates of a curve must lie"),
    ],
)
def test_a_curve_that_is_none(columns, sentence):
    with pytest.raises(ValueError, match=sentence):
        ErrorCurve(*columns)


# Bootstrap over writers


def test_the_interval_of_writers_who_are_all_alike_is_a_point():
    same, different = [torch.tensor([0.4, 0.8])] * 5, [torch.tensor([0.2, 0.6])] * 5
    low, high = equal_error_interval(same, different, torch.Generator().manual_seed(1), samples=50)
    assert low == high == pytest.approx(0.5)


def test_the_interval_goes_from_drawing_only_easy_writers_to_drawing_hard_ones():
    """Two writers, one told apart without error, one never: a quarter of the draws takes the same one twice."""
    same = [torch.tensor([0.9, 0.9]), torch.tensor([0.1, 0.1])]
    different = [torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.5])]
    low, high = equal_error_interval(same, different, torch.Generator().manual_seed(1), samples=200)
    assert (low, high) == (pytest.approx(0, abs=1e-9), pytest.approx(1, abs=1e-9))


def test_the_interval_holds_the_rate_of_many_writers():
    """Writers of normal scores two deviations apart have an EER of 15.87 %; each writer's own level differs."""
    generator = torch.Generator().manual_seed(3)
    level = 0.3 * torch.randn(40, generator=generator)
    same = [torch.randn(100, generator=generator) + 1 + shift for shift in level]
    different = [torch.randn(100, generator=generator) - 1 + shift for shift in level]
    low, high = equal_error_interval(same, different, generator, samples=200)
    rate = equal_error_point(receiver_operating_characteristic(torch.cat(same), torch.cat(different))).far
    assert low < rate < high
    assert 0.01 < high - low < 0.06


def test_a_writer_without_forgeries_has_no_place_in_an_interval():
    with pytest.raises(ValueError, match="pairs of both kinds"):
        equal_error_interval([SAME, SAME], [DIFFERENT, torch.empty(0)], torch.Generator())

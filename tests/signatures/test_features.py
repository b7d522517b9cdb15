"""Stroke features: shapes whose hinges and profiles are known, and a plain loop of the time warping."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from siamese.signatures.dataset import synthetic_signatures
from siamese.signatures.features import (
    COLUMNS,
    DTW_BAND,
    DTW_PENALTY,
    HEIGHTS,
    HINGE_DIRECTIONS,
    LEG_STEPS,
    LINE_DIRECTIONS,
    StrokeFeatures,
    _legs,
    concatenate,
    hinge_distances,
    profile_distances,
    stroke_features,
)


def bar(height: int, width: int, down: slice, along: slice) -> torch.Tensor:
    ink = torch.zeros(height, width)
    ink[down, along] = 1
    return ink


def wave(period_px: float = 90, pen_px: int = 5) -> torch.Tensor:
    ink = torch.zeros(160, 400)
    for column in range(10, 390):
        row = round(80 + 50 * math.sin(column / period_px * 2 * math.pi))
        ink[row - pen_px // 2 : row + pen_px // 2 + 1, column] = 1
    return F.max_pool2d(ink[None, None], (9, pen_px), 1, (4, pen_px // 2))[0, 0]


def some_profiles(count: int, seed: int) -> StrokeFeatures:
    profile = torch.rand(count, COLUMNS, HEIGHTS * LINE_DIRECTIONS, generator=torch.Generator().manual_seed(seed))
    return StrokeFeatures(torch.full((count, HINGE_DIRECTIONS**2), 1 / HINGE_DIRECTIONS), profile)


def test_a_level_line_has_one_hinge():
    hinge = stroke_features(bar(21, 200, slice(10, 11), slice(5, 195))).hinge[0].square().reshape(24, 24)
    assert hinge.sum().item() == pytest.approx(1, abs=1e-5)
    assert hinge.argmax().item() in (0 * 24 + 12, 12 * 24 + 0)  # one leg to the right, one to the left
    assert torch.equal(hinge, hinge.T)
    assert hinge[0, 12] > 0.05
    assert hinge[6].sum() < 1e-6  # none upwards


def test_legs_follow_the_line_around_a_corner():
    lines = np.zeros((40, 40), dtype=bool)
    lines[30, 5:20] = True
    lines[10:30, 20] = True
    legs = {tuple(sorted(map(tuple, pair.tolist()))) for pair in _legs(lines)}
    assert ((0, -LEG_STEPS), (0, LEG_STEPS)) not in legs  # the level part is 15 long: too short for two whole legs
    assert ((-LEG_STEPS, 0), (LEG_STEPS, 0)) in legs
    assert any(first[1] < 0 and second[0] < 0 < second[1] for second, first in legs)
    assert all(max(map(abs, leg)) <= LEG_STEPS for pair in legs for leg in pair)


@pytest.mark.parametrize("side", [-1, 1])
def test_at_a_branch_a_leg_goes_straight_on(side):
    lines = np.zeros((41, 60), dtype=bool)
    lines[20, 5:55] = True
    lines[20 + side : 20 + 15 * side : side, 30] = True
    legs = {tuple(sorted(map(tuple, pair.tolist()))) for pair in _legs(lines)}
    assert ((0, -LEG_STEPS), (0, LEG_STEPS)) in legs
    level = [pair for pair in legs if pair[0][0] == 0 or pair[1][0] == 0]
    assert {pair for pair in level if pair[0][0] or pair[1][0]} <= {
        tuple(sorted((leg, (0, along)))) for along in (-LEG_STEPS, LEG_STEPS) for leg in [(0, -along)]
    }


def test_a_line_too_short_for_a_turn_counts_all_alike():
    hinge = stroke_features(bar(9, 9, slice(4, 5), slice(2, 6))).hinge[0]
    assert hinge.tolist() == pytest.approx([1 / 24] * 576)


def test_no_ink_is_refused():
    with pytest.raises(ValueError, match="no ink"):
        stroke_features(torch.zeros(20, 20))
    with pytest.raises(ValueError, match="no stroke features"):
        concatenate([])


def test_the_course_knows_height_and_direction():
    level, rising = torch.zeros(200, 200), torch.zeros(200, 200)
    level[60, 10:190] = level[140, 10:190] = 1
    for step in range(10, 190):
        rising[199 - step, step] = 1
    profile = stroke_features(level).profile[0].square().reshape(COLUMNS, HEIGHTS, LINE_DIRECTIONS)
    assert profile.sum().item() == pytest.approx(COLUMNS, rel=0.1)  # some mass lies beyond the outermost middles
    per_height = profile.sum((0, 2))
    assert per_height[0] == pytest.approx(per_height[2].item(), rel=0.05)
    assert profile.sum((0, 1))[0] > 0.95 * profile.sum()  # a level line's direction
    upwards = stroke_features(rising).profile[0].square().reshape(COLUMNS, HEIGHTS, LINE_DIRECTIONS)
    assert upwards.sum((0, 1))[[1, 2]].sum() > 0.9 * upwards.sum()  # 45 degrees
    assert upwards[:12, 2].sum() > upwards[:12, 0].sum()  # low on the left
    assert upwards[-12:, 0].sum() > upwards[-12:, 2].sum()


def test_neither_pen_nor_size_tells():
    thin, broad, other = stroke_features(wave()), stroke_features(wave(pen_px=9)), stroke_features(wave(period_px=60))
    small = stroke_features(F.interpolate(wave()[None, None], scale_factor=0.6, mode="area")[0, 0])
    for distances in (hinge_distances, profile_distances):
        different = distances(thin, other).item()
        assert distances(thin, broad).item() < different / 2
        assert distances(thin, small).item() < different
    assert profile_distances(thin, small).item() < profile_distances(thin, other).item() / 2


def test_distances_are_zero_to_oneself_and_alike_both_ways():
    hands = synthetic_signatures(2, 2, 1, seed=3).strokes
    for distances in (hinge_distances, profile_distances):
        found = distances(hands, hands)
        assert found.diagonal().abs().max() < 1e-6
        torch.testing.assert_close(found, found.T, rtol=0, atol=1e-5)
        assert found[0, 1] > 0
    assert hinge_distances(hands, hands).max() <= 1


def warped_plainly(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Sakoe and Chiba's recursion as it is written, over the whole square."""
    best = np.full((COLUMNS, COLUMNS), np.inf)
    for i in range(COLUMNS):
        for j in range(COLUMNS):
            if abs(i - j) > DTW_BAND:
                continue
            ways = [0.0] if i == j == 0 else []
            if i and j:
                ways.append(best[i - 1, j - 1])
            if i:
                ways.append(best[i - 1, j] + DTW_PENALTY)
            if j:
                ways.append(best[i, j - 1] + DTW_PENALTY)
            best[i, j] = min(ways) + np.abs(ours[i] - theirs[j]).sum()
    return best[-1, -1] / COLUMNS


def test_the_warping_is_the_one_in_the_books():
    first, second = some_profiles(2, 1), some_profiles(3, 2)
    second.profile[0] = F.pad(first.profile[0], (0, 0, 3, 0))[:COLUMNS]  # the same, three columns late
    found = profile_distances(first, second)
    expected = [[warped_plainly(a.numpy(), b.numpy()) for b in second.profile] for a in first.profile]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-5)
    straight = (first.profile[0] - second.profile[0]).abs().sum().item() / COLUMNS
    assert found[0, 0] < straight / 3


def test_many_pairs_are_those_of_few(monkeypatch):
    first, second = some_profiles(5, 1), some_profiles(4, 2)
    whole = profile_distances(first, second)
    monkeypatch.setattr("siamese.signatures.features.PAIRS_AT_ONCE", 8)
    assert torch.equal(profile_distances(first, second), whole)
    assert torch.equal(profile_distances(first.take(torch.tensor([3])), second), whole[3:4])

import math

import pytest
import torch

from siamese.characters.drawings import Drawings
from siamese.characters.episodes import Trials
from train.characters.baselines import (
    baselines,
    centred_ink,
    chance,
    modified_hausdorff_distances,
    squared_pixel_distances,
    won_among,
)


def one_trial(support: list[int], query: int, label: int) -> Trials:
    return Trials(torch.tensor([support]), torch.tensor([query]), torch.tensor([label]))


def ink_at(*points: tuple[int, int]) -> torch.Tensor:
    ink = torch.zeros(105, 105, dtype=torch.bool)
    for row, column in points:
        ink[row, column] = True
    return ink


def test_pixel_distance_by_hand():
    pictures = torch.tensor([[[0, 10], [3, 0]], [[0, 10], [3, 0]], [[4, 10], [0, 255]]], dtype=torch.uint8)
    distances = squared_pixel_distances(pictures, one_trial([1, 2], 0, 0))
    assert distances.tolist() == [[0.0, 16.0 + 9.0 + 255.0**2]]


def test_pixel_distance_of_ink_counts_the_pixels_that_differ_in_every_block():
    generator = torch.Generator().manual_seed(0)
    ink = torch.rand(9, 105, 105, generator=generator) < 0.2
    trials = 200  # more than one block of gathered pictures
    support = torch.randint(9, (trials, 9), generator=generator)
    query = torch.randint(9, (trials,), generator=generator)
    distances = squared_pixel_distances(ink, Trials(support, query, torch.zeros(trials, dtype=torch.int64)))
    for trial in (0, 57, 199):
        expected = [int((ink[query[trial]] ^ ink[row]).sum()) for row in support[trial]]
        assert distances[trial].tolist() == expected


def test_hausdorff_by_hand():
    # Two points 2 apart, and two points 4 apart: centred at -1, 1 and -2, 2; each point is 1 from its nearest.
    # Against a single point at the centre: the two are 2 away, the one is 2 from the nearer of them.
    ink = torch.stack([ink_at((50, 50), (50, 52)), ink_at((10, 10), (10, 14)), ink_at((90, 3))])
    distances = modified_hausdorff_distances(ink, one_trial([0, 2], 1, 0))
    assert distances.tolist() == [[pytest.approx(1.0), pytest.approx(2.0)]]


def test_hausdorff_takes_the_greater_direction():
    # Centred: a is (-3, 0, 3) in a row, b is 0. From b to a: 0; from a to b: (3 + 0 + 3) / 3 = 2.
    ink = torch.stack([ink_at((20, 20), (20, 23), (20, 26)), ink_at((70, 70))])
    assert modified_hausdorff_distances(ink, one_trial([0], 1, 0)).item() == pytest.approx(2.0)
    assert modified_hausdorff_distances(ink, one_trial([1], 0, 0)).item() == pytest.approx(2.0)


def hausdorff_by_loops(a: torch.Tensor, b: torch.Tensor) -> float:
    """Of lists of points, straight from the definition."""

    def one_way(these: list, those: list) -> float:
        return sum(min(math.dist(this, that) for that in those) for this in these) / len(these)

    first, second = centred_ink(a).tolist(), centred_ink(b).tolist()
    return max(one_way(first, second), one_way(second, first))


def test_hausdorff_is_what_loops_give():
    generator = torch.Generator().manual_seed(1)
    ink = torch.rand(4, 105, 105, generator=generator) < 0.003
    trials = Trials(torch.tensor([[1, 2, 3], [0, 3, 3]]), torch.tensor([0, 2]), torch.tensor([0, 1]))
    distances = modified_hausdorff_distances(ink, trials)
    for trial, query in enumerate([0, 2]):
        for place, support in enumerate(trials.support[trial].tolist()):
            assert distances[trial, place].item() == pytest.approx(hausdorff_by_loops(ink[query], ink[support]))


def test_a_drawing_and_its_shifted_copy_are_at_distance_0():
    ink = torch.stack([ink_at((5, 5), (6, 7), (9, 5)), ink_at((85, 65), (86, 67), (89, 65))])
    assert modified_hausdorff_distances(ink, one_trial([1], 0, 0)).item() == pytest.approx(0, abs=1e-6)


def test_no_ink_is_refused():
    with pytest.raises(ValueError, match="without ink"):
        modified_hausdorff_distances(torch.zeros(2, 105, 105, dtype=torch.bool), one_trial([1], 0, 0))


def test_smaller_trials_out_of_larger_ones():
    distances = torch.tensor([[5.0, 3.0, 9.0, 1.0], [2.0, 4.0, 4.0, 8.0]])
    label = torch.tensor([1, 1])
    # First trial: the others are 5, 9, 1; second: 2, 4 (a tie), 8.
    assert won_among(distances, label, 2).tolist() == [True, False]
    assert won_among(distances, label, 3).tolist() == [True, False]
    assert won_among(distances, label, 4).tolist() == [False, False]
    tied = torch.tensor([[4.0, 4.0]])
    assert won_among(tied, torch.tensor([0]), 2).tolist() == [False]
    assert chance(4) == 0.25


def test_entries_name_protocol_ways_and_trials():
    ink = torch.stack([ink_at((5, 5), (6, 7), (9, 5)), ink_at((5, 5), (9, 5)), ink_at((5, 5), (6, 7), (9, 5))])
    rows = torch.zeros(3, dtype=torch.int64)
    drawings = Drawings(ink, rows, torch.tensor([0, 1, 0]), torch.tensor([1, 1, 2]), ("A",))
    entries = baselines(drawings, one_trial([1, 0], 2, 1), "within_alphabet", [2], with_hausdorff=True)
    shared = {"protocol": "within_alphabet", "n_way": 2, "trials": 1}
    assert entries == [
        {"name": "chance", **shared, "accuracy": 0.5},
        {"name": "nearest_neighbour_l2", **shared, "accuracy": 1.0},
        {"name": "modified_hausdorff", **shared, "accuracy": 1.0},
    ]
    assert baselines(drawings, one_trial([1, 0], 2, 1), "within_alphabet", [2], with_hausdorff=False) == entries[:2]

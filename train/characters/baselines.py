"""Baselines without learning: chance, nearest neighbour on pixels, and Lake's modified Hausdorff distance."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64, Int64, UInt8
from torch import Tensor
from tqdm import tqdm

from siamese.characters.drawings import Drawings
from siamese.characters.episodes import Trials

BLOCK_ELEMENTS = 1 << 24  # of a block of gathered pictures: 64 MiB in float32


def chance(n_way: int) -> float:
    """Gives the expected share of trials won by guessing."""
    return 1 / n_way


@torch.inference_mode()
def squared_pixel_distances(
    pictures: Bool[Tensor, " drawings *picture"] | UInt8[Tensor, " drawings *picture"], trials: Trials
) -> Float[Tensor, "trials n_way"]:
    """Computes the squared L2 distance of each query to each of its supports, from the differences: never below 0."""
    flat = pictures.flatten(1)
    at_once = max(1, BLOCK_ELEMENTS // (trials.n_way * flat.shape[1]))
    blocks = zip(trials.query.split(at_once), trials.support.split(at_once), strict=True)
    return torch.cat([(flat[query].float()[:, None] - flat[rows].float()).square_().sum(2) for query, rows in blocks])


@torch.inference_mode()
def modified_hausdorff_distances(
    ink: Bool[Tensor, "drawings height width"], trials: Trials, progress: bool = False
) -> Float64[Tensor, "trials n_way"]:
    """Computes the modified Hausdorff distance of each query to each of its supports, in pixels.

    As in the demo of Lake et al. (2015): the coordinates of the ink less their mean; the mean distance from the points
    of one drawing to the nearest of the other; the greater of both directions.

    Source: Dubuisson and Jain (1994), "A modified Hausdorff distance for object matching".
    """
    used = torch.cat([trials.support.flatten(), trials.query]).unique().tolist()
    factors = {row: distance_factors(centred_ink(ink[row])) for row in used}
    distances = torch.empty(trials.support.shape, dtype=torch.float64)
    work = tqdm(trials.query.tolist(), desc="Hausdorff", unit="trial", disable=not progress)
    for trial, query in enumerate(work):
        for place, support in enumerate(trials.support[trial].tolist()):
            squared = factors[query][0] @ factors[support][1]
            nearest = (squared.amin(side).clamp_(min=0).sqrt_().mean() for side in (0, 1))  # rounding may reach -1e-12
            distances[trial, place] = max(nearest)
    return distances


def centred_ink(ink: Bool[Tensor, "height width"]) -> Float64[Tensor, "points 2"]:
    """Lists row and column of each inked pixel, less their mean; raises ValueError where there is no ink."""
    points = ink.nonzero().double()
    if len(points) == 0:
        raise ValueError("A drawing without ink has no Hausdorff distance.")
    return points - points.mean(0)


def distance_factors(
    points: Float64[Tensor, "points 2"],
) -> tuple[Float64[Tensor, "points 4"], Float64[Tensor, "4 points"]]:
    """Makes two factors: the left one of a drawing times the right one of another are all squared distances."""
    length, ones = points.square().sum(1, keepdim=True), points.new_ones(len(points), 1)
    return torch.cat([points, length, ones], 1), torch.cat([-2 * points, ones, length], 1).T.contiguous()


def won_among(
    distances: Float[Tensor, "trials candidates"], label: Int64[Tensor, " trials"], n_way: int
) -> Bool[Tensor, " trials"]:
    """Tells whether the true candidate is nearer than each of the first `n_way` - 1 others."""
    true = distances.gather(1, label[:, None])
    others = torch.ones_like(distances, dtype=torch.bool).scatter_(1, label[:, None], False)
    return (true < distances[others].view(len(distances), -1)[:, : n_way - 1]).all(1)


def baselines(
    drawings: Drawings,
    trials: Trials,
    protocol: str,
    n_ways: Sequence[int],
    with_hausdorff: bool,
    progress: bool = False,
) -> list[dict]:
    """Measures the baselines; a tie is not won.

    Args:
        drawings: As drawn, not prepared.
        trials: Those of fewer ways are made by leaving candidates out.
        protocol: Its name in the report.
        n_ways: Numbers of candidates, none above that of `trials`.
        with_hausdorff: Whether to measure the modified Hausdorff distance, about 20 ms for a 20-way trial.
        progress: Whether to show a bar.

    Returns:
        Rows of the report.
    """
    distances_by_name = {"nearest_neighbour_l2": squared_pixel_distances(drawings.ink, trials)}
    if with_hausdorff:
        distances_by_name["modified_hausdorff"] = modified_hausdorff_distances(drawings.ink, trials, progress)
    rows = []
    for n_way in n_ways:
        shared = {"protocol": protocol, "n_way": n_way, "trials": len(trials)}
        rows.append({"name": "chance", **shared, "accuracy": chance(n_way)})
        for name, distances in distances_by_name.items():
            accuracy = won_among(distances, trials.label, n_way).double().mean().item()
            rows.append({"name": name, **shared, "accuracy": accuracy})
    return rows

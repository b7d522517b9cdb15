"""What tells two hands apart in the whole ink of a signature, of which the network sees only 105 x 105 pixels.

Two features of the lines reduced to their middle, so that pen and ink do not count, and a distance for each:

- *hinge*: how often a line runs on in which two directions from one of its points, wherever the point is. This is the
  contour-hinge distribution of Bulacu and Schomaker, "Text-independent writer identification and verification using
  textural and allographic features" (PAMI 29, 2007), here of the middle of the lines.
- *profile*: how much line runs at which height and in which direction, from left to right. Two profiles are aligned
  with dynamic time warping: Sakoe and Chiba (1978), for words Rath and Manmatha (2003).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor
from torch.nn import functional as F

from siamese.imaging.skeleton import AROUND, skeletonize
from siamese.preprocessing import INK_LEVEL, LINE_LEVEL

LEG_STEPS = 8  # of a hinge, from point to point along the line; isolated ink is 400 px long
HINGE_DIRECTIONS = 24
HINGE_BLUR = 1.0  # standard deviation, in directions
COLUMNS, HEIGHTS, LINE_DIRECTIONS = 48, 3, 6
REACH = 2.4, 2.0  # of the columns and of the heights to either side of the middle, in standard deviations of the lines
WINDOW_PX = 9  # in which the direction of a line is measured
DTW_BAND = 6  # columns by which one profile may be ahead of the other
DTW_PENALTY = 0.21  # cost of each step in which one of the profiles waits for the other
PAIRS_AT_ONCE = 4_096

STEPS = np.array(AROUND)
LENGTHS = np.hypot(*STEPS.T)
# The cosine between a step and the next; none goes back, nor to a neighbour of where the line came from.
STRAIGHTNESS = np.where(
    np.abs(STEPS[:, None] + STEPS).max(2) > 1, STEPS @ STEPS.T / (LENGTHS[:, None] * LENGTHS), -np.inf
)


@dataclass(frozen=True)
class StrokeFeatures:
    """Features of signatures, one signature in each row."""

    hinge: Float32[Tensor, "signatures 576"]
    """Square roots of the shares of hinges with each two directions; the shares of a row add up to 1."""
    profile: Float32[Tensor, "signatures 48 18"]
    """Square roots of the amount of line in each column, by height and direction; 1 is the mean of all columns."""

    def __len__(self) -> int:
        return len(self.hinge)

    def take(self, rows: Int64[Tensor, " rows"] | Bool[Tensor, " signatures"]) -> "StrokeFeatures":
        """The features of these signatures."""
        return StrokeFeatures(self.hinge[rows], self.profile[rows])


def stroke_features(ink: Float[Tensor, "height width"]) -> StrokeFeatures:
    """Measures one signature.

    Args:
        ink: Isolated ink in [0, 1], as `siamese.signatures.isolation.isolate_signature` gives it.

    Returns:
        One row.

    Raises:
        ValueError: There is no ink.
    """
    darkest = float(ink.max())
    if darkest < INK_LEVEL:
        raise ValueError("The picture holds no ink.")
    lines = skeletonize(ink >= min(LINE_LEVEL, darkest))
    return StrokeFeatures(hinge_histogram(lines.numpy())[None], direction_profile(lines)[None])


def concatenate(parts: Sequence[StrokeFeatures]) -> StrokeFeatures:
    """All rows of all parts, in order.

    Raises:
        ValueError: There is no part.
    """
    if not parts:
        raise ValueError("There are no stroke features to concatenate.")
    return StrokeFeatures(torch.cat([one.hinge for one in parts]), torch.cat([one.profile for one in parts]))


def hinge_distances(first: StrokeFeatures, second: StrokeFeatures) -> Float64[Tensor, "n m"]:
    """Hellinger distances of all pairs of hinge histograms: 0 for equal ones, 1 for none in common."""
    return torch.cdist(first.hinge.double(), second.hinge.double()) / 2**0.5


def profile_distances(first: StrokeFeatures, second: StrokeFeatures) -> Float64[Tensor, "n m"]:
    """Differences of all pairs of profiles after alignment, means over the columns; 0 for equal profiles."""
    distances = torch.empty(len(first), len(second), dtype=torch.float64)
    rows_at_once = max(1, PAIRS_AT_ONCE // max(1, len(second)))
    for begin in range(0, len(first), rows_at_once):
        some = first.profile[begin : begin + rows_at_once]
        ours = some.repeat_interleave(len(second), 0)
        theirs = second.profile.repeat(len(some), 1, 1)
        distances[begin : begin + rows_at_once] = banded_dtw(ours, theirs).reshape(len(some), -1)
    return distances


def banded_dtw(
    ours: Float32[Tensor, "pairs 48 18"], theirs: Float32[Tensor, "pairs 48 18"]
) -> Float32[Tensor, " pairs"]:
    """Dynamic time warping within DTW_BAND columns of the diagonal, all pairs at once.

    Libraries for it warp one pair at a time and know no cost for a step off the diagonal.

    Returns:
        The cost of the cheapest alignment, divided by the number of columns.
    """
    padded = F.pad(theirs, (0, 0, DTW_BAND, DTW_BAND))
    width = 2 * DTW_BAND + 1
    costs = torch.stack([(ours - padded[:, shift : shift + COLUMNS]).abs().sum(2).T for shift in range(width)], 1)
    nowhere = ours.new_full((len(ours),), torch.inf)
    before = [nowhere] * width
    for column in range(COLUMNS):
        here: list[Tensor] = []
        for shift in range(width):  # the other profile stands at column + shift - DTW_BAND
            if not 0 <= column + shift - DTW_BAND < COLUMNS:
                here.append(nowhere)
                continue
            least = before[shift]  # both went on
            if column == 0 and shift == DTW_BAND:
                least = torch.zeros_like(nowhere)
            if shift + 1 < width:
                least = torch.minimum(least, before[shift + 1] + DTW_PENALTY)  # ours alone
            if shift:
                least = torch.minimum(least, here[-1] + DTW_PENALTY)  # theirs alone
            here.append(least + costs[column, shift])
        before = here
    return before[DTW_BAND] / COLUMNS


def hinge_histogram(lines: Bool[np.ndarray, "height width"]) -> Float32[Tensor, "576"]:
    """Square roots of the shares of hinges by their two directions.

    Args:
        lines: One pixel wide.

    Returns:
        24 x 24 directions; all alike where no line is long enough for a hinge.
    """
    legs = _legs(lines)
    angles = np.arctan2(-legs[:, :, 0], legs[:, :, 1]) % (2 * np.pi)
    bins = (angles / (2 * np.pi) * HINGE_DIRECTIONS).astype(np.int64) % HINGE_DIRECTIONS
    counts = np.zeros((HINGE_DIRECTIONS, HINGE_DIRECTIONS))
    np.add.at(counts, (bins[:, 0], bins[:, 1]), 1)
    counts = _circular_blur(counts + counts.T)
    if not len(legs):
        counts += 1
    return torch.from_numpy(np.sqrt(counts / counts.sum()).astype(np.float32).reshape(-1))


def _circular_blur(counts: Float64[np.ndarray, "24 24"]) -> Float64[np.ndarray, "24 24"]:
    """Gaussian blur over neighbouring directions; the last one is a neighbour of the first."""
    apart = np.arange(HINGE_DIRECTIONS)
    apart = np.minimum(apart, HINGE_DIRECTIONS - apart)
    weights = np.exp(-((apart / HINGE_BLUR) ** 2) / 2)
    blur = np.stack([np.roll(weights / weights.sum(), place) for place in range(HINGE_DIRECTIONS)])
    return blur @ counts @ blur.T


def _legs(lines: Bool[np.ndarray, "height width"]) -> Int64[np.ndarray, "points 2 2"]:
    """Offsets (rows, columns) from each point of a line to those LEG_STEPS steps along it on both sides.

    Only points with two neighbours and long enough lines count. At a branch the straightest way is taken.
    """
    places = np.argwhere(lines)
    numbers = np.full((lines.shape[0] + 2, lines.shape[1] + 2), -1)
    numbers[places[:, 0] + 1, places[:, 1] + 1] = np.arange(len(places))
    neighbours = np.stack([numbers[places[:, 0] + 1 + down, places[:, 1] + 1 + right] for down, right in AROUND], 1)
    middle = np.flatnonzero((neighbours >= 0).sum(1) == 2)
    _, direction = np.nonzero(neighbours[middle] >= 0)  # one walks each way
    here = neighbours[middle.repeat(2), direction]
    walking = np.ones(len(here), dtype=bool)
    for _ in range(LEG_STEPS - 1):
        ways = np.where(neighbours[here] >= 0, STRAIGHTNESS[direction], -np.inf)
        direction = ways.argmax(1)
        walking &= ways.max(1) > -np.inf
        here = np.where(walking, neighbours[here, direction], here)
    legs = (places[here] - places[middle.repeat(2)]).reshape(-1, 2, 2)
    return legs[walking.reshape(-1, 2).all(1)]


def direction_profile(lines: Bool[Tensor, "height width"]) -> Float32[Tensor, "48 18"]:
    """Square roots of the amount of line in each column, by height and direction.

    Args:
        lines: One pixel wide; their mean and standard deviations set place and size.

    Returns:
        48 columns, each with 3 heights x 6 directions.
    """
    places = lines.nonzero().double()
    # a point more than the deviation, lest a level line be stretched to the full height
    apart = (places - places.mean(0)) / (places.std(0, correction=0) + 1)
    down, along = apart.T
    shape = COLUMNS, HEIGHTS, LINE_DIRECTIONS
    coordinates = (
        (along / REACH[0] + 1) / 2 * COLUMNS - 0.5,
        (down / REACH[1] + 1) / 2 * HEIGHTS - 0.5,
        _directions(lines) / torch.pi * LINE_DIRECTIONS,
    )
    counts = torch.zeros(COLUMNS * HEIGHTS * LINE_DIRECTIONS, dtype=torch.float64)
    for corner in product((0, 1), repeat=3):  # each point counts for the cells around it, by how near it is
        weight = torch.ones(len(places), dtype=torch.float64)
        cell = torch.zeros(len(places), dtype=torch.int64)
        for axis, (upper, value, size) in enumerate(zip(corner, coordinates, shape, strict=True)):
            low = value.floor()
            index = low.long() + upper
            weight = weight * (value - low if upper else 1 - (value - low))
            if axis == 2:
                index = index % size  # a direction and the opposite one are the same
            weight = weight * ((index >= 0) & (index < size))
            cell = cell * size + index.clamp(0, size - 1)
        counts.index_add_(0, cell, weight)
    return (counts * COLUMNS / len(places)).sqrt().float().reshape(COLUMNS, -1)


def _directions(lines: Bool[Tensor, "height width"]) -> Float64[Tensor, " points"]:
    """Direction of the line at each of its points, in [0, pi], from right to up.

    It is the main axis of the points in a window around.
    """
    reach = WINDOW_PX // 2
    around = torch.cartesian_prod(torch.arange(WINDOW_PX), torch.arange(WINDOW_PX))
    padded = F.pad(lines, (reach,) * 4)
    near = padded[tuple((lines.nonzero()[:, None] + around).unbind(2))].double()
    y, x = (around - reach).double().T
    count, y, x, yy, xx, xy = (near @ torch.stack([torch.ones_like(y), y, x, y * y, x * x, x * y], 1)).T
    y, x = y / count, x / count
    return torch.atan2(-2 * (xy / count - x * y), (xx / count - x * x) - (yy / count - y * y)) / 2 % torch.pi

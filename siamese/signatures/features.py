"""Stroke features of the whole ink of a signature, of which the network sees only 105 x 105 pixels.

Two features of the lines reduced to their middle, so that pen and ink do not count, and a distance for each:

- *hinge*: how often a line runs on in which two directions from one of its points, wherever the point is. This is the
  contour-hinge distribution of Bulacu and Schomaker, "Text-independent writer identification and verification using
  textural and allographic features" (PAMI 29, 2007), here of the middle of the lines.
- *profile*: how much line runs at which height and in which direction, from left to right. Two profiles are aligned
  with dynamic time warping: Sakoe and Chiba (1978), for words Rath and Manmatha (2003).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

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
    darkest = float(ink.numpy().max())
    if darkest < INK_LEVEL:
        raise ValueError("The picture holds no ink.")
    lines = skeletonize(ink >= min(LINE_LEVEL, darkest)).numpy()
    return StrokeFeatures(hinge_histogram(lines)[None], direction_profile(lines)[None])


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
    pairs = bins @ (HINGE_DIRECTIONS, 1)
    counts = np.bincount(pairs, minlength=HINGE_DIRECTIONS**2).reshape(HINGE_DIRECTIONS, -1).astype(np.float64)
    blur = _circular_blur()
    counts = blur @ (counts + counts.T) @ blur.T
    if not len(legs):
        counts += 1
    return torch.from_numpy(np.sqrt(counts / counts.sum()).astype(np.float32).reshape(-1))


@cache
def _circular_blur() -> Float64[np.ndarray, "24 24"]:
    """Weights of a Gaussian blur over neighbouring directions; the last one is a neighbour of the first."""
    apart = np.arange(HINGE_DIRECTIONS)
    apart = np.minimum(apart, HINGE_DIRECTIONS - apart)
    weights = np.exp(-((apart / HINGE_BLUR) ** 2) / 2)
    return np.stack([np.roll(weights / weights.sum(), place) for place in range(HINGE_DIRECTIONS)])


def _legs(lines: Bool[np.ndarray, "height width"]) -> Int64[np.ndarray, "points 2 2"]:
    """Offsets (rows, columns) from each point of a line to those LEG_STEPS steps along it on both sides.

    Only points with two neighbours and long enough lines count. At a branch the straightest way is taken.
    """
    padded = np.pad(lines, 1).reshape(-1)
    steps = STEPS @ (lines.shape[1] + 2, 1)
    places = np.flatnonzero(padded)
    around = padded[places[:, None] + steps]
    codes = np.zeros(len(padded), dtype=np.uint8)
    codes[places] = np.packbits(around, axis=1, bitorder="little")[:, 0]
    two = np.flatnonzero(around.sum(1) == 2)
    middle = places[two]
    _, direction = np.nonzero(around[two])  # one walks each way
    start = middle.repeat(2)
    here = start + steps[direction]
    walking = np.ones(len(here), dtype=bool)
    onward = _straightest()
    for _ in range(LEG_STEPS - 1):
        way = onward[direction, codes[here]]
        walking &= way >= 0
        direction = np.where(walking, way, direction)
        here = np.where(walking, here + steps[direction], here)
    width = lines.shape[1] + 2
    legs = np.stack([here // width - start // width, here % width - start % width], 1).reshape(-1, 2, 2)
    return legs[walking.reshape(-1, 2).all(1)]


@cache
def _straightest() -> Int64[np.ndarray, "8 256"]:
    """Returns in which direction a line continues, given the direction it came from and its neighbours as bits, one for
    each direction; -1 at its end."""
    taken = np.arange(256)[None, :, None] >> np.arange(8) & 1 > 0
    ways = np.where(taken, STRAIGHTNESS[:, None], -np.inf)
    return np.where(ways.max(2) > -np.inf, ways.argmax(2), -1)


def direction_profile(lines: Bool[np.ndarray, "height width"]) -> Float32[Tensor, "48 18"]:
    """Square roots of the amount of line in each column, by height and direction.

    Args:
        lines: One pixel wide; their mean and standard deviations set place and size.

    Returns:
        48 columns, each with 3 heights x 6 directions.
    """
    places = np.argwhere(lines).astype(np.float64)
    # a point more than the deviation, lest a level line be stretched to the full height
    down, along = ((places - places.mean(0)) / (places.std(0) + 1)).T
    shape = COLUMNS, HEIGHTS, LINE_DIRECTIONS
    coordinates = (
        (along / REACH[0] + 1) / 2 * COLUMNS - 0.5,
        (down / REACH[1] + 1) / 2 * HEIGHTS - 0.5,
        _directions(lines) / np.pi * LINE_DIRECTIONS,
    )
    weights, cells = np.ones((1, len(places))), np.zeros((1, len(places)), dtype=np.int64)
    for axis, (value, size) in enumerate(zip(coordinates, shape, strict=True)):
        low = np.floor(value)  # each point counts for the cells around it, by how near it is
        near = np.stack([1 - (value - low), value - low])
        index = np.stack([low, low + 1]).astype(np.int64)
        if axis == 2:
            index = index % size  # a direction and the opposite one are the same
        near = near * ((index >= 0) & (index < size))
        weights = (weights[:, None] * near).reshape(-1, len(places))
        cells = (cells[:, None] * size + index.clip(0, size - 1)).reshape(-1, len(places))
    counts = np.bincount(cells.reshape(-1), weights.reshape(-1), math.prod(shape))
    profile = np.sqrt(counts * COLUMNS / len(places)).astype(np.float32)
    return torch.from_numpy(profile.reshape(COLUMNS, -1))


def _directions(lines: Bool[np.ndarray, "height width"]) -> Float64[np.ndarray, " points"]:
    """Direction of the line at each of its points, in [0, pi], from right to up.

    It is the main axis of the points in a window around.
    """
    import cv2

    reach = np.arange(WINDOW_PX, dtype=np.float32) - WINDOW_PX // 2
    one = np.ones(WINDOW_PX, dtype=np.float32)
    ink, at = lines.astype(np.float32), np.nonzero(lines)

    def moment(along: np.ndarray, down: np.ndarray) -> Float64[np.ndarray, " points"]:
        sums = cv2.sepFilter2D(ink, -1, along, down, borderType=cv2.BORDER_CONSTANT)  # whole numbers, so exact
        return sums[at].astype(np.float64)

    count, y, x = moment(one, one), moment(one, reach), moment(reach, one)
    yy, xx, xy = moment(one, reach**2), moment(reach**2, one), moment(reach, reach)
    y, x = y / count, x / count
    return np.arctan2(-2 * (xy / count - x * y), (xx / count - x * x) - (yy / count - y * y)) / 2 % np.pi

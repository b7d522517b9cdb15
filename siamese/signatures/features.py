"""How the lines of a signature run: what tells two hands apart in the whole ink, of which a network sees 105 pixels.

Two measures of each signature, taken from lines reduced to their middle, so that pen and ink do not count, and one
distance for each between two signatures:

- *turns*: how often the line goes on in which two directions from a point of it, wherever the point is. A hand keeps
  its turns. Bulacu and Schomaker, "Text-independent writer identification and verification using textural and
  allographic features" (PAMI 29, 2007), the contour-hinge distribution, here of the middle of lines.
- *course*: at what height and in which direction the lines run, from left to right. Two courses are laid over each
  other with dynamic time warping: Sakoe and Chiba (1978), for words Rath and Manmatha (2003).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor
from torch.nn import functional as F

from siamese.imaging.skeleton import AROUND, skeletonize
from siamese.preprocessing import INK_LEVEL, LINE_LEVEL

LEG_STEPS = 8  # of a turn, from point to point along the line; isolated ink is 400 px long
TURN_DIRECTIONS = 24
TURN_BLUR = 1.0  # standard deviation, in directions
COLUMNS, HEIGHTS, LINE_DIRECTIONS = 48, 3, 6
REACH = 2.4, 2.0  # of the columns and of the heights to either side of the middle, in standard deviations of the lines
WINDOW_PX = 9  # in which the direction of a line is measured
DTW_BAND = 6  # columns by which a course may be ahead of the other
DTW_PENALTY = 0.21  # what each step costs by which one of the courses waits for the other
PAIRS_AT_ONCE = 4_096

STEPS = np.array(AROUND)
LENGTHS = np.hypot(*STEPS.T)
# The cosine between a step and the next; none goes back, nor to a neighbour of where the line came from.
STRAIGHTNESS = np.where(
    np.abs(STEPS[:, None] + STEPS).max(2) > 1, STEPS @ STEPS.T / (LENGTHS[:, None] * LENGTHS), -np.inf
)


@dataclass(frozen=True)
class StrokeFeatures:
    """Of signatures, one in each row."""

    turns: Float32[Tensor, "signatures 576"]
    """Square roots of shares that add up to 1: of the turns with each two directions."""
    course: Float32[Tensor, "signatures 48 18"]
    """Square roots of the line in each column, by height and direction; 1 is the mean of all columns."""

    def __len__(self) -> int:
        return len(self.turns)

    def take(self, rows: Int64[Tensor, " rows"] | Bool[Tensor, " signatures"]) -> "StrokeFeatures":
        """That of these signatures."""
        return StrokeFeatures(self.turns[rows], self.course[rows])


@dataclass(frozen=True)
class ScoreFusion:
    """What the network says and how the lines run, in one logit: fitted on writers whom the network had not seen."""

    bias: float
    network: float
    """Of the network's logit; not negative."""
    turns: float
    """Of `turn_distances`; not positive."""
    course: float
    """Of `course_distances`; not positive."""
    network_middle: float
    """Half-way from the mean of forged pairs to the mean of genuine ones, as the next two: what speaks for neither."""
    turns_middle: float
    course_middle: float

    def __post_init__(self) -> None:
        if not all(map(np.isfinite, vars(self).values())):
            raise ValueError("The weighing of the handwriting must be of finite numbers.")
        if self.network < 0 or self.turns > 0 or self.course > 0:
            raise ValueError(
                f"The weighing of the handwriting is {self.network}, {self.turns} and {self.course} for network, turns "
                "and course: the first must not be negative, the others not positive."
            )

    def logits(
        self, network: Float[Tensor, "n m"], first: StrokeFeatures, second: StrokeFeatures
    ) -> Float64[Tensor, "n m"]:
        """Of all pairs, from the network's logits of the same pairs."""
        logits = self.bias + self.network * network.double().cpu()
        if self.turns:
            logits = logits + self.turns * turn_distances(first, second)
        if self.course:
            logits = logits + self.course * course_distances(first, second)
        return logits

    def parts(
        self, network: Float[Tensor, "n m"], first: StrokeFeatures, second: StrokeFeatures
    ) -> dict[str, Float64[Tensor, "n m"]]:
        """What each of the three adds to the logits: above 0 it speaks for the same hand, below against it."""
        return {
            "network": self.network * (network.double().cpu() - self.network_middle),
            "turns": self.turns * (turn_distances(first, second) - self.turns_middle),
            "course": self.course * (course_distances(first, second) - self.course_middle),
        }


def weighing_in(verification: Mapping) -> ScoreFusion | None:
    """Of that entry of a config.json that `read_config` has checked; None where it has none."""
    entry = verification.get("weighing")
    return ScoreFusion(**{name: float(value) for name, value in entry.items()}) if entry else None


def stroke_features(ink: Float[Tensor, "height width"]) -> StrokeFeatures:
    """Of one isolated signature, as `siamese.signatures.isolation.isolate_signature` gives it: one row.

    Raises ValueError where there is no ink.
    """
    darkest = float(ink.max())
    if darkest < INK_LEVEL:
        raise ValueError("The picture holds no ink.")
    lines = skeletonize(ink >= min(LINE_LEVEL, darkest))
    return StrokeFeatures(_turns(lines.numpy())[None], _course(lines)[None])


def together(parts: Sequence[StrokeFeatures]) -> StrokeFeatures:
    """All rows of all parts; raises ValueError for no part."""
    if not parts:
        raise ValueError("There is no handwriting to put together.")
    return StrokeFeatures(torch.cat([one.turns for one in parts]), torch.cat([one.course for one in parts]))


def turn_distances(first: StrokeFeatures, second: StrokeFeatures) -> Float64[Tensor, "n m"]:
    """The Hellinger distance of all pairs: 0 for the same turns, 1 for none in common."""
    return torch.cdist(first.turns.double(), second.turns.double()) / 2**0.5


def course_distances(first: StrokeFeatures, second: StrokeFeatures) -> Float64[Tensor, "n m"]:
    """How far the courses of all pairs differ where they fit best, a mean over the columns; 0 for the same course."""
    found = torch.empty(len(first), len(second), dtype=torch.float64)
    rows_at_once = max(1, PAIRS_AT_ONCE // max(1, len(second)))
    for begin in range(0, len(first), rows_at_once):
        some = first.course[begin : begin + rows_at_once]
        ours = some.repeat_interleave(len(second), 0)
        theirs = second.course.repeat(len(some), 1, 1)
        found[begin : begin + rows_at_once] = _banded_dtw(ours, theirs).reshape(len(some), -1)
    return found


def _banded_dtw(
    ours: Float32[Tensor, "pairs 48 18"], theirs: Float32[Tensor, "pairs 48 18"]
) -> Float32[Tensor, " pairs"]:
    """The cheapest way through both courses at once, none of them ever more than DTW_BAND columns ahead."""
    padded = F.pad(theirs, (0, 0, DTW_BAND, DTW_BAND))
    width = 2 * DTW_BAND + 1
    costs = torch.stack([(ours - padded[:, shift : shift + COLUMNS]).abs().sum(2).T for shift in range(width)], 1)
    nowhere = ours.new_full((len(ours),), torch.inf)
    before = [nowhere] * width
    for column in range(COLUMNS):
        here: list[Tensor] = []
        for shift in range(width):  # the other course stands at column + shift - DTW_BAND
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


def _turns(lines: Bool[np.ndarray, "height width"]) -> Float32[Tensor, "576"]:
    """Where no line is long enough for a turn, all turns count alike."""
    legs = _legs(lines)
    angles = np.arctan2(-legs[:, :, 0], legs[:, :, 1]) % (2 * np.pi)
    bins = (angles / (2 * np.pi) * TURN_DIRECTIONS).astype(np.int64) % TURN_DIRECTIONS
    counts = np.zeros((TURN_DIRECTIONS, TURN_DIRECTIONS))
    np.add.at(counts, (bins[:, 0], bins[:, 1]), 1)
    counts = _around_the_circle(counts + counts.T)
    if not len(legs):
        counts += 1
    return torch.from_numpy(np.sqrt(counts / counts.sum()).astype(np.float32).reshape(-1))


def _around_the_circle(counts: Float64[np.ndarray, "24 24"]) -> Float64[np.ndarray, "24 24"]:
    """Blurred over neighbouring directions, the last being the first one's neighbour."""
    apart = np.arange(TURN_DIRECTIONS)
    apart = np.minimum(apart, TURN_DIRECTIONS - apart)
    weights = np.exp(-((apart / TURN_BLUR) ** 2) / 2)
    blur = np.stack([np.roll(weights / weights.sum(), place) for place in range(TURN_DIRECTIONS)])
    return blur @ counts @ blur.T


def _legs(lines: Bool[np.ndarray, "height width"]) -> Int64[np.ndarray, "points 2 2"]:
    """From each point on a line to those LEG_STEPS steps along it on both sides: rows and columns.

    Only of points with two neighbours whose line goes on so far; where it branches, it goes straight on.
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


def _course(lines: Bool[Tensor, "height width"]) -> Float32[Tensor, "48 18"]:
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
    """In which the line runs at each of its points, in [0, pi], upwards from the right: the axis of what is around."""
    reach = WINDOW_PX // 2
    around = torch.cartesian_prod(torch.arange(WINDOW_PX), torch.arange(WINDOW_PX))
    padded = F.pad(lines, (reach,) * 4)
    near = padded[tuple((lines.nonzero()[:, None] + around).unbind(2))].double()
    y, x = (around - reach).double().T
    count, y, x, yy, xx, xy = (near @ torch.stack([torch.ones_like(y), y, x, y * y, x * x, x * y], 1)).T
    y, x = y / count, x / count
    return torch.atan2(-2 * (xy / count - x * y), (xx / count - x * x) - (yy / count - y * y)) / 2 % torch.pi

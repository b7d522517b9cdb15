"""Finds the four edges of a sheet of paper among the straight lines of a picture."""

import math
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, UInt8

from siamese.imaging.quantiles import quantile

MIN_AREA, MAX_AREA = 0.06, 1.2  # of the picture's area; a sheet may reach beyond the picture
MOST_OF_PICTURE = 0.98
BEYOND = 0.25  # of the picture's sides, that a corner may lie outside of it
MAX_TURN_DEG = 28  # of the edges of a sheet from upright and level
MIN_SIDE = 0.15  # of the picture's longer side
MAX_RATIO = 1.6  # of two sides that face each other
MOST_LINES = 9  # of each direction, that are tried as edges
BESIDE_PX = 5  # distance from an edge at which inside and outside are compared
PLACES = np.linspace(0.04, 0.96, 40)  # along an edge, at which they are compared
LEAST_PLACES = 12  # of these, that must lie in the picture
MIN_STEP = 7  # of 255, between inside and outside
MIN_SUPPORT = 0.72  # share of an edge along which the step is seen
DARK_SURROUNDINGS = 0.55  # of the paper's light: what lies beyond one or two edges must be darker, shadows are not
PAPER_SHARE = 0.6  # of the sheet must be as light as paper

Corners = Float[np.ndarray, "4 2"]
Grey = UInt8[np.ndarray, "_ _"]


@dataclass(frozen=True, eq=False)
class Edges:
    """Straight lines of one direction that may be edges of the sheet, nearly level or nearly upright, by their place.

    Of upright ones, rows are columns and columns rows.
    """

    place: Float[np.ndarray, " lines"]
    """Row at the middle of the picture."""
    slope: Float[np.ndarray, " lines"]
    is_rim: Bool[np.ndarray, " lines"]
    """Whether it is the picture's own rim."""
    lighter_after: Int64[np.ndarray, "lines columns"]
    """Up to each column: in how many of them it is lighter below the line than above it."""
    lighter_before: Int64[np.ndarray, "lines columns"]

    def are_seen(
        self,
        lines: Int64[np.ndarray, " sides"],
        start: Float[np.ndarray, " sides"],
        end: Float[np.ndarray, " sides"],
        is_first: bool,
    ) -> Bool[np.ndarray, " sides"]:
        """Whether the sheet is lighter from `start` to `end`; it lies behind the first edge, before the second."""
        steps = self.lighter_after if is_first else self.lighter_before
        low, high = (np.rint(at).astype(np.int64).clip(0, steps.shape[1] - 1) for at in (start, end))
        is_lighter = (high > low) & (steps[lines, high] - steps[lines, low] >= MIN_SUPPORT * (high - low))
        return is_lighter | self.is_rim[lines]


def best_quadrilateral(ground: Grey, small: Grey) -> Corners | None:
    """Finds the quadrilateral whose edges are seen best, of all that the straight edges of the ground form.

    Args:
        ground: The picture without ink.
        small: The picture itself, of the same size.

    Returns:
        Column and row of the corners from the top left one clockwise; None where there is no sheet.
    """
    corners, is_rim = _quadrilaterals(*_edges(ground), ground.shape)
    support = _support(ground, corners, is_rim)
    best, best_score = None, 0.0
    for place in np.argsort(-support, kind="stable").tolist():
        if support[place] <= best_score:  # what is on the paper makes it no better
            break
        score = support[place] * _paper_share(ground, small, corners[place])
        if score > best_score:
            best, best_score = corners[place], score
    return best


def _edges(ground: Grey) -> tuple[Edges, Edges]:
    """Straight edges of the ground, and the picture's rims: the level and the upright ones."""
    height, width = ground.shape
    blurred = cv2.GaussianBlur(ground, (5, 5), 0)
    across, down = cv2.Sobel(blurred, cv2.CV_32F, 1, 0), cv2.Sobel(blurred, cv2.CV_32F, 0, 1)
    strength = cv2.magnitude(across, down)
    high = float(min(max(60.0, 0.25 * quantile(strength, 0.995)), 200.0))
    edges = cv2.Canny(blurred, high / 2.5, high)
    span = np.radians(MAX_TURN_DEG)
    votes = max(25, round(0.14 * min(height, width)))
    found = cv2.HoughLines(edges, 1, np.pi / 180, votes)
    level: list[tuple[float, float]] = []
    upright: list[tuple[float, float]] = []
    for rho, theta in (found.reshape(-1, 2) if found is not None else np.zeros((0, 2))).tolist():
        sine, cosine = math.sin(theta), math.cos(theta)
        if abs(theta - np.pi / 2) <= span:
            slope = -cosine / sine
            _add(level, rho / sine + slope * width / 2, slope, width)
        elif min(theta, np.pi - theta) <= span:
            slope = -sine / cosine
            _add(upright, rho / cosine + slope * height / 2, slope, height)
    return _with_rims(level, blurred), _with_rims(upright, blurred.T)


def _add(lines: list[tuple[float, float]], place: float, slope: float, width: int) -> None:
    """Adds a line by its place and slope, unless there are many or it is nearly one that is there already."""
    if len(lines) >= MOST_LINES:
        return
    if any(max(abs(place - other), abs(slope - its) * width / 2) <= 6 for other, its in lines):
        return
    lines.append((place, slope))


def _with_rims(lines: list[tuple[float, float]], ground: Grey) -> Edges:
    """Looks on which side of each line, level in `ground`, it is lighter, and adds the two rims."""
    height, width = ground.shape
    place, slope = np.array([*lines, (0.0, 0.0), (float(height), 0.0)]).T
    columns = np.arange(width)
    rows = np.round(place[:, None] + slope[:, None] * (columns + 0.5 - width / 2)).astype(int)
    above, below = (
        ground[(rows + step).clip(0, height - 1), columns].astype(np.int16) for step in (-BESIDE_PX, BESIDE_PX)
    )
    # beyond the picture nothing is seen, and nothing speaks against the line
    unseen = ((rows < 0) | (rows >= height)).astype(np.int64)
    order = np.argsort(place, kind="stable")
    after, before = (
        np.pad(np.cumsum((step > 0.6 * MIN_STEP) + unseen, axis=1), ((0, 0), (1, 0)))[order]
        for step in (below - above, above - below)
    )
    return Edges(place[order], slope[order], order >= len(lines), after, before)


def _quadrilaterals(
    level: Edges, upright: Edges, shape: tuple[int, int]
) -> tuple[Float[np.ndarray, "sheets 4 2"], Bool[np.ndarray, "sheets 4"]]:
    """All quadrilaterals of sensible size and shape along whose edges it is lighter within.

    Returns:
        Column and row of their corners, from the top left one clockwise; and whether the edges above, on the right,
        below and on the left are rims of the picture.
    """
    height, width = shape
    # y = a + s (x - width / 2), x = b + t (y - height / 2)
    way = (level.place - level.slope * width / 2 - height / 2)[:, None]
    x = (upright.place + upright.slope * way) / (1 - upright.slope * level.slope[:, None])
    meeting = np.stack([x, level.place[:, None] + level.slope[:, None] * (x - width / 2)], axis=-1)
    level_pairs, upright_pairs = (
        np.array(list(combinations(range(len(edges.place)), 2))) for edges in (level, upright)
    )
    above, below = np.repeat(level_pairs, len(upright_pairs), axis=0).T
    left, right = np.tile(upright_pairs, (len(level_pairs), 1)).T
    corners = np.stack([meeting[above, left], meeting[above, right], meeting[below, right], meeting[below, left]], 1)
    is_rim = np.stack([level.is_rim[above], upright.is_rim[right], level.is_rim[below], upright.is_rim[left]], 1)

    inside = (corners >= [-BEYOND * width, -BEYOND * height]) & (
        corners <= [(1 + BEYOND) * width, (1 + BEYOND) * height]
    )
    before = np.roll(corners, 1, axis=1)
    area = -0.5 * (corners[..., 0] * before[..., 1] - corners[..., 1] * before[..., 0]).sum(1) / (height * width)
    sides = np.hypot(*np.moveaxis(corners - before, -1, 0))
    ratio = sides[:, [0, 1, 2, 3]] / np.maximum(sides[:, [2, 3, 0, 1]], 1e-9)
    fits = inside.all((1, 2)) & ~is_rim.all(1) & (area >= MIN_AREA) & (area <= MAX_AREA)
    fits &= (sides.min(1) >= MIN_SIDE * max(shape)) & (ratio.max(1) <= MAX_RATIO)
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = np.moveaxis(corners, 0, -1)
    fits &= level.are_seen(above, ax, bx, True) & level.are_seen(below, dx, cx, False)
    fits &= upright.are_seen(left, ay, dy, True) & upright.are_seen(right, by, cy, False)
    return corners[fits], is_rim[fits]


def _support(
    ground: Grey, corners: Float[np.ndarray, "sheets 4 2"], is_rim: Bool[np.ndarray, "sheets 4"]
) -> Float[np.ndarray, " sheets"]:
    """How well the edges of each quadrilateral are seen, in [0, 2); 0 where one of them is not."""
    height, width = ground.shape
    ends = np.roll(corners, -1, axis=1)
    along = (ends - corners) / np.maximum(1e-6, np.hypot(*np.moveaxis(ends - corners, -1, 0)))[..., None]
    inwards = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    away = ((corners.mean(1)[:, None] - corners) * inwards).sum(-1) < 0
    inwards = np.where(away[..., None], -inwards, inwards)
    points = corners[:, :, None] + PLACES[:, None] * (ends - corners)[:, :, None]
    within = ((points > 1) & (points < [width - 1, height - 1])).all(-1)
    count = within.sum(-1)
    inner, outer = (_sampled(ground, points + sign * BESIDE_PX * inwards[:, :, None]) for sign in (1, -1))
    step = inner - outer
    usual = _median(step, within)
    least = np.maximum(0.6 * MIN_STEP, 0.35 * usual).astype(np.float32)
    support = ((step > least[..., None]) & within).sum(-1) / np.maximum(1, count)
    is_seen = (count >= LEAST_PLACES) & (usual >= MIN_STEP) & (support >= MIN_SUPPORT)
    edges = (~is_rim).sum(1)
    outside = _median(outer, within) / np.maximum(1, _median(inner, within))
    lies_open = (edges < 3) & (np.where(is_rim, 0, outside).max(1) > DARK_SURROUNDINGS)
    # of two that are seen equally well the one with more edges that are no rim, and the larger step
    weakest = np.where(is_rim, np.inf, usual).min(1)
    seen = np.where(is_rim, 0, support).sum(1) / edges * (1 + 0.12 * edges) * weakest / (weakest + 15)
    return np.where((is_seen | is_rim).all(1) & ~lies_open, seen, 0.0)


def _paper_share(ground: Grey, small: Grey, corners: Corners) -> float:
    """0.7 to 1, the more the larger a sheet is in the picture; 0 where it is none: not light, or nothing is on it."""
    mask = np.zeros(ground.shape, dtype=np.uint8)  # of what lies in the picture
    cv2.fillConvexPoly(mask, np.round(corners).astype(np.int32), 1)
    covered = cv2.countNonZero(mask) / mask.size
    if covered > MOST_OF_PICTURE:
        return 0.0
    inner = cv2.erode(mask, np.ones((9, 9), np.uint8), borderValue=1)
    counts = cv2.calcHist([ground], [0], inner, [256], [0, 256]).ravel()
    if not counts.any():
        return 0.0
    paper = int(np.searchsorted(counts.cumsum(), counts.sum() / 2))
    if counts[math.floor(0.7 * paper) + 1 :].sum() < PAPER_SHARE * counts.sum():
        return 0.0
    if cv2.minMaxLoc(small, inner)[0] > 0.85 * paper:  # nothing is written on it
        return 0.0
    return 0.7 + 0.3 * covered


def _sampled(values: Grey, points: Float[np.ndarray, "*places 2"]) -> Float32[np.ndarray, "*places"]:
    columns = points[..., 0].round().astype(int).clip(0, values.shape[1] - 1)
    rows = points[..., 1].round().astype(int).clip(0, values.shape[0] - 1)
    return values[rows, columns].astype(np.float32)


def _median(
    values: Float32[np.ndarray, "sheets 4 places"], within: Bool[np.ndarray, "sheets 4 places"]
) -> Float[np.ndarray, "sheets 4"]:
    """The upper median of the values that count; 0 where there are none."""
    count = within.sum(-1)
    ordered = np.sort(np.where(within, values, np.float32(np.inf)), axis=-1)
    middle = np.take_along_axis(ordered, (count // 2)[..., None], axis=-1)[..., 0]
    return np.where(count > 0, middle, 0).astype(np.float64)

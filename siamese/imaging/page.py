"""Finds the sheet of paper in a photograph or scan and corrects its rotation and perspective."""

import math
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

GLANCE_PX = 400  # longer side at which a sheet is looked for
SHEET_PX = 1600  # longer side, at most, of the sheet that is cut out
STROKE_SHARE = 0.09  # of the longer side: dark structures narrower than this are taken for ink and filled
EVEN_GROUND = 14  # of 255: a ground that varies less holds no edge of a sheet
MIN_AREA, MAX_AREA = 0.06, 1.2  # of the picture's area; a sheet may reach beyond the picture
MOST_OF_PICTURE = 0.98
BEYOND = 0.25  # of the picture's sides, that a corner may lie outside of it
MAX_TURN_DEG = 28  # of the edges of a sheet from upright and level
MAX_RATIO = 1.6  # of two sides that face each other
MOST_LINES = 9  # of each direction, that are tried as edges
BESIDE_PX = 5  # distance from an edge at which inside and outside are compared
MIN_STEP = 7  # of 255, between inside and outside
MIN_SUPPORT = 0.72  # share of an edge along which the step is seen
DARK_SURROUNDINGS = 0.55  # of the paper's light: what lies beyond one or two edges must be darker, shadows are not
PAPER_SHARE = 0.6  # of the sheet must be as light as paper
UPRIGHT_PX = 1.0  # by which the ends of an upright edge may differ
INSET_SHARE = 0.012  # of the shorter side, cut off all around: the edge itself and its shadow

Corners = Float[np.ndarray, "4 2"]
Grey = UInt8[np.ndarray, "_ _"]


def find_sheet(values: UInt8[np.ndarray, "..."]) -> Corners | None:
    """Finds the corners of the sheet.

    Args:
        values: The picture, grey or in colours, paper light.

    Returns:
        Column and row of the corners from the top left one clockwise, in pixels of `values`; None for no sheet.
    """
    height, width = values.shape[:2]
    step = max(1, max(height, width) // (2 * GLANCE_PX))  # averaging all pixels would take longer and show no more
    values = values[::step, ::step]
    scale = min(1.0, GLANCE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    small = cv2.medianBlur(small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), 5)
    ground = _filled(small)
    low, high = np.percentile(ground[::2, ::2], (1, 99))
    if high - low < EVEN_GROUND:
        return None
    found = _best_quadrilateral(ground, small)
    if found is None:
        return None
    return found * (np.array([width, height]) / np.array(size))


def flattened(values: UInt8[np.ndarray, "..."], corners: Corners) -> UInt8[np.ndarray, "..."]:
    """Rectifies the quadrilateral to a rectangle seen from above and cuts off its edges.

    Args:
        values: The picture, grey or in colours.
        corners: From the top left one clockwise.
    """
    upright = _upright_box(corners)
    if upright is not None:  # nothing to turn: the pixels stay as they are
        return _cropped(values, upright)
    matrix, size = flattening(values.shape[:2], corners)
    scale = max(size) / max(float(np.linalg.norm(corners[i] - corners[i - 1])) for i in range(4))
    if scale < 0.6:  # so that no thin line falls between the pixels that are read
        factor = scale * 1.2
        values = cv2.resize(values, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([1 / factor, 1 / factor, 1.0])
    return cv2.warpPerspective(values, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _upright_box(corners: Corners) -> tuple[int, int, int, int] | None:
    """Returns left, top, right and bottom of an upright sheet of at most SHEET_PX; None for others."""
    left, right, top, bottom = (
        corners[ends, axis] for axis, ends in ((0, [0, 3]), (0, [1, 2]), (1, [0, 1]), (1, [2, 3]))
    )
    if max(float(np.ptp(side)) for side in (left, right, top, bottom)) > UPRIGHT_PX:
        return None
    box = round(left.max()), round(top.max()), round(right.min()), round(bottom.min())
    return box if max(box[2] - box[0], box[3] - box[1]) <= SHEET_PX else None


def _cropped(values: UInt8[np.ndarray, "..."], box: tuple[int, int, int, int]) -> UInt8[np.ndarray, "..."]:
    """Crops to a box and cuts off its edges, except those at the border of the picture."""
    height, width = values.shape[:2]
    left, top, right, bottom = box
    inset = max(3, round(INSET_SHARE * min(right - left, bottom - top)))
    low = [at + inset if at > 2 else 0 for at in (left, top)]
    high = [at - inset if at < side - 2 else side for at, side in ((right, width), (bottom, height))]
    return np.ascontiguousarray(values[low[1] : high[1], low[0] : high[0]])


def flattening(shape: tuple[int, ...], corners: Corners) -> tuple[Float[np.ndarray, "3 3"], tuple[int, int]]:
    """The perspective from a picture of this shape to the sheet alone, and the sheet's width and height."""
    top, right, bottom, left = (float(np.linalg.norm(corners[i] - corners[(i + 1) % 4])) for i in range(4))
    wide, tall = (top + bottom) / 2, (left + right) / 2
    scale = min(1.0, SHEET_PX / max(wide, tall))
    size = max(8, round(wide * scale)), max(8, round(tall * scale))
    inset = max(3.0, INSET_SHARE * min(size))
    target = np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]], dtype=np.float64)
    # an edge that is the picture's own rim shows no desk: nothing is cut off there
    for side, (axis, limit) in enumerate(((1, 0.0), (0, float(shape[1])), (1, float(shape[0])), (0, 0.0))):
        ends = [side, (side + 1) % 4]
        if np.abs(corners[ends, axis] - limit).max() > 2:
            target[ends, axis] += -inset if side in (0, 3) else inset
    return cv2.getPerspectiveTransform(corners.astype(np.float32), target.astype(np.float32)), size


def _filled(small: Grey) -> Grey:
    """The picture without ink: dark structures narrower than STROKE_SHARE filled with what surrounds them."""
    window = round(max(small.shape) * STROKE_SHARE) | 1
    kernel = np.ones((window, window), dtype=np.uint8)
    # repeated beyond the rim, so that a narrow strip of desk there is not filled as if it were a stroke
    padded = cv2.copyMakeBorder(small, window, window, window, window, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)
    return cv2.medianBlur(np.ascontiguousarray(closed[window:-window, window:-window]), 5)


@dataclass(frozen=True)
class Edge:
    """A straight line that may be an edge of the sheet: nearly level, or nearly upright."""

    place: float
    """Row (of an upright line the column) at the middle of the picture."""
    slope: float
    is_rim: bool
    """Whether it is the picture's own rim."""
    lighter_after: Float[np.ndarray, " _"]
    """Up to each column (row): in how many of them it is lighter below (to the right of) the line than before it."""
    lighter_before: Float[np.ndarray, " _"]

    def is_seen(self, start: float, end: float, is_first: bool) -> bool:
        """Whether the sheet is lighter from `start` to `end`; it lies behind the first edge, before the second."""
        if self.is_rim:
            return True
        steps = self.lighter_after if is_first else self.lighter_before
        last = len(steps) - 1
        low, high = (min(max(round(at), 0), last) for at in (start, end))
        return high > low and bool(steps[high] - steps[low] >= MIN_SUPPORT * (high - low))


def _best_quadrilateral(ground: Grey, small: Grey) -> Corners | None:
    """The quadrilateral whose edges are seen best, of all that the straight edges of the ground form."""
    height, width = ground.shape
    level, upright = _edge_lines(ground)
    nothing = np.zeros(1)
    level += [Edge(place, 0.0, True, nothing, nothing) for place in (0.0, float(height))]
    upright += [Edge(place, 0.0, True, nothing, nothing) for place in (0.0, float(width))]
    best, best_score = None, 0.0
    for above, below in combinations(sorted(level, key=lambda edge: edge.place), 2):
        for left, right in combinations(sorted(upright, key=lambda edge: edge.place), 2):
            edges = (above, right, below, left)
            if all(edge.is_rim for edge in edges):
                continue
            corners = _corners(edges, (height, width))
            if corners is None:
                continue
            (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
            if not (above.is_seen(ax, bx, True) and below.is_seen(dx, cx, False)):
                continue
            if not (left.is_seen(ay, dy, True) and right.is_seen(by, cy, False)):
                continue
            score = _score(ground, small, corners, edges, best_score)
            if score > best_score:
                best, best_score = corners, score
    return best


def _edge_lines(ground: Grey) -> tuple[list[Edge], list[Edge]]:
    """Straight edges of the ground: the level and the upright ones."""
    height, width = ground.shape
    blurred = cv2.GaussianBlur(ground, (5, 5), 0)
    across, down = cv2.Sobel(blurred, cv2.CV_32F, 1, 0), cv2.Sobel(blurred, cv2.CV_32F, 0, 1)
    strength = cv2.magnitude(across, down)
    top = float(np.percentile(strength, 99.5))
    high = float(min(max(60.0, 0.25 * top), 200.0))
    edges = cv2.Canny(blurred, high / 2.5, high)
    span = np.radians(MAX_TURN_DEG)
    votes = max(25, round(0.14 * min(height, width)))
    found = cv2.HoughLines(edges, 1, np.pi / 180, votes)
    level: list[Edge] = []
    upright: list[Edge] = []
    for rho, theta in (found.reshape(-1, 2) if found is not None else np.zeros((0, 2))).tolist():
        if abs(theta - np.pi / 2) <= span:
            slope = -np.cos(theta) / np.sin(theta)
            _add(level, rho / np.sin(theta) + slope * width / 2, slope, blurred)
        elif min(theta, np.pi - theta) <= span:
            slope = -np.sin(theta) / np.cos(theta)
            _add(upright, rho / np.cos(theta) + slope * height / 2, slope, blurred.T)
    return level, upright


def _add(lines: list[Edge], place: float, slope: float, ground: Grey) -> None:
    """Adds a line, level in `ground`, unless there are many or it is nearly one that is there already."""
    height, width = ground.shape
    if len(lines) >= MOST_LINES:
        return
    if any(max(abs(place - one.place), abs(slope - one.slope) * width / 2) <= 6 for one in lines):
        return
    columns = np.arange(width)
    rows = np.round(place + slope * (columns + 0.5 - width / 2)).astype(int)
    above, below = (
        ground[(rows + step).clip(0, height - 1), columns].astype(np.int16) for step in (-BESIDE_PX, BESIDE_PX)
    )
    sides = [np.concatenate([[0], np.cumsum(step > 0.6 * MIN_STEP)]) for step in (below - above, above - below)]
    # beyond the picture nothing is seen, and nothing speaks against the line
    unseen = np.concatenate([[0], np.cumsum((rows < 0) | (rows >= height))])
    lines.append(Edge(place, slope, False, (sides[0] + unseen).astype(float), (sides[1] + unseen).astype(float)))


def _corners(edges: tuple[Edge, Edge, Edge, Edge], shape: tuple[int, int]) -> Corners | None:
    """Where four edges meet, None unless they form a sheet of sensible size and shape."""
    height, width = shape
    above, right, below, left = edges

    def meet(level: Edge, upright: Edge) -> tuple[float, float]:
        # y = a + s (x - width / 2), x = b + t (y - height / 2)
        way = level.place - level.slope * width / 2 - height / 2
        x = (upright.place + upright.slope * way) / (1 - upright.slope * level.slope)
        return x, level.place + level.slope * (x - width / 2)

    corners = [meet(above, left), meet(above, right), meet(below, right), meet(below, left)]
    if any(not -BEYOND * width <= x <= (1 + BEYOND) * width for x, _ in corners):
        return None
    if any(not -BEYOND * height <= y <= (1 + BEYOND) * height for _, y in corners):
        return None
    pairs = [(corners[at], corners[at - 1]) for at in range(4)]
    area = 0.5 * sum(x * last_y - y * last_x for (x, y), (last_x, last_y) in pairs) / (height * width)
    if not MIN_AREA <= -area <= MAX_AREA:
        return None
    a, b, c, d = (math.dist(one, other) for one, other in pairs)
    if min(a, b, c, d) < 0.15 * max(shape) or max(a / c, c / a, b / d, d / b) > MAX_RATIO:
        return None
    return np.array(corners)


def _score(ground: Grey, small: Grey, corners: Corners, edges: tuple[Edge, Edge, Edge, Edge], least: float) -> float:
    """How well a quadrilateral is a sheet: the support of its edges, 0 where it is none or no better than `least`."""
    height, width = ground.shape
    middle = corners.mean(0)
    at = np.linspace(0.04, 0.96, 40)[:, None]
    supports, steps, sides = [], [], []
    for side in range(4):
        if edges[side].is_rim:
            continue
        start, end = corners[side], corners[(side + 1) % 4]
        along = (end - start) / max(1e-6, float(np.linalg.norm(end - start)))
        inwards = np.array([-along[1], along[0]])
        if np.dot(middle - start, inwards) < 0:
            inwards = -inwards
        points = start + at * (end - start)
        within = (points > 1).all(1) & (points < np.array([width - 1, height - 1])).all(1)
        if np.count_nonzero(within) < 12:
            return 0.0
        inner, outer = (_sampled(ground, points[within] + sign * BESIDE_PX * inwards) for sign in (1, -1))
        step = inner - outer
        usual = _median(step)
        if usual < MIN_STEP:
            return 0.0
        support = float(np.mean(step > max(0.6 * MIN_STEP, 0.35 * usual)))
        if support < MIN_SUPPORT:
            return 0.0
        supports.append(support)
        steps.append(usual)
        sides.append((inner, outer))
    if len(supports) < 3:
        outside = [_median(outer) / max(1.0, _median(inner)) for inner, outer in sides]
        if max(outside) > DARK_SURROUNDINGS:
            return 0.0
    # of two that are seen equally well the one with more edges that are no rim, and the larger step
    seen = sum(supports) / len(supports) * (1 + 0.12 * len(supports)) * min(steps) / (min(steps) + 15)
    if seen <= least:
        return 0.0
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
    return seen * (0.7 + 0.3 * covered)


def _sampled(values: Grey, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    columns = points[:, 0].round().astype(int).clip(0, values.shape[1] - 1)
    rows = points[:, 1].round().astype(int).clip(0, values.shape[0] - 1)
    return values[rows, columns].astype(np.float32)


def _median(values: Float[np.ndarray, " n"]) -> float:
    """The upper median: NumPy's takes several times as long for so few."""
    return float(np.sort(values)[len(values) // 2])

"""Finds straight, thin lines in a mask and removes them, but not the strokes that cross them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Real, UInt8

MAX_TILT_DEG = 20  # of a form in the picture
LEAST_LINE = 0.2  # of the shorter side: length of the shortest printed line
PIECE = 0.045  # of the longer side: straight pieces that a line is put together from
MAX_THICKNESS = 0.022  # of the longer side
STRAIGHT_PX, STRAIGHT_SHARE = 0.8, 0.0025  # standard deviation of a printed line from a parabola, of its length
SAME_PX = 2.0  # between two lines that are one
COVER = 0.8  # share of its length along which a printed line is dark
RIM_SHARE = 0.03  # of the side: a line that ends so near the rim goes on beyond the picture
TWIN_COVER, TWIN_GAP_COVER = 0.9, 0.4  # share of its length along which a line is dark; between it and its twin
TWIN_REACH = 3.0  # thicknesses from the middle of a line within which its twin lies
TWIN_SHARE = 0.07  # of its length: the thickness of a double line, at most
TWIN_END_SHARE = 0.03  # of its length beyond the ends, where neither of the two goes on

Mask = Bool[np.ndarray, "_ _"]


@dataclass(frozen=True, eq=False)
class Line:
    """A straight line, nearly level or nearly upright; of an upright one, rows are columns and columns rows."""

    is_upright: bool
    start: int
    """First column."""
    end: int
    """Last column."""
    rows: Float[np.ndarray, " columns"]
    """Row of its middle in every column of the mask, also beyond its ends."""
    thickness: float
    """In pixels."""
    at_rim: tuple[bool, bool] = (False, False)
    """Whether its start and its end go on beyond the picture."""
    is_double: bool = False
    """Whether it is two parallel lines of one length; the thickness is that of both with what lies between."""

    @property
    def length(self) -> int:
        return self.end - self.start + 1

    @property
    def middle(self) -> float:
        """Row of its middle."""
        return float(self.rows[(self.start + self.end) // 2])

    @property
    def slope(self) -> float:
        """Rows for each column, over its length."""
        return float(self.rows[self.end] - self.rows[self.start]) / max(1, self.end - self.start)

    @property
    def bow(self) -> float:
        """How far its middle lies from the straight line between its ends, as a share of its length."""
        between = (self.rows[self.start] + self.rows[self.end]) / 2
        return abs(self.middle - float(between)) / self.length

    @property
    def spans(self) -> bool:
        """Whether it goes from one rim of the picture to the other."""
        return all(self.at_rim)


def find_tilt_deg(dark: Mask) -> float | None:
    """Returns by how much the straight lines of a form fall to the right; None if none is long enough."""
    factor = max(1, round(max(dark.shape) / 400))
    coarse = cv2.resize(dark.view(np.uint8) * 255, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    coarse = np.where(coarse > 60, 255, 0).astype(np.uint8)
    edges = cv2.subtract(coarse, cv2.erode(coarse, np.ones((3, 3), np.uint8)))  # a broad stroke counts by its outline
    votes = max(20, round(0.75 * LEAST_LINE * min(coarse.shape)))
    best, most = None, 0.0
    span = np.radians(MAX_TILT_DEG)
    for low, high, middle in (
        (np.pi / 2 - span, np.pi / 2 + span, np.pi / 2),
        (0, span, 0),
        (np.pi - span, np.pi, np.pi),
    ):
        found = cv2.HoughLinesWithAccumulator(edges, 1, np.pi / 720, votes, min_theta=low, max_theta=high)
        if found is None:
            continue
        for _, theta, count in found.reshape(-1, 3)[:40].tolist():
            # a frame that is level is not taken for tilted by half a degree because of a rounding
            weight = count - 0.01 * abs(np.degrees(theta - middle)) * votes / 10
            if weight > most:
                best, most = float(np.degrees(theta - middle)), weight
    return best


def turned(mask: Mask, degrees: float, shape: tuple[int, int] | None = None) -> Mask:
    """Rotates a mask counter-clockwise; the result is large enough for all of it, or has the given shape."""
    height, width = mask.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    size = (round(width * cos + height * sin), round(height * cos + width * sin)) if shape is None else shape[::-1]
    turn[:, 2] += (np.array(size) - np.array([width, height])) / 2
    return cv2.warpAffine(mask.view(np.uint8) * 255, turn, size, flags=cv2.INTER_LINEAR) > 110


def find_lines(dark: Mask) -> list[Line]:
    """The straight, thin lines of a mask that are nearly level or nearly upright."""
    return [*_level_lines(dark, False), *_level_lines(cv2.transpose(dark.view(np.uint8)).view(bool), True)]


def with_ends_at_rim(lines: list[Line], inside: Mask) -> list[Line]:
    """The lines of `find_lines` with `at_rim`; `inside` is where in the mask the picture is."""
    room = 2 * round(RIM_SHARE * min(inside.shape)) + 1
    inner = cv2.erode(inside.view(np.uint8), np.ones((room, room), np.uint8), borderValue=0).view(bool)
    return [replace(line, at_rim=_ends_at_rim(line, inner.T if line.is_upright else inner)) for line in lines]


def _ends_at_rim(line: Line, inner: Mask) -> tuple[bool, bool]:
    last = inner.shape[0] - 1
    at_start, at_end = (
        not inner[min(max(math.floor(line.rows[end] + 0.5), 0), last), end] for end in (line.start, line.end)
    )
    return at_start, at_end


def _level_lines(dark: Mask, is_upright: bool) -> list[Line]:
    longer, shorter = max(dark.shape), min(dark.shape)
    piece, thickest = max(16, round(PIECE * longer)), max(3.0, MAX_THICKNESS * longer)
    opened = _level_pieces(dark, piece, int(thickest) + 2)
    if not opened.any():
        return []
    joined = cv2.dilate(opened, np.ones((3, 2 * piece // 3), np.uint8))
    left, top, wide, tall = cv2.boundingRect(joined)
    if wide < LEAST_LINE * shorter:
        return []
    # OpenCV numbers spots by blocks of 2 x 2 pixels: from an even place on, in the order they have in the whole mask
    first, upper = left - left % 2, top - top % 2
    marked = joined[upper : top + tall, first : left + wide]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(marked, connectivity=8)
    lines: list[Line] = []
    for label in range(1, count):
        left, top, wide, tall, _ = stats[label].tolist()
        if wide < LEAST_LINE * shorter or tall > 0.2 * wide + 8:
            continue
        part = labels[top : top + tall, left : left + wide] == label
        left, top = left + first, top + upper
        part &= opened[top : top + tall, left : left + wide] > 0
        line = _fitted(dark, part, left, top, is_upright)
        if line is None or line.length < LEAST_LINE * shorter:
            continue
        if line.thickness <= thickest:
            line = _with_twin(dark, line)
            if not any(_is_part(line, other) for other in lines):
                lines.append(line)
    return lines


def _with_twin(dark: Mask, line: Line) -> Line:
    """The line together with the one that runs beside it from end to end; the line itself where there is none.

    A line and its twin may have been taken for one thick line already. Two strokes drawn by hand do not end together.
    """
    reach = math.ceil(TWIN_REACH * line.thickness) + 3
    around = np.arange(-reach, reach + 1)
    room = max(4, round(TWIN_END_SHARE * line.length))
    columns = np.arange(max(0, line.start - room), min(dark.shape[1], line.end + room + 1))
    rows = np.floor(line.rows[columns] + 0.5).astype(int)[None] + around[:, None]
    held = dark[rows.clip(0, dark.shape[0] - 1), columns[None]] & (rows >= 0) & (rows < dark.shape[0])
    inner = columns.clip(line.start + 2, line.end - 2) == columns
    outer = columns.clip(line.start - 2, line.end + 2) != columns
    tips = inner & (columns.clip(line.start + room, line.end - room) != columns)
    cover = held[:, inner].mean(1)
    full = (cover >= TWIN_COVER) & (held[:, tips].mean(1) >= TWIN_COVER)
    found = np.flatnonzero(full)
    if len(found) == 0 or not outer.any():
        return line
    both = slice(int(found[0]), int(found[-1]) + 1)
    thickness = both.stop - both.start
    has_one_gap = np.count_nonzero(np.diff(full[both].astype(int)) == -1) == 1
    if not has_one_gap or thickness > TWIN_SHARE * line.length:
        return line
    if cover[both].min() > TWIN_GAP_COVER or held[both, outer].any(0).mean() > TWIN_GAP_COVER:
        return line
    middle = line.rows + (around[both.start] + around[both.stop - 1]) / 2
    return replace(line, rows=middle, thickness=float(thickness), is_double=True)


def _level_pieces(dark: Mask, length: int, height: int) -> UInt8[np.ndarray, "_ _"]:
    """1 where a row is dark along a length, and what is dark there is lower than a height, else 0."""
    values, opened = dark.view(np.uint8), np.zeros(dark.shape, dtype=np.uint8)
    left, top, wide, tall = cv2.boundingRect(values)
    window = slice(max(0, top - 1), top + tall + 1), slice(max(0, left - 1), left + wide + 1)  # ends with paper
    # the strokes of a broad pen are as long across as a piece of a line; they are taller than any line
    strokes = cv2.morphologyEx(values[window], cv2.MORPH_OPEN, np.ones((height, 1), np.uint8))
    low = cv2.subtract(values[window], strokes)
    opened[window] = cv2.morphologyEx(low, cv2.MORPH_OPEN, np.ones((1, length), np.uint8))
    return opened


def _is_part(line: Line, other: Line) -> bool:
    """Tells whether a line lies on another one: from each piece between two crossings the whole is found."""
    places = [line.start, (line.start + line.end) // 2, line.end]
    is_within = other.start - 2 <= line.start and line.end <= other.end + 2
    return is_within and float(np.abs(line.rows[places] - other.rows[places]).max()) <= SAME_PX


def _fitted(dark: Mask, part: Mask, left: int, top: int, is_upright: bool) -> Line | None:
    """The line through the straight pieces in a part of a mask; None where they are not straight."""
    height, width = dark.shape
    columns = np.flatnonzero(part.any(0))
    first = part.argmax(0)[columns]
    last = part.shape[0] - 1 - part[::-1].argmax(0)[columns]
    thickness = last - first + 1
    usual = float(np.median(thickness))
    close = np.abs(thickness - usual) <= max(1.0, 0.4 * usual)
    if np.count_nonzero(close) < 8:
        return None
    x, y = columns[close] + left, (first + last)[close] / 2 + top
    for _ in range(2):
        curve = fitted_curve(x, y, 2 if len(x) > 40 else 1)
        off = np.abs(curve(x) - y)
        keep = off <= 2.5 * np.median(off) + 0.6
        if np.count_nonzero(keep) < 8:
            return None
        x, y = x[keep], y[keep]
    start, end = int(columns[0] + left), int(columns[-1] + left)
    length = end - start + 1
    if np.std(curve(x) - y) > max(STRAIGHT_PX, STRAIGHT_SHARE * length) or len(x) < 0.4 * length:
        return None
    everywhere = np.arange(width)
    inside = everywhere.clip(start, end)
    # beyond its ends a line goes on straight, whatever its curve
    rows = curve(inside) + curve.deriv()(inside) * (everywhere - inside)
    at = np.floor(rows + 0.5).astype(int)
    near = [dark[(at + step).clip(0, height - 1), everywhere] for step in (-1, 0, 1)]
    on = np.any(near, axis=0)
    start, end = _extended(on, start, end)
    if on[start : end + 1].mean() < COVER:
        return None
    return Line(is_upright, start, end, rows, usual)


def fitted_curve(
    x: Real[np.ndarray, " points"], y: Float[np.ndarray, " points"], degree: int
) -> np.polynomial.Polynomial:
    """Fits a polynomial by least squares; NumPy's own takes several times as long for small degrees."""
    low, high = float(x.min()), float(x.max())
    powers = np.stack([((2 * x - low - high) / (high - low)) ** power for power in range(degree + 1)])
    return np.polynomial.Polynomial(np.linalg.solve(powers @ powers.T, powers @ y), domain=[low, high])


def _extended(on: Bool[np.ndarray, " columns"], start: int, end: int) -> tuple[int, int]:
    """The ends of a line moved on as far as it is dark, over gaps of 3 pixels."""
    while start > 0 and on[max(0, start - 3) : start].any():
        start -= 1
    while end < len(on) - 1 and on[end + 1 : end + 4].any():
        end += 1
    return start, end


def erase_line(dark: Mask, line: Line) -> None:
    """Removes a line in place, except where a stroke crosses it and the ink is thicker than the line."""
    if line.is_upright:
        dark = dark.T  # a view: what is changed in it is changed in the mask
    height = dark.shape[0]
    columns = np.arange(max(0, line.start - 2), min(dark.shape[1], line.end + 3))
    middle = np.floor(line.rows[columns] + 0.5).astype(int)
    reach = max(4, round(3 * line.thickness) + 3)
    around = np.arange(-reach, reach + 1)
    rows = middle[None] + around[:, None]
    held = dark[rows.clip(0, height - 1), columns[None]] & (rows >= 0) & (rows < height)
    near = np.abs(around) <= max(1, round(line.thickness / 2) + 1)
    beyond = round(line.thickness / 2) + 2
    # a stroke that crosses leaves the line on one side or on both
    crossed = held[around <= -beyond][-2:].all(0) | held[around >= beyond][:2].all(0)
    goes = held & near[:, None] & ~crossed[None]
    places = np.nonzero(goes)
    dark[rows[places], columns[places[1]]] = False


def touches(line: Line, mask: Mask) -> bool:
    """Whether something of a mask lies at a line that was erased from it."""
    if line.is_upright:
        mask = mask.T
    columns = np.arange(line.start, line.end + 1)
    middle = np.floor(line.rows[columns] + 0.5).astype(int)
    reach = round(line.thickness / 2) + 3
    return any(mask[(middle + step).clip(0, mask.shape[0] - 1), columns].any() for step in range(-reach, reach + 1))


def groups_that_meet(lines: list[Line], reach: float) -> Iterator[list[Line]]:
    """The lines in groups of those that meet one another, level ones with upright ones."""
    waiting = list(lines)
    while waiting:
        group, fresh = [], [waiting.pop(0)]
        while fresh:
            one = fresh.pop()
            group.append(one)
            joined = [other for other in waiting if _meet(one, other, reach)]
            waiting = [other for other in waiting if other not in joined]
            fresh += joined
        yield group


def _meet(one: Line, other: Line, reach: float) -> bool:
    """Whether a level and an upright line touch or come as near as `reach`."""
    if one.is_upright == other.is_upright:
        return False
    return all(
        first.start - reach <= second.middle <= first.end + reach for first, second in ((one, other), (other, one))
    )

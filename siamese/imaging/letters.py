"""Finds rows of small printed letters and dotted lines among the spots of a picture."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int32, Int64

TEXT_HEIGHT = 0.6  # of the writing's height, at most, that printed letters have
TEXT_LETTERS, MANY_LETTERS = 4, 12  # in a row, at least: beside the writing, and amidst it
AMIDST_LETTERS = 7  # in a row amidst the writing, from which on something printed is there
ON_LINE, ON_LINE_SHARE = 0.06, 0.75  # of a letter's height, that it may be off its line; share of the letters on it
ENOUGH_ON_LINE = 10  # letters, whatever the others do: some may be cut off by the rim
SIZES = 1.9  # ratio of the heights of large and small letters, at most
DOT_HEIGHT = 0.4  # of a letter's height: what is lower is a dot of an i or a colon
TEXT_SLOPE = 0.36  # of a printed line, at most: 20 degrees
BESIDE = 0.3  # share of a row of letters that may lie in the box of the writing
DOTS = 7  # of a dotted line, at least
DASH, DOT = 0.035, 0.015  # of the longer side: the longest dash, and its height

Stats = Int32[np.ndarray, "spots 5"]
Chosen = Bool[np.ndarray, " spots"]


def dotted_lines(stats: Stats, longer_px: int) -> Chosen:
    """Finds rows of many small spots of one size, evenly apart, level or upright.

    Args:
        stats: Left, top, width, height and area of the paper and of each spot.
        longer_px: The picture's longer side.

    Returns:
        For each entry of `stats`, whether it belongs to such a row.
    """
    goes = np.zeros(len(stats), dtype=bool)
    sides = stats[:, 2:4]
    is_full = stats[:, 4] > 0.6 * sides[:, 0] * sides[:, 1]  # letters are not
    small = np.flatnonzero((sides.max(1) <= DASH * longer_px) & (sides.min(1) <= DOT * longer_px) & is_full)
    small = small[small > 0]
    if len(small) < DOTS:
        return goes
    centres = np.stack([stats[:, 0] + stats[:, 2] / 2, stats[:, 1] + stats[:, 3] / 2], 1)
    for along, beside in ((0, 1), (1, 0)):
        waiting = small[np.argsort(centres[small, beside])].tolist()
        while waiting:
            seed = waiting[0]
            size = stats[seed, 2 + beside]
            tolerance = max(2.0, 0.6 * size) + 0.012 * longer_px
            row = [
                one
                for one in waiting
                if abs(centres[one, beside] - centres[seed, beside]) <= tolerance
                and np.abs(sides[one] - sides[seed]).max() <= 2 + 0.3 * sides[seed].max()
            ]
            waiting = [one for one in waiting[1:] if one not in row]
            if len(row) < DOTS:
                continue
            spots = np.array(sorted(row, key=lambda one: centres[one, along]))
            gaps = np.diff(centres[spots, along])
            usual = float(np.median(gaps))
            line = np.polynomial.Polynomial.fit(centres[spots, along], centres[spots, beside], 1)
            straight = np.abs(line(centres[spots, along]) - centres[spots, beside]) <= max(1.2, 0.25 * size)
            even = np.mean(np.abs(gaps / max(usual, 1) - np.round(gaps / max(usual, 1))) < 0.3)
            alike = np.ptp(np.percentile(stats[spots, 4], (20, 80))) <= 0.5 * np.median(stats[spots, 4]) + 2
            if straight.sum() >= DOTS and even > 0.75 and alike:
                goes[spots[straight]] = True
    return goes


def text_rows(stats: Stats) -> tuple[Chosen, bool]:
    """Finds rows of small printed letters among the spots that `dotted_lines` takes.

    Returns:
        For each entry of `stats`, whether it is such a letter beside, above or below the writing; and whether there
        are others amidst the writing, which cannot be told from it.
    """
    goes, remain = np.zeros(len(stats), dtype=bool), False
    extent = np.hypot(stats[:, 2], stats[:, 3])
    extent[0] = 0
    large = extent >= 0.4 * extent.max()
    large[0] = False
    if np.count_nonzero(~large) < TEXT_LETTERS + 1:
        return goes, remain
    tallest = max(float(stats[extent.argmax(), 3]), float(np.median(stats[large, 3])))
    small = (stats[:, 3] <= TEXT_HEIGHT * tallest) & (stats[:, 2] <= 2 * TEXT_HEIGHT * tallest) & ~large & (extent >= 3)
    small[0] = False
    for row in _rows_of(stats, np.flatnonzero(small)):
        if len(row) < TEXT_LETTERS or not _is_typeset(stats[row]):
            continue
        box, heights = _box_of(stats[row]), stats[row, 3]
        if box[2] - box[0] < 2.2 * np.percentile(heights, 75):
            continue
        if _covered(box, _box_of(stats[large])) < BESIDE or len(row) >= MANY_LETTERS:
            goes[row] = True
        else:
            remain |= len(row) >= AMIDST_LETTERS
    for left, top, wide, tall, _ in stats[goes].tolist():  # the dots and commas between the letters
        inside = (stats[:, 0] >= left - tall) & (stats[:, 0] + stats[:, 2] <= left + wide + tall)
        inside &= (stats[:, 1] >= top - 0.5 * tall) & (stats[:, 1] + stats[:, 3] <= top + 1.5 * tall)
        goes |= inside & ~large
    goes[0] = False
    return goes, remain


def _is_typeset(row: Stats) -> bool:
    """Whether letters are alike in height and most stand on one straight line, as written ones do not."""
    usual = float(np.percentile(row[:, 3], 75))
    row = row[row[:, 3] >= DOT_HEIGHT * usual]
    low, high = np.percentile(row[:, 3], (10, 90))
    if len(row) < TEXT_LETTERS or high > SIZES * low:
        return False
    middles, bottoms = row[:, 0] + row[:, 2] / 2, (row[:, 1] + row[:, 3]).astype(np.float64)
    one, other = np.triu_indices(len(row), 1)
    apart = middles[other] - middles[one]
    is_apart = np.abs(apart) >= 1
    if not is_apart.any():
        return False
    slope = float(np.median((bottoms[other] - bottoms[one])[is_apart] / apart[is_apart]))
    if abs(slope) > TEXT_SLOPE:
        return False
    level = bottoms - slope * middles
    tolerance = max(1.5, ON_LINE * usual)
    on_line = int(np.count_nonzero(np.abs(level - np.median(level)) <= tolerance))
    return on_line >= min(ENOUGH_ON_LINE, max(TEXT_LETTERS, ON_LINE_SHARE * len(row)))


def _box_of(stats: Stats) -> tuple[int, int, int, int]:
    """Left, top, right and bottom (exclusive) of several spots."""
    left, top, wide, tall, _ = stats.T
    return int(left.min()), int(top.min()), int((left + wide).max()), int((top + tall).max())


def _covered(box: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """The share of a box that lies in another."""
    wide = min(box[2], other[2]) - max(box[0], other[0])
    tall = min(box[3], other[3]) - max(box[1], other[1])
    return max(0, wide) * max(0, tall) / ((box[2] - box[0]) * (box[3] - box[1]))


def _rows_of(stats: Stats, small: Int64[np.ndarray, " small"]) -> Iterator[list[int]]:
    """Small spots that follow one another in a row, as letters do."""
    waiting = sorted((int(one) for one in small), key=lambda one: stats[one, 0])
    while waiting:
        row, fresh = [], [waiting.pop(0)]
        while fresh:
            one = fresh.pop()
            row.append(one)
            left, top, wide, tall, _ = stats[one].tolist()
            joined = []
            for other in waiting:
                x, y, w, t, _ = stats[other].tolist()
                reach = 2.2 * max(tall, t)
                overlap = min(top + tall, y + t) - max(top, y)
                if max(x - left - wide, left - x - w) <= reach and overlap >= 0.4 * min(tall, t):
                    joined.append(other)
            waiting = [other for other in waiting if other not in joined]
            fresh += joined
        yield row

"""Isolates a signature in a scan, a photograph or a drawing: level ink at one resolution on clean paper."""

import math

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32, Int64, UInt8
from PIL import Image
from torch import Tensor

from siamese.imaging.decode import ImageError, Source, image_remarks, open_image
from siamese.imaging.ink import LIGHT, connected, otsu_cut, pen_width_px
from siamese.imaging.lines import fitted_curve
from siamese.imaging.printed import separate_print
from siamese.imaging.reading import REMARKS, Reading, merge_remarks
from siamese.imaging.unusual import ground_codes, signature_codes
from siamese.preprocessing import Preprocessing, prepare_ink
from siamese.signatures.regions import has_several_pieces

WORKING_PX = 800  # longer side at which ink is found: a pen then has 2 to 6 px
CLOSE_UP = 0.5  # share of that side below which the signature is looked at again, from nearer
CLOSE_UP_MARGIN = 0.2  # around it, in shares of its extent
GROUND_PX = 200  # longer side at which the ground is estimated
STROKE_SHARE = 0.1  # of the longer side: what is narrower may be ink, what is wider is ground or shadow
DARK_GROUND = 0.35  # of the lightest ground; below that, noise would pass for ink
LEAST_DEPTH = 0.05  # share of the light that ink must swallow
NOISES = 5.0  # standard deviations of the paper by which ink stands out
FULL, FAINT = 0.5, 0.22  # of the depth of full ink: what must reach the first, and goes on down to the second
EDGE = 0.45  # of the depth of the stroke: where it ends
BINS = 512  # of depth
GLANCE_PX, LINE_PX = 80, 240  # longer side at which ruled lines are looked for, first and then
LINE_VOTES = 0.5  # share of columns that one slope and place must gather before a line is looked for there
MOST_LINES = 60
LEAST_GAP_PX = 6
LINE_SLOPE = 0.18  # of a ruled line, at most
RULING = 0.7  # of the depth of the pen: a fainter line is told by its depth
LINE_COVER = 0.8  # share of the way from rim to rim that a ruled line darkens
SHEET_COVER, RULED = 0.55, 4  # the same for so many that are parallel, on a sheet that does not fill the picture
LINE_RISE = 0.004  # standard deviation of a ruled line from a parabola, in shares of its length
RIM_SHARE = 0.5  # of the area of a spot: one whose contact with the rim, squared, is more lies along it
RIM_STRIP = 0.03  # of the shorter side: what lies mostly in it belongs to the rim
SPECK = 0.6  # of the square of the pen's width: what is smaller was not made by the pen
FAR = 0.12  # of the extent of the signature: a small spot so far from the rest is not part of it
SMALL = 0.02  # of the area of the ink
ISOLATED_PX = 400  # longer side of the ink that comes out: a pen then has 3 to 8 px
LEVEL_DEG = 15.0  # of the slope of a signature, at most
LEVEL_SHARE = 0.5  # of that slope: the other half tells writers apart
NO_INK = "No signature was found in the image; please choose one with darker writing, or crop it to the signature."

Values = Float32[np.ndarray, "height width"]
Mask = Bool[np.ndarray, "height width"]
Boxes = Float[np.ndarray, "spots 4"]  # top, left, bottom and right, inclusive
Line = Float[np.ndarray, " _"]  # the row of a line in every column


def isolate_signature(grey: Image.Image) -> Float[Tensor, "height width"]:
    """Ink in [0, 1] on paper 0, cropped to the ink, its longer side 400 px; for an "L" image as `open_image` gives.

    Light, shadow, colours, ruled lines and specks are gone, and a slight turn is levelled: that of ruled lines wholly,
    the slope of the signature by half, since half of it is the writer's. The pen keeps its width.

    Raises ImageError where there is no ink.
    """
    return _isolated(separate_print(grey, keep_rulings=True).image)[0]


def _isolated(grey: Image.Image) -> tuple[Float[Tensor, "rows columns"], Mask]:
    """The same where nothing is printed on the page; and where on the page it lies, at no more than 800 px."""
    ink, turn_deg = _find(grey)
    found, box = ink, _box(ink)
    if box is None:
        raise ImageError(NO_INK)
    left, top, right, bottom = box
    if max(grey.size) > max(ink.shape) and max(right - left, bottom - top) < CLOSE_UP * max(ink.shape):
        closer, closer_turn_deg = _find(_surroundings(grey, box, max(grey.size) / max(ink.shape)))
        closer_box = _box(closer)
        if closer_box is not None:
            ink, turn_deg, (left, top, right, bottom) = closer, closer_turn_deg, closer_box
    cropped = ink[top:bottom, left:right]
    return _levelled(cropped, turn_deg), found


def prepare_isolated(ink: Float[Tensor, "height width"], preprocessing: Preprocessing) -> Float[Tensor, "1 105 105"]:
    """Prepares isolated ink for a network: ink 1 on paper 0. Raises ImageError if there is none."""
    try:
        return prepare_ink(ink, preprocessing)
    except ImageError:
        raise
    except ValueError as error:
        raise ImageError(NO_INK) from error


def read_signature(source: Source | object) -> Reading:
    """Isolates the signature in an image.

    Args:
        source: What `open_image` takes.

    Returns:
        The ink of `isolate_signature`, with what was noticed.

    Raises:
        ImageError: For what `open_image` refuses, and where there is no ink.
    """
    grey = open_image(source)
    page = separate_print(grey, keep_rulings=True)
    ink, found = _isolated(page.image)
    handwriting = page.handwriting()
    codes = [*signature_codes(ink), *ground_codes(page.levels, found, page.form.dark & ~handwriting)]
    if has_several_pieces(handwriting):
        codes.append("several_pieces")
    return Reading(ink, merge_remarks([image_remarks(grey), page.remarks, [REMARKS[code] for code in codes]]))


# Finding.


def _find(grey: Image.Image) -> tuple[Mask, float]:
    """Ink true on paper false, the longer side at most WORKING_PX; and the degrees that ruled lines rise."""
    if max(grey.size) > WORKING_PX:
        grey = grey.copy()
        grey.thumbnail((WORKING_PX, WORKING_PX), Image.Resampling.BOX)
    depth = _depth(np.asarray(grey))
    faintest, full = _levels(depth)
    if full <= 0:
        return np.zeros(depth.shape, dtype=bool), 0.0
    dark = depth > faintest
    level, upright = _lines(dark), _lines(dark.T)
    ruling = _ruling_depth([depth[_cells(line)] for line in level] + [depth.T[_cells(line)] for line in upright])
    # lines fainter than the pen: what is no deeper was not made by it, wherever it is
    by_depth = ruling < RULING * full
    dark = depth > max(faintest, ruling) if by_depth else _without_lines(dark, level, upright)
    pen = pen_width_px(dark & (depth > FULL * full))
    deepest = _spread(depth, round(pen))
    rises = [line[0] - line[-1] for line in level]
    rise_deg = math.degrees(math.atan2(float(np.median(rises)), depth.shape[1])) if level else 0.0
    return _without_dirt(dark & (depth > EDGE * deepest), depth > FULL * full), rise_deg


def _surroundings(grey: Image.Image, box: tuple[int, int, int, int], scale: float) -> Image.Image:
    """The part of an image around a box that was found at 1 / `scale` of its size."""
    left, top, right, bottom = box
    margin = CLOSE_UP_MARGIN * max(right - left, bottom - top)
    left, top = (max(0, round((at - margin) * scale)) for at in (left, top))
    right = min(grey.width, round((right + margin) * scale))
    bottom = min(grey.height, round((bottom + margin) * scale))
    return grey.crop((left, top, right, bottom))


def _depth(values: UInt8[np.ndarray, "height width"]) -> Values:
    """Returns the share of the light that the ink absorbs, slightly blurred; about 0 on the paper."""
    light = cv2.LUT(values, LIGHT)
    picture = Image.fromarray(values).reduce(max(1, round(max(values.shape) / GROUND_PX)))
    coarse = np.asarray(picture, dtype=np.float32) / 255
    reach = round(max(coarse.shape) * STROKE_SHARE / 2)
    ground = _blurred(-_spread(-_spread(coarse, reach), reach))  # a closing keeps the edge of a shadow
    ground = ground.clip(min=DARK_GROUND * float(ground.max()))
    spread = Image.fromarray(ground).resize(values.shape[::-1], Image.Resampling.BILINEAR)
    depth = _blurred(light)
    depth /= np.asarray(spread)
    return np.subtract(1, depth, out=depth)


def _levels(depth: Values) -> tuple[float, float]:
    """The depth above which there may be ink, and that of full ink; the latter is 0 where there is none."""
    bins = 512
    places = (depth.reshape(-1) + 0.25) * (bins / 1.25)
    counts = np.bincount(places.clip(0, bins - 1, out=places).astype(np.int16), minlength=bins)
    middles = (np.arange(bins) + 0.5) * (1.25 / bins) - 0.25
    total = counts.cumsum()
    paper = float(middles[np.searchsorted(total, total[-1] / 2)])
    # ink lies on one side only: the other tells the noise
    spread = paper - float(middles[np.searchsorted(total, 0.16 * total[-1])])
    faintest = paper + max(LEAST_DEPTH, NOISES * spread)
    above = counts * (middles > faintest)
    if above.sum() == 0:
        return faintest, 0.0
    cut, _ = otsu_cut(above.astype(np.float64), middles)
    upper = above * (middles >= middles[min(cut + 1, bins - 1)])
    full = float(middles[np.searchsorted(upper.cumsum(), upper.sum() / 2)])
    return max(faintest, paper + FAINT * (full - paper)), full


def _spread(values: Values, reach: int) -> Values:
    """The largest value up to `reach` pixels away in both directions."""
    return cv2.dilate(values, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))


def _blurred(values: Values) -> Values:
    """Weighted 1 2 1 in both directions."""
    weights = np.array([0.25, 0.5, 0.25])
    return cv2.sepFilter2D(values, -1, weights, weights, borderType=cv2.BORDER_REPLICATE)


# Ruled lines, the edges of sheets and boxes.


def _without_lines(dark: Mask, level: list[Line], upright: list[Line]) -> Mask:
    """The mask less lines, but with the strokes that cross them."""
    dark = dark.copy()
    for line in level:
        _erase(dark, line)
    for line in upright:
        _erase(dark.T, line)
    return dark


def _ruling_depth(found: list[Float32[np.ndarray, " _"]]) -> float:
    """A depth that ruled lines hardly exceed, from the depths along each; 0 for none.

    The line that a writer drew under a signature may be among those found, and the pen crosses them all.
    """
    if not found:
        return 0.0
    usual = 1.3 * float(np.median([np.median(depths) for depths in found]))
    return 1.25 * float(np.quantile(np.concatenate([depths for depths in found if np.median(depths) <= usual]), 0.8))


def _cells(line: Line) -> tuple[np.ndarray, np.ndarray]:
    """The rows and columns of the pixels that a line passes."""
    return np.floor(line + 0.5).astype(np.int64), np.arange(len(line))


def _lines(dark: Mask) -> list[Line]:
    """For each nearly level line from rim to rim its row in every column; from side to side of a sheet, where many."""
    width = dark.shape[1]
    if np.count_nonzero(dark.any(0)) < SHEET_COVER * width or _votes(dark, GLANCE_PX)[0].max() < LINE_VOTES:
        return []
    votes, slopes, reach, factor = _votes(dark, LINE_PX)
    lines: list[np.ndarray] = []
    from_rim: list[bool] = []
    while len(lines) < MOST_LINES and votes.max() >= LINE_VOTES:
        turn, place = np.unravel_index(int(votes.argmax()), votes.shape)
        votes[max(0, turn - 3) : turn + 4, max(0, place - 2) : place + 3] = 0
        run = np.arange(width) - width / 2
        line, cover, reaches = _fitted(dark, (place - reach + 0.5) * factor + slopes[turn] * run, 1.0 + factor)
        if cover >= SHEET_COVER and all(np.abs(line - other).max() > 2 for other in lines):
            lines.append(line)
            from_rim.append(cover >= LINE_COVER and reaches)
    ruled = _evenly_ruled(lines)
    return [line for line, rim, among in zip(lines, from_rim, ruled, strict=True) if rim or among]


def _evenly_ruled(lines: list[Line]) -> list[bool]:
    """Which of the lines are parallel and evenly apart, as on a sheet; none of them where those are few."""
    if len(lines) < RULED:
        return [False] * len(lines)
    middles, rises = (
        np.array(values) for values in zip(*((line.mean(), line[-1] - line[0]) for line in lines), strict=True)
    )
    gaps = np.diff(np.sort(middles))
    usual = float(np.median(gaps))
    even = np.abs(gaps / max(usual, 1.0) - np.round(gaps / max(usual, 1.0))) < 0.15
    if usual < LEAST_GAP_PX or np.count_nonzero(even) < max(RULED - 1, 0.7 * len(gaps)):
        return [False] * len(lines)
    return (np.abs(rises - np.median(rises)) < 0.02 * len(lines[0])).tolist()


def _votes(
    dark: Mask, length_px: int
) -> tuple[Float[np.ndarray, "slopes places"], Float[np.ndarray, " slopes"], int, int]:
    """For every nearly level line the share of columns in which it is dark, seen at about `length_px`.

    With the slopes; the place of a line that meets the middle column in row 0; and how much was scaled down.
    """
    factor = max(1, round(max(dark.shape) / length_px))
    padded = np.pad(dark, [(0, -side % factor) for side in dark.shape])
    height, across = (side // factor for side in padded.shape)
    # rows first: NumPy takes ten times as long for both at once
    coarse = padded.reshape(height, factor, -1).any(1).reshape(height, across, factor).any(2)
    rows, columns = np.nonzero(coarse)
    slopes = np.arange(-LINE_SLOPE, LINE_SLOPE + 1e-9, 2 / across)
    reach = math.ceil(LINE_SLOPE * across) + 2
    offsets = np.floor(rows[None] - slopes[:, None] * (columns + 0.5 - across / 2)[None] + 0.5).astype(np.int64) + reach
    # each column counts once for a line, however many of its rows fall on it
    held = np.zeros((len(slopes), height + 2 * reach, across), dtype=bool)
    held[np.arange(len(slopes))[:, None], offsets, columns[None]] = True
    counts = cv2.reduce(held.reshape(-1, across).view(np.uint8), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    return counts.reshape(held.shape[:2]) / across, slopes, reach, factor


def _fitted(dark: Mask, guess: Line, reach: float) -> tuple[Line, float, bool]:
    """The parabola through the thin ink near a guess; how much of it is dark, 0 where it is none; at both rims, too?"""
    height, width = dark.shape
    around = np.arange(-math.ceil(reach), math.ceil(reach) + 1)
    columns = np.arange(width)
    line = guess
    for _ in range(3):
        rows = np.floor(line + 0.5).astype(np.int64)[None] + around[:, None]
        inside = (rows >= 0) & (rows < height)
        hits = dark[rows.clip(0, height - 1), columns[None]] & inside
        count = hits.sum(0)
        held = (count > 0) & (count < len(around))  # a column full of ink is a stroke that crosses
        if np.count_nonzero(held) < 8:
            return guess, 0.0, False
        middles = (rows * hits).sum(0)[held] / count[held]
        usual = np.median(np.abs(middles - line[held])) + 0.5
        close = np.abs(middles - line[held]) <= 3 * usual
        if np.count_nonzero(close) < 8:
            return guess, 0.0, False
        curve = fitted_curve(columns[held][close], middles[close], 2)
        line = curve(columns)
    rows = np.floor(line + 0.5).astype(np.int64)[None] + np.arange(-1, 2)[:, None]
    on = (dark[rows.clip(0, height - 1), columns[None]] & (rows >= 0) & (rows < height)).any(0)
    ends = max(3, round(0.03 * width))
    straight = np.std((middles - line[held])[close]) <= max(0.75, LINE_RISE * width)
    inside = line.min() >= 0 and line.max() < height - 0.5
    reaches = on[:ends].mean() >= 0.5 and on[-ends:].mean() >= 0.5
    return line, float(on.mean()) if inside and straight else 0.0, bool(reaches)


def _erase(dark: Mask, line: Line) -> None:
    """Removes a line in place, except where a stroke crosses it and the ink is higher than the line."""
    height, width = dark.shape
    columns = np.arange(width)
    middle = np.floor(line + 0.5).astype(np.int64)
    above, below = np.zeros(width, dtype=np.int64), np.zeros(width, dtype=np.int64)
    reach = max(4, height // 12)
    for extent, step in ((above, -1), (below, 1)):
        going = np.ones(width, dtype=bool)
        for distance in range(1, reach):
            rows = middle + step * distance
            going &= (rows >= 0) & (rows < height) & dark[rows.clip(0, height - 1), columns]
            if not going.any():
                break
            # the middle itself may be a pixel beside the ink
            extent[going] = distance
    thickness = above + below + 1
    usual = float(np.median(thickness))
    around = np.arange(-reach, reach + 1)[:, None]
    goes = (around >= -above - 1) & (around <= below + 1) & (thickness <= 1.5 * usual + 1)
    rows = middle + around
    places = np.nonzero(goes & (rows >= 0) & (rows < height))
    dark[rows[places], places[1]] = False


# Dirt.


def _without_dirt(ink: Mask, full: Mask) -> Mask:
    """The spots that the pen made: neither faint all over, nor along the rim, nor tiny, nor small and far away."""
    labels, stats = connected(ink)
    count = len(stats)
    if count == 1:
        return ink
    area = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
    boxes = stats[:, [1, 0, 1, 0]].astype(np.float64)  # top, left, bottom and right, inclusive
    boxes[:, 2:] += stats[:, [3, 2]] - 1
    keep = np.bincount(labels[full], minlength=count) > 0
    keep &= ~_along_rim(labels, area, boxes)
    keep[0] = False
    if not keep.any():
        return np.zeros_like(ink)
    largest = int((area * keep).argmax())
    left, top, wide, tall, _ = stats[largest].tolist()
    pen = pen_width_px(labels[max(0, top - 1) : top + tall + 1, max(0, left - 1) : left + wide + 1] == largest)
    keep &= area >= SPECK * pen * pen
    return _near(labels, area, boxes, keep)


def _along_rim(
    labels: Int32[np.ndarray, "height width"], area: Int64[np.ndarray, " spots"], boxes: Boxes
) -> Bool[np.ndarray, " spots"]:
    """Returns which spots are a table, a shadow or the edge of a sheet: those along the border of the image."""
    rim = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    contact = np.bincount(rim, minlength=len(area))
    inner = max(2, round(RIM_STRIP * min(labels.shape)))
    within = labels[inner:-inner, inner:-inner]
    beside = area - np.bincount(within[within > 0], minlength=len(area))
    room = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    shaped = (beside > 0.5 * area) | (area > 0.4 * room) | (contact > 0.3 * len(rim))
    return (contact.astype(np.float64) ** 2 > RIM_SHARE * area) & shaped


def _near(
    labels: Int32[np.ndarray, "height width"], area: Int64[np.ndarray, " spots"], boxes: Boxes, keep: np.ndarray
) -> Mask:
    """Removes small spots that are far from all others."""
    small = keep & (area < SMALL * area[keep].sum())
    main = keep & ~small
    if not main.any():
        return np.take(keep, labels)
    low, high = boxes[main][:, :2].min(0), boxes[main][:, 2:].max(0)
    far = FAR * float((high - low).max())
    kept = np.flatnonzero(main).tolist()
    waiting = np.flatnonzero(small).tolist()
    while True:  # small ones may lead on to others, as the dots of a line do
        near = boxes[kept]
        joined = [spot for spot in waiting if _gap(boxes[spot], near) <= far]
        if not joined:
            break
        kept += joined
        waiting = [spot for spot in waiting if spot not in set(joined)]
    keep = np.zeros(len(area), dtype=bool)
    keep[kept] = True
    return np.take(keep, labels)


def _gap(box: np.ndarray, others: np.ndarray) -> float:
    """The smallest distance between a box and others: top, left, bottom, right."""
    apart = np.maximum(others[:, :2] - box[2:], box[:2] - others[:, 2:]).clip(min=0)
    return float(np.sqrt((apart * apart).sum(1)).min())


def _box(ink: Mask) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom (exclusive) of the ink, None where there is none."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if len(rows) == 0:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


# Levelling.


def _slope_deg(ink: Mask) -> float:
    """Direction in which the ink extends, in degrees upwards, held to LEVEL_DEG; 0 for ink as high as it is wide."""
    rows, columns = np.nonzero(ink)
    x, y = columns - columns.mean(), rows.mean() - rows
    xx, yy, xy = float((x * x).mean()), float((y * y).mean()), float((x * y).mean())
    if xx <= yy:
        return 0.0
    certain = min(1.0, (xx - yy) / (0.75 * xx))  # an extent of 2 : 1 tells a direction well
    slope = math.degrees(0.5 * math.atan2(2 * xy, xx - yy)) * certain
    return max(-LEVEL_DEG, min(LEVEL_DEG, slope))


def _levelled(ink: Mask, paper_deg: float) -> Float[Tensor, "rows columns"]:
    """The ink on paper that rises by `paper_deg` turned, cropped and brought to ISOLATED_PX."""
    picture = Image.fromarray(ink.astype(np.uint8) * np.uint8(255))
    scale = ISOLATED_PX / max(picture.size)
    if scale > 1:
        picture = picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.BICUBIC)
    rise_deg = paper_deg + LEVEL_SHARE * (_slope_deg(ink) - paper_deg)
    if rise_deg:
        picture = picture.rotate(-rise_deg, Image.Resampling.BILINEAR, expand=True)
    box = _box(np.asarray(picture) >= 128) or (0, 0, *picture.size)
    scale = ISOLATED_PX / max(box[2] - box[0], box[3] - box[1])
    size = [max(1, round((box[side + 2] - box[side]) * scale)) for side in (0, 1)]
    picture = picture.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR, box=box)
    return torch.from_numpy(np.array(picture, dtype=np.float32)) / 255

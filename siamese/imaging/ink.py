"""Finds the ink of a drawing, in clean images as well as in photographs with uneven light and ruled paper."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int32, Int64, Real, UInt8
from PIL import Image
from torch import Tensor

WORKING_PX = 800  # larger images are reduced to this length: a thin pen then still has 1 to 3 px
COARSE_PX = 256  # length at which the ground is estimated
POLARITY_PX = 128  # length at which light on dark is told
STROKE_SHARE = 0.25  # of the image's length: what is narrower may be ink, what is wider is ground or shadow
CLEAN_SPREAD = 0.06  # share of the contrast by which the ground of a clean image may vary
EDGE_SHARE = 0.1  # of the contrast, cut off at both ends, so that compression leaves no veil
LEAST_DEPTH = 0.06  # share of the light that ink must swallow in a photograph
DARK_GROUND = 0.4  # of the lightest ground; below that, noise would pass for ink
LOW, HIGH = 0.35, 0.65  # of the depth of the ink: where it begins and where it is full
EVEN_SHARE = 0.25  # of the contrast: half of the surroundings lie within it
FAINT = 0.7  # a spot that nowhere reaches so much ink is a ruled line or dirt
RIM_SHARE = 0.5  # of the area of a spot: one whose contact with the rim, squared, is more lies along it
SPECK = 0.5  # of the square of the pen's width: what is smaller was not made by the pen
SMALL_PX = 128  # up to here every pixel is meant

Levels = UInt8[np.ndarray, "height width"]  # brightness, 0 to 255
Values = Float32[np.ndarray, "height width"]
Counts = Int64[np.ndarray, "256"]  # of pixels at each level
LIGHT = np.arange(256, dtype=np.float32) / 255  # brightness of each level


def find_ink(grey: Image.Image) -> Float[Tensor, "height width"]:
    """How much ink there is at each pixel, in [0, 1], of an "L" image with dark ink on white.

    Images of more than 800 px are reduced to that. On ground of one shade the contrast is stretched and soft edges
    are kept; a 1-bit image stays as it is. In a photograph light, shadow, ruled lines and specks are taken away.
    All zero where there is no ink.
    """
    levels = _reduced(grey, WORKING_PX)
    paper, ink, is_clean = _levels(levels)
    if paper - ink < 1 / 255:
        return torch.zeros(levels.shape)
    if not is_clean:
        return torch.from_numpy(_without_dirt(_photographed(levels), is_photograph=True))
    of_level = _ramp((np.float32(paper) - LIGHT) / np.float32(paper - ink), EDGE_SHARE, 1 - EDGE_SHARE)
    found = cv2.LUT(levels, of_level)
    return torch.from_numpy(found if max(found.shape) <= SMALL_PX else _without_dirt(found, is_photograph=False))


def is_light_on_dark(grey: Image.Image) -> bool:
    """Whether the ink is the light part of an "L" image.

    A border of one shade decides, unless it is dark around a picture that is mostly light, as a sheet on a table is;
    otherwise whether light or dark structures stand out more from the median of their surroundings, where those are
    of one shade.
    """
    levels = _reduced(grey, POLARITY_PX)
    counts = _counts(levels)
    dark = (_otsu_threshold(counts) > LIGHT)[levels]
    border = float(np.concatenate([dark[0], dark[-1], dark[1:-1, 0], dark[1:-1, -1]]).mean())
    majority = float(dark.mean())
    ground_is_dark = border > 0.5
    is_clean = _levels(255 - levels if ground_is_dark else levels)[2]
    if is_clean and (majority > 0.5 or not ground_is_dark):
        return ground_is_dark
    quarter, median, three_quarters = _local_quantiles(levels, (0.25, 0.5, 0.75))
    contrast = _quantile_of_counts(counts, 0.99) - _quantile_of_counts(counts, 0.01)
    even = three_quarters - quarter < EVEN_SHARE * contrast  # not at the edge of a sheet or of a shadow
    standing_out = (LIGHT[levels] - median) ** 3
    return bool(standing_out[even if even.any() else ...].sum() > 0)


def otsu_threshold(values: Float[np.ndarray, " values"]) -> float:
    """The level that parts values in [0, 1] into two classes with the largest variance between them (Otsu, 1979).

    Where a range of levels does, its middle, so that the threshold stays clear of both classes.
    """
    return _otsu_threshold(np.bincount((values * 256).astype(np.int64).clip(0, 255), minlength=256))


def _otsu_threshold(counts: Counts) -> float:
    first, last = otsu_cut(counts.astype(np.float64), (np.arange(256) + 0.5) / 256)
    return (first + last + 2) / 512


def otsu_cut(counts: Float64[np.ndarray, " bins"], levels: Float64[np.ndarray, " bins"]) -> tuple[int, int]:
    """Returns the first and the last bin after which Otsu's threshold may split a histogram."""
    below, mass_below = counts.cumsum(), (counts * levels).cumsum()
    above, mass_above = below[-1] - below, mass_below[-1] - mass_below
    between = np.square(mass_below * above - mass_above * below) / np.maximum(below * above, 1)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    return int(best[0]), int(best[-1])


def _reduced(grey: Image.Image, length_px: int) -> Levels:
    """The levels of an image, reduced to `length_px` where it is longer."""
    if max(grey.size) > length_px:
        grey = grey.copy()
        grey.thumbnail((length_px, length_px), Image.Resampling.BOX)
    return np.asarray(grey)


def _levels(levels: Levels) -> tuple[float, float, bool]:
    """Brightness of paper and of ink, and whether the paper is of one shade."""
    counts = _counts(levels)
    is_dark = _otsu_threshold(counts) > LIGHT
    if not counts[is_dark].any() or not counts[~is_dark].any():
        return 0.0, 0.0, False
    paper, ink = _quantile_of_counts(counts * ~is_dark, 0.5), _quantile_of_counts(counts * is_dark, 0.1)
    near_ink = cv2.dilate(cv2.LUT(levels, is_dark.astype(np.uint8)), np.ones((5, 5), np.uint8))
    ground = counts - _counts(levels, near_ink)  # of the paper there is more
    if not ground.any():
        return paper, ink, True
    away = np.abs(LIGHT - np.float32(paper))
    order = np.argsort(away)
    spread = away[order[_place_of_share(ground[order], 0.98)]]
    return paper, ink, bool(spread <= CLEAN_SPREAD * (paper - ink))


def _counts(levels: Levels, mask: UInt8[np.ndarray, "height width"] | None = None) -> Counts:
    """Counts the pixels at each level, of those that are not 0 in a mask."""
    return cv2.calcHist([levels], [0], mask, [256], [0, 256]).ravel().astype(np.int64)


def _place_of_share(counts: Int64[np.ndarray, " bins"], share: float) -> int:
    """Returns the bin in which a share of all that was counted is reached."""
    total = counts.cumsum()
    return int(np.searchsorted(total, 1 + round(share * (int(total[-1]) - 1))))


def _quantile_of_counts(counts: Counts, share: float) -> float:
    """Returns the brightness that a share of the pixels does not exceed."""
    return float(LIGHT[_place_of_share(counts, share)])


def _photographed(levels: Levels) -> Values:
    """Ink on ground that is lit unevenly: by the share of light it swallows there."""
    ground = _ground(levels)
    depth = np.divide(cv2.LUT(levels, LIGHT), ground)
    np.subtract(1, depth, out=depth)
    depth = _blurred(depth.clip(0, 1, out=depth))
    candidates = depth[depth > LEAST_DEPTH]
    if len(candidates) == 0:
        return np.zeros(levels.shape, dtype=np.float32)
    full = _quantile(candidates[candidates >= min(otsu_threshold(candidates), float(candidates.max()))], 0.5)
    return _ramp(np.divide(depth, np.float32(full), out=depth), LOW, HIGH)


def _ground(levels: Levels) -> Values:
    """Brightness of the paper, as if nothing were drawn on it: a morphological closing, which keeps shadows."""
    coarse = np.asarray(Image.fromarray(levels).reduce(max(1, max(levels.shape) // COARSE_PX)))
    window = round(max(coarse.shape) * STROKE_SHARE) | 1  # dark structures narrower than that are filled
    closed = cv2.erode(cv2.dilate(coarse, np.ones((window, window), np.uint8)), np.ones((window, window), np.uint8))
    ground = _blurred(LIGHT[closed])
    ground = np.maximum(ground, np.float32(DARK_GROUND * _quantile(ground.ravel(), 0.95)))
    return cv2.resize(ground, levels.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _local_quantiles(levels: Levels, shares: tuple[float, ...]) -> list[Values]:
    """Quantiles of a square of STROKE_SHARE of the length around each pixel; made for every fourth, and spread."""
    reach = round(max(levels.shape) * STROKE_SHARE / 4)  # every second pixel of the square is looked at
    padded = np.pad(levels, 2 * reach, mode="edge")
    side = 4 * reach + 1
    squares = np.lib.stride_tricks.sliding_window_view(padded, (side, side))[::4, ::4, ::2, ::2]
    squares = squares.reshape(*squares.shape[:2], -1)
    places = [round(share * (squares.shape[2] - 1)) for share in shares]
    ordered = np.sort(squares.astype(np.uint16), axis=2)  # a third of the time that selecting the places takes
    size = levels.shape[::-1]
    return [cv2.resize(LIGHT[ordered[..., place]], size, interpolation=cv2.INTER_LINEAR) for place in places]


def _blurred(values: Values) -> Values:
    """Weighted 1 2 1 in both directions."""
    weights = np.array([0.25, 0.5, 0.25])
    return cv2.sepFilter2D(values, -1, weights, weights, borderType=cv2.BORDER_REPLICATE)


def _ramp(values: Float32[np.ndarray, "*shape"], low: float, high: float) -> Float32[np.ndarray, "*shape"]:
    ramp = values - np.float32(low)
    ramp /= np.float32(high - low)
    return ramp.clip(0, 1, out=ramp)


def _without_dirt(ink: Values, is_photograph: bool) -> Values:
    """Ink less the spots that the pen did not make: too small or, in a photograph, too faint or the picture's edge."""
    marked = ink > 0
    labels, stats = connected(marked)
    count = len(stats)
    if count == 1:
        return ink
    places = np.flatnonzero(marked)
    spots, amounts = labels.ravel()[places], ink.ravel()[places]
    area = np.bincount(spots, weights=amounts, minlength=count)
    keep = area > 0
    if is_photograph:
        keep &= np.bincount(spots[amounts >= FAINT], minlength=count) > 0
        rim = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
        lies_along_rim = np.bincount(rim, minlength=count).astype(np.float64) ** 2 > RIM_SHARE * area
        if (keep & ~lies_along_rim).any():
            keep &= ~lies_along_rim
        spans = _spanning(stats, labels.shape)
        if (keep & ~spans).any():
            keep &= ~spans
    largest = int((area * keep).argmax())
    left, top, wide, tall, _ = stats[largest].tolist()
    window = slice(max(0, top - 1), top + tall + 1), slice(max(0, left - 1), left + wide + 1)
    keep &= area >= SPECK * pen_width_px(ink[window] * (labels[window] == largest)) ** 2
    return ink if keep[1:].all() else ink * np.take(keep, labels)


def _spanning(stats: Int32[np.ndarray, "spots 5"], shape: tuple[int, ...]) -> Bool[np.ndarray, " spots"]:
    """Which spots are thin lines from one side of the picture to the other: rulings and margins."""
    height, width = shape
    wide, tall = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    return ((tall > 0.9 * height) & (wide < 0.12 * width)) | ((wide > 0.9 * width) & (tall < 0.12 * height))


def pen_width_px(ink: Real[np.ndarray, "height width"] | Bool[np.ndarray, "height width"]) -> float:
    """Width of a stroke of even width: twice its area over the length of its outline; ink in [0, 1] or a mask."""
    if ink.dtype == bool:
        steps = float(np.count_nonzero(ink[1:] != ink[:-1]) + np.count_nonzero(ink[:, 1:] != ink[:, :-1]))
        area = float(np.count_nonzero(ink))
    else:
        values = ink.astype(np.float32, copy=False)
        steps = float(cv2.absdiff(values[1:], values[:-1]).sum())
        steps += float(cv2.absdiff(values[:, 1:], values[:, :-1]).sum())
        area = float(values.sum())
    # The steps count an outline's height and width; over all directions they are 4 / pi of its length.
    return float(2 * area / max(1.0, steps * np.pi / 4))


def connected(
    mask: Bool[np.ndarray, "height width"],
) -> tuple[Int32[np.ndarray, "height width"], Int32[np.ndarray, "spots 5"]]:
    """Numbers the spots of a mask from 1, diagonal neighbours together, in the order of reading; 0 is the paper.

    Returns:
        The number of each pixel's spot; and left, top, width, height and area of each spot, after those of the paper,
        whose box is the whole mask.

    Source:
        Wu, Otoo and Suzuki (2009), "Optimizing two-pass connected-component labeling algorithms".
    """
    values = np.ascontiguousarray(mask).view(np.uint8)
    left, top, width, height = cv2.boundingRect(values)
    labels = np.zeros(mask.shape, dtype=np.int32)
    if width == 0:
        return labels, np.array([[0, 0, mask.shape[1], mask.shape[0], mask.size]], dtype=np.int32)
    window = slice(top, top + height), slice(left, left + width)  # the statistics take long, also of paper
    _, labels[window], stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        values[window], 8, cv2.CV_32S, cv2.CCL_WU
    )
    stats[1:, :2] += left, top
    stats[0] = 0, 0, mask.shape[1], mask.shape[0], mask.size - stats[1:, cv2.CC_STAT_AREA].sum()
    return labels, stats


def _quantile(values: Float32[np.ndarray, " values"], share: float) -> float:
    """The value that a share of all do not exceed."""
    place = round(share * (len(values) - 1))
    return float(np.partition(values, place)[place])

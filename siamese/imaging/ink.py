"""Finds the ink of a drawing, in clean images as well as in photographs with uneven light and ruled paper."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64, Real
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

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


def find_ink(grey: Image.Image) -> Float[Tensor, "height width"]:
    """How much ink there is at each pixel, in [0, 1], of an "L" image with dark ink on white.

    Images of more than 800 px are reduced to that. On ground of one shade the contrast is stretched and soft edges
    are kept; a 1-bit image stays as it is. In a photograph light, shadow, ruled lines and specks are taken away.
    All zero where there is no ink.
    """
    values = _values(grey, WORKING_PX)
    paper, ink, is_clean = _levels(values)
    if paper - ink < 1 / 255:
        return torch.zeros_like(values)
    if not is_clean:
        return _without_dirt(_photographed(values), is_photograph=True)
    found = _ramp((paper - values) / (paper - ink), EDGE_SHARE, 1 - EDGE_SHARE)
    return found if max(values.shape) <= SMALL_PX else _without_dirt(found, is_photograph=False)


def is_light_on_dark(grey: Image.Image) -> bool:
    """Whether the ink is the light part of an "L" image.

    A border of one shade decides, unless it is dark around a picture that is mostly light, as a sheet on a table is;
    otherwise whether light or dark structures stand out more from the median of their surroundings, where those are
    of one shade.
    """
    values = _values(grey, POLARITY_PX)
    dark = values < otsu_threshold(values.flatten())
    border = torch.cat([dark[0], dark[-1], dark[1:-1, 0], dark[1:-1, -1]]).float().mean().item()
    majority = dark.float().mean().item()
    ground_is_dark = border > 0.5
    is_clean = _levels(1 - values if ground_is_dark else values)[2]
    if is_clean and (majority > 0.5 or not ground_is_dark):
        return ground_is_dark
    quarter, median, three_quarters = _local_quantiles(values, (0.25, 0.5, 0.75))
    contrast = _quantile(values, 0.99) - _quantile(values, 0.01)
    even = three_quarters - quarter < EVEN_SHARE * contrast  # not at the edge of a sheet or of a shadow
    standing_out = (values - median).pow(3)
    return bool(standing_out[even if even.any() else ...].sum() > 0)


def otsu_threshold(values: Float[Tensor, " values"]) -> float:
    """Returns Otsu's threshold of values in [0, 1]: the one with the largest variance between the two classes.

    Where a range of levels does, its middle, so that the threshold stays clear of both classes.
    """
    counts = torch.histc(values, bins=256, min=0, max=1).double().numpy()
    first, last = otsu_cut(counts, (np.arange(256) + 0.5) / 256)
    return (first + last + 2) / 512


def otsu_cut(counts: Float64[np.ndarray, " bins"], levels: Float64[np.ndarray, " bins"]) -> tuple[int, int]:
    """Returns the first and the last bin after which Otsu's threshold may split a histogram."""
    below, mass_below = counts.cumsum(), (counts * levels).cumsum()
    above, mass_above = below[-1] - below, mass_below[-1] - mass_below
    between = np.square(mass_below * above - mass_above * below) / np.maximum(below * above, 1)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    return int(best[0]), int(best[-1])


def _values(grey: Image.Image, length_px: int) -> Float[Tensor, "height width"]:
    """Brightness in [0, 1], reduced to `length_px` where it is longer."""
    if max(grey.size) > length_px:
        grey = grey.copy()
        grey.thumbnail((length_px, length_px), Image.Resampling.BOX)
    return torch.from_numpy(np.array(grey, dtype=np.float32)) / 255


def _levels(values: Float[Tensor, "height width"]) -> tuple[float, float, bool]:
    """Brightness of paper and of ink, and whether the paper is of one shade."""
    dark = values < otsu_threshold(values.flatten())
    if not dark.any() or dark.all():
        return 0.0, 0.0, False
    paper, ink = _quantile(values[~dark], 0.5), _quantile(values[dark], 0.1)
    ground = values[~_grown(dark, 5)]
    if len(ground) == 0:
        return paper, ink, True
    return paper, ink, _quantile((ground - paper).abs(), 0.98) <= CLEAN_SPREAD * (paper - ink)


def _photographed(values: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """Finds ink on unevenly lit ground, by the share of the light that it absorbs."""
    ground = _ground(values)
    ground = ground.clamp(min=DARK_GROUND * _quantile(ground, 0.95))
    depth = _blurred(((ground - values) / ground).clamp(0, 1))
    candidates = depth[depth > LEAST_DEPTH]
    if len(candidates) == 0:
        return torch.zeros_like(values)
    full = _quantile(candidates[candidates >= min(otsu_threshold(candidates), float(candidates.max()))], 0.5)
    return _ramp(depth / full, LOW, HIGH)


def _ground(values: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """Brightness of the paper, as if nothing were drawn on it: a morphological closing, which keeps shadows."""
    factor = max(1, max(values.shape) // COARSE_PX)
    coarse = F.avg_pool2d(values[None, None], factor, ceil_mode=True)[0, 0]
    closed = _blurred(_closed(coarse))
    return F.interpolate(closed[None, None], size=values.shape, mode="bilinear")[0, 0]


def _closed(values: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """Fills dark structures narrower than STROKE_SHARE of the length with their surroundings."""
    window = round(max(values.shape) * STROKE_SHARE) | 1
    return -_grown_values(-_grown_values(values, window), window)


def _local_quantiles(
    values: Float[Tensor, "height width"], shares: tuple[float, ...]
) -> list[Float[Tensor, "height width"]]:
    """Quantiles of a square of STROKE_SHARE of the length around each pixel; made for every fourth, and spread."""
    reach = round(max(values.shape) * STROKE_SHARE / 4)  # every second pixel of the square is looked at
    padded = F.pad(values[None, None], [2 * reach] * 4, mode="replicate")
    squares = F.unfold(padded, 2 * reach + 1, dilation=2, stride=4)[0].sort(dim=0).values  # [pixels, places]
    places = [1 + (side - 1) // 4 for side in values.shape]
    rows = [squares[round(share * (len(squares) - 1))].view(1, 1, *places) for share in shares]
    return [F.interpolate(row, size=values.shape, mode="bilinear")[0, 0] for row in rows]


def _grown_values(values: Float[Tensor, "height width"], window: int) -> Float[Tensor, "height width"]:
    """The largest value within a square window around each pixel."""
    return torch.from_numpy(cv2.dilate(values.numpy(), np.ones((window, window), np.uint8)))


def _grown(mask: Bool[Tensor, "height width"], window: int) -> Bool[Tensor, "height width"]:
    return _grown_values(mask.float(), window) > 0


def _blurred(values: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """Weighted 1 2 1 in both directions."""
    weights = torch.tensor([0.25, 0.5, 0.25])
    padded = F.pad(values[None, None], (1, 1, 1, 1), mode="replicate")
    return F.conv2d(F.conv2d(padded, weights.view(1, 1, 3, 1)), weights.view(1, 1, 1, 3))[0, 0]


def _ramp(values: Float[Tensor, "height width"], low: float, high: float) -> Float[Tensor, "height width"]:
    return ((values - low) / (high - low)).clamp(0, 1)


def _without_dirt(ink: Float[Tensor, "height width"], is_photograph: bool) -> Float[Tensor, "height width"]:
    """Removes spots that the pen did not make: too small or, in a photograph, too faint or along the edge."""
    labels, count = connected(ink > 0)
    if count == 0:
        return ink
    area = torch.zeros(count + 1).index_add_(0, labels.flatten(), ink.flatten())
    area[0] = 0
    keep = area > 0
    if is_photograph:
        darkest = torch.zeros(count + 1).scatter_reduce_(0, labels.flatten(), ink.flatten(), "amax")
        keep &= darkest >= FAINT
        rim = torch.cat([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
        contact = torch.bincount(rim, minlength=count + 1).float()
        lies_along_rim = contact.square() > RIM_SHARE * area
        if (keep & ~lies_along_rim).any():
            keep &= ~lies_along_rim
        spans = _spanning(labels, count)
        if (keep & ~spans).any():
            keep &= ~spans
    largest = (area * keep).argmax()
    keep &= area >= SPECK * pen_width_px((ink * (labels == largest)).numpy()) ** 2
    return ink * keep[labels]


def _spanning(labels: Int64[Tensor, "height width"], count: int) -> Bool[Tensor, " spots"]:
    """Returns which spots are thin lines from one side of the picture to the other, such as rulings and margins."""
    height, width = labels.shape
    rows, columns = (labels > 0).nonzero(as_tuple=True)
    spots = labels[rows, columns]
    extents = []
    for places in (rows, columns):
        lowest = torch.full((count + 1,), max(labels.shape)).scatter_reduce_(0, spots, places, "amin")
        highest = torch.zeros(count + 1, dtype=torch.int64).scatter_reduce_(0, spots, places, "amax")
        extents.append(highest - lowest + 1)
    tall, wide = extents
    return ((tall > 0.9 * height) & (wide < 0.12 * width)) | ((wide > 0.9 * width) & (tall < 0.12 * height))


def pen_width_px(ink: Real[np.ndarray, "height width"] | Bool[np.ndarray, "height width"]) -> float:
    """Width of a stroke of even width: twice its area over the length of its outline; ink in [0, 1] or a mask."""
    values = ink.astype(np.float32)
    # The sums count an outline's height and width; over all directions they are 4 / pi of its length.
    outline = (np.abs(np.diff(values, axis=0)).sum() + np.abs(np.diff(values, axis=1)).sum()) * np.pi / 4
    return float(2 * values.sum() / max(1.0, float(outline)))


def connected(mask: Bool[Tensor, "height width"]) -> tuple[Int64[Tensor, "height width"], int]:
    """Number the spots of a mask from 1 (diagonal neighbours belong together), 0 elsewhere; and how many there are.

    In the order of reading, which this algorithm (Wu, Otoo and Suzuki, 2009) keeps.
    """
    count, labels = cv2.connectedComponentsWithAlgorithm(mask.numpy().astype(np.uint8), 8, cv2.CV_32S, cv2.CCL_WU)
    return torch.from_numpy(labels.astype(np.int64)), count - 1


def _quantile(values: Float[Tensor, "..."], share: float) -> float:
    """`torch.quantile` without its limit of 16 million values and its sort: by the nearest value."""
    flat = values.flatten()
    return float(flat.kthvalue(1 + round(share * (len(flat) - 1))).values)

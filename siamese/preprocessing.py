"""How ink is brought to one centre and extent: the same for training, evaluation and uploads."""

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from siamese.imaging.skeleton import render_strokes, skeleton_length_px, skeletonize

IMAGE_SIZE_PX = 105  # each side of what the network sees, as in Koch et al. (2015)
INK_LEVEL = 0.25  # what counts as ink when the box is measured; below it is the blur of a scaled edge
MEASURED_PX = 240  # longer side at which a pen is measured: three times the usual extent, so that a hairline has pixels
LINE_LEVEL = 0.5  # what counts as ink when lines are thinned: the middle of an edge, whatever its blur
KINDS = ("character", "signature")


@dataclass(frozen=True)
class Preprocessing:
    """Written into a checkpoint's config.json and read from there."""

    extent_px: int = 80
    """Length to which the longer side of the ink's box is scaled, in pixels of the 105 x 105 picture; 0 leaves the
    ink where it is in its frame, as Koch et al. (2015) did, and only fits the frame into the picture."""

    keep_aspect: bool = True
    """Scale both sides alike; otherwise both sides of the box are brought to `extent_px`."""

    kind: str = "character"
    """What an image shows, and so how its ink is found: "character" or "signature"."""

    aspect_power: float = 1.0
    """Where the aspect is kept: the shorter side becomes `extent_px` times (shorter / longer) to this power, so that
    below 1 a long, low signature gets more of the picture's height; in (0, 1]."""

    pen_px: float = 0.0
    """Width of the pen with which the middle of the lines is drawn again, in pixels of the 105 x 105 picture; 0 scales
    the ink as it is, with the width of its own pen."""

    spread: float = 0.0
    """Above 0, with a pen: the centre of the lines' mass stands in the middle and `extent_px` holds this many of their
    standard deviations, so that one long tail moves nothing else; what then lies beyond the picture is cut off. 0
    brings the box of the ink to centre and extent."""

    redraw_below_px: float = 0.0
    """Lines of a pen finer than this are drawn again along their middle, whatever the pen was; in pixels of the
    105 x 105 picture, as `pen_width_px` measures it. 0 leaves every pen as it is."""

    redraw_pen_px: float = 3.0
    """Width of the pen with which those lines are drawn again, in the same pixels."""

    def __post_init__(self) -> None:
        if self.extent_px != 0 and not 8 <= self.extent_px <= IMAGE_SIZE_PX:
            raise ValueError(f"extent_px is {self.extent_px}, must be 0 or lie in 8 to {IMAGE_SIZE_PX}.")
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}, must be one of {', '.join(KINDS)}.")
        if not 0 < self.aspect_power <= 1:
            raise ValueError(f"aspect_power is {self.aspect_power}, must lie above 0 and at most at 1.")
        if self.pen_px != 0 and not 1 <= self.pen_px <= 8:
            raise ValueError(f"pen_px is {self.pen_px}, must be 0 or lie in 1 to 8.")
        if self.spread != 0 and not (2 <= self.spread <= 8 and self.pen_px):
            raise ValueError(f"spread is {self.spread}, must be 0 or, with a pen_px, lie in 2 to 8.")
        if self.extent_px == 0 and (self.pen_px != 0 or self.aspect_power != 1):
            raise ValueError("extent_px is 0, which leaves ink in its frame: pen_px must be 0 and aspect_power 1.")
        if not 0 <= self.redraw_below_px <= 8:
            raise ValueError(f"redraw_below_px is {self.redraw_below_px}, must lie in 0 to 8.")
        if self.redraw_below_px and (self.extent_px == 0 or self.pen_px):
            raise ValueError("redraw_below_px needs an extent_px above 0 and a pen_px of 0.")
        if not 1 <= self.redraw_pen_px <= 8:
            raise ValueError(f"redraw_pen_px is {self.redraw_pen_px}, must lie in 1 to 8.")

    def as_dict(self) -> dict:
        return asdict(self)


SIGNATURE = Preprocessing(extent_px=99, kind="signature", aspect_power=0.5, pen_px=2.0, spread=3.6)
"""How signatures are shown to a network: what told genuine ones from forged best, see the README."""


def ink_box(ink: Float[Tensor, "height width"]) -> tuple[int, int, int, int] | None:
    """Top, left, bottom and right (exclusive) of the ink, None where there is none."""
    marked = ink.numpy() >= INK_LEVEL  # which takes PyTorch several times as long
    rows, columns = np.flatnonzero(marked.any(1)), np.flatnonzero(marked.any(0))
    if len(rows) == 0:
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def prepare_ink(ink: Float[Tensor, "height width"], preprocessing: Preprocessing) -> Float[Tensor, "1 105 105"]:
    """Ink in [0, 1] of any size, cropped to its box, scaled and put in the middle of 105 x 105.

    Raises ValueError where there is no ink.
    """
    if preprocessing.pen_px:
        return _redrawn(ink, preprocessing)
    box = ink_box(ink)
    if box is None:
        raise ValueError("The picture holds no ink.")
    top, left, bottom, right = box if preprocessing.extent_px else (0, 0, *ink.shape)
    if preprocessing.redraw_below_px:
        lines = _hairlines(ink[top:bottom, left:right], preprocessing)
        if lines is not None:
            return _rendered(lines, preprocessing, preprocessing.redraw_pen_px)
    height, width = bottom - top, right - left
    extent, longer = preprocessing.extent_px or IMAGE_SIZE_PX, max(height, width)
    if not preprocessing.keep_aspect:
        new_height = new_width = extent
    elif preprocessing.aspect_power == 1:
        new_height, new_width = (max(1, round(side * extent / longer)) for side in (height, width))
    else:
        power = preprocessing.aspect_power
        new_height, new_width = (max(1, round((side / longer) ** power * extent)) for side in (height, width))
    scaled = resized(ink[top:bottom, left:right], new_height, new_width)
    picture = torch.zeros(1, IMAGE_SIZE_PX, IMAGE_SIZE_PX)
    y, x = (IMAGE_SIZE_PX - new_height) // 2, (IMAGE_SIZE_PX - new_width) // 2
    picture[:, y : y + new_height, x : x + new_width] = scaled.clamp(0, 1)
    return picture


def pen_width_px(ink: Float[Tensor, "height width"], extent_px: int) -> float:
    """Measures the pen that drew the ink: the area of the ink over the length of its middle lines.

    Args:
        ink: Ink in [0, 1], cropped to its box.
        extent_px: Length to which the longer side of the box will be scaled.

    Returns:
        The width in pixels after that scaling, whatever the size of `ink`; infinite where no pixel reaches INK_LEVEL.
    """
    reduced = _reduced(ink)
    return _width_px(reduced, skeletonize(reduced >= INK_LEVEL), extent_px)


def _width_px(ink: Float[Tensor, "height width"], lines: Bool[Tensor, "height width"], extent_px: int) -> float:
    return float(ink.sum()) / skeleton_length_px(lines) * extent_px / max(ink.shape) if lines.any() else math.inf


def _reduced(ink: Float[Tensor, "height width"]) -> Float[Tensor, "_ _"]:
    """The ink with a longer side of at most MEASURED_PX."""
    longer = max(ink.shape)
    if longer <= MEASURED_PX:
        return ink
    height, width = (max(1, round(side * MEASURED_PX / longer)) for side in ink.shape)
    return resized(ink, height, width)[0].clamp(0, 1)


def _hairlines(ink: Float[Tensor, "height width"], preprocessing: Preprocessing) -> Bool[Tensor, "_ _"] | None:
    """The middle lines of ink whose pen is finer than `redraw_below_px`, None for other pens.

    A broad pen is told by the outline of its lines, which costs far less than their middle.
    """
    ink, extent_px = _reduced(ink), preprocessing.extent_px
    if outline_width_px(ink) * extent_px / max(ink.shape) > 1.5 * preprocessing.redraw_below_px:
        return None
    lines = skeletonize(ink >= INK_LEVEL)
    return lines if _width_px(ink, lines, extent_px) < preprocessing.redraw_below_px else None


def outline_width_px(ink: Float[Tensor, "height width"]) -> float:
    """Twice the area of the ink over the length of its outline: about the width of its lines."""
    framed = F.pad(ink, (1, 1, 1, 1))
    outline = (framed.diff(dim=0).abs().sum() + framed.diff(dim=1).abs().sum()) * math.pi / 4
    return float(2 * ink.sum() / outline.clamp(min=1e-6))


def resized(ink: Float[Tensor, "_ _"], height: int, width: int) -> Float[Tensor, "1 {height} {width}"]:
    """As torchvision's `resize` does it, whose import would cost every start 160 MB and a second."""
    if ink.shape == (height, width):
        return ink[None]
    size = (height, width)
    return F.interpolate(ink[None, None], size, mode="bilinear", align_corners=False, antialias=True)[0]


def _redrawn(ink: Float[Tensor, "height width"], preprocessing: Preprocessing) -> Float[Tensor, "1 105 105"]:
    """The lines of the ink drawn again with a pen of `pen_px`."""
    darkest = float(ink.max())
    if darkest < INK_LEVEL:
        raise ValueError("The picture holds no ink.")
    return _rendered(skeletonize(ink >= min(LINE_LEVEL, darkest)), preprocessing, preprocessing.pen_px)


def _rendered(
    lines: Bool[Tensor, "height width"], preprocessing: Preprocessing, pen_px: float
) -> Float[Tensor, "1 105 105"]:
    """Lines drawn with a pen; centre and extent are those of their middle, which no pen's width changes."""
    places = lines.nonzero().double()
    if preprocessing.spread:
        centre, extents = places.mean(0), places.std(0, correction=0) * preprocessing.spread
        room = float(preprocessing.extent_px)
    else:
        low, high = places.amin(0), places.amax(0)
        centre, extents, room = (low + high) / 2, high - low, preprocessing.extent_px - pen_px
    extents = extents.clamp(min=1.0)  # a line without height or width keeps the scale of the other direction
    power = preprocessing.aspect_power if preprocessing.keep_aspect else 0.0
    scale = room * (extents / extents.max()) ** power / extents
    row, column, down, right = (float(value) for value in (*centre, *scale))
    return render_strokes(lines, (row, column), (down, right), IMAGE_SIZE_PX, pen_px)[None]

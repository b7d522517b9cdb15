"""Ink as pictures that a page can show."""

import base64
import io

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from siamese.preprocessing import ink_box, resized

FOR_COLOUR = (22, 110, 118)  # ink that counts for sameness; the same in light and dark
AGAINST_COLOUR = (200, 47, 31)
KEPT_SIDE_PX = 320  # of a picture that the visitor's browser keeps
INK_COLOUR = (29, 25, 22)  # the page's --ink in light, which it keeps on the paper of a sheet in dark
# Of two inks that lie over one another. Blue and orange differ to every kind of colour vision, each has a contrast of
# 3 : 1 to the paper in light and in dark, and where both lie they multiply to near black.
REFERENCE_COLOUR = (0, 94, 162)
QUESTIONED_COLOUR = (194, 80, 0)
SHEET_WIDTH_PX, SHEET_HEIGHT_PX, SHEET_MARGIN_PX = 480, 176, 14
SCALES = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15)  # tried when one ink is laid over another
COARSE, REACH = 4, (6, 12)  # first with every fourth pixel, down and across by so many of them, then pixel by pixel


def data_url(image: Image.Image) -> str:
    """A PNG without any metadata, as a data URL."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=6)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def drawing_url(ink: Bool[Tensor, "height width"]) -> str:
    """A drawing, black on white, one bit a pixel: about 500 bytes for 105 x 105."""
    return data_url(Image.fromarray(~ink.numpy()))


def ink_image(ink: Float[Tensor, "height width"]) -> Image.Image:
    """Ink in [0, 1] as dark ink on white."""
    return Image.fromarray((255 - ink.clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def ink_url(ink: Float[Tensor, "height width"]) -> str:
    return data_url(ink_image(ink))


def kept_url(ink: Float[Tensor, "height width"]) -> str:
    """Ink scaled down to at most KEPT_SIDE_PX, for a picture that travels with every later question."""
    image = ink_image(ink)
    image.thumbnail((KEPT_SIDE_PX, KEPT_SIDE_PX), Image.Resampling.LANCZOS)
    return data_url(image)


def overlay_url(speaks: Float[Tensor, "height width"]) -> str:
    """A map of any range, above zero where ink counts for sameness, as a transparent layer to lay over the picture.

    Averaged over 5 x 5 pixels: single pixels of a gradient are noise to the eye.
    """
    smooth = F.avg_pool2d(speaks[None, None], 5, stride=1, padding=2)[0, 0] * (speaks != 0)
    strongest = float(smooth.abs().max())
    strength = (smooth / strongest if strongest > 0 else smooth).numpy()
    layer = np.zeros((*strength.shape, 4), dtype=np.uint8)
    layer[..., :3] = np.where(strength[..., None] > 0, FOR_COLOUR, AGAINST_COLOUR)
    layer[..., 3] = (np.abs(strength) ** 0.6 * 235).astype(np.uint8)
    return data_url(Image.fromarray(layer))


def on_sheet(ink: Float[Tensor, "_ _"]) -> Float[Tensor, "176 480"]:
    """A signature's ink cropped to its box and scaled to the middle of a sheet: all have one place and one extent.

    Empty where there is no ink.
    """
    sheet = torch.zeros(SHEET_HEIGHT_PX, SHEET_WIDTH_PX)
    box = ink_box(ink)
    if box is None:
        return sheet
    top, left, bottom, right = box
    room = (SHEET_HEIGHT_PX - 2 * SHEET_MARGIN_PX, SHEET_WIDTH_PX - 2 * SHEET_MARGIN_PX)
    scale = min(room[0] / (bottom - top), room[1] / (right - left))
    height, width = (max(1, round(side * scale)) for side in (bottom - top, right - left))
    scaled = resized(ink[top:bottom, left:right], height, width)[0]
    y, x = (SHEET_HEIGHT_PX - height) // 2, (SHEET_WIDTH_PX - width) // 2
    sheet[y : y + height, x : x + width] = scaled.clamp(0, 1)
    return sheet


def laid_over(moved: Float[Tensor, "176 480"], still: Float[Tensor, "176 480"]) -> Float[Tensor, "176 480"]:
    """`moved`, scaled by up to 15 % and shifted by up to a tenth of the sheet to where it covers most of `still`.

    Nothing of it leaves the sheet.
    """
    box = ink_box(moved)
    if box is None:
        return moved
    fits = min(SHEET_HEIGHT_PX / (box[2] - box[0]), SHEET_WIDTH_PX / (box[3] - box[1]))
    small_moved, small_still = (F.avg_pool2d(one[None, None], COARSE)[0, 0] for one in (moved, still))
    tried = [
        (*_best_shift(_placed(small_moved, scale), small_still, REACH), scale)
        for scale in SCALES
        if scale < 0.98 * fits
    ]
    _, down, across, scale = max(tried)
    near = _placed(moved, scale, COARSE * down, COARSE * across)
    _, fine_down, fine_across = _best_shift(near, still, (COARSE, COARSE))
    return _placed(moved, scale, COARSE * down + fine_down, COARSE * across + fine_across)


def _best_shift(
    moved: Float[Tensor, "height width"], still: Float[Tensor, "height width"], reach: tuple[int, int]
) -> tuple[float, int, int]:
    """How much of `still` is covered at best, and the shift down and across, each within `reach`, that does it."""
    padded = F.pad(still[None, None], (reach[1], reach[1], reach[0], reach[0]))
    covered = F.conv2d(padded, moved[None, None])[0, 0] / moved.norm().clamp(min=1e-6)
    for axis, side in enumerate(moved.shape):
        held = moved.amax(1 - axis).nonzero().flatten()
        shifts = torch.arange(-reach[axis], reach[axis] + 1)
        leaves = (shifts < -held.min()) | (shifts > side - 1 - held.max())
        leaves[reach[axis]] = False  # it may always stay
        covered.masked_fill_(leaves[:, None] if axis == 0 else leaves[None], -1.0)
    place = int(covered.argmax())
    row, column = divmod(place, covered.shape[1])
    return float(covered.flatten()[place]), row - reach[0], column - reach[1]


def _placed(
    ink: Float[Tensor, "height width"], scale: float, down: int = 0, across: int = 0
) -> Float[Tensor, "height width"]:
    """Scaled about its middle, then shifted."""
    height, width = ink.shape
    x, y = -2 * across / (width * scale), -2 * down / (height * scale)
    looks_at = torch.tensor([[[1 / scale, 0.0, x], [0.0, 1 / scale, y]]])
    grid = F.affine_grid(looks_at, [1, 1, height, width], align_corners=False)
    return F.grid_sample(ink[None, None], grid, align_corners=False)[0, 0]


def layer_url(ink: Float[Tensor, "height width"], colour: tuple[int, int, int]) -> str:
    """Ink of one colour on nothing, to lie over another."""
    layer = np.empty((*ink.shape, 4), dtype=np.uint8)
    layer[..., :3] = colour
    layer[..., 3] = (ink.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return data_url(Image.fromarray(layer))

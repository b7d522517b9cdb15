"""Ink as pictures that a page can show."""

import base64
import io

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

FOR_COLOUR = (22, 110, 118)  # ink that speaks for sameness; the same in light and dark
AGAINST_COLOUR = (200, 47, 31)
KEPT_SIDE_PX = 320  # of a picture that the visitor's browser keeps


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
    """A map of any range, above zero where ink speaks for sameness, as a transparent layer to lay over the picture.

    Averaged over 5 x 5 pixels: single pixels of a gradient are noise to the eye.
    """
    smooth = torch.nn.functional.avg_pool2d(speaks[None, None], 5, stride=1, padding=2)[0, 0] * (speaks != 0)
    strongest = float(smooth.abs().max())
    strength = (smooth / strongest if strongest > 0 else smooth).numpy()
    layer = np.zeros((*strength.shape, 4), dtype=np.uint8)
    layer[..., :3] = np.where(strength[..., None] > 0, FOR_COLOUR, AGAINST_COLOUR)
    layer[..., 3] = (np.abs(strength) ** 0.6 * 235).astype(np.uint8)
    return data_url(Image.fromarray(layer))

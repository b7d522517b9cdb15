"""Isolating a signature: from a scan, a photograph or a drawing to level ink of one resolution on clean paper."""

import math

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from siamese.images import ImageError, Source, open_image
from siamese.ink import find_ink
from siamese.preparation import SIGNATURE, Preparation, ink_box, prepare_ink

ISOLATED_PX = 400  # longer side of the ink that comes out: a pen then has 3 to 8 px
LEVEL_DEG = 10.0  # a larger slope is the writer's, not the paper's
NO_INK = "No signature was found in the image; please bring one that stands out more."


def isolate_signature(grey: Image.Image) -> Float[Tensor, "height width"]:
    """Ink in [0, 1] on paper 0, cropped to the ink, its longer side 400 px; for an "L" image as `open_image` gives.

    Light, shadow, colours, ruled lines and specks are gone, and a slight turn is levelled. The pen keeps its width.

    Raises ImageError where there is no ink.
    """
    ink = find_ink(grey)
    box = ink_box(ink)
    if box is None:
        raise ImageError(NO_INK)
    top, left, bottom, right = box
    cropped = ink[top:bottom, left:right]
    return _levelled(cropped, -_slope_deg(cropped))


def prepare_signature(grey: Image.Image, preparation: Preparation = SIGNATURE) -> Float[Tensor, "1 105 105"]:
    """The isolated signature as a network is shown it: ink 1 on paper 0. Raises ImageError where there is no ink."""
    try:
        return prepare_ink(isolate_signature(grey), preparation)
    except ImageError:
        raise
    except ValueError as error:
        raise ImageError(NO_INK) from error


def load_signature_ink(source: Source | object, preparation: Preparation = SIGNATURE) -> Float[Tensor, "1 105 105"]:
    """What a network for signatures is shown of an image: ink 1 on paper 0.

    Raises ImageError for what `open_image` refuses and where there is no ink.
    """
    return prepare_signature(open_image(source), preparation)


def _slope_deg(ink: Float[Tensor, "height width"]) -> float:
    """Direction in which the ink extends, in degrees upwards, held to LEVEL_DEG; 0 for ink as high as it is wide."""
    rows, columns = (places.double() for places in (ink >= 0.5).nonzero(as_tuple=True))
    if len(rows) < 2:
        return 0.0
    x, y = columns - columns.mean(), rows.mean() - rows
    xx, yy, xy = float((x * x).mean()), float((y * y).mean()), float((x * y).mean())
    if xx <= yy:
        return 0.0
    certain = min(1.0, (xx - yy) / (0.75 * xx))  # an extent of 2 : 1 tells a direction well
    slope = math.degrees(0.5 * math.atan2(2 * xy, xx - yy)) * certain
    return max(-LEVEL_DEG, min(LEVEL_DEG, slope))


def _levelled(ink: Float[Tensor, "height width"], turn_deg: float) -> Float[Tensor, "height width"]:
    """The ink turned, cropped and brought to ISOLATED_PX."""
    picture = Image.fromarray((ink * 255).round().to(torch.uint8).numpy())
    scale = ISOLATED_PX / max(picture.size)
    if scale > 1:
        picture = picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.BICUBIC)
    if turn_deg:
        picture = picture.rotate(turn_deg, Image.Resampling.BILINEAR, expand=True)
    turned = torch.from_numpy(np.array(picture)) / 255
    top, left, bottom, right = ink_box(turned) or (0, 0, *turned.shape)
    picture = picture.crop((left, top, right, bottom))
    scale = ISOLATED_PX / max(picture.size)
    picture = picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.BOX)
    return torch.from_numpy(np.array(picture)) / 255

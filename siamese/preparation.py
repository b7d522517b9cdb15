"""How ink is brought to one centre and extent: the same for training, evaluation and uploads."""

from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from siamese.network import IMAGE_SIZE_PX

INK_LEVEL = 0.25  # what counts as ink when the box is measured; below it is the blur of a scaled edge


@dataclass(frozen=True)
class Preparation:
    """Written into a checkpoint's config.json and read from there."""

    extent_px: int = 80
    """Length to which the longer side of the ink's box is scaled, in pixels of the 105 x 105 picture; 0 leaves the
    ink where it is in its frame, as Koch et al. (2015) did, and only fits the frame into the picture."""

    keep_aspect: bool = True
    """Scale both sides alike; otherwise both sides of the box are brought to `extent_px`."""

    def __post_init__(self) -> None:
        if self.extent_px != 0 and not 8 <= self.extent_px <= IMAGE_SIZE_PX:
            raise ValueError(f"extent_px is {self.extent_px}, must be 0 or lie in 8 to {IMAGE_SIZE_PX}.")

    def as_dict(self) -> dict:
        return asdict(self)


def ink_box(ink: Float[Tensor, "height width"]) -> tuple[int, int, int, int] | None:
    """Top, left, bottom and right (exclusive) of the ink, None where there is none."""
    marked = ink >= INK_LEVEL
    rows, columns = marked.any(1).nonzero(), marked.any(0).nonzero()
    if len(rows) == 0:
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def prepare_ink(ink: Float[Tensor, "height width"], preparation: Preparation) -> Float[Tensor, "1 105 105"]:
    """Ink in [0, 1] of any size, cropped to its box, scaled and put in the middle of 105 x 105.

    Raises ValueError where there is no ink.
    """
    box = ink_box(ink)
    if box is None:
        raise ValueError("The picture holds no ink.")
    top, left, bottom, right = box if preparation.extent_px else (0, 0, *ink.shape)
    height, width = bottom - top, right - left
    extent, longer = preparation.extent_px or IMAGE_SIZE_PX, max(height, width)
    if preparation.keep_aspect:
        new_height, new_width = (max(1, round(side * extent / longer)) for side in (height, width))
    else:
        new_height = new_width = extent
    scaled = transforms.resize(ink[None, top:bottom, left:right], [new_height, new_width], antialias=True)
    picture = torch.zeros(1, IMAGE_SIZE_PX, IMAGE_SIZE_PX)
    y, x = (IMAGE_SIZE_PX - new_height) // 2, (IMAGE_SIZE_PX - new_width) // 2
    picture[:, y : y + new_height, x : x + new_width] = scaled.clamp(0, 1)
    return picture

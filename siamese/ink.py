"""Finding the ink of a drawing: from a clean thumbnail to a photograph of squared paper in uneven light."""

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

WORKING_PX = 1024  # larger images are reduced to this length before ink is sought
COARSE_PX = 96  # length at which the ground is estimated and light on dark is told
CLEAN_SPREAD = 0.06  # share of the contrast by which the ground of a clean image may vary
CLEAN_EDGE = 0.1  # share of the contrast that is cut off at both ends, so that compression leaves no veil


def grey_values(grey: Image.Image) -> Float[Tensor, "height width"]:
    """Brightness in [0, 1]: paper 1."""
    return torch.from_numpy(np.array(grey, dtype=np.float32)) / 255


def otsu_threshold(values: Float[Tensor, " values"]) -> float:
    """The level that parts values in [0, 1] into two classes with the largest variance between them (Otsu, 1979).

    The middle of the widest gap between the classes, so that a threshold never falls onto a class of one value.
    """
    counts = torch.histc(values, bins=256, min=0, max=1).double()
    levels = (torch.arange(256, dtype=torch.float64) + 0.5) / 256
    below, total = counts.cumsum(0), counts.sum()
    mass_below, mass = (counts * levels).cumsum(0), (counts * levels).sum()
    above = total - below
    between = (mass_below * above - (mass - mass_below) * below).square() / (below * above).clamp(min=1)
    best = (between >= between.max() * (1 - 1e-9)).nonzero().flatten()
    return float((best[0] + best[-1] + 2) / 512)


def is_light_on_dark(grey: Image.Image) -> bool:
    """Whether the ink is the light part: told by the border, or by the majority where the border is divided."""
    small = grey.copy()
    small.thumbnail((256, 256), Image.Resampling.BOX)
    values = grey_values(small)
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return False
    values = (values - low) / (high - low)
    dark = values < otsu_threshold(values.flatten())
    border = torch.cat([dark[0], dark[-1], dark[1:-1, 0], dark[1:-1, -1]]).float().mean()
    share = border if (border < 0.4 or border > 0.6) else dark.float().mean()
    return bool(share > 0.5)


def find_ink(grey: Image.Image) -> Float[Tensor, "height width"]:
    """How much ink there is at each pixel, in [0, 1], of an "L" image with dark ink on white.

    Images of more than 1024 px are reduced to that. Paper of one shade: the contrast is stretched and soft edges are
    kept; of a 1-bit image nothing changes. A photograph: light, shadow, ruled lines and specks are taken away first.
    All zero where there is no ink.
    """
    if max(grey.size) > WORKING_PX:
        grey = grey.copy()
        grey.thumbnail((WORKING_PX, WORKING_PX), Image.Resampling.BOX)
    values = grey_values(grey)
    threshold = otsu_threshold(values.flatten())
    dark = values < threshold
    paper, ink = float(values[~dark].median()), float(values[dark].quantile(0.1)) if dark.any() else 0.0
    return ((paper - values) / max(paper - ink, 1e-3)).clamp(0, 1)

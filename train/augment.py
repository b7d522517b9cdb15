"""Distortions of whole batches of drawings: tensors in, tensors out, on whatever device they are on."""

import math
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

ELASTIC_NODES = 5  # displacements are drawn on 5 x 5 nodes and made smooth by bicubic interpolation


@dataclass(frozen=True)
class Distortions:
    """Ranges that each drawing of a batch draws from on its own; all zero leaves the batch as it is."""

    rotation_deg: float = 0.0
    """Turned by up to this, either way."""
    shear: float = 0.0
    """Horizontal and vertical shear of up to this, either way."""
    log_scale: float = 0.0
    """Natural logarithm of the scale of each axis, up to this, either way."""
    shift_px: float = 0.0
    """Moved by up to this along each axis, either way."""
    elastic_px: float = 0.0
    """Standard deviation of a smooth displacement field."""
    component_share: float = 1.0
    """Share of drawings to which turn, each shear, each scale and each shift is applied, each on its own."""
    pen_share: float = 0.0
    """Share of drawings whose pen is made wider or finer."""
    pen_fine: float = 0.45
    """Level at which blurred ink is cut for the finest pen; higher is finer."""
    pen_broad: float = 0.12
    """Level at which blurred ink is cut for the broadest pen; lower is broader, below 0.1 paper would turn grey."""

    contrast: float = 0.0
    """Ink becomes fainter by up to this share."""
    noise: float = 0.0
    """Standard deviation of the noise added to each pixel, up to this; what leaves 0 to 1 is cut off."""

    def __post_init__(self) -> None:
        for name in ("rotation_deg", "shear", "log_scale", "shift_px", "elastic_px", "noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, must not be negative.")
        for name in ("component_share", "pen_share", "contrast"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must lie in 0 to 1.")
        if not 0.1 <= self.pen_broad <= self.pen_fine <= 1:
            raise ValueError(f"pen_broad {self.pen_broad} and pen_fine {self.pen_fine} must rise within 0.1 to 1.")

    @property
    def any(self) -> bool:
        geometry = self.rotation_deg, self.shear, self.log_scale, self.shift_px, self.elastic_px
        return max(*geometry, self.pen_share, self.contrast, self.noise) > 0


def distort(
    images: Float[Tensor, "batch 1 105 105"], ranges: Distortions, generator: torch.Generator
) -> Float[Tensor, "batch 1 105 105"]:
    """Each drawing bent, turned and re-inked in its own way; paper stays 0 at the borders."""
    bent = F.grid_sample(images, sampling_grid(images, ranges, generator), padding_mode="zeros", align_corners=False)
    inked = change_pen(bent, ranges, generator) if ranges.pen_share else bent
    return change_scan(inked, ranges, generator) if ranges.contrast or ranges.noise else inked


def distort_copies(
    images: Float[Tensor, "batch 1 105 105"], ranges: Distortions, copy: Int64[Tensor, " batch"], seed: int
) -> Float[Tensor, "batch 1 105 105"]:
    """Drawing i as copy number `copy[i]` shows it, the same whenever it is asked for; copy 0 is the drawing itself."""
    made = images.clone()
    for place in copy.nonzero()[:, 0].tolist():
        # the CPU's generator looks at the lower 32 bits of a seed only
        generator = torch.Generator().manual_seed(((seed + 1) * 2_654_435_761 + int(copy[place])) % (1 << 32))
        made[place] = distort(images[place : place + 1], ranges, generator)[0]
    return made


def sampling_grid(
    images: Float[Tensor, "batch 1 size size"], ranges: Distortions, generator: torch.Generator
) -> Float[Tensor, "batch size size 2"]:
    """Where each output pixel looks, in `grid_sample`'s units (-1 to 1 across the picture)."""
    batch, size_px = len(images), images.shape[-1]
    draws = torch.rand(batch, 7, generator=generator) * 2 - 1
    if ranges.component_share < 1:
        draws = draws * (torch.rand(batch, 7, generator=generator) < ranges.component_share)
    angle, shear_x, shear_y, scale_x, scale_y, shift_x, shift_y = draws.unbind(1)
    angle = angle * math.radians(ranges.rotation_deg)
    scale = torch.stack([scale_x, scale_y], 1) * ranges.log_scale
    ones = torch.ones(batch)
    rotate = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    shear = torch.stack([ones, shear_x * ranges.shear, shear_y * ranges.shear, ones], 1).view(-1, 2, 2)
    matrix = rotate @ shear @ torch.diag_embed(scale.exp())
    shift = torch.stack([shift_x, shift_y], 1) * ranges.shift_px * 2 / size_px
    theta = torch.cat([matrix, shift[..., None]], 2)
    grid = F.affine_grid(sent(theta, images.device), [batch, 1, size_px, size_px], align_corners=False)
    if ranges.elastic_px:
        nodes = torch.randn(batch, 2, ELASTIC_NODES, ELASTIC_NODES, generator=generator)
        spread = smooth_spread(size_px, images.device)
        field = (spread @ sent(nodes, images.device) @ spread.T).permute(0, 2, 3, 1)
        grid = grid + field * ranges.elastic_px * 2 / size_px
    return grid


@cache
def smooth_spread(size_px: int, device: torch.device) -> Float[Tensor, "size nodes"]:
    """Weights that carry values at the nodes of a line to each pixel of it, bicubic: a product with them costs a
    tenth of `interpolate` on every field."""
    identity = torch.eye(ELASTIC_NODES)[None, None]
    return F.interpolate(identity, (size_px, ELASTIC_NODES), mode="bicubic", align_corners=True)[0, 0].to(device)


def change_pen(
    images: Float[Tensor, "batch 1 size size"], ranges: Distortions, generator: torch.Generator
) -> Float[Tensor, "batch 1 size size"]:
    """Blur the ink and cut it at a level of its own for each drawing: below the pen's half height it grows."""
    blur = gaussian_blur(images.shape[-1], images.device)
    blurred = blur @ images @ blur.T
    chosen, where = sent(torch.rand(2, len(images), 1, 1, 1, generator=generator), images.device)
    level = ranges.pen_broad + (ranges.pen_fine - ranges.pen_broad) * where
    recut = ((blurred - level) * 5 + 0.5).clamp(0, 1)
    return torch.where(chosen < ranges.pen_share, recut, images)


def change_scan(
    images: Float[Tensor, "batch 1 size size"], ranges: Distortions, generator: torch.Generator
) -> Float[Tensor, "batch 1 size size"]:
    """Fainter ink and noise, each drawing to an extent of its own."""
    faint, rough = sent(torch.rand(2, len(images), 1, 1, 1, generator=generator), images.device)
    grain = sent(torch.randn(images.shape, generator=generator), images.device)
    return (images * (1 - ranges.contrast * faint) + grain * ranges.noise * rough).clamp(0, 1)


@cache
def gaussian_blur(size_px: int, device: torch.device = torch.device("cpu")) -> Float[Tensor, "size size"]:
    """A blur of standard deviation 1.5 px along one axis, as a matrix: two products cost less than two convolutions
    of a single channel."""
    place = torch.arange(size_px)
    weight = torch.exp(-0.5 * ((place[:, None] - place[None]) / 1.5) ** 2)
    return (weight / weight[size_px // 2].sum()).to(device)


def turn(
    images: Float[Tensor, "batch 1 size size"], view: Int64[Tensor, " batch"]
) -> Float[Tensor, "batch 1 size size"]:
    """Each drawing in one of the eight views of the square: quarter turns `view % 4`, mirrored from 4 on.

    A `view` on the CPU is best: which views there are must be known there.
    """
    turned, view = torch.empty_like(images), view.cpu()
    for which in view.unique().tolist():
        rows = sent((view == which).nonzero()[:, 0], images.device)
        part = images[rows].flip(-1) if which >= 4 else images[rows]
        turned[rows] = torch.rot90(part, which % 4, (-2, -1))
    return turned


def sent(drawn: Tensor, device: torch.device) -> Tensor:
    """To the device without waiting until what it was given before is done: that is so from pinned memory only."""
    return drawn.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else drawn.to(device)

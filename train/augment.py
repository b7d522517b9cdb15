"""Distortions of whole batches of drawings: tensors in, tensors out, on whatever device they are on."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from siamese.preprocessing import IMAGE_SIZE_PX
from train.pens import REACH_PX

PRESSURE_NODES = 5  # how hard the pen is pressed is drawn on these nodes
GAP_NODES = 18  # where the ink is missing: a gap is about as long as the 6 px between two of them
SIZE_STEP_PX = 4  # low resolutions go by steps of this
EXTENT_PX = 80  # of prepared ink, whose box a broader pen makes larger and a crop smaller
USUAL_PEN_PX = 6.0  # of prepared drawings of Omniglot, whose own pen of 3 px is scaled with them
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

    redraw_share: float = 0.0
    """Share of drawings whose lines are drawn again along their middle with another pen."""
    redraw_from_px: float = 2.0
    """The finest of these pens, in pixels of the prepared picture; each width is drawn evenly in its logarithm."""
    redraw_to_px: float = 16.0
    """The broadest of these pens."""
    pressure: float = 0.0
    """How unevenly these pens are pressed: standard deviation of the logarithm of the width along the lines."""
    gap_share: float = 0.0
    """Share of drawings whose ink is broken."""
    gaps: float = 0.15
    """Share of a broken drawing that is missing, up to this."""
    low_share: float = 0.0
    """Share of drawings shown at a low resolution."""
    low_from_px: float = 24.0
    """Side of the smallest picture, before it is brought back to 105 px."""
    low_to_px: float = 64.0
    """Side of the largest of them."""
    crop_share: float = 0.0
    """Share of drawings of which one side is cut off."""
    crop_px: float = 8.0
    """How much of it, up to this."""
    lost_share: float = 0.0
    """Share of drawings that lose their smallest part, where they have several, see `train.pens`."""

    def __post_init__(self) -> None:
        for name in ("rotation_deg", "shear", "log_scale", "shift_px", "elastic_px", "noise", "pressure"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, must not be negative.")
        shares = "redraw_share", "gap_share", "gaps", "low_share", "crop_share", "lost_share"
        for name in ("component_share", "pen_share", "contrast", *shares):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must lie in 0 to 1.")
        if not 0.1 <= self.pen_broad <= self.pen_fine <= 1:
            raise ValueError(f"pen_broad {self.pen_broad} and pen_fine {self.pen_fine} must rise within 0.1 to 1.")
        if not 1 <= self.redraw_from_px <= self.redraw_to_px <= 2 * REACH_PX - 1:
            raise ValueError(
                f"redraw_from_px {self.redraw_from_px} and redraw_to_px {self.redraw_to_px} must rise within 1 to "
                f"{2 * REACH_PX - 1:g}."
            )
        if not 8 <= self.low_from_px <= self.low_to_px <= IMAGE_SIZE_PX:
            raise ValueError(
                f"low_from_px {self.low_from_px} and low_to_px {self.low_to_px} must rise within 8 to {IMAGE_SIZE_PX}."
            )
        if not 0 <= self.crop_px <= 40:
            raise ValueError(f"crop_px is {self.crop_px}, must lie in 0 to 40.")

    @property
    def needs_layers(self) -> bool:
        """Whether each drawing must come with the layers of `train.pens`."""
        return max(self.redraw_share, self.lost_share) > 0

    @property
    def any(self) -> bool:
        geometry = self.rotation_deg, self.shear, self.log_scale, self.shift_px, self.elastic_px
        shares = self.pen_share, self.redraw_share, self.gap_share, self.low_share, self.crop_share, self.lost_share
        return max(*geometry, *shares, self.contrast, self.noise) > 0


def distort(
    images: Float[Tensor, "batch layers 105 105"], ranges: Distortions, generator: torch.Generator
) -> Float[Tensor, "batch 1 105 105"]:
    """Each drawing bent, turned and re-inked in its own way; paper stays 0 at the borders.

    Args:
        images: Ink 1 on paper 0; where `ranges.needs_layers`, with the other layers of `train.pens` behind it.
        ranges: What each drawing draws from.
        generator: On the CPU; decides everything.
    """
    width = enlarged = moved = None
    if ranges.needs_layers:
        images, width = choose_pens(images, ranges, generator)
        enlarged = torch.where(width > 0, (EXTENT_PX - USUAL_PEN_PX + width) / EXTENT_PX, 1.0)
    if ranges.crop_share:
        images, moved = crop(images, ranges, generator)
    grid = sampling_grid(images, ranges, generator, enlarged, moved)
    bent = F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
    if width is not None:
        bent = draw_with_pens(bent, width, ranges, generator)
    inked = change_pen(bent, ranges, generator) if ranges.pen_share else bent
    if ranges.gap_share:
        inked = break_ink(inked, ranges, generator)
    if ranges.low_share:
        inked = lower_resolution(inked, ranges, generator)
    return change_scan(inked, ranges, generator) if ranges.contrast or ranges.noise else inked


def rows_below(draws: Float[Tensor, " batch"], share: float) -> Int64[Tensor, " rows"]:
    """Where draws on the CPU lie below `share`, found without PyTorch, to which it would be an answer to wait for."""
    return torch.from_numpy(np.flatnonzero(draws.numpy() < share))


def choose_pens(
    layers: Float[Tensor, "batch 3 105 105"], ranges: Distortions, generator: torch.Generator
) -> tuple[Float[Tensor, "batch 1 105 105"], Float[Tensor, " batch"]]:
    """The one layer that each drawing is made of, less a small stroke where that is lost, and the new pen's width.

    Returns:
        The nearness of a line where the drawing gets another pen, else its ink; and that pen's width in pixels on the
        CPU, 0 where the ink stays.
    """
    chosen, where, lost = torch.rand(3, len(layers), generator=generator)
    low, high = math.log(ranges.redraw_from_px), math.log(ranges.redraw_to_px)
    width = torch.where(chosen < ranges.redraw_share, (low + (high - low) * where).exp(), 0.0)
    every = torch.arange(len(layers), device=layers.device)
    images = layers[every, to_device((width > 0).long(), layers.device)][:, None]
    rows = to_device(rows_below(lost, ranges.lost_share), layers.device)
    return images.index_copy_(0, rows, images[rows] * (1 - layers[rows, 2:])), width


def draw_with_pens(
    nearness: Float[Tensor, "batch 1 size size"],
    width: Float[Tensor, " batch"],
    ranges: Distortions,
    generator: torch.Generator,
) -> Float[Tensor, "batch 1 size size"]:
    """Ink wherever the middle of a line is nearer than half the pen's width; `width` 0 takes what is given as ink."""
    rows = rows_below(-width, 0.0)
    pen = to_device(width[rows].view(-1, 1, 1, 1), nearness.device)
    if ranges.pressure:
        nodes = torch.randn(len(width), 1, PRESSURE_NODES, PRESSURE_NODES, generator=generator)[rows]
        pen = pen * smooth_field(nodes * ranges.pressure, nearness).exp_()
    rows = to_device(rows, nearness.device)
    ink = (nearness[rows] - 1).mul_(REACH_PX).add_(pen, alpha=0.5).add_(0.5).clamp_(0, 1)
    return nearness.index_copy(0, rows, ink)


def crop(
    images: Float[Tensor, "batch 1 size size"], ranges: Distortions, generator: torch.Generator
) -> tuple[Float[Tensor, "batch 1 size size"], Float[Tensor, "batch 2"]]:
    """Some drawings with one side of their box cut off, and by how many pixels (x, y) what is left lies off the
    middle."""
    chosen, depth, side = torch.rand(3, len(images), generator=generator)
    rows, moved = rows_below(chosen, ranges.crop_share), torch.zeros(len(images), 2)
    place = torch.arange(images.shape[-1]) - (images.shape[-1] - 1) / 2
    kept = torch.ones(len(rows), 1, images.shape[-1], images.shape[-1])
    drawn = zip(kept, rows.tolist(), depth[rows].tolist(), side[rows].tolist(), strict=True)
    for mask, row, share, edge in drawn:
        cut, (axis, end) = share * ranges.crop_px, divmod(int(edge * 4), 2)  # x or y; its ends
        sign = 1 - 2 * end
        line = (sign * place >= cut - EXTENT_PX / 2).float()
        mask *= line if axis == 0 else line[:, None]
        moved[row, axis] = sign * cut / 2
    rows = to_device(rows, images.device)
    return images.index_copy(0, rows, images[rows] * to_device(kept, images.device)), moved


def break_ink(
    images: Float[Tensor, "batch 1 size size"], ranges: Distortions, generator: torch.Generator
) -> Float[Tensor, "batch 1 size size"]:
    """Some drawings with gaps in their lines, as a dry pen leaves them."""
    chosen, missing = torch.rand(2, len(images), generator=generator)
    nodes = torch.rand(len(images), 1, GAP_NODES, GAP_NODES, generator=generator)
    rows = rows_below(chosen, ranges.gap_share)
    level = to_device(missing[rows].view(-1, 1, 1, 1) * ranges.gaps, images.device)
    kept = ((smooth_field(nodes[rows], images) - level) * 8).clamp_(0, 1)
    rows = to_device(rows, images.device)
    return images.index_copy(0, rows, images[rows] * kept)


def lower_resolution(
    images: Float[Tensor, "batch 1 size size"], ranges: Distortions, generator: torch.Generator
) -> Float[Tensor, "batch 1 size size"]:
    """Some drawings as they are after the picture was reduced to `low_from_px` to `low_to_px` and enlarged."""
    chosen, where = torch.rand(2, len(images), generator=generator)
    rows = rows_below(chosen, ranges.low_share)
    if len(rows) == 0:
        return images
    sizes = ranges.low_from_px + (ranges.low_to_px - ranges.low_from_px) * where[rows]
    sizes = ((sizes / SIZE_STEP_PX).round() * SIZE_STEP_PX).long().clamp(max=images.shape[-1])
    there_and_back = torch.stack([reduction(images.shape[-1], size, images.device) for size in sizes.tolist()])
    rows = to_device(rows, images.device)
    reduced = there_and_back @ images[rows, 0] @ there_and_back.mT
    return images.index_copy(0, rows, reduced[:, None])


@cache
def reduction(size_px: int, low_px: int, device: torch.device) -> Float[Tensor, "size size"]:
    """Reduces a line of pixels to `low_px` and enlarges it again, as a matrix."""
    identity = torch.eye(size_px)[None, None]
    low = F.interpolate(identity, (low_px, size_px), mode="bilinear", align_corners=False, antialias=True)
    return F.interpolate(low, (size_px, size_px), mode="bilinear", align_corners=False)[0, 0].to(device)


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
    images: Float[Tensor, "batch 1 size size"],
    ranges: Distortions,
    generator: torch.Generator,
    enlarged: Float[Tensor, " batch"] | None = None,
    moved: Float[Tensor, "batch 2"] | None = None,
) -> Float[Tensor, "batch size size 2"]:
    """Where each output pixel looks, in `grid_sample`'s units (-1 to 1 across the picture).

    Args:
        images: What is looked at, for its size and its device.
        ranges: What turn, shear, scale, shift and bend are drawn from.
        generator: Decides them.
        enlarged: A factor by which each drawing is larger than it should be shown.
        moved: Pixels (x, y) by which each drawing lies off its middle.
    """
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
    if enlarged is not None:
        matrix = matrix * enlarged[:, None, None]
    shift = torch.stack([shift_x, shift_y], 1) * ranges.shift_px
    shift = (shift if moved is None else shift + moved) * 2 / size_px
    theta = torch.cat([matrix, shift[..., None]], 2)
    grid = F.affine_grid(to_device(theta, images.device), [batch, 1, size_px, size_px], align_corners=False)
    if ranges.elastic_px:
        nodes = torch.randn(batch, 2, ELASTIC_NODES, ELASTIC_NODES, generator=generator)
        field = smooth_field(nodes, images).permute(0, 2, 3, 1)
        grid = grid + field * ranges.elastic_px * 2 / size_px
    return grid


def smooth_field(
    nodes: Float[Tensor, "batch fields nodes nodes"], images: Float[Tensor, "_ _ size size"]
) -> Float[Tensor, "batch fields size size"]:
    """Values at the nodes carried to every pixel, as large as `images` and on their device."""
    spread = smooth_spread(images.shape[-1], images.device, nodes.shape[-1])
    return spread @ to_device(nodes, images.device) @ spread.T


@cache
def smooth_spread(size_px: int, device: torch.device, nodes: int) -> Float[Tensor, "size nodes"]:
    """Weights that carry values at the nodes of a line to each pixel of it, bicubic: a product with them costs a
    tenth of `interpolate` on every field."""
    identity = torch.eye(nodes)[None, None]
    return F.interpolate(identity, (size_px, nodes), mode="bicubic", align_corners=True)[0, 0].to(device)


def change_pen(
    images: Float[Tensor, "batch 1 size size"], ranges: Distortions, generator: torch.Generator
) -> Float[Tensor, "batch 1 size size"]:
    """Blur the ink and cut it at a level of its own for each drawing: below the pen's half height it grows."""
    chosen, where = torch.rand(2, len(images), generator=generator)
    rows = rows_below(chosen, ranges.pen_share)
    level = ranges.pen_broad + (ranges.pen_fine - ranges.pen_broad) * where[rows].view(-1, 1, 1, 1)
    level, rows = to_device(level, images.device), to_device(rows, images.device)
    blur = gaussian_blur(images.shape[-1], images.device)
    recut = (blur @ images[rows] @ blur.T).sub_(level).mul_(5).add_(0.5).clamp_(0, 1)
    return images.index_copy(0, rows, recut)


def change_scan(
    images: Float[Tensor, "batch 1 size size"], ranges: Distortions, generator: torch.Generator
) -> Float[Tensor, "batch 1 size size"]:
    """Fainter ink and noise, each drawing to an extent of its own."""
    faint, rough = to_device(torch.rand(2, len(images), 1, 1, 1, generator=generator), images.device)
    scanned = images * (1 - ranges.contrast * faint)
    if ranges.noise:
        scanned += to_device(torch.randn(images.shape, generator=generator), images.device) * ranges.noise * rough
    return scanned.clamp(0, 1)


@cache
def gaussian_blur(size_px: int, device: torch.device = torch.device("cpu")) -> Float[Tensor, "size size"]:
    """A blur of standard deviation 1.5 px along one axis, as a matrix: two products cost less than two convolutions
    of a single channel."""
    place = torch.arange(size_px)
    weight = torch.exp(-0.5 * ((place[:, None] - place[None]) / 1.5) ** 2)
    return (weight / weight[size_px // 2].sum()).to(device)


def dihedral(
    images: Float[Tensor, "batch layers size size"], view: Int64[Tensor, " batch"]
) -> Float[Tensor, "batch layers size size"]:
    """Each drawing in one of the eight views of the square: quarter turns `view % 4`, mirrored from 4 on.

    A `view` on the CPU is best: which views there are must be known there.
    """
    turned, view = torch.empty_like(images), view.cpu()
    for which in view.unique().tolist():
        rows = to_device((view == which).nonzero()[:, 0], images.device)
        part = images[rows].flip(-1) if which >= 4 else images[rows]
        turned[rows] = torch.rot90(part, which % 4, (-2, -1))
    return turned


def to_device(drawn: Tensor, device: torch.device) -> Tensor:
    """To the device without waiting until what it was given before is done: that is so from pinned memory only."""
    return drawn.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else drawn.to(device)

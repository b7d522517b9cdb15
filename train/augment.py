"""Random distortions of batches of drawings, computed on the device of the batch."""

import math
from functools import cache
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import ConfigDict, Field, NonNegativeFloat
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional as F

from siamese.preprocessing import IMAGE_SIZE_PX
from train.pens import REACH_PX

PRESSURE_NODES = 5  # pen pressure is drawn on 5 x 5 nodes and interpolated
GAP_NODES = 18  # gaps are drawn on 18 x 18 nodes, so that a gap is about 6 px long
SIZE_STEP_PX = 4  # low resolutions are multiples of this, so that few matrices are kept
EXTENT_PX = 80  # longer side of prepared ink; a broader pen enlarges it, a crop reduces it
USUAL_PEN_PX = 6.0  # pen of Omniglot's drawings once they are prepared; it is 3 px before they are scaled
ELASTIC_NODES = 5  # displacements are drawn on 5 x 5 nodes and interpolated

# Numbers must be numbers: neither text nor true nor infinity is taken for one.
STRICT = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, config=STRICT)
class Distortions:
    """Ranges of the random distortions, which are drawn for each drawing separately; by default there are none.

    Raises:
        pydantic.ValidationError: A value has the wrong type or is out of range.
    """

    rotation_deg: NonNegativeFloat = 0.0
    """Largest rotation in either direction."""
    shear: NonNegativeFloat = 0.0
    """Largest horizontal and vertical shear in either direction."""
    log_scale: NonNegativeFloat = 0.0
    """Largest absolute natural logarithm of the scale of each axis."""
    shift_px: NonNegativeFloat = 0.0
    """Largest shift along each axis in either direction."""
    elastic_px: NonNegativeFloat = 0.0
    """Standard deviation of a smooth displacement field."""
    component_share: Share = 1.0
    """Probability of the rotation, each shear, each scale and each shift, drawn independently."""
    pen_share: Share = 0.0
    """Share of drawings whose pen is made broader or finer by blurring the ink and thresholding it."""
    pen_fine: float = 0.45
    """Threshold of the finest pen; higher is finer."""
    pen_broad: float = 0.12
    """Threshold of the broadest pen; lower is broader, and below 0.1 the paper would turn grey."""

    contrast: Share = 0.0
    """Largest share by which the ink becomes fainter."""
    noise: NonNegativeFloat = 0.0
    """Largest standard deviation of the noise added to each pixel; the result is clamped to 0 to 1."""

    redraw_share: Share = 0.0
    """Share of drawings whose lines are redrawn along their centre lines with another pen."""
    redraw_from_px: float = 2.0
    """Width of the finest of these pens, in pixels of the prepared image; widths are log-uniform."""
    redraw_to_px: float = 16.0
    """Width of the broadest of these pens."""
    pressure: NonNegativeFloat = 0.0
    """Standard deviation of the logarithm of the width of these pens along the lines."""
    gap_share: Share = 0.0
    """Share of drawings whose lines have gaps."""
    gaps: Share = 0.15
    """Largest share of such a drawing that is missing."""
    low_share: Share = 0.0
    """Share of drawings shown at a low resolution."""
    low_from_px: float = 24.0
    """Side of the smallest of these images, before they are enlarged to 105 px again."""
    low_to_px: float = 64.0
    """Side of the largest of these images."""
    crop_share: Share = 0.0
    """Share of drawings that are cut off at one side."""
    crop_px: Annotated[float, Field(ge=0, le=40)] = 8.0
    """Largest width of the strip cut off."""
    lost_share: Share = 0.0
    """Share of drawings that lose their smallest part if they have several parts, see `train.pens`."""

    def __post_init__(self) -> None:
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

    @property
    def needs_layers(self) -> bool:
        """Whether each drawing must come with the layers of `train.pens`."""
        return max(self.redraw_share, self.lost_share) > 0

    @property
    def any(self) -> bool:
        """Whether any distortion is switched on."""
        geometry = self.rotation_deg, self.shear, self.log_scale, self.shift_px, self.elastic_px
        shares = self.pen_share, self.redraw_share, self.gap_share, self.low_share, self.crop_share, self.lost_share
        return max(*geometry, *shares, self.contrast, self.noise) > 0


def distort(
    images: Float[Tensor, "batch layers 105 105"], ranges: Distortions, generator: torch.Generator
) -> Float[Tensor, "batch 1 105 105"]:
    """Distorts each drawing of a batch at random; what comes in from outside the image is paper.

    Args:
        images: Ink 1 on paper 0; with `ranges.needs_layers` all three layers of `train.pens`.
        ranges: The ranges of the distortions.
        generator: Random generator on the CPU.

    Returns:
        The distorted drawings, ink 1 on paper 0.
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
    """Returns the indices of the draws below `share`; found with NumPy, as `torch.nonzero` would synchronise."""
    return torch.from_numpy(np.flatnonzero(draws.numpy() < share))


def choose_pens(
    layers: Float[Tensor, "batch 3 105 105"], ranges: Distortions, generator: torch.Generator
) -> tuple[Float[Tensor, "batch 1 105 105"], Float[Tensor, " batch"]]:
    """Draws a new pen for some drawings, removes the smallest part of others, and returns the layer to go on with.

    Args:
        layers: Ink, nearness to the lines and smallest part of each drawing, as `train.pens` makes them, 0 to 1.
        ranges: The ranges of the distortions.
        generator: Random generator on the CPU.

    Returns:
        For each drawing its nearness layer if it gets a new pen, else its ink; and the width of the new pen in pixels,
        on the CPU, 0 if the drawing keeps its own.
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
    """Turns nearness to the lines into ink, with a pen of the given width.

    Args:
        nearness: For drawings with a new pen 1 on a line, falling to 0 at a distance of REACH_PX; else ink.
        width: Width of each pen in pixels, on the CPU; 0 leaves the drawing as it is.
        ranges: The ranges of the distortions, of which `pressure` is used.
        generator: Random generator on the CPU.

    Returns:
        Ink 1 on paper 0.
    """
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
    """Cuts a strip off one side of some drawings.

    Returns:
        The drawings, and the offset (x, y) in pixels of the centre of what is left from the centre of the image.
    """
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
    """Makes gaps in the lines of some drawings, as a dry pen leaves them."""
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
    """Reduces some drawings to a side of `low_from_px` to `low_to_px` and enlarges them again."""
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
    """Returns the matrix that reduces a row of `size_px` pixels to `low_px` and enlarges it again."""
    identity = torch.eye(size_px)[None, None]
    low = F.interpolate(identity, (low_px, size_px), mode="bilinear", align_corners=False, antialias=True)
    return F.interpolate(low, (size_px, size_px), mode="bilinear", align_corners=False)[0, 0].to(device)


def distort_copies(
    images: Float[Tensor, "batch 1 105 105"], ranges: Distortions, copy: Int64[Tensor, " batch"], seed: int
) -> Float[Tensor, "batch 1 105 105"]:
    """Distorts each drawing with a generator of its own, so that the same copy always looks the same.

    Args:
        images: Ink 1 on paper 0.
        ranges: The ranges of the distortions.
        copy: Number of the copy of each drawing; copy 0 is the undistorted drawing.
        seed: With the number of the copy it decides the distortion.
    """
    made = images.clone()
    for place in copy.nonzero()[:, 0].tolist():
        # the CPU generator uses only the lower 32 bits of a seed
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
    """Draws a random geometric distortion for each drawing.

    Args:
        images: The drawings, of which only the size and the device are used.
        ranges: The ranges of rotation, shear, scale, shift and elastic displacement.
        generator: Random generator on the CPU.
        enlarged: Factor by which each drawing is larger than it should appear.
        moved: Offset (x, y) of each drawing from the centre of the image in pixels.

    Returns:
        For each output pixel the place (x, y) that it is sampled from, in the units of `grid_sample`: -1 to 1 across
        the image.
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
    """Interpolates values at nodes to every pixel, at the size and on the device of `images`."""
    spread = smooth_spread(images.shape[-1], images.device, nodes.shape[-1])
    return spread @ to_device(nodes, images.device) @ spread.T


@cache
def smooth_spread(size_px: int, device: torch.device, nodes: int) -> Float[Tensor, "size nodes"]:
    """Returns the matrix of bicubic interpolation from nodes to pixels along one axis.

    Two products with it cost a tenth of `interpolate` on every field.
    """
    identity = torch.eye(nodes)[None, None]
    return F.interpolate(identity, (size_px, nodes), mode="bicubic", align_corners=True)[0, 0].to(device)


def change_pen(
    images: Float[Tensor, "batch 1 size size"], ranges: Distortions, generator: torch.Generator
) -> Float[Tensor, "batch 1 size size"]:
    """Blurs the ink of some drawings and thresholds it at a random level, which makes the pen finer or broader."""
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
    """Makes the ink of each drawing fainter and adds noise, by random amounts."""
    faint, rough = to_device(torch.rand(2, len(images), 1, 1, 1, generator=generator), images.device)
    scanned = images * (1 - ranges.contrast * faint)
    if ranges.noise:
        scanned += to_device(torch.randn(images.shape, generator=generator), images.device) * ranges.noise * rough
    return scanned.clamp(0, 1)


@cache
def gaussian_blur(size_px: int, device: torch.device = torch.device("cpu")) -> Float[Tensor, "size size"]:
    """Returns the matrix of a Gaussian blur of 1.5 px along one axis.

    Two products with it cost less than two convolutions of a single channel.
    """
    place = torch.arange(size_px)
    weight = torch.exp(-0.5 * ((place[:, None] - place[None]) / 1.5) ** 2)
    return (weight / weight[size_px // 2].sum()).to(device)


def dihedral(
    images: Float[Tensor, "batch layers size size"], view: Int64[Tensor, " batch"]
) -> Float[Tensor, "batch layers size size"]:
    """Turns and mirrors each drawing into one of the eight symmetries of the square.

    Args:
        images: The drawings.
        view: 0 to 7 for each drawing: `view % 4` quarter turns counter-clockwise, after mirroring from 4 on. Best kept
            on the CPU, where it is read.
    """
    turned, view = torch.empty_like(images), view.cpu()
    for which in view.unique().tolist():
        rows = to_device((view == which).nonzero()[:, 0], images.device)
        part = images[rows].flip(-1) if which >= 4 else images[rows]
        turned[rows] = torch.rot90(part, which % 4, (-2, -1))
    return turned


def to_device(drawn: Tensor, device: torch.device) -> Tensor:
    """Copies a tensor to the device; to a GPU from pinned memory, so that the CPU does not wait for it."""
    return drawn.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else drawn.to(device)

"""The tower in whole numbers of eight bits, for processors that multiply them faster than anything else.

Jacob et al. (2018), "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
section 2: weights as int8 with a scale for each row, what follows a rectifier as uint8 with one scale for each layer,
sums in 32 bits. Sums of whole numbers are exact, so an embedding does not depend on the pictures beside it.
"""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int8, UInt8
from torch import Tensor
from torch.nn import functional as F

from siamese.characters.synthetic import synthetic_drawings
from siamese.network import SiameseNetwork
from siamese.preprocessing import IMAGE_SIZE_PX, Preprocessing

CALIBRATION_SEED = 20_180  # of the invented drawings that the ranges are measured on
LEVELS = 255
CLIPPED_SHARES = [share / 40 for share in range(10, 41)]  # of the largest value, tried as the end of a range
BINS = 8192  # of the histogram that the end of a range is chosen by
MOST_ERROR = 0.01  # of the embeddings, root of the mean square; trained networks stay below 0.002
BATCH = 32  # through the convolutions at once: 64 take no less time each, but blocks that the system maps anew

OPERATIONS = torch.ops.onednn


@dataclass(frozen=True)
class Layer:
    """One layer's weights, as oneDNN wants them."""

    weight: Tensor
    scale: Float32[Tensor, " rows"]
    bias: Float32[Tensor, " rows"]


@dataclass(frozen=True)
class Int8Tower:
    """Embeds like the network that it was made of, see `int8_tower`."""

    convolutions: tuple[Layer, ...]
    embedding: Layer
    scales: tuple[float, ...]
    """What one step of each layer's input is worth, pictures first."""

    def embed(self, pictures: Float[Tensor, "batch 1 105 105"]) -> Float32[Tensor, "batch units"]:
        """Pictures with ink 1 on paper 0, which are rounded to 255 levels as training saw them, to embeddings."""
        features = torch.cat([self._features(part) for part in pictures.split(BATCH)])
        units = OPERATIONS.qlinear_pointwise(
            *(features, self.scales[4], 0, self.embedding.weight, self.embedding.scale),
            *(_zeros(self.embedding), self.embedding.bias, 1.0, 0, torch.float32, "none", [], ""),
        )
        return units.sigmoid_()

    def _features(self, pictures: Float[Tensor, "batch 1 105 105"]) -> UInt8[Tensor, "batch features"]:
        features = (pictures * LEVELS).round_().to(torch.uint8).contiguous(memory_format=torch.channels_last)
        for index, layer in enumerate(self.convolutions):
            features = OPERATIONS.qconv_pointwise(
                *(features, self.scales[index], 0, layer.weight, layer.scale, _zeros(layer), layer.bias),
                *([1, 1], [0, 0], [1, 1], 1, self.scales[index + 1], 0, torch.uint8, "relu", [], ""),
            )
            if index < 3:
                features = pooled(features)
        return features.flatten(1)


def is_fast() -> bool:
    """Whether this processor has instructions for it.

    Without VNNI oneDNN would add pairs of products in 16 bits, which is neither fast nor exact.
    """
    return bool(getattr(torch.cpu, "_is_vnni_supported", bool)()) and hasattr(OPERATIONS, "qconv_pointwise")


@torch.inference_mode()
def int8_tower(
    network: SiameseNetwork,
    preprocessing: Preprocessing = Preprocessing(),
    base: Int8Tower | None = None,
    precision: torch.dtype = torch.float32,
) -> Int8Tower | None:
    """The tower of a folded network, its ranges measured on invented drawings by its convolutions in `precision`.

    None for a network that it cannot serve: with units that go below 0, or whose embeddings it would change by more
    than MOST_ERROR. The 9216 x 4096 layer of `base` is taken over: it must have been made of the same weights.
    """
    if network.config.activation != "relu" or network.config.batch_norm:
        return None
    drawings = synthetic_drawings(alphabets=2, characters=4, drawers=4, seed=CALIBRATION_SEED).prepared(preprocessing)
    pictures = drawings.float().div_(LEVELS)
    features, scales = pictures, [1 / LEVELS]
    exact_convolutions = copy.deepcopy(network.convolutions).to(precision, memory_format=torch.channels_last)
    for index, convolution in enumerate(exact_convolutions):
        parts = []
        for part in features.contiguous(memory_format=torch.channels_last).split(8):  # what is pooled is soon let go
            made = convolution(part.to(precision))
            parts.append(F.relu(F.max_pool2d(made, 2) if index < 3 else made))
        features = torch.cat(parts).float()
        scales.append(step_of(features))
    exact = torch.sigmoid(network.embedding(features.flatten(1)))
    sizes_px = (IMAGE_SIZE_PX, 48, 21, 9)
    convolutions = []
    for convolution, size_px, scale in zip(network.convolutions, sizes_px, scales, strict=False):
        whole, rows = whole_rows(convolution.weight.flatten(1))
        shape = [BATCH, convolution.in_channels, size_px, size_px]
        packed = OPERATIONS.qconv_prepack(
            whole.view_as(convolution.weight), rows, scale, 0, [1, 1], [0, 0], [1, 1], 1, shape
        )
        convolutions.append(Layer(packed, rows, convolution.bias.float()))
    if base is None:
        whole, rows = whole_rows(network.embedding.weight)
        packed = OPERATIONS.qlinear_prepack(whole, [BATCH, whole.shape[1]])
    else:
        packed, rows = base.embedding.weight, base.embedding.scale
    tower = Int8Tower(tuple(convolutions), Layer(packed, rows, network.embedding.bias.float()), tuple(scales))
    error = (tower.embed(pictures) - exact).square().mean().sqrt()
    return tower if bool(error <= MOST_ERROR) else None


def step_of(features: Float[Tensor, "*shape"]) -> float:
    """What one of 255 steps is worth, so that the mean third power of the errors of rounding and clipping is least.

    With their square more is clipped, always in one direction, and logits move twice as far.
    """
    largest = features.max().item()
    if largest <= 0:
        return 1 / LEVELS
    counts = torch.histc(features, BINS, 0, largest)
    counts[0] = 0  # what the rectifier cut off is 0 in any step
    values = (torch.arange(BINS) + 0.5) * (largest / BINS)
    steps = largest / LEVELS * torch.tensor(CLIPPED_SHARES)[:, None]
    errors = ((values / steps).round_().clamp_(max=LEVELS) * steps - values).abs_().pow_(3) @ counts
    return steps[errors.argmin()].item()


def whole_rows(
    weight: Float[Tensor, "rows columns"],
) -> tuple[Int8[Tensor, "rows columns"], Float32[Tensor, " rows"]]:
    """Weights as whole numbers up to 127 and what one step is worth in each row.

    Of a layer that was restored from an "int8" checkpoint they are the numbers stored there.
    """
    scale = weight.float().abs().amax(1).clamp(min=1e-30) / 127
    return (weight / scale[:, None]).round_().to(torch.int8), scale


def pooled(features: UInt8[Tensor, "batch channels height width"]) -> UInt8[Tensor, "batch channels _ _"]:
    """The largest of each 2 x 2: on whole numbers in this layout three times as fast as `max_pool2d`."""
    rows = features.permute(0, 2, 3, 1)
    rows = rows[:, : rows.shape[1] // 2 * 2, : rows.shape[2] // 2 * 2]
    rows = torch.maximum(rows[:, 0::2], rows[:, 1::2])
    return torch.maximum(rows[:, :, 0::2], rows[:, :, 1::2]).permute(0, 3, 1, 2)


def _zeros(layer: Layer) -> Tensor:
    """The zero points of symmetric weights."""
    return torch.zeros(len(layer.scale), dtype=torch.int64)

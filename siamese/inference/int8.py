"""The network's embedding in 8-bit integers, for processors that multiply these fastest.

Jacob et al. (2018), "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
section 2: weights are int8 with a scale for each row, activations uint8 with one scale for each layer, and sums have 32
bits. Integer sums are exact, so an embedding does not depend on the other pictures of its batch.

This calls the two oneDNN operations that torch.ao's quantised modules end in, without their rewriting of the graph.
"""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int8, UInt8
from torch import Tensor
from torch.nn import functional as F

from siamese.network import SiameseNetwork, convolutions_of

SIZES_PX = (105, 48, 21, 9)  # side of the input of each convolution
LEVELS = 255
CLIPPED_SHARES = [share / 40 for share in range(10, 41)]  # of the largest value, tried as the end of a range
BINS = 8192  # bins of the histogram from which a range is chosen
MOST_ERROR = 0.01  # root mean square error of the embeddings; trained networks stay below 0.002
BATCH = 32  # pictures in one pass; 64 are no faster each and need blocks that the system maps anew

OPERATIONS = torch.ops.onednn


@dataclass(frozen=True)
class Layer:
    """One layer's weights, as oneDNN wants them."""

    weight: Tensor
    scale: Float32[Tensor, " rows"]
    bias: Float32[Tensor, " rows"]


@dataclass(frozen=True)
class Int8Encoder:
    """Embeds like the network that it was made of, see `int8_encoder`."""

    convolutions: tuple[Layer, ...]
    embedding: Layer
    scales: tuple[float, ...]
    """What one step of each layer's input is worth, pictures first."""

    def embed(self, pictures: Float[Tensor, "batch 1 105 105"]) -> Float32[Tensor, "batch units"]:
        """Embeds pictures.

        Args:
            pictures: Ink 1 on paper 0; rounded to 255 levels, as in training.
        """
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
    """Whether this processor has VNNI instructions; without them oneDNN sums in 16 bits, slower and not exactly."""
    return bool(getattr(torch.cpu, "_is_vnni_supported", bool)()) and hasattr(OPERATIONS, "qconv_pointwise")


@torch.inference_mode()
def int8_encoder(
    network: SiameseNetwork,
    pictures: Float[Tensor, "pictures 1 105 105"],
    base: Int8Encoder | None = None,
    precision: torch.dtype = torch.float32,
) -> Int8Encoder | None:
    """Quantises a network.

    Args:
        network: Without batch normalisation.
        pictures: Pictures on which the ranges are measured; ink 1 on paper 0.
        base: An encoder with the same 9216 x 4096 layer, which is shared with it.
        precision: Precision of the convolutions while the ranges are measured.

    Returns:
        The encoder; None if the network has units with negative outputs, or if its embeddings would change by more
        than MOST_ERROR.
    """
    if network.config.activation != "relu" or network.config.batch_norm:
        return None
    features, scales = pictures, [1 / LEVELS]
    exact_convolutions = copy.deepcopy(network.convolutions).to(precision).to(memory_format=torch.channels_last)
    for index, convolution in enumerate(exact_convolutions):
        parts = []
        for part in features.contiguous(memory_format=torch.channels_last).split(8):  # what is pooled is soon let go
            made = convolution(part.to(precision))
            parts.append(F.relu(F.max_pool2d(made, 2) if index < 3 else made))
        features = torch.cat(parts).float()
        scales.append(step_of(features))
    exact = torch.sigmoid(network.embedding(features.flatten(1)))
    convolutions = []
    for convolution, size_px, scale in zip(convolutions_of(network), SIZES_PX, scales, strict=False):
        assert convolution.bias is not None
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
    encoder = Int8Encoder(tuple(convolutions), Layer(packed, rows, network.embedding.bias.float()), tuple(scales))
    error = (encoder.embed(pictures) - exact).square().mean().sqrt()
    return encoder if bool(error <= MOST_ERROR) else None


def step_of(features: Float[Tensor, "*shape"]) -> float:
    """Returns the quantisation step of a layer's input that minimises the mean cubed error of rounding and clipping.

    With the squared error more values are clipped, which shifts logits twice as far.
    """
    largest = features.max().item()
    if largest <= 0:
        return 1 / LEVELS
    counts = torch.histc(features, BINS, 0, largest)
    counts[0] = 0  # what the rectifier cut off is 0 with any step
    values = (torch.arange(BINS) + 0.5) * (largest / BINS)
    steps = largest / LEVELS * torch.tensor(CLIPPED_SHARES)[:, None]
    errors = ((values / steps).round_().clamp_(max=LEVELS) * steps - values).abs_().pow_(3) @ counts
    return steps[errors.argmin()].item()


def whole_rows(
    weight: Float[Tensor, "rows columns"],
) -> tuple[Int8[Tensor, "rows columns"], Float32[Tensor, " rows"]]:
    """Rounds weights to integers in [-127, 127] with one scale for each row.

    For a layer that was restored from an "int8" checkpoint these are the numbers stored there.
    """
    scale = weight.float().abs().amax(1).clamp(min=1e-30) / 127
    return (weight / scale[:, None]).round_().to(torch.int8), scale


def pooled(features: UInt8[Tensor, "batch channels height width"]) -> UInt8[Tensor, "batch channels _ _"]:
    """Returns the maximum of each 2 x 2; three times as fast as `max_pool2d` on channels-last integers."""
    rows = features.permute(0, 2, 3, 1)
    rows = rows[:, : rows.shape[1] // 2 * 2, : rows.shape[2] // 2 * 2]
    rows = torch.maximum(rows[:, 0::2], rows[:, 1::2])
    return torch.maximum(rows[:, :, 0::2], rows[:, :, 1::2]).permute(0, 3, 1, 2)


def _zeros(layer: Layer) -> Tensor:
    """The zero points of symmetric weights."""
    return torch.zeros(len(layer.scale), dtype=torch.int64)

"""The convolutional Siamese network of Koch, Zemel and Salakhutdinov (2015), section 3.1 and figure 4."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = (64, 128, 128, 256)
KERNELS = (10, 7, 4, 4)
EMBEDDING_UNITS = 4096
FEATURE_MAP = 6 * 6  # what the convolutions and poolings leave of each channel of 105 x 105 pixels
FLAT_UNITS = CHANNELS[-1] * FEATURE_MAP
NORM_MOMENTUM = 0.02  # batches of one alphabet differ more than mixed ones; their statistics need a longer memory
BLOCK_ELEMENTS = 1 << 26  # of a broadcast difference: 256 MiB in float32
SUPPORT_BLOCK = 64  # embeddings: 1 MiB in float32, which stays in a core's cache between the three operations

Activation = Literal["relu", "selu"]
Initialisation = Literal["paper", "modern"]
BatchNorm = nn.modules.batchnorm._BatchNorm  # what those for one and for two dimensions have in common


@dataclass(frozen=True)
class NetworkConfig:
    """What of the network may differ from one checkpoint to another."""

    activation: Activation = "relu"
    """Unit behind each convolution; the paper's is "relu"."""

    batch_norm: bool = False
    """Normalise before each activation; exists while training only, see `SiameseNetwork.folded`."""

    dropout: float = 0.0
    """Share of the flattened features that is dropped while training, in [0, 1)."""

    channels: tuple[int, int, int, int] = CHANNELS
    """Of the four convolutions; the paper's by default. Narrow ones make fast tests."""

    embedding_units: int = EMBEDDING_UNITS
    """Sigmoid units that an image becomes; the paper's by default."""

    def __post_init__(self) -> None:
        if self.activation not in get_args(Activation):
            raise ValueError(f"activation is {self.activation!r}, must be one of {', '.join(get_args(Activation))}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, must lie in [0, 1).")
        if len(self.channels) != 4 or min(*self.channels, self.embedding_units) < 1:
            raise ValueError(
                f"channels are {self.channels} and embedding_units {self.embedding_units}, must be four whole numbers "
                "and one, all at least 1."
            )


class SiameseNetwork(nn.Module):
    """Compares two images: one set of layers embeds both, a learned weighted L1 distance tells how far they are apart.

    In the paper's size it has 38,951,745 parameters. `embed` and `compare` are separate, so that an image is embedded
    once however many it is compared with. Pooling stands before the rectifier, which gives the same numbers (the
    maximum and a rising function can be exchanged) at a quarter of the work.
    """

    def __init__(
        self,
        config: NetworkConfig = NetworkConfig(),
        initialisation: Initialisation = "modern",
        generator: torch.Generator | None = None,
    ) -> None:
        """Builds the layers and draws their weights.

        Args:
            config: Widths, activation, normalisation and dropout.
            initialisation: How weights are drawn, see `initialise`.
            generator: Source of the random weights; PyTorch's global one by default.
        """
        super().__init__()
        self.config = config
        widths = (1, *config.channels)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel)
            for before, after, kernel in zip(widths[:-1], widths[1:], KERNELS, strict=True)
        )
        self.embedding = nn.Linear(config.channels[-1] * FEATURE_MAP, config.embedding_units)
        self.head = nn.Linear(config.embedding_units, 1)
        if config.batch_norm:
            self.convolution_norms = nn.ModuleList(
                nn.BatchNorm2d(width, momentum=NORM_MOMENTUM) for width in config.channels
            )
            self.embedding_norm: BatchNorm = nn.BatchNorm1d(config.embedding_units, momentum=NORM_MOMENTUM)
        if not self.head.weight.is_meta:  # drawing on "meta" would import 900 modules: a second and 150 MB
            initialise(self, initialisation, generator)

    def embed(self, images: Float[Tensor, "batch 1 105 105"]) -> Float[Tensor, "batch units"]:
        """Embeds images.

        Args:
            images: Ink 1 on paper 0.

        Returns:
            The sigmoid units of figure 4, in [0, 1].
        """
        features = images
        for index, convolution in enumerate(self.convolutions):
            features = convolution(features)
            if self.config.batch_norm:
                features = self.convolution_norms[index](features)
            if index < 3:
                features = F.max_pool2d(features, 2)
            features = F.relu(features) if self.config.activation == "relu" else F.selu(features)
        features = F.dropout(features.flatten(1), self.config.dropout, self.training)
        units = self.embedding(features)
        if self.config.batch_norm:
            units = self.embedding_norm(units)
        return torch.sigmoid(units)

    def compare(self, a: Float[Tensor, "*#batch units"], b: Float[Tensor, "*#batch units"]) -> Float[Tensor, "*#batch"]:
        """Logits of "the same character" for embeddings that stand at the same place in `a` and `b`."""
        return self.head((a - b).abs()).squeeze(-1)

    def compare_all(self, a: Float[Tensor, "n units"], b: Float[Tensor, "m units"]) -> Float[Tensor, "n m"]:
        """Logits of each of `a` with each of `b`.

        Where no weight of the head is positive this is an L1 distance of scaled embeddings (`torch.cdist`); otherwise
        the differences are made block by block.
        """
        weight, bias = self.head.weight[0], self.head.bias[0]
        if a.device.type == "cuda":  # asking a GPU for the signs would wait for all that it was given before
            return bias + signed_distances(a, b, weight)
        if bool((weight <= 0).all()):
            return bias - torch.cdist(a * -weight, b * -weight, p=1)
        rows = max(1, BLOCK_ELEMENTS // max(1, b.numel()))
        return torch.cat([self.compare(block[:, None], b[None]) for block in a.split(rows)])

    @torch.no_grad()
    def compare_query(
        self, support: Float[Tensor, "classes units"], query: Float[Tensor, " units"]
    ) -> Float[Tensor, " classes"]:
        """Logits of one embedding with each of many, without gradients.

        Works block by block in one buffer: fresh memory for each block would take longer than the arithmetic.
        """
        logits = query.new_empty(len(support))
        differences = query.new_empty(min(SUPPORT_BLOCK, len(support)), len(query))
        for start in range(0, len(support), SUPPORT_BLOCK):
            block = support[start : start + SUPPORT_BLOCK]
            part = differences[: len(block)]
            torch.sub(block, query, out=part).abs_()
            torch.mv(part, self.head.weight[0], out=logits[start : start + len(block)])
        return logits + self.head.bias

    def forward(
        self, first: Float[Tensor, "batch 1 105 105"], second: Float[Tensor, "batch 1 105 105"]
    ) -> Float[Tensor, " batch"]:
        """Logits for pairs of images, all embedded in one pass."""
        a, b = self.embed(torch.cat([first, second])).chunk(2)
        return self.compare(a, b)

    @torch.no_grad()
    def keep_head_a_distance(self) -> None:
        """Clamps the head's weights to at most 0; called after an optimiser step."""
        self.head.weight.clamp_(max=0)

    @torch.no_grad()
    def folded(self) -> "SiameseNetwork":
        """The same function without batch normalisation and dropout: exactly the paper's layers."""
        config = NetworkConfig(
            self.config.activation, channels=self.config.channels, embedding_units=self.config.embedding_units
        )
        plain = SiameseNetwork(config).to(self.head.weight)
        plain.head.load_state_dict(self.head.state_dict())
        layers = [*self.convolutions, self.embedding]
        norms = [*self.convolution_norms, self.embedding_norm] if self.config.batch_norm else [None] * len(layers)
        for target, layer, norm in zip([*plain.convolutions, plain.embedding], layers, norms, strict=True):
            target.load_state_dict(layer.state_dict())
            if isinstance(norm, BatchNorm):
                fold(target, norm)
        return plain.eval()

    def freeze_convolutions(self, count: int) -> None:
        """Excludes the first `count` convolutions from training, their normalisation folded into them.

        Layers before the first one that learns need no backward pass: with the first frozen, whose maps are the
        largest, a training step takes 60 % of the time.
        """
        for index, convolution in enumerate(convolutions_of(self)[:count]):
            norm = self.convolution_norms[index] if self.config.batch_norm else None
            if isinstance(norm, BatchNorm):
                fold(convolution, norm)
                self.convolution_norms[index] = nn.Identity()
            convolution.requires_grad_(False)

    @torch.no_grad()
    def unfolded(self, config: NetworkConfig, images: Float[Tensor, "batch 1 105 105"]) -> "SiameseNetwork":
        """The same function with new batch normalisation, to continue training from a folded network.

        Args:
            config: Of the new network; activation and widths must be those of this one.
            images: Each norm's scale and shift are set to the statistics of its input on these, so that the norm
                changes nothing at first.

        Raises:
            ValueError: The activation differs.
        """
        if config.activation != self.config.activation:
            raise ValueError(f"The checkpoint has {self.config.activation} units, the recipe {config.activation}.")
        network = SiameseNetwork(config).to(self.head.weight)
        network.load_state_dict(self.state_dict(), strict=not config.batch_norm)
        if config.batch_norm:
            norms = iter([*network.convolution_norms, network.embedding_norm])

            def keep_statistics(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
                norm, channels = next(norms), output.transpose(0, 1).flatten(1)
                norm.running_mean.copy_(channels.mean(1))
                norm.running_var.copy_(channels.var(1))
                norm.weight.copy_((norm.running_var + norm.eps).sqrt())
                norm.bias.copy_(norm.running_mean)

            layers = [*self.convolutions, self.embedding]
            hooks = [layer.register_forward_hook(keep_statistics) for layer in layers]
            self.embed(images)
            for hook in hooks:
                hook.remove()
        return network


def convolutions_of(network: SiameseNetwork) -> list[nn.Conv2d]:
    """The convolutions under their own type; of what a `ModuleList` holds no more is known than that it is modules."""
    return [layer for layer in network.convolutions if isinstance(layer, nn.Conv2d)]


@torch.no_grad()
def fold(layer: nn.Conv2d | nn.Linear, norm: BatchNorm) -> None:
    """Changes `layer` so that it computes what it and `norm` together compute in evaluation mode."""
    assert norm.running_mean is not None  # these layers keep statistics
    assert norm.running_var is not None
    assert layer.bias is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.ndim - 1)))
    layer.bias.mul_(scale).add_(norm.bias - norm.running_mean * scale)


def signed_distances(
    a: Float[Tensor, "n units"], b: Float[Tensor, "m units"], weight: Float[Tensor, " units"]
) -> Float[Tensor, "n m"]:
    """Sums of weighted absolute differences for weights of both signs: one L1 distance for each sign."""
    positive, negative = weight.clamp(min=0), -weight.clamp(max=0)
    return torch.cdist(a * positive, b * positive, p=1) - torch.cdist(a * negative, b * negative, p=1)


@torch.no_grad()
def initialise(network: SiameseNetwork, scheme: Initialisation, generator: torch.Generator | None = None) -> None:
    """Draws the weights.

    Args:
        network: Whose weights are replaced.
        scheme: "paper" is section 3.2 of Koch et al. (2015): convolutions N(0, 0.01) with bias N(0.5, 0.01), the
            embedding layer and the head N(0, 0.2). "modern" is He et al. (2015), and a head whose weights are all
            negative, so that training starts from a distance.
        generator: Source of the random numbers; PyTorch's global one by default.

    Raises:
        ValueError: There is no such scheme.
    """
    for layer in convolutions_of(network):
        assert layer.bias is not None
        if scheme == "paper":
            nn.init.normal_(layer.weight, 0, 1e-2, generator=generator)
            nn.init.normal_(layer.bias, 0.5, 1e-2, generator=generator)
        else:
            nn.init.kaiming_normal_(layer.weight, nonlinearity=network.config.activation, generator=generator)
            nn.init.zeros_(layer.bias)
    if scheme == "paper":
        nn.init.normal_(network.embedding.weight, 0, 2e-1, generator=generator)
        nn.init.normal_(network.embedding.bias, 0.5, 1e-2, generator=generator)
        nn.init.normal_(network.head.weight, 0, 2e-1, generator=generator)
        nn.init.normal_(network.head.bias, 0.5, 1e-2, generator=generator)
    elif scheme == "modern":
        nn.init.normal_(network.embedding.weight, 0, network.embedding.in_features**-0.5, generator=generator)
        nn.init.zeros_(network.embedding.bias)
        nn.init.constant_(network.head.weight, -0.01)
        nn.init.constant_(network.head.bias, 4.0)
    else:
        raise ValueError(f"initialisation is {scheme!r}, must be one of {', '.join(get_args(Initialisation))}.")

"""The convolutional Siamese network of Koch, Zemel and Salakhutdinov (2015), section 3.1 and figure 4."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    import siamese.preprocessing

IMAGE_SIZE_PX = 105
FLAT_UNITS = 9216  # 256 channels of 6 x 6, what the last convolution leaves of 105 x 105
EMBEDDING_UNITS = 4096
PARAMETERS = 38_951_745
NORM_MOMENTUM = 0.02  # batches of one alphabet differ more than mixed ones; their statistics need a longer memory
BLOCK_ELEMENTS = 1 << 26  # of a broadcast difference: 256 MiB in float32

GALLERY_BLOCK = 64  # embeddings: 1 MiB in float32, which stays in a core's cache between the three operations

Activation = Literal["relu", "selu"]
Initialisation = Literal["paper", "modern"]


@dataclass(frozen=True)
class NetworkConfig:
    """What of the network may differ from one checkpoint to another."""

    activation: Activation = "relu"
    """Unit behind each convolution; the paper's is "relu"."""

    batch_norm: bool = False
    """Normalise before each activation; exists while training only, see `SiameseNetwork.folded`."""

    dropout: float = 0.0
    """Share of the flattened features that is dropped while training, in [0, 1)."""

    def __post_init__(self) -> None:
        if self.activation not in get_args(Activation):
            raise ValueError(f"activation is {self.activation!r}, must be one of {', '.join(get_args(Activation))}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, must lie in [0, 1).")


class SiameseNetwork(nn.Module):
    """Two images through one tower, compared by a learned weighted L1 distance; 38,951,745 parameters.

    `embed` and `compare` are apart so that an image is embedded once, however many it is compared with.
    Pooling stands before the rectifier: max and a rising function commute, and a quarter of the elements remain.
    """

    def __init__(
        self,
        config: NetworkConfig = NetworkConfig(),
        initialisation: Initialisation = "modern",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(1, 64, 10), nn.Conv2d(64, 128, 7), nn.Conv2d(128, 128, 4), nn.Conv2d(128, 256, 4)]
        )
        self.embedding = nn.Linear(FLAT_UNITS, EMBEDDING_UNITS)
        self.head = nn.Linear(EMBEDDING_UNITS, 1)
        if config.batch_norm:
            self.convolution_norms = nn.ModuleList(
                nn.BatchNorm2d(c.out_channels, momentum=NORM_MOMENTUM) for c in self.convolutions
            )
            self.embedding_norm = nn.BatchNorm1d(EMBEDDING_UNITS, momentum=NORM_MOMENTUM)
        if not self.head.weight.is_meta:  # drawing what is not there would import 900 modules: a second and 150 MB
            initialise(self, initialisation, generator)

    def embed(self, images: Float[Tensor, "batch 1 105 105"]) -> Float[Tensor, "batch 4096"]:
        """Images with ink 1 on paper 0 to vectors of 4096 numbers in [0, 1] (the sigmoid units of figure 4)."""
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

    def compare(self, a: Float[Tensor, "*#batch 4096"], b: Float[Tensor, "*#batch 4096"]) -> Float[Tensor, "*#batch"]:
        """Logits of "the same character" for embeddings that stand at the same place in `a` and `b`."""
        return self.head((a - b).abs()).squeeze(-1)

    def compare_all(self, a: Float[Tensor, "n 4096"], b: Float[Tensor, "m 4096"]) -> Float[Tensor, "n m"]:
        """Logits of each of `a` with each of `b`.

        With a head that never rewards a difference this is an L1 distance of scaled embeddings (`torch.cdist`);
        otherwise the differences are made block by block.
        """
        weight, bias = self.head.weight[0], self.head.bias[0]
        if a.device.type == "cuda":  # asking a GPU for the signs would wait for all that it was given before
            return bias + signed_distances(a, b, weight)
        if bool((weight <= 0).all()):
            return bias - torch.cdist(a * -weight, b * -weight, p=1)
        rows = max(1, BLOCK_ELEMENTS // max(1, b.numel()))
        return torch.cat([self.compare(block[:, None], b[None]) for block in a.split(rows)])

    @torch.no_grad()
    def compare_gallery(
        self, gallery: Float[Tensor, "classes 4096"] | UInt8[Tensor, "classes 4096"], query: Float[Tensor, "4096"]
    ) -> Float[Tensor, " classes"]:
        """Logits of one embedding with each of many, block by block: nothing of the gallery's size is made.

        A gallery may be kept as `as_gallery` makes it, in a quarter of the memory. Without gradients.
        """
        weight, bias = self.head.weight[0], self.head.bias
        if gallery.dtype == torch.uint8:
            query, weight = query * 255, weight / 255
        logits = query.new_empty(len(gallery))
        # One buffer for all blocks: memory that the system maps anew for each takes longer than the arithmetic.
        differences = query.new_empty(min(GALLERY_BLOCK, len(gallery)), len(query))
        for start in range(0, len(gallery), GALLERY_BLOCK):
            block = gallery[start : start + GALLERY_BLOCK]
            part = differences[: len(block)]
            torch.sub(block, query, out=part).abs_()
            torch.mv(part, weight, out=logits[start : start + len(block)])
        return logits + bias

    def forward(
        self, first: Float[Tensor, "batch 1 105 105"], second: Float[Tensor, "batch 1 105 105"]
    ) -> Float[Tensor, " batch"]:
        """Logits for pairs of images, both towers in one pass."""
        a, b = self.embed(torch.cat([first, second])).chunk(2)
        return self.compare(a, b)

    @torch.no_grad()
    def keep_head_a_distance(self) -> None:
        """Clamp the head so that a difference never speaks for sameness; called after an optimiser step."""
        self.head.weight.clamp_(max=0)

    @torch.no_grad()
    def folded(self) -> "SiameseNetwork":
        """The same function without batch normalisation and drop-out: exactly the paper's layers."""
        plain = SiameseNetwork(NetworkConfig(activation=self.config.activation)).to(self.head.weight)
        plain.head.load_state_dict(self.head.state_dict())
        layers = [*self.convolutions, self.embedding]
        norms = [*self.convolution_norms, self.embedding_norm] if self.config.batch_norm else [None] * len(layers)
        for target, layer, norm in zip([*plain.convolutions, plain.embedding], layers, norms, strict=True):
            target.load_state_dict(layer.state_dict())
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                fold(target, norm)
        return plain.eval()

    def freeze_convolutions(self, count: int) -> None:
        """Take the first `count` convolutions out of training, their normalisation folded into them.

        What stands before the first layer that learns costs a forward pass only: with one layer frozen, whose
        maps are the largest, a step takes 60 % of the time.
        """
        for index, convolution in enumerate(self.convolutions[:count]):
            if self.config.batch_norm:
                fold(convolution, self.convolution_norms[index])
                self.convolution_norms[index] = nn.Identity()
            convolution.requires_grad_(False)

    @torch.no_grad()
    def unfolded(self, config: NetworkConfig, images: Float[Tensor, "batch 1 105 105"]) -> "SiameseNetwork":
        """The same function with batch normalisation that does nothing yet, to go on training from a folded network.

        Each norm's scale and shift are the statistics that its input has on `images`, so that what it takes away
        it gives back. Raises ValueError where `config` has another activation.
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

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
    ) -> "SiameseNetwork":
        """The network of a folder, or of "user/name" on the Hub: safetensors only, exact, and no other in its place.

        Without a connection the cached copy of the revision asked for serves. Raises HubError or CheckpointError.
        """
        from siamese.hub.resolve import load_network

        options = {"cache_dir": cache_dir, "local_files_only": local_files_only, "force_download": force_download}
        return load_network(pretrained_model_name_or_path, revision=revision, token=token, **options)

    def save_pretrained(
        self, save_directory: str | os.PathLike, preprocessing: "siamese.preprocessing.Preprocessing | None" = None
    ) -> None:
        """Write model.safetensors, config.json and a card; see `siamese.hub.checkpoint.save_checkpoint`.

        `preprocessing` is how the network was trained to see ink, by default `Preprocessing()`.
        """
        from siamese.hub.resolve import save_network

        save_network(self, save_directory, preprocessing)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        preprocessing: "siamese.preprocessing.Preprocessing | None" = None,
        commit_message: str = "Push the network",
        private: bool | None = None,
        token: str | bool | None = None,
        branch: str | None = None,
    ) -> str:
        """Publish what `save_pretrained` writes in one commit and return its address; raises HubError."""
        from siamese.hub.resolve import push_network

        options = {"commit_message": commit_message, "private": private, "token": token, "branch": branch}
        return push_network(self, repo_id, preprocessing, **options)


@torch.no_grad()
def fold(layer: nn.Conv2d | nn.Linear, norm: nn.modules.batchnorm._BatchNorm) -> None:
    """Have `layer` do what it and `norm` together do when nothing is trained."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.ndim - 1)))
    layer.bias.mul_(scale).add_(norm.bias - norm.running_mean * scale)


def signed_distances(
    a: Float[Tensor, "n units"], b: Float[Tensor, "m units"], weight: Float[Tensor, " units"]
) -> Float[Tensor, "n m"]:
    """Sums of weighted differences, whatever the weights' signs: one L1 distance for each sign."""
    for_, against = weight.clamp(min=0), -weight.clamp(max=0)
    return torch.cdist(a * for_, b * for_, p=1) - torch.cdist(a * against, b * against, p=1)


def as_gallery(embeddings: Float[Tensor, "classes 4096"]) -> UInt8[Tensor, "classes 4096"]:
    """Embeddings rounded to 255 levels, 4 KiB for each: logits move by about 0.001."""
    return (embeddings * 255).round().to(torch.uint8)


@torch.no_grad()
def initialise(network: SiameseNetwork, scheme: Initialisation, generator: torch.Generator | None = None) -> None:
    """Draw the weights: "paper" as section 3.2 of Koch et al. says, "modern" after He et al. (2015).

    The paper: convolutions N(0, 0.01) with bias N(0.5, 0.01), the 9216 x 4096 layer and the head N(0, 0.2).
    "modern" gives a head of one sign, so that training starts from a distance.
    """
    for layer in network.convolutions:
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
        nn.init.normal_(network.embedding.weight, 0, FLAT_UNITS**-0.5, generator=generator)
        nn.init.zeros_(network.embedding.bias)
        nn.init.constant_(network.head.weight, -0.01)
        nn.init.constant_(network.head.bias, 4.0)
    else:
        raise ValueError(f"initialisation is {scheme!r}, must be one of {', '.join(get_args(Initialisation))}.")

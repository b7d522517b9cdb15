"""Compares and classifies images of characters."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from siamese.data.bundled import read_bundled
from siamese.imaging.decode import Source, read_ink
from siamese.imaging.reading import Reading, Remark, merge_remarks
from siamese.inference.device import usable_device
from siamese.inference.encoder import Encoder
from siamese.inference.occlusion import occlusion_maps
from siamese.inference.verdict import (
    DEFAULT_THRESHOLD,
    Comparison,
    Verification,
    judge,
    judge_comparison,
    share_right,
)
from siamese.inference.zero_gpu import GpuDecorator
from siamese.metrics import Calibration, calibration_in
from siamese.network import SiameseNetwork
from siamese.preprocessing import Preprocessing, prepare_ink

if TYPE_CHECKING:
    from siamese.hub.resolve import ResolvedModel

INT8_DRAWINGS = 32  # on which the ranges of int8 are measured


class Recognizer:
    """Answers for images of any origin. May be used by several threads."""

    def __init__(
        self,
        network: SiameseNetwork,
        preprocessing: Preprocessing = Preprocessing(),
        threshold: float = DEFAULT_THRESHOLD,
        calibration: Calibration | None = None,
        origin: "ResolvedModel | None" = None,
        device: torch.device | str = "cpu",
        precision: torch.dtype | None = None,
        gpu: GpuDecorator | None = None,
    ) -> None:
        """Prepares a network for answers; the network itself stays as it is.

        Args:
            network: Trained on characters.
            preprocessing: How ink must be prepared before the network sees it.
            threshold: Similarity in (0, 1) from which on two images count as the same.
            calibration: How often pairs of a similarity were the same; None where nothing was measured.
            origin: Where the weights come from.
            device: Where the network computes.
            precision: See `siamese.inference.encoder.Encoder`, as is `gpu`.
            gpu: Gives a function a GPU in a process of its own.
        """
        self.encoder = Encoder(network, device, precision, gpu=gpu, calibration=lambda: int8_calibration(preprocessing))
        self.preprocessing = preprocessing
        self.threshold = threshold
        self.calibration = calibration
        self.origin = origin

    @property
    def network(self) -> SiameseNetwork:
        return self.encoder.network

    @property
    def device(self) -> torch.device:
        return self.encoder.device

    @property
    def precision(self) -> torch.dtype:
        return self.encoder.precision

    def load_ink(self, source: Source) -> Float[Tensor, "1 105 105"]:
        """What the network is shown of an image; raises ImageError."""
        return self.read(source).ink

    def read(self, source: Source) -> Reading:
        """What the network is shown of an image, and what was noticed; raises ImageError."""
        return read_ink(source, self.preprocessing)

    def embed(self, sources: Sequence[Source]) -> Float32[Tensor, "images units"]:
        """Embeddings of images, on the recogniser's device; raises ImageError."""
        return self.encoder.embed_sources(sources, self.load_ink)

    def embed_pictures(
        self, pictures: Float[Tensor, "images 1 105 105"], remember: bool = True
    ) -> Float32[Tensor, "images units"]:
        """Embeddings of prepared pictures, see `Encoder.embed`."""
        return self.encoder.embed(pictures, remember)

    def compare_embeddings(self, a: Float[Tensor, "n units"], b: Float[Tensor, "m units"]) -> Float[Tensor, "n m"]:
        """Similarity in [0, 1] of each of `a` with each of `b`."""
        return self.encoder.compare_all(a, b).sigmoid()

    def forget(self) -> None:
        """Drops every embedding that was remembered."""
        self.encoder.forget()

    def similarity(self, a: Source, b: Source) -> float:
        """How alike two images are, in [0, 1]; raises ImageError."""
        return self.classify([a], b)[0]

    def compare(self, a: Source, b: Source) -> Comparison:
        """Whether two images show the same character, with what was noticed about them; raises ImageError."""
        readings = [self.read(a), self.read(b)]
        first, second = self.embed_pictures(torch.stack([reading.ink for reading in readings]))
        similarity = float(self.encoder.compare(first, second).double().sigmoid())
        return self.judge_similarity(similarity, merge_remarks(reading.remarks for reading in readings))

    def judge_similarity(self, similarity: float, remarks: Sequence[Remark] = ()) -> Comparison:
        """The verdict on a similarity of two images on which `remarks` were made."""
        return judge_comparison(similarity, self.threshold, self.calibration, remarks)

    def classify(self, support: Sequence[Source], query: Source) -> list[float]:
        """The similarity of `query` to each image of `support`, all in [0, 1]; raises ImageError."""
        return self._logits(support, query).double().sigmoid().tolist()

    def verify(self, references: Sequence[Source], questioned: Source) -> Verification:
        """Whether `questioned` shows the same as all `references`.

        Raises:
            ImageError: An image cannot be used.
            ValueError: There is no reference.
        """
        if len(references) == 0:
            raise ValueError("At least one reference is needed to verify against.")
        readings = [self.read(source) for source in [*references, questioned]]
        embeddings = self.embed_pictures(torch.stack([reading.ink for reading in readings]))
        logits = self.encoder.compare_query(embeddings[:-1], embeddings[-1])
        remarks = merge_remarks(reading.remarks for reading in readings)
        return judge(logits, self.threshold, self.calibration, remarks)

    def reliability(self, similarity: float) -> float | None:
        """How often such a similarity is on the right side of the threshold, see `verdict.share_right`."""
        return share_right(similarity, self.threshold, self.calibration)

    def explain(self, a: Source, b: Source) -> tuple[Float[Tensor, "105 105"], Float[Tensor, "105 105"]]:
        """Which ink speaks for sameness (above 0) and which against it, in `load_ink` of `a` and of `b`.

        See `siamese.inference.occlusion.occlusion_maps`. Raises ImageError.
        """
        return self.explain_pictures(torch.stack([self.load_ink(a), self.load_ink(b)]))

    def explain_pictures(
        self, pictures: Float[Tensor, "2 1 105 105"]
    ) -> tuple[Float[Tensor, "105 105"], Float[Tensor, "105 105"]]:
        """`explain` for two pictures that are prepared already; nothing of them is remembered."""
        return occlusion_maps(self.encoder, pictures)

    def _logits(self, support: Sequence[Source], query: Source) -> Float[Tensor, " images"]:
        embeddings = self.embed([query, *support])
        return self.encoder.compare_query(embeddings[1:], embeddings[0])


def int8_calibration(preprocessing: Preprocessing) -> Float[Tensor, "32 1 105 105"]:
    """Prepares drawings of Omniglot's background alphabets on which the ranges of int8 are measured."""
    return torch.stack([prepare_ink(ink.float(), preprocessing) for ink in _calibration_ink()])


@functools.cache
def _calibration_ink() -> Bool[Tensor, "32 105 105"]:
    """Drawings at equal distances through the background set, the same each time."""
    background = read_bundled("background")
    step = len(background) // INT8_DRAWINGS
    return torch.stack([background.ink(place * step) for place in range(INT8_DRAWINGS)])


def load_recognizer(
    source: str | None = None, device: torch.device | str | None = None, gpu: GpuDecorator | None = None
) -> Recognizer:
    """A recogniser with weights from a folder, from the Hub, or the bundled ones.

    Args:
        source: A folder or "user/name@revision"; None for MODEL_ID and, without it, the bundled weights.
        device: Such as "cpu" or "cuda"; by default CUDA where it is present.
        gpu: Gives a function a GPU in a process of its own, see `siamese.inference.zero_gpu`.

    Raises:
        CheckpointError: The weights cannot be used.
        HubError: The weights cannot be had.
        ValueError: This machine has no such device.
    """
    from siamese.hub.resolve import load_model

    chosen = usable_device(device)
    origin, checkpoint = load_model(source)
    verification = checkpoint.config.get("verification") or {}
    return Recognizer(
        checkpoint.network,
        checkpoint.preprocessing,
        threshold=verification.get("threshold") or DEFAULT_THRESHOLD,
        calibration=calibration_in(verification),
        origin=origin,
        device=chosen,
        gpu=gpu,
    )

"""Verifies signatures: references and a questioned one, judged at an operating point whose errors were measured.

Nothing of a signature outlives a call: no file, no log, no remembered embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from siamese.imaging.decode import Source
from siamese.imaging.reading import Remark, merge_remarks
from siamese.inference.device import usable_device
from siamese.inference.encoder import Encoder
from siamese.inference.occlusion import occlusion_maps
from siamese.inference.verdict import DEFAULT_THRESHOLD, Verification, judge
from siamese.metrics import NAMED_POINTS, Calibration, Consistency, ErrorCurve, OperatingPoint, calibration_in
from siamese.preprocessing import SIGNATURE, Preprocessing
from siamese.signatures.features import StrokeFeatures, concatenate, stroke_features
from siamese.signatures.fusion import ScoreFusion, fusion_in
from siamese.signatures.isolation import prepare_isolated, read_signature
from siamese.signatures.rates import RateRange, rate_ranges

if TYPE_CHECKING:
    from siamese.hub.resolve import ResolvedModel

DEFAULT_POINT = "balanced"
VARIABLE, BUNDLED = "SIGNATURE_MODEL_ID", "signatures"
INT8_SEED = 20_181  # of the synthetic signatures on which the ranges of int8 are measured


class UnknownPoint(ValueError):
    """An operating point that there is none of; its text is one sentence for people."""


@dataclass(frozen=True)
class ErrorRates:
    """How often a network was fooled with a number of references."""

    references: int
    """For each questioned signature."""
    points: dict[str, OperatingPoint]
    """By NAMED_POINTS, strictest first; `far` counts skilled forgeries."""
    curve: ErrorCurve | None
    """The same rates over every threshold; None where a checkpoint leaves it out."""
    calibration: Calibration | None = None
    """How often a score of so many references was that of a genuine signature; None where a checkpoint leaves it
    out."""
    elsewhere: dict[str, RateRange] = field(default_factory=dict)
    """The range over collections that training left out, by NAMED_POINTS; empty where none was."""

    def as_dict(self) -> dict[str, dict]:
        """Threshold, far and frr of each point, with the lowest and highest of "elsewhere" where there are any."""
        found = {name: asdict(point) for name, point in self.points.items()}
        for name, one in self.elsewhere.items():
            found[name] |= {"far_elsewhere": list(one.far), "frr_elsewhere": list(one.frr)}
        return found


@dataclass(frozen=True)
class Scoring:
    """What becomes of a network's logits before they are judged."""

    fusion: ScoreFusion | None = None
    """How much the stroke features count; None where the network decides alone."""
    consistency: Consistency | None = None
    """How much room references give that differ among themselves; None where the weights say nothing of it."""
    nearest: float = 0.0
    """How far the mean of the logits of several references is moved to the highest of them, in [0, 1]."""

    def offset(
        self, logits: Float64[Tensor, "references questioned"], among: Float64[Tensor, "references references"]
    ) -> Float64[Tensor, " questioned"]:
        """What is added to the mean logit of each questioned signature; nothing where there is one reference.

        Args:
            logits: Of the questioned signatures with each reference.
            among: Of the references with each other.
        """
        offset = self.nearest * (logits.amax(0) - logits.mean(0))
        return offset + self.consistency.reference_offset(among) if self.consistency else offset

    def as_dict(self) -> dict:
        """What config.json holds of it under "verification"."""
        found = {name: asdict(part) for name in ("fusion", "consistency") if (part := getattr(self, name))}
        return found | ({"nearest": self.nearest} if self.nearest else {})


def scoring_in(config: Mapping) -> Scoring:
    """The scoring that a checked config.json holds."""
    verification = config.get("verification") or {}
    consistency = verification.get("consistency")
    return Scoring(
        fusion_in(verification),
        Consistency(float(consistency["weight"]), float(consistency["level"])) if consistency else None,
        float(verification.get("nearest") or 0),
    )


@dataclass(frozen=True)
class Verifier:
    """A network that compares signatures, and how often it was fooled."""

    encoder: Encoder
    measured: dict[int, ErrorRates] = field(default_factory=dict)
    """By the number of references, one being the least; empty where the weights carry no such measure."""
    measured_on: str | None = None
    """What it was measured on."""
    scoring: Scoring = Scoring()
    preprocessing: Preprocessing = SIGNATURE
    """How ink must be prepared before the network sees it."""
    default_threshold: float = DEFAULT_THRESHOLD
    """Where nothing was measured."""
    default_calibration: Calibration | None = None
    """Where nothing was measured; of pairs that need not be signatures."""
    origin: "ResolvedModel | None" = None
    """Where the weights come from."""

    @property
    def note(self) -> str | None:
        """Why other weights than those asked for answer; None where they are the ones."""
        return self.origin.note if self.origin else None

    def error_rates(self, references: int) -> ErrorRates | None:
        """What was measured with as many references or, where none was, with the next smaller number."""
        counts = [count for count in self.measured if count <= references]
        return self.measured[max(counts)] if counts else None

    def point_named(self, name: object) -> str | None:
        """The name of an operating point; None stands for the balanced one, or for none where there are none.

        Raises UnknownPoint for a name that these weights have no point of.
        """
        if name is None:
            return DEFAULT_POINT if self.measured else None
        if not isinstance(name, str) or name not in NAMED_POINTS:
            raise UnknownPoint(f"The operating point must be one of {', '.join(NAMED_POINTS)}.")
        if not self.measured:
            raise UnknownPoint(f"These weights carry no operating points, so {name!r} cannot be chosen; leave it out.")
        return name

    def threshold(self, point: str | None, references: int) -> float:
        """The score from which on a signature counts as genuine; raises UnknownPoint as `point_named` does."""
        name, measured = self.point_named(point), self.error_rates(references)
        return self.default_threshold if name is None or measured is None else measured.points[name].threshold

    def logits(
        self, references: Sequence[Float[Tensor, "_ _"]], questioned: Float[Tensor, "_ _"]
    ) -> Float[Tensor, " references"]:
        """Logits of a questioned signature with each reference.

        As far as the weights say so, stroke features count beside the network, see `ScoreFusion`, references that
        differ among themselves give the questioned signature more room, see `Consistency`, and the closest reference
        counts more than the others, see `Scoring.nearest`.

        Args:
            references: Isolated ink of any sizes, see `isolate_signature`.
            questioned: The same.

        Raises:
            ImageError: There is no ink.
        """
        inks = [*references, questioned]
        logits = self._network_logits(inks)[:-1]
        if self.scoring.fusion:
            logits = self.scoring.fusion.logits(logits, *_known_and_all(inks))
        return logits[:, -1] + self.scoring.offset(logits[:, -1:], logits[:, :-1])

    def parts(
        self, references: Sequence[Float[Tensor, "_ _"]], questioned: Float[Tensor, "_ _"], which: int = 0
    ) -> dict[str, float]:
        """What adds up to the logit with one reference, but for a constant and for `Scoring.nearest`.

        Args:
            references: Isolated ink.
            questioned: Isolated ink.
            which: Index of the reference.

        Returns:
            "network", "hinge" and "profile", see `ScoreFusion.parts`, and "references", see `Consistency`; empty
            where the network decides alone.

        Raises:
            ImageError: There is no ink.
        """
        fusion = self.scoring.fusion
        if fusion is None:
            return {}
        inks = [*references, questioned]
        logits, features = self._network_logits(inks)[:-1], _known_and_all(inks)
        parts = {name: float(part[which, -1]) for name, part in fusion.parts(logits, *features).items()}
        among, consistency = fusion.logits(logits, *features)[:, :-1], self.scoring.consistency
        return parts | {"references": consistency.reference_offset(among) if consistency else 0.0}

    def explain(
        self, reference: Float[Tensor, "_ _"], questioned: Float[Tensor, "_ _"]
    ) -> tuple[Float[Tensor, "105 105"], Float[Tensor, "105 105"]]:
        """Which ink of two isolated signatures the network counts for sameness (above 0), and which against it.

        The maps fit `pictures`; see `siamese.inference.occlusion.occlusion_maps`. Raises ImageError.
        """
        return occlusion_maps(self.encoder, self.pictures([reference, questioned]))

    def pictures(self, inks: Sequence[Float[Tensor, "_ _"]]) -> Float[Tensor, "inks 1 105 105"]:
        """What the network is shown of isolated ink; raises ImageError where there is none."""
        return torch.stack([prepare_isolated(ink, self.preprocessing) for ink in inks])

    def _network_logits(self, inks: Sequence[Float[Tensor, "_ _"]]) -> Float64[Tensor, "inks inks"]:
        embeddings = self.encoder.embed(self.pictures(inks), remember=False)
        return self.encoder.compare_all(embeddings, embeddings).double()

    def verify(self, references: Sequence[Source], questioned: Source, point: str | None = None) -> Verification:
        """Whether `questioned` is by the hand of all `references`.

        Args:
            references: At least one image.
            questioned: An image.
            point: The operating point, "balanced" by default.

        Raises:
            ImageError: An image cannot be used.
            UnknownPoint: The weights have no such operating point.
            ValueError: There is no reference.
        """
        threshold = self.threshold(point, len(references))
        if len(references) == 0:
            raise ValueError("At least one reference is needed to verify against.")
        readings = [read_signature(source) for source in [*references, questioned]]
        inks = [reading.ink for reading in readings]
        remarks = merge_remarks(reading.remarks for reading in readings)
        return self.judge(self.logits(inks[:-1], inks[-1]), threshold, remarks)

    def judge(
        self, logits: Float[Tensor, " references"], threshold: float | None = None, remarks: Sequence[Remark] = ()
    ) -> Verification:
        """The verdict on `logits`; without a threshold at the default one, which nothing was measured at.

        Where one of the `remarks` on the images is a doubt, it is "unsure" without a reliability.
        """
        threshold = self.default_threshold if threshold is None else threshold
        return judge(logits, threshold, self.calibration(len(logits)), remarks)

    def calibration(self, references: int) -> Calibration | None:
        """What was counted with as many references or with the next smaller number; None where nothing was."""
        measured = self.error_rates(references)
        return (measured and measured.calibration) or self.default_calibration

    def share_genuine(self, score: float, references: int = 1) -> float | None:
        """The share of genuine signatures among those with such a score, half of all being forged; None if unknown."""
        calibration = self.calibration(references)
        return None if calibration is None else calibration.posterior(score)


@runtime_checkable
class LoadedModel(Protocol):
    """Such as `load_recognizer` returns."""

    encoder: Encoder
    origin: "ResolvedModel | None"


def load_verifier(
    source: str | None = None, device: torch.device | str | None = None, base: LoadedModel | None = None
) -> Verifier:
    """A verifier with weights from a folder, from the Hub, or the bundled ones.

    Args:
        source: A folder or "user/name@revision"; None for SIGNATURE_MODEL_ID and, without it or where it cannot be
            had, the bundled signature weights; the verifier's `note` then says why.
        device: Such as "cpu" or "cuda"; by default CUDA where it is present.
        base: A model that is loaded already; its 9216 x 4096 layer is used again where the weights share it.

    Raises:
        CheckpointError: The weights cannot be used.
        HubError: The weights cannot be had.
        ValueError: This machine has no such device.
    """
    from siamese.hub.checkpoint import load_checkpoint
    from siamese.hub.resolve import find_model

    chosen = usable_device(device)
    origin, checkpoint = find_model(source, variable=VARIABLE, bundled=BUNDLED)
    if checkpoint is None:
        checkpoint = load_checkpoint(origin.folder, known_layers=layers_of(base))
    preprocessing, config = checkpoint.preprocessing, checkpoint.config
    verification = config.get("verification") or {}
    entries = {}
    if verification.get("operating_points"):
        others = {int(count): entry for count, entry in (verification.get("by_references") or {}).items()}
        entries = {1: verification} | {count: entry for count, entry in others.items() if entry.get("operating_points")}
    return Verifier(
        Encoder(
            checkpoint.network,
            chosen,
            base=None if base is None else base.encoder,
            calibration=lambda: int8_calibration(preprocessing),
        ),
        {count: error_rates_in(entry, count, verification.get("left_out") or ()) for count, entry in entries.items()},
        str(verification.get("measured_on") or "") or None,
        scoring_in(config),
        preprocessing,
        verification.get("threshold") or DEFAULT_THRESHOLD,
        calibration_in(verification),
        origin,
    )


def layers_of(base: LoadedModel | None) -> dict[str, Float[Tensor, "units features"]]:
    """The large layer that a loaded model holds, by the SHA-256 of the weights it came with."""
    from siamese.hub.checkpoint import CheckpointError, read_config

    if base is None or base.origin is None:
        return {}
    try:
        digest = read_config(base.origin.folder)["weights_sha256"]
    except CheckpointError:  # its folder has been removed since
        return {}
    return {digest: base.encoder.network.embedding.weight.detach()}


def int8_calibration(preprocessing: Preprocessing) -> Float[Tensor, "24 1 105 105"]:
    """Synthetic signatures on which the ranges of int8 are measured, the same each time."""
    from siamese.signatures.synthetic import synthetic_inks

    inks = synthetic_inks(writers=8, genuine=3, seed=INT8_SEED)
    return torch.stack([prepare_isolated(ink, preprocessing) for ink in inks])


def _known_and_all(inks: Sequence[Float[Tensor, "_ _"]]) -> tuple[StrokeFeatures, StrokeFeatures]:
    """Stroke features of all but the last, which is questioned, and of all."""
    everything = concatenate([stroke_features(ink) for ink in inks])
    return everything.take(torch.arange(len(inks) - 1)), everything


def error_rates_in(entry: dict, references: int, left_out: Sequence[Mapping]) -> ErrorRates:
    """Points, curve and calibration of an entry of a checked config.json, and the range over collections left out."""
    points, curve = entry["operating_points"], entry.get("curve")
    keys = ("threshold", "far", "frr")
    return ErrorRates(
        references,
        {name: OperatingPoint(*(float(points[name][key]) for key in keys)) for name in NAMED_POINTS},
        curve and ErrorCurve(*(tuple(map(float, curve[key])) for key in keys)),
        calibration_in(entry),
        rate_ranges(left_out, references),
    )

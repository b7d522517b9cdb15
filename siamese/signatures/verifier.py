"""Signatures on the desk: references and a questioned one, judged at an operating point whose errors were measured.

Nothing of a signature outlives a call: no file, no log, no remembered embedding.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from siamese.characters.recognizer import Recognizer, Verification, load_recognizer, recognizer_of, usable_device
from siamese.hub.checkpoint import load_checkpoint, read_config
from siamese.imaging.decode import Source, open_image
from siamese.metrics import NAMED_POINTS, Calibration, Consistency, ErrorCurve, OperatingPoint, calibration_in
from siamese.signatures.features import StrokeFeatures, concatenate, stroke_features
from siamese.signatures.fusion import ScoreFusion, fusion_in
from siamese.signatures.isolation import isolate_signature, prepare_isolated

DEFAULT_POINT = "balanced"
VARIABLE, BUNDLED = "SIGNATURE_MODEL_ID", "signatures"


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


@dataclass(frozen=True)
class Scoring:
    """What becomes of the logits of a network before they are judged."""

    fusion: ScoreFusion | None = None
    """How the lines run counts beside the network; None where the network alone does."""
    consistency: Consistency | None = None
    """The room that references give which differ among themselves; None where the weights say nothing of it."""


def scoring_in(config: Mapping) -> Scoring:
    """Of a config.json that `read_config` has checked."""
    verification = config.get("verification") or {}
    consistency = verification.get("consistency")
    return Scoring(
        fusion_in(verification),
        Consistency(float(consistency["weight"]), float(consistency["level"])) if consistency else None,
    )


@dataclass(frozen=True)
class Verifier:
    """A network that compares signatures, and how often it was fooled."""

    recognizer: Recognizer
    measured: dict[int, ErrorRates] = field(default_factory=dict)
    """By the number of references, one being the least; empty where the weights carry no such measure."""
    measured_on: str | None = None
    """What it was measured on."""
    scoring: Scoring = Scoring()
    note: str | None = None
    """Why other weights than those asked for answer, in sentences; None where they are the ones."""

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
        return self.recognizer.threshold if name is None or measured is None else measured.points[name].threshold

    def logits(
        self, references: Sequence[Float[Tensor, "_ _"]], questioned: Float[Tensor, "_ _"]
    ) -> Float[Tensor, " references"]:
        """Of isolated ink, `isolate_signature`'s, of any sizes; raises ImageError where there is none.

        How the lines run counts beside the network, see `ScoreFusion`, and references that differ among themselves give
        the questioned signature more room, see `Consistency`: as far as the weights say so.
        """
        inks = [*references, questioned]
        logits = self._network_logits(inks)[:-1]
        if self.scoring.fusion:
            logits = self.scoring.fusion.logits(logits, *_known_and_all(inks))
        return logits[:, -1] + self._allowance(logits[:, :-1])

    def parts(
        self, references: Sequence[Float[Tensor, "_ _"]], questioned: Float[Tensor, "_ _"], which: int = 0
    ) -> dict[str, float]:
        """What adds up to the logit of isolated ink with reference `which`, but for a constant: the network, the turns
        and the course of the lines, see `ScoreFusion.parts`, and, as "references", the room that these give.

        Empty where the network alone decides. Raises ImageError where there is no ink.
        """
        fusion = self.scoring.fusion
        if fusion is None:
            return {}
        inks = [*references, questioned]
        logits, hands = self._network_logits(inks)[:-1], _known_and_all(inks)
        parts = {name: float(part[which, -1]) for name, part in fusion.parts(logits, *hands).items()}
        return parts | {"references": self._allowance(fusion.logits(logits, *hands)[:, :-1])}

    def _allowance(self, among: Float64[Tensor, "references references"]) -> float:
        return self.scoring.consistency.reference_offset(among) if self.scoring.consistency else 0.0

    def _network_logits(self, inks: Sequence[Float[Tensor, "_ _"]]) -> Float64[Tensor, "inks inks"]:
        embeddings = self.recognizer.embed_pictures(self.pictures(inks), remember=False)
        with torch.inference_mode():
            return self.recognizer.network.compare_all(embeddings, embeddings).double().cpu()

    def pictures(self, inks: Sequence[Float[Tensor, "_ _"]]) -> Float[Tensor, "inks 1 105 105"]:
        """What the network is shown of isolated ink; raises ImageError where there is none."""
        return torch.stack([prepare_isolated(ink, self.recognizer.preprocessing) for ink in inks])

    def verify(self, references: Sequence[Source], questioned: Source, point: str | None = None) -> Verification:
        """Whether `questioned` is by the hand of all `references`, at the threshold of an operating point.

        Raises ImageError, ValueError for no reference, UnknownPoint for a point that these weights do not have.
        """
        threshold, calibration = self.threshold(point, len(references)), self.calibration(len(references))
        if len(references) == 0:
            raise ValueError("At least one reference is needed to verify against.")
        inks = [isolate_signature(open_image(source)) for source in [*references, questioned]]
        return self.recognizer.judge(self.logits(inks[:-1], inks[-1]), threshold, calibration)

    def calibration(self, references: int) -> Calibration | None:
        """What was counted with as many references or with the next smaller number; None where nothing was."""
        measured = self.error_rates(references)
        return (measured and measured.calibration) or self.recognizer.calibration

    def share_genuine(self, score: float, references: int = 1) -> float | None:
        """The share of genuine signatures among those with such a score, half of all being forged; None if unknown."""
        calibration = self.calibration(references)
        return None if calibration is None else calibration.posterior(score)


def load_verifier(
    source: str | None = None,
    device: torch.device | str | None = None,
    characters: Recognizer | None = None,
) -> Verifier:
    """The verifier with the weights of `source`: a folder or "user/name@revision".

    None means the environment variable SIGNATURE_MODEL_ID, and without it the bundled signature weights; where none
    of them can be used, `characters` answers, by default the bundled network of characters, and `note` says so. What
    the weights share with those of `characters` is held once.

    Raises CheckpointError or HubError for a `source` that cannot be used, ValueError for a device that is not there.
    """
    from siamese.hub.resolve import PRETRAINED, find_model

    def loaded(**where: str) -> Verifier:
        origin, checkpoint = find_model(source, **where)
        checkpoint = checkpoint or load_checkpoint(origin.folder, known_layers=layers_of(characters))
        return verifier_of(recognizer_of(origin, checkpoint, chosen, base=characters))

    chosen = usable_device(device)
    if source is not None:
        return loaded()
    note = None
    if os.environ.get(VARIABLE, "").strip() or (PRETRAINED / BUNDLED).is_dir():
        try:
            return loaded(variable=VARIABLE, bundled=BUNDLED)
        except (OSError, ValueError) as error:  # HubError, CheckpointError: one sentence each
            note = f"{error} The network of characters answers instead."
    return Verifier(characters or load_recognizer(device=chosen), note=note)


def layers_of(recognizer: Recognizer | None) -> dict[str, Tensor]:
    """The large layer that a recogniser holds, by the SHA-256 of the weights it came with."""
    if recognizer is None or recognizer.origin is None:
        return {}
    return {read_config(recognizer.origin.folder)["weights_sha256"]: recognizer.network.embedding.weight.detach()}


def verifier_of(recognizer: Recognizer) -> Verifier:
    """A recogniser with what its config.json says of signatures; raises CheckpointError where it cannot be read."""
    origin = recognizer.origin
    config = read_config(origin.folder) if origin else {}
    verification = config.get("verification") or {}
    entries = {}
    if verification.get("operating_points"):
        others = {int(count): entry for count, entry in verification.get("by_references", {}).items()}
        entries = {1: verification} | {count: entry for count, entry in others.items() if entry.get("operating_points")}
    return Verifier(
        recognizer,
        {count: error_rates_in(entry, count) for count, entry in entries.items()},
        str(verification.get("measured_on") or "") or None,
        scoring_in(config),
        origin.note if origin else None,
    )


def _known_and_all(inks: Sequence[Float[Tensor, "_ _"]]) -> tuple[StrokeFeatures, StrokeFeatures]:
    """The handwriting of all but the last, which is questioned, and of all."""
    everything = concatenate([stroke_features(ink) for ink in inks])
    return everything.take(torch.arange(len(inks) - 1)), everything


def error_rates_in(entry: dict, references: int) -> ErrorRates:
    """Points and curve of an entry that `read_config` has checked."""
    points, curve = entry["operating_points"], entry.get("curve")
    keys = ("threshold", "far", "frr")
    return ErrorRates(
        references,
        {name: OperatingPoint(*(float(points[name][key]) for key in keys)) for name in NAMED_POINTS},
        curve and ErrorCurve(*(tuple(map(float, curve[key])) for key in keys)),
        calibration_in(entry),
    )

"""Verdicts: whether a score reaches a threshold, and how often such a verdict is right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from siamese.imaging.reading import Remark
from siamese.metrics import Calibration

SURE = 0.75  # share of right answers below which a verdict is "unsure"
DEFAULT_THRESHOLD = 0.5  # for a checkpoint without a threshold: a logit of 0

CLOSE_CALL = 0.05  # without a calibration, "unsure" is this close to the threshold on either side

Verdict = Literal["genuine", "forgery", "unsure"]
Sameness = Literal["same", "different", "unsure"]


@dataclass(frozen=True)
class Verification:
    """The verdict on a questioned signature."""

    score: float
    """Similarity in [0, 1]: the sigmoid of the mean logit over all references."""
    threshold: float
    """The score from which on a signature counts as genuine."""
    verdict: Verdict
    reliability: float | None
    """How often a score like this one is on the right side of the threshold; None where nothing was measured."""
    similarities: tuple[float, ...]
    """The similarity of each reference to the questioned image."""
    remarks: tuple[Remark, ...] = ()
    """What was noticed while the images were read; where one is a doubt, the verdict is "unsure"."""


@dataclass(frozen=True)
class Comparison:
    """The answer to "are these two the same character?"."""

    similarity: float
    """In [0, 1]."""
    threshold: float
    """The similarity from which on two images count as the same."""
    verdict: Sameness
    reliability: float | None
    """How often a score like this one is on the right side of the threshold; None where nothing was measured."""
    remarks: tuple[Remark, ...] = ()
    """What was noticed while the images were read; where one is a doubt, the verdict is "unsure"."""


def judge(
    logits: Float[Tensor, " references"],
    threshold: float,
    calibration: Calibration | None = None,
    remarks: Sequence[Remark] = (),
) -> Verification:
    """Judges a questioned signature.

    Args:
        logits: Logits of the questioned signature with each of its references.
        threshold: Lowest score that counts as genuine, in (0, 1).
        calibration: How often such scores are right.
        remarks: Remarks on the images; with a doubt among them the verdict is "unsure", without a reliability.
    """
    logits = logits.cpu().double()
    score = logits.mean().sigmoid().item()
    is_doubtful = any(remark.is_doubt for remark in remarks)
    reliability = None if is_doubtful else share_right(score, threshold, calibration)
    verdict: Verdict = "genuine" if score >= threshold else "forgery"
    if is_doubtful or (reliability is not None and reliability < SURE):
        verdict = "unsure"
    return Verification(score, threshold, verdict, reliability, tuple(logits.sigmoid().tolist()), tuple(remarks))


def judge_comparison(
    similarity: float, threshold: float, calibration: Calibration | None = None, remarks: Sequence[Remark] = ()
) -> Comparison:
    """Judges two images of characters.

    Args:
        similarity: Their similarity in [0, 1].
        threshold: Lowest similarity that counts as the same, in (0, 1).
        calibration: How often such similarities are right; without it only those close to the threshold are "unsure".
        remarks: Remarks on the images; with a doubt among them the verdict is "unsure", without a reliability.
    """
    if any(remark.is_doubt for remark in remarks):
        return Comparison(similarity, threshold, "unsure", None, tuple(remarks))
    reliability = share_right(similarity, threshold, calibration)
    is_near = abs(similarity - threshold) < CLOSE_CALL
    is_close = is_near if reliability is None else reliability < SURE
    verdict: Sameness = "unsure" if is_close else "same" if similarity >= threshold else "different"
    return Comparison(similarity, threshold, verdict, reliability, tuple(remarks))


def share_right(similarity: float, threshold: float, calibration: Calibration | None) -> float | None:
    """Returns how often a score like this one is on the right side of the threshold, if half of all pairs are the same.

    Returns:
        A share in [0, 1]; None without a calibration.
    """
    if calibration is None:
        return None
    share_same = calibration.posterior(similarity)
    return share_same if similarity >= threshold else 1 - share_same

"""What a score means: the verdict at a threshold, and how often such a verdict is right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from siamese.imaging.reading import Remark
from siamese.metrics import Calibration

SURE = 0.75  # share of right answers below which a verdict is "unsure"
DEFAULT_THRESHOLD = 0.5  # where a checkpoint names none: the network's own even chance

CLOSE_CALL = 0.05  # half the width, in similarity, of "unsure" for a comparison without a calibration

Verdict = Literal["genuine", "forgery", "unsure"]
Sameness = Literal["same", "different", "unsure"]


@dataclass(frozen=True)
class Verification:
    """The answer to "is it by the same hand (or the same character)?"."""

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
    """The verdict on a questioned image.

    Args:
        logits: Of the questioned image with each of its references.
        threshold: In (0, 1); from there on it counts as genuine.
        calibration: How often such scores are right.
        remarks: On the images; a doubt makes the verdict "unsure" and claims no reliability.
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
    """The verdict on two images of characters.

    Args:
        similarity: In [0, 1].
        threshold: In (0, 1); from there on they count as the same.
        calibration: How often such similarities are right; without it only what lies at the threshold is "unsure".
        remarks: On the images; a doubt makes the verdict "unsure" and claims no reliability.
    """
    if any(remark.is_doubt for remark in remarks):
        return Comparison(similarity, threshold, "unsure", None, tuple(remarks))
    reliability = share_right(similarity, threshold, calibration)
    is_near = abs(similarity - threshold) < CLOSE_CALL
    is_close = is_near if reliability is None else reliability < SURE
    verdict: Sameness = "unsure" if is_close else "same" if similarity >= threshold else "different"
    return Comparison(similarity, threshold, verdict, reliability, tuple(remarks))


def share_right(similarity: float, threshold: float, calibration: Calibration | None) -> float | None:
    """How often a score like this one is on the right side of the threshold, half of all pairs being the same.

    Returns:
        A share in [0, 1]; None where there is no calibration.
    """
    if calibration is None:
        return None
    share_same = calibration.posterior(similarity)
    return share_same if similarity >= threshold else 1 - share_same

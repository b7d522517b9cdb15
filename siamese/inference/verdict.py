"""What a score means: the verdict at a threshold, and how often such a verdict is right."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from siamese.metrics import Calibration

SURE = 0.75  # share of right answers below which a verdict is "unsure"
DEFAULT_THRESHOLD = 0.5  # where a checkpoint names none: the network's own even chance

Verdict = Literal["genuine", "forgery", "unsure"]


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


def judge(
    logits: Float[Tensor, " references"], threshold: float, calibration: Calibration | None = None
) -> Verification:
    """The verdict on a questioned image.

    Args:
        logits: Of the questioned image with each of its references.
        threshold: In (0, 1); from there on it counts as genuine.
        calibration: How often such scores are right; without it no verdict is "unsure".
    """
    logits = logits.cpu().double()
    score = logits.mean().sigmoid().item()
    reliability = share_right(score, threshold, calibration)
    if reliability is not None and reliability < SURE:
        verdict = "unsure"
    else:
        verdict = "genuine" if score >= threshold else "forgery"
    return Verification(score, threshold, verdict, reliability, tuple(logits.sigmoid().tolist()))


def share_right(similarity: float, threshold: float, calibration: Calibration | None) -> float | None:
    """How often a score like this one is on the right side of the threshold, half of all pairs being the same.

    Returns:
        A share in [0, 1]; None where there is no calibration.
    """
    if calibration is None:
        return None
    share_same = calibration.posterior(similarity)
    return share_same if similarity >= threshold else 1 - share_same

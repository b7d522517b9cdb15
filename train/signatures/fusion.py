"""Fits how much the network and the two stroke distances count, on writers whom the network had not seen."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from siamese.signatures.fusion import ScoreFusion
from train.signatures.comparison import Comparison
from train.signatures.subjects import subjects

PENALTY = 0.02  # on half the squared weights of standardised values: few writers must not lead to wild ones
SIGNS = np.array([1.0, -1.0, -1.0])  # a likeness never counts against, a distance never for


class Pairs(NamedTuple):
    """The network's logit, the hinge distance and the profile distance of pairs of one kind."""

    genuine: Float64[Tensor, "same 3"]
    skilled: Float64[Tensor, "forged 3"]


def pairs_of(comparison: Comparison) -> Pairs:
    """Each two genuine signatures of a writer, and each genuine one with each forgery of it.

    The network speaks of writers that it was not shown.
    """
    same, forged = [torch.empty(0, 3, dtype=torch.float64)], [torch.empty(0, 3, dtype=torch.float64)]
    for subject in subjects(comparison.signatures):
        own, theirs = subject.genuine, subject.forged
        if len(own) > 1 and len(theirs):
            once = torch.ones(len(own), len(own), dtype=torch.bool).triu(1)
            same.append(comparison.parts(own, own)[once])
            forged.append(comparison.parts(own, theirs).flatten(0, 1))
    return Pairs(torch.cat(same), torch.cat(forged))


def fit_fusion(found: Sequence[Pairs]) -> ScoreFusion | None:
    """The fusion that tells genuine pairs from skilled forgeries best, by logistic regression.

    Args:
        found: Pairs of several collections, or of parts of one; each weighs alike however many pairs it has, and in
            each of them both kinds do.

    Returns:
        None where no part has pairs of both kinds.
    """
    usable = [part for part in found if len(part.genuine) and len(part.skilled)]
    if not usable:
        return None
    kinds = [kind for part in usable for kind in part]
    values = torch.cat(kinds).numpy()
    weight = np.concatenate([np.full(len(kind), 1 / (len(usable) * len(kind))) for kind in kinds])
    same = np.concatenate([np.full(len(kind), place % 2 == 0) for place, kind in enumerate(kinds)])
    middle = np.average(values, axis=0, weights=weight)
    spread = np.sqrt(np.average((values - middle) ** 2, axis=0, weights=weight)).clip(min=1e-6)
    slopes, bias = _regression((values - middle) / spread * SIGNS, same, weight)
    weights = slopes * SIGNS / spread + 0.0
    # both kinds weigh the same, so that the mean lies half-way between theirs: it speaks for neither
    return ScoreFusion(bias - float(weights @ middle), *weights.tolist(), *middle.tolist())


def _regression(
    values: Float64[np.ndarray, "pairs 3"], same: Bool[np.ndarray, " pairs"], weight: Float64[np.ndarray, " pairs"]
) -> tuple[Float64[np.ndarray, "3"], float]:
    """Slopes, none of them negative, and bias; what would count the wrong way round does not count."""
    from sklearn.linear_model import LogisticRegression  # takes a second to import

    slopes, bias = np.zeros(values.shape[1]), 0.0
    counted = np.ones(values.shape[1], dtype=bool)
    while counted.any():
        model = LogisticRegression(C=1 / PENALTY, tol=1e-6).fit(values[:, counted], same, sample_weight=weight)
        slopes, bias = np.zeros(values.shape[1]), float(model.intercept_[0])
        slopes[counted] = model.coef_[0]
        if (slopes >= 0).all():
            break
        counted &= slopes > 0
        slopes, bias = slopes.clip(min=0), 0.0
    return slopes, bias

"""Fits how much the network and the two stroke distances count, on writers whom the network had not seen."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn import functional as F

from siamese.signatures.fusion import ScoreFusion
from train.signatures.comparison import Comparison

RIDGE = 0.01  # on the squared weights of standardised values: few writers must not lead to wild ones
ITERATIONS = 100
START = -3.0  # before the softplus


class Pairs(NamedTuple):
    """The network's logit, the hinge distance and the profile distance of pairs of one kind."""

    genuine: Float64[Tensor, "same 3"]
    skilled: Float64[Tensor, "forged 3"]


def fit_fusion(found: Sequence[Pairs]) -> ScoreFusion | None:
    """The fusion that tells genuine pairs from skilled forgeries best, by logistic regression.

    None where there are no pairs of one kind.
    """
    genuine, skilled = (torch.cat(kind) for kind in zip(*found, strict=True))
    return fitted(genuine, skilled) if len(genuine) and len(skilled) else None


def pairs_of(comparison: Comparison) -> Pairs:
    """Each two genuine signatures of a writer, and each genuine one with each forgery of it.

    The network speaks of writers that it was not shown.
    """

    def between(rows: Int64[Tensor, " n"], others: Int64[Tensor, " m"]) -> Float64[Tensor, "n m 3"]:
        hinges, profiles = comparison.hinge_distances(rows, others), comparison.profiles.between(rows, others)
        return torch.stack([comparison.logits(rows, others), hinges, profiles], -1)

    signatures = comparison.signatures
    same, forged = [torch.empty(0, 3, dtype=torch.float64)], [torch.empty(0, 3, dtype=torch.float64)]
    for index in signatures.writer.unique().tolist():
        own, theirs = (
            ((signatures.writer == index) & kind).nonzero().flatten()
            for kind in (signatures.genuine, ~signatures.genuine)
        )
        if len(own) > 1 and len(theirs):
            same.append(between(own, own)[torch.ones(len(own), len(own)).triu(1).bool()])
            forged.append(between(own, theirs).flatten(0, 1))
    return Pairs(torch.cat(same), torch.cat(forged))


def fitted(genuine: Float64[Tensor, "same 3"], skilled: Float64[Tensor, "forged 3"]) -> ScoreFusion:
    """Both kinds weigh alike; a likeness never counts against, a distance never for."""
    everything = torch.cat([genuine, skilled])
    middle, spread = everything.mean(0), everything.std(0, correction=0).clamp(min=1e-6)
    signs = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    same, forged = ((part - middle) / spread * signs for part in (genuine, skilled))
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    raw = torch.full((3,), START, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([bias, raw], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Float[Tensor, ""]:
        optimizer.zero_grad()
        weights = F.softplus(raw)
        value = F.softplus(-same @ weights - bias).mean() + F.softplus(forged @ weights + bias).mean()
        value = value + RIDGE * weights.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    weights = F.softplus(raw.detach()) * signs / spread
    neither = (genuine.mean(0) + skilled.mean(0)) / 2
    return ScoreFusion(float(bias.detach()) - float(weights @ middle), *weights.tolist(), *neither.tolist())

"""Losses on the logits or distances of all pairs of a batch."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F


def sameness(character: Int64[Tensor, " n"]) -> tuple[Bool[Tensor, "n n"], Bool[Tensor, "n n"]]:
    """Returns which pairs of a batch show the same character, without the diagonal, and which show different ones."""
    same = character[:, None] == character[None]
    different = ~same
    return same.fill_diagonal_(False), different


def mean_where(chosen: Bool[Tensor, "n n"], values: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """Returns the mean of the chosen values; without indexing by a mask, for which the CPU would wait for the GPU."""
    return torch.where(chosen, values, 0).sum() / chosen.sum()


def hardest(logits: Float[Tensor, "n n"], different: Bool[Tensor, "n n"], share: float) -> Bool[Tensor, "n n"]:
    """Chooses the given share of each row's different pairs with the highest logits, at least one in each row."""
    wanted = (different.sum(1, keepdim=True) * share).ceil()
    rank = logits.masked_fill(~different, -torch.inf).argsort(1, descending=True).argsort(1)
    return different & (rank < wanted)


def balanced_cross_entropy(
    logits: Float[Tensor, "n n"], same: Bool[Tensor, "n n"], different: Bool[Tensor, "n n"], smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Returns the binary cross-entropy of all pairs, in which same and different pairs have equal weight.

    Args:
        logits: Logits of all pairs.
        same: Which pairs show the same character.
        different: Which pairs show different ones.
        smoothing: Label smoothing: the targets are 1 - smoothing and smoothing.
    """
    losses = F.binary_cross_entropy_with_logits(
        logits, same.to(logits.dtype).clamp(smoothing, 1 - smoothing), reduction="none"
    )
    return (mean_where(same, losses) + mean_where(different, losses)) / 2


def n_way_cross_entropy(
    logits: Float[Tensor, "n n"], same: Bool[Tensor, "n n"], different: Bool[Tensor, "n n"]
) -> Float[Tensor, ""]:
    """Returns the softmax cross-entropy of each same pair against all different pairs of its row.

    This is the loss of one-shot trials in which the rest of the batch is the support set.
    """
    rivals = logits.masked_fill(~different, -torch.inf).logsumexp(1, keepdim=True)
    return mean_where(same, torch.logaddexp(logits, rivals) - logits)


def contrastive(
    distance: Float[Tensor, "n n"], same: Bool[Tensor, "n n"], different: Bool[Tensor, "n n"], margin: float
) -> Float[Tensor, ""]:
    """Returns the contrastive loss of all pairs, in which same and different pairs have equal weight.

    Source: Hadsell, Chopra and LeCun (2006), equation 4.
    """
    pull = mean_where(same, distance.square())
    push = mean_where(different, (margin - distance).clamp(min=0).square())
    return (pull + push) / 2


def triplet(
    distance: Float[Tensor, "n n"], same: Bool[Tensor, "n n"], different: Bool[Tensor, "n n"], margin: float
) -> Float[Tensor, ""]:
    """Returns the batch-hard triplet loss: for each image the farthest same and the nearest different one.

    Source: Hermans, Beyer and Leibe (2017), equation 5.
    """
    farthest = distance.masked_fill(~same, -torch.inf).amax(1)
    nearest = distance.masked_fill(~different, torch.inf).amin(1)
    return (farthest - nearest + margin).clamp(min=0).mean()

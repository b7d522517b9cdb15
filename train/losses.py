"""Losses on the logits of a whole batch compared with itself, or of a list of pairs."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F


def sameness(character: Int64[Tensor, " n"]) -> tuple[Bool[Tensor, "n n"], Bool[Tensor, "n n"]]:
    """Which entries of the n x n logits are of one character (an image with itself left out), which of two."""
    same = character[:, None] == character[None]
    different = ~same
    return same.fill_diagonal_(False), different


def mean_where(chosen: Bool[Tensor, "n n"], values: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """The mean of the chosen ones. Indexing by a mask would have a GPU tell the CPU first how many there are."""
    return torch.where(chosen, values, 0).sum() / chosen.sum()


def hardest(logits: Float[Tensor, "n n"], different: Bool[Tensor, "n n"], share: float) -> Bool[Tensor, "n n"]:
    """Of each row's different pairs this share with the highest logits, at least one."""
    wanted = (different.sum(1, keepdim=True) * share).ceil()
    rank = logits.masked_fill(~different, -torch.inf).argsort(1, descending=True).argsort(1)
    return different & (rank < wanted)


def balanced_cross_entropy(
    logits: Float[Tensor, "n n"], same: Bool[Tensor, "n n"], different: Bool[Tensor, "n n"], smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Binary cross-entropy over all pairs; same and different weigh one half each, however many there are.

    `smoothing` is the label smoothing: targets become 1 - smoothing and smoothing.
    """
    losses = F.binary_cross_entropy_with_logits(
        logits, same.to(logits.dtype).clamp(smoothing, 1 - smoothing), reduction="none"
    )
    return (mean_where(same, losses) + mean_where(different, losses)) / 2


def n_way_cross_entropy(
    logits: Float[Tensor, "n n"], same: Bool[Tensor, "n n"], different: Bool[Tensor, "n n"]
) -> Float[Tensor, ""]:
    """Each same pair against all different ones of its row: the loss of a one-shot trial with the batch as support."""
    rivals = logits.masked_fill(~different, -torch.inf).logsumexp(1, keepdim=True)
    return mean_where(same, torch.logaddexp(logits, rivals) - logits)


def contrastive(
    distance: Float[Tensor, "n n"], same: Bool[Tensor, "n n"], different: Bool[Tensor, "n n"], margin: float
) -> Float[Tensor, ""]:
    """Hadsell, Chopra and LeCun (2006), equation 4, on all pairs, each kind's mean weighing one half."""
    pull = mean_where(same, distance.square())
    push = mean_where(different, (margin - distance).clamp(min=0).square())
    return (pull + push) / 2


def triplet(
    distance: Float[Tensor, "n n"], same: Bool[Tensor, "n n"], different: Bool[Tensor, "n n"], margin: float
) -> Float[Tensor, ""]:
    """Batch-hard triplets of Hermans, Beyer and Leibe (2017), equation 5: farthest same, nearest different."""
    farthest = distance.masked_fill(~same, -torch.inf).amax(1)
    nearest = distance.masked_fill(~different, torch.inf).amin(1)
    return (farthest - nearest + margin).clamp(min=0).mean()

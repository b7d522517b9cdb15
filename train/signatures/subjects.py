"""Which signatures of a set belong together: what is genuine, what forged, and what another writer's."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from siamese.signatures.dataset import Signatures
from siamese.signatures.rates import BY_OTHERS, SKILLED

MOST_BY_OTHERS = 24  # drawings of one name by other writers that stand for its forgeries
SEED = 93  # of which drawings these are


@dataclass(frozen=True)
class Subject:
    """A signature that is verified: a writer's own or, where several writers wrote the same names, one of the names."""

    writer: int
    text: str
    """The name; empty for a signature of one's own."""
    genuine: Int64[Tensor, " _"]
    """Rows by the writer's own hand."""
    forged: Int64[Tensor, " _"]
    """Rows of skilled forgeries or, of a name that several wrote, of other writers who wrote it; there may be none."""
    others: Int64[Tensor, " _"]
    """Rows of other writers' genuine signatures: other names, where several wrote the same."""


def subjects(signatures: Signatures) -> list[Subject]:
    """All signatures of a set that can be verified, by writer and name."""
    texts = sorted(set(signatures.text))
    text = torch.tensor([texts.index(one) for one in signatures.text], dtype=torch.int64)
    writer, genuine = signatures.writer, signatures.genuine
    generator = torch.Generator().manual_seed(SEED)
    found = []
    for key in torch.stack([writer, text], 1).unique(dim=0).tolist():
        own, same_text, name = writer == key[0], text == key[1], texts[key[1]]
        by_others = ~own & genuine
        forged = (own & same_text & ~genuine).nonzero().flatten()
        others = by_others
        if name:
            same_name = (by_others & same_text).nonzero().flatten()
            same_name = same_name[torch.randperm(len(same_name), generator=generator)[:MOST_BY_OTHERS]]
            forged, others = torch.cat([forged, same_name]), by_others & ~same_text
        rows = (own & same_text & genuine).nonzero().flatten()
        found.append(Subject(key[0], name, rows, forged, others.nonzero().flatten()))
    return found


def kind_of_forgeries(signatures: Signatures) -> str:
    """What the forgeries of a set are: SKILLED or BY_OTHERS."""
    return BY_OTHERS if any(signatures.text) else SKILLED

"""Compares signatures of one set with each other, each pair once however often it is asked for."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from tqdm import tqdm

from siamese.network import SiameseNetwork
from siamese.signatures.dataset import Signatures
from siamese.signatures.features import PAIRS_AT_ONCE, StrokeFeatures, banded_dtw, hinge_distances, profile_distances
from siamese.signatures.verifier import Scoring
from train.evaluation import embed_drawings

MAX_KEPT = 20_000  # signatures; their table takes 1.6 GB
ALONE = Scoring()  # the network's logits as they are


class ProfileDistances:
    """`profile_distances` between the signatures of a set, kept from one call to the next.

    Aligning two profiles takes longer than everything else that is asked of a pair, and an evaluation asks for the same
    pairs with every number of references and for every part. The table takes 4 bytes a pair: 28 MB for CEDAR. Of a set
    with more than MAX_KEPT signatures nothing is kept.
    """

    def __init__(self, strokes: StrokeFeatures, progress: bool = False) -> None:
        """Nothing is aligned yet; `progress` shows a bar on stderr when it is."""
        self._strokes = strokes
        self._table = torch.full((len(strokes), len(strokes)), torch.nan) if len(strokes) <= MAX_KEPT else None
        self._bar = tqdm(desc="aligning", unit="pair", unit_scale=True, disable=not progress)

    def between(self, rows: Int64[Tensor, " n"], others: Int64[Tensor, " m"]) -> Float64[Tensor, "n m"]:
        """Distances of all pairs of these rows."""
        if self._table is None:
            return profile_distances(self._strokes.take(rows), self._strokes.take(others))
        unknown = self._table[rows[:, None], others].isnan().nonzero()
        first, second = rows[unknown[:, 0]], others[unknown[:, 1]]
        low, high = torch.minimum(first, second), torch.maximum(first, second)
        once = torch.stack([low, high], 1).unique(dim=0)  # the distance is the same both ways
        for some in once.split(PAIRS_AT_ONCE):
            one, other = some.T
            distance = banded_dtw(self._strokes.profile[one], self._strokes.profile[other])
            self._table[one, other] = distance
            self._table[other, one] = distance
            self._bar.update(len(some))
        return self._table[rows[:, None], others].double()


@dataclass(frozen=True)
class Comparison:
    """A network and a set of signatures that it is tried on."""

    network: SiameseNetwork
    embeddings: Float[Tensor, "signatures units"]
    signatures: Signatures
    profiles: ProfileDistances

    @torch.inference_mode()
    def logits(
        self, rows: Int64[Tensor, " n"], others: Int64[Tensor, " m"], scoring: Scoring = ALONE
    ) -> Float64[Tensor, "n m"]:
        """Logits of all pairs of these rows, before several references are put together."""
        fusion = scoring.fusion
        if fusion is None:
            return self._network_logits(rows, others)
        fused = torch.full((len(rows), len(others)), fusion.bias, dtype=torch.float64)
        if fusion.network:
            fused = fused + fusion.network * self._network_logits(rows, others)
        if fusion.hinge:
            fused = fused + fusion.hinge * self.hinge_distances(rows, others)
        if fusion.profile:
            fused = fused + fusion.profile * self.profiles.between(rows, others)
        return fused

    def _network_logits(self, rows: Int64[Tensor, " n"], others: Int64[Tensor, " m"]) -> Float64[Tensor, "n m"]:
        return self.network.compare_all(self.embeddings[rows], self.embeddings[others]).double().cpu()

    def parts(self, rows: Int64[Tensor, " n"], others: Int64[Tensor, " m"]) -> Float64[Tensor, "n m 3"]:
        """What a fusion adds up, of all pairs of these rows: the network's logits, hinge and profile distances."""
        return torch.stack(
            [self.logits(rows, others), self.hinge_distances(rows, others), self.profiles.between(rows, others)], -1
        )

    def hinge_distances(self, rows: Int64[Tensor, " n"], others: Int64[Tensor, " m"]) -> Float64[Tensor, "n m"]:
        """Distances of all pairs of these rows by how their lines turn."""
        return hinge_distances(self.signatures.strokes.take(rows), self.signatures.strokes.take(others))


def compare(
    network: SiameseNetwork,
    signatures: Signatures,
    device: torch.device,
    precision: torch.dtype | None = None,
    progress: bool = False,
) -> Comparison:
    """Embeds every signature once."""
    embeddings = embed_drawings(network, signatures.images, device, precision=precision, progress=progress)
    return Comparison(network, embeddings, signatures, ProfileDistances(signatures.strokes, progress))

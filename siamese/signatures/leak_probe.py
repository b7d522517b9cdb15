"""The leak probe: how well genuine signatures are told from forgeries by paper, pen and size alone."""

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from siamese.metrics import area_under_curve, receiver_operating_characteristic
from siamese.signatures.dataset import Signatures
from siamese.signatures.image_statistics import STATISTICS, image_statistics


def leak_probe(signatures: Signatures, raw: bool = False) -> dict[str, float]:
    """How well each of STATISTICS alone tells genuine signatures from forged ones, over single images.

    0.5 tells nothing; well above or below, the two kinds were penned, scanned or stored differently, and a figure
    measured on them is not about signatures.

    Args:
        signatures: Genuine and forged ones.
        raw: Measure the grey images as they were decoded, instead of what the network sees.

    Returns:
        The area under the ROC curve, by the name of the statistic.

    Raises:
        ValueError: Where one of the two kinds is missing.
    """
    statistics = signatures.raw_statistics if raw else _statistics_of(signatures)
    return {
        name: _auc(statistics[signatures.genuine, column], statistics[~signatures.genuine, column])
        for column, name in enumerate(STATISTICS)
    }


def pair_leak_probe(signatures: Signatures, raw: bool = False) -> dict[str, float]:
    """As `leak_probe`, over all pairs of a genuine signature with another signature of its writer.

    The score of a pair is minus the difference of the statistic, of its logarithm for the last three: how well two
    images of one writer are told to be both genuine because the statistic is alike.
    """
    statistics = (signatures.raw_statistics if raw else _statistics_of(signatures)).double()
    statistics[:, 2:] = statistics[:, 2:].clamp(min=1e-3).log()
    same: list[Tensor] = []
    different: list[Tensor] = []
    for writer in signatures.writer.unique():
        rows = signatures.writer == writer
        genuine, forged = statistics[rows & signatures.genuine], statistics[rows & ~signatures.genuine]
        upper = torch.ones(len(genuine), len(genuine)).triu(1).bool()
        same.append(-(genuine[:, None] - genuine[None]).abs()[upper])
        different.append(-(genuine[:, None] - forged[None]).abs().flatten(0, 1))
    alike, apart = torch.cat(same), torch.cat(different)
    return {name: _auc(alike[:, column], apart[:, column]) for column, name in enumerate(STATISTICS)}


def _statistics_of(signatures: Signatures) -> Float32[Tensor, "signatures 5"]:
    rows = [image_statistics(image) for image in signatures.images[:, 0].numpy()]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, len(STATISTICS))


def _auc(genuine: Float[Tensor, " genuine"], forged: Float[Tensor, " forged"]) -> float:
    return area_under_curve(receiver_operating_characteristic(genuine, forged))

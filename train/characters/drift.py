"""Transfers thresholds from runs that held alphabets out to a run on all alphabets.

The run on all alphabets trains for longer, and the longer a network has trained, the higher it scores pairs of
characters that it has never seen, same and different ones. The thresholds of the held-out runs are then too low. By how
much is measured on invented alphabets, which no run has seen.
"""

from collections.abc import Sequence

import torch

from siamese.characters.synthetic import synthetic_drawings
from siamese.metrics import equal_error_point, receiver_operating_characteristic
from siamese.network import SiameseNetwork
from siamese.preprocessing import Preprocessing
from train.evaluation import PROTOCOLS, clear_of_ends, embed_drawings, generator_for, pair_logits, verification_pairs

INVENTED = (30, 20, 10, 77)  # alphabets, characters, drawers, seed: none that `--data invented` has
PAIRS = 20_000


def eer_logits(
    networks: Sequence[tuple[SiameseNetwork, Preprocessing]], device: torch.device
) -> list[dict[str, float]]:
    """Measures at which logit networks make as many errors of both kinds.

    Args:
        networks: Each with the preprocessing that it was trained on.
        device: Where the networks are.

    Returns:
        For each network the logit at its equal error rate on invented alphabets, by protocol.
    """
    drawings = synthetic_drawings(*INVENTED)
    found: list[dict[str, float]] = []
    for network, preprocessing in networks:
        embeddings = embed_drawings(network, drawings.prepared(preprocessing), device)
        found.append({})
        for protocol, within_alphabet in PROTOCOLS:
            pairs = verification_pairs(drawings, PAIRS, generator_for(0, "drift", protocol), within_alphabet)
            logits = pair_logits(network, embeddings, pairs)
            roc = receiver_operating_characteristic(logits[pairs.same], logits[~pairs.same])
            found[-1][protocol] = equal_error_point(roc).threshold
    return found


def transfer_thresholds(verification: dict, before: Sequence[dict[str, float]], now: dict[str, float]) -> dict:
    """Shifts thresholds and the edges of the calibration by a difference of logits.

    Args:
        verification: What the held-out runs measured, as in config.json.
        before: `eer_logits` of the held-out runs.
        now: `eer_logits` of the network that gets the thresholds.

    Returns:
        The entry "verification" of that network: shifted by `now` less the mean of `before`.
    """
    by = {protocol: level - sum(one[protocol] for one in before) / len(before) for protocol, level in now.items()}
    within = by["within_alphabet"]
    thresholds = {
        protocol: clear_of_ends(shift_logit(threshold, by[protocol]))
        for protocol, threshold in verification.get(
            "thresholds", {"within_alphabet": verification["threshold"]}
        ).items()
    }
    changes = {"threshold": thresholds["within_alphabet"], "thresholds": thresholds, "moved_by_logits": by}
    if bins := verification.get("calibration"):
        first, *inner, last = bins["similarity_edges"]
        edges = [first, *(shift_logit(edge, within) for edge in inner), last]
        changes["calibration"] = bins | {"similarity_edges": edges}
    changes["measured_on"] = (
        f"{verification.get('measured_on', 'held-out alphabets')}; moved by {within:+.2f} in the logit, by which these "
        "weights score pairs of invented alphabets, that no run has seen, higher than the held-out runs do"
    )
    return verification | changes


def shift_logit(similarity: float, by: float) -> float:
    """Adds `by` to the logit of a similarity in (0, 1)."""
    return (torch.tensor(similarity, dtype=torch.float64).logit() + by).sigmoid().item()

"""How much higher one network scores than others on alphabets that none has seen: invented ones.

A run on all alphabets goes on for longer than those that held some out and gave it its threshold. The longer a network
has trained, the higher it scores what it has never seen, pairs of one character and of two alike: what parted them
best before is then too low.
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


def levels(networks: Sequence[tuple[SiameseNetwork, Preprocessing]], device: torch.device) -> list[dict[str, float]]:
    """For each network the logit at which it errs alike both ways, by the name of the protocol."""
    drawings = synthetic_drawings(*INVENTED)
    found = []
    for network, preprocessing in networks:
        embeddings = embed_drawings(network, drawings.prepared(preprocessing), device)
        found.append({})
        for protocol, within_alphabet in PROTOCOLS:
            pairs = verification_pairs(drawings, PAIRS, generator_for(0, "drift", protocol), within_alphabet)
            logits = pair_logits(network, embeddings, pairs)
            roc = receiver_operating_characteristic(logits[pairs.same], logits[~pairs.same])
            found[-1][protocol] = equal_error_point(roc).threshold
    return found


def moved(verification: dict, before: Sequence[dict[str, float]], now: dict[str, float]) -> dict:
    """What held-out runs measured, for a network that scores unseen alphabets higher by now - the mean of `before`.

    Thresholds and the bounds of the calibration are moved by that difference of logits.
    """
    by = {protocol: level - sum(one[protocol] for one in before) / len(before) for protocol, level in now.items()}
    within = by["within_alphabet"]
    thresholds = {
        protocol: clear_of_ends(after(threshold, by[protocol]))
        for protocol, threshold in verification.get(
            "thresholds", {"within_alphabet": verification["threshold"]}
        ).items()
    }
    changes = {"threshold": thresholds["within_alphabet"], "thresholds": thresholds, "moved_by_logits": by}
    if bins := verification.get("calibration"):
        first, *inner, last = bins["similarity_edges"]
        edges = [first, *(after(edge, within) for edge in inner), last]
        changes["calibration"] = bins | {"similarity_edges": edges}
    changes["measured_on"] = (
        f"{verification.get('measured_on', 'held-out alphabets')}; moved by {within:+.2f} in the logit, by which these "
        "weights score pairs of invented alphabets, that no run has seen, higher than the held-out runs do"
    )
    return verification | changes


def after(similarity: float, by: float) -> float:
    """A similarity whose logit is moved."""
    return (torch.tensor(similarity, dtype=torch.float64).logit() + by).sigmoid().item()

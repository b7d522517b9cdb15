"""What config.json says of a checkpoint's errors on signatures: fusion, thresholds, and rates on other collections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch

from siamese.hub.checkpoint import CheckpointError
from siamese.hub.resolve import load_model
from siamese.metrics import equal_error_point
from siamese.network import SiameseNetwork
from siamese.signatures.dataset import Signatures
from siamese.signatures.rates import SKILLED
from siamese.signatures.verifier import Scoring, scoring_in
from train.run_folder import held_out_run
from train.signatures.comparison import Comparison, compare
from train.signatures.fusion import fit_fusion, pairs_of
from train.signatures.scores import (
    NEAREST,
    THRESHOLD_REFERENCES,
    Scores,
    consistency_of,
    curves_of,
    evened,
    measured_points,
    score_all,
    thresholds_for,
    verification_entry,
)
from train.signatures.subjects import kind_of_forgeries


@dataclass(frozen=True)
class HeldOut:
    """Signatures of one collection by writers whom a network was not shown."""

    network: SiameseNetwork
    collection: str
    signatures: Signatures


@dataclass(frozen=True)
class Calibrated:
    """What a run without validating writers takes over from runs that held some out."""

    verification: dict
    """As config.json has it."""
    runs: list[dict]
    """The config.json of each, for who was seen."""


def held_out_signature_run(source: str) -> dict:
    """The config.json of a run that --calibration-from names; raises CheckpointError, HubError."""
    config = held_out_run(source)
    if "operating_points" not in config["verification"]:
        raise CheckpointError(f"{source} was not calibrated on signatures; give the run that held out writers.")
    return config


def carried_verification(
    sources: list[str], runs: list[dict], collections: Mapping[str, Signatures], device: torch.device
) -> dict:
    """Of one held-out run what it measured; of several, what all of them say of the writers each held out.

    Eight writers are few: how high a threshold should be differs more between writers than between networks. Raises
    CheckpointError, HubError.
    """
    if len(sources) == 1:
        return runs[0]["verification"]
    held_out: list[HeldOut] = []
    taken: set[tuple[str, str]] = set()
    for source, config in zip(sources, runs, strict=True):
        people = (config.get("training") or {}).get("signatures") or {}
        digests = set(chain.from_iterable((people.get("validation") or {}).values()))
        validation = {
            name: signatures.take(torch.tensor([digest in digests for digest in signatures.sha256]))
            for name, signatures in collections.items()
        }
        if not digests or sum(map(len, validation.values())) < len(digests):
            raise CheckpointError(f"{source} held out no writers of this data; give a run on the same data.")
        if digests & set(people.get("before") or ()):
            raise CheckpointError(f"{source} began with weights that had seen those whom it held out.")
        writers = {(name, writer) for name, held in validation.items() for writer in held.writers_held}
        if twice := sorted(writer for _, writer in taken & writers):
            raise CheckpointError(
                f"{source} held out {', '.join(twice)}, as another of the runs did; give each part once."
            )
        taken |= writers
        network = load_model(source, strict=True)[1].network.to(device)
        held_out += [HeldOut(network, name, held) for name, held in validation.items() if len(held)]
    return verification_of(held_out, device)


def verification_of(held_out: Sequence[HeldOut], device: torch.device) -> dict:
    """What config.json holds under "verification": of networks, each on the writers that it was not shown.

    Errors and thresholds are of scores weighed by what the other parts say, where another network held out writers of
    the same collection; each part weighs alike. The only part of a collection is weighed by all parts: the few weights
    of the fusion owe little to one of them, and those of other collections alone put the thresholds off.

    Names that several wrote, on several media, help to weigh the parts of a score, but decide no threshold beside
    skilled forgeries: a genuine pair on paper and phone scores so much lower that a threshold which lets it pass lets
    most skilled forgeries on one medium pass, too.
    """
    everybody = range(len(held_out))
    deciding = [place for place in everybody if kind_of_forgeries(held_out[place].signatures) == SKILLED] or everybody
    comparisons = [compare(part.network, part.signatures, device) for part in held_out]
    pairs = [pairs_of(comparison) for comparison in comparisons]
    weighed = Scoring(fit_fusion(pairs))
    consistency = consistency_of([comparisons[place] for place in deciding], weighed)
    scoring = replace(weighed, consistency=consistency, nearest=NEAREST)
    by_references: dict[int, list[Scores]] = {}
    for place in deciding:
        others = [other for other in everybody if other != place]
        crossed = scoring
        if any(held_out[other].collection == held_out[place].collection for other in others):
            crossed = replace(scoring, fusion=fit_fusion([pairs[other] for other in others]) or scoring.fusion)
        for count, scores in score_all(comparisons[place], crossed, counts=THRESHOLD_REFERENCES).items():
            by_references.setdefault(count, []).append(scores)
    alone = [found[1] for place in deciding if (found := score_all(comparisons[place], counts=[1]))]
    writers = sum(len(held_out[place].signatures.writers_held) for place in deciding)
    measured_on = (
        f"signatures of {writers} writers, each scored by a run that had not seen them; the reference is genuine, the "
        "other signature genuine or a skilled forgery"
    )
    pooled = {count: evened(scores) for count, scores in by_references.items()}
    return verification_entry(pooled, evened(alone), measured_on, scoring)


def left_out_entry(name: str, comparison: Comparison, config: Mapping) -> dict:
    """The errors on a collection that training left out, at thresholds that were chosen on the others.

    Args:
        name: Of the collection.
        comparison: The network on the whole of it.
        config: The checkpoint's config.json.

    Returns:
        An entry of the list "left_out" under "verification" in config.json.
    """
    found = score_all(comparison, scoring_in(config))
    return {
        "collection": name,
        "writers": max((len(scores.writers) for scores in found.values()), default=0),
        "forgeries": kind_of_forgeries(comparison.signatures),
        "by_references": {
            str(count): {
                "eer_skilled": equal_error_point(curves_of(scores).skilled).far,
                "operating_points": measured_points(scores, thresholds_for(config, count)),
            }
            for count, scores in found.items()
        },
    }


def left_out_rates(sources: Sequence[str]) -> list[dict]:
    """The entries "left_out" of runs that --rates-from names; raises CheckpointError, HubError."""
    found = []
    for source in sources:
        entries = held_out_run(source)["verification"].get("left_out")
        if not entries:
            raise CheckpointError(f"{source} left no collection out; give a run with --leave-one-collection-out.")
        found += entries
    return found

"""Scores of signatures by unseen writers, and the error rates and thresholds that follow from them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from siamese.metrics import (
    NAMED_POINTS,
    Calibration,
    Consistency,
    Roc,
    area_under_curve,
    calibration,
    equal_error_interval,
    equal_error_point,
    error_curve,
    false_acceptance_rate,
    false_rejection_rate,
    named_points,
    receiver_operating_characteristic,
)
from siamese.signatures.dataset import Signatures
from siamese.signatures.fusion import ScoreFusion
from siamese.signatures.verifier import Scoring
from train.evaluation import EvaluationError, clear_of_ends
from train.signatures.comparison import ALONE, Comparison
from train.signatures.subjects import Subject, subjects

REFERENCES = (1, 3, 5)
THRESHOLD_REFERENCES = (1, 2, 3, 5, 10)  # numbers that config.json has thresholds for
CONSISTENCY_WEIGHT, NEAREST = 0.5, 0.5  # found on validation writers
DRAWS = 20  # of references for each writer, where not all choices of them are gone through
RANDOM_LIMIT = 200  # other writers' signatures that one writer's references meet
STRANGERS = 60  # other writers' signatures, and as many forgeries of theirs, that they meet in the probe of strangers
SEED = 2011  # of the draws: the same for every network


@dataclass(frozen=True)
class Scores:
    """Similarities of questioned signatures, entry i of each list those put to writer i's references."""

    writers: tuple[str, ...]
    genuine: list[Float64[Tensor, " _"]]
    skilled: list[Float64[Tensor, " _"]]
    random: list[Float64[Tensor, " _"]]
    """Genuine signatures of other writers."""

    def __add__(self, other: "Scores") -> "Scores":
        return Scores(
            self.writers + other.writers,
            self.genuine + other.genuine,
            self.skilled + other.skilled,
            self.random + other.random,
        )


def scores_of(comparison: Comparison, references: int, scoring: Scoring = ALONE, seed: int = SEED) -> Scores:
    """`scores_by_references` for one number of references."""
    return scores_by_references(comparison, [references], scoring, seed)[references]


def scores_by_references(
    comparison: Comparison, counts: Sequence[int], scoring: Scoring = ALONE, seed: int = SEED
) -> dict[int, Scores]:
    """Similarities in [0, 1] of everything that can be questioned, by the number of references of each writer.

    With one reference all pairs count, otherwise DRAWS draws; of several the mean logit counts, with `Scoring.offset`.
    Writers with too few genuine signatures, or without forgeries, are left out. Other writers' signatures are the same
    for every number, so that each pair is compared once.
    """
    signatures = comparison.signatures
    found: dict[int, dict[int, tuple[list[Tensor], list[Tensor], list[Tensor]]]] = {count: {} for count in counts}
    generators = {count: torch.Generator().manual_seed(seed) for count in counts}
    for subject, others in with_some_others(signatures, seed):
        rows, forgeries = subject.genuine, subject.forged
        fitting = [count for count in counts if len(rows) > count and len(forgeries)]
        if not fitting:
            continue
        logits = comparison.logits(rows, torch.cat([rows, forgeries, others]), scoring)
        sizes = [len(rows), len(forgeries), len(others)]
        for count in fitting:
            parts = found[count].setdefault(subject.writer, ([], [], []))
            for scores in drawn_scores(logits, sizes, count, scoring, generators[count]):
                for part, values in zip(parts, scores, strict=True):
                    part.append(values)
    return {
        count: Scores(
            tuple(signatures.writer_names[index] for index in by_writer),
            *([torch.cat(parts[place]).sigmoid() for parts in by_writer.values()] for place in range(3)),
        )
        for count, by_writer in found.items()
    }


def with_some_others(signatures: Signatures, seed: int) -> Iterator[tuple[Subject, Int64[Tensor, " _"]]]:
    """Each subject with at most RANDOM_LIMIT rows of other writers' genuine signatures, the same for one seed."""
    generator = torch.Generator().manual_seed(seed)
    for subject in subjects(signatures):
        order = torch.randperm(len(subject.others), generator=generator)
        yield subject, subject.others[order[:RANDOM_LIMIT]]


def drawn_scores(
    logits: Float64[Tensor, "genuine questioned"],
    sizes: Sequence[int],
    references: int,
    scoring: Scoring,
    generator: torch.Generator,
) -> Iterator[tuple[Float64[Tensor, " _"], ...]]:
    """Logits of genuine signatures, forgeries and other writers' signatures, for every draw of references.

    Args:
        logits: Of each genuine signature with itself and the others, with forgeries, with other writers' signatures.
        sizes: How many there are of each of these three.
        references: How many are drawn; of one there is a single draw, in which all pairs count.
        scoring: What becomes of several references.
        generator: Of the draws.
    """
    if references == 1:
        among, *rest = logits.split(list(sizes), 1)
        yield among[upper(sizes[0])], *(part.flatten() for part in rest)
        return
    for _ in range(DRAWS):
        order = torch.randperm(sizes[0], generator=generator)
        chosen = order[:references]
        some = logits[chosen]
        among, *rest = (some.mean(0) + scoring.offset(some, some[:, chosen])).split(list(sizes))
        yield among[order[references:]], *rest


def upper(rows: int) -> Bool[Tensor, "rows rows"]:
    """Each two of these rows once, none with itself."""
    return torch.ones(rows, rows, dtype=torch.bool).triu(1)


def evened(parts: Sequence[Scores]) -> Scores:
    """The scores of several parts, such as collections, each repeated until all weigh alike; no longer by writer."""

    def repeated(kind: str) -> list[Float64[Tensor, " _"]]:
        pooled = [torch.cat(getattr(part, kind)) for part in parts]
        most = max(map(len, pooled))
        return [scores[torch.arange(most if len(scores) else 0) * len(scores) // max(1, most)] for scores in pooled]

    names = tuple(name for part in parts for name in part.writers)
    return Scores(names, repeated("genuine"), repeated("skilled"), repeated("random"))


@dataclass(frozen=True)
class Curves:
    """The two ROCs of one number of references, over all writers together."""

    skilled: Roc
    random: Roc | None
    """None where there is one writer only."""


def curves_of(scores: Scores) -> Curves:
    """Raises ValueError where there are no scores."""
    genuine, skilled, others = (torch.cat(part) for part in (scores.genuine, scores.skilled, scores.random))
    random = receiver_operating_characteristic(genuine, others) if len(others) else None
    return Curves(receiver_operating_characteristic(genuine, skilled), random)


def measures(scores: Scores, thresholds: Mapping[str, float], seed: int = SEED) -> dict:
    """The report's entries for one number of references; every rate a fraction.

    `thresholds` are similarities that were chosen on other writers, by the names of the operating points.
    """
    curves = curves_of(scores)
    own = [
        equal_error_point(receiver_operating_characteristic(genuine, skilled)).far
        for genuine, skilled in zip(scores.genuine, scores.skilled, strict=True)
    ]
    generator = torch.Generator().manual_seed(seed)
    intervals = {"eer_skilled": list(equal_error_interval(scores.genuine, scores.skilled, generator))}
    if curves.random:
        met = [pair for pair in zip(scores.genuine, scores.random, strict=True) if len(pair[1])]
        intervals["eer_random"] = list(
            equal_error_interval([own for own, _ in met], [other for _, other in met], generator)
        )
    return {
        "writers": len(scores.writers),
        "eer_skilled": equal_error_point(curves.skilled).far,
        "eer_skilled_per_writer": sum(own) / len(own),
        "eer_random": equal_error_point(curves.random).far if curves.random else None,
        "auc_skilled": area_under_curve(curves.skilled),
        "auc_random": area_under_curve(curves.random) if curves.random else None,
        "intervals": intervals,
        "operating_points": measured_points(scores, thresholds),
        "pairs": {kind: sum(map(len, getattr(scores, kind))) for kind in ("genuine", "skilled", "random")},
    }


def measured_points(scores: Scores, thresholds: Mapping[str, float]) -> dict[str, dict]:
    """What thresholds cost, which were chosen on other writers, by the names of the operating points."""
    genuine, skilled, others = (torch.cat(part) for part in (scores.genuine, scores.skilled, scores.random))
    return {
        name: {
            "threshold": threshold,
            "far": false_acceptance_rate(skilled, threshold),
            "far_random": false_acceptance_rate(others, threshold) if len(others) else None,
            "frr": false_rejection_rate(genuine, threshold),
        }
        for name, threshold in thresholds.items()
    }


def verification_entry(
    by_references: Mapping[int, Scores], alone: Scores, measured_on: str, scoring: Scoring = ALONE
) -> dict:
    """What config.json holds under "verification": thresholds of writers that trained nothing, for each number of
    references; the operating points at the top are for one.

    `alone` are the scores of the network alone with one reference: the threshold and the calibration at the top, which
    a `Recognizer` goes by, are theirs. Raises ValueError where there are no scores.
    """
    entries = {}
    for references, scores in by_references.items():
        roc = curves_of(scores).skilled
        points = {
            name: {"threshold": clear_of_ends(point.threshold, 1e-9), "far": point.far, "frr": point.frr}
            for name, point in named_points(roc).items()
        }
        entries[str(references)] = {
            "operating_points": points,
            "curve": error_curve(roc).as_dict(),
            "calibration": balanced_calibration(scores).as_dict(),
        }
    return {
        "measured_on": measured_on,
        **scoring.as_dict(),
        **entries[str(min(by_references))],
        "threshold": clear_of_ends(equal_error_point(curves_of(alone).skilled).threshold, 1e-9),
        "calibration": balanced_calibration(alone).as_dict(),
        "by_references": entries,
    }


def thresholds_for(config: Mapping, references: int) -> dict[str, float]:
    """Similarities by the names of the operating points, out of a checkpoint's config; empty where it has none.

    As `siamese.signatures.verifier` has it: those for as many references or for the next smaller number.
    """
    verification = config.get("verification") or {}
    entries = verification.get("by_references", {})
    counts = [int(count) for count in entries if int(count) <= references]
    entry = entries[str(max(counts))] if counts else verification
    points = entry.get("operating_points") or {}
    return {name: points[name]["threshold"] for name in NAMED_POINTS if name in points}


def balanced_calibration(scores: Scores) -> Calibration:
    """Of as many genuine signatures as skilled forgeries: of the larger kind, some at random."""
    genuine, skilled = torch.cat(scores.genuine), torch.cat(scores.skilled)
    few = min(len(genuine), len(skilled))
    generator = torch.Generator().manual_seed(SEED)
    drawn = [part[torch.randperm(len(part), generator=generator)[:few]] for part in (genuine, skilled)]
    return calibration(torch.cat(drawn), torch.arange(2 * few) < few)


def score_all(
    comparison: Comparison, scoring: Scoring = ALONE, counts: Sequence[int] = REFERENCES
) -> dict[int, Scores]:
    """By number of references; numbers for which no writer has enough signatures are left out."""
    found = scores_by_references(comparison, counts, scoring)
    return {count: scores for count, scores in found.items() if scores.writers}


def consistency_of(held_out: Sequence[Comparison], scoring: Scoring = ALONE) -> Consistency:
    """The room that references are given, from the writers who validate, each with the network that scores them; the
    parts weigh alike."""
    scored = [scores_of(comparison, 1, scoring).genuine for comparison in held_out]
    means = [torch.cat(genuine).logit().clamp(-50, 50).mean() for genuine in scored if genuine]
    if not means:
        raise EvaluationError("No validating writer has two genuine signatures and a forgery; give more signatures.")
    return Consistency(CONSISTENCY_WEIGHT, torch.stack(means).mean().item())


def parts_alone(comparison: Comparison, scoring: Scoring) -> dict[str, Scores]:
    """The scores of one reference if the network alone decided and, where the handwriting counts, if each other part
    did."""
    parts = {"network": ALONE}
    if scoring.fusion:
        nothing = ScoreFusion(*[0.0] * len(fields(ScoreFusion)))
        parts |= {name: Scoring(replace(nothing, **{name: -1.0})) for name in ("hinge", "profile")}
    return {name: score_all(comparison, one, counts=[1])[1] for name, one in parts.items()}


def stranger_probe(comparison: Comparison, scoring: Scoring = ALONE, seed: int = SEED) -> float | None:
    """Returns how well the scores tell other writers' genuine signatures from forgeries of them, as an AUC.

    Neither is by the hand of the reference, so 0.5 is what an honest score gives; above it, something that genuine
    signatures have in common on this set, such as their scanner, passes for likeness. Each writer's references meet at
    most STRANGERS of either kind. None for a single writer, and without forgeries.
    """
    signatures = comparison.signatures
    generator = torch.Generator().manual_seed(seed)
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for subject, others in with_some_others(signatures, seed):
        forged = ((signatures.writer != subject.writer) & ~signatures.genuine).nonzero().flatten()
        forged = forged[torch.randperm(len(forged), generator=generator)[:STRANGERS]]
        for part, rows in zip(found, (others[:STRANGERS], forged), strict=True):
            part.append(comparison.logits(subject.genuine, rows, scoring).flatten())
    genuine, forged = map(torch.cat, found)
    if not len(genuine) or not len(forged):
        return None
    return area_under_curve(receiver_operating_characteristic(genuine, forged))

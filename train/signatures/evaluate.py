"""How often forgers fool a checkpoint, on writers it has never seen: `python -m train evaluate-signatures`."""

import argparse
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from siamese.data.sources import SourceError
from siamese.hub.checkpoint import CheckpointError
from siamese.hub.errors import HubError
from siamese.inference.device import fastest_precision, usable_device
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
from siamese.network import SiameseNetwork
from siamese.signatures.dataset import Signatures, load_signatures
from siamese.signatures.fusion import ScoreFusion
from siamese.signatures.leak_probe import leak_probe, pair_leak_probe
from siamese.signatures.verifier import BUNDLED, Scoring, scoring_in
from train.evaluation import EvaluationError, Model, clear_of_ends, embed_drawings, load_model, write_report
from train.figures import FigureError

REFERENCES = (1, 3, 5)
THRESHOLD_REFERENCES = (1, 2, 3, 5, 10)  # numbers that config.json has thresholds for
CONSISTENCY_WEIGHT = 0.5  # found on validation writers
DRAWS = 20  # of references for each writer, where not all choices of them are gone through
RANDOM_LIMIT = 500  # other writers' signatures that one writer's references meet
HASHED = "size and grey pixels"  # what the hashes in config.json are of
ALONE = Scoring()  # the network's logits as they are
SEED = 2011  # of the draws: the same for every network
PROTOCOL = (
    "writers that the checkpoint has not seen; every genuine signature of a writer is once the one reference, "
    "compared with the writer's other genuine signatures, with the skilled forgeries of the writer and, as random "
    "forgeries, with genuine signatures of other writers; one threshold for all writers"
)
COMBINATION = (
    "where the checkpoint has a fusion, the logit of a pair is made, as it says, of the network's logit and of two "
    "distances between how the lines run; with several references the logits of the questioned signature with each are "
    "averaged, and half of what the mean logit of the references among themselves falls short of that of other writers "
    f"is added; {DRAWS} draws of references for each writer, the other genuine signatures being questioned"
)


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


@torch.inference_mode()
def scores_of(
    network: SiameseNetwork,
    embeddings: Float[Tensor, "signatures units"],
    signatures: Signatures,
    references: int,
    scoring: Scoring = ALONE,
    seed: int = SEED,
) -> Scores:
    """Similarities in [0, 1] of everything that can be questioned, with so many references of each writer.

    With one reference all pairs count, otherwise DRAWS draws; of several the mean logit counts.
    Writers with too few genuine signatures, or without forgeries, are left out.
    """
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    writer, genuine = signatures.writer, signatures.genuine
    for index in writer.unique().tolist():
        own, forged = ((writer == index) & kind for kind in (genuine, ~genuine))
        rows, forgeries = own.nonzero().flatten(), forged.nonzero().flatten()
        others = ((writer != index) & genuine).nonzero().flatten()
        others = others[torch.randperm(len(others), generator=generator)[:RANDOM_LIMIT]]
        if len(rows) <= references or len(forgeries) == 0:
            continue
        questioned = torch.cat([rows, forgeries, others])
        logits = logits_between(network, embeddings, signatures, rows, questioned, scoring)
        sizes = [len(rows), len(forgeries), len(others)]
        parts: tuple[list[Tensor], ...] = ([], [], [])
        if references == 1:
            among, *rest = logits.split(sizes, 1)
            pairs = torch.ones_like(among, dtype=torch.bool).triu(1)
            found[signatures.writer_names[index]] = (among[pairs], *(part.flatten() for part in rest))
            continue
        for _ in range(DRAWS):
            order = torch.randperm(len(rows), generator=generator)
            chosen = order[:references]
            mean = logits[chosen].mean(0)
            if scoring.consistency:
                mean = mean + scoring.consistency.reference_offset(logits[chosen][:, chosen])
            among, *rest = mean.split(sizes)
            for part, values in zip(parts, (among[order[references:]], *rest), strict=True):
                part.append(values)
        found[signatures.writer_names[index]] = tuple(torch.cat(part) for part in parts)
    columns = [[part[place].sigmoid() for part in found.values()] for place in range(3)]
    return Scores(tuple(found), *columns)


def logits_between(
    network: SiameseNetwork,
    embeddings: Float[Tensor, "signatures units"],
    signatures: Signatures,
    rows: Int64[Tensor, " n"],
    questioned: Int64[Tensor, " m"],
    scoring: Scoring = ALONE,
) -> Float64[Tensor, "n m"]:
    """Of all pairs of these rows, before several references are put together."""
    logits = network.compare_all(embeddings[rows], embeddings[questioned]).double().cpu()
    if scoring.fusion is None:
        return logits
    handwriting = signatures.strokes
    return scoring.fusion.logits(logits, handwriting.take(rows), handwriting.take(questioned))


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
        intervals["eer_random"] = list(equal_error_interval(*map(list, zip(*met, strict=True)), generator))
    genuine, skilled, others = (torch.cat(part) for part in (scores.genuine, scores.skilled, scores.random))
    points = {
        name: {
            "threshold": threshold,
            "far": false_acceptance_rate(skilled, threshold),
            "far_random": false_acceptance_rate(others, threshold) if curves.random else None,
            "frr": false_rejection_rate(genuine, threshold),
        }
        for name, threshold in thresholds.items()
    }
    return {
        "writers": len(scores.writers),
        "eer_skilled": equal_error_point(curves.skilled).far,
        "eer_skilled_per_writer": sum(own) / len(own),
        "eer_random": equal_error_point(curves.random).far if curves.random else None,
        "auc_skilled": area_under_curve(curves.skilled),
        "auc_random": area_under_curve(curves.random) if curves.random else None,
        "intervals": intervals,
        "operating_points": points,
        "pairs": {"genuine": len(genuine), "skilled": len(skilled), "random": len(others)},
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
    parts = {name: asdict(part) for name, part in vars(scoring).items() if part}
    return {
        "measured_on": measured_on,
        **parts,
        **entries[str(min(by_references))],
        "threshold": clear_of_ends(equal_error_point(curves_of(alone).skilled).threshold, 1e-9),
        "calibration": balanced_calibration(alone).as_dict(),
        "by_references": entries,
    }


def thresholds_for(config: dict, references: int) -> dict[str, float]:
    """Similarities by the names of the operating points, out of a checkpoint's config; empty where it has none.

    As `siamese.signatures.verifier` has it: those for as many references or for the next smaller number.
    """
    verification = config.get("verification") or {}
    entries = verification.get("by_references", {})
    counts = [int(count) for count in entries if int(count) <= references]
    entry = entries[str(max(counts))] if counts else verification
    points = entry.get("operating_points") or {}
    return {name: points[name]["threshold"] for name in NAMED_POINTS if name in points}


def seen_hashes(config: dict) -> set[str]:
    """SHA-256 of every image that trained the checkpoint, or one that it began with, or decided something about it."""
    seen = (config.get("training") or {}).get("signatures") or {}
    now = chain.from_iterable(chain(*(seen.get(part, {}).values() for part in ("training", "validation"))))
    return {*now, *seen.get("before", [])}


def unseen_writers(signatures: Signatures, seen: Collection[str]) -> tuple[str, ...]:
    """Writers with signatures here, none of which the checkpoint has seen."""
    known = {int(signatures.writer[row]) for row, digest in enumerate(signatures.sha256) if digest in seen}
    held = signatures.writer.unique().tolist()
    return tuple(signatures.writer_names[index] for index in held if index not in known)


def balanced_calibration(scores: Scores) -> Calibration:
    """Of as many genuine signatures as skilled forgeries: of the larger kind, some at random."""
    genuine, skilled = torch.cat(scores.genuine), torch.cat(scores.skilled)
    few = min(len(genuine), len(skilled))
    generator = torch.Generator().manual_seed(SEED)
    drawn = [part[torch.randperm(len(part), generator=generator)[:few]] for part in (genuine, skilled)]
    return calibration(torch.cat(drawn), torch.arange(2 * few) < few)


def score_all(
    network: SiameseNetwork,
    signatures: Signatures,
    device: torch.device,
    scoring: Scoring = ALONE,
    precision: torch.dtype | None = None,
    progress: bool = False,
    counts: Sequence[int] = REFERENCES,
) -> dict[int, Scores]:
    """By number of references; numbers for which no writer has enough signatures are left out."""
    embeddings = embed_drawings(network, signatures.images, device, precision=precision, progress=progress)
    found = {count: scores_of(network, embeddings, signatures, count, scoring) for count in counts}
    return {count: scores for count, scores in found.items() if scores.writers}


def consistency_of(
    held_out: Sequence[tuple[SiameseNetwork, Signatures]], device: torch.device, scoring: Scoring = ALONE
) -> Consistency:
    """The room that references are given, from the writers who validate, each with the network that scores them."""
    genuine: list[Float64[Tensor, " _"]] = []
    for network, signatures in held_out:
        embeddings = embed_drawings(network, signatures.images, device)
        genuine += scores_of(network, embeddings, signatures, 1, scoring).genuine
    if not genuine:
        raise EvaluationError("No validating writer has two genuine signatures and a forgery; give more signatures.")
    return Consistency(CONSISTENCY_WEIGHT, torch.cat(genuine).logit().clamp(-50, 50).mean().item())


def parts_alone(
    network: SiameseNetwork,
    signatures: Signatures,
    device: torch.device,
    scoring: Scoring,
    precision: torch.dtype | None = None,
) -> dict[str, Scores]:
    """The scores of one reference if the network alone decided and, where the handwriting counts, if each other part
    did."""
    parts = {"network": ALONE}
    if scoring.fusion:
        nothing = ScoreFusion(*[0.0] * len(fields(ScoreFusion)))
        parts |= {name: Scoring(replace(nothing, **{name: -1.0})) for name in ("hinge", "profile")}
    return {name: score_all(network, signatures, device, one, precision, counts=[1])[1] for name, one in parts.items()}


@torch.inference_mode()
def stranger_probe(
    network: SiameseNetwork,
    signatures: Signatures,
    device: torch.device,
    scoring: Scoring = ALONE,
    precision: torch.dtype | None = None,
    seed: int = SEED,
) -> float | None:
    """How well the scores tell other writers' genuine signatures from the forgeries of theirs: an AUC.

    Neither is by the hand of the reference, so 0.5 is what an honest score gives; above it, something that genuine
    signatures have in common on this set, such as their scanner, passes for likeness. Each writer's references meet at
    most RANDOM_LIMIT of either kind. None for a single writer.
    """
    generator = torch.Generator().manual_seed(seed)
    embeddings = embed_drawings(network, signatures.images, device, precision=precision)
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for index in signatures.writer.unique().tolist():
        own = ((signatures.writer == index) & signatures.genuine).nonzero().flatten()
        for part, kind in zip(found, (signatures.genuine, ~signatures.genuine), strict=True):
            others = ((signatures.writer != index) & kind).nonzero().flatten()
            others = others[torch.randperm(len(others), generator=generator)[:RANDOM_LIMIT]]
            part.append(logits_between(network, embeddings, signatures, own, others, scoring).flatten())
    genuine, forged = map(torch.cat, found)
    if not len(genuine) or not len(forged):
        return None
    return area_under_curve(receiver_operating_characteristic(genuine, forged))


def signature_report(
    by_references: Mapping[int, Scores],
    alone: Mapping[str, Scores],
    scored: Signatures,
    leaks: Mapping[str, dict[str, float]],
    thresholds: Callable[[int], Mapping[str, float]],
) -> dict:
    """The entry "signatures" of a report, of writers who could be scored with one reference at least.

    `leaks` are `leaks_of` the whole set; what leaks among the few writers that were `scored` stands beside, where
    chance moves it further. `alone` are `parts_alone`; `thresholds` gives those for a number of references.
    """
    entries = {str(count): measures(scores, thresholds(count)) for count, scores in by_references.items()}

    def without_points(measured: dict) -> dict:
        return {name: value for name, value in measured.items() if name != "operating_points"}

    headline = {name: value for name, value in entries["1"].items() if name != "writers"}
    return {
        "protocol": PROTOCOL,
        "combination": COMBINATION,
        "writers_scored": entries["1"]["writers"],
        "references": 1,
        **headline,
        "by_references": entries,
        "parts_alone": {name: without_points(measures(scores, {})) for name, scores in alone.items()},
        **leaks,
        "leak_probe_scored": leak_probe(scored),
    }


def leaks_of(everything: Signatures) -> dict[str, dict[str, float]]:
    """The leak probes of a report: a leak is one of the data set and its preprocessing, not of a network, so that it is
    sought in all writers of the set."""
    return {"leak_probe": leak_probe(everything), "pair_leak_probe": pair_leak_probe(everything)}


def evaluate_signatures(arguments: argparse.Namespace) -> dict:
    """The whole report; figures are drawn on the way. Raises EvaluationError and what loading raises."""
    try:
        device = usable_device(arguments.device)
    except ValueError as error:
        raise EvaluationError(str(error)) from error
    precision = getattr(torch, arguments.precision) if arguments.precision else fastest_precision(device)
    model = load_model(arguments.model, arguments.device, str(precision).removeprefix("torch."))
    people = (model.config.get("training") or {}).get("signatures")
    if people and people.get("hashed") != HASHED:
        raise EvaluationError(
            "The checkpoint names whom it has seen in a way that is no longer read; train it again, or its figures on "
            "writers that it has seen would mean nothing."
        )
    signatures = load(arguments.data, model)
    names = unseen_writers(signatures, seen_hashes(model.config))
    held = signatures.writers_held
    if not names:
        raise EvaluationError(
            f"The checkpoint was trained or chosen on all {len(held)} writers of {arguments.data}; figures on "
            "writers that it has seen mean nothing, so give others."
        )
    chosen = signatures.of_writers(names)
    scoring = scoring_in(model.config)
    by_references = score_all(model.network, chosen, device, scoring, precision)
    if not by_references:
        raise EvaluationError("No writer has two genuine signatures and a forgery; there is nothing to score.")
    alone = parts_alone(model.network, chosen, device, scoring, precision)
    entry = signature_report(by_references, alone, chosen, leaks_of(signatures), partial(thresholds_for, model.config))
    entry["stranger_probe"] = stranger_probe(model.network, chosen, device, scoring, precision)
    notes = list(signatures.remarks)
    if not entry["operating_points"]:
        notes.append("The checkpoint names no thresholds for signatures, so there are no operating points.")
    if len(names) > entry["writers_scored"]:
        notes.append(f"{len(names) - entry['writers_scored']} writers have too few signatures to be scored.")
    entry |= {"data": Path(arguments.data).name, "writers_seen": len(held) - len(names), "writers": list(names)}
    if arguments.figures:
        draw(by_references, Path(arguments.figures))
    report = {"model": model.description, "seed": SEED, "one_shot": [], "verification": [], "signatures": entry}
    return report | {"notes": notes}


def load(source: str, model: Model) -> Signatures:
    try:
        return load_signatures(source, model.preprocessing)
    except SourceError as error:
        raise EvaluationError(str(error)) from error


def draw(by_references: Mapping[int, Scores], folder: Path) -> None:
    """signatures_roc.png and signatures_det.png."""
    from train import figures

    curves = {count: curves_of(scores) for count, scores in by_references.items()}
    lines = [
        figures.Curve(f"skilled, {count} reference{'s' if count > 1 else ''}", both.skilled)
        for count, both in curves.items()
    ]
    if curves[1].random:
        lines.append(figures.Curve("random, 1 reference", curves[1].random))
    figures.signature_roc(lines, folder / "signatures_roc.png")
    figures.detection_error_tradeoff(lines, folder / "signatures_det.png")


def table(entry: dict) -> str:
    """The entry "signatures" for people, in per cent."""
    lines = [
        f"{'references':>10}{'writers':>9}{'EER skilled':>13}{'95 % interval':>18}{'per writer':>12}"
        f"{'EER random':>12}{'AUC skilled':>13}"
    ]
    for count, row in entry["by_references"].items():
        low, high = row["intervals"]["eer_skilled"]
        span = f"{100 * low:.1f} to {100 * high:.1f} %"
        lines.append(
            f"{count:>10}{row['writers']:>9}{share(row['eer_skilled']):>13}{span:>18}"
            f"{share(row['eer_skilled_per_writer']):>12}{share(row['eer_random']):>12}{row['auc_skilled']:>13.4f}"
        )
    if entry["operating_points"]:
        lines += [
            "",
            f"{'references':>10}{'point':>10}{'threshold':>11}{'FAR skilled':>13}{'FAR random':>12}{'FRR':>9}",
        ]
        lines += [
            f"{count:>10}{name:>10}{point['threshold']:>11.4f}{share(point['far']):>13}"
            f"{share(point['far_random']):>12}{share(point['frr']):>9}"
            for count, row in entry["by_references"].items()
            for name, point in row["operating_points"].items()
        ]
    if len(entry["parts_alone"]) > 1:
        lines += ["", f"{'alone, 1':>10}{'EER skilled':>22}{'95 % interval':>18}{'EER random':>24}{'AUC skilled':>13}"]
        for name, row in entry["parts_alone"].items():
            low, high = row["intervals"]["eer_skilled"]
            lines.append(
                f"{name:>10}{share(row['eer_skilled']):>22}{f'{100 * low:.1f} to {100 * high:.1f} %':>18}"
                f"{share(row['eer_random']):>24}{row['auc_skilled']:>13.4f}"
            )
    for title, key in (
        ("of single images, all writers", "leak_probe"),
        ("of single images, writers scored", "leak_probe_scored"),
        ("of pairs, all writers", "pair_leak_probe"),
    ):
        probes = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in entry[key].items())
        lines += ["", f"Leak probe {title}, AUC of genuine against forged: {probes}"]
    if entry.get("stranger_probe") is not None:
        lines += [
            "",
            "Stranger probe, AUC of other writers' genuine signatures against the forgeries of theirs: "
            f"{entry['stranger_probe']:.3f}",
        ]
    return "\n".join(lines)


def share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f} %"


def told(report: dict) -> str:
    """What the command prints."""
    entry = report["signatures"]
    scored = f"Scored {entry['writers_scored']} writers of {entry['data']}"
    if entry["writers_seen"]:
        scored += f"; {entry['writers_seen']} more were left out, as the checkpoint has seen them"
    return "\n".join([f"{report['model']['source']}: {scored}.", "", table(entry), *report["notes"]])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defines the options of `python -m train evaluate-signatures`."""
    parser.description = "Measure a checkpoint on signatures of writers that it has not seen."
    add = parser.add_argument
    add("--data", metavar="SOURCE", required=True, help="signatures: archive, folder, Hub id or 'invented'")
    add("--model", metavar="DIR_OR_REPO", default=BUNDLED, help="a folder or user/name@revision (default: the bundled)")
    add("--output", metavar="FILE", type=Path, help="where the JSON report goes")
    add("--figures", metavar="DIR", help="where the figures go, as PNG")
    add("--device", help="cpu or cuda (default: cuda where present)")
    add("--precision", choices=("float32", "bfloat16"), help="of the convolutions (default: the fastest there)")


def run(arguments: argparse.Namespace) -> int:
    """Evaluates, prints the table and writes the report.

    Returns:
        The exit status: 0, or 1 after one sentence on standard error.
    """
    try:
        report = evaluate_signatures(arguments)
        print(told(report))
        if arguments.output:
            write_report(report, arguments.output)
    except (CheckpointError, EvaluationError, FigureError, HubError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0

"""How often forgers fool a checkpoint, on writers it has never seen: `python -m train evaluate-signatures`."""

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import torch

from siamese.hub.signature_card import collection_of
from siamese.inference.device import fastest_precision, usable_device
from siamese.signatures.dataset import Signatures
from siamese.signatures.leak_probe import leak_probe, pair_leak_probe
from siamese.signatures.rates import SKILLED, rate_ranges
from siamese.signatures.verifier import BUNDLED, scoring_in
from train.evaluation import EvaluationError, Model, load_model, write_report
from train.signatures.collections import load_collections
from train.signatures.comparison import compare
from train.signatures.scores import (
    DRAWS,
    SEED,
    Scores,
    curves_of,
    measures,
    parts_alone,
    score_all,
    stranger_probe,
    thresholds_for,
)
from train.signatures.subjects import kind_of_forgeries

HASHED = "size and grey pixels"  # what the hashes in config.json are of
PROTOCOL = (
    "writers that the checkpoint has not seen; every genuine signature of a writer is once the one reference, "
    "compared with the writer's other genuine signatures, with the skilled forgeries of the writer and, as random "
    "forgeries, with genuine signatures of other writers; one threshold for all writers"
)
COMBINATION = (
    "where the checkpoint has a fusion, the logit of a pair is made, as it says, of the network's logit and of two "
    "distances between how the lines run; with several references the logits of the questioned signature with each are "
    "averaged, moved towards the highest of them as far as the checkpoint says, and half of what the mean logit of the "
    "references among themselves falls short of that of other writers is added; "
    f"{DRAWS} draws of references for each writer, the other genuine signatures being questioned"
)


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
        **({"leak_probe_scored": leak_probe(scored)} if leaks else {}),
    }


def leaks_of(everything: Signatures) -> dict[str, dict[str, float]]:
    """The leak probes of a report: a leak is one of the data set and its preprocessing, not of a network, so that it is
    sought in all writers of the set. Empty for a set without forgeries of its own."""
    if bool(everything.genuine.all()):
        return {}
    return {"leak_probe": leak_probe(everything), "pair_leak_probe": pair_leak_probe(everything)}


def evaluate_signatures(arguments: argparse.Namespace) -> dict:
    """The whole report; figures are drawn on the way. Raises EvaluationError and what loading raises."""
    device = usable_device(arguments.device)
    precision = getattr(torch, arguments.precision) if arguments.precision else fastest_precision(device)
    model = load_model(arguments.model, arguments.device, str(precision).removeprefix("torch."))
    people = (model.config.get("training") or {}).get("signatures")
    if people and people.get("hashed") != HASHED:
        raise EvaluationError(
            "The checkpoint names whom it has seen in a way that is no longer read; train it again, or its figures on "
            "writers that it has seen would mean nothing."
        )
    collections = load_collections(arguments.data, model.preprocessing)
    titles = [Path(source).name for source in arguments.data]
    notes: list[str] = []
    measured: list[tuple[dict, dict[int, Scores]]] = []
    for title, signatures in zip(titles, collections.values(), strict=True):
        found = measure_collection(model, title, signatures, device, precision)
        measured.append(found)
        notes += signatures.remarks
        if len(found[0]["writers"]) > found[0]["writers_scored"]:
            few = len(found[0]["writers"]) - found[0]["writers_scored"]
            notes.append(f"{few} writers of {title} have too few signatures to be scored.")
    entries = [entry for entry, _ in measured]
    if not entries[0]["operating_points"]:
        notes.append("The checkpoint names no thresholds for signatures, so there are no operating points.")
    if arguments.figures:
        draw(measured[0][1], Path(arguments.figures))
    report = {"model": model.description, "seed": SEED, "one_shot": [], "verification": [], "signatures": entries[0]}
    if len(entries) > 1:
        report["collections"] = entries
    return report | {"left_out": never_seen(entries), "notes": notes}


def measure_collection(
    model: Model, title: str, signatures: Signatures, device: torch.device, precision: torch.dtype
) -> tuple[dict, dict[int, Scores]]:
    """The entry "signatures" of a report, and the scores it comes from; raises EvaluationError."""
    names = unseen_writers(signatures, seen_hashes(model.config))
    held = signatures.writers_held
    if not names:
        raise EvaluationError(
            f"The checkpoint was trained or chosen on all {len(held)} writers of {title}; figures on "
            "writers that it has seen mean nothing, so give others."
        )
    chosen = signatures.of_writers(names)
    scoring = scoring_in(model.config)
    comparison = compare(model.network, chosen, device, precision, progress=True)
    by_references = score_all(comparison, scoring)
    if not by_references:
        raise EvaluationError("No writer has two genuine signatures and a forgery; there is nothing to score.")
    alone = parts_alone(comparison, scoring)
    entry = signature_report(by_references, alone, chosen, leaks_of(signatures), partial(thresholds_for, model.config))
    entry["stranger_probe"] = stranger_probe(comparison, scoring)
    entry |= {"data": title, "forgeries": kind_of_forgeries(signatures)}
    return entry | {"writers_seen": len(held) - len(names), "writers": list(names)}, by_references


def never_seen(entries: Sequence[dict]) -> list[dict]:
    """Errors on the collections of which the checkpoint has seen nobody, as config.json has them under "left_out"."""
    return [
        {
            "collection": collection_of(entry),
            "writers": entry["writers_scored"],
            "forgeries": entry["forgeries"],
            "by_references": {
                count: {name: one[name] for name in ("eer_skilled", "operating_points")}
                for count, one in entry["by_references"].items()
            },
        }
        for entry in entries
        if not entry["writers_seen"] and entry["operating_points"]
    ]


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
        lines.append(
            f"{count:>10}{row['writers']:>9}{share(row['eer_skilled']):>13}{span(row['intervals']['eer_skilled']):>18}"
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
            lines.append(
                f"{name:>10}{share(row['eer_skilled']):>22}{span(row['intervals']['eer_skilled']):>18}"
                f"{share(row['eer_random']):>24}{row['auc_skilled']:>13.4f}"
            )
    for title, key in (
        ("of single images, all writers", "leak_probe"),
        ("of single images, writers scored", "leak_probe_scored"),
        ("of pairs, all writers", "pair_leak_probe"),
    ):
        if key not in entry:
            continue
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
    lines = []
    for entry in report.get("collections") or [report["signatures"]]:
        scored = f"Scored {entry['writers_scored']} writers of {entry['data']}"
        if entry["writers_seen"]:
            scored += f"; {entry['writers_seen']} more were left out, as the checkpoint has seen them"
        if entry["forgeries"] != SKILLED:
            scored += f"; what is called skilled is {entry['forgeries']}"
        lines += [f"{report['model']['source']}: {scored}.", "", table(entry), ""]
    for count in report["signatures"]["by_references"]:
        lines += [
            f"On collections it has never seen, {name} point, {count} reference{'s' if count != '1' else ''}: "
            f"{span(one.far)} of skilled forgeries pass, {span(one.frr)} of genuine signatures are refused."
            for name, one in rate_ranges(report["left_out"], int(count)).items()
        ]
    return "\n".join([*lines, *report["notes"]])


def span(values: Sequence[float]) -> str:
    return f"{100 * values[0]:.1f} to {100 * values[1]:.1f} %"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defines the options of `python -m train evaluate-signatures`."""
    parser.description = "Measure a checkpoint on signatures of writers that it has not seen."
    add = parser.add_argument
    add(
        "--data",
        metavar="SOURCE",
        nargs="+",
        required=True,
        help="signatures: archive, folder, Hub id or 'invented'; several are measured one by one",
    )
    add("--model", metavar="DIR_OR_REPO", default=BUNDLED, help="a folder or user/name@revision (default: the bundled)")
    add("--output", metavar="FILE", type=Path, help="where the JSON report goes")
    add("--figures", metavar="DIR", help="where the figures go, as PNG")
    add("--device", help="cpu or cuda (default: cuda where present)")
    add("--precision", choices=("float32", "bfloat16"), help="of the convolutions (default: the fastest there)")


def run(arguments: argparse.Namespace) -> int:
    """Evaluates, prints the table and writes the report.

    Returns:
        The exit status.

    Raises:
        EvaluationError, SourceError, CheckpointError, HubError, FigureError, OSError: There is nothing to measure, or
            what was measured cannot be written.
    """
    report = evaluate_signatures(arguments)
    print(told(report))
    if arguments.output:
        write_report(report, arguments.output)
    return 0

"""The card of a model that verifies signatures."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from siamese.hub.card_text import (
    CITATION,
    PAPER,
    files_section,
    loading,
    pictures_section,
    share,
    share_range,
    table,
)

PICTURES = {
    "figures/signatures_roc.png": "ROC on signatures of unseen writers",
    "figures/signatures_det.png": "Detection error tradeoff on signatures of unseen writers",
    "figures/training.png": "Loss and validation over the training",
}
TAGS = ["siamese-network", "signature-verification", "one-shot-learning", "handwriting", "safetensors"]

TERMS = """## Terms

The code is MIT. These weights were trained on signatures whose owners publish no open licence, so they are for research
and demonstration only. No image of a signature is part of this repository. They began with weights that were trained
on Omniglot (MIT)."""

LIMITS = """## What it is not for

A score does not prove that a signature is genuine or forged and does not replace an expert: do not refuse or accuse
anybody because of it. It was measured on few writers, with practised but not professional forgers, on clean scans;
other scripts, pens and ages may give other error rates. It uses only the shape of the lines: pressure, ink and paper
are removed first, because in a set that it was trained on they reveal the scanner."""

COLLECTIONS = {
    "cedar": "CEDAR",
    "svc2004": "SVC2004",
    "cross_media": "a collection of names on paper, tablet and phone",
}
PARTS = {
    "network": "the network",
    "hinge": "the turns of the lines",
    "profile": "their height and direction from left to right",
}
FUSION = """`load_verifier` combines three parts into a score: the network's comparison of two pictures of 105 x 105
pixels, and two distances between the centre lines of the whole signatures. The hinge distribution says how often a line
turns from one direction into another (Bulacu and Schomaker, 2007); the direction profile says at what height and in
which direction the lines run from left to right, aligned by dynamic time warping (Sakoe and Chiba, 1978). The weights
of the parts are in `config.json` ("fusion") and were fitted on writers that the scoring run had not seen; the figures
below are those of the combined score."""


def metadata(report: dict) -> dict[str, Any]:
    """Returns the arguments of ModelCardData; `report` is the entry "figures" of config.json."""
    return {
        "license": "other",
        "license_name": "research-and-demonstration",
        "library_name": "one-look",
        "pipeline_tag": "image-feature-extraction",
        "tags": TAGS,
        "eval_results": [result for entry in measured(report) for result in evaluation_results(entry)] or None,
    }


def measured(report: dict) -> list[dict]:
    """The entries of the collections of whom some writers were kept for the test; the first comes first."""
    return report.get("collections") or [entry for entry in [report.get("signatures")] if entry]


def collection_of(entry: dict) -> str:
    """The file or folder of the collection, without suffix; empty where that is not known."""
    return Path(str(entry.get("data") or "")).stem


def collection_name(stem: str) -> str:
    """What people call a collection, given its file or folder without suffix."""
    return COLLECTIONS.get(stem, stem)


def writers_of(entry: dict) -> str:
    """How many writers were measured, and of which collection: "12 writers of CEDAR"."""
    name = collection_name(collection_of(entry))
    return f"{entry['writers_scored']} writers" + (f" of {name}" if name else "")


def evaluation_results(entry: dict) -> list[EvalResult]:
    return [
        EvalResult(
            task_type="image-feature-extraction",
            task_name=f"signature verification, {entry['forgeries']}",
            dataset_type="signatures",
            dataset_name=f"{writers_of(entry)} that it has not seen",
            dataset_config=collection_of(entry) or None,  # without it the Hub takes all collections for one
            dataset_split="test",
            metric_type="eer",
            metric_value=row["eer_skilled"],
            metric_name=f"equal error rate, {count} reference{'s' if count != '1' else ''}, one threshold",
        )
        for count, row in (entry.get("by_references") or {}).items()
    ]


def sections(repo_id: str, config: dict, pictures: Collection[str]) -> list[str]:
    """Returns the sections below the title; the caller leaves out empty ones.

    Args:
        repo_id: "user/name".
        config: The config.json of the checkpoint.
        pictures: Paths of the pictures in the repository.
    """
    return [
        "Compares a questioned signature with one or more genuine ones of the same writer. The convolutional Siamese "
        f"network of [Koch, Zemel and Salakhutdinov (2015)]({PAPER}), 38,951,745 parameters, trained further to tell "
        "genuine signatures from skilled forgeries, also of writers that it was not trained on.",
        FUSION if (config.get("verification") or {}).get("fusion") else "",
        loading(repo_id, "load_verifier", 'verify(["a.png"], "b.png")'),
        results(measured(config.get("figures") or {})),
        left_out((config.get("verification") or {}).get("left_out") or []),
        *pictures_section(PICTURES, pictures),
        training_section(config.get("training") or {}),
        TERMS,
        LIMITS,
        files_section(config.get("storage")),
        CITATION,
    ]


def results(entries: Sequence[dict]) -> str:
    """Returns the section with the results, in per cent: of the first collection in detail, of the others the errors;
    empty if nothing was measured."""
    if not entries or not entries[0].get("by_references"):
        return ""
    rows = [
        f"| {writers_of(entry)} | {entry['forgeries']} | {count} | {share(row['eer_skilled'])} | "
        f"{share_range(row['intervals']['eer_skilled'])} | {share(row['eer_skilled_per_writer'])} | "
        f"{share(row['eer_random'])} | {row['auc_skilled']:.3f} |"
        for entry in entries
        for count, row in entry["by_references"].items()
    ]
    head = "| signatures | forgeries | references | EER | 95 % interval | own threshold | EER random | AUC |"
    entry = entries[0]
    parts = [
        "## Results",
        "Writers that it was not trained on. One threshold for all writers of a collection, but in the "
        'column "own threshold"; intervals by bootstrap over writers; of several references the logits are averaged, '
        "and a writer whose own references differ gets more room.",
        table(head, rows),
    ]
    if len(entries) > 1:
        parts.append(f"In detail, of {writers_of(entry)}:")
    alone = entry.get("parts_alone") or {}
    if len(alone) > 1:
        cells = [
            f"| {PARTS[name]} | {share(row['eer_skilled'])} | {share_range(row['intervals']['eer_skilled'])} | "
            f"{share(row['eer_random'])} | {row['auc_skilled']:.3f} |"
            for name, row in ((name, alone[name]) for name in PARTS if name in alone)
        ]
        parts += [
            "Each part alone, with one reference:",
            table("| alone | EER skilled | 95 % interval | EER random | AUC skilled |", cells),
        ]
    points = entry.get("operating_points") or {}
    if points:
        cells = [
            f"| {name} | {point['threshold']:.3f} | {share(point['far'])} | {share(point.get('far_random'))} | "
            f"{share(point['frr'])} |"
            for name, point in points.items()
        ]
        parts += [
            "With one reference, at thresholds chosen on other writers:",
            table("| point | threshold | skilled forgeries accepted | random ones | genuine refused |", cells),
        ]
    for key, where in (("leak_probe", "of the whole set"), ("leak_probe_scored", "of the writers scored")):
        if entry.get(key):
            probes = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in entry[key].items())
            parts.append(
                f"How well simple statistics of the prepared images {where} tell genuine from forged (AUC; 0.5 is "
                f"chance): {probes}."
            )
    if entry.get("stranger_probe") is not None:
        parts.append(
            "How well the scores tell other writers' genuine signatures from forgeries of them, neither by the writer "
            f"of the reference (AUC; a value above 0.5 would point to the scanner): {entry['stranger_probe']:.2f}."
        )
    return "\n\n".join(parts)


def left_out(entries: Sequence[dict]) -> str:
    """A table of the errors on collections that training left out; empty where none was."""
    if not entries:
        return ""
    rows = [
        f"| {collection_name(entry['collection'])} ({entry['writers']} writers) | {entry['forgeries']} | {count} | "
        f"{share(one['eer_skilled'])} | {share(one['operating_points']['balanced']['far'])} | "
        f"{share(one['operating_points']['balanced']['frr'])} |"
        for entry in entries
        for count, one in entry["by_references"].items()
    ]
    return "\n\n".join(
        [
            "## On collections it had never seen",
            "Each collection was left out of a training with the same recipe on the others, and then measured with "
            "their thresholds, at the balanced point: this is what to expect of signatures of one's own.",
            table("| left out | forgeries | references | EER | forgeries that pass | genuine refused |", rows),
        ]
    )


def training_section(training: dict) -> str:
    people = training.get("signatures") or {}
    if not people:
        return ""
    counts = {part: len(people.get(part) or {}) for part in ("training", "validation", "test")}
    chose = f"{counts['validation']} chose recipe and thresholds, "
    if not counts["validation"]:
        chose = "recipe and thresholds come from earlier runs that held some of those out, "
    lines = [
        f"- signatures: {people.get('data')}, split by writer: {counts['training']} trained, {chose}"
        f"{counts['test']} were kept for the test; `config.json` holds the SHA-256 of each image's pixels",
        f"- {training.get('steps') or 0:,} steps, {training.get('images') or 0:,} images, counted with repetition",
        "- genuine signatures and skilled forgeries of a few writers in each batch, all against all",
    ]
    return "## Training\n\n" + "\n".join(lines)

"""The card of a model that recognises characters."""

from collections.abc import Collection
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

PROTOCOLS = {
    "lake_runs": "Lake's 20 runs, within one alphabet",
    "within_alphabet": "within one alphabet",
    "across_alphabets": "across alphabets",
}
BASELINES = {
    "chance": "chance",
    "nearest_neighbour_l2": "nearest neighbour on pixels",
    "modified_hausdorff": "modified Hausdorff distance",
}
PICTURES = {
    "figures/accuracy_over_n.png": "Accuracy over the number of ways, beside baselines and people",
    "figures/training.png": "Loss and validation accuracy over the training",
    "figures/trials.png": "Trials: the query, its candidates and their similarities",
    "figures/roc.png": "ROC of the verification",
}
TAGS = ["siamese-network", "one-shot-learning", "few-shot-learning", "omniglot", "handwriting", "safetensors"]


def metadata(report: dict, dataset: str | None) -> dict[str, Any]:
    """Returns the arguments of ModelCardData.

    Args:
        report: The entry "figures" of config.json.
        dataset: Hub id of the data set; None for "omniglot".
    """
    return {
        "license": "mit",
        "library_name": "one-look",
        "pipeline_tag": "image-feature-extraction",
        "tags": TAGS,
        "datasets": [dataset or "omniglot"],
        "eval_results": evaluation_results(report, dataset) or None,
    }


def evaluation_results(report: dict, dataset: str | None) -> list[EvalResult]:
    """Returns one result for each figure of the report, with its protocol and number of trials."""
    kind = dataset or "omniglot"
    results = [
        EvalResult(
            task_type="image-classification",
            task_name=f"{row['n_way']}-way one-shot classification",
            dataset_type=kind,
            dataset_name=f"Omniglot, {PROTOCOLS[row['protocol']]}",
            dataset_config=f"{row['protocol']}, {row['n_way']}-way",  # results of one config are merged
            dataset_split=row["split"],
            metric_type="accuracy",
            metric_value=row["accuracy"],
            metric_name=f"accuracy, {row['trials']} trials, 95 % interval {share_range(row['interval'])}",
        )
        for row in report.get("one_shot", [])
    ]
    splits = {row["split"] for row in report.get("one_shot", [])}
    measures = {"accuracy": "accuracy", "roc_auc": "AUC", "eer": "equal error rate"}
    keys = {"roc_auc": "auc"}
    return results + [
        EvalResult(
            task_type="image-feature-extraction",
            task_name="verification",
            dataset_type=kind,
            dataset_name=f"Omniglot, {PROTOCOLS[row['protocol']]}",
            dataset_config=f"{row['protocol']}, pairs",
            dataset_split=next(iter(splits)) if len(splits) == 1 else "evaluation",
            metric_type=measure,
            metric_value=row[keys.get(measure, measure)],
            metric_name=f"{name}, {row['pairs']} balanced pairs",
        )
        for row in report.get("verification", [])
        for measure, name in measures.items()
    ]


def sections(repo_id: str, config: dict, pictures: Collection[str]) -> list[str]:
    """Returns the sections below the title; the caller leaves out empty ones.

    Args:
        repo_id: "user/name".
        config: The config.json of the checkpoint.
        pictures: Paths of the pictures in the repository.
    """
    report = config.get("figures") or {}
    return [
        "Recognises a character that it has seen once. The convolutional Siamese network of "
        f"[Koch, Zemel and Salakhutdinov (2015)]({PAPER}), 38,951,745 parameters: the same layers embed two images, "
        "a learned weighted L1 distance compares them, and the result is a similarity between 0 and 1.",
        loading(repo_id, "load_recognizer", 'similarity("a.png", "b.png")'),
        results(report),
        *pictures_section(PICTURES, pictures),
        training_section(config),
        threshold_section(config.get("verification")),
        LIMITS,
        files_section(config.get("storage")),
        CITATION,
    ]


def results(report: dict) -> str:
    """Returns the section with the results, in per cent; empty if nothing was measured."""
    one_shot, verification = report.get("one_shot", []), report.get("verification", [])
    if not one_shot and not verification and not report.get("transfer"):
        return ""
    parts = ["## Results"]
    if one_shot:
        rows = [
            f"| {PROTOCOLS[row['protocol']]} | {row['n_way']} | {row['trials']:,} | {share(row['accuracy'])} | "
            f"{share_range(row['interval'])} |"
            for row in one_shot
        ]
        rows += [
            f"| {BASELINES[row['name']]}, {PROTOCOLS[row['protocol']]} | {row['n_way']} | {row['trials']:,} | "
            f"{share(row['accuracy'])} | |"
            for row in report.get("baselines", [])
            if row["protocol"] == "lake_runs"
        ]
        parts.append(table("| one-shot | N | trials | right | 95 % interval |", rows))
        parts.append(
            "On Lake's 20 runs people reach 95.5 %, Bayesian program learning 96.7 % (Lake et al., 2015), the paper's "
            "network 92.0 % (Koch et al., 2015)."
        )
    if verification:
        rows = [
            f"| {PROTOCOLS[row['protocol']]} | {row['pairs']:,} | {share(row['accuracy'])} | {row['auc']:.4f} | "
            f"{share(row['eer'])} |"
            for row in verification
        ]
        parts.append(table("| verification, different pairs | pairs | right | AUC | EER |", rows))
    if pens := report.get("pens"):
        parts.append(pen_table(pens))
    if transfer := report.get("transfer"):
        rows = [
            f"| {row.get('data') or 'unnamed'} | {row['classes']} | {row['images']:,} | {row['n_way']} | "
            f"{row['trials']:,} | {share(row['accuracy'])} | {share_range(row['interval'])} | "
            f"{share(row['nearest_neighbour_l2'])} |"
            for row in transfer
        ]
        head = "| other handwriting, none of it trained on | classes | images | N | trials | right | 95 % interval | "
        parts.append(table(head + "nearest neighbour |", rows))
    model = report.get("model", {})
    if model:
        parts.append(f"Measured in {model.get('precision', 'float32')} on {model.get('device', 'cpu')}.")
    return "\n\n".join(parts)


def pen_table(entries: list[dict]) -> str:
    """Returns a table with one row for each pen with which the queries were redrawn."""

    def cell(value: float, interval: list[float]) -> str:
        return f"{100 * value:.1f} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"

    protocols, called = list(entries[0]["one_shot"]), ("same_called_same", "different_called_same")
    rows = []
    for entry in entries:
        cells = [cell(row["accuracy"], row["interval"]) for row in map(entry["one_shot"].get, protocols)]
        cells += [cell(entry[name]["share"], entry[name]["interval"]) for name in called]
        rows.append(f"| {entry['pen_px']:g} | {' | '.join(cells)} |")
    names = "".join(f"{PROTOCOLS[name]}, 20-way | " for name in protocols)
    head = f"| pen of the query, px of 105 | {names}the same character called the same | another called the same |"
    note = "In per cent with 95 % intervals. The queries are redrawn along their centre lines; the supports keep their"
    return f"{table(head, rows)}\n\n{note} pen of 3 px."


def training_section(config: dict) -> str:
    training = config.get("training") or {}
    facts = {
        "recipe": training.get("recipe"),
        "steps": training.get("steps"),
        "images": training.get("images"),
        "averaged": training.get("averaged"),
        "held-out alphabets": ", ".join(training.get("held_out_alphabets") or []) or None,
    }
    known = [
        f"- {name}: {value:,}" if isinstance(value, int) else f"- {name}: {value}" for name, value in facts.items()
    ]
    lines = [line for line, value in zip(known, facts.values(), strict=True) if value is not None]
    earlier, opening = training.get("began_with"), "began with the weights of an earlier run"
    while earlier:
        held_out = ", ".join(earlier.get("held_out_alphabets") or [])
        lines.append(
            f"- {opening}: {earlier.get('steps') or 0:,} steps, {earlier.get('images') or 0:,} images"
            + (f", held out: {held_out}" if held_out else "")
        )
        earlier, opening = earlier.get("began_with"), "and that with those of one before it"
    preprocessing = ", ".join(f"{name} {value}" for name, value in config.get("preprocessing", {}).items())
    if preprocessing:
        lines.append(f"- preprocessing of every image: {preprocessing}")
    if training.get("alphabets"):
        lines.insert(0, f"- alphabets: {len(training['alphabets'])} of the background set, none of the evaluation set")
    return "## Training\n\n" + "\n".join(lines) if lines else ""


def threshold_section(verification: dict | None) -> str:
    if not verification or "threshold" not in verification:
        return ""
    origin = verification.get("measured_on")
    text = f"Two images count as the same from a similarity of {verification['threshold']:.3f} on"
    text += f"; chosen on {origin}." if origin else "."
    if verification.get("from_held_out_run"):
        text += " It comes from a run that did not see those alphabets; these weights have seen them."
    return f"## Threshold\n\n{text}"


LIMITS = """## What it is not for

It was trained on pen strokes of single characters only. Do not use it as evidence in a dispute about a signature, to
identify a person or to read text. A similarity says how alike two drawings look to the network; how often such a score
is right was measured on Omniglot and does not carry over to other pictures. It was not trained on photographs, logos or
printed type."""

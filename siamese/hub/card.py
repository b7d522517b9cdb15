"""README.md of a published model: what the Hub reads from its header, and what people read below it."""

from collections.abc import Collection

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
PAPER = "https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf"


def model_card(repo_id: str, config: dict, pictures: Collection[str] = (), dataset: str | None = None) -> str:
    """The card of a checkpoint with this config.json; its entry "figures" is a report of the evaluation command.

    `pictures` are the paths in the repository that hold PNG files, `dataset` the Hub id of the training data.
    """
    from siamese.hub.signature_card import is_for_signatures, signature_card

    if is_for_signatures(config):
        return signature_card(repo_id, config, pictures)
    report = config.get("figures") or {}
    parts = [
        front_matter(card_metadata(repo_id, report, dataset)),
        f"# {repo_id.split('/')[-1]}",
        "Recognises a character that it has seen once. The convolutional Siamese network of "
        f"[Koch, Zemel and Salakhutdinov (2015)]({PAPER}), 38,951,745 parameters: two images through one tower, "
        "compared by a learned weighted L1 distance, a similarity in 0 to 1.",
        loading(repo_id),
        results(report),
        *[f"![{text}]({path})" for path, text in PICTURES.items() if path in pictures],
        training_section(config),
        threshold_section(config.get("verification")),
        LIMITS,
        files_section(config.get("storage")),
        CITATION,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def front_matter(metadata: dict) -> str:
    """The header between two lines of dashes."""
    import yaml

    return f"---\n{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)}---"


def card_metadata(repo_id: str, report: dict, dataset: str | None) -> dict:
    metadata = {
        "license": "mit",
        "library_name": "one-look",
        "pipeline_tag": "image-feature-extraction",
        "tags": TAGS,
        "datasets": [dataset or "omniglot"],
    }
    results = model_index(report, dataset)
    return metadata | ({"model-index": [{"name": repo_id.split("/")[-1], "results": results}]} if results else {})


def model_index(report: dict, dataset: str | None) -> list[dict]:
    """One result for each figure of the report, each with its protocol and number of trials."""

    def result(task: str, name: str, split: str, protocol: str, metrics: list[dict]) -> dict:
        data = {"type": dataset or "omniglot", "name": f"Omniglot, {PROTOCOLS[protocol]}", "split": split}
        return {"task": {"type": task, "name": name}, "dataset": data, "metrics": metrics}

    results = [
        result(
            "image-classification",
            f"{row['n_way']}-way one-shot classification",
            row["split"],
            row["protocol"],
            [
                {
                    "type": "accuracy",
                    "value": row["accuracy"],
                    "name": f"accuracy, {row['trials']} trials, 95 % interval {share_range(row['interval'])}",
                }
            ],
        )
        for row in report.get("one_shot", [])
    ]
    splits = {row["split"] for row in report.get("one_shot", [])}
    split = splits.pop() if len(splits) == 1 else "evaluation"
    return results + [
        result(
            "image-feature-extraction",
            "verification",
            split,
            row["protocol"],
            [
                {"type": "accuracy", "value": row["accuracy"], "name": f"accuracy, {row['pairs']} balanced pairs"},
                {"type": "roc_auc", "value": row["auc"], "name": f"AUC, {row['pairs']} balanced pairs"},
                {"type": "eer", "value": row["eer"], "name": f"equal error rate, {row['pairs']} balanced pairs"},
            ],
        )
        for row in report.get("verification", [])
    ]


def loading(repo_id: str, loader: str = "load_recognizer", answer: str = 'similarity("a.png", "b.png")') -> str:
    """How to use it in three lines; `loader` gives what has `answer`."""
    name = loader.removeprefix("load_")
    return f"""## Use

With One Look installed (`pip install .` in a clone of it), three lines:

```python
from siamese import {loader}
{name} = {loader}("{repo_id}")
print({name}.{answer})
```

The network alone: `SiameseNetwork.from_pretrained("{repo_id}")`."""


def results(report: dict) -> str:
    """Tables for people, in per cent; empty where nothing was measured."""
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
    """One row for each pen with which the queries of the trials and of the pairs were drawn again."""

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
    says = "In per cent with 95 % intervals. The queries are drawn again along the middle of their lines; the supports"
    return f"{table(head, rows)}\n\n{says} stay as they are, drawn with 3 px."


def table(head: str, rows: list[str]) -> str:
    return "\n".join([head, "| --- " * (head.count("|") - 1) + "|", *rows])


def share(value: float) -> str:
    return f"{100 * value:.2f} %"


def share_range(interval: list[float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def training_section(config: dict) -> str:
    training = config.get("training") or {}
    facts = {
        "recipe": training.get("recipe"),
        "steps": training.get("steps"),
        "images": training.get("images"),
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


def files_section(storage: str | None) -> str:
    if storage == "int8":
        weights = "the 9216 x 4096 layer as int8 with a scale for each row, the rest float16; our loader restores them"
    elif storage == "shared":
        weights = "all but the 9216 x 4096 layer, as float16; `config.json` names the bundled weights that have it"
    else:
        weights = "plainly named float32 tensors, which safetensors reads without any of our code"
    return (
        f"## Files\n\n`model.safetensors` ({weights}), `config.json` (activation, how images are prepared, SHA-256 of "
        "the weights, threshold and calibration, all figures) and this card. There is no pickle."
    )


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

It has seen pen strokes of single characters, nothing else. It is no evidence in a dispute about a signature, no
means to identify a person, and no reader of text. A similarity says how alike two drawings look to it; how often
such a score is right was measured on Omniglot and does not carry over to other pictures. Photographs, logos and
printed type are outside of what it was trained on."""

CITATION = """## Sources

- G. Koch, R. Zemel, R. Salakhutdinov: Siamese Neural Networks for One-shot Image Recognition. ICML Deep Learning
  Workshop, 2015.
- B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum: Human-level concept learning through probabilistic program
  induction. Science 350, 2015. Omniglot is theirs (MIT licence)."""

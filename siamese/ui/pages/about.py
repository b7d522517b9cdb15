"""The tab "About": what the app is, its measured accuracy, its limits and its API.

All figures come from the config.json of the checkpoints.
"""

import math
import os
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import gradio as gr

from siamese.characters.recognizer import Recognizer
from siamese.hub.signature_card import PARTS, collection_name, writers_of
from siamese.signatures.verifier import Verifier
from siamese.ui.charts import Series, line_chart
from siamese.ui.weights import config_of, figures_of

KOCH = "https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf"
LAKE = "https://doi.org/10.1126/science.aab3050"
OMNIGLOT = "https://github.com/brendenlake/omniglot"
HUB = "https://huggingface.co/"
REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")  # of a model or a Space

# Accuracy of others on Lake's 20 runs. People (4.5 % errors) and Bayesian program learning (3.3 %): Lake et al.,
# Science 350 (2015), figure 6A. Koch et al. (2015), table 2.
OTHERS = (("Bayesian program learning, 2015", 0.967), ("People", 0.955), ("Koch et al., 2015", 0.920))
PEOPLE = 0.955
PROTOCOLS = {
    "lake_runs": "Lake's 20 runs, within one alphabet",
    "within_alphabet": "Characters of one alphabet",
    "across_alphabets": "Characters of all alphabets",
}
BASELINES = {
    "chance": "Guessing",
    "nearest_neighbour_l2": "Nearest neighbour on pixels",
    "modified_hausdorff": "Modified Hausdorff distance",
}
LAYERS = (
    ("Input, ink 1 on paper 0", "1 \u00d7 105 \u00d7 105"),
    ("Convolution 10 \u00d7 10, max pooling", "64 \u00d7 48 \u00d7 48"),
    ("Convolution 7 \u00d7 7, max pooling", "128 \u00d7 21 \u00d7 21"),
    ("Convolution 4 \u00d7 4, max pooling", "128 \u00d7 9 \u00d7 9"),
    ("Convolution 4 \u00d7 4", "256 \u00d7 6 \u00d7 6"),
    ("Fully connected, sigmoid", "4096"),
)
STORAGE = {  # how weights lie in their file, see `siamese.hub.checkpoint.save_checkpoint`
    "int8": "8-bit integers in the large layer, 16-bit floats elsewhere",
    "shared": "16-bit floats; the large layer is that of the Omniglot weights",
}


def percent(share: int | float, digits: int = 1) -> str:
    """Formats a fraction as a percentage, with a non-breaking space."""
    return f"{share * 100:.{digits}f}\u00a0%"


def scrolling(label: str, content: str) -> str:
    """Wraps a part that may be wider than a phone; it can be reached and scrolled by keyboard."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">{content}</div>'


def table(label: str, head: Sequence[str], rows: Sequence[str]) -> str:
    """Returns a table that scrolls if it is too wide; `rows` are HTML."""
    columns = "".join(f'<th scope="col">{one}</th>' for one in head)
    return scrolling(label, f"<table><thead><tr>{columns}</tr></thead><tbody>{''.join(rows)}</tbody></table>")


def row(name: str, result: str, interval: str = "", detail: str = "", kind: str = "") -> str:
    """Returns a row of a table of results; the caller escapes `name`, `result`, `interval` and `detail`."""
    below = f'<span class="below">{detail}</span>' if detail else ""
    return (
        f'<tr class="{kind}"><th scope="row">{name}{below}</th><td class="number">{result}</td>'
        f'<td class="number">{interval}</td></tr>'
    )


def interval_of(bounds: Sequence[float]) -> str:
    """Formats the bounds of an interval, which are fractions."""
    return " to ".join(percent(bound) for bound in bounds)


def largest_n_way(report: dict[str, Any], protocol: str) -> dict[str, Any] | None:
    """Returns the entry of a protocol with the most candidates, None if the protocol was not measured."""
    entries = [one for one in report.get("one_shot", []) if one.get("protocol") == protocol]
    return max(entries, key=lambda one: one["n_way"]) if entries else None


def character_rows(report: dict[str, Any]) -> list[str]:
    """Returns rows with the one-shot accuracy of each protocol and of others, then the verification accuracy."""
    rows = []
    for protocol, words in PROTOCOLS.items():
        one = largest_n_way(report, protocol)
        if one:
            detail = f"1 of {one['n_way']:,d} characters, {one['trials']:,d} trials"
            rows.append(row(words, percent(one["accuracy"], 2), interval_of(one["interval"]), detail, "ours"))
        if one and protocol == "lake_runs":
            rows += [row(name, percent(share), "", "the same task, as published") for name, share in OTHERS]
    return rows + [
        row(
            f"Same or different? {escape(PROTOCOLS.get(one['protocol'], one['protocol']))}",
            percent(one["accuracy"], 2),
            "",
            f"{one['pairs']:,d} pairs, half of them the same",
            "ours",
        )
        for one in report.get("verification", [])
    ]


def signature_rows(entry: dict[str, Any]) -> list[str]:
    """Returns rows with the equal error rate on skilled forgeries by number of references; empty if not measured."""
    measured = entry.get("by_references") or {}
    return [
        row(
            f"Signatures, errors with {escape(str(count))} reference{'' if str(count) == '1' else 's'}",
            percent(one["eer_skilled"]),
            interval_of(one["intervals"]["eer_skilled"]),
            f"{escape(entry['forgeries'])}, {escape(writers_of(entry))}, not trained on",
            "ours",
        )
        for count, one in measured.items()
    ]


def left_out_rows(verification: dict[str, Any]) -> list[str]:
    """Equal error rates with one reference on collections that training left out; empty where none was."""
    return [
        row(
            f"Signatures, errors with 1 reference, trained without {escape(collection_name(entry['collection']))}",
            percent(entry["by_references"]["1"]["eer_skilled"]),
            "",
            f"{escape(entry['forgeries'])}, all {escape(str(entry['writers']))} writers of that collection",
            "ours",
        )
        for entry in verification.get("left_out") or []
    ]


def accuracy_chart(report: dict[str, Any]) -> str:
    """Returns a chart of accuracy over the number of candidates, with people's; empty without figures."""
    series = []
    for protocol, label, style in (
        ("across_alphabets", "all alphabets", "dashed"),
        ("within_alphabet", "one alphabet", ""),
    ):
        found = sorted(
            (one["n_way"], one["accuracy"]) for one in report.get("one_shot", []) if one.get("protocol") == protocol
        )
        points = tuple((n, share) for n, share in found if 2 <= n <= 20)
        if points:
            series.append(Series(f"{label} {percent(points[-1][1])}", points, style))
    if not series:
        return ""
    lake = largest_n_way(report, "lake_runs")
    if lake and lake["n_way"] == 20:
        series.append(Series(f"Lake's runs {percent(lake['accuracy'])}", ((20, lake["accuracy"]),)))
    series.append(Series(f"people {percent(PEOPLE)}", ((20, PEOPLE),), "accent"))
    lowest = min(share for one in series for _, share in one.points)
    ticks = [tick / 20 for tick in range(max(0, math.floor(lowest * 20 - 0.2)), 21)]
    ticks = ticks if len(ticks) < 7 else [ticks[0], *(tick for tick in ticks[1:] if round(tick * 20) % 4 == 0)]
    chart = line_chart(
        series,
        (2, 5, 10, 15, 20),
        ticks,
        "characters to choose from",
        f"Accuracy over the number of characters to choose from: {'; '.join(one.label for one in series)}",
    )
    return (
        f"{chart}<p>Characters of one alphabet look more alike than characters of all alphabets. “People” and “Lake's "
        "runs” are the same task: 20 characters of one alphabet, drawn with care. Guessing gets 1 in 20 right.</p>"
    )


def baseline_table(report: dict[str, Any]) -> str:
    """Returns a table of simple methods on the same tasks with the most candidates; empty if none was measured."""
    rows = []
    for protocol, words in PROTOCOLS.items():
        found = [one for one in report.get("baselines", []) if one.get("protocol") == protocol]
        largest = max((one["n_way"] for one in found), default=0)
        rows += [
            row(
                escape(BASELINES.get(one["name"], one["name"])),
                percent(one["accuracy"]),
                f"{format(one['trials'], ',d') if one.get('trials') else ''}",
                f"{words}, 1 of {one['n_way']:,d}",
            )
            for one in found
            if one["n_way"] == largest
        ]
    if not rows:
        return ""
    return f"<h3>Simple methods on the same tasks</h3>{table('Baselines', ('method', 'accuracy', 'trials'), rows)}"


def verification_table(report: dict[str, Any]) -> str:
    """Returns a table of AUC and EER of verification; empty if it was not measured."""
    rows = [
        f'<tr><th scope="row">{escape(PROTOCOLS.get(one["protocol"], one["protocol"]))}</th>'
        f'<td class="number">{one["auc"]:.3f}</td><td class="number">{percent(one["eer"])}</td>'
        f'<td class="number">{one["pairs"]:,d}</td></tr>'
        for one in report.get("verification", [])
    ]
    if not rows:
        return ""
    head = ("pairs from", "area under the ROC curve", "equal error rate", "pairs")
    return f"<h3>Same or different?</h3>{table('Verification', head, rows)}"


def signature_details(entry: dict[str, Any]) -> str:
    """Returns a table of errors on signatures, and the errors of each part of the score; empty if not measured."""
    measured = entry.get("by_references") or {}
    rows = [
        f'<tr><td class="number">{escape(str(count))}</td><td class="number">{percent(one["eer_skilled"])}</td>'
        f'<td class="number">{"" if one["eer_random"] is None else percent(one["eer_random"])}</td></tr>'
        for count, one in measured.items()
    ]
    if not rows:
        return ""
    head = ("references", "skilled forgeries", "other people's signatures")
    whose = escape(writers_of(entry))
    alone = entry.get("parts_alone") or {}
    shares = ", ".join(f"{PARTS[name]} {percent(alone[name]['eer_skilled'])}" for name in PARTS if name in alone)
    beside = f"<p>Each part of a score alone, skilled forgeries, one reference: {shares}.</p>" if len(alone) > 1 else ""
    return (
        f"<h3>Errors on signatures</h3><p>Equal error rates of {whose}, not trained on: the threshold is set so that "
        "the shares of forgeries that pass and of genuine signatures that are refused are equal.</p>"
        f"{table('Signatures', head, rows)}{beside}"
    )


def architecture() -> str:
    """Returns a table of the layers of the network and the shapes of their outputs."""
    rows = [f'<tr><th scope="row">{words}</th><td class="number">{shape}</td></tr>' for words, shape in LAYERS]
    return (
        "<h3>The network</h3><p>Both pictures go through the same layers. The similarity is "
        "\u03c3(b + \u03a3 w\u1d62 \u00b7 |a\u1d62 \u2212 b\u1d62|), between 0 and 1.</p>"
        f"{table('Architecture', ('layer', 'output'), rows)}"
    )


def as_far_as_readable(draw: Callable[[dict[str, Any]], Any], report: object) -> Any:
    """Draws the figures of a config.json; "" if they are malformed, as they may be in somebody else's model."""
    if not isinstance(report, dict):
        return ""
    try:
        return draw(report)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return ""


def model_table(model: Recognizer | Verifier, config: dict[str, Any], title: str) -> str:
    """Returns a table about the loaded weights and their training."""
    origin = model.origin
    rows = [("Parameters", f"{sum(part.numel() for part in model.encoder.network.parameters()):,}")]
    if origin is not None:
        rows += [
            ("Weights", origin.name),
            ("Revision", origin.revision or "none: a local folder or the bundled weights"),
        ]
        if origin.note:
            rows.append(("Note", origin.note))
    if config.get("weights_sha256"):
        rows.append(("SHA-256", config["weights_sha256"]))
    storage = str(config.get("storage", "in memory"))
    rows.append(("Stored as", STORAGE.get(storage, storage)))
    verification = config.get("verification") or {}
    if verification.get("threshold"):
        points = verification.get("operating_points")  # only signatures have them
        rows.append(("Threshold", f"{points['balanced']['threshold'] if points else verification['threshold']:.3f}"))
    body = table_rows(rows) + as_far_as_readable(training_rows, config.get("training"))
    return f"<h3>{title}</h3>{scrolling(title, f'<table><tbody>{body}</tbody></table>')}"


def training_rows(training: dict[str, Any]) -> str:
    """Returns rows with the facts about the training in config.json, including earlier stages."""
    rows = []
    for key, value in training.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value:
            shown = f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else value
            rows.append((f"Training: {key.replace('_', ' ')}", shown))
    earlier, stages = training.get("began_with"), 1
    while isinstance(earlier, dict) and isinstance(earlier.get("images"), int):
        held_out = len(earlier.get("held_out_alphabets") or [])
        without = f", alphabets held out: {held_out}" if held_out else ""
        when = "one stage earlier" if stages == 1 else f"{stages} stages earlier"
        rows.append((f"Training: {when}", f"{earlier['images']:,} images{without}"))
        earlier, stages = earlier.get("began_with"), stages + 1
    return table_rows(rows)


def table_rows(rows: list[tuple[str, str]]) -> str:
    """Returns rows with a heading and a value each, which are escaped here."""
    return "".join(
        f'<tr><th scope="row">{escape(key)}</th><td class="wrap">{escape(value)}</td></tr>' for key, value in rows
    )


def links(recognizer: Recognizer) -> str:
    """Returns links to the papers and the data and, if they are on the Hub, to the code and the model."""
    found = [
        (KOCH, "Paper: Koch, Zemel and Salakhutdinov, 2015"),
        (LAKE, "Data set's paper: Lake, Salakhutdinov and Tenenbaum, 2015"),
        (OMNIGLOT, "Data: Omniglot"),
    ]
    space = os.environ.get("SPACE_ID", "")
    if REPO_ID.fullmatch(space):
        found.append((f"{HUB}spaces/{space}/tree/main", "Code: the files of this Space"))
    origin = recognizer.origin
    if origin is not None and origin.revision and REPO_ID.fullmatch(origin.name):
        found.append((HUB + origin.name, f"Model: {origin.name}"))
    elif REPO_ID.fullmatch(space):
        found.append((f"{HUB}spaces/{space}/tree/main/siamese/pretrained", "Model: the bundled weights"))
    items = "".join(f'<li><a href="{url}" rel="noopener">{escape(words)}</a></li>' for url, words in found)
    return f"<ul>{items}</ul>"


def measured(recognizer: Recognizer, verifier: Verifier) -> str:
    """Returns the section with the main results: a table and a chart."""
    report = figures_of(config_of(recognizer))
    signatures = config_of(verifier)
    rows = [
        *as_far_as_readable(character_rows, report),
        *as_far_as_readable(signature_rows, figures_of(signatures).get("signatures")),
        *as_far_as_readable(left_out_rows, signatures.get("verification")),
    ]
    if not rows:
        return (
            "<section><h2>Results</h2><p>These weights have not been evaluated; "
            "<code>python -m train evaluate</code> does so.</p></section>"
        )
    head = ("task", "result", "95 % interval")
    return (
        "<section><h2>Results</h2><p>On alphabets and writers that the network was not trained on. Accuracy is the "
        "share of trials in which the right character scored higher than all others.</p>"
        f"{table('Results', head, rows)}{as_far_as_readable(accuracy_chart, report)}</section>"
    )


def details(recognizer: Recognizer, verifier: Verifier) -> str:
    """Returns further tables, which are hidden until they are asked for."""
    config = config_of(recognizer)
    parts = [as_far_as_readable(draw, figures_of(config)) for draw in (verification_table, baseline_table)]
    if verifier.encoder is not recognizer.encoder:
        signatures = config_of(verifier)
        parts.append(as_far_as_readable(signature_details, figures_of(signatures).get("signatures")))
        parts.append(model_table(verifier, signatures, "The model that verifies signatures"))
    parts += [model_table(recognizer, config, "The model that recognises characters"), architecture()]
    return f"<details><summary>Details</summary>{''.join(parts)}</details>"


LIMITS = """<section><h2>Limits</h2><ul>
<li>It learned from pen strokes of 30 alphabets. It is not made for faces, photographs or scenes.</li>
<li>A similarity does not prove identity; a verdict on a signature compares shapes and does not replace an expert.</li>
<li>Rotated or mirrored characters count as different; fine detail is lost at 105 \u00d7 105 pixels.</li>
<li>Pictures are processed in memory and are not kept. Your scores and your own classes stay in your browser.</li>
</ul></section>"""

ADDRESS = "http://127.0.0.1:7860"  # in the examples, until the page's script puts its own there

PYTHON = f"""from gradio_client import Client, handle_file

client = Client("{ADDRESS}")
print(client.predict(handle_file("a.png"), handle_file("b.png"), api_name="/compare"))
dealt = client.predict(n_way=20, data="omniglot", link="", api_name="/new_challenge")
print(client.predict(dealt["challenge_id"], 3, api_name="/answer_challenge"))"""

JAVASCRIPT = f"""import {{ Client, handle_file }} from "@gradio/client";

const client = await Client.connect("{ADDRESS}");
const answer = await client.predict("/compare", {{ first: handle_file("a.png"), second: handle_file("b.png") }});
console.log(answer.data[0].similarity, answer.data[0].verdict);"""

LIBRARY = """from siamese import load_recognizer

recognizer = load_recognizer()
print(recognizer.similarity("a.png", "b.png"))
print(recognizer.classify(["alpha.png", "beta.png"], "query.png"))"""


def api_section() -> str:
    """Returns the section about the API, with examples."""
    examples = (("Python client", PYTHON), ("JavaScript client", JAVASCRIPT), ("Python library", LIBRARY))
    blocks = "".join(
        f'<h3>{words}</h3><pre tabindex="0" aria-label="{words}"><code>{escape(code)}</code></pre>'
        for words, code in examples
    ).replace(ADDRESS, f"<span data-address>{ADDRESS}</span>")
    return (
        "<section><h2>API</h2><p>Five endpoints answer with JSON: <code>/compare</code>, <code>/verify</code>, "
        "<code>/classify</code>, <code>/new_challenge</code> and <code>/answer_challenge</code>. “Use via API” at the "
        f"foot of the page describes each.</p>{blocks}</section>"
    )


def markup(recognizer: Recognizer, verifier: Verifier) -> str:
    """Returns the HTML of the tab."""
    return f"""<section class="panel about-panel" aria-label="About"><div class="about">
<section><h2>What this is</h2>
<p>People recognise a new character after seeing it once. This network has learned to do so as well: it says whether
two drawings show the same character, even by different people. It is the convolutional Siamese network of Koch, Zemel
and Salakhutdinov, trained on 30 of Omniglot's 50 alphabets and tested on the other 20. Omniglot has 1,623 characters,
each drawn by 20 people.</p>{links(recognizer)}</section>
{measured(recognizer, verifier)}
{LIMITS}
{api_section()}
{details(recognizer, verifier)}
</div></section>"""


def build(recognizer: Recognizer, verifier: Verifier) -> None:
    """Adds the tab's contents to the open Gradio context."""
    gr.HTML(
        markup(recognizer, verifier),
        apply_default_css=False,
        js_on_load="oneLook.tabs.about(element)",
        elem_classes="tab",
    )

"""The tab "About": what it is, what it scores, where it ends, how to call it. Figures come from the checkpoint."""

from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from siamese.characters.recognizer import Recognizer
from siamese.hub.checkpoint import CheckpointError, read_config
from siamese.hub.signature_card import PARTS
from siamese.network import PARAMETERS
from siamese.signatures.verifier import Verifier

# Errors of others are facts of their papers. Lake et al., Science 350 (2015), figure 6A: people 4.5 %, Bayesian program
# learning 3.3 %. Koch et al. (2015), table 2: convolutional Siamese net 92.0. Modified Hausdorff: Lake's demo, 38.8 %.
OTHERS = (("Bayesian program learning, 2015", 0.967), ("people", 0.955), ("Koch et al., 2015", 0.920))
PROTOCOLS = {
    "lake_runs": "Lake's 20 runs, within one alphabet",
    "within_alphabet": "random trials within one alphabet",
    "across_alphabets": "random trials across alphabets",
}
BASELINES = {
    "chance": "chance",
    "nearest_neighbour_l2": "nearest neighbour on pixels",
    "modified_hausdorff": "modified Hausdorff distance",
}
LAYERS = (
    ("picture", "1 \u00d7 105 \u00d7 105", 105, 8),
    ("10\u00d710 conv, pool", "64 \u00d7 48 \u00d7 48", 64, 14),
    ("7\u00d77 conv, pool", "128 \u00d7 21 \u00d7 21", 44, 22),
    ("4\u00d74 conv, pool", "128 \u00d7 9 \u00d7 9", 30, 22),
    ("4\u00d74 conv", "256 \u00d7 6 \u00d7 6", 24, 34),
    ("sigmoid units", "4096", 96, 7),
)


def percent(share: int | float, digits: int = 1) -> str:
    return f"{share * 100:.{digits}f}\u00a0%"


def scrolling(label: str, content: str) -> str:
    """A part that may be wider than a phone; it can be reached and scrolled by keyboard."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">{content}</div>'


def one_shot_table(report: dict[str, Any]) -> str:
    """Rows of every protocol at its largest number of candidates, with those of others on the same task."""
    rows = []
    for protocol, words in PROTOCOLS.items():
        entries = [one for one in report.get("one_shot", []) if one.get("protocol") == protocol]
        if entries:
            one = max(entries, key=lambda entry: entry["n_way"])
            interval = " to ".join(percent(bound) for bound in one["interval"])
            rows.append(
                f'<tr class="ours"><th scope="row">this network</th><td>{words}</td>'
                f'<td class="number">{one["n_way"]:,d}</td>'
                f'<td class="number">{percent(one["accuracy"], 2)}</td><td class="number">{interval}</td>'
                f'<td class="number">{one["trials"]:,d}</td></tr>'
            )
        if protocol == "lake_runs":
            rows += [
                f'<tr><th scope="row">{words}</th><td>Lake\'s 20 runs, as published</td><td class="number">20</td>'
                f'<td class="number">{percent(share)}</td><td></td><td></td></tr>'
                for words, share in OTHERS
            ]
        baselines = [one for one in report.get("baselines", []) if one.get("protocol") == protocol]
        largest = max((one["n_way"] for one in baselines), default=0)
        rows += [
            f'<tr><th scope="row">{escape(BASELINES.get(one["name"], one["name"]))}</th><td>{words}</td>'
            f'<td class="number">{one["n_way"]:,d}</td><td class="number">{percent(one["accuracy"])}</td><td></td>'
            f'<td class="number">{format(one["trials"], ",d") if one.get("trials") else ""}</td></tr>'
            for one in baselines
            if one["n_way"] == largest
        ]
    head = "".join(f'<th scope="col">{one}</th>' for one in ("who", "task", "candidates", "accuracy", "95 %", "trials"))
    return scrolling(
        "One-shot accuracy", f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def verification_list(report: dict[str, Any]) -> str:
    items = [
        f"<li>{escape(PROTOCOLS.get(one['protocol'], one['protocol']))}: accuracy {percent(one['accuracy'])}, "
        f"area under the curve {one['auc']:.3f}, equal error rate {percent(one['eer'])}, "
        f"on {one['pairs']:,d} balanced pairs</li>"
        for one in report.get("verification", [])
    ]
    return (
        f"<p>Same or different, with the threshold chosen on validation:</p><ul>{''.join(items)}</ul>" if items else ""
    )


def accuracy_plot(report: dict[str, Any]) -> str:
    """Accuracy over the number of candidates as a drawing that takes the page's colours; empty without figures."""
    lowest = 0.0
    width, height, left, bottom, top = 760, 320, 52, 44, 16

    def x(n_way: int | float) -> float:
        return left + (n_way - 2) / 18 * (width - left - 150)

    def y(share: int | float) -> float:
        return top + (1 - (share - lowest) / (1 - lowest)) * (height - top - bottom)

    drawn = []
    for protocol, style in (("within_alphabet", ""), ("across_alphabets", 'stroke-dasharray="7 5"')):
        rows = sorted(
            (one for one in report.get("one_shot", []) if one.get("protocol") == protocol), key=lambda one: one["n_way"]
        )
        if rows:
            drawn.append((protocol, style, [(one["n_way"], one["accuracy"]) for one in rows]))
    if not drawn:
        return ""
    lines = [
        f'<line x1="{left}" x2="{x(20):.0f}" y1="{y(share):.1f}" y2="{y(share):.1f}" stroke="var(--line)"/>'
        f'<text x="{left - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{share * 100:.0f}\u00a0%</text>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    lines += [
        f'<text x="{x(n):.1f}" y="{height - bottom + 20}" text-anchor="middle">{n}</text>' for n in (2, 5, 10, 15, 20)
    ]
    chance = " ".join(f"{x(n / 4):.1f},{y(4 / n):.1f}" for n in range(8, 81))
    lines.append(f'<polyline points="{chance}" fill="none" stroke="var(--soft)" stroke-width="1.5"/>')
    lines.append(f'<text x="{x(20) + 10:.0f}" y="{y(0.05) + 4:.1f}">chance</text>')
    for (protocol, style, points), shift in zip(drawn, (16, -4), strict=False):
        path = " ".join(f"{x(n):.1f},{y(share):.1f}" for n, share in points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="var(--ink)" stroke-width="2.5" {style}/>')
        lines += [f'<circle cx="{x(n):.1f}" cy="{y(share):.1f}" r="4" fill="var(--ink)"/>' for n, share in points]
        words = "within an alphabet" if protocol == "within_alphabet" else "across alphabets"
        lines.append(f'<text x="{x(20) + 10:.0f}" y="{y(points[-1][1]) + shift + 22:.1f}">{words}</text>')
    cross = f"M{x(20) - 5:.0f} {y(0.955):.1f} h10 M{x(20):.0f} {y(0.955) - 5:.1f} v10"
    lines.append(f'<path d="{cross}" stroke="var(--seal)" stroke-width="3"/>')
    lines.append(f'<text x="{x(20) + 10:.0f}" y="{y(0.955) - 8:.1f}" fill="var(--seal)">people, 95.5\u00a0%</text>')
    lines.append(f'<text x="{x(11):.0f}" y="{height - 6}" text-anchor="middle">candidates to choose from</text>')
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" font-size="13" fill="var(--soft)" '
        'aria-label="Accuracy over the number of candidates, with people at 95.5 per cent for 20">'
        f"{''.join(lines)}</svg>"
    )


def architecture() -> str:
    """The tower drawn with the shape behind each layer, and what becomes of two of them."""
    blocks, at = [], 34
    for words, shape, side, depth in LAYERS:
        top = 84 - side / 2
        blocks += [
            f'<rect x="{at + 4 * step}" y="{top - 2 * step}" width="{max(side * 0.42, 9):.0f}" height="{side}" rx="2" '
            'fill="var(--sheet)" stroke="var(--ink)" stroke-width="1.2"/>'
            for step in range(min(4, max(1, depth // 7)), -1, -1)
        ]
        middle = at + 26
        blocks.append(f'<text x="{middle}" y="158" text-anchor="middle">{words}</text>')
        blocks.append(f'<text x="{middle}" y="176" text-anchor="middle" fill="var(--soft)">{shape}</text>')
        at += 124
    return (
        '<svg viewBox="0 0 860 236" role="img" font-size="12.5" fill="var(--ink)" aria-label="Four convolutions, then '
        "4096 sigmoid units; two such towers with shared weights are compared by a weighted sum of absolute "
        'differences">' + "".join(blocks) + '<path d="M14 196 H846" stroke="var(--line)"/>'
        '<text x="14" y="222">similarity = \u03c3( b + Σ wᵢ · |aᵢ \u2212 bᵢ| ), '
        "the two pictures having gone through the same tower</text>"
        '<rect x="770" y="60" width="74" height="44" rx="7" fill="var(--seal)"/>'
        '<text x="807" y="87" text-anchor="middle" fill="var(--seal-ink)" font-weight="600">|a \u2212 b|</text></svg>'
    )


def limits() -> str:
    return """<section><h2>Where it ends</h2><ul>
<li>It learned from pen strokes of 30 alphabets. It knows nothing of faces, photographs or scenes.</li>
<li>A similarity is no proof of identity; a verdict on a signature compares shapes and is no expert's opinion.</li>
<li>Turned or mirrored characters count as different ones; fine detail is lost at 105 \u00d7 105.</li>
<li>Pictures are judged in memory. The page keeps your scores in your own browser and nothing else anywhere.</li>
</ul></section>"""


def how_to_call() -> str:
    python = """from gradio_client import Client, handle_file

client = Client("http://127.0.0.1:7860")
print(client.predict(handle_file("a.png"), handle_file("b.png"), api_name="/compare"))
dealt = client.predict(n_way=20, data="omniglot", link="", api_name="/new_challenge")
print(client.predict(dealt["challenge_id"], 3, api_name="/answer_challenge"))"""
    javascript = """import { Client, handle_file } from "@gradio/client";

const client = await Client.connect("http://127.0.0.1:7860");
const answer = await client.predict("/compare", { first: handle_file("a.png"), second: handle_file("b.png") });
console.log(answer.data[0].similarity, answer.data[0].verdict);"""
    library = """from siamese import load_recognizer

recognizer = load_recognizer()
print(recognizer.similarity("a.png", "b.png"))
print(recognizer.classify(["alpha.png", "beta.png"], "query.png"))"""
    blocks = [
        f'<h3>{words}</h3><pre tabindex="0" aria-label="{words}"><code>{escape(code)}</code></pre>'
        for words, code in (
            ("From Python, over the network", python),
            ("From JavaScript", javascript),
            ("As a library", library),
        )
    ]
    return (
        "<section><h2>Call it</h2><p>Five endpoints, <code>/compare</code>, <code>/verify</code>, "
        "<code>/classify</code>, <code>/new_challenge</code> and <code>/answer_challenge</code>, with JSON out; “Use "
        "via API” at the foot of the "
        f"page describes each.</p>{''.join(blocks)}</section>"
    )


def as_far_as_readable(draw: Callable[[dict[str, Any]], str], report: object) -> str:
    """What `draw` makes of the figures in a config.json, which may be anybody's; nothing where they are malformed."""
    if not isinstance(report, dict):
        return ""
    try:
        return draw(report)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return ""


def signature_figures(entry: dict[str, Any]) -> str:
    """Equal error rates by the number of references; empty where nothing was measured."""
    measured = entry.get("by_references") or {}
    rows = "".join(
        f'<tr><td class="number">{escape(str(count))}</td><td class="number">{percent(one["eer_skilled"])}</td>'
        f'<td class="number">{" to ".join(percent(bound) for bound in one["intervals"]["eer_skilled"])}</td>'
        f'<td class="number">{"" if one["eer_random"] is None else percent(one["eer_random"])}</td></tr>'
        for count, one in measured.items()
    )
    if not rows:
        return ""
    head = "".join(
        f'<th scope="col">{one}</th>' for one in ("references", "skilled forgeries", "95 %", "others' signatures")
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    writers = escape(str(entry["writers_scored"]))
    alone = entry.get("parts_alone") or {}
    beside = ""
    if len(alone) > 1:
        shares = ", ".join(f"{PARTS[name]} {percent(alone[name]['eer_skilled'])}" for name in PARTS if name in alone)
        beside = f" A score has parts. Equal error rate of each alone, skilled forgeries, one reference: {shares}."
    return (
        "<section><h2>How often a signature fools it</h2><p>Equal error rate, at which as many forgeries pass as "
        f"genuine signatures are refused, on {writers} writers that the weights have not seen, with one threshold for "
        f"all.{beside}</p>{scrolling('Signatures', table)}</section>"
    )


def signature_sections(recognizer: Recognizer, verifier: Verifier) -> str:
    """What verifies signatures, where it is another network than the one above."""
    if verifier.encoder is recognizer.encoder:
        return ""
    config = config_of(verifier)
    figures = config.get("figures") if isinstance(config.get("figures"), dict) else {}
    measured = as_far_as_readable(signature_figures, figures.get("signatures") or {})
    return measured + model_section(verifier, config, "The model that verifies signatures")


def model_section(model: Recognizer | Verifier, config: dict[str, Any], title: str) -> str:
    origin = model.origin
    rows = [("Parameters", f"{PARAMETERS:,}")]
    if origin is not None:
        rows += [
            ("Weights", origin.name),
            ("Revision", origin.revision or "none: a local folder or the bundled weights"),
        ]
        if origin.note:
            rows.append(("Note", origin.note))
    if config.get("weights_sha256"):
        rows.append(("SHA-256", config["weights_sha256"]))
    rows.append(("Stored as", str(config.get("storage", "in memory"))))
    verification = config.get("verification") or {}
    if verification.get("threshold"):
        points = verification.get("operating_points")  # of signatures, whose scores are not the network's alone
        rows.append(("Threshold", f"{points['balanced']['threshold'] if points else verification['threshold']:.3f}"))
    if verification.get("measured_on"):
        since = "; what was held out trains these weights" if verification.get("from_held_out_run") else ""
        rows.append(("Threshold and calibration from", f"{verification['measured_on']}{since}"))
    body = table_rows(rows) + as_far_as_readable(training_rows, config.get("training"))
    table = scrolling(title, f"<table><tbody>{body}</tbody></table>")
    return f"<section><h2>{title}</h2>{table}</section>"


def training_rows(training: dict[str, Any]) -> str:
    """What config.json says of the training, with every stage before it."""
    rows = []
    for key, value in training.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value:
            shown = f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else value
            rows.append((f"Training: {key.replace('_', ' ')}", shown))
    earlier = training.get("began_with")
    while isinstance(earlier, dict) and isinstance(earlier.get("images"), int):
        held_out = len(earlier.get("held_out_alphabets") or [])
        without = f", alphabets held out: {held_out}" if held_out else ""
        rows.append(("Training: before that", f"{earlier['images']:,} images{without}"))
        earlier = earlier.get("began_with")
    return table_rows(rows)


def table_rows(rows: list[tuple[str, str]]) -> str:
    return "".join(
        f'<tr><th scope="row">{escape(key)}</th><td style="overflow-wrap:anywhere">{escape(value)}</td></tr>'
        for key, value in rows
    )


def config_of(model: Recognizer | Verifier) -> dict[str, Any]:
    """The config.json behind a model; empty where there is none to read."""
    if model.origin is None:
        return {}
    try:
        return read_config(model.origin.folder)
    except CheckpointError:
        return {}


def markup(recognizer: Recognizer, verifier: Verifier) -> str:
    config = config_of(recognizer)
    report = config.get("figures") if isinstance(config.get("figures"), dict) else {}
    figures = (
        "<section><h2>What it scores</h2><p>Every figure with its task: 20 candidates within one alphabet are harder "
        f"than across alphabets. Accuracy is the share of trials in which the true candidate alone scored highest.</p>"
        f"{''.join(as_far_as_readable(draw, report) for draw in (one_shot_table, accuracy_plot, verification_list))}"
        "</section>"
        if report.get("one_shot")
        else "<section><h2>What it scores</h2><p>These weights carry no evaluation; "
        "<code>python -m train evaluate</code> measures them.</p></section>"
    )
    return f"""<section class="panel about-panel" aria-label="About"><div class="about">
<section><h2>What this is</h2>
<p>A person who sees a new character once knows it again, whoever writes it. This is the convolutional Siamese network
of Koch, Zemel and Salakhutdinov, “Siamese Neural Networks for One-shot Image Recognition” (2015), which learns it from
Omniglot (Lake, Salakhutdinov and Tenenbaum, “Human-level concept learning through probabilistic program induction”,
Science 350, 2015): 50 alphabets, 1,623 characters, each drawn by 20 people. It learns on 30 alphabets to say whether
two drawings show the same character, and is asked about characters of the 20 others.</p></section>
{figures}
<section><h2>How it is built</h2>{scrolling("Architecture", architecture())}</section>
{model_section(recognizer, config, "The model that answers here")}
{signature_sections(recognizer, verifier)}
{limits()}
{how_to_call()}
</div></section>"""


def build(recognizer: Recognizer, verifier: Verifier) -> None:
    """Put the tab's contents into the open Gradio context."""
    gr.HTML(markup(recognizer, verifier), apply_default_css=False, js_on_load=None, elem_classes="tab")

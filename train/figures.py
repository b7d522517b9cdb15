"""Draws results as PNG files; without pyplot, which keeps global state."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from siamese.characters.drawings import Drawings
from siamese.characters.episodes import Trials
from siamese.metrics import Roc, area_under_curve, equal_error_point
from train.errors import CommandError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

PEOPLE = 0.955  # 20-way on Lake's runs (Lake et al., 2015)
PAPER = 0.92  # the same (Koch et al., 2015, table 2)
BLUE, ORANGE, GREEN, GREY = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#666666",
)  # distinguishable with red-green colour blindness
DPI = 120
ONE_SHOT_LABEL = "validation accuracy, 20-way"

PROTOCOL_NAMES = {
    "lake_runs": "Lake's 20 runs",
    "within_alphabet": "within one alphabet",
    "across_alphabets": "across alphabets",
}
BASELINE_NAMES = {
    "chance": "chance",
    "nearest_neighbour_l2": "nearest neighbour on pixels",
    "modified_hausdorff": "modified Hausdorff distance",
}


class FigureError(CommandError):
    """A figure cannot be drawn; the message is one sentence for the user."""


@dataclass(frozen=True)
class Curve:
    """One line of an ROC or DET figure."""

    name: str
    """Name in the legend."""
    roc: Roc


def accuracy_over_n(report: dict, path: Path) -> None:
    """Draws accuracy over the number of candidates: the network, the baselines, people and the paper.

    Args:
        report: "one_shot" and "baselines" as `python -m train evaluate` writes them.
        path: The PNG file.
    """
    figure, axes = _new(7.2, 4.6)
    for protocol, colour in (("within_alphabet", BLUE), ("across_alphabets", GREEN)):
        rows = sorted((r for r in report["one_shot"] if r["protocol"] == protocol), key=lambda r: r["n_way"])
        if rows:
            low = [r["accuracy"] - r["interval"][0] for r in rows]
            high = [r["interval"][1] - r["accuracy"] for r in rows]
            n_ways, accuracy = [r["n_way"] for r in rows], [r["accuracy"] for r in rows]
            label = f"this network, {PROTOCOL_NAMES[protocol]}"
            axes.errorbar(
                n_ways, accuracy, yerr=[low, high], color=colour, marker="o", markersize=4, capsize=3, label=label
            )
    for name, line in (("modified_hausdorff", "--"), ("nearest_neighbour_l2", "-."), ("chance", ":")):
        rows = [r for r in report["baselines"] if r["name"] == name and r["protocol"] == "within_alphabet"]
        rows.sort(key=lambda r: r["n_way"])
        if rows:
            label = BASELINE_NAMES[name] + ("" if name == "chance" else ", within one alphabet")
            axes.plot(
                [r["n_way"] for r in rows], [r["accuracy"] for r in rows], line, color=GREY, marker=".", label=label
            )
    runs = [r for r in report["one_shot"] if r["protocol"] == "lake_runs"]
    if runs:
        for value, marker, colour, name in (  # to the right of the curves, so that they do not overlap
            (runs[0]["accuracy"], "^", BLUE, "this network"),
            (PEOPLE, "D", ORANGE, "people"),
            (PAPER, "s", ORANGE, "Koch et al."),
        ):
            label = f"{name}, {PROTOCOL_NAMES['lake_runs']}: {100 * value:.1f} %"
            axes.plot([runs[0]["n_way"] + 0.7], [value], marker, color=colour, markersize=5, label=label)
    n_ways = sorted({r["n_way"] for r in report["one_shot"]})
    axes.set_xticks(n_ways)
    axes.set(xlabel="candidates to choose from (N)", ylabel="right answers", ylim=(0, 1.02))
    _per_cent(axes.yaxis)
    named = sorted(
        zip(*axes.get_legend_handles_labels(), strict=True), key=lambda entry: not entry[1].startswith("this network")
    )
    axes.legend(*zip(*named, strict=True), fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    axes.set_title("One-shot accuracy (bars: 95 % intervals)")
    _save(figure, path)


def roc_curves(curves: Sequence[Curve], path: Path) -> None:
    """Draws ROC curves of verification, at most four, with the AUC and the EER of each."""
    axis_names = "different pairs accepted (FAR)", "same pairs accepted (1 - FRR)"
    _draw_rocs(curves, path, axis_names, "different pairs from", "Verification (dots: FAR = FRR)")


def signature_roc(curves: Sequence[Curve], path: Path) -> None:
    """Draws ROC curves of signature verification, at most four, with the AUC and the EER of each."""
    axis_names = "forgeries accepted (FAR)", "genuine signatures accepted (1 - FRR)"
    title = "Signatures of unseen writers (dots: FAR = FRR)"
    _draw_rocs(curves, path, axis_names, "forgeries, references", title)


def _draw_rocs(curves: Sequence[Curve], path: Path, axis_names: tuple[str, str], legend: str, title: str) -> None:
    figure, axes = _new(5.6, 5.2)
    for curve, colour in zip(curves, (BLUE, GREEN, ORANGE, GREY), strict=False):
        point = equal_error_point(curve.roc)
        label = f"{curve.name}: AUC {area_under_curve(curve.roc):.3f}, EER {100 * point.far:.1f} %"
        axes.plot(curve.roc.far.numpy(), (1 - curve.roc.frr).numpy(), color=colour, label=label)
        axes.plot([point.far], [1 - point.frr], "o", color=colour)
    axes.plot([0, 1], [1, 0], ":", color=GREY, linewidth=1)
    axes.set(xlabel=axis_names[0], ylabel=axis_names[1], xlim=(-0.01, 1), ylim=(0, 1.01))
    _per_cent(axes.xaxis)
    _per_cent(axes.yaxis)
    axes.legend(fontsize=8, loc="lower right", title=legend)
    axes.set_title(title)
    _save(figure, path)


def detection_error_tradeoff(curves: Sequence[Curve], path: Path) -> None:
    """Draws DET curves: FRR over FAR, both on the scale of the normal distribution's quantiles.

    Args:
        curves: At most four curves.
        path: The PNG file.

    Source: Martin et al. (1997), "The DET curve in assessment of detection task performance".
    """
    shares = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
    figure, axes = _new(5.6, 5.4)
    for curve, colour in zip(curves, (BLUE, GREEN, ORANGE, GREY), strict=False):
        inner = (curve.roc.far > 0) & (curve.roc.frr > 0) & (curve.roc.far < 1) & (curve.roc.frr < 1)
        far, frr = torch.special.ndtri(curve.roc.far[inner]), torch.special.ndtri(curve.roc.frr[inner])
        axes.plot(far.numpy(), frr.numpy(), color=colour, label=curve.name)
    places = torch.special.ndtri(torch.tensor(shares, dtype=torch.float64)).tolist()
    axes.plot([places[0], places[-1]], [places[0], places[-1]], ":", color=GREY, linewidth=1)
    names = [f"{100 * value:g} %" for value in shares]
    limits = places[0], places[-1]
    axes.set_xticks(places, names)
    axes.set_yticks(places, names)
    axes.tick_params(labelsize=8)
    axes.set(xlabel="forgeries accepted (FAR)", ylabel="genuine signatures refused (FRR)", xlim=limits, ylim=limits)
    axes.legend(fontsize=8, loc="upper right", title="forgeries, references")
    axes.set_title("Detection error tradeoff, unseen writers")
    _save(figure, path)


def trial_rows(won: Bool[Tensor, " trials"], rows: int) -> list[int]:
    """Chooses trials to show: half of them lost, if there are enough, the others won, both spread evenly.

    Args:
        won: Which trials were won.
        rows: Number of trials to choose.

    Returns:
        Indices of the chosen trials, first those won.
    """
    lost_rows, won_rows = (~won).nonzero().flatten().tolist(), won.nonzero().flatten().tolist()
    lost = min(len(lost_rows), max(rows // 2, rows - len(won_rows)))
    return _spread(won_rows, min(len(won_rows), rows - lost)) + _spread(lost_rows, lost)


def trials_picture(
    drawings: Drawings,
    trials: Trials,
    similarity: Float[Tensor, "trials n_way"],
    won: Bool[Tensor, " trials"],
    path: Path,
    rows: int = 8,
) -> None:
    """Draws trials one below the other: the query, then its candidates with their similarities.

    The network's choice is framed and the true candidate underlined.

    Args:
        drawings: The drawings that the trials refer to.
        trials: All trials of a task.
        similarity: Similarity of each query to its candidates, in [0, 1].
        won: Which trials were won.
        path: The PNG file.
        rows: Number of trials to show.
    """
    shown = trial_rows(won, rows)
    columns = trials.n_way + 2  # the query, a gap, the candidates
    figure = _figure(0.72 * columns + 0.4, 1.1 * len(shown) + 0.5)
    widths = [1.0, 0.25, *[1.0] * trials.n_way]
    grid = figure.subplots(
        len(shown), columns, squeeze=False, gridspec_kw={"wspace": 0.12, "hspace": 0.6, "width_ratios": widths}
    )
    for (asked, gap, *candidates), trial in zip(grid, shown, strict=True):
        label, picked = int(trials.label[trial]), int(similarity[trial].argmax())
        colour = GREEN if bool(won[trial]) else ORANGE
        gap.set_axis_off()
        _thumbnail(asked, drawings.ink[trials.query[trial]])
        asked.set_title("right" if bool(won[trial]) else "wrong", fontsize=8, color=colour, weight="bold", pad=3)
        for place, axes in enumerate(candidates):
            _thumbnail(axes, drawings.ink[trials.support[trial, place]])
            text = axes.set_xlabel(f"{similarity[trial, place].item():.2f}", fontsize=7, labelpad=6)
            if place == label:
                text.set_weight("bold")
                axes.plot([0.1, 0.9], [-0.09, -0.09], color=GREEN, linewidth=3, transform=axes.transAxes, clip_on=False)
            for spine in axes.spines.values():
                spine.set_edgecolor(colour if place == picked else "#cccccc")
                spine.set_linewidth(2.5 if place == picked else 0.5)
    legend = "the query, then its candidates with their similarities (frame: its choice; green bar: the truth)"
    grid[0][2].set_title(legend, fontsize=9, loc="left")
    _save(figure, path)


def training_curve(metrics: Path, path: Path, measure: str = ONE_SHOT_LABEL) -> None:
    """Draws loss and validation accuracy over the steps of a run.

    Args:
        metrics: The run's metrics.jsonl, see `read_metrics`.
        path: The PNG file.
        measure: Label of the axis of the accuracy.

    Raises:
        FigureError: The file cannot be read or has nothing to draw.
    """
    losses, accuracies = read_metrics(metrics)
    figure, axes = _new(7.2, 4.2)
    if losses:
        steps, values = zip(*losses, strict=True)
        axes.plot(steps, values, color=GREY, linewidth=0.5, alpha=0.3)
        axes.plot(steps, running_mean(values, max(1, len(values) // 50)), color=GREY)
        axes.set_ylim(0)
    axes.set(xlabel="step", ylabel="training loss")
    if accuracies:
        right = axes.twinx()
        right.plot(*zip(*accuracies, strict=True), color=BLUE, marker="o", markersize=3)
        best = max(accuracies, key=lambda entry: entry[1])
        right.annotate(
            f"{100 * best[1]:.2f} %", best, color=BLUE, fontsize=8, xytext=(0, 5), textcoords="offset points"
        )
        right.set_ylabel(measure, color=BLUE)
        right.margins(y=0.12)
        _per_cent(right.yaxis)
    axes.set_title("Training")
    _save(figure, path)


def read_metrics(metrics: Path) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """Reads the losses and validation accuracies of a run.

    Args:
        metrics: A JSON object on each line, with "step" and optionally "loss" and "validation_accuracy". A last line
            that was cut short is ignored.

    Returns:
        Losses and accuracies, each with its step.

    Raises:
        FigureError: The file cannot be read or holds no such line.
    """
    try:
        lines = metrics.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FigureError(f"The metrics {metrics} cannot be read: {error}.") from error
    losses: list[tuple[int, float]] = []
    accuracies: list[tuple[int, float]] = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise FigureError(f"Line {number} of {metrics} is not JSON.") from error
        if isinstance(entry, dict) and isinstance(entry.get("step"), int):
            for key, values in (("loss", losses), ("validation_accuracy", accuracies)):
                if isinstance(entry.get(key), int | float):
                    values.append((entry["step"], float(entry[key])))
    if not losses and not accuracies:
        raise FigureError(f"{metrics} holds no steps with a loss or a validation accuracy.")
    return losses, accuracies


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """Returns the mean of each value and those before it, over at most `window` values."""
    total = [0.0, *accumulate(values)]
    starts = [max(0, end - window) for end in range(1, len(total))]
    return [(total[end] - total[start]) / (end - start) for end, start in enumerate(starts, 1)]


def _spread(values: list[int], count: int) -> list[int]:
    return [values[i * len(values) // count] for i in range(count)]


def _thumbnail(axes: "Axes", ink: Bool[Tensor, "105 105"]) -> None:
    axes.imshow(~ink.numpy(), cmap="gray", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])


def _figure(width_inches: float, height_inches: float) -> "Figure":
    from matplotlib.figure import Figure  # imported here because it takes half a second

    return Figure(figsize=(width_inches, height_inches), dpi=DPI)


def _new(width_inches: float, height_inches: float) -> tuple["Figure", "Axes"]:
    """A figure with one pair of axes."""
    figure = _figure(width_inches, height_inches)
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _per_cent(axis: "Axis") -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(xmax=1, decimals=None))


def _save(figure: "Figure", path: Path) -> None:
    """Raises FigureError where the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, bbox_inches="tight", facecolor="white")
    except OSError as error:
        raise FigureError(f"The figure {path} cannot be written: {error.strerror or error}.") from error

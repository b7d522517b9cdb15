"""Every figure of characters that the README and the model card show: `python -m train evaluate`."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor
from tqdm import tqdm

from siamese.characters import omniglot
from siamese.characters.drawings import Drawings
from siamese.characters.episodes import Trials
from siamese.inference.verdict import DEFAULT_THRESHOLD
from siamese.metrics import (
    Roc,
    area_under_curve,
    equal_error_point,
    receiver_operating_characteristic,
)
from siamese.network import SiameseNetwork
from train.augment import Distortions, distort
from train.characters.baselines import baselines, squared_pixel_distances, won_among
from train.characters.pen_table import TRIALS as PEN_TRIALS
from train.characters.pen_table import make_pen_tasks, pen_entries
from train.characters.report import format_report
from train.characters.tasks import PROTOCOLS, Tasks, make_tasks
from train.characters.transfer import Pictures, load_pictures, transfer_trials
from train.evaluation import (
    PAIRS,
    EvaluationError,
    Model,
    generator_for,
    load_model,
    one_shot_accuracy,
    one_shot_logits,
    pair_logits,
    paired_test,
    write_report,
)
from train.figures import PROTOCOL_NAMES
from train.state import metrics_beside

BASELINE_TRIALS = 1_000  # a Hausdorff distance costs a millisecond, a trial of them twenty
VIEW_RANGES = Distortions(rotation_deg=5.0, shear=0.08, log_scale=0.08, shift_px=2.0)


@dataclass(frozen=True)
class Answers:
    """What one network said to `Tasks`, beside its entries of the report.

    Attributes:
        entries: "one_shot", "per_alphabet", "per_alphabet_n_way" and "verification" as in the report.
        won: For each one-shot task, which trials were won.
        roc: The curve of each protocol of verification.
    """

    entries: dict
    won: list[Bool[Tensor, " trials"]]
    roc: dict[str, Roc]


def answer(
    network: SiameseNetwork,
    embeddings: Float[Tensor, "*views drawings units"],
    tasks: Tasks,
    thresholds: dict[str, float],
    split: str,
    progress: bool = False,
) -> Answers:
    """Puts every task to a network.

    Args:
        network: Its head compares.
        embeddings: Of all drawings, made once for all tasks.
        tasks: Rows into these embeddings.
        thresholds: Similarities by protocol, chosen on other drawings.
        split: Name of the split, for the report.
        progress: Whether to show a bar that names what is measured.
    """
    one_shot, won, per_alphabet = [], [], {}
    total = sum(len(task.trials) for task in tasks.one_shot) + sum(map(len, tasks.per_alphabet.values()))
    with tqdm(total=total, unit="trial", disable=not progress) as bar:
        for task in tasks.one_shot:
            bar.set_description(task.title)
            accuracy, interval, correct_ones = one_shot_accuracy(network, embeddings, task.trials)
            won.append(correct_ones)
            entry = {"protocol": task.protocol, "split": split, "n_way": task.trials.n_way, "trials": len(task.trials)}
            one_shot.append(entry | {"accuracy": accuracy, "interval": list(interval), "left_out": task.left_out})
            bar.update(len(task.trials))
        for name, trials in tasks.per_alphabet.items():
            bar.set_description(name)
            per_alphabet[name] = one_shot_accuracy(network, embeddings, trials)[0]
            bar.update(len(trials))
        bar.set_description("one-shot trials")
    verification, curves = [], {}
    for protocol, pairs in tasks.verification.items():
        similarity = pair_logits(network, embeddings, pairs).sigmoid()
        curves[protocol] = receiver_operating_characteristic(similarity[pairs.same], similarity[~pairs.same])
        threshold = thresholds[protocol]
        right = (similarity >= threshold) == pairs.same
        verification.append(
            {
                "protocol": protocol,
                "pairs": len(right),
                "accuracy": right.double().mean().item(),
                "auc": area_under_curve(curves[protocol]),
                "eer": equal_error_point(curves[protocol]).far,
                "threshold": threshold,
            }
        )
    entries = {
        "one_shot": one_shot,
        "per_alphabet": per_alphabet,
        "per_alphabet_n_way": {name: trials.n_way for name, trials in tasks.per_alphabet.items()},
        "verification": verification,
    }
    return Answers(entries, won, curves)


def thresholds_of(config: dict) -> tuple[dict[str, float], str | None]:
    """Reads the thresholds of a checkpoint.

    Args:
        config: What its config.json holds.

    Returns:
        Similarities by protocol, and a remark where the checkpoint has none.
    """
    verification = config.get("verification") or {}
    common = verification.get("threshold", DEFAULT_THRESHOLD)
    own = verification.get("thresholds", {})
    remark = None
    if "threshold" not in verification:
        remark = f"The checkpoint names no threshold from validation; {DEFAULT_THRESHOLD} was used."
    return {protocol: own.get(protocol, common) for protocol in PROTOCOLS}, remark


def embed_views(
    model: Model,
    prepared: UInt8[Tensor, "drawings 1 105 105"],
    views: int,
    generator: torch.Generator,
    progress: bool = False,
) -> Float32[Tensor, "views drawings units"]:
    """Embeds each drawing as it is, and `views` small affine views of it beside."""
    passes = [model.embed(prepared, progress)]
    for _ in range(views):
        moved = torch.cat(
            [
                (distort(block.float() / 255, VIEW_RANGES, generator).clamp(0, 1) * 255).round().to(torch.uint8)
                for block in prepared.split(1_024)
            ]
        )
        passes.append(model.embed(moved, progress))
    return torch.stack(passes)


def evaluate(arguments: argparse.Namespace) -> dict:
    """Measures a checkpoint; figures are drawn on the way.

    Args:
        arguments: What `add_arguments` defines.

    Returns:
        The report, which can be written as JSON.

    Raises:
        EvaluationError, EpisodeError, TransferError, SourceError, CheckpointError, HubError, FigureError: There is
            nothing to measure, or a figure cannot be written.
    """
    progress = sys.stderr.isatty()
    precision, *other_precisions = arguments.precision or [None]
    model = load_model(arguments.model, arguments.device, precision)
    report = {
        "model": model.description,
        "seed": arguments.seed,
        "data": None if arguments.transfer_only else arguments.data or "Omniglot",
        "views": arguments.views,
        "one_shot": [],
        "per_alphabet": {},
        "per_alphabet_n_way": {},
        "verification": [],
        "other_precisions": [],
        "baselines": [],
        "notes": [],
    }

    def embed(which: Model, prepared: UInt8[Tensor, "drawings 1 105 105"]) -> Float32[Tensor, "views drawings units"]:
        return embed_views(which, prepared, arguments.views, generator_for(arguments.seed, "views"), progress)

    if not arguments.transfer_only:
        drawings = omniglot.load_drawings(arguments.split, arguments.data)
        tasks = make_tasks(drawings, arguments.seed, arguments.trials, arguments.split == "evaluation", PAIRS)

        def ask(which: Model) -> tuple[Answers, Float32[Tensor, "views drawings units"]]:
            prepared = drawings.prepared(which.preprocessing, progress)
            embeddings = embed(which, prepared)
            thresholds, _ = thresholds_of(which.config)
            return answer(which.network, embeddings, tasks, thresholds, arguments.split, progress), embeddings

        answers, embeddings = ask(model)
        report |= answers.entries
        _, remark = thresholds_of(model.config)
        report["notes"] = [*tasks.notes, *([remark] if remark else [])]
        report["baselines"] = baseline_entries(drawings, tasks, arguments.baselines, progress)
        if arguments.figures:
            draw_figures(Path(arguments.figures), report, answers, model, embeddings, drawings, tasks)
        if arguments.pens:
            trials, with_lake_runs = min(arguments.trials, PEN_TRIALS), arguments.split == "evaluation"
            pen_tasks = make_pen_tasks(drawings, arguments.seed, trials, with_lake_runs)
            report["pens"] = pen_entries(
                model.network,
                lambda prepared: embed(model, prepared)[0],
                embeddings[0],
                drawings,
                pen_tasks,
                model.preprocessing,
                thresholds_of(model.config)[0]["within_alphabet"],
                progress,
            )
            report["notes"] += pen_tasks.notes
        del embeddings
        for name in other_precisions:
            other = load_model(arguments.model, arguments.device, name)
            report["other_precisions"].append({"precision": name} | comparison(other, answers, ask(other)[0]))
        if arguments.compare:
            other = load_model(arguments.compare, arguments.device, precision)
            report["comparison"] = comparison(other, answers, ask(other)[0])
    for folder in arguments.images or ():
        generator = generator_for(arguments.seed, "files")
        pictures = load_pictures(Path(folder), model.preprocessing, generator, progress)
        trials = transfer_trials(pictures, arguments.trials, generator_for(arguments.seed, "transfer"))
        entry = {"data": Path(folder).resolve().name}
        entry |= transfer_entry(model.network, embed(model, pictures.prepared), pictures, trials)
        report.setdefault("transfer", []).append(entry)
        report["notes"] += [f"Passed over: {sentence}" for sentence in pictures.refused]
    return report


def baseline_entries(drawings: Drawings, tasks: Tasks, with_hausdorff: bool, progress: bool) -> list[dict]:
    """Measures baselines on Lake's runs, and on the first trials of the most ways of each random protocol."""
    entries = []
    for protocol in ("lake_runs", *PROTOCOLS):
        drawn = [task.trials for task in tasks.one_shot if task.protocol == protocol]
        if drawn:
            largest = max(drawn, key=lambda trials: trials.n_way)
            few = Trials(*(part[:BASELINE_TRIALS] for part in (largest.support, largest.query, largest.label)))
            n_ways = [trials.n_way for trials in drawn]
            entries += baselines(drawings, few, protocol, n_ways, with_hausdorff, progress)
    return entries


def comparison(other: Model, first: Answers, second: Answers) -> dict:
    """Compares the answers of two networks to the same tasks.

    Args:
        other: The second network.
        first: Answers of the first network.
        second: Answers of the second network.

    Returns:
        The second network's figures, on how many trials only one of the two was right, and McNemar's p.
    """
    rows = []
    for entry, won_first, won_second in zip(second.entries["one_shot"], first.won, second.won, strict=True):
        differing = int((won_first != won_second).sum())
        rows.append(entry | {"differing_trials": differing, "p_value": paired_test(won_first, won_second)})
    return {"model": other.description, "one_shot": rows, "verification": second.entries["verification"]}


def transfer_entry(
    network: SiameseNetwork, embeddings: Float[Tensor, "*views pictures units"], pictures: Pictures, trials: Trials
) -> dict:
    """Measures one-shot accuracy on a folder of pictures; nearest neighbour sees the same prepared pictures."""
    accuracy, interval, _ = one_shot_accuracy(network, embeddings, trials)
    nearest = won_among(squared_pixel_distances(pictures.prepared, trials), trials.label, trials.n_way)
    return {
        "n_way": trials.n_way,
        "trials": len(trials),
        "accuracy": accuracy,
        "interval": list(interval),
        "nearest_neighbour_l2": nearest.double().mean().item(),
        "classes": len(pictures.drawings.character.unique()),
        "images": len(pictures.prepared),
        "refused": len(pictures.refused),
    }


def draw_figures(
    folder: Path,
    report: dict,
    answers: Answers,
    model: Model,
    embeddings: Float[Tensor, "views drawings units"],
    drawings: Drawings,
    tasks: Tasks,
) -> None:
    """Draws accuracy_over_n.png, trials.png and roc.png, and training.png where the run's metrics are there."""
    from train import figures

    if answers.won:
        figures.accuracy_over_n(report, folder / "accuracy_over_n.png")
        hardest = max(range(len(answers.won)), key=lambda i: (tasks.one_shot[i].trials.n_way, -i))
        trials = tasks.one_shot[hardest].trials
        similarity = one_shot_logits(model.network, embeddings, trials).cpu().sigmoid()
        figures.trials_picture(drawings, trials, similarity, answers.won[hardest], folder / "trials.png")
    if answers.roc:
        curves = [figures.Curve(PROTOCOL_NAMES[protocol], roc) for protocol, roc in answers.roc.items()]
        figures.roc_curves(curves, folder / "roc.png")
    metrics = metrics_beside(model.folder)
    if metrics:
        figures.training_curve(metrics, folder / "training.png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defines the options of `python -m train evaluate`."""
    parser.description = "Measure a checkpoint on Omniglot's evaluation set: one table, one JSON report, figures."
    add = parser.add_argument
    add("--model", metavar="DIR_OR_REPO", help="a folder or user/name@revision (default: the bundled weights)")
    add("--data", metavar="SOURCE", help="folder, Hub id or 'invented' (default: $OMNIGLOT_DATA, else the bundled set)")
    add("--split", choices=("evaluation", "background"), default="evaluation", help="of the data (default: evaluation)")
    add(
        "--images",
        metavar="FOLDER",
        nargs="+",
        help="measure transfer too, to each of these folders with one sub-folder for each class",
    )
    add("--pens", action="store_true", help="measure too how queries drawn with other pens are recognised")
    add("--transfer-only", action="store_true", help="with --images: measure nothing else")
    add("--compare", metavar="DIR_OR_REPO", help="a second checkpoint to put the same trials to")
    add("--output", metavar="FILE", help="where the JSON report goes")
    add("--figures", metavar="DIR", help="where the figures go, as PNG")
    add("--views", type=int, default=0, metavar="N", help="average over N small affine views beside (default: 0, none)")
    add(
        "--trials", type=int, default=10_000, metavar="N", help="random trials for each number of ways (default: 10000)"
    )
    add("--baselines", action="store_true", help="measure the modified Hausdorff distance too, which takes minutes")
    add("--device", help="cpu or cuda (default: cuda where present)")
    add(
        "--precision",
        nargs="+",
        choices=("int8", "bfloat16", "float32"),
        help="in which to embed (default: as the app would here); a second one gets a column of its own",
    )
    add("--seed", type=int, default=0, help="decides the random trials and pairs (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Evaluates, prints the table and writes the report.

    Returns:
        The exit status.

    Raises:
        EvaluationError, SourceError, CheckpointError, HubError, FigureError, OSError: There is nothing to measure, or
            what was measured cannot be written.
    """
    check_options(arguments)
    report = evaluate(arguments)
    print(format_report(report))
    if arguments.output:
        write_report(report, Path(arguments.output))
    return 0


def check_options(arguments: argparse.Namespace) -> None:
    """Raises EvaluationError for options that are out of range or that --transfer-only would pass over in silence."""
    if arguments.trials < 1 or arguments.views < 0:
        raise EvaluationError("--trials must be at least 1 and --views at least 0.")
    if not arguments.transfer_only:
        return
    if not arguments.images:
        raise EvaluationError("--transfer-only needs --images FOLDER.")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    unused = ("baselines", "compare", "data", "figures", "pens", "split")
    given = [name for name in unused if getattr(arguments, name) != parser.get_default(name)]
    if given:
        options = ", ".join(f"--{name}" for name in given)
        raise EvaluationError(f"--transfer-only does not go with {options}; leave that out.")

"""Every figure that the README and the model card show: `python -m train evaluate`."""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor

from siamese.characters import omniglot
from siamese.characters.drawings import Drawings
from siamese.characters.episodes import EpisodeError, Trials, excluded_alphabets, sample_trials
from siamese.characters.recognizer import DEFAULT_THRESHOLD, fastest_precision, usable_device
from siamese.hub import resolve as hub
from siamese.hub.checkpoint import CheckpointError
from siamese.metrics import (
    Roc,
    area_under_curve,
    equal_error_point,
    receiver_operating_characteristic,
)
from siamese.network import SiameseNetwork
from siamese.preprocessing import Preprocessing
from train.augment import Distortions, distort
from train.characters.baselines import baselines, squared_pixel_distances, won_among
from train.characters.transfer import Pictures, TransferError, load_pictures, transfer_trials
from train.evaluation import (
    PAIRS,
    Pairs,
    embed_drawings,
    generator_for,
    one_shot_accuracy,
    one_shot_logits,
    pair_logits,
    paired_test,
    verification_pairs,
)
from train.figures import BASELINE_NAMES, PROTOCOL_NAMES, FigureError
from train.state import metrics_beside

N_WAYS = (2, 3, 5, 10, 20)
PROTOCOLS = ("within_alphabet", "across_alphabets")
BASELINE_TRIALS = 1_000  # a Hausdorff distance costs a millisecond, a trial of them twenty
VIEW_RANGES = Distortions(rotation_deg=5.0, shear=0.08, log_scale=0.08, shift_px=2.0)
NOTES_SHOWN = 10


class EvaluationError(ValueError):
    """An evaluation that cannot be made; the message is one sentence."""


REFUSALS = (
    CheckpointError,
    EpisodeError,
    EvaluationError,
    FigureError,
    hub.HubError,
    omniglot.OmniglotError,
    TransferError,
)


# Tasks: decided by the data and the seed alone, so that two networks meet the same ones


@dataclass(frozen=True)
class OneShotTask:
    """Trials of one protocol and one number of ways."""

    protocol: str
    trials: Trials
    left_out: list[str]
    """Alphabets with too few characters for a trial within one alphabet."""


@dataclass(frozen=True)
class Tasks:
    """Everything that a network is asked in an evaluation on alphabets."""

    one_shot: list[OneShotTask]
    per_alphabet: dict[str, Trials]
    verification: dict[str, Pairs]
    notes: list[str]
    """A sentence for each thing that these data cannot give."""


def make_tasks(drawings: Drawings, seed: int, trials: int, with_lake_runs: bool) -> Tasks:
    """Lake's runs where the drawings are Omniglot's evaluation set, and `trials` random trials for each protocol.

    What the drawings cannot give is left out and noted.
    """
    one_shot, notes = [], []
    if with_lake_runs:
        try:
            one_shot.append(OneShotTask("lake_runs", omniglot.lake_runs(drawings), []))
        except omniglot.OmniglotError as error:
            notes.append(f"Lake's runs are left out: {error}")
    for protocol in PROTOCOLS:
        within = protocol == "within_alphabet"
        for n_way in N_WAYS:
            left_out = excluded_alphabets(drawings, n_way) if within else []
            try:
                drawn = sample_trials(drawings, n_way, trials, generator_for(seed, protocol, n_way), within)
            except EpisodeError as error:
                notes.append(f"{PROTOCOL_NAMES[protocol]}, {n_way}-way, is left out: {error}")
                continue
            one_shot.append(OneShotTask(protocol, drawn, left_out))
    per_alphabet = {}
    for index in drawings.alphabet.unique().tolist():
        name, rows = drawings.alphabet_names[index], (drawings.alphabet == index).nonzero().flatten()
        alone = drawings.take(rows)
        n_way = min(max(N_WAYS), len(alone.character.unique()))
        try:
            drawn = sample_trials(alone, n_way, max(1, trials // 10), generator_for(seed, name), True)
        except EpisodeError as error:
            notes.append(f"{name} has no accuracy of its own: {error}")
            continue
        per_alphabet[name] = Trials(rows[drawn.support], rows[drawn.query], drawn.label)
    verification = {}
    for protocol in PROTOCOLS:
        generator = generator_for(seed, "verification", protocol)
        try:
            verification[protocol] = verification_pairs(drawings, PAIRS, generator, protocol == "within_alphabet")
        except ValueError as error:
            notes.append(f"Verification, {PROTOCOL_NAMES[protocol]}, is left out: {error}")
    return Tasks(one_shot, per_alphabet, verification, notes)


# Answers of one network, and the report


@dataclass(frozen=True)
class Answers:
    """What one network said to `Tasks`, beside its entries of the report."""

    entries: dict
    """"one_shot", "per_alphabet", "per_alphabet_n_way" and "verification" as in the report."""
    won: list[Bool[Tensor, " trials"]]
    """For each one-shot task, which trials were won."""
    roc: dict[str, Roc]


def answer(
    network: SiameseNetwork,
    embeddings: Float[Tensor, "*views drawings units"],
    tasks: Tasks,
    thresholds: dict[str, float],
    split: str,
) -> Answers:
    """Put every task to a network; `thresholds` are similarities by protocol, chosen on other drawings."""
    one_shot, won = [], []
    for task in tasks.one_shot:
        accuracy, interval, correct_ones = one_shot_accuracy(network, embeddings, task.trials)
        won.append(correct_ones)
        entry = {"protocol": task.protocol, "split": split, "n_way": task.trials.n_way, "trials": len(task.trials)}
        one_shot.append(entry | {"accuracy": accuracy, "interval": list(interval), "left_out": task.left_out})
    per_alphabet = {name: one_shot_accuracy(network, embeddings, t)[0] for name, t in tasks.per_alphabet.items()}
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
    """Similarity thresholds by protocol out of a checkpoint's config, and a remark where it has none."""
    verification = config.get("verification") or {}
    common = verification.get("threshold", DEFAULT_THRESHOLD)
    own = verification.get("thresholds", {})
    remark = None
    if "threshold" not in verification:
        remark = f"The checkpoint names no threshold from validation; {DEFAULT_THRESHOLD} was used."
    return {protocol: own.get(protocol, common) for protocol in PROTOCOLS}, remark


@dataclass(frozen=True)
class Model:
    """A checkpoint that is evaluated."""

    network: SiameseNetwork
    preprocessing: Preprocessing
    config: dict
    folder: Path
    description: dict
    """The entry "model" of the report."""


def load_model(source: str | None, device: torch.device, precision: torch.dtype) -> Model:
    """The checkpoint named and no other; raises HubError or CheckpointError."""
    origin, checkpoint = hub.load_model(source, strict=True)
    description = {
        "source": origin.name,
        "revision": origin.revision,
        "parameters": sum(parameter.numel() for parameter in checkpoint.network.parameters()),
        "storage": checkpoint.config["storage"],
        "precision": str(precision).removeprefix("torch."),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
    return Model(checkpoint.network.to(device), checkpoint.preprocessing, checkpoint.config, origin.folder, description)


def embed_views(
    network: SiameseNetwork,
    prepared: UInt8[Tensor, "drawings 1 105 105"],
    device: torch.device,
    precision: torch.dtype,
    views: int,
    generator: torch.Generator,
    progress: bool = False,
) -> Float32[Tensor, "views drawings units"]:
    """Embeddings of each drawing as it is, and of `views` small affine views of it beside."""
    passes = [embed_drawings(network, prepared, device, precision=precision, progress=progress)]
    for _ in range(views):
        moved = torch.cat(
            [
                (distort(block.float() / 255, VIEW_RANGES, generator).clamp(0, 1) * 255).round().to(torch.uint8)
                for block in prepared.split(1_024)
            ]
        )
        passes.append(embed_drawings(network, moved, device, precision=precision, progress=progress))
    return torch.stack(passes)


def evaluate(arguments: argparse.Namespace) -> dict:
    """The whole report; figures are drawn on the way. Raises one of REFUSALS, each with one sentence."""
    try:
        device = usable_device(arguments.device)
    except ValueError as error:
        raise EvaluationError(str(error)) from error
    precision = getattr(torch, arguments.precision) if arguments.precision else fastest_precision(device)
    progress = sys.stderr.isatty()
    seed, views = arguments.seed, arguments.views
    model = load_model(arguments.model, device, precision)
    other = load_model(arguments.compare, device, precision) if arguments.compare else None
    report = {
        "model": model.description,
        "seed": seed,
        "data": None if arguments.transfer_only else arguments.data or "Omniglot",
        "views": views,
        "one_shot": [],
        "per_alphabet": {},
        "per_alphabet_n_way": {},
        "verification": [],
        "baselines": [],
        "notes": [],
    }

    def embed(which: Model, prepared: UInt8[Tensor, "drawings 1 105 105"]) -> Float32[Tensor, "views drawings units"]:
        generator = generator_for(seed, "views")
        return embed_views(which.network, prepared, device, precision, views, generator, progress)

    if not arguments.transfer_only:
        drawings = omniglot.load_drawings(arguments.split, arguments.data)
        tasks = make_tasks(drawings, seed, arguments.trials, arguments.split == "evaluation")
        thresholds, remark = thresholds_of(model.config)
        embeddings = embed(model, drawings.prepared(model.preprocessing))
        answers = answer(model.network, embeddings, tasks, thresholds, arguments.split)
        report |= answers.entries
        report["notes"] = [*tasks.notes, *([remark] if remark else [])]
        if not arguments.skip_baselines:
            report["baselines"] = baseline_entries(drawings, tasks, progress)
        if arguments.figures:
            draw_figures(Path(arguments.figures), report, answers, model, embeddings, drawings, tasks)
        del embeddings
        if other:
            thresholds, _ = thresholds_of(other.config)
            embeddings = embed(other, drawings.prepared(other.preprocessing))
            others = answer(other.network, embeddings, tasks, thresholds, arguments.split)
            del embeddings
            report["comparison"] = comparison(other, answers, others)
    if arguments.images:
        pictures = load_pictures(Path(arguments.images), model.preprocessing, generator_for(seed, "files"), progress)
        trials = transfer_trials(pictures, arguments.trials, generator_for(seed, "transfer"))
        embeddings = embed(model, pictures.prepared)
        name = Path(arguments.images).resolve().name
        report["transfer"] = {"data": name} | transfer_entry(model.network, embeddings, pictures, trials)
        report["notes"] += [f"Passed over: {sentence}" for sentence in pictures.refused]
    return report


def baseline_entries(drawings: Drawings, tasks: Tasks, progress: bool) -> list[dict]:
    """The baselines on Lake's runs, and on the first trials of the largest number of ways of each random protocol."""
    entries = []
    for protocol in ("lake_runs", *PROTOCOLS):
        drawn = [task.trials for task in tasks.one_shot if task.protocol == protocol]
        if drawn:
            largest = max(drawn, key=lambda trials: trials.n_way)
            few = Trials(*(part[:BASELINE_TRIALS] for part in (largest.support, largest.query, largest.label)))
            n_ways = [trials.n_way for trials in drawn]
            entries += baselines(drawings, few, protocol, n_ways, progress)
    return entries


def comparison(other: Model, first: Answers, second: Answers) -> dict:
    """Another network's figures on the same tasks, and on how many trials only one of the two was right."""
    rows = []
    for entry, won_first, won_second in zip(second.entries["one_shot"], first.won, second.won, strict=True):
        differing = int((won_first != won_second).sum())
        rows.append(entry | {"differing_trials": differing, "p_value": paired_test(won_first, won_second)})
    return {"model": other.description, "one_shot": rows, "verification": second.entries["verification"]}


def transfer_entry(
    network: SiameseNetwork, embeddings: Float[Tensor, "*views pictures units"], pictures: Pictures, trials: Trials
) -> dict:
    """One-shot accuracy on a folder of pictures; nearest neighbour sees the same prepared pictures."""
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
    """accuracy_over_n.png, trials.png, roc.png, and training.png where the run's metrics are there."""
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


# The command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Measure a checkpoint on Omniglot's evaluation set: one table, one JSON report, figures."
    add = parser.add_argument
    add("--model", metavar="DIR_OR_REPO", help="a folder or user/name@revision (default: the bundled weights)")
    add("--data", metavar="SOURCE", help="folder, Hub id or 'invented' (default: $OMNIGLOT_DATA, else the bundled set)")
    add("--split", choices=("evaluation", "background"), default="evaluation", help="of the data (default: evaluation)")
    add("--images", metavar="FOLDER", help="measure transfer too, to a folder with one sub-folder for each class")
    add("--signatures", metavar="SOURCE", help="measure on signatures instead: archive, folder or Hub id")
    add("--transfer-only", action="store_true", help="with --images: measure nothing else")
    add("--compare", metavar="DIR_OR_REPO", help="a second checkpoint to put the same trials to")
    add("--output", metavar="FILE", help="where the JSON report goes")
    add("--figures", metavar="DIR", help="where the figures go, as PNG")
    add("--views", type=int, default=0, metavar="N", help="average over N small affine views beside (default: 0, none)")
    add(
        "--trials", type=int, default=10_000, metavar="N", help="random trials for each number of ways (default: 10000)"
    )
    add("--skip-baselines", action="store_true", help="leave out nearest neighbour and the Hausdorff distance")
    add("--device", help="cpu or cuda (default: cuda where present)")
    add("--precision", choices=("float32", "bfloat16"), help="of the convolutions (default: the fastest there)")
    add("--seed", type=int, default=0, help="decides the random trials and pairs (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print the table, write the report; 0, or 1 after one sentence on standard error."""
    try:
        if arguments.trials < 1 or arguments.views < 0:
            raise EvaluationError("--trials must be at least 1 and --views at least 0.")
        if arguments.transfer_only and not arguments.images:
            raise EvaluationError("--transfer-only needs --images FOLDER.")
        refuse_unused(arguments)
        if arguments.signatures:
            from train.signatures import evaluate as evaluate_signatures

            report = evaluate_signatures.evaluate_signatures(arguments)
            print(evaluate_signatures.told(report))
        else:
            report = evaluate(arguments)
            print(table(report))
        if arguments.output:
            write_report(report, Path(arguments.output))
    except REFUSALS as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def refuse_unused(arguments: argparse.Namespace) -> None:
    """Raises EvaluationError for an option that the measurement asked for would pass over in silence."""
    if arguments.signatures:
        kind = "--signatures"
        unused = ("compare", "data", "images", "seed", "skip_baselines", "split", "trials", "views")
    elif arguments.transfer_only:
        kind = "--transfer-only"
        unused = ("compare", "data", "figures", "skip_baselines", "split")
    else:
        return
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = [name for name in unused if getattr(arguments, name) != parser.get_default(name)]
    if given:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise EvaluationError(f"{kind} does not go with {options}; leave that out.")


def write_report(report: dict, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"The report {path} cannot be written: {error.strerror or error}.") from error


def table(report: dict) -> str:
    """The report for people, in per cent."""
    model, other = report["model"], report.get("comparison")
    lines = [
        f"{model['source']}: {model['parameters']:,} parameters, stored as {model['storage']}, "
        f"{model['precision']} on {model['device']}"
        + (f", mean over {report['views'] + 1} views of each drawing" if report["views"] else "")
    ]
    if report["one_shot"]:
        lines += ["", f"{'one-shot':52}{'N':>4}{'trials':>8}{'right':>9}   {'95 % interval':15}"]
        others = iter(other["one_shot"] if other else ())
        for row in report["one_shot"]:
            text = (
                f"{PROTOCOL_NAMES[row['protocol']]:52}{row['n_way']:>4}{row['trials']:>8}{_share(row['accuracy']):>9}"
            )
            text += f"   {_interval(row['interval']):15}"
            if other:
                second = next(others)
                text += f"  other {_share(second['accuracy'])}, {second['differing_trials']} trials differ"
                text += f", p = {second['p_value']:.2g}"
            lines.append(text)
        lines += [
            f"  {row['n_way']}-way within an alphabet leaves out {', '.join(row['left_out'])}"
            for row in report["one_shot"]
            if row["left_out"]
        ]
    lines += [
        f"{BASELINE_NAMES[row['name']] + ', ' + PROTOCOL_NAMES[row['protocol']]:52}"
        f"{row['n_way']:>4}{row['trials']:>8}{_share(row['accuracy']):>9}"
        for row in report["baselines"]
        if row["n_way"] == max(r["n_way"] for r in report["baselines"] if r["protocol"] == row["protocol"])
    ]
    if report["verification"]:
        lines += ["", f"{'verification, different pairs':52}{'pairs':>12}{'right':>9}{'AUC':>9}{'EER':>9}  threshold"]
        lines += [
            f"{PROTOCOL_NAMES[row['protocol']]:52}{row['pairs']:>12}{_share(row['accuracy']):>9}{row['auc']:>9.4f}"
            f"{_share(row['eer']):>9}  {row['threshold']:.3f}"
            for row in report["verification"]
        ]
    if report["per_alphabet"]:
        lines += ["", f"{'alphabet':52}{'N':>4}{'right':>17}"]
        lines += [
            f"{name:52}{report['per_alphabet_n_way'][name]:>4}{_share(accuracy):>17}"
            for name, accuracy in sorted(report["per_alphabet"].items(), key=lambda entry: entry[1])
        ]
    if transfer := report.get("transfer"):
        lines += [
            "",
            f"transfer to {transfer['images']} pictures of {transfer['classes']} classes: {transfer['n_way']}-way "
            f"{_share(transfer['accuracy'])} ({_interval(transfer['interval'])}, {transfer['trials']} trials), "
            f"nearest neighbour {_share(transfer['nearest_neighbour_l2'])}",
        ]
    return "\n".join([*lines, *(["", *report["notes"][:NOTES_SHOWN]] if report["notes"] else [])])


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"


def _interval(interval: list[float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"

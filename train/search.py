"""Runs that differ in one thing each, at the same budget: `python -m train search`.

What is chosen is chosen on the held-out background alphabets: all changes answer the same trials there, and a
difference counts where McNemar's test says so. The evaluation set is looked at only with --report-evaluation.
"""

import argparse
import json
import sys
import tomllib
from dataclasses import dataclass, replace
from importlib import resources
from itertools import groupby
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from siamese.characters.drawings import Drawings
from siamese.characters.episodes import EpisodeError, Trials, sample_trials
from siamese.characters.omniglot import lake_runs, load_drawings
from siamese.data.sources import SourceError
from siamese.hub.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from siamese.hub.errors import HubError
from siamese.inference.device import usable_device
from siamese.network import SiameseNetwork
from train.characters.config import CharacterConfig, load_recipe
from train.characters.objective import character_task
from train.characters.run import begin, digest_of, shown, with_held_out
from train.config import RecipeError, config_from, saved_config
from train.evaluation import embed_drawings, generator_for, one_shot_accuracy, paired_test, wilson_interval
from train.loop import TrainingError, fit
from train.run_folder import MODEL
from train.state import BEST, STATE, StateError, check_manifest, has_state

SUMMARY = "summary.json"
TABLE = "table.md"
WON = "won.safetensors"
TRIALS_SEED = 20153
REFUSALS = (CheckpointError, EpisodeError, HubError, SourceError, RecipeError, StateError, TrainingError)


class SearchError(ValueError):
    """A search that cannot be made; the message is one sentence."""


@dataclass(frozen=True)
class Change:
    """One row of a search."""

    name: str
    says: str
    """What is changed, in the words of the table."""
    config: CharacterConfig
    group: str = ""
    """Runs that differ in their seed alone share it."""


@dataclass(frozen=True)
class SearchContext:
    """What all runs of a search share, beside what their configs say."""

    drawings: Drawings
    evaluation: tuple[Drawings, Trials] | None
    """With Lake's runs in it; only to report."""
    init: str | None
    trials: int
    device: torch.device
    made_with: dict
    """What a run must have been made with to go on, and to stand in one table with others."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Train one run for each change that a search file lists, and compare them trial by trial."
    add = parser.add_argument
    add("search", help=f"one of {', '.join(search_names())}, or a TOML file")
    add("--output", metavar="DIR", type=Path, required=True, help="a folder for each run, and the tables")
    add("--init", metavar="CHECKPOINT", help="every run begins with these weights (default: drawn at random)")
    add("--only", metavar="NAME", nargs="+", help="these changes; the first that the file lists is always made")
    add("--seeds", metavar="SEED", type=int, nargs="+", help="repeat every run with each of these seeds")
    add("--data", metavar="SOURCE", help="folder, Hub id or 'invented' (default: $OMNIGLOT_DATA, else the bundled set)")
    add("--trials", type=int, default=10_000, help="20-way trials in held-out alphabets (default: 10000)")
    add("--report-evaluation", action="store_true", help="add the evaluation set and Lake's runs: not to choose by")
    add("--device", help="cpu or cuda (default: cuda where present)")


def run(arguments: argparse.Namespace) -> int:
    """Make the runs that are missing, print the table; 0, or 1 after one sentence on standard error."""
    try:
        if arguments.trials < 1:
            raise SearchError("--trials must be at least 1.")
        device = usable_device(arguments.device)
        changes = chosen_changes(load_search(arguments.search), arguments.only, arguments.seeds)
        drawings = load_drawings("background", arguments.data)
        evaluation = evaluation_set(arguments.data) if arguments.report_evaluation else None
        made_with = {"--init": digest_of(arguments.init), "--data": drawings.digest(), "--trials": arguments.trials}
        context = SearchContext(drawings, evaluation, arguments.init, arguments.trials, device, made_with)
        runs = []
        for change in changes:
            change = replace(change, config=with_held_out(change.config, drawings.alphabet_names))
            folder = arguments.output / change.name
            if not (folder / SUMMARY).is_file():
                make_run(change, folder, context)
            runs.append(read_row(folder, change, context))
            print(f"{change.name}: {runs[-1]['validation']['accuracy']:.2%}", flush=True)
        rows = [pooled(list(group)) for _, group in groupby(runs, key=lambda row: row["group"])]
        rows = [compared(row, rows[0]) for row in rows]
        write_json(rows, arguments.output / SUMMARY)
        (arguments.output / TABLE).write_text(markdown(rows) + "\n", encoding="utf-8")
        print(markdown(rows))
    except (*REFUSALS, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or 'The search'} cannot be written: {error.strerror or error}.", file=sys.stderr)
        return 1
    return 0


def evaluation_set(source: str | None) -> tuple[Drawings, Trials]:
    """With Lake's runs, which are looked for before anything is trained; raises SourceError."""
    drawings = load_drawings("evaluation", source)
    return drawings, lake_runs(drawings)


def search_names() -> list[str]:
    return sorted(
        Path(entry.name).stem for entry in resources.files("train.searches").iterdir() if entry.name.endswith(".toml")
    )


def load_search(name: str) -> list[Change]:
    """The changes of a search file, in its order; raises SearchError or RecipeError.

    Entries outside `changes` hold for every run; `images` there stands for the steps that embed so many.
    """
    path = Path(name)
    try:
        if path.suffix == ".toml":
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        elif name in search_names():
            table = tomllib.loads((resources.files("train.searches") / f"{name}.toml").read_text(encoding="utf-8"))
        else:
            raise SearchError(f"No search is called {name!r}; there are {', '.join(search_names())}.")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SearchError(f"The search {name} cannot be read: {error}.") from error
    changes = table.pop("changes", None)
    if not isinstance(changes, dict) or not changes or not all(isinstance(entry, dict) for entry in changes.values()):
        raise SearchError(f"The search {name} lists no changes: [changes.NAME].")
    return [
        Change(key, str(entry.pop("says", key)), change_config(table, entry), key) for key, entry in changes.items()
    ]


def change_config(common: dict, entry: dict) -> CharacterConfig:
    """The config of one row; raises RecipeError, SearchError."""
    table = merge_tables(common, entry)
    images, recipe = table.pop("images", None), table.pop("recipe", "modern")
    if not isinstance(recipe, str) or not (images is None or (isinstance(images, int) and images > 0)):
        raise SearchError(f"A search has recipe = {recipe!r}, images = {images!r}: a name, a whole number above 0.")
    config = config_from(merge_tables(load_recipe(recipe).as_dict(), table), CharacterConfig)
    if images is None:
        return config
    return replace(config, steps=max(1, images // config.images_a_step))


def merge_tables(table: dict, changes: dict) -> dict:
    """`table` with the entries of `changes`, tables within it entry by entry."""
    both = dict(table)
    for key, value in changes.items():
        both[key] = (
            merge_tables(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
        )
    return both


def chosen_changes(changes: list[Change], only: list[str] | None, seeds: list[int] | None) -> list[Change]:
    """The first change, which the others are compared with, and those that are asked for, with each seed."""
    names = [change.name for change in changes]
    unknown = sorted(set(only or ()) - set(names))
    if unknown:
        raise SearchError(f"The search lists no {', '.join(unknown)}; there are {', '.join(names)}.")
    wanted = [change for change in changes if only is None or change.name in only or change is changes[0]]
    if seeds is None:
        return wanted
    return [
        Change(f"{change.name}-{seed}", change.says, replace(change.config, seed=seed), change.name)
        for change in wanted
        for seed in seeds
    ]


def make_run(change: Change, folder: Path, context: SearchContext) -> None:
    """Train, or go on with what was cut off, then answer the trials; the summary is written last."""
    folder.mkdir(parents=True, exist_ok=True)
    check_manifest(folder, context.made_with)
    network = begin(change.config, context.drawings, context.init)
    task = character_task(context.drawings, change.config, context.device)
    outcome = fit(network, task, change.config, folder, context.device, resume=has_state(folder))
    if not outcome.finished:
        raise SearchError(f"{change.name} was stopped at step {outcome.steps}; the same command goes on from there.")
    training = {"recipe": change.name, "config": change.config.as_dict(), "images": outcome.images}
    training |= shown(change.config, context.drawings, context.init)
    save_checkpoint(folder / MODEL, network, change.config.preprocessing, training=training)
    summary = {"says": change.says, "config": change.config.as_dict(), "images": outcome.images} | context.made_with
    held = context.drawings.of_alphabets(set(change.config.hold_out))
    embeddings = embed_drawings(network, held.prepared(change.config.preprocessing), context.device)
    summary["validation"], won = one_shot(network, embeddings, drawn_trials(held, context))
    summary["across"], _ = one_shot(network, embeddings, drawn_trials(held, context, within_alphabet=False))
    save_file({"won": won}, folder / WON)
    write_json(summary, folder / SUMMARY)
    (folder / STATE).unlink()  # three times the checkpoint's size, and nothing goes on from it
    (folder / BEST).unlink(missing_ok=True)


def evaluate_run(folder: Path, row: dict, config: CharacterConfig, context: SearchContext) -> dict:
    """The evaluation set and Lake's runs for a finished run, once they are asked for."""
    assert context.evaluation is not None
    drawings, runs = context.evaluation
    network = load_checkpoint(folder / MODEL).network.to(context.device)
    embeddings = embed_drawings(network, drawings.prepared(config.preprocessing), context.device)
    entries = {
        "evaluation": one_shot(network, embeddings, drawn_trials(drawings, context))[0],
        "lake_runs": one_shot(network, embeddings, runs)[0],
    }
    write_json(row | entries, folder / SUMMARY)
    return entries


def drawn_trials(drawings: Drawings, context: SearchContext, within_alphabet: bool = True) -> Trials:
    """20-way trials, the same for every network."""
    generator = generator_for(TRIALS_SEED, "search")
    return sample_trials(drawings, 20, context.trials, generator, within_alphabet=within_alphabet)


def one_shot(
    network: SiameseNetwork, embeddings: Float[Tensor, "drawings units"], trials: Trials
) -> tuple[dict, Bool[Tensor, " trials"]]:
    """A row's entry, and the trials won."""
    accuracy, interval, won = one_shot_accuracy(network, embeddings, trials)
    return {"accuracy": accuracy, "interval": interval, "trials": len(won)}, won


def read_row(folder: Path, change: Change, context: SearchContext) -> dict:
    """A finished run; raises SearchError where it was made by another config, weights or data, or is damaged."""
    try:
        row = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        config, made_with = saved_config(row["config"], CharacterConfig), {key: row[key] for key in context.made_with}
        won = load_file(folder / WON)["won"]
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise SearchError(f"{folder} holds no run that can be read ({error}); remove it to make it again.") from error
    if config != change.config:
        raise SearchError(f"{folder} holds a run by another config; choose another --output or remove it.")
    if made_with != context.made_with:
        raise SearchError(f"{folder} holds a run with other --init, --data or --trials; choose another --output.")
    if context.evaluation is not None and "evaluation" not in row:
        row |= evaluate_run(folder, row, config, context)
    return row | {"name": change.name, "group": change.group, "won": won}


def pooled(rows: list[dict]) -> dict:
    """Runs that differ in their seed as one row: mean accuracies, and the trials that each won."""
    first, *others = rows
    won = torch.stack([row["won"] for row in rows])
    if not others:
        return first | {"won": won}
    parts = [part for part in ("validation", "across", "evaluation", "lake_runs") if all(part in row for row in rows)]
    means = {}
    for part in parts:
        accuracies = [row[part]["accuracy"] for row in rows]
        # seeds answer the same trials, so the interval is that of one seed's number of them
        mean, trials = sum(accuracies) / len(rows), first[part]["trials"]
        interval = list(wilson_interval(round(mean * trials), trials))
        means[part] = {"accuracy": mean, "interval": interval, "trials": trials, "seeds": accuracies}
    return first | means | {"name": first["group"], "won": won}


def compared(row: dict, first: dict) -> dict:
    """The row without its trials, and its p against the first row's where both answered the same."""
    entry = {key: value for key, value in row.items() if key not in ("won", "config")}
    if row is not first and row["config"]["hold_out"] == first["config"]["hold_out"]:
        # a trial counts once, for whom more of the seeds won it: seeds that answer the same are no further evidence
        shares = [each["won"].double().mean(0) for each in (first, row)]
        entry["p_of_difference"] = paired_test(shares[0] > shares[1], shares[1] > shares[0])
    return entry


def markdown(rows: list[dict]) -> str:
    """The table for the README."""
    extra = all("evaluation" in row for row in rows)
    head = ["change", "held-out alphabets", "95 % interval", "p", "across them"]
    head += ["evaluation set", "Lake's runs"] if extra else []
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " --- |" * (len(head) - 1)]
    for row in rows:
        low, high = row["validation"]["interval"]
        p = f"{row['p_of_difference']:.2g}" if "p_of_difference" in row else ""
        cells = [row["says"], f"{row['validation']['accuracy']:.2%}", f"{low:.1%} to {high:.1%}", p]
        cells.append(f"{row['across']['accuracy']:.2%}")
        if extra:
            cells += [f"{row[part]['accuracy']:.2%}" for part in ("evaluation", "lake_runs")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_json(value: dict | list, path: Path) -> None:
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)

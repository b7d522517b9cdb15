"""Compares changes to a recipe, each trained with the same budget: `python -m train search`.

All runs answer the same trials in the held-out background alphabets and are compared with the first one by McNemar's
test. The evaluation set is used only with --report-evaluation.
"""

import argparse
import json
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from siamese.characters.drawings import Drawings
from siamese.characters.episodes import Trials, sample_trials
from siamese.characters.omniglot import lake_runs, load_drawings
from siamese.hub.checkpoint import load_checkpoint, save_checkpoint
from siamese.inference.device import usable_device
from siamese.network import SiameseNetwork
from train.characters.config import CharacterConfig
from train.characters.objective import character_task
from train.characters.run import begin, digest_of, shown, with_held_out
from train.config import RecipeError, config_from, load_recipe, read_table, saved_config, table_names
from train.errors import CommandError
from train.evaluation import embed_drawings, generator_for, one_shot_accuracy, paired_test, wilson_interval
from train.loop import fit
from train.run_folder import MODEL
from train.state import BEST, STATE, check_manifest, has_state

SUMMARY = "summary.json"
TABLE = "table.md"
WON = "won.safetensors"
TRIALS_SEED = 20153


class SearchError(CommandError):
    """A search cannot be carried out; the message is one sentence for the user."""


@dataclass(frozen=True)
class Change:
    """One run of a search."""

    name: str
    """Name of the run and of its folder."""
    says: str
    """What is changed, as the table shows it."""
    config: CharacterConfig
    group: str = ""
    """Name of the change; runs that differ only in their seed share it."""


@dataclass(frozen=True)
class SearchContext:
    """What all runs of a search share beside their configs."""

    drawings: Drawings
    """The background set."""
    evaluation: tuple[Drawings, Trials] | None
    """The evaluation set and Lake's runs, if they are reported."""
    init: str | None
    """Folder or Hub id of the weights that every run starts from."""
    trials: int
    """Number of 20-way trials in the held-out alphabets."""
    device: torch.device
    made_with: dict
    """Digests and counts that must be the same for all runs of a table."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defines the options of `python -m train search`."""
    parser.description = "Train one run for each change that a search file lists, and compare them trial by trial."
    add = parser.add_argument
    add("search", help=f"one of {', '.join(table_names('search'))}, or a TOML file")
    add("--output", metavar="DIR", type=Path, required=True, help="a folder for each run, and the tables")
    add("--init", metavar="CHECKPOINT", help="start every run from these weights (default: random ones)")
    add("--only", metavar="NAME", nargs="+", help="train only these changes, and the first one of the file")
    add("--seeds", metavar="SEED", type=int, nargs="+", help="repeat every run with each of these seeds")
    add("--data", metavar="SOURCE", help="folder, Hub id or 'invented' (default: $OMNIGLOT_DATA, else the bundled set)")
    add("--trials", type=int, default=10_000, help="20-way trials in held-out alphabets (default: 10000)")
    add("--report-evaluation", action="store_true", help="also report the evaluation set and Lake's runs")
    add("--device", help="cpu or cuda (default: cuda if available)")


def run(arguments: argparse.Namespace) -> int:
    """Trains the runs that are missing and prints the table.

    Returns:
        The exit status.

    Raises:
        SearchError, RecipeError, SourceError, CheckpointError, HubError, StateError, TrainingError, OSError: The search
            cannot be carried out.
    """
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
    return 0


def evaluation_set(source: str | None) -> tuple[Drawings, Trials]:
    """Loads the evaluation set and Lake's runs; raises SourceError."""
    drawings = load_drawings("evaluation", source)
    return drawings, lake_runs(drawings)


def load_search(name: str) -> list[Change]:
    """Reads the changes of a search file.

    Entries outside the table `changes` apply to every run. An entry `images` sets the number of steps by the number of
    images to embed.

    Args:
        name: Name of a file in `train/searches`, or the path of a TOML file.

    Returns:
        The changes in the order of the file.

    Raises:
        SearchError: The file lists no changes.
        RecipeError: The file cannot be read, or a change does not fit the recipe.
    """
    table = read_table("search", name)
    changes = table.pop("changes", None)
    if not isinstance(changes, dict) or not changes or not all(isinstance(entry, dict) for entry in changes.values()):
        raise SearchError(f"The search {name} lists no changes: [changes.NAME].")
    return [
        Change(key, str(entry.pop("says", key)), change_config(table, entry), key) for key, entry in changes.items()
    ]


def change_config(common: dict, entry: dict) -> CharacterConfig:
    """Returns the config of a change.

    Args:
        common: The entries that apply to every run.
        entry: The entries of this change.

    Raises:
        SearchError: `recipe` or `images` has the wrong type.
        RecipeError: The config is not valid.
    """
    table = merge_tables(common, entry)
    images, recipe = table.pop("images", None), table.pop("recipe", "modern")
    if not isinstance(recipe, str) or not (images is None or (isinstance(images, int) and images > 0)):
        raise SearchError(f"A search has recipe = {recipe!r}, images = {images!r}: a name, a whole number above 0.")
    config = config_from(merge_tables(load_recipe(CharacterConfig, recipe).as_dict(), table), CharacterConfig)
    if images is None:
        return config
    return replace(config, steps=max(1, images // config.images_a_step))


def merge_tables(table: dict, changes: dict) -> dict:
    """Returns `table` updated with the entries of `changes`; tables inside are merged too, not replaced."""
    both = dict(table)
    for key, value in changes.items():
        both[key] = (
            merge_tables(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
        )
    return both


def chosen_changes(changes: list[Change], only: list[str] | None, seeds: list[int] | None) -> list[Change]:
    """Selects changes and repeats each with every seed.

    Args:
        changes: All changes of the search.
        only: Names of the changes to keep beside the first one; None keeps all.
        seeds: Seeds of the runs of each change; None runs each once with the seed of its recipe.

    Raises:
        SearchError: A name is not in the search.
    """
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
    """Trains a run or resumes it, answers the trials, and writes its checkpoint and, last, its summary."""
    folder.mkdir(parents=True, exist_ok=True)
    check_manifest(folder, context.made_with)
    network = begin(change.config, context.drawings, context.init)
    task = character_task(context.drawings, change.config, context.device)
    outcome = fit(network, task, change.config, folder, context.device, resume=has_state(folder))
    if not outcome.finished:
        raise SearchError(f"{change.name} was stopped at step {outcome.steps}; the same command continues it.")
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
    (folder / STATE).unlink()  # three times the size of the checkpoint, and no longer needed
    (folder / BEST).unlink(missing_ok=True)


def evaluate_run(folder: Path, row: dict, config: CharacterConfig, context: SearchContext) -> dict:
    """Measures a finished run on the evaluation set and on Lake's runs, and adds both to its summary.

    Args:
        folder: Folder of the run.
        row: The summary of the run.
        config: Its config.
        context: What all runs share.

    Returns:
        The added entries, "evaluation" and "lake_runs".
    """
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
    """Samples the 20-way trials of a search, which are the same for every run."""
    generator = generator_for(TRIALS_SEED, "search")
    return sample_trials(drawings, 20, context.trials, generator, within_alphabet=within_alphabet)


def one_shot(
    network: SiameseNetwork, embeddings: Float[Tensor, "drawings units"], trials: Trials
) -> tuple[dict, Bool[Tensor, " trials"]]:
    """Returns accuracy, interval and number of trials as an entry of the summary, and which trials were won."""
    accuracy, interval, won = one_shot_accuracy(network, embeddings, trials)
    return {"accuracy": accuracy, "interval": interval, "trials": len(won)}, won


def read_row(folder: Path, change: Change, context: SearchContext) -> dict:
    """Reads the summary of a finished run and which trials it won.

    Raises:
        SearchError: The run was made with another config, other weights or other data, or its files are damaged.
    """
    try:
        row = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        config, made_with = saved_config(row["config"], CharacterConfig), {key: row[key] for key in context.made_with}
        won = load_file(folder / WON)["won"]
    except (OSError, KeyError, TypeError, ValueError, RecipeError, SafetensorError) as error:
        raise SearchError(f"{folder} holds no run that can be read ({error}); remove it to make it again.") from error
    if config != change.config:
        raise SearchError(f"{folder} holds a run by another config; choose another --output or remove it.")
    if made_with != context.made_with:
        raise SearchError(f"{folder} holds a run with other --init, --data or --trials; choose another --output.")
    if context.evaluation is not None and "evaluation" not in row:
        row |= evaluate_run(folder, row, config, context)
    return row | {"name": change.name, "group": change.group, "won": won}


def pooled(rows: list[dict]) -> dict:
    """Combines runs that differ only in their seed into one row with their mean accuracies."""
    first, *others = rows
    won = torch.stack([row["won"] for row in rows])
    if not others:
        return first | {"won": won}
    parts = [part for part in ("validation", "across", "evaluation", "lake_runs") if all(part in row for row in rows)]
    means = {}
    for part in parts:
        accuracies = [row[part]["accuracy"] for row in rows]
        # all seeds answer the same trials, so the interval is that of the trials of one seed
        mean, trials = sum(accuracies) / len(rows), first[part]["trials"]
        interval = list(wilson_interval(round(mean * trials), trials))
        means[part] = {"accuracy": mean, "interval": interval, "trials": trials, "seeds": accuracies}
    return first | means | {"name": first["group"], "won": won}


def compared(row: dict, first: dict) -> dict:
    """Returns a row without its trials; with the p-value against the first row if both answered the same trials."""
    entry = {key: value for key, value in row.items() if key not in ("won", "config")}
    if row is not first and row["config"]["hold_out"] == first["config"]["hold_out"]:
        # a trial counts once, for the row in which more seeds won it: more seeds are not more trials
        shares = [each["won"].double().mean(0) for each in (first, row)]
        entry["p_of_difference"] = paired_test(shares[0] > shares[1], shares[1] > shares[0])
    return entry


def markdown(rows: list[dict]) -> str:
    """Returns the table in Markdown."""
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

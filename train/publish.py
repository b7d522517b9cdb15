"""Publishes a model, the app or the data set on the Hub, each in one commit: `python -m train publish`."""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from siamese.hub import character_card, signature_card
from siamese.hub.card import front_matter, is_for_signatures, model_card
from siamese.hub.checkpoint import (
    CARD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    load_checkpoint,
    save_checkpoint,
)
from siamese.hub.errors import HubError
from siamese.hub.push import push_files, repository_name
from siamese.hub.resolve import parse_source
from train.dataset_card import data_file, dataset_card
from train.errors import CommandError
from train.state import metrics_beside

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).parents[1]
SPACE_FILES = ("app.py", "requirements.txt", "LICENSE", "siamese")  # files and folders of a Space
HARDWARE = "cpu-basic"
ZERO_GPU = "zero-"  # prefix of the names of ZeroGPU hardware
# Versions that ZeroGPU supports (September 2026); torchvision follows torch, and `spaces` is preinstalled.
ZERO_GPU_PYTHON = "3.12.12"
ZERO_GPU_TORCH = "torch>=2.8,<2.14"


class PublishError(CommandError):
    """Something cannot be published; the message is one sentence for the user."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defines the options of `python -m train publish`."""
    parser.description = "Push a model, the app (--space) or the data set (--data) to the Hub, in one commit."
    add = parser.add_argument
    add(
        "--model",
        metavar="DIR",
        help="the checkpoint to publish; with --space: the model of the app, user/name@revision",
    )
    add(
        "--data",
        nargs="?",
        const="",
        metavar="SOURCE",
        help="publish Omniglot, from a folder, a Hub id or 'invented' (without a SOURCE: the bundled set)",
    )
    add("--repo-id", metavar="USER/NAME", help="where the model or the data set goes")
    add("--space", metavar="USER/NAME", help="publish the app there")
    add("--private", action="store_true", help="if the repository is new, make it private")
    add("--revision", metavar="BRANCH", help="push to this branch (default: main)")
    add(
        "--report",
        metavar="FILE",
        type=Path,
        help="JSON report of the evaluation (default: the figures in config.json)",
    )
    add("--figures", metavar="DIR", type=Path, help="the evaluation's PNG files (default: figures/ in the checkpoint)")
    add("--dataset", metavar="USER/NAME", help="the data set's Hub id, for the card or the Space's header")
    add(
        "--hardware", default=HARDWARE, help=f"suggested hardware of the Space, such as zero-a10g (default: {HARDWARE})"
    )
    add("--dry-run", metavar="FOLDER", type=Path, help="write the files to this folder instead of pushing them")


def run(arguments: argparse.Namespace) -> int:
    """Publishes, or with --dry-run writes the folder.

    Returns:
        The exit status.

    Raises:
        PublishError, SourceError, CheckpointError, HubError, OSError: What is asked for cannot be published.
    """
    repo_id, kind = destination(arguments)
    with staging(arguments.dry_run) as folder:
        if kind == "space":
            stage_space(folder, repo_id, arguments.model, arguments.dataset, arguments.hardware)
        elif kind == "dataset":
            stage_dataset(folder, arguments.data, repo_id)
        else:
            stage_model(folder, arguments.model, repo_id, arguments.report, arguments.figures, arguments.dataset)
        if arguments.dry_run:
            print(f"{arguments.dry_run} holds what would be pushed to {repo_id}.")
            return 0
        variables = {"MODEL_ID": arguments.model} if kind == "space" and arguments.model else None
        address = push_folder(folder, repo_id, kind, arguments.private or None, arguments.revision, variables)
    print(f"Published: {address}")
    return 0


def push_model(folder: Path, repo_id: str, private: bool = False) -> bool:
    """Publishes the checkpoint of a training run and prints one sentence about the outcome; never raises.

    Args:
        folder: Folder of the checkpoint, which is only read.
        repo_id: "user/name" on the Hub.
        private: Whether a new repository is private.

    Returns:
        Whether the checkpoint was published.
    """
    try:
        with staging(None) as staged:
            stage_model(staged, folder, repo_id)
            address = push_folder(staged, repo_id, "model", private or None, revision=None)
    except Exception as error:  # no failure of the Hub, the connection or the disk may end a training run
        print(f"{error} The checkpoint is safe in {folder}.", file=sys.stderr)
        return False
    print(f"Published: {address}")
    return True


def destination(arguments: argparse.Namespace) -> tuple[str, str]:
    """Returns the repository to push to and its kind: "model", "dataset" or "space".

    Raises:
        PublishError: The options contradict each other or name no repository.
    """
    if arguments.data is not None and (arguments.model or arguments.space):
        raise PublishError("--data publishes the data set alone: leave out --model and --space.")
    if arguments.space and arguments.repo_id:
        raise PublishError("--space already names the repository of the app: leave out --repo-id.")
    if not (arguments.space or arguments.data is not None or arguments.model):
        raise PublishError("Say what to publish: --model DIR, --data or --space USER/NAME.")
    if arguments.space:
        return checked_name("--space", arguments.space), "space"
    if not arguments.repo_id:
        raise PublishError("Say where it goes: --repo-id USER/NAME.")
    return checked_name("--repo-id", arguments.repo_id), "dataset" if arguments.data is not None else "model"


def checked_name(option: str, repo_id: str) -> str:
    """Returns the repository that an option names; raises PublishError if it is not "user/name"."""
    try:
        return repository_name(repo_id)
    except HubError as error:
        raise PublishError(f"{option}: {error}") from error


@contextmanager
def staging(dry_run: Path | None) -> "Iterator[Path]":
    """Yields the folder in which the files of a repository are prepared: the one for --dry-run, or a temporary one.

    Raises:
        PublishError: The folder for --dry-run is not empty.
    """
    if dry_run is None:
        with tempfile.TemporaryDirectory(prefix="one-look-") as folder:
            yield Path(folder)
        return
    if dry_run.exists() and (not dry_run.is_dir() or any(dry_run.iterdir())):
        raise PublishError(f"{dry_run} is not an empty folder; name another for --dry-run.")
    dry_run.mkdir(parents=True, exist_ok=True)
    yield dry_run


def push_folder(
    folder: Path,
    repo_id: str,
    kind: str,
    private: bool | None,
    revision: str | None,
    variables: dict[str, str] | None = None,
) -> str:
    """Pushes the files of a folder in one commit and returns the address of the repository; raises HubError."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    message = f"Publish the {'app' if kind == 'space' else 'data set' if kind == 'dataset' else 'model'}"
    return push_files(
        repo_id,
        files,
        message=message,
        repo_type=kind,
        private=private,
        revision=revision,
        space_sdk="gradio" if kind == "space" else None,
        space_variables=variables,
    )


# A model


def stage_model(
    folder: Path,
    model: Path | str,
    repo_id: str,
    report: Path | None = None,
    figures: Path | None = None,
    dataset: str | None = None,
) -> None:
    """Writes the files of a model repository: float32 weights, config.json, the model card and the figures.

    Args:
        folder: Where to write them.
        model: Folder of the checkpoint.
        repo_id: "user/name", which the card mentions.
        report: JSON report of an evaluation; None takes the figures in config.json.
        figures: Folder with the evaluation's PNG files.
        dataset: Hub id of the data set, for the card.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        PublishError: The report or the figures cannot be used.
    """
    model = Path(model)
    checkpoint = load_checkpoint(model)
    config = checkpoint.config
    results = read_report(report) if report else config.get("figures")
    save_checkpoint(
        folder,
        checkpoint.network,
        checkpoint.preprocessing,
        verification=config.get("verification"),
        training=config.get("training"),
        figures=results,
    )
    collect_pictures(folder, model, figures, results, is_for_signatures(config))
    pictures = [path.relative_to(folder).as_posix() for path in (folder / "figures").glob("*.png")]
    staged = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    try:
        card = model_card(repo_id, staged, pictures, dataset)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PublishError(
            f"The figures in {report or model / CONFIG_FILE} do not have the form that `evaluate` writes: {error!r}."
        ) from error
    card.save(folder / CARD_FILE)


def read_report(path: Path) -> dict:
    """Reads the JSON report of an evaluation; raises PublishError if it is not one."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PublishError(f"The report {path} cannot be read: {error}.") from error
    if not isinstance(report, dict) or not isinstance(report.get("one_shot"), list):
        raise PublishError(f"{path} is not a report of `python -m train evaluate`.")
    return report


def collect_pictures(
    folder: Path, model: Path, figures: Path | None, report: dict | None, of_signatures: bool = False
) -> None:
    """Copies the pictures that the card shows, and draws missing ones from the report and the metrics.

    Args:
        folder: Folder of the staged repository; the pictures go into figures/.
        model: Folder of the checkpoint.
        figures: Folder with the evaluation's PNG files; None for figures/ in the checkpoint's folder.
        report: The evaluation's report.
        of_signatures: Whether the checkpoint is for signatures.

    Raises:
        PublishError: `figures` has none of the pictures.
    """
    source = figures or model / "figures"
    target = folder / "figures"
    names = [Path(name).name for name in (signature_card if of_signatures else character_card).PICTURES]
    found = [source / name for name in names if (source / name).is_file()]
    if figures and not found:
        raise PublishError(f"{figures} holds none of the evaluation's pictures.")
    metrics = metrics_beside(model)
    if found or report or metrics:
        target.mkdir(parents=True, exist_ok=True)
    for path in found:
        shutil.copyfile(path, target / path.name)
    from train.figures import FigureError, accuracy_over_n, training_curve

    drawn: dict[str, tuple[Callable[..., None], dict | Path | None]]
    if of_signatures:
        from train.signatures.sampling import CURVE_LABEL

        drawn = {"training.png": (partial(training_curve, measure=CURVE_LABEL), metrics)}
    else:
        drawn = {"accuracy_over_n.png": (accuracy_over_n, report), "training.png": (training_curve, metrics)}
    for name, (draw, numbers) in drawn.items():
        if numbers and not (target / name).exists():
            try:
                draw(numbers, target / name)
            except (AttributeError, FigureError, KeyError, TypeError, ValueError) as error:
                print(f"{name} is left out: {error}", file=sys.stderr)


# The app


def stage_space(folder: Path, repo_id: str, model: str | None, dataset: str | None, hardware: str) -> None:
    """Writes the files of a Space: the app, and the README with a header for the Space.

    The thumbnail in the header becomes an address in the Space, since the Hub accepts no path there.

    Args:
        folder: Where to write them.
        repo_id: "user/name" of the Space.
        model: "user/name@revision" of the model that the app loads; None for the bundled weights.
        dataset: Hub id of the data set, for the header.
        hardware: Suggested hardware.

    Raises:
        PublishError: The project is not a clone with the app, or `model` is not a repository on the Hub.
    """
    from huggingface_hub.constants import ENDPOINT

    if not all((ROOT / name).is_file() for name in ("app.py", CARD_FILE)):
        raise PublishError("The app is not here: run this command in a clone of the project.")
    own, body = split_front_matter((ROOT / CARD_FILE).read_text(encoding="utf-8"))
    if "thumbnail" in own:
        own["thumbnail"] = f"{ENDPOINT}/spaces/{repo_id}/resolve/main/{own['thumbnail']}"
    header = front_matter(own | space_metadata(model, dataset, hardware))
    pictures = set(re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", body))
    for name in tracked_files():
        if (name.split("/")[0] in SPACE_FILES or name in pictures) and (ROOT / name).is_file():
            copy_below(ROOT / name, folder)
    (folder / CARD_FILE).write_text(f"{header}\n\n{body.lstrip()}", encoding="utf-8")
    if hardware.startswith(ZERO_GPU):
        needed = folder / "requirements.txt"
        needed.write_text(re.sub(r"(?m)^torch\b(?!-).*$", ZERO_GPU_TORCH, needed.read_text()), encoding="utf-8")


def tracked_files() -> list[str]:
    """Returns the paths of the files that git tracks, so that no other files are published.

    Raises:
        PublishError: git is not installed, or the project is not a clone.
    """
    try:
        found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = (getattr(error, "stderr", None) or str(error).encode()).decode(errors="replace").strip().splitlines()
        raise PublishError(
            f"Only what git tracks is published, and git does not list it here ({why[0] if why else error}): "
            "run this command in a clone of the project."
        ) from error
    return found.stdout.decode().split("\0")[:-1]


def copy_below(path: Path, folder: Path) -> None:
    """Copies a file of the project to the same relative path below a folder."""
    target = folder / path.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def split_front_matter(text: str) -> tuple[dict, str]:
    """Splits a README into the fields of its YAML header, empty if it has none, and the text below."""
    import yaml

    match = re.match(r"---\n(.*?\n)---\n", text, re.DOTALL)
    if match is None:
        return {}, text
    return yaml.safe_load(match[1]) or {}, text[match.end() :]


def space_metadata(model: str | None, dataset: str | None, hardware: str) -> dict:
    """Returns the fields of a Space's header that depend on the model, the data set and the hardware.

    Args:
        model: "user/name" or "user/name@revision"; None for the bundled weights.
        dataset: Hub id of the data set.
        hardware: Suggested hardware.

    Raises:
        PublishError: `model` is not a repository on the Hub.
    """
    metadata = {"datasets": [dataset or "omniglot"], "suggested_hardware": hardware}
    if hardware.startswith(ZERO_GPU):
        metadata["python_version"] = ZERO_GPU_PYTHON
    if model:
        try:
            repo_id, revision = parse_source(model)
        except HubError as error:
            raise PublishError(
                f"With --space, --model names a repository on the Hub, as user/name or user/name@revision; {model!r} "
                "does not. Publish the model first, or leave --model out for the bundled weights."
            ) from error
        files = f"{repo_id} {CONFIG_FILE},{WEIGHTS_FILE}"
        metadata |= {"models": [repo_id], "preload_from_hub": [f"{files} {revision}" if revision else files]}
    return metadata


# The data set


def stage_dataset(folder: Path, source: str, repo_id: str) -> None:
    """Writes the files of a data set repository: both splits as parquet with embedded images, and a card.

    Args:
        folder: Where to write them.
        source: A source of Omniglot; "" for the bundled data.
        repo_id: "user/name", which the card mentions.

    Raises:
        SourceError: The source cannot be read.
        PublishError: A split is missing or cannot be read.
    """
    import pyarrow.parquet

    from siamese.characters.omniglot import load_omniglot

    splits = load_omniglot(source)
    if missing := {"background", "evaluation"} - set(splits):
        raise PublishError(
            f"The {' and the '.join(sorted(missing))} set cannot be read from {source}; only a whole data set is "
            "published."
        )
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for name, split in splits.items():
        # not `to_parquet`, which leaves images uncompressed: the bundled PNG files rely on the file's compression
        table = split.with_format("arrow")[:].replace_schema_metadata(split.features.arrow_schema.metadata)
        pyarrow.parquet.write_table(table, folder / data_file(name), compression="zstd")
    (folder / CARD_FILE).write_text(dataset_card(repo_id, splits), encoding="utf-8")

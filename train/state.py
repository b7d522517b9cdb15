"""The saved state of a run: weights, optimiser and step.

What a step samples depends only on the seed and the step, so a resumed run continues exactly.
"""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from siamese.network import SiameseNetwork
from train import distributed
from train.config import RecipeError, TrainConfig, saved_config
from train.errors import CommandError

STATE = "state.safetensors"
BEST = "best.safetensors"
METRICS = "metrics.jsonl"
BEGUN = "begun.json"
HASH = "sha256"


class StateError(CommandError):
    """A run cannot be resumed or saved; the message is one sentence for the user."""


def has_state(folder: Path) -> bool:
    """Whether a folder holds a saved state."""
    return (folder / STATE).is_file()


def check_manifest(folder: Path, facts: dict) -> None:
    """Records what a run in this folder starts from, or compares it with what was recorded.

    Args:
        folder: Folder of the run.
        facts: The inputs of the run beside its config, such as digests of the weights and the data, as JSON values.

    Raises:
        StateError: The folder holds a run with other inputs, or the record cannot be read.
    """
    path = folder / BEGUN
    if distributed.is_first() and not (path.is_file() and has_state(folder)):
        temporary = path.with_name(f"{path.name}.part")
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    distributed.wait()
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StateError(f"{path} cannot be read: {error}; choose another --output.") from error
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}; all machines must share --output.") from error
    if before != facts:
        other = ", ".join(sorted(name for name in {*before, *facts} if before.get(name) != facts.get(name)))
        raise StateError(f"{folder} holds a run with other {other}; give the same again or choose another --output.")


def save_state(
    folder: Path,
    network: SiameseNetwork,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    step: int,
    best: tuple[float, int],
    average: torch.nn.Module | None = None,
) -> None:
    """Replaces the state in a folder atomically.

    Args:
        folder: Folder of the run.
        network: The network that is trained.
        optimizer: Its optimiser.
        config: The recipe.
        step: Number of steps taken.
        best: The best validation accuracy so far, and its step.
        average: The averaged network, if the run keeps one.

    Raises:
        StateError: The file cannot be written; the state saved before is still there.
    """
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, entry in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in entry.items()}
    metadata = {"step": str(step), "best": json.dumps(best), "config": json.dumps(config.as_dict())}
    write_tensors(folder / STATE, tensors, metadata)


def save_best(folder: Path, network: SiameseNetwork) -> None:
    """Saves the weights with the best validation accuracy so far, beside the state; raises StateError."""
    write_tensors(folder / BEST, network.state_dict(), {})


def best_weights(folder: Path) -> dict[str, Tensor]:
    """Reads the weights that `save_best` saved; raises StateError."""
    return read_tensors(folder / BEST)[0]


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file under a temporary name, flushes it and renames it.

    Raises:
        StateError: The file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.part")
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        data = save(tensors, metadata | {HASH: hash_of(tensors)})
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StateError(
            f"{path} cannot be written: {error.strerror or error}; the one before it is still there."
        ) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads the tensors and the metadata of a file.

    Raises:
        StateError: The file cannot be read, or its SHA-256 does not match.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise StateError(f"{path} cannot be read: {error}.") from error
    if HASH in metadata and metadata[HASH] != hash_of(tensors):
        raise StateError(f"{path} was damaged after it had been written: its SHA-256 is another one.")
    return tensors, metadata


def hash_of(tensors: dict[str, Tensor]) -> str:
    """Returns the SHA-256 of all values in the order of their names; safetensors itself has no checksum."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].reshape(-1).numpy().data)
    return digest.hexdigest()


def restore_state(
    folder: Path,
    network: SiameseNetwork,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    average: torch.nn.Module | None = None,
) -> tuple[int, tuple[float, int]]:
    """Loads the state saved in a folder.

    The number of steps may differ from that of the saved run, unless its cosine schedule has reached its end.

    Args:
        folder: Folder of the run.
        network: Receives the weights.
        optimizer: Receives the state of the optimiser.
        config: The recipe.
        average: Receives the averaged weights, if the run keeps them.

    Returns:
        The number of steps taken, and the best validation accuracy with its step.

    Raises:
        StateError: There is no state, it is damaged, or it belongs to a config that differs in more than `steps`.
    """
    path = folder / STATE
    if not path.is_file():
        raise StateError(f"There is nothing to resume in {folder}; leave out --resume to begin.")
    tensors, metadata = read_tensors(path)
    try:
        step, best, table = (json.loads(metadata[name]) for name in ("step", "best", "config"))
    except (KeyError, ValueError) as error:
        raise StateError(f"{path} cannot be read: {error}.") from error
    check_recipe(table, config, step, folder)
    network.load_state_dict(part(tensors, "network."))
    if average is not None:
        average.load_state_dict(part(tensors, "average."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in part(tensors, "optimizer.").items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    match_memory_format(optimizer)
    return step, tuple(best)


def check_recipe(table: dict, config: TrainConfig, step: int, folder: Path) -> None:
    """Checks that a saved run can be continued with a config.

    Args:
        table: The config as it was saved; fields added since then take their defaults.
        config: The config to continue with.
        step: Number of steps taken.
        folder: Folder of the run, for the message.

    Raises:
        StateError: The configs differ in more than `steps`, or the number of steps cannot be changed any more.
    """
    try:
        before = saved_config(table, type(config))
    except RecipeError:
        before = None
    if before is None or replace(before, steps=config.steps) != config:
        raise StateError(
            f"{folder} holds a run of another recipe; resume with the same one or choose another --output."
        )
    if before.steps == config.steps:
        return
    if config.steps < step:
        raise StateError(f"{folder} holds a run that is at step {step} already, beyond --steps {config.steps}.")
    if config.schedule == "cosine" and step == before.steps:
        raise StateError(
            f"{folder} holds a run whose learning rate has fallen to 0 at its last step, {step}; train on from its "
            f"weights as a new run, with --init and another --output."
        )
    if config.schedule == "cosine" and distributed.is_first():
        print(
            f"The run began with {before.steps} steps; from step {step} on its learning rate follows the schedule of "
            f"{config.steps}, so it differs from a run that had them from the beginning."
        )


def match_memory_format(optimizer: torch.optim.Optimizer) -> None:
    """Copies the optimiser's moments into the memory format of their parameters.

    Files hold tensors row by row while kernels are channels-last, and a fused optimiser reads both in memory order.
    """
    for parameter, entry in optimizer.state.items():
        for name, value in entry.items():
            if value.shape == parameter.shape:
                entry[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Returns the tensors whose names begin with a prefix, under their names without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def append_metrics(folder: Path, line: dict) -> None:
    """Appends a line to the metrics of a run."""
    with (folder / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def metrics_beside(model: Path) -> Path | None:
    """Returns the metrics of the run that made a checkpoint: in its folder or in the folder above, None if neither."""
    return next((place for place in (model / METRICS, model.parent / METRICS) if place.is_file()), None)


def keep_metrics_until(folder: Path, step: int) -> None:
    """Removes the lines of steps after `step`, which a resumed run writes again."""
    path = folder / METRICS
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if is_at_most(line, step)]
    temporary = folder / f"{METRICS}.part"
    temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    temporary.replace(path)


def is_at_most(line: str, step: int) -> bool:
    """Whether a line of metrics belongs to `step` or an earlier one; False for a line cut short."""
    try:
        return json.loads(line)["step"] <= step
    except json.JSONDecodeError:
        return False

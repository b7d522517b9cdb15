"""Sends the metrics of a run to TensorBoard or trackio; `metrics.jsonl` is written in any case."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from train.config import TrainConfig
from train.errors import CommandError

TRACKERS = {"tensorboard": "torch.utils.tensorboard", "trackio": "trackio"}
PROJECT = "one-look"


class TrackingError(CommandError):
    """A tracker cannot be used; the message is one sentence for the user."""


@contextmanager
def tracker(kind: str | None, output: Path, config: TrainConfig) -> Iterator[Callable[[dict], None] | None]:
    """Opens a tracker for a run.

    TensorBoard's files go to `output`/tensorboard; trackio keeps its own local store, in which the run has the name of
    the folder `output` and is continued by a resumed run.

    Args:
        kind: A key of `TRACKERS`, or None for no tracker.
        output: Folder of the run.
        config: The recipe, which trackio stores.

    Yields:
        A function that takes a line of metrics, or None.

    Raises:
        TrackingError: The package is not installed.
    """
    if kind is None:
        yield None
    elif kind == "tensorboard":
        with imported(kind).SummaryWriter(str(output / kind)) as writer:

            def show(line: dict) -> None:
                for name, value in figures(line).items():
                    writer.add_scalar(name, value, line["step"])

            yield show
    else:
        trackio = imported(kind)
        trackio.init(project=PROJECT, name=output.resolve().name, config=config.as_dict(), resume="allow")
        try:
            yield lambda line: trackio.log(figures(line), step=line["step"])
        finally:
            trackio.finish()


def figures(line: dict) -> dict:
    """Returns a line of metrics without its step."""
    return {name: value for name, value in line.items() if name != "step"}


def imported(kind: str) -> ModuleType:
    """Imports the package of a tracker; raises TrackingError if it is not installed."""
    try:
        return import_module(TRACKERS[kind])
    except ImportError as error:
        raise TrackingError(f"--report-to {kind} needs the package {kind}: pip install {kind}.") from error

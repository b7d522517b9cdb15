"""A run's metrics on a page that follows it, for those who ask for one; `metrics.jsonl` is written in any case."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from train.config import TrainConfig

TRACKERS = {"tensorboard": "torch.utils.tensorboard", "trackio": "trackio"}
PROJECT = "one-look"


class TrackingError(RuntimeError):
    """A tracker that cannot be used; the message is one sentence for the user."""


@contextmanager
def tracker(kind: str | None, output: Path, config: TrainConfig) -> Iterator[Callable[[dict], None] | None]:
    """What takes each line of a run's metrics; None without `kind`, a key of `TRACKERS`.

    TensorBoard's files go to `output`/tensorboard, trackio's to its own local store under the name of `output`, where
    a resumed run goes on. Raises TrackingError where the package is missing.
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
    return {name: value for name, value in line.items() if name != "step"}


def imported(kind: str) -> ModuleType:
    try:
        return import_module(TRACKERS[kind])
    except ImportError as error:
        raise TrackingError(f"--report-to {kind} needs the package {kind}: pip install {kind}.") from error

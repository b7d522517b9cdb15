"""What the two commands that train have in common: their options, and how they refuse."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from siamese.characters.episodes import EpisodeError
from siamese.data.sources import SourceError
from siamese.hub.checkpoint import CheckpointError
from siamese.hub.errors import HubError
from siamese.hub.push import repository_name
from siamese.inference.device import usable_device
from train import distributed
from train.config import Config, RecipeError, TaskName, recipe_names
from train.distributed import DistributedError
from train.evaluation import EvaluationError
from train.loop import TrainingError
from train.state import StateError
from train.tracking import TRACKERS, TrackingError

REFUSALS = (
    CheckpointError,
    DistributedError,
    EpisodeError,
    EvaluationError,
    HubError,
    SourceError,
    RecipeError,
    StateError,
    TrackingError,
    TrainingError,
)


def add_common_arguments(parser: argparse.ArgumentParser, task: TaskName, recipe: str) -> None:
    """Adds the options that both commands take.

    Args:
        parser: Of the command.
        task: Whose recipes its help lists.
        recipe: The recipe where none is named.
    """
    add = parser.add_argument
    add("--recipe", default=recipe, help=f"one of {', '.join(recipe_names(task))}, or a TOML file (default: {recipe})")
    add("--output", metavar="DIR", type=Path, required=True, help="the run's folder")
    add("--resume", action="store_true", help="go on with the run in --output, exactly where it was saved")
    add("--steps", type=int, help="another length than the recipe's")
    add("--learning-rate", type=float, help="another height than the recipe's")
    add("--max-minutes", type=float, default=math.inf, help="stop after so long; --resume goes on")
    add("--seed", type=int, help="another seed than the recipe's")
    add("--device", help="cpu or cuda (default: cuda where present)")
    add("--report-to", choices=list(TRACKERS), help="show the metrics there as well (default: nowhere)")
    add("--push-to-hub", metavar="USER/NAME", help="publish the checkpoint at the end")
    add("--private", action="store_true", help="with --push-to-hub: a repository that only you can see")


def recipe_changes(arguments: argparse.Namespace) -> dict:
    """The fields of a recipe that the common options change.

    Raises:
        RecipeError: Where --max-minutes is no length of time.
        HubError: Where --push-to-hub names no repository: now, not after hours.
    """
    if not arguments.max_minutes >= 0:  # NaN would never end a run
        raise RecipeError(f"--max-minutes is {arguments.max_minutes}, must not be negative.")
    if arguments.push_to_hub is not None:
        repository_name(arguments.push_to_hub)
    given = {name: getattr(arguments, name) for name in ("steps", "seed", "learning_rate")}
    return {name: value for name, value in given.items() if value is not None}


def run_training(
    arguments: argparse.Namespace,
    config_of: Callable[[argparse.Namespace], Config],
    train: Callable[[argparse.Namespace, Config, torch.device], int],
) -> int:
    """Trains in as many processes as were started.

    Args:
        arguments: Of the command line.
        config_of: Makes the config of the run; asked before the processes meet.
        train: The run; gives its exit status.

    Returns:
        The exit status: that of `train`, or 1 after one sentence on standard error.
    """
    try:
        config = config_of(arguments)
        with distributed.processes(usable_device(arguments.device)) as device:
            return train(arguments, config, device)
    except (*REFUSALS, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or 'The run'} cannot be written: {error.strerror or error}.", file=sys.stderr)
        return 1

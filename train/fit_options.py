"""The options that `fit` and `fit-signatures` share."""

import argparse
import math
from pathlib import Path

from siamese.hub.push import repository_name
from train.config import RecipeError, TaskName, recipe_names
from train.tracking import TRACKERS


def add_common_arguments(parser: argparse.ArgumentParser, task: TaskName, recipe: str) -> None:
    """Adds the options that both commands take.

    Args:
        parser: Parser of the command.
        task: The task whose recipes are listed in the help.
        recipe: Name of the default recipe.
    """
    add = parser.add_argument
    add("--recipe", default=recipe, help=f"one of {', '.join(recipe_names(task))}, or a TOML file (default: {recipe})")
    add("--output", metavar="DIR", type=Path, required=True, help="the run's folder")
    add("--resume", action="store_true", help="continue the run in --output from the state saved last")
    add("--steps", type=int, help="number of steps (default: the recipe's)")
    add("--learning-rate", type=float, help="highest learning rate (default: the recipe's)")
    add("--max-minutes", type=float, default=math.inf, help="stop after this time; --resume continues")
    add("--seed", type=int, help="random seed (default: the recipe's)")
    add("--device", help="cpu or cuda (default: cuda if available)")
    add("--report-to", choices=list(TRACKERS), help="also send the metrics to this tracker (default: none)")
    add("--push-to-hub", metavar="USER/NAME", help="publish the checkpoint at the end")
    add("--private", action="store_true", help="with --push-to-hub: a repository that only you can see")


def recipe_changes(arguments: argparse.Namespace, *more: str) -> dict:
    """Returns the fields of the recipe that options change.

    Args:
        arguments: The parsed command line.
        more: Fields that have an option of their name beside the common ones.

    Raises:
        RecipeError: --max-minutes is negative or NaN.
        HubError: --push-to-hub is not a valid repository name; checked here, not after hours of training.
    """
    if not arguments.max_minutes >= 0:  # NaN would never end a run
        raise RecipeError(f"--max-minutes is {arguments.max_minutes}, must not be negative.")
    if arguments.push_to_hub is not None:
        repository_name(arguments.push_to_hub)
    given = {name: getattr(arguments, name) for name in ("steps", "seed", "learning_rate", *more)}
    return {name: value for name, value in given.items() if value is not None}

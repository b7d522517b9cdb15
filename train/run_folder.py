"""The folder of a training run: its files, when it may be reused, and the publication of its checkpoint."""

import argparse
import sys
from pathlib import Path

from siamese.hub.checkpoint import CheckpointError, read_config
from siamese.hub.resolve import resolve_model
from train import distributed
from train.figures import ONE_SHOT_LABEL, FigureError, training_curve
from train.loop import Outcome
from train.publish import push_model
from train.state import METRICS, StateError, has_state

MODEL = "model"  # subfolder of the final checkpoint
BEST_MODEL = "best-model"  # subfolder of the checkpoints published during the run
CURVE = "training.png"
STOPPED = 130  # exit status of an interrupted command in shells


def prepare_output(arguments: argparse.Namespace) -> None:
    """Creates the folder of a run.

    Raises:
        StateError: The folder already holds a run and --resume was not given, or there is nothing to resume.
    """
    output = arguments.output
    if arguments.resume and not has_state(output):
        raise StateError(f"There is nothing to resume in {output}; leave out --resume to begin.")
    if not arguments.resume and (has_state(output) or (output / METRICS).exists()):
        raise StateError(f"{output} already holds a run; continue it with --resume or choose another --output.")
    output.mkdir(parents=True, exist_ok=True)


def draw_curve(output: Path, label: str = ONE_SHOT_LABEL) -> None:
    """Draws the training curve of a run; only prints a sentence if that fails."""
    try:
        training_curve(output / METRICS, output / CURVE, label)
    except FigureError as error:
        print(error, file=sys.stderr)


def held_out_run(source: str) -> dict:
    """Reads the config.json of the run that --calibration-from names.

    Raises:
        CheckpointError: The run held nothing out, so it has no calibration, or it cannot be read.
        HubError: The repository cannot be reached.
    """
    config = read_config(resolve_model(source, strict=True).folder)
    if config.get("verification") is None:
        raise CheckpointError(f"{source} was not calibrated; give a run that held out alphabets or writers.")
    return config


def conclude(arguments: argparse.Namespace, steps: int, outcome: Outcome, model: Path) -> int:
    """Says how a run ended and publishes its checkpoint if it is complete and that was asked for.

    Args:
        arguments: What the command was given.
        steps: Steps of the whole run.
        outcome: How the run ended.
        model: Folder of the checkpoint.

    Returns:
        The exit status: 0, 1 if publishing failed, or STOPPED. In a distributed run only the first process acts.
    """
    if not distributed.is_first():
        return 0 if outcome.finished else STOPPED
    if not outcome.finished:
        print(f"Stopped after step {outcome.steps} of {steps}; go on with the same command and --resume.")
        return STOPPED
    print(f"The checkpoint is in {model}.")
    return push(arguments, model)


def push(arguments: argparse.Namespace, model: Path) -> int:
    """Publishes a checkpoint if --push-to-hub was given, and returns the exit status."""
    if arguments.push_to_hub is None:
        return 0
    return 0 if push_model(model, arguments.push_to_hub, private=arguments.private) else 1

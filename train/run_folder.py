"""The folder of a training run: what lies in it, when it may be used, and what becomes of its checkpoint."""

import argparse
import sys
from pathlib import Path

from siamese.hub.checkpoint import CheckpointError, read_config
from siamese.hub.resolve import resolve_model
from train.figures import ONE_SHOT_LABEL, FigureError, training_curve
from train.publish import push_model
from train.state import METRICS, StateError, has_state

MODEL = "model"  # folder of the checkpoint inside a run's folder
BEST_MODEL = "best-model"  # folder of what was published while the run went on
CURVE = "training.png"
STOPPED = 130  # exit status, as shells have it for an interrupted command


def prepare_output(arguments: argparse.Namespace) -> None:
    """Make the run's folder; raises StateError rather than mix two runs in one."""
    output = arguments.output
    if arguments.resume and not has_state(output):
        raise StateError(f"There is nothing to resume in {output}; leave out --resume to begin.")
    if not arguments.resume and (has_state(output) or (output / METRICS).exists()):
        raise StateError(f"{output} holds a run already; go on with --resume or choose another --output.")
    output.mkdir(parents=True, exist_ok=True)


def draw_curve(output: Path, label: str = ONE_SHOT_LABEL) -> None:
    """The run in one picture; a run goes on without it."""
    try:
        training_curve(output / METRICS, output / CURVE, label)
    except FigureError as error:
        print(error, file=sys.stderr)


def held_out_run(source: str) -> dict:
    """The config.json of the run that --calibration-from names; raises CheckpointError, HubError."""
    config = read_config(resolve_model(source, strict=True).folder)
    if config.get("verification") is None:
        raise CheckpointError(f"{source} was not calibrated; give the run that held some out.")
    return config


def push(arguments: argparse.Namespace, model: Path) -> int:
    """Publish a checkpoint where --push-to-hub asks for it; the exit status."""
    if arguments.push_to_hub is None:
        return 0

    return 0 if push_model(model, arguments.push_to_hub, private=arguments.private) else 1

"""A training run from the command line: `python -m train fit`."""

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path

import torch

from siamese.checkpoint import CheckpointError, read_config, save_checkpoint
from siamese.drawings import Drawings
from siamese.episodes import EpisodeError
from siamese.hub import HubError, load_model, repository_name, resolve_model
from siamese.network import SiameseNetwork
from siamese.omniglot import OmniglotError, load_drawings
from siamese.recognizer import usable_device
from train import distributed
from train.batches import step_generator
from train.config import RecipeError, TrainConfig, load_recipe, recipe_names
from train.distributed import DistributedError
from train.evaluate import calibrate, embed_drawings
from train.figures import FigureError, training_curve
from train.fit import Outcome, TrainingError, fit, split
from train.state import METRICS, StateError, claim, has_state
from train.tracking import TRACKERS, TrackingError, tracker

MODEL = "model"  # folder of the checkpoint inside a run's folder
BEST_MODEL = "best-model"  # folder of what was published while the run went on
CURVE = "training.png"
STOPPED = 130  # exit status, as shells have it for an interrupted command
CALIBRATION_SEED = 20152
UNFOLD_IMAGES = 256
REFUSALS = (
    CheckpointError,
    DistributedError,
    EpisodeError,
    HubError,
    OmniglotError,
    RecipeError,
    StateError,
    TrackingError,
    TrainingError,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Fit the network; a run's folder holds its state, metrics.jsonl, training.png and, in model/, its checkpoint. "
        "Under torchrun or accelerate launch processes train together."
    )
    add = parser.add_argument
    add("--recipe", default="modern", help=f"one of {', '.join(recipe_names())}, or a TOML file (default: modern)")
    add("--data", metavar="SOURCE", help="folder, Hub id or 'invented' (default: $OMNIGLOT_DATA, else the archives)")
    add("--output", metavar="DIR", type=Path, required=True, help="the run's folder")
    add("--init", metavar="CHECKPOINT", help="begin with these weights: a folder or user/name@revision")
    add("--resume", action="store_true", help="go on with the run in --output, exactly where it was saved")
    add("--steps", type=int, help="another length than the recipe's")
    add("--learning-rate", type=float, help="another height than the recipe's")
    add("--max-minutes", type=float, default=math.inf, help="stop after so long; --resume goes on")
    add("--seed", type=int, help="another seed than the recipe's")
    add("--all-alphabets", action="store_true", help="hold none out: the final run, when all is chosen")
    add("--all-writers", action="store_true", help="signatures: the same; those for the test stay unseen")
    add(
        "--calibration-from",
        metavar="CHECKPOINT",
        help="with either: the held-out run whose thresholds and calibration the checkpoint carries",
    )
    add("--folds", type=int, metavar="N", help="signatures: train N times, each writer being tested once, and pool")
    add("--device", help="cpu or cuda (default: cuda where present)")
    add("--report-to", choices=list(TRACKERS), help="show the metrics there as well (default: nowhere)")
    add("--push-to-hub", metavar="USER/NAME", help="publish the checkpoint at the end")
    add("--push-improvements", action="store_true", help="with --push-to-hub: whenever validation improves, too")
    add("--private", action="store_true", help="with --push-to-hub: a repository that only you can see")


def run(arguments: argparse.Namespace) -> int:
    """Train, write the checkpoint; 0, or 1 after one sentence on standard error, 130 when stopped before the end."""
    try:
        config = config_of(arguments)
        with distributed.processes(usable_device(arguments.device)) as device:
            if config.sampling == "signatures":
                from train.signatures import train_on_signatures

                return train_on_signatures(arguments, config, device)
            if arguments.folds or arguments.all_writers:
                raise RecipeError("--folds and --all-writers are for signatures.")
            return train(arguments, config, device)
    except (*REFUSALS, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or 'The run'} cannot be written: {error.strerror or error}.", file=sys.stderr)
        return 1


def train(arguments: argparse.Namespace, config: TrainConfig, device: torch.device) -> int:
    """All of a run that may be refused; the exit status."""
    drawings = load_drawings("background", arguments.data)
    config = with_held_out(config, drawings.alphabet_names)
    if distributed.is_first():
        prepare_output(arguments)
    distributed.wait()
    output = arguments.output
    claim(output, {"--init": digest_of(arguments.init), "--data": drawings.digest()})
    network = begin(config, drawings, arguments.init)
    with tracker(arguments.report_to if distributed.is_first() else None, output, config) as report:

        def export(outcome: Outcome, folder: Path) -> None:
            verification = verification_of(arguments, config, network, drawings, device)
            training = provenance(arguments, config, outcome, drawings)
            save_checkpoint(folder, network, config.preparation, verification=verification, training=training)

        def improved(outcome: Outcome) -> None:
            export(outcome, output / BEST_MODEL)
            push(arguments, output / BEST_MODEL)

        outcome = fit(
            network,
            drawings,
            config,
            output,
            device,
            arguments.resume,
            arguments.max_minutes,
            report,
            improved if arguments.push_improvements else None,
        )
    if not distributed.is_first():
        return 0 if outcome.finished else STOPPED
    draw_curve(output)
    export(outcome, output / MODEL)
    if not outcome.finished:
        print(f"Stopped after step {outcome.steps} of {config.steps}; go on with the same command and --resume.")
        return STOPPED
    print(f"The checkpoint is in {output / MODEL}.")
    return push(arguments, output / MODEL)


def config_of(arguments: argparse.Namespace) -> TrainConfig:
    config = load_recipe(arguments.recipe)
    given = {"steps": arguments.steps, "seed": arguments.seed, "learning_rate": arguments.learning_rate}
    changes = {name: value for name, value in given.items() if value is not None}
    if arguments.all_alphabets:
        changes |= {"hold_out": (), "patience": 0}
    if arguments.all_writers:
        changes |= {"validation_writers": 0, "patience": 0}
    if not arguments.max_minutes >= 0:  # NaN would never end a run
        raise RecipeError(f"--max-minutes is {arguments.max_minutes}, must not be negative.")
    if arguments.push_to_hub is not None:
        repository_name(arguments.push_to_hub)  # refused now, not after hours
    if arguments.push_improvements and arguments.push_to_hub is None:
        raise RecipeError("--push-improvements needs --push-to-hub USER/NAME.")
    if arguments.push_improvements and arguments.all_alphabets:
        raise RecipeError("--push-improvements needs held-out alphabets; leave out --all-alphabets.")
    if arguments.calibration_from and not (arguments.all_alphabets or arguments.all_writers):
        raise RecipeError(
            "--calibration-from goes with --all-alphabets or --all-writers; a held-out run calibrates itself."
        )
    return replace(config, **changes)


def with_held_out(config: TrainConfig, names: tuple[str, ...]) -> TrainConfig:
    """The config for data with these alphabets: those of the recipe that are there, else the last ones, are held out.

    Raises RecipeError where none is left to train on.
    """
    held = tuple(name for name in config.hold_out if name in names)
    if held == config.hold_out:
        return config
    held = held or names[-min(len(config.hold_out), len(names) - 1) :]
    if len(held) == len(names):
        raise RecipeError(f"The data has the alphabets {', '.join(names)} only; with --all-alphabets none is held out.")
    if distributed.is_first():
        print(f"The data has not all alphabets that the recipe holds out; held out: {', '.join(held)}.")
    return replace(config, hold_out=held)


def draw_curve(output: Path) -> None:
    """The run in one picture; a run goes on without it."""
    try:
        training_curve(output / METRICS, output / CURVE)
    except FigureError as error:
        print(error, file=sys.stderr)


def prepare_output(arguments: argparse.Namespace) -> None:
    """Make the run's folder; raises StateError rather than mix two runs in one."""
    output = arguments.output
    if arguments.resume and not has_state(output):
        raise StateError(f"There is nothing to resume in {output}; leave out --resume to begin.")
    if not arguments.resume and (has_state(output) or (output / METRICS).exists()):
        raise StateError(f"{output} holds a run already; go on with --resume or choose another --output.")
    output.mkdir(parents=True, exist_ok=True)


def begin(config: TrainConfig, drawings: Drawings, init: str | None) -> SiameseNetwork:
    """The network to start from: drawn, or an earlier one with batch normalisation put back."""
    if init is None:
        if config.frozen_convolutions:
            raise RecipeError("frozen_convolutions keeps layers as they were at the start: give the start by --init.")
        return SiameseNetwork(config.network, config.initialisation, torch.Generator().manual_seed(config.seed))
    checkpoint = load_model(init, strict=True)[1]
    if checkpoint.preparation != config.preparation and distributed.is_first():
        print(f"The weights of {init} were trained on {checkpoint.preparation}, this run has {config.preparation}.")
    rows = torch.randperm(len(drawings), generator=step_generator(config.seed, -1))[:UNFOLD_IMAGES]
    images = drawings.take(rows).prepared(config.preparation).float() / 255
    network = checkpoint.network.unfolded(config.network, images)
    network.freeze_convolutions(config.frozen_convolutions)
    return network


def verification_of(
    arguments: argparse.Namespace,
    config: TrainConfig,
    network: SiameseNetwork,
    drawings: Drawings,
    device: torch.device,
) -> dict | None:
    """Threshold and calibration, from alphabets that these weights, or those of the held-out run, never saw."""
    if arguments.calibration_from:
        return held_out_run(arguments.calibration_from)["verification"] | {"from_held_out_run": True}
    validation = split(drawings, config)[1]
    if validation is None:
        return None
    embeddings = embed_drawings(network, validation.prepared, device)
    generator = torch.Generator().manual_seed(CALIBRATION_SEED)
    return calibrate(network, embeddings, validation.drawings, generator)


def digest_of(init: str | None) -> str | None:
    """SHA-256 of the weights that --init names; raises CheckpointError, HubError."""
    return None if init is None else read_config(resolve_model(init, strict=True).folder)["weights_sha256"]


def held_out_run(source: str) -> dict:
    """The config.json of the run that --calibration-from names; raises CheckpointError, HubError."""
    config = read_config(resolve_model(source, strict=True).folder)
    if config.get("verification") is None:
        raise CheckpointError(f"{source} was not calibrated; give the run that held some out.")
    return config


def provenance(arguments: argparse.Namespace, config: TrainConfig, outcome: Outcome, drawings: Drawings) -> dict:
    """What config.json says of the training."""
    return {
        "recipe": Path(arguments.recipe).stem,
        "config": config.as_dict(),
        "steps": outcome.steps,
        "images": outcome.images,
        "alphabets": sorted(set(config.alphabets or drawings.alphabet_names) - set(config.hold_out)),
        "invented_alphabets": config.invented_alphabets,
        "held_out_alphabets": list(config.hold_out),
        "validation_accuracy": outcome.validation_accuracy,
        "began_with": None if arguments.init is None else origin(arguments.init),
    }


def origin(source: str) -> dict:
    """What an earlier checkpoint says of itself, so that the images of all stages can be added up."""
    training = read_config(resolve_model(source, strict=True).folder).get("training") or {}
    return {key: training.get(key) for key in ("recipe", "steps", "images", "held_out_alphabets", "began_with")}


def push(arguments: argparse.Namespace, model: Path) -> int:
    if arguments.push_to_hub is None:
        return 0
    from train.publish import push_model

    return 0 if push_model(model, arguments.push_to_hub, private=arguments.private) else 1

"""Trains on signatures, once or in folds by writer: `python -m train fit-signatures`."""

import argparse
from dataclasses import replace

import torch

from siamese.hub.resolve import BUNDLED
from siamese.inference.device import usable_device
from train import distributed
from train.config import RecipeError, load_recipe
from train.fit_options import add_common_arguments, recipe_changes
from train.run_folder import conclude, prepare_output
from train.signatures.calibration import Calibrated, carried_verification, held_out_signature_run, left_out_rates
from train.signatures.collections import divided_collections, load_collections
from train.signatures.config import SignatureConfig
from train.signatures.folds import train_folds
from train.signatures.training import train_one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Fit the network to signatures; a run's folder holds its state, metrics.jsonl, training.png and, in model/, "
        "its checkpoint."
    )
    add_common_arguments(parser, "signatures", "signatures")
    add = parser.add_argument
    add(
        "--data",
        metavar="SOURCE",
        nargs="+",
        required=True,
        help="signatures: archive, folder, Hub id or 'invented'; a batch holds as many writers of each",
    )
    add(
        "--init",
        metavar="CHECKPOINT",
        default=BUNDLED,
        help="begin with these weights: a folder or user/name@revision (default: the bundled ones of characters)",
    )
    add("--validation-part", type=int, metavar="K", help="other writers validate than in part 0")
    add("--all-writers", action="store_true", help="none validates: the final run; those for the test stay unseen")
    add(
        "--calibration-from",
        metavar="CHECKPOINT",
        nargs="+",
        help="with --all-writers: the held-out run whose thresholds the checkpoint carries; of several that held out "
        "different writers, those of all of them together",
    )
    add(
        "--leave-one-collection-out",
        metavar="NAME",
        help="of several --data: train on the others, then measure this one with the others' thresholds; a collection "
        "is called as its archive or folder is, without folders and suffix",
    )
    add(
        "--rates-from",
        metavar="CHECKPOINT",
        nargs="+",
        help="runs with --leave-one-collection-out, whose errors on what they left out the checkpoint names",
    )
    add("--folds", type=int, metavar="N", help="train N times, each writer being tested once, and pool")


def run(arguments: argparse.Namespace) -> int:
    """Trains and writes the checkpoint.

    Returns:
        The exit status: 0, 1 if publishing failed, or 130 if the run was stopped before its end.
    """
    config = config_of(arguments)  # before the processes connect
    with distributed.processes(usable_device(arguments.device)) as device:
        return train(arguments, config, device)


def config_of(arguments: argparse.Namespace) -> SignatureConfig:
    """The recipe with what the command line changes of it.

    Raises:
        RecipeError: Where the recipe is for characters, or an option does not fit the others.
        HubError: Where --push-to-hub names no repository.
    """
    config = load_recipe(SignatureConfig, arguments.recipe, **recipe_changes(arguments, "validation_part"))
    if arguments.calibration_from and not arguments.all_writers:
        raise RecipeError("--calibration-from goes with --all-writers; a held-out run calibrates itself.")
    if arguments.folds and arguments.all_writers:
        raise RecipeError("--folds needs writers who validate; leave out --all-writers.")
    if arguments.folds and arguments.push_to_hub:
        raise RecipeError("--folds makes no single checkpoint to publish; leave out --push-to-hub.")
    if arguments.folds and len(arguments.data) > 1:
        raise RecipeError("--folds divides the writers of one collection; give one --data.")
    if arguments.leave_one_collection_out and (arguments.folds or arguments.all_writers or arguments.rates_from):
        raise RecipeError("--leave-one-collection-out goes with none of --folds, --all-writers and --rates-from.")
    if arguments.all_writers and arguments.validation_part is not None:
        raise RecipeError("--validation-part and --all-writers exclude each other.")
    if arguments.all_writers:
        return replace(config, validation_writers=0, patience=0)
    return config


def train(arguments: argparse.Namespace, config: SignatureConfig, device: torch.device) -> int:
    """All of a run, or of its folds, that may be refused; the exit status."""
    sources = arguments.calibration_from or []
    runs = [held_out_signature_run(source) for source in sources]  # refused before the signatures are prepared
    rates = left_out_rates(arguments.rates_from or [])
    collections = load_collections(arguments.data, config.preprocessing)
    if arguments.folds:
        return train_folds(arguments, config, collections[""], device)
    left_out = {}
    if name := arguments.leave_one_collection_out:
        if name not in collections or len(collections) < 2:
            named = ", ".join(filter(None, collections)) or "only one"
            raise RecipeError(f"There is no collection {name} to leave out beside others; there is {named}.")
        left_out = {name: collections.pop(name)}
    division = divided_collections(collections, config)
    calibrated = Calibrated(carried_verification(sources, runs, collections, device), runs) if runs else None
    if distributed.is_first():
        prepare_output(arguments)
    distributed.wait()
    model, outcome = train_one(arguments, config, division, arguments.output, device, calibrated, rates, left_out)
    return conclude(arguments, config.steps, outcome, model)

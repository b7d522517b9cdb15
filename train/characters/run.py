"""Trains on characters: `python -m train fit`."""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from siamese.characters.drawings import Drawings
from siamese.characters.omniglot import load_drawings
from siamese.hub.checkpoint import CheckpointError, read_config, save_checkpoint
from siamese.hub.resolve import load_model, resolve_model
from siamese.inference.device import usable_device
from siamese.network import SiameseNetwork
from siamese.preprocessing import Preprocessing
from train import distributed
from train.characters import drift
from train.characters.config import CharacterConfig
from train.characters.objective import character_task, split
from train.config import RecipeError, load_recipe
from train.evaluation import HeldOut, calibrate, embed_drawings
from train.fit_options import add_common_arguments, recipe_changes
from train.loop import Outcome, fit, freeze_layers
from train.run_folder import BEST_MODEL, MODEL, conclude, draw_curve, held_out_run, prepare_output, push
from train.seeding import step_generator
from train.state import check_manifest
from train.tracking import tracker

CALIBRATION_SEED = 20152
UNFOLD_IMAGES = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Fit the network to characters; a run's folder holds its state, metrics.jsonl, training.png and, in model/, "
        "its checkpoint. Under torchrun or accelerate launch processes train together."
    )
    add_common_arguments(parser, "characters", "modern")
    add = parser.add_argument
    add("--data", metavar="SOURCE", help="folder, Hub id or 'invented' (default: $OMNIGLOT_DATA, else the bundled set)")
    add("--init", metavar="CHECKPOINT", help="begin with these weights: a folder or user/name@revision")
    add("--hold-out", metavar="ALPHABET", nargs="+", help="other alphabets than the recipe's to validate on")
    add("--all-alphabets", action="store_true", help="hold none out: the final run, when all is chosen")
    add(
        "--calibration-from",
        metavar="CHECKPOINT",
        nargs="+",
        help="with --all-alphabets: the held-out run whose thresholds and calibration the checkpoint carries; of "
        "several that held out different alphabets, those of all of them together",
    )
    add("--push-improvements", action="store_true", help="with --push-to-hub: whenever validation improves, too")


def run(arguments: argparse.Namespace) -> int:
    """Trains and writes the checkpoint.

    Returns:
        The exit status: 0, 1 if publishing failed, or 130 if the run was stopped before its end.
    """
    config = config_of(arguments)  # before the processes connect
    with distributed.processes(usable_device(arguments.device)) as device:
        return train(arguments, config, device)


def train(arguments: argparse.Namespace, config: CharacterConfig, device: torch.device) -> int:
    """Loads the data, trains, calibrates and exports the network; returns the exit status."""
    drawings = load_drawings("background", arguments.data)
    unknown = sorted(set(arguments.hold_out or ()) - set(drawings.alphabet_names))
    if unknown:
        raise RecipeError(
            f"The data has no alphabet {', '.join(unknown)} to hold out; it has {', '.join(drawings.alphabet_names)}."
        )
    config = with_held_out(config, drawings.alphabet_names)
    carried: dict | None = None
    before: list[dict[str, float]] = []
    if distributed.is_first():
        if arguments.calibration_from:  # looked at now, not after hours
            carried = carried_verification(arguments.calibration_from, drawings, device) | {"from_held_out_run": True}
            before = drift.eer_logits([loaded(source, device) for source in arguments.calibration_from], device)
        prepare_output(arguments)
    distributed.wait()
    output = arguments.output
    check_manifest(output, {"--init": digest_of(arguments.init), "--data": drawings.digest()})
    network = begin(config, drawings, arguments.init)
    with tracker(arguments.report_to if distributed.is_first() else None, output, config) as report:

        def export(measured: SiameseNetwork, outcome: Outcome, folder: Path) -> None:
            verification: dict | None
            if carried:
                (now,) = drift.eer_logits([(measured, config.preprocessing)], device)
                verification = drift.transfer_thresholds(carried, before, now)
            else:
                verification = verification_of(config, measured, drawings, device)
            training = provenance(arguments, config, outcome, drawings)
            save_checkpoint(folder, measured, config.preprocessing, verification=verification, training=training)

        def improved(measured: SiameseNetwork, outcome: Outcome) -> None:
            export(measured, outcome, output / BEST_MODEL)
            push(arguments, output / BEST_MODEL)

        outcome = fit(
            network,
            character_task(drawings, config, device),
            config,
            output,
            device,
            arguments.resume,
            arguments.max_minutes,
            report,
            improved if arguments.push_improvements else None,
        )
    if distributed.is_first():
        draw_curve(output)
        export(network, outcome, output / MODEL)
    return conclude(arguments, config.steps, outcome, output / MODEL)


def config_of(arguments: argparse.Namespace) -> CharacterConfig:
    """The recipe with what the command line changes of it.

    Raises:
        RecipeError: Where the recipe is for signatures, or an option does not fit the others.
        HubError: Where --push-to-hub names no repository.
    """
    config = load_recipe(CharacterConfig, arguments.recipe, **recipe_changes(arguments))
    if arguments.calibration_from and not arguments.all_alphabets:
        raise RecipeError("--calibration-from goes with --all-alphabets; a held-out run calibrates itself.")
    if arguments.push_improvements and arguments.push_to_hub is None:
        raise RecipeError("--push-improvements needs --push-to-hub USER/NAME.")
    if arguments.push_improvements and arguments.all_alphabets:
        raise RecipeError("--push-improvements needs held-out alphabets; leave out --all-alphabets.")
    if arguments.hold_out and arguments.all_alphabets:
        raise RecipeError("--hold-out and --all-alphabets exclude each other.")
    if arguments.all_alphabets:
        return replace(config, hold_out=(), patience=0)
    return replace(config, hold_out=tuple(sorted(set(arguments.hold_out)))) if arguments.hold_out else config


def with_held_out(config: CharacterConfig, names: tuple[str, ...]) -> CharacterConfig:
    """Adapts the held-out alphabets to the data: those of the recipe that it has, otherwise its last ones.

    Raises RecipeError where none is left to train on.
    """
    held = tuple(name for name in config.hold_out if name in names)
    if held != config.hold_out:
        held = held or names[-min(len(config.hold_out), len(names) - 1) :]
    if held and len(held) == len(names):
        raise RecipeError(f"The data has the alphabets {', '.join(names)} only; with --all-alphabets none is held out.")
    if held == config.hold_out:
        return config
    if distributed.is_first():
        print(f"The data has not all alphabets that the recipe holds out; held out: {', '.join(held)}.")
    return replace(config, hold_out=held)


def begin(config: CharacterConfig, drawings: Drawings, init: str | None) -> SiameseNetwork:
    """Returns the initial network: with random weights, or an earlier one with new batch normalisation.

    Args:
        config: The recipe.
        drawings: The background set, on which the normalisation of an earlier network is measured.
        init: Folder or Hub id of the earlier network; None for random weights.

    Raises:
        RecipeError: The recipe freezes layers, but there is no earlier network.
        CheckpointError, HubError: The earlier network cannot be loaded.
    """
    if init is None:
        if config.frozen_convolutions or config.shared_embedding:
            raise RecipeError(
                "frozen_convolutions and shared_embedding keep layers as they were at the start: give the start by "
                "--init."
            )
        return SiameseNetwork(config.network, config.initialisation, torch.Generator().manual_seed(config.seed))
    checkpoint = load_model(init, strict=True)[1]
    if checkpoint.preprocessing != config.preprocessing and distributed.is_first():
        print(f"The weights of {init} were trained on {checkpoint.preprocessing}, this run has {config.preprocessing}.")
    seen = sorted(set(config.hold_out) & seen_alphabets(checkpoint.config.get("training") or {}))
    if seen and distributed.is_first():
        print(f"The weights of {init} have seen {', '.join(seen)}: figures on them will be too good.")
    rows = torch.randperm(len(drawings), generator=step_generator(config.seed, -1))[:UNFOLD_IMAGES]
    images = drawings.take(rows).prepared(config.preprocessing).float() / 255
    network = checkpoint.network.unfolded(config.network, images)
    freeze_layers(network, config)
    return network


def verification_of(
    config: CharacterConfig, network: SiameseNetwork, drawings: Drawings, device: torch.device
) -> dict | None:
    """Measures threshold and calibration on the held-out alphabets; None if there are none."""
    validation = split(drawings, config)[1]
    if validation is None:
        return None
    held_out = HeldOut(network, embed_drawings(network, validation.prepared, device), validation.drawings)
    return calibrate([held_out], torch.Generator().manual_seed(CALIBRATION_SEED))


def carried_verification(sources: list[str], drawings: Drawings, device: torch.device) -> dict:
    """Returns the calibration of one held-out run, or a new one from the held-out alphabets of several runs.

    Five alphabets are few: the most accurate threshold differs more between alphabets than between networks.
    Raises CheckpointError, HubError.
    """
    if len(sources) == 1:
        found = held_out_run(sources[0])["verification"]
        if "operating_points" in found:
            raise CheckpointError(f"{sources[0]} was calibrated on signatures; give a run that held out alphabets.")
        return found
    held_out: list[HeldOut] = []
    seen: set[str] = set()
    for source in sources:
        checkpoint = load_model(source, strict=True)[1]
        names = never_seen(checkpoint.config.get("training") or {})
        if not names or not names <= set(drawings.alphabet_names):
            raise CheckpointError(f"{source} names no alphabets of this data that it held out; give a held-out run.")
        if names & seen:
            raise CheckpointError(
                f"{source} held out {', '.join(sorted(names & seen))}, as another of the runs did; give each set once."
            )
        seen |= names
        held = drawings.of_alphabets(names)
        network = checkpoint.network.to(device)
        embeddings = embed_drawings(network, held.prepared(checkpoint.preprocessing), device)
        held_out.append(HeldOut(network, embeddings, held))
    return calibrate(held_out, torch.Generator().manual_seed(CALIBRATION_SEED))


def loaded(source: str, device: torch.device) -> tuple[SiameseNetwork, Preprocessing]:
    checkpoint = load_model(source, strict=True)[1]
    return checkpoint.network.to(device), checkpoint.preprocessing


def never_seen(training: dict) -> set[str]:
    """Returns the alphabets that every stage of a training held out, according to its config.json."""
    names = set(training.get("held_out_alphabets") or ())
    earlier = training.get("began_with")
    while earlier:
        names &= set(earlier.get("held_out_alphabets") or ())
        earlier = earlier.get("began_with")
    return names


def seen_alphabets(training: dict) -> set[str]:
    """Returns the alphabets that some stage of a training was trained on: those of the last stage, and those that a
    later stage held out but an earlier one did not."""
    last = set(training.get("alphabets") or ())
    return (last | set(training.get("held_out_alphabets") or ())) - never_seen(training)


def digest_of(init: str | None) -> str | None:
    """Returns the SHA-256 of the weights that --init names; raises CheckpointError, HubError."""
    return None if init is None else read_config(resolve_model(init, strict=True).folder)["weights_sha256"]


def provenance(arguments: argparse.Namespace, config: CharacterConfig, outcome: Outcome, drawings: Drawings) -> dict:
    """Returns the entry "training" of config.json."""
    return {
        "recipe": Path(arguments.recipe).stem,
        "config": config.as_dict(),
        "steps": outcome.steps,
        "images": outcome.images,
        "synthetic_alphabets": config.synthetic_alphabets,
        "validation_accuracy": outcome.validation_accuracy,
    } | shown(config, drawings, arguments.init)


def shown(config: CharacterConfig, drawings: Drawings, init: str | None) -> dict:
    """Returns which alphabets a run is trained on and which it holds out, and the same for its initial weights."""
    return {
        "alphabets": sorted(set(config.alphabets or drawings.alphabet_names) - set(config.hold_out)),
        "held_out_alphabets": list(config.hold_out),
        "began_with": None if init is None else origin(init),
    }


def origin(source: str) -> dict:
    """Returns the facts about the training of an earlier checkpoint, which include its own earlier stages."""
    training = read_config(resolve_model(source, strict=True).folder).get("training") or {}
    return {key: training.get(key) for key in ("recipe", "steps", "images", "held_out_alphabets", "began_with")}

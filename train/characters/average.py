"""Averages the weights of a training with those that it began with: `python -m train average`."""

import argparse
from pathlib import Path

import torch

from siamese.hub.checkpoint import Checkpoint, CheckpointError, save_checkpoint
from siamese.hub.resolve import load_model
from siamese.network import SiameseNetwork
from train.characters import drift

CPU = torch.device("cpu")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defines the options of `python -m train average`."""
    parser.description = (
        "Average the weights of a training with those that it began with, which keeps more of what the earlier weights "
        "knew than the end of the training does (Wortsman et al., 2022). Threshold and calibration are those of the "
        "earlier weights, shifted as --calibration-from shifts them."
    )
    parser.add_argument("start", metavar="START", help="a folder or user/name@revision with the weights it began with")
    parser.add_argument("end", metavar="END", help="the same for the weights that the training ended with")
    parser.add_argument("--output", metavar="DIR", type=Path, required=True, help="where the checkpoint goes")


def run(arguments: argparse.Namespace) -> int:
    """Averages two checkpoints and stores the result.

    Returns:
        The exit status.

    Raises:
        CheckpointError, HubError, OSError: A checkpoint cannot be had, or the result cannot be stored.
    """
    start = load_model(arguments.start, strict=True)[1]
    end = load_model(arguments.end, strict=True)[1]
    network = average(start, end)
    save_checkpoint(
        arguments.output,
        network,
        end.preprocessing,
        verification=shifted_verification(start, network),
        training=(end.config.get("training") or {}) | {"averaged": "with the weights that it began with"},
    )
    print(f"The checkpoint is in {arguments.output}.")
    return 0


def average(start: Checkpoint, end: Checkpoint) -> SiameseNetwork:
    """Returns the network whose weights lie half-way between those of two others.

    Half-way is the middle of the range, chosen without trying others.

    Raises:
        CheckpointError: The networks differ in their layers, or see images prepared in different ways.

    Source:
        Wortsman et al. (2022), "Robust fine-tuning of zero-shot models".
    """
    if start.network.config != end.network.config:
        raise CheckpointError("The two checkpoints have different layers; only two of one network can be averaged.")
    if start.preprocessing != end.preprocessing:
        raise CheckpointError(
            f"The first checkpoint was trained on {start.preprocessing}, the second one on {end.preprocessing}; only "
            "weights for the same preprocessing can be averaged."
        )
    network = SiameseNetwork(end.network.config)
    others = end.network.state_dict()
    network.load_state_dict({name: (one + others[name]) / 2 for name, one in start.network.state_dict().items()})
    return network


def shifted_verification(start: Checkpoint, network: SiameseNetwork) -> dict | None:
    """Transfers threshold and calibration to the average; None if `start` was not calibrated."""
    verification = start.config.get("verification")
    if verification is None:
        return None
    before, now = drift.eer_logits([(one, start.preprocessing) for one in (start.network, network)], CPU)
    return drift.transfer_thresholds(verification, [before], now)

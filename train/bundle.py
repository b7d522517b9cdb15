"""Stores a trained checkpoint compactly, as the package contains it: `python -m train bundle`."""

import argparse
from contextlib import suppress
from pathlib import Path

from siamese.hub.card import model_card
from siamese.hub.checkpoint import (
    CARD_FILE,
    CONFIG_FILE,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    read_config,
    save_checkpoint,
)
from siamese.hub.resolve import BUNDLED, PRETRAINED, load_model
from siamese.hub.schema import MEASURES
from train.publish import PublishError, read_report

SIGNATURES = "signatures"  # bundled checkpoint that shares its large layer with that for characters
CARD_NAME = "user/one-look"  # a bundled checkpoint lies in no repository; `publish` writes the card with the real name


def dependent_checkpoints(folder: Path) -> dict[Path, Checkpoint]:
    """Loads the checkpoints beside a folder that take their large layer from the checkpoint in it."""
    found = {}
    for path in sorted(folder.parent.glob(f"*/{CONFIG_FILE}")):
        with suppress(CheckpointError):  # a damaged checkpoint cannot be kept up to date
            if (read_config(path.parent).get("base") or {}).get("name") == folder.name:
                found[path.parent] = load_checkpoint(path.parent)
    return found


def restore_sharing(folder: Path, checkpoint: Checkpoint, base: str) -> bool:
    """Stores a checkpoint again after the one that it shares its large layer with has been replaced.

    Args:
        folder: Where the checkpoint is stored.
        checkpoint: The checkpoint as it was loaded before.
        base: Name of the folder of the replaced checkpoint.

    Returns:
        False if the new base has a different layer; the checkpoint is then left as it was.
    """
    config = checkpoint.config
    given = {name: config.get(name) for name in MEASURES}
    try:
        save_checkpoint(folder, checkpoint.network, checkpoint.preprocessing, storage="shared", base=base, **given)
    except CheckpointError:
        return False
    return True


def left_out_in(path: Path) -> list[dict]:
    """What a report of evaluate-signatures says of collections that were never seen; raises PublishError."""
    entries = read_report(path).get("left_out")
    if not entries:
        raise PublishError(f"{path} measures no collection of which the checkpoint has seen nobody.")
    return entries


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defines the options of `python -m train bundle`."""
    parser.description = (
        "Store a checkpoint with the 9216 x 4096 layer as int8 and the rest as float16; a checkpoint that shares this "
        "layer with a bundled one is stored without it."
    )
    parser.add_argument("--model", metavar="DIR_OR_REPO", required=True, help="the full-precision checkpoint")
    parser.add_argument("--report", metavar="FILE", type=Path, help="JSON report of the evaluation, to include")
    parser.add_argument(
        "--rates-from",
        metavar="FILE",
        type=Path,
        help="JSON report of evaluate-signatures on collections that the checkpoint has not seen, to include its rates",
    )
    parser.add_argument("--output", metavar="DIR", type=Path, help="where to store it (default: inside the package)")


def run(arguments: argparse.Namespace) -> int:
    """Stores the checkpoint and its card.

    Returns:
        The exit status.

    Raises:
        CheckpointError, HubError, PublishError, OSError: The checkpoint cannot be had or stored.
    """
    checkpoint = load_model(arguments.model, strict=True)[1]
    figures = read_report(arguments.report) if arguments.report else None
    config = checkpoint.config
    verification = config.get("verification")
    if arguments.rates_from:
        verification = (verification or {}) | {"left_out": left_out_in(arguments.rates_from)}
    is_shared = config["storage"] == "shared"
    output = arguments.output or PRETRAINED / (SIGNATURES if is_shared else BUNDLED)
    others = dependent_checkpoints(output)
    save_checkpoint(
        output,
        checkpoint.network,
        checkpoint.preprocessing,
        storage="shared" if is_shared else "int8",
        base=config["base"]["name"] if is_shared else None,
        verification=verification,
        training=config.get("training"),
        figures=figures or config.get("figures"),
    )
    model_card(CARD_NAME, read_config(output)).save(output / CARD_FILE)
    orphans = [folder for folder, other in others.items() if not restore_sharing(folder, other, output.name)]
    for other in orphans:
        print(f"{other} shared a layer with the weights that were replaced: train and bundle it again.")
    size_bytes = sum(path.stat().st_size for path in output.iterdir() if path.is_file())
    print(f"Stored in {output}: {size_bytes / 1e6:.1f} MB.")
    return 0

"""The checkpoint that the package carries, made from a trained one: `python -m train bundle`."""

import argparse
import sys
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
from siamese.hub.errors import HubError
from siamese.hub.resolve import BUNDLED, PRETRAINED, load_model
from siamese.hub.schema import MEASURES
from train.publish import PublishError, read_report

SIGNATURES = "signatures"  # where a checkpoint goes that shares its large layer with the package's first one
CARD_NAME = "user/one-look"  # as README.md writes where a reader puts a repository of their own


def sharing(folder: Path) -> dict[Path, Checkpoint]:
    """Loads the checkpoints beside `folder` that take their large layer from it."""
    found = {}
    for path in sorted(folder.parent.glob(f"*/{CONFIG_FILE}")):
        with suppress(CheckpointError):  # a stranger, or broken: it shares nothing that could be named
            if (read_config(path.parent).get("base") or {}).get("name") == folder.name:
                found[path.parent] = load_checkpoint(path.parent)
    return found


def share_again(folder: Path, checkpoint: Checkpoint, base: str) -> bool:
    """Stores a checkpoint as sharing the layer of the new `base`; False where that has another layer."""
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
    parser.description = (
        "Store a checkpoint with the 9216 x 4096 layer as int8 and the rest as float16; one that shares that layer "
        "with a bundled checkpoint goes on sharing it."
    )
    parser.add_argument("--model", metavar="DIR_OR_REPO", required=True, help="the full-precision checkpoint")
    parser.add_argument("--report", metavar="FILE", type=Path, help="JSON of the evaluation command, to carry along")
    parser.add_argument(
        "--rates-from",
        metavar="FILE",
        type=Path,
        help="JSON of evaluate-signatures on collections of which the checkpoint has seen nobody, whose rates it names",
    )
    parser.add_argument("--output", metavar="DIR", type=Path, help="where it goes (default: the package's own)")


def run(arguments: argparse.Namespace) -> int:
    """The exit status: 0, or 1 with a sentence on standard error."""
    try:
        checkpoint = load_model(arguments.model, strict=True)[1]
        figures = read_report(arguments.report) if arguments.report else None
        config = checkpoint.config
        verification = config.get("verification")
        if arguments.rates_from:
            verification = (verification or {}) | {"left_out": left_out_in(arguments.rates_from)}
        is_shared = config["storage"] == "shared"
        output = arguments.output or PRETRAINED / (SIGNATURES if is_shared else BUNDLED)
        others = sharing(output)
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
        orphans = [folder for folder, other in others.items() if not share_again(folder, other, output.name)]
    except (CheckpointError, HubError, PublishError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The card in {output} cannot be written: {error.strerror or error}.", file=sys.stderr)
        return 1
    for other in orphans:
        print(f"{other} shares a layer that the new weights do not have: train and bundle it again.")
    size_bytes = sum(path.stat().st_size for path in output.iterdir() if path.is_file())
    print(f"Stored in {output}: {size_bytes / 1e6:.1f} MB.")
    return 0

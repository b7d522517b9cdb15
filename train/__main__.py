"""The command line of training: `python -m train COMMAND`."""

import argparse
import sys
from importlib import import_module

from train.errors import CommandError

COMMANDS = {
    "fit": ("train.characters.run", "fit the network to characters by a recipe"),
    "fit-signatures": ("train.signatures.run", "fit the network to signatures"),
    "evaluate": ("train.characters.evaluate", "measure a checkpoint: one table, one JSON report, figures"),
    "evaluate-signatures": ("train.signatures.evaluate", "measure a checkpoint on genuine and forged signatures"),
    "scenes": ("train.scenes.run", "measure how well writing is read on desks, on forms and from poor scans"),
    "search": ("train.search", "compare changes to a recipe, each trained at the same budget"),
    "publish": ("train.publish", "push a model, the app or the data set to the Hub"),
    "benchmark": ("train.benchmark", "measure speed, next to the limits of the machine and a plain implementation"),
    "data": ("train.data", "describe a data source"),
    "average": ("train.characters.average", "average the weights of a training with those that it began with"),
    "bundle": ("train.bundle", "store a checkpoint compactly, as the package contains it"),
}


def main(words: list[str] | None = None) -> int:
    """Runs a command.

    Args:
        words: The command and its options; None takes those of the process.

    Returns:
        The exit status: that of the command, or 1 after one sentence on standard error.
    """
    words = sys.argv[1:] if words is None else words
    parser = argparse.ArgumentParser(prog="python -m train", description="Train, measure and publish the network.")
    commands = parser.add_subparsers(dest="command", required=True)
    chosen = words[0] if words else None
    for name, (module, sentence) in COMMANDS.items():
        command = commands.add_parser(name, help=sentence)
        if name == chosen:  # importing the modules of all commands would take seconds
            import_module(module).add_arguments(command)
    arguments = parser.parse_args(words)
    try:
        return import_module(COMMANDS[arguments.command][0]).run(arguments)
    except OSError as error:  # of a file, or a HubError, which has no file
        print(f"{error.filename} cannot be written: {error.strerror}." if error.filename else error, file=sys.stderr)
    except (CommandError, ValueError) as error:  # CheckpointError, SourceError and their like are ValueErrors
        print(error, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

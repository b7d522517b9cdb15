"""Measures reading in scenes: `python -m train scenes`."""

import argparse
import json
from pathlib import Path

import torch

from siamese.characters.episodes import Trials
from siamese.characters.omniglot import lake_runs, load_drawings
from siamese.characters.recognizer import load_recognizer
from siamese.signatures.verifier import load_verifier
from train.errors import CommandError
from train.scenes.generator import FORMS, KINDS
from train.scenes.measure import format_scenes, measure_characters, measure_signatures, scenes_entry

LAKE_TRIALS = 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Answer Lake's trials with the query in drawn scenes, and pairs of signatures on drawn forms."
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), help="only these (default: all)")
    parser.add_argument("--trials", type=int, default=LAKE_TRIALS, help="of Lake's 400, evenly spread (default: all)")
    parser.add_argument("--pairs", type=int, default=500, help="of signatures, on each kind of form (default: 500)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the JSON report goes")


def run(arguments: argparse.Namespace) -> int:
    """Prints the tables; returns the exit status. Raises CommandError for options that are out of range."""
    if not 0 <= arguments.trials <= LAKE_TRIALS or arguments.pairs < 0:
        raise CommandError(f"--trials must lie in 0 to {LAKE_TRIALS}, --pairs must not be negative.")
    kinds = arguments.kinds or list(KINDS)
    recognizer = load_recognizer()
    characters = signatures = []
    if arguments.trials:
        drawings = load_drawings("evaluation")
        characters = measure_characters(recognizer, drawings, _spread(lake_runs(drawings), arguments.trials), kinds)
    forms = [kind for kind in kinds if kind in ("clean", *FORMS)]
    if arguments.pairs and forms:
        signatures = measure_signatures(load_verifier(base=recognizer), forms, arguments.pairs)
    print(format_scenes(characters, signatures))
    if arguments.output:
        arguments.output.write_text(json.dumps(scenes_entry(characters, signatures), indent=2) + "\n", encoding="utf-8")
    return 0


def _spread(trials: Trials, count: int) -> Trials:
    """`count` of the trials, evenly over all runs."""
    rows = torch.linspace(0, len(trials) - 1, count).round().long()
    return Trials(trials.support[rows], trials.query[rows], trials.label[rows])

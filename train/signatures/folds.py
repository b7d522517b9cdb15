"""Trains on signatures in folds by writer, so that each is scored by a network that has not seen it."""

import argparse
import time
from functools import partial
from pathlib import Path

import torch

from siamese.hub.checkpoint import CheckpointError, load_checkpoint, read_config
from siamese.hub.resolve import resolve_model
from siamese.signatures.dataset import Signatures
from siamese.signatures.verifier import scoring_in
from train import distributed
from train.config import RecipeError, saved_config
from train.evaluation import EvaluationError, write_report
from train.run_folder import MODEL, STOPPED
from train.signatures.collections import Division, fold_splits
from train.signatures.comparison import compare
from train.signatures.config import SignatureConfig
from train.signatures.evaluate import leaks_of, signature_report, table
from train.signatures.scores import Scores, parts_alone, score_all, thresholds_for
from train.signatures.training import begun_with, seen_by, train_one
from train.state import StateError, check_manifest, has_state

REPORT = "folds.json"


def train_folds(
    arguments: argparse.Namespace, config: SignatureConfig, signatures: Signatures, device: torch.device
) -> int:
    """One training for each fold of the writers, each tried on the fold it has not seen; folds.json and a table.

    A fold that is finished already is not trained again.
    """
    output, init = arguments.output, resolve_model(arguments.init, strict=True).folder
    splits = fold_splits(signatures.writers_held, arguments.folds, config)
    if seen := seen_by(init, signatures):
        raise RecipeError(
            f"The weights of {init.name} have seen {len(seen)} of these writers; folds begin with weights that saw "
            "none."
        )
    ends = time.monotonic() + 60 * arguments.max_minutes
    pooled: dict[int, Scores] = {}
    pooled_alone: dict[str, Scores] = {}
    folds: list[dict] = []
    leaks: dict[str, dict[str, float]] = {}
    for number, split in enumerate(splits, 1):
        folder = output / f"fold-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        division = Division({"": signatures}, {"": split})
        check_manifest(folder, begun_with(init, division))
        if not is_finished(folder / MODEL, config):
            if has_state(folder) and not arguments.resume:
                raise StateError(f"{folder} already holds a run; continue it with --resume or choose another --output.")
            left = argparse.Namespace(**vars(arguments) | {"max_minutes": max(0.0, (ends - time.monotonic()) / 60)})
            _, outcome = train_one(left, config, division, folder, device)
            if not outcome.finished:
                print(f"Stopped in fold {number}; go on with the same command and --resume.")
                return STOPPED
        if not distributed.is_first():
            continue
        checkpoint = load_checkpoint(folder / MODEL, device)
        test = signatures.of_writers(split.test)
        scoring = scoring_in(checkpoint.config)
        comparison = compare(checkpoint.network, test, device, progress=True)
        scored = score_all(comparison, scoring)
        if not scored:
            raise EvaluationError(f"No writer of fold {number} has two genuine signatures and a forgery to be scored.")
        leaks = leaks or leaks_of(signatures)
        alone = parts_alone(comparison, scoring)
        entry = signature_report(scored, alone, test, leaks, partial(thresholds_for, checkpoint.config))
        folds.append({"writers": list(split.test), **entry})
        print(f"fold {number}: EER {100 * entry['eer_skilled']:.2f} % on {len(split.test)} writers it has not seen")
        pooled = {k: pooled[k] + scores if k in pooled else scores for k, scores in scored.items()}
        pooled_alone = {part: pooled_alone[part] + one if part in pooled_alone else one for part, one in alone.items()}
    if distributed.is_first():
        report = signature_report(pooled, pooled_alone, signatures, leaks, lambda _count: {})
        report["operating_points"] = report["by_references"]["1"]["operating_points"] = mean_points(folds)
        write_report({"signatures": report | {"data": Path(arguments.data[0]).name}, "folds": folds}, output / REPORT)
        print(
            f"\nAll {report['writers_scored']} writers, each scored by the fold that has not seen it:\n{table(report)}"
        )
    return 0


def mean_points(folds: list[dict]) -> dict:
    """The operating points, each fold's by the thresholds of its own validation writers, averaged over the folds."""
    names = folds[0]["operating_points"]
    means: dict[str, dict] = {name: {} for name in names}
    for name, point in means.items():
        for key in ("threshold", "far", "far_random", "frr"):
            values = [fold["operating_points"][name][key] for fold in folds]
            known = [value for value in values if value is not None]  # a fold of one writer has no random forgeries
            point[key] = sum(known) / len(known) if known else None
    return means


def is_finished(model: Path, config: SignatureConfig) -> bool:
    """Whether a run of this very recipe ended there."""
    try:
        training = read_config(model).get("training") or {}
    except CheckpointError:
        return False
    return training.get("steps") == config.steps and saved_config(training["config"], SignatureConfig) == config

"""Trains on signatures, once or in folds by writer: `python -m train fit-signatures`."""

import argparse
import time
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import chain
from operator import add
from pathlib import Path

import torch

from siamese.hub.checkpoint import BASES, CheckpointError, load_checkpoint, read_config, save_checkpoint
from siamese.hub.resolve import BUNDLED, load_model, resolve_model
from siamese.network import SiameseNetwork
from siamese.signatures.dataset import Signatures, load_signatures
from siamese.signatures.verifier import Scoring, scoring_in
from train import distributed
from train.config import RecipeError, saved_config
from train.evaluation import EvaluationError, write_report
from train.fit_options import add_common_arguments, recipe_changes, run_training
from train.loop import Outcome, fit
from train.run_folder import MODEL, STOPPED, draw_curve, held_out_run, prepare_output, push
from train.signatures.comparison import compare
from train.signatures.config import SignatureConfig, load_recipe
from train.signatures.evaluate import (
    HASHED,
    leaks_of,
    seen_hashes,
    signature_report,
    table,
    unseen_writers,
)
from train.signatures.fusion import fit_fusion, pairs_of
from train.signatures.sampling import (
    CURVE_LABEL,
    Split,
    begin,
    fold_splits,
    of_signatures,
    split_writers,
    with_synthetic,
)
from train.signatures.scores import (
    THRESHOLD_REFERENCES,
    Scores,
    consistency_of,
    parts_alone,
    score_all,
    thresholds_for,
    verification_entry,
)
from train.state import StateError, check_manifest, has_state
from train.tracking import tracker

REPORT = "folds.json"


@dataclass(frozen=True)
class Calibrated:
    """What a run without validating writers takes over from runs that held some out."""

    verification: dict
    """As config.json has it."""
    runs: list[dict]
    """The config.json of each, for who was seen."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Fit the network to signatures; a run's folder holds its state, metrics.jsonl, training.png and, in model/, "
        "its checkpoint."
    )
    add_common_arguments(parser, "signatures", "signatures")
    add = parser.add_argument
    add("--data", metavar="SOURCE", required=True, help="signatures: archive, folder, Hub id or 'invented'")
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
    add("--folds", type=int, metavar="N", help="train N times, each writer being tested once, and pool")


def run(arguments: argparse.Namespace) -> int:
    """Train, write the checkpoint; 0, or 1 after one sentence on standard error, 130 when stopped before the end."""
    return run_training(arguments, config_of, train)


def config_of(arguments: argparse.Namespace) -> SignatureConfig:
    """The recipe with what the command line changes of it.

    Raises:
        RecipeError: Where the recipe is for characters, or an option does not fit the others.
        HubError: Where --push-to-hub names no repository.
    """
    config = replace(load_recipe(arguments.recipe), **recipe_changes(arguments))
    if arguments.calibration_from and not arguments.all_writers:
        raise RecipeError("--calibration-from goes with --all-writers; a held-out run calibrates itself.")
    if arguments.folds and arguments.all_writers:
        raise RecipeError("--folds needs writers who validate; leave out --all-writers.")
    if arguments.folds and arguments.push_to_hub:
        raise RecipeError("--folds makes no single checkpoint to publish; leave out --push-to-hub.")
    if arguments.all_writers and arguments.validation_part is not None:
        raise RecipeError("--validation-part and --all-writers exclude each other.")
    if arguments.all_writers:
        return replace(config, validation_writers=0, patience=0)
    return config if arguments.validation_part is None else replace(config, validation_part=arguments.validation_part)


def train(arguments: argparse.Namespace, config: SignatureConfig, device: torch.device) -> int:
    """All of a run, or of its folds, that may be refused; the exit status."""
    sources = arguments.calibration_from or []
    runs = [held_out_signature_run(source) for source in sources]  # refused before the signatures are prepared
    signatures = load_signatures(arguments.data, config.preprocessing)
    names = signatures.writers_held
    if arguments.folds:
        return train_folds(arguments, config, signatures, device)
    split = split_writers(names, config)
    calibrated = Calibrated(carried_verification(sources, runs, signatures, device), runs) if runs else None
    if distributed.is_first():
        prepare_output(arguments)
    distributed.wait()
    model, outcome = train_one(arguments, config, signatures, split, arguments.output, device, calibrated)
    if not outcome.finished:
        if distributed.is_first():
            print(f"Stopped after step {outcome.steps} of {config.steps}; go on with the same command and --resume.")
        return STOPPED
    if not distributed.is_first():
        return 0
    print(f"The checkpoint is in {model}.")
    return push(arguments, model)


def train_one(
    arguments: argparse.Namespace,
    config: SignatureConfig,
    signatures: Signatures,
    split: Split,
    output: Path,
    device: torch.device,
    calibrated: Calibrated | None = None,
) -> tuple[Path, Outcome]:
    """Train on one division of the writers; the folder of the checkpoint, and how the run ended.

    `calibrated` is what the checkpoint carries where no writer validates.
    """
    init = resolve_model(arguments.init, strict=True).folder
    check_manifest(output, begun_with(init, signatures, split))
    training, validation = signatures.of_writers(split.training), signatures.of_writers(split.validation)
    if len(validation) and not can_validate(validation):
        raise RecipeError("No writer who validates has two genuine signatures and a forgery; give more signatures.")
    seen = sorted(seen_by(init, signatures) & set(split.validation))
    if seen and distributed.is_first():
        print(f"The weights of {init.name} have seen the writers {', '.join(seen)}: figures on them will be too good.")
    network = begin(config, training, init)
    material = of_signatures(with_synthetic(training, config), validation, config, device)
    with tracker(arguments.report_to if distributed.is_first() else None, output, config) as report:
        outcome = fit(network, material, config, output, device, arguments.resume, arguments.max_minutes, report)
    if not distributed.is_first():
        return output / MODEL, outcome
    draw_curve(output, CURVE_LABEL)
    if calibrated is None:
        verification = verification_of([(network, validation)], device) if len(validation) else None
    else:
        verification = calibrated.verification | {"from_held_out_run": True}
    base = base_of(init) if config.shared_embedding else None
    save_checkpoint(
        output / MODEL,
        network,
        config.preprocessing,
        storage="shared" if base else "float32",
        base=base,
        verification=verification,
        training=provenance(
            arguments, config, outcome, signatures, split, [read_config(init), *(calibrated.runs if calibrated else [])]
        ),
    )
    return output / MODEL, outcome


def base_of(init: Path) -> str | None:
    """The bundled checkpoint that holds the large layer of these weights."""
    config = read_config(init)
    if config["storage"] == "shared":
        return config["base"]["name"]
    return init.name if init.resolve().parent == BASES.resolve() else None


def seen_by(init: Path, signatures: Signatures) -> set[str]:
    """The writers of whom these weights have been shown a signature."""
    return set(signatures.writers_held) - set(unseen_writers(signatures, seen_hashes(read_config(init))))


def can_validate(validation: Signatures) -> bool:
    """Whether an equal error rate can be measured: on writers with a pair of genuine signatures and a forgery."""
    counts = [
        torch.bincount(validation.writer[kind], minlength=len(validation.writer_names))
        for kind in (validation.genuine, ~validation.genuine)
    ]
    return bool(((counts[0] > 1) & (counts[1] > 0)).any())


def begun_with(init: Path, signatures: Signatures, split: Split) -> dict:
    """What the folder of a run is claimed for: the first weights, and whose signatures train, validate and test."""
    people = {name: hashes(signatures, writers) for name, writers in vars(split).items()}
    return {"--init": read_config(init)["weights_sha256"], "writers": people}


def held_out_signature_run(source: str) -> dict:
    """The config.json of a run that --calibration-from names; raises CheckpointError, HubError."""
    config = held_out_run(source)
    if "operating_points" not in config["verification"]:
        raise CheckpointError(f"{source} was not calibrated on signatures; give the run that held out writers.")
    return config


def carried_verification(sources: list[str], runs: list[dict], signatures: Signatures, device: torch.device) -> dict:
    """Of one held-out run what it measured; of several, what all of them say of the writers each held out.

    Eight writers are few: how high a threshold should be differs more between writers than between networks. Raises
    CheckpointError, HubError.
    """
    if len(sources) == 1:
        return runs[0]["verification"]
    held_out: list[tuple[SiameseNetwork, Signatures]] = []
    taken: set[str] = set()
    for source, config in zip(sources, runs, strict=True):
        people = (config.get("training") or {}).get("signatures") or {}
        digests = set(chain.from_iterable((people.get("validation") or {}).values()))
        validation = signatures.take(torch.tensor([digest in digests for digest in signatures.sha256]))
        if not digests or len(validation) < len(digests):
            raise CheckpointError(f"{source} held out no writers of this data; give a run on the same data.")
        if digests & set(people.get("before") or ()):
            raise CheckpointError(f"{source} began with weights that had seen those whom it held out.")
        if twice := sorted(taken.intersection(validation.writers_held)):
            raise CheckpointError(
                f"{source} held out {', '.join(twice)}, as another of the runs did; give each part once."
            )
        taken.update(validation.writers_held)
        held_out.append((load_model(source, strict=True)[1].network.to(device), validation))
    return verification_of(held_out, device)


def verification_of(held_out: list[tuple[SiameseNetwork, Signatures]], device: torch.device) -> dict:
    """What config.json holds under "verification": of networks, each on the writers that it was not shown.

    Errors and thresholds are of scores weighed by what the other networks' writers say, where there are any.
    """
    comparisons = [compare(network, validation, device) for network, validation in held_out]
    pairs = [pairs_of(comparison) for comparison in comparisons]
    weighed = Scoring(fit_fusion(pairs))
    scoring = replace(weighed, consistency=consistency_of(comparisons, weighed))
    by_references: dict[int, Scores] = {}
    for place, comparison in enumerate(comparisons):
        others = pairs[:place] + pairs[place + 1 :]
        crossed = replace(scoring, fusion=(others and fit_fusion(others)) or scoring.fusion)
        for count, scores in score_all(comparison, crossed, counts=THRESHOLD_REFERENCES).items():
            by_references[count] = by_references[count] + scores if count in by_references else scores
    alone = [score_all(comparison, counts=[1]).get(1) for comparison in comparisons]
    writers = sum(len(validation.writers_held) for _, validation in held_out)
    measured_on = (
        f"signatures of {writers} writers, each scored by a run that had not seen them: pairs of genuine ones against "
        "genuine ones with skilled forgeries"
    )
    return verification_entry(by_references, reduce(add, filter(None, alone)), measured_on, scoring)


def provenance(
    arguments: argparse.Namespace,
    config: SignatureConfig,
    outcome: Outcome,
    signatures: Signatures,
    split: Split,
    earlier_runs: list[dict],
) -> dict:
    """What config.json says of the training: who trained, validated and tests, with the SHA-256 of every image; and
    the images that earlier runs saw, given as their config.json: first the one that it began with."""
    began = earlier_runs[0]
    earlier = began.get("training") or {}
    return {
        "recipe": Path(arguments.recipe).stem,
        "config": config.as_dict(),
        "steps": outcome.steps,
        "images": outcome.images,
        "validation_accuracy": outcome.validation_accuracy,
        "signatures": {
            "data": Path(arguments.data).name,
            "hashed": HASHED,
            "training": hashes(signatures, split.training),
            "validation": hashes(signatures, split.validation),
            "test": hashes(signatures, split.test),
            "before": sorted(set().union(*map(seen_hashes, earlier_runs))),
        },
        "began_with": {key: earlier.get(key) for key in ("recipe", "steps", "images", "held_out_alphabets")}
        | {"weights_sha256": began["weights_sha256"]},
    }


def hashes(signatures: Signatures, writers: tuple[str, ...]) -> dict[str, list[str]]:
    """The images of each writer, forgeries too."""
    found: dict[str, list[str]] = {name: [] for name in writers}
    for index, digest in zip(signatures.writer.tolist(), signatures.sha256, strict=True):
        name = signatures.writer_names[index]
        if name in found:
            found[name].append(digest)
    return found


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
        check_manifest(folder, begun_with(init, signatures, split))
        if not is_finished(folder / MODEL, config):
            if has_state(folder) and not arguments.resume:
                raise StateError(f"{folder} holds a run already; go on with --resume or choose another --output.")
            left = argparse.Namespace(**vars(arguments) | {"max_minutes": max(0.0, (ends - time.monotonic()) / 60)})
            _, outcome = train_one(left, config, signatures, split, folder, device)
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
        write_report({"signatures": report | {"data": Path(arguments.data).name}, "folds": folds}, output / REPORT)
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

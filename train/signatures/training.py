"""One training run on signatures, from the initial weights to the checkpoint."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch

from siamese.hub.checkpoint import BASES, read_config, save_checkpoint
from siamese.hub.resolve import resolve_model
from siamese.signatures.dataset import Signatures
from train import distributed
from train.config import RecipeError
from train.loop import Outcome, fit
from train.run_folder import MODEL, draw_curve
from train.signatures.calibration import Calibrated, HeldOut, left_out_entry, verification_of
from train.signatures.collections import PARTS, Division, collection_name, image_hashes
from train.signatures.comparison import compare
from train.signatures.config import SignatureConfig
from train.signatures.evaluate import HASHED, seen_hashes, unseen_writers
from train.signatures.sampling import CURVE_LABEL, begin, signature_task, with_synthetic
from train.signatures.subjects import subjects
from train.state import check_manifest
from train.tracking import tracker


def train_one(
    arguments: argparse.Namespace,
    config: SignatureConfig,
    division: Division,
    output: Path,
    device: torch.device,
    calibrated: Calibrated | None = None,
    rates: Sequence[dict] = (),
    left_out: Mapping[str, Signatures] = MappingProxyType({}),
) -> tuple[Path, Outcome]:
    """Trains on one division of the writers.

    Args:
        arguments: Of the command line.
        config: Of the run.
        division: Who trains and validates.
        output: The run's folder.
        device: Where the network is.
        calibrated: What the checkpoint carries where no writer validates.
        rates: Errors of other runs on what they left out, see `left_out_entry`.
        left_out: Collections on which the network is measured at the end.

    Returns:
        The folder of the checkpoint, and how the run ended.
    """
    init = resolve_model(arguments.init, strict=True).folder
    check_manifest(output, begun_with(init, division))
    training, validation = division.part("training"), division.part("validation")
    if validation and not any(map(can_validate, validation.values())):
        raise RecipeError("No writer who validates has two genuine signatures and a forgery; give more signatures.")
    if left_out and not validation:
        raise RecipeError("There are no thresholds for the collection left out: set validation_writers above 0.")
    check_seen(init, validation, left_out)
    network = begin(config, training, init)
    material = signature_task(with_synthetic(training, config), validation, config, device)
    with tracker(arguments.report_to if distributed.is_first() else None, output, config) as report:
        outcome = fit(network, material, config, output, device, arguments.resume, arguments.max_minutes, report)
    if not distributed.is_first():
        return output / MODEL, outcome
    draw_curve(output, CURVE_LABEL)
    verification = None
    if calibrated:
        verification = calibrated.verification | {"from_held_out_run": True}
    elif validation:
        verification = verification_of([HeldOut(network, *held) for held in validation.items()], device)
    measured = [
        left_out_entry(name, compare(network, signatures, device, progress=True), {"verification": verification})
        for name, signatures in left_out.items()
        if outcome.finished
    ]
    if verification and (measured or rates):
        verification |= {"left_out": [*measured, *rates]}
    for entry in measured:
        print(left_out_sentence(entry))
    base = base_of(init) if config.shared_embedding else None
    earlier = [read_config(init), *(calibrated.runs if calibrated else [])]
    save_checkpoint(
        output / MODEL,
        network,
        config.preprocessing,
        storage="shared" if base else "float32",
        base=base,
        verification=verification,
        training=provenance(arguments, config, outcome, division, earlier),
    )
    return output / MODEL, outcome


def left_out_sentence(entry: dict) -> str:
    """What was measured on a collection that training left out."""
    rates = [
        f"EER {100 * one['eer_skilled']:.1f} % with {count} (balanced: {100 * point['far']:.1f} % pass, "
        f"{100 * point['frr']:.1f} % refused)"
        for count, one in entry["by_references"].items()
        for point in [one["operating_points"]["balanced"]]
    ]
    return f"Left out, {entry['collection']}, {entry['forgeries']}, by references: {'; '.join(rates)}."


def check_seen(init: Path, validation: Mapping[str, Signatures], left_out: Mapping[str, Signatures]) -> None:
    """Says whom the first weights have seen among those who validate; raises RecipeError where they have seen somebody
    of a collection that is left out."""
    for name, signatures in left_out.items():
        if met := seen_by(init, signatures):
            raise RecipeError(
                f"The weights of {init.name} have seen {len(met)} writers of {name}, so that it cannot be left out; "
                "begin with weights that saw none."
            )
    seen = sorted(set().union(*(seen_by(init, signatures) for signatures in validation.values())))
    if seen and distributed.is_first():
        print(f"The weights of {init.name} have seen the writers {', '.join(seen)}: figures on them will be too good.")


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
    return any(len(one.genuine) > 1 and len(one.forged) for one in subjects(validation))


def begun_with(init: Path, division: Division) -> dict:
    """Returns the inputs of a run for `check_manifest`: the initial weights, and the signatures of each part."""
    people = {name: image_hashes(division.part(name)) for name in PARTS}
    return {"--init": read_config(init)["weights_sha256"], "writers": people}


def provenance(
    arguments: argparse.Namespace,
    config: SignatureConfig,
    outcome: Outcome,
    division: Division,
    earlier_runs: list[dict],
) -> dict:
    """What config.json says of the training: who trained, validated and tests, with the SHA-256 of every image; and
    the images that earlier runs saw, given as their config.json: first the one that it began with."""
    began = earlier_runs[0]
    single = len(arguments.data) == 1
    data = [Path(source).name for source in arguments.data if single or collection_name(source) in division.collections]
    earlier = began.get("training") or {}
    return {
        "recipe": Path(arguments.recipe).stem,
        "config": config.as_dict(),
        "steps": outcome.steps,
        "images": outcome.images,
        "validation_accuracy": outcome.validation_accuracy,
        "signatures": {
            "data": ", ".join(data),
            "hashed": HASHED,
            **{name: image_hashes(division.part(name)) for name in PARTS},
            "before": sorted(set().union(*map(seen_hashes, earlier_runs))),
        },
        "began_with": {key: earlier.get(key) for key in ("recipe", "steps", "images", "held_out_alphabets")}
        | {"weights_sha256": began["weights_sha256"]},
    }

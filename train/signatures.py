"""Training on signatures: `python -m train fit --recipe signatures`, once or in folds by writer."""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from siamese.checkpoint import BASES, CheckpointError, load_checkpoint, read_config, save_checkpoint
from siamese.hub import BUNDLED, resolve_model
from siamese.invented_signatures import invented_signatures
from siamese.network import SiameseNetwork
from siamese.signatures import Signatures, load_signatures
from siamese.verification import equal_error_point
from train import distributed
from train.batches import step_generator
from train.config import RecipeError, TrainConfig
from train.distortions import distort, sampling_grid, turn
from train.evaluate import EvaluationError, embed_drawings, write_report
from train.evaluate_signatures import (
    THRESHOLD_REFERENCES,
    Scores,
    consistency_in,
    consistency_of,
    curves_of,
    leaks_of,
    score_all,
    scores_of,
    seen_hashes,
    signature_report,
    table,
    thresholds_for,
    verification_entry,
)
from train.fit import Material, Outcome, embed, fit, pictures
from train.losses import n_way_cross_entropy
from train.state import claim
from train.tracking import tracker

SPLIT_SEED = 0  # one division of the writers for every recipe and seed, so that those for the test stay unseen
LEVEL_FIRST = (0, 4, 2, 6, 1, 5, 3, 7)  # the square's views: as written, mirrored, upside down, both, then on end
UNFOLD_IMAGES = 256
INVENTED_GENUINE, INVENTED_FORGERIES, INVENTED_SEED = 12, 12, 7  # of each invented writer
MEASURE = "pairs of unseen writers (genuine, or genuine and forged) told right where both errors are alike"
CURVE_LABEL = "validation: 1 - EER, skilled forgeries"
REPORT = "folds.json"


@dataclass(frozen=True)
class Split:
    """Names of writers: no two parts share one."""

    training: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class SignatureBatch:
    """Rows of the training signatures, and how each is seen; every row meets every other."""

    rows: Int64[Tensor, " n"]
    writer: Int64[Tensor, " n"]
    """The place of its writer in the batch, from 0."""
    genuine: Bool[Tensor, " n"]
    view: Int64[Tensor, " n"]
    """One of the eight views of the square, the same for all of a writer, see `train.distortions.turn`."""


@dataclass(frozen=True)
class WriterSampler:
    """Few writers, and of each some genuine signatures and some forgeries of them."""

    genuine: list[Int64[Tensor, " _"]]
    """Rows of each writer's own signatures."""
    forged: list[Int64[Tensor, " _"]]
    """Rows of the forgeries of each writer's signature; there may be none."""

    def sample(self, config: TrainConfig, generator: torch.Generator) -> SignatureBatch:
        """As many writers and rows as the config says, fewer where there are not so many."""
        rows, writer, genuine, view = [], [], [], []
        for place, which in enumerate(
            torch.randperm(len(self.genuine), generator=generator)[: config.writers].tolist()
        ):
            seen_as = torch.tensor(LEVEL_FIRST)[torch.randint(config.views, (), generator=generator)]
            for count, members, own in (
                (config.genuine, self.genuine[which], True),
                (config.forgeries, self.forged[which], False),
            ):
                chosen = members[torch.randperm(len(members), generator=generator)[:count]]
                rows.append(chosen)
                writer.append(torch.full_like(chosen, place))
                genuine.append(torch.full(chosen.shape, own))
                view.append(seen_as.expand(len(chosen)))
        return SignatureBatch(torch.cat(rows), torch.cat(writer), torch.cat(genuine), torch.cat(view))


def writer_sampler(signatures: Signatures) -> WriterSampler:
    """Raises RecipeError where fewer than two writers have two genuine signatures."""
    genuine, forged = [], []
    for index in signatures.writer.unique().tolist():
        own, theirs = (
            ((signatures.writer == index) & kind).nonzero().flatten()
            for kind in (signatures.genuine, ~signatures.genuine)
        )
        if len(own) > 1:
            genuine.append(own)
            forged.append(theirs)
    if len(genuine) < 2 or sum(map(len, forged)) == 0:
        raise RecipeError("Training needs two writers with two genuine signatures each, and forgeries of some.")
    return WriterSampler(genuine, forged)


def with_invented(training: Signatures, config: TrainConfig) -> Signatures:
    """The training signatures, and those of writers that do not exist behind them."""
    if not config.invented_writers:
        return training
    numbers = config.invented_writers, INVENTED_GENUINE, INVENTED_FORGERIES
    invented = invented_signatures(*numbers, INVENTED_SEED, config.preparation)
    return Signatures(
        torch.cat([training.images, invented.images]),
        torch.cat([training.writer, invented.writer + len(training.writer_names)]),
        torch.cat([training.genuine, invented.genuine]),
        (*training.writer_names, *(f"invented {name}" for name in invented.writer_names)),
        (*training.sha256, *invented.sha256),
        torch.cat([training.raw_statistics, invented.raw_statistics]),
    )


def split_writers(names: tuple[str, ...], config: TrainConfig) -> Split:
    """Who trains, validates and tests: decided by the number of writers alone.

    Raises RecipeError where fewer than two are left to train on.
    """
    order = shuffled(names)
    test, rest = order[: config.test_writers], order[config.test_writers :]
    return divided(rest, test, config)


def fold_splits(names: tuple[str, ...], folds: int, config: TrainConfig) -> list[Split]:
    """Each writer tests in one fold; those who validate are drawn from the others. Raises RecipeError."""
    if not 2 <= folds <= len(names):
        raise RecipeError(f"--folds is {folds}, must lie in 2 to {len(names)}, the number of writers.")
    order = shuffled(names)
    splits = []
    for fold in range(folds):
        test = order[fold::folds]
        rest = tuple(name for name in order if name not in test)
        splits.append(divided(rest, test, config))
    return splits


def shuffled(names: tuple[str, ...]) -> tuple[str, ...]:
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(SPLIT_SEED))
    return tuple(names[place] for place in order.tolist())


def divided(rest: tuple[str, ...], test: tuple[str, ...], config: TrainConfig) -> Split:
    validation, training = rest[: config.validation_writers], rest[config.validation_writers :]
    if len(training) < 2:
        raise RecipeError(
            f"Of {len(rest) + len(test)} writers {len(test)} test and {config.validation_writers} validate, which "
            "leaves fewer than two to train on; give more, or lower test_writers and validation_writers."
        )
    return Split(training, validation, test)


def shared_warp(
    images: Float[Tensor, "batch 1 105 105"], batch: SignatureBatch, config: TrainConfig, generator: torch.Generator
) -> Float[Tensor, "batch 1 105 105"]:
    """All of a writer's signatures, forged ones too, bent alike: a new hand, forged as well as the old one."""
    writers = int(batch.writer.max()) + 1
    grid = sampling_grid(images[:writers], config.writer_distortions, generator)
    return F.grid_sample(images, grid[batch.writer.to(images.device)], padding_mode="zeros", align_corners=False)


def step_images(
    prepared: UInt8[Tensor, "signatures 1 105 105"],
    batch: SignatureBatch,
    config: TrainConfig,
    generator: torch.Generator,
) -> Float[Tensor, "batch 1 105 105"]:
    images = turn(pictures(prepared, batch.rows), batch.view.to(prepared.device))
    if config.writer_distortions.any:
        images = shared_warp(images, batch, config, generator)
    if config.distortions.any:
        images = distort(images, config.distortions, generator)
    return images


def kinds_of_pairs(
    writer: Int64[Tensor, " n"], genuine: Bool[Tensor, " n"]
) -> tuple[Bool[Tensor, "n n"], Bool[Tensor, "n n"], Bool[Tensor, "n n"]]:
    """Pairs of two genuine signatures of a writer (one with itself left out), of a genuine one with a forgery of it,
    and of a genuine one with anything that stands for another writer.

    Pairs of two forgeries are in none: whether one forger made both is not known.
    """
    one_writer = writer[:, None] == writer[None]
    both, either = genuine[:, None] & genuine[None], genuine[:, None] | genuine[None]
    return (one_writer & both).fill_diagonal_(False), one_writer & either & ~both, ~one_writer & either


def signature_loss(logits: Float[Tensor, "n n"], batch: SignatureBatch, config: TrainConfig) -> Float[Tensor, ""]:
    """Cross-entropy of all pairs, the same ones weighing one half and skilled forgeries `skilled_share` of the other,
    and N-way cross-entropy of each genuine pair against all that is different."""
    same, skilled, random = kinds_of_pairs(batch.writer.to(logits.device), batch.genuine.to(logits.device))
    loss = logits.new_zeros(())
    if config.pair_loss:
        losses = F.softplus(logits)
        share = config.skilled_share if bool(skilled.any()) else 0.0
        different = (1 - share) * losses[random].mean()
        if share:
            different = different + share * losses[skilled].mean()
        loss = loss + config.pair_loss * (F.softplus(-logits)[same].mean() + different) / 2
    if config.n_way_loss:
        loss = loss + config.n_way_loss * n_way_cross_entropy(logits, same, skilled | random)
    return loss


def hold_still(network: SiameseNetwork, config: TrainConfig) -> None:
    """Take what stays as it was out of training: frozen convolutions, and a large layer that is to be shared.

    Of that layer's normalisation only the shift is trained, so that folding leaves the weights to the bit.
    """
    network.freeze_convolutions(config.frozen_convolutions)
    if config.shared_embedding:
        network.embedding.weight.requires_grad_(False)
        if config.network.batch_norm:
            network.embedding.bias.requires_grad_(False)
            network.embedding_norm.weight.requires_grad_(False)


def keep_statistics(network: SiameseNetwork, config: TrainConfig) -> None:
    """Normalise a large layer that stays as it was by the statistics it had, also in training mode."""
    if config.network.batch_norm and config.shared_embedding:
        network.embedding_norm.eval()


def of_signatures(training: Signatures, validation: Signatures, config: TrainConfig, device: torch.device) -> Material:
    """What `fit` learns from and is tried on."""
    prepared = training.images.to(device)
    sampler = writer_sampler(training)

    def step_loss(network: SiameseNetwork, step: int) -> Float[Tensor, ""]:
        keep_statistics(network, config)
        generator = step_generator(config.seed, step)
        batch = sampler.sample(config, generator)
        embeddings = embed(network, step_images(prepared, batch, config, generator))
        return signature_loss(network.compare_all(embeddings, embeddings), batch, config)

    def accuracy(network: SiameseNetwork) -> float:
        embeddings = embed_drawings(network, validation.images, device)
        return 1 - equal_error_point(curves_of(scores_of(network, embeddings, validation, 1)).skilled).far

    return Material(step_loss, accuracy if len(validation) else None, MEASURE)


def begin(config: TrainConfig, training: Signatures, init: Path) -> SiameseNetwork:
    """The network of a checkpoint, whatever it was shown, with batch normalisation put back and its still parts."""
    checkpoint = load_checkpoint(init)
    rows = torch.randperm(len(training), generator=step_generator(config.seed, -1))[:UNFOLD_IMAGES]
    network = checkpoint.network.unfolded(config.network, training.images[rows].float() / 255)
    hold_still(network, config)
    return network


# The command


def train_on_signatures(arguments: argparse.Namespace, config: TrainConfig, device: torch.device) -> int:
    """All of a run, or of its folds, that may be refused; the exit status."""
    from train.run import STOPPED, prepare_output

    if arguments.data is None:
        raise RecipeError("Signatures are in no place that is known: name theirs with --data FOLDER or ARCHIVE.")
    if arguments.all_alphabets or arguments.push_improvements:
        raise RecipeError("--all-alphabets and --push-improvements are for characters.")
    if arguments.folds and arguments.all_writers:
        raise RecipeError("--folds needs writers who validate; leave out --all-writers.")
    calibrated = held_out_signature_run(arguments.calibration_from) if arguments.calibration_from else None
    signatures = load_signatures(arguments.data, config.preparation)
    names = signatures.writers_held
    if arguments.folds:
        return train_folds(arguments, config, signatures, device)
    if distributed.is_first():
        prepare_output(arguments)
    distributed.wait()
    split = split_writers(names, config)
    model, outcome = train_one(arguments, config, signatures, split, arguments.output, device, calibrated)
    if not outcome.finished:
        if distributed.is_first():
            print(f"Stopped after step {outcome.steps} of {config.steps}; go on with the same command and --resume.")
        return STOPPED
    if not distributed.is_first():
        return 0
    print(f"The checkpoint is in {model}.")
    from train.run import push

    return push(arguments, model)


def train_one(
    arguments: argparse.Namespace,
    config: TrainConfig,
    signatures: Signatures,
    split: Split,
    output: Path,
    device: torch.device,
    calibrated: dict | None = None,
) -> tuple[Path, Outcome]:
    """Train on one division of the writers; the folder of the checkpoint, and how the run ended.

    `calibrated` is the config.json of the run whose thresholds the checkpoint carries where no writer validates.
    """
    from train.figures import FigureError, training_curve
    from train.run import CURVE, METRICS, MODEL

    init = resolve_model(arguments.init or BUNDLED, strict=True).folder
    claim(output, begun_with(init, signatures, split))
    training, validation = signatures.of_writers(split.training), signatures.of_writers(split.validation)
    if len(validation) and not can_validate(validation):
        raise RecipeError("No writer who validates has two genuine signatures and a forgery; give more signatures.")
    network = begin(config, training, init)
    material = of_signatures(with_invented(training, config), validation, config, device)
    with tracker(arguments.report_to if distributed.is_first() else None, output, config) as report:
        outcome = fit(network, material, config, output, device, arguments.resume, arguments.max_minutes, report)
    if not distributed.is_first():
        return output / MODEL, outcome
    try:
        training_curve(output / METRICS, output / CURVE, CURVE_LABEL)
    except FigureError as error:
        print(error)
    if calibrated is None:
        verification = verification_of(network, validation, device) if len(validation) else None
    else:
        verification = calibrated["verification"] | {"from_held_out_run": True}
    base = init.name if config.shared_embedding and init.resolve().parent == BASES.resolve() else None
    save_checkpoint(
        output / MODEL,
        network,
        config.preparation,
        storage="shared" if base else "float32",
        base=base,
        verification=verification,
        training=provenance(arguments, config, outcome, signatures, split, [read_config(init), calibrated or {}]),
    )
    return output / MODEL, outcome


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
    """The config.json of the run that --calibration-from names; raises CheckpointError, HubError."""
    from train.run import held_out_run

    config = held_out_run(source)
    if "operating_points" not in config["verification"]:
        raise CheckpointError(f"{source} was not calibrated on signatures; give the run that held out writers.")
    return config


def verification_of(network: SiameseNetwork, validation: Signatures, device: torch.device) -> dict:
    writers = len(validation.writers_held)
    consistency = consistency_of(network, validation, device)
    by_references = score_all(network, validation, device, consistency, counts=THRESHOLD_REFERENCES)
    measured_on = (
        f"signatures of {writers} writers who did not train it: pairs of genuine ones against genuine ones with "
        "skilled forgeries"
    )
    return verification_entry(by_references, measured_on, consistency)


def provenance(
    arguments: argparse.Namespace,
    config: TrainConfig,
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
    arguments: argparse.Namespace, config: TrainConfig, signatures: Signatures, device: torch.device
) -> int:
    """One training for each fold of the writers, each tried on the fold it has not seen; folds.json and a table.

    A fold that is finished already is not trained again.
    """
    from train.run import MODEL, STOPPED

    output, init = arguments.output, resolve_model(arguments.init or BUNDLED, strict=True).folder
    splits = fold_splits(signatures.writers_held, arguments.folds, config)
    pooled: dict[int, Scores] = {}
    folds: list[dict] = []
    leaks: dict[str, dict[str, float]] = {}
    for number, split in enumerate(splits, 1):
        folder = output / f"fold-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        claim(folder, begun_with(init, signatures, split))
        if not is_finished(folder / MODEL, config):
            _, outcome = train_one(arguments, config, signatures, split, folder, device)
            if not outcome.finished:
                print(f"Stopped in fold {number}; go on with the same command and --resume.")
                return STOPPED
        if not distributed.is_first():
            continue
        checkpoint = load_checkpoint(folder / MODEL, device)
        test = signatures.of_writers(split.test)
        scored = score_all(checkpoint.network, test, device, consistency_in(checkpoint.config))
        if not scored:
            raise EvaluationError(f"No writer of fold {number} has two genuine signatures and a forgery to be scored.")
        leaks = leaks or leaks_of(signatures)
        entry = signature_report(scored, test, leaks, partial(thresholds_for, checkpoint.config))
        folds.append({"writers": list(split.test), **entry})
        print(f"fold {number}: EER {100 * entry['eer_skilled']:.2f} % on {len(split.test)} writers it has not seen")
        pooled = {k: pooled[k] + scores if k in pooled else scores for k, scores in scored.items()}
    if distributed.is_first():
        report = signature_report(pooled, signatures, leaks, lambda _count: {})
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


def is_finished(model: Path, config: TrainConfig) -> bool:
    """Whether a run of this very recipe ended there."""
    try:
        training = read_config(model).get("training") or {}
    except CheckpointError:
        return False
    from train.config import config_from

    return training.get("steps") == config.steps and config_from(training["config"]) == config

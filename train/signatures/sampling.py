"""How signatures train: who is in a batch, how each is seen, what is asked of every pair."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from siamese.hub.checkpoint import load_checkpoint
from siamese.metrics import equal_error_point
from siamese.network import SiameseNetwork
from siamese.signatures.dataset import Signatures, joined, synthetic_signatures
from train.augment import dihedral, distort, sampling_grid
from train.config import RecipeError
from train.loop import Task, embed, freeze_layers, keep_statistics, pictures
from train.losses import mean_where, n_way_cross_entropy
from train.seeding import step_generator
from train.signatures.comparison import compare
from train.signatures.config import SignatureConfig
from train.signatures.scores import curves_of, scores_of

SPLIT_SEED = 0  # one division of the writers for every recipe and seed, so that those for the test stay unseen
LEVEL_FIRST = (0, 4, 2, 6, 1, 5, 3, 7)  # the square's views: as written, mirrored, upside down, both, then on end
UNFOLD_IMAGES = 256
INVENTED_GENUINE, INVENTED_FORGERIES, INVENTED_SEED = 12, 12, 7  # of each invented writer
MEASURE = "pairs of unseen writers (genuine, or genuine and forged) told right where both errors are alike"
CURVE_LABEL = "validation: 1 - EER, skilled forgeries"


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
    """One of the eight views of the square, the same for all of a writer, see `train.augment.dihedral`."""


@dataclass(frozen=True)
class WriterSampler:
    """Few writers, and of each some genuine signatures and some forgeries of them."""

    genuine: list[Int64[Tensor, " _"]]
    """Rows of each writer's own signatures."""
    forged: list[Int64[Tensor, " _"]]
    """Rows of the forgeries of each writer's signature; there may be none."""

    def sample(self, config: SignatureConfig, generator: torch.Generator) -> SignatureBatch:
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


def with_synthetic(training: Signatures, config: SignatureConfig) -> Signatures:
    """The training signatures, and those of writers that do not exist behind them."""
    if not config.synthetic_writers:
        return training
    numbers = config.synthetic_writers, INVENTED_GENUINE, INVENTED_FORGERIES
    return joined({"": training, "invented": synthetic_signatures(*numbers, INVENTED_SEED, config.preprocessing)})


def split_writers(names: tuple[str, ...], config: SignatureConfig) -> Split:
    """Who trains, validates and tests: decided by the number of writers alone.

    Raises RecipeError where fewer than two are left to train on.
    """
    order = shuffled(names)
    test, rest = order[: config.test_writers], order[config.test_writers :]
    return divided(rest, test, config)


def fold_splits(names: tuple[str, ...], folds: int, config: SignatureConfig) -> list[Split]:
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


def divided(rest: tuple[str, ...], test: tuple[str, ...], config: SignatureConfig) -> Split:
    begin = config.validation_part * config.validation_writers
    validation = rest[begin : begin + config.validation_writers]
    training = tuple(name for name in rest if name not in validation)
    if config.validation_part and not validation:
        raise RecipeError(
            f"There is no part {config.validation_part}, counted from 0, of {config.validation_writers} each among the "
            f"{len(rest)} writers who do not test."
        )
    if len(training) < 2:
        raise RecipeError(
            f"Of {len(rest) + len(test)} writers {len(test)} test and {config.validation_writers} validate, which "
            "leaves fewer than two to train on; give more, or lower test_writers and validation_writers."
        )
    return Split(training, validation, test)


def shared_warp(
    images: Float[Tensor, "batch 1 105 105"], batch: SignatureBatch, config: SignatureConfig, generator: torch.Generator
) -> Float[Tensor, "batch 1 105 105"]:
    """All of a writer's signatures, forged ones too, bent alike: a new hand, forged as well as the old one."""
    writers = int(batch.writer.max()) + 1
    grid = sampling_grid(images[:writers], config.writer_distortions, generator)
    return F.grid_sample(images, grid[batch.writer.to(images.device)], padding_mode="zeros", align_corners=False)


def step_images(
    prepared: UInt8[Tensor, "signatures 1 105 105"],
    batch: SignatureBatch,
    config: SignatureConfig,
    generator: torch.Generator,
) -> Float[Tensor, "batch 1 105 105"]:
    images = dihedral(pictures(prepared, batch.rows), batch.view)
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


def signature_loss(logits: Float[Tensor, "n n"], batch: SignatureBatch, config: SignatureConfig) -> Float[Tensor, ""]:
    """Cross-entropy of all pairs, the same ones weighing one half and skilled forgeries `skilled_share` of the other,
    and N-way cross-entropy of each genuine pair against all that is different."""
    same, skilled, random = kinds_of_pairs(batch.writer.to(logits.device), batch.genuine.to(logits.device))
    loss = logits.new_zeros(())
    if config.pair_loss:
        losses = F.softplus(logits)
        share = 0.0 if bool(batch.genuine.all()) else config.skilled_share
        different = (1 - share) * mean_where(random, losses)
        if share:
            different = different + share * mean_where(skilled, losses)
        loss = loss + config.pair_loss * (mean_where(same, F.softplus(-logits)) + different) / 2
    if config.n_way_loss:
        loss = loss + config.n_way_loss * n_way_cross_entropy(logits, same, skilled | random)
    return loss


def of_signatures(training: Signatures, validation: Signatures, config: SignatureConfig, device: torch.device) -> Task:
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
        return 1 - equal_error_point(curves_of(scores_of(compare(network, validation, device), 1)).skilled).far

    return Task(step_loss, accuracy if len(validation) else None, MEASURE)


def begin(config: SignatureConfig, training: Signatures, init: Path) -> SiameseNetwork:
    """The network of a checkpoint, whatever it was shown, with batch normalisation put back and its still parts."""
    checkpoint = load_checkpoint(init)
    rows = torch.randperm(len(training), generator=step_generator(config.seed, -1))[:UNFOLD_IMAGES]
    network = checkpoint.network.unfolded(config.network, training.images[rows].float() / 255)
    freeze_layers(network, config)
    return network

"""Batches of signatures, their distortions and their losses."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from siamese.hub.checkpoint import load_checkpoint
from siamese.metrics import equal_error_point
from siamese.network import SiameseNetwork
from siamese.signatures.dataset import Signatures, synthetic_signatures
from train.augment import dihedral, distort, sampling_grid
from train.config import RecipeError
from train.loop import Task, embed, freeze_layers, keep_statistics, pictures
from train.losses import mean_where, n_way_cross_entropy
from train.seeding import step_generator
from train.signatures.comparison import compare
from train.signatures.config import SignatureConfig
from train.signatures.scores import curves_of, scores_of
from train.signatures.subjects import Subject, subjects

LEVEL_FIRST = (0, 4, 2, 6, 1, 5, 3, 7)  # the square's views: as written, mirrored, upside down, both, then on end
UNFOLD_IMAGES = 256
INVENTED_GENUINE, INVENTED_FORGERIES, INVENTED_SEED = 12, 12, 7  # of each invented writer
MEASURE = "pairs of unseen writers (genuine, or genuine and forged) told right where both errors are alike"
CURVE_LABEL = "validation: 1 - EER, skilled forgeries"


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
    """Few writers of all collections in turn, and of each some genuine signatures and some forgeries of them."""

    collections: list[list[list[Subject]]]
    """By collection and writer: what of theirs can be in a batch. Rows count on from collection to collection."""

    def sample(self, config: SignatureConfig, generator: torch.Generator) -> SignatureBatch:
        """As many writers and rows as the config says, fewer where there are not so many."""
        rows, writer, genuine, view = [], [], [], []
        for place, subject in enumerate(self._chosen(config.writers, generator)):
            seen_as = torch.tensor(LEVEL_FIRST)[torch.randint(config.views, (), generator=generator)]
            for count, members, own in (
                (config.genuine, subject.genuine, True),
                (config.forgeries, subject.forged, False),
            ):
                chosen = members[torch.randperm(len(members), generator=generator)[:count]]
                rows.append(chosen)
                writer.append(torch.full_like(chosen, place))
                genuine.append(torch.full(chosen.shape, own))
                view.append(seen_as.expand(len(chosen)))
        return SignatureBatch(torch.cat(rows), torch.cat(writer), torch.cat(genuine), torch.cat(view))

    def _chosen(self, count: int, generator: torch.Generator) -> list[Subject]:
        """No writer twice and no name twice, lest one writer's genuine signature be another's forgery; which collection
        comes first is drawn, since a batch may hold one more of it."""
        orders = [torch.randperm(len(writers), generator=generator).tolist() for writers in self.collections]
        first = int(torch.randint(len(self.collections), (), generator=generator))
        turns = [(self.collections[first - which], orders[first - which]) for which in range(len(orders))]
        longest = max(map(len, orders))
        mixed = [writers[order[turn]] for turn in range(longest) for writers, order in turns if turn < len(order)]
        chosen: list[Subject] = []
        for writer in mixed:
            taken = {subject.text for subject in chosen} - {""}
            free = [subject for subject in writer if subject.text not in taken]
            if free and len(chosen) < count:
                chosen.append(free[int(torch.randint(len(free), (), generator=generator))])
        return chosen


def writer_sampler(training: Mapping[str, Signatures]) -> WriterSampler:
    """Raises RecipeError where fewer than two writers have two genuine signatures, or there is no forgery."""
    collections, before = [], 0
    for signatures in training.values():
        by_writer: dict[int, list[Subject]] = {}
        for one in subjects(signatures):
            if len(one.genuine) > 1:
                rows = (part + before for part in (one.genuine, one.forged, one.others))
                by_writer.setdefault(one.writer, []).append(Subject(one.writer, one.text, *rows))
        if by_writer:
            collections.append(list(by_writer.values()))
        before += len(signatures)
    everything = [subject for writers in collections for one in writers for subject in one]
    if sum(map(len, collections)) < 2 or not any(len(subject.forged) for subject in everything):
        raise RecipeError("Training needs two writers with two genuine signatures each, and forgeries of some.")
    return WriterSampler(collections)


def with_synthetic(training: Mapping[str, Signatures], config: SignatureConfig) -> Mapping[str, Signatures]:
    """The training signatures, and those of writers that do not exist as one more collection."""
    if not config.synthetic_writers:
        return training
    numbers = config.synthetic_writers, INVENTED_GENUINE, INVENTED_FORGERIES
    return {**training, "invented": synthetic_signatures(*numbers, INVENTED_SEED, config.preprocessing)}


def shared_warp(
    images: Float[Tensor, "batch 1 105 105"], batch: SignatureBatch, config: SignatureConfig, generator: torch.Generator
) -> Float[Tensor, "batch 1 105 105"]:
    """Distorts all signatures of a writer alike, forgeries too, which makes them those of a new writer."""
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


def signature_task(
    training: Mapping[str, Signatures],
    validation: Mapping[str, Signatures],
    config: SignatureConfig,
    device: torch.device,
) -> Task:
    """Returns the task for signatures: the loss of the recipe, and 1 - EER on the validation writers.

    Args:
        training: The training signatures by collection.
        validation: The validation signatures by collection.
        config: The recipe.
        device: Where to train.
    """
    prepared = torch.cat([signatures.images for signatures in training.values()]).to(device)
    sampler = writer_sampler(training)

    def step_loss(network: SiameseNetwork, step: int) -> Float[Tensor, ""]:
        keep_statistics(network, config)
        generator = step_generator(config.seed, step)
        batch = sampler.sample(config, generator)
        embeddings = embed(network, step_images(prepared, batch, config, generator))
        return signature_loss(network.compare_all(embeddings, embeddings), batch, config)

    def accuracy(network: SiameseNetwork) -> float:
        scored = [scores_of(compare(network, signatures, device), 1) for signatures in validation.values()]
        errors = [equal_error_point(curves_of(scores).skilled).far for scores in scored if scores.writers]
        return 1 - sum(errors) / len(errors)

    return Task(step_loss, accuracy if validation else None, MEASURE)


def begin(config: SignatureConfig, training: Mapping[str, Signatures], init: Path) -> SiameseNetwork:
    """Loads the network of a checkpoint, adds batch normalisation and freezes what the recipe freezes."""
    checkpoint = load_checkpoint(init)
    images = torch.cat([signatures.images for signatures in training.values()])
    rows = torch.randperm(len(images), generator=step_generator(config.seed, -1))[:UNFOLD_IMAGES]
    network = checkpoint.network.unfolded(config.network, images[rows].float() / 255)
    freeze_layers(network, config)
    return network

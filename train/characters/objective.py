"""How characters train: what a step asks of a batch, and what validates."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from siamese.characters.drawings import Drawings, joined
from siamese.characters.episodes import Trials, sample_trials
from siamese.characters.synthetic import synthetic_drawings
from siamese.network import SiameseNetwork
from train.augment import dihedral, distort, distort_copies, to_device
from train.characters.config import CharacterConfig
from train.characters.sampling import AlphabetSampler, Batch, PairBatch, PairList, alphabet_sampler, pair_list
from train.evaluation import embed_drawings, one_shot_accuracy
from train.loop import Task, embed, keep_statistics, pictures
from train.losses import balanced_cross_entropy, contrastive, hardest, n_way_cross_entropy, sameness, triplet
from train.pens import pen_layers
from train.seeding import step_generator

VALIDATION_SEED = 20151  # one set of trials for every recipe and seed, so that runs can be compared trial by trial
SYNTHETIC_CHARACTERS, SYNTHETIC_DRAWERS = 20, 20  # of each alphabet; Omniglot's have 14 to 55 characters, 20 drawers


def character_task(drawings: Drawings, config: CharacterConfig, device: torch.device) -> Task:
    """Returns the task for characters: the loss of the recipe, and 20-way trials in the held-out alphabets.

    Raises:
        ValueError: The drawings lack an alphabet of the config.
        EpisodeError: The held-out alphabets have too few characters or drawers.
    """
    training, validation = split(drawings, config)
    prepared = training.prepared(config.preprocessing)
    if config.distortions.needs_layers:
        prepared = pen_layers(prepared)
    prepared = prepared.to(device)
    sampler = make_sampler(training, config)

    def loss_of_step(network: SiameseNetwork, step: int) -> Float[Tensor, ""]:
        keep_statistics(network, config)
        return step_loss(network, prepared, sampler, config, step)

    return Task(
        loss_of_step,
        (lambda network: validation.accuracy(network, device)) if validation else None,
        "20-way trials in held-out alphabets",
    )


@dataclass(frozen=True)
class Validation:
    """The drawings of the held-out alphabets and the trials on them."""

    drawings: Drawings
    prepared: UInt8[Tensor, "drawings 1 105 105"]
    """The drawings as the network sees them, ink 255 on paper 0."""
    trials: Trials
    """20-way trials within one alphabet."""

    def accuracy(self, network: SiameseNetwork, device: torch.device) -> float:
        """Returns the share of trials that a network answers correctly, in [0, 1]."""
        embeddings = embed_drawings(network, self.prepared, device)
        return one_shot_accuracy(network, embeddings, self.trials)[0]


def split(drawings: Drawings, config: CharacterConfig) -> tuple[Drawings, Validation | None]:
    """Splits drawings into those to train on and those to validate on.

    Returns:
        The training drawings, with synthetic alphabets if the recipe has them, and the validation set; None if no
        alphabet is held out.

    Raises:
        ValueError: The drawings lack an alphabet of the config.
        EpisodeError: The held-out alphabets have too few characters or drawers for 20-way trials.
    """
    kept = drawings.of_alphabets(set(config.alphabets or drawings.alphabet_names) - set(config.hold_out))
    training = kept.take(kept.drawer <= config.train_drawers)
    if config.synthetic_alphabets:
        synthetic = synthetic_drawings(config.synthetic_alphabets, SYNTHETIC_CHARACTERS, SYNTHETIC_DRAWERS, config.seed)
        training = joined(training, synthetic)
    if not config.hold_out:
        return training, None
    held = drawings.of_alphabets(set(config.hold_out))
    if config.train_drawers < 20:
        last = config.train_drawers + (config.validation_drawers or 20)
        held = held.take((held.drawer > config.train_drawers) & (held.drawer <= last))
    generator = torch.Generator().manual_seed(VALIDATION_SEED)
    trials = sample_trials(held, 20, config.validation_trials, generator, within_alphabet=True)
    return training, Validation(held, held.prepared(config.preprocessing), trials)


def step_loss(
    network: SiameseNetwork,
    prepared: UInt8[Tensor, "drawings layers 105 105"],
    sampler: AlphabetSampler | PairList,
    config: CharacterConfig,
    step: int,
) -> Float[Tensor, ""]:
    """Samples the batch of a step and returns its loss.

    Args:
        network: The network that is trained.
        prepared: The training drawings, ink 255 on paper 0; three layers each with pens, see `train.pens`.
        sampler: Draws the batch.
        config: The recipe.
        step: Number of the step, counted from 0; with the seed it decides what is sampled.
    """
    if isinstance(sampler, PairList):
        return pair_batch_loss(network, prepared, sampler.sample(config.characters, step), config)
    generator = step_generator(config.seed, step)
    batch = sampler.sample(config.characters, config.drawers, config.views, generator)
    images = dihedral(pictures(prepared, batch.rows), batch.view)
    if config.distortions.any:
        images = distort(images, config.distortions, generator)
    return batch_loss(network, images, batch, config)


def batch_loss(
    network: SiameseNetwork, images: Float[Tensor, "batch 1 105 105"], batch: Batch, config: CharacterConfig
) -> Float[Tensor, ""]:
    """Embeds every image once, compares each with every other, and returns the weighted sum of the losses.

    Args:
        network: The network that is trained.
        images: The distorted images of the batch, ink 1 on paper 0.
        batch: Which character each image shows.
        config: The weights of the losses.
    """
    embeddings = embed(network, images)
    logits = network.compare_all(embeddings, embeddings)
    same, different = sameness(to_device(batch.character, images.device))
    distance = network.head.bias - logits
    loss = logits.new_zeros(())
    if config.pair_loss:
        against = hardest(logits.detach(), different, config.hard_share) if config.hard_share < 1 else different
        loss = loss + config.pair_loss * balanced_cross_entropy(logits, same, against, config.label_smoothing)
    if config.n_way_loss:
        loss = loss + config.n_way_loss * n_way_cross_entropy(logits, same, different)
    if config.contrastive_loss:
        loss = loss + config.contrastive_loss * contrastive(distance, same, different, config.margin)
    if config.triplet_loss:
        loss = loss + config.triplet_loss * triplet(distance, same, different, config.margin)
    return loss


def pair_batch_loss(
    network: SiameseNetwork, prepared: UInt8[Tensor, "drawings 1 105 105"], batch: PairBatch, config: CharacterConfig
) -> Float[Tensor, ""]:
    """Returns the binary cross-entropy of pairs, with two embeddings for each pair.

    Source: Koch et al. (2015), equation 2.
    """
    images = pictures(prepared, torch.cat([batch.first, batch.second]))
    if config.distortions.any:
        sides = torch.cat(
            [batch.copy * 2, batch.copy * 2 + (batch.copy > 0)]
        )  # the two sides are distorted differently
        images = distort_copies(images, config.distortions, sides, config.seed)
    a, b = embed(network, images).chunk(2)
    target = batch.same.to(a).clamp(config.label_smoothing, 1 - config.label_smoothing)
    return F.binary_cross_entropy_with_logits(network.compare(a, b), target) * config.pair_loss


def make_sampler(training: Drawings, config: CharacterConfig) -> AlphabetSampler | PairList:
    """Returns the sampler that the recipe asks for."""
    if config.sampling == "pairs":
        return pair_list(training, config.pairs, config.copies, config.seed, config.different_within_alphabet)
    return alphabet_sampler(training)

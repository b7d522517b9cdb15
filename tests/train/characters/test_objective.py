"""What characters are asked while training: the losses by hand, and who trains and validates."""

from dataclasses import replace

import torch

from siamese.network import SiameseNetwork
from tests.blots import scribbles
from tests.networks import NARROW, initial_network
from train.augment import Distortions
from train.characters import objective
from train.characters.config import CharacterConfig
from train.characters.objective import batch_loss, make_sampler, split, step_loss
from train.characters.sampling import alphabet_sampler
from train.losses import balanced_cross_entropy, contrastive, hardest, n_way_cross_entropy, sameness, triplet

TINY = CharacterConfig(
    network=replace(NARROW, batch_norm=True),
    distortions=Distortions(rotation_deg=10.0, shift_px=2.0, elastic_px=1.0, pen_share=0.5),
    hold_out=(),
    characters=2,
    drawers=2,
    seed=5,
)
SCRAWL = scribbles(2, 3, 2)


def test_the_loss_is_the_weighted_sum_of_its_parts(monkeypatch):
    config = replace(TINY, pair_loss=0.5, n_way_loss=2.0, contrastive_loss=3.0, triplet_loss=4.0, label_smoothing=0.1)
    network = initial_network(config)
    batch = alphabet_sampler(SCRAWL).sample(3, 2, 1, torch.Generator().manual_seed(1))
    embeddings = torch.rand(6, NARROW.embedding_units, generator=torch.Generator().manual_seed(2))
    monkeypatch.setattr(objective, "embed", lambda *_arguments: embeddings)
    logits = network.compare_all(embeddings, embeddings)
    masks, distance = sameness(batch.character), network.head.bias - logits
    expected = 0.5 * balanced_cross_entropy(logits, *masks, 0.1) + 2 * n_way_cross_entropy(logits, *masks)
    expected = expected + 3 * contrastive(distance, *masks, 4.0) + 4 * triplet(distance, *masks, 4.0)
    torch.testing.assert_close(batch_loss(network, torch.zeros(6, 1, 105, 105), batch, config), expected)


def test_only_the_hardest_different_pairs_may_count(monkeypatch):
    config = replace(TINY, n_way_loss=0.0, hard_share=0.3)
    network = initial_network(config)
    batch = alphabet_sampler(SCRAWL).sample(3, 2, 1, torch.Generator().manual_seed(1))
    embeddings = torch.rand(6, NARROW.embedding_units, generator=torch.Generator().manual_seed(2))
    monkeypatch.setattr(objective, "embed", lambda *_arguments: embeddings)
    logits = network.compare_all(embeddings, embeddings)
    same, different = sameness(batch.character)
    expected = balanced_cross_entropy(logits, same, hardest(logits, different, 0.3))
    assert expected > balanced_cross_entropy(logits, same, different)
    torch.testing.assert_close(batch_loss(network, torch.zeros(6, 1, 105, 105), batch, config), expected)


def test_a_batch_of_pairs_gives_the_mean_cross_entropy_of_its_pairs(monkeypatch):
    config = replace(TINY, sampling="pairs", pairs=6, characters=4, n_way_loss=0.0, copies=1, initialisation="paper")
    network = initial_network(config)
    prepared = SCRAWL.prepared(config.preprocessing)
    sampler = make_sampler(SCRAWL, config)
    seen = []

    def embed(_network: SiameseNetwork, images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return torch.rand(len(images), NARROW.embedding_units, generator=torch.Generator().manual_seed(3))

    monkeypatch.setattr(objective, "embed", embed)
    loss = step_loss(network, prepared, sampler, config, 0)
    batch = sampler.sample(4, 0)
    a, b = embed(network, seen[0]).chunk(2)
    probability = network.compare(a, b).sigmoid()
    expected = -torch.where(batch.same, probability, 1 - probability).log().mean()
    torch.testing.assert_close(loss, expected)
    undistorted = prepared[torch.cat([batch.first, batch.second])].float() / 255
    same_picture = (seen[0] == undistorted).flatten(1).all(1)
    assert torch.equal(same_picture, torch.cat([batch.copy, batch.copy]) == 0)


def test_split_keeps_held_out_alphabets_and_drawers_apart():
    drawings = scribbles(3, 20, 20)
    config = replace(TINY, hold_out=("alphabet 2",), train_drawers=12, validation_drawers=4, validation_trials=30)
    training, validation = split(drawings, config)
    assert set(training.alphabet.tolist()) == {0, 1}
    assert set(training.drawer.tolist()) == set(range(1, 13))
    assert set(validation.drawings.alphabet.tolist()) == {2}
    assert set(validation.drawings.drawer.tolist()) == {13, 14, 15, 16}
    assert len(validation.trials) == 30
    assert torch.equal(split(drawings, config)[1].trials.support, validation.trials.support)


def test_only_the_alphabets_named_and_invented_ones_beside_are_trained_on(monkeypatch):
    monkeypatch.setattr(objective, "SYNTHETIC_CHARACTERS", 5)
    monkeypatch.setattr(objective, "SYNTHETIC_DRAWERS", 2)
    drawings = scribbles(3, 4, 3)
    training, _ = split(drawings, replace(TINY, hold_out=(), alphabets=("alphabet 1",), synthetic_alphabets=2))
    names = [training.alphabet_names[i] for i in training.alphabet.unique().tolist()]
    assert names[0] == "alphabet 1"
    assert len(names) == 3
    assert not set(names[1:]) & set(drawings.alphabet_names)
    assert len(training) == 4 * 3 + 2 * 5 * 2
    assert len(training.character.unique()) == 4 + 2 * 5


def test_split_without_held_out_alphabets_has_no_validation():
    training, validation = split(SCRAWL, TINY)
    assert len(training) == len(SCRAWL)
    assert validation is None

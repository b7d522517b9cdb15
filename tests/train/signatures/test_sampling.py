"""Training on signatures: who trains and who tests, which pairs mean what."""

import math
from dataclasses import replace

import pytest
import torch

from siamese.hub.checkpoint import save_checkpoint
from siamese.preprocessing import SIGNATURE
from tests.networks import NARROW, narrow_network
from train.augment import Distortions
from train.config import RecipeError, load_recipe
from train.signatures.collections import fold_splits, split_writers
from train.signatures.config import SignatureConfig
from train.signatures.sampling import (
    SignatureBatch,
    begin,
    keep_statistics,
    kinds_of_pairs,
    shared_warp,
    signature_loss,
    with_synthetic,
    writer_sampler,
)

NAMES = tuple(f"{index:02d}" for index in range(1, 56))
SMALL = SignatureConfig(
    network=replace(NARROW, batch_norm=True),
    preprocessing=SIGNATURE,
    steps=2,
    warmup_steps=1,
    writers=2,
    genuine=2,
    forgeries=2,
    views=1,
    test_writers=1,
    validation_writers=1,
    shared_embedding=True,
    frozen_convolutions=2,
)


def test_at_least_twelve_of_55_writers_are_kept_for_the_test():
    split = split_writers(NAMES, SignatureConfig())
    assert (len(split.test), len(split.validation), len(split.training)) == (12, 8, 35)
    assert sorted(split.test + split.validation + split.training) == sorted(NAMES)
    assert split.test != NAMES[:12]
    for config in (SignatureConfig(seed=3), SignatureConfig(learning_rate=1.0)):
        assert split_writers(NAMES, config) == split  # neither the seed nor the recipe moves a writer


def test_in_folds_every_writer_tests_once():
    splits = fold_splits(NAMES, 5, SignatureConfig())
    assert sorted(name for split in splits for name in split.test) == sorted(NAMES)
    for split in splits:
        assert sorted(split.test + split.validation + split.training) == sorted(NAMES)
        assert len(split.validation) == 8


def test_too_few_writers_are_refused():
    with pytest.raises(RecipeError, match="leaves fewer than two to train on"):
        split_writers(NAMES[:21], SignatureConfig())
    for folds in (1, 56):
        with pytest.raises(RecipeError, match=f"--folds is {folds}, must lie in 2 to 55"):
            fold_splits(NAMES, folds, SignatureConfig())


# What meets, and what it means


def test_a_batch_holds_whole_groups_and_depends_on_its_generator_alone(signatures):
    sampler = writer_sampler({"": signatures})
    config = replace(SMALL, writers=3, genuine=4, forgeries=2, views=8)
    batch, again = (sampler.sample(config, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(batch.rows, again.rows)
    assert batch.writer.bincount().tolist() == [6, 6, 6]
    assert len(batch.rows.unique()) == 18
    for place in range(3):
        rows = batch.rows[batch.writer == place]
        assert len(signatures.writer[rows].unique()) == 1
        assert len(batch.view[batch.writer == place].unique()) == 1
        assert signatures.genuine[rows].sum() == 4
    assert torch.equal(signatures.genuine[batch.rows], batch.genuine)


def test_there_must_be_something_to_tell_apart(signatures):
    with pytest.raises(RecipeError, match="two writers with two genuine signatures each"):
        writer_sampler({"": signatures.take(signatures.genuine)})
    with pytest.raises(RecipeError, match="two writers"):
        writer_sampler({"": signatures.of_writers(["01"])})


def test_kinds_of_pairs_by_hand():
    # Two genuine signatures and a forgery of writer 0, one of each of writer 1.
    writer = torch.tensor([0, 0, 0, 1, 1])
    genuine = torch.tensor([True, True, False, True, False])
    same, skilled, random = kinds_of_pairs(writer, genuine)
    assert same.nonzero().tolist() == [[0, 1], [1, 0]]
    assert skilled.nonzero().tolist() == [[0, 2], [1, 2], [2, 0], [2, 1], [3, 4], [4, 3]]
    assert random.nonzero().tolist() == [
        *([row, column] for row in (0, 1) for column in (3, 4)),
        [2, 3],
        *([3, column] for column in (0, 1, 2)),
        [4, 0],
        [4, 1],
    ]  # a forgery of 0 and a forgery of 1 (2 and 4) are in none


def test_the_loss_by_hand():
    batch = SignatureBatch(
        rows=torch.arange(4),
        writer=torch.tensor([0, 0, 0, 1]),
        genuine=torch.tensor([True, True, False, True]),
        view=torch.zeros(4, dtype=torch.int64),
    )
    logits = torch.tensor(
        [[9.0, 1.0, -1.0, -2.0], [1.0, 9.0, 0.5, -3.0], [-1.0, 0.5, 9.0, -4.0], [-2.0, -3.0, -4.0, 9.0]]
    )

    def bad(logit: float) -> float:
        return math.log1p(math.exp(logit))

    skilled, random = (bad(-1) + bad(0.5)) / 2, (bad(-2) + bad(-3) + bad(-4)) / 3
    pairs = (bad(-1) + 0.7 * skilled + 0.3 * random) / 2
    ways = [math.log(math.e + sum(map(math.exp, rivals))) - 1 for rivals in ((-1, -2), (0.5, -3))]
    config = replace(SMALL, skilled_share=0.7, pair_loss=2.0, n_way_loss=0.5)
    assert signature_loss(logits, batch, config).item() == pytest.approx(2 * pairs + 0.5 * sum(ways) / 2, rel=1e-5)
    only_genuine = replace(batch, genuine=torch.tensor([True, True, True, True]))
    assert signature_loss(logits, only_genuine, config).isfinite()


def test_a_writer_s_signatures_are_bent_alike_and_another_s_otherwise():
    images = torch.zeros(4, 1, 105, 105)
    images[:, :, 30:75, 40:65] = 1
    batch = SignatureBatch(
        torch.arange(4), torch.tensor([0, 0, 1, 1]), torch.tensor([True, False, True, False]), torch.zeros(4).long()
    )
    config = replace(SMALL, writer_distortions=Distortions(shear=0.3, elastic_px=3.0))
    bent = shared_warp(images, batch, config, torch.Generator().manual_seed(2))
    assert torch.equal(bent[0], bent[1])
    assert torch.equal(bent[2], bent[3])
    assert (bent[0] - bent[2]).abs().max() > 0.5
    assert (bent[0] - images[0]).abs().max() > 0.5


def test_synthetic_writers_are_one_more_collection(signatures, monkeypatch):
    monkeypatch.setattr("train.signatures.sampling.INVENTED_GENUINE", 3)
    monkeypatch.setattr("train.signatures.sampling.INVENTED_FORGERIES", 2)
    both = with_synthetic({"": signatures}, replace(SMALL, synthetic_writers=2))
    assert both[""] is signatures
    assert both["invented"].writers_held == ("01", "02")
    assert with_synthetic({"": signatures}, SMALL) == {"": signatures}


# The network


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A checkpoint of random weights."""
    folder = tmp_path_factory.mktemp("weights") / "untrained"
    save_checkpoint(folder, narrow_network(1), SIGNATURE, "int8")
    return folder


def test_what_is_to_stay_stays(signatures, untrained):
    network = begin(SMALL, {"": signatures}, untrained).train()
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert not any(name.startswith(("convolutions.0", "convolutions.1", "convolution_norms.1")) for name in trained)
    assert {"convolutions.2.weight", "convolution_norms.2.weight", "head.weight", "embedding_norm.bias"} <= trained
    assert trained.isdisjoint({"embedding.weight", "embedding.bias", "embedding_norm.weight"})
    keep_statistics(network, SMALL)
    normalised = [norm for norm in network.convolution_norms if isinstance(norm, torch.nn.BatchNorm2d)]
    assert [norm.training for norm in (*normalised, network.embedding_norm)] == [True, True, False]
    free = replace(SMALL, shared_embedding=False, frozen_convolutions=0)
    assert all(p.requires_grad for p in begin(free, {"": signatures}, untrained).parameters())


def test_the_recipe_shows_signatures_as_the_library_does():
    assert load_recipe(SignatureConfig, "signatures").preprocessing == SIGNATURE

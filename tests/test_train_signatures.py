"""Training on signatures: who trains and who tests, which pairs mean what, and the command to its checkpoint."""

import json
import math
from dataclasses import replace

import pytest
import torch

from siamese import checkpoint as checkpoints
from siamese import hub
from siamese.checkpoint import load_checkpoint, read_config, save_checkpoint
from siamese.invented_signatures import invented_signatures
from siamese.network import NetworkConfig, SiameseNetwork
from siamese.preparation import SIGNATURE
from siamese.signature_card import signature_card
from train import signatures as module
from train.__main__ import main
from train.config import RecipeError, TrainConfig, load_recipe
from train.distortions import Distortions
from train.evaluate_signatures import seen_hashes
from train.signatures import (
    SignatureBatch,
    begin,
    fold_splits,
    keep_statistics,
    kinds_of_pairs,
    shared_warp,
    signature_loss,
    split_writers,
    with_invented,
    writer_sampler,
)

PRETRAINED = hub.PRETRAINED  # the package's own, whatever stands in for it later
NAMES = tuple(f"{index:02d}" for index in range(1, 56))
SMALL = TrainConfig(
    sampling="signatures",
    network=NetworkConfig(batch_norm=True),
    preparation=SIGNATURE,
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
RECIPE = """
sampling = "signatures"
steps = 2
warmup_steps = 1
writers = 2
genuine = 2
forgeries = 2
test_writers = 2
validation_writers = 1
shared_embedding = true
frozen_convolutions = 2
[preparation]
extent_px = 99
kind = "signature"
aspect_power = 0.5
pen_px = 2.0
spread = 3.6
"""


@pytest.fixture(scope="module")
def signatures():
    """Five writers with five genuine signatures and three forgeries each."""
    return invented_signatures(5, 5, 3, seed=1)


# Who trains, validates and tests


def test_at_least_twelve_of_55_writers_are_kept_for_the_test():
    split = split_writers(NAMES, TrainConfig(sampling="signatures"))
    assert (len(split.test), len(split.validation), len(split.training)) == (12, 8, 35)
    assert sorted(split.test + split.validation + split.training) == sorted(NAMES)
    assert split.test != NAMES[:12]
    for config in (TrainConfig(seed=3), TrainConfig(learning_rate=1.0)):
        assert split_writers(NAMES, config) == split  # neither the seed nor the recipe moves a writer


def test_in_folds_every_writer_tests_once():
    splits = fold_splits(NAMES, 5, TrainConfig())
    assert sorted(name for split in splits for name in split.test) == sorted(NAMES)
    for split in splits:
        assert sorted(split.test + split.validation + split.training) == sorted(NAMES)
        assert len(split.validation) == 8


def test_too_few_writers_are_refused():
    with pytest.raises(RecipeError, match="leaves fewer than two to train on"):
        split_writers(NAMES[:21], TrainConfig())
    for folds in (1, 56):
        with pytest.raises(RecipeError, match=f"--folds is {folds}, must lie in 2 to 55"):
            fold_splits(NAMES, folds, TrainConfig())


# What meets, and what it means


def test_a_batch_holds_whole_groups_and_depends_on_its_generator_alone(signatures):
    sampler = writer_sampler(signatures)
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
        writer_sampler(signatures.take(signatures.genuine))
    with pytest.raises(RecipeError, match="two writers"):
        writer_sampler(signatures.of_writers(["01"]))


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


def test_invented_writers_stand_behind_those_of_the_data(signatures):
    both = with_invented(signatures, replace(SMALL, invented_writers=2))
    assert len(both) == len(signatures) + 2 * 24
    assert both.writers_held[-2:] == ("invented 01", "invented 02")
    assert torch.equal(both.take(torch.arange(len(signatures))).images, signatures.images)
    assert with_invented(signatures, SMALL) is signatures


# The network


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """A folder of bundled checkpoints that holds one, of random weights."""
    folder = tmp_path_factory.mktemp("pretrained")
    save_checkpoint(folder / "omniglot", SiameseNetwork(generator=torch.Generator().manual_seed(1)), SIGNATURE, "int8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "PRETRAINED", folder)
        patch.setattr(checkpoints, "BASES", folder)
        patch.setattr(module, "BASES", folder)
        yield folder


def test_what_is_to_stay_stays(signatures, bundled):
    network = begin(SMALL, signatures, bundled / "omniglot").train()
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert not any(name.startswith(("convolutions.0", "convolutions.1", "convolution_norms.1")) for name in trained)
    assert {"convolutions.2.weight", "convolution_norms.2.weight", "head.weight", "embedding_norm.bias"} <= trained
    assert trained.isdisjoint({"embedding.weight", "embedding.bias", "embedding_norm.weight"})
    keep_statistics(network, SMALL)
    normalised = [norm for norm in network.convolution_norms if isinstance(norm, torch.nn.BatchNorm2d)]
    assert [norm.training for norm in (*normalised, network.embedding_norm)] == [True, True, False]
    free = replace(SMALL, shared_embedding=False, frozen_convolutions=0)
    assert all(p.requires_grad for p in begin(free, signatures, bundled / "omniglot").parameters())


# The command


@pytest.fixture
def words(signatures, bundled, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load_signatures", lambda _source, _preparation: signatures)
    recipe = tmp_path / "small.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return ["fit", "--recipe", str(recipe), "--data", "place/archive.zip", "--device", "cpu"]


def test_a_run_leaves_a_small_checkpoint_that_says_who_trained_it(words, signatures, bundled, tmp_path, capsys):
    assert main([*words, "--output", str(tmp_path / "run")]) == 0
    assert "told right where both errors are alike" in capsys.readouterr().out
    model = tmp_path / "run" / "model"
    assert sum(path.stat().st_size for path in model.iterdir()) < 3_000_000
    checkpoint = load_checkpoint(model)
    base = load_checkpoint(bundled / "omniglot").network
    assert torch.equal(checkpoint.network.embedding.weight, base.embedding.weight)
    first, last = (network.convolutions[0].weight for network in (base, checkpoint.network))
    torch.testing.assert_close(first, last, rtol=0, atol=1e-4)
    assert not torch.equal(base.convolutions[3].weight, checkpoint.network.convolutions[3].weight)
    assert checkpoint.preparation == SIGNATURE
    training = checkpoint.config["training"]
    assert (training["steps"], training["images"]) == (2, 2 * 8)
    parts = training["signatures"]
    assert [len(parts[part]) for part in ("training", "validation", "test")] == [2, 1, 2]
    told = sorted(digest for part in ("training", "validation", "test") for d in parts[part].values() for digest in d)
    assert told == sorted(signatures.sha256)
    assert parts["data"] == "archive.zip"
    assert parts["before"] == []
    assert training["began_with"]["weights_sha256"] == read_config(bundled / "omniglot")["weights_sha256"]
    assert set(checkpoint.config["verification"]["by_references"]) == {"1", "2", "3"}
    assert checkpoint.config["verification"]["consistency"]["weight"] == 0.5
    assert (tmp_path / "run" / "training.png").is_file()


def test_who_was_seen_is_told_over_all_stages(words, signatures, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert main([*words, "--output", str(first)]) == 0
    assert main([*words, "--init", str(first / "model"), "--output", str(second)]) == 0
    seen = [read_config(run / "model") for run in (first, second)]
    assert seen[1]["training"]["signatures"]["before"] == sorted(seen_hashes(seen[0])) != []
    assert seen_hashes(seen[1]) >= seen_hashes(seen[0])


def test_a_final_run_trains_on_those_who_validated_and_carries_their_thresholds(words, tmp_path, capsys):
    held_out, final = tmp_path / "held-out" / "model", tmp_path / "final" / "model"
    assert main([*words, "--output", str(held_out.parent)]) == 0
    final_words = [*words, "--all-writers", "--output", str(final.parent)]
    assert main([*final_words, "--calibration-from", str(held_out)]) == 0
    first, last = read_config(held_out), read_config(final)
    before, after = first["training"]["signatures"], last["training"]["signatures"]
    assert after["training"] == before["training"] | before["validation"]
    assert (after["validation"], after["test"]) == ({}, before["test"])
    assert last["training"]["validation_accuracy"] is None
    assert last["verification"] == first["verification"] | {"from_held_out_run": True}
    assert seen_hashes(last) == seen_hashes(first)
    assert "come from a run that held some of those out" in signature_card("user/name", last)


def test_a_final_run_without_a_held_out_one_has_no_thresholds(words, tmp_path):
    assert main([*words, "--all-writers", "--output", str(tmp_path / "run")]) == 0
    assert read_config(tmp_path / "run" / "model").get("verification") is None


def test_those_who_chose_the_thresholds_count_as_seen(words, bundled, signatures, tmp_path, monkeypatch):
    """A held-out run on other people: none of them is unseen afterwards."""
    others = invented_signatures(5, 5, 3, seed=2)
    with monkeypatch.context() as patch:
        patch.setattr(module, "load_signatures", lambda _source, _preparation: others)
        assert main([*words, "--output", str(tmp_path / "others")]) == 0
    thresholds = ["--all-writers", "--calibration-from", str(tmp_path / "others" / "model")]
    assert main([*words, *thresholds, "--output", str(tmp_path / "run")]) == 0
    assert seen_hashes(read_config(tmp_path / "run" / "model")) > seen_hashes(
        read_config(tmp_path / "others" / "model")
    )


def test_folds_score_every_writer_by_a_network_that_has_not_seen_it(words, tmp_path, capsys):
    output = tmp_path / "folds"
    assert main([*words, "--folds", "3", "--output", str(output)]) == 0
    report = json.loads((output / "folds.json").read_text(encoding="utf-8"))
    assert report["signatures"]["writers_scored"] == 5
    assert sorted(len(fold["writers"]) for fold in report["folds"]) == [1, 2, 2]
    assert set(report["signatures"]["operating_points"]) == {"strict", "balanced", "lenient"}
    first = (output / "fold-1" / "model" / "model.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    assert main([*words, "--folds", "3", "--output", str(output)]) == 0  # nothing is trained again
    assert (output / "fold-1" / "model" / "model.safetensors").stat().st_mtime_ns == first
    assert "All 5 writers, each scored by the fold that has not seen it" in capsys.readouterr().out
    # other divisions have other test writers, some of whom these networks were trained on
    assert main([*words, "--folds", "4", "--output", str(output)]) == 1
    assert "fold-1 holds a run with other writers" in capsys.readouterr().err
    assert main([*words, "--folds", "3", "--init", str(output / "fold-1" / "model"), "--output", str(output)]) == 1
    assert "fold-1 holds a run with other --init" in capsys.readouterr().err


def test_a_run_without_time_stops_and_says_how_to_go_on(words, tmp_path, capsys):
    assert main([*words, "--output", str(tmp_path / "run"), "--max-minutes", "0"]) == 130
    assert "Stopped after step 0 of 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--all-alphabets"], "are for characters"),
        (["--folds", "3", "--all-writers"], "leave out --all-writers"),
        (["--calibration-from", "x"], "goes with --all-alphabets or --all-writers"),
        (["--all-writers", "--calibration-from", "omniglot"], "omniglot was not calibrated"),
        (["--folds", "9"], "--folds is 9, must lie in 2 to 5"),
        (["--init", "no/such/folder/at/all"], "no/such/folder/at/all"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(words, more, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main([*words, "--output", str(tmp_path / "run"), *more]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1


def test_thresholds_of_characters_are_not_taken_for_signatures(words, bundled, tmp_path, capsys):
    source = tmp_path / "characters"
    save_checkpoint(source, SiameseNetwork(), SIGNATURE, verification={"threshold": 0.5})
    assert main([*words, "--all-writers", "--calibration-from", str(source), "--output", str(tmp_path / "run")]) == 1
    assert "was not calibrated on signatures" in capsys.readouterr().err


def test_writers_who_cannot_validate_are_noticed_before_any_step(words, signatures, tmp_path, capsys, monkeypatch):
    whose = split_writers(signatures.writers_held, replace(SMALL, test_writers=2)).validation[0]
    keep = signatures.genuine | (signatures.writer != signatures.writer_names.index(whose))
    monkeypatch.setattr(module, "load_signatures", lambda _source, _preparation: signatures.take(keep))
    assert main([*words, "--output", str(tmp_path / "run")]) == 1
    assert "No writer who validates has two genuine signatures and a forgery" in capsys.readouterr().err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_signatures_must_be_named(words, tmp_path, capsys):
    given = [word for word in words if word not in ("--data", "place/archive.zip")]
    assert main([*given, "--output", str(tmp_path / "run")]) == 1
    assert "name theirs with --data" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--folds", "3"], ["--all-writers"]])
def test_writers_are_not_for_characters(words, tmp_path, capsys):
    assert main(["fit", "--data", "invented", *words, "--output", str(tmp_path / "run")]) == 1
    assert "--folds and --all-writers are for signatures" in capsys.readouterr().err


def test_the_recipe_shows_signatures_as_the_library_does():
    assert load_recipe("signatures").preparation == SIGNATURE


def test_the_bundled_weights_stand_on_the_bundled_base_and_name_their_writers(monkeypatch):
    monkeypatch.setattr(checkpoints, "BASES", PRETRAINED)
    folder = PRETRAINED / "signatures"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5_000_000
    checkpoint = load_checkpoint(folder)  # also refuses weights of another base
    assert checkpoint.config["base"]["weights_sha256"] == read_config(PRETRAINED / "omniglot")["weights_sha256"]
    assert checkpoint.preparation == SIGNATURE
    people = checkpoint.config["training"]["signatures"]
    seen = {digest for part in ("training", "validation") for each in people[part].values() for digest in each}
    kept = {digest for each in people["test"].values() for digest in each}
    assert len(people["test"]) >= 12
    assert kept
    assert kept.isdisjoint(seen)
    figures = checkpoint.config["figures"]["signatures"]
    assert sorted(figures["writers"]) == sorted(people["test"])

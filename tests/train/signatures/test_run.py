"""`python -m train fit-signatures` from its words to its checkpoint, once and in folds."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from siamese.hub import checkpoint as checkpoints
from siamese.hub import resolve as hub
from siamese.hub.card import model_card
from siamese.hub.checkpoint import load_checkpoint, read_config, save_checkpoint
from siamese.metrics import equal_error_point
from siamese.preprocessing import SIGNATURE
from siamese.signatures.dataset import synthetic_signatures
from siamese.signatures.verifier import load_verifier, scoring_in
from tests.networks import narrow_network
from train.__main__ import main
from train.config import load_recipe
from train.signatures import collections as module
from train.signatures import training
from train.signatures.collections import split_writers
from train.signatures.comparison import compare
from train.signatures.config import SignatureConfig
from train.signatures.evaluate import seen_hashes
from train.signatures.fusion import fit_fusion, pairs_of
from train.signatures.scores import curves_of, score_all

PRETRAINED = hub.PRETRAINED  # the package's own, whatever stands in for it later
RECIPE = """
task = "signatures"
steps = 2
warmup_steps = 1
writers = 2
genuine = 2
forgeries = 2
test_writers = 2
validation_writers = 1
shared_embedding = true
frozen_convolutions = 2
[preprocessing]
extent_px = 99
kind = "signature"
aspect_power = 0.5
pen_px = 2.0
spread = 3.6
[network]
batch_norm = true
channels = [4, 8, 8, 16]
embedding_units = 48
"""


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """A folder of bundled checkpoints that holds one, of random weights."""
    folder = tmp_path_factory.mktemp("pretrained")
    save_checkpoint(folder / "omniglot", narrow_network(1), SIGNATURE, "int8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "PRETRAINED", folder)
        patch.setattr(checkpoints, "BASES", folder)
        patch.setattr(training, "BASES", folder)
        yield folder


@pytest.fixture
def words(signatures, bundled, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load_signatures", lambda _source, _preparation: signatures)
    recipe = tmp_path / "small.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return ["fit-signatures", "--recipe", str(recipe), "--data", "place/archive.zip", "--device", "cpu"]


def test_a_run_leaves_a_small_checkpoint_that_says_who_trained_it(words, signatures, bundled, tmp_path, capsys):
    assert main([*words, "--output", str(tmp_path / "run")]) == 0
    assert "told right where both errors are alike" in capsys.readouterr().out
    model = tmp_path / "run" / "model"
    weights = [folder / "model.safetensors" for folder in (model, bundled / "omniglot")]
    assert weights[0].stat().st_size < weights[1].stat().st_size / 2  # the large layer is not stored again
    checkpoint = load_checkpoint(model)
    base = load_checkpoint(bundled / "omniglot").network
    assert torch.equal(checkpoint.network.embedding.weight, base.embedding.weight)
    first, last = (network.convolutions[0].weight for network in (base, checkpoint.network))
    torch.testing.assert_close(first, last, rtol=1e-3, atol=1e-4)  # a step of float16
    assert not torch.equal(base.convolutions[3].weight, checkpoint.network.convolutions[3].weight)
    assert checkpoint.preprocessing == SIGNATURE
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
    assert set(checkpoint.config["verification"]["fusion"]) >= {"bias", "network", "hinge", "profile"}
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
    assert "come from earlier runs that held some of those out" in str(model_card("user/name", last))


@pytest.mark.slow
def test_thresholds_of_several_runs_are_those_of_all_whom_they_held_out(words, signatures, tmp_path, capsys):
    runs = [tmp_path / f"part-{part}" / "model" for part in range(3)]
    for part, run in enumerate(runs):
        assert main([*words, "--validation-part", str(part), "--output", str(run.parent)]) == 0
    configs = [read_config(run) for run in runs]
    held = [set(config["training"]["signatures"]["validation"]) for config in configs]
    test = set(configs[0]["training"]["signatures"]["test"])
    assert [len(some) for some in held] == [1, 1, 1]
    assert set.union(*held) == set(signatures.writers_held) - test

    final = [*words, "--all-writers", "--output", str(tmp_path / "final"), "--calibration-from"]
    assert main([*final, *map(str, runs[:2])]) == 0
    last = read_config(tmp_path / "final" / "model")
    assert last["verification"]["measured_on"].startswith("signatures of 2 writers, each scored by a run that had not")
    assert seen_hashes(last) >= set.union(*map(seen_hashes, configs[:2]))
    held_out = [
        (load_checkpoint(run).network, signatures.of_writers(names)) for run, names in zip(runs[:2], held, strict=False)
    ]
    # each writer is weighed as the other one says
    cpu, scoring = torch.device("cpu"), scoring_in(last)
    compared = [compare(network, whose, cpu) for network, whose in held_out]
    pairs = [pairs_of(one) for one in compared]
    assert scoring.fusion == fit_fusion(pairs)
    crossed = [replace(scoring, fusion=fit_fusion([other])) for other in reversed(pairs)]
    scores = [score_all(whose, one, counts=(1,))[1] for whose, one in zip(compared, crossed, strict=True)]
    plain = [score_all(whose, scoring, counts=(1,))[1] for whose in compared]
    genuine = [similarity.logit() for one in plain for similarity in one.genuine]
    expected = curves_of(scores[0] + scores[1]).skilled
    point = last["verification"]["operating_points"]["balanced"]
    assert point["threshold"] == pytest.approx(equal_error_point(expected).threshold)
    assert last["verification"]["consistency"]["level"] == pytest.approx(torch.cat(genuine).mean().item(), abs=1e-4)

    again = [*words, "--all-writers", "--output", str(tmp_path / "again"), "--calibration-from"]
    capsys.readouterr()
    assert main([*again, str(runs[0]), str(runs[0])]) == 1
    assert f"held out {held[0].pop()}, as another of the runs did; give each part once" in capsys.readouterr().err
    others = tmp_path / "others" / "model"
    assert main([*words, "--init", str(runs[1]), "--output", str(others.parent)]) == 0
    assert main([*again, str(others), str(runs[1])]) == 1
    assert "began with weights that had seen those whom it held out" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_a_final_run_without_a_held_out_one_has_no_thresholds(words, tmp_path):
    assert main([*words, "--all-writers", "--output", str(tmp_path / "run")]) == 0
    assert read_config(tmp_path / "run" / "model").get("verification") is None


@pytest.mark.slow
def test_those_who_chose_the_thresholds_count_as_seen(words, bundled, signatures, tmp_path, monkeypatch):
    """A held-out run on other people: none of them is unseen afterwards."""
    others = synthetic_signatures(5, 5, 3, seed=2)
    with monkeypatch.context() as patch:
        patch.setattr(module, "load_signatures", lambda _source, _preparation: others)
        assert main([*words, "--output", str(tmp_path / "others")]) == 0
    thresholds = ["--all-writers", "--calibration-from", str(tmp_path / "others" / "model")]
    assert main([*words, *thresholds, "--output", str(tmp_path / "run")]) == 0
    assert seen_hashes(read_config(tmp_path / "run" / "model")) > seen_hashes(
        read_config(tmp_path / "others" / "model")
    )


@pytest.mark.slow
def test_folds_score_every_writer_by_a_network_that_has_not_seen_it(words, tmp_path, capsys):
    output = tmp_path / "folds"
    assert main([*words, "--folds", "3", "--output", str(output)]) == 0
    report = json.loads((output / "folds.json").read_text(encoding="utf-8"))
    assert report["signatures"]["writers_scored"] == 5
    assert sorted(len(fold["writers"]) for fold in report["folds"]) == [1, 2, 2]
    assert set(report["signatures"]["operating_points"]) == {"strict", "balanced", "lenient"}
    alone = report["signatures"]["parts_alone"]
    assert [alone[name]["writers"] for name in ("network", "hinge", "profile")] == [5, 5, 5]
    assert all(part["pairs"] == report["signatures"]["pairs"] for part in alone.values())
    first = (output / "fold-1" / "model" / "model.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    assert main([*words, "--folds", "3", "--output", str(output)]) == 0  # nothing is trained again
    assert (output / "fold-1" / "model" / "model.safetensors").stat().st_mtime_ns == first
    assert "All 5 writers, each scored by the fold that has not seen it" in capsys.readouterr().out
    # other divisions have other test writers, some of whom these networks were trained on
    assert main([*words, "--folds", "4", "--output", str(output)]) == 1
    assert "fold-1 holds a run with other writers" in capsys.readouterr().err
    save_checkpoint(tmp_path / "other", narrow_network(2), SIGNATURE)
    assert main([*words, "--folds", "3", "--init", str(tmp_path / "other"), "--output", str(output)]) == 1
    assert "fold-1 holds a run with other --init" in capsys.readouterr().err


@pytest.mark.slow
def test_folds_are_not_trained_over(words, tmp_path, capsys):
    output = ["--folds", "3", "--output", str(tmp_path / "folds")]
    assert main([*words, *output, "--max-minutes", "0"]) == 130
    assert "Stopped in fold 1" in capsys.readouterr().out
    assert main([*words, *output]) == 1
    assert "fold-1 already holds a run; continue it with --resume" in capsys.readouterr().err
    assert main([*words, *output, "--resume"]) == 0


def test_a_collection_that_was_left_out_is_measured_with_the_others_thresholds(words, tmp_path, monkeypatch, capsys):
    sets = {name: synthetic_signatures(5, 2, 1, seed=seed) for seed, name in enumerate("abc", 2)}
    monkeypatch.setattr(module, "load_signatures", lambda source, _preprocessing: sets[Path(source).stem])
    several = [*words[: words.index("--data")], "--device", "cpu", "--data", "x/a.zip", "x/b.zip", "x/c"]
    out, final = tmp_path / "out" / "model", tmp_path / "final" / "model"
    assert main([*several, "--leave-one-collection-out", "c", "--output", str(out.parent)]) == 0
    assert "Left out, c, skilled forgeries, by references: EER " in capsys.readouterr().out
    config = read_config(out)
    people = config["training"]["signatures"]
    assert people["data"] == "a.zip, b.zip"
    assert {name.partition("/")[0] for name in people["training"]} == {"a", "b"}
    assert seen_hashes(config).isdisjoint(sets["c"].sha256)
    (entry,) = config["verification"]["left_out"]
    assert (entry["collection"], entry["writers"]) == ("c", 5)
    points = config["verification"]["operating_points"]
    measured = entry["by_references"]["1"]["operating_points"]
    assert {name: point["threshold"] for name, point in measured.items()} == pytest.approx(
        {name: point["threshold"] for name, point in points.items()}
    )

    assert main([*several, "--rates-from", str(out), "--output", str(final.parent)]) == 0
    assert read_config(final)["verification"]["left_out"] == [entry]
    elsewhere = load_verifier(str(final)).measured[1].elsewhere["strict"]
    assert elsewhere.far == (measured["strict"]["far"], measured["strict"]["far"])
    assert "| c (5 writers) | skilled forgeries | 1 |" in str(model_card("user/name", read_config(final)))

    capsys.readouterr()
    again = [*several, "--output", str(tmp_path / "again")]
    assert main([*again, "--leave-one-collection-out", "c", "--init", str(final)]) == 1
    assert "model have seen 3 writers of c, so that it cannot be left out" in capsys.readouterr().err


def test_weights_that_have_seen_the_writers_are_named(words, signatures, tmp_path, capsys):
    first = tmp_path / "first"
    assert main([*words, "--output", str(first)]) == 0
    capsys.readouterr()
    more = ["--init", str(first / "model"), "--output"]
    assert main([*words, *more, str(tmp_path / "folds"), "--folds", "3"]) == 1
    assert "have seen 3 of these writers; folds begin with weights that saw none" in capsys.readouterr().err
    assert main([*words, *more, str(tmp_path / "second")]) == 0
    whose = split_writers(signatures.writers_held, load_recipe(SignatureConfig, words[2])).validation[0]
    assert f"have seen the writers {whose}: figures on them will be too good" in capsys.readouterr().out


def test_small_checkpoints_can_be_gone_on_with(words, bundled, tmp_path):
    """A bundled checkpoint that has its large layer from another one passes that one on."""
    assert main([*words, "--output", str(tmp_path / "first")]) == 0
    shutil.copytree(tmp_path / "first" / "model", bundled / "small")
    assert main([*words, "--init", str(bundled / "small"), "--output", str(tmp_path / "second")]) == 0
    assert read_config(tmp_path / "second" / "model")["base"]["name"] == "omniglot"


def test_a_run_without_time_stops_and_says_how_to_go_on(words, tmp_path, capsys):
    assert main([*words, "--output", str(tmp_path / "run"), "--max-minutes", "0"]) == 130
    assert "Stopped after step 0 of 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--recipe", "modern"], "The recipe modern is for characters: `python -m train fit` takes it."),
        (["--folds", "3", "--all-writers"], "leave out --all-writers"),
        (["--calibration-from", "x"], "--calibration-from goes with --all-writers"),
        (["--all-writers", "--calibration-from", "omniglot"], "omniglot was not calibrated"),
        (["--all-writers", "--validation-part", "1"], "--validation-part and --all-writers exclude each other"),
        (["--validation-part", "3"], "There is no part 3, counted from 0, of 1 each among the 3 writers"),
        (["--validation-part", "-1"], "'validation_part' is -1: input should be greater than or equal to 0"),
        (["--leave-one-collection-out", "x"], "no collection x to leave out beside others; there is only one"),
        (["--leave-one-collection-out", "x", "--folds", "3"], "goes with none of --folds, --all-writers and"),
        (["--rates-from", "omniglot"], "omniglot was not calibrated"),
        (["--folds", "3", "--data", "a.zip", "b.zip"], "--folds divides the writers of one collection"),
        (["--folds", "9"], "--folds is 9, must lie in 2 to 5"),
        (["--folds", "3", "--push-to-hub", "user/name"], "--folds makes no single checkpoint to publish"),
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
    save_checkpoint(source, narrow_network(), SIGNATURE, verification={"threshold": 0.5})
    assert main([*words, "--all-writers", "--calibration-from", str(source), "--output", str(tmp_path / "run")]) == 1
    assert "was not calibrated on signatures" in capsys.readouterr().err


def test_writers_who_cannot_validate_are_noticed_before_any_step(words, signatures, tmp_path, capsys, monkeypatch):
    whose = split_writers(signatures.writers_held, SignatureConfig(test_writers=2, validation_writers=1)).validation[0]
    keep = signatures.genuine | (signatures.writer != signatures.writer_names.index(whose))
    monkeypatch.setattr(module, "load_signatures", lambda _source, _preparation: signatures.take(keep))
    assert main([*words, "--output", str(tmp_path / "run")]) == 1
    assert "No writer who validates has two genuine signatures and a forgery" in capsys.readouterr().err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_signatures_must_be_named(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["fit-signatures", "--output", str(tmp_path / "run")])
    assert left.value.code == 2
    assert "the following arguments are required: --data" in capsys.readouterr().err


def test_the_bundled_weights_stand_on_the_bundled_base_and_name_their_writers(monkeypatch):
    monkeypatch.setattr(checkpoints, "BASES", PRETRAINED)
    folder = PRETRAINED / "signatures"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5_000_000
    checkpoint = load_checkpoint(folder)  # also refuses weights of another base
    assert checkpoint.config["base"]["weights_sha256"] == read_config(PRETRAINED / "omniglot")["weights_sha256"]
    assert checkpoint.preprocessing == SIGNATURE
    people = checkpoint.config["training"]["signatures"]
    seen = {digest for part in ("training", "validation") for each in people[part].values() for digest in each}
    kept = {digest for each in people["test"].values() for digest in each}
    assert len(people["test"]) >= 12
    assert kept
    assert kept.isdisjoint(seen)
    measured = [
        f"{Path(entry['data']).stem}/{writer}"
        for entry in checkpoint.config["figures"]["collections"]
        for writer in entry["writers"]
    ]
    assert sorted(measured) == sorted(people["test"])

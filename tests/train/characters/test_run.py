"""`python -m train fit` from its words to its checkpoint, and everything it refuses."""

import argparse
import json
import math
from dataclasses import replace

import pytest
import torch

from siamese.characters import omniglot
from siamese.characters.drawings import Drawings
from siamese.hub.checkpoint import load_checkpoint, save_checkpoint
from siamese.network import SiameseNetwork
from siamese.preprocessing import Preprocessing
from tests.networks import NARROW, narrow_network
from train.__main__ import main
from train.characters import run as module
from train.characters.config import CharacterConfig
from train.characters.run import begin, config_of, with_held_out
from train.config import RecipeError, load_recipe
from train.state import METRICS, STATE

RECIPE = """
steps = 5
characters = 4
validation_trials = 40
weight_decay = 0.0
optimiser = "sgd"
[network]
batch_norm = true
channels = [4, 8, 8, 16]
embedding_units = 48
"""


@pytest.fixture(scope="module")
def data():
    """`--data invented` holds two alphabets of 20 characters by two drawers while these tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(omniglot.INVENTED, "background", (2, 20, 2, 11))
        yield "invented"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipes") / "small.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def trained(data, recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    words = ["fit", "--recipe", recipe, "--data", data, "--steps", "2", "--seed", "3", "--device", "cpu"]
    assert main([*words, "--output", str(folder)]) == 0
    return folder


def test_a_run_leaves_a_checkpoint_metrics_and_a_curve(trained):
    checkpoint = load_checkpoint(trained / "model")
    assert checkpoint.network.config == NARROW  # batch normalisation was folded
    assert checkpoint.preprocessing == Preprocessing()
    training = checkpoint.config["training"]
    assert (training["recipe"], training["steps"], training["images"]) == ("small", 2, 16)
    assert training["config"]["seed"] == 3
    assert len(training["held_out_alphabets"]) == len(training["alphabets"]) == 1
    assert set(training["held_out_alphabets"]).isdisjoint(training["alphabets"])
    assert 0 <= training["validation_accuracy"] <= 1
    assert 0 < checkpoint.config["verification"]["threshold"] < 1
    lines = [json.loads(line) for line in (trained / METRICS).read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[1]["validation_accuracy"] == training["validation_accuracy"]
    assert (trained / "training.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_with_a_run_is_not_used_for_another(trained, data, recipe, capsys):
    before = (trained / METRICS).read_bytes()
    assert main(["fit", "--recipe", recipe, "--data", data, "--output", str(trained)]) == 1
    assert "already holds a run; continue it with --resume" in capsys.readouterr().err
    assert (trained / METRICS).read_bytes() == before


def test_a_run_of_another_recipe_is_not_resumed(trained, data, recipe, capsys):
    words = ["fit", "--recipe", recipe, "--data", data, "--output", str(trained), "--resume", "--seed", "4"]
    assert main(words) == 1
    assert "holds a run of another recipe" in capsys.readouterr().err


def test_a_run_goes_on_with_the_weights_and_data_that_it_began_with(data, recipe, tmp_path, capsys, monkeypatch):
    words = ["fit", "--recipe", recipe, "--data", data, "--output", str(tmp_path / "run"), "--max-minutes", "0"]
    assert main(words) == 130
    words.append("--resume")
    assert main(words) == 130
    save_checkpoint(tmp_path / "weights", narrow_network(), Preprocessing())
    capsys.readouterr()
    assert main([*words, "--init", str(tmp_path / "weights")]) == 1
    assert "holds a run with other --init; give the same again" in capsys.readouterr().err
    monkeypatch.setitem(omniglot.INVENTED, "background", (2, 20, 2, 12))
    assert main(words) == 1
    assert "holds a run with other --data; give the same again" in capsys.readouterr().err


def test_a_run_without_time_stops_and_says_how_to_go_on(data, recipe, tmp_path, capsys):
    words = ["fit", "--recipe", recipe, "--data", data, "--output", str(tmp_path / "run"), "--max-minutes", "0"]
    assert main([*words, "--all-alphabets"]) == 130
    captured = capsys.readouterr()
    assert "Stopped after step 0 of 5; go on with the same command and --resume." in captured.out
    assert "cannot be read" in captured.err  # no metrics, so no curve
    assert (tmp_path / "run" / STATE).is_file()
    assert "verification" not in load_checkpoint(tmp_path / "run" / "model").config


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--recipe", "postmodern"], "No recipe is called 'postmodern'"),
        (["--recipe", "signatures"], "is for signatures: `python -m train fit-signatures` takes it."),
        (["--steps", "0"], "'steps' is 0: input should be greater than 0"),
        (["--learning-rate", "-1"], "'learning_rate' is -1.0: input should be greater than 0"),
        (["--max-minutes", "nan"], "--max-minutes is nan, must not be negative"),
        (["--calibration-from", "x"], "--calibration-from goes with --all-alphabets"),
        (["--hold-out", "Elvish"], "The data has no alphabet Elvish to hold out; it has "),
        (["--hold-out", "Elvish", "--all-alphabets"], "--hold-out and --all-alphabets exclude each other"),
        (["--push-improvements"], "--push-improvements needs --push-to-hub"),
        (["--push-improvements", "--push-to-hub", "user/name", "--all-alphabets"], "needs held-out alphabets"),
        (["--resume"], "There is nothing to resume in"),
        (["--data", "no/such/folder/at/all"], "no/such/folder/at/all"),
        (["--init", "no/such/folder/at/all"], "no/such/folder/at/all"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(words, sentence, data, recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    given = ["fit", "--data", data, "--recipe", recipe, "--output", str(tmp_path / "run"), *words]
    assert main(given) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1


def test_improvements_are_published_while_the_run_goes_on(data, tmp_path, monkeypatch):
    """Also where every push fails: the run ends as it would have, and what was to be published is on the disk."""
    pushed = []

    def push_model(folder, repo_id, private):
        pushed.append((folder.name, repo_id, private, load_checkpoint(folder).config["training"]["steps"]))
        return False

    monkeypatch.setattr("train.run_folder.push_model", push_model)
    monkeypatch.setattr("train.characters.objective.Validation.accuracy", lambda self, network, device: 0.5)
    quick = tmp_path / "quick.toml"
    quick.write_text("validate_every = 1\n" + RECIPE, encoding="utf-8")
    given = ["fit", "--data", data, "--recipe", str(quick), "--steps", "2", "--output", str(tmp_path / "run")]
    assert main([*given, "--push-to-hub", "user/name", "--private", "--push-improvements"]) == 1
    assert pushed == [("best-model", "user/name", True, 1), ("model", "user/name", True, 2)]


def test_an_output_that_is_a_file_is_refused(data, recipe, tmp_path, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main(["fit", "--data", data, "--recipe", recipe, "--output", str(tmp_path / "file" / "run")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def words(**changes: object) -> argparse.Namespace:
    given = {
        "recipe": "modern",
        "steps": None,
        "seed": None,
        "learning_rate": None,
    }
    given |= {
        "max_minutes": math.inf,
        "all_alphabets": False,
        "hold_out": None,
        "calibration_from": None,
        "push_to_hub": None,
        "push_improvements": False,
    }
    return argparse.Namespace(**given | changes)


def test_words_change_the_recipe():
    modern = load_recipe(CharacterConfig, "modern")
    assert config_of(words()) == modern
    assert config_of(words(steps=9, seed=4, learning_rate=0.5)) == replace(modern, steps=9, seed=4, learning_rate=0.5)
    assert config_of(words(recipe="koch2015", all_alphabets=True)).hold_out == ()
    assert config_of(words(recipe="koch2015", all_alphabets=True)).patience == 0


def test_held_out_alphabets_are_those_of_the_recipe_that_are_there(capsys):
    config = CharacterConfig(hold_out=("b", "d"))
    assert with_held_out(config, ("a", "b", "c", "d")) is config
    assert capsys.readouterr().out == ""
    assert with_held_out(config, ("a", "b", "c")).hold_out == ("b",)
    assert with_held_out(config, ("x", "y", "z")).hold_out == ("y", "z")
    assert with_held_out(config, ("x", "y")).hold_out == ("y",)
    assert "held out: y." in capsys.readouterr().out
    none = CharacterConfig(hold_out=())
    assert with_held_out(none, ("x",)) is none
    for names in (("x",), ("b",), ("d", "b")):
        with pytest.raises(RecipeError, match="with --all-alphabets none is held out"):
            with_held_out(CharacterConfig(hold_out=("b", "q", "d")), names)


def test_a_run_begins_with_earlier_weights(drawings, tmp_path, trained):
    """What `--init` gives computes what the checkpoint does, with normalisation put back."""
    config = CharacterConfig(network=replace(NARROW, batch_norm=True))
    network = begin(config, drawings, str(trained / "model")).eval()
    images = drawings.take(torch.tensor([0, 30])).prepared(Preprocessing()).float() / 255
    with torch.no_grad():
        expected = load_checkpoint(trained / "model").network.embed(images)
        torch.testing.assert_close(network.embed(images), expected, rtol=0, atol=1e-4)
    assert network.config.batch_norm


def test_weights_for_another_preparation_are_taken_with_a_word(drawings, trained, capsys):
    config = CharacterConfig(network=replace(NARROW, batch_norm=True), preprocessing=Preprocessing(extent_px=95))
    network = begin(config, drawings, str(trained / "model")).eval()
    assert "trained on Preprocessing(extent_px=80" in capsys.readouterr().out
    images = drawings.take(torch.tensor([0, 30])).prepared(config.preprocessing).float() / 255
    with torch.no_grad():
        expected = load_checkpoint(trained / "model").network.embed(images)
        torch.testing.assert_close(network.embed(images), expected, rtol=0, atol=1e-4)


def test_frozen_convolutions_are_those_of_earlier_weights(drawings, trained):
    config = CharacterConfig(network=NARROW, frozen_convolutions=1)
    network = begin(config, drawings, str(trained / "model"))
    assert [layer.weight.requires_grad for layer in network.convolutions] == [False, True, True, True]
    with pytest.raises(RecipeError, match="give the start by --init"):
        begin(config, drawings, None)


def test_without_earlier_weights_the_seed_decides(drawings):
    config = CharacterConfig(network=NARROW, seed=3)
    network = begin(config, drawings, None)
    expected = SiameseNetwork(config.network, "modern", torch.Generator().manual_seed(3))
    assert torch.equal(network.convolutions[1].weight, expected.convolutions[1].weight)


def test_the_origin_of_a_second_stage_is_told(trained):
    origin = module.origin(str(trained / "model"))
    assert (origin["recipe"], origin["steps"], origin["images"], origin["began_with"]) == ("small", 2, 16, None)


def carried(sources: list, drawings: Drawings) -> dict:
    return module.carried_verification([str(source) for source in sources], drawings, torch.device("cpu"))


def test_a_final_run_carries_the_held_out_run_s_calibration(trained, drawings, tmp_path):
    held_out = load_checkpoint(trained / "model").config["verification"]
    assert carried([trained / "model"], drawings) == held_out
    save_checkpoint(tmp_path / "bare", narrow_network(), Preprocessing())
    with pytest.raises(ValueError, match="was not calibrated; give a run that held out"):
        carried([tmp_path / "bare"], drawings)


def test_a_final_run_may_carry_the_calibration_of_several_held_out_runs(trained, data, recipe, tmp_path):
    """Each on the alphabets that it held out itself, put together."""
    background = omniglot.load_drawings("background", data)
    first, second = background.alphabet_names
    words = ["fit", "--recipe", recipe, "--data", data, "--steps", "1", "--hold-out"]
    assert main([*words, first, "--output", str(tmp_path / "other")]) == 0
    other = load_checkpoint(tmp_path / "other" / "model").config
    assert other["training"]["held_out_alphabets"] == [first]
    assert other["training"]["alphabets"] == [second]
    sources = [trained / "model", tmp_path / "other" / "model"]
    found = carried(sources, background)
    assert found["measured_on"].endswith(
        f"of each of these sets, half of them the same character, the others two "
        f"characters of one alphabet, from {second}; {first}"
    )
    alone = sorted(load_checkpoint(source).config["verification"]["threshold"] for source in sources)
    assert alone[0] - 0.05 <= found["threshold"] <= alone[1] + 0.05
    with pytest.raises(ValueError, match=f"held out {second.replace('(', '.').replace(')', '.')}, as another"):
        carried([sources[0], sources[0]], background)
    save_checkpoint(tmp_path / "bare", narrow_network(), Preprocessing())
    with pytest.raises(ValueError, match="names no alphabets of this data that it held out"):
        carried([sources[0], tmp_path / "bare"], background)


def test_thresholds_of_signatures_are_not_taken_for_characters(data, tmp_path):
    point = {"threshold": 0.5, "far": 0.1, "frr": 0.1}
    measured = {"threshold": 0.5, "operating_points": dict.fromkeys(("strict", "balanced", "lenient"), point)}
    save_checkpoint(tmp_path / "signed", narrow_network(), Preprocessing(), verification=measured)
    with pytest.raises(ValueError, match="was calibrated on signatures; give a run that held out alphabets"):
        carried([tmp_path / "signed"], omniglot.load_drawings("background", data))


def test_a_final_run_moves_the_thresholds_by_what_it_scores_higher(trained, data, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(module.drift, "INVENTED", (2, 5, 2, 1))
    monkeypatch.setattr(module.drift, "PAIRS", 40)
    words = ["fit", "--data", data, "--recipe", recipe, "--all-alphabets", "--output", str(tmp_path / "run")]
    assert main([*words, "--calibration-from", str(trained / "model")]) == 0
    before, after = (load_checkpoint(path / "model") for path in (trained, tmp_path / "run"))
    was, found = (checkpoint.config["verification"] for checkpoint in (before, after))
    both = module.drift.eer_logits(
        [(checkpoint.network, checkpoint.preprocessing) for checkpoint in (before, after)], torch.device("cpu")
    )
    assert found["from_held_out_run"]
    for protocol, threshold in found["thresholds"].items():
        by = both[1][protocol] - both[0][protocol]
        assert by != 0
        assert found["moved_by_logits"][protocol] == pytest.approx(by, abs=0.02)  # one of them was folded since
        assert threshold == pytest.approx(module.drift.shift_logit(was["thresholds"][protocol], by), abs=0.01)


def test_a_calibration_that_cannot_be_carried_is_noticed_before_any_step(data, recipe, tmp_path, capsys):
    words = ["fit", "--data", data, "--recipe", recipe, "--all-alphabets", "--output", str(tmp_path / "run")]
    assert main([*words, "--calibration-from", str(tmp_path / "nothing")]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_not_all_alphabets_can_be_held_out(data, recipe, tmp_path, capsys):
    names = omniglot.load_drawings("background", data).alphabet_names
    words = ["fit", "--data", data, "--recipe", recipe, "--output", str(tmp_path / "run")]
    assert main([*words, "--hold-out", *names]) == 1
    assert "with --all-alphabets none is held out" in capsys.readouterr().err


def test_alphabets_that_an_earlier_stage_saw_are_not_held_out():
    last = {"held_out_alphabets": ["A", "B"], "began_with": {"held_out_alphabets": ["B", "C"], "began_with": None}}
    assert module.never_seen(last) == {"B"}
    assert module.never_seen(last | {"began_with": {"held_out_alphabets": []}}) == set()
    assert module.seen_alphabets(last | {"alphabets": ["C", "D"]}) == {"A", "C", "D"}
    assert module.seen_alphabets({}) == set()


def test_weights_that_have_seen_the_held_out_alphabets_are_named(trained, data, recipe, tmp_path, capsys):
    first = omniglot.load_drawings("background", data).alphabet_names[0]
    words = ["fit", "--recipe", recipe, "--data", data, "--steps", "1", "--init", str(trained / "model")]
    assert main([*words, "--output", str(tmp_path / "same")]) == 0
    assert "have seen" not in capsys.readouterr().out
    assert main([*words, "--hold-out", first, "--output", str(tmp_path / "other")]) == 0
    assert f"have seen {first}: figures on them will be too good." in capsys.readouterr().out

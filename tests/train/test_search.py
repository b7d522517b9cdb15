"""`python -m train search`: runs that differ in one thing, compared trial by trial."""

import json
from pathlib import Path

import pytest
import torch

from siamese.characters import omniglot
from siamese.characters.omniglot import load_drawings, pixel_hashes
from siamese.hub.checkpoint import load_checkpoint
from train.__main__ import main
from train.characters.config import CharacterConfig
from train.config import RecipeError, load_recipe, table_names
from train.evaluation import wilson_interval
from train.search import (
    Change,
    SearchError,
    chosen_changes,
    compared,
    load_search,
    markdown,
    merge_tables,
    pooled,
)

SEARCH = """
recipe = "modern"
steps = 1
characters = 4
validation_trials = 20
weight_decay = 0.0
optimiser = "sgd"
network = { batch_norm = true, channels = [4, 8, 8, 16], embedding_units = 48 }

[changes.control]
says = "as it is"

[changes.finer]
says = "a finer pen"
distortions = { pen_broad = 0.3 }
"""


@pytest.fixture
def search(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text(SEARCH, encoding="utf-8")
    return str(path)


def test_a_search_trains_compares_and_is_not_made_twice(search, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(omniglot.INVENTED, "background", (2, 20, 2, 11))
    output = tmp_path / "out"
    words = ["search", search, "--data", "invented", "--trials", "30", "--device", "cpu", "--output", str(output)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    rows = json.loads((output / "summary.json").read_text())
    assert [row["name"] for row in rows] == ["control", "finer"]
    for row in rows:
        low, high = row["validation"]["interval"]
        assert low <= row["validation"]["accuracy"] <= high
        assert row["validation"]["trials"] == 30
        assert row["images"] == 8
    assert "p_of_difference" not in rows[0]
    assert 0 < rows[1]["p_of_difference"] <= 1
    assert f"| a finer pen | {rows[1]['validation']['accuracy']:.2%} |" in printed
    assert load_checkpoint(output / "finer" / "model").config["training"]["recipe"] == "finer"
    assert not (output / "finer" / "state.safetensors").exists()
    written = (output / "finer" / "summary.json").stat().st_mtime_ns
    assert main(words) == 0
    assert (output / "finer" / "summary.json").stat().st_mtime_ns == written
    with Path(search).open("a") as file:
        file.write("pen_share = 0.1\n")  # outside the inline table: a field that the config has not
    assert main(words) == 1
    assert "pen_share" in capsys.readouterr().err


def test_a_run_by_another_config_is_not_taken_for_this_one(search, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(omniglot.INVENTED, "background", (2, 20, 2, 11))
    words = ["search", search, "--data", "invented", "--trials", "5", "--device", "cpu", "--only", "control"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    changed = tmp_path / "changed.toml"
    changed.write_text(SEARCH.replace("characters = 4", "characters = 5"), encoding="utf-8")
    words[1] = str(changed)
    assert main([*words, "--output", str(tmp_path / "out")]) == 1
    assert "holds a run by another config" in capsys.readouterr().err
    words[1] = search
    words[5] = "6"
    assert main([*words, "--output", str(tmp_path / "out")]) == 1
    assert "holds a run with other --init, --data or --trials" in capsys.readouterr().err


def test_the_evaluation_set_is_added_to_a_finished_search(search, tmp_path, monkeypatch, capsys):
    for split, seed in (("background", 11), ("evaluation", 12)):
        monkeypatch.setitem(omniglot.INVENTED, split, (2, 20, 2, seed))
    output = tmp_path / "out"
    words = ["search", search, "--data", "invented", "--trials", "30", "--device", "cpu", "--output", str(output)]
    assert main([*words, "--report-evaluation"]) == 1
    assert "Lake's runs need Omniglot's evaluation images" in capsys.readouterr().err
    assert not output.exists()  # refused before anything was trained
    assert main(words) == 0
    drawings = load_drawings("evaluation", "invented")
    rows = [[character + 1, digest] for character, digest in enumerate(pixel_hashes(drawings.ink)[:40:2])]
    run = {"alphabet": "Abc", "support_drawer": 1, "query_drawer": 1, "support": rows, "query": rows}
    (tmp_path / "runs.json").write_text(json.dumps({"runs": [run]}))
    monkeypatch.setattr(omniglot, "LAKE_RUNS", tmp_path / "runs.json")
    trained = (output / "finer" / "model" / "model.safetensors").stat().st_mtime_ns
    assert main([*words, "--report-evaluation"]) == 0
    for row in json.loads((output / "summary.json").read_text()):
        assert row["evaluation"]["trials"] == 30
        low, high = row["evaluation"]["interval"]
        assert low <= row["evaluation"]["accuracy"] <= high
        assert (row["lake_runs"]["accuracy"], row["lake_runs"]["trials"]) == (1.0, 20)  # each query is its own support
    assert (output / "finer" / "model" / "model.safetensors").stat().st_mtime_ns == trained


@pytest.mark.parametrize("name", table_names("search"))
def test_the_searches_of_the_package_fit_together(name):
    changes = load_search(name)
    assert len({change.name for change in changes}) == len(changes) > 1
    assert all(change.says for change in changes)


@pytest.mark.parametrize("name", ["rivals", "minimal_splits"])
def test_rivals_embed_as_many_images_as_the_recipe_they_are_compared_with(name):
    images = [change.config.steps * change.config.images_a_step for change in load_search(name)]
    assert min(images) > 0.97 * max(images)


def test_changes_of_a_table_leave_its_other_entries_alone():
    assert merge_tables({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 4}, "c": 5}) == {
        "a": {"x": 1, "y": 4},
        "b": 3,
        "c": 5,
    }


def test_each_seed_makes_a_run_of_its_own():
    config = load_recipe(CharacterConfig, "modern")
    changes = [Change(name, name, config, name) for name in ("one", "two", "three")]
    chosen = chosen_changes(changes, ["three"], [4, 5])
    assert [(c.name, c.config.seed) for c in chosen] == [("one-4", 4), ("one-5", 5), ("three-4", 4), ("three-5", 5)]
    assert [c.group for c in chosen] == ["one", "one", "three", "three"]
    with pytest.raises(SearchError, match="lists no four; there are one, two, three"):
        chosen_changes(changes, ["four"], None)


def row(name, won, hold_out):
    return {
        "says": name,
        "group": name,
        "config": {"hold_out": hold_out},
        "won": torch.tensor(won),
        "validation": {"accuracy": sum(won) / len(won), "interval": [0.1, 0.9], "trials": len(won)},
        "across": {"accuracy": 0.95, "interval": [0.1, 0.9], "trials": len(won)},
    }


def test_seeds_are_one_row_of_all_their_trials():
    one, other = row("same", [True] * 9 + [False], ["A"]), row("same", [True] * 7 + [False] * 3, ["A"])
    assert pooled([one])["won"].tolist() == [one["won"].tolist()]
    both = pooled([one, other])
    assert both["validation"]["accuracy"] == pytest.approx(0.8)
    assert both["validation"]["seeds"] == [0.9, 0.7]
    assert both["validation"]["interval"] == list(wilson_interval(8, 10))  # the seeds answered the same ten
    assert both["won"].tolist() == [one["won"].tolist(), other["won"].tolist()]


def test_seeds_that_answer_alike_are_no_further_evidence():
    first, better = row("first", [True] * 2 + [False] * 8, ["A"]), row("better", [True] * 10, ["A"])
    for seeds in (1, 3):
        assert compared(pooled([better] * seeds), pooled([first] * seeds))["p_of_difference"] == 2 / 2**8
    half = pooled([first, better])  # each of eight trials won by one seed in two
    assert compared(half, pooled([first] * 2))["p_of_difference"] == 2 / 2**8


def test_the_table_tells_who_differs_from_the_first():
    first = pooled([row("first", [True] * 2 + [False] * 8, ["A"])])
    better = pooled([row("better", [True] * 10, ["A"])])
    elsewhere = pooled([row("elsewhere", [True] * 10, ["B"])])
    rows = [compared(each, first) for each in (first, better, elsewhere)]
    assert rows[1]["p_of_difference"] == 2 / 2**8  # eight differ, all one way
    assert "p_of_difference" not in rows[2]
    assert "won" not in rows[1]
    assert markdown(rows).splitlines()[3] == "| better | 100.00% | 10.0% to 90.0% | 0.0078 | 95.00% |"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps = 1", "lists no changes"),
        ("changes = 3", "lists no changes"),
        ("[changes.a", "cannot be read"),
        ("stepps = 1\n[changes.a]", "no field stepps"),
        ("recipe = 'none'\n[changes.a]", "No recipe is called"),
        ("recipe = 3\n[changes.a]", "has recipe = 3"),
        ("images = '20k'\n[changes.a]", "images = '20k'"),
    ],
)
def test_a_search_that_does_not_fit_is_refused_in_a_sentence(text, sentence, tmp_path, capsys):
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((SearchError, RecipeError), match=sentence):
        load_search(str(path))
    assert main(["search", str(path), "--output", str(tmp_path / "out")]) == 1
    assert sentence in capsys.readouterr().err


def test_an_unknown_search_names_those_there_are():
    with pytest.raises(RecipeError, match="No search is called 'all'; there are ablations, minimal_splits, rivals"):
        load_search("all")

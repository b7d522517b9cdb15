import json
import zipfile

import pytest
import torch
from PIL import Image

from siamese.characters import omniglot
from siamese.characters.drawings import Drawings
from siamese.characters.omniglot import lake_runs
from siamese.data import cache
from siamese.data.sources import SourceError
from siamese.signatures import layouts
from siamese.signatures.image_statistics import STATISTICS
from tests.hostile import encoded
from train import data
from train.__main__ import main


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache")


def run(*words: str) -> int:
    return main(["data", *words])


def png(ink: torch.Tensor) -> bytes:
    return encoded(Image.fromarray(~ink.numpy()), "PNG")


def runs_archive(path, drawings: Drawings, runs: list[tuple[int, list[int], list[int], list[int]]]) -> None:
    """Lake's layout: for each run the first row of its alphabet, characters of the supports and queries, drawers."""
    with zipfile.ZipFile(path, "w") as target:
        for number, (first, support, query, drawers) in enumerate(runs, 1):
            for place, character in enumerate(support, 1):
                row = first + character * 4 + drawers[0] - 1
                target.writestr(f"run{number:02d}/training/class{place:02d}.png", png(drawings.ink[row]))
            lines = []
            for place, character in enumerate(query, 1):
                row = first + character * 4 + drawers[1] - 1
                target.writestr(f"run{number:02d}/test/item{place:02d}.png", png(drawings.ink[row]))
                true = support.index(character) + 1
                lines.append(f"run{number:02d}/test/item{place:02d}.png run{number:02d}/training/class{true:02d}.png")
            target.writestr(f"run{number:02d}/class_labels.txt", "\r\n".join([*lines, ""]))


TWO_RUNS = [(0, [0, 2, 5], [5, 0, 2], [2, 4]), (24, [4, 3, 1], [1, 3, 4], [1, 3])]


@pytest.fixture
def small_runs(monkeypatch):
    monkeypatch.setattr(data, "RUNS", 2)
    monkeypatch.setattr(data, "RUN_CHARACTERS", 3)


def test_the_table_leads_back_to_the_trials(drawings, tmp_path, small_runs, monkeypatch):
    runs_archive(tmp_path / "runs.zip", drawings, TWO_RUNS)
    table = data.lake_table(tmp_path / "runs.zip", drawings)
    first = table["runs"][0]
    assert (first["alphabet"], first["support_drawer"], first["query_drawer"]) == (drawings.alphabet_names[0], 2, 4)
    assert [character for character, _ in first["support"]] == [1, 3, 6]
    assert [character for character, _ in first["query"]] == [6, 1, 3]
    (tmp_path / "table.json").write_text(data._table_text(table))
    assert json.loads((tmp_path / "table.json").read_text()) == table
    monkeypatch.setattr(omniglot, "LAKE_RUNS", tmp_path / "table.json")
    trials = lake_runs(drawings)
    assert trials.support.tolist() == [[1, 9, 21]] * 3 + [[40, 36, 28]] * 3
    assert trials.query.tolist() == [23, 3, 11, 30, 38, 42]
    assert trials.label.tolist() == [2, 0, 1, 2, 1, 0]


def test_an_archive_without_a_run_is_refused(drawings, tmp_path, small_runs):
    runs_archive(tmp_path / "runs.zip", drawings, TWO_RUNS[:1])
    with pytest.raises(SourceError, match=r"holds no run02/class_labels.txt; is it Lake's all_runs.zip"):
        data.lake_table(tmp_path / "runs.zip", drawings)


def test_queries_by_the_drawer_of_the_supports_are_refused(drawings, tmp_path, small_runs):
    runs_archive(tmp_path / "runs.zip", drawings, [(24, [4, 3, 1], [1, 3, 4], [2, 2]), TWO_RUNS[0]])
    with pytest.raises(SourceError, match="queries of run01 are by one and the same drawer"):
        data.lake_table(tmp_path / "runs.zip", drawings)


def test_an_image_of_another_set_is_refused(drawings, tmp_path, small_runs):
    ink = drawings.ink.clone()
    ink[1, 50, 50] ^= True
    other = Drawings(ink, drawings.alphabet, drawings.character, drawings.drawer, drawings.alphabet_names)
    runs_archive(tmp_path / "runs.zip", other, TWO_RUNS)
    with pytest.raises(SourceError, match=r"run01/training/class01.png is none of the evaluation drawings"):
        data.lake_table(tmp_path / "runs.zip", drawings)


def test_a_pair_of_different_characters_is_refused(drawings, tmp_path, small_runs):
    runs_archive(tmp_path / "runs.zip", drawings, TWO_RUNS)
    character = drawings.character.clone()
    character[23] = 4
    other = Drawings(drawings.ink, drawings.alphabet, character, drawings.drawer, drawings.alphabet_names)
    with pytest.raises(SourceError, match="In run01 a test image is paired with a training image of another"):
        data.lake_table(tmp_path / "runs.zip", other)


def test_check_says_what_is_there_and_shows_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(omniglot, "INVENTED", {"background": (3, 5, 4, 1), "evaluation": (2, 2, 2, 2)})
    assert run("--check", "invented", "--output", str(tmp_path / "sheet.png")) == 0
    said = capsys.readouterr().out
    assert "background: 3 alphabets, 15 characters, 4 drawers of each, 60 drawings" in said
    assert "evaluation: 2 alphabets, 4 characters, 2 drawers of each, 8 drawings" in said
    assert "not the whole of Omniglot's evaluation set" in said
    assert "Lake's runs: no." in said
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (12 * 106 + 1, 5 * 106 + 1)
        paper = sheet.convert("L").getpixel((12 * 106 - 50, 4 * 106 + 50))  # the second alphabet has two characters
        assert paper == 255


def test_samples_are_four_characters_by_three_drawers(drawings):
    ink = data.samples(drawings)
    assert ink.shape == (36, 105, 105)
    assert torch.equal(ink[:6], drawings.ink[[0, 1, 2, 4, 5, 6]])
    assert torch.equal(ink[12:15], drawings.ink[24:27])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--check", "nothing"], "'nothing' is neither a folder"),
        (["--lake-runs", "no.zip", "--data", "invented"], "The archive 'no.zip' does not exist"),
        (["--check", "invented", "--output", "/no/such/folder/sheet.png"], "cannot be written: No such file"),
    ],
)
def test_what_cannot_be_done_is_said_and_shows_in_the_status(monkeypatch, capsys, words, sentence):
    monkeypatch.setattr(omniglot, "INVENTED", {"background": (1, 2, 2, 1), "evaluation": (1, 2, 2, 2)})
    assert run(*words) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("numbers", "columns"), [((2, 2, 1, 1), 4), ((2, 1, 1, 1), 2), ((1, 2, 0, 1), 0)])
def test_signatures_are_counted_and_probed(monkeypatch, capsys, numbers, columns):
    """Pairs are probed where there are two genuine signatures of one writer, anything where there are forgeries."""
    monkeypatch.setattr(layouts, "INVENTED", numbers)
    assert run("--signatures", "invented") == 0
    lines = capsys.readouterr().out.splitlines()
    writers, genuine, forged, _ = numbers
    assert lines[0] == (
        f"{writers} writers: {writers * genuine} genuine signatures, {writers * forged} skilled forgeries."
    )
    rows = [line.split() for line in lines[3:]]
    assert [row[0] for row in rows] == (list(STATISTICS) if columns else [])
    assert all(len(row) == 1 + columns and 0 <= float(row[1]) <= 1 for row in rows)


def test_a_source_without_signatures_is_said(tmp_path, capsys):
    assert run("--signatures", str(tmp_path)) == 1
    assert "holds no signatures" in capsys.readouterr().err

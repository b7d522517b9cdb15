"""The bundled set against stored hashes, Lake's table, its own features and, where they are there, the archives."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from siamese.characters.omniglot import lake_runs, load_drawings, load_omniglot, pixel_hashes
from siamese.characters.omniglot_layouts import OFFICIAL_ALPHABETS
from siamese.data import bundled
from siamese.data.bundled import FOLDER, SPLITS, decode_png, encode_png, read_bundled, write_table

# Made of the official archives: SHA-256 of the pixels of all drawings, by alphabet, character and drawer.
PIXELS = {
    "background": "b461770559319e5189e03f4fbef112089bbf4eb9236906eebf80ca844e1c7138",
    "evaluation": "854607172b31cf63559721b1fc32db800e5c20ba16b23b1ddbdab1107c7bca55",
}
COUNTS = {"background": (19_280, 964), "evaluation": (13_180, 659)}
MAX_FOLDER_BYTES = 10_000_000
SOURCE = os.environ.get("OMNIGLOT_DATA", "")


@pytest.fixture(scope="module", params=SPLITS)
def split(request):
    return request.param


def pixels_of(ink: torch.Tensor) -> str:
    return hashlib.sha256("".join(pixel_hashes(ink)).encode()).hexdigest()


def test_every_pixel_is_that_of_the_official_archives(split, omniglot):
    drawings = omniglot[split]
    assert (len(drawings), len(drawings.character.unique())) == COUNTS[split]
    assert drawings.alphabet_names == OFFICIAL_ALPHABETS[split]
    assert (drawings.character.bincount() == 20).all()
    assert pixels_of(drawings.ink) == PIXELS[split]


def test_lakes_runs_are_all_found_pixel_for_pixel(omniglot):
    evaluation = omniglot["evaluation"]
    trials = lake_runs(evaluation)
    assert trials.support.shape == (400, 20)
    assert (evaluation.drawer[trials.query] != evaluation.drawer[trials.support].T).all()
    assert (evaluation.alphabet[trials.query] == evaluation.alphabet[trials.support].T).all()


def test_lakes_table_names_the_characters_that_the_archives_do():
    drawings = read_bundled("evaluation")
    rows = {digest: row for row, digest in enumerate(pixel_hashes(drawings.all_ink()))}
    for run in json.loads(bundled.LAKE_RUNS.read_text(encoding="utf-8"))["runs"]:
        for role in ("support", "query"):
            for character, digest in run[role]:
                row = rows[digest]
                assert drawings.alphabet_names[drawings.alphabet[row]] == run["alphabet"]
                assert (drawings.character[row], drawings.drawer[row]) == (character, run[f"{role}_drawer"])


def test_nothing_is_asked_of_a_network_and_the_argument_goes_first(monkeypatch, omniglot):
    monkeypatch.setenv("OMNIGLOT_DATA", "nothing-here")
    with pytest.raises(ValueError, match="'nothing-here' is neither a folder nor a file"):
        load_drawings("evaluation")
    monkeypatch.delenv("OMNIGLOT_DATA")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert torch.equal(load_drawings("evaluation").ink[:100], omniglot["evaluation"].ink[:100])


def test_the_rows_are_read_with_datasets(monkeypatch, omniglot):
    monkeypatch.delenv("OMNIGLOT_DATA", raising=False)
    rows = load_omniglot()
    assert list(rows) == list(SPLITS)
    assert rows["background"].features == rows["evaluation"].features
    label = rows["evaluation"].features["alphabet"]
    assert label.names == sorted({name for names in OFFICIAL_ALPHABETS.values() for name in names})
    evaluation, row = omniglot["evaluation"], rows["evaluation"][4321]
    assert label.int2str(row["alphabet"]) == evaluation.alphabet_names[evaluation.alphabet[4321]]
    assert row["drawer"] == evaluation.drawer[4321]
    assert row["image"].size == (105, 105)
    assert torch.equal(torch.from_numpy(~np.asarray(row["image"])), evaluation.ink[4321])
    assert torch.equal(decode_png(encode_png(evaluation.ink[4321])), evaluation.ink[4321])


def test_one_drawing_is_decoded_as_it_is_among_all(omniglot):
    drawings = read_bundled("evaluation")
    assert len(drawings) == 13_180
    for row in (0, 777, 13_179):
        assert torch.equal(drawings.ink(row), omniglot["evaluation"].ink[row])


def test_a_split_is_written_as_it_is_read(tmp_path, monkeypatch):
    monkeypatch.delenv("OMNIGLOT_DATA", raising=False)
    rows = load_omniglot()["evaluation"].select(range(60, 100))
    write_table(rows, tmp_path / "evaluation.parquet")
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    written = read_bundled("evaluation")
    pictures = [decode_png(image["bytes"]) for image in rows.data["image"].to_pylist()]
    assert torch.equal(written.all_ink(), torch.stack(pictures))
    assert written.character.tolist() == rows["character"]
    assert list(written.alphabet_names) == rows.features["alphabet"].names


def test_the_folder_is_small_and_carries_licence_and_citation():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MAX_FOLDER_BYTES
    assert "Brenden Lake" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert "Science 350" in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(not (Path(SOURCE) / "images_evaluation.zip").is_file(), reason="needs the official archives")
def test_the_archives_hold_the_same_drawings(split, omniglot, tmp_path, monkeypatch):
    monkeypatch.setattr("siamese.data.cache.cache_folder", lambda: tmp_path)
    official = load_drawings(split, SOURCE)
    assert torch.equal(official.ink, omniglot[split].ink)
    assert torch.equal(official.character, omniglot[split].character)
    assert torch.equal(official.drawer, omniglot[split].drawer)

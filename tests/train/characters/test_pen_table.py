"""The pen table: widths by hand, trials that hold together, and figures of embeddings that are known."""

import pytest
import torch

from siamese.characters.synthetic import synthetic_drawings
from siamese.network import NetworkConfig, SiameseNetwork
from siamese.preprocessing import Preprocessing, ink_box, pen_width_px
from tests.blots import blots, embeddings_of
from train.characters import pen_table
from train.characters.pen_table import PENS_PX, drawn_with_pens, make_pen_tasks, pen_entries, pen_lines


@pytest.fixture
def three_way(monkeypatch):
    monkeypatch.setattr(pen_table, "N_WAY", 3)


def test_every_pen_has_its_width():
    """A cross that fills 81 of 105 px: at an extent of 80 its pens are as wide as in the drawing, but for the frame."""
    cross = torch.zeros(105, 105, dtype=torch.bool)
    cross[51:54, 12:93] = cross[12:93, 51:54] = True
    pens = (2.0, 6.0, 12.0)
    for pen, picture in zip(pens, drawn_with_pens(cross, pens, Preprocessing()), strict=True):
        top, left, bottom, right = ink_box(picture[0].float() / 255)
        ink = picture[0, top:bottom, left:right].float() / 255
        assert pen_width_px(ink, 80) == pytest.approx(pen * 80 / (79 + pen), rel=0.12)


def test_a_pair_of_each_kind_for_each_trial(three_way):
    drawings = blots({"A": 4, "B": 5}, 3)
    tasks = make_pen_tasks(drawings, 0, 30, with_lake_runs=True)
    assert list(tasks.one_shot) == ["within_alphabet"]
    assert "Lake's runs with other pens are left out" in tasks.notes[0]
    pairs = tasks.pairs
    assert torch.equal(pairs.same, torch.arange(60) < 30)
    assert torch.equal(drawings.character[pairs.first] == drawings.character[pairs.second], pairs.same)
    assert torch.equal(drawings.alphabet[pairs.first], drawings.alphabet[pairs.second])
    assert torch.equal(tasks.queries, tasks.one_shot["within_alphabet"].query.unique())


def test_figures_of_queries_that_stay_and_of_queries_that_turn_to_noise(three_way):
    network = SiameseNetwork(NetworkConfig(channels=(1, 1, 1, 1)), generator=torch.Generator().manual_seed(1))
    drawings = synthetic_drawings(alphabets=1, characters=4, drawers=3, seed=1)
    embeddings = embeddings_of(drawings, 0.05)
    tasks = make_pen_tasks(drawings, 0, 20, with_lake_runs=False)
    asked = []

    def embed(prepared):
        """The drawings' own embeddings for the first pen, one and the same for the others."""
        assert prepared.shape[1:] == (1, 105, 105)
        asked.append(len(prepared))
        return embeddings[tasks.queries] if len(asked) == 1 else torch.full((len(prepared), 4096), 0.5)

    entries = pen_entries(network, embed, embeddings, drawings, tasks, Preprocessing(), 0.5)
    assert [entry["pen_px"] for entry in entries] == list(PENS_PX)
    assert asked == [len(tasks.queries)] * len(PENS_PX)
    first, *others = entries
    assert first["one_shot"]["within_alphabet"]["accuracy"] == 1
    assert all(entry["one_shot"]["within_alphabet"]["accuracy"] < 0.9 for entry in others)
    assert first["same_called_same"]["pairs"] == first["different_called_same"]["pairs"] == 20
    assert first["same_called_same"]["share"] >= first["different_called_same"]["share"]
    low, high = first["same_called_same"]["interval"]
    assert low <= first["same_called_same"]["share"] <= high
    head, *rows = pen_lines(entries)
    assert "within an alphabet" in head
    assert rows[0].split()[:2] == ["0.7", "100.0"]

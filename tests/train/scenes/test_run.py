import json

import pytest
import torch

from siamese.characters.episodes import sample_trials
from siamese.characters.recognizer import Recognizer
from tests.networks import narrow_network
from train.__main__ import main
from train.scenes import run


def test_a_scene_is_measured_and_reported(drawings, tmp_path, monkeypatch, capsys):
    trials = sample_trials(drawings, 3, 4, torch.Generator().manual_seed(1), within_alphabet=True)
    monkeypatch.setattr(run, "load_recognizer", lambda: Recognizer(narrow_network(), precision=torch.float32))
    monkeypatch.setattr(run, "load_drawings", lambda _split: drawings)
    monkeypatch.setattr(run, "lake_runs", lambda _drawings: trials)
    report = tmp_path / "scenes.json"
    words = ["scenes", "--kinds", "frame", "--trials", "2", "--pairs", "0", "--output", str(report)]
    assert main(words) == 0
    assert "| frame | 2 |" in capsys.readouterr().out
    (row,) = json.loads(report.read_text(encoding="utf-8"))["characters"]
    assert (row["kind"], row["trials"]) == ("frame", 2)


@pytest.mark.parametrize("words", [["--trials", "401"], ["--pairs", "-1"]])
def test_what_cannot_be_measured_is_said(words, capsys):
    assert main(["scenes", *words]) == 1
    assert "--trials must lie in 0 to 400" in capsys.readouterr().err

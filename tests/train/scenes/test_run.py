import json

import pytest

from train.__main__ import main


def test_a_scene_is_measured_and_reported(tmp_path, capsys):
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

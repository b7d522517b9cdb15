"""`python -m train`: its commands and what they import."""

import subprocess
import sys
from pathlib import Path

import pytest

from siamese.data.sources import SourceError
from siamese.hub.errors import HubError
from train.__main__ import COMMANDS, main
from train.errors import CommandError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_each_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"python -m train {command}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["teach"], ["fit"], ["fit", "--no-such-word", "--output", "x"]])
def test_words_that_do_not_fit_are_refused(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert "usage: python -m train" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (CommandError("It cannot be done."), "It cannot be done."),
        (SourceError("The folder holds no drawing."), "The folder holds no drawing."),
        (HubError("user/name does not exist."), "user/name does not exist."),
        (PermissionError(13, "Permission denied", "model"), "model cannot be written: Permission denied."),
    ],
)
def test_what_a_command_cannot_do_is_one_sentence(monkeypatch, capsys, error, sentence):
    def fail(_arguments: object) -> int:
        raise error

    monkeypatch.setattr("train.data.run", fail)
    assert main(["data", "--check"]) == 1
    assert capsys.readouterr().err == f"{sentence}\n"


def test_an_error_of_the_program_keeps_its_traceback(monkeypatch):
    def fail(_arguments: object) -> int:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("train.data.run", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        main(["data", "--check"])


def test_the_list_of_commands_costs_no_import_of_torch():
    code = "import sys; from train.__main__ import main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0
    assert made.stdout.splitlines()[-1] == "False"
    assert all(command in made.stdout for command in COMMANDS)

"""`python -m train`: its commands and what they import."""

import subprocess
import sys
from pathlib import Path

import pytest

from train.__main__ import COMMANDS, main

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


def test_the_list_of_commands_costs_no_import_of_torch():
    code = "import sys; from train.__main__ import main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0
    assert made.stdout.splitlines()[-1] == "False"
    assert all(command in made.stdout for command in COMMANDS)

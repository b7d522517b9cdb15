"""Nothing that a stranger sends brings down the door, slows it or fills the memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MUTATIONS = int(os.environ.get("ONE_LOOK_MUTATIONS", "200"))  # 5,000 for the full round
MAX_GROWTH_MB = 150
MAX_SECONDS = 0.5


def strained(*arguments: str) -> dict:
    answer = subprocess.run(
        [sys.executable, "tests/hostile.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.fixture(scope="module")
def hostile() -> dict:
    return strained("0", "hostile")


@pytest.fixture(scope="module")
def mutated() -> dict:
    return strained(str(MUTATIONS))


def test_hostile_files_are_refused_with_a_sentence_and_nothing_else(hostile):
    assert hostile["broken"] == {}
    # libjpeg fills what a lying header promises with grey and says nothing: a wrong picture, but no harm.
    assert set(hostile["accepted"]) <= {"jpeg lying below the limit"}
    assert len(hostile["refused"]) > 60
    for sentence in hostile["refused"].values():
        assert sentence.endswith(".")
        assert "\n" not in sentence
        assert 20 < len(sentence) < 160


def test_hostile_files_cost_little(hostile):
    name, seconds = hostile["slowest"]
    assert seconds < MAX_SECONDS, name
    assert hostile["growth_mb"] is None or hostile["growth_mb"] < MAX_GROWTH_MB


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("html", "not a PNG"),
        ("pickle", "not a PNG"),
        ("eps", "not a PNG"),
        ("psd", "not a PNG"),
        ("tiff lying", "megapixels"),
        ("tiff of many values", "damaged"),
        ("empty", "empty"),
        ("PNG 1x1", "1 x 1"),
        ("GIF blank", "blank"),
        ("BMP thread", "at most 20 times"),
        ("JPEG cut", "cut short"),
        ("WEBP cut", "cut short"),
        ("png bomb", "megapixels"),
        ("gif lying", "megapixels"),
        ("webp canvas", "megapixels"),
        ("bmp lying", "megapixels"),
        ("jpeg lying", "megapixels"),
        ("jpeg progressive bomb", "progressive"),
        ("too many bytes", "32 MB"),
    ],
)
def test_the_sentence_says_what_was_wrong(hostile, name, reason):
    assert reason in hostile["refused"][name]


@pytest.mark.slow
def test_mutated_files_raise_nothing_but_image_errors(mutated):
    assert mutated["broken"] == {}
    assert len(mutated["refused"]) + len(mutated["accepted"]) == MUTATIONS
    assert len(mutated["refused"]) > MUTATIONS / 5  # otherwise they were not damaged
    assert len(mutated["accepted"]) > MUTATIONS / 20  # otherwise nothing but signatures was tried


@pytest.mark.slow
def test_mutated_files_cost_little(mutated):
    name, seconds = mutated["slowest"]
    assert seconds < MAX_SECONDS, name
    assert mutated["growth_mb"] is None or mutated["growth_mb"] < MAX_GROWTH_MB


@pytest.mark.slow
def test_hostile_archives_are_refused_and_cost_little():
    """In a process of its own, as for pictures; what they unpack to would be 560 MB."""
    report = strained("0", "archives")
    assert report["broken"] == {}
    # These are ZIPs of one file each, whose content the door for pictures refuses when it is looked at.
    assert set(report["accepted"]) <= {"an archive in an archive", "a page in an archive"}
    assert len(report["refused"]) >= 16
    assert all(sentence.endswith(".") for sentence in report["refused"].values())
    name, seconds = report["slowest"]
    assert seconds < MAX_SECONDS, name
    assert report["growth_mb"] is None or report["growth_mb"] < MAX_GROWTH_MB

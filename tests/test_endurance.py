"""Half a minute of what tests/benchmarks/endurance.py does for half an hour, and that its checks can fail."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))

from endurance import (
    Plan,
    Sample,
    complaints_of_answers,
    complaints_of_memory,
    endure,
    hostile,
    hostile_picture,
    mixture,
    steadiness,
    summary,
)
from visitors import Entry, Question

SHORT = Plan(
    minutes=0.4,
    warm_up_minutes=0.1,
    visitors=4,
    looks_for_s=0.1,
    ordinary=6,
    hostile=16,
    hostile_share=0.4,
    upload_life_s=3.0,
    sweep_s=3.0,
    allowed_mb=150,  # what is remembered of pictures is still filling up
)


def test_visitors_of_every_kind_a_kill_and_a_new_start(tmp_path):
    with ThreadPoolExecutor(1) as thread:
        report = thread.submit(asyncio.run, endure(SHORT, tmp_path)).result()
    assert report.complaints == [], summary(report)
    assert report.range_mb is not None  # enough samples for memory to be judged
    assert report.outcomes.keys() <= {"answered", "busy"}
    assert sum(report.done.values()) > 20
    assert any(what.startswith("hostile") for what in report.done)
    assert report.files_at_most > 0
    assert report.cut_off_by_the_kill > 0
    assert "0 left when nobody came any more" in summary(report)


def samples(*memory_mb: float, open_files: int = 40) -> list[Sample]:
    return [Sample(float(at), mb, open_files) for at, mb in enumerate(memory_mb)]


def test_flat_memory_is_no_complaint_whatever_it_takes_for_a_moment():
    steady = samples(*([1000.0, 1010.0, 990.0, 1005.0, 1300.0] * 100))
    grown, slope = steadiness(steady)
    assert grown < 10
    assert abs(slope) < 100
    assert complaints_of_memory(steady, 50) == []


def test_memory_that_grows_is_a_complaint():
    leaking = samples(*(1000 + 0.2 * n for n in range(500)))
    grown, slope = steadiness(leaking)
    assert grown == pytest.approx(90, abs=1)  # from the middle of the first tenth to that of the last
    assert slope == pytest.approx(720)
    (sentence,) = complaints_of_memory(leaking, 50)
    assert sentence == "Memory was not flat: it ranged over 90 MB, with +720 MB an hour."
    assert complaints_of_memory(leaking, 100) == []


def test_connections_that_stay_open_are_a_complaint():
    made = samples(*[1000.0] * 50) + samples(*[1000.0] * 50, open_files=140)
    assert complaints_of_memory(made, 50) == [
        "100 more files or connections were open at the end than after the warm-up."
    ]


def test_without_figures_of_the_system_nothing_is_claimed():
    unknown = [Sample(float(at), None, None) for at in range(100)]
    assert steadiness(unknown) == (None, None)
    assert complaints_of_memory(unknown, 50) == []


def test_wrong_and_missing_answers_are_complaints():
    right = Entry("page: deal", 0.0, 0.1, "answered")
    assert complaints_of_answers([right]) == []
    assert complaints_of_answers([]) == ["Nobody was answered."]
    wrong = Entry("page: compare", 0.0, 0.1, "wrong", "answer.similarity is 0.1 instead of 0.9")
    missing = Entry("page: verify", 0.0, 0.1, "failed", "status 500")
    assert complaints_of_answers([right, wrong, wrong, missing]) == [
        "2 answers were not those of a single visitor, the first: page: compare: "
        "answer.similarity is 0.1 instead of 0.9",
        "1 answers were missing, the first: page: verify: status 500",
    ]


def test_a_share_of_all_that_is_done_is_hostile():
    good, bad = [Question(hostile_picture, n) for n in range(7)], [Question(hostile_picture, -1)]
    supply = mixture(good, bad, 0.05, seed=0)
    asked = [next(supply).asked for _ in range(4000)]
    assert 150 <= asked.count(-1) <= 250
    assert [one for one in asked if one >= 0][:8] == [0, 1, 2, 3, 4, 5, 6, 0]  # the others in order


def test_hostile_actions_are_of_every_kind():
    made = hostile(40, 0, ["challenge_deal"])
    kinds = {one.play.__name__ for one in made}
    assert kinds == {"hostile_picture", "hostile_upload", "hostile_request", "broken_off", "unfetched"}
    functions = {one.asked["function"] for one in made if one.play is hostile_picture}
    assert functions >= {"own_import", "compare_pictures", "own_add", "challenge_deal"}

"""The load script's visitors and judges, against a stand-in for the app that does what it is told to do wrong."""

import asyncio
import json
import math
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from siamese.imaging.decode import open_image
from siamese.ui.server import BUSY
from tests.benchmarks.load import Phase, Row, complaint, rows_of, table
from tests.benchmarks.visitors import (
    Busy,
    Entry,
    Failure,
    Places,
    Question,
    Visitor,
    bytes_of,
    comparison_of_program,
    comparison_on_page,
    data_url,
    difference,
    known,
    pairs,
    play,
    questions,
    round_on_page,
)

PLACES = Places({"challenge_deal": 5, "challenge_answer": 5, "compare_pictures": 9}, {"compare": 2})
RIGHT = {"similarity": 0.999, "threshold": 0.5, "verdict": "same", "reliability": 0.99}
PAIR = {"a": data_url(b"one"), "b": data_url(b"two")}


def finish(work: Coroutine) -> object:
    """Run to the end in a thread of its own: a browser test may have left its event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


class StandIn:
    """Answers as the app would; `change` is laid over the answer, `status` and `error` stand instead of it."""

    def __init__(self) -> None:
        self.change, self.status, self.error, self.asked = {}, 200, None, []

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, body = request.url.path, request.content
        self.asked.append(path)
        if path.endswith("/upload"):
            return httpx.Response(200, json=[f"/uploads/{len(self.asked)}"])
        if path.endswith("/queue/join"):
            if self.status == 503:
                return httpx.Response(503, json={"detail": self.error})
            assert json.loads(body)["fn_index"] == 2
            return httpx.Response(200, json={"event_id": "e"})
        output = {"error": self.error} if self.error else {"data": [RIGHT | self.change]}
        if path.endswith("/queue/data"):
            messages = [{"msg": "estimation", "rank": 0}, {"msg": "heartbeat"}]
            done = {"msg": "process_completed", "event_id": "e", "success": not self.error, "output": output}
            lines = "".join(f"data: {json.dumps(one)}\n\n" for one in (*messages, done, {"msg": "close_stream"}))
            return httpx.Response(200, text=lines, headers={"content-type": "text/event-stream"})
        asked = json.loads(body)
        assert asked["component_id"] == PLACES.components[asked["fn_name"]]
        dealt = {"round": f"id {len(self.asked)}", "query": "data:image/png;base64,"}
        given = {"challenge_deal": dealt, "challenge_answer": {"truth": 3}}.get(asked["fn_name"], RIGHT)
        return httpx.Response(self.status, json={"error": self.error} if self.error else given | self.change)


@pytest.fixture
def app() -> StandIn:
    return StandIn()


def visitor_of(app: StandIn) -> Visitor:
    return Visitor("http://app", PLACES, httpx.MockTransport(app.answer))


def outcomes(app: StandIn, question: Question, **wrong: object) -> list[tuple[str, str]]:
    """How it goes with somebody alone whose answers are right, and then once more with what is said to be wrong."""

    async def both() -> list[Entry]:
        visitor, ledger = visitor_of(app), []
        asked = await known(visitor, question)
        vars(app).update(wrong)
        await play(visitor, asked, ledger)
        await visitor.http.aclose()
        return ledger

    return [(entry.outcome, entry.note) for entry in finish(both())]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    async def at_once(_seconds):
        pass

    monkeypatch.setattr("visitors.asyncio.sleep", at_once)


COMPARISON = Question(comparison_on_page, PAIR)
ROUND = Question(round_on_page, {"link": "5i-x", "choice": 1})
CALL = Question(comparison_of_program, PAIR)


@pytest.mark.parametrize(("question", "steps"), [(COMPARISON, 1), (ROUND, 2), (CALL, 1)])
def test_the_same_answers_are_right(app, question, steps):
    assert outcomes(app, question) == [("answered", "")] * steps


def test_a_round_by_another_name_is_the_same_and_pictures_are_not(app):
    assert outcomes(app, ROUND, change={"query": "data:another"})[0] == (
        "wrong",
        "answer.query is data:another instead of data:image/png;base64,",
    )


@pytest.mark.parametrize("question", [COMPARISON, CALL])
@pytest.mark.parametrize(
    "change",
    [
        {"similarity": 0.97},
        {"similarity": None},
        {"verdict": "different"},
        {"threshold": "0.5"},
        {"more": 1},
    ],
)
def test_another_answer_is_wrong(app, question, change):
    ((outcome, note),) = outcomes(app, question, change=change)
    assert outcome == "wrong"
    assert next(iter(change)) in note


@pytest.mark.parametrize("question", [COMPARISON, CALL])
def test_busy_is_busy_and_nothing_else(app, question):
    assert outcomes(app, question, status=503 if question is CALL else 200, error=BUSY) == [("busy", "")]


@pytest.mark.parametrize("question", [COMPARISON, CALL])
def test_another_refusal_is_not_taken_for_busy(app, question):
    ((outcome, _),) = outcomes(app, question, status=503, error="Service unavailable")
    assert outcome == "failed"
    app = StandIn()
    ((outcome, note),) = outcomes(app, question, error="Something went wrong on the server; please try again.")
    assert outcome == "failed"
    assert "went wrong" in note


def test_a_single_visitor_who_is_sent_away_ends_the_measurement(app):
    for error, raised in ((BUSY, Busy), ("Something went wrong on the server.", Failure)):
        app.error = error
        with pytest.raises(raised):
            finish(known(visitor_of(app), COMPARISON))


def test_a_stream_that_ends_early_is_a_failure(app, monkeypatch):
    whole = app.answer

    def cut(request):
        response = whole(request)
        return httpx.Response(200, text='data: {"msg": "estimation"}\n\n') if "data" in request.url.path else response

    question = finish(known(visitor_of(app), CALL))
    ledger: list[Entry] = []
    visitor = Visitor("http://app", PLACES, httpx.MockTransport(cut))
    finish(play(visitor, question, ledger))
    assert [entry.outcome for entry in ledger] == ["failed"]


def test_a_verdict_on_the_edge_may_fall_either_way_but_not_its_score():
    close = {"similarity": 0.5, "threshold": 0.5, "verdict": "same"}
    assert difference(close, close | {"verdict": "different"}) is None
    assert difference(close, close | {"similarity": 0.52}) == "answer.similarity is 0.52 instead of 0.5"
    clear = {"similarity": 0.9, "threshold": 0.5, "verdict": "same"}
    assert difference(clear, clear | {"verdict": "different"}) == "answer holds the opposite verdict"
    assert difference(clear, clear | {"verdict": "unsure"}) is None
    points = {
        "score": 0.7,
        "points": [{"threshold": 0.69, "verdict": "genuine"}, {"threshold": 0.3, "verdict": "genuine"}],
    }
    turned = {
        "score": 0.7,
        "points": [{"threshold": 0.69, "verdict": "forgery"}, {"threshold": 0.3, "verdict": "genuine"}],
    }
    assert difference(points, turned) is None
    turned["points"][1]["verdict"] = "forgery"
    assert difference(points, turned) == "answer holds the opposite verdict"
    far = {"similarity": 0.99, "threshold": 0.5, "verdict": "same"}
    assert "verdict" in difference(far, far | {"verdict": "different"})
    pick = {"certainty": 0.9, "network_choice": 2, "similarities": [0.1, 0.2, 0.9]}
    assert "network_choice" in difference(pick, pick | {"network_choice": 1})
    assert difference(pick | {"certainty": 0.4}, pick | {"certainty": 0.41, "network_choice": 1}) is None
    ranked = {"best": 0, "similarities": [0.9, 0.89], "threshold": 0.5}
    assert difference(ranked, ranked | {"best": 1}) is None
    assert "best" in difference(ranked | {"similarities": [0.9, 0.2]}, ranked | {"best": 1, "similarities": [0.9, 0.2]})


def test_types_lengths_and_maps_are_compared(app):
    assert difference(1, True) is not None
    assert difference([1, 2], [1]) == "answer has 1 entries instead of 2"
    assert difference({"a": [{"b": 1}]}, {"a": [{"b": 2}]}) == "answer.a.0.b is 2 instead of 1"
    assert difference(math.nan, 0.1) is not None
    first, second = (pair["a"] for pair in pairs(2, seed=3))
    assert difference({"maps": [first]}, {"maps": [first]}) is None
    assert difference({"maps": [first]}, {"maps": [second]}) == "answer shows something else"
    assert difference({"maps": [first]}, {"maps": []}) == "answer shows something else"


def test_questions_are_of_every_kind_and_can_be_read():
    made = questions(8, 6)
    assert len(made) == 14
    assert len({one.play for one in made}) == 4
    links = [one.asked["link"] for one in made if "link" in one.asked]
    assert len(set(links)) == len(links) == 7
    for pair in pairs(5, seed=1):
        for url in pair.values():
            assert min(open_image(bytes_of(url)).size) >= 420


def entries(*waited_s: float, outcome: str = "answered", what: str = "page: deal") -> list[Entry]:
    return [Entry(what, 0.0, one, outcome) for one in waited_s]


def test_rows_hold_rates_and_percentiles():
    made = (
        entries(*[n / 1000 for n in range(1, 102)]) + entries(9.0, outcome="busy") + entries(2.0, what="page: answer")
    )
    answer, deal, whole = rows_of(made, 10.0)
    assert (answer.what, answer.answered, answer.p50_ms) == ("page: answer", 1, 2000)
    assert (deal.answered, deal.per_second, deal.busy, deal.failed) == (101, 10.1, 1, 0)
    assert (deal.p50_ms, deal.p95_ms) == (pytest.approx(51), pytest.approx(96))
    assert (whole.what, whole.answered) == ("all", 102)
    assert math.isnan(rows_of(entries(1.0, outcome="failed"), 1.0)[0].p50_ms)


def phases() -> list[Phase]:
    row = Row("page: deal", 5, 1.0, 2.0, 3.0, 0, 0, 0)
    calm = Phase("10 at once", 10, 20.0, [row, replace(row, what="all")], 21.0, 42, [])
    told = [replace(row, what=what, busy=3) for what in ("page: deal", "program: deal", "all")]
    return [calm, replace(calm, name="160 at once", rows=told)]


def test_a_run_as_promised_is_no_complaint():
    assert complaint(phases()) is None
    assert "10 at once (20 s, 21 pictures at once, 42 at most)" in table(phases())


@pytest.mark.parametrize(
    ("place", "row", "change", "words"),
    [
        (0, 1, {"wrong": 1}, "1 answers were wrong and 0 were missing"),
        (0, 1, {"failed": 2}, "0 answers were wrong and 2 were missing"),
        (0, 1, {"busy": 1}, "sent away"),
        (0, 1, {"answered": 0}, "nobody was answered"),
        (1, 2, {"failed": 1}, "were missing"),
        (1, 0, {"busy": 0}, "no page was told to wait"),
        (1, 1, {"busy": 0}, "no program was told to wait"),
        (1, 1, {"answered": 0}, "or none was served"),
    ],
)
def test_what_is_not_as_promised_is_said(place, row, change, words):
    made = phases()
    made[place].rows[row] = replace(made[place].rows[row], **change)
    assert words in complaint(made)

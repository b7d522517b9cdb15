"""What a visitor of the running app does: the requests that the page and Gradio's clients make, timed and checked.

A question's right answer is the one that the app gave while nobody else was there. Those who ask at the same time must
get the same: text, pictures and choices exactly, similarities within TOLERANCE.
"""

import asyncio
import base64
import io
import itertools
import json
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import numpy as np
from PIL import Image, ImageFilter

from siamese.characters.synthetic import draw, synthetic_alphabet
from siamese.data.pen_strokes import synthetic_hand
from siamese.ui.server import BUSY
from siamese.ui.trials import TrialSource

TOLERANCE = 0.01  # of a similarity: a batch of another size is rounded otherwise in bfloat16, by 0.001 at most
PATIENCE_S = 600.0
FILE = {"_type": "gradio.FileData"}
IDENTITIES = {"round", "challenge_id"}
VERDICTS = {"verdict", "reliability", "network_choice", "network_right", "certainty", "best", "none_of_these"}
VERDICTS |= {"points", "rates"}
OPPOSITES = ({"same", "different"}, {"genuine", "forgery"})
MAPS = {"maps"}  # pictures of numbers: compared as far as an eye would

Outcome = Literal["answered", "busy", "wrong", "failed"]


class Busy(Exception):
    """The app asked to come again in a few seconds, in the words that it has for that."""


class Failure(Exception):
    """What no visitor should ever be answered."""


@dataclass(frozen=True)
class Entry:
    """One answer that somebody waited for."""

    what: str
    begun_s: float
    waited_s: float
    outcome: Outcome
    note: str = ""


@dataclass(frozen=True)
class Question:
    """Something to do, what it takes, and the answers to its steps where they are known."""

    play: Callable[["Visitor", Any, "Step"], Awaitable[None]]
    asked: Any
    expected: list[Any] | None = None


@dataclass(frozen=True)
class Places:
    """Where a page's functions and a program's endpoints are found, by name."""

    components: dict[str, int]
    endpoints: dict[str, int]


async def places_of(http: httpx.AsyncClient) -> Places:
    config = (await http.get("/config")).json()
    components = {name: one["id"] for one in config["components"] for name in one["props"].get("server_fns") or []}
    return Places(components, {one["api_name"]: one["id"] for one in config["dependencies"]})


class Visitor:
    """A browser, or a program, with connections and a session of its own."""

    def __init__(self, address: str, places: Places, transport: httpx.AsyncBaseTransport | None = None) -> None:
        limits = httpx.Limits(max_connections=6)  # as many as a browser opens
        self.http = httpx.AsyncClient(base_url=address, timeout=PATIENCE_S, limits=limits, transport=transport)
        self.places = places
        self.session = secrets.token_hex(8)
        self.looks_for_s = 0.0

    async def look(self) -> None:
        """The time that a visitor takes before the next click."""
        if self.looks_for_s:
            await asyncio.sleep(random.uniform(0.5, 1.5) * self.looks_for_s)

    async def ask(self, name: str, payload: Any) -> dict:
        """What the page does: one function of one component, not queued."""
        body = {"data": payload, "component_id": self.places.components[name], "fn_name": name}
        response = await self.http.post("/gradio_api/component_server/", json={**body, "session_hash": self.session})
        if response.status_code != 200:
            raise Failure(f"{name}: status {response.status_code}, {response.text[:200]}")
        answer = response.json()
        if answer.get("error") == BUSY:
            raise Busy
        if "went wrong" in answer.get("error", ""):
            raise Failure(f"{name}: {answer['error']}")
        return answer

    async def call(self, endpoint: str, data: list) -> dict:
        """What Gradio's clients do: join the queue, then read the session's messages until the answer comes."""
        body = {"data": data, "fn_index": self.places.endpoints[endpoint], "session_hash": self.session}
        joined = await self.http.post("/gradio_api/queue/join", json=body)
        if joined.status_code == 503 and joined.json().get("detail") == BUSY:
            raise Busy
        if joined.status_code != 200:
            raise Failure(f"/{endpoint}: status {joined.status_code}, {joined.text[:200]}")
        completed = None
        source = {"session_hash": self.session}
        async with self.http.stream("GET", "/gradio_api/queue/data", params=source) as stream:
            async for line in stream.aiter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed" and message["event_id"] == joined.json()["event_id"]:
                    completed = message
        if completed is None:
            raise Failure(f"/{endpoint}: the stream ended without an answer")
        if completed["success"]:
            return completed["output"]["data"][0]
        if "went wrong" in completed["output"]["error"]:
            raise Failure(f"/{endpoint}: {completed['output']['error']}")
        return {"error": completed["output"]["error"]}

    async def upload(self, data: bytes, name: str = "picture.png") -> dict:
        """A file brought to the app, as a program passes it on."""
        response = await self.http.post("/gradio_api/upload", files={"files": (name, data)})
        if response.status_code != 200:
            raise Failure(f"upload: status {response.status_code}, {response.text[:200]}")
        return {"path": response.json()[0], "meta": FILE}


# ---- what is done


async def round_on_page(visitor: Visitor, asked: dict, step: "Step") -> None:
    dealt = await step("page: deal", visitor.ask("challenge_deal", {"link": asked["link"]}))
    await visitor.look()
    given = {"round": dealt["round"], "choice": asked["choice"]}
    await step("page: answer", visitor.ask("challenge_answer", given))


async def comparison_on_page(visitor: Visitor, asked: dict, step: "Step") -> None:
    await step("page: compare", visitor.ask("compare_pictures", asked))


async def round_of_program(visitor: Visitor, asked: dict, step: "Step") -> None:
    dealt = await step("program: deal", visitor.call("new_challenge", [5, "invented", asked["link"]]))
    await visitor.look()
    answer = visitor.call("answer_challenge", [dealt["challenge_id"], asked["choice"]])
    await step("program: answer", answer)


async def comparison_of_program(visitor: Visitor, asked: dict, step: "Step") -> None:
    async def brought() -> dict:
        files = [await visitor.upload(bytes_of(asked[key])) for key in ("a", "b")]
        return await visitor.call("compare", files)

    await step("program: upload and compare", brought())


# ---- with what


def links(count: int, n_way: int) -> list[str]:
    """Links to rounds that nobody has played, for an app without a key of its own."""
    trials = TrialSource()
    return [trials.new_game(n_way, "invented").link for _ in range(count)]


def pairs(count: int, seed: int) -> Iterator[dict[str, str]]:
    """Two drawings each, half of them of one character: on a sheet as the page sends it, every fifth a photograph."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        characters = synthetic_alphabet(2, generator).characters
        drawn = [draw(characters[i], synthetic_hand(generator), generator) for i in (0, number % 2)]
        images = [
            Image.fromarray(~ink.numpy()).convert("L").resize((420, 420), Image.Resampling.BICUBIC) for ink in drawn
        ]
        yield dict(zip("ab", (photograph(i, generator) if number % 5 == 4 else as_url(i) for i in images), strict=True))


def photograph(drawing: Image.Image, generator: np.random.Generator) -> str:
    """A drawing on grey paper under uneven light, as a phone would take it: 1200 x 900, JPEG."""
    paper = Image.new("L", (1200, 900), 255)
    paper.paste(drawing.resize((640, 640)), (280, 130))
    light = np.linspace(0.95, 0.6, 1200) * (150 + 60 * generator.random())
    seen = np.asarray(paper.filter(ImageFilter.GaussianBlur(1.5))) / 255 * light + generator.normal(0, 4, (900, 1200))
    return as_url(Image.fromarray(seen.clip(0, 255).astype(np.uint8)), "JPEG")


def as_url(image: Image.Image, kind: str = "PNG") -> str:
    file = io.BytesIO()
    image.save(file, kind)
    return data_url(file.getvalue(), f"image/{kind.lower()}")


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def questions(on_page: int, of_programs: int, seed: int = 0) -> list[Question]:
    """Rounds and comparisons in turn, none twice, for visitors of the page and for programs."""
    chance = random.Random(seed)
    made = []
    for count, a_round, a_comparison in (
        (on_page, round_on_page, comparison_on_page),
        (of_programs, round_of_program, comparison_of_program),
    ):
        rounds = [*links(count // 4, 10), *links(count // 2 - count // 4, 20)]
        made += [Question(a_round, {"link": link, "choice": chance.randrange(10)}) for link in rounds]
        made += [Question(a_comparison, pair) for pair in pairs(count - count // 2, chance.randrange(2**32))]
    chance.shuffle(made)
    return made


# ---- asking, timing, checking


@dataclass
class Step:
    """Waits for one answer after another, notes how long each took, and compares it with the one expected."""

    ledger: list[Entry]
    expected: Iterator[Any] | None
    got: list[Any] = field(default_factory=list)

    async def __call__(
        self, what: str, answer: Awaitable[Any], check: Callable[[Any], str | None] | None = None
    ) -> Any:
        """The answer; `check` says what is wrong with one that differs each time. Raises where there is none."""
        begun = time.monotonic()
        outcome, note = "failed", ""
        expected = next(self.expected) if self.expected else None
        try:
            got = await answer
            wrong = check(got) if check else difference(expected, got) if self.expected else None
            outcome, note = ("answered", "") if wrong is None else ("wrong", wrong)
        except Busy:
            outcome = "busy"
            raise
        except (Failure, httpx.HTTPError, OSError, ValueError, KeyError) as error:
            note = f"{type(error).__name__}: {error}"
            raise Failure(note) from error
        finally:
            self.ledger.append(Entry(what, begun, time.monotonic() - begun, outcome, note))
        self.got.append(got)
        return got


async def known(visitor: Visitor, question: Question) -> Question:
    """The question with the answers that somebody gets who is alone; raises Failure or Busy."""
    step = Step([], None)
    await question.play(visitor, question.asked, step)
    return Question(question.play, question.asked, step.got)


async def play(visitor: Visitor, question: Question, ledger: list[Entry]) -> None:
    """Do it and note how it went; an answer that is busy ends it."""
    try:
        await question.play(visitor, question.asked, Step(ledger, iter(question.expected)))
    except Failure:  # noted
        pass
    except Busy:
        await asyncio.sleep(random.uniform(1, 2))  # "in a few seconds"


def difference(expected: Any, got: Any, where: str = "answer") -> str | None:
    """Where an answer differs from the one expected, None where it does not."""
    if isinstance(expected, dict) and isinstance(got, dict):
        if expected.keys() != got.keys():
            return f"{where} holds {sorted(got)} instead of {sorted(expected)}"
        if is_contradicted(expected, got):
            return f"{where} holds the opposite verdict"
        left_out = IDENTITIES | (VERDICTS if is_close_call(expected) else set())
        parts = [(key, expected[key], got[key]) for key in expected if key not in left_out | MAPS]
        if any(not look_alike(expected[key], got[key]) for key in MAPS & expected.keys()):
            return f"{where} shows something else"
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return f"{where} has {len(got)} entries instead of {len(expected)}"
        parts = [(str(place), *two) for place, two in enumerate(zip(expected, got, strict=True))]
    else:
        numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (expected, got))
        same = abs(expected - got) <= TOLERANCE if numbers else expected == got and type(expected) is type(got)
        return None if same else f"{where} is {str(got)[:80]} instead of {str(expected)[:80]}"
    return next((found for key, *two in parts if (found := difference(*two, f"{where}.{key}"))), None)


def look_alike(expected: list[str], got: list[str]) -> bool:
    """Whether pictures, as data URLs, differ by no more than 4 of 255 on average."""
    if len(expected) != len(got):
        return False
    pictures = [[np.asarray(Image.open(io.BytesIO(bytes_of(url))), float) for url in both] for both in (expected, got)]
    return all(a.shape == b.shape and np.abs(a - b).mean() <= 4 for a, b in zip(*pictures, strict=True))


def bytes_of(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2])


def is_close_call(answer: dict) -> bool:
    """Whether a verdict, or a choice among candidates, hangs on less than what rounding may change."""
    if "certainty" in answer:
        return answer["certainty"] < 0.6
    if "best" in answer:
        second, best = sorted(answer["similarities"])[-2:]
        return best - second < 0.05 or abs(best - answer["threshold"]) < 0.05
    score = answer.get("similarity", answer.get("score"))
    return score is not None and 0.02 < score < 0.98


def is_contradicted(expected: dict, got: dict) -> bool:
    """Whether a verdict turned into its opposite, though its score is further from the threshold than rounding goes.

    "unsure" is nobody's opposite: its bounds are edges of bins, which a score may stand on.
    """
    score = expected.get("similarity", expected.get("score"))
    points = [one["points"] if isinstance(one.get("points"), list) else [one] for one in (expected, got)]
    return any(
        {a.get("verdict"), b.get("verdict")} in OPPOSITES and abs(score - a["threshold"]) > 2 * TOLERANCE
        for a, b in zip(*points, strict=False)
    )


@asynccontextmanager
async def crowd(address: str, count: int) -> AsyncIterator[list[Visitor]]:
    """So many visitors, each with connections of its own."""
    async with httpx.AsyncClient(base_url=address, timeout=PATIENCE_S) as http:
        places = await places_of(http)
    visitors = [Visitor(address, places) for _ in range(count)]
    try:
        yield visitors
    finally:
        for visitor in visitors:
            await visitor.http.aclose()


async def answers_alone(address: str, asked: list[Question]) -> list[Question]:
    """All questions with the answers of a single visitor, asked one after another."""
    async with crowd(address, 1) as (visitor,):
        return [await known(visitor, question) for question in asked]


async def keep_asking(visitor: Visitor, supply: Iterator[Question], until_s: float, ledger: list[Entry]) -> None:
    while time.monotonic() < until_s:
        await play(visitor, next(supply), ledger)
        await visitor.look()


def endless(asked: list[Question], kinds: tuple[Callable, ...] | None = None) -> Iterator[Question]:
    """The questions in order, over and over: none comes again before the app has forgotten its embeddings."""
    return itertools.cycle([one for one in asked if kinds is None or one.play in kinds])

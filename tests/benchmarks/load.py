"""How many visitors the app serves at one moment: `python -m tests.benchmarks.load`, about two minutes.

Starts the app and lets 1, 10 and 50 visitors compare pictures and play rounds, half of them as the page does, half as
programs do, each as fast as the answers come; then more than the app lets in at one moment, who must be told so while
the others are served. Each similarity is compared with the one that a single visitor got. Ends with status 1 and a
sentence where one is wrong or missing.
"""

import argparse
import asyncio
import itertools
import json
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from siamese.characters.strokes import draw
from siamese.characters.synthetic import synthetic_alphabet
from siamese.data.pen_strokes import synthetic_hand
from siamese.ui.middleware import BUSY
from siamese.ui.pictures import drawing_url
from tests.running_app import start_app, stop_app

QUESTIONS = 60  # pairs of pictures and rounds, each
CROWDS = (1, 10, 50, 160)  # the last one is more than 48 calls of pages and 64 + 4 of programs at one moment
TOLERANCE = 0.01  # of a similarity: a batch of another size is rounded otherwise
PATIENCE_S = 600.0


class Busy(Exception):
    """The app asked to come again in a few seconds."""


@dataclass(frozen=True)
class Question:
    """Two pictures to compare, or a round to play, and what a single visitor was answered."""

    pair: tuple[str, str] | None = None
    round_seed: int = 0
    similarities: tuple[float, ...] = ()


@dataclass
class Tally:
    """What came of the questions of one crowd."""

    outcomes: Counter = field(default_factory=Counter)
    waited_s: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def row(self, visitors: int, seconds: float) -> str:
        p50, p95 = (1000 * np.percentile(self.waited_s or [0.0], share) for share in (50, 95))
        counts = [self.outcomes[outcome] for outcome in ("answered", "busy", "wrong", "missing")]
        cells = "".join(f"{count:10}" for count in counts)
        return f"{visitors:8}{cells}{counts[0] / seconds:10.1f}{p50:10.0f}{p95:10.0f}"


class Visitor:
    """A browser or a program, with connections of its own."""

    def __init__(self, address: str, components: dict[str, int], is_program: bool) -> None:
        self.http = httpx.AsyncClient(base_url=address, timeout=PATIENCE_S, trust_env=False)
        self.components, self.is_program = components, is_program
        self.session = secrets.token_hex(8)

    async def ask(self, question: Question) -> tuple[float, ...]:
        """The similarities of the answer. Raises Busy, or ValueError with what came instead of an answer."""
        if question.pair is None:
            return await self._play(question.round_seed)
        first, second = question.pair
        if self.is_program:
            return ((await self._call("compare", {"first": first, "second": second}))["similarity"],)
        return ((await self._page("compare_pictures", {"a": first, "b": second}))["similarity"],)

    async def _play(self, seed: int) -> tuple[float, ...]:
        link = f"daily-2026-01-{1 + seed % 28:02}"  # the same rounds for everybody
        if self.is_program:
            dealt = await self._call("new_challenge", {"link": link})
            answer = await self._call("answer_challenge", {"challenge_id": dealt["challenge_id"], "choice": 0})
        else:
            dealt = await self._page("challenge_deal", {"link": link, "index": 0})
            answer = await self._page("challenge_answer", {"round": dealt["round"], "choice": 0})
        return tuple(answer["similarities"])

    async def _page(self, name: str, data: dict) -> dict:
        """What the page does: one function of one component."""
        body = {"data": data, "component_id": self.components[name], "fn_name": name, "session_hash": self.session}
        answer = (await self.http.post("/gradio_api/component_server/", json=body)).json()
        return _checked(answer, answer.get("error"))

    async def _call(self, endpoint: str, data: dict) -> dict:
        """What programs do: join the queue, then read the answer."""
        joined = await self.http.post(f"/gradio_api/call/v2/{endpoint}", json=data)
        if joined.status_code != 200:
            return _checked({}, joined.json().get("detail"))
        stream = (await self.http.get(f"/gradio_api/call/{endpoint}/{joined.json()['event_id']}")).text
        event, _, answer = stream.strip().rpartition("data: ")
        if "event: complete" not in event:
            raise ValueError(stream[-300:])
        return json.loads(answer)[0]


def _checked(answer: dict, error: str | None) -> dict:
    if error == BUSY:
        raise Busy
    if error:
        raise ValueError(error)
    return answer


def questions(count: int, seed: int = 0) -> list[Question]:
    """Pairs of drawings, half of them of one character, and rounds in turn."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        characters = synthetic_alphabet(2, generator).characters
        pair = [drawing_url(draw(characters[i], synthetic_hand(generator), generator)) for i in (0, number % 2)]
        made += [Question(pair=(pair[0], pair[1])), Question(round_seed=number)]
    return made


async def components_of(address: str) -> dict[str, int]:
    """Which component of the page serves which function."""
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:
        config = (await http.get(f"{address}/config")).json()
    return {name: one["id"] for one in config["components"] for name in one["props"].get("server_fns") or []}


async def keep_asking(visitor: Visitor, supply: Iterator[Question], until_s: float, tally: Tally) -> None:
    """Asks one question after another and notes what came of each."""
    while time.monotonic() < until_s:
        question, begun = next(supply), time.monotonic()
        try:
            got = await visitor.ask(question)
        except Busy:
            tally.outcomes["busy"] += 1
            await asyncio.sleep(1.5)  # "in a few seconds"
            continue
        except (ValueError, KeyError, httpx.HTTPError) as error:
            tally.outcomes["missing"] += 1
            tally.faults.append(f"{type(error).__name__}: {error}")
            continue
        tally.waited_s.append(time.monotonic() - begun)
        is_right = np.allclose(got, question.similarities, atol=TOLERANCE, rtol=0)
        tally.outcomes["answered" if is_right else "wrong"] += 1
        if not is_right:
            tally.faults.append(f"{got} instead of {question.similarities}")


async def crowd(address: str, asked: list[Question], count: int, seconds: float) -> Tally:
    """Lets so many visitors ask for so long."""
    components, tally = await components_of(address), Tally()
    visitors = [Visitor(address, components, is_program=bool(number % 2)) for number in range(count)]
    supply, until_s = itertools.cycle(asked), time.monotonic() + seconds
    await asyncio.gather(*(keep_asking(one, supply, until_s, tally) for one in visitors))
    for one in visitors:
        await one.http.aclose()
    return tally


async def answered_alone(address: str, asked: list[Question]) -> list[Question]:
    """The questions with the answers of a single visitor."""
    visitor = Visitor(address, await components_of(address), is_program=False)
    answered = [Question(one.pair, one.round_seed, await visitor.ask(one)) for one in asked]
    await visitor.http.aclose()
    return answered


def complaint(count: int, tally: Tally) -> str | None:
    """What is not as promised, in one sentence."""
    if tally.outcomes["wrong"] or tally.outcomes["missing"]:
        return f"{count} visitors: answers were wrong or missing: {tally.faults[0]}"
    if not tally.outcomes["answered"]:
        return f"{count} visitors: nobody was answered."
    if (count == CROWDS[-1]) != bool(tally.outcomes["busy"]):
        return f"{count} visitors: {tally.outcomes['busy']} were told that the app is busy."
    return None


async def measure(address: str, seconds: float) -> str | None:
    asked = await answered_alone(address, questions(QUESTIONS))
    print("visitors  answered      busy     wrong   missing     per s    p50 ms    p95 ms")
    found = None
    for count in CROWDS:
        tally = await crowd(address, asked, count, seconds)
        print(tally.row(count, seconds), flush=True)
        found = found or complaint(count, tally)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20, help="length of each of the four phases")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="one-look-load-") as folder:
        app = start_app(Path(folder), CHALLENGE_SECRET="")
        try:
            sys.exit(asyncio.run(measure(app.address, seconds)))
        finally:
            stop_app(app)


if __name__ == "__main__":
    main()

"""The tab "One-shot challenge": rounds dealt from a link, answers that stay on the server, and its rules.

What a visitor could try, and what is promised. A round is known to the page by a random id that says nothing; its
answer lies in `Rounds`, in memory, until it is given or half an hour is over. Pictures travel as one-bit PNG without
names or metadata, candidates in an order that follows from the same seed as everything else. A link names no class:
it is a random identity from which a keyed hash derives the round, so it replays the same round after a restart and
in every copy with the same key. The key is the environment variable CHALLENGE_SECRET; without it a key that stands in
this public file, and then somebody who runs this code on a link can compute its answer, as they can compare pixels
with the public data set or simply ask the network. The daily challenge must be the same in every copy of the app and
therefore always uses the public key. Scores live in the visitor's browser and nobody is asked to believe them.
"""

import base64
import hashlib
import hmac
import random
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

import gradio as gr
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from siamese.characters.drawings import Drawings
from siamese.characters.recognizer import Recognizer
from siamese.characters.synthetic import draw, synthetic_alphabet, synthetic_hand
from siamese.preprocessing import prepare_ink
from siamese.ui.assets import script
from siamese.ui.pictures import drawing_url
from siamese.ui.validation import (
    PermanentUserError,
    UserError,
    choice,
    for_page,
    for_page_at_once,
    ink_of,
    picture,
    whole_number,
)

WAYS = (5, 10, 20)
MATCH_ROUNDS = 10
DAILY_WAYS = 10
ROUND_LIFE_S = 30 * 60.0
MAX_ROUNDS = 4_096  # of about 2 KB each
MAX_SHEETS = 128  # rounds in which the visitor draws keep their embeddings: 160 KB each
PUBLIC_KEY = b"one look: the same challenge for everybody"
PEOPLE, PAPER = 0.955, 0.920  # 20-way on Lake's runs: Lake et al. 2015 (4.5 % error); Koch et al. 2015, table 2

Source = Literal["invented", "omniglot"]
SOURCES: dict[Source, str] = {"invented": "Invented alphabets", "omniglot": "Omniglot evaluation alphabets"}

LINK = re.compile(r"(5|10|20)([io])-([a-z2-7]{14})([a-z2-7]{2})(-x10)?")
DAILY = re.compile(r"daily-(\d{4})-(\d{2})-(\d{2})")
FIRST_DAILY = date(2026, 1, 1)


@dataclass(frozen=True)
class Hand:
    """What is dealt: drawings of `n_way` characters of one alphabet, and another drawer's drawing of one of them."""

    candidates: tuple[Bool[Tensor, "105 105"], ...]
    query: Bool[Tensor, "105 105"]
    truth: int
    """Place of the query's character among the candidates, from 0."""
    alphabet: str


@dataclass(frozen=True)
class Game:
    """What a link stands for."""

    link: str
    n_way: int
    source: Source
    rounds: int
    is_daily: bool


@dataclass(frozen=True)
class Round:
    """What the server keeps of a round until it is answered."""

    truth: int
    alphabet: str
    source: Source
    similarities: tuple[float, ...]
    pick: int
    """The network's choice."""
    certainty: float
    """Share of the network's belief that lies on its pick: the softmax of the logits."""
    network_right: bool
    """Whether the true candidate alone scored highest; a tie counts as wrong."""


@dataclass(frozen=True)
class Sheet:
    """A round in which the visitor draws and the network guesses."""

    candidates: Float[Tensor, "n_way units"]
    alphabet: str


class Rounds:
    """Rounds by unguessable id: bounded in number and in time; the oldest goes first."""

    def __init__(self, most: int, life_s: float = ROUND_LIFE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._life_s, self._clock = most, life_s, clock
        self._kept: OrderedDict[str, tuple[float, Round | Sheet]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, one: Round | Sheet) -> str:
        identity = secrets.token_urlsafe(16)
        with self._lock:
            self._drop_old()
            self._kept[identity] = (self._clock() + self._life_s, one)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return identity

    def get(self, identity: object, take: bool = False) -> Round | Sheet:
        """The round; `take` forgets it, so that nobody answers twice. Raises UserError where it is not there."""
        with self._lock:
            self._drop_old()
            found = self._kept.get(identity) if isinstance(identity, str) else None
            if found is None:
                raise UserError("This round was answered already or is too old; please deal the next one.")
            if take:
                del self._kept[identity]
        return found[1]

    def _drop_old(self) -> None:
        now = self._clock()
        while self._kept and next(iter(self._kept.values()))[0] <= now:
            self._kept.popitem(last=False)


class Deck:
    """Where rounds come from. `evaluation` gives Omniglot's evaluation drawings, or None while there are none."""

    def __init__(self, evaluation: Callable[[], Drawings | None] = lambda: None, secret: str | None = None) -> None:
        self._evaluation = evaluation
        self._key = secret.encode() if secret else PUBLIC_KEY
        self._mark = _letters(hmac.digest(self._key, b"mark", "sha256"), 2)
        self._index: dict[str, dict[int, dict[int, int]]] = {}

    def sources(self) -> list[Source]:
        return ["invented"] if self._evaluation() is None else ["omniglot", "invented"]

    def new_game(self, n_way: int, source: Source, is_match: bool = False) -> Game:
        """A game that nobody has played; raises UserError where the source cannot be had."""
        self._require(source)
        link = f"{n_way}{source[0]}-{_letters(secrets.token_bytes(16), 14)}{self._mark}{'-x10' if is_match else ''}"
        return Game(link, n_way, source, MATCH_ROUNDS if is_match else 1, False)

    def daily_game(self, day: date) -> Game:
        return Game(f"daily-{day.isoformat()}", DAILY_WAYS, "invented", MATCH_ROUNDS, True)

    def game_of(self, link: object, today: date) -> Game:
        """The game that a link stands for; "daily" means today's. Raises PermanentUserError for what is no link."""
        if link == "daily":
            return self.daily_game(today)
        if isinstance(link, str) and (found := DAILY.fullmatch(link)):
            try:
                day = date(*map(int, found.groups()))
            except ValueError as error:
                raise PermanentUserError("There is no such day, so there is no daily challenge for it.") from error
            if not FIRST_DAILY <= day <= today:
                raise PermanentUserError("The daily challenge of that day is not open.")
            return self.daily_game(day)
        found = LINK.fullmatch(link) if isinstance(link, str) else None
        if found is None:
            raise PermanentUserError("This link is no challenge; it may have been cut off when it was copied.")
        ways, letter, _, mark, match = found.groups()
        if mark != self._mark:
            raise PermanentUserError(
                "This challenge was made by a copy of the app with another key and cannot be replayed here."
            )
        source: Source = "omniglot" if letter == "o" else "invented"
        self._require(source)
        return Game(found.group(), int(ways), source, MATCH_ROUNDS if match else 1, False)

    def hand(self, game: Game, index: int) -> Hand:
        """Round `index` (from 0) of a game: the same each time."""
        key = PUBLIC_KEY if game.is_daily else self._key
        seed = int.from_bytes(hmac.digest(key, f"{game.link}.{index}".encode(), "sha256"), "big")
        return self._omniglot_hand(game.n_way, seed) if game.source == "omniglot" else invented_hand(game.n_way, seed)

    def _require(self, source: Source) -> None:
        if source not in self.sources():
            raise UserError("Omniglot's evaluation images are not on this server; please play with invented alphabets.")

    def _omniglot_hand(self, n_way: int, seed: int) -> Hand:
        drawings = self._evaluation()
        if not self._index:
            self._index = _rows(drawings)
        chance = random.Random(seed)
        names = [name for name, characters in sorted(self._index.items()) if len(characters) >= n_way]
        name = chance.choice(names)
        characters = chance.sample(sorted(self._index[name]), n_way)
        truth = chance.randrange(n_way)
        shared = sorted(set.intersection(*(set(self._index[name][character]) for character in characters)))
        support, other = chance.sample(shared, 2)
        rows = [self._index[name][character][support] for character in characters]
        query = self._index[name][characters[truth]][other]
        return Hand(tuple(drawings.ink[row] for row in rows), drawings.ink[query], truth, name.replace("_", " "))


def invented_hand(n_way: int, seed: int) -> Hand:
    """An alphabet that nobody has seen before, by two hands."""
    generator = np.random.default_rng(seed)
    alphabet = synthetic_alphabet(n_way, generator)
    support, other = synthetic_hand(generator), synthetic_hand(generator)
    truth = int(generator.integers(n_way))
    order = generator.permutation(n_way)
    characters = [alphabet.characters[i] for i in order]
    candidates = tuple(draw(character, support, generator) for character in characters)
    return Hand(candidates, draw(characters[truth], other, generator), truth, alphabet.name)


def _rows(drawings: Drawings) -> dict[str, dict[int, dict[int, int]]]:
    """Alphabet -> character -> drawer -> row."""
    rows: dict[str, dict[int, dict[int, int]]] = {}
    places = zip(drawings.alphabet.tolist(), drawings.character.tolist(), drawings.drawer.tolist(), strict=True)
    for row, (alphabet, character, drawer) in enumerate(places):
        rows.setdefault(drawings.alphabet_names[alphabet], {}).setdefault(character, {})[drawer] = row
    return rows


def _letters(data: bytes, count: int) -> str:
    return base64.b32encode(hashlib.sha256(data).digest()).decode().lower()[:count]


class Table:
    """Deals rounds, keeps their answers, judges."""

    def __init__(self, recognizer: Recognizer, deck: Deck, today: Callable[[], date] | None = None) -> None:
        self.recognizer = recognizer
        self.deck = deck
        self.today = today or (lambda: datetime.now(UTC).date())
        self.rounds = Rounds(MAX_ROUNDS)
        self.sheets = Rounds(MAX_SHEETS)

    def deal(self, game: Game, index: int) -> dict:
        """A round as the page may know it; everything is embedded now, so that the answer needs no network."""
        hand = self.deck.hand(game, index)
        embeddings = self._embed([hand.query, *hand.candidates])
        with torch.inference_mode():
            logits = self.recognizer.network.compare(embeddings[:1], embeddings[1:]).double().cpu()
        pick = int(logits.argmax())
        kept = Round(
            truth=hand.truth,
            alphabet=hand.alphabet,
            source=game.source,
            similarities=tuple(logits.sigmoid().tolist()),
            pick=pick,
            certainty=float(logits.softmax(0)[pick]),
            network_right=bool((logits < logits[hand.truth]).sum() == len(logits) - 1),
        )
        return {
            "round": self.rounds.add(kept),
            "link": game.link,
            "rounds": game.rounds,
            "n_way": game.n_way,
            "source": game.source,
            "source_name": SOURCES[game.source],
            "query": drawing_url(hand.query),
            "candidates": [drawing_url(one) for one in hand.candidates],
        }

    def answer(self, identity: object, chosen: object) -> dict:
        """What was right; the round is over with it."""
        kept = self.rounds.get(identity)
        chosen = whole_number(chosen, 0, len(kept.similarities) - 1, "The choice")
        kept = self.rounds.get(identity, take=True)
        return {
            "right": chosen == kept.truth,
            "truth": kept.truth,
            "choice": chosen,
            "network_choice": kept.pick,
            "network_right": kept.network_right,
            "similarities": list(kept.similarities),
            "certainty": kept.certainty,
            "alphabet": kept.alphabet,
            "source": kept.source,
        }

    def deal_sheet(self, n_way: int, source: Source) -> dict:
        """Characters for the visitor to draw one of."""
        hand = self.deck.hand(self.deck.new_game(n_way, source), 0)
        sheet = Sheet(self._embed(list(hand.candidates)).half().cpu(), hand.alphabet)
        return {
            "round": self.sheets.add(sheet),
            "n_way": n_way,
            "source": source,
            "source_name": SOURCES[source],
            "alphabet": hand.alphabet,
            "candidates": [drawing_url(one) for one in hand.candidates],
        }

    def guess(self, identity: object, drawing: object) -> dict:
        """Which of the sheet's characters the drawing is taken for."""
        sheet = self.sheets.get(identity)
        ink = ink_of(picture(drawing, "Your drawing"), "Your drawing")
        embedding = self.recognizer.embed_pictures(prepare_ink(ink, self.recognizer.preprocessing)[None])
        with torch.inference_mode():
            candidates = sheet.candidates.to(embedding)
            logits = self.recognizer.network.compare(embedding, candidates).double().cpu()
        pick = int(logits.argmax())
        return {
            "network_choice": pick,
            "certainty": float(logits.softmax(0)[pick]),
            "similarities": logits.sigmoid().tolist(),
        }

    def _embed(self, drawings: list[Bool[Tensor, "105 105"]]) -> Float[Tensor, "drawings units"]:
        prepared = [prepare_ink(ink.float(), self.recognizer.preprocessing) for ink in drawings]
        return self.recognizer.embed_pictures(torch.stack(prepared))


MARKUP = """
<section class="panel challenge" aria-labelledby="challenge-title" data-mode="free">
  <header class="lead"><h2 id="challenge-title">You have seen each of these once. Which one is it?</h2>
  <p data-rule></p></header>
  <div class="controls">
    <fieldset class="segments" data-modes><legend class="visually-hidden">Game</legend></fieldset>
    <fieldset class="segments small" data-ways><legend>Candidates</legend></fieldset>
    <fieldset class="segments small" data-sources><legend>Alphabets</legend></fieldset>
  </div>
  <div class="board" data-board>
    <div class="asked"><p class="asked-label" data-asked-label>Find this character</p>
      <div class="tile query" data-query></div>
      <p class="from" data-from></p></div>
    <div class="candidates" data-candidates role="group" aria-label="Candidates"></div>
  </div>
  <div class="turn"><div class="turn-text"><p class="say" data-say role="status" aria-live="polite"></p>
    <p class="detail" data-detail></p></div>
    <div class="turn-buttons"><button type="button" class="button primary" data-next>Next</button></div></div>
  <div class="finish" data-finish hidden></div>
  <div class="tally" data-tally></div>
  <p class="keys">Keys: <kbd>1</kbd> to <kbd>9</kbd>, <kbd>0</kbd> (then <kbd>q</kbd> to <kbd>p</kbd>) pick,
  arrows move, <kbd>Enter</kbd> goes on.
  <button type="button" class="plain" data-copy-link>Copy a link to this round</button></p>
</section>
"""


def build(table: Table) -> None:
    """Put the tab's contents into the open Gradio context."""

    def game_asked(asked: dict) -> Game:
        if asked.get("link") is not None:
            return table.deck.game_of(asked["link"], table.today())
        n_way = choice(asked.get("n_way"), WAYS, "The number of candidates")
        source = choice(asked.get("source"), list(SOURCES), "The alphabets")
        return table.deck.new_game(n_way, source, is_match=asked.get("match") is True)

    @for_page
    def challenge_deal(asked: dict) -> dict:
        game = game_asked(asked)
        return table.deal(game, whole_number(asked.get("index", 0), 0, game.rounds - 1, "The round's number"))

    @for_page_at_once  # everything was worked out when the round was dealt
    def challenge_answer(asked: dict) -> dict:
        return table.answer(asked.get("round"), asked.get("choice"))

    @for_page
    def challenge_sheet(asked: dict) -> dict:
        n_way = choice(asked.get("n_way"), WAYS, "The number of candidates")
        return table.deal_sheet(n_way, choice(asked.get("source"), table.deck.sources(), "The alphabets"))

    @for_page
    def challenge_guess(asked: dict) -> dict:
        return table.guess(asked.get("round"), asked.get("drawing"))

    @for_page_at_once
    def challenge_options(_asked: dict) -> dict:
        return {
            "ways": list(WAYS),
            "sources": [{"key": key, "name": SOURCES[key]} for key in table.deck.sources()],
            "people": PEOPLE,
            "paper": PAPER,
        }

    gr.HTML(
        MARKUP,
        js_on_load=script("challenge.js"),
        apply_default_css=False,
        server_functions=[challenge_deal, challenge_answer, challenge_sheet, challenge_guess, challenge_options],
        elem_classes="tab",
    )

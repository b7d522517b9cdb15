"""Trials of the challenge: the trial that a link stands for, and its drawings.

A link names no class. It holds a random identity, from which a keyed hash derives the trial, so it gives the same trial
after a restart and in every copy of the app that has the same key. The key is the environment variable
CHALLENGE_SECRET. Without it the key is the one in this public file: whoever runs this code on a link can then compute
its answer. The daily challenge must be the same in every copy of the app and always uses the public key.
"""

import base64
import functools
import hashlib
import hmac
import random
import re
import secrets
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from siamese.characters.synthetic import draw, synthetic_alphabet
from siamese.data.bundled import BundledDrawings, read_bundled
from siamese.data.pen_strokes import synthetic_hand
from siamese.ui.validation import PermanentUserError

WAYS = (5, 10, 20)
MATCH_ROUNDS = 10
DAILY_WAYS = 10
FIRST_DAILY = date(2026, 1, 1)
PUBLIC_KEY = b"one look: the same challenge for everybody"

Source = Literal["omniglot", "invented"]
SOURCES: dict[Source, str] = {"omniglot": "Omniglot evaluation alphabets", "invented": "Invented alphabets"}
"""Names of the sources; the first is the default."""

LINK = re.compile(r"(5|10|20)([io])-([a-z2-7]{14})([a-z2-7]{2})(-x10)?")
DAILY_LINK = re.compile(r"daily-(\d{4})-(\d{2})-(\d{2})")

RowsOfAlphabet = dict[int, dict[int, int]]
"""Character -> drawer -> row of the drawings."""
Place = tuple[str, int, int]
"""Alphabet, character, drawer of a drawing."""


@dataclass(frozen=True)
class Trial:
    """Drawings of `n_way` characters of one alphabet by one drawer, and another drawer's drawing of one of them.

    Attributes:
        candidates: One drawing of each character, ink true.
        query: The drawing whose character is looked for.
        truth: Place of the query's character among the candidates, from 0.
        alphabet: Name of the alphabet.
    """

    candidates: tuple[Bool[Tensor, "105 105"], ...]
    query: Bool[Tensor, "105 105"]
    truth: int
    alphabet: str


@dataclass(frozen=True)
class Game:
    """What a link stands for.

    Attributes:
        link: The value of ?challenge= in the address.
        n_way: Number of candidates in each trial.
        source: Where the characters come from.
        rounds: Number of trials, 1 or MATCH_ROUNDS.
        is_daily: Whether it is the daily challenge of some day.
    """

    link: str
    n_way: int
    source: Source
    rounds: int
    is_daily: bool


class TrialSource:
    """Makes games and gives their trials."""

    def __init__(self, secret: str | None = None) -> None:
        """
        Args:
            secret: Key of the links; without one they use the public key.
        """
        self._key = secret.encode() if secret else PUBLIC_KEY
        self._key_check = _base32(hmac.digest(self._key, b"mark", "sha256"), 2)

    def new_game(self, n_way: int, source: Source, is_match: bool = False) -> Game:
        """Makes a game that nobody has played."""
        identity = _base32(secrets.token_bytes(16), 14)
        link = f"{n_way}{source[0]}-{identity}{self._key_check}{'-x10' if is_match else ''}"
        return Game(link, n_way, source, MATCH_ROUNDS if is_match else 1, False)

    def daily_game(self, day: date) -> Game:
        """Gives the daily challenge of a day."""
        return Game(f"daily-{day.isoformat()}", DAILY_WAYS, "omniglot", MATCH_ROUNDS, True)

    def game_of(self, link: object, today: date) -> Game:
        """Reads a link.

        Args:
            link: What a visitor sent; "daily" stands for today's challenge.
            today: The date in UTC.

        Raises:
            PermanentUserError: It is no link, or stands for a day whose challenge is not open.
        """
        if link == "daily":
            return self.daily_game(today)
        if isinstance(link, str) and (found := DAILY_LINK.fullmatch(link)):
            try:
                day = date(*map(int, found.groups()))
            except ValueError as error:
                raise PermanentUserError("There is no such day, so there is no daily challenge for it.") from error
            if not FIRST_DAILY <= day <= today:
                raise PermanentUserError("The daily challenge of that day is not open.")
            return self.daily_game(day)
        found = LINK.fullmatch(link) if isinstance(link, str) else None
        if found is None:
            raise PermanentUserError("This link is not a challenge; it may have been cut off when it was copied.")
        ways, letter, _, key_check, match = found.groups()
        if key_check != self._key_check:
            raise PermanentUserError(
                "This challenge was made by a copy of the app with another key and cannot be replayed here."
            )
        source: Source = "omniglot" if letter == "o" else "invented"
        return Game(found.group(), int(ways), source, MATCH_ROUNDS if match else 1, False)

    def trial(self, game: Game, index: int) -> Trial:
        """Gives trial `index` (from 0) of a game, the same each time."""
        key = PUBLIC_KEY if game.is_daily else self._key
        seed = int.from_bytes(hmac.digest(key, f"{game.link}.{index}".encode(), "sha256"), "big")
        if game.is_daily:
            days = (date.fromisoformat(game.link.removeprefix("daily-")) - FIRST_DAILY).days
            queries = _daily_queries()
            return omniglot_trial(game.n_way, seed, queries[(days * game.rounds + index) % len(queries)])
        return omniglot_trial(game.n_way, seed) if game.source == "omniglot" else synthetic_trial(game.n_way, seed)


def omniglot_trial(n_way: int, seed: int, query: Place | None = None) -> Trial:
    """Gives a trial of one of Omniglot's evaluation alphabets.

    Args:
        n_way: Number of candidates.
        seed: The same seed gives the same trial.
        query: The drawing to be recognised; without one it is drawn by chance, all alphabets of at least `n_way`
            characters being equally likely.
    """
    drawings, alphabets = _evaluation_set(), _rows_by_alphabet()
    chance = random.Random(seed)
    if query is None:
        name = chance.choice([name for name, characters in alphabets.items() if len(characters) >= n_way])
        character = chance.choice(list(alphabets[name]))
        query = (name, character, chance.choice(list(alphabets[name][character])))
    name, character, drawer = query
    rows = alphabets[name]
    characters = chance.sample([one for one in rows if one != character], n_way - 1)
    truth = chance.randrange(n_way)
    characters.insert(truth, character)
    shared = set.intersection(*(set(rows[one]) for one in characters)) - {drawer}
    support = chance.choice(sorted(shared))
    candidates = tuple(drawings.ink(rows[one][support]) for one in characters)
    return Trial(candidates, drawings.ink(rows[character][drawer]), truth, name.replace("_", " "))


def synthetic_trial(n_way: int, seed: int) -> Trial:
    """Draws a trial of an invented alphabet by two invented drawers.

    Args:
        n_way: Number of candidates.
        seed: The same seed gives the same trial.
    """
    generator = np.random.default_rng(seed)
    alphabet = synthetic_alphabet(n_way, generator)
    support, other = synthetic_hand(generator), synthetic_hand(generator)
    truth = int(generator.integers(n_way))
    order = generator.permutation(n_way)
    characters = [alphabet.characters[i] for i in order]
    candidates = tuple(draw(character, support, generator) for character in characters)
    return Trial(candidates, draw(characters[truth], other, generator), truth, alphabet.name)


@functools.cache
def _evaluation_set() -> BundledDrawings:
    return read_bundled("evaluation")


@functools.cache
def _rows_by_alphabet() -> dict[str, RowsOfAlphabet]:
    drawings = _evaluation_set()
    rows: dict[str, RowsOfAlphabet] = {}
    places = zip(drawings.alphabet.tolist(), drawings.character.tolist(), drawings.drawer.tolist(), strict=True)
    for row, (alphabet, character, drawer) in enumerate(places):
        rows.setdefault(drawings.alphabet_names[alphabet], {}).setdefault(character, {})[drawer] = row
    return rows


@functools.cache
def _daily_queries() -> list[Place]:
    """Lists every drawing of the evaluation set in the order in which daily challenges ask for them.

    A drawing comes again only after all others have: 13,180 drawings last 1,318 days of ten rounds.
    """
    places = [
        (name, character, drawer)
        for name, characters in _rows_by_alphabet().items()
        for character, drawers in characters.items()
        for drawer in drawers
    ]
    random.Random(int.from_bytes(PUBLIC_KEY, "big")).shuffle(places)
    return places


def _base32(data: bytes, count: int) -> str:
    """The first `count` lower-case base-32 letters of a hash of the data."""
    return base64.b32encode(hashlib.sha256(data).digest()).decode().lower()[:count]

"""The rounds of the challenge that are being played: dealt, answered and judged.

The page knows a round by a random id. The answer stays here, in memory, until it is given or half an hour has passed.
Pictures are sent as one-bit PNG without names or metadata. Scores are kept by the visitor's browser only.
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from siamese.characters.recognizer import Recognizer
from siamese.preprocessing import prepare_ink
from siamese.ui.pictures import drawing_url
from siamese.ui.trials import SOURCES, Game, Source, TrialSource
from siamese.ui.validation import UserError, ink_of, picture, whole_number

ROUND_LIFE_S = 30 * 60.0
MAX_ROUNDS = 4_096  # of about 2 KB each
MAX_DRAWING_ROUNDS = 128  # each keeps its candidates' embeddings: 160 KB


@dataclass(frozen=True)
class DealtRound:
    """A round that has been dealt and not yet answered.

    Attributes:
        truth: Place of the right candidate, from 0.
        alphabet: Name of the alphabet.
        source: Where the characters come from.
        similarities: The network's similarity of the query to each candidate, in [0, 1].
        network_choice: Place of the candidate that the network takes, from 0.
        certainty: Softmax of the logits at that place, in [0, 1].
        network_right: Whether the right candidate alone scored highest; a tie counts as wrong.
    """

    truth: int
    alphabet: str
    source: Source
    similarities: tuple[float, ...]
    network_choice: int
    certainty: float
    network_right: bool


@dataclass(frozen=True)
class DrawingRound:
    """A round in which the visitor draws and the network guesses.

    Attributes:
        candidates: Embeddings of the characters to choose from.
        alphabet: Name of the alphabet.
    """

    candidates: Float[Tensor, "n_way units"]
    alphabet: str


class RoundStore:
    """Rounds by unguessable id, bounded in number and in time; the oldest goes first."""

    def __init__(
        self, max_rounds: int, life_s: float = ROUND_LIFE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            max_rounds: How many are kept.
            life_s: How long one is kept.
            clock: Gives the time in seconds.
        """
        self._max_rounds, self._life_s, self._clock = max_rounds, life_s, clock
        self._kept: OrderedDict[str, tuple[float, DealtRound | DrawingRound]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, one: DealtRound | DrawingRound) -> str:
        """Keeps a round and gives its id."""
        identity = secrets.token_urlsafe(16)
        with self._lock:
            self._drop_old()
            self._kept[identity] = (self._clock() + self._life_s, one)
            while len(self._kept) > self._max_rounds:
                self._kept.popitem(last=False)
        return identity

    def get(self, identity: object, take: bool = False) -> Any:
        """Gives a round.

        Args:
            identity: What a visitor sent as its id.
            take: Whether to forget it, so that nobody answers twice.

        Raises:
            UserError: There is no such round, or no longer.
        """
        with self._lock:
            self._drop_old()
            if not isinstance(identity, str) or (found := self._kept.get(identity)) is None:
                raise UserError("This round was answered already or is too old; please take the next one.")
            if take:
                del self._kept[identity]
        return found[1]

    def _drop_old(self) -> None:
        now = self._clock()
        while self._kept and next(iter(self._kept.values()))[0] <= now:
            self._kept.popitem(last=False)


class GameSession:
    """Deals rounds, keeps their solutions and judges the visitors' answers."""

    def __init__(
        self,
        recognizer: Recognizer,
        trials: TrialSource,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        Args:
            recognizer: The network that plays.
            trials: Where rounds come from.
            now: Gives the time in UTC.
        """
        self.recognizer = recognizer
        self.trials = trials
        self.now = now
        self._rounds = RoundStore(MAX_ROUNDS)
        self._drawing_rounds = RoundStore(MAX_DRAWING_ROUNDS)

    def deal(self, game: Game, index: int) -> dict[str, Any]:
        """Deals a round and lets the network answer it, so that judging the visitor's answer needs no network.

        Args:
            game: The game.
            index: Number of the round, from 0.

        Returns:
            What the page may know: round (its id), link, rounds, n_way, source, source_name, and query and candidates
            as data URLs.
        """
        trial = self.trials.trial(game, index)
        embeddings = self._embed([trial.query, *trial.candidates])
        with torch.inference_mode():
            logits = self.recognizer.encoder.compare(embeddings[:1], embeddings[1:]).double()
        network_choice = int(logits.argmax())
        dealt = DealtRound(
            truth=trial.truth,
            alphabet=trial.alphabet,
            source=game.source,
            similarities=tuple(logits.sigmoid().tolist()),
            network_choice=network_choice,
            certainty=float(logits.softmax(0)[network_choice]),
            network_right=bool((logits < logits[trial.truth]).sum() == len(logits) - 1),
        )
        return {
            "round": self._rounds.add(dealt),
            "link": game.link,
            "rounds": game.rounds,
            "n_way": game.n_way,
            "source": game.source,
            "source_name": SOURCES[game.source],
            "query": drawing_url(trial.query),
            "candidates": [drawing_url(one) for one in trial.candidates],
        }

    def answer(self, identity: object, choice: object) -> dict[str, Any]:
        """Judges an answer; the round is over with it.

        Args:
            identity: Id of the round, as `deal` gave it.
            choice: Place of the chosen candidate, from 0.

        Returns:
            right, truth, choice, network_choice, network_right, similarities, certainty, alphabet and source.

        Raises:
            UserError: There is no such round, or no such candidate.
        """
        dealt = self._rounds.get(identity)
        choice = whole_number(choice, 0, len(dealt.similarities) - 1, "The choice")
        dealt = self._rounds.get(identity, take=True)
        return {
            "right": choice == dealt.truth,
            "truth": dealt.truth,
            "choice": choice,
            "network_choice": dealt.network_choice,
            "network_right": dealt.network_right,
            "similarities": list(dealt.similarities),
            "certainty": dealt.certainty,
            "alphabet": dealt.alphabet,
            "source": dealt.source,
        }

    def deal_drawing(self, n_way: int, source: Source) -> dict[str, Any]:
        """Deals characters of which the visitor draws one.

        Args:
            n_way: Number of characters.
            source: Where they come from.

        Returns:
            round (its id), n_way, source, alphabet, and candidates as data URLs.
        """
        trial = self.trials.trial(self.trials.new_game(n_way, source), 0)
        dealt = DrawingRound(self._embed(list(trial.candidates)).half().cpu(), trial.alphabet)
        return {
            "round": self._drawing_rounds.add(dealt),
            "n_way": n_way,
            "source": source,
            "alphabet": trial.alphabet,
            "candidates": [drawing_url(one) for one in trial.candidates],
        }

    def guess(self, identity: object, drawing: object) -> dict[str, Any]:
        """Lets the network guess which character was drawn.

        Args:
            identity: Id of the round, as `deal_drawing` gave it.
            drawing: The drawing as a data URL.

        Returns:
            network_choice (from 0), certainty, similarities, and the threshold from which one counts as the same.

        Raises:
            UserError: There is no such round, or no ink in the drawing.
        """
        dealt = self._drawing_rounds.get(identity)
        ink = ink_of(picture(drawing, "Your drawing"), "Your drawing")
        embedding = self.recognizer.embed_pictures(prepare_ink(ink, self.recognizer.preprocessing)[None])
        with torch.inference_mode():
            candidates = dealt.candidates.to(embedding)
            logits = self.recognizer.encoder.compare(embedding, candidates).double()
        network_choice = int(logits.argmax())
        return {
            "network_choice": network_choice,
            "certainty": float(logits.softmax(0)[network_choice]),
            "similarities": logits.sigmoid().tolist(),
            "threshold": self.recognizer.threshold,
        }

    def _embed(self, drawings: list[Bool[Tensor, "105 105"]]) -> Float[Tensor, "drawings units"]:
        prepared = [prepare_ink(ink.float(), self.recognizer.preprocessing) for ink in drawings]
        return self.recognizer.embed_pictures(torch.stack(prepared))

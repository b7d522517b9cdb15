"""How long the server needs for a round and for a comparison: `python tests/benchmarks/answers.py`.

Promised on two cores: a 20-way answer in under 100 ms, because everything was embedded when the round was dealt, and a
comparison of two new images in under 60 ms.
"""

import statistics
import time
from collections.abc import Callable

import torch

from siamese.characters.recognizer import load_recognizer
from siamese.ui.game_session import GameSession
from siamese.ui.pages.compare import comparison
from siamese.ui.pictures import drawing_url, ink_image
from siamese.ui.trials import TrialSource, synthetic_trial

REPEATS = 30


def milliseconds(action: Callable[[int], object]) -> tuple[float, float]:
    """Median and worst of REPEATS turns, the first two of which only warm up."""
    times = []
    for turn in range(REPEATS + 2):
        start = time.perf_counter()
        action(turn)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times[2:]), max(times[2:])


def main() -> None:
    recognizer = load_recognizer()
    session = GameSession(recognizer, TrialSource())
    games = [session.trials.new_game(20, "invented") for _ in range(REPEATS + 2)]
    dealt = [session.deal(game, 0)["round"] for game in games]
    drawings = [synthetic_trial(2, seed).candidates for seed in range(REPEATS + 2)]
    pairs = [[ink_image(ink.float()) for ink in pair] for pair in drawings]
    drawing_round = session.deal_drawing(20, "invented")["round"]
    rows = {
        "deal a 20-way round": lambda turn: session.deal(session.trials.new_game(20, "invented"), 0),
        "answer a 20-way round": lambda turn: session.answer(dealt[turn], 0),
        "guess a drawing among 20": lambda turn: session.guess(drawing_round, drawing_url(drawings[turn][0])),
        "compare two new images": lambda turn: comparison(recognizer, *pairs[turn]),
    }
    print(f"{torch.get_num_threads()} threads, {recognizer.precision}")
    for words, action in rows.items():
        median, worst = milliseconds(action)
        print(f"{words:28} median {median:7.1f} ms   worst {worst:7.1f} ms")


if __name__ == "__main__":
    main()

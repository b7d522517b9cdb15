"""The tab "One-shot challenge"."""

from typing import Any

import gradio as gr

from siamese.ui.assets import script
from siamese.ui.game_session import GameSession
from siamese.ui.trials import SOURCES, WAYS, Game
from siamese.ui.validation import choice, for_page, for_page_at_once, whole_number

PEOPLE, PAPER = 0.955, 0.920  # 20-way on Lake's runs: Lake et al. 2015 (4.5 % error); Koch et al. 2015, table 2

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


def build(session: GameSession) -> None:
    """Put the tab's contents into the open Gradio context."""

    def game_asked(asked: dict) -> Game:
        if asked.get("link") is not None:
            return session.trials.game_of(asked["link"], session.now().date())
        n_way = choice(asked.get("n_way"), WAYS, "The number of candidates")
        source = choice(asked.get("source"), list(SOURCES), "The alphabets")
        return session.trials.new_game(n_way, source, is_match=asked.get("match") is True)

    @for_page
    def challenge_deal(asked: dict) -> dict[str, Any]:
        game = game_asked(asked)
        return session.deal(game, whole_number(asked.get("index", 0), 0, game.rounds - 1, "The round's number"))

    @for_page_at_once  # everything was worked out when the round was dealt
    def challenge_answer(asked: dict) -> dict[str, Any]:
        return session.answer(asked.get("round"), asked.get("choice"))

    @for_page
    def challenge_draw(asked: dict) -> dict[str, Any]:
        n_way = choice(asked.get("n_way"), WAYS, "The number of candidates")
        return session.deal_drawing(n_way, choice(asked.get("source"), session.trials.sources(), "The alphabets"))

    @for_page
    def challenge_guess(asked: dict) -> dict[str, Any]:
        return session.guess(asked.get("round"), asked.get("drawing"))

    @for_page_at_once
    def challenge_options(_asked: dict) -> dict[str, Any]:
        return {
            "ways": list(WAYS),
            "sources": [{"key": key, "name": SOURCES[key]} for key in session.trials.sources()],
            "people": PEOPLE,
            "paper": PAPER,
        }

    gr.HTML(
        MARKUP,
        js_on_load=script("challenge.js"),
        apply_default_css=False,
        server_functions=[challenge_deal, challenge_answer, challenge_draw, challenge_guess, challenge_options],
        elem_classes="tab",
    )

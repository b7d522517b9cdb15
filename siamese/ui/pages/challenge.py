"""The tab "One-shot challenge"."""

from typing import Any

import gradio as gr

from siamese.characters.recognizer import Recognizer
from siamese.ui.game_session import GameSession
from siamese.ui.trials import DAILY_WAYS, MATCH_ROUNDS, SOURCES, WAYS, Game
from siamese.ui.validation import choice, for_page, for_page_at_once, whole_number
from siamese.ui.weights import config_of

PEOPLE, PAPER = 0.955, 0.920  # 20-way on Lake's runs: Lake et al. 2015 (4.5 % error); Koch et al. 2015, table 2

MARKUP = """
<section class="panel challenge" aria-labelledby="challenge-title" data-mode="free" data-state="playing">
  <header class="lead"><h2 id="challenge-title">{title}</h2></header>
  <div class="controls">
    <fieldset class="segments" data-modes><legend class="visually-hidden">Game</legend></fieldset>
    <fieldset class="segments small" data-ways><legend>Candidates</legend></fieldset>
    <fieldset class="segments small" data-sources><legend>Alphabets</legend></fieldset>
  </div>
  <p class="rule" data-rule></p>
  <p class="beat" data-beat hidden></p>
  <div class="board" data-board>
    <div class="side">
      <div class="asked" data-asked>
        <h3 class="asked-label" data-asked-label>Which one is the same character?</h3>
        <div class="tile query" data-query></div>
        <div class="asked-notes">
          <p class="clock" data-clock role="timer" hidden></p><p class="from" data-from></p></div>
      </div>
      <div class="turn">
        <div class="turn-text"><p class="say" data-say role="status" aria-live="polite"></p>
          <p class="detail" data-detail></p></div>
        <button type="button" class="button primary" data-next>Next</button>
      </div>
    </div>
    <div class="candidates" data-candidates role="group" aria-label="Candidates"></div>
  </div>
  <div class="finish" data-finish hidden></div>
  <div class="tally" data-tally></div>
  <div class="below">
    <button type="button" class="plain" data-copy-link>Copy a link to this round</button>
    <span class="copied" data-copied role="status"></span>
    <p class="percentages">The percentage below a candidate is its similarity alone. How sure the network is of its
    choice comes from comparing all candidates.</p>
    <p class="keys"><label><input type="checkbox" data-shortcuts> Single-key shortcuts:</label>
    <kbd>A</kbd> to <kbd data-last-key>J</kbd> pick a candidate. Arrow keys move, <kbd>Enter</kbd> continues.</p>
  </div>
</section>
"""


def lake_accuracy(recognizer: Recognizer) -> float | None:
    """Reads the network's accuracy on Lake's 20-way runs from its config.json.

    Returns:
        The accuracy in [0, 1], or None if the config has none or is malformed.
    """
    figures = config_of(recognizer).get("figures")
    reports = figures.get("one_shot") if isinstance(figures, dict) else None
    for report in reports if isinstance(reports, list) else []:
        if isinstance(report, dict) and report.get("protocol") == "lake_runs" and report.get("n_way") == 20:
            accuracy = report.get("accuracy")
            return accuracy if isinstance(accuracy, float) and 0 <= accuracy <= 1 else None
    return None


def title(accuracy: float | None) -> str:
    """Returns the heading, with the accuracy of people and of the network on the same task."""
    network = "" if accuracy is None else f", this network {percent(accuracy)}"
    return f"People get {percent(PEOPLE)} right{network}. You? <small>20 candidates, test of Lake et al.</small>"


def percent(share: float) -> str:
    """Formats a share with up to two decimals, as in "98.75 %"."""
    return f"{share * 100:.2f}".rstrip("0").rstrip(".") + "\u00a0%"


def build(session: GameSession) -> None:
    """Adds the tab's contents to the open Gradio context."""

    def asked_game(asked: dict) -> Game:
        if asked.get("link") is not None:
            return session.trials.game_of(asked["link"], session.now().date())
        n_way = choice(asked.get("n_way"), WAYS, "The number of candidates")
        source = choice(asked.get("source", next(iter(SOURCES))), list(SOURCES), "The alphabets")
        return session.trials.new_game(n_way, source, is_match=asked.get("match") is True)

    @for_page
    def challenge_deal(asked: dict) -> dict[str, Any]:
        game = asked_game(asked)
        return session.deal(game, whole_number(asked.get("index", 0), 0, game.rounds - 1, "The round's number"))

    @for_page_at_once  # everything was computed when the round was dealt
    def challenge_answer(asked: dict) -> dict[str, Any]:
        return session.answer(asked.get("round"), asked.get("choice"))

    @for_page
    def challenge_draw(asked: dict) -> dict[str, Any]:
        n_way = choice(asked.get("n_way"), WAYS, "The number of candidates")
        return session.deal_drawing(n_way, choice(asked.get("source"), list(SOURCES), "The alphabets"))

    @for_page
    def challenge_guess(asked: dict) -> dict[str, Any]:
        return session.guess(asked.get("round"), asked.get("drawing"))

    @for_page_at_once
    def challenge_options(_asked: dict) -> dict[str, Any]:
        return {
            "ways": list(WAYS),
            "sources": [{"key": key, "name": SOURCES[key]} for key in SOURCES],
            "match_rounds": MATCH_ROUNDS,
            "daily_ways": DAILY_WAYS,
            "now_s": session.now().timestamp(),
            "people": PEOPLE,
            "paper": PAPER,
        }

    gr.HTML(
        MARKUP.format(title=title(lake_accuracy(session.recognizer))),
        js_on_load="oneLook.tabs.challenge(element, server)",
        apply_default_css=False,
        server_functions=[challenge_deal, challenge_answer, challenge_draw, challenge_guess, challenge_options],
        elem_classes="tab",
    )

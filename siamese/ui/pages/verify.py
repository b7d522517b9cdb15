"""The tab "Verify a signature": references, a questioned one, a verdict with its errors in sight; and a game for two.

Nothing that a visitor signs is kept: pictures come as data URLs, are judged in memory and forgotten with the answer.
"""

from collections.abc import Callable, Sequence
from html import escape

import gradio as gr
from jaxtyping import Float
from torch import Tensor

from siamese.imaging.decode import ImageError
from siamese.imaging.reading import Reading, Remark, merge_remarks
from siamese.inference.verdict import Verification
from siamese.metrics import OperatingPoint
from siamese.signatures.isolation import read_signature
from siamese.signatures.verifier import Verifier
from siamese.ui.assets import script
from siamese.ui.pages.compare import of_hundred
from siamese.ui.pictures import (
    INK_COLOUR,
    QUESTIONED_COLOUR,
    REFERENCE_COLOUR,
    ink_url,
    laid_over,
    layer_url,
    on_sheet,
    overlay_url,
)
from siamese.ui.validation import UserError, decoded, for_page, whole_number

MAX_REFERENCES = 10
AIMS = {
    "strict": "Hardly any forgery passes.",
    "balanced": "Both errors are equally frequent.",
    "lenient": "Hardly any genuine one is refused.",
}

SPOKEN_PARTS = {  # of a score, see `siamese.signatures.features`
    "network": "The shapes that the network sees below",
    "hinge": "the turns of the pen",
    "profile": "the height and direction of the lines from left to right",
}
ROOM = {
    True: "the references, which differ more than usual, give it room",
    False: "the references, more alike than usual, ask for more",
}
SAYS_LITTLE = 0.3  # logits: a chance of 57 in 100 instead of 50

MARKUP = """
<section class="panel verify" aria-labelledby="verify-title">
  <header class="lead"><h2 id="verify-title">Is the questioned one by the same hand?</h2>
  <p>One to ten signatures that are known to be genuine, and one in question. Sign here, or bring pictures of paper.</p>
  </header>
  <fieldset class="segments modes" data-modes><legend class="visually-hidden">What to do</legend></fieldset>
  <div data-desk>
    <div class="two">
      <div><div data-reference></div>
        <div class="row"><button type="button" class="button" data-add disabled>Add as a reference</button></div>
        <div class="file-list" data-references role="list" aria-label="References"></div></div>
      <div data-questioned></div>
    </div>
    <div class="say-row"><p class="say" data-say role="status" aria-live="polite"></p>
    <button type="button" class="plain" data-reset>Start over</button></div>
    <div class="answer" data-answer hidden>
      <div class="verdict-row" aria-live="polite">
      <p class="verdict" data-verdict></p><p class="score" data-score></p></div>
      <p class="meaning" data-meaning></p>
      <div data-scale></div>
      <p class="reliability" data-rates></p>
      <fieldset class="points" data-points><legend>How strict should it be?</legend></fieldset>
      <p class="detail" data-counted></p>
      <div class="evidence">
        <section aria-labelledby="verify-inks"><h3 id="verify-inks">The inks, as they were found</h3>
        <div class="inks" data-inks></div></section>
        <section aria-labelledby="verify-laid"><h3 id="verify-laid">One over the other, where they fit best</h3>
        <div data-laid></div></section>
      </div>
      <div class="why-row"><button type="button" class="button" data-why aria-pressed="false">What drove it?</button>
      <p class="legend" data-legend hidden><span class="swatch for"></span> this ink speaks for the same hand
      <span class="swatch against"></span> this ink speaks against it</p></div>
      <p class="detail" data-parts hidden></p>
      <div class="sees-row" data-sees hidden></div>
    </div>
  </div>
  <div class="game" data-game{measured} hidden>
    <ol class="steps" data-steps aria-label="The steps of the game"></ol>
    <h3 class="game-title" data-title tabindex="-1"></h3>
    <p data-text></p>
    <div class="controls game-choices" data-choices></div>
    <div class="inks" data-shown></div>
    <div class="outcome" data-outcome></div>
    <div data-table></div>
    <p class="say" data-say role="status" aria-live="polite"></p>
    <div class="row"><button type="button" class="button primary" data-go></button>
    <button type="button" class="button" data-other hidden></button>
    <button type="button" class="plain" data-again hidden>Start the game again</button></div>
  </div>
  <p class="note">{note} Nothing that is signed here is kept: no history, no log, no file. Pictures are judged in memory
  and forgotten with the answer; what you see here is gone when you start over or leave.</p>
  {detail}
</section>
"""
MEASURED_NOTE = """This network was trained on signatures, and how often such a network is fooled was measured on people
whose hand it had not been shown. It compares shapes; other pens, papers and scanners may fool it more often than is
written here, and it proves no identity."""
UNMEASURED_NOTE = """This network learned from the pen strokes of alphabets, not from signatures, and how often it is
fooled by signatures was not measured: it tells shapes apart, and it is easily fooled by somebody who practised. It
proves no identity."""


def markup(verifier: Verifier) -> str:
    note = MEASURED_NOTE if verifier.measured else UNMEASURED_NOTE
    if verifier.note:
        note = f"{escape(verifier.note)} {note}"
    detail = f'<p class="detail">Measured on {escape(verifier.measured_on)}.</p>' if verifier.measured_on else ""
    return MARKUP.format(
        note=note, detail=detail if verifier.measured else "", measured=" data-measured" if verifier.measured else ""
    )


def so_many(share: float) -> str:
    """A share as a count of 100, which never claims all or none."""
    return "more than 99" if share > 0.995 else "fewer than 1" if share < 0.005 else str(round(share * 100))


def cost_sentence(point: OperatingPoint) -> str:
    return (
        f"Of 100 skilled forgeries {so_many(point.far)} would pass, of 100 genuine signatures {so_many(point.frr)} "
        "would be refused."
    )


def rates_sentence(rates: OperatingPoint) -> str:
    return (
        f"Of 100 skilled forgeries {so_many(rates.far)} scored as high as this or higher, of 100 genuine signatures "
        f"{so_many(rates.frr)} scored lower."
    )


def meaning(found: Verification, name: str, point: OperatingPoint, share_genuine: float | None) -> str:
    """The verdict at an operating point in plain words; `share_genuine` is that of scores like this one."""
    if any(remark.is_doubt for remark in found.remarks):
        return "The pictures are unlike those that were measured, so nothing is claimed of this score."
    passes = found.score >= found.threshold
    if found.verdict == "unsure" and share_genuine is not None:
        side = "passes" if passes else "is refused"
        return (
            f"It {side} at the {name} setting, but of 100 signatures with such a score, half of all being forged, "
            f"{of_hundred(share_genuine)} were genuine: take it as undecided, or bring more references."
        )
    if passes:
        return f"It passes at the {name} setting; {so_many(point.far)} of 100 skilled forgeries would, too."
    return f"It is refused at the {name} setting; so would be {so_many(point.frr)} of 100 genuine signatures."


def unmeasured_sentence(reliability: float | None) -> str:
    if reliability is None:
        return "This network carries no calibration: nobody measured how often such a score is right."
    return (
        f"On pairs of pen-drawn characters, {of_hundred(reliability)} of 100 scores like this one were on the right "
        "side of the threshold; on signatures this network was not measured."
    )


def parts_sentence(parts: dict[str, float]) -> str:
    """What each part of a score speaks for; empty where the network alone decides."""

    def says(part: float) -> str:
        if abs(part) < SAYS_LITTLE:
            return "say little"
        return "speak for it" if part > 0 else "speak against it"

    told = [f"{words} {says(parts[name])}" for name, words in SPOKEN_PARTS.items() if name in parts]
    room = parts.get("references", 0.0)
    if abs(room) >= SAYS_LITTLE:
        told.append(ROOM[room > 0])
    return f"By the same hand, however strict one is? {'; '.join(told)}." if told else ""


def isolated(url: object, what: str) -> Reading:
    """The ink of a signature in a data URL; raises UserError with a sentence that names which one is meant."""
    try:
        return read_signature(decoded(url, what))
    except ImageError as error:
        raise UserError(f"{what}: {error}") from error


def judged(
    verifier: Verifier,
    references: list[Float[Tensor, "_ _"]],
    questioned: Float[Tensor, "_ _"],
    remarks: Sequence[Remark] = (),
) -> dict:
    """Isolated inks to what the page shows: the score, the verdict at every point, and the errors measured there."""
    logits = verifier.logits(references, questioned)
    measured = verifier.error_rates(len(references))
    if measured is None:
        found = verifier.judge(logits, remarks=remarks)
        sentence = unmeasured_sentence(found.reliability)
        points = [{"name": None, "threshold": found.threshold, "verdict": found.verdict, "meaning": sentence}]
        rates = counted = None
    else:
        points = []
        for name, point in measured.points.items():
            found = verifier.judge(logits, point.threshold, remarks)
            words = meaning(found, name, point, verifier.share_genuine(found.score, len(references)))
            entry = {"name": name, "threshold": point.threshold, "verdict": found.verdict, "meaning": words}
            points.append(entry | {"aim": AIMS[name], "cost": cost_sentence(point)})
        rates = measured.curve and rates_sentence(measured.curve.at(found.score))
        counted = f"Counted with {measured.references} reference{'' if measured.references == 1 else 's'} for each one."
    return {
        "score": found.score,
        "similarities": list(found.similarities),
        "points": points,
        "rates": rates,
        "counted": counted,
        "remarks": [remark.as_dict() for remark in remarks],
    }


def pictured(references: list[Float[Tensor, "_ _"]], questioned: Float[Tensor, "_ _"]) -> dict:
    """The inks on sheets of one size, and the questioned one laid over each reference."""
    sheets, last = [on_sheet(ink) for ink in references], on_sheet(questioned)
    return {
        "inks": [layer_url(sheet, INK_COLOUR) for sheet in (*sheets, last)],
        "layers": [
            {
                "reference": layer_url(sheet, REFERENCE_COLOUR),
                "questioned": layer_url(laid_over(last, sheet), QUESTIONED_COLOUR),
            }
            for sheet in sheets
        ],
    }


def page_functions(verifier: Verifier) -> list[Callable[[dict], dict]]:
    """What the tab's page may call."""

    def asked_inks(asked: dict) -> tuple[list[Float[Tensor, "_ _"]], Float[Tensor, "_ _"], tuple[Remark, ...]]:
        urls = asked.get("references")
        if not isinstance(urls, list) or not 1 <= len(urls) <= MAX_REFERENCES:
            raise UserError(f"Please bring 1 to {MAX_REFERENCES} references.")
        readings = [isolated(url, f"Reference {number}") for number, url in enumerate(urls, 1)]
        readings.append(isolated(asked.get("questioned"), "The questioned signature"))
        inks = [reading.ink for reading in readings]
        return inks[:-1], inks[-1], merge_remarks(reading.remarks for reading in readings)

    @for_page
    def verify_signature(asked: dict) -> dict:
        references, questioned, remarks = asked_inks(asked)
        return judged(verifier, references, questioned, remarks) | pictured(references, questioned)

    @for_page
    def verify_ink(asked: dict) -> dict:
        """A picture is looked at when it is brought, so that the sentence stands beside the act."""
        if whole_number(asked.get("count", 0), 0, 1000, "The number of references") >= MAX_REFERENCES:
            raise UserError(f"There are {MAX_REFERENCES} references already; please remove one first.")
        reading = read_signature(decoded(asked.get("picture"), "The signature"))
        remarks = [remark.as_dict() for remark in reading.remarks]
        return {"ink": layer_url(on_sheet(reading.ink), INK_COLOUR), "remarks": remarks}

    @for_page
    def verify_why(asked: dict) -> dict:
        references, questioned, _ = asked_inks(asked)
        which = whole_number(asked.get("which", 0), 0, len(references) - 1, "The number of the reference")
        pictures = verifier.pictures([references[which], questioned])
        maps = verifier.explain(references[which], questioned)
        words = parts_sentence(verifier.parts(references, questioned, which))
        return {
            "sees": [ink_url(one[0]) for one in pictures],
            "maps": [overlay_url(one) for one in maps],
            "parts": words,
        }

    return [verify_signature, verify_ink, verify_why]


def build(verifier: Verifier) -> None:
    """Put the tab's contents into the open Gradio context."""
    gr.HTML(
        markup(verifier),
        js_on_load=script("upload.js", "verify.js", "forgery_game.js"),
        apply_default_css=False,
        server_functions=page_functions(verifier),
        elem_classes="tab",
    )

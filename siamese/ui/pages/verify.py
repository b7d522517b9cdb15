"""The tab "Verify a signature": a verdict on a questioned signature with its error rates, and a forgery game for two.

Signatures are not stored: pictures come as data URLs and are processed in memory.
"""

import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import gradio as gr
import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from siamese.characters.synthetic import synthetic_hand
from siamese.imaging.decode import ImageError, check_format
from siamese.imaging.reading import REMARKS, Reading, Remark
from siamese.inference.verdict import Verification
from siamese.metrics import OperatingPoint
from siamese.signatures.isolation import isolate_signature, read_signature
from siamese.signatures.rates import RateRange
from siamese.signatures.regions import find_signatures
from siamese.signatures.synthetic import forge, invent_signature, sign, signature_picture
from siamese.signatures.verifier import Verifier
from siamese.ui.pictures import (
    INK_COLOUR,
    QUESTIONED_COLOUR,
    REFERENCE_COLOUR,
    data_url,
    ink_url,
    laid_over,
    layer_url,
    on_sheet,
    overlay_url,
)
from siamese.ui.validation import MAX_PICTURE_BYTES, UserError, decoded, decoded_file, for_page, whole_number
from siamese.ui.wording import DOUBT, about_of_hundred, of_hundred, range_of_hundred, said_of

MAX_REFERENCES = 10
EXAMPLE_SEED = 5
EXAMPLE_PAPER = 215  # grey value of 255; lighter pixels of an example are paper
FEW_REFERENCES = 3  # with fewer, the page asks for more
ELSEWHERE = "with people, pens and papers it has not seen"  # collections that were left out of training
KNOWN = "with new people, but pens and papers it has seen"
AIMS = {
    "strict": "Hardly any forgery passes.",
    "balanced": "Both errors are equally common.",
    "lenient": "Hardly any genuine signature is refused.",
}

PARTS = {  # of a score, see `siamese.signatures.features`
    "network": "The shapes below, which the network compares,",
    "hinge": "The turns of the pen",
    "profile": "The height and direction of the lines from left to right",
}
ROOM = {
    True: "The references differ from each other more than usual, which counts for it.",
    False: "The references differ from each other less than usual, which counts against it.",
}
SAYS_LITTLE = 0.3  # logits: a chance of 57 in 100 instead of 50
SHOWN_COUNTS = (1, 3, 5)  # numbers of references whose errors are shown at the top

MARKUP = """
<section class="panel verify" aria-labelledby="verify-title">
  <header class="lead" data-lead><h2 id="verify-title">Did the same person sign this?</h2>
  <p>Add signatures that are known to be genuine (one will do, three are better, ten at most) and the one in question.
  Sign here, or add pictures of signatures on paper.</p>
  <div class="examples"><h3>Examples, drawn by a program</h3><div class="example-row" data-examples></div></div>
  {errors}</header>
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
      <ul class="remarks" data-remarks hidden></ul>
      <p class="advice" data-advice hidden></p>
      <div data-scale></div>
      <p class="reliability" data-rates></p>
      <fieldset class="points" data-points><legend>How strict should it be?</legend></fieldset>
      <p class="detail" data-counted></p>
      <div class="evidence">
        <section aria-labelledby="verify-inks"><h3 id="verify-inks">Extracted ink</h3>
        <div class="inks" data-inks></div></section>
        <section aria-labelledby="verify-laid"><h3 id="verify-laid">One over the other</h3>
        <div data-laid></div></section>
      </div>
      <div class="why-row"><button type="button" class="button" data-why aria-pressed="false">Why this result?</button>
      <p class="legend" data-legend hidden><span class="swatch for"></span> ink that counts for the same person
      <span class="swatch against"></span> ink that counts against it</p></div>
      <ul class="detail" data-parts hidden></ul>
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
  <p class="note">{note} Nothing that is signed here is kept: no history, no log, no file. Pictures are processed in
  memory; what you see here is gone when you start over or leave.</p>
  {detail}
</section>
"""
MEASURED_NOTE = """The error rates were measured on people whose signatures the network had not seen. It compares
shapes: with other pens, papers and scanners it may be wrong more often, and it does not prove identity."""
UNMEASURED_NOTE = """This network learned from characters, not from signatures. Its error rates on signatures have not
been measured; a practised forger deceives it easily. It does not prove identity."""


def markup(verifier: Verifier) -> str:
    """Returns the HTML of the tab."""
    note = MEASURED_NOTE if verifier.measured else UNMEASURED_NOTE
    if verifier.note:
        note = f"{escape(verifier.note)} {note}"
    detail = f'<p class="detail">Measured on {escape(verifier.measured_on)}.</p>' if verifier.measured_on else ""
    return MARKUP.format(
        note=note,
        detail=detail if verifier.measured else "",
        measured=" data-measured" if verifier.measured else "",
        errors=errors_by_references(verifier),
    )


def wrong_answers(verifier: Verifier, references: int) -> tuple[float, float] | None:
    """Returns the range of the share of wrong answers at the balanced point, if half of all signatures are forged.

    Returns:
        The lowest and the highest share, in [0, 1], over the collections that were left out of training; twice the
        same share if none was left out; None if nothing was measured with this number of references.
    """
    measured = verifier.measured.get(references)
    if measured is None:
        return None
    if measured.elsewhere:
        return measured.elsewhere["balanced"].wrong
    point = measured.points["balanced"]
    wrong = (point.far + point.frr) / 2
    return wrong, wrong


def errors_by_references(verifier: Verifier) -> str:
    """Returns bars of the error by number of references; empty if fewer than two numbers were measured."""
    errors = {count: wrong for count in SHOWN_COUNTS if (wrong := wrong_answers(verifier, count))}
    if len(errors) < 2:
        return ""
    largest = max(high for _, high in errors.values())
    bars = "".join(
        f"<li><span>{count} reference{'' if count == 1 else 's'}</span>"
        f'<i style="width:{100 * wrong[1] / max(largest, 1e-6):.0f}%"></i><b>{range_of_hundred(wrong)}</b></li>'
        for count, wrong in errors.items()
    )
    where = f", {ELSEWHERE}" if verifier.measured[1].elsewhere else ""
    return (
        f'<div class="fall"><p>How many of 100 answers are wrong at the balanced setting{where}, if half of the '
        f"signatures are skilled forgeries:</p><ul>{bars}</ul></div>"
    )


def advice(verifier: Verifier, references: int) -> str | None:
    """Returns a sentence that asks for more references if there are fewer than three; None if not measured."""
    now, then = wrong_answers(verifier, references), wrong_answers(verifier, FEW_REFERENCES)
    if references >= FEW_REFERENCES or now is None or then is None:
        return None
    given = "one reference" if references == 1 else "two references"
    return (
        f"With {given}, {range_of_hundred(now)} of 100 answers are wrong; with {FEW_REFERENCES}, "
        f"{range_of_hundred(then)}. Add more if you can."
    )


def counted_sentence(measured: int, given: int) -> str:
    """Returns a sentence about the number of references with which the error rates were measured."""
    words = f"These rates were measured with {measured} reference{'' if measured == 1 else 's'}"
    return f"{words}, as many as you gave." if measured == given else f"{words}; you gave {given}."


def cost_sentence(point: OperatingPoint, elsewhere: RateRange | None = None) -> str:
    """Returns a sentence with the FAR and the FRR of an operating point.

    Args:
        point: Its rates on unseen writers of the collections that were trained on.
        elsewhere: The range of its rates on collections left out of training; None if none was left out.
    """
    far, frr = of_hundred(point.far), of_hundred(point.frr)
    if elsewhere is None:
        return f"Of 100 skilled forgeries, {far} would pass; of 100 genuine signatures, {frr} would be refused."
    return (
        f"{ELSEWHERE.capitalize()}: of 100 skilled forgeries, {range_of_hundred(elsewhere.far)} pass; of 100 genuine "
        f"signatures, {range_of_hundred(elsewhere.frr)} are refused. {KNOWN.capitalize()}: {far} and {frr}."
    )


def rates_sentence(rates: OperatingPoint) -> str:
    """Returns a sentence about how common a score like this is among forgeries and among genuine signatures."""
    return (
        f"How common this score is, {KNOWN}: of 100 skilled forgeries, "
        f"{of_hundred(rates.far)} scored as high or higher; of 100 genuine signatures, {of_hundred(rates.frr)} scored "
        "lower."
    )


def meaning(
    found: Verification,
    name: str,
    point: OperatingPoint,
    share_genuine: float | None,
    elsewhere: RateRange | None = None,
) -> str:
    """Explains the verdict at an operating point.

    Args:
        found: The verdict.
        name: Name of the operating point.
        point: Its rates on unseen writers of the collections that were trained on.
        share_genuine: Share of genuine signatures among those with such a score, in [0, 1]; None if not measured.
        elsewhere: The range of its rates on collections left out of training; None if none was left out.
    """
    if any(remark.is_doubt for remark in found.remarks):
        return DOUBT
    passes = found.score >= found.threshold
    if found.verdict == "unsure" and share_genuine is not None:
        side = "passes" if passes else "is refused"
        return (
            f"It {side} at the {name} setting, but if half of all signatures are forged, "
            f"{about_of_hundred(share_genuine)} of 100 with such a score are genuine: add more references to be surer."
        )
    far = range_of_hundred(elsewhere.far if elsewhere else (point.far, point.far))
    frr = range_of_hundred(elsewhere.frr if elsewhere else (point.frr, point.frr))
    where = f", {ELSEWHERE}" if elsewhere else ""
    if passes:
        return f"It passes at the {name} setting. Of 100 skilled forgeries, {far} pass as well{where}."
    return f"It is refused at the {name} setting. Of 100 genuine signatures, {frr} are refused as well{where}."


def unmeasured_sentence(reliability: float | None) -> str:
    """Returns a sentence about the reliability of a score if no error rates were measured on signatures."""
    if reliability is None:
        return "How often such a score is right has not been measured for these weights."
    return (
        f"On pairs of pen-drawn characters, {about_of_hundred(reliability)} of 100 scores like this one were on the "
        "right side of the threshold; this network has not been measured on signatures."
    )


def parts_sentences(parts: dict[str, float]) -> list[str]:
    """Returns sentences about what each part of a score counts for; empty if the network alone decides."""

    def counts(part: float) -> str:
        if abs(part) < SAYS_LITTLE:
            return "count little"
        return "count for the same person" if part > 0 else "count against it"

    said = [f"{words} {counts(parts[name])}." for name, words in PARTS.items() if name in parts]
    room = parts.get("references", 0.0)
    return [*said, ROOM[room > 0]] if abs(room) >= SAYS_LITTLE else said


def isolated(url: object, what: str) -> Reading:
    """Reads a signature from a data URL.

    Args:
        url: The data URL.
        what: What to call the picture in an error.

    Raises:
        UserError: It is not a picture, or has no signature.
    """
    try:
        return read_signature(decoded(url, what))
    except ImageError as error:
        raise UserError(f"{what}: {error}") from error


def judged(
    verifier: Verifier,
    references: list[Float[Tensor, "_ _"]],
    questioned: Float[Tensor, "_ _"],
    remarks: Sequence[tuple[str, Remark]] = (),
) -> dict:
    """Judges isolated ink at every operating point.

    Args:
        verifier: Scores the signature.
        references: Ink of 1 to MAX_REFERENCES genuine signatures.
        questioned: Ink of the signature in question.
        remarks: Pairs of the name of a picture and a remark on it.

    Returns:
        As JSON values: the score, the verdict at every operating point, the error rates and the remarks.
    """
    noticed = [remark for _, remark in remarks]
    logits = verifier.logits(references, questioned)
    measured = verifier.error_rates(len(references))
    points: list[dict[str, Any]] = []
    if measured is None:
        found = verifier.judge(logits, remarks=noticed)
        sentence = unmeasured_sentence(found.reliability)
        points = [{"name": None, "threshold": found.threshold, "verdict": found.verdict, "meaning": sentence}]
        rates = counted = None
    else:
        for name, point in measured.points.items():
            found = verifier.judge(logits, point.threshold, noticed)
            share = verifier.share_genuine(found.score, len(references))
            words = meaning(found, name, point, share, measured.elsewhere.get(name))
            entry = {"name": name, "threshold": point.threshold, "verdict": found.verdict, "meaning": words}
            points.append(entry | {"aim": AIMS[name], "cost": cost_sentence(point, measured.elsewhere.get(name))})
        rates = measured.curve and rates_sentence(measured.curve.at(found.score))
        counted = counted_sentence(measured.references, len(references))
    is_doubtful = any(remark.is_doubt for remark in noticed)  # the measured rates do not apply
    return {
        "score": found.score,
        "similarities": list(found.similarities),
        "points": points,
        "is_doubtful": is_doubtful,
        "rates": None if is_doubtful else rates,
        "counted": None if is_doubtful else counted,
        "advice": None if is_doubtful else advice(verifier, len(references)),
        "remarks": said_of(remarks),
    }


def pictured(references: list[Float[Tensor, "_ _"]], questioned: Float[Tensor, "_ _"]) -> dict:
    """Returns pictures of all signatures at one size, and of the questioned one over each reference, as data URLs."""
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


@functools.cache
def example_signatures() -> list[dict[str, Any]]:
    """Returns examples by synthetic writers: three references and a genuine, a forged or another writer's signature."""
    examples = []
    for number, caption in enumerate(("A genuine signature", "A skilled forgery", "Another person's signature")):
        generator = np.random.default_rng([EXAMPLE_SEED, number])
        plan, hand = invent_signature(generator), synthetic_hand(generator)
        references = [sign(plan, hand, generator) for _ in range(FEW_REFERENCES)]
        if number == 0:
            questioned = sign(plan, hand, generator)
        elif number == 1:
            questioned = forge(plan, hand, synthetic_hand(generator), generator)
        else:
            questioned = sign(invent_signature(generator), synthetic_hand(generator), generator)
        pictures = [_on_white(signature_picture(paths, generator)) for paths in (*references, questioned)]
        inks = [layer_url(on_sheet(isolate_signature(one)), INK_COLOUR) for one in pictures[:-1]]
        urls = [data_url(one) for one in pictures]
        examples.append({"references": urls[:-1], "inks": inks, "questioned": urls[-1], "caption": caption})
    return examples


def _on_white(scan: Image.Image) -> Image.Image:
    """Removes the grain of the paper from a scan, which would make up most of its bytes."""
    return scan.point(lambda grey: 255 if grey > EXAMPLE_PAPER else grey & 0xF0)


def page_functions(verifier: Verifier) -> list[Callable[[object], Awaitable[dict]]]:
    """Returns the functions that the page may call."""

    def asked_inks(asked: dict) -> tuple[list[Float[Tensor, "_ _"]], Float[Tensor, "_ _"], list[tuple[str, Remark]]]:
        urls = asked.get("references")
        if not isinstance(urls, list) or not 1 <= len(urls) <= MAX_REFERENCES:
            raise UserError(f"Please add 1 to {MAX_REFERENCES} references.")
        named = [(f"Reference {number}", url) for number, url in enumerate(urls, 1)]
        named.append(("The questioned signature", asked.get("questioned")))
        readings = [isolated(url, what) for what, url in named]
        inks = [reading.ink for reading in readings]
        remarks = [
            (what, remark) for (what, _), reading in zip(named, readings, strict=True) for remark in reading.remarks
        ]
        return inks[:-1], inks[-1], remarks

    @for_page
    def verify_signature(asked: dict) -> dict:
        references, questioned, remarks = asked_inks(asked)
        return judged(verifier, references, questioned, remarks) | pictured(references, questioned)

    @for_page
    def verify_ink(asked: dict) -> dict:
        """Reads a picture as soon as it is added, so that remarks on it appear at once."""
        if whole_number(asked.get("count", 0), 0, 1000, "The number of references") >= MAX_REFERENCES:
            raise UserError(f"There are already {MAX_REFERENCES} references; please remove one first.")
        data = decoded_file(asked.get("picture"), "The signature", MAX_PICTURE_BYTES)
        check_format(data)  # the page names the file in front of the refusal
        reading = read_signature(data)
        regions = find_signatures(data) if REMARKS["several_pieces"] in reading.remarks else []
        return {
            "ink": layer_url(on_sheet(reading.ink), INK_COLOUR),
            "remarks": [remark.as_dict() for remark in reading.remarks],
            "regions": [asdict(region) for region in regions],  # to choose from
        }

    @for_page
    def verify_why(asked: dict) -> dict:
        references, questioned, _ = asked_inks(asked)
        which = whole_number(asked.get("which", 0), 0, len(references) - 1, "The number of the reference")
        pictures = verifier.pictures([references[which], questioned])
        maps = verifier.explain(references[which], questioned)
        sentences = parts_sentences(verifier.parts(references, questioned, which))
        return {
            "sees": [ink_url(one[0]) for one in pictures],
            "maps": [overlay_url(one) for one in maps],
            "parts": sentences,
        }

    @for_page
    def verify_examples(_asked: dict) -> dict:
        return {"examples": example_signatures()}

    return [verify_signature, verify_ink, verify_why, verify_examples]


def build(verifier: Verifier) -> None:
    """Adds the tab's contents to the open Gradio context."""
    gr.HTML(
        markup(verifier),
        js_on_load="oneLook.tabs.verify(element, server)",
        apply_default_css=False,
        server_functions=page_functions(verifier),
        elem_classes="tab",
    )

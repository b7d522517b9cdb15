"""The tab "Verify a signature": one to ten references, one questioned, a verdict with its threshold in sight."""

import gradio as gr

from siamese.recognizer import Recognizer
from siamese.ui.compare import of_hundred
from siamese.ui.door import Refusal, for_page, ink_of, picture, pictures, whole_number
from siamese.ui.pictures import kept_url
from siamese.ui.scripts import script

MAX_REFERENCES = 10

MARKUP = """
<section class="panel verify" aria-labelledby="verify-title">
  <header class="lead"><h2 id="verify-title">Is the questioned one by the same hand?</h2>
  <p>One to ten references that are known to be genuine, and one in question. Draw them or bring pictures.</p></header>
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
    <div data-scale></div>
    <p class="reliability" data-reliability></p>
    <div class="inks" data-inks></div>
  </div>
  <p class="note">This network learned from the pen strokes of alphabets, not from signatures, and no network trained on
  signatures is bundled yet: it tells shapes apart, and it is easily fooled by somebody who practised. It proves no
  identity. Nothing that is signed here is kept: pictures are judged in memory and written to no file, log or
  history.</p>
</section>
"""


def reliability_sentence(recognizer: Recognizer, reliability: float | None) -> str:
    if reliability is None:
        return "This network carries no calibration: nobody measured how often such a score is right."
    return (
        f"On pairs of pen-drawn characters, {of_hundred(reliability)} of 100 scores like this one were on the right "
        "side of the threshold; on signatures this network was not measured."
    )


def build(recognizer: Recognizer) -> None:
    """Put the tab's contents into the open Gradio context."""

    @for_page
    def verify_signature(asked: dict) -> dict:
        references = pictures(asked.get("references"), "reference", 1, MAX_REFERENCES)
        questioned = picture(asked.get("questioned"), "The questioned picture")
        inks = [ink_of(one, f"Reference {number}") for number, one in enumerate(references, 1)]
        inks.append(ink_of(questioned, "The questioned picture"))
        result = recognizer.verify(references, questioned)
        return {
            "score": result.score,
            "threshold": result.threshold,
            "verdict": result.verdict,
            "reliability": reliability_sentence(recognizer, result.reliability),
            "similarities": list(result.similarities),
            "inks": [kept_url(ink) for ink in inks],
        }

    @for_page
    def verify_reference(asked: dict) -> dict:
        """A picture is checked when it is added, so that the sentence stands beside the act."""
        if whole_number(asked.get("count", 0), 0, 1000, "The number of references") >= MAX_REFERENCES:
            raise Refusal(f"There are {MAX_REFERENCES} references already; please remove one first.")
        return {"picture": kept_url(ink_of(picture(asked.get("picture"), "The reference"), "The reference"))}

    gr.HTML(
        MARKUP,
        js_on_load=script("verify.js"),
        apply_default_css=False,
        server_functions=[verify_signature, verify_reference],
        elem_classes="tab",
    )

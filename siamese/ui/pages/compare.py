"""The tab "Compare": the similarity of two images, its reliability, and the ink that counted for and against it."""

import gradio as gr
import torch
from jaxtyping import Float
from torch import Tensor

from siamese.characters.recognizer import Recognizer
from siamese.imaging.decode import ImageError, Source
from siamese.imaging.reading import Remark
from siamese.inference.verdict import Comparison
from siamese.ui.pages.pieces import picture_pieces
from siamese.ui.pictures import drawing_url, ink_url, overlay_url
from siamese.ui.trials import omniglot_trial
from siamese.ui.validation import UserError, for_page, picture
from siamese.ui.wording import DOUBT, about_of_hundred, said_of

EXAMPLE_SEEDS = (31, 32, 33, 34)

MARKUP = """
<section class="panel compare" aria-labelledby="compare-title">
  <header class="lead"><h2 id="compare-title">Are these two the same character?</h2>
  <p>Draw, upload, paste or photograph one character on each side.</p></header>
  <div class="two"><div data-pad></div><div data-pad></div></div>
  <div class="say-row"><p class="say" data-say role="status" aria-live="polite"></p>
  <button type="button" class="plain" data-clear>Clear both</button></div>
  <div class="answer" data-answer hidden>
    <div class="verdict-row" aria-live="polite">
    <p class="verdict" data-verdict></p><p class="score" data-score></p></div>
    <div data-scale></div>
    <ul class="remarks" data-remarks hidden></ul>
    <p class="reliability" data-reliability></p>
    <div class="sees-row" data-sees></div>
    <div class="why-row"><button type="button" class="button" data-why aria-pressed="false">Why this result?</button>
    <p class="legend" data-legend hidden><span class="swatch for"></span> ink that counts for “the same”
    <span class="swatch against"></span> ink that counts against it</p></div>
  </div>
  <div class="examples"><h3>Examples</h3><div class="example-row" data-examples></div></div>
</section>
"""


def reliability_sentence(recognizer: Recognizer, similarity: float) -> str:
    """Returns a sentence about how often such a similarity was right on validation."""
    reliability = recognizer.reliability(similarity)
    if reliability is None:
        return "How often such a score is right has not been measured for these weights."
    word = "the same character" if similarity >= recognizer.threshold else "different characters"
    return (
        f"Of 100 pairs of pen-drawn characters with such a score, {about_of_hundred(reliability)} were {word}. "
        "Measured on alphabets that the network was not trained on; half of all pairs were the same character."
    )


def comparison(recognizer: Recognizer, first: Source, second: Source) -> dict:
    """Compares two images.

    Args:
        recognizer: Compares them.
        first: Anything that `open_image` takes.
        second: The same.

    Returns:
        The result as JSON values, see `figures`.
    """
    return figures(recognizer.compare(first, second))


def figures(found: Comparison) -> dict:
    """Returns the fields of a comparison that the page and the API show, as JSON values."""
    return {
        "similarity": found.similarity,
        "threshold": found.threshold,
        "verdict": found.verdict,
        "reliability": found.reliability,
        "remarks": [remark.as_dict() for remark in found.remarks],
    }


def examples() -> list[dict[str, str]]:
    """Returns four pairs of drawings from Omniglot, each by two drawers.

    The first and the third pair show the same character, the others different ones; the captions do not say which.
    """
    pairs = []
    for place, seed in enumerate(EXAMPLE_SEEDS):
        trial = omniglot_trial(2, seed)
        candidate = trial.candidates[trial.truth if place % 2 == 0 else 1 - trial.truth]
        pairs.append({"a": drawing_url(candidate), "b": drawing_url(trial.query), "caption": f"Example {place + 1}"})
    return pairs


def build(recognizer: Recognizer) -> None:
    """Adds the tab's contents to the open Gradio context."""

    def seen(asked: dict) -> tuple[Float[Tensor, "2 1 105 105"], list[tuple[str, Remark]]]:
        """Returns both images as the network sees them, and the remarks on each."""
        readings, remarks = [], []
        for key, what in (("a", "The first picture"), ("b", "The second picture")):
            grey = picture(asked.get(key), what)
            try:
                readings.append(recognizer.read(grey))
            except ImageError as error:
                raise UserError(f"{what}: {error}") from error
            remarks += [(what, remark) for remark in readings[-1].remarks]
        return torch.stack([reading.ink for reading in readings]), remarks

    @for_page
    def compare_pictures(asked: dict) -> dict:
        pictures, remarks = seen(asked)
        first, second = recognizer.embed_pictures(pictures).split(1)
        with torch.inference_mode():
            similarity = recognizer.encoder.compare(first, second).double().sigmoid().item()
        found = recognizer.judge_similarity(similarity, [remark for _, remark in remarks])
        is_doubtful = any(remark.is_doubt for _, remark in remarks)
        return figures(found) | {
            "reliability": DOUBT if is_doubtful else reliability_sentence(recognizer, similarity),
            "remarks": said_of(remarks),
            "sees": [ink_url(one[0]) for one in pictures],
        }

    @for_page
    def explain_pictures(asked: dict) -> dict:
        return {"maps": [overlay_url(one) for one in recognizer.explain_pictures(seen(asked)[0])]}

    drawn: list[dict[str, str]] = []

    @for_page
    def compare_examples(_asked: dict) -> dict:
        if not drawn:
            drawn.extend(examples())
        return {"examples": drawn[:4]}

    gr.HTML(
        MARKUP,
        js_on_load="oneLook.tabs.compare(element, server)",
        apply_default_css=False,
        server_functions=[compare_pictures, explain_pictures, compare_examples, picture_pieces],
        elem_classes="tab",
    )

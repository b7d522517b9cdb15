"""The tab "Your own classes": the visitor gives one picture of each class and classifies others, without training."""

import base64
from collections.abc import Sequence

import gradio as gr

from siamese.characters.recognizer import Recognizer
from siamese.imaging.decode import WEB_FORMATS, ImageError, Source, open_image
from siamese.preprocessing import prepare_ink
from siamese.ui.class_archive import LIMITS, MOST_CLASSES, OwnClass, pack, unpack
from siamese.ui.pages.pieces import picture_pieces
from siamese.ui.pictures import drawing_url, ink_url, kept_url
from siamese.ui.trials import omniglot_trial
from siamese.ui.validation import UserError, decoded, decoded_file, for_page, ink_of, name, picture

LEAST_CLASSES = 2
MAX_KEPT_BYTES = 400_000  # of one kept picture; 320 x 320 grey pixels are 102,400 bytes before compression
EXAMPLE_SEED = 12

MARKUP = """
<section class="panel own" aria-labelledby="own-title">
  <header class="lead"><h2 id="own-title">Your own classes</h2>
  <p>Add one picture for each class, 2 to 50 classes: parts, marks, stamps, characters. Then add any picture to see
  which class it belongs to. Nothing is trained in between.</p></header>
  <div class="two">
    <div><div data-new></div>
      <div class="row"><label class="name-field">Name
      <input type="text" data-name maxlength="60" placeholder="for example: rivet"></label>
      <button type="button" class="button" data-add disabled>Add this class</button></div></div>
    <div data-query></div>
  </div>
  <div class="say-row"><p class="say" data-say role="status" aria-live="polite"></p></div>
  <div class="answer" data-answer hidden>
    <div class="verdict-row" aria-live="polite">
    <p class="verdict" data-verdict></p><p class="score" data-score></p></div>
    <ol class="ranking" data-ranking></ol>
    <ul class="remarks" data-remarks hidden></ul>
    <p class="reliability" data-note></p>
  </div>
  <div class="row shelf-head"><h3 data-count></h3>
    <button type="button" class="tool" data-export disabled>Export as ZIP</button>
    <label class="tool"><input type="file" accept=".zip,application/zip" class="visually-hidden" data-import
    aria-label="Import a ZIP of classes"><span>Import a ZIP</span></label>
    <button type="button" class="tool" data-example>Load an example set</button>
    <button type="button" class="tool" data-empty disabled>Remove all</button></div>
  <div class="shelf" data-shelf role="list" aria-label="Your classes"></div>
  <p class="detail" data-kept>Your classes are kept in this browser on this device, even after you close the page. The
  server keeps no copy.</p>
</section>
"""


def ranking(recognizer: Recognizer, support: Sequence[Source], query: Source) -> dict:
    """Ranks the classes for a query.

    Args:
        recognizer: Compares the images.
        support: One image of each class; anything that `open_image` takes.
        query: The image to classify.

    Returns:
        As JSON values: the similarity to each class in [0, 1], the index of the best, whether even that is below the
        threshold, the threshold, and the remarks on the query.
    """
    similarities = recognizer.classify(support, query)
    best = max(range(len(similarities)), key=similarities.__getitem__)
    return {
        "similarities": similarities,
        "best": best,
        "none_of_these": similarities[best] < recognizer.threshold,
        "threshold": recognizer.threshold,
        "remarks": [remark.as_dict() for remark in recognizer.read(query).remarks],
    }


def build(recognizer: Recognizer) -> None:
    """Adds the tab's contents to the open Gradio context."""

    def class_of(one: object, number: int) -> OwnClass:
        if not isinstance(one, dict):
            raise UserError("The page sent something that this app does not understand.")
        label = name(one.get("name"), f"The name of class {number}")
        return OwnClass(label, decoded(one.get("picture"), label, MAX_KEPT_BYTES))

    def classes_of(listed: object, least: int) -> list[OwnClass]:
        if not isinstance(listed, list) or not least <= len(listed) <= MOST_CLASSES:
            raise UserError(f"A set has {least} to {MOST_CLASSES} classes.")
        return [class_of(one, number) for number, one in enumerate(listed, 1)]

    @for_page
    def own_add(asked: dict) -> dict:
        ink = ink_of(open_image(decoded(asked.get("picture"), "The picture")), "The picture")
        return {"picture": kept_url(ink), "sees": ink_url(prepare_ink(ink, recognizer.preprocessing)[0])}

    @for_page
    def own_rank(asked: dict) -> dict:
        classes = classes_of(asked.get("classes"), LEAST_CLASSES)
        query = picture(asked.get("query"), "The picture to classify")
        ink_of(query, "The picture to classify")
        found = ranking(recognizer, [one.picture for one in classes], query)
        return found | {"remarks": [{"text": remark["text"]} for remark in found["remarks"]]}

    @for_page
    def own_export(asked: dict) -> dict:
        classes = classes_of(asked.get("classes"), 1)
        for one in classes:
            open_image(one.picture)  # only real pictures may go into a set that somebody else will open
        return {"zip": "data:application/zip;base64," + base64.b64encode(pack(classes)).decode()}

    @for_page
    def own_import(asked: dict) -> dict:
        brought = unpack(decoded_file(asked.get("zip"), "The ZIP", LIMITS.archive_bytes))
        classes, refused = [], []
        for one in brought.classes:
            try:
                ink = ink_of(open_image(one.picture, WEB_FORMATS), one.name)
                classes.append({"name": one.name, "picture": kept_url(ink)})
            except ImageError as error:
                refused.append(f"{one.name}: {error}")
        if not classes:
            raise UserError(f"No class was imported, since no picture in the ZIP can be used. {refused[0]}")
        return {"classes": classes, "left_out": brought.left_out, "refused": refused}

    @for_page
    def own_example(_asked: dict) -> dict:
        trial = omniglot_trial(8, EXAMPLE_SEED)
        classes = [
            {"name": f"Character {number}", "picture": drawing_url(ink)}
            for number, ink in enumerate(trial.candidates, 1)
        ]
        return {"classes": classes, "query": drawing_url(trial.query)}

    gr.HTML(
        MARKUP,
        js_on_load="oneLook.tabs.own(element, server)",
        apply_default_css=False,
        server_functions=[own_add, own_rank, own_export, own_import, own_example, picture_pieces],
        elem_classes="tab",
    )

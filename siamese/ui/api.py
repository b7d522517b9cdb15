"""For programs: five endpoints, typed and documented, that trust nothing they are sent.

Gradio's own components decode images with every plug-in of Pillow, take data URLs of any size and do not look at
ranges or choices. Here they hand on what arrived, and each endpoint checks it, so that every refusal is a sentence.
"""

import functools
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.data_classes import ImageData, ListFiles
from gradio.utils import get_upload_folder

from siamese.characters.recognizer import Recognizer
from siamese.imaging.decode import ImageError, check_format
from siamese.signatures.verifier import UnknownPoint, Verifier
from siamese.ui.game_session import GameSession
from siamese.ui.pages.compare import comparison
from siamese.ui.pages.own_classes import LEAST_CLASSES, MOST_CLASSES, ranking
from siamese.ui.pages.verify import MAX_REFERENCES
from siamese.ui.trials import SOURCES, WAYS
from siamese.ui.validation import UserError, choice, decoded

MAX_FILE_BYTES = 32 << 20

log = logging.getLogger("one_look")


def brought_bytes(payload: object, what: str) -> bytes:
    """The bytes of one file as Gradio passes it; raises UserError unless it is an upload or a data URL.

    A path alone proves nothing: anybody can name one, so it is resolved (links included) before it is looked at.
    """
    if not isinstance(payload, dict):
        raise UserError(f"{what} is missing; upload a file and pass what the upload returned.")
    path, url = payload.get("path"), payload.get("url")
    if isinstance(url, str) and url.startswith("data:") and not path:
        return decoded(url, what)
    if not isinstance(path, str) or not path:
        raise UserError(f"{what} is missing; upload a file and pass what the upload returned.")
    elsewhere = UserError(f"{what} was not uploaded here; upload the file first and pass what the upload returned.")
    try:
        file = Path(path).resolve(strict=True)
        if not file.is_file() or not file.is_relative_to(Path(get_upload_folder()).resolve()):
            raise elsewhere
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except UserError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise elsewhere from error
    if len(data) > MAX_FILE_BYTES:
        raise UserError(f"{what} is larger than {MAX_FILE_BYTES >> 20} MB; please bring a smaller file.")
    try:
        check_format(data)
    except ImageError as error:
        raise UserError(f"{what}: {error}") from error
    return data


def as_sent(component: Component, schema: dict[str, Any] | None = None) -> Component:
    """The component without its own reading of what arrives; `schema` is what the API page says of it.

    On the instance: Gradio writes a .pyi file beside every module that derives a class from a component.
    """
    component.preprocess = lambda payload: payload
    component.data_model = None  # checked in the endpoint, where a refusal is a sentence
    component.async_move_resource_to_block_cache = _left_where_it_is
    if schema is not None:
        component.api_info = lambda: schema
    return component


async def _left_where_it_is(path: Any) -> str:
    """Gradio would fetch an address, and copy a file, before the endpoint has seen it."""
    return str(path)


def for_programs(answer: Callable[..., dict]) -> Callable[..., dict]:
    """An endpoint whose refusals reach the caller as one sentence, and whose failures tell nothing."""

    @functools.wraps(answer)
    def guarded(*given: Any) -> dict:
        try:
            return answer(*given)
        except (UserError, ImageError) as refusal:
            raise gr.Error(str(refusal), print_exception=False) from None
        except Exception:
            log.exception("/%s failed", answer.__name__)
            raise gr.Error("Something went wrong on the server; please try again.", print_exception=False) from None

    return guarded


def several(payload: object, what: str, least: int, most: int) -> list[bytes]:
    """The bytes of `least` to `most` files; raises UserError before any is read where there are too many."""
    if not isinstance(payload, list) or not least <= len(payload) <= most:
        count = len(payload) if isinstance(payload, list) else 0
        raise UserError(f"Please bring {least} to {most} images of {what}; {count} came.")
    return [brought_bytes(one, f"Image {number} of {what}") for number, one in enumerate(payload, 1)]


def build(recognizer: Recognizer, session: GameSession, verifier: Verifier) -> None:
    """Put the endpoints into the open Gradio context; nothing of them is seen on the page."""

    @for_programs
    def compare(first: Any, second: Any) -> dict:
        """How alike two images of one character are.

        Parameters:
            first: image of one character or mark, PNG, JPEG, WebP, BMP or GIF
            second: the image that it is compared with
        Returns:
            similarity and threshold in [0, 1]; verdict "same", "different" or "unsure"; reliability, the share in
            [0, 1] of such scores that are right on validation, or null
        """
        return comparison(
            recognizer, brought_bytes(first, "The first image"), brought_bytes(second, "The second image")
        )

    @for_programs
    def verify(references: Any, questioned: Any, operating_point: Any) -> dict:
        """Whether a questioned signature is by the hand of all references. Nothing of it is kept: a call uses up the
        files that it names, so upload them again for the next one, or send {"url": "data:image/png;base64,..."}, which
        needs no file.

        Parameters:
            references: 1 to 10 images of signatures that are known to be genuine
            questioned: the image of the signature in question
            operating_point: "strict", "balanced" or "lenient"; empty for "balanced" where the weights carry such points
        Returns:
            score and threshold in [0, 1]; verdict "genuine", "forgery" or "unsure"; reliability in [0, 1] or null;
            similarities, one in [0, 1] for each reference; operating_point, the one chosen, or null;
            operating_points, for each its threshold, far (share of skilled forgeries that pass) and frr (share of
            genuine signatures that are refused), empty where nothing was measured
        """
        try:
            known = several(references, "references", 1, MAX_REFERENCES)
            point = verifier.point_named(operating_point if operating_point not in (None, "") else None)
            result = verifier.verify(known, brought_bytes(questioned, "The questioned image"), point)
        except UnknownPoint as error:
            raise UserError(str(error)) from None
        finally:
            forget([*(references if isinstance(references, list) else []), questioned])
        measured = verifier.error_rates(len(known))
        return {
            "score": result.score,
            "threshold": result.threshold,
            "verdict": result.verdict,
            "reliability": result.reliability,
            "similarities": list(result.similarities),
            "operating_point": point,
            "operating_points": {name: asdict(one) for name, one in measured.points.items()} if measured else {},
        }

    @for_programs
    def classify(support: Any, query: Any) -> dict:
        """Which of several classes, known by one image each, an image belongs to.

        Parameters:
            support: 2 to 50 images, one for each class
            query: the image that is looked for
        Returns:
            similarities in [0, 1] in the order of the support images; best, the place of the highest from 0;
            threshold in [0, 1]; none_of_these, true where the highest lies below the threshold
        """
        known = several(support, "the support set", LEAST_CLASSES, MOST_CLASSES)
        return ranking(recognizer, known, brought_bytes(query, "The query"))

    @for_programs
    def new_challenge(n_way: Any, data: Any, link: Any) -> dict:
        """Deal a one-shot challenge: a query and n_way candidates, one of which is the same character by another hand.

        Parameters:
            n_way: number of candidates: 5, 10 or 20
            data: whose characters: "omniglot", its evaluation alphabets, or "invented"
            link: what stands behind ?challenge= in a link, to deal exactly that round; otherwise empty
        Returns:
            challenge_id, good for one answer within 30 minutes; link; n_way; data; query and candidates as PNG data
            URLs, 105 x 105 pixels
        """
        if link not in (None, ""):
            game = session.trials.game_of(link, session.now().date())
        else:
            game = session.trials.new_game(choice(n_way, WAYS, "n_way"), choice(data, list(SOURCES), "data"))
        dealt = session.deal(game, 0)
        return {
            "challenge_id": dealt["round"],
            "link": dealt["link"],
            "n_way": dealt["n_way"],
            "data": dealt["source"],
            "query": dealt["query"],
            "candidates": dealt["candidates"],
        }

    @for_programs
    def answer_challenge(challenge_id: Any, choice: Any) -> dict:
        """Answer a challenge; after that it is over.

        Parameters:
            challenge_id: as /new_challenge gave it
            choice: place of the candidate chosen, from 0
        Returns:
            right; truth, the true place from 0; network_choice; network_right; similarities, one in [0, 1] for each
            candidate; certainty, the share in [0, 1] of the network's belief on its choice; alphabet; source
        """
        return session.answer(challenge_id, choice)

    def image(label: str) -> Component:
        return as_sent(gr.Image(label=label, type="filepath", visible=False), ImageData.model_json_schema())

    def images(label: str) -> Component:
        return as_sent(gr.File(label=label, file_count="multiple", visible=False), ListFiles.model_json_schema())

    def number(label: str, value: int) -> Component:
        return as_sent(gr.Number(value, label=label, precision=0, visible=False))

    def text(label: str) -> Component:
        return as_sent(gr.Textbox("", label=label, visible=False))

    data = as_sent(gr.Radio(list(SOURCES), value="omniglot", label="data", visible=False))
    endpoints = [
        (compare, [image("first"), image("second")]),
        (verify, [images("references"), image("questioned"), text("operating_point")]),
        (classify, [images("support"), image("query")]),
        (new_challenge, [number("n_way", 10), data, text("link")]),
        (answer_challenge, [text("challenge_id"), number("choice", 0)]),
    ]
    for endpoint, inputs in endpoints:
        gr.Button(visible=False).click(
            endpoint,
            inputs,
            gr.JSON(visible=False, label=endpoint.__name__),
            api_name=endpoint.__name__,
            concurrency_id="answers" if endpoint is answer_challenge else "network",  # which need no network any more
            show_progress="hidden",
        )


def forget(payloads: list) -> None:
    """Delete uploaded files of signatures as soon as they were judged or refused."""
    for payload in payloads:
        path = payload.get("path") if isinstance(payload, dict) else None
        if isinstance(path, str) and path:
            with suppress(OSError, ValueError):
                file, folder = Path(path).resolve(strict=True), Path(get_upload_folder()).resolve()
                if file.is_relative_to(folder):
                    file.unlink()
                    if file.parent != folder:
                        file.parent.rmdir()  # made for this upload alone

"""For programs: five endpoints, described and typed, that trust nothing they are sent.

Gradio's own components decode images with every plug-in of Pillow, take data URLs of any size and do not look at
ranges or choices. Here what arrived is handed on, and each endpoint checks it, so that every refusal is a sentence.
One table holds what is said of each parameter and result: the API page, Gradio's clients and the tools of the Model
Context Protocol all take it from there.
"""

import functools
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from gradio.utils import get_upload_folder

from siamese.characters.recognizer import Recognizer
from siamese.imaging.decode import ImageError, check_format
from siamese.signatures.verifier import UnknownPoint, Verifier
from siamese.ui.class_archive import MOST_CLASSES
from siamese.ui.game_session import GameSession
from siamese.ui.metadata import example_images
from siamese.ui.pages.compare import comparison
from siamese.ui.pages.own_classes import LEAST_CLASSES, ranking
from siamese.ui.pages.verify import MAX_REFERENCES
from siamese.ui.server import endpoint_value
from siamese.ui.trials import SOURCES, WAYS
from siamese.ui.validation import UserError, choice, decoded

MAX_FILE_BYTES = 32 << 20

log = logging.getLogger("one_look")


@dataclass(frozen=True)
class Parameter:
    """A parameter of an endpoint."""

    name: str
    schema: dict[str, Any]
    description: str
    example: Any = None
    default: Any = None
    """What it is where a call leaves it out; None where it may not be left out."""


def _number(description: str, *bounds: int) -> dict[str, Any]:
    limits = {"minimum": bounds[0], "maximum": bounds[1]} if bounds else {}
    return {"type": "number", "description": description} | limits


def _list_of(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"type": "array", "items": schema, "description": description}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    described = {key: value for key, value in schema.items() if key != "description"}
    return {"anyOf": [described, {"type": "null"}], "description": schema["description"]}


def _example_file(name: str) -> dict[str, Any]:
    """An image that the app itself serves."""
    url = f"/examples/{name}"
    return {"path": url, "url": url, "meta": {"_type": "gradio.FileData"}}


TEXT, INTEGER, BOOLEAN = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
HOW_SENT = (
    "PNG, JPEG, WebP, BMP or GIF, dark on light or light on dark, as an uploaded file of at most 32 MB or as a data "
    "URL (data:image/png;base64,...) of at most 8 MB"
)
RELIABILITY = _or_null(
    _number("share in [0, 1] of such scores that were right on validation; null where nobody measured it", 0, 1)
)
REMARKS = _list_of(
    {"type": "object", "properties": {"code": TEXT, "text": TEXT, "is_doubt": BOOLEAN}},
    'what was noticed about the images; is_doubt says whether it makes the verdict "unsure"',
)
CHARACTERS = [_example_file(name) for name in ("character-1.png", "character-2.png", "other-character.png")]
SIGNATURES = [_example_file(f"signature-{number}.png") for number in (1, 2, 3)]
PNG_URL = "as a data URL of a PNG, 105 x 105 pixels, black on white"


def brought_bytes(payload: object, what: str) -> bytes:
    """Returns the bytes of an image that a program sent.

    Args:
        payload: A file as Gradio's clients pass it, or a data URL.
        what: What to call the image in an error.

    Raises:
        UserError: It is neither an upload nor a data URL nor one of the app's own example images. A path alone proves
            nothing: anybody can name one, so it is resolved (links included) before it is looked at.
    """
    if isinstance(payload, str):
        payload = {"url": payload}
    if not isinstance(payload, dict):
        raise UserError(f"{what} is missing; upload a file and pass what the upload returned.")
    path, url = payload.get("path"), payload.get("url")
    if isinstance(url, str) and url.startswith("data:") and not path:
        return decoded(url, what)
    address = path or url
    if isinstance(address, str) and address.lower().startswith(("http://", "https://", "/examples/")):
        return _example_named(address, what)
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


def _example_named(address: str, what: str) -> bytes:
    """The example image that an address of this app names; nothing is fetched. Raises UserError for other addresses."""
    with suppress(ValueError):  # no address after all
        folder, _, name = urlsplit(address).path.rpartition("/")
        if folder.endswith("/examples") and name in example_images():
            return example_images()[name]
    raise UserError(f"{what} is an address, and nothing is fetched from there; upload the image or send a data URL.")


def for_programs(answer: Callable[..., dict]) -> Callable[..., dict]:
    """Wraps an endpoint: a `UserError` reaches the caller as one sentence, other errors without any detail."""

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
    """Returns the bytes of `least` to `most` images; raises UserError, before any is read, for another number."""
    if not isinstance(payload, list) or not least <= len(payload) <= most:
        count = len(payload) if isinstance(payload, list) else 0
        raise UserError(f"Please bring {least} to {most} images of {what}; {count} came.")
    return [brought_bytes(one, f"Image {number} of {what}") for number, one in enumerate(payload, 1)]


def publish(
    answer: Callable[..., dict],
    description: str,
    parameters: list[Parameter],
    returns: dict[str, dict[str, Any]],
    concurrency_id: str = "network",
) -> None:
    """Adds an endpoint to the open Gradio context, named after its function.

    Args:
        answer: Takes the parameters in their order and returns the result.
        description: What the endpoint does, in a sentence or two.
        parameters: Its parameters.
        returns: JSON schema of each part of the result, with a description.
        concurrency_id: Endpoints that share one are limited together.
    """
    endpoint = for_programs(answer)
    takes = [f"    {one.name}: {one.description}" for one in parameters]
    gives = [f"    {name}: {schema['description']}" for name, schema in returns.items()]
    # Gradio reads docstrings of this form.
    endpoint.__doc__ = "\n".join([description, "", "Parameters:", *takes, "Returns:", *gives])
    inputs = [
        endpoint_value(one.name, one.schema | {"additional_description": _sentence(one)}, one.example, one.default)
        for one in parameters
    ]
    gr.on(
        [],  # nothing on the page triggers it
        endpoint,
        inputs,
        endpoint_value("result", {"type": "object", "properties": returns}),
        api_name=answer.__name__,
        api_description=None,
        concurrency_id=concurrency_id,
        show_progress="hidden",
    )


def _sentence(parameter: Parameter) -> str:
    """The description as the API page shows it, behind a sentence of Gradio's."""
    return f"{parameter.description[0].upper()}{parameter.description[1:]}."


def build(recognizer: Recognizer, session: GameSession, verifier: Verifier) -> None:
    """Adds the five endpoints to the open Gradio context; none of them is visible on the page."""

    def compare(first: Any, second: Any) -> dict:
        return comparison(
            recognizer, brought_bytes(first, "The first image"), brought_bytes(second, "The second image")
        )

    publish(
        compare,
        "How alike two images of one character are.",
        [
            Parameter("first", TEXT, f"image of one character: {HOW_SENT}", CHARACTERS[0]),
            Parameter("second", TEXT, f"image that it is compared with: {HOW_SENT}", CHARACTERS[1]),
        ],
        {
            "similarity": _number("similarity in [0, 1]", 0, 1),
            "threshold": _number("similarity in [0, 1] from which on the two count as the same character", 0, 1),
            "verdict": {"enum": ["same", "different", "unsure"], "description": "what the similarity means"},
            "reliability": RELIABILITY,
            "remarks": REMARKS,
        },
    )

    def verify(references: Any, questioned: Any, operating_point: Any) -> dict:
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
            "operating_points": measured.as_dict() if measured else {},
            "remarks": [remark.as_dict() for remark in result.remarks],
        }

    publish(
        verify,
        "Whether a questioned signature is by the person who wrote all references. Uploaded files are deleted as soon "
        "as they were judged, so upload them again for the next call.",
        [
            Parameter(
                "references",
                {"type": "array", "items": TEXT},
                f"1 to {MAX_REFERENCES} images of signatures known to be genuine: {HOW_SENT}",
                SIGNATURES[:2],
            ),
            Parameter("questioned", TEXT, f"image of the signature in question: {HOW_SENT}", SIGNATURES[2]),
            Parameter(
                "operating_point",
                TEXT,
                'threshold to judge by: "strict", "balanced" or "lenient"; empty for "balanced", or for the only one',
                default="",
            ),
        ],
        {
            "score": _number("similarity in [0, 1] to all references together", 0, 1),
            "threshold": _number("score in [0, 1] from which on the signature counts as genuine", 0, 1),
            "verdict": {"enum": ["genuine", "forgery", "unsure"], "description": "what the score means"},
            "reliability": RELIABILITY,
            "similarities": _list_of({"type": "number"}, "similarity in [0, 1] to each reference, in their order"),
            "operating_point": _or_null(TEXT | {"description": "the one judged by; null where there is only one"}),
            "operating_points": {
                "type": "object",
                "description": "of each operating point its threshold in [0, 1], far (share of skilled forgeries that "
                "pass, in [0, 1]) and frr (share of genuine signatures that are refused, in [0, 1]), both of new "
                "writers of the collections that were trained on; far_elsewhere and frr_elsewhere, each [lowest, "
                "highest], are those on collections that training left out, where there were any; empty where nothing "
                "was measured",
            },
            "remarks": REMARKS,
        },
    )

    def classify(support: Any, query: Any) -> dict:
        known = several(support, "the support set", LEAST_CLASSES, MOST_CLASSES)
        return ranking(recognizer, known, brought_bytes(query, "The query"))

    publish(
        classify,
        "Which of several classes, known by one image each, an image belongs to.",
        [
            Parameter(
                "support",
                {"type": "array", "items": TEXT},
                f"{LEAST_CLASSES} to {MOST_CLASSES} images, one for each class: {HOW_SENT}",
                [CHARACTERS[0], CHARACTERS[2]],
            ),
            Parameter("query", TEXT, f"image to find the class of: {HOW_SENT}", CHARACTERS[1]),
        ],
        {
            "similarities": _list_of({"type": "number"}, "similarity in [0, 1] to each support image, in their order"),
            "best": INTEGER | {"description": "index of the most similar support image, from 0"},
            "none_of_these": BOOLEAN | {"description": "whether even the highest similarity is below the threshold"},
            "threshold": _number("similarity in [0, 1] below which the image counts as none of the classes", 0, 1),
            "remarks": REMARKS,
        },
    )

    def new_challenge(n_way: Any, data: Any, link: Any) -> dict:
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

    publish(
        new_challenge,
        "Deals a one-shot challenge: a query, and n_way candidates of which one is the same character by another "
        "person.",
        [
            Parameter("n_way", INTEGER, f"number of candidates: {', '.join(map(str, WAYS))}", default=10),
            Parameter(
                "data",
                TEXT,
                'whose characters: "omniglot", its evaluation alphabets, or "invented"',
                default="omniglot",
            ),
            Parameter(
                "link",
                TEXT,
                "what stands behind ?challenge= in a link, to get that challenge; else empty",
                default="",
            ),
        ],
        {
            "challenge_id": TEXT | {"description": "for /answer_challenge, once, within 30 minutes"},
            "link": TEXT | {"description": "behind ?challenge= in the app's address it opens this challenge"},
            "n_way": INTEGER | {"description": "number of candidates"},
            "data": TEXT | {"description": 'where the characters are from, "invented" or "omniglot"'},
            "query": TEXT | {"description": f"the character to find, {PNG_URL}"},
            "candidates": _list_of(TEXT, f"the candidates, each {PNG_URL}"),
        },
    )

    def answer_challenge(challenge_id: Any, choice: Any) -> dict:
        return session.answer(challenge_id, choice)

    publish(
        answer_challenge,
        "Answers a challenge that /new_challenge dealt; each can be answered once.",
        [
            Parameter("challenge_id", TEXT, "as /new_challenge gave it", "challenge_id of /new_challenge"),
            Parameter("choice", INTEGER, "index of the candidate chosen, from 0 to n_way - 1", 0),
        ],
        {
            "right": BOOLEAN | {"description": "whether the choice was right"},
            "truth": INTEGER | {"description": "index of the right candidate, from 0"},
            "choice": INTEGER | {"description": "index of the candidate chosen, from 0"},
            "network_choice": INTEGER | {"description": "index of the network's choice, from 0"},
            "network_right": BOOLEAN | {"description": "whether the network was right; a tie counts as wrong"},
            "similarities": _list_of({"type": "number"}, "similarity in [0, 1] to each candidate, in their order"),
            "certainty": _number("how sure the network was of its choice, in [0, 1]", 0, 1),
            "alphabet": TEXT | {"description": "name of the alphabet"},
            "source": TEXT | {"description": 'where the characters are from, "invented" or "omniglot"'},
        },
        concurrency_id="answers",  # which need no network any more
    )


def forget(payloads: list) -> None:
    """Deletes uploaded signatures as soon as they have been verified or refused."""
    for payload in payloads:
        path = payload.get("path") if isinstance(payload, dict) else None
        if isinstance(path, str) and path:
            with suppress(OSError, ValueError):
                file, folder = Path(path).resolve(strict=True), Path(get_upload_folder()).resolve()
                if file.is_relative_to(folder):
                    file.unlink()
                    if file.parent != folder:
                        file.parent.rmdir()  # made for this upload alone

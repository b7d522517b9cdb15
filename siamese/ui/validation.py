"""Checks everything that visitors send and refuses bad input with one sentence."""

import asyncio
import base64
import contextvars
import functools
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from siamese.imaging.decode import ImageError, check_format, find_writing, open_image
from siamese.ui.middleware import BUSY

MAX_PICTURE_BYTES = 8 << 20  # of one data URL, decoded; the page scales photographs down before it sends them
MAX_PAGE_CALLS = 48  # under way at one moment, those included that are answered now
PAGE_THREADS = 8  # answer calls; the others wait outside the threads that Gradio serves everything else with
DATA_URL = re.compile(r"data:[\w.+-]{1,40}/[\w.+-]{1,60};base64,")
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")  # lone surrogates as well

log = logging.getLogger("one_look")


class UserError(ValueError):
    """A request that cannot be carried out; the message is one sentence for the visitor."""


class PermanentUserError(UserError):
    """A refusal that stays the same however often one tries; the page forgets the request."""


class ConcurrencyLimiter:
    """Lets a bounded number of calls in; the next one is refused at once instead of waiting without end.

    Args:
        places: How many calls may be under way at one moment.
    """

    def __init__(self, places: int) -> None:
        self._places = threading.BoundedSemaphore(places)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Takes a place for the time of a block.

        Raises:
            UserError: Every place is taken.
        """
        if not self._places.acquire(blocking=False):
            raise UserError(BUSY)
        try:
            yield
        finally:
            self._places.release()


_page_calls = ConcurrencyLimiter(MAX_PAGE_CALLS)
_page_threads = ThreadPoolExecutor(PAGE_THREADS, thread_name_prefix="page")


def for_page(answer: Callable[[dict], dict]) -> Callable[[object], Awaitable[dict]]:
    """Makes a function that the page may call, and that runs in a thread of its own pool.

    Args:
        answer: Takes one JSON object and gives another; may raise UserError.

    Returns:
        The same, asynchronous. A refusal comes back as {"error": sentence}, a permanent one with "lasting": true beside
        it. Anything unforeseen is logged without what the visitor sent, and answered with a sentence without details.
    """

    async def run_in_pool(payload: dict) -> dict:
        with _page_calls.enter():
            context = contextvars.copy_context()  # Gradio's: the request, by which ZeroGPU counts a quota
            return await asyncio.get_running_loop().run_in_executor(_page_threads, context.run, answer, payload)

    return _guarded(answer, run_in_pool)


def for_page_at_once(answer: Callable[[dict], dict]) -> Callable[[object], Awaitable[dict]]:
    """Like `for_page`, for functions that take no time: the call runs at once and is never refused for load."""

    async def at_once(payload: dict) -> dict:
        return answer(payload)

    return _guarded(answer, at_once)


def _guarded(answer: Callable, given: Callable[[dict], Awaitable[dict]]) -> Callable[[object], Awaitable[dict]]:
    @functools.wraps(answer)
    async def guarded(payload: object = None) -> dict:
        try:
            if payload is not None and not isinstance(payload, dict):
                raise UserError("The page sent something that this app does not understand.")
            return await given(payload or {})
        except (UserError, ImageError) as refusal:
            return {"error": str(refusal)} | ({"lasting": True} if isinstance(refusal, PermanentUserError) else {})
        except Exception:
            log.exception("%s failed", answer.__name__)
            return {"error": "Something went wrong on the server; please try again."}

    guarded.__annotations__ = {}  # Gradio looks for annotations of its own kinds; there are none
    del guarded.__wrapped__
    return guarded


def decoded(url: object, what: str, limit_bytes: int = MAX_PICTURE_BYTES) -> bytes:
    """Decodes a data URL of an image; takes what `decoded_file` takes.

    Raises:
        UserError: For what `decoded_file` refuses, and for a file that is no image or one that the app does not read.
    """
    data = decoded_file(url, what, limit_bytes)
    try:
        check_format(data)
    except ImageError as error:
        raise UserError(f"{what}: {error}") from error
    return data


def decoded_file(url: object, what: str, limit_bytes: int) -> bytes:
    """Decodes a data URL of any file.

    Args:
        url: What was sent.
        what: Names the file in a refusal.
        limit_bytes: The most that the decoded file may have.

    Raises:
        UserError: For anything else, and for more than `limit_bytes`.
    """
    if url is None or url == "":
        raise UserError(f"{what} is missing; please draw or upload it first.")
    if not isinstance(url, str):
        raise UserError(f"{what} is not a file.")
    if len(url) > limit_bytes * 4 // 3 + 200:
        limit = f"{limit_bytes >> 20} MB" if limit_bytes >> 20 else f"{limit_bytes // 1000} kB"
        raise UserError(f"{what} is larger than {limit}; please bring a smaller file.")
    head = DATA_URL.match(url)
    if head is None:
        raise UserError(f"{what} is not a file.")
    try:
        return base64.b64decode(url[head.end() :], validate=True)
    except ValueError as error:  # also of what is not ASCII
        raise UserError(f"{what} arrived damaged; please try again.") from error


def picture(url: object, what: str) -> Image.Image:
    """Reads a data URL as a grey image that is safe to work with.

    Args:
        url: What the page sent.
        what: Names the picture in a refusal.

    Raises:
        UserError: It is no image that the app reads.
    """
    try:
        return open_image(decoded(url, what))
    except ImageError as error:
        raise UserError(f"{what}: {error}") from error


def ink_of(grey: Image.Image, what: str) -> Float[Tensor, "height width"]:
    """Finds the ink in a grey image, in [0, 1] with 1 for ink.

    Raises:
        UserError: There is none.
    """
    ink = find_writing(grey).ink
    if not bool((ink >= 0.25).any()):
        raise UserError(
            f"{what}: no ink was found; please choose a picture with darker writing, or crop it to the writing."
        )
    return ink


def choice(value: object, choices: Sequence, what: str):
    """Gives the one of `choices` that `value` equals; 1.0 is taken for 1, True is not.

    Raises:
        UserError: It equals none.
    """
    for one in choices:
        if not isinstance(value, bool) and isinstance(value, int | float | str) and value == one:
            return one
    raise UserError(f"{what} must be one of {', '.join(map(str, choices))}.")


def whole_number(value: object, least: int, most: int, what: str) -> int:
    """Gives a whole number in [least, most] as an int.

    Raises:
        UserError: It is none.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not least <= value <= most  # NaN and infinity fail it
        or int(value) != value
    ):
        raise UserError(f"{what} must be a whole number from {least} to {most}.")
    return int(value)


def name(value: object, what: str, most: int = 60) -> str:
    """Gives text without control characters and superfluous white space, cut to `most` characters.

    Raises:
        UserError: It is no text, or nothing is left of it.
    """
    if not isinstance(value, str):
        raise UserError(f"{what} must be text.")
    tidy = " ".join(CONTROL_CHARACTERS.sub(" ", value[: most * 4]).split())
    if not tidy:
        raise UserError(f"{what} is empty; please give a name.")
    return tidy[:most].strip()

"""What comes from a visitor: checked here, refused with one sentence, never trusted further in."""

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

from siamese.imaging.decode import ImageError, check_format, open_image
from siamese.imaging.ink import find_ink
from siamese.ui.middleware import BUSY

MAX_PICTURE_BYTES = 8 << 20  # of one data URL, decoded; the page scales photographs down before it sends them
MAX_WAITING = 48  # calls from pages that may be under way at one moment, those included that are
AT_ONCE = 8  # answered now; the others wait outside the threads that Gradio serves everything else with
DATA_URL = re.compile(r"data:[\w.+-]{1,40}/[\w.+-]{1,60};base64,")
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")  # lone surrogates as well

log = logging.getLogger("one_look")


class UserError(ValueError):
    """Something asked for that cannot be done; its text is one sentence for the visitor."""


class PermanentUserError(UserError):
    """One that asking again does not change; the page forgets what it asked for."""


class ConcurrencyLimiter:
    """Lets a bounded number of calls in; the next one is refused at once instead of waiting without end."""

    def __init__(self, places: int) -> None:
        self._places = threading.BoundedSemaphore(places)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Raises UserError where every place is taken."""
        if not self._places.acquire(blocking=False):
            raise UserError(BUSY)
        try:
            yield
        finally:
            self._places.release()


_turnstile = ConcurrencyLimiter(MAX_WAITING)
_desk = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="page")


def for_page(answer: Callable[[dict], dict]) -> Callable[[object], Awaitable[dict]]:
    """A function that the page may call: takes one JSON object; what it refuses comes back as {"error": sentence}.

    A lasting refusal has "lasting": true beside the sentence.

    Anything unforeseen is logged without what the visitor sent and answered with a sentence that tells nothing.
    """

    async def run_in_pool(payload: dict) -> dict:
        with _turnstile.enter():
            context = contextvars.copy_context()  # Gradio's: the request, by which ZeroGPU counts a quota
            return await asyncio.get_running_loop().run_in_executor(_desk, context.run, answer, payload)

    return _guarded(answer, run_in_pool)


def for_page_at_once(answer: Callable[[dict], dict]) -> Callable[[object], Awaitable[dict]]:
    """The same for what needs no time worth mentioning: it waits behind nobody, and nobody is turned away."""

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
    """The bytes of a data URL.

    Raises:
        UserError: For anything else, for more than `limit_bytes`, and for an image that the app does not read.
    """
    if url is None or url == "":
        raise UserError(f"{what} is missing; please draw or upload it first.")
    if not isinstance(url, str):
        raise UserError(f"{what} is not a picture.")
    if len(url) > limit_bytes * 4 // 3 + 200:
        limit = f"{limit_bytes >> 20} MB" if limit_bytes >> 20 else f"{limit_bytes // 1000} kB"
        raise UserError(f"{what} is larger than {limit}; please bring a smaller file.")
    head = DATA_URL.match(url)
    if head is None:
        raise UserError(f"{what} is not a picture.")
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except ValueError as error:  # also of what is not ASCII
        raise UserError(f"{what} arrived damaged; please try again.") from error
    try:
        check_format(data)
    except ImageError as error:
        raise UserError(f"{what}: {error}") from error
    return data


def picture(url: object, what: str) -> Image.Image:
    """A safe grey image out of a data URL; raises UserError with a sentence that names which picture is meant."""
    try:
        return open_image(decoded(url, what))
    except ImageError as error:
        raise UserError(f"{what}: {error}") from error


def ink_of(grey: Image.Image, what: str) -> Float[Tensor, "height width"]:
    """The ink of a safe grey image; raises UserError where there is none."""
    ink = find_ink(grey)
    if not bool((ink >= 0.25).any()):
        raise UserError(f"{what}: no ink was found; please bring a drawing that stands out more.")
    return ink


def choice(value: object, choices: Sequence, what: str):
    """The value where it is one of the choices (1.0 for 1 is fine, True is not); raises UserError."""
    for one in choices:
        if not isinstance(value, bool) and isinstance(value, int | float | str) and value == one:
            return one
    raise UserError(f"{what} must be one of {', '.join(map(str, choices))}.")


def whole_number(value: object, least: int, most: int, what: str) -> int:
    """A whole number in [least, most]; raises UserError."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most or int(value) != value:  # NaN and infinity fail the range
        raise UserError(f"{what} must be a whole number from {least} to {most}.")
    return int(value)


def name(value: object, what: str, most: int = 60) -> str:
    """Printable text of 1 to `most` characters, white space and control characters tidied; raises UserError."""
    if not isinstance(value, str):
        raise UserError(f"{what} must be text.")
    tidy = " ".join(CONTROL_CHARACTERS.sub(" ", value[: most * 4]).split())
    if not tidy:
        raise UserError(f"{what} is empty; please give a name.")
    return tidy[:most].strip()

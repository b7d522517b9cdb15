import asyncio
import base64
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image, ImageDraw

from siamese.ui import validation
from siamese.ui.middleware import BUSY
from siamese.ui.validation import UserError
from tests.hostile import encoded


def drawn(size: int = 60) -> Image.Image:
    image = Image.new("L", (size, size), 255)
    ImageDraw.Draw(image).line([(10, 10), (40, 50)], fill=0, width=5)
    return image


def as_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_a_picture_comes_through():
    assert validation.picture(as_url(encoded(drawn(), "PNG")), "The first picture").tobytes() == drawn().tobytes()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, "The first picture is missing"),
        ("", "The first picture is missing"),
        (7, "is not a file"),
        ("http://127.0.0.1/secret", "is not a file"),
        ("/etc/passwd", "is not a file"),
        ("data:image/png;base64,????", "arrived damaged"),
        ("data:image/png;base64,\u00e9", "arrived damaged"),
        ("data:image/png;base64,\ud800", "arrived damaged"),
        (as_url(b"<html>"), "The first picture: The file is not a PNG"),
        (as_url(b"II*\0 and so on"), "The first picture: .* but a TIFF; please save it as PNG"),
        (as_url(encoded(Image.new("L", (50, 50), 255), "PNG")), "blank"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_sentence(url, words):
    with pytest.raises(UserError, match=words):
        validation.picture(url, "The first picture")


def test_a_data_url_is_bounded_before_it_is_decoded():
    with pytest.raises(UserError, match="larger than 1 MB"):
        validation.decoded_file("data:image/png;base64," + "A" * (2 << 20), "It", limit_bytes=1 << 20)
    with pytest.raises(UserError, match="larger than 400 kB"):
        validation.decoded_file("data:image/png;base64," + "A" * (1 << 20), "It", limit_bytes=400_000)
    assert len(validation.decoded_file(as_url(b"x" * (1 << 20)), "It", limit_bytes=1 << 20)) == 1 << 20


def test_choices_are_taken_as_they_stand():
    assert validation.choice(10.0, (5, 10), "n") == 10
    for wrong in (7, "10", True, None, [5], math.nan):
        with pytest.raises(UserError, match="n must be one of 5, 10"):
            validation.choice(wrong, (5, 10), "n")


def test_whole_numbers_have_a_range():
    assert validation.whole_number(3.0, 0, 4, "n") == 3
    for wrong in (5, -1, 1.5, math.inf, math.nan, "3", None, True, 10**400):
        with pytest.raises(UserError, match="n must be a whole number from 0 to 4"):
            validation.whole_number(wrong, 0, 4, "n")


def test_names_are_tidied():
    assert validation.name("  a\x00\n b\u202e \ud800", "It") == "a b"
    assert len(validation.name("x" * 500, "It")) == 60
    for wrong in ("", " \n", "\udfff", None, 3):
        with pytest.raises(UserError):
            validation.name(wrong, "It")


def asked(answers: list) -> list:
    """What these calls come to when they are under way at the same time."""

    async def together():
        return await asyncio.gather(*answers)

    with ThreadPoolExecutor(1) as thread:  # a browser test may have left its event loop in this one
        return thread.submit(asyncio.run, together()).result()


def test_the_page_is_answered_with_a_sentence_and_never_with_a_traceback(caplog):
    @validation.for_page
    def answer(asked):
        if asked.get("fail"):
            raise KeyError("/secret/path")
        if asked.get("lasting"):
            raise validation.PermanentUserError("Never.")
        raise UserError("No.")

    said = asked([answer({}), answer(None), answer([1]), answer({"fail": True}), answer({"lasting": True})])
    assert said[:2] == [{"error": "No."}] * 2
    assert "understand" in said[2]["error"]
    assert said[3] == {"error": "Something went wrong on the server; please try again."}
    assert said[4] == {"error": "Never.", "lasting": True}
    assert "answer failed" in caplog.text


def test_beyond_the_bound_a_visitor_is_told_and_everybody_else_is_served(monkeypatch):
    monkeypatch.setattr(
        validation, "_page_calls", validation.ConcurrencyLimiter(validation.PAGE_THREADS + 2)
    )  # so that two wait for a thread
    come = threading.Barrier(validation.PAGE_THREADS, timeout=60)

    @validation.for_page
    def answer(asked):
        if asked["number"] < validation.PAGE_THREADS:
            come.wait()  # all threads are taken until all have come
        return {"number": asked["number"]}

    said = asked([answer({"number": number}) for number in range(validation.PAGE_THREADS + 5)])
    served, told = said[: validation.PAGE_THREADS + 2], said[validation.PAGE_THREADS + 2 :]
    assert served == [{"number": number} for number in range(validation.PAGE_THREADS + 2)]
    assert told == [{"error": BUSY}] * 3
    assert asked([answer({"number": 99})]) == [{"number": 99}]


def test_what_takes_no_time_waits_behind_nobody(monkeypatch):
    monkeypatch.setattr(validation, "_page_calls", validation.ConcurrencyLimiter(1))

    @validation.for_page_at_once
    def answer(asked):
        if asked.get("fail"):
            raise UserError("No.")
        return {"thread": threading.get_ident()}

    with validation._page_calls.enter():
        said = asked([answer({}), answer({}), answer({"fail": True}), answer([])])
    assert len({one["thread"] for one in said[:2]}) == 1
    assert said[2] == {"error": "No."}
    assert "understand" in said[3]["error"]


def test_the_page_calls_refuses_instead_of_queueing():
    limiter = validation.ConcurrencyLimiter(1)
    with limiter.enter(), pytest.raises(UserError, match="Too many people"), limiter.enter():
        pass
    with limiter.enter():
        pass

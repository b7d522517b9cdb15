import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor

from siamese.ui.limits import BodyLimit


def finish(work: Coroutine) -> None:
    """Run to the end in a thread of its own: a browser test may have left its event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def ask(chunks, headers=(), limit_bytes=10):
    """Status and body of a request whose body comes in these chunks, and what the app behind was given."""
    sent, taken = [], []
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})

    async def app(_scope, receive, send):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RuntimeError("the client went away")
            taken.append(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    finish(BodyLimit(app, limit_bytes)({"type": "http", "headers": list(headers)}, receive, send))
    return sent[0]["status"], sent[1]["body"], b"".join(taken)


def test_a_small_body_passes_unchanged():
    assert ask([b"12345", b"67890"]) == (200, b"fine", b"1234567890")


def test_a_length_that_is_stated_is_believed_when_it_is_too_large():
    status, body, taken = ask([b"1"], [(b"content-length", b"11")])
    assert (status, taken) == (413, b"")
    assert b"please send less" in body
    assert ask([b"1"], [(b"content-length", b"-1")])[0] == 413


def test_bytes_are_counted_where_no_length_or_a_false_one_is_stated():
    for headers in ([], [(b"content-length", b"2")]):
        status, _, taken = ask([b"12345", b"67890", b"1"] * 50, headers)
        assert status == 413
        assert taken == b"1234567890"


def test_other_traffic_is_let_alone():
    reached = []

    async def app(scope, _receive, _send):
        reached.append(scope["type"])

    finish(BodyLimit(app)({"type": "lifespan"}, None, None))
    assert reached == ["lifespan"]

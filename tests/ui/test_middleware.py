"""What stands in front of Gradio, message by message, without a server."""

import asyncio
import gzip
import json
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio
import pytest

from siamese.ui import middleware
from siamese.ui.middleware import BUSY, BodyLimit, DocumentHead, RouteAllowlist, TextCompression, with_tags


def finish(work: Coroutine) -> object:
    """Run to the end in a thread of its own: a browser test may have left its event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def scope_of(path="/", headers=()):
    return {"type": "http", "path": path, "headers": list(headers), "query_string": b"upload_id=1"}


def ask(chunks, headers=(), limit_bytes=10, path="/gradio_api/upload", status=200, limit=None):
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
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    limit = limit or BodyLimit(None, limit_bytes)
    held, limit.app = limit._held, app
    finish(limit(scope_of(path, headers), receive, send))
    assert limit._held == held
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:]), b"".join(taken)


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


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/call/compare", "/gradio_api/call/v2/compare"])
def test_what_waits_in_the_queue_is_smaller_than_an_upload(path, monkeypatch):
    monkeypatch.setattr(middleware, "MAX_CALL_BYTES", 8)
    assert ask([b"12345678"], path=path)[0] == 200
    assert ask([b"123456789"], path=path)[0] == 413
    assert ask([b"123456789"])[0] == 200


def test_all_bodies_together_are_bounded():
    limit = BodyLimit(None, 10, held_bytes=12)
    limit._held = 4  # of somebody else
    assert ask([b"12345678"], limit=limit) == (200, b"fine", b"12345678")
    status, body, taken = ask([b"1234567", b"89"], limit=limit)
    assert (status, json.loads(body), taken) == (503, {"detail": BUSY}, b"1234567")
    status, body, _ = ask([b"123456789"], limit=limit, path="/gradio_api/component_server/")
    assert (status, json.loads(body)) == (200, {"error": BUSY})  # a page shows what is in an answer that is one


def test_a_full_queue_is_told_in_words():
    status, body, _ = ask([b"1"], path="/gradio_api/queue/join", status=503)
    assert (status, json.loads(body)) == (503, {"detail": BUSY})
    assert ask([b"1"], path="/config", status=503)[1] == b"fine"


def reached(path, headers=()):
    """The scope that came through, or the status that was answered instead."""
    seen, sent = [], []

    async def app(scope, _receive, _send):
        seen.append(scope)

    async def send(message):
        sent.append(message)

    finish(RouteAllowlist(app)(scope_of(path, headers), None, send))
    return seen[0] if seen else sent[0]["status"]


CLOSED = """run/compare api/compare file=/etc/passwd file=http://127.0.0.1/ file/app.py proxy=http://a.b/ deep_link
process_recording upload_progress stream/1 vibe-edit run-history/records dev/reload uploads queue call-me //run/compare
custom_component/1/client/component/index.js"""
OPEN = """/ /config /theme.css /static/img/logo.svg /gradio_api/info /gradio_api/queue/join /gradio_api/call/compare
/gradio_api/call/compare/123 /gradio_api/component_server/ /gradio_api/mcp/"""


@pytest.mark.parametrize("place", CLOSED.split())
def test_what_the_app_does_not_use_is_closed(place):
    assert reached(f"/gradio_api/{place}") == 404
    assert reached(f"/behind/a/proxy/gradio_api/{place}") == 404


@pytest.mark.parametrize("path", OPEN.split())
def test_what_it_uses_is_open_and_unchanged(path):
    assert reached(path) == scope_of(path)


def test_files_come_in_at_one_place_and_leave_no_name_of_their_upload():
    multipart = [(b"content-type", b"Multipart/form-data; boundary=x")]
    assert reached("/gradio_api/upload", multipart)["query_string"] == b""
    assert reached("/gradio_api/component_server", multipart) == 415
    assert reached("/gradio_api/call/compare", multipart) == 415
    other = (b"content-type", b"application/json")
    for headers in ([other, *multipart], [*multipart, other], [(b"content-type", b" \xa0multipart/form-data"), other]):
        assert reached("/gradio_api/component_server", headers) == 415


def test_somebody_who_goes_away_is_no_error():
    """Gradio raises where a body ends too early, which would be a traceback in the log for each that breaks off."""
    messages = [{"type": "http.request", "body": b"1", "more_body": True}, {"type": "http.disconnect"}]

    async def app(_scope, receive, _send):
        while (await receive())["type"] != "http.disconnect":
            pass
        raise RuntimeError("the client went away")

    async def receive():
        return messages.pop(0)

    async def failing(_scope, _receive, _send):
        raise RuntimeError("something else")

    finish(BodyLimit(app)(scope_of(), receive, None))
    with pytest.raises(RuntimeError, match="something else"):
        finish(BodyLimit(failing)(scope_of(), receive, None))


def test_other_traffic_is_let_alone():
    passed = []

    async def app(scope, _receive, _send):
        passed.append(scope["type"])

    for wrapped in (BodyLimit(app), RouteAllowlist(app), TextCompression(app), DocumentHead(app)):
        finish(wrapped({"type": "lifespan"}, None, None))
    assert passed == ["lifespan"] * 4


def served(app, path="/", headers=(), body_parts=(b"",), kind="text/html", wrap=DocumentHead, **named):
    """Headers and body of what an app answers through a middleware; `app` is the text, sent in parts."""
    sent = []

    async def answer(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode())]})
        for part in body_parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": app})

    async def send(message):
        sent.append(message)

    finish(wrap(answer, **named)({**scope_of(path, headers), "method": "GET", "scheme": "http"}, None, send))
    return dict(sent[0]["headers"]), b"".join(message["body"] for message in sent[1:]), len(sent) - 1


TEMPLATE = (Path(gradio.__file__).parent / "templates/frontend/index.html").read_bytes()


def test_gradio_s_page_still_describes_itself_as_it_is_known_here():
    """Where its template changes, what is looked for in it must be looked at again."""
    assert len(middleware.CHARSET.findall(TEMPLATE)) == 1
    assert len(middleware.GRADIO_TAGS.findall(TEMPLATE)) >= 10
    assert len(middleware.GRADIO_MANIFEST.findall(TEMPLATE)) == 1
    assert b"<title" not in TEMPLATE
    head = TEMPLATE.partition(b"<script")[0]
    assert middleware.GRADIO_TAGS.findall(head) == middleware.GRADIO_TAGS.findall(TEMPLATE)


def test_the_page_says_of_itself_what_this_app_is_and_only_once():
    page = with_tags(TEMPLATE, '<meta property="og:title" content="One Look" /><!-- & -->').decode()
    assert page.count("og:title") == 1
    assert page.count("twitter:") == 0
    assert "manifest.json" not in page
    assert page.index("og:title") < page.index("<base")


def test_the_head_is_changed_on_the_page_alone():
    plain = b'<meta charset="utf-8" /><p>'
    headers, page, _ = served(b"x</p>", body_parts=(plain,))
    assert page.startswith(b'<meta charset="utf-8" />\n<title>One Look</title>\n<meta property="og:type"')
    assert page.endswith(b"<p>x</p>")
    assert int(headers[b"content-length"]) == len(page)
    assert served(b"", "/config", body_parts=(plain,))[1] == plain
    assert served(b"", "/", body_parts=(plain,), kind="application/json")[1] == plain


@pytest.mark.parametrize(
    ("headers", "root_path", "root"),
    [
        ([(b"host", b"localhost:7860")], "", "http://localhost:7860"),
        (
            [(b"host", b"inside"), (b"x-forwarded-host", b"a.org, b"), (b"x-forwarded-proto", b"https")],
            "",
            "https://a.org",
        ),
        ([(b"host", b"a.org")], "/one-look", "http://a.org/one-look"),
        ([(b"host", b"a.org")], "https://b.org/x", "https://b.org/x"),
        ([(b"host", b'"><script>')], "", "http://&quot;&gt;&lt;script&gt;"),
    ],
)
def test_addresses_in_the_head_are_those_a_visitor_knows(headers, root_path, root):
    page = served(b'<meta charset="utf-8" />', headers=headers, root_path=root_path)[1].decode()
    assert f'property="og:image" content="{root}/images/preview.png"' in page
    assert f'property="og:url" content="{root}/"' in page


def test_text_is_compressed_and_events_are_not_held_back():
    accepts = [(b"accept-encoding", b"gzip, br")]
    text = b"look " * 1000
    headers, body, _ = served(text, headers=accepts, wrap=TextCompression)
    assert headers[b"content-encoding"] == b"gzip"
    assert len(body) < len(text) / 20
    assert gzip.decompress(body) == text
    events = (b"event: a\ndata: 1\n\n", b"event: b\ndata: 2\n\n")
    headers, body, parts = served(b"", "/x", accepts, events, "text/event-stream", TextCompression)
    assert b"content-encoding" not in headers
    assert (body, parts) == (b"".join(events), 3)
    assert b"content-encoding" not in served(text, "/assets/a.js", accepts, wrap=TextCompression)[0]  # by Gradio
    assert b"content-encoding" not in served(text, wrap=TextCompression)[0]

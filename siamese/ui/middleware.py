"""ASGI middleware in front of Gradio: which requests are allowed, how large they may be, and the page's metadata.

Gradio answers more than this app uses: it would fetch addresses, record screens and store links to what a visitor sent.
"""

import json
import re
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware

from siamese.ui.metadata import head_tags, public_root

MAX_BODY_BYTES = 36 << 20  # a photograph of 48 megapixels as a file; pages send far less
MAX_CALL_BYTES = 12 << 20  # of a program's call, which waits in the queue with all it brought: files are uploaded first
MAX_HELD_BYTES = 144 << 20  # of all bodies together that are arriving or being answered
BUSY = "Too many people are playing at this moment; please try again in a few seconds."

API = "/gradio_api/"
OPEN_PLACES = {"app_id", "cancel", "component_server", "info", "login_check", "openapi.json", "reset", "startup-events"}
OPEN_PLACES |= {"theme.css", "token", "upload", "user", "queue/join", "queue/data", "queue/status"}
OPEN_FOLDERS = ("call/", "heartbeat/", "mcp/")

MIN_COMPRESSED_BYTES = 1000
COMPRESSION_LEVEL = 6  # of zlib's 9: the page in 4 ms instead of 12, and 2 % larger
# In Gradio's template of the page:
CHARSET = re.compile(rb"<meta\s+charset=[^>]*>")
GRADIO_TAGS = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>')
GRADIO_MANIFEST = re.compile(rb'<link rel="manifest" href="/manifest.json" />')  # from the host's root, not the app's


class RouteAllowlist:
    """ASGI middleware: under /gradio_api/ only the routes that the page and the documented endpoints use are open.

    Closed with the rest are the ways past the queue, to files by path, and to addresses that the server would fetch.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (place := place_of(scope)) is not None:
            if place not in OPEN_PLACES and not f"{place}/".startswith(OPEN_FOLDERS):
                await _refuse(send, 404, "This app has nothing here.")
                return
            kinds = [value.lower() for name, value in scope["headers"] if name == b"content-type"]
            if place == "upload":
                scope = {**scope, "query_string": b""}  # an upload_id would be remembered for ever
            elif any(b"multipart/" in kind for kind in kinds):  # whichever of several would be believed
                await _refuse(send, 415, "Files are taken at /gradio_api/upload only.")
                return
        await self.app(scope, receive, send)


def place_of(scope: dict) -> str | None:
    """Returns the part of a request's path after /gradio_api/, None for other paths."""
    _, found, place = scope.get("path", "").partition(API)
    return place.rstrip("/") if found else None


class BodyLimit:
    """ASGI middleware: refuses request bodies larger than their limit, whatever Content-Length says.

    The bytes that stream in are counted as well, so that a request without that header, or with a false one, is
    refused as soon as it has sent too much, and all requests together hold no more than `held_bytes`. What Gradio
    says when its queue is full is put into words for visitors.
    """

    def __init__(self, app: Any, limit_bytes: int = MAX_BODY_BYTES, held_bytes: int = MAX_HELD_BYTES) -> None:
        self.app = app
        self.limit_bytes = limit_bytes
        self.held_bytes = held_bytes
        self._held = 0

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        place = place_of(scope) or ""
        is_call = place == "queue/join" or place.startswith("call/")
        limit_bytes = min(self.limit_bytes, MAX_CALL_BYTES) if is_call else self.limit_bytes
        too_much = f"More than {limit_bytes >> 20} MB in one request; please send less."
        is_page = place == "component_server"
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        if not stated.isdigit() or int(stated) > limit_bytes:
            await _refuse(send, 413, too_much, is_page)
            return
        taken, refusal, answered, is_gone = 0, None, False, False

        async def counted_receive() -> dict:
            nonlocal taken, refusal, is_gone
            message = await receive()
            is_gone = is_gone or message["type"] == "http.disconnect"
            size = len(message.get("body", b""))
            taken += size
            self._held += size
            if taken > limit_bytes:
                refusal = refusal or (413, too_much)
            elif self._held > self.held_bytes:
                refusal = refusal or (503, BUSY)
            return {"type": "http.disconnect"} if refusal else message

        async def watched_send(message: dict) -> None:
            nonlocal answered, refusal
            if message["type"] == "http.response.start" and message["status"] == 503 and is_call:
                refusal = refusal or (503, BUSY)  # the queue is full
            if refusal and not answered:
                answered = True
                await _refuse(send, *refusal, is_page)
            if not refusal:
                answered = True
                await send(message)

        try:
            await self.app(scope, counted_receive, watched_send)
        except Exception:
            if not (refusal or is_gone):  # there is nobody whom an error could be told, and nothing went wrong here
                raise
        finally:
            self._held -= taken
        if refusal and not answered:
            await _refuse(send, *refusal, is_page)


async def _refuse(send: Any, status: int, sentence: str, is_page: bool = False) -> None:
    """The whole answer to a request that is not let in; a page shows an error only out of an answer that is one."""
    body = json.dumps({"error": sentence} if is_page else {"detail": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    start = {"type": "http.response.start", "status": 200 if is_page else status}
    await send({**start, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


class TextCompression(GZipMiddleware):
    """ASGI middleware: compresses the page and JSON. Gradio itself compresses only files with a suffix.

    Streams of events are left alone (by Starlette), since each event must arrive at once.
    """

    def __init__(self, app: Any) -> None:
        super().__init__(app, minimum_size=MIN_COMPRESSED_BYTES, compresslevel=COMPRESSION_LEVEL)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        has_suffix = "." in scope.get("path", "").rpartition("/")[2]
        await (self.app if has_suffix else super().__call__)(scope, receive, send)


class DocumentHead:
    """ASGI middleware: puts this app's title, description and picture first into the page, in place of Gradio's.

    Gradio's template describes Gradio itself, in tags that whoever makes a preview of a link reads first, and what the
    app adds by `launch(head=...)` is put in by a script, which nobody who makes a preview runs.
    """

    def __init__(self, app: Any, root_path: str = "") -> None:
        """Wraps an app; `root_path` is the prefix, or the whole address, under which a proxy serves it."""
        self.app = app
        self.root_path = root_path

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope.get("path") != "/":
            await self.app(scope, receive, send)
            return
        start: dict = {}
        parts: list[bytes] = []

        async def changed_send(message: dict) -> None:
            if message["type"] == "http.response.start":
                if Headers(raw=message["headers"]).get("content-type", "").startswith("text/html"):
                    start.update(message)
                    return
            elif start:
                parts.append(message.get("body", b""))
                if message.get("more_body"):
                    return
                page = with_tags(b"".join(parts), head_tags(public_root(Headers(scope=scope), scope, self.root_path)))
                MutableHeaders(raw=start["headers"])["content-length"] = str(len(page))
                await send(start)
                message = {"type": "http.response.body", "body": page}
            await send(message)

        await self.app(scope, receive, changed_send)


def with_tags(page: bytes, tags: str) -> bytes:
    """Puts tags behind the page's charset and takes out Gradio's own tags for previews and its manifest.

    Args:
        page: The whole document.
        tags: What to put in.

    Returns:
        The document; what stands behind its first script is not looked at.
    """
    head, script, rest = page.partition(b"<script")
    head = GRADIO_TAGS.sub(b"", head)
    head = CHARSET.sub(lambda found: found[0] + b"\n" + tags.encode(), head, count=1)
    return head + script + GRADIO_MANIFEST.sub(b"", rest, count=1)

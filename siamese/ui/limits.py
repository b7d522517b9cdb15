"""A bound on what one request may send, in front of everything else."""

from typing import Any

MAX_BODY_BYTES = 36 << 20  # a photograph of 48 megapixels as a file; pages send far less


class BodyLimit:
    """ASGI middleware: a body larger than `limit_bytes` is cut off, whatever Content-Length says.

    The bytes that stream in are counted as well, so that a request without that header, or with a false one, is
    refused as soon as it has sent too much.
    """

    def __init__(self, app: Any, limit_bytes: int = MAX_BODY_BYTES) -> None:
        self.app = app
        self.limit_bytes = limit_bytes

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        if not stated.isdigit() or int(stated) > self.limit_bytes:
            await _refuse(send, self.limit_bytes)
            return
        taken, refused, answered = 0, False, False

        async def counted_receive() -> dict:
            nonlocal taken, refused
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.limit_bytes:
                refused = True
                return {"type": "http.disconnect"}
            return message

        async def watched_send(message: dict) -> None:
            nonlocal answered
            if refused and not answered:
                answered = True
                await _refuse(send, self.limit_bytes)
            if not refused:
                answered = True
                await send(message)

        try:
            await self.app(scope, counted_receive, watched_send)
        except Exception:
            if not refused:
                raise
        if refused and not answered:
            await _refuse(send, self.limit_bytes)


async def _refuse(send: Any, limit_bytes: int) -> None:
    sentence = f"More than {limit_bytes >> 20} MB in one request; please send less.".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(sentence)).encode())]
    await send({"type": "http.response.start", "status": 413, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": sentence})

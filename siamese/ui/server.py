"""In front of everything else: what may be asked for, how much may be sent, and what is cleared away behind visitors.

Gradio answers more than this app uses (it would fetch addresses, record screens, store links to what a visitor sent)
and forgets less: uploads that broke off, results that nobody fetched, the last inputs of every session.
"""

import asyncio
import ctypes
import json
import logging
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from gradio import route_utils
from gradio.state_holder import SessionState, StateHolder

MAX_BODY_BYTES = 36 << 20  # a photograph of 48 megapixels as a file; pages send far less
MAX_CALL_BYTES = 12 << 20  # of a program's call, which waits in the queue with all it brought: files are uploaded first
MAX_HELD_BYTES = 144 << 20  # of all bodies together that are arriving or being answered
BUSY = "Too many people are playing at this moment; please try again in a few seconds."

API = "/gradio_api/"
OPEN_PLACES = {"app_id", "cancel", "component_server", "info", "login_check", "openapi.json", "reset", "startup-events"}
OPEN_PLACES |= {"theme.css", "token", "upload", "user", "queue/join", "queue/data", "queue/status"}
OPEN_FOLDERS = ("call/", "heartbeat/", "mcp/")

M_ARENA_MAX = -8  # of glibc's malloc.h

SWEEP_S = 300
UPLOAD_LIFE_S = 1800

log = logging.getLogger("one_look")


class RouteAllowlist:
    """ASGI middleware: under /gradio_api/ nothing is reached but what the page and the documented endpoints use.

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
    """The part of a request's path behind /gradio_api/, None for what lies elsewhere."""
    _, found, place = scope.get("path", "").partition(API)
    return place.rstrip("/") if found else None


class BodyLimit:
    """ASGI middleware: a body larger than its limit is cut off, whatever Content-Length says.

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


class Nobody(SessionState):
    """A session in which nothing is written down."""

    def __setitem__(self, key: int, value: Any) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass


class NoSessions(StateHolder):
    """The same empty session for everybody: no part of this app keeps anything there.

    Gradio would make one for each visitor, which takes longer than many an answer, and keep in it what was sent last.
    """

    def __init__(self, blocks: Any) -> None:
        super().__init__()
        self.set_blocks(blocks)
        self._nobody = Nobody(blocks)

    def __getitem__(self, session_id: str) -> SessionState:
        return self._nobody


class OwnUpload(route_utils.GradioUploadFile):
    """An uploaded file in a folder that no other upload shares.

    Gradio names the folder by what the file holds, so that a call that deletes its files as soon as it is answered
    would take them from whoever sent the same ones meanwhile.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.sha.update(secrets.token_bytes(16))


def keep_uploads_apart() -> None:
    """Have Gradio take uploads as OwnUpload."""
    route_utils.GradioUploadFile = OwnUpload


@asynccontextmanager
async def cleanup(app: Any) -> AsyncIterator[None]:
    """Lifespan of the server: nothing is kept of sessions, and every SWEEP_S what visitors left behind is dropped."""
    app.state_holder = NoSessions(app.get_blocks())
    keep_uploads_apart()
    share_one_heap()
    sweeping = asyncio.create_task(_sweep_on(app))
    try:
        yield
    finally:
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping


async def _sweep_on(app: Any) -> None:
    idle: set[str] = set()
    while True:
        try:
            blocks = app.get_blocks()
            idle = drop_unfetched(blocks._queue, idle)
            await asyncio.to_thread(sweep_files, Path(app.uploaded_file_dir), UPLOAD_LIFE_S + SWEEP_S)
            for known in blocks.temp_file_sets:  # Gradio forgets only the names of files that it deleted itself
                known.difference_update([file for file in list(known) if not Path(file).exists()])
            await asyncio.to_thread(give_back_memory)
        except Exception:  # the next sweep may well succeed; without any the disk fills up
            log.exception("Sweeping failed")
        await asyncio.sleep(SWEEP_S)


def share_one_heap() -> None:
    """Keep glibc from giving each thread a heap of its own, in each of which what large images took would stay.

    Measured over half an hour of six visitors: the app grew by 15 MB a minute with a heap for each thread.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # another libc
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Return to the system what lies free within the heap: 100 to 150 MB after large images."""
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def drop_unfetched(queue: Any, idle_before: set[str]) -> set[str]:
    """Drop the messages of sessions that were without a call under way at the last sweep, too; return the idle ones.

    Gradio keeps one queue of messages for each session, and each call of a program that names no session is one.
    """
    idle = set()
    for session in list(queue.pending_messages_per_session):
        events = queue.pending_event_ids_session.get(session, ())
        if not any(event in queue.event_ids_to_events for event in events):
            idle.add(session)
    for session in idle & idle_before:
        queue.pending_messages_per_session.pop(session, None)
        queue.pending_event_ids_session.pop(session, None)
    return idle - idle_before


def sweep_files(folder: Path, age_s: int | float) -> None:
    """Delete files that are older than `age_s`, and folders that stand empty: of uploads that broke off or were used.

    Those of an app that was killed are among them, since the folder and not a list is gone through.
    """
    now = time.time()
    for path in _below(folder):
        with suppress(OSError):  # somebody else was faster, or the folder is not empty
            age = now - path.lstat().st_ctime
            if path.is_dir() and not path.is_symlink():
                if age > min(age_s, SWEEP_S):  # a new one may be about to be filled
                    path.rmdir()
            elif age > age_s:
                path.unlink()


def _below(folder: Path) -> Iterator[Path]:
    """Everything in a folder, the deepest first; links are not followed, and what cannot be listed is passed over."""
    for parent, folders, files in os.walk(folder, topdown=False):
        yield from (Path(parent, name) for name in (*files, *folders))

"""Changes to Gradio's private parts, each with its reason, and the regular removal of what visitors leave behind.

Every change has a test that fails where Gradio is built otherwise (tests/ui/test_server.py). Gradio forgets less than
this app promises: uploads that broke off, results that nobody fetched, the last inputs of every session.
"""

import asyncio
import ctypes
import logging
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from gradio import route_utils, routes
from gradio.components import Component
from gradio.components.api_component import Api
from gradio.state_holder import SessionState, StateHolder

from siamese.ui.snippets import code_snippets
from siamese.ui.startup import UPLOADS

M_ARENA_MAX = -8  # of glibc's malloc.h

SWEEP_S = 300
UPLOAD_LIFE_S = 1800

log = logging.getLogger("one_look")


class EmptySession(SessionState):
    """A session that stores nothing."""

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
        self._session = EmptySession(blocks)

    def __getitem__(self, session_id: str) -> SessionState:
        return self._session


class OwnUpload(route_utils.GradioUploadFile):
    """An uploaded file in a folder that no other upload shares.

    Gradio names the folder by what the file holds, so that a call that deletes its files as soon as it is answered
    would take them from whoever sent the same ones meanwhile.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.sha.update(secrets.token_bytes(16))


def patch_gradio() -> None:
    """Replaces two things that Gradio's routes look up by name when they are called.

    Uploads become OwnUpload. The API page's examples become ones that run as they stand: Gradio's name a file that
    does not exist, and its line for curl reads an answer in a way that bash does not keep.
    """
    route_utils.GradioUploadFile = OwnUpload  # type: ignore[misc]  # a class of theirs by one of ours
    routes.generate_code_snippets = code_snippets


def endpoint_value(label: str, schema: dict[str, Any], example: Any = None, default: Any = None) -> Component:
    """A parameter, or the result, of an endpoint that is on no page.

    It is the component that `gr.api` makes of a type. That function takes neither a description nor an example, and
    lets Gradio fetch an address, and copy a file, before the endpoint has seen what it is given.

    Args:
        label: What the API page calls it.
        schema: JSON schema; "additional_description" is what the API page says of it.
        example: What the API page's examples give.
        default: What it is where a call leaves it out; None where it may not be left out.
    """
    component = Api(default, schema, label)
    # of this component alone: a class of its own would have another name in Gradio's config
    component.example_payload = lambda: example  # type: ignore[method-assign]
    component.async_move_resource_to_block_cache = _left_where_it_is  # type: ignore[method-assign, assignment]
    return component


async def _left_where_it_is(path: Any) -> str:
    return str(path)


@asynccontextmanager
async def cleanup(app: Any) -> AsyncIterator[None]:
    """Lifespan of the server: stores nothing of sessions, and every SWEEP_S removes what visitors left behind."""
    app.state_holder = NoSessions(app.get_blocks())
    patch_gradio()
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
            folder = Path(app.uploaded_file_dir)
            if folder.name.startswith(UPLOADS):  # another one may hold what others left there
                await asyncio.to_thread(sweep_files, folder, UPLOAD_LIFE_S + SWEEP_S)
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
    with suppress(AttributeError, OSError):
        _libc().mallopt(M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Returns free memory of the heap to the system: 100 to 150 MB after large images."""
    with suppress(AttributeError, OSError):
        _libc().malloc_trim(0)


def _libc() -> Any:
    """The C library of this process.

    Raises:
        OSError: The system is another one.
        AttributeError: By its callers, where it is not glibc, which alone has these functions.
    """
    if sys.platform != "linux":
        raise OSError("Only glibc has what is asked for.")
    return ctypes.CDLL(None)


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
    """Lists everything in a folder, the deepest first; does not follow links, and skips what cannot be listed."""
    for parent, folders, files in os.walk(folder, topdown=False):
        yield from (Path(parent, name) for name in (*files, *folders))

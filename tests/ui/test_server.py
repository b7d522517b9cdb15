"""What stands in front of everything else, and what is cleared away: without a server, message by message."""

import asyncio
import importlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from gradio import route_utils

import siamese.ui
from siamese.ui import server as limits
from siamese.ui.server import BUSY, BodyLimit, NoSessions, RouteAllowlist, drop_unfetched, sweep_files


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
    monkeypatch.setattr(limits, "MAX_CALL_BYTES", 8)
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


@pytest.mark.parametrize("given", [None, "", "/srv/gradio", "/srv/gradio/one-look-uploads"])
def test_uploads_lie_in_a_folder_of_their_own_whatever_folder_is_given(given, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", given or "")
    if given is None:
        monkeypatch.delenv("GRADIO_TEMP_DIR")
    for _ in range(2):  # the second time as in a process that the first one started
        importlib.reload(siamese.ui)
        expected = "/srv/gradio" if given else tempfile.gettempdir()
        assert Path(os.environ["GRADIO_TEMP_DIR"]) == Path(expected, "one-look-uploads")


def test_the_same_file_sent_twice_is_two_files(monkeypatch):
    monkeypatch.setattr(route_utils, "GradioUploadFile", route_utils.GradioUploadFile)
    limits.keep_uploads_apart()
    first, second = (route_utils.GradioUploadFile(io.BytesIO(), filename="a.png") for _ in range(2))
    assert first.sha.hexdigest() != second.sha.hexdigest()


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

    for middleware in (BodyLimit(app), RouteAllowlist(app)):
        finish(middleware({"type": "lifespan"}, None, None))
    assert passed == ["lifespan"] * 2


class Config:
    """What a session takes from Gradio's configuration of a page with one box."""

    def __init__(self) -> None:
        self.blocks = {7: SimpleNamespace(value="as built", stateful=False)}
        self.fns = {}

    def config_for_block(self, key, _rendered, block):
        return {"id": key, "props": {"value": block.value}}


def test_nothing_of_a_session_is_kept():
    config = Config()
    holder = NoSessions(SimpleNamespace(default_config=config, blocks=config.blocks, state_session_capacity=10_000))
    for number in range(1000):
        session = holder[f"visitor {number}"]
        session._update_value_in_config(7, "a signature")
        session[7] = SimpleNamespace(value="another", stateful=False)
    assert not holder.session_data
    assert not holder.time_last_used
    assert holder["anybody"][7].value == "as built"
    assert list(holder["anybody"].components) == [{"id": 7, "props": {"value": "as built"}}]
    assert "visitor 1" not in holder


def test_the_server_sweeps_from_its_start_to_its_end(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(limits, "SWEEP_S", 0.01)
    monkeypatch.setattr(route_utils, "GradioUploadFile", route_utils.GradioUploadFile)
    for name in ("share_one_heap", "give_back_memory"):
        monkeypatch.setattr(limits, name, lambda name=name: calls.append(name))
    (tmp_path / "there").touch()
    known = {str(tmp_path / "there"), str(tmp_path / "deleted")}
    queue = SimpleNamespace(
        pending_messages_per_session={"a": []}, pending_event_ids_session={}, event_ids_to_events={}
    )
    config = Config()
    blocks = SimpleNamespace(default_config=config, blocks=config.blocks, state_session_capacity=10)
    blocks._queue, blocks.temp_file_sets = queue, [known]
    app = SimpleNamespace(get_blocks=lambda: blocks, uploaded_file_dir=str(tmp_path), state_holder=None)

    async def serve():
        async with limits.tidy(app):
            while calls.count("give_back_memory") < 2:
                await asyncio.sleep(0.01)
        return len(asyncio.all_tasks())

    assert finish(serve()) == 1  # none but this one
    assert isinstance(app.state_holder, NoSessions)
    assert blocks.state_holder is app.state_holder
    assert known == {str(tmp_path / "there")}
    assert not queue.pending_messages_per_session
    assert calls[0] == "share_one_heap"


def test_a_sweep_that_fails_is_not_the_last_one(tmp_path, monkeypatch, caplog):
    (tmp_path / "old").touch()
    failures = [OSError("the disk is out of order")]

    def sweep(folder, _age_s):
        if failures:
            raise failures.pop()
        sweep_files(folder, age_s=-1)

    monkeypatch.setattr(limits, "SWEEP_S", 0.01)
    monkeypatch.setattr(limits, "sweep_files", sweep)
    queue = SimpleNamespace(pending_messages_per_session={}, pending_event_ids_session={}, event_ids_to_events={})
    blocks = SimpleNamespace(_queue=queue, temp_file_sets=[])
    app = SimpleNamespace(get_blocks=lambda: blocks, uploaded_file_dir=str(tmp_path))

    async def sweep_until_it_is_gone():
        sweeping = asyncio.create_task(limits._sweep_on(app))
        while (tmp_path / "old").exists() and not sweeping.done():
            await asyncio.sleep(0.01)
        sweeping.cancel()

    finish(sweep_until_it_is_gone())
    assert not any(tmp_path.iterdir())
    assert caplog.text.count("Sweeping failed") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap is asked.")
def test_memory_is_given_back_where_the_system_knows_how(monkeypatch):
    calls = []
    glibc = SimpleNamespace(mallopt=lambda *given: calls.append(given), malloc_trim=lambda *given: calls.append(given))
    for libc in (glibc, SimpleNamespace()):  # the second one knows neither
        monkeypatch.setattr(limits.ctypes, "CDLL", lambda _name, libc=libc: libc)
        limits.share_one_heap()
        limits.give_back_memory()
    assert calls == [(-8, 1), (0,)]


def test_results_that_nobody_fetched_go_at_the_second_sweep():
    queue = SimpleNamespace(
        pending_messages_per_session={"done": ["a result"], "at work": [], "none": []},
        pending_event_ids_session={"done": {"1"}, "at work": {"2", "3"}},
        event_ids_to_events={"3": object()},
    )
    idle = drop_unfetched(queue, set())
    assert idle == {"done", "none"}
    assert len(queue.pending_messages_per_session) == 3
    queue.pending_messages_per_session["new"] = []
    assert drop_unfetched(queue, idle) == {"new"}
    assert set(queue.pending_messages_per_session) == {"at work", "new"}
    assert set(queue.pending_event_ids_session) == {"at work"}


def test_old_files_and_empty_folders_go_and_what_links_lead_to_stays(tmp_path):
    folder, elsewhere = tmp_path / "uploads", tmp_path / "elsewhere"
    for path in (folder / "hash" / "a.png", folder / "tmp1", folder / "empty" / "inner", elsewhere / "b.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "empty" / "inner").unlink()
    (folder / "link").symlink_to(elsewhere)
    (folder / "link to a file").symlink_to(elsewhere / "b.png")
    sweep_files(folder, age_s=3600)
    assert {path.name for path in folder.iterdir()} == {"hash", "tmp1", "empty", "link", "link to a file"}
    sweep_files(folder, age_s=-1)
    assert list(folder.iterdir()) == []
    assert (elsewhere / "b.png").exists()
    sweep_files(tmp_path / "nowhere", age_s=0)


def test_a_folder_that_cannot_be_listed_keeps_nothing_else(tmp_path, monkeypatch):
    for path in (tmp_path / "closed" / "a.png", tmp_path / "open" / "b.png", tmp_path / "c.png"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    listing = os.scandir

    def refused(folder):
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return listing(folder)

    monkeypatch.setattr(os, "scandir", refused)
    sweep_files(tmp_path, age_s=-1)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.png", "closed"]


def test_a_new_file_stays_beside_an_old_one(tmp_path, monkeypatch):
    (tmp_path / "new").touch()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100)
    sweep_files(tmp_path, age_s=200)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    sweep_files(tmp_path, age_s=50)
    assert not any(tmp_path.iterdir())

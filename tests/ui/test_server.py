"""What of Gradio is changed, against Gradio itself, and what is cleared away."""

import asyncio
import os
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio import processing_utils, route_utils, routes
from starlette.testclient import TestClient

from siamese.ui import server
from siamese.ui.api import TEXT, Parameter, publish
from siamese.ui.server import NoSessions, cleanup, drop_unfetched, endpoint_value, sweep_files
from siamese.ui.startup import UPLOADS

pytestmark = [  # see conftest.py
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning"),
]


def finish(work: Coroutine) -> object:
    """Run to the end in a thread of its own: a browser test may have left its event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@pytest.fixture(scope="module")
def gradio(tmp_path_factory):
    """A small app of Gradio's with one endpoint, served without a port: its blocks, and a client."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("temporary") / UPLOADS
    folder.mkdir()
    patch.setenv("GRADIO_TEMP_DIR", str(folder))
    for module, name in ((route_utils, "GradioUploadFile"), (routes, "generate_code_snippets")):
        patch.setattr(module, name, getattr(module, name))  # put back at the end

    def echo(first):
        return {"length": len(str(first))}

    with gr.Blocks(analytics_enabled=False) as demo:
        publish(
            echo, "Counts.", [Parameter("first", TEXT, "any text", "abc")], {"length": {"description": "its length"}}
        )
    demo.queue()
    demo.max_file_size, demo.config = None, demo.get_config_file()  # as `launch` does
    app = routes.App.create_app(demo, app_kwargs={"lifespan": cleanup}, mcp_server=False)
    with TestClient(app) as client:
        client.get("/gradio_api/startup-events")
        yield demo, client
    patch.undo()


def called(client, first) -> str:
    event = client.post("/gradio_api/call/v2/echo", json={"first": first}).json()["event_id"]
    return client.get(f"/gradio_api/call/echo/{event}").text


def test_gradio_keeps_no_session(gradio):
    demo, client = gradio
    assert '"length": 11' in called(client, "a signature")
    assert isinstance(client.app.state_holder, NoSessions)
    assert not client.app.state_holder.session_data
    assert not client.app.state_holder.time_last_used
    session = client.app.state_holder["anybody"]
    assert "a signature" not in str(list(session.components))
    place = next(iter(demo.blocks))
    session[place] = "another"
    assert session[place] != "another"
    assert "visitor" not in client.app.state_holder


def test_the_same_file_sent_twice_is_two_files(gradio):
    _, client = gradio
    paths = {client.post("/gradio_api/upload", files={"files": ("a.png", b"same")}).json()[0] for _ in range(2)}
    assert len(paths) == 2
    assert len({Path(path).parent for path in paths}) == 2


def test_the_api_page_is_given_this_app_s_examples_and_descriptions(gradio):
    _, client = gradio
    endpoint = client.get("/gradio_api/info").json()["named_endpoints"]["/echo"]
    assert endpoint["description"] == "Counts."
    (parameter,) = endpoint["parameters"]
    assert parameter["parameter_name"] == "first"
    assert parameter["python_type"] == {"type": "str", "description": "Any text."}
    assert parameter["example_input"] == "abc"
    assert "its length" in endpoint["returns"][0]["python_type"]["type"]
    assert endpoint["code_snippets"]["bash"].startswith("EVENT=$(curl -s http://testserver/gradio_api/call/v2/echo")


def test_gradio_fetches_and_copies_nothing_before_an_endpoint_has_seen_it(monkeypatch):
    def fetch(*_given, **_named):
        raise AssertionError("fetched")

    monkeypatch.setattr(processing_utils, "async_ssrf_protected_get", fetch)
    monkeypatch.setattr(processing_utils, "save_file_to_cache", fetch)
    meta = {"meta": {"_type": "gradio.FileData"}}
    with gr.Blocks(analytics_enabled=False):
        left = endpoint_value("first", TEXT)
        plain = gr.Image()
    for place in ("http://example.org/a.png", "/etc/passwd"):
        assert finish(processing_utils.async_move_files_to_cache({"path": place, **meta}, left))["path"] == place
    with pytest.raises(AssertionError, match="fetched"):
        finish(processing_utils.async_move_files_to_cache({"path": "http://example.org/a.png", **meta}, plain))


def test_what_the_sweep_looks_at_is_there(gradio):
    demo, client = gradio
    called(client, "abc")
    queue = demo._queue
    assert set(queue.pending_event_ids_session) <= set(queue.pending_messages_per_session)
    assert isinstance(queue.event_ids_to_events, dict)
    assert all(isinstance(known, set) for known in demo.temp_file_sets)
    assert Path(client.app.uploaded_file_dir).name == UPLOADS
    assert client.app.get_blocks() is demo
    idle = drop_unfetched(queue, set())
    drop_unfetched(queue, idle)
    assert not queue.pending_messages_per_session


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
    monkeypatch.setattr(server, "SWEEP_S", 0.01)
    monkeypatch.setattr(route_utils, "GradioUploadFile", route_utils.GradioUploadFile)
    for name in ("share_one_heap", "give_back_memory"):
        monkeypatch.setattr(server, name, lambda name=name: calls.append(name))
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
        async with server.cleanup(app):
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
    uploads = tmp_path / UPLOADS
    uploads.mkdir()
    (uploads / "old").touch()
    failures = [OSError("the disk is out of order")]

    def sweep(folder, _age_s):
        if failures:
            raise failures.pop()
        sweep_files(folder, age_s=-1)

    monkeypatch.setattr(server, "SWEEP_S", 0.01)
    monkeypatch.setattr(server, "sweep_files", sweep)
    queue = SimpleNamespace(pending_messages_per_session={}, pending_event_ids_session={}, event_ids_to_events={})
    blocks = SimpleNamespace(_queue=queue, temp_file_sets=[])
    app = SimpleNamespace(get_blocks=lambda: blocks, uploaded_file_dir=str(uploads))

    async def sweep_until_it_is_gone():
        sweeping = asyncio.create_task(server._sweep_on(app))
        while (uploads / "old").exists() and not sweeping.done():
            await asyncio.sleep(0.01)
        sweeping.cancel()

    finish(sweep_until_it_is_gone())
    assert not any(uploads.iterdir())
    assert caplog.text.count("Sweeping failed") == 1


def test_a_folder_that_is_shared_is_not_swept(tmp_path, monkeypatch):
    """As it would be where somebody serves the pages without the checks of app.py."""
    (tmp_path / "old").touch()
    monkeypatch.setattr(server, "SWEEP_S", 0.01)
    monkeypatch.setattr(server, "UPLOAD_LIFE_S", -1)
    swept = []
    monkeypatch.setattr(server, "give_back_memory", lambda: swept.append(1))
    queue = SimpleNamespace(pending_messages_per_session={}, pending_event_ids_session={}, event_ids_to_events={})
    blocks = SimpleNamespace(_queue=queue, temp_file_sets=[])
    app = SimpleNamespace(get_blocks=lambda: blocks, uploaded_file_dir=str(tmp_path))

    async def sweep_twice():
        sweeping = asyncio.create_task(server._sweep_on(app))
        while len(swept) < 2:
            await asyncio.sleep(0.01)
        sweeping.cancel()

    finish(sweep_twice())
    assert (tmp_path / "old").exists()


@pytest.mark.parametrize("platform", ["linux", "win32", "darwin"])
def test_memory_is_given_back_where_the_system_knows_how(platform, monkeypatch):
    calls, libraries = [], []

    def libc(name):
        if platform == "win32":
            raise TypeError("None names no library here")
        return libraries[-1]

    glibc = SimpleNamespace(mallopt=lambda *given: calls.append(given), malloc_trim=lambda *given: calls.append(given))
    monkeypatch.setattr(server.sys, "platform", platform)
    monkeypatch.setattr(server.ctypes, "CDLL", libc)
    for library in (glibc, SimpleNamespace()):  # the second one is not glibc
        libraries.append(library)
        server.share_one_heap()
        server.give_back_memory()
    assert calls == ([(-8, 1), (0,)] if platform == "linux" else [])


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

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor

import pytest

from siamese.ui import api as programs
from siamese.ui.api import as_sent, brought_bytes, for_programs, forget, several
from siamese.ui.validation import UserError

FILE = {"meta": {"_type": "gradio.FileData"}}


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setattr(programs, "get_upload_folder", lambda: str(folder))
    return folder


def test_a_file_of_the_upload_folder_is_read(uploads):
    (uploads / "a.png").write_bytes(b"picture")
    assert brought_bytes({"path": str(uploads / "a.png")}, "It") == b"picture"


def test_a_path_elsewhere_is_refused_however_it_is_written(uploads, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (uploads / "link.png").symlink_to(secret)
    for path in (secret, uploads / ".." / "secret.png", uploads / "link.png", uploads, uploads / "none.png"):
        with pytest.raises(UserError, match="not uploaded here"):
            brought_bytes({"path": str(path)}, "It")
    with pytest.raises(UserError, match="not uploaded here"):
        brought_bytes({"path": f"{uploads}/a\x00.png"}, "It")


@pytest.mark.parametrize("payload", [None, "text", 3, [], {}, {"path": 3}, {"path": ""}, {"url": "http://127.0.0.1"}])
def test_what_is_no_file_is_refused(payload, uploads):
    with pytest.raises(UserError, match="missing"):
        brought_bytes(payload, "It")


def test_data_urls_are_bounded(uploads):
    url = "data:image/png;base64," + base64.b64encode(b"x").decode()
    assert brought_bytes({"url": url}, "It") == b"x"
    with pytest.raises(UserError, match="larger than 8 MB"):
        brought_bytes({"url": "data:image/png;base64," + "A" * (12 << 20)}, "It")


def test_files_are_bounded_and_counted(uploads, monkeypatch):
    monkeypatch.setattr(programs, "MAX_FILE_BYTES", 3)
    (uploads / "large").write_bytes(b"1234")
    with pytest.raises(UserError, match="larger than"):
        brought_bytes({"path": str(uploads / "large")}, "It")
    with pytest.raises(UserError, match="1 to 2 images of references; 500 came"):
        several([{"path": "/etc/passwd"}] * 500, "references", 1, 2)


def test_signatures_are_forgotten_and_nothing_else(uploads, tmp_path):
    mine, other = uploads / "a.png", tmp_path / "other.png"
    for file in (mine, other):
        file.write_bytes(b"x")
    forget([{"path": str(mine)}, {"path": str(other)}, None, {"path": 3}])
    assert not mine.exists()
    assert other.exists()


def test_gradio_fetches_and_copies_nothing_before_an_endpoint_has_seen_it(monkeypatch):
    """What it would do with an address in a FileData of any input, redirects and all, is put out of its hands."""
    import gradio as gr
    from gradio import processing_utils

    def fetch(*_given, **_named):
        raise AssertionError("fetched")

    monkeypatch.setattr(processing_utils, "async_ssrf_protected_get", fetch)
    monkeypatch.setattr(processing_utils, "save_file_to_cache", fetch)
    with ThreadPoolExecutor(1) as thread:
        for kind in (gr.Image, gr.File, gr.Number, gr.Textbox):
            left = as_sent(kind(visible=False, render=False))
            for place in ("http://example.org/a.png", "/etc/passwd"):
                work = processing_utils.async_move_files_to_cache({"path": place, **FILE}, left)
                assert thread.submit(asyncio.run, work).result()["path"] == place
        plain = gr.Image(visible=False, render=False)
        work = processing_utils.async_move_files_to_cache({"path": "http://example.org/a.png", **FILE}, plain)
        with pytest.raises(AssertionError, match="fetched"):
            thread.submit(asyncio.run, work).result()


def test_an_endpoint_that_fails_tells_the_caller_nothing(caplog):
    from gradio import Error

    @for_programs
    def answer(_given):
        raise KeyError("/secret/path")

    @for_programs
    def refusal(_given):
        raise UserError("No.")

    with pytest.raises(Error) as told:
        answer("a visitor's signature")
    assert told.value.message == "Something went wrong on the server; please try again."
    assert "answer failed" in caplog.text
    assert "signature" not in caplog.text
    with pytest.raises(Error) as told:
        refusal(1)
    assert (told.value.message, told.value.print_exception) == ("No.", False)

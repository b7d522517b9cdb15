import base64

import pytest

from siamese.ui import api as programs
from siamese.ui.api import brought_bytes, for_programs, forget, several
from siamese.ui.metadata import example_images
from siamese.ui.validation import UserError

FILE = {"meta": {"_type": "gradio.FileData"}}

BEGINNING = b"\x89PNG\r\n\x1a\n"  # of a PNG, by which its format is told


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setattr(programs, "get_upload_folder", lambda: str(folder))
    return folder


def test_a_file_of_the_upload_folder_is_read(uploads):
    (uploads / "a.png").write_bytes(BEGINNING)
    assert brought_bytes({"path": str(uploads / "a.png")}, "It") == BEGINNING


def test_a_path_elsewhere_is_refused_however_it_is_written(uploads, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (uploads / "link.png").symlink_to(secret)
    for path in (secret, uploads / ".." / "secret.png", uploads / "link.png", uploads, uploads / "none.png"):
        with pytest.raises(UserError, match="not uploaded here"):
            brought_bytes({"path": str(path)}, "It")
    with pytest.raises(UserError, match="not uploaded here"):
        brought_bytes({"path": f"{uploads}/a\x00.png"}, "It")


@pytest.mark.parametrize("payload", [None, 3, [], {}, {"path": 3}, {"path": ""}])
def test_what_is_no_file_is_refused(payload, uploads):
    with pytest.raises(UserError, match="missing"):
        brought_bytes(payload, "It")


def test_data_urls_are_bounded(uploads):
    url = "data:image/png;base64," + base64.b64encode(BEGINNING).decode()
    assert brought_bytes({"url": url}, "It") == brought_bytes(url, "It") == BEGINNING
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


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1/a.png", "https://a.org/examples/none.png", "http://[x/examples"]
)
def test_addresses_are_not_fetched(address, uploads):
    for payload in ({"path": address, **FILE}, {"url": address}, address):
        with pytest.raises(UserError, match="nothing is fetched"):
            brought_bytes(payload, "It")


def test_the_example_images_are_known_by_their_address(uploads):
    for address in ("http://a.org:1/x/examples/character-1.png", "/examples/character-1.png"):
        for payload in ({"path": address, **FILE}, address):
            assert brought_bytes(payload, "It") == example_images()["character-1.png"]


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

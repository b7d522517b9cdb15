import base64

import pytest

from siamese.ui import programs
from siamese.ui.door import Refusal
from siamese.ui.programs import brought_bytes, forget, several


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
        with pytest.raises(Refusal, match="not uploaded here"):
            brought_bytes({"path": str(path)}, "It")
    with pytest.raises(Refusal, match="not uploaded here"):
        brought_bytes({"path": f"{uploads}/a\x00.png"}, "It")


@pytest.mark.parametrize("payload", [None, "text", 3, [], {}, {"path": 3}, {"path": ""}, {"url": "http://127.0.0.1"}])
def test_what_is_no_file_is_refused(payload, uploads):
    with pytest.raises(Refusal, match="missing"):
        brought_bytes(payload, "It")


def test_data_urls_are_bounded(uploads):
    url = "data:image/png;base64," + base64.b64encode(b"x").decode()
    assert brought_bytes({"url": url}, "It") == b"x"
    with pytest.raises(Refusal, match="larger than 8 MB"):
        brought_bytes({"url": "data:image/png;base64," + "A" * (12 << 20)}, "It")


def test_files_are_bounded_and_counted(uploads, monkeypatch):
    monkeypatch.setattr(programs, "MAX_FILE_BYTES", 3)
    (uploads / "large").write_bytes(b"1234")
    with pytest.raises(Refusal, match="larger than"):
        brought_bytes({"path": str(uploads / "large")}, "It")
    with pytest.raises(Refusal, match="1 to 2 images of references; 500 came"):
        several([{"path": "/etc/passwd"}] * 500, "references", 1, 2)


def test_signatures_are_forgotten_and_nothing_else(uploads, tmp_path):
    mine, other = uploads / "a.png", tmp_path / "other.png"
    for file in (mine, other):
        file.write_bytes(b"x")
    forget([{"path": str(mine)}, {"path": str(other)}, None, {"path": 3}])
    assert not mine.exists()
    assert other.exists()

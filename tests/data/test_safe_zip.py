"""What a ZIP file may hold, and what is refused before anything is read."""

import stat
import zipfile
from pathlib import Path

import pytest

from siamese.data.safe_zip import ZipError, ZipLimits, is_stray, open_zip
from tests.data.archives import archive

LIMITS = ZipLimits(archive_bytes=1 << 20, members=10, member_bytes=1 << 16, unpacked_bytes=1 << 18)
NAME = "folder/a.png"


def contents(source: Path | bytes, limits: ZipLimits = LIMITS, **options) -> dict[str, bytes]:
    with open_zip(source, limits, "The archive", **options) as members:
        return {member.path: member.read() for member in members}


def refusal(source: Path | bytes, limits: ZipLimits = LIMITS) -> str:
    with pytest.raises(ZipError) as caught:
        contents(source, limits)
    return str(caught.value)


def test_members_come_with_slashes_whatever_system_made_the_archive(tmp_path):
    members = {"a\\b\\1.png": b"1", "a/b/2.png": b"2", "a/": b"", "empty\\": b""}
    path = archive(tmp_path / "a.zip", members)
    assert contents(path) == contents(path.read_bytes()) == {"a/b/1.png": b"1", "a/b/2.png": b"2"}


def test_only_what_is_wanted_is_given_and_counted(tmp_path):
    path = archive(tmp_path / "a.zip", {NAME: b"1", "film.mp4": bytes(1 << 17)})
    assert contents(path, wanted=lambda name: name.endswith(".png")) == {NAME: b"1"}
    assert "film.mp4" in refusal(path)


@pytest.mark.parametrize(
    ("path", "stray"),
    [
        ("Thumbs.db", True),
        ("a/desktop.ini", True),
        ("a\\Desktop.INI", True),
        ("._a.png", True),
        ("a/.DS_Store", True),
        ("__MACOSX/a.png", True),
        (".hidden/a.png", True),
        ("a.png", False),
        ("./a.png", False),
        ("a/b.c/thumbs.png", False),
    ],
)
def test_stray_files_are_told_by_their_path(path, stray, tmp_path):
    assert is_stray(path) == stray
    if "/." not in path:
        assert bool(contents(archive(tmp_path / "a.zip", {path: b"1"}))) != stray


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/x.png", "C:/x.png", "C:x.png", "..\\x.png", "\\x.png"])
def test_a_path_that_leaves_the_folder(tmp_path, name):
    assert "a path that leaves its folder" in refusal(archive(tmp_path / "a.zip", {NAME: b"1", name: b"2"}))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices(tmp_path, kind):
    entry = zipfile.ZipInfo(NAME)
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr(entry, "/etc/passwd")
    assert "holds a link or a device: 'folder/a.png'" in refusal(tmp_path / "a.zip")


def test_limits(tmp_path):
    path = archive(tmp_path / "a.zip", {"1.png": bytes(600), "2.png": bytes(600)})
    assert "is larger than 1 kB" in refusal(path, ZipLimits(1 << 10, 10, 1 << 10, 1 << 11))
    assert "lists 2 members, more than 1" in refusal(path, ZipLimits(1 << 20, 1, 1 << 10, 1 << 11))
    assert "a member of more than 500 bytes: '1.png'" in refusal(path, ZipLimits(1 << 20, 10, 500, 1 << 11))
    assert "unpacks to more than 1 kB" in refusal(path, ZipLimits(1 << 20, 10, 1 << 10, 1 << 10))


def test_a_member_that_lies_about_its_size(tmp_path):
    content = archive(tmp_path / "a.zip", {NAME: bytes(1 << 20)}, zipfile.ZIP_DEFLATED).read_bytes()
    assert content.count((1 << 20).to_bytes(4, "little")) == 2  # before the member and in the directory
    assert "damaged" in refusal(content.replace((1 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little")))


def test_a_member_held_twice_also_where_only_the_separators_differ(tmp_path):
    assert "holds a member twice" in refusal(archive(tmp_path / "a.zip", {"a/b": b"1", "a\\b": b"2"}))


def test_a_password(tmp_path):
    content = bytearray(archive(tmp_path / "a.zip", {NAME: b"1"}).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "is locked with a password" in refusal(bytes(content))


def test_another_compression(tmp_path):
    assert "an ordinary ZIP" in refusal(archive(tmp_path / "a.zip", {NAME: b"1" * 99}, zipfile.ZIP_LZMA))


def test_no_archive_and_damaged_ones(tmp_path):
    assert refusal(tmp_path / "a.zip") == "The archive does not exist."
    content = archive(tmp_path / "a.zip", {NAME: b"1" * 999}).read_bytes()
    for damaged in (b"", b"PK\x03\x04 and nothing else", content[:500], content.replace(b"11", b"10", 1)):
        assert refusal(damaged) == "The archive is damaged or not a ZIP file."

"""Reads ZIP files of unknown origin: bounded in size, no path that leaves its folder, nothing written to disk."""

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

STRAY_NAMES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
DRIVE = re.compile(r"[A-Za-z]:")
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises for damaged archives: struct.error and ValueError come of malformed headers and names.
DAMAGES = (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


class ZipError(ValueError):
    """A ZIP file cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class ZipLimits:
    """Limits on the size of an archive and of its content."""

    archive_bytes: int
    """Of the file itself."""
    members: int
    """How many entries it may list."""
    member_bytes: int
    """Of one unpacked member."""
    unpacked_bytes: int
    """Of all members that are wanted, together."""


@dataclass(frozen=True)
class ZipMember:
    """One file of an open archive."""

    path: str
    """With "/" between folders, also where the archive has backslashes."""
    size_bytes: int
    """Size according to the archive; `read` never returns more."""
    read: Callable[[], bytes]
    """Reads the content; raises ZipError where it is damaged."""


def is_stray(path: str) -> bool:
    """Whether a path is one of those that systems and file managers leave beside the files of people.

    Args:
        path: Relative, with "/" or backslashes between its parts.

    Returns:
        True for hidden files and folders (.DS_Store, ._name), for __MACOSX, Thumbs.db and desktop.ini.
    """
    parts = path.replace("\\", "/").split("/")
    hidden = any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts)
    return hidden or parts[-1].lower() in STRAY_NAMES


@contextmanager
def open_zip(
    source: Path | bytes, limits: ZipLimits, name: str, wanted: Callable[[str], bool] = lambda _path: True
) -> Iterator[list[ZipMember]]:
    """Opens an archive and checks it before anything is read.

    Args:
        source: The path of the archive, or its bytes.
        limits: What is refused for its size.
        name: The archive as the subject of a sentence: "The archive 'a.zip'".
        wanted: Which paths are of interest; only their sizes count, and only they are given.

    Yields:
        The wanted members in the archive's order, without folders and stray files; they are read while it is open.

    Raises:
        ZipError: Where the archive is damaged, too large, locked with a password, or holds a link, a path that leaves
            its folder or a wanted member twice.
    """
    try:
        size_bytes = len(source) if isinstance(source, bytes) else source.stat().st_size
        if size_bytes > limits.archive_bytes:
            raise ZipError(f"{name} is larger than {_spoken_size(limits.archive_bytes)}.")
        archive = zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)
    except FileNotFoundError as error:
        raise ZipError(f"{name} does not exist.") from error
    except DAMAGES as error:
        raise error if isinstance(error, ZipError) else _damaged(name) from error
    with archive:
        yield _members(archive, limits, name, wanted)


def _members(archive: zipfile.ZipFile, limits: ZipLimits, name: str, wanted: Callable[[str], bool]) -> list[ZipMember]:
    listed = archive.infolist()
    if len(listed) > limits.members:
        raise ZipError(f"{name} lists {len(listed)} members, more than {limits.members}.")
    members: dict[str, ZipMember] = {}
    for entry in listed:
        path = entry.filename.replace("\\", "/")
        _check_entry(entry, path, name)
        if path.endswith("/") or is_stray(path) or not wanted(path):
            continue
        if path in members:
            raise ZipError(f"{name} holds a member twice: {path!r}.")
        if entry.file_size > limits.member_bytes:
            raise ZipError(f"{name} holds a member of more than {_spoken_size(limits.member_bytes)}: {path!r}.")
        members[path] = ZipMember(path, entry.file_size, partial(_read, archive, entry, name))
    if sum(member.size_bytes for member in members.values()) > limits.unpacked_bytes:
        raise ZipError(f"{name} unpacks to more than {_spoken_size(limits.unpacked_bytes)}.")
    return list(members.values())


def _check_entry(entry: zipfile.ZipInfo, path: str, name: str) -> None:
    if path.startswith("/") or DRIVE.match(path) or ".." in PurePosixPath(path).parts:
        raise ZipError(f"{name} holds a path that leaves its folder: {entry.filename!r}.")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ZipError(f"{name} holds a link or a device: {entry.filename!r}.")
    if entry.flag_bits & 1:
        raise ZipError(f"{name} is locked with a password.")
    if entry.compress_type not in COMPRESSIONS:
        raise ZipError(f"{name} is compressed in a way that is not read here; please make an ordinary ZIP of it.")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> bytes:
    try:
        with archive.open(entry) as file:
            return file.read(entry.file_size)  # with a limit, since the size in the directory need not be the truth
    except DAMAGES as error:
        raise _damaged(name) from error


def _damaged(name: str) -> ZipError:
    return ZipError(f"{name} is damaged or not a ZIP file.")


def _spoken_size(size_bytes: int) -> str:
    for shift, unit in ((30, "GB"), (20, "MB"), (10, "kB")):
        if size_bytes >= 1 << shift:
            return f"{size_bytes >> shift} {unit}"
    return f"{size_bytes} bytes"

"""A visitor's own classes as a ZIP archive: writing what the page exports, and reading what visitors import."""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath

from siamese.data.safe_zip import ZipError, ZipLimits, ZipMember, open_zip
from siamese.ui.validation import UserError, name

MOST_CLASSES = 50
LIMITS = ZipLimits(archive_bytes=8 << 20, members=1000, member_bytes=4 << 20, unpacked_bytes=64 << 20)
MAX_UNPACKED_BYTES = 32 << 20  # of the pictures that are taken
MANIFEST = "classes.json"
MAX_MANIFEST_BYTES = 64 << 10
FORMAT = "one-look-classes/1"
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"}


@dataclass(frozen=True)
class OwnClass:
    """One class as it travels."""

    name: str
    picture: bytes
    """Of an image file."""


def pack(classes: list[OwnClass]) -> bytes:
    """A ZIP with one PNG for each class and a manifest that names them, the same bytes for the same classes."""
    file = io.BytesIO()
    entries = [(f"{number:03}.png", one) for number, one in enumerate(classes, 1)]
    manifest = {"format": FORMAT, "classes": [{"name": one.name, "file": entry} for entry, one in entries]}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(MANIFEST), json.dumps(manifest, ensure_ascii=False, indent=1))
        for entry, one in entries:
            archive.writestr(zipfile.ZipInfo(entry), one.picture)
    return file.getvalue()


@dataclass(frozen=True)
class Unpacked:
    """What an archive holds."""

    classes: list[OwnClass]
    """1 to MOST_CLASSES; their pictures have not been looked at."""
    left_out: int
    """Further pictures in the folders of classes, which take one each."""


def unpack(data: bytes) -> Unpacked:
    """Reads the classes of a ZIP that `pack` made, or of one with pictures in folders, see `one_of_each_class`.

    Args:
        data: The archive; nothing of it is written anywhere.

    Raises:
        UserError: Where the archive is damaged, too large or holds no such set.
    """
    try:
        with open_zip(data, LIMITS, "The ZIP", _is_wanted) as members:
            return _unpack({member.path: member for member in members})
    except ZipError as error:
        raise UserError(str(error)) from error
    except (ValueError, TypeError, LookupError, RecursionError) as error:  # of a malformed manifest
        if isinstance(error, UserError):
            raise
        raise UserError("The ZIP has a form that this app does not understand.") from error


def _is_wanted(path: str) -> bool:
    return path == MANIFEST or PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES


def _unpack(members: dict[str, ZipMember]) -> Unpacked:
    left_out = 0
    if MANIFEST in members:
        wanted = _listed(members)
    else:
        wanted = [(label, members[path]) for label, path in one_of_each_class(list(members))]
        left_out = len(members) - len(wanted)
    if not wanted:
        raise UserError("The ZIP has no pictures. Put one of each class in it, named by its file or by its folder.")
    if len(wanted) > MOST_CLASSES:
        raise UserError(f"The ZIP holds {len(wanted)} classes; a set has at most {MOST_CLASSES}.")
    if sum(member.size_bytes for _, member in wanted) > MAX_UNPACKED_BYTES:  # a manifest may name a file many times
        raise UserError(f"The ZIP unpacks to more than {MAX_UNPACKED_BYTES >> 20} MB.")
    classes = [OwnClass(name(label, "A class's name"), member.read()) for label, member in wanted]
    return Unpacked(classes, left_out)


def _listed(members: dict[str, ZipMember]) -> list[tuple[str, ZipMember]]:
    """Reads the classes that a manifest names."""
    if members[MANIFEST].size_bytes > MAX_MANIFEST_BYTES:
        raise UserError(f"The ZIP's {MANIFEST} is larger than {MAX_MANIFEST_BYTES >> 10} kB.")
    manifest = json.loads(members[MANIFEST].read())
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"The ZIP's {MANIFEST} is of a kind that this app does not know.")
    listed = manifest.get("classes")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise UserError(f"The ZIP's {MANIFEST} lists no classes.")
    return [(one["name"], members[one["file"]]) for one in listed]


def one_of_each_class(paths: list[str]) -> list[tuple[str, str]]:
    """Names classes by the folders of their pictures and takes the first picture of each.

    Args:
        paths: Pictures within an archive, with "/" between folders.

    Returns:
        Name and path of each class, by path. Where all pictures lie in one folder, each is a class, named by its file;
        so is one that lies beside the folders of others.
    """
    parsed = sorted(PurePosixPath(path) for path in paths)
    shared = _common_folder([path.parent for path in parsed])
    first: dict[PurePosixPath, PurePosixPath] = {}
    for path in parsed:
        first.setdefault(path if path.parent == shared else path.parent, path)
    return [(path.stem if key == path else key.name, str(path)) for key, path in first.items()]


def _common_folder(folders: list[PurePosixPath]) -> PurePosixPath:
    """The innermost folder that holds all of them."""
    common: list[str] = []
    for names in zip(*(folder.parts for folder in folders), strict=False):
        if len(set(names)) > 1:
            break
        common.append(names[0])
    return PurePosixPath(*common)

"""Folder layouts of signature data sets: from a file's path to its writer and whether it is genuine."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from re import Match
from typing import TYPE_CHECKING

from siamese.data.safe_zip import ZipLimits
from siamese.data.sources import (
    Layout,
    Source,
    SourceError,
    SourceFile,
    column_values,
    find_column,
    image_bytes,
    layout,
    load_tables,
    match_layout,
    open_files,
    refuse_layout,
)
from siamese.imaging.decode import MAX_BYTES
from siamese.signatures.synthetic import synthetic_files

if TYPE_CHECKING:  # takes a second to import, and a cached start does without
    import datasets

GENUINE = r"(?:full_)?(?:genuine|real|originals?|org)"
FORGED = r"(?:full_)?(?:forge[dr]?|forger(?:y|ies)|forg|fakes?)"
KIND = rf"(?:(?P<genuine>{GENUINE})|{FORGED})"
ABOVE = r"(?P<place>.*/)?"

# Of layouts that fit equally many files the first one counts. A pattern's groups: `writer`, whose signature a file is
# or pretends to be; `genuine`, which takes part in the match where that writer made it; `place`, the folders above,
# which keep writers of one name apart; and `text` and `medium` where several writers wrote the same names.
LAYOUTS = (
    layout(
        "one folder a writer",
        "<writer>/genuine_1.png and <writer>/forgery_1.png",
        r"(?P<writer>[^/]+)/(?:(?P<genuine>genuine)|forgery)_[^/]*",
        ABOVE,
    ),
    layout(
        "CEDAR",
        "full_org/original_1_1.png and full_forg/forgeries_1_1.png",
        r"(?:(?P<genuine>original)|forgeries)_(?P<writer>\d{1,6})_\d{1,6}",
    ),
    layout(
        "ICDAR 2011",
        "train/001/01.png and train/001_forg/01.png",
        r"(?:train|test)/(?P<writer>\d{1,6})(?:_forg|(?P<genuine>))/[^/]+",
    ),
    layout(
        "SigComp 2011",
        "Offline Genuine/001_01.png and Offline Forgeries/0102001_01.png",
        r"(?:\d{4}|(?P<genuine>))(?P<writer>\d{3})_\d{2}",
    ),
    layout(
        "BHSig260",
        "001/B-S-001-G-01.tif and 001/B-S-001-F-01.tif",
        r"(?P<writer>[BH]-S-\d{1,6})-(?:(?P<genuine>G)|F)-\d{1,6}",
    ),
    layout("GPDS", "001/c-001-01.jpg and 001/cf-001-01.jpg", r"(?:(?P<genuine>c)|cf)-(?P<writer>\d{1,6})-\d{1,6}"),
    layout(
        "NFI",
        "real/00100001.png and forge/02100001.png (forger, number, writer)",
        rf"{KIND}/(?:NFI-)?\d{{5}}(?P<writer>\d{{3}})",
        ABOVE,
    ),
    layout(
        "kinds below writers",
        "<writer>/real/1.png and <writer>/forge/1.png",
        rf"(?P<writer>[^/]+)/{KIND}/[^/]+",
        ABOVE,
    ),
    layout(
        "writers below kinds",
        "real/<writer>/1.png and forge/<writer>/1.png",
        rf"{KIND}/(?P<writer>[^/]+)/[^/]+",
    ),
    layout(
        "names on several media",
        "<writer>/name01_paper.png",
        r"(?P<writer>[^/]+)/(?P<genuine>name)(?P<text>\d+)_(?P<medium>[a-z_]+)",
        ABOVE,
    ),
)
IMAGE_COLUMNS = ("image", "signature")
WRITER_COLUMNS = ("writer", "writer_id", "signer")
GENUINE_COLUMNS = ("genuine", "is_genuine")
KINDS = {"true": True, "1": True, "genuine": True, "false": False, "0": False, "forgery": False, "forged": False}

LIMITS = ZipLimits(archive_bytes=4 << 30, members=200_000, member_bytes=MAX_BYTES, unpacked_bytes=16 << 30)
INVENTED = (40, 12, 12, 2011)  # writers, genuine and forged signatures of each, seed


@dataclass(frozen=True)
class SignatureFile:
    """One image of a source: whose signature, and how its bytes are read."""

    writer: str
    """Whose signature it is or pretends to be."""
    genuine: bool
    path: str
    read: Callable[[], bytes]
    """Reads the image; raises SourceError."""
    identity: str
    """The writer, without the folders above that tell writers of one name apart."""
    text: str = ""
    """What was written, where several writers wrote the same; empty for a signature of one's own."""
    medium: str = ""
    """What it was written on, where the source says so."""


@contextmanager
def open_signatures(source: Source) -> Iterator[list[SignatureFile]]:
    """Opens a source of signatures: their images, which are read while it is open.

    Raises:
        SourceError: Where the source cannot be read or holds no signature in a layout that is known.
    """
    if source.kind == "invented":
        readers = {path: partial(bytes, content) for path, content in synthetic_files(*INVENTED)}
        yield files_by_path(readers, source)
    elif source.kind == "hub" or source.tables:
        yield _table_rows(load_tables(source), source)
    else:
        with open_files(source, LIMITS) as files:
            yield _files_by_layout(files, source)


def files_by_path(readers: Mapping[str, Callable[[], bytes]], source: Source) -> list[SignatureFile]:
    """Signatures out of readers by their paths; raises SourceError where they follow no layout."""
    return _files_by_layout([SourceFile(path, read) for path, read in readers.items()], source)


def _files_by_layout(files: Sequence[SourceFile], source: Source) -> list[SignatureFile]:
    found = match_layout(files, LAYOUTS)
    if found is None:
        refuse_layout(source, files, LAYOUTS, "signatures")
    chosen, matches = found
    places = _short_places({match.groupdict().get("place") or "" for _, match in matches})
    return [_signature_file(file, match, chosen, places) for file, match in matches]


def _signature_file(file: SourceFile, match: Match[str], chosen: Layout, places: Mapping[str, str]) -> SignatureFile:
    groups = match.groupdict()
    identity = f"{int(groups['writer']):02d}" if chosen.name == "CEDAR" else groups["writer"]
    return SignatureFile(
        writer=places[groups.get("place") or ""] + identity,
        genuine=groups["genuine"] is not None,
        path=file.path,
        read=file.read,
        identity=identity,
        text=groups.get("text") or "",
        medium=groups.get("medium") or "",
    )


def _short_places(places: set[str]) -> dict[str, str]:
    """Returns a prefix for the writers of each place: the part in which the paths differ; empty for a single place."""
    parts = {place: PurePosixPath(place).parts for place in places}
    shared = 0
    while len({part[shared : shared + 1] for part in parts.values()}) == 1 and shared < min(map(len, parts.values())):
        shared += 1
    return {place: "".join(f"{part}/" for part in parts[place][shared:]) for place in places}


def _table_rows(tables: "Mapping[str, datasets.Dataset]", source: Source) -> list[SignatureFile]:
    """The rows of all splits: a writer is the same person in each."""
    import datasets

    found: list[SignatureFile] = []
    for split, table in tables.items():
        image = find_column(table, IMAGE_COLUMNS)
        writer, genuine = find_column(table, WRITER_COLUMNS), find_column(table, GENUINE_COLUMNS)
        if image is None or writer is None or genuine is None:
            raise SourceError(
                f"{source.subject} needs the columns image, writer and genuine; it has "
                f"{', '.join(table.features) or 'none'}."
            )
        if len(table) > LIMITS.members:
            raise SourceError(f"{source.subject} has {len(table)} rows, more than {LIMITS.members}.")
        pictures = table.cast_column(image, datasets.Image(decode=False))
        rows = zip(map(str, column_values(table, writer)), column_values(table, genuine), strict=True)
        found += [
            SignatureFile(
                name,
                _is_genuine(str(kind), source),
                f"{split}/{row}",
                partial(_read_cell, pictures, row, image, source),
                name,
            )
            for row, (name, kind) in enumerate(rows)
        ]
    return found


def _read_cell(table: "datasets.Dataset", row: int, column: str, source: Source) -> bytes:
    return image_bytes(table[row][column], source)


def _is_genuine(value: str, source: Source) -> bool:
    if value.lower() not in KINDS:
        raise SourceError(f"{source.subject} has {value!r} in its column genuine, which is neither true nor false.")
    return KINDS[value.lower()]

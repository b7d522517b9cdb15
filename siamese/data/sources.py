"""Reads data sets from a folder, a ZIP archive, parquet files or the Hub; layouts say what the paths mean."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from siamese.data.safe_zip import ZipError, ZipLimits, ZipMember, is_stray, open_zip

if TYPE_CHECKING:  # takes a second to import, and a cached start does without
    import datasets

INVENTED = "invented"
HUB_ID = re.compile(r"([\w-][\w.-]*/[\w.-]+)(?:@([\w./-]+))?")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
IMAGE_SUFFIX = r"\.(?:png|jpe?g|webp|bmp|gif|tiff?)"
MAX_PATHS_NAMED = 3


class SourceError(ValueError):
    """A source cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Source:
    """Where a data set is, once its name has been understood."""

    kind: Literal["folder", "archive", "parquet", "hub", "invented"]
    name: str
    """The absolute path, or the id on the Hub."""
    revision: str | None = None
    """Of a data set on the Hub; None for the newest."""

    @property
    def subject(self) -> str:
        """The source as the subject of a sentence."""
        revision = f"@{self.revision}" if self.revision else ""
        return {
            "folder": f"The folder {self.name!r}",
            "archive": f"The archive {self.name!r}",
            "parquet": f"The parquet file {self.name!r}",
            "hub": f"The data set {self.name}{revision}",
            "invented": "The invented data set",
        }[self.kind]

    @property
    def tables(self) -> list[Path]:
        """The parquet files of a source that is kept in such; empty for another."""
        if self.kind == "parquet":
            return [Path(self.name)]
        if self.kind != "folder":
            return []
        found = Path(self.name).glob("**/*.parquet")
        return sorted(path for path in found if not is_stray(path.relative_to(self.name).as_posix()))


@dataclass(frozen=True)
class SourceFile:
    """One file of an open source."""

    path: str
    """With "/" between folders, beginning with the name of the source's folder or of the archive without ".zip"."""
    read: Callable[[], bytes]
    """Reads the content; raises SourceError."""


@dataclass(frozen=True)
class Layout:
    """One way in which a data set lies in folders."""

    name: str
    example: str
    """A path as it is shown to people."""
    pattern: re.Pattern[str]
    """Matches the whole path of a file; its groups say what the file is."""


def layout(name: str, example: str, pattern: str, above: str = r"(?:.*/)?") -> Layout:
    """A layout by the end of its paths: `above` are the folders in front, and the suffix of an image comes behind."""
    return Layout(name, example, re.compile(above + pattern + IMAGE_SUFFIX, re.IGNORECASE))


def resolve_source(name: str, holds: str) -> Source:
    """Understands the name of a source.

    Args:
        name: A folder, a file, "user/name" or "user/name@revision" on the Hub, or "invented".
        holds: What is looked for, for the refusal: "signatures".

    Raises:
        SourceError: Where it is none of these.
    """
    if name == INVENTED:
        return Source("invented", name)
    path = Path(name).expanduser()
    if path.is_dir():
        return Source("folder", str(path.resolve()))
    if path.is_file():
        return Source("parquet" if path.suffix == ".parquet" else "archive", str(path.resolve()))
    hub_id = HUB_ID.fullmatch(name)
    if hub_id and path.suffix.lower() not in (".zip", ".parquet"):
        return Source("hub", hub_id[1], hub_id[2])
    raise SourceError(
        f"{name!r} is neither a folder nor a file; {holds} come from a folder, a ZIP archive, parquet files, a data "
        f"set on the Hub (user/name) or 'invented'."
    )


def fingerprint(source: Source) -> str:
    """What changes when the data behind a source change: sizes and times of its files, or its name on the Hub."""
    if source.kind in ("hub", "invented"):
        return f"{source.name}@{source.revision}"
    path = Path(source.name)
    files = _folder_files(path) if path.is_dir() else [path]
    listing = [f"{file} {(facts := file.stat()).st_size} {facts.st_mtime_ns}" for file in files]
    return hashlib.sha256("\n".join(listing).encode(errors="surrogateescape")).hexdigest()[:16]


@contextmanager
def open_files(source: Source, limits: ZipLimits) -> Iterator[list[SourceFile]]:
    """Opens the images of a folder or of an archive, and of archives that lie in it.

    Args:
        source: A folder or an archive.
        limits: Of each archive; of a folder the number of files and their single sizes.

    Yields:
        The images by their paths, without stray files; they are read while the source is open.

    Raises:
        SourceError: Where there are too many files, or an archive cannot be used.
    """
    path = Path(source.name)
    with ExitStack() as opened:
        if source.kind == "archive":
            yield _archive_files(opened, path, path.stem, source.subject, limits)
            return
        files = _folder_files(path)
        if len(files) > limits.members:
            raise SourceError(f"{source.subject} holds {len(files)} files, more than {limits.members}.")
        found: list[SourceFile] = []
        for file in files:
            inside = f"{path.name}/{file.relative_to(path).as_posix()}"
            if file.suffix.lower() in IMAGE_SUFFIXES:
                found.append(SourceFile(inside, partial(_read_file, file, limits.member_bytes)))
            elif file.suffix.lower() == ".zip":
                found += _archive_files(opened, file, inside[: -len(".zip")], f"The archive {str(file)!r}", limits)
        yield found


def _archive_files(
    opened: ExitStack, archive: Path | bytes, prefix: str, name: str, limits: ZipLimits, is_inner: bool = False
) -> list[SourceFile]:
    """The images of an archive and of those packed in it, which stay open as long as `opened`."""

    def wanted(path: str) -> bool:
        return path.lower().endswith((*IMAGE_SUFFIXES, ".zip"))

    # an inner archive may be as large as an outer one, an image may not
    outer = ZipLimits(limits.archive_bytes, limits.members, limits.archive_bytes, limits.unpacked_bytes)
    found: list[SourceFile] = []
    try:
        members = opened.enter_context(open_zip(archive, outer, name, wanted))
        for member in members:
            if not member.path.lower().endswith(".zip"):
                found.append(SourceFile(f"{prefix}/{member.path}", partial(_read_member, member, limits, name)))
            elif not is_inner:
                inside = f"{prefix}/{member.path[: -len('.zip')]}"
                inner = f"{name} holds an archive, {member.path!r}, that cannot be used: it"
                found += _archive_files(opened, member.read(), inside, inner, limits, is_inner=True)
    except ZipError as error:
        raise SourceError(str(error)) from error
    return found


def _read_member(member: ZipMember, limits: ZipLimits, name: str) -> bytes:
    if member.size_bytes > limits.member_bytes:
        raise SourceError(f"{name} holds an image of more than {limits.member_bytes:,} bytes: {member.path!r}.")
    try:
        return member.read()
    except ZipError as error:
        raise SourceError(str(error)) from error


def _read_file(file: Path, limit_bytes: int) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(limit_bytes + 1)
    except OSError as error:
        raise SourceError(f"The file {str(file)!r} cannot be read.") from error
    if len(data) > limit_bytes:
        raise SourceError(f"The image {str(file)!r} is larger than {limit_bytes:,} bytes.")
    return data


def _folder_files(folder: Path) -> list[Path]:
    """Whether a file may hold data; other files, such as those of a run, do not invalidate the cache."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in (*IMAGE_SUFFIXES, ".zip", ".parquet"))
    return sorted(path for path in found if not is_stray(path.relative_to(folder).as_posix()) and path.is_file())


def match_layout(
    files: Sequence[SourceFile], layouts: Sequence[Layout]
) -> tuple[Layout, list[tuple[SourceFile, re.Match[str]]]] | None:
    """Finds the layout that most of the files follow, and those files.

    Returns:
        None where no file follows any layout.
    """
    best: tuple[Layout, list[tuple[SourceFile, re.Match[str]]]] | None = None
    for one in layouts:
        matches = [(file, match) for file in files if (match := one.pattern.fullmatch(file.path))]
        if matches and (best is None or len(matches) > len(best[1])):
            best = one, matches
    return best


def refuse_layout(source: Source, files: Sequence[SourceFile], layouts: Sequence[Layout], holds: str) -> NoReturn:
    """Says which layouts are known, and how the source lies instead.

    Raises:
        SourceError: Always.
    """
    known = "; ".join(f"{one.name}: {one.example}" for one in layouts)
    found = f"its images lie as {', '.join(map(repr, _examples(files)))}" if files else "it holds no image"
    raise SourceError(f"{source.subject} holds no {holds} in a layout that is known: {found}. Known are {known}.")


def _examples(files: Sequence[SourceFile]) -> list[str]:
    """One path out of each of the first few folders that hold images."""
    by_folder: dict[str, str] = {}
    for file in files:
        by_folder.setdefault(file.path.rpartition("/")[0], file.path)
    return list(by_folder.values())[:MAX_PATHS_NAMED]


def load_tables(source: Source) -> "dict[str, datasets.Dataset]":
    """The splits of a data set on the Hub, or of parquet files, which are named after their splits.

    Raises:
        SourceError: Where they cannot be fetched or read.
    """
    import datasets

    try:
        if source.kind == "hub":
            return dict(datasets.load_dataset(source.name, revision=source.revision))
        return dict(datasets.load_dataset("parquet", data_files=_split_files(source.tables)))
    except Exception as error:  # of the network and of every file format; pyarrow's are many
        if source.kind != "hub":
            raise SourceError(
                f"{source.subject} holds parquet files that cannot be read ({first_line(error)})."
            ) from error
        named = f"{source.subject} (no folder or file has that name)"
        if isinstance(error, datasets.exceptions.DatasetNotFoundError):
            raise SourceError(f"{named} does not exist on the Hub or is not open to you.") from error
        raise SourceError(f"{named} could not be read from the Hub ({first_line(error)}).") from error


def _split_files(files: Sequence[Path]) -> dict[str, list[str]]:
    by_split: dict[str, list[str]] = {}
    for file in files:
        # background.parquet, train-00000-of-00001.parquet, or train/0000.parquet
        stem = re.sub(r"-\d+-of-\d+(-\w+)?$", "", file.stem)
        by_split.setdefault(file.parent.name if stem.isdigit() else stem, []).append(str(file))
    return by_split


def first_line(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.')}" if lines else type(error).__name__


def find_column(table: "datasets.Dataset", names: Sequence[str]) -> str | None:
    """The first of these columns that a table has."""
    return next((name for name in names if name in table.features), None)


def column_values(table: "datasets.Dataset", column: str) -> list[Any]:
    """The values of a column, a class label by its name unless the names are nothing but numbers."""
    import datasets

    feature, values = table.features[column], list(table[column])
    if isinstance(feature, datasets.ClassLabel) and not all(name.isdigit() for name in feature.names):
        return [feature.int2str(value) for value in values]
    return values


def image_bytes(cell: Mapping[str, Any] | None, source: Source) -> bytes:
    """The stored image of a cell that was read with `datasets.Image(decode=False)`.

    Raises:
        SourceError: Where the table names a file instead of holding it.
    """
    if not cell or not cell.get("bytes"):
        raise SourceError(f"{source.subject} keeps its images outside its tables; please take a copy in parquet files.")
    return cell["bytes"]

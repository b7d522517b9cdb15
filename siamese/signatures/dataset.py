"""Signature data sets: who wrote what, genuine or forged, as the network sees it; and the probe for what leaks."""

import contextlib
import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from os import cpu_count
from pathlib import Path, PurePosixPath
from stat import S_ISLNK
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor

from siamese.characters.omniglot import HUB_ID, cache_folder
from siamese.imaging.decode import MAX_BYTES, ImageError, open_image
from siamese.inference.tensor_cache import read_tensors, write_tensors
from siamese.metrics import area_under_curve, receiver_operating_characteristic
from siamese.preprocessing import IMAGE_SIZE_PX, SIGNATURE, Preprocessing
from siamese.signatures.features import StrokeFeatures, stroke_features, together
from siamese.signatures.isolation import isolate_signature, prepare_isolated
from siamese.signatures.isolation import load_signature_ink as load_signature_ink

if TYPE_CHECKING:  # takes a second to import, and a cached start does without
    import datasets

STATISTICS = ("background", "ink_darkness", "stroke_width", "ink_size", "aspect_ratio")

SUFFIX = r"\.(?:png|jpe?g|webp|bmp|gif)"
# What is told of each path of a layout: the writer, and whether the signature is genuine.
LAYOUTS: dict[str, re.Pattern[str]] = {
    "writers": re.compile(r"(?:.*/)?(?P<writer>[^/]+)/(?:(?P<genuine>genuine)|forgery)_[^/]*" + SUFFIX, re.I),
    "CEDAR": re.compile(
        r"(?:.*/)?full_(?:org|forg)/(?:(?P<genuine>original)|forgeries)_(?P<writer>\d{1,6})_\d{1,6}" + SUFFIX, re.I
    ),
    "ICDAR": re.compile(r"(?:.*/)?(?:train|test)/(?P<writer>\d{1,6})(?:_forg|(?P<genuine>))/[^/]+" + SUFFIX, re.I),
}
IMAGE_COLUMNS = ("image", "signature")
WRITER_COLUMNS = ("writer", "writer_id", "signer")
GENUINE_COLUMNS = ("genuine", "is_genuine")

INVENTED = (40, 12, 12, 2011)  # writers, genuine and forged signatures of each, seed

MAX_ARCHIVE_BYTES = 4 << 30
MAX_MEMBERS = 200_000
MAX_UNPACKED_BYTES = 16 << 30
DAMAGES = (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
CACHE_FORMAT = "4"
CACHED_WORDS = ("writer_names", "sha256", "remarks")
MAKERS = (
    "signatures/features.py",
    "imaging/decode.py",
    "imaging/ink.py",
    "preprocessing.py",
    "signatures/isolation.py",
    "signatures/dataset.py",
    "imaging/skeleton.py",
    "characters/synthetic.py",
    "signatures/synthetic.py",
)
AT_ONCE = 64  # images held in memory while they wait to be prepared


class SignatureError(ValueError):
    """A source of signatures that cannot serve; the message is one sentence."""


@dataclass(frozen=True)
class Signatures:
    """Signatures as the network sees them. Row i of everything speaks of signature i; no picture is here twice."""

    images: UInt8[Tensor, "signatures 1 105 105"]
    """Prepared: ink 255 on paper 0."""
    writer: Int64[Tensor, " signatures"]
    """Whose signature it is or pretends to be: an index into `writer_names`."""
    genuine: Bool[Tensor, " signatures"]
    """Whether the writer wrote it; otherwise it is a skilled forgery."""
    writer_names: tuple[str, ...]
    sha256: tuple[str, ...]
    """Of the size and the grey pixels of each picture, hexadecimal: a copy stored in another way has the same."""
    raw_statistics: Float32[Tensor, "signatures 5"]
    """STATISTICS of the grey images before anything was taken away from them."""
    handwriting: StrokeFeatures
    """How the lines run."""
    remarks: tuple[str, ...] = ()
    """Sentences on what the source held besides: files that were left out."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def writers_held(self) -> tuple[str, ...]:
        """The names of the writers that have rows here."""
        return tuple(self.writer_names[index] for index in self.writer.unique().tolist())

    def take(self, rows: Int64[Tensor, " rows"] | Bool[Tensor, " signatures"]) -> "Signatures":
        """The signatures of these rows; writers keep their index."""
        chosen = rows.nonzero().flatten() if rows.dtype == torch.bool else rows
        return Signatures(
            self.images[chosen],
            self.writer[chosen],
            self.genuine[chosen],
            self.writer_names,
            tuple(self.sha256[row] for row in chosen.tolist()),
            self.raw_statistics[chosen],
            self.handwriting.take(chosen),
            self.remarks,
        )

    def of_writers(self, names: Iterable[str]) -> "Signatures":
        """The signatures of the writers named; raises ValueError for a name that is not here."""
        wanted = set(names)
        unknown = wanted - set(self.writer_names)
        if unknown:
            raise ValueError(f"No writer is called {', '.join(sorted(unknown))}.")
        indices = torch.tensor([i for i, name in enumerate(self.writer_names) if name in wanted], dtype=torch.int64)
        return self.take(torch.isin(self.writer, indices))


@dataclass(frozen=True)
class _Place:
    """Where a source is, once its name has been understood."""

    kind: Literal["archive", "folder", "hub", "invented"]
    name: str
    revision: str | None = None


@dataclass(frozen=True)
class _Entry:
    """One file: whose signature, and how its bytes are read."""

    writer: str
    genuine: bool
    path: str
    read: Callable[[], bytes]


def load_signatures(source: str, preprocessing: Preprocessing = SIGNATURE, progress: bool = True) -> Signatures:
    """Every signature of a source, prepared once and from then on read from the cache folder.

    `source` is a folder or a ZIP archive with `<writer>/genuine_*` and `<writer>/forgery_*`, in the layout of CEDAR
    (`full_org/original_W_N.png`, `full_forg/forgeries_W_N.png`) or of the ICDAR 2011 Dutch set (`train/001/`,
    `train/001_forg/`, a number being the same writer in train and test); a data set on the Hub, "user/name" or
    "user/name@revision", with the columns image, writer and genuine, or a folder of its parquet files;
    or "invented".
    A file that is there twice counts once; one that is there as two writers' or as genuine and forged, not at all.
    Rows go by writer, genuine ones first, then by the number in the file's name. A bar on stderr shows the
    `progress` of what is not cached.

    Raises SignatureError where the source cannot be read or holds no genuine signature.
    """
    place = _resolve(source)
    identity = f"{CACHE_FORMAT} {_identity(place)} {json.dumps(preprocessing.as_dict(), sort_keys=True)} {_code_hash()}"
    cache = cache_folder() / f"signatures-{_hash(f'{place} {preprocessing}'.encode())}.safetensors"
    cached = _read_cache(cache, identity)
    if cached is not None:
        return cached
    with _opened(place) as (entries, shown):
        signatures = _prepare_all(entries, preprocessing, shown, progress)
    with contextlib.suppress(OSError):  # a full or read-only disk costs the next start a minute, no more
        _write_cache(cache, identity, signatures)
    return signatures


def prepare_files(files: Mapping[str, bytes], preprocessing: Preprocessing = SIGNATURE) -> Signatures:
    """Signatures out of files by their paths, which follow one of the layouts; raises SignatureError."""
    entries = _path_entries({path: partial(bytes, content) for path, content in files.items()}, "The data set")
    return _prepare_all(entries, preprocessing, "The data set", progress=False)


def load_signature_dataset(source: str) -> "datasets.Dataset":
    """The files of a source as rows of `datasets`: image, writer (ClassLabel), genuine, sha256 of the grey pixels; as
    `load_signatures`.

    Raises SignatureError where the source cannot be read or holds no genuine signature.
    """
    import datasets

    with _opened(_resolve(source)) as (entries, shown):
        kept, digests, _ = _without_duplicates(entries, shown, progress=True)
        files = [entry.read() for entry in kept]
    names = sorted({entry.writer for entry in kept})
    return datasets.Dataset.from_dict(
        {
            "image": [{"bytes": data, "path": None} for data in files],
            "writer": [entry.writer for entry in kept],
            "genuine": [entry.genuine for entry in kept],
            "sha256": digests,
        },
        features=datasets.Features(
            image=datasets.Image(),
            writer=datasets.ClassLabel(names=names),
            genuine=datasets.Value("bool"),
            sha256=datasets.Value("string"),
        ),
    )


# The probe: what gives a forgery away without a look at the signature.


def leak_probe(signatures: Signatures, raw: bool = False) -> dict[str, float]:
    """How well each of STATISTICS alone tells genuine signatures from forged ones: the AUC over single images.

    0.5 tells nothing; well above or below, the two kinds were penned, scanned or stored differently, and a figure
    measured on them is not about signatures. Measured on what the network sees, or, where `raw`, on the grey images
    as they were decoded. Raises ValueError where one of the two kinds is missing.
    """
    statistics = signatures.raw_statistics if raw else _all_statistics(signatures.images)
    return {
        name: _auc(statistics[signatures.genuine, column], statistics[~signatures.genuine, column])
        for column, name in enumerate(STATISTICS)
    }


def pair_leak_probe(signatures: Signatures, raw: bool = False) -> dict[str, float]:
    """As `leak_probe`, over all pairs of a genuine signature with another signature of its writer.

    The score of a pair is minus the difference of the statistic, of its logarithm for the last three: how well two
    images of one writer are told to be both genuine because the statistic is alike.
    """
    statistics = (signatures.raw_statistics if raw else _all_statistics(signatures.images)).double()
    statistics[:, 2:] = statistics[:, 2:].clamp(min=1e-3).log()
    same: list[Tensor] = []
    different: list[Tensor] = []
    for writer in signatures.writer.unique():
        rows = signatures.writer == writer
        genuine, forged = statistics[rows & signatures.genuine], statistics[rows & ~signatures.genuine]
        upper = torch.ones(len(genuine), len(genuine)).triu(1).bool()
        same.append(-(genuine[:, None] - genuine[None]).abs()[upper])
        different.append(-(genuine[:, None] - forged[None]).abs().flatten(0, 1))
    alike, apart = torch.cat(same), torch.cat(different)
    return {name: _auc(alike[:, column], apart[:, column]) for column, name in enumerate(STATISTICS)}


def image_statistics(picture: UInt8[np.ndarray, "height width"]) -> Float32[np.ndarray, "5"]:
    """STATISTICS of one image with ink light on dark paper, the two parted by Otsu's threshold.

    Median level of the paper and mean level of the ink, of 255; mean width of a stroke in pixels; area of the ink in
    pixels; width over height of its box.
    """
    counts = np.bincount(picture.reshape(-1), minlength=256)
    threshold = _otsu(counts)
    mask = picture >= threshold
    paper, levels = counts[:threshold], np.arange(256)
    area = int(counts[threshold:].sum())
    background = int(np.searchsorted(paper.cumsum(), paper.sum() / 2))
    darkness = float(counts[threshold:] @ levels[threshold:]) / area
    # the steps along rows and columns count an outline's height and width: over all directions 4 / pi of its length
    steps = np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1])
    width = 2 * area / max(1.0, steps * np.pi / 4)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    aspect = (columns[-1] - columns[0] + 1) / (rows[-1] - rows[0] + 1)
    return np.array([background, darkness, width, area, aspect], dtype=np.float32)


def _otsu(counts: Int64[np.ndarray, "256"]) -> int:
    """The lowest level of the upper of two classes that Otsu's threshold parts (1979); both have members."""
    levels = np.arange(256)
    below, mass_below = counts.cumsum()[:-1], (counts * levels).cumsum()[:-1]
    above, mass = counts.sum() - below, (counts * levels).sum()
    both = (below > 0) & (above > 0)
    if not both.any():
        return int(np.flatnonzero(counts)[0])
    gap = mass_below / np.maximum(below, 1) - (mass - mass_below) / np.maximum(above, 1)
    return int(np.argmax(np.where(both, below * above * gap * gap, -1.0))) + 1


def _all_statistics(pictures: UInt8[Tensor, "signatures 1 105 105"]) -> Float32[Tensor, "signatures 5"]:
    rows = [image_statistics(picture) for picture in pictures[:, 0].numpy()]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, len(STATISTICS))


def _auc(genuine: Float[Tensor, " genuine"], forged: Float[Tensor, " forged"]) -> float:
    return area_under_curve(receiver_operating_characteristic(genuine, forged))


# Understanding what a source is.


def _resolve(source: str) -> _Place:
    if source == "invented":
        return _Place("invented", source)
    path = Path(source).expanduser()
    if path.is_dir():
        return _Place("folder", str(path.resolve()))
    if path.is_file():
        return _Place("archive", str(path.resolve()))
    hub_id = HUB_ID.fullmatch(source)
    if hub_id and not source.startswith(".") and not source.endswith(".zip"):
        return _Place("hub", hub_id[1], hub_id[2])
    raise SignatureError(
        f"{source!r} is neither a folder nor a file; signatures come from a folder, a ZIP archive, a data set on "
        f"the Hub (user/name) or 'invented'."
    )


def _identity(place: _Place) -> str:
    """What changes when the data behind a source change."""
    if place.kind == "hub":
        return f"{place.name}@{place.revision}"
    if place.kind == "invented":
        return f"{INVENTED}"
    path = Path(place.name)
    files = _folder_files(path) if place.kind == "folder" else [path]
    listing = [f"{file} {(facts := file.stat()).st_size} {facts.st_mtime_ns}" for file in files]
    return _hash("\n".join(listing).encode())


def _code_hash() -> str:
    """What is in the cache was made by these files; others make it anew."""
    return _hash(b"".join((Path(__file__).parents[1] / name).read_bytes() for name in MAKERS))


# Reading what a source holds.


@contextlib.contextmanager
def _opened(place: _Place) -> Iterator[tuple[list[_Entry], str]]:
    """The entries of a source, readable while it is open, and the source as the subject of a sentence."""
    if place.kind == "hub":
        shown = f"The data set {place.name}{f'@{place.revision}' if place.revision else ''}"
        yield _table_entries(_fetch_from_hub(place, shown), shown), shown
    elif place.kind == "invented":
        from siamese.signatures.synthetic import synthetic_files  # which needs this module

        shown = "The invented data set"
        files = dict(synthetic_files(*INVENTED))
        yield _path_entries({path: partial(bytes, content) for path, content in files.items()}, shown), shown
    elif place.kind == "folder":
        shown = f"The folder {place.name!r}"
        tables = sorted(Path(place.name).glob("**/*.parquet"))
        if tables:
            yield _table_entries(_read_parquet(tables, shown), shown), shown
        else:
            yield _file_entries(Path(place.name), shown), shown
    else:
        shown = f"The archive {place.name!r}"
        try:
            archive = zipfile.ZipFile(place.name)
        except DAMAGES as error:
            raise _damaged(shown) from error
        with archive:
            yield _archive_entries(archive, shown), shown


def _damaged(shown: str) -> SignatureError:
    return SignatureError(f"{shown} is damaged or no ZIP file; please download it again.")


def _archive_entries(archive: zipfile.ZipFile, shown: str) -> list[_Entry]:
    members = archive.infolist()
    if Path(str(archive.filename)).stat().st_size > MAX_ARCHIVE_BYTES:
        raise SignatureError(f"{shown} is larger than {MAX_ARCHIVE_BYTES >> 30} GB.")
    if len(members) > MAX_MEMBERS:
        raise SignatureError(f"{shown} lists {len(members)} members, more than {MAX_MEMBERS}.")
    for member in members:
        path = PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename:
            raise SignatureError(f"{shown} holds a path that leaves its folder: {member.filename!r}.")
        if S_ISLNK(member.external_attr >> 16):
            raise SignatureError(f"{shown} holds a link: {member.filename!r}.")
        if member.flag_bits & 1:
            raise SignatureError(f"{shown} is encrypted.")
    by_name = {member.filename: member for member in members}
    if len(by_name) < len(members):
        raise SignatureError(f"{shown} holds a member twice.")
    entries = _path_entries(
        {name: partial(_read_member, archive, member, shown) for name, member in by_name.items()}, shown
    )
    large = next((entry.path for entry in entries if by_name[entry.path].file_size > MAX_BYTES), None)
    if large is not None:
        raise SignatureError(f"{shown} holds an image of more than {MAX_BYTES >> 20} MB: {large!r}.")
    if sum(by_name[entry.path].file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise SignatureError(f"{shown} unpacks to more than {MAX_UNPACKED_BYTES >> 30} GB.")
    return entries


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, shown: str) -> bytes:
    try:
        with archive.open(member) as file:
            return file.read(member.file_size)  # with a limit, since the size in the directory need not be the truth
    except DAMAGES as error:
        raise _damaged(shown) from error


def _folder_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _file_entries(folder: Path, shown: str) -> list[_Entry]:
    files = _folder_files(folder)
    if len(files) > MAX_MEMBERS:
        raise SignatureError(f"{shown} holds {len(files)} files, more than {MAX_MEMBERS}.")
    # with the folder's own name, since it may be the "train" that a layout asks for
    named = {f"{folder.name}/{file.relative_to(folder).as_posix()}": file for file in files}
    return _path_entries({name: partial(_read_file, file) for name, file in named.items()}, shown)


def _read_file(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MAX_BYTES + 1)  # what is larger, `open_image` refuses


def _path_entries(readers: dict[str, Callable[[], bytes]], shown: str) -> list[_Entry]:
    """The files of the layout that most of the paths follow."""
    found = {
        name: [(path, match) for path in readers if (match := layout.fullmatch(path)) and not _is_hidden(path)]
        for name, layout in LAYOUTS.items()
    }
    chosen = max(found.values(), key=len)
    if not chosen:
        raise SignatureError(
            f"{shown} holds no signatures as <writer>/genuine_*.png and <writer>/forgery_*.png, as CEDAR's "
            f"full_org/original_1_1.png or as the Dutch set's train/001/ and train/001_forg/."
        )
    numbered = found["CEDAR"] is chosen
    return [
        _Entry(
            f"{int(match['writer']):02d}" if numbered else match["writer"],
            match["genuine"] is not None,
            path,
            readers[path],
        )
        for path, match in chosen
    ]


def _is_hidden(path: str) -> bool:
    """What file managers leave in archives beside each file."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(path).parts)


def _fetch_from_hub(place: _Place, shown: str) -> "dict[str, datasets.Dataset]":
    import datasets

    named = f"{shown} (no folder or file has that name)"
    try:
        return dict(datasets.load_dataset(place.name, revision=place.revision))
    except datasets.exceptions.DatasetNotFoundError as error:
        raise SignatureError(f"{named} does not exist on the Hub or is not open to you.") from error
    except Exception as error:  # the network's errors, and those of every file format
        raise SignatureError(f"{named} could not be read from the Hub ({_first_line(error)}).") from error


def _read_parquet(files: list[Path], shown: str) -> "dict[str, datasets.Dataset]":
    import datasets

    try:
        return dict(datasets.load_dataset("parquet", data_files={"rows": [str(file) for file in files]}))
    except Exception as error:  # pyarrow's errors are many
        raise SignatureError(f"{shown} holds parquet files that cannot be read ({_first_line(error)}).") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.')}" if lines else type(error).__name__


def _table_entries(tables: "dict[str, datasets.Dataset]", shown: str) -> list[_Entry]:
    """The rows of all splits: a writer is the same person in each."""
    import datasets

    entries: list[_Entry] = []
    for split, table in tables.items():
        features = table.features
        image = next((name for name in IMAGE_COLUMNS if isinstance(features.get(name), datasets.Image)), None)
        writer = next((name for name in WRITER_COLUMNS if name in features), None)
        genuine = next((name for name in GENUINE_COLUMNS if name in features), None)
        if image is None or writer is None or genuine is None:
            raise SignatureError(
                f"{shown} needs the columns image, writer and genuine; it has {', '.join(features) or 'none'}."
            )
        if len(table) > MAX_MEMBERS:
            raise SignatureError(f"{shown} has {len(table)} rows, more than {MAX_MEMBERS}.")
        pictures = table.cast_column(image, datasets.Image(decode=False))
        writers, kinds = _spoken_values(table, writer), _spoken_values(table, genuine)
        entries += [
            _Entry(name, _is_genuine(kind, shown), f"{split}/{row}", partial(_read_cell, pictures, row, image, shown))
            for row, (name, kind) in enumerate(zip(writers, kinds, strict=True))
        ]
    return entries


def _spoken_values(table: "datasets.Dataset", column: str) -> list[str]:
    import datasets

    feature, values = table.features[column], list(table[column])
    return [feature.int2str(value) if isinstance(feature, datasets.ClassLabel) else str(value) for value in values]


def _is_genuine(value: str, shown: str) -> bool:
    known = {"true": True, "1": True, "genuine": True, "false": False, "0": False, "forgery": False, "forged": False}
    if value.lower() not in known:
        raise SignatureError(f"{shown} has {value!r} in its column genuine, which is neither true nor false.")
    return known[value.lower()]


def _read_cell(table: "datasets.Dataset", row: int, column: str, shown: str) -> bytes:
    cell: dict[str, Any] = table[row][column] or {}
    if not cell.get("bytes"):
        raise SignatureError(f"{shown} keeps its images outside its tables; please take a copy in parquet files.")
    return cell["bytes"]


def _without_duplicates(entries: list[_Entry], shown: str, progress: bool) -> tuple[list[_Entry], list[str], list[str]]:
    """The entries in their order, each picture once; the pictures' SHA-256; and sentences on what was left out."""
    from tqdm import tqdm

    ordered = sorted(entries, key=_order)
    looked_at = tqdm(ordered, desc="looking for duplicates", unit="image", disable=not progress)
    digests = [picture_hash(entry.read()) for entry in looked_at]
    claims: dict[str, set[tuple[str, bool]]] = {}
    for entry, digest in zip(ordered, digests, strict=True):
        claims.setdefault(digest, set()).add((entry.writer, entry.genuine))
    kept: dict[str, _Entry] = {}
    repeated = contradictory = 0
    for entry, digest in zip(ordered, digests, strict=True):
        if len(claims[digest]) > 1:
            contradictory += 1
        elif digest in kept:
            repeated += 1
        else:
            kept[digest] = entry
    if not any(entry.genuine for entry in kept.values()):
        raise SignatureError(f"{shown} holds no genuine signature.")
    remarks = []
    if repeated:
        remarks.append(f"{repeated} files repeat others and were left out.")
    if contradictory:
        remarks.append(f"{contradictory} files are there under two names that contradict each other and were left out.")
    return list(kept.values()), list(kept), remarks


def picture_hash(data: bytes) -> str:
    """SHA-256 of the size and the grey pixels; of the bytes themselves where they are no picture."""
    try:
        grey = open_image(data)
    except ImageError:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha256(f"{grey.size} ".encode() + grey.tobytes()).hexdigest()


def _order(entry: _Entry) -> tuple:
    name = PurePosixPath(entry.path).name
    return _natural(entry.writer), not entry.genuine, _natural(name), entry.path


def _natural(text: str) -> list[str | int]:
    """A key by which file 10 comes after file 9; digits stand at odd places."""
    return [int(part[:18]) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", text))]


# Preparing once.


def _prepare_all(entries: list[_Entry], preprocessing: Preprocessing, shown: str, progress: bool) -> Signatures:
    from tqdm import tqdm

    kept, digests, remarks = _without_duplicates(entries, shown, progress)
    pictures = torch.empty(len(kept), 1, IMAGE_SIZE_PX, IMAGE_SIZE_PX, dtype=torch.uint8)
    statistics = torch.empty(len(kept), len(STATISTICS))
    handwriting: dict[int, StrokeFeatures] = {}
    unusable: dict[int, str] = {}

    def prepare(row: int, data: bytes) -> None:
        try:
            grey = open_image(data)
            statistics[row] = torch.from_numpy(image_statistics(255 - np.asarray(grey)))
            ink = isolate_signature(grey)
            pictures[row] = (prepare_isolated(ink, preprocessing) * 255).round().to(torch.uint8)
            handwriting[row] = stroke_features(ink)
        except ImageError as error:
            unusable[row] = f"{kept[row].path}: {error}"

    bar = tqdm(total=len(kept), desc="preparing", unit="image", disable=not progress)
    with ThreadPoolExecutor(cpu_count()) as pool, bar:
        waiting: list[Future] = []
        try:
            for row, entry in enumerate(kept):
                waiting.append(pool.submit(prepare, row, entry.read()))
                if len(waiting) >= AT_ONCE:
                    waiting.pop(0).result()
                    bar.update()
            for future in waiting:
                future.result()
                bar.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    rows = [row for row in range(len(kept)) if row not in unusable]
    if not any(kept[row].genuine for row in rows):
        raise SignatureError(f"{shown} holds no genuine signature that can be used ({unusable[min(unusable)]})")
    if unusable:
        remarks.append(f"Files that cannot be used and were left out: {len(unusable)} ({unusable[min(unusable)]})")
    names = sorted({kept[row].writer for row in rows}, key=_natural)
    places = {name: place for place, name in enumerate(names)}
    return Signatures(
        images=pictures[rows],
        writer=torch.tensor([places[kept[row].writer] for row in rows]),
        genuine=torch.tensor([kept[row].genuine for row in rows]),
        writer_names=tuple(names),
        sha256=tuple(digests[row] for row in rows),
        raw_statistics=statistics[rows],
        handwriting=together([handwriting[row] for row in rows]),
        remarks=tuple(remarks),
    )


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _write_cache(cache: Path, identity: str, signatures: Signatures) -> None:
    tensors = {
        "images": signatures.images,
        "writer": signatures.writer,
        "genuine": signatures.genuine,
        "raw_statistics": signatures.raw_statistics,
        "turns": signatures.handwriting.turns,
        "course": signatures.handwriting.course,
    }
    words = {name: json.dumps(getattr(signatures, name)) for name in CACHED_WORDS}
    write_tensors(cache, identity, tensors, words)


def _read_cache(cache: Path, identity: str) -> Signatures | None:
    """What the cache holds; None where it has to be made anew."""
    found = read_tensors(cache, identity)
    if found is None:
        return None
    tensors, words = found
    tensors["handwriting"] = StrokeFeatures(tensors.pop("turns"), tensors.pop("course"))
    return Signatures(**tensors, **{name: tuple(json.loads(words[name])) for name in CACHED_WORDS})

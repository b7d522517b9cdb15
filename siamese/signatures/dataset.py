"""Signature data sets: who wrote what, genuine or forged, as the network sees it."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from os import cpu_count
from pathlib import PurePosixPath
from re import split as split_by
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from PIL import Image
from torch import Tensor

from siamese.data.cache import Stored, cached, code_digest, digest
from siamese.data.sources import Source, SourceError, fingerprint, resolve_source
from siamese.imaging.decode import ImageError, image_remarks, open_image
from siamese.preprocessing import SIGNATURE, Preprocessing
from siamese.signatures.features import StrokeFeatures, concatenate, stroke_features
from siamese.signatures.image_statistics import image_statistics
from siamese.signatures.isolation import isolate_signature, prepare_isolated
from siamese.signatures.layouts import SignatureFile, files_by_path, open_signatures
from siamese.signatures.synthetic import synthetic_files

if TYPE_CHECKING:
    from tqdm import tqdm

CACHE_FORMAT = "5"
# The files and folders that make what is in the cache.
MAKERS = (
    "data/pen_strokes.py",
    "imaging",
    "preprocessing.py",
    "signatures/dataset.py",
    "signatures/features.py",
    "signatures/image_statistics.py",
    "signatures/isolation.py",
    "signatures/layouts.py",
    "signatures/synthetic.py",
)
TENSORS = ("images", "writer", "genuine", "raw_statistics")
VALUES = ("writer_names", "sha256", "text", "medium", "remarks")
AT_ONCE = 64  # images held in memory while they wait to be prepared


@dataclass(frozen=True)
class Signatures:
    """Prepared signatures of a data set; row i of each field belongs to signature i."""

    images: UInt8[Tensor, "signatures 1 105 105"]
    """Prepared: ink 255 on paper 0."""
    writer: Int64[Tensor, " signatures"]
    """Whose signature it is or pretends to be: an index into `writer_names`."""
    genuine: Bool[Tensor, " signatures"]
    """Whether the writer wrote it; otherwise it is a skilled forgery."""
    writer_names: tuple[str, ...]
    sha256: tuple[str, ...]
    """Of the size and the grey pixels of each picture, hexadecimal: a copy stored in another way has the same."""
    text: tuple[str, ...]
    """What was written, where several writers wrote the same; empty for a signature of one's own."""
    medium: tuple[str, ...]
    """What it was written on; empty where that is not known."""
    raw_statistics: Float32[Tensor, "signatures 5"]
    """`siamese.signatures.image_statistics.STATISTICS` of the grey images before anything was taken away from them."""
    strokes: StrokeFeatures
    """How the lines run."""
    remarks: tuple[str, ...] = ()
    """Sentences on what the source held besides: files that were left out."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def writers_held(self) -> tuple[str, ...]:
        """Names of the writers with at least one signature."""
        return tuple(self.writer_names[index] for index in self.writer.unique().tolist())

    def take(self, rows: Int64[Tensor, " rows"] | Bool[Tensor, " signatures"]) -> "Signatures":
        """The signatures of these rows; writers keep their index."""
        chosen = rows.nonzero().flatten() if rows.dtype == torch.bool else rows
        listed = chosen.tolist()
        return Signatures(
            images=self.images[chosen],
            writer=self.writer[chosen],
            genuine=self.genuine[chosen],
            writer_names=self.writer_names,
            sha256=tuple(self.sha256[row] for row in listed),
            text=tuple(self.text[row] for row in listed),
            medium=tuple(self.medium[row] for row in listed),
            raw_statistics=self.raw_statistics[chosen],
            strokes=self.strokes.take(chosen),
            remarks=self.remarks,
        )

    def of_writers(self, names: Iterable[str]) -> "Signatures":
        """Returns the signatures of the named writers; raises ValueError for an unknown name."""
        wanted = set(names)
        unknown = wanted - set(self.writer_names)
        if unknown:
            raise ValueError(f"No writer is called {', '.join(sorted(unknown))}.")
        indices = torch.tensor([i for i, name in enumerate(self.writer_names) if name in wanted], dtype=torch.int64)
        return self.take(torch.isin(self.writer, indices))


def load_signatures(source: str, preprocessing: Preprocessing = SIGNATURE, progress: bool = True) -> Signatures:
    """Loads every signature of a source; prepared images are kept in the cache folder.

    A file that is there twice counts once; one that is there as two writers' or as genuine and forged, not at all.

    Args:
        source: A folder or a ZIP archive in one of `siamese.signatures.layouts.LAYOUTS`; parquet files or a data set on
            the Hub, "user/name" or "user/name@revision", with the columns image, writer and genuine; or "invented".
        preprocessing: How ink is brought to 105 x 105 pixels.
        progress: Show a bar on stderr for what is not in the cache.

    Returns:
        Rows by writer, genuine ones first, then by the number in the file's name.

    Raises:
        SourceError: The source cannot be read or has no genuine signatures.
    """
    place = resolve_source(source, "signatures")
    prepared = json.dumps(preprocessing.as_dict(), sort_keys=True)
    identity = f"{CACHE_FORMAT} {fingerprint(place)} {prepared} {code_digest(MAKERS)}"

    def make() -> Stored:
        with open_signatures(place) as files:
            return _stored(_prepare_all(files, preprocessing, place, progress))

    return _restored(cached(f"signatures-{digest(f'{place} {prepared}'.encode())}", identity, make))


def prepare_files(files: Mapping[str, bytes], preprocessing: Preprocessing = SIGNATURE) -> Signatures:
    """Signatures out of files by their paths, which follow one of the layouts; raises SourceError."""
    source = Source("invented", "")
    found = files_by_path({path: partial(bytes, content) for path, content in files.items()}, source)
    return _prepare_all(found, preprocessing, source, progress=False)


def synthetic_signatures(
    writers: int, genuine: int, forgeries: int, seed: int, preprocessing: Preprocessing = SIGNATURE
) -> Signatures:
    """The data set of `synthetic_files`, as the network sees it."""
    return prepare_files(dict(synthetic_files(writers, genuine, forgeries, seed)), preprocessing)


@dataclass(frozen=True)
class _Prepared:
    """One image, prepared."""

    sha256: str
    remarks: tuple[str, ...]
    image: UInt8[Tensor, "1 105 105"]
    statistics: Float32[np.ndarray, "5"]
    strokes: StrokeFeatures


@dataclass(frozen=True)
class _Refused:
    """One image that cannot be used, and why."""

    sha256: str
    reason: str


def _prepare_all(
    files: Sequence[SignatureFile], preprocessing: Preprocessing, source: Source, progress: bool
) -> Signatures:
    ordered = sorted(files, key=_order)
    prepared = _in_threads(partial(_prepare, preprocessing=preprocessing), ordered, progress)
    kept, remarks = _without_duplicates(ordered, [one.sha256 for one in prepared])
    if not any(ordered[row].genuine for row in kept):
        raise SourceError(f"{source.subject} has no genuine signatures.")
    usable = {row: one for row in kept if isinstance(one := prepared[row], _Prepared)}
    unusable = [f"{ordered[row].path}: {one.reason}" for row in kept if isinstance(one := prepared[row], _Refused)]
    rows = list(usable)
    if not any(ordered[row].genuine for row in rows):
        raise SourceError(f"{source.subject} has no usable genuine signatures ({unusable[0]})")
    if unusable:
        remarks.append(f"Files that cannot be used and were left out: {len(unusable)} ({unusable[0]})")
    for sentence in sorted({remark for one in usable.values() for remark in one.remarks}):
        concerned = [ordered[row].path for row, one in usable.items() if sentence in one.remarks]
        remarks.append(f"{concerned[0]}, one of {len(concerned)} such files: {sentence}")
    names = sorted({ordered[row].writer for row in rows}, key=_natural)
    places = {name: place for place, name in enumerate(names)}
    return Signatures(
        images=torch.stack([one.image for one in usable.values()]),
        writer=torch.tensor([places[ordered[row].writer] for row in rows]),
        genuine=torch.tensor([ordered[row].genuine for row in rows]),
        writer_names=tuple(names),
        sha256=tuple(one.sha256 for one in usable.values()),
        text=tuple(ordered[row].text for row in rows),
        medium=tuple(ordered[row].medium for row in rows),
        raw_statistics=torch.from_numpy(np.stack([one.statistics for one in usable.values()])),
        strokes=concatenate([one.strokes for one in usable.values()]),
        remarks=tuple(remarks),
    )


def _in_threads(
    prepare: Callable[[SignatureFile], _Prepared | _Refused], files: Sequence[SignatureFile], progress: bool
) -> list[_Prepared | _Refused]:
    """Each file prepared, on all cores and with few of them in memory at one moment."""
    found: list[_Prepared | _Refused] = []
    with ThreadPoolExecutor(cpu_count()) as pool, _bar(len(files), progress) as bar:
        try:
            for begin in range(0, len(files), AT_ONCE):
                for one in pool.map(prepare, files[begin : begin + AT_ONCE]):
                    found.append(one)
                    bar.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found


def _bar(images: int, shown: bool) -> "tqdm":
    from tqdm import tqdm

    return tqdm(total=images, desc="preparing", unit="image", disable=not shown)


def _prepare(file: SignatureFile, preprocessing: Preprocessing) -> _Prepared | _Refused:
    data = file.read()
    try:
        grey = open_image(data)
    except ImageError as error:
        return _Refused(hashlib.sha256(data).hexdigest(), str(error))
    sha256 = picture_hash(grey)
    try:
        ink = isolate_signature(grey)
        image = (prepare_isolated(ink, preprocessing) * 255).round().to(torch.uint8)
        strokes = stroke_features(ink)
    except ImageError as error:
        return _Refused(sha256, str(error))
    remarks = tuple(remark.text for remark in image_remarks(grey))
    return _Prepared(sha256, remarks, image, image_statistics(255 - np.asarray(grey)), strokes)


def picture_hash(grey: Image.Image) -> str:
    """SHA-256 of the size and the grey pixels, hexadecimal."""
    return hashlib.sha256(f"{grey.size} ".encode() + grey.tobytes()).hexdigest()


def _without_duplicates(files: Sequence[SignatureFile], digests: Sequence[str]) -> tuple[list[int], list[str]]:
    """The rows that stay, each picture once, and sentences on what was left out."""
    claims: dict[str, set[tuple[str, bool]]] = {}
    for file, sha256 in zip(files, digests, strict=True):
        claims.setdefault(sha256, set()).add((file.identity, file.genuine))
    kept: dict[str, int] = {}
    repeated = contradictory = 0
    for row, sha256 in enumerate(digests):
        if len(claims[sha256]) > 1:
            contradictory += 1
        elif sha256 in kept:
            repeated += 1
        else:
            kept[sha256] = row
    remarks = []
    if repeated:
        remarks.append(f"{repeated} files repeat others and were left out.")
    if contradictory:
        remarks.append(f"{contradictory} files are there under two names that contradict each other and were left out.")
    return list(kept.values()), remarks


def _order(file: SignatureFile) -> tuple:
    name = PurePosixPath(file.path).name
    return _natural(file.writer), not file.genuine, _natural(name), file.path


def _natural(text: str) -> list[str | int]:
    """A key by which file 10 comes after file 9; digits stand at odd places."""
    return [int(part[:18]) if place % 2 else part for place, part in enumerate(split_by(r"([0-9]+)", text))]


def _stored(signatures: Signatures) -> Stored:
    tensors = {name: getattr(signatures, name) for name in TENSORS}
    strokes = {f"strokes.{name}": tensor for name, tensor in vars(signatures.strokes).items()}
    return Stored(tensors | strokes, {name: getattr(signatures, name) for name in VALUES})


def _restored(stored: Stored) -> Signatures:
    tensors: dict[str, Any] = {name: stored.tensors[name] for name in TENSORS}
    strokes = {
        name.removeprefix("strokes."): tensor for name, tensor in stored.tensors.items() if name.startswith("strokes.")
    }
    values: dict[str, Any] = {name: tuple(stored.values[name]) for name in VALUES}
    return Signatures(**tensors, **values, strokes=StrokeFeatures(**strokes))

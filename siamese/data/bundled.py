"""Omniglot as the package holds it: a parquet file for each split, read without asking any network.

The files have the columns and the features that `datasets` gives them and can be read with it. Here they are read with
pyarrow alone, which an app has imported anyway, because importing `datasets` takes seconds.
"""

import functools
import io
import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int64
from PIL import Image
from torch import Tensor

from siamese.preprocessing import IMAGE_SIZE_PX

if TYPE_CHECKING:
    import datasets
    import pyarrow

Split = Literal["background", "evaluation"]
SPLITS: tuple[Split, ...] = ("background", "evaluation")

FOLDER = Path(__file__).parent / "omniglot"
LAKE_RUNS = FOLDER / "lake_runs.json"

# An uncompressed 1-bit PNG: signature 8, header 25, length and name of the data 8, their zlib header 2, block header 5.
STORED_PIXELS_OFFSET_BYTES = 8 + 25 + 8 + 2 + 5
STORED_ROW_BYTES = 1 + (IMAGE_SIZE_PX + 7) // 8
ROW_GROUP = 660  # drawings, of 1 MB together: about an alphabet
CACHED_GROUPS = 8
COMPRESSION_LEVEL = 12  # of zstd; 19 saves another 10 % and takes ten times as long


@dataclass(frozen=True)
class BundledDrawings:
    """The drawings of one split, in rows by alphabet, character and drawer; pictures are read when they are asked for.

    Attributes:
        path: The parquet file; equal numbers of drawings lie in each of its row groups.
        alphabet: Index into `alphabet_names`.
        character: Number of the character within its alphabet, from 1.
        drawer: Who drew it, from 1; the same number in two alphabets need not be the same person.
        alphabet_names: Names of the alphabets of both splits.
    """

    path: Path
    alphabet: Int64[Tensor, " drawings"]
    character: Int64[Tensor, " drawings"]
    drawer: Int64[Tensor, " drawings"]
    alphabet_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.alphabet)

    def ink(self, row: int) -> Bool[Tensor, "105 105"]:
        """Reads one drawing, ink true; others of its row group are then at hand."""
        group, place = divmod(row, ROW_GROUP)
        return _stored_ink([_pngs_of_group(self.path, group)[place].as_py()])[0]

    def all_ink(self) -> Bool[Tensor, "drawings 105 105"]:
        """Reads every drawing, ink true: 11 kB each."""
        groups = range(0, len(self), ROW_GROUP)
        return torch.cat([_stored_ink(_read_pngs(self.path, place // ROW_GROUP).to_pylist()) for place in groups])


def read_bundled(split: Split) -> BundledDrawings:
    """Reads a bundled split without its pictures."""
    path = FOLDER / f"{split}.parquet"
    table = _open(path).read(columns=["alphabet", "character", "drawer"], use_threads=False)
    alphabet, character, drawer = (
        torch.from_numpy(table[name].to_numpy().astype(np.int64)) for name in ("alphabet", "character", "drawer")
    )
    return BundledDrawings(path, alphabet, character, drawer, _class_names(table.schema))


def _open(path: Path) -> "pyarrow.parquet.ParquetFile":
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(path)


def _read_pngs(path: Path, group: int) -> "pyarrow.BinaryArray":
    table = _open(path).read_row_group(group, columns=["image"], use_threads=False)
    return table["image"].combine_chunks().field("bytes")


@functools.lru_cache(CACHED_GROUPS)
def _pngs_of_group(path: Path, group: int) -> "pyarrow.BinaryArray":
    return _read_pngs(path, group)


def read_table(split: Split) -> "pyarrow.Table":
    """Reads a bundled split as a table; its schema carries the features of `datasets`."""
    import pyarrow.parquet

    return pyarrow.parquet.read_table(FOLDER / f"{split}.parquet")


def write_table(rows: "datasets.Dataset", path: Path) -> None:
    """Writes a split as it is bundled.

    The PNG files are stored without compression of their own, so that zstd sees the pixels of one drawing beside those
    of the next: 4.5 MB for all of Omniglot, where its own PNG files take 8.2 MB.

    Args:
        rows: Columns image (1-bit PNG), alphabet, character and drawer.
        path: The parquet file; an existing one is replaced.
    """
    import datasets
    import pyarrow.parquet

    features = rows.features
    table = rows.cast_column("image", datasets.Image(decode=False)).with_format("arrow")[:]
    pngs = [image["bytes"] for image in table["image"].to_pylist()]
    images = [{"bytes": encode_png(decode_png(png)), "path": None} for png in pngs]
    labels = ["alphabet", "character", "drawer"]
    columns = {name: table[name].to_pylist() for name in labels} | {"image": images}
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pydict(columns, schema=features.arrow_schema),
        path,
        row_group_size=ROW_GROUP,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=labels,
        write_statistics=labels,  # the least and greatest PNG of each row group would tell nothing
    )


def encode_png(ink: Bool[Tensor, "105 105"]) -> bytes:
    """Encodes a drawing as a 1-bit PNG, black on white, without filters and without compression.

    Pillow filters the rows of what it does not compress, which hides from zstd what neighbouring rows share.
    """
    rows = np.zeros((IMAGE_SIZE_PX, STORED_ROW_BYTES), np.uint8)  # a row begins with its filter, 0 for none
    rows[:, 1:] = np.packbits(~ink.numpy(), axis=1)
    header = struct.pack(">IIBBBBB", IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 0)), (b"IEND", b""))
    file = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks:
        file += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return file


def decode_png(png: bytes) -> Bool[Tensor, "105 105"]:
    """Decodes any 1-bit PNG of 105 x 105 pixels, black on white; ink is true."""
    return torch.from_numpy(~np.asarray(Image.open(io.BytesIO(png), formats=["PNG"])))


def _stored_ink(pngs: list[bytes]) -> Bool[Tensor, "drawings 105 105"]:
    """Decodes files that `encode_png` made: all of one length, their rows at one place, which makes it fast."""
    files = np.frombuffer(b"".join(pngs), np.uint8).reshape(len(pngs), -1)
    rows = files[:, STORED_PIXELS_OFFSET_BYTES:][:, : IMAGE_SIZE_PX * STORED_ROW_BYTES]
    packed = rows.reshape(-1, IMAGE_SIZE_PX, STORED_ROW_BYTES)[..., 1:]
    return torch.from_numpy(np.unpackbits(packed, axis=2, count=IMAGE_SIZE_PX) == 0)


def _class_names(schema: "pyarrow.Schema") -> tuple[str, ...]:
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    return tuple(features["alphabet"]["names"])

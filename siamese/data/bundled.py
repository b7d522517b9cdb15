"""Omniglot as the package holds it: a parquet file for each split, read without asking any network.

The files have the columns and the features that `datasets` gives them and can be read with it. Here they are read with
pyarrow alone, which an app has imported anyway, because importing `datasets` takes seconds.
"""

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
COMPRESSION_LEVEL = 19  # of zstd; the highest level, 22, saves another 0.1 % and takes twice as long


@dataclass(frozen=True)
class BundledDrawings:
    """The drawings of one split, in rows by alphabet, character and drawer; a picture is decoded when it is asked for.

    A split of 13,180 drawings takes 22 MB like this and 145 MB once all of it is decoded.

    Attributes:
        pngs: One PNG for each drawing.
        alphabet: Index into `alphabet_names`.
        character: Number of the character within its alphabet, from 1.
        drawer: Who drew it, from 1; the same number in two alphabets need not be the same person.
        alphabet_names: Names of the alphabets of both splits.
    """

    pngs: "pyarrow.BinaryArray"
    alphabet: Int64[Tensor, " drawings"]
    character: Int64[Tensor, " drawings"]
    drawer: Int64[Tensor, " drawings"]
    alphabet_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pngs)

    def ink(self, row: int) -> Bool[Tensor, "105 105"]:
        """Decodes one drawing; ink is true."""
        return _stored_ink([self.pngs[row].as_py()])[0]

    def all_ink(self) -> Bool[Tensor, "drawings 105 105"]:
        """Decodes every drawing; ink is true."""
        return _stored_ink(self.pngs.to_pylist())


def read_bundled(split: Split) -> BundledDrawings:
    """Reads a bundled split without decoding its pictures."""
    table = read_table(split)
    names = _class_names(table.schema)
    alphabet, character, drawer = (
        torch.from_numpy(table[column].to_numpy().astype(np.int64)) for column in ("alphabet", "character", "drawer")
    )
    return BundledDrawings(table["image"].combine_chunks().field("bytes"), alphabet, character, drawer, names)


def read_table(split: Split) -> "pyarrow.Table":
    """Reads a bundled split as a table; its schema carries the features of `datasets`."""
    import pyarrow.parquet

    return pyarrow.parquet.read_table(FOLDER / f"{split}.parquet")


def write_table(rows: "datasets.Dataset", path: Path) -> None:
    """Writes a split as it is bundled.

    The PNG files are stored without compression of their own, so that zstd sees the pixels of one drawing beside those
    of the next: 4.0 MB for all of Omniglot, where its own PNG files take 8.2 MB.

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
    columns = {name: table[name].to_pylist() for name in features} | {"image": images}
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pydict(columns, schema=features.arrow_schema),
        path,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=["alphabet", "character", "drawer"],
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

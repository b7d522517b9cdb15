"""Omniglot as alphabets, characters and drawers, from whatever holds it; and Lake's twenty runs.

Lake, Salakhutdinov and Tenenbaum (2015), "Human-level concept learning through probabilistic program induction".
"""

import contextlib
import hashlib
import io
import json
import os
import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from siamese.drawings import Drawings, pack_bits, unpack_bits
from siamese.network import IMAGE_SIZE_PX

if TYPE_CHECKING:
    import datasets

Split = Literal["background", "evaluation"]
SPLITS: tuple[Split, ...] = ("background", "evaluation")

MAX_ARCHIVE_BYTES = 64 << 20  # the official archives have 9.5 MB and 6.5 MB
MAX_IMAGES = 100_000  # Omniglot has 32,460
MAX_IMAGE_BYTES = 64 << 10  # Omniglot's largest has 522 bytes
IMAGE_PATH = re.compile(r"(?:.*/)?images_(background|evaluation)/([^/]+)/character(\d{1,4})/\d{1,8}_(\d{1,4})\.png")


class OmniglotError(ValueError):
    """A source that cannot serve; the message is one sentence."""


@dataclass(frozen=True)
class _Entry:
    """One image file and what its path says."""

    image: bytes
    alphabet: str
    character: int
    drawer: int


def load_drawings(split: Split, source: str | None = None) -> Drawings:
    """One split of Omniglot, decoded once and kept in the cache folder.

    `source` as in `load_omniglot`. Raises OmniglotError where the source cannot serve.
    """
    folder = Path(source or os.environ["OMNIGLOT_DATA"])
    return _decode(sorted(_archive_entries(folder / f"images_{split}.zip", split), key=_place))


def _place(entry: _Entry) -> tuple[str, int, int]:
    return entry.alphabet, entry.character, entry.drawer


def _decode(entries: list[_Entry]) -> Drawings:
    ink = torch.empty(len(entries), IMAGE_SIZE_PX, IMAGE_SIZE_PX, dtype=torch.bool)
    for row, entry in enumerate(entries):
        ink[row] = _ink(entry.image)
    names = tuple(sorted({entry.alphabet for entry in entries}))
    characters = {key: i for i, key in enumerate(sorted({(entry.alphabet, entry.character) for entry in entries}))}
    return Drawings(
        ink,
        torch.tensor([names.index(entry.alphabet) for entry in entries]),
        torch.tensor([characters[entry.alphabet, entry.character] for entry in entries]),
        torch.tensor([entry.drawer for entry in entries]),
        names,
    )


def _ink(image: bytes) -> Bool[Tensor, "105 105"]:
    with Image.open(io.BytesIO(image), formats=("PNG",)) as picture:
        return torch.from_numpy(np.asarray(picture.convert("L")) < 128)


def _archive_entries(archive: Path, split: Split) -> list[_Entry]:
    entries = []
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            if match := IMAGE_PATH.fullmatch(member.filename):
                entries.append(_Entry(members.read(member), match[2], int(match[3]), int(match[4])))
    return entries

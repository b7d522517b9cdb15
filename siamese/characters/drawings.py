"""Drawings of characters as tensors."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor
from tqdm import tqdm

from siamese.preprocessing import Preprocessing, prepare_ink


@dataclass(frozen=True)
class Drawings:
    """One split; row i of every tensor belongs to drawing i. Any two drawings of a character are by two drawers.

    Attributes:
        ink: Ink true on paper false, as drawn: not yet brought to one centre and extent.
        alphabet: Index into `alphabet_names`.
        character: Index over the characters of all alphabets; equal where two drawings show the same character.
        drawer: Who drew it, from 1, as in Omniglot's file names.
        alphabet_names: Names of the alphabets.
    """

    ink: Bool[Tensor, "drawings 105 105"]
    alphabet: Int64[Tensor, " drawings"]
    character: Int64[Tensor, " drawings"]
    drawer: Int64[Tensor, " drawings"]
    alphabet_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ink)

    def digest(self) -> str:
        """Gives the SHA-256 of all pixels and of which character each drawing shows."""
        digest = hashlib.sha256(self.ink.numpy().data)
        digest.update(self.character.numpy().data)
        return digest.hexdigest()

    def take(self, rows: Int64[Tensor, " rows"] | Bool[Tensor, " drawings"]) -> "Drawings":
        """Takes the drawings of these rows; alphabet names keep their index."""
        return Drawings(
            self.ink[rows], self.alphabet[rows], self.character[rows], self.drawer[rows], self.alphabet_names
        )

    def of_alphabets(self, names: set[str]) -> "Drawings":
        """Takes the drawings of the alphabets named; raises ValueError for an unknown name."""
        unknown = names - set(self.alphabet_names)
        if unknown:
            raise ValueError(
                f"No alphabet is called {', '.join(sorted(unknown))}; there are {', '.join(self.alphabet_names)}."
            )
        wanted = torch.tensor([i for i, name in enumerate(self.alphabet_names) if name in names], dtype=torch.int64)
        return self.take(torch.isin(self.alphabet, wanted))

    def prepared(self, preprocessing: Preprocessing, progress: bool = False) -> UInt8[Tensor, "drawings 1 105 105"]:
        """Brings every drawing to one centre and extent; ink 255 on paper 0."""
        pictures = torch.empty(len(self), 1, *self.ink.shape[1:], dtype=torch.uint8)
        for row, ink in enumerate(tqdm(self.ink, desc="preparing", unit="drawing", disable=not progress)):
            pictures[row] = (prepare_ink(ink.float(), preprocessing) * 255).round().to(torch.uint8)
        return pictures


def joined(first: Drawings, second: Drawings) -> Drawings:
    """Puts two sets together; alphabets and characters of `second` are numbered after those of `first`.

    Raises:
        ValueError: Both have an alphabet of the same name.
    """
    both = sorted(set(first.alphabet_names) & set(second.alphabet_names))
    if both:
        raise ValueError(f"Both data sets have an alphabet called {', '.join(both)}.")
    characters = int(first.character.max()) + 1 if len(first) else 0
    return Drawings(
        torch.cat([first.ink, second.ink]),
        torch.cat([first.alphabet, second.alphabet + len(first.alphabet_names)]),
        torch.cat([first.character, second.character + characters]),
        torch.cat([first.drawer, second.drawer]),
        first.alphabet_names + second.alphabet_names,
    )


def pack_bits(ink: Bool[Tensor, "drawings 105 105"]) -> UInt8[Tensor, "drawings bytes"]:
    """Packs eight pixels into a byte, row after row."""
    return torch.from_numpy(np.packbits(ink.flatten(1).numpy(), axis=1))


def unpack_bits(packed: UInt8[Tensor, "drawings bytes"], size_px: int) -> Bool[Tensor, "drawings size size"]:
    """Undoes `pack_bits` for square drawings."""
    bits = np.unpackbits(packed.numpy(), axis=1, count=size_px * size_px)
    return torch.from_numpy(bits.reshape(-1, size_px, size_px)).bool()

"""Drawings without strokes, and embeddings without a network: to count with."""

import math

import torch

from siamese.characters.drawings import Drawings


def blots(alphabets: dict[str, int], drawers: int, spoilt: float = 0.002) -> Drawings:
    """Alphabets with so many characters, each a coarse pattern of its own with single pixels turned over."""
    generator = torch.Generator().manual_seed(5)
    characters = sum(alphabets.values())
    cells = torch.rand(characters, 7, 7, generator=generator) < 0.3
    pattern = torch.nn.functional.pad(cells.repeat_interleave(5, 1).repeat_interleave(5, 2), (35,) * 4)
    character = torch.arange(characters).repeat_interleave(drawers)
    ink = pattern[character] ^ (torch.rand(len(character), 105, 105, generator=generator) < spoilt)
    alphabet = torch.arange(len(alphabets)).repeat_interleave(torch.tensor(list(alphabets.values())) * drawers)
    return Drawings(ink, alphabet, character, torch.arange(1, drawers + 1).repeat(characters), tuple(alphabets))


def embeddings_of(drawings: Drawings, noise: float) -> torch.Tensor:
    """Embeddings in which characters lie apart by more or less than drawers of one character do."""
    generator = torch.Generator().manual_seed(9)
    centres = torch.rand(int(drawings.character.max()) + 1, 4096, generator=generator)
    return (centres[drawings.character] + noise * torch.randn(len(drawings), 4096, generator=generator)).clamp(0, 1)


def scribbles(alphabets: int, characters: int, drawers: int) -> Drawings:
    """Random dots: enough where nothing is to be learned."""
    shape = alphabets, characters, drawers
    rows = torch.arange(math.prod(shape))
    ink = torch.rand(len(rows), 105, 105, generator=torch.Generator().manual_seed(1)) < 0.05
    names = tuple(f"alphabet {index}" for index in range(alphabets))
    return Drawings(ink, rows // (characters * drawers), rows // drawers, rows % drawers + 1, names)

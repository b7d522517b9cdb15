"""Samples the batches and pairs of training; what is drawn depends on (seed, step) alone."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from siamese.characters.drawings import Drawings
from train.seeding import step_generator


@dataclass(frozen=True)
class Batch:
    """Drawings of one step; each is compared with every other.

    Attributes:
        rows: Rows of the training drawings.
        view: One of the eight views of the square, see `train.augment`.
        character: Equal where two rows show the same character in the same view.
    """

    rows: Int64[Tensor, " n"]
    view: Int64[Tensor, " n"]
    character: Int64[Tensor, " n"]


@dataclass(frozen=True)
class PairBatch:
    """Pairs of one step.

    Attributes:
        first: Rows of the training drawings.
        second: Rows of the training drawings.
        same: Whether both show one character.
        copy: 0 for the pair as drawn, otherwise the number of a distorted copy, unlike that of any other pair.
    """

    first: Int64[Tensor, " pairs"]
    second: Int64[Tensor, " pairs"]
    same: Bool[Tensor, " pairs"]
    copy: Int64[Tensor, " pairs"]


@dataclass(frozen=True)
class AlphabetSampler:
    """Fills batches from as few alphabets as possible, whose characters are the hardest to tell apart.

    Attributes:
        by_character: Rows of each character's drawings.
        by_alphabet: Characters of each alphabet, as places in `by_character`.
        weight: How often each alphabet is drawn.
    """

    by_character: list[Int64[Tensor, " _"]]
    by_alphabet: list[Int64[Tensor, " _"]]
    weight: Float[Tensor, " alphabets"]

    def sample(self, characters: int, drawers: int, views: int, generator: torch.Generator) -> Batch:
        """Samples a batch.

        Args:
            characters: Number of characters.
            drawers: Drawings of each, fewer where a character has fewer.
            views: Each alphabet is seen in one of the first `views` of the eight views of the square.
            generator: Decides everything.

        Raises:
            ValueError: The training set holds fewer characters.
        """
        rows, view, character = [], [], []
        for alphabet in torch.multinomial(self.weight, len(self.weight), generator=generator).tolist():
            members = self.by_alphabet[alphabet]
            seen_as = int(torch.randint(views, (), generator=generator))
            for member in members[torch.randperm(len(members), generator=generator)].tolist():
                drawings = self.by_character[member]
                rows.append(drawings[torch.randperm(len(drawings), generator=generator)[:drawers]])
                view.append(torch.full((len(rows[-1]),), seen_as))
                character.append(torch.full((len(rows[-1]),), member))
                if len(rows) == characters:
                    return Batch(torch.cat(rows), torch.cat(view), torch.cat(character))
        raise ValueError(
            f"A batch of {characters} characters was asked for, the training set holds only {len(rows)}; "
            "choose fewer characters."
        )


def alphabet_sampler(drawings: Drawings) -> AlphabetSampler:
    """Makes a sampler that draws alphabets in proportion to their characters.

    Raises:
        ValueError: A character was drawn only once.
    """
    by_character = rows_of(drawings.character)
    if any(len(rows) < 2 for rows in by_character):
        raise ValueError("A character was drawn only once; training needs two drawers of each.")
    owner = torch.stack([drawings.alphabet[rows[0]] for rows in by_character])
    by_alphabet = rows_of(owner)
    return AlphabetSampler(by_character, by_alphabet, torch.tensor([float(len(m)) for m in by_alphabet]))


def rows_of(label: Int64[Tensor, " n"]) -> list[Int64[Tensor, " _"]]:
    """Lists for each label, in rising order, the places that have it."""
    order = label.argsort(stable=True)
    return list(order.split(label.unique(return_counts=True)[1].tolist()))


@dataclass(frozen=True)
class PairList:
    """A fixed list of pairs that is gone through in a new order each epoch.

    Attributes:
        first: Rows of the training drawings.
        second: Rows of the training drawings.
        same: Whether both show one character.
        copies: Distorted copies of each pair, beside the pair itself.
        seed: Decides the orders.

    Source: Koch et al. (2015), section 4.1.
    """

    first: Int64[Tensor, " pairs"]
    second: Int64[Tensor, " pairs"]
    same: Bool[Tensor, " pairs"]
    copies: int
    seed: int

    def __len__(self) -> int:
        return len(self.first) * (1 + self.copies)

    def sample(self, pairs: int, step: int) -> PairBatch:
        """Gives the pairs of a step, `pairs` of them; the end of an epoch that fills no batch is left out."""
        pairs = min(pairs, len(self))
        epoch, place = divmod(step, len(self) // pairs)
        order = torch.randperm(len(self), generator=step_generator(self.seed, -1 - epoch))
        chosen = order[place * pairs : (place + 1) * pairs]
        pair, copy = chosen % len(self.first), chosen // len(self.first)
        return PairBatch(
            self.first[pair],
            self.second[pair],
            self.same[pair],
            torch.where(copy > 0, copy * len(self.first) + pair, 0),
        )


def pair_list(
    drawings: Drawings, pairs: int, copies: int, seed: int, different_within_alphabet: bool = True
) -> PairList:
    """Draws a list of pairs by different drawers, alternately same and different, as many of each alphabet.

    Args:
        drawings: The training drawings.
        pairs: Number of pairs, without copies.
        copies: Distorted copies of each pair.
        seed: Decides the pairs and their orders.
        different_within_alphabet: Whether the characters of a different pair come from one alphabet.

    Raises:
        ValueError: A character was drawn only once, or no alphabet has two characters.
    """
    generator = step_generator(seed, 0)
    by_character = dict(zip(drawings.character.unique().tolist(), rows_of(drawings.character), strict=True))
    alphabets = [
        [by_character[c] for c in drawings.character[rows].unique().tolist()] for rows in rows_of(drawings.alphabet)
    ]
    alphabets = [characters for characters in alphabets if len(characters) > 1]
    if not alphabets or min(len(rows) for rows in by_character.values()) < 2:
        raise ValueError("Pairs need an alphabet of two characters, and two drawers of each character.")
    everything = list(by_character.values())
    first, second = [], []
    for index in range(pairs):
        characters = alphabets[index // 2 % len(alphabets)]
        one, other = torch.randperm(len(characters), generator=generator)[:2].tolist()
        a, b = characters[one], characters[one if index % 2 == 0 else other]
        if index % 2 and not different_within_alphabet:
            b = everything[int(torch.randint(len(everything), (), generator=generator))]
            while b is a:
                b = everything[int(torch.randint(len(everything), (), generator=generator))]
        left = a[torch.randint(len(a), (), generator=generator)]
        others = b[drawings.drawer[b] != drawings.drawer[left]]
        first.append(left)
        second.append(others[torch.randint(len(others), (), generator=generator)])
    same = torch.arange(pairs) % 2 == 0
    return PairList(torch.stack(first), torch.stack(second), same, copies, seed)

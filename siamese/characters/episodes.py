"""Samples and scores N-way one-shot trials: a query, and one drawing of each of `n_way` characters."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from siamese.characters.drawings import Drawings
from siamese.network import SiameseNetwork

SCORE_BLOCK_ELEMENTS = 1 << 20  # of a block of differences: 4 MiB stay in the cache, 64 MiB take 3 times as long
CHOICE_BLOCK_ELEMENTS = 1 << 23  # of one block of random keys


class EpisodeError(ValueError):
    """Raised for trials that the drawings cannot give; the message is one sentence."""


@dataclass(frozen=True)
class Trials:
    """One-shot trials as rows into a `Drawings`; row i of every tensor belongs to trial i.

    Attributes:
        support: One drawing of each of `n_way` characters.
        query: A drawing of one of these characters, by another drawer than its drawing in `support`.
        label: Place of the query's character in `support`, from 0.
    """

    support: Int64[Tensor, "trials n_way"]
    query: Int64[Tensor, " trials"]
    label: Int64[Tensor, " trials"]

    def __len__(self) -> int:
        return len(self.query)

    @property
    def n_way(self) -> int:
        return self.support.shape[1]


@dataclass(frozen=True)
class _Characters:
    """The characters that can be asked for, with their drawings: `rows[first : first + drawings]`."""

    rows: Int64[Tensor, " drawings"]
    first: Int64[Tensor, " characters"]
    drawings: Int64[Tensor, " characters"]
    alphabet: Int64[Tensor, " characters"]


def sample_trials(
    drawings: Drawings, n_way: int, trials: int, generator: torch.Generator, within_alphabet: bool
) -> Trials:
    """Samples random trials; the true class stands at a random place.

    Supports are by any drawers, the query is by another drawer than the support of its own character. Characters drawn
    only once take no part.

    Args:
        drawings: What the rows point to.
        n_way: Number of candidates, at least 2.
        trials: Number of trials, at least 1.
        generator: Decides everything.
        within_alphabet: Each trial takes one alphabet, all alphabets of at least `n_way` characters being equally
            likely, and `n_way` of its characters. Otherwise it takes `n_way` of all characters.

    Raises:
        EpisodeError: `n_way` or `trials` is out of range, or no alphabet holds enough characters.
    """
    if n_way < 2:
        raise EpisodeError(f"n_way is {n_way}, but a trial needs at least 2 characters to choose from.")
    if trials < 1:
        raise EpisodeError(f"{trials} trials were asked for, but at least 1 is needed.")
    characters = _characters(drawings)
    pools = _pools(characters.alphabet, n_way, within_alphabet)
    if len(pools) == 0:
        where = "no alphabet holds" if within_alphabet else "these drawings do not hold"
        most = characters.alphabet.bincount().max().item() if within_alphabet and len(characters.alphabet) else 0
        count = most if within_alphabet else len(characters.alphabet)
        raise EpisodeError(
            f"A {n_way}-way trial needs {n_way} characters drawn by two drawers each, but {where} that many "
            f"({'the largest has' if within_alphabet else 'there are'} {count})."
        )
    chosen = _choose_characters(pools, n_way, trials, generator)
    # Characters come in random order; the place of the true one is drawn as well, so that it rests on no sorting.
    label = torch.randint(n_way, (trials,), generator=generator)
    place = _below(characters.drawings[chosen], generator)
    true = chosen.gather(1, label[:, None]).squeeze(1)
    true_place = place.gather(1, label[:, None]).squeeze(1)
    drawn = characters.drawings[true]
    other_place = (true_place + 1 + _below(drawn - 1, generator)) % drawn
    return Trials(
        support=characters.rows[characters.first[chosen] + place],
        query=characters.rows[characters.first[true] + other_place],
        label=label,
    )


def excluded_alphabets(drawings: Drawings, n_way: int) -> list[str]:
    """Names the alphabets that have too few characters for `n_way` trials within one alphabet."""
    characters = _characters(drawings)
    held = characters.alphabet.bincount(minlength=len(drawings.alphabet_names))
    present = drawings.alphabet.bincount(minlength=len(drawings.alphabet_names)) > 0
    return [drawings.alphabet_names[i] for i in (present & (held < n_way)).nonzero().flatten().tolist()]


@torch.no_grad()
def trial_logits(
    network: SiameseNetwork, embeddings: Float[Tensor, "drawings units"], trials: Trials
) -> Float[Tensor, "trials n_way"]:
    """Computes the logits of each query with each of its supports.

    Args:
        network: Its head compares.
        embeddings: In the order of the drawings.
        trials: Rows into the embeddings.
    """
    rows = max(1, SCORE_BLOCK_ELEMENTS // (trials.n_way * embeddings.shape[1]))
    blocks = []
    for support, query in zip(trials.support.split(rows), trials.query.split(rows), strict=True):
        candidates = embeddings[support.to(embeddings.device)]
        blocks.append(
            network.compare(embeddings[query.to(embeddings.device)][:, None].expand_as(candidates), candidates)
        )
    return torch.cat(blocks)


def correct(logits: Float[Tensor, "trials n_way"], label: Int64[Tensor, " trials"]) -> Bool[Tensor, " trials"]:
    """Tells whether the true class alone scores highest; a tie, or a score that is not a number, counts as wrong."""
    true = logits.gather(1, label[:, None].to(logits.device))
    return (logits < true).sum(1) == logits.shape[1] - 1


def _characters(drawings: Drawings) -> _Characters:
    signed = torch.stack([drawings.character, drawings.drawer], 1)
    if len(signed.unique(dim=0)) < len(signed):
        raise EpisodeError("A character has two drawings by one drawer, so query and support cannot be told apart.")
    character, count = drawings.character.unique(return_counts=True)
    rows = drawings.character.argsort(stable=True)
    first = count.cumsum(0) - count
    usable = count >= 2
    alphabet = drawings.alphabet[rows[first]] if len(character) else drawings.alphabet
    return _Characters(rows, first[usable], count[usable], alphabet[usable])


def _pools(
    alphabet: Int64[Tensor, " characters"], n_way: int, within_alphabet: bool
) -> Bool[Tensor, "pools characters"]:
    """Sets of characters that a trial may be taken from."""
    if not within_alphabet:
        pools = torch.ones(1, len(alphabet), dtype=torch.bool)
    else:
        pools = alphabet.unique()[:, None] == alphabet[None]
    return pools[pools.sum(1) >= n_way]


def _choose_characters(
    pools: Bool[Tensor, "pools characters"], n_way: int, trials: int, generator: torch.Generator
) -> Int64[Tensor, "trials n_way"]:
    """Different characters of one random pool for each trial, in random order."""
    size = pools.sum(1)
    members = torch.zeros(len(pools), int(size.max()), dtype=torch.int64)
    for row, pool in zip(members, pools, strict=True):
        row[: int(pool.sum())] = pool.nonzero().flatten()
    beyond = torch.arange(members.shape[1])[None] >= size[:, None]
    chosen = []
    for pool in torch.randint(len(pools), (trials,), generator=generator).split(
        max(1, CHOICE_BLOCK_ELEMENTS // members.shape[1])
    ):
        keys = torch.rand(len(pool), members.shape[1], generator=generator)
        keys[beyond[pool]] = -1.0  # below every key, so never among the highest
        chosen.append(members[pool].gather(1, keys.topk(n_way, dim=1).indices))
    return torch.cat(chosen)


def _below(limit: Int64[Tensor, "*shape"], generator: torch.Generator) -> Int64[Tensor, "*shape"]:
    """A random whole number from 0 up to, without, each limit."""
    # float64 keeps the product below the limit; rand is below 1
    return (torch.rand(limit.shape, generator=generator, dtype=torch.float64) * limit).long()

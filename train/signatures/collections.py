"""Collections of signatures in one run: their names, and which writers of each train, validate and test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from siamese.preprocessing import Preprocessing
from siamese.signatures.dataset import Signatures, load_signatures
from train.config import RecipeError
from train.signatures.config import SignatureConfig

SPLIT_SEED = 0  # one division of the writers for every recipe and seed, so that those for the test stay unseen
PARTS = ("training", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Names of writers: no two parts share one."""

    training: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Division:
    """Collections by their names, and a division of the writers of each."""

    collections: Mapping[str, Signatures]
    splits: Mapping[str, Split]

    def part(self, name: str) -> dict[str, Signatures]:
        """The signatures of one of PARTS by collection; collections without such writers are left out."""
        chosen = {
            collection: signatures.of_writers(getattr(self.splits[collection], name))
            for collection, signatures in self.collections.items()
        }
        return {collection: signatures for collection, signatures in chosen.items() if len(signatures)}


def load_collections(sources: Sequence[str], preprocessing: Preprocessing) -> dict[str, Signatures]:
    """The signatures of each source.

    Args:
        sources: What `load_signatures` takes.
        preprocessing: How ink is brought to 105 x 105 pixels.

    Returns:
        By the source's name, without folders and suffix; that of a single source is empty, so that its writers keep
        their names.

    Raises:
        RecipeError: Two sources have one name.
        SourceError: A source cannot be read.
    """
    if len(sources) == 1:
        return {"": load_signatures(sources[0], preprocessing)}
    names = [collection_name(source) for source in sources]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(f"Two collections are called {twice[0]}; rename one, so that they can be told apart.")
    return {name: load_signatures(source, preprocessing) for name, source in zip(names, sources, strict=True)}


def collection_name(source: str) -> str:
    """What a source is called: "cedar" for "data/cedar.zip"."""
    return Path(source.partition("@")[0]).stem


def divided_collections(collections: Mapping[str, Signatures], config: SignatureConfig) -> Division:
    """Who trains, validates and tests in each collection, as `split_writers` says; raises RecipeError."""
    splits = {name: split_writers(signatures.writers_held, config) for name, signatures in collections.items()}
    return Division(collections, splits)


def image_hashes(parts: Mapping[str, Signatures]) -> dict[str, list[str]]:
    """SHA-256 of the images of each writer, forgeries too; writers are called "collection/writer", or by their own
    names where the collection has none."""
    found: dict[str, list[str]] = {}
    for name, signatures in parts.items():
        before = f"{name}/" if name else ""
        for index, digest in zip(signatures.writer.tolist(), signatures.sha256, strict=True):
            found.setdefault(before + signatures.writer_names[index], []).append(digest)
    return found


def split_writers(names: tuple[str, ...], config: SignatureConfig) -> Split:
    """Who trains, validates and tests: decided by the number of writers alone.

    Raises RecipeError where fewer than two are left to train on.
    """
    order = shuffled(names)
    test, rest = order[: config.test_writers], order[config.test_writers :]
    return divided(rest, test, config)


def fold_splits(names: tuple[str, ...], folds: int, config: SignatureConfig) -> list[Split]:
    """Each writer tests in one fold; those who validate are drawn from the others. Raises RecipeError."""
    if not 2 <= folds <= len(names):
        raise RecipeError(f"--folds is {folds}, must lie in 2 to {len(names)}, the number of writers.")
    order = shuffled(names)
    splits = []
    for fold in range(folds):
        test = order[fold::folds]
        rest = tuple(name for name in order if name not in test)
        splits.append(divided(rest, test, config))
    return splits


def shuffled(names: tuple[str, ...]) -> tuple[str, ...]:
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(SPLIT_SEED))
    return tuple(names[place] for place in order.tolist())


def divided(rest: tuple[str, ...], test: tuple[str, ...], config: SignatureConfig) -> Split:
    begin = config.validation_part * config.validation_writers
    validation = rest[begin : begin + config.validation_writers]
    training = tuple(name for name in rest if name not in validation)
    if config.validation_part and not validation:
        raise RecipeError(
            f"There is no part {config.validation_part}, counted from 0, of {config.validation_writers} each among the "
            f"{len(rest)} writers who do not test."
        )
    if len(training) < 2:
        raise RecipeError(
            f"Of {len(rest) + len(test)} writers {len(test)} test and {config.validation_writers} validate, which "
            "leaves fewer than two to train on; give more, or lower test_writers and validation_writers."
        )
    return Split(training, validation, test)

"""Several collections in one run: their names, their writers, and an even mixture."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from siamese.signatures.dataset import Signatures
from siamese.signatures.features import StrokeFeatures
from train.config import RecipeError
from train.signatures import collections as module
from train.signatures.collections import (
    collection_name,
    divided_collections,
    image_hashes,
    load_collections,
    split_writers,
)
from train.signatures.config import SignatureConfig
from train.signatures.sampling import writer_sampler

CONFIG = SignatureConfig(test_writers=2, validation_writers=1, writers=4, genuine=2, forgeries=1)


def some_signatures(writers: int, names: int = 1) -> Signatures:
    """Blank pictures: three genuine ones and a forgery or, of each name, three drawings."""
    each = 4 if names == 1 else 3 * names
    rows = torch.arange(writers * each)
    return Signatures(
        images=torch.zeros(len(rows), 1, 105, 105, dtype=torch.uint8),
        writer=rows // each,
        genuine=(rows % each < 3) | (names > 1),
        writer_names=tuple(f"{index:02d}" for index in range(writers)),
        sha256=tuple(f"{writers}-{row}" for row in rows.tolist()),
        text=tuple("" if names == 1 else str(row % each // 3) for row in rows.tolist()),
        medium=("",) * len(rows),
        raw_statistics=torch.zeros(len(rows), 5),
        strokes=StrokeFeatures(torch.zeros(len(rows), 576), torch.zeros(len(rows), 48, 18)),
    )


def test_collections_are_called_as_their_archives_are(monkeypatch):
    sets = {source: some_signatures(1) for source in ("data/cedar.zip", "user/tablet@0123")}
    monkeypatch.setattr(module, "load_signatures", lambda source, _preprocessing: sets[source])
    alone = load_collections(["data/cedar.zip"], CONFIG.preprocessing)
    assert alone[""] is sets["data/cedar.zip"]
    both = load_collections(list(sets), CONFIG.preprocessing)
    assert list(both) == ["cedar", "tablet"]
    assert both["tablet"] is sets["user/tablet@0123"]
    with pytest.raises(RecipeError, match="Two collections are called cedar"):
        load_collections(["data/cedar.zip", "other/cedar"], CONFIG.preprocessing)
    assert collection_name("folder/") == "folder"


def test_writers_of_each_collection_are_set_aside_as_if_it_were_alone():
    collections = {"a": some_signatures(6), "b": some_signatures(5)}
    division = divided_collections(collections, CONFIG)
    for name, signatures in collections.items():
        assert division.splits[name] == split_writers(signatures.writers_held, CONFIG)
    assert [len(part.writers_held) for part in division.part("training").values()] == [3, 2]
    hashes = image_hashes(division.part("test"))
    assert sorted(name.partition("/")[0] for name in hashes) == ["a", "a", "b", "b"]
    assert all(len(digests) == 4 for digests in hashes.values())
    assert division.part("validation").keys() == {"a", "b"}
    none = divided_collections(collections, replace(CONFIG, validation_writers=0))
    assert none.part("validation") == {}
    assert next(iter(image_hashes({"": collections["a"]}))) == "00"


def test_batches_mix_collections_evenly():
    training = {"small": some_signatures(3), "large": some_signatures(30), "names": some_signatures(4, names=5)}
    sampler = writer_sampler(training)
    first = torch.tensor([0, 3 * 4, 33 * 4])  # row of each collection
    counts: Counter[int] = Counter()
    for seed in range(60):
        batch = sampler.sample(CONFIG, torch.Generator().manual_seed(seed))
        assert batch.writer.unique().tolist() == [0, 1, 2, 3]
        assert len(batch.rows.unique()) == len(batch.rows)
        counts.update((torch.searchsorted(first, batch.rows, right=True) - 1)[batch.genuine].tolist())
    assert sum(counts.values()) == 60 * 4 * 2
    assert all(0.27 < count / 480 < 0.40 for count in counts.values())


def test_a_name_s_forgeries_are_the_same_name_by_others():
    names = some_signatures(4, names=5)
    batch = writer_sampler({"": names}).sample(CONFIG, torch.Generator().manual_seed(1))
    for place in range(4):
        rows = batch.rows[batch.writer == place]
        assert len({names.text[row] for row in rows.tolist()}) == 1
        genuine = batch.genuine[batch.writer == place]
        (own,) = names.writer[rows[genuine]].unique().tolist()
        assert own not in names.writer[rows[~genuine]].tolist()

"""Which signatures of a set belong together, by hand."""

from dataclasses import replace

import torch

from siamese.signatures.dataset import Signatures
from siamese.signatures.features import StrokeFeatures
from siamese.signatures.rates import BY_OTHERS, SKILLED
from train.signatures import subjects as module
from train.signatures.subjects import kind_of_forgeries, subjects


def some_signatures(writer: list[int], genuine: list[bool], text: list[str]) -> Signatures:
    """Blank pictures."""
    count = len(writer)
    return Signatures(
        images=torch.zeros(count, 1, 105, 105, dtype=torch.uint8),
        writer=torch.tensor(writer),
        genuine=torch.tensor(genuine),
        writer_names=("a", "b", "c"),
        sha256=tuple(map(str, range(count))),
        text=tuple(text),
        medium=("",) * count,
        raw_statistics=torch.zeros(count, 5),
        strokes=StrokeFeatures(torch.zeros(count, 576), torch.zeros(count, 48, 18)),
    )


def rows_of(signatures: Signatures) -> list[tuple]:
    return [
        (one.writer, *(sorted(part.tolist()) for part in (one.genuine, one.forged, one.others)))
        for one in subjects(signatures)
    ]


def test_a_writer_s_own_signature_meets_its_forgeries():
    own = some_signatures([0, 0, 0, 2, 2], [True, True, False, True, False], [""] * 5)
    assert rows_of(own) == [(0, [0, 1], [2], [3]), (2, [3], [4], [0, 1])]
    assert kind_of_forgeries(own) == SKILLED


def test_a_name_meets_the_same_name_by_others(monkeypatch):
    # writer a: name 1 twice, name 2; writer b: name 1, name 2 twice
    names = some_signatures([0, 0, 0, 1, 1, 1], [True] * 6, ["1", "1", "2", "1", "2", "2"])
    assert rows_of(names) == [
        (0, [0, 1], [3], [4, 5]),
        (0, [2], [4, 5], [3]),
        (1, [3], [0, 1], [2]),
        (1, [4, 5], [2], [0, 1]),
    ]
    assert kind_of_forgeries(names) == BY_OTHERS
    monkeypatch.setattr(module, "MOST_BY_OTHERS", 1)
    assert [len(one.forged) for one in subjects(names)] == [1, 1, 1, 1]


def test_a_set_of_both_keeps_them_apart():
    both = some_signatures([0, 0, 1, 1, 2], [True, True, True, False, True], ["", "1", "", "", "1"])
    assert rows_of(both) == [
        (0, [0], [], [2, 4]),
        (0, [1], [4], [2]),
        (1, [2], [3], [0, 1, 4]),
        (2, [4], [1], [0, 2]),
    ]
    assert subjects(replace(both, text=("",) * 5))[0].genuine.tolist() == [0, 1]

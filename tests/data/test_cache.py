"""What is kept comes back as it was, for the same identity, or is made anew."""

import pytest
import torch

from siamese.data import cache as module
from siamese.data.cache import Stored, cached, read_stored, write_stored

STORED = Stored(
    {"images": torch.arange(4_000, dtype=torch.uint8).reshape(40, 100), "numbers": torch.arange(3)},
    {"names": ["a", "b"]},
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "new" / "cache.safetensors"
    write_stored(path, "of this", STORED)
    return path


def assert_stored(found: Stored | None) -> None:
    assert found is not None
    assert found.tensors.keys() == STORED.tensors.keys()
    assert all(torch.equal(found.tensors[name], STORED.tensors[name]) for name in STORED.tensors)
    assert found.values == STORED.values


def test_what_is_kept_comes_back(path):
    assert_stored(read_stored(path, "of this"))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_another_identity_is_not_served(path):
    assert read_stored(path, "of that") is None
    assert read_stored(path.with_name("absent"), "of this") is None


def bit_turned(content: bytes, place: int) -> bytes:
    turned = bytearray(content)
    turned[place] ^= 1
    return bytes(turned)


@pytest.mark.parametrize(
    "damaged",
    [
        lambda content: bit_turned(content, 5),
        lambda content: bit_turned(content, -1),
        lambda content: content[:-100],
        lambda _content: b"",
        lambda _content: b"PK" * 999,
    ],
)
def test_a_damaged_file_is_not_served(path, damaged):
    path.write_bytes(damaged(path.read_bytes()))
    assert read_stored(path, "of this") is None


def test_a_file_without_a_digest_is_not_served(tmp_path):
    from safetensors.torch import save_file

    save_file(STORED.tensors, tmp_path / "x.safetensors", {"identity": "of this"})
    assert read_stored(tmp_path / "x.safetensors", "of this") is None


def test_it_is_made_once_and_a_folder_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch):
    made = []

    def make() -> Stored:
        made.append(1)
        return STORED

    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    for _ in range(2):
        assert_stored(cached("a", "of this", make))
    assert len(made) == 1
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "file" / "cache")
    for _ in range(2):
        assert_stored(cached("a", "of this", make))
    assert len(made) == 3

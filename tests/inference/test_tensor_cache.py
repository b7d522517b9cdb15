"""What is kept comes back as it was, for the same identity, or not at all."""

import pytest
import torch

from siamese.inference.tensor_cache import read_tensors, write_tensors

TENSORS = {"images": torch.arange(4_000, dtype=torch.uint8).reshape(40, 100), "numbers": torch.arange(3)}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "new" / "cache.safetensors"
    write_tensors(path, "of this", TENSORS, {"names": "a, b"})
    return path


def test_what_is_kept_comes_back(path):
    tensors, words = read_tensors(path, "of this")
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert words["names"] == "a, b"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_another_identity_is_not_served(path):
    assert read_tensors(path, "of that") is None
    assert read_tensors(path.with_name("absent"), "of this") is None


@pytest.mark.parametrize("place", [5, -1])
def test_a_damaged_file_is_not_served(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert read_tensors(path, "of this") is None


def test_a_file_without_a_hash_is_not_served(tmp_path):
    from safetensors.torch import save_file

    save_file(TENSORS, tmp_path / "x.safetensors", {"identity": "of this"})
    assert read_tensors(tmp_path / "x.safetensors", "of this") is None


def test_a_place_that_cannot_be_written_raises(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        write_tensors(tmp_path / "file" / "cache.safetensors", "of this", TENSORS, {})

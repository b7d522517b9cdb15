"""Tensors that are kept in a file until what they were made of changes."""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def write_tensors(path: Path, identity: str, tensors: dict[str, Tensor], words: Mapping[str, str]) -> None:
    """Keep tensors, and words about them, as made of what `identity` names; another process sees all or nothing.

    Raises OSError.
    """
    metadata = {**words, "identity": identity, "tensors_sha256": _hash(tensors)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        unfinished = Path(folder) / path.name
        save_file(tensors, unfinished, metadata)
        unfinished.replace(path)


def read_tensors(path: Path, identity: str) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """The tensors and the words; None where the file is absent, of another identity, or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            words = file.metadata() or {}
            if words.get("identity") != identity:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError):
        return None
    return (tensors, words) if words.get("tensors_sha256") == _hash(tensors) else None


def _hash(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()

"""A cache for prepared data sets: one file each, valid until the data or the code that made it changes."""

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Stored:
    """The content of a cache file: tensors by name, and JSON values."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def cache_folder() -> Path:
    """Returns the folder of the cache, beside that of the Hub, see HF_HOME."""
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "one-look"


def cached(name: str, identity: str, make: Callable[[], Stored]) -> Stored:
    """What `make` gives, from a file where it was made before of the same data by the same code.

    Args:
        name: Of the file, without a suffix; one source keeps one file.
        identity: What the content depends on; another identity makes the file anew.
        make: Called where there is no such file. A cache that cannot be read or written costs time only.
    """
    path = cache_folder() / f"{name}.safetensors"
    found = read_stored(path, identity)
    if found is None:
        found = make()
        with contextlib.suppress(OSError):
            write_stored(path, identity, found)
    return found


def code_digest(names: tuple[str, ...]) -> str:
    """Returns a digest of files and folders of the package, so that a change of the code invalidates the cache."""
    paths = [PACKAGE / name for name in names]
    files = [file for path in paths for file in (sorted(path.glob("*.py")) if path.is_dir() else [path])]
    return digest(b"".join(file.read_bytes() for file in files))


def digest(data: bytes) -> str:
    """16 hexadecimal digits of the SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def write_stored(path: Path, identity: str, stored: Stored) -> None:
    """Writes a file of the cache; another process sees all of it or nothing.

    Raises:
        OSError: Where the folder cannot be written.
    """
    metadata = {
        "identity": identity,
        "tensors_sha256": _tensor_digest(stored.tensors),
        "values": json.dumps(stored.values),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        unfinished = Path(folder) / path.name
        save_file(stored.tensors, unfinished, metadata)
        unfinished.replace(path)


def read_stored(path: Path, identity: str) -> Stored | None:
    """What a file of the cache holds; None where it is absent, of another identity, or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("identity") != identity:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError):
        return None
    if metadata.get("tensors_sha256") != _tensor_digest(tensors):
        return None
    return Stored(tensors, json.loads(metadata["values"]))


def _tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(tensors[name].numpy().tobytes())
    return found.hexdigest()

"""Reading and replacing the files of a checkpoint."""

import os
import time
from contextlib import suppress
from pathlib import Path

from siamese.hub.schema import CheckpointError

REPLACE_TRIES, REPLACE_WAIT_S = 20, 0.1  # Windows refuses to replace a file while another process reads it

IS_WINDOWS = os.name == "nt"


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """The content of a file.

    Raises:
        CheckpointError: It is missing, cannot be read or is larger than the limit.
    """
    try:
        with path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > limit_bytes:
                raise CheckpointError(f"{path} has {size_bytes:,} bytes, more than the {limit_bytes:,} it may have.")
            return file.read()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.parent} is not a checkpoint: {path.name} is missing.") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error


def replace_file(source: Path, target: Path) -> None:
    """Calls `Path.replace`, and tries again for a while if another process has the target open, as on Windows."""
    for tries_left in reversed(range(REPLACE_TRIES)):
        try:
            source.replace(target)
            return
        except PermissionError:
            if not IS_WINDOWS or tries_left == 0:
                raise
            time.sleep(REPLACE_WAIT_S)


def flush_folder(folder: Path) -> None:
    """Makes renames permanent; not every system can open a folder."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

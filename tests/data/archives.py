"""Files in archives and in folders, for tests of what reads them."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path


def zipped(members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of these files; backslashes in their paths stay what they are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as target:
        for path, content in members.items():
            target.writestr(path, content)
    return file.getvalue()


def archive(path: Path, members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """Writes an archive of these files; returns its path."""
    path.write_bytes(zipped(members, compression))
    return path


def unpacked(folder: Path, members: Mapping[str, bytes]) -> Path:
    """Writes these files to a folder; returns it."""
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder

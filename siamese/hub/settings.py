"""What the environment says about the Hub: its address, whether it may be asked, the cache, the token."""

import atexit
import os
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

SENDABLE = re.compile(r"[!-~]+")  # what an HTTP header can hold of a token


def endpoint() -> str | None:
    """HF_ENDPOINT as it is now; `huggingface_hub` read it when it was imported."""
    return os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or None


def is_offline() -> bool:
    from huggingface_hub import constants

    return constants.is_offline_mode() or os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


class UnsendableToken(ValueError):
    """A token that no request can carry; its text is the end of a sentence."""


def access_token(token: str | bool | None) -> str | bool:
    """The token to send; False for none.

    Args:
        token: None is HF_TOKEN or the token saved at login, False none at all. Blanks and line ends around it are
            dropped; an empty one is none.

    Raises:
        UnsendableToken: It holds blanks inside, control characters or letters beyond ASCII.
    """
    from huggingface_hub.utils import get_token

    if token is False:
        return False
    if not isinstance(token, str):
        try:
            token = get_token() or ""
        except (OSError, UnicodeDecodeError):  # the file of the token cannot be read
            token = ""
    token = token.strip()
    if token and not SENDABLE.fullmatch(token):
        raise UnsendableToken("the token (HF_TOKEN) holds a character that cannot be sent, so copy it once more")
    return token or False


def cache_folder(cache_dir: str | os.PathLike | None = None) -> Path:
    """Where models are looked for; by default below HF_HOME."""
    from huggingface_hub import constants

    return Path(cache_dir or constants.HF_HUB_CACHE)


def writable_cache(cache_dir: str | os.PathLike | None = None) -> tuple[Path, str | None]:
    """Where a download can be kept.

    Returns:
        The cache and None or, where that cannot be written, a folder that lasts as long as the process, and a
        sentence about it.
    """
    folder = cache_folder(cache_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder, None
    except OSError:
        return temporary_cache(), f"The cache {folder} cannot be written, so the download is not kept."


@cache
def temporary_cache() -> Path:
    """A folder that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="one-look-hub-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder

"""Downloads the two files of a checkpoint from the Hub into the cache, with a limit on every wait.

`huggingface_hub` keeps the cache, the tokens and the protocol. What it does not do is give up early: without a
cached copy it retries for minutes.
"""

import os
import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from siamese.hub.checkpoint import CONFIG_FILE, WEIGHTS_FILE, WEIGHTS_LIMIT_BYTES
from siamese.hub.errors import DownloadTimeout, HubError, RefusedToken, StalledDownload, reason
from siamese.hub.settings import UnsendableToken, access_token, endpoint, writable_cache

COMMIT = re.compile(r"[0-9a-f]{40}")
LEFTOVER_AGE_S = 3600  # a partial download that old belongs to nobody any more
POLL_S = 0.05

Result = TypeVar("Result")


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for the Hub, in seconds."""

    answer_s: float
    """Limit for the answer to the first, small request."""
    silence_s: float
    """Limit for the next piece of a download (10 MB in `huggingface_hub`)."""
    download_s: float
    """Limit for a whole download."""


@dataclass(frozen=True)
class Request:
    """What is asked of the Hub."""

    repo_id: str
    revision: str
    """A branch, a tag or a commit."""
    token: str | bool | None
    """None is HF_TOKEN or the token saved at login, False none at all."""
    cache_dir: str | os.PathLike | None
    """None is the cache below HF_HOME."""

    @property
    def name(self) -> str:
        return self.repo_id if self.revision == "main" else f"{self.repo_id}@{self.revision}"

    @property
    def folder(self) -> str:
        """The repository's name in the cache."""
        return f"models--{self.repo_id.replace('/', '--')}"


def fetch(request: Request, timeouts: Timeouts, cache: Path, force_download: bool) -> tuple[Path, str | None]:
    """A complete snapshot of the revision, fetched where `cache` does not hold it.

    Returns:
        The snapshot and, where something has to be said about it, a sentence.

    Raises:
        HubError: The files cannot be had.
    """
    remarks: list[str] = []
    try:
        commit = resolve_commit(request, timeouts)
    except RefusedToken as refused:
        request = replace(request, token=False)  # a public model needs none
        try:
            commit = resolve_commit(request, timeouts)
        except HubError as error:
            raise HubError(str(refused)) from error
        fault = str(refused).partition(": ")[2].removesuffix(".")
        remarks.append(f"{fault[0].upper()}{fault[1:]}; {request.name} was read without one.")
    folder = cache / request.folder / "snapshots" / commit
    if not force_download and is_complete(folder):
        return folder, " ".join(remarks) or None
    target, remark = writable_cache(request.cache_dir)
    remarks += [remark] if remark else []
    folder = target / request.folder / "snapshots" / commit
    if force_download or not is_complete(folder):
        folder = download(request, timeouts, target, force_download)
    return folder, " ".join(remarks) or None


def is_complete(folder: Path) -> bool:
    """Whether a folder has both files; False where that cannot be seen."""
    try:
        return all((folder / name).is_file() for name in (CONFIG_FILE, WEIGHTS_FILE))
    except OSError:
        return False


def resolve_commit(request: Request, timeouts: Timeouts) -> str:
    """The commit that the Hub has for the revision, after a look at the sizes of both files.

    Raises:
        RefusedToken: The Hub answers 401 to the token, or the token cannot be sent.
        HubError: Anything else.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    has_token = isinstance(request.token, str)

    def question() -> tuple[str | None, int | None]:
        nonlocal has_token
        token = access_token(request.token)
        has_token = bool(token)
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            url = hf_hub_url(request.repo_id, name, revision=request.revision, endpoint=endpoint())
            metadata = get_hf_file_metadata(url, token=token, timeout=timeouts.answer_s, endpoint=endpoint())
        return metadata.commit_hash, metadata.size

    try:
        commit, size_bytes = in_thread(question, Progress(), timeouts.answer_s + 0.5, timeouts.answer_s + 0.5)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        is_refused = isinstance(error, UnsendableToken) or (status == 401 and has_token)
        if isinstance(error, UnsendableToken) or not is_refused:
            why = reason(error, request.revision, timeouts.answer_s)
        else:
            why = "the Hub refused the token (HF_TOKEN)"
        raise (RefusedToken if is_refused else HubError)(f"{request.name} could not be loaded: {why}.") from error
    if commit is None or not COMMIT.fullmatch(commit):
        raise HubError(f"{request.name} could not be loaded: the server at {endpoint() or 'the Hub'} is not a Hub.")
    if size_bytes is not None and size_bytes > WEIGHTS_LIMIT_BYTES:
        raise HubError(f"{request.name} could not be loaded: its {WEIGHTS_FILE} has {size_bytes:,} bytes, too many.")
    return commit


def download(request: Request, timeouts: Timeouts, cache: Path, force_download: bool) -> Path:
    """Both files of one commit into the cache; raises HubError.

    A download that is merely slow goes on in the background when its time is up, and serves the next start.
    """
    from huggingface_hub import hf_hub_download

    progress = Progress()

    def work() -> Path:
        remove_leftovers(cache / request.folder / "blobs")
        token, bar = access_token(request.token), progress_bar(progress)

        def file(name: str, revision: str) -> Path:
            path = hf_hub_download(
                request.repo_id,
                name,
                revision=revision,
                token=token,
                cache_dir=cache,
                endpoint=endpoint(),
                etag_timeout=timeouts.answer_s,
                force_download=force_download,
                tqdm_class=bar,
            )
            return Path(path)

        folder = file(CONFIG_FILE, request.revision).parent
        file(WEIGHTS_FILE, folder.name)
        return folder

    try:
        return in_thread(work, progress, timeouts.silence_s, timeouts.download_s)
    except DownloadTimeout as error:
        raise HubError(
            f"{request.name} is still being downloaded after {timeouts.download_s:.0f} s; a later start will find it."
        ) from error
    except Exception as error:
        progress.abandoned = True
        why = reason(error, request.revision, timeouts.answer_s)
        raise HubError(f"{request.name} could not be downloaded: {why}.") from error


def remove_leftovers(blobs: Path) -> None:
    """Removes partial downloads of processes that were killed; their names are unique, so nothing else does."""
    for path in blobs.glob("*.incomplete"):
        if time.time() - path.stat().st_mtime > LEFTOVER_AGE_S:
            path.unlink(missing_ok=True)


class Progress:
    """Progress of a download: written by its thread, read by the thread that waits for it."""

    def __init__(self) -> None:
        self.received_bytes: float = 0
        self.most_bytes: float = 0
        self.moved_at = time.monotonic()
        self.abandoned = False

    def advance(self, count_bytes: float | int) -> None:
        """Notes how many bytes have arrived; only a new maximum counts as progress, as a connection may restart."""
        self.received_bytes += count_bytes
        if self.received_bytes > self.most_bytes:
            self.most_bytes, self.moved_at = self.received_bytes, time.monotonic()
        if self.abandoned:
            raise HubError("This download was given up.")


def progress_bar(progress: Progress) -> type:
    """A class for `hf_hub_download`'s tqdm_class that tells `progress` what comes in."""
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):
        def update(self, n: float | int | None = 1) -> bool | None:
            progress.advance(n or 0)
            return super().update(n)

    return Bar


def in_thread(work: Callable[[], Result], progress: Progress, silence_s: float, limit_s: float) -> Result:
    """What `work` returns or raises, or StalledDownload or DownloadTimeout.

    The client's own timeouts bound single reads: neither the look-up of a host's name, nor a server that sends
    byte after byte, nor the client's retries end by them. A thread can be left behind.
    """
    outcome: queue.SimpleQueue = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((work(), None))
        except Exception as error:
            outcome.put((None, error))

    started_at = progress.moved_at = time.monotonic()
    threading.Thread(target=run, name="hub", daemon=True).start()
    while True:
        try:
            result, error = outcome.get(timeout=POLL_S)
        except queue.Empty:
            now = time.monotonic()
            if now - progress.moved_at > silence_s:
                raise StalledDownload(silence_s) from None
            if now - started_at > limit_s:
                raise DownloadTimeout from None
            continue
        if error is not None:
            raise error
        return result

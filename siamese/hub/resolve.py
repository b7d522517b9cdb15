"""From a name, a repository at a revision or a folder, to a verified local folder with a checkpoint, and back.

`huggingface_hub` keeps the cache, the tokens and the protocol. What it does not do is give up early: without a
cached copy it retries for minutes. Here every wait has an end, and other weights answer where there are any.
"""

import errno
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from siamese.hub.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    WEIGHTS_LIMIT_BYTES,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
)

PRETRAINED = Path(__file__).parents[1] / "pretrained"
BUNDLED = "omniglot"
REPOSITORY = re.compile(r"(?P<repo_id>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
LEFTOVER_AGE_S = 3600  # a partial download that old belongs to nobody any more

Result = TypeVar("Result")


class HubError(OSError):
    """A model that cannot be had, or not be published; its text is one sentence for people."""


@dataclass(frozen=True)
class ResolvedModel:
    """Where the weights lie and whose they are."""

    folder: Path
    """Holds model.safetensors and config.json."""
    name: str
    """The repository ("user/name"), the folder as it was given, or the name of the bundled weights."""
    revision: str | None
    """The commit, 40 hexadecimal digits; None for a folder and for the bundled weights."""
    note: str | None
    """Why these weights answer instead of the ones asked for; None where they are the ones asked for."""


Found = tuple[ResolvedModel, Checkpoint | None]
"""A model and what was read of it: nothing of bundled weights, which need no proof before they are chosen."""
Option = str | os.PathLike | bool | None


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for the Hub, in seconds."""

    answer_s: float
    """For the answer to a first, small question."""
    silence_s: float
    """For the next piece of a download (10 MB in `huggingface_hub`)."""
    download_s: float
    """For a whole download, however well it goes on."""


SOME = Timeouts(answer_s=3.0, silence_s=10.0, download_s=60.0)  # other weights could answer
MUCH = Timeouts(answer_s=10.0, silence_s=60.0, download_s=3600.0)  # nothing else could


def resolve_model(source: str | os.PathLike | None = None, **options: Option) -> ResolvedModel:
    """Find a checkpoint; all as in `load_model`, but bundled weights are not read."""
    return find_model(source, **options)[0]


def load_model(source: str | os.PathLike | None = None, **options: Option) -> tuple[ResolvedModel, Checkpoint]:
    """Find a checkpoint and read it, once: "user/name", "user/name@revision", a folder, a bundled one's name, or None.

    None means the environment variable `variable`, and without it the weights `bundled`, which are never looked for
    on the network. Where the Hub does not give the revision asked for, a revision of the same repository in the
    cache answers, and for `variable` the bundled weights do; `note` then says so. With `strict` only the revision
    that was asked for will do. HF_TOKEN, HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE are respected. Options are those of
    `find_model`.

    Raises HubError or CheckpointError, one sentence each, where nothing can answer.
    """
    model, checkpoint = find_model(source, **options)
    return model, checkpoint or load_checkpoint(model.folder)


def find_model(
    source: str | os.PathLike | None,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    strict: bool = False,
    variable: str = "MODEL_ID",
    bundled: str = BUNDLED,
) -> Found:
    """What `load_model` says, without reading bundled weights."""
    from_environment = source is None
    source = os.environ.get(variable, "").strip() if source is None else str(source)
    if not source:
        return bundled_model(bundled), None
    has_other = from_environment and not strict and (PRETRAINED / bundled).is_dir()
    try:
        if is_folder(PRETRAINED / source) and Path(source).name == source:
            return bundled_model(source), None
        if is_folder(Path(source)):
            return local_model(source)
        repo_id, named_revision = parse_source(source)
        request = Request(repo_id, revision or named_revision or "main", token, cache_dir)
        return hub_model(request, local_files_only, force_download, strict, has_other)
    except (HubError, CheckpointError) as error:
        if not has_other:
            raise
        return replace(bundled_model(bundled), note=f"{error} The bundled weights answer instead."), None


def bundled_model(name: str = BUNDLED) -> ResolvedModel:
    """Weights that came with the package; raises HubError where they did not."""
    folder = PRETRAINED / name
    if not (folder / CONFIG_FILE).is_file():
        raise HubError(f"The bundled weights {name!r} are missing from {PRETRAINED}: install the package again.")
    return ResolvedModel(folder, f"{name} (bundled)", None, None)


def is_folder(path: Path) -> bool:
    """Also of what can be none: a name too long for the system, a home of nobody."""
    try:
        return path.expanduser().is_dir()
    except (OSError, RuntimeError):
        return False


def local_model(source: str) -> Found:
    folder = Path(source).expanduser()
    return ResolvedModel(folder, source, None, None), load_checkpoint(folder)


def parse_source(source: str) -> tuple[str, str | None]:
    """ "user/name@revision" in two parts, the revision None where it is left out; raises HubError."""
    match = REPOSITORY.fullmatch(source)
    if match is None or ".." in source or "--" in match["repo_id"]:
        raise HubError(f"There is no model at {source}: neither a folder nor a repository named as user/name@revision.")
    return match["repo_id"], match["revision"]


def repository_name(repo_id: str) -> str:
    """`repo_id` where something can be published under that name; raises HubError."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo_id)
        is_name = repo_id.count("/") == 1
    except HFValidationError:
        is_name = False
    if not is_name:
        raise HubError(
            f"{repo_id!r} is no name to publish under: give user/name, each of letters, digits, '-', '_' and '.'."
        )
    return repo_id


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
    def cache(self) -> Path:
        from huggingface_hub import constants

        return Path(self.cache_dir or constants.HF_HUB_CACHE) / f"models--{self.repo_id.replace('/', '--')}"


def hub_model(request: Request, local_files_only: bool, force_download: bool, strict: bool, has_other: bool) -> Found:
    """The repository's revision from the Hub, else from the cache; raises HubError or CheckpointError."""
    exact, others = cached_snapshots(request)
    if exact and COMMIT.fullmatch(request.revision) and not force_download:
        found = first_sound([exact], request, None)  # a commit does not change: nothing to ask the Hub
        if found is not None:
            return found
    try:
        if local_files_only:
            raise HubError(f"{request.name} was to be taken from the cache alone.")
        if is_offline():
            raise HubError(f"{request.name} was not asked for on the Hub, as HF_HUB_OFFLINE is set.")
        timeouts = SOME if has_other or exact or (others and not strict) else MUCH
        return fetch(request, timeouts, force_download)
    except (HubError, CheckpointError) as error:
        candidates = [folder for folder in [exact, *([] if strict else others)] if folder is not None]
        note = None if local_files_only and exact else str(error)
        found = first_sound(candidates, request, note)
        if found is not None:
            return found
        if local_files_only or is_offline():
            raise HubError(f"{error} The cache does not hold it.") from error
        raise


def first_sound(folders: list[Path], request: Request, reason: str | None) -> Found | None:
    """The first of these snapshots that loads, None where none does."""
    for folder in folders:
        try:
            checkpoint = load_checkpoint(folder)
        except CheckpointError:
            continue
        note = None if reason is None else f"{reason} Revision {folder.name[:7]} from the cache answers."
        return ResolvedModel(folder, request.repo_id, folder.name, note), checkpoint
    return None


def cached_snapshots(request: Request) -> tuple[Path | None, list[Path]]:
    """The complete snapshot of the revision asked for, if it is in the cache, and all others, newest first."""
    snapshots = request.cache / "snapshots"
    folders = snapshots.iterdir() if snapshots.is_dir() else []
    complete = [folder for folder in folders if all((folder / name).is_file() for name in (CONFIG_FILE, WEIGHTS_FILE))]
    complete.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    commit = request.revision
    if not COMMIT.fullmatch(commit):
        reference = request.cache / "refs" / request.revision
        commit = reference.read_text().strip() if reference.is_file() else ""
    exact = next((folder for folder in complete if folder.name == commit), None)
    return exact, [folder for folder in complete if folder != exact]


def is_offline() -> bool:
    from huggingface_hub import constants

    return constants.is_offline_mode() or os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def endpoint() -> str | None:
    """HF_ENDPOINT as it is now; `huggingface_hub` read it when it was imported."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def fetch(request: Request, timeouts: Timeouts, force_download: bool) -> Found:
    """A snapshot in the cache, fetched where it is not there yet; raises HubError or CheckpointError."""
    remark = None
    try:
        commit = ask(request, timeouts)
    except RefusedToken:
        request = replace(request, token=False)  # a public model needs none
        try:
            commit = ask(request, timeouts)
        except HubError as error:
            raise HubError(f"{request.name} could not be loaded: the Hub refused the token (HF_TOKEN).") from error
        remark = f"The Hub refused the token (HF_TOKEN), so {request.name} was read without one."
    folder = request.cache / "snapshots" / commit
    if not force_download and all((folder / name).is_file() for name in (CONFIG_FILE, WEIGHTS_FILE)):
        try:
            return ResolvedModel(folder, request.repo_id, folder.name, remark), load_checkpoint(folder)
        except CheckpointError:
            force_download = True  # what lies in the cache is damaged
    folder = download(request, timeouts, force_download)
    return ResolvedModel(folder, request.repo_id, folder.name, remark), load_checkpoint(folder)


class RefusedToken(HubError):
    """The Hub answers 401 to a token, whatever it was shown for."""


def ask(request: Request, timeouts: Timeouts) -> str:
    """The commit that the Hub has for the revision, after a look at the sizes of both files; raises HubError."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import get_token

    def question() -> tuple[str | None, int | None]:
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            url = hf_hub_url(request.repo_id, name, revision=request.revision, endpoint=endpoint())
            metadata = get_hf_file_metadata(url, token=request.token, timeout=timeouts.answer_s, endpoint=endpoint())
        return metadata.commit_hash, metadata.size

    try:
        commit, size_bytes = in_thread(question, Progress(), timeouts.answer_s + 0.5, timeouts.answer_s + 0.5)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        has_token = isinstance(request.token, str) or (request.token is not False and bool(get_token()))
        kind = RefusedToken if status == 401 and has_token else HubError
        raise kind(f"{request.name} could not be loaded: {reason(error, request, timeouts)}.") from error
    if commit is None or not COMMIT.fullmatch(commit):
        raise HubError(f"{request.name} could not be loaded: what answers at {endpoint() or 'the Hub'} is no Hub.")
    if size_bytes is not None and size_bytes > WEIGHTS_LIMIT_BYTES:
        raise HubError(f"{request.name} could not be loaded: its {WEIGHTS_FILE} has {size_bytes:,} bytes, too many.")
    return commit


def download(request: Request, timeouts: Timeouts, force_download: bool) -> Path:
    """Both files of one commit into the cache; raises HubError.

    A download that is merely slow goes on in the background when its time is up, and serves the next start.
    """
    from huggingface_hub import hf_hub_download

    progress = Progress()

    def work() -> Path:
        remove_leftovers(request.cache / "blobs")
        options = {
            "token": request.token,
            "cache_dir": request.cache_dir,
            "endpoint": endpoint(),
            "etag_timeout": timeouts.answer_s,
            "force_download": force_download,
            "tqdm_class": progress_bar(progress),
        }
        config = Path(hf_hub_download(request.repo_id, CONFIG_FILE, revision=request.revision, **options))
        hf_hub_download(request.repo_id, WEIGHTS_FILE, revision=config.parent.name, **options)
        return config.parent

    try:
        return in_thread(work, progress, timeouts.silence_s, timeouts.download_s)
    except DownloadTimeout as error:
        raise HubError(
            f"{request.name} is still being downloaded after {timeouts.download_s:.0f} s; a later start will find it."
        ) from error
    except Exception as error:
        progress.abandoned = True
        raise HubError(f"{request.name} could not be downloaded: {reason(error, request, timeouts)}.") from error


def remove_leftovers(blobs: Path) -> None:
    """Partial downloads of processes that were killed: their names are unique, so nobody else removes them."""
    for path in blobs.glob("*.incomplete"):
        if time.time() - path.stat().st_mtime > LEFTOVER_AGE_S:
            path.unlink(missing_ok=True)


class Progress:
    """How far a download has come: written by its thread, read by the one that waits for it."""

    def __init__(self) -> None:
        self.received_bytes = 0
        self.most_bytes = 0
        self.moved_at = time.monotonic()
        self.abandoned = False

    def advance(self, count_bytes: float | int) -> None:
        """A connection that breaks again and again at the same place brings bytes but no progress."""
        self.received_bytes += count_bytes
        if self.received_bytes > self.most_bytes:
            self.most_bytes, self.moved_at = self.received_bytes, time.monotonic()
        if self.abandoned:
            raise HubError("Nobody waits for this download any more.")


def progress_bar(progress: Progress) -> type:
    """A class for `hf_hub_download`'s tqdm_class that tells `progress` what comes in."""
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):
        def update(self, n: float | int | None = 1) -> bool | None:
            progress.advance(n or 0)
            return super().update(n)

    return Bar


class StalledDownload(TimeoutError):
    """Nothing came for as long as one was ready to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class DownloadTimeout(TimeoutError):
    """Time is up, but it moves."""


def in_thread(work: Callable[[], Result], progress: Progress, silence_s: float, limit_s: float) -> Result:
    """What `work` returns or raises, or one of the two TimeoutErrors above.

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
            result, error = outcome.get(timeout=0.05)
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


def reason(error: BaseException, request: Request, timeouts: Timeouts) -> str:
    """Why the Hub did not serve, for people."""
    from huggingface_hub import errors

    causes = chain(error)
    for cause in causes:
        if isinstance(cause, StalledDownload):
            return f"the Hub sent nothing for {cause.seconds:.0f} s"
        if isinstance(cause, errors.OfflineModeIsEnabled):
            return "HF_HUB_OFFLINE is set"
        if isinstance(cause, errors.GatedRepoError):
            return "it is gated, so ask for access on its page and set HF_TOKEN"
        if isinstance(cause, errors.RepositoryNotFoundError):
            return "there is no such repository, or it is private and HF_TOKEN does not open it"
        if isinstance(cause, errors.RevisionNotFoundError):
            return f"the repository has no revision {request.revision!r}"
        if isinstance(cause, errors.RemoteEntryNotFoundError):
            return f"the repository lacks {CONFIG_FILE} or {WEIGHTS_FILE}"
        if isinstance(cause, errors.FileMetadataError):
            return "what answers is no Hub"
        if isinstance(cause, errors.HfHubHTTPError):
            return status_reason(cause.response.status_code, cause.server_message)
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return "the disk is full"
        if isinstance(cause, PermissionError):
            return f"{cause.filename} cannot be written"
        if isinstance(cause, OSError) and "Consistency check failed" in str(cause):
            return "the file arrived incomplete"
    names = " ".join(kind.__name__ for cause in causes for kind in type(cause).__mro__)  # httpx's or httpx2's classes
    if "Timeout" in names:
        return f"the Hub did not answer within {timeouts.answer_s:.0f} s"
    if "Protocol" in names or "ReadError" in names:
        return "the connection broke off"
    if "ConnectError" in names or "Network" in names or "ProxyError" in names:
        return "the Hub cannot be reached"
    return f"{type(error).__name__}, {' '.join(str(error).split())[:200]}"


def chain(error: BaseException) -> list[BaseException]:
    """An error and what caused it, the first cause last."""
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes


def status_reason(status: int, message: str | None) -> str:
    """In our words, with the Hub's own where ours are few."""
    if status == 401:
        return "the Hub wants a valid token (HF_TOKEN)"
    if status == 403:
        return "the token (HF_TOKEN) does not permit it"
    if status == 409:
        return "somebody else changed it at the same time"
    if status == 429:
        return "the Hub has too many requests from here (429)"
    if status >= 500:
        return f"the Hub is out of order ({status})"
    said = " ".join((message or "").split())[:200].rstrip(".")
    return f"the Hub answered {status}" + (f" ({said})" if said else "")


def push_files(
    repo_id: str,
    files: Mapping[str, Path | bytes],
    *,
    message: str,
    repo_type: str = "model",
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    space_sdk: str | None = None,
    space_variables: Mapping[str, str] | None = None,
) -> str:
    """Create the repository and the branch `revision` where they do not exist and push `files` in one commit.

    `files` are paths in the repository and what goes there; `space_variables` are set before, so that the app
    starts with them. Returns the commit's address; raises HubError.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    repository_name(repo_id)
    if is_offline():
        raise HubError(f"{repo_id} was not published: HF_HUB_OFFLINE is set.")
    api = HfApi(endpoint=endpoint(), token=token)
    operations = [CommitOperationAdd(path, content) for path, content in sorted(files.items())]
    try:
        api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=space_sdk)
        if revision not in (None, "main"):
            api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
        for name, value in (space_variables or {}).items():
            api.add_space_variable(repo_id, name, value)
        commit = api.create_commit(
            repo_id, operations, commit_message=message, repo_type=repo_type, revision=revision or "main"
        )
    except Exception as error:  # whatever the client raises, from OSError and ValueError to RuntimeError
        why = reason(error, Request(repo_id, revision or "main", token, None), MUCH)
        raise HubError(f"{repo_id} was not published: {why}.") from error
    return commit.commit_url

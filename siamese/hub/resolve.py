"""From a name, a repository at a revision or a folder, to a verified local folder with a checkpoint.

Every wait for the Hub has an end, and other weights answer where there are any.
"""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from siamese.hub.checkpoint import CONFIG_FILE, WEIGHTS_FILE, Checkpoint, CheckpointError, load_checkpoint
from siamese.hub.download import COMMIT, Request, Timeouts, fetch, is_complete
from siamese.hub.errors import HubError
from siamese.hub.settings import cache_folder, is_offline

PRETRAINED = Path(__file__).parents[1] / "pretrained"
BUNDLED = "omniglot"
REPOSITORY = re.compile(r"(?P<repo_id>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?")
SOME = Timeouts(answer_s=3.0, silence_s=10.0, download_s=60.0)  # other weights could answer
MUCH = Timeouts(answer_s=10.0, silence_s=60.0, download_s=3600.0)  # nothing else could


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
    """What has to be said about them, such as why they answer instead of the ones asked for."""


Found = tuple[ResolvedModel, Checkpoint | None]
"""A model and what was read of it: nothing of bundled weights, which need no proof before they are chosen."""


def resolve_model(source: str | os.PathLike | None = None, **options: Any) -> ResolvedModel:
    """Finds a checkpoint as `load_model` does, without reading bundled weights."""
    return find_model(source, **options)[0]


def load_model(source: str | os.PathLike | None = None, **options: Any) -> tuple[ResolvedModel, Checkpoint]:
    """Finds a checkpoint and reads it, once.

    Args:
        source: "user/name", "user/name@revision", a folder, a bundled checkpoint's name, or None.
        **options: As in `find_model`.

    Raises:
        HubError: Nothing that may answer can be had.
        CheckpointError: What was found cannot be used.
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
    """Finds a checkpoint and reads it, unless it is a bundled one.

    HF_TOKEN, HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE are respected. Where the Hub does not give the revision asked
    for, another revision of the repository in the cache answers; the model's `note` then says so.

    Args:
        source: "user/name", "user/name@revision", a folder or a bundled checkpoint's name. None is what the
            environment variable `variable` names, with the weights `bundled` where that cannot be had, and without
            it those weights.
        revision: A branch, a tag or a commit; "main" by default.
        token: None is HF_TOKEN or the token saved at login, False none at all.
        cache_dir: By default the cache below HF_HOME.
        local_files_only: Ask the Hub for nothing.
        force_download: Fetch the files although the cache holds them.
        strict: Only the revision that was asked for will do.
        variable: Name of an environment variable.
        bundled: Name of a bundled checkpoint.

    Raises:
        HubError: Nothing that may answer can be had.
        CheckpointError: What was found cannot be used.
    """
    from_environment = source is None
    source = (os.environ.get(variable, "") if source is None else str(source)).strip()
    if not source:
        return bundled_model(bundled), None
    has_other = from_environment and not strict and is_folder(PRETRAINED / bundled)
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
    """False for a path that cannot be looked at, too."""
    try:
        return path.expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):  # no permission, no such user, a null character
        return False


def local_model(source: str) -> Found:
    folder = Path(source).expanduser()
    return ResolvedModel(folder, source, None, None), load_checkpoint(folder)


def parse_source(source: str) -> tuple[str, str | None]:
    """ "user/name@revision" in two parts, the revision None where it is left out; raises HubError."""
    match = REPOSITORY.fullmatch(source)
    if match is None or ".." in source or "--" in match["repo_id"]:
        shown = " ".join(source.split())
        raise HubError(f"There is no model at {shown}: neither a folder nor a repository named as user/name@revision.")
    return match["repo_id"], match["revision"]


def hub_model(request: Request, local_files_only: bool, force_download: bool, strict: bool, has_other: bool) -> Found:
    """The repository's revision from the Hub, else from the cache; raises HubError or CheckpointError."""
    try:
        exact, others = cached_snapshots(request)
    except Exception as error:  # huggingface_hub refuses some settings when it is imported
        raise HubError(f"{request.name} could not be loaded: {type(error).__name__}, {error}.") from error
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
        return fetched_model(request, timeouts, force_download)
    except (HubError, CheckpointError) as error:
        candidates = [folder for folder in [exact, *([] if strict else others)] if folder is not None]
        note = None if local_files_only and exact else str(error)
        found = first_sound(candidates, request, note)
        if found is not None:
            return found
        if local_files_only or is_offline():
            raise HubError(f"{error} The cache does not hold it.") from error
        raise


def fetched_model(request: Request, timeouts: Timeouts, force_download: bool) -> Found:
    """What the Hub has for the revision; fetched once more where the cached copy is damaged."""
    folder, note = fetch(request, timeouts, cache_folder(request.cache_dir), force_download)
    try:
        checkpoint = load_checkpoint(folder)
    except CheckpointError:
        if force_download:
            raise
        folder, note = fetch(request, timeouts, cache_folder(request.cache_dir), force_download=True)
        checkpoint = load_checkpoint(folder)
    return ResolvedModel(folder, request.repo_id, folder.name, note), checkpoint


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
    """The complete snapshot of the revision asked for, if the cache has it, and all others, newest first.

    A cache that cannot be read counts as empty.
    """
    from huggingface_hub import try_to_load_from_cache

    cache = cache_folder(request.cache_dir)
    try:
        names = (CONFIG_FILE, WEIGHTS_FILE)
        found = [try_to_load_from_cache(request.repo_id, name, cache, request.revision) for name in names]
        paths = [path for path in found if isinstance(path, str)]  # others stand for files that are not there
        exact = Path(paths[0]).parent if len(paths) == len(names) else None
        folders = [folder for folder in (cache / request.folder / "snapshots").iterdir() if is_complete(folder)]
        folders.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    except OSError:
        return None, []
    return exact, [folder for folder in folders if folder != exact]

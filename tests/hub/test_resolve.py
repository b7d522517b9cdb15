"""Every start, lucky and unlucky, against a real HTTP counterpart on loopback."""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save as serialise

from siamese.hub import download as download_module
from siamese.hub import resolve as module
from siamese.hub.checkpoint import CheckpointError
from siamese.hub.download import Timeouts
from siamese.hub.errors import HubError
from siamese.hub.push import push_files
from siamese.hub.resolve import parse_source, resolve_model
from siamese.hub.schema import FORMAT, network_entry
from tests.hub_double import OWNER_TOKEN, READER_TOKEN, HubDouble
from tests.networks import NARROW, narrow_network

# the client's own way to send raw bytes
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")

REPO = "user/one-look"
START_S = 10.0  # of a busy machine; the client's own retries would take 23 s and more


@pytest.fixture(scope="module")
def weights() -> dict[str, dict[str, bytes]]:
    """Two checkpoints, "old" and "new", as the files of a repository."""
    shapes = {name: tensor.shape for name, tensor in narrow_network().state_dict().items()}
    contents = {}
    for seed, name in enumerate(("old", "new")):
        tensors = {key: torch.full(shape, 0.5 * seed, dtype=torch.float16) for key, shape in shapes.items()}
        tensors["embedding.weight"] = torch.zeros(shapes["embedding.weight"], dtype=torch.int8)
        tensors["embedding.weight_scale"] = torch.ones(NARROW.embedding_units)
        content = serialise(tensors)
        config = {
            "format": FORMAT,
            "network": network_entry(NARROW),
            "preprocessing": {},
            "storage": "int8",
            "weights_sha256": hashlib.sha256(content).hexdigest(),
            "training": {"seed": seed},
        }
        contents[name] = {"config.json": json.dumps(config).encode(), "model.safetensors": content}
    return contents


@pytest.fixture
def hub():
    with HubDouble() as double:
        yield double
        assert double.unknown == []


@pytest.fixture
def bundled(weights, tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "pretrained" / "omniglot"
    folder.mkdir(parents=True)
    for name, content in weights["old"].items():
        (folder / name).write_bytes(content)
    monkeypatch.setattr(module, "PRETRAINED", folder.parent)
    return folder


@pytest.fixture
def without_bundled(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "PRETRAINED", tmp_path / "nothing")


def wait(monkeypatch, answer_s: float, silence_s: float, download_s: float = 120.0) -> None:
    for name in ("SOME", "MUCH"):
        monkeypatch.setattr(module, name, Timeouts(answer_s, silence_s, download_s))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, no token, timeouts with a busy machine; nothing of this machine's own settings."""
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT", "MODEL_ID", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    wait(monkeypatch, answer_s=20.0, silence_s=60.0)
    return tmp_path / "cache"


@pytest.fixture
def at_hub(hub, monkeypatch) -> HubDouble:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    return hub


@pytest.fixture
def cached(at_hub, weights) -> str:
    """The cache holds the old revision, the Hub a newer one; the digest of the old."""
    digest = at_hub.put(REPO, weights["old"])
    assert resolve_model(REPO).revision == digest
    at_hub.put(REPO, weights["new"])
    at_hub.requests.clear()
    return digest


def seed_of(model: module.ResolvedModel) -> int:
    return json.loads((model.folder / "config.json").read_text())["training"]["seed"]


def test_names_of_models():
    assert parse_source("user/name") == ("user/name", None)
    assert parse_source("user/na.me-1@v1.0") == ("user/na.me-1", "v1.0")
    assert parse_source("user/name@refs/pr/1") == ("user/name", "refs/pr/1")
    for wrong in ("user", "a/b/c", "user/name@", "user/../name", "./folder", "user/name@../../etc", "us er/name"):
        with pytest.raises(HubError, match="There is no model at"):
            parse_source(wrong)


@pytest.mark.parametrize("name", ["~nobody-of-this-name/x", "x" * 300])
def test_names_that_no_file_can_have_are_refused_like_others(name, bundled, monkeypatch):
    with pytest.raises(HubError, match="There is no model at"):
        resolve_model(name)
    monkeypatch.setenv("MODEL_ID", name)
    assert resolve_model().note.endswith("The bundled weights answer instead.")


def test_bundled_weights_never_ask_the_network(bundled, at_hub):
    model = resolve_model()
    assert (model.folder, model.name, model.revision, model.note) == (bundled, "omniglot (bundled)", None, None)
    assert resolve_model("omniglot").folder == bundled
    assert at_hub.requests == []


def test_another_kind_of_weights_has_a_variable_and_a_bundle_of_its_own(bundled, monkeypatch, tmp_path):
    kind = {"variable": "SIGNATURE_MODEL_ID", "bundled": "signatures"}
    monkeypatch.setenv("MODEL_ID", str(bundled))
    with pytest.raises(HubError, match="'signatures' are missing"):
        resolve_model(**kind)
    other = bundled.parent / "signatures"
    shutil.copytree(bundled, other)
    assert resolve_model(**kind).folder == other
    monkeypatch.setenv("SIGNATURE_MODEL_ID", str(tmp_path / "none"))
    model = resolve_model(**kind)
    assert model.folder == other
    assert model.note.endswith("The bundled weights answer instead.")


def test_missing_bundled_weights(without_bundled):
    with pytest.raises(HubError, match="bundled weights 'omniglot' are missing"):
        resolve_model()


@pytest.mark.parametrize("source", ["folder", "hub", "bundled"])
def test_weights_are_read_once(bundled, at_hub, weights, monkeypatch, source):
    """155 MB take a while to read and to hash."""
    at_hub.put(REPO, weights["new"])
    read = []
    plain = module.load_checkpoint
    monkeypatch.setattr(module, "load_checkpoint", lambda folder: (read.append(folder), plain(folder))[1])
    model, checkpoint = module.load_model({"folder": str(bundled), "hub": REPO, "bundled": None}[source])
    assert read == [model.folder]
    assert checkpoint.config["training"]["seed"] == (source == "hub")


def test_a_folder_is_verified(bundled, tmp_path):
    model = resolve_model(str(bundled))
    assert (model.folder, model.name, model.revision, model.note) == (bundled, str(bundled), None, None)
    (bundled / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="format"):
        resolve_model(bundled)
    with pytest.raises(HubError, match="There is no model at"):
        resolve_model(tmp_path / "missing")


def test_a_broken_folder_in_model_id_is_said(bundled, tmp_path, monkeypatch):
    (tmp_path / "broken").mkdir()
    monkeypatch.setenv("MODEL_ID", str(tmp_path / "broken"))
    model = resolve_model()
    assert model.folder == bundled
    assert "config.json is missing" in model.note
    assert model.note.endswith("The bundled weights answer instead.")


def test_a_repository_is_downloaded_once(at_hub, weights, cache):
    digest = at_hub.put(REPO, weights["new"] | {"README.md": b"card", "other.bin": b"\0" * 10})
    model = resolve_model(REPO)
    assert (model.name, model.revision, model.note, seed_of(model)) == (REPO, digest, None, 1)
    assert sorted(path.name for path in model.folder.iterdir()) == ["config.json", "model.safetensors"]
    at_hub.requests.clear()
    assert resolve_model(REPO) == model
    assert all(line.startswith("HEAD") for line in at_hub.requests)


def test_a_pinned_revision(at_hub, weights, monkeypatch):
    old = at_hub.put(REPO, weights["old"])
    new = at_hub.put(REPO, weights["new"], branch="v2")
    monkeypatch.setenv("MODEL_ID", f"{REPO}@v2")
    assert resolve_model().revision == new
    assert resolve_model(f"{REPO}@{old}").revision == old
    at_hub.requests.clear()
    assert seed_of(resolve_model(f"{REPO}@{old}")) == 0
    assert at_hub.requests == []  # a commit that is in the cache needs no Hub


def test_a_newer_revision_is_taken(cached, at_hub):
    model = resolve_model(REPO)
    assert model.revision != cached
    assert seed_of(model) == 1


def test_tokens(at_hub, weights, monkeypatch):
    at_hub.put(REPO, weights["new"], private=True)
    with pytest.raises(HubError, match="no such repository, or it is private and HF_TOKEN does not open it"):
        resolve_model(REPO)
    monkeypatch.setenv("HF_TOKEN", OWNER_TOKEN)
    assert resolve_model(REPO).note is None
    assert resolve_model(REPO, token=OWNER_TOKEN, force_download=True).note is None


def test_a_wrong_token_does_not_hide_a_public_model(at_hub, weights, monkeypatch):
    at_hub.put(REPO, weights["new"])
    at_hub.put("user/private", weights["new"], private=True)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "refused the token" in resolve_model(REPO).note
    with pytest.raises(HubError, match="user/private could not be loaded: the Hub refused the token"):
        resolve_model("user/private")


TROUBLE = {
    "down": ({"status": 500}, r"out of order \(500\)"),
    "unavailable": ({"status": 503}, r"out of order \(503\)"),
    "forbidden": ({"status": 403}, "does not permit it"),
    "too many": ({"status": 429, "headers": (("Retry-After", "120"),)}, r"too many requests from here \(429\)"),
    "slow": ({"delay_s": 60}, "did not answer within 1 s|sent nothing for"),
    "no hub": ({"status": 200}, "is not a Hub"),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_trouble_with_something_usable(cached, at_hub, trouble, monkeypatch):
    what, message = TROUBLE[trouble]
    if "delay_s" in what:
        wait(monkeypatch, answer_s=1.0, silence_s=60.0)
    started = time.monotonic()
    with at_hub.fault("resolve", **what):
        model = resolve_model(REPO)
    assert time.monotonic() - started < START_S
    assert (model.revision, seed_of(model)) == (cached, 0)
    assert re.search(message, model.note), model.note
    assert model.note.endswith(f"Revision {cached[:7]} from the cache answers.")


@pytest.mark.parametrize("trouble", TROUBLE)
def test_trouble_with_nothing_usable(at_hub, weights, trouble, monkeypatch):
    what, message = TROUBLE[trouble]
    if "delay_s" in what:
        wait(monkeypatch, answer_s=1.0, silence_s=60.0)
    at_hub.put(REPO, weights["new"])
    started = time.monotonic()
    with at_hub.fault("resolve", **what), pytest.raises(HubError, match=message) as caught:
        resolve_model(REPO)
    assert time.monotonic() - started < START_S
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("trouble", TROUBLE)
def test_trouble_with_bundled_weights(bundled, at_hub, weights, monkeypatch, trouble):
    what, message = TROUBLE[trouble]
    if "delay_s" in what:
        wait(monkeypatch, answer_s=1.0, silence_s=60.0)
    at_hub.put(REPO, weights["new"])
    monkeypatch.setenv("MODEL_ID", REPO)
    started = time.monotonic()
    with at_hub.fault("resolve", **what):
        model = resolve_model()
        assert time.monotonic() - started < START_S
        assert model.folder == bundled
        assert re.search(message, model.note), model.note
        assert model.note.endswith("The bundled weights answer instead.")
        with pytest.raises(HubError, match=message):
            resolve_model(strict=True)
        with pytest.raises(HubError, match=message):
            resolve_model(REPO)  # who names a model in an argument gets that one or none


def nowhere() -> str:
    """An address of this machine where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_no_network(cached, at_hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", nowhere())
    model = resolve_model(REPO)
    assert model.revision == cached
    assert "the Hub cannot be reached" in model.note
    with pytest.raises(HubError, match="user/other could not be loaded: the Hub cannot be reached"):
        resolve_model("user/other")


def test_offline_on_purpose(cached, at_hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = resolve_model(REPO)
    assert model.revision == cached
    assert "HF_HUB_OFFLINE is set" in model.note
    assert resolve_model(REPO, strict=True).revision == cached
    with pytest.raises(HubError, match=r"HF_HUB_OFFLINE is set\. The cache does not hold it"):
        resolve_model("user/other")
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        resolve_model(f"{REPO}@v9", strict=True)
    assert resolve_model(f"{REPO}@v9").revision == cached
    assert at_hub.requests == []


def test_from_the_cache_alone(cached, at_hub):
    model = resolve_model(REPO, local_files_only=True)
    assert (model.revision, model.note) == (cached, None)
    with pytest.raises(HubError, match=r"cache alone\. The cache does not hold it"):
        resolve_model("user/other", local_files_only=True)
    assert at_hub.requests == []


def test_a_gated_repository(at_hub, weights, monkeypatch):
    at_hub.put(REPO, weights["new"], gated=True)
    for token in (None, READER_TOKEN):
        with pytest.raises(HubError, match="it is gated, so ask for access"):
            resolve_model(REPO, token=token)
    assert resolve_model(REPO, token=OWNER_TOKEN).note is None


def test_a_missing_revision(cached, at_hub):
    model = resolve_model(f"{REPO}@v9")
    assert model.revision == cached
    assert "has no revision 'v9'" in model.note
    with pytest.raises(HubError, match="has no revision 'v9'"):
        resolve_model(f"{REPO}@v9", strict=True)


def test_a_missing_repository(bundled, at_hub, monkeypatch):
    with pytest.raises(HubError, match="user/none could not be loaded: there is no such repository"):
        resolve_model("user/none")
    monkeypatch.setenv("MODEL_ID", "user/none")
    assert "there is no such repository" in resolve_model().note


def test_a_repository_without_safetensors(at_hub, weights):
    at_hub.put(REPO, {"config.json": weights["new"]["config.json"], "pytorch_model.bin": b"pickle"})
    with pytest.raises(HubError, match=r"lacks config\.json or model\.safetensors"):
        resolve_model(REPO)
    assert not any("pytorch_model" in line for line in at_hub.requests)


def test_other_weights_than_the_config_names(at_hub, weights):
    at_hub.put(REPO, {"config.json": weights["new"]["config.json"], "model.safetensors": b"\0" * 1000})
    with pytest.raises(CheckpointError, match="SHA-256"):
        resolve_model(REPO)


def test_absurdly_large_weights_are_not_fetched(at_hub, weights, monkeypatch):
    at_hub.put(REPO, weights["new"])
    monkeypatch.setattr(download_module, "WEIGHTS_LIMIT_BYTES", 1_000)
    with pytest.raises(HubError, match="too many"):
        resolve_model(REPO)
    assert not any(line.startswith("GET") for line in at_hub.requests)


def test_a_connection_that_is_cut_once_is_taken_up_again(at_hub, weights):
    at_hub.put(REPO, weights["new"])
    with at_hub.fault("GET /cdn", cut_after_bytes=20_000, once=True):
        assert seed_of(resolve_model(REPO)) == 1
    assert sum(line.startswith("GET /cdn") for line in at_hub.requests) == 2


@pytest.mark.parametrize("fault", [{"cut_after_bytes": 5_000}, {"cut_after_bytes": 0}, {"stall_after_bytes": 5}])
def test_a_download_that_never_ends(cached, at_hub, fault, monkeypatch):
    wait(monkeypatch, answer_s=20.0, silence_s=1.0)
    started = time.monotonic()
    with at_hub.fault("GET /cdn", **fault):
        model = resolve_model(REPO)
    assert time.monotonic() - started < START_S
    assert model.revision == cached
    assert re.search("broke off|sent nothing for", model.note), model.note


def test_a_download_that_is_slow_serves_the_next_start(cached, at_hub, monkeypatch):
    wait(monkeypatch, answer_s=20.0, silence_s=60.0, download_s=0.3)
    with at_hub.fault("GET /cdn", delay_s=0.8):
        model = resolve_model(REPO)
        assert (model.revision, "still being downloaded" in model.note) == (cached, True)
        until = time.monotonic() + 20
        while "still being downloaded" in (resolve_model(REPO).note or ""):
            assert time.monotonic() < until
            time.sleep(0.2)
    assert seed_of(resolve_model(REPO)) == 1


def blob_of(model: module.ResolvedModel) -> Path:
    return (model.folder / "model.safetensors").resolve()


def test_a_half_written_file_in_the_cache_is_fetched_again(at_hub, weights):
    at_hub.put(REPO, weights["new"])
    blob = blob_of(resolve_model(REPO))
    blob.write_bytes(weights["new"]["model.safetensors"][:1_000])
    model = resolve_model(REPO)
    assert model.note is None
    assert blob_of(model).read_bytes() == weights["new"]["model.safetensors"]


def test_a_half_written_file_is_passed_over(cached, at_hub, monkeypatch):
    new = resolve_model(REPO)
    blob_of(new).write_bytes(b"half")
    monkeypatch.setenv("HF_ENDPOINT", nowhere())
    assert resolve_model(REPO).revision == cached
    with pytest.raises(HubError, match="cannot be reached"):
        resolve_model(REPO, strict=True)


def test_leftovers_of_killed_downloads_are_removed(at_hub, weights, cache):
    blobs = cache / "models--user--one-look" / "blobs"
    blobs.mkdir(parents=True)
    for name, age_s in (("old.incomplete", 7200), ("young.incomplete", 0)):
        (blobs / name).write_bytes(b"half")
        os.utime(blobs / name, (time.time() - age_s,) * 2)
    at_hub.put(REPO, weights["new"])
    resolve_model(REPO)
    assert [path.name for path in blobs.glob("*.incomplete")] == ["young.incomplete"]


def test_a_full_disk(cached, at_hub, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("huggingface_hub.file_download._chmod_and_move", full)
    model = resolve_model(REPO)
    assert model.revision == cached
    assert "the disk is full" in model.note
    with pytest.raises(HubError, match="the disk is full"):
        resolve_model(REPO, cache_dir=tmp_path / "other", strict=True)


def test_a_name_server_that_hangs(cached, at_hub, monkeypatch):
    """getaddrinfo has no timeout, so the client's own do not help."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(8))
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    wait(monkeypatch, answer_s=1.0, silence_s=60.0)
    started = time.monotonic()
    assert resolve_model(REPO).revision == cached
    assert time.monotonic() - started < START_S


def test_a_push_is_one_commit(at_hub, weights, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", OWNER_TOKEN)
    address = push_files(
        REPO, {**weights["new"], "README.md": b"---\nlicense: mit\n---\n"}, message="All", private=True
    )
    repository = at_hub.repositories["models", REPO]
    assert repository.titles == ["initial commit", "All"]
    assert address.endswith(repository.branches["main"])
    assert repository.private
    push_files(REPO, weights["old"], message="Older", revision="v0")
    assert set(repository.branches) == {"main", "v0"}
    assert seed_of(resolve_model(f"{REPO}@v0")) == 0
    assert seed_of(resolve_model(REPO)) == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (("create", {"status": 500}), r"was not published: the Hub is out of order \(500\)"),
        (("commit", {"status": 403}), "was not published: the token"),
        (("commit", {"status": 409}), "somebody else changed it"),
        (("repos/create", {"status": 401}), "wants a valid token"),
        (("commit", {"status": 400}), r"the Hub answered 400 \(injected\)"),
    ],
)
def test_a_push_that_fails_says_why(at_hub, monkeypatch, fault, message):
    monkeypatch.setenv("HF_TOKEN", OWNER_TOKEN)
    pattern, what = fault
    with at_hub.fault(pattern, **what), pytest.raises(HubError, match=message):
        push_files(REPO, {"a.txt": b"a"}, message="m")


def test_a_push_to_no_name(at_hub):
    for wrong in ("one-look", "user/one look", f"{REPO}@v1", "user/a/b", "user/a--b", "user/a.git", "user/" + "a" * 97):
        with pytest.raises(HubError, match=re.escape(f"{wrong!r} is not a repository name")):
            push_files(wrong, {"a.txt": b"a"}, message="m")
    assert at_hub.requests == []


def test_a_push_to_somebody_else(at_hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", OWNER_TOKEN)
    with pytest.raises(HubError, match=r"does not permit it|no such repository"):
        push_files("other/one-look", {"a.txt": b"a"}, message="m")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        push_files(REPO, {"a.txt": b"a"}, message="m")


SCRIPT = """
import sys, time
started = time.monotonic()
from siamese.hub.errors import HubError
from siamese.hub.resolve import resolve_model
try:
    model = resolve_model()
except HubError as error:
    sys.exit(str(error))
print(model.name, model.revision, model.note, sep="|")
"""


def test_the_environment_alone_decides(at_hub, weights, tmp_path):
    """Another process, nothing patched: the variables as the owner of a Space sets them."""
    digest = at_hub.put(REPO, weights["new"], private=True)
    environment = os.environ | {
        "HF_ENDPOINT": at_hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": OWNER_TOKEN,
        "MODEL_ID": REPO,
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": str(Path(module.__file__).parents[2]),
    }
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=400)
    assert run.stdout.strip() == f"{REPO}|{digest}|None", run.stderr
    assert (tmp_path / "home" / "hub" / "models--user--one-look" / "snapshots" / digest).is_dir()

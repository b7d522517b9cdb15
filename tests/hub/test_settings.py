"""Tokens and caches as people leave them lying about."""

import random
import socket
from pathlib import Path

import pytest
from huggingface_hub import constants

from siamese.hub import resolve, settings
from siamese.hub.checkpoint import CheckpointError, save_checkpoint
from siamese.hub.download import Timeouts
from siamese.hub.errors import HubError
from siamese.hub.push import push_files
from siamese.hub.resolve import resolve_model
from siamese.hub.settings import UnsendableToken, access_token, endpoint, writable_cache
from siamese.preprocessing import Preprocessing
from tests.hub_double import OWNER_TOKEN, HubDouble
from tests.networks import narrow_network

# the client's own way to send raw bytes
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")

REPO = "user/one-look"
VARIABLES = ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT", "MODEL_ID", "SIGNATURE_MODEL_ID", "HUGGING_FACE_HUB_TOKEN")


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    settings.temporary_cache.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_checkpoint(folder, narrow_network(), Preprocessing(), "int8")
    return folder


@pytest.fixture
def pretrained(folder, tmp_path, monkeypatch) -> Path:
    """Bundled weights of both kinds."""
    bundled = tmp_path / "pretrained"
    bundled.mkdir()
    for name in ("omniglot", "signatures"):
        (bundled / name).symlink_to(folder)
    monkeypatch.setattr(resolve, "PRETRAINED", bundled)
    return bundled


@pytest.fixture(scope="module")
def hub(folder):
    with HubDouble() as double:
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        double.put(REPO, files)
        double.put("user/private", files, private=True)
        yield double


@pytest.fixture
def at_hub(hub, monkeypatch) -> HubDouble:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    return hub


def test_tokens_are_trimmed_and_an_empty_one_is_none(monkeypatch):
    assert access_token(f" {OWNER_TOKEN}\r\n") == OWNER_TOKEN
    assert access_token("  \n") is False
    assert access_token(False) is False
    assert access_token(None) is False
    monkeypatch.setenv("HF_TOKEN", f"\t{OWNER_TOKEN}\n")
    assert access_token(None) == access_token(True) == OWNER_TOKEN
    assert access_token(False) is False
    monkeypatch.setenv("HF_TOKEN", " ")
    assert access_token(None) is False


@pytest.mark.parametrize("token", ["hf_ö", "hf_a b", "hf_a\x00b", "hf_\u4e2d"])
def test_a_token_that_cannot_be_sent_is_named(token, at_hub, monkeypatch):
    with pytest.raises(UnsendableToken, match="holds a character that cannot be sent"):
        access_token(token)
    found = resolve_model(REPO, token=token)
    assert found.note == (
        "The token (HF_TOKEN) holds a character that cannot be sent, so copy it once more; "
        "user/one-look was read without one."
    )
    with pytest.raises(HubError, match="user/private could not be loaded: the token"):
        resolve_model("user/private", token=token)
    with pytest.raises(HubError, match="was not published: the token"):
        push_files(REPO, {"a.txt": b"a"}, message="m", token=token)


@pytest.mark.parametrize("token", [f"{OWNER_TOKEN}\n", f"  {OWNER_TOKEN} "])
def test_a_token_with_blanks_around_it_works(token, at_hub, tmp_path):
    assert resolve_model("user/private", token=token, cache_dir=tmp_path / "other").note is None
    assert push_files("user/pushed", {"a.txt": b"a"}, message="m", token=token).startswith("http")


def test_a_file_of_the_token_that_cannot_be_read_is_none(at_hub, monkeypatch, tmp_path):
    def refused() -> str:
        raise PermissionError(13, "Permission denied", str(tmp_path / "token"))

    monkeypatch.setattr("huggingface_hub.utils.get_token", refused)
    assert access_token(None) is False
    assert resolve_model(REPO).note is None


def unusable(kind: str, tmp_path: Path, monkeypatch) -> None:
    """A cache that cannot be used; as root no folder can be locked, so the error is put in its place."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / ("file/cache" if kind == "file" else "locked")))
    if kind == "file":
        return
    (tmp_path / "locked" / "models--user--one-look").mkdir(parents=True)

    def locked(method):
        def called(self: Path, *given, **named):
            if "locked" in self.parts:
                raise PermissionError(13, "Permission denied", str(self))
            return method(self, *given, **named)

        return called

    for name in ("iterdir", "is_file", "is_dir", "mkdir"):
        monkeypatch.setattr(Path, name, locked(getattr(Path, name)))


@pytest.mark.parametrize("kind", ["file", "locked"])
def test_a_cache_that_cannot_be_used_is_passed_over_with_a_note(kind, at_hub, tmp_path, monkeypatch):
    unusable(kind, tmp_path, monkeypatch)
    found = resolve_model(REPO)
    assert found.revision
    assert (found.folder / "config.json").stat().st_size > 0
    assert found.note.startswith("The cache ")
    assert found.note.endswith("cannot be written, so the download is not kept.")
    assert resolve_model(REPO).folder == found.folder  # within the process it is kept


@pytest.mark.parametrize("kind", ["file", "locked"])
def test_without_a_cache_and_without_a_hub_there_is_one_sentence(kind, pretrained, tmp_path, monkeypatch):
    unusable(kind, tmp_path, monkeypatch)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        resolve_model(REPO)
    monkeypatch.setenv("SIGNATURE_MODEL_ID", REPO)
    found = resolve_model(variable="SIGNATURE_MODEL_ID", bundled="signatures")
    assert found.folder == pretrained / "signatures"
    assert found.note.endswith("The bundled weights answer instead.")


def test_a_cache_that_can_be_read_but_not_written_serves(at_hub, tmp_path, monkeypatch):
    first = resolve_model(REPO)

    def locked(dir: Path) -> None:
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(settings.tempfile, "TemporaryFile", locked)
    assert writable_cache()[1] is not None
    assert resolve_model(REPO) == first


def nowhere() -> str:
    """An address of this machine where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_addresses(monkeypatch):
    for given, used in (("", None), (" http://a/ ", "http://a"), ("http://a//", "http://a")):
        monkeypatch.setenv("HF_ENDPOINT", given)
        assert endpoint() == used


def test_whatever_the_environment_there_are_weights_or_one_sentence(hub, folder, pretrained, tmp_path, monkeypatch):
    """200 environments drawn from one seed; the weights asked for answer, or the bundled ones of the kind."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(resolve, "SOME", Timeouts(20.0, 20.0, 20.0))
    monkeypatch.setattr(resolve, "MUCH", Timeouts(20.0, 20.0, 20.0))
    choices = {
        "HF_TOKEN": [None, "", " \n", OWNER_TOKEN, f"{OWNER_TOKEN}\n", "hf_wrong", "hf_ö", "hf a"],
        "HF_ENDPOINT": [hub.url, hub.url, f"{hub.url}/", f" {hub.url}", nowhere(), "no address", "ftp://127.0.0.1"],
        "HF_HUB_OFFLINE": [None, None, None, "", "0", "1", "yes"],
        "MODEL": [
            *[None, "", " ", REPO, f"{REPO}@v9", f"{REPO}\n", "user/private", "user/none", "omniglot", "none"],
            *[str(folder), str(tmp_path / "file"), "~nobody-here/x", "x" * 300, "../up", "a b/c"],
        ],
        "cache": [tmp_path / "cache", tmp_path / "cache", tmp_path / "file" / "cache"],
        "proxy": [None, None, "http://127.0.0.1:9", "socks://127.0.0.1:9", "socks5://127.0.0.1:9", "no address"],
    }
    generator = random.Random(22)
    served, refusals = 0, []
    for _ in range(200):
        chosen = {name: generator.choice(values) for name, values in choices.items()}
        kind = generator.choice([("MODEL_ID", "omniglot"), ("SIGNATURE_MODEL_ID", "signatures")])
        with monkeypatch.context() as patch:
            for name, value in {**chosen, kind[0]: chosen["MODEL"], "ALL_PROXY": chosen["proxy"]}.items():
                if name.isupper() and value is not None:
                    patch.setenv(name, value)
            patch.setenv("NO_PROXY", generator.choice(["", "127.0.0.1,localhost"]))
            patch.setattr(constants, "HF_HUB_CACHE", str(chosen["cache"]))
            source = None if generator.random() < 0.5 else (chosen["MODEL"] or REPO)
            try:
                found = resolve_model(source, variable=kind[0], bundled=kind[1])
            except (HubError, CheckpointError) as error:
                refusals.append((str(error), source, chosen))
                continue
            served += 1
            is_bundled = found.folder.parent == pretrained
            asked = (source or chosen["MODEL"] or "").strip()
            assert is_bundled or asked, chosen
            if is_bundled and asked not in ("", "omniglot"):
                assert found.note.endswith("The bundled weights answer instead."), chosen
                assert found.folder.name == kind[1], chosen
    assert served > 60
    assert len(refusals) > 40
    for sentence, source, chosen in refusals:
        assert source is not None, chosen  # the environment alone never leaves it without weights
        assert sentence.endswith("."), chosen
        assert "\n" not in sentence, (sentence, chosen)

"""What several test files share."""

import gc
import os
import shutil
import tempfile

import pytest

# Set before anything imports the Hub's library, which reads it once: no test reads or fills the user's own cache.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="one-look-tests-")
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


# Workers of pytest-xdist share the cores, and torch would take all of them in each.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """One worker drives the browser, whose tests share an app; the other files are divided among all workers.

    The marks that pytest-xdist would group tests by are added too late for it to see them with pytest 9.
    """
    from xdist.scheduler import LoadScopeScheduling

    class BrowserTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "browser" if nodeid.startswith("tests/browser/") else nodeid.partition("::")[0]

    config.option.loadscopereorder = False  # the browser's tests take longest, and stand first
    return BrowserTogether(config, log)


def pytest_collection() -> None:
    """No search for garbage, now or later, looks through what is imported while tests are collected: it stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def no_fsync():
    """Checkpoints are written without waiting for the disk, which would take seconds each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


@pytest.fixture(scope="session")
def real_network():
    """A network of the paper's size, drawn once for the session; nobody may change it."""
    import torch

    from siamese.network import SiameseNetwork

    return SiameseNetwork(generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture(scope="session")
def drawings():
    """Three invented alphabets of six characters, four drawers: 72 rows by alphabet, character, drawer."""
    from siamese.characters.synthetic import synthetic_drawings

    return synthetic_drawings(alphabets=3, characters=6, drawers=4, seed=7)


@pytest.fixture(scope="session")
def omniglot():
    """Both splits of the bundled Omniglot by name, decoded once for all tests: 19,280 and 13,180 drawings."""
    from siamese.characters.omniglot import bundled_drawings
    from siamese.data.bundled import SPLITS

    return {split: bundled_drawings(split) for split in SPLITS}


@pytest.fixture(scope="session")
def app(tmp_path_factory):
    """One app, for all tests, with weights that were measured on signatures; it writes nowhere but into its folder."""
    from tests.running_app import start_app, stop_app
    from tests.signature_weights import signature_weights

    folder = tmp_path_factory.mktemp("app")
    weights = signature_weights(tmp_path_factory.mktemp("weights") / "signatures")
    homes = {name: str(folder / "home") for name in ("HOME", "HF_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR")}
    app = start_app(folder, SIGNATURE_MODEL_ID=str(weights), **homes)
    yield app
    stop_app(app)


@pytest.fixture(scope="session")
def app_address(app):
    return app.address


@pytest.fixture(scope="session")
def http(app_address):
    """A client of that app; making one takes longer than most answers."""
    import httpx

    with httpx.Client(base_url=app_address, timeout=120) as client:
        yield client

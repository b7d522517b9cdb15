"""The same app.py with a stand-in for `spaces` (tests/zero_gpu) and without it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from siamese.inference.zero_gpu import MIN_GPU_BATCH
from siamese.ui.zero_gpu import DURATION_S, gpu_decorator
from tests.hostile import drawing
from tests.running_app import ROOT, running_app
from tests.signature_weights import data_url, png

STAND_IN = Path(__file__).parents[1] / "zero_gpu"


def test_elsewhere_nothing_is_lent(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert gpu_decorator() is None


def asked(address: str, function: str, data: dict) -> dict:
    """What the page's own call of a server function gives."""
    components = httpx.get(f"{address}/config", timeout=60).json()["components"]
    place = next(one["id"] for one in components if function in (one["props"].get("server_fns") or []))
    body = {"session_hash": "test", "component_id": place, "fn_name": function, "data": data}
    headers = {"X-IP-Token": "the visitor's"}
    return httpx.post(f"{address}/gradio_api/component_server", json=body, headers=headers, timeout=120).json()


@pytest.fixture(scope="module")
def zero_gpu(tmp_path_factory):
    """A running app on such a Space; the files of its calls and of its troubles."""
    folder = tmp_path_factory.mktemp("zero")
    log, trouble = folder / "log", folder / "trouble"
    log.touch()
    environment = {"SPACES_ZERO_GPU": "true", "ZERO_LOG": str(log), "ZERO_TROUBLE": str(trouble)}
    with running_app(PYTHONPATH=str(STAND_IN), **environment) as address:
        yield address, log, trouble


@pytest.mark.slow
def test_a_space_lends_its_gpu_to_what_is_worth_it_and_answers_without_it(zero_gpu):
    address, log, trouble = zero_gpu
    upright = drawing("L", (100, 100))
    pair = {name: data_url(png(image)) for name, image in (("a", upright), ("b", upright.rotate(90, fillcolor=255)))}
    compared = asked(address, "compare_pictures", pair)
    assert 0 <= compared["similarity"] <= 1
    assert log.read_text() == ""
    lent = asked(address, "explain_pictures", pair)
    assert set(lent) == {"maps"}
    (call,) = map(json.loads, log.read_text().splitlines())
    assert call["images"] > MIN_GPU_BATCH
    assert call | {"images": 0} == {"images": 0, "duration": DURATION_S, "visitor": "the visitor's", "trouble": ""}
    for what in ("quota", "dies"):  # and the CPU answers
        trouble.write_text(what)
        answered = asked(address, "explain_pictures", pair)
        assert json.loads(log.read_text().splitlines()[-1])["trouble"] == what
        assert set(answered) == {"maps"}


def printed(script: str, **environment: str) -> str:
    """The last line that `script` prints in a process of its own."""
    settings = os.environ | {"SPACES_ZERO_GPU": "true"} | environment
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


IN_A_FORK = """
from siamese.ui.zero_gpu import gpu_decorator
import torch
from siamese.inference.zero_gpu import ZeroGpuEncoder
from siamese.network import NetworkConfig, SiameseNetwork
torch.set_num_threads(1)
network = SiameseNetwork(NetworkConfig(channels=(4, 8, 8, 16), embedding_units=48)).eval()
pictures = torch.rand(3, 1, 105, 105, generator=torch.Generator().manual_seed(0))
with torch.inference_mode():
    here = network.embed(pictures)
there = ZeroGpuEncoder(network, gpu_decorator(), torch.float32, timeout_s=600).embed(pictures)
print(there is not None and torch.allclose(there, here, atol=1e-5), network.head.weight.device)
"""


@pytest.mark.slow
def test_a_forked_process_gives_the_same_embeddings(tmp_path):
    log = tmp_path / "log"
    assert printed(IN_A_FORK, PYTHONPATH=str(STAND_IN), ZERO_LOG=str(log)) == "True cpu"
    assert json.loads(log.read_text())["images"] == 3


def test_without_the_package_nothing_is_lent_whatever_the_variable_says(monkeypatch):
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr("siamese.ui.zero_gpu.spaces", None)
    assert gpu_decorator() is None

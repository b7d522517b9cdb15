"""A GPU for one call at a time: what is lent, what is not, and who answers when none is free."""

import pickle
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from siamese.inference import encoder as encoder_module
from siamese.inference import zero_gpu
from siamese.inference.encoder import Encoder
from siamese.inference.occlusion import occlusion_maps
from siamese.inference.zero_gpu import GpuDecorator, ZeroGpuEncoder, on_zero_gpu
from siamese.network import SiameseNetwork
from tests.networks import NARROW, narrow_network


@pytest.fixture(scope="module")
def network() -> SiameseNetwork:
    return narrow_network()


@pytest.fixture(autouse=True)
def small(monkeypatch) -> None:
    """The CPU in the GPU's place, and few pictures already enough for it."""
    monkeypatch.setattr(zero_gpu, "DEVICE", "cpu")
    monkeypatch.setattr(encoder_module, "MIN_GPU_BATCH", 5)


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 1, 105, 105, generator=torch.Generator().manual_seed(count))


def pickling(sizes: list[int]) -> GpuDecorator:
    """Arguments and results go through pickle, as between processes."""

    def decorate(task: Callable) -> Callable:
        def call(*given: np.ndarray) -> np.ndarray:
            sizes.append(len(given[0]))
            return pickle.loads(pickle.dumps(task(*pickle.loads(pickle.dumps(given)))))

        return call

    return decorate


def refusing(asked: list[int]) -> GpuDecorator:
    def decorate(_task: Callable) -> Callable:
        def call(given: np.ndarray) -> np.ndarray:
            asked.append(len(given))
            raise RuntimeError("You have exceeded your quota.")

        return call

    return decorate


def test_many_pictures_go_in_one_pass_and_once(network):
    sizes: list[int] = []
    encoder = Encoder(network, precision=torch.float32, gpu=pickling(sizes))
    there = encoder.embed(pictures(6))
    assert sizes == [6]
    here = Encoder(network, precision=torch.float32).embed(pictures(6))
    assert torch.allclose(there, here, atol=1e-5)
    assert (there.dtype, there.device.type) == (torch.float32, "cpu")
    assert torch.equal(encoder.embed(pictures(6)), there)
    assert sizes == [6]  # what is in the cache needs no GPU


def test_few_pictures_are_not_worth_a_gpu(network):
    sizes: list[int] = []
    encoder = Encoder(network, precision=torch.float32, gpu=pickling(sizes))
    encoder.embed(pictures(4))
    assert sizes == []
    encoder.embed(pictures(5))
    assert sizes == [5]


def test_an_explanation_is_one_pass(network):
    sizes: list[int] = []
    pair = torch.zeros(2, 1, 105, 105)
    pair[0, :, 20:80, 30:34] = pair[1, :, 50:54, 20:80] = 1
    there = occlusion_maps(Encoder(network, precision=torch.float32, gpu=pickling(sizes)), pair)
    assert len(sizes) == 1
    assert sizes[0] > 6  # the two, and their parts
    for one, other in zip(there, occlusion_maps(Encoder(network, precision=torch.float32), pair), strict=True):
        assert torch.allclose(one, other, atol=1e-3)


def test_where_none_is_lent_the_encoder_s_own_device_answers(network, caplog):
    asked: list[int] = []
    encoder = Encoder(network, precision=torch.float32, gpu=refusing(asked))
    with caplog.at_level("INFO", "one_look"):
        found = encoder.embed(pictures(6))
    assert asked == [6]
    assert torch.equal(found, Encoder(network, precision=torch.float32).embed(pictures(6)))
    assert "exceeded your quota" in caplog.text


def test_a_queue_holds_nobody_up_and_is_entered_once(network):
    free, calls = threading.Event(), []

    def decorate(task: Callable) -> Callable:
        def call(given: np.ndarray) -> np.ndarray:
            calls.append(len(given))
            assert free.wait(60)
            return task(given)

        return call

    gpu = ZeroGpuEncoder(network, decorate, torch.float32, timeout_s=0.1)
    try:
        started = time.monotonic()
        assert gpu.embed(pictures(2)) is None
        assert gpu.embed(pictures(3)) is None  # the first one still waits: no second one queues
        assert time.monotonic() - started < 20
        assert calls == [2]
    finally:
        free.set()
    waited = gpu._call.result(60)
    assert waited.shape == (2, NARROW.embedding_units)
    gpu._timeout_s = 60.0
    assert gpu.embed(pictures(3)).shape == (3, NARROW.embedding_units)
    assert calls == [2, 3]


def test_zero_gpu_is_told_by_its_variable(monkeypatch):
    for word, is_zero in (("true", True), ("1", True), ("True", True), ("false", False), ("", False)):
        monkeypatch.setenv("SPACES_ZERO_GPU", word)
        assert on_zero_gpu() is is_zero
    monkeypatch.delenv("SPACES_ZERO_GPU")
    assert not on_zero_gpu()

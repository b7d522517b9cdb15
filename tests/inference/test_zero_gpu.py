"""A GPU for one call at a time: what is lent, what is not, and who answers when none is free."""

import pickle
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from siamese.characters import recognizer as recognizer_module
from siamese.characters.recognizer import Recognizer, usable_device
from siamese.inference import zero_gpu as lent_gpu
from siamese.inference.zero_gpu import ZeroGpuEncoder, on_zero_gpu
from siamese.network import SiameseNetwork
from tests.hostile import drawing


@pytest.fixture(scope="module")
def network() -> SiameseNetwork:
    return SiameseNetwork(generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture(autouse=True)
def small(monkeypatch) -> None:
    """The CPU in the GPU's place, and few pictures already worth it."""
    monkeypatch.setattr(lent_gpu, "DEVICE", "cpu")
    monkeypatch.setattr(recognizer_module, "MIN_GPU_BATCH", 5)
    monkeypatch.setattr(recognizer_module, "PATCH_STEP_PX", 30)


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 1, 105, 105, generator=torch.Generator().manual_seed(count))


def pickling(sizes: list[int]) -> lent_gpu.GpuDecorator:
    """Arguments and results go through pickle, as between processes."""

    def lend(task: Callable) -> Callable:
        def call(*given: np.ndarray) -> np.ndarray:
            sizes.append(len(given[0]))
            return pickle.loads(pickle.dumps(task(*pickle.loads(pickle.dumps(given)))))

        return call

    return lend


def refusing(asked: list[int]) -> lent_gpu.GpuDecorator:
    def lend(_task: Callable) -> Callable:
        def call(given: np.ndarray) -> np.ndarray:
            asked.append(len(given))
            raise RuntimeError("You have exceeded your quota.")

        return call

    return lend


def test_many_pictures_go_in_one_pass_and_once(network):
    sizes: list[int] = []
    recognizer = Recognizer(network, precision=torch.float32, lend=pickling(sizes))
    there = recognizer.embed_pictures(pictures(6))
    assert sizes == [6]
    here = Recognizer(network, precision=torch.float32).embed_pictures(pictures(6))
    assert torch.allclose(there, here, atol=1e-5)
    assert (there.dtype, there.device.type) == (torch.float32, "cpu")
    assert torch.equal(recognizer.embed_pictures(pictures(6)), there)
    assert sizes == [6]  # what is in the cache needs no GPU


def test_few_pictures_are_not_worth_a_gpu(network):
    sizes: list[int] = []
    recognizer = Recognizer(network, precision=torch.float32, lend=pickling(sizes))
    recognizer.embed_pictures(pictures(4))
    assert sizes == []
    recognizer.embed_pictures(pictures(5))
    assert sizes == [5]


def test_an_explanation_is_one_pass(network):
    sizes: list[int] = []
    recognizer = Recognizer(network, precision=torch.float32, lend=pickling(sizes))
    a, b = drawing("L", (100, 100)), drawing("L", (100, 100)).rotate(90, fillcolor=255)
    there = recognizer.explain(a, b)
    assert len(sizes) == 1
    assert sizes[0] > 6  # the two, and their parts
    for one, other in zip(there, Recognizer(network, precision=torch.float32).explain(a, b), strict=True):
        assert torch.allclose(one, other, atol=1e-3)


def test_where_none_is_lent_the_recogniser_s_own_device_answers(network, caplog):
    asked: list[int] = []
    recognizer = Recognizer(network, precision=torch.float32, lend=refusing(asked))
    with caplog.at_level("INFO", "one_look"):
        found = recognizer.embed_pictures(pictures(6))
    assert asked == [6]
    assert torch.equal(found, Recognizer(network, precision=torch.float32).embed_pictures(pictures(6)))
    assert "exceeded your quota" in caplog.text


def test_a_queue_holds_nobody_up_and_is_entered_once(network):
    free, calls = threading.Event(), []

    def lend(task: Callable) -> Callable:
        def call(given: np.ndarray) -> np.ndarray:
            calls.append(len(given))
            assert free.wait(60)
            return task(given)

        return call

    gpu = ZeroGpuEncoder(network, lend, torch.float32, patience_s=0.1)
    try:
        started = time.monotonic()
        assert gpu.embed(pictures(2)) is None
        assert gpu.embed(pictures(3)) is None  # the first one still waits: no second one queues
        assert time.monotonic() - started < 20
        assert calls == [2]
    finally:
        free.set()
    waited = gpu._call.result(60)
    assert waited.shape == (2, 4096)
    gpu._patience_s = 60.0
    assert gpu.embed(pictures(3)).shape == (3, 4096)
    assert calls == [2, 3]


def test_cuda_is_not_taken_for_real_on_zero_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for word, is_zero in (("true", True), ("1", True), ("True", True), ("false", False), ("", False)):
        monkeypatch.setenv("SPACES_ZERO_GPU", word)
        assert on_zero_gpu() is is_zero
        assert usable_device(None).type == ("cpu" if is_zero else "cuda")
    monkeypatch.delenv("SPACES_ZERO_GPU")
    assert not on_zero_gpu()

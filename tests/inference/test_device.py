"""Devices and precisions that a machine has."""

import pytest
import torch

from siamese.inference import device as module
from siamese.inference.device import answering_precision, fastest_precision, present_devices, usable_device

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["abacus", "meta", "cuda:77"])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(ValueError, match=f"'{name}' is not available; use 'cpu'"):
        usable_device(name)


def test_the_cpu_is_always_there():
    assert usable_device("cpu") == CPU
    assert present_devices()[0] == "cpu"


def test_cuda_is_the_default_where_it_is_real(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert usable_device(None) == torch.device("cuda")
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert usable_device(None) == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert usable_device(None) == CPU


def test_mps_is_offered_where_torch_has_it(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert "mps" in present_devices()
    with pytest.raises(ValueError, match=r"use 'cpu' or .*'mps', or leave it out"):
        usable_device("abacus")
    monkeypatch.setattr(torch.backends, "mps", None)
    assert "mps" not in present_devices()


@pytest.mark.parametrize(("check", "precision"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_cpu_computes_in_bfloat16_where_it_has_instructions(monkeypatch, check, precision):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: check)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert fastest_precision(CPU) == precision


def test_a_gpu_computes_in_bfloat16_from_ampere_on(monkeypatch):
    for capability, precision in (((8, 0), torch.bfloat16), ((7, 5), torch.float32)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device, found=capability: found)
        assert fastest_precision(torch.device("cuda")) == precision
    assert fastest_precision(torch.device("mps")) == torch.float32


def test_answers_come_in_int8_where_the_processor_has_instructions(monkeypatch):
    monkeypatch.setattr(module, "is_fast", lambda: True)
    assert answering_precision(CPU) == torch.int8
    monkeypatch.setattr(module, "is_fast", lambda: False)
    assert answering_precision(CPU) == fastest_precision(CPU)

"""A run's state: whole or not at all, and only for the run it belongs to."""

import errno
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from siamese.network import SiameseNetwork
from train.characters.config import CharacterConfig
from train.state import (
    BEGUN,
    METRICS,
    STATE,
    StateError,
    append_metrics,
    best_weights,
    check_manifest,
    has_state,
    keep_metrics_until,
    restore_state,
    save_best,
    save_state,
)

CONFIG = CharacterConfig(optimiser="adam")


class Small(SiameseNetwork):
    """Two tensors in place of 39 million numbers, the first of them kernels that lie channels-last."""

    def __init__(self, seed: int) -> None:
        torch.nn.Module.__init__(self)
        generator = torch.Generator().manual_seed(seed)
        self.kernels = torch.nn.Parameter(torch.randn(4, 3, 2, 2, generator=generator))
        self.kernels.data = self.kernels.data.contiguous(memory_format=torch.channels_last)
        self.bias = torch.nn.Parameter(torch.randn(4, generator=generator))
        self.register_buffer("count", torch.tensor(seed))

    def step(self, optimizer: torch.optim.Optimizer, number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        for parameter in self.parameters():
            parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator))
        optimizer.step()


def optimizer_of(network: Small, kind: str) -> torch.optim.Optimizer:
    if kind == "sgd":
        return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    return torch.optim.AdamW(network.parameters(), lr=0.1, fused=True)


@pytest.fixture(params=["adamw", "sgd"])
def run(request, tmp_path):
    """A network and its optimiser after two steps, saved."""
    network = Small(1)
    optimizer = optimizer_of(network, request.param)
    for number in range(2):
        network.step(optimizer, number)
    save_state(tmp_path, network, optimizer, CONFIG, 2, (0.5, 1))
    return tmp_path, network, optimizer, request.param


def test_a_state_goes_on_as_if_nothing_had_been(run):
    folder, network, optimizer, kind = run
    other = Small(9)
    again = optimizer_of(other, kind)
    assert restore_state(folder, other, again, CONFIG) == (2, (0.5, 1))
    for number in range(2, 4):
        network.step(optimizer, number)
        other.step(again, number)
    assert torch.equal(other.kernels, network.kernels)
    assert torch.equal(other.bias, network.bias)
    assert other.count == network.count
    for one, two in zip(optimizer.state.values(), again.state.values(), strict=True):
        assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_moments_lie_in_memory_as_their_parameters_do(run):
    folder, _, _, kind = run
    other = Small(9)
    again = optimizer_of(other, kind)
    restore_state(folder, other, again, CONFIG)
    moments = [v for v in again.state[other.kernels].values() if v.shape == other.kernels.shape]
    assert len(moments) == (1 if kind == "sgd" else 2)
    assert all(moment.stride() == other.kernels.stride() for moment in moments)


def test_a_state_from_before_a_field_was_added_still_serves(run, monkeypatch):
    folder, network, optimizer, kind = run
    table = CONFIG.as_dict()
    del table["validation_drawers"]
    with monkeypatch.context() as patch:
        patch.setattr(CharacterConfig, "as_dict", lambda _config: table)
        save_state(folder, network, optimizer, CONFIG, 2, (0.5, 1))
    other = Small(9)
    assert restore_state(folder, other, optimizer_of(other, kind), CONFIG)[0] == 2


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_run_goes_on_to_more_steps(run, schedule, capsys):
    folder, network, optimizer, kind = run
    begun = replace(CONFIG, schedule=schedule, steps=3)
    save_state(folder, network, optimizer, begun, 2, (0.5, 1))
    other = Small(9)
    assert restore_state(folder, other, optimizer_of(other, kind), replace(begun, steps=9))[0] == 2
    said = capsys.readouterr().out
    assert ("from step 2 on its learning rate follows the schedule of 9" in said) == (schedule == "cosine")
    with pytest.raises(StateError, match="at step 2 already, beyond --steps 1"):
        restore_state(folder, network, optimizer, replace(begun, steps=1))


def test_a_run_whose_learning_rate_has_come_to_its_end_goes_on_by_its_weights_only(run):
    folder, network, optimizer, _ = run
    ended = replace(CONFIG, schedule="cosine", steps=2)
    save_state(folder, network, optimizer, ended, 2, (0.5, 1))
    assert restore_state(folder, network, optimizer, ended)[0] == 2
    with pytest.raises(StateError, match="with --init and another --output"):
        restore_state(folder, network, optimizer, replace(ended, steps=9))


def test_the_state_of_another_recipe_is_refused(run):
    folder, network, optimizer, _ = run
    with pytest.raises(StateError, match="holds a run of another recipe"):
        restore_state(folder, network, optimizer, replace(CONFIG, learning_rate=0.5))


@pytest.mark.parametrize("damage", ["cut short", "not safetensors", "without its facts"])
def test_a_broken_state_is_refused_in_one_sentence(run, damage):
    folder, network, optimizer, _ = run
    path = folder / STATE
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "not safetensors":
        path.write_bytes(b"no tensors at all, only words")
    else:
        save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(StateError, match=r"state.safetensors cannot be read: ") as refusal:
        restore_state(folder, network, optimizer, CONFIG)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("place", [-1, -60])
def test_a_flipped_bit_is_noticed(run, place):
    folder, network, optimizer, _ = run
    data = bytearray((folder / STATE).read_bytes())
    data[place] ^= 1
    (folder / STATE).write_bytes(data)
    before = network.kernels.clone()
    with pytest.raises(StateError, match="damaged after it had been written"):
        restore_state(folder, network, optimizer, CONFIG)
    assert torch.equal(network.kernels, before)


def test_nothing_to_resume(tmp_path):
    network = Small(1)
    assert not has_state(tmp_path)
    with pytest.raises(StateError, match="There is nothing to resume"):
        restore_state(tmp_path, network, optimizer_of(network, "sgd"), CONFIG)


class FullDisk:
    """A file that takes its first bytes and no more."""

    def __init__(self, file: io.RawIOBase) -> None:
        self.file = file

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, data: bytes) -> None:
        self.file.write(data[:50])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_state_before_it(run, monkeypatch):
    folder, network, optimizer, kind = run
    before = (folder / STATE).read_bytes()
    network.step(optimizer, 3)
    open_file = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode: FullDisk(open_file(path, mode, buffering=0)))
        with pytest.raises(StateError, match="No space left on device; the one before it is still there"):
            save_state(folder, network, optimizer, CONFIG, 3, (0.5, 1))
    assert (folder / STATE).read_bytes() == before
    assert [path.name for path in folder.iterdir()] == [STATE]
    other = Small(9)
    assert restore_state(folder, other, optimizer_of(other, kind), CONFIG)[0] == 2


def test_a_disk_that_is_full_at_the_flush_leaves_the_state_before_it(run, monkeypatch):
    folder, network, optimizer, _ = run
    before = (folder / STATE).read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match="No space left on device"):
        save_state(folder, network, optimizer, CONFIG, 3, (0.5, 1))
    assert (folder / STATE).read_bytes() == before


def test_the_best_weights_are_kept_apart(run):
    folder, network, _, _ = run
    save_best(folder, network)
    kept = best_weights(folder)
    assert torch.equal(kept["kernels"], network.kernels)
    assert set(kept) == {"kernels", "bias", "count"}


def test_metrics_of_later_steps_and_half_lines_are_cut_off(tmp_path):
    for step in range(1, 5):
        append_metrics(tmp_path, {"step": step, "loss": 1 / step})
    with (tmp_path / METRICS).open("a", encoding="utf-8") as file:
        file.write('{"step": 2, "lo')
    keep_metrics_until(tmp_path, 2)
    lines = (tmp_path / METRICS).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}]
    append_metrics(tmp_path, {"step": 3})
    assert (tmp_path / METRICS).read_text(encoding="utf-8").endswith('0.5}\n{"step": 3}\n')


def test_no_metrics_are_no_harm(tmp_path):
    keep_metrics_until(tmp_path, 2)
    assert list(tmp_path.iterdir()) == []


def test_what_a_run_began_with_may_be_another_until_there_is_a_state(tmp_path):
    check_manifest(tmp_path, {"--init": "a"})
    check_manifest(tmp_path, {"--init": "b"})  # the first was refused before it began
    (tmp_path / STATE).write_bytes(b"")
    check_manifest(tmp_path, {"--init": "b"})
    with pytest.raises(StateError, match="holds a run with other --init"):
        check_manifest(tmp_path, {"--init": "a"})
    (tmp_path / BEGUN).write_text("{", encoding="utf-8")
    with pytest.raises(StateError, match="cannot be read"):
        check_manifest(tmp_path, {"--init": "b"})

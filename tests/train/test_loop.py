"""The training loop: schedules by hand, exact resume, and that it stops before harm is done."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch.utils._python_dispatch import TorchDispatchMode

from siamese.characters.drawings import Drawings
from siamese.network import NetworkConfig, SiameseNetwork, signed_distances
from tests.blots import scribbles
from tests.networks import initial_network
from train import loop as module
from train.augment import Distortions, distort
from train.characters import objective
from train.characters.config import CharacterConfig
from train.characters.objective import batch_loss, character_task, make_sampler, step_loss
from train.config import load_recipe
from train.loop import (
    Outcome,
    TrainingError,
    fit,
    freeze_layers,
    learning_rate,
    make_optimizer,
    momentum,
    out_of_patience,
    pictures,
    take_step,
)
from train.pens import pen_layers
from train.state import METRICS, STATE, has_state

NARROW = NetworkConfig(batch_norm=True, channels=(2, 3, 4, 4), embedding_units=8)
TINY = CharacterConfig(
    network=NARROW,
    distortions=Distortions(rotation_deg=10.0, shift_px=2.0, elastic_px=1.0, pen_share=0.5),
    hold_out=(),
    characters=2,
    drawers=2,
    views=8,
    steps=4,
    warmup_steps=2,
    seed=5,
)
CPU = torch.device("cpu")


def train_on(
    network: SiameseNetwork, drawings: Drawings, config: CharacterConfig, output: Path, **options: object
) -> Outcome:
    return fit(network, character_task(drawings, config, CPU), config, output, CPU, **options)


def metrics(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def state(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(folder / STATE, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


@pytest.fixture(scope="module")
def scrawl():
    return scribbles(2, 3, 2)


@pytest.fixture(scope="module")
def straight(tmp_path_factory, scrawl):
    """A run of four steps that nothing interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    outcome = train_on(initial_network(TINY), scrawl, TINY, folder)
    assert (outcome.steps, outcome.finished, outcome.images) == (4, True, 16)
    assert outcome.validation_accuracy is None
    return folder


def run_until_killed(folder: Path) -> None:
    """Save after two steps, and be killed after the third, which stands in the metrics but not in the state."""

    def report(line: dict) -> None:
        module.SAVE_EVERY_S = -1 if line["step"] == 2 else math.inf
        if line["step"] == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    train_on(initial_network(TINY), scribbles(2, 3, 2), TINY, folder, report=report)


def test_a_killed_run_goes_on_bit_for_bit(straight, scrawl, tmp_path):
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run([sys.executable, __file__, str(tmp_path)], env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 3]
    assert state(tmp_path)[1]["step"] == "2"

    other_weights = SiameseNetwork(TINY.network, generator=torch.Generator().manual_seed(99))
    outcome = train_on(other_weights, scrawl, TINY, tmp_path, resume=True)

    assert (outcome.steps, outcome.finished) == (4, True)
    assert metrics(tmp_path) == metrics(straight)
    (tensors, metadata), (expected, expected_metadata) = state(tmp_path), state(straight)
    assert metadata == expected_metadata
    assert tensors.keys() == expected.keys()
    assert [name for name, value in tensors.items() if not torch.equal(value, expected[name])] == []
    assert {name.split(".")[0] for name in tensors} == {"network", "optimizer"}


def test_drop_out_follows_the_seed_and_the_step_too(scrawl, tmp_path):
    config = replace(TINY, network=replace(NARROW, dropout=0.5), steps=2)
    for run in ("a", "b"):
        torch.manual_seed(ord(run))  # what another process, or another day, would have
        (tmp_path / run).mkdir()
        train_on(initial_network(config), scrawl, config, tmp_path / run)
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")


LAGGING = partial(module.DeferredMetrics, every=3)  # as on a GPU, only that three steps are many


def test_losses_that_are_read_late_change_nothing(straight, scrawl, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "DeferredMetrics", LAGGING)
    seen = []
    train_on(initial_network(TINY), scrawl, TINY, tmp_path, report=lambda line: seen.append(line["step"]))
    assert seen == [1, 2, 3, 4]
    assert metrics(tmp_path) == metrics(straight)
    (tensors, metadata), (expected, expected_metadata) = state(tmp_path), state(straight)
    assert metadata == expected_metadata
    assert [name for name, value in tensors.items() if not torch.equal(value, expected[name])] == []


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_noticed_late_has_changed_no_weight(scrawl, monkeypatch, tmp_path, where):
    monkeypatch.setattr(module, "DeferredMetrics", LAGGING)
    network, before = initial_network(TINY), []
    prepared = scrawl.prepared(TINY.preprocessing)
    sampler = make_sampler(scrawl, TINY)

    def breaking(network: SiameseNetwork, step: int) -> torch.Tensor:
        if step == 1:
            before.extend(p.detach().clone() for p in network.parameters())
        loss = step_loss(network, prepared, sampler, TINY, step)
        if step != 1:
            return loss
        return loss * math.nan if where == "loss" else loss + (network.head.weight.sum() * 0).sqrt()  # slope: infinite

    with pytest.raises(TrainingError, match=f"{where} of step 1 is"):
        fit(network, module.Task(breaking, None, ""), TINY, tmp_path, CPU)
    assert all(torch.equal(p, saved) for p, saved in zip(network.parameters(), before, strict=True))
    assert not has_state(tmp_path)


class Waits(TorchDispatchMode):
    """Notes what would have a GPU answer the CPU, and so be done with everything before it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):  # names of PyTorch's own
        name = operation.overloadpacket.__name__
        indices = arguments[1] if name.startswith("index") and len(arguments) > 1 else ()
        by_mask = isinstance(indices, list) and any(i is not None and i.dtype == torch.bool for i in indices)
        if by_mask or name in {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "is_nonzero"}:
            self.found.append(name)
        return operation(*arguments, **(named or {}))


def test_a_step_on_a_gpu_would_wait_for_nothing(scrawl, monkeypatch):
    """From the drawings on: what is drawn from the generator is known on the CPU. The device's answers are noted."""
    distortions = replace(
        load_recipe(CharacterConfig, "gpu").distortions, gap_share=0.5, low_share=0.5, crop_share=0.5, noise=0.1
    )
    config = replace(TINY, contrastive_loss=1.0, triplet_loss=1.0, distortions=distortions)
    network = initial_network(config).train()
    monkeypatch.setattr(  # as on a GPU
        network,
        "compare_all",
        lambda a, b: network.head.bias[0] + signed_distances(a, b, network.head.weight[0]),
    )
    optimizer, unread = make_optimizer(network, config), module.DeferredMetrics(CPU, every=3)
    generator = torch.Generator().manual_seed(0)
    batch = make_sampler(scrawl, config).sample(config.characters, config.drawers, 1, generator)
    prepared = pen_layers(scrawl.prepared(config.preprocessing))
    with Waits() as waits:
        assert torch.ones(3)[torch.tensor([True, False, True])].sum().item() == 2.0  # a mask, and a question
    assert waits.found == ["index", "_local_scalar_dense"]
    with Waits() as waits:
        images = distort(pictures(prepared, batch.rows), config.distortions, generator)
        loss = batch_loss(network, images, batch, config)
        unread.add({"step": 1}, loss, take_step(network, optimizer, loss, config, 0, unread.broken))
    assert waits.found == []
    assert math.isfinite(unread.read()[0]["loss"])


def test_metrics_say_what_was_done(straight):
    lines = metrics(straight)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert [line["images"] for line in lines] == [4, 8, 12, 16]
    assert [line["learning_rate"] for line in lines] == [learning_rate(TINY, step) for step in range(4)]
    assert all(math.isfinite(line["loss"]) and line["loss"] > 0 for line in lines)


def test_a_signal_ends_the_run_between_two_steps_with_its_state_saved(scrawl, tmp_path):
    def report(line: dict) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    outcome = train_on(initial_network(TINY), scrawl, TINY, tmp_path, report=report)
    assert (outcome.steps, outcome.finished, outcome.images) == (1, False, 4)
    assert state(tmp_path)[1]["step"] == "1"
    assert signal.getsignal(signal.SIGTERM) == before


def test_no_time_is_no_step(scrawl, tmp_path):
    config = replace(TINY, optimiser="sgd")
    outcome = train_on(initial_network(config), scrawl, config, tmp_path, max_minutes=0.0)
    assert (outcome.steps, outcome.finished) == (0, False)
    assert has_state(tmp_path)
    assert not (tmp_path / METRICS).exists()


@pytest.mark.parametrize("culprit", ["loss", "gradient"])
def test_what_is_no_number_stops_before_the_optimiser(culprit, straight, scrawl, tmp_path, monkeypatch):
    """The weights stay as they were and nothing is saved over the last state."""
    network = initial_network(TINY)
    saved = (straight / STATE).stat()

    def broken(*_arguments: object) -> torch.Tensor:
        weight = network.head.weight
        if culprit == "loss":
            return weight.sum() * math.nan
        return (weight - weight.detach()).sum().sqrt()  # 0, and its slope is infinite

    monkeypatch.setattr(objective, "step_loss", broken)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    os.link(straight / STATE, tmp_path / STATE)
    with pytest.raises(TrainingError, match=r"step 0 is .*try a lower learning_rate"):
        train_on(network, scrawl, TINY, tmp_path)
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    assert (tmp_path / STATE).stat().st_ino == saved.st_ino
    assert not (tmp_path / METRICS).exists()


class FewSteps:
    """Stands in for the network's accuracy: one value for each validation."""

    def __init__(self, *values: float) -> None:
        self.values = iter(values)

    def accuracy(self, _network: SiameseNetwork, _device: torch.device) -> float:
        return next(self.values)


def test_patience_returns_the_best_weights(scrawl, tmp_path, monkeypatch):
    """Best after step 1, then two validations without a new best."""
    config = replace(TINY, hold_out=("alphabet 1",), patience=2, validate_every=1, steps=9, optimiser="sgd")
    monkeypatch.setattr(objective, "split", lambda *_arguments: (scrawl, FewSteps(0.5, 0.4, 0.5)))
    monkeypatch.setattr(objective, "step_loss", lambda network, *_rest: network.head.bias.sum())
    network = initial_network(config)
    outcome = train_on(network, scrawl, config, tmp_path)
    assert (outcome.steps, outcome.finished, outcome.validation_accuracy) == (3, True, 0.5)
    # the slope of the bias is 1: one step from 4 at half the height, the warm-up's first
    assert network.head.bias.item() == pytest.approx(4 - learning_rate(config, 0), abs=1e-6)
    assert [line["validation_accuracy"] for line in metrics(tmp_path)] == [0.5, 0.4, 0.5]


def test_patience_is_counted_from_the_best():
    config = replace(TINY, hold_out=("a",), patience=3, validate_every=10)
    assert not out_of_patience(config, 49, (0.5, 20))
    assert out_of_patience(config, 50, (0.5, 20))
    assert not out_of_patience(replace(config, patience=0), 5000, (0.5, 20))


def test_the_cosine_schedule_by_hand():
    config = replace(TINY, steps=110, warmup_steps=10, learning_rate=2.0)
    assert [learning_rate(config, step) for step in (0, 4, 9)] == pytest.approx([0.2, 1.0, 2.0])
    assert [learning_rate(config, step) for step in (10, 60, 85)] == pytest.approx([2.0, 1.0, 1 - math.sqrt(0.5)])
    assert learning_rate(config, 110) == pytest.approx(0)


def test_the_other_schedules_by_hand():
    config = replace(TINY, schedule="decay", decay=0.5, decay_every=10, warmup_steps=0, learning_rate=8.0)
    assert [learning_rate(config, step) for step in (0, 9, 10, 29, 30)] == [8, 8, 4, 2, 1]
    config = replace(config, schedule="constant", warmup_steps=4)
    assert [learning_rate(config, step) for step in (0, 1, 3, 4, 999)] == [2, 4, 8, 8, 8]


def test_momentum_rises_in_a_line():
    config = replace(TINY, momentum=(0.5, 0.9, 4), decay_every=10)
    assert [momentum(config, step) for step in (0, 10, 20, 40, 400)] == pytest.approx([0.5, 0.6, 0.7, 0.9, 0.9])


def test_each_layer_steps_at_its_own_rate_and_decay_spares_biases():
    """SGD without momentum and with gradients of 1: w - rate * lr * (1 + decay * w), biases without decay."""
    config = replace(
        TINY,
        network=replace(NARROW, batch_norm=False),
        optimiser="sgd",
        learning_rate=0.1,
        schedule="constant",
        warmup_steps=0,
        momentum=(0.0, 0.0, 1),
        weight_decay=0.5,
        layer_rates=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0),
        distance_head=False,
    )
    network = initial_network(config)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    loss = sum(parameter.sum() for parameter in network.parameters())
    take_step(network, make_optimizer(network, config), loss, config, 0)
    layers = [*(f"convolutions.{index}" for index in range(4)), "embedding", "head"]
    for rate, layer in zip(config.layer_rates, layers, strict=True):
        for part, decay in (("weight", 0.5), ("bias", 0.0)):
            value = before[f"{layer}.{part}"]
            expected = value - rate * 0.1 * (1 + decay * value)
            torch.testing.assert_close(network.state_dict()[f"{layer}.{part}"], expected)


def test_norms_go_with_their_layer_and_are_not_decayed():
    config = replace(TINY, layer_rates=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
    network = initial_network(config)
    groups = {id(p): group for group in make_optimizer(network, config).param_groups for p in group["params"]}
    assert len(groups) == len(list(network.parameters()))
    assert groups[id(network.convolution_norms[2].weight)]["rate"] == 3
    assert groups[id(network.embedding_norm.bias)]["rate"] == 5
    assert groups[id(network.embedding_norm.weight)]["weight_decay"] == 0
    assert groups[id(network.embedding.weight)]["weight_decay"] == config.weight_decay


def test_the_head_stays_a_distance_where_asked_for():
    network = initial_network(TINY)
    config = replace(TINY, warmup_steps=0, learning_rate=1.0)
    take_step(network, make_optimizer(network, config), -network.head.weight.sum(), config, 0)
    assert network.head.weight.max() == 0


def test_averaged_weights_are_those_of_a_loop_and_survive_a_stop(straight, scrawl, tmp_path):
    """Of the four steps of `straight`, stopped after two of them."""
    config, seen = replace(TINY, weight_average=0.75), []

    def noting(network: SiameseNetwork) -> Callable[[dict], None]:
        return lambda _line: seen.append({name: value.clone() for name, value in network.state_dict().items()})

    for _ in range(2):  # two steps, then the clock
        network = initial_network(config)
        stopping = iter([False, False, True])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module.distributed, "any_rank", lambda *_arguments: next(stopping))  # noqa: B023
            outcome = train_on(network, scrawl, config, tmp_path, resume=True, report=noting(network))
    assert (outcome.steps, outcome.finished) == (4, True)
    assert metrics(tmp_path) == metrics(straight)
    expected = seen[0]
    for weights in seen[1:]:
        expected = {name: 0.75 * value + 0.25 * weights[name] for name, value in expected.items()}
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[name])
    assert not torch.allclose(network.head.weight, seen[-1]["head.weight"], atol=1e-5)


@pytest.mark.parametrize("name", ["pens", "gpu"])
def test_pens_are_drawn_while_training_and_a_run_goes_on_in_pieces(name, scrawl, tmp_path):
    """The recipes' own distortions, on few drawings and a narrow network: two steps at once, and one by one."""
    recipe = load_recipe(CharacterConfig, name)
    assert recipe.distortions.needs_layers
    config = replace(recipe, network=NARROW, hold_out=(), synthetic_alphabets=0, steps=2, characters=3)
    for run in ("straight", "pieces"):
        (tmp_path / run).mkdir()
    train_on(initial_network(config), scrawl, config, tmp_path / "straight")

    def stop(line: dict) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    first = train_on(initial_network(config), scrawl, config, tmp_path / "pieces", report=stop)
    second = train_on(initial_network(config), scrawl, config, tmp_path / "pieces", resume=True)
    assert [(one.steps, one.finished) for one in (first, second)] == [(1, False), (2, True)]
    assert metrics(tmp_path / "pieces") == metrics(tmp_path / "straight")


def test_a_shared_embedding_stays_to_the_bit(scrawl, tmp_path):
    config = replace(TINY, network=NARROW, shared_embedding=True, steps=2, weight_decay=0.1, weight_average=0.5)
    start = SiameseNetwork(replace(NARROW, batch_norm=False), generator=torch.Generator().manual_seed(3))
    network = start.unfolded(NARROW, scrawl.prepared(config.preprocessing)[:8].float() / 255)
    freeze_layers(network, config)
    train_on(network, scrawl, config, tmp_path)
    made = network.folded()
    assert torch.equal(made.embedding.weight, start.embedding.weight)
    assert not torch.equal(made.convolutions[1].weight, start.convolutions[1].weight)


if __name__ == "__main__":
    run_until_killed(Path(sys.argv[1]))


@pytest.mark.parametrize("error", [OSError, TypeError])
def test_systems_without_such_a_library_do_without(monkeypatch, error):
    def missing(_name: None) -> None:
        raise error("no such library")  # TypeError on Windows

    monkeypatch.setattr(module.ctypes, "CDLL", missing)
    module.reuse_large_buffers()

"""Two processes compute the gradients of one, with the same global batch, batch normalisation included."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from siamese.network import SiameseNetwork
from tests.blots import scribbles
from tests.networks import NARROW
from train import distributed, loop
from train.augment import Distortions
from train.characters.config import CharacterConfig
from train.characters.objective import character_task, make_sampler, step_loss
from train.state import METRICS, STATE

ALL_AGAINST_ALL = CharacterConfig(
    network=replace(NARROW, batch_norm=True),
    distortions=Distortions(rotation_deg=10.0, shift_px=2.0),
    hold_out=(),
    characters=2,
    drawers=2,
    steps=1,
    warmup_steps=0,
    optimiser="sgd",
)
PAIRS = replace(ALL_AGAINST_ALL, network=NARROW, sampling="pairs", pairs=4, characters=2, n_way_loss=0.0)
CPU = torch.device("cpu")


def gradients(config: CharacterConfig) -> dict[str, torch.Tensor]:
    """Of the first step, and what batch normalisation remembers of it; float32, so that rounding stays small."""
    loop.fastest_precision = lambda _device: torch.float32
    drawings = scribbles(2, 3, 2)
    network = SiameseNetwork(config.network, generator=torch.Generator().manual_seed(2)).train()
    distributed.share_statistics(network)
    sampler = make_sampler(drawings, config)
    loss = step_loss(network, drawings.prepared(config.preprocessing), sampler, config, 0)
    loss.backward()
    distributed.average_gradients(network)
    found = {name: parameter.grad for name, parameter in network.named_parameters()}
    running = {name: value for name, value in network.named_buffers() if "running" in name}
    return found | running | {"loss": loss.detach()}


def work(folder: Path) -> None:
    """What each of the two processes does."""
    with distributed.processes(CPU):
        rank = os.environ["RANK"]
        for name, config in (("alphabets", ALL_AGAINST_ALL), ("pairs", PAIRS)):
            save_file(gradients(config), folder / f"{name}.{rank}")
        network = SiameseNetwork(ALL_AGAINST_ALL.network, generator=torch.Generator().manual_seed(2))
        folder = folder / "run"
        folder.mkdir(exist_ok=True)
        distributed.wait()
        loop.fit(network, character_task(scribbles(2, 3, 2), ALL_AGAINST_ALL, CPU), ALL_AGAINST_ALL, folder, CPU)
        save_file({"weight": network.convolutions[0].weight.detach().contiguous()}, folder / f"after.{rank}")
        assert distributed.any_rank(rank == "1", CPU)
        assert not distributed.any_rank(False, CPU)
        assert distributed.broadcast(float(rank) + 0.1, CPU) == 0.1
        try:
            distributed.own_part(torch.zeros(3, 1, 105, 105))
        except distributed.DistributedError as error:
            (folder / f"refusal.{rank}").write_text(str(error), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What two processes left."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    root = str(Path(__file__).resolve().parents[2])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, __file__, str(folder)],
        env=os.environ | shared | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("name", "config"), [("alphabets", ALL_AGAINST_ALL), ("pairs", PAIRS)])
def test_two_processes_have_the_gradients_of_one(name, config, folder, monkeypatch):
    monkeypatch.setattr(loop, "fastest_precision", loop.fastest_precision)  # put back what `gradients` replaces
    expected = gradients(config)
    for rank in range(2):
        found = load_file(folder / f"{name}.{rank}")
        assert found.keys() == expected.keys()
        for part, value in expected.items():
            if (
                config.network.batch_norm
                and part.endswith(".bias")
                and part.startswith(("convolutions.", "embedding."))
            ):
                continue  # normalisation takes the bias away again: its gradient is 0, and what is there is rounding
            scale = value.abs().max().item()
            torch.testing.assert_close(found[part], value, rtol=0, atol=1e-3 * scale, msg=lambda m, p=part: f"{p}: {m}")
    assert expected["embedding.weight"].abs().max() > 0


def test_both_processes_hold_the_same_weights_after_a_step_and_the_first_alone_writes(folder):
    after = [load_file(folder / "run" / f"after.{rank}")["weight"] for rank in range(2)]
    assert torch.equal(*after)
    network = SiameseNetwork(ALL_AGAINST_ALL.network, generator=torch.Generator().manual_seed(2))
    assert not torch.equal(after[0], network.convolutions[0].weight)
    assert (folder / "run" / STATE).is_file()
    assert len((folder / "run" / METRICS).read_text(encoding="utf-8").splitlines()) == 1


def test_a_batch_that_cannot_be_shared_is_refused(folder):
    for rank in range(2):
        text = (folder / "run" / f"refusal.{rank}").read_text(encoding="utf-8")
        assert text.startswith("A batch of 3 images cannot be shared evenly among 2 processes")


def test_without_a_launcher_nothing_is_different(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    images, network = torch.rand(3, 1, 105, 105), SiameseNetwork(replace(NARROW, batch_norm=True))
    with distributed.processes(CPU) as device:
        assert device == CPU
        assert distributed.count() == 1
        assert distributed.is_first()
        assert distributed.own_part(images) is not None
        assert torch.equal(distributed.own_part(images), images)
        assert not distributed.any_rank(False, CPU)
        assert distributed.broadcast(0.1, CPU) == 0.1
        distributed.share_statistics(network)
    assert type(network.embedding_norm) is torch.nn.BatchNorm1d


if __name__ == "__main__":
    import torch._dynamo  # which the first optimiser of a process imports

    second = os.fork()  # after the imports, which take longer than the work
    os.environ["RANK"] = os.environ["LOCAL_RANK"] = "0" if second else "1"
    work(Path(sys.argv[1]))
    if second:
        assert os.waitpid(second, 0)[1] == 0

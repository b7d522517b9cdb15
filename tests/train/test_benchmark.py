"""The benchmark: its arithmetic on seconds that are known, the plain way's answers, and one short real run."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import to_tensor

from siamese.network import SiameseNetwork
from tests.networks import narrow_network
from train import benchmark, measured, plain_reference
from train.__main__ import main
from train.benchmark import figure, interleaved, reading_rows, report, row, table
from train.errors import CommandError
from train.measured import EMBEDDING_OPERATIONS, Side

CPU = torch.device("cpu")


def times_of_rounds() -> benchmark.Times:
    """Three rounds; the machine multiplies 10^12 times a second in bfloat16."""
    product = 2 * 1000**3
    times: benchmark.Times = {
        ("machine", "float32 1000"): [product / 1e11] * 3,
        ("machine", "bfloat16 1000"): [product / 1e12] * 3,
        ("machine", "bfloat16 500"): [1.0] * 3,
        ("machine", "copy"): [0.1, 0.2, 0.3],
        ("training", "step"): [0.5, 1.0, 0.5],
        ("training", "data"): [0.05, 0.1, 0.05],
        ("training", "distortions"): [0.1, 0.1, 0.1],
        ("plain", "step"): [2.0, 2.0, 8.0],
        ("plain", "data"): [0.2, 0.2, 0.2],
        ("plain", "trial"): [1.0, 1.0, 1.0],
        ("plain", "trial from files"): [1.2, 1.2, 1.2],
        ("loading", "load"): [0.7, 0.5, 0.9],
        ("reading", "clean drawing"): [0.02, 0.03, 0.02],
        ("plain reading", "clean drawing"): [0.005, 0.003, 0.006],
    }
    for n in (1, 64):
        times["serving", f"embed {n}"] = [n / 400, n / 500, n / 600]
        times["plain", f"embed {n}"] = [n / 40, n / 100, n / 100]
    for name, seconds in (("cold", 0.25), ("warm", 0.01), ("cold from files", 0.3), ("warm from files", 0.02)):
        times["serving", name] = [seconds] * 3
    return times


@pytest.fixture
def made() -> dict:
    peaks = {"serving": 700_000_000, "plain": 900_000_000}
    return report(times_of_rounds(), peaks, [(4.0, 600_000_000), (5.0, 610_000_000), (9.0, 620_000_000)], CPU)


def test_the_report_has_what_was_promised(made):
    assert {"machine", "ceilings", "rows", "ratios", "ceiling_share", "peak_memory_bytes", "model_load_s"} < set(made)
    assert made["ratios"] == pytest.approx(
        {
            "serving_batch64": 6.0,  # of 10, 5 and 6
            "warm_20way": 100.0,
            "cold_20way": 4.0,
            "training_images": 4.0,  # of 4, 2 and 16
            "training_pairs": 4.0 * 63,  # 64 x 63 / 2 pairs in 64 images instead of 32
        }
    )
    assert made["ceiling_share"]["serving_batch64"] == pytest.approx(500 * EMBEDDING_OPERATIONS / 1e12)
    assert made["ceilings"]["copy_bytes_per_s"] == pytest.approx(2 * (1 << 28) / 0.2)
    assert made["ceilings"]["bfloat16_operations_per_s"] == pytest.approx(1e12)
    assert made["peak_memory_bytes"] == 700_000_000
    assert (made["model_load_s"], made["start_to_listening_s"]) == (0.7, 5.0)
    json.dumps(made, allow_nan=False)


def test_an_embedding_costs_what_the_layers_say():
    # 0.059 + 0.708 + 0.085 + 0.019 + 0.038 thousand million multiply-adds
    assert sum(measured.MULTIPLY_ADDS.values()) == 908_623_872
    assert EMBEDDING_OPERATIONS == 2 * 908_623_872
    seen = []
    with torch.device("meta"):  # shapes are enough
        network = SiameseNetwork().eval()
    for layer in [*network.convolutions, network.embedding]:
        layer.register_forward_hook(lambda layer, _given, made: seen.append(made[0, 0].numel() * layer.weight.numel()))
    with torch.no_grad():
        network.embed(torch.zeros(1, 1, 105, 105, device="meta"))
    assert seen == list(measured.MULTIPLY_ADDS.values())


def test_a_ratio_above_1_speaks_for_ours_whatever_the_unit():
    times = {("a", "x"): [1.0, 2.0, 1.0], ("b", "x"): [3.0, 2.0, 4.0]}
    speed = row(times, "speed", "images/s", ("a", "x"), ("b", "x"), benchmark.per_s(10))
    duration = row(times, "duration", "ms", ("a", "x"), ("b", "x"), benchmark.milliseconds)
    assert speed["ratio"] == duration["ratio"] == pytest.approx(3.0)
    assert speed["ours"]["median"] == 10.0
    assert duration["plain"]["median"] == 3000.0


def test_each_image_whose_ink_was_found_has_a_row():
    (found,) = reading_rows(times_of_rounds())
    assert found["name"] == "finding ink, clean drawing"
    assert (found["ours"]["median"], found["plain"]["median"]) == (20.0, 5.0)
    assert found["ratio"] == pytest.approx(0.25)
    reported = {"machine": benchmark.machine(CPU), "ceilings": {}, "rows": [found]}
    assert table(reported).endswith(
        "| finding ink, clean drawing (ms) | 20.0 (20.0 to 25.0) | 5.00 (4.00 to 5.50) | 0.25 |  |"
    )


def test_the_plain_way_scales_what_otsu_s_threshold_finds():
    page = np.full((300, 400), 240, np.uint8)
    page[100:150, 80:280] = 30  # 50 x 200 px
    ink = plain_reference.isolate(Image.fromarray(page))
    assert ink.shape == (1, 105, 105)
    assert ink.sum() == 20 * 80
    assert (ink[0, 42:62, 12:92] == 1).all()


def test_quartiles():
    assert figure([5.0, 1.0, 2.0, 4.0, 3.0]).as_dict() == {"median": 3.0, "low": 2.0, "high": 4.0}
    assert figure([2.0]).as_dict() == {"median": 2.0, "low": 2.0, "high": 2.0}


def test_the_table_is_markdown_with_a_line_for_each_row(made):
    lines = table(made).splitlines()
    assert [line.count("|") for line in lines[2:]] == [6] * (2 + len(made["rows"]))
    assert any(line.startswith("| embeddings, batch 64 (images/s) | 500 (4") and "| 6.0 |" in line for line in lines)


def test_rounds_are_interleaved():
    order = []

    class Noted(Side):
        def __init__(self, name: str, names: list[str]) -> None:
            self.name, self.names = name, names

        def seconds(self, action: str) -> float:
            order.append((self.name, action))
            return float(len(order))

    times = interleaved({"ours": Noted("ours", ["embed", "load"]), "plain": Noted("plain", ["embed"])}, 2)
    one_round = [("ours", "embed"), ("plain", "embed"), ("ours", "load")]
    assert order == one_round * 2
    assert times["plain", "embed"] == [2.0, 5.0]


def test_the_plain_network_answers_like_ours(real_network):
    ours = real_network
    with torch.device("meta"):  # its weights are those of ours
        plain = plain_reference.PlainNetwork()
    layers = [layer for layer in plain.tower if hasattr(layer, "weight")] + [plain.out]
    for layer, source in zip(layers, [*ours.convolutions, ours.embedding, ours.head], strict=True):
        layer.load_state_dict(source.state_dict(), assign=True)
    pictures = measured.distinct_pictures(3)
    with torch.no_grad():
        expected = ours.compare_query(ours.embed(pictures[:2]), ours.embed(pictures[2:])[0])
    torch.testing.assert_close(plain_reference.trial(plain, pictures[:2], pictures[2]), expected, rtol=0, atol=1e-5)


def test_the_plain_pairs_are_alternately_same_and_different(drawings):
    files = plain_reference.by_character(drawings)
    assert [len(of_one) for of_one in files] == [4] * 18
    pairs = plain_reference.PairFiles([[file] * 2 for file, *_ in files], 8)
    pairs.transform = to_tensor  # as they are
    for place in range(8):
        first, second, same = pairs[place]
        assert same.item() == (place % 2 == 0) == torch.equal(first, second)


def test_the_plain_training_learns_from_pairs(drawings):
    learning = plain_reference.PlainTraining(plain_reference.PlainNetwork(), drawings, CPU)
    first, second, same = learning.load()
    assert first.shape == second.shape == (32, 1, 105, 105)
    assert same[:, 0].tolist() == [1.0, 0.0] * 16


def test_no_two_pictures_are_equal():
    pictures = measured.distinct_pictures(150)
    assert len(pictures.flatten(1).unique(dim=0)) == 150
    assert 0 <= pictures.min() <= pictures.max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["serving", "training", "reading", "plain reading"])
def test_every_action_runs(name, monkeypatch, tmp_path):
    if name == "serving":
        from siamese.hub.checkpoint import save_checkpoint
        from siamese.preprocessing import Preprocessing

        save_checkpoint(tmp_path, narrow_network(), Preprocessing())
        actions = measured.serving(CPU, str(tmp_path), (1, 2))
    elif name in {"reading", "plain reading"}:
        actions = measured.SIDES[name](CPU)
    else:
        monkeypatch.setattr("train.loop.reuse_large_buffers", lambda: None)  # of this process
        monkeypatch.setattr("train.characters.config.CharacterConfig.characters", 4)
        actions = measured.training(CPU)
    for action in actions.values():
        assert measured.timed(action, CPU) > 0


@pytest.mark.slow
def test_a_side_runs_in_a_process_of_its_own():
    with Side("machine", CPU, (32,)) as side:
        assert {"float32 32", "bfloat16 32", "copy"} <= set(side.names)
        assert 0 < side.seconds("float32 32") < 60
        assert side.peak_bytes() > 100_000_000  # PyTorch alone takes more
        process = side._process
    assert process.exitcode == 0
    with pytest.raises(CommandError, match=r"^machine: "):
        Side("machine", CPU, ("large",))


def test_what_goes_wrong_ends_in_a_sentence(capsys, monkeypatch, tmp_path):
    assert main(["benchmark", "--device", "abacus"]) == 1
    assert "'abacus'" in capsys.readouterr().err
    assert main(["benchmark", "--model", str(tmp_path / "nothing")]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_run_is_written(made, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "measure", lambda *_: made)
    monkeypatch.setattr(benchmark, "resolve_model", lambda *_, **__: type("Found", (), {"folder": tmp_path}))
    output = tmp_path / "bench.json"
    assert main(["benchmark", "--quick", "--output", str(output)]) == 0
    assert json.loads(output.read_text()) == json.loads(json.dumps(made))
    assert "| ratio |" in capsys.readouterr().out
    monkeypatch.setattr(benchmark, "measure_reading", lambda *_: made | {"rows": []})
    assert main(["benchmark", "--reading", "--output", str(output)]) == 0
    assert json.loads(output.read_text())["rows"] == []
    assert main(["benchmark", "--quick", "--output", str(output / "no")]) == 1
    assert "cannot be written" in capsys.readouterr().err

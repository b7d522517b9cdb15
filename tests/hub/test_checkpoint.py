"""Checkpoints: what is saved is what is loaded, and nothing else loads."""

import errno
import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from siamese.hub import checkpoint as module
from siamese.hub import files as files_module
from siamese.hub.checkpoint import (
    CheckpointError,
    as_json,
    load_checkpoint,
    read_config,
    read_weights,
    replace_files,
    save_checkpoint,
)
from siamese.hub.quantise import quantise_rows
from siamese.hub.schema import FORMAT, network_config, network_entry
from siamese.network import NetworkConfig, SiameseNetwork
from siamese.preprocessing import Preprocessing
from tests.networks import NARROW, narrow_network

UNITS = NARROW.embedding_units


@pytest.fixture(scope="module")
def network():
    return narrow_network(1)


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 1, 105, 105, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("float32")
    save_checkpoint(folder, network, Preprocessing(extent_px=70, keep_aspect=False), training={"seed": 3})
    return folder


@pytest.fixture(scope="module")
def compact(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8")
    save_checkpoint(folder, network, Preprocessing(), storage="int8")
    return folder


POINTS = ("strict", "balanced", "lenient")
POINT = {"threshold": 0.5, "far": 0.1, "frr": 0.1}


def calibration(edges: object, shares: object) -> dict:
    return {"verification": {"calibration": {"similarity_edges": edges, "share_same": shares}}}


FUSION = {
    "bias": 0.5,
    "network": 0.25,
    "hinge": -4,
    "profile": -2,
    "network_middle": 1,
    "hinge_middle": 0.3,
    "profile_middle": 2,
}


def points(threshold: float, far: float, frr: float) -> dict:
    return {name: {"threshold": threshold, "far": far, "frr": frr} for name in POINTS}


def linked(folder: Path, to: Path) -> Path:
    """A folder of its own whose files may be replaced, not written into: they are links."""
    for name in ("model.safetensors", "config.json"):
        os.link(folder / name, to / name)
    return to


@pytest.fixture
def copy(saved, tmp_path):
    return linked(saved, tmp_path)


@pytest.fixture
def compact_copy(compact, tmp_path):
    return linked(compact, tmp_path)


def write_weights(folder: Path, tensors: dict) -> None:
    """Other weights with a config.json that names their SHA-256."""
    (folder / "model.safetensors").unlink()
    save_file(tensors, folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    write_config(folder, weights_sha256=digest)


def write_config(folder: Path, **entries) -> None:
    config = json.loads((folder / "config.json").read_text()) | entries
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config))


def test_what_is_saved_is_what_is_loaded(network, images, saved):
    loaded = load_checkpoint(saved)
    assert torch.equal(loaded.network.embed(images), network.embed(images))
    assert loaded.preprocessing == Preprocessing(extent_px=70, keep_aspect=False)
    assert loaded.config["training"] == {"seed": 3}
    assert not loaded.network.training
    assert loaded.network.config == NARROW
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]


def test_anybody_reads_the_weights_with_safetensors_alone(network, saved):
    tensors = load_file(saved / "model.safetensors")
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()} == {
        name: (torch.float32, tensor.shape) for name, tensor in network.state_dict().items()
    }
    config = json.loads((saved / "config.json").read_text())
    assert config["weights_sha256"] == hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()
    widths = {"channels": list(NARROW.channels), "embedding_units": UNITS}
    assert config["network"] == {"activation": "relu"} | widths


def test_a_network_of_the_paper_s_widths_does_not_name_them():
    assert network_entry(NetworkConfig()) == {"activation": "relu"}
    assert network_config({"activation": "selu"}) == NetworkConfig("selu")


def test_the_compact_storage_is_small_and_close(network, images, compact):
    stored = load_file(compact / "model.safetensors")
    others = {torch.float16} - {stored.pop("embedding.weight").dtype, stored.pop("embedding.weight_scale").dtype}
    assert {tensor.dtype for tensor in stored.values()} == others
    loaded = load_checkpoint(compact).network
    assert all(tensor.dtype == torch.float32 for tensor in loaded.state_dict().values())
    weight = network.embedding.weight
    share = (loaded.embedding.weight - weight).norm() / weight.norm()
    assert share < 0.01  # uniform rounding to 254 steps over +-4 standard deviations: 0.9 %
    torch.testing.assert_close(loaded.embed(images), network.embed(images), rtol=0, atol=2e-2)


def test_restored_numbers_are_saved_to_the_bit(images, compact, tmp_path):
    restored = load_checkpoint(compact)
    save_checkpoint(tmp_path, restored.network, restored.preprocessing)
    assert torch.equal(load_checkpoint(tmp_path).network.embed(images), restored.network.embed(images))


def test_rows_are_quantised_with_the_better_scale():
    exact = torch.tensor([[1.27, -0.64, 0.01], [0.0, 0.0, 0.0]])
    quantised, scale = quantise_rows(exact)
    assert quantised.tolist() == [[127, -64, 1], [0, 0, 0]]
    torch.testing.assert_close(scale[0], torch.tensor(0.01))
    outlier = torch.cat([torch.randn(1, 5000, generator=torch.Generator().manual_seed(4)), torch.tensor([[8.0]])], 1)
    quantised, scale = quantise_rows(outlier)
    naive = (outlier * (127 / 8)).round() * (8 / 127)
    assert (quantised * scale[:, None] - outlier).square().sum() < (naive - outlier).square().sum()


def test_what_was_quantised_before_keeps_its_numbers():
    generator = torch.Generator().manual_seed(6)
    whole = torch.randint(-127, 128, (300, 50), generator=generator)
    whole[:, 0] = 127
    scale = torch.rand(300, generator=generator) * 0.01 + 1e-4
    again, scale_again = quantise_rows(whole * scale[:, None])
    assert torch.equal(again, whole.to(torch.int8))
    assert torch.equal(scale_again, scale)


def test_batch_normalisation_is_folded(images, tmp_path):
    network = narrow_network(5, batch_norm=True, dropout=0.2)
    with torch.no_grad():
        network.embedding_norm.running_mean.uniform_(-1, 1)
        network.convolution_norms[2].weight.uniform_(0.5, 2)
    network.eval()
    save_checkpoint(tmp_path, network, Preprocessing())
    loaded = load_checkpoint(tmp_path).network
    assert not loaded.config.batch_norm
    torch.testing.assert_close(loaded.embed(images), network.embed(images), rtol=0, atol=1e-4)


def test_a_flipped_bit_is_noticed(copy):
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1000] ^= 1
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_checkpoint(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head.weight": torch.zeros(2, UNITS)}, r"head.weight with the shape \[2, 48\], must be \[1, 48\]"),
        ({"head.weight": torch.zeros(1, UNITS)}, "head.weight as float32, must be float16"),
        ({"head.bias": torch.tensor([torch.nan]).half()}, "head.bias .*NaN or infinity"),
        ({"head.bias": torch.tensor([torch.inf]).half()}, "head.bias .*NaN or infinity"),
        ({"head.extra": torch.zeros(1)}, "head.extra, which the network does not have"),
        ({"head.bias": None}, r"lacks the tensor head.bias of shape \[1\]"),
    ],
)
def test_tensors_must_fit_exactly(compact_copy, change, message):
    tensors = load_file(compact_copy / "model.safetensors") | change
    write_weights(compact_copy, {name: tensor for name, tensor in tensors.items() if tensor is not None})
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(compact_copy)


def test_half_precision_under_a_float32_config_is_refused(copy, network):
    write_weights(copy, network.state_dict() | {"head.weight": torch.zeros(1, UNITS).half()})
    with pytest.raises(CheckpointError, match=r"head\.weight as float16, must be float32"):
        load_checkpoint(copy)


def test_an_int8_config_over_float_tensors_is_refused(copy):
    write_config(copy, storage="int8")
    with pytest.raises(CheckpointError, match=r"embedding.weight_scale of shape \[48\]"):
        load_checkpoint(copy)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"format": "other/9"}, "format 'other/9'"),
        ({"network": None}, "'network' is None: input should be"),
        ({"network": {"activation": "tanh"}}, "'network.activation' is 'tanh': input should be 'relu' or 'selu'"),
        ({"network": {"activation": "relu", "batch_norm": True}}, "'network.batch_norm' is True: extra inputs"),
        ({"network": {"activation": "relu", "channels": [1, 2]}}, r"'network.channels' is \[1, 2\]: list should have"),
        ({"network": {"activation": "relu", "embedding_units": 0}}, "'network.embedding_units' is 0: input should be"),
        ({"preprocessing": {"extent_px": "80"}}, "'preprocessing' has extent_px = '80', must be of type int"),
        ({"preprocessing": {"extent_px": 4}}, "lie in 8 to 105"),
        ({"preprocessing": {"colour": 1}}, "colour, which this version does not know"),
        ({"preprocessing": None}, "'preprocessing' must be a JSON object"),
        ({"storage": "pickle"}, "'storage' is 'pickle'"),
        ({"weights_sha256": 7}, "'weights_sha256' is 7: input should be a valid string"),
        ({"verification": {"threshold": 1.5}}, "'verification.threshold' is 1.5: input should be less than 1"),
        ({"verification": 3}, "'verification' is 3: "),
        (calibration([0, 1], [0.1, "x"]), "'verification.calibration.share_same.1' is 'x'"),
        (calibration(7, [0.5]), "'verification.calibration.similarity_edges' is 7: input should be a valid list"),
        (calibration([0, 1], [0.1, 0.2]), "2 bins needs one edge more"),
        (calibration([0.1, 1], [0.1]), "must rise from 0 to 1"),
        (
            {"verification": {"calibration": {"similarity_edges": [0, 1]}}},
            "calibration.share_same' is missing",
        ),
        ({"verification": {"calibration": 3}}, "'verification.calibration' is 3"),
        ({"verification": {"by_references": {"3": calibration([0], [])["verification"]}}}, "0 bins"),
        ({"verification": {"operating_points": {"strict": POINT}}}, "must name the points strict, balanced, lenient"),
        (
            {"verification": {"operating_points": points(0.5, 2, 0)}},
            "strict.far' is 2: input should be",
        ),
        (
            {"verification": {"operating_points": points(1, 0, 0)}},
            "strict.threshold' is 1: input should be",
        ),
        ({"verification": {"operating_points": dict.fromkeys(POINTS, 7)}}, "operating_points.strict' is 7"),
        ({"verification": {"curve": {"threshold": [0.2, 0.1], "far": [1, 0], "frr": [0, 1]}}}, "thresholds .* rise"),
        ({"verification": {"curve": {"threshold": ["x"], "far": [1], "frr": [0]}}}, "curve.threshold.0' is 'x'"),
        ({"verification": {"curve": {"threshold": [0.1], "far": [1]}}}, "'verification.curve.frr' is missing"),
        ({"verification": {"curve": 3}}, "'verification.curve' is 3"),
        ({"verification": {"consistency": {"weight": 2, "level": 1.0}}}, "consistency.weight' is 2: input should be"),
        ({"verification": {"consistency": {"weight": 0.5}}}, "consistency.level' is missing"),
        ({"verification": {"consistency": 5}}, "'verification.consistency' is 5"),
        ({"verification": {"consistency": {"weight": 0.5, "level": 10**400}}}, "consistency.level' is 1000"),
        ({"verification": {"fusion": FUSION | {"bias": 10**400}}}, "'verification.fusion.bias' is 1000"),
        ({"verification": {"fusion": {"network": 1}}}, "'verification.fusion.bias' is missing"),
        ({"verification": {"fusion": FUSION | {"bias": "much"}}}, "'verification.fusion.bias' is 'much'"),
        ({"verification": {"fusion": FUSION | {"bias": True}}}, "'verification.fusion.bias' is True"),
        (
            {"verification": {"fusion": FUSION | {"hinge": 2.0}}},
            "fusion.hinge' is 2.0: input should be",
        ),
        ({"verification": {"by_references": {"many": {}}}}, "by_references.many"),
        ({"verification": {"by_references": {"3": {"curve": {}}}}}, "by_references.3.curve.threshold' is missing"),
        ({"verification": {"by_references": {"3": 3}}}, "by_references.3' is 3"),
        ({"training": [1]}, "'training' is "),
        ({"storage": "shared"}, "shares a layer but does not name"),
        ({"storage": "shared", "base": {"name": "../omniglot", "weights_sha256": "0" * 64}}, "'base.name' is '../omni"),
        ({"storage": "shared", "base": {"name": "omniglot", "weights_sha256": "0"}}, "'base.weights_sha256' is '0'"),
    ],
)
def test_a_config_must_be_understood(copy, entries, message):
    write_config(copy, **entries)
    with pytest.raises(CheckpointError, match=message) as refused:
        load_checkpoint(copy)
    assert str(refused.value).startswith(str(copy / "config.json"))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": NaN}', "[" * 100_000, "\xff\xfe"])
def test_a_config_that_is_no_json_object(copy, text):
    (copy / "config.json").unlink()
    (copy / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_checkpoint(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load_checkpoint(copy)


def test_a_missing_folder_and_a_pickle(copy, tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        load_checkpoint(tmp_path / "nowhere")
    (copy / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(1)}, copy / "model.safetensors")
    write_config(copy, weights_sha256=hashlib.sha256((copy / "model.safetensors").read_bytes()).hexdigest())
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_checkpoint(copy)


def test_a_file_that_is_too_large_is_not_read(copy, monkeypatch):
    monkeypatch.setattr(module, "WEIGHTS_LIMIT_BYTES", 1000)
    with pytest.raises(CheckpointError, match="more than the 1,000"):
        load_checkpoint(copy)


def test_weights_that_are_not_finite_are_not_saved(network, saved, tmp_path):
    broken = load_checkpoint(saved).network
    with torch.no_grad():
        broken.head.weight[0, 5] = torch.nan
    with pytest.raises(CheckpointError, match=r"head\.weight"):
        save_checkpoint(tmp_path / "new", broken, Preprocessing())
    assert not (tmp_path / "new").exists()
    with torch.no_grad():
        broken.head.weight[0, 5] = 1e6
    with pytest.raises(CheckpointError, match=r"head\.weight .*int8"):
        save_checkpoint(tmp_path / "new", broken, Preprocessing(), storage="int8")


# A checkpoint that shares the large layer


@pytest.fixture
def bases(compact, monkeypatch):
    """The bundled checkpoints are the compact one alone, called "first"."""
    folder = compact.parent / "bases"
    if not folder.exists():
        (folder / "first").mkdir(parents=True)
        linked(compact, folder / "first")
    monkeypatch.setattr(module, "BASES", folder)
    return folder


def sharing(bases: Path) -> SiameseNetwork:
    """The base's large layer, everything else drawn anew."""
    network = narrow_network(8)
    network.embedding.weight = load_checkpoint(bases / "first").network.embedding.weight
    return network


def test_a_shared_layer_is_not_stored_and_is_restored_to_the_bit(bases, images, tmp_path):
    network = sharing(bases)
    save_checkpoint(tmp_path / "small", network, Preprocessing(), storage="shared", base="first")
    assert "embedding.weight" not in load_file(tmp_path / "small" / "model.safetensors")
    loaded = load_checkpoint(tmp_path / "small")
    assert loaded.config["base"]["name"] == "first"
    assert torch.equal(loaded.network.embedding.weight, network.embedding.weight)
    assert all(tensor.dtype == torch.float32 for tensor in loaded.network.state_dict().values())
    torch.testing.assert_close(loaded.network.embed(images), network.embed(images), rtol=0, atol=2e-2)
    save_checkpoint(tmp_path / "whole", loaded.network, loaded.preprocessing)  # as it is published
    assert "base" not in read_config(tmp_path / "whole")
    assert torch.equal(load_checkpoint(tmp_path / "whole").network.embed(images), loaded.network.embed(images))


def test_a_trained_network_folds_back_to_the_shared_layer(bases, images, tmp_path):
    """Batch normalisation around a layer whose scale was left alone is folded away without a trace."""
    plain = sharing(bases)
    network = plain.unfolded(replace(NARROW, batch_norm=True), images)
    with torch.no_grad():
        network.embedding_norm.bias += 0.5
    save_checkpoint(tmp_path, network, Preprocessing(), storage="shared", base="first")
    with torch.no_grad():
        network.embedding_norm.weight[7] *= 1.01
    with pytest.raises(CheckpointError, match="layer is not the one of the bundled checkpoint 'first'"):
        save_checkpoint(tmp_path, network, Preprocessing(), storage="shared", base="first")


def test_another_or_a_missing_base_is_refused(bases, network, tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "small", sharing(bases), Preprocessing(), storage="shared", base="first")
    save_checkpoint(tmp_path / "bases" / "first", network, Preprocessing())
    monkeypatch.setattr(module, "BASES", tmp_path / "bases")
    with pytest.raises(CheckpointError, match=r"needs the bundled checkpoint 'first' .* here it has"):
        load_checkpoint(tmp_path / "small")
    shutil.rmtree(tmp_path / "bases")
    with pytest.raises(CheckpointError, match=r"'first' .*, which is missing here"):
        load_checkpoint(tmp_path / "small")


def test_a_base_must_have_the_layer_itself(bases, tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "bases" / "second", sharing(bases), Preprocessing(), storage="shared", base="first")
    digest = read_config(tmp_path / "bases" / "second")["weights_sha256"]
    linked_second = tmp_path / "third"
    save_checkpoint(linked_second, sharing(bases), Preprocessing(), storage="shared", base="first")
    write_config(linked_second, base={"name": "second", "weights_sha256": digest})
    monkeypatch.setattr(module, "BASES", tmp_path / "bases")
    with pytest.raises(CheckpointError, match="has no large layer of its own"):
        load_checkpoint(linked_second)


def test_a_base_goes_with_the_shared_storage_only(network, tmp_path):
    for given in ({"base": "omniglot"}, {"storage": "shared"}):
        with pytest.raises(CheckpointError, match="A base is required for the storage"):
            save_checkpoint(tmp_path, network, Preprocessing(), **given)


def test_a_checkpoint_with_thresholds_for_signatures_loads(copy):
    measured = {
        "operating_points": points(0.5, 0.1, 0.1),
        "curve": {"threshold": [0.1, 0.9], "far": [1.0, 0.0], "frr": [0.0, 1.0]},
    }
    write_config(copy, verification=measured | {"threshold": 0.5, "by_references": {"1": measured, "5": measured}})
    assert load_checkpoint(copy).config["verification"]["by_references"]["5"] == measured


# Writing: the files are small, as only their order and their completeness matter


def write(folder: Path, weights: bytes) -> None:
    digest = hashlib.sha256(weights).hexdigest()
    config = {"format": FORMAT, "network": {"activation": "relu"}, "preprocessing": {}, "storage": "float32"}
    config |= {"weights_sha256": digest, "training": {"weights": weights.decode()}}
    replace_files(folder, {"model.safetensors": weights, "config.json": as_json(config)})


def read(folder: Path) -> str:
    """Whose config.json stands there, after a look whether its weights do."""
    config = read_config(folder)
    assert read_weights(folder, config["weights_sha256"]).decode() == config["training"]["weights"]
    return config["training"]["weights"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("full_at", [1, 2])
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch, full_at):
    """There is no place for the weights, or for config.json after them."""
    write(tmp_path, b"old")
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"No space left on device.*untouched"):
        write(tmp_path, b"new")
    assert read(tmp_path) == "old"
    assert names(tmp_path) == ["config.json", "model.safetensors"]


class PowerCut(BaseException):
    """Not an error that code handles: the process is gone."""


@pytest.mark.parametrize("cut_before", ["model.safetensors", "config.json"])
def test_a_save_that_is_cut_off_leaves_the_old_checkpoint(tmp_path, monkeypatch, cut_before):
    real = Path.replace

    def cut(self: Path, target: Path) -> Path:
        if Path(target).name == cut_before:
            raise PowerCut
        return real(self, target)

    write(tmp_path, b"old")
    for attempt in (b"new", b"newer"):  # the second finds what the first has left
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", cut)
            with pytest.raises(PowerCut):
                write(tmp_path, attempt)
        assert read(tmp_path) == "old"
    write(tmp_path, b"newest")
    assert read(tmp_path) == "newest"
    assert names(tmp_path) == ["config.json", "model.safetensors"]


def test_a_save_after_one_whose_leftover_was_not_removed(tmp_path, monkeypatch):
    write(tmp_path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        write(tmp_path, b"new")
    assert names(tmp_path) == ["config.json", "model.previous.safetensors", "model.safetensors"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace_weights_only)
        with pytest.raises(PowerCut):
            write(tmp_path, b"newest")
    assert read(tmp_path) == "new"


REPLACE = Path.replace


def replace_weights_only(self: Path, target: Path) -> Path:
    if Path(target).name == "config.json":
        raise PowerCut
    return REPLACE(self, target)


def test_no_hard_links_no_matter(tmp_path, monkeypatch):
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(module.os, "link", no_links)
    write(tmp_path, b"old")
    write(tmp_path, b"new")
    assert read(tmp_path) == "new"
    assert names(tmp_path) == ["config.json", "model.safetensors"]


def held_open(times: int, monkeypatch) -> list[str]:
    """Windows, where another process has the weights open for a while; the names of the attempts."""
    attempts = []

    def busy(self: Path, target: Path) -> Path:
        attempts.append(Path(target).name)
        if len(attempts) <= times:
            raise PermissionError(errno.EACCES, "The process cannot access the file")
        return REPLACE(self, target)

    monkeypatch.setattr(files_module, "REPLACE_WAIT_S", 0)
    monkeypatch.setattr(Path, "replace", busy)
    return attempts


def test_a_file_that_windows_holds_open_is_replaced_a_little_later(tmp_path, monkeypatch):
    write(tmp_path, b"old")
    attempts = held_open(3, monkeypatch)
    monkeypatch.setattr(files_module, "IS_WINDOWS", True)
    write(tmp_path, b"new")
    assert attempts == ["model.safetensors"] * 4 + ["config.json"]
    assert read(tmp_path) == "new"


@pytest.mark.parametrize("is_windows", [True, False])
def test_a_file_that_stays_open_leaves_the_old_checkpoint(tmp_path, monkeypatch, is_windows):
    write(tmp_path, b"old")
    attempts = held_open(1000, monkeypatch)
    monkeypatch.setattr(files_module, "IS_WINDOWS", is_windows)
    with pytest.raises(CheckpointError, match="cannot access the file"):
        write(tmp_path, b"new")
    assert len(attempts) == (files_module.REPLACE_TRIES if is_windows else 1)
    assert read(tmp_path) == "old"


def test_figures_that_json_cannot_hold_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="cannot hold"):
        save_checkpoint(tmp_path, narrow_network(), Preprocessing(), figures={"loss": float("nan")})


def test_the_name_of_a_file_as_folder(copy):
    shutil.copy(copy / "config.json", copy / "file")
    with pytest.raises(CheckpointError, match="no such folder"):
        load_checkpoint(copy / "file")

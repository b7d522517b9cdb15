"""The compact checkpoint answers as the full one does, and takes its papers along."""

import json

import pytest
import torch

from siamese.hub import checkpoint as checkpoints
from siamese.hub.checkpoint import load_checkpoint, save_checkpoint
from siamese.hub.resolve import PRETRAINED
from siamese.preprocessing import SIGNATURE, Preprocessing
from tests.networks import narrow_network
from train import bundle
from train.__main__ import main

VERIFICATION = {"threshold": 0.4, "calibration": {"similarity_edges": [0.0, 1.0], "share_same": [0.5]}}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    network = narrow_network(1)
    given = {"verification": VERIFICATION, "training": {"steps": 7}, "figures": {"old": 1}}
    save_checkpoint(folder, network, Preprocessing(extent_px=70), **given)
    return folder


@pytest.fixture(scope="module")
def bundled(full, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundled") / "here"
    report = folder.parent / "report.json"
    report.write_text(json.dumps({"one_shot": []}), encoding="utf-8")
    words = ["bundle", "--model", str(full), "--report", str(report), "--output", str(folder)]
    assert main(words) == 0
    return folder


def test_what_the_package_carries_is_small():
    assert sum(path.stat().st_size for path in PRETRAINED.rglob("*") if path.is_file()) <= 46_000_000


def test_it_computes_nearly_the_same(full, bundled):
    images = (torch.rand(2, 1, 105, 105, generator=torch.Generator().manual_seed(2)) < 0.1).float()
    with torch.no_grad():
        networks = [load_checkpoint(folder).network for folder in (full, bundled)]
        expected, found = (network.embed(images) for network in networks)
        logits = [network.compare(*pair).item() for network, pair in zip(networks, (expected, found), strict=True)]
    assert 0 < (found - expected).abs().max() < 0.01
    assert logits[1] == pytest.approx(logits[0], abs=0.05)


def test_it_keeps_what_the_checkpoint_says_and_takes_the_new_report(bundled):
    checkpoint = load_checkpoint(bundled)
    assert checkpoint.preprocessing == Preprocessing(extent_px=70)
    assert checkpoint.config["storage"] == "int8"
    assert checkpoint.config["verification"] == VERIFICATION
    assert checkpoint.config["training"] == {"steps": 7}
    assert checkpoint.config["figures"] == {"one_shot": []}


def test_rates_on_collections_never_seen_are_taken_from_a_report(full, tmp_path, capsys):
    points = {name: {"threshold": 0.5, "far": 0.25, "frr": 0.1} for name in ("strict", "balanced", "lenient")}
    measured = {"1": {"eer_skilled": 0.17, "operating_points": points}}
    entry = {"collection": "tablet", "writers": 40, "forgeries": "skilled forgeries", "by_references": measured}
    report = tmp_path / "report.json"
    words = ["bundle", "--model", str(full), "--rates-from", str(report), "--output", str(tmp_path / "out")]
    report.write_text(json.dumps({"one_shot": [], "left_out": [entry]}), encoding="utf-8")
    assert main(words) == 0
    config = load_checkpoint(tmp_path / "out").config
    assert config["verification"] == VERIFICATION | {"left_out": [entry]}
    assert config["figures"] == {"old": 1}
    report.write_text(json.dumps({"one_shot": [], "left_out": []}), encoding="utf-8")
    assert main(words) == 1
    assert "measures no collection of which the checkpoint has seen nobody" in capsys.readouterr().err


def test_weights_that_share_a_layer_follow_the_new_base_or_are_named(tmp_path, monkeypatch, capsys):
    first, other = (narrow_network(seed) for seed in (1, 2))
    for name, made in (("first", first), ("other", other)):
        save_checkpoint(tmp_path / "runs" / name, made, Preprocessing())
    monkeypatch.setattr(checkpoints, "BASES", tmp_path)
    words = ["bundle", "--model", str(tmp_path / "runs" / "first"), "--output", str(tmp_path / "omniglot")]
    assert main(words) == 0
    network = load_checkpoint(tmp_path / "omniglot").network
    save_checkpoint(tmp_path / "signatures", network, SIGNATURE, storage="shared", base="omniglot", figures={"a": 1})
    before = load_checkpoint(tmp_path / "signatures")
    with torch.no_grad():  # as trained with the large layer left alone
        network.convolutions[3].bias.add_(1)
    save_checkpoint(tmp_path / "runs" / "later", network, Preprocessing())
    words[2] = str(tmp_path / "runs" / "later")
    capsys.readouterr()
    assert main(words) == 0
    assert "shares a layer" not in capsys.readouterr().out
    after = load_checkpoint(tmp_path / "signatures")
    assert after.config["base"]["weights_sha256"] == load_checkpoint(tmp_path / "omniglot").config["weights_sha256"]
    assert after.config["base"] != before.config["base"]
    assert {**after.config, "base": None} == {**before.config, "base": None}
    assert all(
        torch.equal(value, after.network.state_dict()[name]) for name, value in before.network.state_dict().items()
    )
    words[2] = str(tmp_path / "runs" / "other")
    assert main(words) == 0
    assert f"{tmp_path / 'signatures'} shared a layer with the weights that were replaced" in capsys.readouterr().out


def test_strangers_beside_the_bundle_are_passed_over(full, tmp_path, capsys):
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text("{}", encoding="utf-8")
    assert main(["bundle", "--model", str(full), "--output", str(tmp_path / "omniglot")]) == 0
    assert capsys.readouterr().err == ""


def test_weights_that_share_a_layer_go_on_sharing_it(full, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "BASES", tmp_path)
    monkeypatch.setattr(bundle, "PRETRAINED", tmp_path)
    assert main(["bundle", "--model", str(full)]) == 0
    base = load_checkpoint(tmp_path / "omniglot")
    run = tmp_path / "run" / "model"
    given = {"verification": VERIFICATION, "training": {"steps": 3}}
    save_checkpoint(run, base.network, SIGNATURE, storage="shared", base="omniglot", **given)
    assert main(["bundle", "--model", str(run)]) == 0
    stored = load_checkpoint(tmp_path / "signatures")
    assert (tmp_path / "signatures" / "model.safetensors").stat().st_size < 3_000_000
    assert stored.config["base"] == {"name": "omniglot", "weights_sha256": base.config["weights_sha256"]}
    assert {name: stored.config[name] for name in given} == given
    assert torch.equal(stored.network.embedding.weight, base.network.embedding.weight)


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (None, "cannot be read: .*No such file"),
        ("{", "cannot be read: "),
        ("[" * 100_000, "cannot be read: "),
        ("[]", "is not a report"),
    ],
)
def test_a_report_that_cannot_be_read_is_refused(report, sentence, full, tmp_path, capsys):
    import re

    path = tmp_path / "report.json"
    if report is not None:
        path.write_text(report, encoding="utf-8")
    assert main(["bundle", "--model", str(full), "--report", str(path), "--output", str(tmp_path / "out")]) == 1
    assert re.search(sentence, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["bundle", "--model", str(tmp_path / "none"), "--output", str(tmp_path / "out")]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1

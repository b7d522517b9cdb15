"""The network as the Hub knows models: what is read is what is written, and all that belongs to it."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard, ModelHubMixin

from siamese import SiameseNetwork
from siamese.hub.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from siamese.hub.errors import HubError
from siamese.preprocessing import SIGNATURE, Preprocessing
from tests.networks import NARROW, narrow_network

MEASURES = {
    "verification": {"threshold": 0.3, "fusion": None},
    "training": {"steps": 7},
    "figures": {"one_shot": [], "signatures": {}},
}


@pytest.fixture
def folder(tmp_path) -> Path:
    save_checkpoint(tmp_path / "given", narrow_network(), SIGNATURE, "int8", **MEASURES)
    return tmp_path / "given"


def test_saving_what_was_loaded_changes_nothing(folder, tmp_path):
    """Preparation of ink and thresholds among it: a network for signatures stays one."""
    network = SiameseNetwork.from_pretrained(folder)
    assert isinstance(network, ModelHubMixin)
    assert not network.training
    assert network.config == NARROW
    assert (network.preprocessing, network.measures) == (SIGNATURE, MEASURES)
    network.save_pretrained(tmp_path / "first")
    SiameseNetwork.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second", repo_id="user/first")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    saved, given = load_checkpoint(tmp_path / "second"), load_checkpoint(folder)
    assert saved.preprocessing == SIGNATURE
    assert {name: saved.config[name] for name in MEASURES} == MEASURES
    assert all(torch.equal(a, b) for a, b in zip(saved.network.parameters(), given.network.parameters(), strict=True))


def test_a_network_of_one_s_own(tmp_path):
    network = SiameseNetwork(NARROW, generator=torch.Generator().manual_seed(1), preprocessing=Preprocessing(60))
    network.save_pretrained(tmp_path / "own")
    loaded = SiameseNetwork.from_pretrained(tmp_path / "own")
    assert (loaded.preprocessing, loaded.measures) == (Preprocessing(60), {})
    images = torch.rand(2, 1, 105, 105, generator=torch.Generator().manual_seed(2))
    assert torch.equal(loaded(images[:1], images[1:]), network.eval()(images[:1], images[1:]))
    card = ModelCard.load(tmp_path / "own" / "README.md")
    assert card.data.license == "mit"
    assert card.text.strip().startswith("# own")


def test_a_save_that_fails_leaves_the_old_checkpoint(folder, monkeypatch):
    before = json.loads((folder / "config.json").read_text())["weights_sha256"]

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        SiameseNetwork(NARROW).save_pretrained(folder)
    assert load_checkpoint(folder).config["weights_sha256"] == before


def test_what_is_no_model_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match="There is no model at"):
        SiameseNetwork.from_pretrained(tmp_path / "none")
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        SiameseNetwork.from_pretrained("user/none")
    with pytest.raises(HubError, match="'one look' is not a repository name"):
        SiameseNetwork(NARROW).push_to_hub("one look")
    with pytest.raises(HubError, match="was not published: HF_HUB_OFFLINE is set"):
        SiameseNetwork(NARROW).save_pretrained(tmp_path / "own", repo_id="user/own", push_to_hub=True)

"""`python -m train average`: the weights, the threshold, and what cannot be averaged."""

import pytest
import torch

from siamese.hub.checkpoint import load_checkpoint, save_checkpoint
from siamese.preprocessing import Preprocessing
from tests.networks import narrow_network
from train.__main__ import main
from train.characters import drift


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """Two narrow checkpoints, of which the first is calibrated; the drift is measured on few drawings."""
    monkeypatch.setattr(drift, "INVENTED", (2, 20, 2, 77))
    monkeypatch.setattr(drift, "PAIRS", 40)
    for seed, (name, verification) in enumerate([("start", {"threshold": 0.6}), ("end", None)]):
        save_checkpoint(
            tmp_path / name, narrow_network(seed), Preprocessing(), verification=verification, training={"steps": seed}
        )
    return tmp_path


def test_each_weight_lies_half_way_and_the_threshold_is_shifted(checkpoints):
    words = ["average", str(checkpoints / "start"), str(checkpoints / "end"), "--output", str(checkpoints / "mean")]
    assert main(words) == 0
    start, end, mean = (load_checkpoint(checkpoints / name) for name in ("start", "end", "mean"))
    weights = [one.network.state_dict() for one in (start, end, mean)]
    for name in weights[0]:
        assert torch.equal(weights[2][name], (weights[0][name] + weights[1][name]) / 2)
    before, now = drift.eer_logits([(one.network, one.preprocessing) for one in (start, mean)], torch.device("cpu"))
    by = now["within_alphabet"] - before["within_alphabet"]
    assert mean.config["verification"]["threshold"] == pytest.approx(drift.shift_logit(0.6, by))
    assert mean.config["training"] == {"steps": 1, "averaged": "with the weights that it began with"}


def test_weights_of_another_shape_or_preprocessing_are_refused(checkpoints, capsys):
    save_checkpoint(checkpoints / "selu", narrow_network(activation="selu"), Preprocessing())
    save_checkpoint(checkpoints / "large", narrow_network(), Preprocessing(extent_px=95))
    for name, words in (("selu", "different layers"), ("large", "the same preprocessing")):
        out = checkpoints / "mean"
        assert main(["average", str(checkpoints / "start"), str(checkpoints / name), "--output", str(out)]) == 1
        assert words in capsys.readouterr().err
        assert not out.exists()

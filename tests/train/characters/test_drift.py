"""Thresholds moved from one network to another by what both score on alphabets that neither has seen."""

import math

import pytest
import torch

from siamese.metrics import calibration_in
from siamese.preprocessing import Preprocessing
from tests.networks import narrow_network
from train.characters import drift

MEASURED = {
    "threshold": 0.5,
    "thresholds": {"within_alphabet": 0.5, "across_alphabets": 0.2},
    "calibration": {"similarity_edges": [0.0, 0.3, 0.6, 1.0], "share_same": [0.1, 0.5, 0.9]},
    "measured_on": "ten alphabets",
}


def logit(share: float) -> float:
    return math.log(share / (1 - share))


def test_thresholds_and_bins_move_by_the_difference_of_logits():
    before = [{"within_alphabet": -1.0, "across_alphabets": -2.0}, {"within_alphabet": 0.0, "across_alphabets": -1.0}]
    found = drift.transfer_thresholds(MEASURED, before, {"within_alphabet": 0.25, "across_alphabets": -2.0})
    assert found["moved_by_logits"] == {"within_alphabet": 0.75, "across_alphabets": -0.5}
    assert logit(found["threshold"]) == pytest.approx(0.75)
    assert found["threshold"] == found["thresholds"]["within_alphabet"]
    assert logit(found["thresholds"]["across_alphabets"]) == pytest.approx(logit(0.2) - 0.5)
    first, *inner, last = found["calibration"]["similarity_edges"]
    assert (first, last) == (0, 1)
    assert [logit(edge) for edge in inner] == pytest.approx([logit(0.3) + 0.75, logit(0.6) + 0.75])
    assert calibration_in(found).share_same == (0.1, 0.5, 0.9)
    assert found["measured_on"].startswith("ten alphabets; moved by +0.75 in the logit")
    assert MEASURED["threshold"] == 0.5


def test_a_checkpoint_with_nothing_but_a_threshold_moves_it():
    level = {"within_alphabet": 0.0, "across_alphabets": 0.0}
    found = drift.transfer_thresholds({"threshold": 0.3}, [level], {"within_alphabet": 1.0, "across_alphabets": 0.0})
    assert logit(found["threshold"]) == pytest.approx(logit(0.3) + 1)
    assert "calibration" not in found


def test_a_network_that_scores_everything_higher_is_found_out(monkeypatch):
    monkeypatch.setattr(drift, "INVENTED", (2, 5, 3, 1))
    monkeypatch.setattr(drift, "PAIRS", 100)
    networks = [narrow_network(1), narrow_network(1)]
    with torch.no_grad():
        networks[1].head.bias += 1.5
    low, high = drift.eer_logits([(network, Preprocessing()) for network in networks], torch.device("cpu"))
    assert set(low) == {"within_alphabet", "across_alphabets"}
    for protocol, level in low.items():
        assert high[protocol] - level == pytest.approx(1.5, abs=1e-3)

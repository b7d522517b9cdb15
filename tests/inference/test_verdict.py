"""What a score means."""

import pytest
import torch

from siamese.inference.verdict import judge, share_right
from siamese.metrics import Calibration


def test_the_score_is_the_sigmoid_of_the_mean_logit():
    found = judge(torch.tensor([1.0, 3.0]), 0.5)
    assert found.score == pytest.approx(0.880797, abs=1e-6)  # sigmoid(2)
    assert found.similarities == pytest.approx((0.731059, 0.952574), abs=1e-6)
    assert found.verdict == "genuine"
    assert found.reliability is None
    assert judge(torch.tensor([-0.1]), 0.5).verdict == "forgery"
    assert judge(torch.tensor([0.0]), 0.5).verdict == "genuine"  # at the threshold counts as above


def test_a_verdict_is_unsure_where_such_scores_are_often_wrong():
    calibration = Calibration((0.0, 0.3, 0.6, 0.8, 1.0), (0.1, 0.3, 0.7, 0.95))
    shares = [share_right(score, 0.6, calibration) for score in (0.1, 0.4, 0.7, 0.9)]
    assert shares == pytest.approx([0.9, 0.7, 0.7, 0.95])
    logits = torch.tensor([0.1, 0.4, 0.7, 0.9]).logit()
    assert [judge(logit[None], 0.6, calibration).verdict for logit in logits] == [
        "forgery",
        "unsure",
        "unsure",
        "genuine",
    ]


def test_the_threshold_decides_which_side_is_right():
    calibration = Calibration((0.0, 0.4, 0.6, 1.0), (0.1, 0.5, 0.9))
    logit = torch.tensor([2.0])  # 0.88
    assert judge(logit, 0.5, calibration).verdict == "genuine"
    refused = judge(logit, 0.95, calibration)
    assert (refused.verdict, refused.threshold) == ("unsure", 0.95)
    assert refused.reliability == pytest.approx(0.1)
    assert judge(-logit, 0.95, calibration).verdict == "forgery"
    assert share_right(0.5, 0.5, None) is None

"""The fusion of the network's logit and the stroke distances."""

import math

import pytest
import torch

from siamese.signatures.features import hinge_distances, profile_distances
from siamese.signatures.fusion import ScoreFusion, fusion_in
from tests.signatures.test_features import some_profiles

FUSION = ScoreFusion(0.5, 0.25, -4.0, -2.0, 1.0, 0.3, 2.0)


def test_logits_and_parts_are_weighted_sums():
    first, second = some_profiles(2, 1), some_profiles(3, 2)
    network = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    hinge, profile = hinge_distances(first, second), profile_distances(first, second)
    logits = FUSION.logits(network, first, second)
    torch.testing.assert_close(logits, 0.5 + 0.25 * network.double() - 4 * hinge - 2 * profile)
    parts = FUSION.parts(network, first, second)
    torch.testing.assert_close(parts["network"], 0.25 * (network.double() - 1))
    torch.testing.assert_close(parts["hinge"], -4 * (hinge - 0.3))
    torch.testing.assert_close(parts["profile"], -2 * (profile - 2))


@pytest.mark.parametrize("change", [{"network": -0.1}, {"hinge": 0.1}, {"profile": 0.1}, {"bias": math.nan}])
def test_weights_of_the_wrong_sign_are_refused(change):
    with pytest.raises(ValueError, match=r"[Tt]he fusion"):
        ScoreFusion(**{**vars(FUSION), **change})


def test_a_config_may_hold_one():
    assert fusion_in({"fusion": vars(FUSION)}) == FUSION
    assert fusion_in({}) is None

"""Thresholds of several collections, with networks of random weights."""

from dataclasses import replace

import pytest
import torch

from siamese.metrics import equal_error_point
from siamese.signatures.dataset import Signatures, synthetic_signatures
from siamese.signatures.verifier import scoring_in
from tests.networks import narrow_network
from train.signatures.calibration import HeldOut, verification_of
from train.signatures.comparison import compare
from train.signatures.fusion import fit_fusion, pairs_of
from train.signatures.scores import curves_of, score_all

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    return narrow_network(1)


@pytest.fixture(scope="module")
def other() -> Signatures:
    return synthetic_signatures(3, 4, 3, seed=5)


@pytest.fixture(scope="module")
def names(signatures) -> Signatures:
    """Every signature as the one name that all of them wrote."""
    genuine = signatures.take(signatures.genuine)
    return replace(genuine, text=("name",) * len(genuine))


def test_names_weigh_the_parts_but_decide_no_threshold_beside_skilled_forgeries(network, other, names):
    skilled, named = HeldOut(network, "skilled", other), HeldOut(network, "names", names)
    found = verification_of([skilled, named], CPU)
    scoring, compared = scoring_in({"verification": found}), compare(network, other, CPU)
    assert scoring.fusion == fit_fusion([pairs_of(compared), pairs_of(compare(network, names, CPU))])
    curve = curves_of(score_all(compared, scoring, counts=[1])[1]).skilled
    balanced = found["operating_points"]["balanced"]
    assert balanced["threshold"] == pytest.approx(equal_error_point(curve).threshold)
    assert found["measured_on"].startswith("signatures of 3 writers")
    assert "operating_points" in verification_of([named], CPU)  # alone, there is nothing else to decide by


def test_only_another_part_of_the_same_collection_is_crossed(network, signatures, other):
    parts = [HeldOut(network, "one", signatures), HeldOut(network, "other", other)]
    apart = verification_of(parts, CPU)
    together = verification_of([replace(part, collection="one") for part in parts], CPU)
    assert apart["fusion"] == together["fusion"]
    assert apart["operating_points"] != together["operating_points"]
    scoring = scoring_in({"verification": apart})
    scored = [score_all(compare(network, part.signatures, CPU), scoring, counts=[1])[1] for part in parts]
    lowest = min(equal_error_point(curves_of(scores).skilled).threshold for scores in scored)
    highest = max(equal_error_point(curves_of(scores).skilled).threshold for scores in scored)
    assert lowest <= apart["operating_points"]["balanced"]["threshold"] <= highest

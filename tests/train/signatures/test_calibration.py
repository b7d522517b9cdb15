"""Thresholds of several collections, with networks of random weights."""

from dataclasses import replace

import pytest
import torch

from siamese.metrics import equal_error_point
from siamese.signatures.dataset import Signatures
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
def parts(signatures) -> tuple[Signatures, Signatures]:
    """Three of the writers, and the two others."""
    return tuple(signatures.of_writers(names) for names in (signatures.writer_names[:3], signatures.writer_names[3:]))


def test_names_weigh_the_parts_but_decide_no_threshold_beside_skilled_forgeries(network, parts):
    three, genuine = parts[0], parts[1].take(parts[1].genuine)
    names = replace(genuine, text=("name",) * len(genuine))  # as the one name that both of them wrote
    skilled, named = HeldOut(network, "skilled", three), HeldOut(network, "names", names)
    found = verification_of([skilled, named], CPU)
    scoring, compared = scoring_in({"verification": found}), compare(network, three, CPU)
    assert scoring.fusion == fit_fusion([pairs_of(compared), pairs_of(compare(network, names, CPU))])
    curve = curves_of(score_all(compared, scoring, counts=[1])[1]).skilled
    balanced = found["operating_points"]["balanced"]
    assert balanced["threshold"] == pytest.approx(equal_error_point(curve).threshold)
    assert found["measured_on"].startswith("signatures of 3 writers")
    assert "operating_points" in verification_of([named], CPU)  # alone, there is nothing else to decide by


def test_only_another_part_of_the_same_collection_is_crossed(network, parts):
    held_out = [HeldOut(network, name, part) for name, part in zip(("one", "other"), parts, strict=True)]
    apart = verification_of(held_out, CPU)
    together = verification_of([replace(part, collection="one") for part in held_out], CPU)
    assert apart["fusion"] == together["fusion"]
    assert apart["operating_points"] != together["operating_points"]
    scoring = scoring_in({"verification": apart})
    scored = [score_all(compare(network, part.signatures, CPU), scoring, counts=[1])[1] for part in held_out]
    lowest = min(equal_error_point(curves_of(scores).skilled).threshold for scores in scored)
    highest = max(equal_error_point(curves_of(scores).skilled).threshold for scores in scored)
    assert lowest <= apart["operating_points"]["balanced"]["threshold"] <= highest

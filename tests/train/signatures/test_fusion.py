"""The fusion of network and stroke features: found again where it is known, and of the right pairs."""

import pytest
import torch

from siamese.signatures.features import hinge_distances, profile_distances
from tests.networks import narrow_network
from train.evaluation import embed_drawings
from train.signatures.comparison import compare
from train.signatures.fusion import Pairs, fit_fusion, pairs_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    return narrow_network()


def drawn_pairs(weights: tuple[float, float, float], bias: float, count: int = 20_000) -> Pairs:
    """Genuine and forged pairs, as often as a logistic model with these weights says; as many of either kind."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(count, 3, generator=generator, dtype=torch.float64) * torch.tensor([2.0, 0.1, 0.5])
    chance = (values @ torch.tensor(weights, dtype=torch.float64) + bias).sigmoid()
    genuine = torch.rand(count, generator=generator, dtype=torch.float64) < chance
    return Pairs(values[genuine], values[~genuine])


def test_known_weights_are_found_again():
    found = fit_fusion([drawn_pairs((0.5, -10.0, -2.0), 0.0)])
    # held a little smaller by the penalty
    assert found.network == pytest.approx(0.5, rel=0.25)
    assert found.hinge == pytest.approx(-10, rel=0.25)
    assert found.profile == pytest.approx(-2, rel=0.25)
    assert abs(found.bias) < 0.05


def test_a_distance_never_speaks_for_the_same_hand():
    found = fit_fusion([drawn_pairs((0.5, 10.0, -2.0), 0.0)])
    assert found.hinge == 0
    assert found.network > 0.3


def test_middles_lie_between_the_kinds():
    genuine, skilled = drawn_pairs((0.5, -10.0, -2.0), 0.0)
    found = fit_fusion([Pairs(genuine, skilled)])
    expected = ((genuine.mean(0) + skilled.mean(0)) / 2).tolist()
    assert [found.network_middle, found.hinge_middle, found.profile_middle] == pytest.approx(expected)


def test_each_pair_is_of_one_writer(signatures, network):
    genuine, skilled = pairs_of(compare(network, signatures, CPU))
    assert (genuine.shape, skilled.shape) == ((5 * 6, 3), (5 * 4 * 2, 3))
    own = signatures.strokes.take(torch.arange(4))
    embeddings = embed_drawings(network, signatures.images, CPU)
    with torch.no_grad():
        logits = network.compare_all(embeddings[:4], embeddings[:4])
    expected = [
        values[tuple(torch.triu_indices(4, 4, 1))].double()
        for values in (logits, hinge_distances(own, own), profile_distances(own, own))
    ]
    torch.testing.assert_close(genuine[:6], torch.stack(expected, 1), rtol=1e-4, atol=1e-5)


def test_all_held_out_writers_count(signatures, network):
    two, one = (signatures.of_writers(names) for names in (signatures.writer_names[:2], signatures.writer_names[2:]))
    parts = [pairs_of(compare(network, some, CPU)) for some in (two, one)]
    assert fit_fusion(parts) not in (fit_fusion(parts[:1]), fit_fusion(parts[1:]))


def test_a_large_collection_weighs_as_much_as_a_small_one():
    one, other = drawn_pairs((0.5, -10.0, -2.0), 0.0), drawn_pairs((1.5, -5.0, -1.0), 0.3, count=2_000)
    larger = Pairs(*(kind.repeat(3, 1) for kind in one))
    expected = list(vars(fit_fusion([one, other])).values())
    assert list(vars(fit_fusion([larger, other])).values()) == pytest.approx(expected, rel=1e-3)


def test_without_forgeries_there_is_none(signatures, network):
    assert fit_fusion([pairs_of(compare(network, signatures.take(signatures.genuine), CPU))]) is None

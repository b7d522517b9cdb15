"""The network in whole numbers against the same arithmetic written out, and against the network it was made of."""

import pytest
import torch
from torch.nn import functional as F

from siamese.hub.checkpoint import load_checkpoint, save_checkpoint
from siamese.inference import int8 as module
from siamese.inference.int8 import int8_encoder, is_fast, pooled, step_of, whole_rows
from siamese.network import SiameseNetwork
from siamese.preprocessing import Preprocessing
from tests.networks import NARROW, narrow_network

needs_instructions = pytest.mark.skipif(not is_fast(), reason="a processor without VNNI")


@pytest.fixture(scope="module")
def network() -> SiameseNetwork:
    return narrow_network().requires_grad_(False)


@pytest.fixture(scope="module")
def pictures(drawings) -> torch.Tensor:
    return drawings.prepared(Preprocessing())[::12].float() / 255


@pytest.fixture(scope="module")
def encoder(network, drawings):
    return int8_encoder(network, drawings.prepared(Preprocessing())[1::3].float() / 255)


def by_hand(network: SiameseNetwork, scales: tuple[float, ...], pictures: torch.Tensor) -> torch.Tensor:
    """Whole numbers held in float64, which is exact up to 2^53, with the same roundings at the same places."""
    steps = (pictures.double() * 255).round()
    for index, layer in enumerate(network.convolutions):
        whole, scale = whole_rows(layer.weight.flatten(1))
        sums = F.conv2d(steps, whole.view_as(layer.weight).double())
        exact = sums * scale.double().view(1, -1, 1, 1) * scales[index] + layer.bias.double().view(1, -1, 1, 1)
        steps = (exact / scales[index + 1]).round().clamp(0, 255)
        steps = F.max_pool2d(steps, 2) if index < 3 else steps
    whole, scale = whole_rows(network.embedding.weight)
    units = steps.flatten(1) @ whole.double().T * scale.double() * scales[4] + network.embedding.bias.double()
    return units.sigmoid()


@needs_instructions
def test_it_computes_what_the_whole_numbers_say(network, encoder, pictures):
    # float32 and float64 round one sum in a million to different steps; the network itself is 0.003 away
    difference = (encoder.embed(pictures) - by_hand(network, encoder.scales, pictures)).abs()
    assert difference.mean() < 5e-5
    assert difference.max() < 1e-3


@needs_instructions
def test_it_stays_close_to_the_network(network, encoder, pictures):
    error = (encoder.embed(pictures) - network.embed(pictures)).square().mean().sqrt()
    assert 0 < error < 0.005
    assert encoder.embed(pictures).dtype == torch.float32


@needs_instructions
@pytest.mark.slow
def test_it_stays_close_to_a_network_of_the_paper_s_size(real_network, pictures):
    encoder = int8_encoder(real_network, pictures)
    with torch.no_grad():
        together = encoder.embed(pictures)
        error = (together - real_network.embed(pictures)).square().mean().sqrt()
    assert 0 < error < 0.005
    assert torch.equal(torch.cat([encoder.embed(one[None]) for one in pictures]), together)


@needs_instructions
def test_an_embedding_does_not_depend_on_the_pictures_beside_it(encoder, pictures):
    together = encoder.embed(pictures)
    alone = torch.cat([encoder.embed(one[None]) for one in pictures])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-6)  # narrow layers take other kernels for one picture
    assert encoder.embed(pictures[:0]).shape == (0, NARROW.embedding_units)


@needs_instructions
def test_the_large_layer_of_another_encoder_is_taken_over(network, encoder, pictures):
    other = int8_encoder(network, pictures, base=encoder)
    assert other.embedding.weight is encoder.embedding.weight
    assert other.scales != encoder.scales  # measured on other pictures


@needs_instructions
def test_networks_that_it_cannot_serve(network, pictures, monkeypatch):
    assert int8_encoder(narrow_network(activation="selu"), pictures) is None
    assert int8_encoder(narrow_network(batch_norm=True), pictures) is None
    monkeypatch.setattr(module, "MOST_ERROR", 1e-6)
    assert int8_encoder(network, pictures) is None


def test_a_processor_without_the_instructions_is_told(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False, raising=False)
    assert not is_fast()


def test_whole_rows_by_hand():
    whole, scale = whole_rows(torch.tensor([[1.27, -0.5, 0.004], [0.0, 0.0, 0.0]]))
    assert whole.tolist() == [[127, -50, 0], [0, 0, 0]]
    assert scale[0] == pytest.approx(0.01)


def test_the_numbers_of_a_compact_checkpoint_are_found_again(network, tmp_path):
    save_checkpoint(tmp_path, network, Preprocessing(), storage="int8")
    restored = load_checkpoint(tmp_path).network
    whole, scale = whole_rows(restored.embedding.weight)
    torch.testing.assert_close(whole * scale[:, None], restored.embedding.weight, rtol=0, atol=1e-7)


def test_a_range_ends_where_the_errors_are_least():
    values = torch.empty(200_000).exponential_(generator=torch.Generator().manual_seed(2))
    exact, largest = values.double(), values.max().item()
    steps = [largest * share / 40 / 255 for share in range(10, 41)]
    errors = [((exact / step).round().clamp(max=255) * step - exact).abs().pow(3).mean().item() for step in steps]
    best = steps[errors.index(min(errors))]
    assert best < 0.99 * largest / 255  # the rare large ones are cut off
    assert step_of(values) == pytest.approx(best)
    assert step_of(torch.linspace(0, 3, 100_000)) == pytest.approx(3 / 255)  # nothing to gain by clipping
    assert step_of(torch.zeros(4)) > 0


def test_pooling_is_max_pooling():
    generator = torch.Generator().manual_seed(1)
    features = torch.randint(256, (2, 3, 9, 7), generator=generator, dtype=torch.uint8)
    expected = F.max_pool2d(features.float(), 2).to(torch.uint8)
    assert torch.equal(pooled(features), expected)

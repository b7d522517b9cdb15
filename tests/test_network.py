"""The network: its size, its two ways of comparing, and that batch normalisation can be put in and taken out."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from siamese import network as module
from siamese.network import NetworkConfig, SiameseNetwork, initialise
from tests.networks import NARROW, narrow_network

UNITS = NARROW.embedding_units
MIDDLING = NetworkConfig(channels=(32, 32, 32, 32), embedding_units=256)  # wide enough for the spread of its weights


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def images():
    return (torch.rand(2, 1, 105, 105, generator=seeded(1)) < 0.1).double()


@pytest.fixture(scope="module")
def plain():
    return narrow_network(2).double()


def embeddings(rows: int, seed: int) -> torch.Tensor:
    return torch.rand(rows, UNITS, generator=seeded(seed))


def scramble_norms(network: SiameseNetwork) -> None:
    """Statistics and factors as training could leave them, negative ones among them."""
    generator = seeded(3)
    for norm in [*network.convolution_norms, network.embedding_norm]:
        with torch.no_grad():
            norm.weight.normal_(generator=generator)
            norm.bias.normal_(generator=generator)
            norm.running_mean.normal_(generator=generator)
            norm.running_var.uniform_(0.2, 3.0, generator=generator)
        assert bool((norm.weight < 0).any())


def test_it_has_the_paper_s_38_951_745_parameters(real_network):
    # 64 x 10 x 10 + 64, 128 x 64 x 7 x 7 + 128, 128 x 128 x 4 x 4 + 128, 256 x 128 x 4 x 4 + 256, 4096 x 9217, 4097
    layers = 6_464, 401_536, 262_272, 524_544, 37_752_832, 4_097
    assert [sum(p.numel() for p in layer.parameters()) for layer in children(real_network)] == list(layers)
    assert sum(p.numel() for p in real_network.parameters()) == 38_951_745


def children(network: SiameseNetwork) -> list[torch.nn.Module]:
    return [*network.convolutions, network.embedding, network.head]


def test_layers_have_the_shapes_of_figure_4(real_network, images):
    shapes = []
    hooks = [
        layer.register_forward_hook(lambda _layer, given, made: shapes.append((given[0].shape[1:], made.shape[1:])))
        for layer in [*real_network.convolutions, real_network.embedding]
    ]
    with torch.no_grad():
        real_network.embed(images.float())
    for hook in hooks:
        hook.remove()
    assert [(tuple(given), tuple(made)) for given, made in shapes] == [
        ((1, 105, 105), (64, 96, 96)),
        ((64, 48, 48), (128, 42, 42)),
        ((128, 21, 21), (128, 18, 18)),
        ((128, 9, 9), (256, 6, 6)),
        ((9216,), (4096,)),
    ]


def test_embeddings_are_the_paper_s_layers_one_after_the_other(plain, images):
    """Rectifier before pooling, as the paper draws it; the network pools first, which must make no difference."""
    features = images
    with torch.no_grad():
        for index, layer in enumerate(plain.convolutions):
            features = F.conv2d(features, layer.weight, layer.bias).clamp(min=0)
            features = F.max_pool2d(features, 2) if index < 3 else features
        expected = torch.sigmoid(features.flatten(1) @ plain.embedding.weight.T + plain.embedding.bias)
        embedded = plain.embed(images)
    torch.testing.assert_close(embedded, expected, rtol=0, atol=1e-12)
    assert 0 <= embedded.min() < embedded.max() <= 1


def test_an_image_does_not_depend_on_those_beside_it(plain, images):
    with torch.no_grad():
        torch.testing.assert_close(plain.embed(images)[1:2], plain.embed(images[1:2]), rtol=0, atol=1e-12)


def test_forward_embeds_both_towers_alike(plain, images):
    with torch.no_grad():
        logits = plain(images[:1], images[1:])
        embedded = plain.embed(images)
        expected = plain.compare(embedded[0], embedded[1])
        turned_round = plain(images[1:], images[:1])
    torch.testing.assert_close(logits[0], expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(logits, turned_round, rtol=0, atol=1e-12)


def test_compare_is_a_weighted_sum_of_absolute_differences():
    network = narrow_network(2)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.weight[0, :3] = torch.tensor([-1.0, -2.0, 0.5])
        network.head.bias.fill_(0.25)
        a, b = torch.zeros(2, UNITS), torch.zeros(2, UNITS)
        a[0, :4], b[0, :4] = torch.tensor([1.0, 0.0, 0.5, 0.3]), torch.tensor([0.5, 0.25, 0.0, 0.9])
        logits = network.compare(a, b)
    assert logits.tolist() == [0.25 - 0.5 - 0.5 + 0.25, 0.25]


@pytest.mark.parametrize("one_sign", [True, False])
def test_compare_all_is_compare_for_each_pair(one_sign, monkeypatch):
    network = narrow_network(2)
    if not one_sign:
        torch.nn.init.normal_(network.head.weight, generator=seeded(4))
        monkeypatch.setattr(module, "BLOCK_ELEMENTS", 7 * UNITS)  # blocks of two rows, the last of one
    a, b = embeddings(5, 5), embeddings(3, 6)
    with torch.no_grad():
        together = network.compare_all(a, b)
        alone = torch.stack([torch.stack([network.compare(x, y) for y in b]) for x in a])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-4)
    assert together.shape == (5, 3)


@pytest.mark.parametrize("one_sign", [True, False])
def test_compare_all_of_nothing_is_nothing(one_sign):
    network = narrow_network(2)
    if not one_sign:
        torch.nn.init.normal_(network.head.weight, generator=seeded(4))
    with torch.no_grad():
        assert network.compare_all(embeddings(2, 5), torch.empty(0, UNITS)).shape == (2, 0)


def test_both_ways_of_comparing_pass_the_same_gradients():
    network = narrow_network(2)
    weight = -torch.rand(1, UNITS, generator=seeded(7))
    gradients = []
    for compare in (network.compare_all, lambda a, b: network.compare(a[:, None], b[None])):
        a = embeddings(2, 5).requires_grad_()
        with torch.no_grad():
            network.head.weight.copy_(weight)
        network.head.zero_grad()
        compare(a, embeddings(3, 6)).square().sum().backward()
        gradients.append((a.grad, network.head.weight.grad.clone()))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("activation", ["relu", "selu"])
def test_folded_computes_what_the_normalised_network_computes(activation, images):
    network = narrow_network(8, activation=activation, batch_norm=True, dropout=0.5)
    network = network.double().eval()
    scramble_norms(network)
    with torch.no_grad():
        network.embedding.weight.mul_(0.1)  # units away from the flat ends of the sigmoid, where errors would hide
        expected, folded = network.embed(images), network.folded()
        embedded = folded.embed(images)
        difference = (embedded - expected).abs().max()
        logits = folded.compare(*embedded), network.compare(*expected)
    assert difference < 1e-6
    assert logits[0].item() == pytest.approx(logits[1].item(), abs=1e-6)
    assert expected.std() > 0.1
    assert [p.shape for p in folded.parameters()] == [p.shape for p in narrow_network().parameters()]
    assert folded.config == replace(NARROW, activation=activation)
    assert not folded.training


def test_unfolded_computes_what_the_plain_network_computes(plain, images):
    with torch.no_grad():
        network = plain.unfolded(replace(NARROW, batch_norm=True), images).eval()
        torch.testing.assert_close(network.embed(images), plain.embed(images), rtol=0, atol=1e-9)
    # each norm gives back what it takes away: a scale of the standard deviation, a shift of the mean
    for norm in [*network.convolution_norms, network.embedding_norm]:
        torch.testing.assert_close(norm.weight, (norm.running_var + norm.eps).sqrt())
        torch.testing.assert_close(norm.bias.detach(), norm.running_mean)
        assert bool((norm.running_var > 0).all())


def test_unfolded_without_normalisation_is_a_copy(plain):
    copy = plain.unfolded(replace(NARROW, dropout=0.1), torch.zeros(1, 1, 105, 105, dtype=torch.float64))
    assert copy is not plain
    assert torch.equal(copy.embedding.weight, plain.embedding.weight)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_frozen_convolutions_compute_what_they_did_and_learn_nothing(batch_norm, images):
    network = narrow_network(4, batch_norm=batch_norm).double()
    if batch_norm:
        scramble_norms(network)
    network.eval()
    with torch.no_grad():
        before = network.embed(images)
    network.freeze_convolutions(2)
    with torch.no_grad():
        torch.testing.assert_close(network.embed(images), before)
        torch.testing.assert_close(network.folded().embed(images), before)
    network.train().embed(images).sum().backward()
    learning = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    norms = {"convolution_norms.2.weight", "embedding_norm.bias"} if batch_norm else set()
    assert {"convolutions.2.weight", "convolutions.3.bias", "embedding.weight"} | norms <= learning
    assert not any(".0." in name or ".1." in name for name in learning)
    # in training mode too: no statistics of this batch reach what is frozen
    with torch.no_grad():
        torch.testing.assert_close(network.convolution_norms[0](images) if batch_norm else images, images)


def test_unfolded_refuses_another_activation(plain, images):
    with pytest.raises(ValueError, match="has relu units, the recipe selu"):
        plain.unfolded(NetworkConfig("selu"), images)


def test_the_paper_s_initialisation_has_the_paper_s_spreads():
    network = SiameseNetwork(MIDDLING, "paper", seeded(9))
    for layer in network.convolutions:
        error = 5 / layer.weight.numel() ** 0.5  # five standard errors of a mean, in standard deviations
        assert layer.weight.mean().item() == pytest.approx(0, abs=1e-2 * error)
        assert layer.weight.std().item() == pytest.approx(1e-2, rel=error)
        assert layer.bias.mean().item() == pytest.approx(0.5, abs=1e-2)
        assert layer.bias.std().item() == pytest.approx(1e-2, rel=0.5)
    for layer in (network.embedding, network.head):
        error = 5 / layer.weight.numel() ** 0.5
        assert layer.weight.mean().item() == pytest.approx(0, abs=0.2 * error)
        assert layer.weight.std().item() == pytest.approx(0.2, rel=error)
        assert layer.bias.mean().item() == pytest.approx(0.5, abs=0.05)


def test_the_modern_initialisation_keeps_the_variance_and_starts_from_a_distance():
    plain = SiameseNetwork(MIDDLING, generator=seeded(2))
    for layer in plain.convolutions:
        inputs = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx((2 / inputs) ** 0.5, rel=5 / layer.weight.numel() ** 0.5)
        assert bool((layer.bias == 0).all())
    assert bool((plain.head.weight < 0).all())
    assert plain.embedding.weight.std().item() == pytest.approx((32 * 36) ** -0.5, rel=0.01)


def test_initial_weights_depend_on_the_generator_alone(plain):
    again = narrow_network(2).double()
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), plain.parameters(), strict=True))
    initialise(again, "modern", seeded(3))
    assert not torch.equal(again.convolutions[0].weight, plain.convolutions[0].weight)


def test_keep_head_a_distance_takes_away_what_speaks_for_sameness():
    network = narrow_network(2)
    with torch.no_grad():
        network.head.weight[0, :3] = torch.tensor([0.5, -0.5, 0.0])
    network.keep_head_a_distance()
    assert network.head.weight[0, :3].tolist() == [0.0, -0.5, 0.0]


def test_dropout_works_in_training_only(images):
    network = narrow_network(2, dropout=0.5)
    image = images[:1].float()
    with torch.no_grad():
        network.eval()
        sure = network.embed(image)
        assert torch.equal(network.embed(image), sure)
        network.train()
        assert not torch.equal(network.embed(image), sure)


@pytest.mark.parametrize("widths", [{"channels": (4, 0, 8, 16)}, {"embedding_units": 0}])
def test_impossible_widths_are_refused(widths):
    with pytest.raises(ValueError, match="all at least 1"):
        NetworkConfig(**widths)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_of_dropout_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=f"dropout is {share}, must lie in"):
        NetworkConfig(dropout=share)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_query_is_compared_in_blocks(plain, sign, monkeypatch):
    monkeypatch.setattr(module, "SUPPORT_BLOCK", 3)
    network = plain.folded()
    network.head.weight.data *= sign  # of a head that rewards differences, too
    support, query = embeddings(7, 4).double(), embeddings(1, 5)[0].double()
    expected = torch.stack([network.compare(one, query) for one in support])
    torch.testing.assert_close(network.compare_query(support, query), expected, rtol=0, atol=1e-12)
    assert network.compare_query(support[:0], query).shape == (0,)


def test_distances_of_either_sign_without_asking_for_it(plain):
    network = plain.folded()
    network.head.weight.data = torch.randn(1, UNITS, generator=seeded(6), dtype=torch.float64)
    a, b = embeddings(3, 7).double(), embeddings(2, 8).double()
    expected = network.compare_all(a, b) - network.head.bias
    found = module.signed_distances(a, b, network.head.weight[0])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)

"""Each loss against a loop over its pairs."""

import math

import pytest
import torch

from train.losses import balanced_cross_entropy, contrastive, hardest, n_way_cross_entropy, sameness, triplet

CHARACTER = torch.tensor([4, 4, 7, 7, 7, 9])  # the last has no partner
N = len(CHARACTER)


@pytest.fixture
def logits():
    made = torch.randn(N, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3
    return (made + made.T).requires_grad_()


@pytest.fixture
def masks():
    return sameness(CHARACTER)


def pairs(same: bool) -> list[tuple[int, int]]:
    return [(i, j) for i in range(N) for j in range(N) if i != j and bool(CHARACTER[i] == CHARACTER[j]) == same]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_sameness_leaves_out_an_image_with_itself(masks):
    same, different = masks
    assert {tuple(place) for place in same.nonzero().tolist()} == set(pairs(True))
    assert {tuple(place) for place in different.nonzero().tolist()} == set(pairs(False))
    assert int(same.sum()) == 2 + 6


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_balanced_cross_entropy_is_the_mean_of_both_kinds_means(logits, masks, smoothing):
    def entropy(place: tuple[int, int], target: float) -> float:
        probability = 1 / (1 + math.exp(-logits[place].item()))
        return -target * math.log(probability) - (1 - target) * math.log(1 - probability)

    expected = [mean([entropy(p, 1 - smoothing) for p in pairs(True)])]
    expected.append(mean([entropy(p, smoothing) for p in pairs(False)]))
    assert balanced_cross_entropy(logits, *masks, smoothing).item() == pytest.approx(mean(expected), rel=1e-12)


@pytest.mark.parametrize(("share", "kept"), [(0.01, 1), (0.4, 2), (0.5, 3), (0.9, 5), (1.0, 5)])
def test_the_hardest_are_each_row_s_most_similar_different_pairs(logits, masks, share, kept):
    found = hardest(logits.detach(), masks[1], share)
    for i in range(N):
        rivals = sorted((logits[i, k].item(), k) for k in range(N) if CHARACTER[k] != CHARACTER[i])
        wanted = math.ceil(len(rivals) * share)
        assert found[i].nonzero()[:, 0].tolist() == sorted(k for _, k in rivals[-wanted:])
    assert int(found[-1].sum()) == kept  # of five


def test_n_way_cross_entropy_sets_each_same_pair_against_its_row_s_different_ones(logits, masks):
    expected = []
    for i, j in pairs(True):
        rivals = [math.exp(logits[i, k].item()) for k in range(N) if CHARACTER[k] != CHARACTER[i]]
        own = math.exp(logits[i, j].item())
        expected.append(-math.log(own / (own + sum(rivals))))
    assert n_way_cross_entropy(logits, *masks).item() == pytest.approx(mean(expected), rel=1e-12)


def test_n_way_cross_entropy_of_equal_logits_is_that_of_a_guess():
    """Two characters x two drawers: one true against two different ones."""
    same, different = sameness(torch.tensor([0, 0, 1, 1]))
    assert n_way_cross_entropy(torch.full((4, 4), 0.7), same, different).item() == pytest.approx(math.log(3))


def test_contrastive_pulls_same_and_pushes_different_up_to_the_margin(logits, masks):
    distance = logits.abs()
    pull = mean([distance[p].item() ** 2 for p in pairs(True)])
    push = mean([max(0.0, 4 - distance[p].item()) ** 2 for p in pairs(False)])
    assert contrastive(distance, *masks, margin=4.0).item() == pytest.approx((pull + push) / 2, rel=1e-12)
    assert push > 0


def test_triplet_takes_the_farthest_same_and_the_nearest_different():
    same, different = sameness(CHARACTER[:5])
    distance = torch.rand(5, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 5
    expected = []
    for i in range(5):
        farthest = max(distance[i, j].item() for j in range(5) if j != i and CHARACTER[j] == CHARACTER[i])
        nearest = min(distance[i, j].item() for j in range(5) if CHARACTER[j] != CHARACTER[i])
        expected.append(max(0.0, farthest - nearest + 1.5))
    assert triplet(distance, same, different, margin=1.5).item() == pytest.approx(mean(expected), rel=1e-12)
    assert mean(expected) > 0


def test_an_image_without_partner_takes_no_part_in_the_triplets(masks):
    distance = torch.rand(N, N, generator=torch.Generator().manual_seed(2), requires_grad=True)
    loss = triplet(distance, *masks, margin=1.0)
    loss.backward()
    assert bool(loss.isfinite())
    assert bool(distance.grad.isfinite().all())


@pytest.mark.parametrize("loss", [balanced_cross_entropy, n_way_cross_entropy])
def test_extreme_logits_give_finite_losses_and_gradients(loss, masks):
    logits = torch.tensor([-200.0, 200.0]).repeat(N * N // 2).view(N, N).requires_grad_()
    made = loss(logits, *masks)
    made.backward()
    assert bool(made.isfinite())
    assert bool(logits.grad.isfinite().all())


def test_each_loss_falls_where_same_pairs_come_nearer():
    same, different = sameness(CHARACTER[:5])
    distance = torch.full((5, 5), 3.0)
    nearer = torch.where(same, 1.0, distance)
    for far, near in (
        (balanced_cross_entropy(-distance, same, different), balanced_cross_entropy(-nearer, same, different)),
        (n_way_cross_entropy(-distance, same, different), n_way_cross_entropy(-nearer, same, different)),
        (contrastive(distance, same, different, 4.0), contrastive(nearer, same, different, 4.0)),
        (triplet(distance, same, different, 4.0), triplet(nearer, same, different, 4.0)),
    ):
        assert near < far

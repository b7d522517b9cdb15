import json
from dataclasses import replace

import pytest
import torch

from siamese.characters.episodes import sample_trials
from siamese.metrics import Calibration
from siamese.network import NetworkConfig, SiameseNetwork
from tests.blots import blots, embeddings_of
from tests.networks import NARROW
from train.evaluation import (
    HeldOut,
    calibrate,
    embed_drawings,
    one_shot_accuracy,
    one_shot_logits,
    pair_logits,
    paired_test,
    verification_pairs,
    wilson_interval,
)


@pytest.fixture(scope="module")
def network() -> SiameseNetwork:
    """Its head compares embeddings as wide as the bundled network's; its convolutions are not used."""
    return SiameseNetwork(NetworkConfig(channels=(1, 1, 1, 1)), generator=torch.Generator().manual_seed(0)).eval()


# Intervals and tests


def test_wilson_interval_by_known_values():
    assert wilson_interval(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-7)
    z_squared = 1.959963984540054**2
    assert wilson_interval(0, 20) == pytest.approx((0, z_squared / (20 + z_squared)))
    assert wilson_interval(400, 400) == pytest.approx((400 / (400 + z_squared), 1))
    # The ends are where the share is 1.96 standard errors away from what was seen.
    for end in wilson_interval(391, 400):
        assert abs(391 / 400 - end) / (end * (1 - end) / 400) ** 0.5 == pytest.approx(1.959963984540054)
    with pytest.raises(ValueError, match="5 successes in 4 trials"):
        wilson_interval(5, 4)


def test_mcnemar_by_hand():
    def won(pattern: str) -> torch.Tensor:
        return torch.tensor([letter == "1" for letter in pattern])

    # One trial only the first won, five only the second: 2 * (1 + 6) / 2^6.
    assert paired_test(won("1000001111"), won("0111111111")) == pytest.approx(14 / 64)
    assert paired_test(won("0111111111"), won("1000001111")) == pytest.approx(14 / 64)
    assert paired_test(won("1010"), won("1010")) == 1
    assert paired_test(won("10"), won("01")) == 1
    assert paired_test(won("0000000000"), won("1111111111")) == pytest.approx(2 / 1024)


def test_mcnemar_on_many_trials_is_what_the_normal_distribution_says():
    first, second = torch.zeros(10_000, dtype=torch.bool), torch.zeros(10_000, dtype=torch.bool)
    first[:4900], second[4900:] = True, True
    # 4900 against 5100: z = (200 - 1) / 100 with the correction for continuity, two-sided p 0.0466.
    assert paired_test(first, second) == pytest.approx(0.0466, abs=2e-4)


# Measures


def test_embeddings_do_not_depend_on_batches_and_leave_the_network_as_it_was():
    network = SiameseNetwork(replace(NARROW, batch_norm=True, dropout=0.5)).train()
    prepared = (torch.rand(5, 1, 105, 105, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8)
    whole = embed_drawings(network, prepared, "cpu", precision=torch.float32)
    parts = embed_drawings(network, prepared, "cpu", batch_size=2, precision=torch.float32)
    low = embed_drawings(network, prepared, "cpu", precision=torch.bfloat16)
    assert network.training
    network.eval()
    with torch.inference_mode():
        torch.testing.assert_close(whole, network.embed(prepared.float() / 255))
    torch.testing.assert_close(parts, whole)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, whole, atol=0.02, rtol=0)
    # Sigmoids in bfloat16 would all lie on its grid.
    assert (low != low.to(torch.bfloat16).float()).float().mean() > 0.5


def test_one_shot_accuracy_is_what_a_loop_counts(network):
    drawings = blots({"A": 6, "B": 5}, 3)
    embeddings = embeddings_of(drawings, noise=2.0)
    trials = sample_trials(drawings, 4, 60, torch.Generator().manual_seed(0), within_alphabet=True)
    accuracy, interval, won = one_shot_accuracy(network, embeddings, trials)
    expected = []
    for query, support, label in zip(trials.query, trials.support, trials.label, strict=True):
        scores = [network.compare(embeddings[query], embeddings[row]).item() for row in support]
        others = [score for place, score in enumerate(scores) if place != label]
        expected.append(scores[label] > max(others))
    assert won.tolist() == expected
    assert accuracy == pytest.approx(sum(expected) / 60)
    assert 0.3 < accuracy < 1
    assert interval == wilson_interval(sum(expected), 60)


def test_a_network_that_says_the_same_of_everything_wins_nothing(network):
    drawings = blots({"A": 5}, 2)
    trials = sample_trials(drawings, 5, 20, torch.Generator().manual_seed(0), within_alphabet=True)
    assert one_shot_accuracy(network, torch.full((len(drawings), 4096), 0.5), trials)[0] == 0


def test_views_are_averaged_over_all_pairs_of_views(network):
    drawings = blots({"A": 4}, 2)
    views = torch.stack([embeddings_of(drawings, noise=noise) for noise in (0.1, 0.5, 1.0)])
    trials = sample_trials(drawings, 3, 5, torch.Generator().manual_seed(0), within_alphabet=True)
    logits = one_shot_logits(network, views, trials)
    pairs = verification_pairs(drawings, 6, torch.Generator().manual_seed(0), within_alphabet=True)
    paired = pair_logits(network, views, pairs)
    for trial in range(5):
        for place in range(3):
            a, b = views[:, trials.query[trial]], views[:, trials.support[trial, place]]
            assert logits[trial, place].item() == pytest.approx(network.compare_all(a, b).mean().item(), rel=1e-4)
    for pair in range(6):
        a, b = views[:, pairs.first[pair]], views[:, pairs.second[pair]]
        assert paired[pair].item() == pytest.approx(network.compare_all(a, b).mean().item(), rel=1e-4)


@pytest.mark.parametrize("within_alphabet", [True, False])
def test_pairs_are_balanced_and_by_different_drawers(within_alphabet):
    drawings = blots({"A": 3, "B": 8}, 4)
    pairs = verification_pairs(drawings, 2001, torch.Generator().manual_seed(0), within_alphabet)
    first, second = drawings.take(pairs.first), drawings.take(pairs.second)
    assert int(pairs.same.sum()) == 1000
    assert len(pairs.first) == len(pairs.second) == 2001
    assert torch.equal(first.character == second.character, pairs.same)
    assert bool((first.drawer != second.drawer).all())
    one_alphabet = (first.alphabet == second.alphabet)[~pairs.same].float().mean().item()
    if within_alphabet:
        assert one_alphabet == 1
    else:  # of the 10 other characters, 2 stand in A for 3/11 of the drawings and 7 in B for 8/11
        assert one_alphabet == pytest.approx(3 / 11 * 2 / 10 + 8 / 11 * 7 / 10, abs=0.05)
    # Every drawing has its turn on either side.
    assert len(pairs.first.unique()) == len(pairs.second.unique()) == len(drawings)


def test_pairs_that_do_not_exist_are_refused():
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="no pairs of one character by different drawers"):
        verification_pairs(blots({"A": 3}, 1), 10, generator, within_alphabet=True)
    with pytest.raises(ValueError, match="no pairs of different characters"):
        verification_pairs(blots({"A": 1, "B": 1}, 3), 10, generator, within_alphabet=True)


def test_calibration_is_measured_where_different_pairs_come_from_one_alphabet(network):
    drawings = blots({"Alpha": 5, "Beta": 5}, 4)
    embeddings = embeddings_of(drawings, noise=0.05)
    config = calibrate([HeldOut(network, embeddings, drawings)], torch.Generator().manual_seed(0), pairs=400)
    assert config["threshold"] == config["thresholds"]["within_alphabet"]
    assert 0 < config["threshold"] < 1
    pairs = verification_pairs(drawings, 400, torch.Generator().manual_seed(1), within_alphabet=True)
    similarity = pair_logits(network, embeddings, pairs).sigmoid()
    # The clouds are far apart, so a threshold from other pairs parts these without an error.
    assert torch.equal(similarity >= config["threshold"], pairs.same)
    measured = Calibration(**{name: tuple(values) for name, values in config["calibration"].items()})
    assert measured.posterior(similarity[pairs.same].min().item()) == 1
    assert measured.posterior(similarity[~pairs.same].min().item()) == 0
    assert config["measured_on"].startswith("400 pairs by different drawers")
    assert config["measured_on"].endswith("from Alpha, Beta")
    json.dumps(config)


def test_calibration_puts_the_pairs_of_several_networks_together(network):
    """The second network scores everything lower; one threshold must serve both."""
    timid = SiameseNetwork(NetworkConfig(channels=(1, 1, 1, 1)), "modern", torch.Generator().manual_seed(0))
    timid.load_state_dict(network.state_dict())
    with torch.no_grad():
        timid.head.bias -= 1.0
    held_out = []
    for judge, name in ((network, "Alpha"), (timid, "Beta")):
        drawings = blots({name: 5}, 4)
        held_out.append(HeldOut(judge, embeddings_of(drawings, noise=0.05), drawings))
    alone = [calibrate([held], torch.Generator().manual_seed(0), pairs=400)["threshold"] for held in held_out]
    together = calibrate(held_out, torch.Generator().manual_seed(0), pairs=400)
    assert alone[1] < together["threshold"] <= alone[0]
    for held in held_out:
        pairs = verification_pairs(held.drawings, 400, torch.Generator().manual_seed(1), within_alphabet=True)
        similarity = pair_logits(held.network, held.embeddings, pairs).sigmoid()
        assert torch.equal(similarity >= together["threshold"], pairs.same)
    assert together["measured_on"].startswith("400 pairs by different drawers of each of these sets")
    assert together["measured_on"].endswith("from Alpha; Beta")

import dataclasses

import pytest
import torch

from siamese.characters.episodes import sample_trials
from siamese.characters.recognizer import Recognizer
from siamese.signatures.verifier import Verifier
from tests.networks import narrow_network
from train.scenes.measure import (
    CharacterRow,
    SignatureRow,
    format_scenes,
    measure_characters,
    measure_signatures,
    scenes_entry,
)


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer(narrow_network(), precision=torch.float32)


@pytest.mark.slow
def test_characters_are_answered_kind_by_kind(recognizer, drawings):
    trials = sample_trials(drawings, 3, 4, torch.Generator().manual_seed(1), within_alphabet=True)
    rows = measure_characters(recognizer, drawings, trials, ["clean", "frame"])
    assert [row.kind for row in rows] == ["clean", "frame"]
    assert all(row.trials == 4 and row.accuracy * 4 == round(row.accuracy * 4) for row in rows)
    assert all(row.interval[0] <= row.accuracy <= row.interval[1] for row in rows)
    again = measure_characters(recognizer, drawings, trials, ["frame"])
    assert again == rows[1:]


def test_a_tie_counts_as_wrong(recognizer, drawings):
    """A support that holds the same drawing twice can't be told apart."""
    trials = sample_trials(drawings, 2, 2, torch.Generator().manual_seed(1), within_alphabet=True)
    same = dataclasses.replace(trials, support=trials.support[:, :1].expand(-1, 2).contiguous())
    assert measure_characters(recognizer, drawings, same, ["clean"])[0].accuracy == 0


@pytest.mark.slow
def test_signatures_are_judged_in_pairs(recognizer):
    row = measure_signatures(Verifier(recognizer.encoder), ["frame"], 2)[0]
    assert (row.kind, row.pairs) == ("frame", 2)
    for share, (low, high) in (
        (row.different_called_genuine, row.different_interval),
        (row.genuine_called_forgery, row.genuine_interval),
    ):
        assert share in {0.0, 0.5, 1.0}
        assert low <= share <= high
    assert all(0 <= share <= 1 for share in row.unsure)


def test_the_table_shows_per_cent_and_the_report_shares():
    characters = [CharacterRow("frame", 400, 0.975, (0.955, 0.987), 2)]
    signatures = [SignatureRow("frame", 500, 0.01, (0.004, 0.023), 0.2, (0.17, 0.24), (0.3, 0.1))]
    table = format_scenes(characters, signatures)
    assert "| frame | 400 | 97.50 % | 95.5 % to 98.7 % | 2 |" in table
    assert "| frame | 500 | 1.0 % | 0.4 % to 2.3 % | 20.0 % | 17.0 % to 24.0 % | 30.0 %, 10.0 % |" in table
    assert scenes_entry(characters, signatures)["characters"][0]["accuracy"] == 0.975

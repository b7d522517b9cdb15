import json

import pytest
import torch
from PIL import Image

from siamese.characters.drawings import Drawings
from siamese.characters.episodes import Trials, sample_trials
from siamese.metrics import receiver_operating_characteristic
from train.figures import (
    Curve,
    FigureError,
    accuracy_over_n,
    read_metrics,
    roc_curves,
    running_mean,
    training_curve,
    trial_rows,
    trials_picture,
)

REPORT = {
    "one_shot": [
        {"protocol": "lake_runs", "n_way": 20, "trials": 400, "accuracy": 0.9775, "interval": [0.958, 0.988]},
        {"protocol": "within_alphabet", "n_way": 20, "trials": 100, "accuracy": 0.86, "interval": [0.78, 0.91]},
        {"protocol": "within_alphabet", "n_way": 5, "trials": 100, "accuracy": 0.95, "interval": [0.89, 0.98]},
        {"protocol": "across_alphabets", "n_way": 20, "trials": 100, "accuracy": 0.94, "interval": [0.88, 0.97]},
    ],
    "baselines": [
        {"name": "chance", "protocol": "within_alphabet", "n_way": 20, "trials": 100, "accuracy": 0.05},
        {"name": "modified_hausdorff", "protocol": "within_alphabet", "n_way": 20, "trials": 100, "accuracy": 0.5},
    ],
}


def drawings_of(characters: int, drawers: int) -> Drawings:
    """Blots in one alphabet."""
    ink = torch.rand(characters * drawers, 105, 105, generator=torch.Generator().manual_seed(1)) < 0.1
    character = torch.arange(characters).repeat_interleave(drawers)
    drawer = torch.arange(1, drawers + 1).repeat(characters)
    return Drawings(ink, torch.zeros_like(character), character, drawer, ("Blots",))


def ink_of(path) -> float:
    """Share of the picture's pixels that are not white."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        histogram = picture.convert("L").histogram()
    return 1 - histogram[255] / sum(histogram)


def test_accuracy_over_n_is_drawn_with_and_without_lakes_runs(tmp_path):
    accuracy_over_n(REPORT, tmp_path / "new folder" / "all.png")
    without = {"one_shot": REPORT["one_shot"][1:], "baselines": []}
    accuracy_over_n(without, tmp_path / "less.png")
    assert ink_of(tmp_path / "new folder" / "all.png") > ink_of(tmp_path / "less.png") > 0.005


def test_roc_curves_are_drawn(tmp_path):
    generator = torch.Generator().manual_seed(0)
    different, same = torch.rand(50, generator=generator), torch.rand(50, generator=generator) + 0.5
    curve = Curve("within one alphabet", receiver_operating_characteristic(same, different))
    roc_curves([curve], tmp_path / "roc.png")
    assert ink_of(tmp_path / "roc.png") > 0.005


def test_trials_are_drawn_one_below_the_other(tmp_path):
    drawings = drawings_of(6, 3)
    generator = torch.Generator().manual_seed(0)
    trials = sample_trials(drawings, 4, 9, generator, within_alphabet=True)
    similarity, won = torch.rand(9, 4, generator=generator), torch.arange(9) % 3 > 0
    for rows in (1, 6):
        trials_picture(drawings, trials, similarity, won, tmp_path / f"{rows}.png", rows)
    with Image.open(tmp_path / "1.png") as one, Image.open(tmp_path / "6.png") as six:
        assert six.height > 3 * one.height
        # The picks are framed in the colour of the answer: right (green) and wrong (orange).
        colours = {colour for _, colour in six.convert("RGB").getcolors(1 << 24)}
    assert {(0, 158, 115), (213, 94, 0)} <= colours


@pytest.mark.parametrize(
    ("won", "rows", "expected"),
    [
        ([1, 1, 0, 1, 0, 0, 1, 1], 4, [0, 3, 2, 4]),  # two of five won ones, two of three lost ones
        ([1, 1, 1, 0], 4, [0, 1, 2, 3]),
        ([0, 0, 0, 1], 2, [3, 0]),
        ([0, 0, 0, 0], 3, [0, 1, 2]),
        ([1, 1], 6, [0, 1]),
    ],
)
def test_half_of_the_trials_shown_are_lost_ones_where_there_are_as_many(won, rows, expected):
    shown = trial_rows(torch.tensor(won, dtype=torch.bool), rows)
    assert len(shown) == len(set(shown)) == min(rows, len(won))
    # Evenly spread over each kind: [0, 1, 3, 6, 7] gives 0 and 3, [2, 4, 5] gives 2 and 4.
    assert shown == expected


def test_metrics_are_read_up_to_a_line_that_was_cut_off(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    entries = [{"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.0, "validation_accuracy": 0.5}, {"event": "resumed"}]
    metrics.write_text("\n".join(map(json.dumps, entries)) + '\n{"step": 30, "lo', encoding="utf-8")
    assert read_metrics(metrics) == ([(10, 2.0), (20, 1.0)], [(20, 0.5)])
    training_curve(metrics, tmp_path / "training.png")
    assert ink_of(tmp_path / "training.png") > 0.005


def test_the_loss_is_smoothed_over_what_came_before():
    assert running_mean([4.0, 2.0, 6.0, 1.0], 2) == pytest.approx([4.0, 3.0, 4.0, 3.5])
    assert running_mean([4.0, 2.0], 1) == pytest.approx([4.0, 2.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "holds no steps"), ('{"step": 1', "holds no steps"), ('nonsense\n{"step": 1, "loss": 1}', "Line 1")],
)
def test_metrics_without_steps_are_refused(tmp_path, text, message):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text(text, encoding="utf-8")
    with pytest.raises(FigureError, match=message):
        training_curve(metrics, tmp_path / "training.png")


def test_what_cannot_be_read_or_written_is_said_in_a_sentence(tmp_path):
    with pytest.raises(FigureError, match="cannot be read"):
        read_metrics(tmp_path / "missing.jsonl")
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(FigureError, match="cannot be written"):
        accuracy_over_n(REPORT, tmp_path / "file" / "figure.png")


def test_a_pick_that_ties_is_shown_as_wrong(tmp_path):
    drawings = drawings_of(3, 2)
    trials = Trials(torch.tensor([[0, 2, 4]]), torch.tensor([1]), torch.tensor([0]))
    trials_picture(drawings, trials, torch.tensor([[0.5, 0.5, 0.1]]), torch.tensor([False]), tmp_path / "tie.png")
    with Image.open(tmp_path / "tie.png") as picture:
        assert (213, 94, 0) in {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}

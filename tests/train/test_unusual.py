"""The detector of unusual input is fitted, and what the library doubts is counted."""

import re

import numpy as np
import pytest
from PIL import Image, ImageDraw

from siamese.imaging.decode import read_ink
from siamese.imaging.unusual import FEATURES
from train.unusual import FALSE_ALARMS, check, fit_detector, is_doubted, main


def test_a_stroke_is_not_doubted_and_a_blank_or_filled_picture_is():
    picture = Image.new("L", (300, 300), 255)
    assert is_doubted(read_ink, np.asarray(picture))  # refused
    ImageDraw.Draw(picture).line([(60, 60), (220, 100), (90, 240)], fill=0, width=8, joint="curve")
    assert not is_doubted(read_ink, np.asarray(picture))
    ImageDraw.Draw(picture).rectangle((40, 40, 260, 260), fill=0)
    assert is_doubted(read_ink, np.asarray(picture))


def test_a_check_counts_both_ways_of_reading_and_is_the_same_each_time():
    characters, signatures = check(5, np.random.default_rng(3))
    for sentence, name in ((characters, "characters"), (signatures, "signatures")):
        share = re.match(rf"Read as {name}: (.+?)% \(95 % interval .+\) of 5 unusual pictures", sentence)
        assert share is not None
        assert float(share[1]) > 50
    assert check(2, np.random.default_rng(3)) == check(2, np.random.default_rng(3))


def test_a_fit_flags_what_lies_apart_and_few_of_the_usual():
    generator = np.random.default_rng(5)
    usual = generator.normal(0, 1, (2000, len(FEATURES)))
    unusual = generator.normal(0, 1, (500, len(FEATURES))) + 4
    flagged = fit_detector(usual, unusual)["flagged"]
    assert flagged["usual"] <= FALSE_ALARMS + 0.001
    assert flagged["unusual"] > 0.9


@pytest.mark.parametrize("arguments", [["--check", "0"], ["--data", "images_background.zip"], []])
def test_what_is_missing_is_said(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "need" in capsys.readouterr().err

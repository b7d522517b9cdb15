"""Remarks: each code has one sentence, and a doubt in any image makes the answer "unsure"."""

import torch

from siamese.imaging.reading import REMARKS, Reading, merge_remarks


def test_every_remark_is_one_sentence_under_its_own_code():
    for code, remark in REMARKS.items():
        assert remark.code == code
        assert remark.text.endswith(".")
        assert remark.text[0].isupper()


def test_remarks_of_several_images_are_told_once_and_in_order():
    frame, doubt = REMARKS["frame_removed"], REMARKS["not_strokes"]
    assert merge_remarks([(doubt,), (), (frame, doubt)]) == (frame, doubt)


def test_one_doubt_makes_a_reading_doubtful():
    ink = torch.zeros(2, 2)
    assert not Reading(ink, (REMARKS["frame_removed"],)).is_doubtful
    assert Reading(ink, (REMARKS["frame_removed"], REMARKS["several_pieces"])).is_doubtful

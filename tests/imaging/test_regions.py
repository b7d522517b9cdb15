"""Characters that stand apart in a picture."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from siamese.imaging.decode import ImageError
from siamese.imaging.regions import find_pieces


def written(*places: tuple[int, int], side: int = 120) -> Image.Image:
    """A sheet of 900 x 600 with a cross of `side` px at each place."""
    sheet = Image.new("L", (900, 600), 250)
    draw = ImageDraw.Draw(sheet)
    for x, y in places:
        draw.line([(x, y), (x + side, y + side)], fill=20, width=8)
        draw.line([(x, y + side), (x + side, y)], fill=20, width=8)
    return sheet


@pytest.mark.parametrize("seed", range(4))
def test_characters_that_stand_apart_are_pieces(seed):
    generator = np.random.default_rng(seed)
    places = [(x + int(generator.integers(40)), int(generator.integers(60, 400))) for x in (60, 360, 660)]
    found = sorted(find_pieces(written(*places)))
    assert len(found) == 3
    for (x, y), (left, top, right, bottom) in zip(places, found, strict=True):
        assert left * 900 == pytest.approx(x, abs=12)
        assert right * 900 == pytest.approx(x + 120, abs=12)
        assert top * 600 == pytest.approx(y, abs=12)
        assert bottom * 600 == pytest.approx(y + 120, abs=12)


def test_strokes_of_one_character_are_one_piece():
    (box,) = find_pieces(written((300, 200), (480, 200)))  # a gap of half their height
    assert box == pytest.approx((300 / 900, 200 / 600, 600 / 900, 320 / 600), abs=0.02)


def test_a_small_mark_far_away_is_no_choice():
    sheet = written((300, 200))
    sheet.paste(written((0, 0), side=30).crop((0, 0, 34, 34)), (700, 500))
    assert len(find_pieces(sheet)) == 1


def test_boxes_lie_on_the_photograph_that_the_sheet_was_cut_out_of():
    desk = Image.new("L", (1300, 1000), 60)
    desk.paste(written((200, 200), (600, 200)), (200, 200))
    found = sorted(find_pieces(desk))
    assert len(found) == 2
    assert [(left + right) / 2 * 1300 for left, _, right, _ in found] == pytest.approx([460, 860], abs=20)
    assert [(top + bottom) / 2 * 1000 for _, top, _, bottom in found] == pytest.approx([460, 460], abs=20)


def test_a_blank_sheet_is_refused():
    with pytest.raises(ImageError, match="blank"):
        find_pieces(Image.new("L", (300, 300), 255))

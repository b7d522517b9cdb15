"""What no pen has drawn is told, and writing is not taken for it."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from siamese.imaging.decode import open_image, read_ink
from siamese.imaging.ink import find_ink
from siamese.imaging.unusual import MOSTLY_INK, character_codes, stray_edges
from siamese.signatures.isolation import read_signature


def drawn(pen_px: int, size: int = 300) -> Image.Image:
    picture = Image.new("L", (size, size), 255)
    points = [(0.2, 0.15), (0.8, 0.2), (0.3, 0.5), (0.25, 0.85), (0.7, 0.8)]
    ImageDraw.Draw(picture).line([(size * x, size * y) for x, y in points], fill=0, width=pen_px, joint="curve")
    return picture


def emoji() -> Image.Image:
    picture = Image.new("RGB", (300, 300), (255, 255, 255))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((50, 50, 250, 250), fill=(250, 200, 40))
    for x in (110, 190):
        draw.ellipse((x - 14, 105, x + 14, 140), fill=(60, 40, 20))
    draw.chord((100, 130, 200, 215), 0, 180, fill=(120, 30, 20))
    return picture


def face(seed: int) -> Image.Image:
    """Hair around a face, in colours: the hair alone would be a stroke that a pen might have drawn."""
    generator = np.random.default_rng(seed)
    x, y, wide, tall = (
        float(generator.uniform(low, high)) for low, high in ((150, 170), (150, 170), (70, 85), (95, 115))
    )
    picture = Image.new("RGB", (320, 360), tuple(generator.integers(130, 190, 3).tolist()))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((x - 50, y + tall - 10, x + 50, 360), fill=tuple(generator.integers(30, 140, 3).tolist()))
    draw.ellipse((x - wide - 15, y - tall - 20, x + wide + 15, y + 60), fill=(60, 40, 30))
    draw.ellipse((x - wide, y - tall, x + wide, y + tall), fill=(225, 180, 150))
    for side in (-1, 1):
        eye = x + side * wide / 2.2
        draw.ellipse((eye - 14, y - 22, eye + 14, y - 6), fill=(245, 245, 245))
        draw.ellipse((eye - 6, y - 20, eye + 6, y - 8), fill=(90, 60, 40))
    draw.ellipse((x - 24, y + 50, x + 24, y + 66), fill=(190, 80, 90))
    return picture.filter(ImageFilter.GaussianBlur(2))


def emoji_on_black() -> Image.Image:
    picture = Image.new("RGB", (300, 300), 0)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((15, 15, 285, 285), fill=(255, 205, 50))
    for x in (100, 200):
        draw.ellipse((x - 16, 90, x + 16, 130), fill=(90, 55, 10))
    draw.arc((80, 100, 220, 235), 20, 160, fill=(90, 55, 10), width=14)
    return picture


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (240, 300)).astype(np.uint8))


def hills() -> Image.Image:
    """Rough ground under a sky."""
    generator = np.random.default_rng(6)
    ground = Image.fromarray(generator.integers(40, 170, (30, 36)).astype(np.uint8)).resize((300, 250))
    picture = Image.new("L", (300, 250), 220)
    picture.paste(ground, (0, 110))
    return picture


@pytest.mark.parametrize("picture", [emoji(), noise(), hills()], ids=["emoji", "noise", "hills"])
def test_what_is_no_drawing_makes_a_reading_doubtful(picture):
    assert read_ink(picture).is_doubtful


@pytest.mark.parametrize("read", [read_ink, read_signature])
def test_a_photograph_of_something_else_is_doubted_whatever_the_ink_in_it_looks_like(read):
    assert read(emoji_on_black()).is_doubtful
    assert sum(read(face(seed)).is_doubtful for seed in range(12)) >= 9


@pytest.mark.parametrize("pen_px", [3, 8, 20])
@pytest.mark.parametrize("size", [105, 300])
def test_drawings_are_not_doubted(pen_px, size):
    assert not read_ink(drawn(max(2, pen_px * size // 300), size)).is_doubtful


def test_paper_has_no_edges_of_its_own():
    levels = np.asarray(drawn(9))
    dark = levels < 128
    assert stray_edges(levels, dark) == 0
    stepped = np.where(np.arange(300) < 150, levels, levels * 0.6).astype(np.uint8)
    assert stray_edges(stepped, dark) > 0.05


def test_ink_over_more_than_half_of_its_box_is_told():
    block = torch.zeros(200, 200)
    block[50:150, 40:160] = 1
    assert "mostly_ink" in character_codes(block)
    assert MOSTLY_INK == 0.5


def test_the_pen_is_told_where_it_is_unlike_the_training_s():
    assert character_codes(find_ink(open_image(drawn(1)))) == ["fine_pen"]
    assert character_codes(find_ink(open_image(drawn(9)))) == []
    assert character_codes(find_ink(open_image(drawn(48)))) == ["broad_pen"]


def test_characters_far_apart_are_told_and_strokes_of_one_are_not():
    def ring(draw: ImageDraw.ImageDraw, left: int) -> None:
        draw.ellipse((left, 60, left + 80, 140), outline=0, width=6)

    for second, codes in ((140, []), (260, ["several_pieces"])):
        sheet = Image.new("L", (400, 200), 255)
        for left in (20, second):
            ring(ImageDraw.Draw(sheet), left)
        assert character_codes(find_ink(open_image(sheet))) == codes


def test_a_straight_stroke_and_a_small_letter_are_no_filled_shapes():
    stroke = torch.zeros(200, 200)
    stroke[20:180, 90:110] = 1
    assert "mostly_ink" not in character_codes(stroke)
    letter = torch.zeros(60, 80)
    for row in (10, 20, 30, 40):  # bars and a side, with a pen of a seventh of the letter
        letter[row : row + 6, 12:66] = 1
    letter[10:46, 12:18] = 1
    assert letter[10:46, 12:66].mean() > MOSTLY_INK
    assert "mostly_ink" not in character_codes(letter)

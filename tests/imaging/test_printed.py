"""What is printed goes, what is written stays."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from siamese.imaging.printed import separate_print

SIZE = (600, 400)
PATH = [(220, 110), (380, 130), (250, 210), (300, 290), (400, 270), (330, 190)]


def writing(pen_px: int = 9) -> Image.Image:
    picture = Image.new("L", SIZE, 255)
    ImageDraw.Draw(picture).line(PATH, fill=20, width=pen_px, joint="curve")
    return picture


def box(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((120, 60, 480, 340), outline=30, width=4)


def double_box(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((120, 60, 480, 340), outline=30, width=3)
    draw.rectangle((110, 50, 490, 350), outline=30, width=3)


def comb(draw: ImageDraw.ImageDraw) -> None:
    draw.line([(150, 70), (150, 340), (450, 340), (450, 70)], fill=30, width=4)


def low_comb(draw: ImageDraw.ImageDraw) -> None:
    draw.line([(0, 340), (600, 340)], fill=30, width=3)
    for column in (30, 160, 460, 590):
        draw.line([(column, 200), (column, 340)], fill=30, width=3)


def cell(draw: ImageDraw.ImageDraw) -> None:
    for column in (30, 170, 430, 570):
        draw.line([(column, 0), (column, 400)], fill=30, width=3)
    for row in (70, 330):
        draw.line([(0, row), (600, row)], fill=30, width=3)


def crossing_box(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((160, 60, 480, 276), outline=30, width=4)


def ruled(draw: ImageDraw.ImageDraw) -> None:
    for row in range(40, 400, 60):
        draw.line([(0, row), (600, row)], fill=60, width=3)


def squared(draw: ImageDraw.ImageDraw) -> None:
    ruled(draw)
    for column in range(30, 600, 60):
        draw.line([(column, 0), (column, 400)], fill=60, width=3)


def dotted(draw: ImageDraw.ImageDraw) -> None:
    for column in range(100, 520, 12):
        draw.ellipse((column, 330, column + 4, 334), fill=30)


def caption(draw: ImageDraw.ImageDraw) -> None:
    font = ImageFont.load_default(18)
    draw.line([(130, 330), (500, 330)], fill=30, width=3)
    draw.text((180, 345), "Place, date and signature", fill=30, font=font)


FORMS = {
    "box": (box, "frame_removed"),
    "double box": (double_box, "frame_removed"),
    "comb": (comb, "frame_removed"),
    "comb with low teeth": (low_comb, "lines_removed"),
    "cell of a grid": (cell, "frame_removed"),
    "box that the writing crosses": (crossing_box, "frame_removed"),
    "ruled": (ruled, "lines_removed"),
    "squared": (squared, None),
    "dotted line": (dotted, "lines_removed"),
    "line and caption": (caption, "print_removed"),
}


def shares(found: Image.Image, clean: Image.Image) -> tuple[float, float]:
    """Of the clean ink that is still there, and of the ink found that is not the writing's."""
    ink, wanted = np.asarray(found) < 128, np.asarray(clean) < 128
    return float((ink & wanted).sum() / wanted.sum()), float((ink & ~wanted).sum() / ink.sum())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("turn_deg", [0, 7])
def test_forms_go_and_the_writing_stays(form, turn_deg):
    draw, code = FORMS[form]
    sheet = writing()
    draw(ImageDraw.Draw(sheet))
    sheet, clean = (
        one.rotate(turn_deg, Image.Resampling.BICUBIC, fillcolor=255).crop((40, 30, 560, 370))
        for one in (sheet, writing())
    )
    page = separate_print(sheet)
    found, remarks = page.image, page.remarks
    kept, wrong = shares(found, clean)
    assert kept > (0.88 if form == "squared" else 0.93)  # strokes that run along a line go with it
    assert wrong < (0.09 if form == "squared" else 0.06)
    assert code is None or code in [remark.code for remark in remarks]


def blank() -> Image.Image:
    return Image.new("L", SIZE, 255)


def hand_drawn_box() -> Image.Image:
    """As a hand draws it: no side is straight to a pixel."""
    picture = blank()
    along = np.linspace(0, 1, 60)
    corners = np.array([(150, 80), (450, 90), (440, 330), (160, 320), (150, 80)], dtype=float)
    sway = np.random.default_rng(1).normal(0, 1, (4, 60, 2)).cumsum(1) * 1.2
    points = [a + at * (b - a) for a, b in pairwise(corners) for at in along]
    path = np.array(points) + sway.reshape(-1, 2)
    ImageDraw.Draw(picture).line([tuple(point) for point in path.tolist()], fill=0, width=8, joint="curve")
    return picture


def drawn(*paths: list[tuple[int, int]]) -> Image.Image:
    picture = blank()
    for path in paths:
        ImageDraw.Draw(picture).line(path, fill=0, width=9)
    return picture


LEFT_ALONE = {
    "plain writing": writing(),
    "a drawn box": hand_drawn_box(),
    "a straight box alone": drawn([(150, 80), (450, 80), (450, 320), (150, 320), (150, 80)]),
    "three strokes": drawn([(150, 80), (450, 84)], [(170, 200), (430, 196)], [(130, 320), (470, 318)]),
    "a box with a diagonal": drawn([(150, 80), (450, 80), (450, 320), (150, 320), (150, 80)], [(150, 80), (450, 320)]),
    "a stroke under the writing": drawn(PATH, [(215, 330), (405, 326)]),
    "a row of dots": drawn(PATH, [(240, 330), (250, 330)], [(300, 330), (310, 330)], [(360, 330), (370, 330)]),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_a_hand_drew_stays_pixel_for_pixel(name):
    page = separate_print(LEFT_ALONE[name])
    found, remarks = page.image, page.remarks
    assert found.tobytes() == LEFT_ALONE[name].tobytes()
    assert remarks == ()


def test_a_thin_line_under_a_broad_pen_goes():
    """The strokes of such a pen are longer across than the pieces that lines are put together from."""
    sheet = writing(30)
    ImageDraw.Draw(sheet).line([(120, 300), (520, 300)], fill=40, width=3)
    page = separate_print(sheet)
    kept, wrong = shares(page.image, writing(30))
    assert kept > 0.97
    assert wrong < 0.02
    assert [remark.code for remark in page.remarks] == ["lines_removed"]


def test_print_through_the_writing_is_told():
    sheet = writing()
    ImageDraw.Draw(sheet).text((260, 235), "PAID IN CASH", fill=30, font=ImageFont.load_default(18))
    assert "print_remains" in [remark.code for remark in separate_print(sheet).remarks]
    assert "print_remains" not in [remark.code for remark in separate_print(writing()).remarks]


def underlined(seed: int) -> Image.Image:
    """Writing with the line under it that some people sign with: longer than the writing, as thick, slightly bent."""
    generator = np.random.default_rng(seed)
    picture = writing(int(generator.integers(4, 8)))
    along = np.linspace(0, 1, 50)
    bend = generator.choice([-1, 1]) * generator.uniform(3.5, 9) * 4 * along * (1 - along)
    slope = generator.uniform(-0.25, 0.25)
    path = np.stack([130 + 370 * along, 325 + 370 * slope * (along - 0.5) + bend], 1)
    ImageDraw.Draw(picture).line([tuple(point) for point in path.tolist()], fill=20, width=5, joint="curve")
    return picture


@pytest.mark.parametrize("seed", range(8))
def test_an_underline_drawn_by_hand_stays(seed):
    sheet = underlined(seed)
    page = separate_print(sheet)
    assert page.image.tobytes() == sheet.tobytes()
    assert page.remarks == ()


@pytest.mark.parametrize("seed", range(4))
def test_a_printed_line_as_long_and_as_thick_goes(seed):
    generator = np.random.default_rng(seed)
    sheet = writing(6)
    top, height = int(generator.integers(315, 335)), int(generator.integers(4, 7))
    ImageDraw.Draw(sheet).line([(130, top), (500, top)], fill=20, width=height)
    sheet = sheet.rotate(float(generator.uniform(-8, 8)), Image.Resampling.BICUBIC, fillcolor=255)
    assert [remark.code for remark in separate_print(sheet).remarks] == ["lines_removed"]


def over_double_lines(seed: int, shifts: tuple[float, float]) -> tuple[Image.Image, Image.Image]:
    """Upright writing that crosses two parallel lines as thick as its pen, and the writing alone.

    Args:
        seed: Of place, distance, thickness and tilt.
        shifts: By how much the lower line is moved and how much longer it is, as shares of its length.
    """
    generator = np.random.default_rng(seed)
    width, distance = int(generator.integers(4, 6)), float(generator.uniform(9, 14))
    top, length = float(generator.uniform(255, 275)), float(generator.uniform(300, 400))
    clean = writing(width + 1)
    sheet = clean.copy()
    for line, (moved, longer) in enumerate([(0.0, 0.0), shifts]):
        row, left = top + line * distance, 310 - length / 2 + moved * length
        ImageDraw.Draw(sheet).line([(left, row), (left + length * (1 + longer), row)], fill=20, width=width)
    turn_deg = float(generator.uniform(-5, 5))
    return tuple(one.rotate(turn_deg, Image.Resampling.BICUBIC, fillcolor=255) for one in (sheet, clean))


@pytest.mark.parametrize("seed", range(8))
def test_a_double_line_that_the_writing_crosses_goes(seed):
    sheet, clean = over_double_lines(seed, (0.0, 0.0))
    page = separate_print(sheet)
    kept, wrong = shares(page.image, clean)
    assert kept > 0.85  # what runs along the lines goes with them
    assert wrong < 0.1  # what stands out beside the strokes that cross; with the lines it is half of the ink
    assert [remark.code for remark in page.remarks] == ["lines_removed"]


@pytest.mark.parametrize("seed", range(4))
def test_two_strokes_that_do_not_end_together_stay(seed):
    sheet, _ = over_double_lines(seed, (0.12, 0.1))
    assert separate_print(sheet).image.tobytes() == sheet.tobytes()


def low_writing(generator: np.random.Generator) -> Image.Image:
    """Separate letters by hand, low beside their length, each on a height of its own."""
    picture, left = blank(), 150.0
    for _ in range(6):
        middle, tall = 160 + float(generator.uniform(-9, 9)), float(generator.uniform(36, 52))
        points = [
            (left, middle - tall / 2),
            (left + 24, middle - tall / 3),
            (left + 6, middle),
            (left + 30, middle + tall / 2),
        ]
        ImageDraw.Draw(picture).line(points, fill=20, width=4, joint="curve")
        left += float(generator.uniform(40, 52))
    return picture


@pytest.mark.parametrize("word", ["Name", "Applicant:", "No. 4711", "Unterschrift"])
def test_a_caption_almost_as_high_as_low_writing_goes(word):
    generator = np.random.default_rng(len(word))
    clean = low_writing(generator)
    sheet = clean.copy()
    font = ImageFont.load_default(int(generator.integers(20, 28)))
    ImageDraw.Draw(sheet).text((160, 215), word, fill=60, font=font)
    page = separate_print(sheet)
    kept, wrong = shares(page.image, clean)
    assert kept > 0.99
    assert wrong < 0.02
    assert [remark.code for remark in page.remarks] == ["print_removed"]


def separate_strokes(seed: int) -> Image.Image:
    """A large stroke and a row of small ones, as in names whose characters have many."""
    generator = np.random.default_rng(seed)
    sheet = drawn([(60, 60), (180, 50), (180, 340)])
    for place in range(6):
        left, top = 250 + 40 * place, 120 + float(generator.uniform(-14, 14))
        path = [(left, top), (left + 20, top + float(generator.uniform(20, 50)))]
        ImageDraw.Draw(sheet).line(path, fill=0, width=8)
    return sheet


def test_small_strokes_beside_a_large_one_are_no_print():
    sheets = [separate_strokes(seed) for seed in range(60)]
    untouched = [separate_print(sheet).image.tobytes() == sheet.tobytes() for sheet in sheets]
    assert sum(untouched) >= 54  # few rows end on one line by chance

"""The pen is told by colour where grey hides it, and from other ink by its colour."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from siamese.imaging.decode import image_remarks, open_image

SIZE = (420, 300)
PATH = [(110, 60), (300, 80), (140, 160), (180, 240), (320, 210)]


def picture(paper: tuple[int, int, int], pen: tuple[int, int, int], draw_more: object = None) -> Image.Image:
    """A drawing in these colours; `draw_more` draws something below it."""
    image = Image.new("RGB", SIZE, paper)
    draw = ImageDraw.Draw(image)
    if draw_more is not None:
        draw_more(draw)
    draw.line(PATH, fill=pen, width=9, joint="curve")
    return image


def ink() -> np.ndarray:
    return np.asarray(picture((255, 255, 255), (0, 0, 0)).convert("L")) < 128


def shared(found: Image.Image) -> float:
    dark = np.asarray(found) < 140
    return float((dark & ink()).sum() / (dark | ink()).sum())


@pytest.mark.parametrize(
    ("paper", "pen"),
    [
        ((40, 90, 40), (160, 30, 30)),
        ((255, 255, 255), (255, 245, 90)),
        ((250, 190, 205), (40, 60, 150)),
        ((255, 255, 255), (30, 40, 120)),
    ],
    ids=["red on green", "yellow marker", "pink paper", "blue pen"],
)
def test_the_pen_stands_out_by_its_colour(paper, pen):
    assert shared(open_image(picture(paper, pen))) > 0.9


def test_a_pen_that_grey_shows_stays_as_grey_has_it():
    blue = picture((255, 255, 255), (30, 40, 120))
    assert open_image(blue).tobytes() == blue.convert("L").tobytes()


def stamp(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((170, 70, 370, 270), outline=(205, 30, 50), width=6)
    draw.ellipse((185, 85, 355, 255), outline=(205, 30, 50), width=3)


def highlighter(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((90, 40, 350, 120), fill=(255, 250, 90))


def small_stamp(draw: ImageDraw.ImageDraw) -> None:
    """As little ink as a thirtieth of the pen's."""
    draw.rectangle((300, 120, 360, 145), outline=(215, 60, 140), width=2)


def band(colour: tuple[int, int, int]) -> Callable[[ImageDraw.ImageDraw], None]:
    return lambda draw: draw.rounded_rectangle((60, 40, 380, 190), 60, fill=colour)


COLOURED = {
    "stamp": stamp,
    "small stamp": small_stamp,
    "yellow": highlighter,
    "pink": band((250, 150, 200)),
    "orange": band((255, 190, 110)),
    "green": band((140, 245, 120)),
}


@pytest.mark.parametrize("pen", [(20, 25, 30), (30, 45, 130)], ids=["black", "blue"])
@pytest.mark.parametrize("more", COLOURED)
def test_ink_of_another_colour_is_left_out(pen, more):
    found = open_image(picture((252, 250, 246), pen, COLOURED[more]))
    assert shared(found) > 0.85
    if "stamp" in more:
        assert [remark.code for remark in image_remarks(found)] == ["colour_removed"]

"""Ink found where it is hard to see, and left alone where it is not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw, ImageFilter

from siamese.imaging.decode import load_ink, open_image
from siamese.imaging.ink import connected, find_ink, is_light_on_dark, otsu_threshold, pen_width_px
from siamese.preprocessing import Preprocessing, prepare_ink
from tests.hostile import drawing, encoded

HEIGHT, WIDTH = 360, 480
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]


def strokes(width_px: int = 6) -> np.ndarray:
    """Ink in [0, 1]: strokes in the middle of the picture, 200 px wide and 160 px high."""
    pen = Image.new("L", (WIDTH * 2, HEIGHT * 2), 0)
    points = [(280, 200), (680, 300), (360, 500), (640, 520), (520, 220)]
    ImageDraw.Draw(pen).line(points, fill=255, width=2 * width_px, joint="curve")
    return np.asarray(pen.resize((WIDTH, HEIGHT), Image.Resampling.BOX), dtype=float) / 255


def photograph(paper: np.ndarray, ink: np.ndarray, colour: tuple[int, int, int], light: np.ndarray | float) -> bytes:
    """Ink of a colour on paper [height, width, 3] in this light, with a camera's blur and noise, as JPEG."""
    seen = (paper * (1 - ink[..., None]) + np.array(colour) * ink[..., None]) * np.broadcast_to(
        np.asarray(light)[..., None], (HEIGHT, WIDTH, 1)
    )
    seen = seen + np.random.default_rng(0).normal(0, 4, seen.shape)
    picture = Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.7))
    return encoded(picture, "JPEG", quality=80)


def plain(level: float = 235) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), level)


def ruled(step_px: int = 24, squared: bool = True) -> np.ndarray:
    paper = plain()
    paper[ROWS % step_px == 5] = (175, 195, 225)
    if squared:
        paper[COLUMNS % step_px == 5] = (175, 195, 225)
    return paper


def gradient() -> np.ndarray:
    return 0.6 + 0.4 * (ROWS / HEIGHT + COLUMNS / WIDTH) / 2


def shadow() -> np.ndarray:
    return 0.55 + 0.45 / (1 + np.exp(-(COLUMNS + ROWS / 2 - 250) / 6))


def margin() -> np.ndarray:
    paper = ruled(squared=False)
    paper[:, 40:42] = (230, 110, 120)
    return paper


def on_dark_table() -> np.ndarray:
    table = plain(50)
    table[30:330, 60:430] = 230
    return table


def dark_edges() -> np.ndarray:
    paper = plain()
    paper[:, 465:] = (45, 40, 35)
    paper[348:] = (45, 40, 35)
    return paper


SCENES = {
    "squared paper, gradient": lambda ink: photograph(ruled(), ink, (25, 30, 70), gradient()),
    "shadow with an edge": lambda ink: photograph(plain(), ink, (40, 40, 50), shadow()),
    "squared paper in shadow": lambda ink: photograph(ruled(), ink, (30, 35, 90), shadow()),
    "red pen beside a margin": lambda ink: photograph(margin(), ink, (205, 40, 45), gradient()),
    "orange felt pen": lambda ink: photograph(plain(), ink, (250, 140, 30), gradient()),
    "blue on a yellow note": lambda ink: photograph(plain() * (1, 0.93, 0.35), ink, (30, 50, 160), gradient()),
    "pencil": lambda ink: photograph(plain(), ink * 0.7, (110, 110, 112), gradient()),
    "chalk on a blackboard": lambda ink: photograph(plain(50), ink * 0.9, (225, 225, 215), gradient()),
    "a dark room": lambda ink: photograph(plain(80), ink, (22, 22, 25), gradient()),
    "paper on a dark table": lambda ink: photograph(on_dark_table(), ink, (30, 30, 50), gradient()),
    "table at the edges": lambda ink: photograph(dark_edges(), ink, (30, 30, 40), gradient()),
}


def overlap(found: torch.Tensor, ink: np.ndarray) -> float:
    """Share of the ink that both pictures have of what either has, brought to one extent."""
    expected = prepare_ink(torch.from_numpy(ink).float(), Preprocessing())
    return (torch.minimum(found, expected).sum() / torch.maximum(found, expected).sum()).item()


@pytest.mark.parametrize("scene", SCENES)
def test_ink_is_found_in_photographs(scene):
    assert overlap(load_ink(SCENES[scene](strokes())), strokes()) > 0.75


@pytest.mark.parametrize("width_px", [3, 12, 30])
def test_thin_and_thick_pens_are_found(width_px):
    ink = strokes(width_px)
    assert overlap(load_ink(photograph(plain(), ink, (30, 30, 40), gradient())), ink) > 0.75


def test_specks_do_not_stretch_the_box():
    ink = strokes()
    dirty = 255 * (1 - ink)
    generator = np.random.default_rng(0)
    dirty[generator.integers(0, HEIGHT, 50), generator.integers(0, WIDTH, 50)] = 0
    dirty[3:5, 3:5] = 0
    assert overlap(load_ink(Image.fromarray(dirty.astype(np.uint8))), ink) > 0.8


def test_dots_of_the_pen_are_kept():
    ink = strokes()
    ink[40:47, 60:67] = 1  # as wide as the stroke
    assert overlap(load_ink(Image.fromarray((255 * (1 - ink)).astype(np.uint8))), ink) > 0.8


def test_small_grey_thumbnails_keep_their_soft_edges():
    soft = strokes(24)[40:320, 100:380]
    small = Image.fromarray((255 * soft).astype(np.uint8)).resize((28, 28), Image.Resampling.BOX)  # light on dark
    found = find_ink(open_image(small))
    grey = np.asarray(small) / 255
    assert ((found.numpy() > 0.05) & (found.numpy() < 0.95)).mean() > 0.05
    assert np.abs(found.numpy() - grey).max() < 0.15


def test_faint_thumbnails_are_brought_to_full_contrast():
    faint = Image.eval(drawing("L", (40, 40)), lambda level: 200 + level // 5)  # ink 200 on paper 251
    assert find_ink(faint).max() == 1
    assert torch.allclose(find_ink(faint), find_ink(drawing("L", (40, 40))), atol=0.05)


def test_clean_1_bit_drawings_stay_as_they_are():
    picture = drawing("1", (105, 105))
    assert torch.equal(find_ink(picture.convert("L")), torch.from_numpy(~np.array(picture)).float())


def test_no_ink_gives_zeros():
    assert not find_ink(Image.new("L", (50, 50), 200)).any()


def test_large_images_are_reduced():
    assert find_ink(drawing("L", (1600, 1200))).shape == (600, 800)


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("size", [(28, 28), (105, 105), (400, 300)])
def test_light_on_dark_is_told(size, invert):
    grey = drawing("L", size)
    assert is_light_on_dark(Image.eval(grey, lambda level: 255 - level) if invert else grey) is invert


def test_a_thick_mark_that_fills_most_of_its_picture_is_still_dark_on_light():
    picture = Image.new("L", (60, 60), 255)
    ImageDraw.Draw(picture).ellipse((2, 2, 57, 57), fill=0)
    assert not is_light_on_dark(picture)


@settings(deadline=None, max_examples=40)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(8, 40), st.integers(8, 40))))
def test_the_door_leaves_alone_what_has_passed_it(pixels):
    if int(pixels.max()) - int(pixels.min()) < 8:
        return
    once = open_image(Image.fromarray(pixels))
    assert open_image(once).tobytes() == once.tobytes()


def test_otsu_threshold_lies_between_two_levels():
    values = np.array([0.1] * 30 + [0.7] * 10, dtype=np.float32)
    assert otsu_threshold(values) == pytest.approx(0.4, abs=0.01)


def test_pen_width_of_a_bar():
    bar = torch.zeros(60, 400)
    bar[20:28, 10:390] = 1
    # 2 x 3040 / (pi / 4 x 2 x (380 + 8)) = 9.98: an upright bar's outline is counted pi / 4 short
    assert pen_width_px(bar.numpy()) == pytest.approx(9.98, abs=0.01)
    tilted = torch.from_numpy(
        np.asarray(
            Image.fromarray(bar.numpy()).resize((400, 60)).rotate(30, Image.Resampling.BICUBIC, expand=True)
        ).copy()
    )
    assert 7 < pen_width_px(tilted.clamp(0, 1).numpy()) < 10


def naive_connected(mask: np.ndarray) -> np.ndarray:
    """Flood fill, spot by spot in reading order."""
    labels, number = np.zeros(mask.shape, dtype=int), 0
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start]:
            continue
        number += 1
        waiting = [start]
        while waiting:
            y, x = waiting.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and not labels[y, x]:
                labels[y, x] = number
                waiting += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return labels


@settings(deadline=None, max_examples=60)
@given(arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_connected_agrees_with_flood_fill(mask):
    labels, stats = connected(mask)
    expected = naive_connected(mask)
    assert len(stats) == expected.max() + 1
    assert (labels == expected).all()


def test_connected_follows_a_long_spiral():
    spiral = np.zeros((101, 101), dtype=bool)
    for ring in range(0, 50, 4):
        spiral[ring, ring : 101 - ring] = True
        spiral[ring : 101 - ring, 100 - ring] = True
        spiral[100 - ring, ring : 101 - ring] = True
        spiral[ring + 4 : 101 - ring, ring] = True
        spiral[ring + 4, max(ring, 0) : ring + 5] = True
    assert connected(spiral)[0].max() == naive_connected(spiral).max()

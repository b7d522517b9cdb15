"""The sheet in a photograph: found on desks of many kinds, and nothing cut where there is none."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from siamese.imaging.decode import image_remarks, load_ink, open_image
from siamese.imaging.page import find_sheet

WIDTH, HEIGHT = 640, 480


def sheet() -> np.ndarray:
    """Paper of 300 x 220 px with a mark that shows when it is turned or mirrored."""
    paper = Image.new("L", (300, 220), 246)
    ImageDraw.Draw(paper).line([(110, 50), (180, 50), (110, 110), (110, 170), (150, 170)], fill=30, width=8)
    return np.asarray(paper)


def desk(kind: str) -> np.ndarray:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    noise = np.random.default_rng(0).normal(0, 4, (HEIGHT, WIDTH))
    if kind == "wooden":
        return 120 + 20 * np.sin((columns + 9 * np.sin(rows / 60)) / 7) + noise
    return {"dark": 50, "grey": 135, "light": 205}[kind] + noise


def photograph(corners: list[tuple[float, float]], kind: str) -> np.ndarray:
    """The sheet with its corners there (from the top left one clockwise), light falling from one side."""
    start = np.array([(0, 0), (300, 0), (300, 220), (0, 220)], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(start, np.array(corners, dtype=np.float32))
    seen = cv2.warpPerspective(sheet(), matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA)
    covered = cv2.warpPerspective(np.ones((220, 300), np.float32), matrix, (WIDTH, HEIGHT))
    picture = desk(kind) * (1 - covered) + seen * covered
    return (picture * np.linspace(1, 0.7, WIDTH)).clip(0, 255).astype(np.uint8)


def turned(degrees: float, scale: float = 1.0) -> list[tuple[float, float]]:
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    around = np.array([(-150, -110), (150, -110), (150, 110), (-150, 110)]) @ turn.T
    return [tuple(corner) for corner in (around + np.array([330, 235])).tolist()]


POSES = {
    "level": turned(0),
    "turned": turned(-17),
    "large": turned(6, 1.6),
    "seen at an angle": [(160, 105), (500, 115), (520, 375), (140, 365)],
}


@pytest.mark.parametrize("kind", ["dark", "grey", "light", "wooden"])
@pytest.mark.parametrize("pose", POSES)
def test_the_corners_of_the_sheet_are_found(kind, pose):
    found = find_sheet(photograph(POSES[pose], kind))
    assert found is not None
    assert np.abs(found - np.array(POSES[pose])).max() < 9


@pytest.mark.parametrize("pose", POSES)
def test_the_ink_on_the_sheet_is_read_as_if_scanned(pose):
    reading = load_ink(Image.fromarray(photograph(POSES[pose], "dark")))
    clean = load_ink(Image.fromarray(sheet()))
    shared = torch.minimum(reading, clean).sum() / torch.maximum(reading, clean).sum()
    assert shared > 0.7


def test_a_remark_says_that_a_sheet_was_cut_out():
    grey = open_image(Image.fromarray(photograph(POSES["level"], "wooden")))
    assert [remark.code for remark in image_remarks(grey)] == ["sheet_found"]
    assert grey.width == pytest.approx(300, abs=15)
    again = open_image(grey)
    assert again.tobytes() == grey.tobytes()
    assert image_remarks(again) == image_remarks(grey)


def test_an_open_lid_and_black_bars_are_cut_off():
    scan = np.full((500, 500), 10, dtype=np.uint8)
    scan[:300, :360] = np.asarray(Image.fromarray(sheet()).resize((360, 300)))
    found = find_sheet(scan)
    assert found is not None
    assert np.abs(found - [(0, 0), (360, 0), (360, 300), (0, 300)]).max() < 6


def box() -> Image.Image:
    drawing = Image.new("L", (400, 400), 255)
    ImageDraw.Draw(drawing).rectangle((60, 60, 340, 340), outline=0, width=9)
    return drawing


def shadow() -> Image.Image:
    paper = np.asarray(Image.fromarray(sheet()).resize((600, 440))).astype(float)
    paper[:, 380:] *= 0.7
    return Image.fromarray(paper.astype(np.uint8))


def chalk() -> Image.Image:
    drawing = Image.new("L", (400, 400), 20)
    ImageDraw.Draw(drawing).rectangle((90, 90, 310, 310), outline=240, width=40)
    return drawing


@pytest.mark.parametrize(
    "picture",
    [box(), shadow(), chalk(), Image.fromarray(sheet())],
    ids=["a drawn box", "a shadow", "chalk", "a clean scan"],
)
def test_where_there_is_no_sheet_nothing_is_cut(picture):
    assert find_sheet(np.asarray(picture)) is None

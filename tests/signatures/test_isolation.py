"""Isolating signatures: what is the paper's, the light's or the pen's must not show; what is the writer's must."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch.nn import functional as F

from siamese.data.pen_strokes import synthetic_hand
from siamese.imaging.decode import ImageError, load_ink, open_image
from siamese.preprocessing import SIGNATURE, prepare_ink
from siamese.signatures.isolation import isolate_signature, prepare_isolated, read_signature
from siamese.signatures.synthetic import invent_signature, sign
from tests.hostile import encoded

WHITE, BLUE = (255, 255, 255), (30, 40, 120)


def strokes(seed: int) -> list[np.ndarray]:
    """One signature, in pixels from its own corner, about 500 wide."""
    generator = np.random.default_rng(seed)
    paths = sign(invent_signature(generator), synthetic_hand(generator), generator)
    low = np.concatenate(paths).min(0)
    return [path - low for path in paths]


def page(
    paths: list[np.ndarray],
    size: tuple[int, int] = (1200, 800),
    at: tuple[int, int] = (250, 280),
    scale: float = 1.1,
    paper: tuple[int, int, int] = WHITE,
    pen: tuple[int, int, int] = BLUE,
    pen_px: int = 5,
    ruling: int = 0,
    squared: bool = False,
    ruling_ink: tuple[int, int, int] = (120, 150, 200),
) -> Image.Image:
    """A sheet with a signature, ruled every so many pixels."""
    sheet = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(sheet)
    if ruling:
        for y in range(ruling, size[1], ruling):
            draw.line((0, y, size[0], y), fill=ruling_ink, width=3)
        for x in range(ruling, size[0], ruling) if squared else ():
            draw.line((x, 0, x, size[1]), fill=ruling_ink, width=3)
    for path in paths:
        points = [tuple(point) for point in (path * scale + at).tolist()]
        draw.line(points, fill=pen, width=pen_px)
        for x, y in points:
            draw.ellipse((x - pen_px / 2, y - pen_px / 2, x + pen_px / 2, y + pen_px / 2), fill=pen)
    return sheet


def photograph(
    sheet: Image.Image, seed: int = 1, shadow_px: float | None = None, turn_deg: float = 0, table: bool = False
) -> bytes:
    """The sheet in a lamp's light, with a shadow whose edge is so wide, turned, noisy, blurred, as a JPEG."""
    if turn_deg:
        around = (70, 50, 35) if table else sheet.getpixel((1, 1))
        sheet = sheet.rotate(turn_deg, Image.Resampling.BICUBIC, fillcolor=around)
    values = np.asarray(sheet, dtype=np.float64)
    height, width = values.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    light = 0.75 + 0.25 * np.cos((x / width - 0.3) * 2) * np.cos((y / height - 0.2) * 1.5)
    if shadow_px is not None:
        light *= 1 - 0.45 / (1 + np.exp((0.5 * width - 0.4 * (y - height / 2) - x) / shadow_px))
    values = values * light[..., None] + np.random.default_rng(seed).normal(0, 4, values.shape)
    picture = Image.fromarray(values.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.2))
    return encoded(picture, "JPEG", quality=70)


def likeness(one: torch.Tensor, other: torch.Tensor, within_px: int = 2) -> float:
    """The share of the ink of each that lies near ink of the other, the smaller of the two shares."""

    def share(a: torch.Tensor, b: torch.Tensor) -> float:
        near = F.max_pool2d(b[None], 2 * within_px + 1, 1, within_px)[0]
        return float((a * near).sum() / a.sum())

    return min(share(one, other), share(other, one))


def seen(source: object) -> torch.Tensor:
    return prepare_isolated(isolate_signature(open_image(source)), SIGNATURE)


@pytest.fixture(scope="module", params=[103, pytest.param(100, marks=pytest.mark.slow)])
def signature(request) -> tuple[list[np.ndarray], torch.Tensor]:
    """Its strokes, and how it is seen on a clean page."""
    paths = strokes(request.param)
    return paths, seen(page(paths))


PHOTOGRAPHS = {
    "lamp": ({}, {}),
    "soft shadow": ({}, {"shadow_px": 60}),
    "hard shadow": ({}, {"shadow_px": 6}),
    "coloured paper, red pen": ({"paper": (250, 230, 120), "pen": (200, 40, 40), "pen_px": 4}, {"shadow_px": 60}),
    "dark paper": ({"paper": (140, 120, 90), "pen": (15, 15, 20)}, {}),
    "ruled": ({"ruling": 70}, {"shadow_px": 60}),
    "squared": ({"ruling": 36, "squared": True, "pen": (20, 20, 20)}, {"shadow_px": 60}),
    "ruled as dark as the pen": ({"ruling": 160, "ruling_ink": BLUE, "pen_px": 6}, {}),
    "ruled, turned": ({"ruling": 70}, {"turn_deg": 4}),
    "turned on a table": ({"pen_px": 6, "ruling": 90}, {"turn_deg": -6, "table": True}),
    "turned without rulings": ({}, {"turn_deg": 3}),
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_shows_the_network_what_a_clean_page_does(signature, name):
    drawing, taking = PHOTOGRAPHS[name]
    paths, clean = signature
    assert likeness(seen(photograph(page(paths, **drawing), **taking)), clean) > (
        0.85 if name == "turned without rulings" else 0.92
    )


def test_the_likeness_of_photographs_can_fail(signature):
    paths, clean = signature
    other = seen(page(strokes(205)))
    assert likeness(other, clean) < 0.83
    ruled = 1 - np.asarray(open_image(page(paths, ruling=70, ruling_ink=BLUE)), dtype=np.float32) / 255
    assert likeness(prepare_ink(torch.from_numpy(ruled), SIGNATURE), clean) < 0.75


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_resolution_does_not_show(signature, scale):
    paths, clean = signature
    size = (round(1000 * scale), round(600 * scale))
    sheet = page(paths, size, (round(100 * scale), round(150 * scale)), scale, pen_px=max(2, round(3.3 * scale)))
    assert likeness(seen(sheet), clean, 1) > 0.95


@pytest.mark.parametrize("pen", [(0, 0, 0), (150, 150, 150), (40, 160, 60)])
@pytest.mark.parametrize("pen_px", [3, 6])
def test_the_pen_does_not_show(signature, pen, pen_px):
    paths, clean = signature
    other = seen(page(paths, pen=pen, pen_px=pen_px))
    assert likeness(other, clean) > 0.9
    assert float(other.sum() / clean.sum()) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("margins", [(0, 0, 0, 0), (300, 20, 10, 400)])
def test_margins_do_not_show(signature, margins):
    paths, clean = signature
    sheet = page(paths)
    ink = np.asarray(open_image(sheet)) < 128
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    cut = sheet.crop((columns[0] - 5, rows[0] - 5, columns[-1] + 6, rows[-1] + 6))
    left, top, right, bottom = margins
    framed = Image.new("RGB", (cut.width + left + right, cut.height + top + bottom), WHITE)
    framed.paste(cut, (left, top))
    assert likeness(seen(framed), clean, 1) > 0.97


def test_specks_and_the_edge_of_the_sheet_do_not_show(signature):
    paths, clean = signature
    sheet = page(paths)
    draw = ImageDraw.Draw(sheet)
    for x, y in [(40, 60), (1100, 80), (500, 750), (1080, 700)]:
        draw.ellipse((x, y, x + 4, y + 4), fill=(60, 60, 60))
    draw.rectangle((1190, 0, 1200, 800), fill=(30, 30, 30))
    assert likeness(seen(sheet), clean, 1) > 0.97


def test_dots_and_bars_of_the_writer_stay():
    body = [np.stack([np.linspace(0, 400, 60), 60 * np.sin(np.linspace(0, 18, 60))], 1)]
    dot = np.array([[150.0, -95.0], [153.0, -93.0]])
    without, with_dot = isolate_signature(open_image(page(body))), isolate_signature(open_image(page([*body, dot])))
    assert with_dot.shape[0] > 1.15 * without.shape[0]


def test_a_faint_end_of_a_stroke_stays():
    """A stroke that fades to a quarter of the pen's darkness is not cut into pieces."""
    sheet = page([], (900, 400))
    draw = ImageDraw.Draw(sheet)
    for step in range(600):
        shade = round(40 + 150 * step / 600)
        x, y = 100 + step, 200 + 50 * np.sin(step / 60)
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=(shade, shade, shade))
    picture = seen(photograph(sheet))
    columns = (picture[0].sum(0) > 0.5).nonzero().flatten()
    assert int(columns[-1] - columns[0]) == len(columns) - 1
    ink = isolate_signature(open_image(photograph(sheet)))
    assert ink.shape[1] == 400
    assert ink.shape[0] == pytest.approx(400 * 107 / 606, rel=0.12)


def test_a_line_under_the_signature_that_the_writer_drew_stays(signature):
    paths, _ = signature
    low, high = np.concatenate(paths).min(0), np.concatenate(paths).max(0)
    line = np.array([[low[0] - 20, high[1] + 60], [high[0] + 20, high[1] + 50]])
    ink = isolate_signature(open_image(photograph(page([*paths, line], ruling=70), shadow_px=60)))
    assert (ink[-round(0.15 * len(ink)) :] > 0.5).any(0).float().mean() > 0.9


def test_the_isolated_ink_is_cropped_and_400_px_long(signature):
    ink = isolate_signature(open_image(photograph(page(signature[0]))))
    assert max(ink.shape) == 400
    assert 0 <= ink.min() <= ink.max() <= 1
    for rim in (ink[:2], ink[-2:], ink[:, :2], ink[:, -2:]):
        assert rim.max() >= 0.5


def test_a_turn_is_levelled_wholly_by_rulings_and_half_without():
    wave = [np.stack([np.linspace(0, 600, 200), 40 * np.sin(np.linspace(0, 60, 200))], 1)]

    def slope(ink: torch.Tensor) -> float:
        rows, columns = (ink > 0.5).nonzero(as_tuple=True)
        return float(np.degrees(np.arctan(-np.polyfit(columns, rows, 1)[0])))

    plain = isolate_signature(open_image(photograph(page(wave), turn_deg=6)))
    ruled = isolate_signature(open_image(photograph(page(wave, ruling=80), turn_deg=6)))
    assert slope(isolate_signature(open_image(page(wave)))) == pytest.approx(0, abs=0.4)
    assert slope(plain) == pytest.approx(3, abs=0.7)
    assert slope(ruled) == pytest.approx(0, abs=0.7)


def blank(noise: float) -> Image.Image:
    values = np.random.default_rng(3).normal(230, noise, (300, 500))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("picture", [blank(3), page([], ruling=70)], ids=["noise", "rulings alone"])
def test_where_nobody_signed_the_sentence_says_so(picture):
    with pytest.raises(ImageError, match="No signature was found"):
        seen(picture)


def test_pictures_of_any_small_size_end_in_ink_or_a_sentence():
    generator = np.random.default_rng(4)
    for width, height in [(8, 8), (8, 160), (160, 8), (9, 30), (41, 17)]:
        for values in (
            generator.integers(0, 256, (height, width)),
            np.where(np.indices((height, width)).sum(0) % 7 < 2, 20, 240),
            np.pad(np.zeros((height - 4, width - 4)), 2, constant_values=255),
        ):
            try:
                picture = seen(Image.fromarray(values.astype(np.uint8)))
            except ImageError:
                continue
            assert picture.shape == (1, 105, 105)
            assert torch.isfinite(picture).all()


def test_a_signature_is_read_with_its_remarks_and_not_as_a_character(signature):
    reading = read_signature(page(signature[0]))
    assert torch.equal(reading.ink, isolate_signature(open_image(page(signature[0]))))
    assert reading.remarks == ()
    with pytest.raises(ValueError, match="use `verify`"):
        load_ink(page(signature[0]), SIGNATURE)

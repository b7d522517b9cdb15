"""Signatures on one sheet: where they lie, what is laid over what, and colours that everybody can tell apart."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from siamese.ui.pictures import (
    QUESTIONED_COLOUR,
    REFERENCE_COLOUR,
    SHEET_HEIGHT_PX,
    SHEET_WIDTH_PX,
    laid_over,
    layer_url,
    on_sheet,
)

PAPERS = {"light": (255, 253, 248), "dark": (228, 218, 200)}  # --blank of style.css
# Viénot, Brettel and Mollon (1999): linear RGB as protanopes and deuteranopes see it.
BLINDNESS = {
    "protan": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deutan": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


def luminance(colour) -> float:
    return float(np.dot([0.2126, 0.7152, 0.0722], linear(colour)))


def linear(colour) -> np.ndarray:
    share = np.asarray(colour) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(colour) -> np.ndarray:
    """CIE 1976 L*a*b* of linear sRGB, white point D65."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    share = np.clip(to_xyz @ colour / [0.9505, 1.0, 1.089], 0, None)
    x, y, z = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(a, b) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def scrawl(height: int, width: int) -> torch.Tensor:
    ink = torch.zeros(height, width)
    for step in np.linspace(0, 1, 2000):
        y = height * (0.5 + 0.38 * np.sin(9 * step) * (1 - 0.6 * step))
        x = width * (0.1 + 0.8 * step + 0.04 * np.sin(30 * step))
        ink[int(y) - 2 : int(y) + 2, int(x) - 2 : int(x) + 2] = 1
    return ink


def test_every_signature_has_one_place_and_extent():
    wide = torch.zeros(90, 300)
    wide[10:20, 50:250] = 1
    sheet = on_sheet(wide)
    rows, columns = sheet.nonzero(as_tuple=True)
    assert (columns.min(), columns.max()) == (14, SHEET_WIDTH_PX - 15)
    assert abs(int(rows.min() + rows.max()) - SHEET_HEIGHT_PX) <= 2
    tall = torch.zeros(90, 300)
    tall[5:85, 100:110] = 1
    rows, columns = on_sheet(tall).nonzero(as_tuple=True)
    assert (rows.min(), rows.max()) == (14, SHEET_HEIGHT_PX - 15)
    assert not on_sheet(torch.zeros(5, 5)).any()


@pytest.mark.parametrize(("down", "across", "scale"), [(0, 0, 1.0), (11, -17, 1.0), (-6, 23, 0.9), (3, 5, 1.1)])
def test_one_ink_is_brought_to_the_other(down, across, scale):
    still = on_sheet(scrawl(140, 300))
    height, width = round(SHEET_HEIGHT_PX * scale), round(SHEET_WIDTH_PX * scale)
    scaled = Image.fromarray((still * 255).to(torch.uint8).numpy()).resize((width, height), Image.Resampling.BILINEAR)
    sheet = Image.new("L", (SHEET_WIDTH_PX, SHEET_HEIGHT_PX))
    sheet.paste(scaled, ((SHEET_WIDTH_PX - width) // 2 + across, (SHEET_HEIGHT_PX - height) // 2 + down))
    moved = torch.from_numpy(np.array(sheet)) / 255

    def covered(ink: torch.Tensor) -> float:
        return float((ink * still).sum() / (ink.norm() * still.norm()))

    assert covered(laid_over(moved, still)) > 0.85
    if (down, across) != (0, 0):
        assert covered(moved) < 0.6


def test_no_ink_leaves_the_sheet():
    line = torch.zeros(40, 300)
    line[15:25, 5:295] = 1
    still, moved = torch.zeros(SHEET_HEIGHT_PX, SHEET_WIDTH_PX), on_sheet(line)
    still[2:20, 30:470] = 1
    assert laid_over(moved, still).sum() >= 0.7 * moved.sum()  # 0.85 of its width and height at the least
    tall = on_sheet(line.T)
    still[:, :] = 0
    still[:, 220:260] = 1
    assert laid_over(tall, still).sum() >= 0.7 * tall.sum()


def test_nothing_is_laid_over_nothing():
    empty = torch.zeros(SHEET_HEIGHT_PX, SHEET_WIDTH_PX)
    assert not laid_over(empty, empty).any()


def test_a_layer_is_ink_on_nothing():
    url = layer_url(torch.tensor([[0.0, 0.5, 1.0]]), (1, 2, 3))
    image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert list(image.get_flattened_data()) == [(1, 2, 3, 0), (1, 2, 3, 128), (1, 2, 3, 255)]


@pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
def test_the_two_colours_can_be_told_apart_by_everybody(paper):
    both = np.asarray(REFERENCE_COLOUR) * np.asarray(QUESTIONED_COLOUR) / 255
    for colour in (REFERENCE_COLOUR, QUESTIONED_COLOUR):
        assert contrast(colour, paper) >= 3
        assert contrast(colour, both) >= 2.5
    for seen in (np.eye(3), *map(np.asarray, BLINDNESS.values())):
        reference, questioned = (lab(seen @ linear(one)) for one in (REFERENCE_COLOUR, QUESTIONED_COLOUR))
        assert np.linalg.norm(reference - questioned) > 60  # a difference of 10 is seen at a glance

"""Pieces of handwriting on a page: where they are, and that several make nobody guess."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from siamese import find_signatures
from siamese.signatures.isolation import read_signature


def scribble(seed: int) -> list[tuple[float, float]]:
    """A joined line like a signature's, 260 px long and about 70 high."""
    generator = np.random.default_rng(seed)
    steps = np.linspace(0, 1, 90)
    waves = sum(generator.uniform(6, 16) * np.sin(steps * generator.uniform(15, 55) + phase) for phase in range(3))
    return list(zip((260 * steps + 12 * np.sin(40 * steps)).tolist(), waves.tolist(), strict=True))


def page(places: list[tuple[int, int]], size: tuple[int, int] = (800, 600)) -> Image.Image:
    sheet = Image.new("L", size, 250)
    draw = ImageDraw.Draw(sheet)
    for number, (x, y) in enumerate(places):
        draw.line([(x + a, y + b) for a, b in scribble(number)], fill=30, width=4, joint="curve")
    return sheet


def test_two_signatures_are_two_regions_and_a_doubt():
    sheet = page([(90, 140), (420, 450)])
    regions = find_signatures(sheet)
    assert len(regions) == 2
    middles = sorted(((one.left + one.right) / 2 * 800, (one.top + one.bottom) / 2 * 600) for one in regions)
    assert np.abs(np.array(middles) - [(220, 140), (550, 450)]).max() < 30
    assert all(0.5 <= one.score <= 1 for one in regions)
    assert "several_pieces" in [remark.code for remark in read_signature(sheet).remarks]


def test_one_signature_is_one_region_and_no_doubt():
    sheet = page([(250, 300)])
    assert len(find_signatures(sheet)) == 1
    assert not read_signature(sheet).is_doubtful


@pytest.mark.parametrize("level", [60, 140])
def test_regions_on_a_desk_are_told_in_the_photograph(level):
    desk = Image.new("L", (1200, 900), level)
    desk.paste(page([(250, 300)]), (300, 200))
    (region,) = find_signatures(desk)
    assert (region.left + region.right) / 2 * 1200 == pytest.approx(300 + 380, abs=20)
    assert (region.top + region.bottom) / 2 * 900 == pytest.approx(200 + 300, abs=20)

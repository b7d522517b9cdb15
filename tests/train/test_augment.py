"""Distortions: nothing where nothing is asked for, by hand where a number can be, and paper that stays paper."""

import pytest
import torch

from train.augment import Distortions, dihedral, distort, distort_copies, gaussian_blur
from train.pens import pen_layers

ALL = Distortions(
    rotation_deg=12.0, shear=0.25, log_scale=0.2, shift_px=3.0, elastic_px=2.0, pen_share=0.5, pen_broad=0.17
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def images():
    """Four drawings of a bar, an angle and two dots, well inside the picture."""
    made = torch.zeros(4, 1, 105, 105)
    made[:, :, 30:75, 40:44] = 1
    made[:, :, 70:74, 40:70] = 1
    made[:, :, 35:39, 60:64] = 1
    return made


@pytest.fixture
def blot():
    """One pixel row and column off the middle, so that every view differs."""
    made = torch.zeros(1, 1, 105, 105)
    made[0, 0, 30, 20] = 1
    return made


def centre(image: torch.Tensor) -> tuple[float, float]:
    rows, columns = image[0].sum(1), image[0].sum(0)
    place = torch.arange(105.0)
    return float((rows * place).sum() / rows.sum()), float((columns * place).sum() / columns.sum())


def test_zero_ranges_are_the_identity(images):
    assert not Distortions().any
    torch.testing.assert_close(distort(images, Distortions(), seeded(1)), images, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "field", ["rotation_deg", "shear", "log_scale", "shift_px", "elastic_px", "pen_share", "contrast", "noise"]
)
def test_each_range_alone_changes_each_drawing_in_its_own_way(field, images):
    share = field in ("pen_share", "contrast")
    ranges = Distortions(**{field: 1.0 if share else 5.0 if field.endswith(("deg", "px")) else 0.2})
    assert ranges.any
    made = distort(images, ranges, seeded(4))
    assert made.shape == images.shape
    assert all(not torch.allclose(made[i], images[i], atol=0.05) for i in range(4))
    assert all(not torch.allclose(made[i], made[j], atol=1e-3) for i in range(4) for j in range(i))


def test_paper_stays_0_and_ink_in_0_to_1(images):
    made = distort(images.repeat(16, 1, 1, 1), ALL, seeded(3))
    borders = torch.cat([made[..., 0, :], made[..., -1, :], made[..., :, 0], made[..., :, -1]])
    assert borders.abs().max() == 0
    assert 0 <= made.min() <= made.max() <= 1 + 1e-6


def test_what_leaves_the_picture_is_replaced_by_paper():
    made = distort(torch.ones(8, 1, 105, 105), Distortions(shift_px=30.0), seeded(4))
    assert bool((made.flatten(1) == 0).any(1).all())


@pytest.mark.parametrize("pen_broad", [0.1, 0.12, 0.3])
def test_a_blank_page_stays_blank(pen_broad):
    ranges = Distortions(pen_share=1.0, pen_broad=pen_broad)
    assert distort(torch.zeros(8, 1, 105, 105), ranges, seeded(5)).max() < 1e-6


def test_the_generator_alone_decides(images):
    first, again, other = (distort(images, ALL, seeded(seed)) for seed in (6, 6, 7))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_shifts_stay_in_their_range_and_fill_it(images):
    made = distort(images[:1].repeat(200, 1, 1, 1), Distortions(shift_px=3.0), seeded(8))
    before = centre(images[0])
    moved = torch.tensor([[a - b for a, b in zip(centre(m), before, strict=True)] for m in made])
    assert moved.abs().max() == pytest.approx(3, abs=0.1)
    assert moved.mean().item() == pytest.approx(0, abs=0.4)


def test_scales_lie_between_the_inverse_and_the_factor(images):
    made = distort(images[:1].repeat(200, 1, 1, 1), Distortions(log_scale=0.2), seeded(9))
    area = made.sum((1, 2, 3)) / images[0].sum()
    assert area.min() == pytest.approx(torch.e**-0.4, abs=0.1)
    assert area.max() == pytest.approx(torch.e**0.4, abs=0.15)


def test_a_share_of_components_leaves_some_drawings_alone(images):
    """Shifts by half the chance each: a quarter of the drawings is not moved at all."""
    ranges = Distortions(shift_px=3.0, component_share=0.5)
    made = distort(images[:1].repeat(400, 1, 1, 1), ranges, seeded(10))
    unmoved = (made - images[:1]).abs().amax((1, 2, 3)) < 1e-3
    assert unmoved.double().mean().item() == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 400) ** 0.5)


def test_pens_become_finer_and_broader(images):
    ranges = Distortions(pen_share=1.0, pen_broad=0.17, pen_fine=0.7)
    ink = distort(images[:1].repeat(64, 1, 1, 1), ranges, seeded(11)).sum((1, 2, 3)) / images[0].sum()
    assert ink.min() < 0.9
    assert ink.max() > 1.4


def test_fainter_ink_stays_within_its_share_and_fills_it(images):
    ink = distort(images[:1].repeat(64, 1, 1, 1), Distortions(contrast=0.6), seeded(12)).amax((1, 2, 3))
    assert 0.4 <= ink.min() < 0.45
    assert 0.95 < ink.max() <= 1


def test_noise_is_cut_off_at_paper_and_at_full_ink(images):
    rough = distort(images, Distortions(noise=0.2), seeded(13))
    assert rough.min() == 0
    assert rough.max() == 1
    paper = rough[images == 0]
    assert 0.02 < paper.mean() < 0.08  # half of a normal of 0.2 at most: 0.08 where all were the roughest


def test_the_blur_keeps_ink_away_from_the_borders():
    blur = gaussian_blur(105)
    torch.testing.assert_close(blur[20:-20].sum(1), torch.ones(65))
    # neighbours of a pixel at one standard deviation of 1.5 px: exp(-0.5 / 2.25) of the middle
    assert (blur[50, 51] / blur[50, 50]).item() == pytest.approx(0.800737, abs=1e-5)


def test_four_quarter_turns_and_two_mirrors_are_the_identity(images):
    whole = images
    for _ in range(4):
        whole = dihedral(whole, torch.tensor([1, 1, 1, 1]))
    assert torch.equal(whole, images)
    mirrored = dihedral(dihedral(images, torch.full((4,), 4)), torch.full((4,), 4))
    assert torch.equal(mirrored, images)
    assert torch.equal(dihedral(images, torch.zeros(4, dtype=torch.int64)), images)


@pytest.mark.parametrize("first", range(8))
@pytest.mark.parametrize("second", range(8))
def test_views_are_a_group(first, second, blot):
    """Mirror, then turn: m t^a m = t^-a, so (m^p t^a) then (m^q t^b) is m^(p+q) t^(b - a or b + a)."""
    a, b = first % 4, second % 4
    expected = (b - a if second >= 4 else b + a) % 4 + 4 * ((first >= 4) != (second >= 4))
    both = dihedral(dihedral(blot, torch.tensor([first])), torch.tensor([second]))
    assert torch.equal(both, dihedral(blot, torch.tensor([expected])))


def test_the_eight_views_all_differ_and_each_row_has_its_own(blot):
    views = dihedral(blot.repeat(8, 1, 1, 1), torch.arange(8))
    assert len(views.flatten(1).unique(dim=0)) == 8
    assert views[1, 0, 105 - 1 - 20, 30] == 1  # a quarter turn against the clock
    assert views[4, 0, 30, 105 - 1 - 20] == 1  # left and right exchanged


def test_copies_are_the_same_whenever_asked_for(images):
    ranges = Distortions(rotation_deg=10.0, shear=0.3, shift_px=2.0)
    together = distort_copies(images, ranges, torch.tensor([0, 7, 8, 7]), seed=1)
    alone = distort_copies(images[:1], ranges, torch.tensor([8]), seed=1)
    assert torch.equal(together[0], images[0])
    assert torch.equal(together[1], together[3])
    assert not torch.equal(together[1], together[2])
    assert torch.equal(together[2], alone[0])


def test_copies_differ_between_seeds(images):
    ranges = Distortions(rotation_deg=10.0, shift_px=2.0)
    one, other = (distort_copies(images[:1], ranges, torch.tensor([7]), seed) for seed in (1, 2))
    assert not torch.equal(one, other)


# Pens, and what else happens to ink


@pytest.fixture(scope="module")
def layers(images):
    return pen_layers((images * 255).to(torch.uint8)).float() / 255


def bar_width(image: torch.Tensor) -> float:
    """Ink across the bar, well away from its ends."""
    return float(image[0, 50, :55].sum())


@pytest.mark.parametrize("pen", [2.0, 6.0, 12.0])
def test_the_pen_asked_for_is_drawn(layers, pen):
    """The drawing is enlarged with its pen and so reduced again: by (80 - 6 + pen) / 80."""
    ranges = Distortions(redraw_share=1.0, redraw_from_px=pen, redraw_to_px=pen)
    made = distort(layers, ranges, seeded(20))
    assert made.shape == (4, 1, 105, 105)
    assert bar_width(made[0]) == pytest.approx(pen * 80 / (74 + pen), abs=0.8)


def test_a_share_of_the_drawings_keeps_its_pen(layers):
    made = distort(layers.repeat(16, 1, 1, 1), Distortions(redraw_share=0.5, redraw_from_px=9.0), seeded(21))
    widths = torch.tensor([bar_width(one) for one in made])
    kept = (widths - 4).abs() < 0.1
    assert 20 < int(kept.sum()) < 44
    assert widths[~kept].min() > 7


def test_pressure_makes_the_width_uneven(layers):
    ranges = Distortions(redraw_share=1.0, redraw_from_px=6.0, redraw_to_px=6.0, pressure=0.3)
    across = distort(layers[:1], ranges, seeded(22))[0, 0, 35:65, :55].sum(1)
    assert across.max() > 1.15 * across.min()


def test_the_smallest_part_may_be_lost(layers):
    made = distort(layers, Distortions(lost_share=1.0), seeded(23))
    assert made[:, :, 30:45, 56:68].max() == 0  # the dot
    torch.testing.assert_close(made[:, :, 30:75, 38:46], layers[:, :1, 30:75, 38:46], rtol=0, atol=1e-4)


def test_broken_ink_has_gaps_and_nothing_new(images):
    made = distort(images, Distortions(gap_share=1.0, gaps=0.5), seeded(24))
    assert (made <= images + 1e-4).all()
    assert 0.4 < float(made.sum() / images.sum()) < 0.99


def test_low_resolution_blurs(images):
    made = distort(images, Distortions(low_share=1.0, low_from_px=24.0, low_to_px=24.0), seeded(25))
    assert float(made[0, 0, 50].max()) < 0.95
    torch.testing.assert_close(made.sum((1, 2, 3)), images.sum((1, 2, 3)), rtol=0.05, atol=0)


def test_a_crop_cuts_one_side_and_brings_the_rest_to_the_middle():
    """A square of 80 px less a strip: the strip's width is missing, half on each side."""
    square = torch.zeros(64, 1, 105, 105)
    square[:, :, 12:92, 12:92] = 1
    made = distort(square, Distortions(crop_share=1.0, crop_px=20.0), seeded(26))
    sides = torch.stack([made[:, 0, 52].sum(1), made[:, 0, :, 52].sum(1)]).sort(0).values
    assert (sides[1] - 80).abs().max() < 0.01
    assert 60 <= sides[0].min() < 66
    assert sides[0].max() > 74
    assert (torch.tensor([centre(one) for one in made]) - 51.5).abs().max() < 1


@pytest.mark.parametrize(
    "ranges",
    [
        {"redraw_share": 1.2},
        {"redraw_from_px": 0.5},
        {"redraw_from_px": 5.0, "redraw_to_px": 4.0},
        {"redraw_to_px": 30.0},
        {"pressure": -0.1},
        {"gaps": 2.0},
        {"low_from_px": 4.0},
        {"low_to_px": 200.0},
        {"crop_px": 50.0},
    ],
)
def test_ranges_that_cannot_be(ranges):
    with pytest.raises(ValueError, match=next(iter(ranges))):
        Distortions(**ranges)

"""Bringing ink to one centre and extent, by hand-computed boxes."""

import pytest
import torch

from siamese.preprocessing import (
    SIGNATURE,
    Preprocessing,
    ink_box,
    outline_width_px,
    pen_width_px,
    prepare_ink,
)


def rectangle(height: int, width: int, top: int, left: int, bottom: int, right: int) -> torch.Tensor:
    """Ink 1 from `top`, `left` up to, without, `bottom`, `right`."""
    ink = torch.zeros(height, width)
    ink[top:bottom, left:right] = 1
    return ink


def test_the_box_ends_behind_the_last_ink():
    assert ink_box(rectangle(105, 105, 20, 30, 61, 45)) == (20, 30, 61, 45)


def test_blur_is_not_ink():
    ink = rectangle(20, 20, 5, 5, 10, 10)
    ink[2, 2], ink[15, 15] = 0.24, 0.25
    assert ink_box(ink) == (5, 5, 16, 16)


@pytest.mark.parametrize("ink", [torch.zeros(105, 105), torch.full((30, 40), 0.2)])
def test_empty_ink_is_refused(ink):
    assert ink_box(ink) is None
    with pytest.raises(ValueError, match="no ink"):
        prepare_ink(ink, Preprocessing())


@pytest.mark.parametrize("size", [(105, 105), (300, 200), (50, 400)])
def test_the_longer_side_becomes_80_px_in_the_middle(size):
    """40 x 20 becomes 80 x 40: rows (105 - 80) // 2 = 12 to 92, columns (105 - 40) // 2 = 32 to 72."""
    made = prepare_ink(rectangle(*size, 5, 20, 45, 40), Preprocessing())
    assert made.shape == (1, 105, 105)
    assert torch.equal(made[0], rectangle(105, 105, 12, 32, 92, 72))


def test_large_ink_is_scaled_down_with_its_aspect():
    """120 x 240 at a third: 40 x 80."""
    made = prepare_ink(rectangle(300, 400, 100, 50, 220, 290), Preprocessing())
    torch.testing.assert_close(made[0], rectangle(105, 105, 32, 12, 72, 92), rtol=0, atol=1e-6)


def test_another_extent():
    """10 x 20 at 5 times: 50 x 100, rows 27 to 77, columns 2 to 102."""
    made = prepare_ink(rectangle(105, 105, 0, 0, 10, 20), Preprocessing(extent_px=100))
    assert torch.equal(made[0], rectangle(105, 105, 27, 2, 77, 102))


def test_without_aspect_both_sides_become_the_extent():
    made = prepare_ink(rectangle(105, 105, 5, 20, 45, 40), Preprocessing(keep_aspect=False))
    assert torch.equal(made[0], rectangle(105, 105, 12, 12, 92, 92))


def test_a_hair_line_keeps_a_pixel():
    made = prepare_ink(rectangle(2000, 10, 0, 4, 2000, 5), Preprocessing())
    assert ink_box(made[0]) == (12, 52, 92, 53)


def test_where_ink_stands_in_its_frame_does_not_matter():
    ink = (torch.rand(30, 50, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    ink[0, 0] = ink[-1, -1] = 1
    near, far = torch.zeros(105, 105), torch.zeros(400, 300)
    near[:30, :50], far[300:330, 200:250] = ink, ink
    assert torch.equal(prepare_ink(near, Preprocessing()), prepare_ink(far, Preprocessing()))


def test_extent_0_leaves_an_omniglot_frame_as_it_is():
    ink = (torch.rand(105, 105, generator=torch.Generator().manual_seed(1)) < 0.1).float()
    assert torch.equal(prepare_ink(ink, Preprocessing(extent_px=0))[0], ink)


def test_extent_0_fits_another_frame_into_the_picture():
    """A frame of 210 x 100 at a half: 105 x 50, columns 27 to 77."""
    made = prepare_ink(torch.ones(210, 100), Preprocessing(extent_px=0))
    assert torch.equal(made[0], rectangle(105, 105, 0, 27, 105, 77))


def test_values_stay_in_0_to_1():
    ink = torch.rand(37, 91, generator=torch.Generator().manual_seed(2))
    made = prepare_ink(ink, Preprocessing())
    assert 0 <= made.min() <= made.max() <= 1


@pytest.mark.parametrize("extent", [7, 106, -1])
def test_an_extent_out_of_range_is_refused(extent):
    with pytest.raises(ValueError, match=f"extent_px is {extent}, must be 0 or lie in 8 to 105"):
        Preprocessing(extent_px=extent)


@pytest.mark.parametrize(("power", "height"), [(0.5, 40), (1.0, 20), (0.25, 57)])
def test_a_power_gives_low_ink_more_height(power, height):
    """A box of 1 : 4 at an extent of 80: 80 x (1 / 4) ** power rows, 80 columns."""
    made = prepare_ink(rectangle(100, 100, 5, 5, 25, 85), Preprocessing(aspect_power=power))
    top, left = (105 - height) // 2, 12
    assert torch.equal(made[0], rectangle(105, 105, top, left, top + height, 92))


def cross(pen: int, height: int = 121, width: int = 361) -> torch.Tensor:
    """Two strokes that cross in the middle of their box, drawn with a square pen."""
    ink = torch.zeros(height + 40, width + 40)
    half = pen // 2
    ink[20 + height // 2 - half : 20 + height // 2 + half + 1, 20 - half : 20 + width + half] = 1
    ink[20 - half : 20 + height + half, 20 + width // 2 - half : 20 + width // 2 + half + 1] = 1
    return ink


def test_a_pen_draws_the_lines_again_whatever_pen_drew_them():
    preprocessing = Preprocessing(extent_px=90, pen_px=2.0)
    thin, thick = (prepare_ink(cross(pen), preprocessing)[0] for pen in (3, 9))
    assert (thin - thick).abs().sum() < 0.1 * thin.sum()
    assert ink_box(thin) == pytest.approx((37, 7, 68, 98), abs=1)  # 120 : 360 of 88 px, and 2 px of pen


def test_a_pen_and_a_power():
    made = prepare_ink(cross(5), Preprocessing(extent_px=90, pen_px=2.0, aspect_power=0.5))[0]
    top, left, bottom, right = ink_box(made)
    assert right - left == pytest.approx(90, abs=1)
    assert bottom - top == pytest.approx(88 / 3**0.5 + 2, abs=1)


def test_with_a_spread_a_tail_moves_nothing_but_itself():
    """By its box a signature with a long tail shrinks to half; by its mass it stays about as large as without."""
    block = torch.zeros(200, 420)
    block[50:150:10, 10:210] = 1
    block[50:150, 10:210:20] = 1
    tailed = block.clone()
    tailed[100, 210:420] = 1
    by_box, by_mass = Preprocessing(extent_px=90, pen_px=2.0), Preprocessing(extent_px=90, pen_px=2.0, spread=3.5)

    def width_of_block(ink: torch.Tensor, preprocessing: Preprocessing) -> float:
        dense = prepare_ink(ink, preprocessing)[0].sum(0) > 12
        return float(dense.sum())

    assert width_of_block(tailed, by_box) < 0.6 * width_of_block(block, by_box)
    assert width_of_block(tailed, by_mass) > 0.7 * width_of_block(block, by_mass)


def test_a_spread_by_hand():
    """Two dots 100 apart have a deviation of 50 each: at a spread of 4, 90 px hold 200, so they stand 45 px apart."""
    ink = torch.zeros(20, 140)
    ink[10, 20] = ink[10, 120] = 1
    made = prepare_ink(ink, Preprocessing(extent_px=90, pen_px=2.0, spread=4.0))[0]
    columns = (made.sum(0) > 0).nonzero().flatten()
    left, right = columns[columns < 52].float().mean(), columns[columns > 52].float().mean()
    assert float(right - left) == pytest.approx(45, abs=1)
    assert float(right + left) / 2 == pytest.approx(52, abs=0.7)


@pytest.mark.parametrize("preprocessing", [SIGNATURE, Preprocessing(extent_px=90, pen_px=2.0, spread=4.0)])
@pytest.mark.parametrize("ink", [torch.zeros(50, 60), torch.full((50, 60), 0.2)])
def test_a_pen_finds_no_line_where_there_is_no_ink(ink, preprocessing):
    with pytest.raises(ValueError, match="no ink"):
        prepare_ink(ink, preprocessing)


@pytest.mark.parametrize("spread", [0.0, 3.6])
def test_a_single_dot_stands_in_the_middle(spread):
    ink = torch.zeros(30, 40)
    ink[3, 4] = 1
    made = prepare_ink(ink, Preprocessing(extent_px=90, pen_px=2.0, spread=spread))[0]
    assert made.sum() > 1
    assert made[50:55, 50:55].sum() == made.sum()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "face"}, "kind is 'face', must be one of character, signature"),
        ({"aspect_power": 0.0}, "aspect_power is 0.0, must lie above 0"),
        ({"aspect_power": 1.5}, "aspect_power is 1.5"),
        ({"pen_px": 0.5}, "pen_px is 0.5, must be 0 or lie in 1 to 8"),
        ({"pen_px": 2.0, "spread": 1.0}, "spread is 1.0, must be 0 or"),
        ({"spread": 3.0}, "spread is 3.0, must be 0 or, with a pen_px"),
        ({"extent_px": 0, "pen_px": 2.0}, "extent_px is 0, which leaves ink in its frame"),
    ],
)
def test_what_does_not_go_together_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        Preprocessing(**fields)


def test_a_checkpoint_for_signatures_says_so():
    assert SIGNATURE.as_dict()["kind"] == "signature"
    assert Preprocessing(**SIGNATURE.as_dict()) == SIGNATURE
    assert Preprocessing().kind == "character"


def test_as_dict_makes_the_same_again():
    preprocessing = Preprocessing(extent_px=70, keep_aspect=False)
    assert Preprocessing(**preprocessing.as_dict()) == preprocessing


def angle(pen: int, side: int) -> torch.Tensor:
    """An L of two strokes as long as the picture's side, cropped to its box."""
    ink = torch.zeros(side, side)
    ink[:, :pen] = 1
    ink[-pen:] = 1
    return ink


@pytest.mark.parametrize("pen", [1, 2, 4, 8])
def test_the_pen_is_measured_at_the_extent(pen):
    """A pen of `pen` in a box of 160 becomes half as wide at an extent of 80."""
    assert pen_width_px(angle(pen, 160), 80) == pytest.approx(pen / 2, rel=0.1)


def test_a_large_picture_has_the_pen_of_a_small_one():
    assert pen_width_px(angle(12, 720), 80) == pytest.approx(pen_width_px(angle(4, 240), 80), rel=0.05)


def test_a_slanting_line_is_as_wide_as_a_straight_one():
    place = torch.arange(200.0)
    slanting = ((place[:, None] - place[None]).abs() / 2**0.5 <= 3).float()
    assert pen_width_px(slanting, 80) == pytest.approx(6 * 80 / 200, rel=0.1)


def test_the_width_by_the_outline():
    assert outline_width_px(torch.ones(4, 200)) == pytest.approx(2 * 800 / (2 * 204 * torch.pi / 4), rel=1e-4)


HAIRLINES = Preprocessing(redraw_below_px=2.0, redraw_pen_px=3.0)


@pytest.mark.parametrize("pen", [1, 2, 3])
def test_hairlines_are_drawn_again(pen):
    """Whatever the fine pen was, of 0.5 to 1.5 px at the extent, the network sees one of 3 px."""
    made = prepare_ink(angle(pen, 160), HAIRLINES)
    top, left, bottom, right = ink_box(made[0])
    assert pen_width_px(made[0, top:bottom, left:right], max(bottom - top, right - left)) == pytest.approx(3, rel=0.1)
    assert bottom - top == right - left == pytest.approx(80, abs=1)


@pytest.mark.parametrize("pen", [6, 10, 30])
def test_other_pens_stay_as_they_are(pen):
    ink = angle(pen, 160)
    assert torch.equal(prepare_ink(ink, HAIRLINES), prepare_ink(ink, Preprocessing()))


def test_faint_hairlines_hang_together():
    """Of a slanting hairline that no pixel holds whole, one line comes out."""
    place = torch.arange(100.0)
    faint = (1 - (place[:, None] * 0.37 + 5 - place[None]).abs()).clamp(0, 1) * 0.6
    made = prepare_ink(faint, HAIRLINES)[0]
    for axis in (0, 1):
        inked = (made > 0.5).any(axis).nonzero().flatten()
        assert len(inked) == int(inked[-1] - inked[0]) + 1


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"redraw_below_px": 9.0}, "redraw_below_px is 9.0"),
        ({"redraw_pen_px": 0.5}, "redraw_pen_px is 0.5"),
        ({"redraw_below_px": 2.0, "pen_px": 2.0}, "needs an extent_px above 0 and a pen_px of 0"),
        ({"redraw_below_px": 2.0, "extent_px": 0}, "needs an extent_px above 0 and a pen_px of 0"),
    ],
)
def test_a_redrawing_that_cannot_be(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        Preprocessing(**fields)

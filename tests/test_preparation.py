"""Bringing ink to one centre and extent, by hand-computed boxes."""

import pytest
import torch

from siamese.preparation import Preparation, ink_box, prepare_ink


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
        prepare_ink(ink, Preparation())


@pytest.mark.parametrize("size", [(105, 105), (300, 200), (50, 400)])
def test_the_longer_side_becomes_80_px_in_the_middle(size):
    """40 x 20 becomes 80 x 40: rows (105 - 80) // 2 = 12 to 92, columns (105 - 40) // 2 = 32 to 72."""
    made = prepare_ink(rectangle(*size, 5, 20, 45, 40), Preparation())
    assert made.shape == (1, 105, 105)
    assert torch.equal(made[0], rectangle(105, 105, 12, 32, 92, 72))


def test_large_ink_is_scaled_down_with_its_aspect():
    """120 x 240 at a third: 40 x 80."""
    made = prepare_ink(rectangle(300, 400, 100, 50, 220, 290), Preparation())
    torch.testing.assert_close(made[0], rectangle(105, 105, 32, 12, 72, 92), rtol=0, atol=1e-6)


def test_another_extent():
    """10 x 20 at 5 times: 50 x 100, rows 27 to 77, columns 2 to 102."""
    made = prepare_ink(rectangle(105, 105, 0, 0, 10, 20), Preparation(extent_px=100))
    assert torch.equal(made[0], rectangle(105, 105, 27, 2, 77, 102))


def test_without_aspect_both_sides_become_the_extent():
    made = prepare_ink(rectangle(105, 105, 5, 20, 45, 40), Preparation(keep_aspect=False))
    assert torch.equal(made[0], rectangle(105, 105, 12, 12, 92, 92))


def test_a_hair_line_keeps_a_pixel():
    made = prepare_ink(rectangle(2000, 10, 0, 4, 2000, 5), Preparation())
    assert ink_box(made[0]) == (12, 52, 92, 53)


def test_where_ink_stands_in_its_frame_does_not_matter():
    ink = (torch.rand(30, 50, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    ink[0, 0] = ink[-1, -1] = 1
    near, far = torch.zeros(105, 105), torch.zeros(400, 300)
    near[:30, :50], far[300:330, 200:250] = ink, ink
    assert torch.equal(prepare_ink(near, Preparation()), prepare_ink(far, Preparation()))


def test_extent_0_leaves_an_omniglot_frame_as_it_is():
    ink = (torch.rand(105, 105, generator=torch.Generator().manual_seed(1)) < 0.1).float()
    assert torch.equal(prepare_ink(ink, Preparation(extent_px=0))[0], ink)


def test_extent_0_fits_another_frame_into_the_picture():
    """A frame of 210 x 100 at a half: 105 x 50, columns 27 to 77."""
    made = prepare_ink(torch.ones(210, 100), Preparation(extent_px=0))
    assert torch.equal(made[0], rectangle(105, 105, 0, 27, 105, 77))


def test_values_stay_in_0_to_1():
    ink = torch.rand(37, 91, generator=torch.Generator().manual_seed(2))
    made = prepare_ink(ink, Preparation())
    assert 0 <= made.min() <= made.max() <= 1


@pytest.mark.parametrize("extent", [7, 106, -1])
def test_an_extent_out_of_range_is_refused(extent):
    with pytest.raises(ValueError, match=f"extent_px is {extent}, must be 0 or lie in 8 to 105"):
        Preparation(extent_px=extent)


def test_as_dict_makes_the_same_again():
    preparation = Preparation(extent_px=70, keep_aspect=False)
    assert Preparation(**preparation.as_dict()) == preparation

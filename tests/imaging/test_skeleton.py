"""Thinning and drawing again, by shapes whose middle lines are known."""

import math

import cv2
import numpy as np
import pytest
import torch

from siamese.imaging.ink import connected
from siamese.imaging.skeleton import render_strokes, skeleton_length_px, skeletonize


def mask(*rows: str) -> torch.Tensor:
    return torch.tensor([[cell == "#" for cell in row] for row in rows])


def scribble(seed: int) -> torch.Tensor:
    """Random shapes with holes: noise, blurred and cut at its middle."""
    noise = torch.rand(1, 1, 60, 80, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(noise, 7, 1, 3)[0, 0] > 0.5


@pytest.mark.parametrize("seed", range(4))
def test_the_lines_are_those_of_opencv(seed):
    ink = scribble(seed)
    padded = np.pad(ink.numpy().astype(np.uint8) * 255, 1)  # OpenCV leaves the rim of a picture as it is
    expected = cv2.ximgproc.thinning(padded, thinningType=cv2.ximgproc.THINNING_GUOHALL)[1:-1, 1:-1] > 0
    assert np.array_equal(skeletonize(ink).numpy(), expected)


def test_lengths_by_hand():
    assert skeleton_length_px(mask("#####")) == 5  # four steps, but five pixels
    assert skeleton_length_px(torch.eye(11, dtype=torch.bool)) == pytest.approx(10 * 2**0.5)
    assert skeleton_length_px(mask("#..", "#..", "###")) == 5
    assert skeleton_length_px(mask("##.", ".##")) == 4  # round the corner, not across it too
    assert skeleton_length_px(mask("...", ".#.")) == 1


def test_a_bar_becomes_its_middle_line():
    bar = torch.zeros(9, 30, dtype=torch.bool)
    bar[3:6, 5:25] = True
    lines = skeletonize(bar)
    rows, columns = lines.nonzero(as_tuple=True)
    assert set(rows.tolist()) == {4}
    assert columns.tolist() == list(range(int(columns[0]), int(columns[-1]) + 1))
    assert columns[0] <= 7
    assert columns[-1] >= 22


def test_a_line_stays_as_it_is():
    line = mask("#......", ".#.....", "..###..", ".....#.")
    assert torch.equal(skeletonize(line), line)


def test_a_ring_stays_a_ring():
    y, x = torch.meshgrid(torch.arange(31) - 15, torch.arange(31) - 15, indexing="ij")
    radius = (x * x + y * y).double().sqrt()
    lines = skeletonize((radius > 8) & (radius < 13))
    assert connected(lines.numpy())[0].max() == 1
    assert connected(np.pad(~lines.numpy(), 1, constant_values=True))[0].max() >= 1
    inside, outside = ~lines & (radius < 8), ~lines & (radius > 13)
    assert inside.sum() == (radius < 8).sum()
    assert outside.sum() == (radius > 13).sum()
    assert lines.sum() < 2 * math.pi * 13


@pytest.mark.parametrize("seed", range(4))
def test_what_hung_together_still_does_and_nothing_is_added(seed):
    before = scribble(seed)
    after = skeletonize(before)
    labels = connected(before.numpy())[0]
    assert not (after & ~before).any()
    assert connected(after.numpy())[0].max() == labels.max()
    assert set(labels[after.numpy()].tolist()) == set(range(1, labels.max() + 1))
    assert torch.equal(skeletonize(after), after)


def test_ink_at_the_rim_and_nothing_at_all():
    assert skeletonize(torch.ones(5, 12, dtype=torch.bool)).any()
    assert not skeletonize(torch.zeros(5, 12, dtype=torch.bool)).any()


def test_a_drawn_line_has_the_width_of_the_pen_whatever_the_scale():
    """A line of 21 pixels, 40 px long and 3 px wide with round ends: 40 x 3 + pi 1.5^2 = 127.1 px of ink."""
    line = torch.zeros(5, 30, dtype=torch.bool)
    line[2, 4:25] = True
    picture = render_strokes(line, (2.0, 14.0), (7.0, 2.0), 105, 3.0)
    assert picture.shape == (105, 105)
    assert picture.sum() == pytest.approx(40 * 3 + math.pi * 1.5**2, rel=0.12)
    across = picture[:, 52]
    assert across.sum() == pytest.approx(3, abs=0.4)
    assert torch.all(picture.sum(0)[33:72] > 2.5)
    assert abs(float((across * torch.arange(105)).sum() / across.sum()) - 52) <= 0.5


@pytest.mark.parametrize("pen", [1.0, 2.0, 4.5])
def test_a_dot_is_a_disc_in_the_middle(pen):
    dot = torch.zeros(3, 3, dtype=torch.bool)
    dot[1, 1] = True
    picture = render_strokes(dot, (1.0, 1.0), (3.0, 3.0), 105, pen)
    assert picture.sum() == pytest.approx(math.pi * pen * pen / 4, rel=0.6 if pen == 1 else 0.3)
    assert picture[48:57, 48:57].sum().item() == pytest.approx(picture.sum().item())


def test_what_lies_beyond_the_picture_is_cut_off():
    line = torch.zeros(3, 50, dtype=torch.bool)
    line[1] = True
    picture = render_strokes(line, (1.0, 0.0), (10.0, 10.0), 105, 2.0)
    assert torch.all(picture[:, 60:].sum(0) > 1)
    assert picture[:, :50].sum() == 0


def test_lines_wholly_beyond_the_picture_leave_it_white():
    line = torch.zeros(3, 50, dtype=torch.bool)
    line[1, :3] = True
    assert render_strokes(line, (1.0, 40.0), (10.0, 10.0), 105, 2.0).sum() == 0


def test_a_diagonal_has_no_gaps_when_enlarged():
    picture = render_strokes(torch.eye(12, dtype=torch.bool), (5.5, 5.5), (8.0, 8.0), 105, 2.0)
    labels = connected(picture.numpy() > 0.3)[0]
    assert labels.max() == 1
    assert np.ptp(labels.nonzero()[0]) > 85


def test_no_line_is_refused():
    with pytest.raises(ValueError, match="no ink"):
        render_strokes(torch.zeros(4, 4, dtype=torch.bool), (2.0, 2.0), (1.0, 1.0), 105, 2.0)

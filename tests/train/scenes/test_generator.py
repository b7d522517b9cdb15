from functools import cache

import numpy as np
import pytest

from train.scenes.generator import FORMS, KINDS, draw_scene


def writing() -> np.ndarray:
    """A cross with a tail: 105 x 105, ink 1."""
    ink = np.zeros((105, 105), dtype=np.float32)
    ink[50:54, 20:80] = 1
    ink[20:90, 48:52] = 1
    ink[86:90, 48:70] = 1
    return ink


def drawn(kind: str, strength: float = 0.5, seed: int = 3) -> np.ndarray:
    return np.asarray(draw_scene(kind, writing(), strength, np.random.default_rng(seed)), dtype=np.float32)


scene = cache(drawn)  # a scene takes a tenth of a second, and several tests look at the same


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_depends_on_the_seed_alone(kind):
    one, other = scene(kind, 1.0), drawn(kind, 1.0, seed=4)
    np.testing.assert_array_equal(drawn(kind, 1.0), one)
    assert other.shape != one.shape or (other != one).any()


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"clean", "jpeg"}))
def test_strength_changes_the_trouble(kind):
    weak, strong = scene(kind, 0.1), scene(kind, 1.0)
    assert weak.shape != strong.shape or np.abs(weak - strong).max() > 20


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"clean", "jpeg", "shadow", "perspective"}))
def test_trouble_adds_to_a_clean_sheet(kind):
    clean, troubled = scene("clean", 1.0), scene(kind, 1.0)
    assert clean.shape != troubled.shape or np.abs(clean - troubled).max() > 30


def test_a_clean_scene_is_the_writing_on_light_paper():
    grey = scene("clean").mean(axis=2)
    ink = grey < 130
    rows, columns = np.nonzero(ink)
    assert np.median(grey) > 220
    assert (np.ptp(rows) + 1) / (np.ptp(columns) + 1) == pytest.approx(70 / 60, abs=0.05)


@pytest.mark.parametrize("kind", FORMS)
def test_print_never_covers_the_pen(kind):
    """Where the clean sheet is darkest, the form is dark, too."""
    clean, form = scene("clean"), scene(kind)
    pen = clean.mean(axis=2) < 90
    assert form.mean(axis=2)[pen].mean() < 110


@pytest.mark.parametrize(
    ("kind", "strength", "sentence"),
    [("moon", 0.5, "There is no scene 'moon'"), ("frame", 1.5, "The strength is 1.5, must lie in 0 to 1.")],
)
def test_what_cannot_be_drawn_is_said(kind, strength, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw_scene(kind, writing(), strength, np.random.default_rng(0))


def test_writing_without_ink_is_refused():
    with pytest.raises(ValueError, match="no ink"):
        draw_scene("clean", np.zeros((20, 20)), 0.5, np.random.default_rng(0))

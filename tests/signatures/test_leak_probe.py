"""Statistics by hand; and a probe that must be able to fail."""

import io
import os

import numpy as np
import pytest
import torch
from PIL import Image

from siamese.signatures.dataset import Signatures, load_signatures, prepare_files
from siamese.signatures.image_statistics import STATISTICS, image_statistics
from siamese.signatures.leak_probe import leak_probe, pair_leak_probe
from siamese.signatures.synthetic import synthetic_files
from tests.hostile import encoded

REAL = os.environ.get("ONE_LOOK_SIGNATURES")


@pytest.fixture(scope="module")
def expected() -> Signatures:
    return prepare_files(dict(synthetic_files(writers=3, genuine=3, forgeries=2, seed=21)))


def test_statistics_by_hand():
    """Ink of 200 on paper of 30: a bar of 4 x 20 px has 80 px and an outline of 48; pi / 4 of that counts."""
    picture = np.full((40, 50), 30, dtype=np.uint8)
    picture[10:14, 20:40] = 200
    background, darkness, width, size, aspect = image_statistics(picture).tolist()
    assert (background, darkness, size, aspect) == (30, 200, 80, 5)
    assert width == pytest.approx(2 * 80 / (48 * np.pi / 4))


@pytest.mark.parametrize("level", [0, 7, 255])
def test_statistics_of_an_even_image_are_numbers(level):
    assert np.isfinite(image_statistics(np.full((20, 30), level, dtype=np.uint8))).all()


def leaking(files: dict[str, bytes]) -> dict[str, bytes]:
    """Forgeries scanned on lighter paper than genuine signatures, as in CEDAR."""
    made = {}
    for path, content in files.items():
        values = np.asarray(Image.open(io.BytesIO(content))).astype(float)
        paper = np.median(values)
        target = 240 if "genuine" in path else 252
        ink = ((paper - values) / paper).clip(0, 1)
        made[path] = encoded(Image.fromarray((target * (1 - ink)).astype(np.uint8)), "PNG")
    return made


@pytest.mark.slow
def test_the_probe_fails_on_raw_images_that_leak_and_passes_on_prepared_ones():
    signatures = prepare_files(leaking(dict(synthetic_files(writers=8, genuine=3, forgeries=3, seed=3))))
    raw, prepared = leak_probe(signatures, raw=True), leak_probe(signatures)
    assert tuple(raw) == tuple(prepared) == STATISTICS
    assert raw["background"] == 1.0
    assert prepared["background"] == 0.5
    for name in ("ink_darkness", "stroke_width", "ink_size"):
        assert 0.25 < prepared[name] < 0.75  # of 48 images; a standard deviation is 0.08
    assert pair_leak_probe(signatures, raw=True)["background"] > 0.95
    assert pair_leak_probe(signatures)["background"] == 0.5


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ink_darkness", lambda image: image // 2),
        ("stroke_width", lambda image: np.asarray(Image.fromarray(image).resize((50, 50)).resize((105, 105)))),
        ("ink_size", lambda image: np.where(np.arange(105)[None] < 52, image, 0).astype(np.uint8)),
        ("aspect_ratio", lambda image: np.asarray(Image.fromarray(image).resize((105, 40)))),
    ],
)
def test_each_probe_sees_what_it_is_made_for(expected, name, change):
    images = expected.images.numpy().copy()
    for row in torch.nonzero(~expected.genuine).flatten().tolist():
        changed = change(images[row, 0])
        images[row, 0] = 0
        images[row, 0, : changed.shape[0], : changed.shape[1]] = changed
    leaky = Signatures(**{**vars(expected), "images": torch.from_numpy(images)})
    assert abs(leak_probe(leaky)[name] - 0.5) > 0.35


def test_the_probe_needs_both_kinds(expected):
    with pytest.raises(ValueError, match="both kinds"):
        leak_probe(expected.take(expected.genuine))


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="ONE_LOOK_SIGNATURES names no archive")
def test_on_a_real_data_set_nothing_but_the_aspect_ratio_tells():
    signatures = load_signatures(str(REAL), progress=False)
    probe = leak_probe(signatures)
    assert all(0.4 <= probe[name] <= 0.6 for name in STATISTICS[:-1]), probe
    assert max(abs(value - 0.5) for value in leak_probe(signatures, raw=True).values()) > 0.1

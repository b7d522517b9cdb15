"""Signatures drawn on the spot: the same from the same seed, fluent by their writer and copied by others."""

import io
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from siamese.data.pen_strokes import synthetic_hand
from siamese.preprocessing import SIGNATURE
from siamese.signatures.dataset import synthetic_signatures
from siamese.signatures.image_statistics import STATISTICS, image_statistics
from siamese.signatures.synthetic import (
    forge,
    invent_signature,
    sign,
    signature_picture,
    synthetic_files,
)


@pytest.fixture(scope="module")
def signatures():
    return synthetic_signatures(writers=4, genuine=4, forgeries=4, seed=11)


def test_the_same_seed_writes_the_same_files():
    assert dict(synthetic_files(2, 2, 1, seed=5)) == dict(synthetic_files(2, 2, 1, seed=5))
    assert dict(synthetic_files(2, 2, 1, seed=5)) != dict(synthetic_files(2, 2, 1, seed=6))


def test_a_writer_s_files_do_not_depend_on_how_many_writers_there_are():
    alone = dict(synthetic_files(1, 2, 1, seed=5))
    assert dict(islice(synthetic_files(3, 2, 1, seed=5), 3)) == alone


def test_files_are_named_as_a_data_set_s():
    assert [path for path, _ in synthetic_files(2, 2, 1, seed=5)] == [
        *("01/genuine_01.png", "01/genuine_02.png", "01/forgery_01.png"),
        *("02/genuine_01.png", "02/genuine_02.png", "02/forgery_01.png"),
    ]


@pytest.mark.parametrize("counts", [(0, 1, 1), (1, 0, 1), (1, 1, -1)])
def test_counts_that_make_no_data_set_are_refused(counts):
    with pytest.raises(ValueError, match="make no data set"):
        next(synthetic_files(*counts, seed=1))


def test_a_picture_looks_like_a_scan():
    for _, content in synthetic_files(3, 1, 1, seed=8):
        picture = Image.open(io.BytesIO(content))
        assert picture.mode == "L"
        assert 100 < picture.width < 1500
        assert 80 < picture.height < 800
        values = np.asarray(picture)
        assert np.median(values) > 200
        assert values.min() < 130
        ink = np.argwhere(values < 150)
        assert ink.min() >= 5  # margins on all sides
        assert (ink.max(0) < np.array(values.shape) - 5).all()


def test_the_data_set_has_rows_by_writer_genuine_ones_first(signatures):
    assert signatures.writer_names == tuple(f"{number:02d}" for number in range(1, 5))
    assert signatures.writer.tolist() == [writer for writer in range(4) for _ in range(8)]
    assert signatures.genuine.tolist() == ([True] * 4 + [False] * 4) * 4
    assert len(set(signatures.sha256)) == 32
    assert signatures.images.shape == (32, 1, 105, 105)


def test_writers_differ_more_than_signatures_and_forgeries_lie_between(signatures):
    """Seen through a blur, a genuine signature is nearest to its writer's, then to a forgery, then to another's."""
    looks = F.avg_pool2d(signatures.images.float(), 9, 3).flatten(1)
    looks = looks / looks.norm(dim=1, keepdim=True)
    alike = looks @ looks.T
    same_writer = signatures.writer[:, None] == signatures.writer[None]
    both = signatures.genuine[:, None] & signatures.genuine[None] & ~torch.eye(len(signatures), dtype=torch.bool)
    forged = signatures.genuine[:, None] & ~signatures.genuine[None]
    own, skilled, random = (
        float(alike[mask].mean()) for mask in (both & same_writer, forged & same_writer, both & ~same_writer)
    )
    assert own > skilled + 0.02
    assert skilled > random + 0.05


def trembling(paths: list[np.ndarray]) -> float:
    """Mean size of the third differences along the paths, in pixels: what is left when straights and bends are gone."""
    return float(np.concatenate([np.abs(np.diff(path, 3, axis=0)) for path in paths]).mean())


def test_a_forger_trembles_more_than_the_writer():
    generator = np.random.default_rng(2)
    for _ in range(5):
        plan, hand = invent_signature(generator), synthetic_hand(generator)
        forgers = [synthetic_hand(generator) for _ in range(5)]
        own = np.mean([trembling(sign(plan, hand, generator)) for _ in range(5)])
        forged = np.mean([trembling(forge(plan, hand, forger, generator)) for forger in forgers])
        assert forged > 1.15 * own


def test_a_hand_s_slant_shows():
    plan, hand = invent_signature(np.random.default_rng(3)), synthetic_hand(np.random.default_rng(4))

    def lean(slant: float) -> float:
        points = np.concatenate(sign(replace(plan, rise=0.0), replace(hand, slant=slant), np.random.default_rng(5)))
        return float(np.polyfit(-points[:, 1], points[:, 0], 1)[0])

    assert lean(0.5) > lean(-0.5) + 0.5


def test_paper_and_pen_tell_nothing_of_who_wrote():
    """Over many pictures each statistic is about the same for genuine signatures and forgeries."""
    generator = np.random.default_rng(6)
    plan, hand = invent_signature(generator), synthetic_hand(generator)
    paths = sign(plan, hand, generator)
    rows = [image_statistics(255 - np.asarray(signature_picture(paths, generator))) for _ in range(30)]
    spread = np.std(rows, axis=0)
    assert spread[STATISTICS.index("background")] > 2
    assert spread[STATISTICS.index("ink_darkness")] > 5
    assert spread[STATISTICS.index("stroke_width")] > 0.3


def test_another_preparation_shows_in_the_images(signatures):
    other = synthetic_signatures(1, 1, 0, seed=11, preprocessing=replace(SIGNATURE, pen_px=4.0))
    assert other.images.sum() > 1.3 * signatures.images[:1].sum()

"""Maps of the ink that counts."""

import pytest
import torch

from siamese.inference.encoder import Encoder
from siamese.inference.occlusion import ink_patches, occlusion_maps
from tests.networks import narrow_network


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(narrow_network(), precision=torch.float32)


def strokes(*columns: int) -> torch.Tensor:
    picture = torch.zeros(1, 105, 105)
    for column in columns:
        picture[:, 20:80, column : column + 3] = 1
    return picture


def test_only_ink_is_marked_and_the_largest_mark_is_1(encoder):
    pictures = torch.stack([strokes(30, 60), strokes(45)])
    maps = occlusion_maps(encoder, pictures)
    for marks, picture in zip(maps, pictures, strict=True):
        assert marks.shape == (105, 105)
        assert marks.isfinite().all()
        assert (marks[picture[0] == 0] == 0).all()
    assert max(marks.abs().max() for marks in maps) == pytest.approx(1)


def test_of_a_picture_with_itself_nothing_counts_against(encoder):
    same = strokes(30, 60)
    assert all((marks >= 0).all() for marks in occlusion_maps(encoder, torch.stack([same, same])))


def test_nothing_is_remembered(encoder):
    occlusion_maps(encoder, torch.stack([strokes(30), strokes(45)]))
    assert not encoder._cache
    assert not encoder._waiting


def test_patches_hold_ink():
    picture = strokes(50)
    patches = ink_patches(picture)
    assert 10 < len(patches) < 40
    assert ((patches * picture).sum((1, 2)) > 1).all()
    assert patches.any(0)[picture[0] > 0].all()  # each pixel of ink lies in one

from dataclasses import replace

import pytest
import torch

from siamese.characters.drawings import joined, pack_bits, unpack_bits
from siamese.preprocessing import Preprocessing, ink_box


def test_take_keeps_the_rows_asked_for_in_their_order(drawings):
    taken = drawings.take(torch.tensor([30, 2]))
    assert len(taken) == 2
    assert torch.equal(taken.ink, torch.stack([drawings.ink[30], drawings.ink[2]]))
    assert taken.alphabet.tolist() == [1, 0]
    assert taken.character.tolist() == [7, 0]
    assert taken.drawer.tolist() == [3, 3]
    assert taken.alphabet_names == drawings.alphabet_names


def test_of_alphabets_keeps_whole_alphabets_and_their_index(drawings):
    first, _, last = drawings.alphabet_names
    some = drawings.of_alphabets({first, last})
    assert len(some) == 48
    assert some.alphabet.unique().tolist() == [0, 2]
    assert torch.equal(some.ink[24:], drawings.ink[48:])


def test_an_alphabet_that_is_not_here_is_named(drawings):
    with pytest.raises(ValueError, match="No alphabet is called Klingon"):
        drawings.of_alphabets({"Klingon", drawings.alphabet_names[0]})


def test_joined_drawings_keep_their_names_and_numbers_apart(drawings):
    others = replace(drawings, alphabet_names=tuple(f"new {name}" for name in drawings.alphabet_names))
    both = joined(drawings, others.take(torch.arange(24, 72)))
    assert torch.equal(both.ink, torch.cat([drawings.ink, drawings.ink[24:]]))
    assert both.alphabet.unique().tolist() == [0, 1, 2, 4, 5]
    assert both.alphabet_names[4] == f"new {drawings.alphabet_names[1]}"
    assert len(both.character.unique()) == len(drawings.character.unique()) + len(others.character[24:].unique())
    with pytest.raises(ValueError, match=f"alphabet called .*{drawings.alphabet_names[0]}"):
        joined(drawings, drawings)


def test_packed_bits_come_back(drawings):
    packed = pack_bits(drawings.ink)
    assert packed.shape == (72, 1379)  # 105 x 105 bits in bytes, the last one filled up
    assert torch.equal(unpack_bits(packed, 105), drawings.ink)


def test_the_first_pixel_is_the_highest_bit():
    ink = torch.zeros(1, 105, 105, dtype=torch.bool)
    ink[0, 0, 0] = ink[0, 0, 7] = True
    assert pack_bits(ink)[0, :2].tolist() == [0b10000001, 0]


def test_prepared_drawings_have_one_extent_and_one_middle(drawings):
    pictures = drawings.take(torch.arange(0, 72, 6)).prepared(Preprocessing(extent_px=60))
    assert pictures.shape == (12, 1, 105, 105)
    assert pictures.dtype == torch.uint8
    for picture in pictures:
        top, left, bottom, right = ink_box(picture[0] / 255)
        assert 58 <= max(bottom - top, right - left) <= 60
        assert abs(top + bottom - 105) <= 3
        assert abs(left + right - 105) <= 3

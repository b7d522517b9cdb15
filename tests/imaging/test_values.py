"""Values of any range, and pictures that are no files."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from siamese.imaging.decode import ImageError, image_remarks, open_image
from siamese.imaging.values import image_of_array, to_8_bits
from tests.hostile import drawing, encoded


def grey() -> np.ndarray:
    return np.asarray(drawing("L", (96, 80))).astype(np.float64)


RANGES = {
    "a 0/1 mask": (grey() < 128).astype(np.uint8),
    "a mask of booleans": grey() < 128,
    "10 bits of 16": (grey() * 1023 / 255).astype(np.uint16),
    "12 bits of 16": (grey() * 4095 / 255).astype(np.uint16),
    "16 bits": (grey() * 65535 / 255).astype(np.uint16),
    "floats in [0, 1]": grey() / 255,
    "floats in [-1, 1]": grey() / 127.5 - 1,
    "floats in [0, 255]": grey(),
    "standardised": ((grey() - grey().mean()) / grey().std()).astype(np.float32),
    "whole numbers": grey().astype(np.int64),
}


@pytest.mark.parametrize("name", RANGES)
def test_every_range_shows_the_drawing_dark_on_white(name):
    expected = np.asarray(open_image(drawing("L", (96, 80)))) < 128
    for array in (RANGES[name], RANGES[name][None], torch.from_numpy(np.asarray(RANGES[name]).astype(np.float32))):
        found = np.asarray(open_image(array)) < 128
        assert (found == expected).mean() > 0.99


def test_a_remark_says_that_fewer_bits_were_taken():
    png = Image.fromarray(RANGES["10 bits of 16"])
    assert [remark.code for remark in image_remarks(open_image(png))] == ["value_range"]
    assert image_remarks(open_image(Image.fromarray(RANGES["16 bits"]))) == ()


@pytest.mark.parametrize("values", [np.array([[-40.0, 300.0]]), np.array([[-5, 5]]), np.array([[0.0, 1e7]])])
def test_another_range_is_refused_with_what_was_found(values):
    with pytest.raises(ImageError, match=re.escape(f"values from {values.min():.6g} to {values.max():.6g}")):
        to_8_bits(values)


def test_channels_first_and_last_are_one_picture():
    colours = np.stack([grey()] * 3, axis=-1).astype(np.uint8)
    last = np.asarray(image_of_array(colours))
    assert np.array_equal(last, np.asarray(image_of_array(np.moveaxis(colours, -1, 0))))
    with pytest.raises(ImageError, match="shape"):
        image_of_array(np.zeros((2, 3, 4, 5)))


def test_an_open_file_is_read():
    content = encoded(drawing("L", (96, 80)), "PNG")
    assert open_image(io.BytesIO(content)).tobytes() == open_image(content).tobytes()
    with pytest.raises(ImageError, match="binary mode"):
        open_image(io.StringIO("text"))

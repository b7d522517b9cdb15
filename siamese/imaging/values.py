"""Scales values of any range to 8 bits (masks, 10 to 16 bits, floats), and converts arrays and tensors to images."""

import numpy as np
from PIL import Image
from torch import Tensor

from siamese.imaging.formats import MAX_PIXELS, too_many_pixels
from siamese.imaging.reading import ImageError

BITS = (8, 10, 12, 14, 16)  # that cameras and scanners give
STANDARDISED = 12.0  # standard deviations from the mean: values of a standardised image lie within
CHANNELS = (1, 3, 4)


def to_8_bits(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Scales the values of an image to 0 to 255, by what their range tells.

    Args:
        values: Of any type and shape: 0/1 masks, whole numbers of 8 to 16 bits, floats in [0, 1], in [-1, 1], in
            [0, 255], or standardised to a mean near 0 and a deviation near 1.

    Returns:
        The values as uint8, and codes of remarks.

    Raises:
        ImageError: With the range that was found, where it is none of these.
    """
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255), []
    if values.size == 0:
        raise ImageError("The image has no pixels.")
    lowest, highest = float(values.min()), float(values.max())
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise ImageError("The image contains values that are not numbers.")
    is_whole = values.dtype.kind in "ui"
    codes: list[str] = []
    if lowest >= 0 and highest <= 1:
        low, full = 0.0, 1.0
    elif lowest >= 0 and highest <= 65535:
        bits = next(bits for bits in BITS if highest < 2**bits)
        if 8 < bits < 16:
            codes.append("value_range")
        low, full = 0.0, float(2**bits - 1)
        if values.dtype == np.uint16 and bits == 8:  # a dark picture of 16 bits, or 8 bits in 16
            codes.append("value_range")
    elif not is_whole and lowest >= -1 and highest <= 1:
        low, full = -1.0, 2.0
    elif not is_whole and _is_standardised(values):
        low, full = lowest, highest - lowest
    else:
        raise ImageError(
            f"The image holds values from {lowest:.6g} to {highest:.6g}; please bring 0 to 1, -1 to 1, 0 to 255, or "
            "whole numbers of up to 16 bits."
        )
    grey = np.clip((values.astype(np.float32) - np.float32(low)) * np.float32(255 / full), 0, 255)
    return (grey + 0.5).astype(np.uint8), codes


def _is_standardised(values: np.ndarray) -> bool:
    mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    return abs(mean) < 1.5 and 0.2 < deviation < 3 and float(np.abs(values).max()) < STANDARDISED


def image_of_array(array: np.ndarray | Tensor) -> Image.Image:
    """A NumPy array or torch tensor as an image.

    Args:
        array: [height, width], or with 1, 3 or 4 channels first or last; values as `to_8_bits` takes them.

    Raises:
        ImageError: For another shape, and for values that `to_8_bits` refuses.
    """
    if isinstance(array, Tensor):
        array = array.detach().cpu()
        array = (array.float() if array.is_floating_point() else array).numpy()
    shape = array.shape
    if array.ndim == 3 and shape[-1] not in CHANNELS and shape[0] in CHANNELS:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in {2, 3} or (array.ndim == 3 and array.shape[-1] not in CHANNELS):
        raise ImageError(
            f"The array has the shape {tuple(shape)}; please bring [height, width], with 1, 3 or 4 channels or none."
        )
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise too_many_pixels(MAX_PIXELS)
    if array.dtype.kind not in "buif":
        raise ImageError(f"The array holds {array.dtype}; please bring whole numbers or floats.")
    if array.dtype != np.uint8 or (array.ndim == 3 and array.size and array.max() <= 1):
        array = to_8_bits(array)[0]
    return Image.fromarray(np.ascontiguousarray(array))

"""A sheet of paper with writing on it, before anything is printed on it or lies around it."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32

Writing = Float[np.ndarray, "height width"]
"""Ink in [0, 1], 1 where the pen was."""

Mask = Float32[np.ndarray, "height width"]
"""How much of each pixel is covered, in [0, 1]."""

Colour = Float32[np.ndarray, "height width 3"]
"""Red, green and blue in [0, 1]."""

Point = tuple[float | int, float | int]
"""x and y, in pixels."""

PENS = ((28, 28, 32), (24, 38, 120), (52, 44, 40))
"""Red, green and blue of a black, a blue and a brown-black pen."""


@dataclass(frozen=True)
class Sheet:
    """Paper with writing on it, seen straight from above."""

    colour: Colour
    """Red, green and blue in [0, 1]."""
    box: tuple[int, int, int, int]
    """Top, left, bottom and right (exclusive) of the writing, in pixels."""
    pen: Float32[np.ndarray, "3"]
    """Colour of the pen, in [0, 1]."""
    writing: Mask
    """Ink of the writing over the whole sheet, in [0, 1]."""


Trouble = Callable[[Sheet, float, np.random.Generator], Colour]


def written_sheet(writing: Writing, extent_px: int, generator: np.random.Generator) -> Sheet:
    """Returns a sheet much larger than the writing, which is placed near its middle."""
    rows, columns = np.nonzero(writing > 0.25)
    if len(rows) == 0:
        raise ValueError("The writing holds no ink.")
    ink: Writing = writing[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(np.float32)
    scale = extent_px / max(ink.shape)
    size = (max(4, round(ink.shape[1] * scale)), max(4, round(ink.shape[0] * scale)))
    ink = cv2.resize(ink, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    if scale > 1:  # round the steps of enlarged pixels, as a pen would
        ink = cv2.GaussianBlur(ink, (0, 0), 0.4 * scale)
        ink = np.clip((ink - 0.5) * 4 + 0.5, 0, 1)
    height = round(ink.shape[0] + extent_px * generator.uniform(0.9, 1.2))
    width = round(ink.shape[1] + extent_px * generator.uniform(0.9, 1.2))
    top = round((height - ink.shape[0]) * generator.uniform(0.4, 0.6))
    left = round((width - ink.shape[1]) * generator.uniform(0.4, 0.6))
    whole = np.zeros((height, width), dtype=np.float32)
    whole[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    pen = np.array(PENS[generator.integers(len(PENS))], dtype=np.float32) / 255
    yellowing = np.array([0, 0.005, 0.02], dtype=np.float32)
    white = np.array([generator.uniform(0.93, 0.99)] * 3, dtype=np.float32) - yellowing
    paper = np.ones((height, width, 3), dtype=np.float32) * white
    box = (top, left, top + ink.shape[0], left + ink.shape[1])
    return Sheet(inked(paper, whole, pen), box, pen, whole)


def inked(colour: Colour, ink: Float[np.ndarray, "height width"], pen: Float[np.ndarray, "3"]) -> Colour:
    """Returns the picture with ink in [0, 1] of one colour on it."""
    return (colour * (1 - ink[..., None]) + np.float32(pen) * ink[..., None]).astype(np.float32)

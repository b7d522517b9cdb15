"""Simulated handwriting: the habits of a writer and strokes of a pen, for synthetic characters and signatures."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "_ 2"]  # x to the right, y downwards; lists hold paths of different lengths


@dataclass(frozen=True)
class Hand:
    """The habits of one person who draws or writes."""

    slant: float
    """Shear: how far a point one unit up moves to the right."""
    turn: float
    """Rotation of the whole character, in radians."""
    size: float
    """Factor on the character's size."""
    aspect: float
    """Factor on its width, its height being divided by it."""
    step_px: float
    """Distance between two points that the pen reports: a quick hand leaves few and cuts corners."""
    tremor_px: float
    """Standard deviation of each of these points from the path meant."""
    looseness: float
    """Standard deviation of knots, joints and stroke ends from the character's, in shares of its usual size."""
    slips: float
    """Share of stroke ends that get a tick where the pen comes down or leaves."""
    pen_px: float
    """Width of the line."""


def synthetic_hand(generator: np.random.Generator) -> Hand:
    """Draws the habits of a hand from the ranges that Omniglot's drawers show."""
    haste = generator.uniform()
    return Hand(
        slant=generator.normal(0, 0.12),
        turn=generator.normal(0, 0.05),
        size=math.exp(generator.normal(0, 0.11)),
        aspect=math.exp(generator.normal(0, 0.09)),
        step_px=4 + 9 * haste,
        tremor_px=generator.uniform(0.2, 0.9),
        looseness=0.025 + 0.045 * haste * generator.uniform(0.5, 1.3),
        slips=generator.choice([0.0, 0.04, 0.2], p=[0.4, 0.4, 0.2]),
        pen_px=generator.uniform(3.8, 5.4),
    )

"""Characters made of strokes, and how a hand draws them."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw
from torch import Tensor

from siamese.data.pen_strokes import Hand, Points
from siamese.preprocessing import IMAGE_SIZE_PX

DETAIL = 3  # lines are drawn on a raster this much finer, then thresholded
MARGIN_PX = 4.0  # between the pen's middle and the edge


@dataclass(frozen=True)
class Stroke:
    """One movement of the pen and where it stands in its character; lengths in shares of a character's usual size."""

    knots: Points
    """Points that the pen passes, around the stroke's own middle."""
    smooth: bool
    """Curved from knot to knot, else straight."""
    joined_to: int | None
    """Index of the earlier stroke that this one touches; None where it stands by itself."""
    joined_at: float
    """Where on that stroke, as a share of its length."""
    own_at: float
    """Where on this stroke, as a share of its length."""
    offset: tuple[float, float]
    """From the point touched; where it stands by itself, from the middle of the character's first stroke."""


@dataclass(frozen=True)
class Character:
    """What all drawings of one character have in common."""

    strokes: tuple[Stroke, ...]
    size_px: float
    """Longer side of the ink's box where the hand adds nothing, in pixels of the 105 x 105 picture."""


def draw(character: Character, hand: Hand, generator: np.random.Generator) -> Bool[Tensor, "105 105"]:
    """One drawing: ink true on paper false."""
    return torch.from_numpy(_raster(write(character, hand, generator), hand.pen_px))


def write(character: Character, hand: Hand, generator: np.random.Generator) -> list[Points]:
    """One attempt of one hand at a character: the path of the pen for each stroke, in pixels of the picture."""
    strokes = compose(character, hand.looseness, generator)
    centre, extent = middle_and_extent(compose(character, 0.0, None))
    scale = character.size_px / extent * hand.size * math.exp(generator.normal(0, 0.05))
    turn = hand.turn + generator.normal(0, 0.03)
    cos, sin = math.cos(turn), math.sin(turn)
    # columns are the images of x and y; y points down, so a slant to the right is a negative shear
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[hand.aspect, -hand.slant], [0, 1 / hand.aspect]]) * scale
    place = IMAGE_SIZE_PX / 2 + generator.normal(0, 3.5, 2)
    paths = [_pen(((points - centre) @ matrix.T + place), hand, generator) for points in strokes]
    return _inside(paths)


_SAMPLES = np.linspace(0, 1, 6, endpoint=False)
# Catmull-Rom: the curve from the second to the third of four knots, at each sample
_BASIS = (
    0.5
    * np.stack([_SAMPLES**0, _SAMPLES, _SAMPLES**2, _SAMPLES**3], 1)
    @ np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]])
)


def _curve(knots: Points, smooth: bool) -> Points:
    if not smooth:
        return knots
    before, behind = 2 * knots[0] - knots[1], 2 * knots[-1] - knots[-2]
    padded = np.concatenate([before[None], knots, behind[None]])
    fours = np.stack([padded[i : len(padded) - 3 + i] for i in range(4)], 1)
    return np.concatenate([(_BASIS @ fours).reshape(-1, 2), knots[-1:]])


def path_lengths(points: Points) -> Float[np.ndarray, " points"]:
    """The length of the path from its start to each of its points."""
    steps = np.diff(points, axis=0)
    return np.concatenate([[0.0], np.cumsum(np.sqrt((steps * steps).sum(1)))])


def along(points: Points, shares: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    """The points at these shares of the path's length."""
    lengths = path_lengths(points)
    at = np.clip(shares, 0, 1) * lengths[-1]
    return np.stack([np.interp(at, lengths, points[:, 0]), np.interp(at, lengths, points[:, 1])], 1)


def compose(character: Character, looseness: float, generator: np.random.Generator | None) -> list[Points]:
    """The strokes put together; with a generator, as loosely as a hand does it."""

    def waver(scale: float, *shape: int) -> np.ndarray:
        return np.zeros(shape) if generator is None else generator.normal(0, scale * looseness, shape)

    placed: list[Points] = []
    for stroke in character.strokes:
        # a small stroke is drawn with a steadier hand
        steady = min(1.0, 0.1 + float(np.ptp(stroke.knots, axis=0).max()))
        knots = turned(stroke.knots * np.exp(waver(2.2, 2)), float(waver(1.6, 1)[0]), False)
        knots += waver(0.45 * steady, len(knots), 2)
        knots[[0, -1]] += waver(0.7 * steady, 2, 2)
        points = _curve(knots, stroke.smooth)
        if stroke.joined_to is None:
            joint = own = np.zeros(2)
        else:
            joint = along(placed[stroke.joined_to], stroke.joined_at + waver(1.5, 1))[0]
            own = along(points, stroke.own_at + waver(1.5, 1))[0]
        placed.append(points + joint - own + stroke.offset + waver(0.8, 2))
    return placed


def middle_and_extent(strokes: list[Points]) -> tuple[Float[np.ndarray, " 2"], float]:
    """The middle of the box around strokes and its longer side, which is at least 0.3."""
    points = np.concatenate(strokes)
    low, high = points.min(0), points.max(0)
    return (low + high) / 2, max(0.3, float((high - low).max()))


def _pen(path: Points, hand: Hand, generator: np.random.Generator) -> Points:
    """What the pen reports of a path meant, both in pixels."""
    length = float(path_lengths(path)[-1])
    count = max(3, round(length / hand.step_px) + 1)
    points = along(path, np.linspace(0, 1, count)) + generator.normal(0, hand.tremor_px, (count, 2))
    if generator.uniform() < hand.slips:
        points = np.concatenate([points[:1] + generator.normal(0, 3, (1, 2)), points])
    if generator.uniform() < hand.slips:
        points = np.concatenate([points, points[-1:] + generator.normal(0, 3, (1, 2))])
    return points


def _inside(paths: list[Points]) -> list[Points]:
    """Shrunk and moved where the drawing would leave the picture."""
    points = np.concatenate(paths)
    low, high = points.min(0), points.max(0)
    room = IMAGE_SIZE_PX - 2 * MARGIN_PX
    shrink = min(1.0, room / max(1e-6, float((high - low).max())))
    low, high = low * shrink, high * shrink
    limit = IMAGE_SIZE_PX - MARGIN_PX
    shift = np.clip(0.0, MARGIN_PX - low, limit - high)
    return [path * shrink + shift for path in paths]


def turned(knots: Points, turn: float, mirrored: bool) -> Points:
    """The knots turned about the origin by `turn` radians, and before that mirrored left to right if asked for."""
    cos, sin = math.cos(turn), math.sin(turn)
    flipped = knots * (-1, 1) if mirrored else knots
    return flipped @ np.array([[cos, sin], [-sin, cos]])


def _raster(paths: list[Points], pen_px: float) -> Bool[np.ndarray, "105 105"]:
    side = IMAGE_SIZE_PX * DETAIL
    picture = Image.new("L", (side, side))
    pen = ImageDraw.Draw(picture)
    radius = pen_px * DETAIL / 2
    for path in paths:
        # whole cells, so that a last digit that differs between machines moves no pixel
        cells = [(int(x), int(y)) for x, y in np.floor(path * DETAIL + 0.5)]
        pen.line(cells, fill=255, width=round(2 * radius))
        for x, y in cells:  # round joints and ends
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(picture.reduce(DETAIL)) >= 128

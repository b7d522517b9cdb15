"""Signatures drawn on the spot, and forgeries of them: for tests, for examples and for a start without a data set.

A writer has a plan (the letters and the flourish, as knots that the pen passes) and a hand. A genuine signature is one
attempt of the hand at its own plan: fluent, and never twice the same. A forgery is another hand's attempt at what it
saw of the plan: proportions are taken over with errors, the slant is half the forger's own, and the line, being drawn
slowly, trembles. Paper and pen are drawn from the same lot for both, so that neither tells them apart. Everything
follows from the generator given.
"""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from siamese.data.pen_strokes import Hand, Points, synthetic_hand
from siamese.imaging.ink import find_ink

DETAIL = 2  # lines are drawn on a raster this much finer
LETTER_PX = 42  # height of a letter without stems; a signature then is some 500 pixels wide, as scanned at 300 dpi
SAMPLES = 10  # points between two knots

# Knots of letters; heights in those of a small letter, from the base line upwards negative. Each begins where the
# letter before it ended, and ends at its last knot.
LETTERS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0, 0), (0.15, -0.85), (0.3, -1), (0.45, -0.8), (0.5, 0)),
    ((0, 0), (0.12, -0.85), (0.25, -1), (0.36, -0.1), (0.46, -0.8), (0.6, -1), (0.7, -0.6), (0.78, 0)),
    ((0.1, -0.9), (0.12, -0.2), (0.3, 0), (0.5, -0.3), (0.55, -0.95), (0.6, -0.2), (0.75, 0)),
    ((0, -0.1), (0.3, -0.45), (0.4, -0.8), (0.25, -1), (0.08, -0.7), (0.15, -0.15), (0.4, 0), (0.6, -0.1)),
    ((0, -0.1), (0.35, -1.1), (0.45, -2), (0.3, -2.3), (0.15, -1.8), (0.15, -0.4), (0.35, 0), (0.55, -0.1)),
    ((0.45, -0.9), (0.2, -1), (0.02, -0.6), (0.2, -0.1), (0.48, -0.9), (0.45, 0.6), (0.2, 1.2), (0.05, 0.8), (0.7, 0)),
    ((0.45, -0.8), (0.2, -1), (0.02, -0.55), (0.18, -0.05), (0.4, -0.3), (0.47, -0.95), (0.48, -0.2), (0.7, 0)),
    ((0.3, -1), (0.05, -0.6), (0.15, -0.08), (0.42, -0.2), (0.5, -0.7), (0.3, -1), (0.55, -0.85), (0.75, -0.8)),
    ((0, -0.1), (0.3, -0.9), (0.35, -0.55), (0.45, -0.2), (0.25, 0.02), (0.1, -0.1), (0.5, -0.05), (0.65, -0.1)),
    ((0, 0), (0.15, -0.9), (0.25, -1.05), (0.3, -0.85), (0.5, -0.9), (0.52, -0.2), (0.7, 0)),
    ((0, -0.9), (0.15, 0), (0.3, -0.8), (0.45, 0), (0.6, -0.9), (0.75, -0.85)),
    ((0.05, -0.8), (0.08, 0.9), (0.04, 1.3), (0.1, -0.4), (0.3, -1), (0.5, -0.7), (0.4, -0.1), (0.2, -0.1), (0.65, 0)),
    ((0, -0.3), (0.3, -0.5), (0.6, -0.2), (0.9, -0.4)),
)
CAPITALS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.9, -1.8), (0.6, -2.2), (0.2, -1.8), (0, -1), (0.2, -0.2), (0.6, 0), (1.1, -0.3)),
    ((0.9, -1.9), (0.6, -2.3), (0.3, -1.9), (0.6, -1.2), (0.8, -0.5), (0.4, 0), (0, -0.3), (0.5, -0.4), (1.1, -0.2)),
    ((0, 0), (0.2, -2.2), (0.5, -0.4), (0.9, -2.2), (1.1, 0)),
    ((0, 0), (0.35, -1.5), (0.55, -2.3), (0.65, -1.5), (0.9, 0), (0.5, -0.8), (0.2, -0.7), (1.2, -0.6)),
    ((0.2, -2), (0.9, -2.1), (0.8, -0.5), (0.6, 0.8), (0.1, 1), (0, 0.5), (0.7, -0.2), (1.1, -0.2)),
    (
        (0.1, -2.2),
        (0.05, 0),
        (0, -2),
        (0.7, -2.1),
        (0.7, -1.3),
        (0.2, -1.1),
        (0.9, -0.9),
        (0.8, -0.1),
        (0.1, 0),
        (1.1, 0),
    ),
    ((0.1, -1.2), (0.5, -2), (0.7, -2.3), (0.4, -2.2), (0.2, -1), (0, 0), (0.3, 0.1), (0.9, 0.05), (1.2, -0.1)),
    ((0.7, -2.1), (0.2, -1.8), (0, -0.9), (0.4, 0), (1, -0.5), (1.1, -1.5), (0.7, -2.1), (0.5, -1.7), (1.3, -1.4)),
)


@dataclass(frozen=True)
class SignaturePlan:
    """What all signatures of one writer have in common."""

    strokes: tuple[Points, ...]
    """Knots of each stroke, in heights of a small letter; the first letter begins at (0, 0), y points down."""
    slant: float
    """Shear: how far a point one unit up moves to the right."""
    rise: float
    """Slope of the base line, upwards."""


def invent_signature(generator: np.random.Generator) -> SignaturePlan:
    """A writer's signature: one or two words and perhaps a flourish, with letters shaped in a way of their own."""
    u = generator.uniform
    width, height, own = u(0.8, 1.5), u(0.8, 1.25), u(0.04, 0.12)
    strokes: list[Points] = []
    cursor = 0.0
    for _ in range(int(generator.integers(1, 3))):
        word: list[Points] = []
        count = int(generator.integers(2, 6))
        shapes = [CAPITALS[int(generator.integers(len(CAPITALS)))]]
        shapes += [LETTERS[int(generator.integers(len(LETTERS)))] for _ in range(count)]
        for place, shape in enumerate(shapes):
            scale = np.array([width, height * (1 if place == 0 else 1 - 0.08 * place)])
            knots = np.array(shape, dtype=np.float64)
            knots += generator.normal(0, own, knots.shape)
            knots = knots * scale + (cursor, 0)
            cursor = float(knots[-1, 0]) + 0.12 * width
            if word and (place == 1 or generator.uniform() < 0.12) and generator.uniform() < 0.5:
                strokes.append(np.concatenate(word))  # the pen is lifted
                word = []
            word.append(knots)
        strokes.append(np.concatenate(word))
        cursor += u(0.2, 0.6)
    low, high = np.concatenate(strokes).min(0), np.concatenate(strokes).max(0)
    flourish = generator.uniform()
    if flourish < 0.35:  # a line below, perhaps back and forth
        depth = high[1] + u(0.2, 0.6)
        line = [(high[0], depth - 0.2), (low[0] + u(0, 1), depth + 0.1), (low[0] + u(0, 0.5), depth + 0.3)]
        strokes.append(np.array([*line, (high[0] + u(-0.5, 0.8), depth + u(-0.1, 0.4))]))
    elif flourish < 0.6:  # the last letter runs out
        last = strokes[-1][-1]
        tail = np.array([(u(0.4, 0.8), u(-0.6, 0.2)), (u(1.0, 1.6), u(-0.3, 0.4)), (u(1.8, 3), u(-0.6, 0.3))])
        strokes[-1] = np.concatenate([strokes[-1], last + tail])
    for _ in range(int(generator.integers(0, 3))):  # dots and bars
        x, y = u(low[0], high[0]), u(low[1], -1.3)
        length = float(generator.choice([0.05, 0.7]))
        strokes.append(np.array([(x, y), (x + length / 2, y - 0.04), (x + length, y + u(-0.1, 0.1))]))
    return SignaturePlan(tuple(strokes), generator.normal(0.25, 0.2), generator.normal(0.05, 0.06))


def sign(plan: SignaturePlan, hand: Hand, generator: np.random.Generator) -> list[Points]:
    """A genuine signature: the path of the pen for each stroke, in pixels."""
    return _written(plan, hand, generator, tremor_px=0.25 * hand.tremor_px)


def forge(plan: SignaturePlan, author: Hand, forger: Hand, generator: np.random.Generator) -> list[Points]:
    """A skilled forgery: what another hand, having seen the signature, makes of the plan; in pixels."""
    copied = _bent(plan, 0.09, generator)
    hand = replace(
        author,
        slant=(author.slant + forger.slant) / 2,
        turn=(author.turn + forger.turn) / 2,
        aspect=author.aspect * math.exp(generator.normal(0, 0.13)),
        looseness=1.2 * forger.looseness,
    )
    tremor_px = 0.5 + 0.7 * forger.tremor_px
    return _written(replace(copied, slant=plan.slant + generator.normal(0, 0.1)), hand, generator, tremor_px)


def signature_picture(paths: list[Points], generator: np.random.Generator) -> Image.Image:
    """Paths as a scan: dark grey ink of one pen on light paper, an 8-bit grey image about 300 to 1,200 pixels wide."""
    pen_px, darkness = generator.uniform(2.4, 5.0), generator.uniform(30, 110)
    margins = generator.uniform(12, 60, 4)
    points = np.concatenate(paths)
    low, high = points.min(0) - margins[:2], points.max(0) + margins[2:]
    width, height = (int(side) for side in np.ceil(high - low))
    raster = Image.new("L", (width * DETAIL, height * DETAIL))
    pen = ImageDraw.Draw(raster)
    for path in paths:
        steps = np.hypot(*np.diff(path, axis=0).T)
        # the line is thinner where the pen is quick: far from one point to the next
        speed = np.convolve(np.pad(steps / max(1e-6, steps.mean()), 2, mode="edge"), np.full(5, 0.2), "valid")
        widths = pen_px * DETAIL * (1.25 - 0.25 * speed.clip(0, 2))
        cells = np.floor((path - low) * DETAIL + 0.5).astype(int).tolist()
        for (start, end), wide in zip(pairwise(cells), widths.tolist(), strict=True):
            radius = wide / 2
            pen.line((*start, *end), fill=255, width=max(1, round(wide)))
            pen.ellipse((end[0] - radius, end[1] - radius, end[0] + radius, end[1] + radius), fill=255)
    ink = np.asarray(raster.reduce(DETAIL), dtype=np.float32) / 255
    paper = generator.uniform(232, 252)
    grey = paper + (darkness - paper) * ink + generator.normal(0, 2.0, ink.shape)
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8))


def synthetic_files(writers: int, genuine: int, forgeries: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """A data set as paths `<writer>/genuine_<n>.png` and `<writer>/forgery_<n>.png` with their content.

    Each forgery is by another forger. A writer's files do not depend on how many writers there are. Raises ValueError
    where there would be no writer or no genuine signature.
    """
    if min(writers, genuine) < 1 or forgeries < 0:
        raise ValueError(
            f"{writers} writers with {genuine} genuine and {forgeries} forged signatures make no data set."
        )
    for writer in range(writers):
        generator = np.random.default_rng([seed, writer])
        plan, hand = invent_signature(generator), synthetic_hand(generator)
        for number in range(genuine):
            yield f"{writer + 1:02d}/genuine_{number + 1:02d}.png", _png(sign(plan, hand, generator), generator)
        for number in range(forgeries):
            forged = forge(plan, hand, synthetic_hand(generator), generator)
            yield f"{writer + 1:02d}/forgery_{number + 1:02d}.png", _png(forged, generator)


def synthetic_inks(writers: int, genuine: int, seed: int) -> list[Float[Tensor, "_ _"]]:
    """The ink in [0, 1] of genuine signatures, all of one writer after all of another."""
    inks = []
    for writer in range(writers):
        generator = np.random.default_rng([seed, writer])
        plan, hand = invent_signature(generator), synthetic_hand(generator)
        pictures = [signature_picture(sign(plan, hand, generator), generator) for _ in range(genuine)]
        inks += [find_ink(picture) for picture in pictures]
    return inks


def _png(paths: list[Points], generator: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    signature_picture(paths, generator).save(buffer, "PNG")
    return buffer.getvalue()


def _bent(plan: SignaturePlan, looseness: float, generator: np.random.Generator) -> SignaturePlan:
    """The plan with errors in its letters, their widths and heights; lengths in heights of a small letter."""
    points = np.concatenate(plan.strokes)
    low, extent = points[:, 0].min(), max(1.0, float(np.ptp(points[:, 0])))
    knots = np.linspace(0, 1, 6)
    # letters get wider here and narrower there, the line wanders up and down
    spread = extent * np.cumsum(np.exp(generator.normal(0, 2.2 * looseness, len(knots))))
    spread = (spread - spread[0]) / (spread[-1] - spread[0]) * extent
    drift, size = (
        generator.normal(0, 1.2 * looseness, len(knots)),
        np.exp(generator.normal(0, 1.2 * looseness, len(knots))),
    )
    strokes = []
    for stroke in plan.strokes:
        share = (stroke[:, 0] - low) / extent
        x = low + np.interp(share, knots, spread)
        y = stroke[:, 1] * np.interp(share, knots, size) + np.interp(share, knots, drift)
        strokes.append(np.stack([x, y], 1) + generator.normal(0, looseness, stroke.shape))
    return replace(plan, strokes=tuple(strokes))


def _written(plan: SignaturePlan, hand: Hand, generator: np.random.Generator, tremor_px: float) -> list[Points]:
    """An attempt at a plan: in pixels, around (0, 0)."""
    attempt = _bent(plan, 0.9 * hand.looseness, generator)
    scale = LETTER_PX * hand.size * math.exp(generator.normal(0, 0.06))
    slant = plan.slant + hand.slant + generator.normal(0, 0.03)
    rise = math.atan(plan.rise) - hand.turn + generator.normal(0, 0.02)
    cos, sin = math.cos(rise), math.sin(rise)
    aspect = hand.aspect * math.exp(generator.normal(0, 0.03))
    matrix = np.array([[cos, sin], [-sin, cos]]) @ np.array([[aspect, -slant], [0, 1 / aspect]]) * scale
    return [_line(stroke, tremor_px, generator, matrix) for stroke in attempt.strokes]


def _line(knots: Points, tremor_px: float, generator: np.random.Generator, matrix: Float[np.ndarray, "2 2"]) -> Points:
    """The path through the knots (Catmull-Rom), with the trembling of a hand that is not sure of it."""
    before, behind = 2 * knots[0] - knots[1], 2 * knots[-1] - knots[-2]
    padded = np.concatenate([before[None], knots, behind[None]])
    t = np.linspace(0, 1, SAMPLES, endpoint=False)[:, None]
    parts = []
    for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
        parts.append(b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))))
    path = np.concatenate([*parts, knots[-1:]]) @ matrix.T
    # neighbouring points are pushed alike: a hand shakes some ten times a second, not from point to point
    shake = generator.normal(0, tremor_px, (len(path) + 4, 2))
    return path + (shake[:-4] + shake[1:-3] + shake[2:-2] + shake[3:-1] + shake[4:]) / math.sqrt(5)

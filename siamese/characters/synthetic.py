"""Alphabets drawn on the spot, in the manner of Omniglot: for an offline start, for tests and for examples.

As in the generative model of Lake et al. (2015, figure 3) a character is a few strokes made of primitives that its
alphabet shares, joined by relations (starting at, ending at, crossing, standing apart); and a drawing of it is one
hand's attempt, see `siamese.characters.strokes`. Everything follows from the generator given: the same seed draws the
same pixels.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from siamese.characters.drawings import Drawings
from siamese.characters.strokes import (
    Character,
    Stroke,
    along,
    compose,
    draw,
    middle_and_extent,
    path_lengths,
    turned,
)
from siamese.data.pen_strokes import Points, synthetic_hand
from siamese.preprocessing import IMAGE_SIZE_PX

MAX_STROKES = 5
TWIN_LIKENESS = 0.9  # two characters above this look the same, see `_look`
ATTEMPTS = 40  # to find a character that looks like no other of its alphabet
FIRST_SYLLABLES = (
    "Ba",
    "Dra",
    "Es",
    "Fen",
    "Gor",
    "Hal",
    "Is",
    "Ka",
    "Lu",
    "Mor",
    "Ne",
    "Or",
    "Pel",
    "Qua",
    "Ru",
    "Sha",
)
MIDDLE_SYLLABLES = ("da", "ke", "li", "mo", "na", "re", "si", "to", "ve", "zu")
LAST_SYLLABLES = ("dric", "kan", "lian", "mese", "nic", "ran", "sian", "thi", "vic", "zar")


@dataclass(frozen=True)
class Alphabet:
    """Characters that share their primitives."""

    name: str
    characters: tuple[Character, ...]


def synthetic_drawings(alphabets: int, characters: int, drawers: int, seed: int) -> Drawings:
    """Every character of `alphabets` invented alphabets, each drawn once by each of its alphabet's `drawers`.

    Rows go by alphabet, character, drawer. An alphabet does not depend on how many there are. Raises ValueError
    for a count below 1.
    """
    if min(alphabets, characters, drawers) < 1:
        raise ValueError(f"{alphabets} alphabets x {characters} characters x {drawers} drawers hold no drawing.")
    ink = torch.empty((alphabets, characters, drawers, IMAGE_SIZE_PX, IMAGE_SIZE_PX), dtype=torch.bool)
    names: list[str] = []
    for a in range(alphabets):
        generator = np.random.default_rng([seed, a])
        alphabet = synthetic_alphabet(characters, generator)
        names.append(alphabet.name if alphabet.name not in names else f"{alphabet.name} {a + 1}")
        for d in range(drawers):
            hand = synthetic_hand(generator)
            for c, character in enumerate(alphabet.characters):
                ink[a, c, d] = draw(character, hand, generator)
    index = np.indices((alphabets, characters, drawers)).reshape(3, -1)
    return Drawings(
        ink=ink.flatten(0, 2),
        alphabet=torch.from_numpy(index[0]),
        character=torch.from_numpy(index[0] * characters + index[1]),
        drawer=torch.from_numpy(index[2] + 1),
        alphabet_names=tuple(names),
    )


def synthetic_alphabet(characters: int, generator: np.random.Generator) -> Alphabet:
    """An alphabet with a style of its own, no two of its characters alike."""
    style = _invent_style(generator)
    name = "".join(str(generator.choice(part)) for part in (FIRST_SYLLABLES, MIDDLE_SYLLABLES, LAST_SYLLABLES))
    chosen: list[Character] = []
    looks = np.empty((0, LOOK_CELLS * LOOK_CELLS))
    for _ in range(characters):
        best: Character | None = None
        best_look, least = np.empty(0), math.inf
        for _ in range(ATTEMPTS):
            related = chosen and generator.uniform() < style.kinship
            base = chosen[int(generator.integers(len(chosen)))].strokes if related else ()
            character = _invent_character(style, generator, base)
            look, legible = _look(character)
            likeness = float((looks @ look).max()) if len(looks) else 0.0
            likeness += 0.0 if legible else 1.0
            if best is None or likeness < least:
                best, best_look, least = character, look, likeness
            if likeness < TWIN_LIKENESS:
                break
        assert best is not None  # the first attempt is better than none
        chosen.append(best)
        looks = np.vstack([looks, best_look])
    return Alphabet(name, tuple(chosen))


# Shapes: knots within one unit, around their middle.


@dataclass(frozen=True)
class _Primitive:
    knots: Points
    smooth: bool
    size: float


@dataclass(frozen=True)
class _Style:
    primitives: tuple[_Primitive, ...]
    weights: Float[np.ndarray, " primitives"]
    turns: tuple[float, ...]  # radians in which the primitives are used
    mirrored: bool
    stroke_shares: Float[np.ndarray, " counts"]  # of characters of 1, 2, ... strokes
    stem: Stroke | None  # a first stroke that many characters share
    size_px: float
    free: float  # share of strokes that touch no other
    dots: float  # share of characters with one or two dots
    kinship: float  # share of characters that differ from another one by a stroke


def _polygon(*points: tuple[float | int, float | int]) -> Points:
    return np.array(points, dtype=np.float64)


def _arc(start: float, span: float, width: float, height: float, knots: int) -> Points:
    angles = start + np.linspace(0, span, knots)
    return np.stack([np.cos(angles) * width / 2, np.sin(angles) * height / 2], 1)


def _invent_primitive(family: str, generator: np.random.Generator) -> _Primitive:
    u = generator.uniform
    width = u(0.55, 1.0)
    knots, smooth, size = {
        "line": lambda: (_polygon((0, -0.5), (0, 0.5)), False, 1.0),
        "corner": lambda: (
            _polygon((-0.5 * width, -0.5), (-0.5 * width, 0.5), (0.5 * width, u(0.1, 0.6))),
            False,
            0.85,
        ),
        "zigzag": lambda: (
            _polygon(
                (-0.4 * width, -0.5), (0.4 * width, u(-0.5, -0.2)), (-0.4 * width, u(0.0, 0.5)), (0.4 * width, 0.5)
            ),
            False,
            0.85,
        ),
        "gate": lambda: (
            _polygon((-0.4 * width, 0.5), (-0.4 * width, -0.4), (0.4 * width, -0.4), (0.4 * width, 0.5)),
            False,
            0.8,
        ),
        "triangle": lambda: (_polygon((0, -0.5), (-0.45 * width, 0.4), (0.45 * width, 0.4), (0, -0.5)), False, 0.7),
        "square": lambda: (
            _polygon((-0.4, -0.4), (-0.4, 0.4), (0.4, 0.4), (0.4, -0.4), (-0.4, -0.4)) * (width, 1),
            False,
            0.6,
        ),
        "arc": lambda: (_arc(u(0, 2 * math.pi), u(2.2, 4.4), width, 1.0, 7), True, 0.8),
        "circle": lambda: (_arc(u(0, 2 * math.pi), 2 * math.pi, width, 1.0, 9), True, 0.55),
        "hook": lambda: (
            _polygon(
                (0, -0.5), (0, 0.1), (0.05, 0.36), (0.2 * width, 0.48), (0.42 * width, 0.36), (0.46 * width, 0.15)
            ),
            True,
            1.0,
        ),
        "swan": lambda: (
            _polygon((0.3, -0.38), (0.05, -0.5), (-0.25, -0.33), (0, 0), (0.25, 0.33), (-0.05, 0.5), (-0.3, 0.38))
            * (width, 1),
            True,
            0.9,
        ),
        "wave": lambda: (
            np.stack([np.linspace(-0.5, 0.5, 7), 0.22 * width * np.array([0, -1, 0, 1, 0, -1, 0])], 1),
            True,
            0.9,
        ),
        "loop": lambda: (
            _polygon(
                (-0.5, 0.4),
                (-0.1, 0.2),
                (0.22, -0.15),
                (0.1, -0.45),
                (-0.12, -0.4),
                (-0.15, -0.1),
                (0.15, 0.25),
                (0.5, 0.4),
            ),
            True,
            0.9,
        ),
        "spiral": lambda: (
            np.stack([np.cos(t := np.linspace(0, 8.6, 12)), np.sin(t)], 1) * np.linspace(0.08, 0.5, 12)[:, None],
            True,
            0.7,
        ),
    }[family]()
    return _Primitive(knots, smooth, size * u(0.85, 1.15))


_DOT = np.array([[-0.015, -0.015], [0.015, 0.015]])  # less than the pen's width
ANGULAR = ("line", "corner", "zigzag", "gate", "triangle", "square")
ROUND = ("arc", "arc", "circle", "hook", "swan", "wave", "loop", "spiral")


def _invent_style(generator: np.random.Generator) -> _Style:
    roundness = generator.beta(0.7, 0.7)
    primitives = [_invent_primitive("line", generator)]
    for _ in range(generator.integers(4, 7)):
        families = ROUND if generator.uniform() < roundness else ANGULAR
        primitives.append(_invent_primitive(str(generator.choice(families)), generator))
    weights = generator.dirichlet(np.full(len(primitives), 2.0))
    quarter, lean = math.pi / 2, generator.choice([0.0, 0.0, 0.35, math.pi / 4])
    turns = [0.0, quarter, 2 * quarter, 3 * quarter][: int(generator.integers(2, 5))]
    if lean:
        turns += [lean, -lean]
    mean_strokes = generator.uniform(1.8, 3.3)
    shares = np.exp(-0.5 * ((np.arange(1, MAX_STROKES + 1) - mean_strokes) / 0.9) ** 2)
    stem = None
    if generator.uniform() < 0.35:
        shape = primitives[int(generator.choice(len(primitives), p=weights))]
        stem = Stroke(
            turned(shape.knots * shape.size, float(generator.choice(turns)), False),
            shape.smooth,
            None,
            0.0,
            0.0,
            (0.0, 0.0),
        )
    return _Style(
        primitives=tuple(primitives),
        weights=weights,
        turns=tuple(float(turn) for turn in turns),
        mirrored=bool(generator.uniform() < 0.5),
        stroke_shares=shares / shares.sum(),
        stem=stem,
        size_px=generator.uniform(46, 78),
        free=generator.choice([0.05, 0.15, 0.3]),
        dots=generator.choice([0.0, 0.05, 0.3], p=[0.6, 0.2, 0.2]),
        kinship=generator.uniform(0.2, 0.6),
    )


def _invent_character(style: _Style, generator: np.random.Generator, kin: tuple[Stroke, ...] = ()) -> Character:
    """A character; one stroke away from `kin` where that is given."""
    count = 1 + int(generator.choice(MAX_STROKES, p=style.stroke_shares))
    strokes = list(kin)
    if kin:
        if len(kin) > 1 and (len(kin) >= MAX_STROKES or generator.uniform() < 0.5):
            strokes.pop()  # the last one, since no other stroke is joined to it
        count = len(strokes) + 1
    elif style.stem is not None and generator.uniform() < 0.6:
        strokes.append(style.stem)
        count = max(2, count)
    while len(strokes) < count:
        if strokes and generator.uniform() < 0.12:
            strokes.append(_beside(strokes[-1], len(strokes) - 1, generator))
            continue
        shape = style.primitives[int(generator.choice(len(style.primitives), p=style.weights))]
        size = shape.size * float(generator.choice([1.0, 0.7, 0.45], p=[0.5, 0.3, 0.2]))
        mirrored = style.mirrored and bool(generator.uniform() < 0.4)
        knots = turned(shape.knots * size, float(generator.choice(style.turns)), mirrored)
        if not strokes:
            strokes.append(Stroke(knots, shape.smooth, None, 0.0, 0.0, (0.0, 0.0)))
        elif generator.uniform() < style.free:
            strokes.append(_apart(knots, shape.smooth, strokes, generator))
        else:
            joined_to = int(generator.integers(len(strokes)))
            joined_at = float(generator.choice([0.0, 0.25, 0.5, 0.75, 1.0], p=[0.25, 0.1, 0.3, 0.1, 0.25]))
            own_at = float(generator.choice([0.0, 0.5, 1.0], p=[0.5, 0.25, 0.25]))
            strokes.append(Stroke(knots, shape.smooth, joined_to, joined_at, own_at, (0.0, 0.0)))
    if generator.uniform() < style.dots:
        for _ in range(generator.integers(1, 3)):
            strokes.append(_apart(_DOT, False, strokes, generator))
    crowding = 1 + 0.07 * (len(strokes) - 2)
    return Character(tuple(strokes), style.size_px * crowding * generator.uniform(0.85, 1.1))


def _apart(knots: Points, smooth: bool, strokes: list[Stroke], generator: np.random.Generator) -> Stroke:
    """A stroke above, below or beside what is there, touching nothing."""
    points = np.concatenate(compose(Character(tuple(strokes), 1.0), 0.0, None))
    low, high = points.min(0), points.max(0)
    half = np.ptp(knots, axis=0) / 2
    side = float(generator.choice([-1, 1]))
    axis = int(generator.integers(2))
    place = low + (high - low) * generator.uniform(0.2, 0.8, 2)
    place[axis] = (high if side > 0 else low)[axis] + side * (half[axis] + generator.uniform(0.12, 0.25))
    return Stroke(knots, smooth, None, 0.0, 0.0, (float(place[0]), float(place[1])))


def _beside(stroke: Stroke, index: int, generator: np.random.Generator) -> Stroke:
    """The same stroke once more, parallel to itself: the bars of an E."""
    along = stroke.knots[-1] - stroke.knots[0]
    across = np.array([-along[1], along[0]])
    length = float(np.hypot(*across))
    direction = across / length if length > 0.2 else np.array([1.0, 0.0])
    offset = direction * float(generator.choice([-1, 1])) * generator.uniform(0.22, 0.35)
    return Stroke(stroke.knots, stroke.smooth, index, 0.0, 0.0, (float(offset[0]), float(offset[1])))


# Telling characters apart.

LOOK_CELLS = 20
_CELLS = np.arange(LOOK_CELLS)
_BLUR = np.exp(-0.5 * ((_CELLS[:, None] - _CELLS[None]) / 1.6) ** 2)


def _look(character: Character) -> tuple[Float[np.ndarray, " cells"], bool]:
    """A small blurred picture of the character at one centre and extent, and whether the character can be read.

    The picture has length 1, so that two of them multiply to a likeness. A character can be read where it is more
    than a plain line and no stroke hides another.
    """
    strokes = compose(character, 0.0, None)
    centre, extent = middle_and_extent(strokes)
    picture = np.zeros((LOOK_CELLS, LOOK_CELLS), dtype=bool)
    length, legible = 0.0, True
    for points in strokes:
        share = float(path_lengths(points)[-1]) / extent
        at = ((along(points, np.linspace(0, 1, max(2, int(share * 40)))) - centre) / extent + 0.5) * (
            LOOK_CELLS - 5
        ) + 2
        column, row = np.floor(at + 0.5).astype(int).T
        # the first and last tenth may well run along the stroke that it is joined to
        middle = slice(len(row) // 10, len(row) - len(row) // 10)
        legible &= picture[row[middle], column[middle]].mean() < 0.35
        length += share
        picture[row, column] = True
    look = (_BLUR @ picture @ _BLUR).ravel()
    return look / np.sqrt((look * look).sum()), bool(legible and length > 1.25)

"""Alphabets drawn on the spot, in the manner of Omniglot: for an offline start, for tests and for examples.

As in the generative model of Lake et al. (2015, figure 3) a character is a few strokes made of primitives that its
alphabet shares, joined by relations (starting at, ending at, crossing, standing apart); and a drawing of it is one
hand's attempt. Everything follows from the generator given: the same seed draws the same pixels.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw
from torch import Tensor

from siamese.characters.drawings import Drawings
from siamese.data.pen_strokes import Hand, Points, synthetic_hand
from siamese.preprocessing import IMAGE_SIZE_PX

MAX_STROKES = 5
DETAIL = 3  # lines are drawn on a raster this much finer, then thresholded
MARGIN_PX = 4.0  # between the pen's middle and the edge
TWIN_LIKENESS = 0.9  # two characters above this look the same, see `_likeness`
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
    ink = np.empty((alphabets, characters, drawers, IMAGE_SIZE_PX, IMAGE_SIZE_PX), dtype=bool)
    names: list[str] = []
    for a in range(alphabets):
        generator = np.random.default_rng([seed, a])
        alphabet = synthetic_alphabet(characters, generator)
        names.append(alphabet.name if alphabet.name not in names else f"{alphabet.name} {a + 1}")
        for d in range(drawers):
            hand = synthetic_hand(generator)
            for c, character in enumerate(alphabet.characters):
                ink[a, c, d] = _raster(write(character, hand, generator), hand.pen_px)
    index = np.indices((alphabets, characters, drawers)).reshape(3, -1)
    return Drawings(
        ink=torch.from_numpy(ink.reshape(-1, IMAGE_SIZE_PX, IMAGE_SIZE_PX)),
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


def write(character: Character, hand: Hand, generator: np.random.Generator) -> list[Points]:
    """One attempt of one hand at a character: the path of the pen for each stroke, in pixels of the picture."""
    strokes = _compose(character, hand.looseness, generator)
    centre, extent = _middle_and_extent(_compose(character, 0.0, None))
    scale = character.size_px / extent * hand.size * math.exp(generator.normal(0, 0.05))
    turn = hand.turn + generator.normal(0, 0.03)
    cos, sin = math.cos(turn), math.sin(turn)
    # columns are the images of x and y; y points down, so a slant to the right is a negative shear
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[hand.aspect, -hand.slant], [0, 1 / hand.aspect]]) * scale
    place = IMAGE_SIZE_PX / 2 + generator.normal(0, 3.5, 2)
    paths = [_pen(((points - centre) @ matrix.T + place), hand, generator) for points in strokes]
    return _inside(paths)


def draw(character: Character, hand: Hand, generator: np.random.Generator) -> Bool[Tensor, "105 105"]:
    """One drawing: ink true on paper false."""
    return torch.from_numpy(_raster(write(character, hand, generator), hand.pen_px))


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
            _turned(shape.knots * shape.size, float(generator.choice(turns)), False),
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


def _turned(knots: Points, turn: float, mirrored: bool) -> Points:
    cos, sin = math.cos(turn), math.sin(turn)
    flipped = knots * (-1, 1) if mirrored else knots
    return flipped @ np.array([[cos, sin], [-sin, cos]])


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
        knots = _turned(shape.knots * size, float(generator.choice(style.turns)), mirrored)
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
    points = np.concatenate(_compose(Character(tuple(strokes), 1.0), 0.0, None))
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


# From a character to ink.

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


def _lengths(points: Points) -> Float[np.ndarray, " points"]:
    steps = np.diff(points, axis=0)
    return np.concatenate([[0.0], np.cumsum(np.sqrt((steps * steps).sum(1)))])


def _along(points: Points, shares: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    """The points at these shares of the path's length."""
    lengths = _lengths(points)
    at = np.clip(shares, 0, 1) * lengths[-1]
    return np.stack([np.interp(at, lengths, points[:, 0]), np.interp(at, lengths, points[:, 1])], 1)


def _compose(character: Character, looseness: float, generator: np.random.Generator | None) -> list[Points]:
    """The strokes put together; with a generator, as loosely as a hand does it."""

    def waver(scale: float, *shape: int) -> np.ndarray:
        return np.zeros(shape) if generator is None else generator.normal(0, scale * looseness, shape)

    placed: list[Points] = []
    for stroke in character.strokes:
        # a small stroke is drawn with a steadier hand
        steady = min(1.0, 0.1 + float(np.ptp(stroke.knots, axis=0).max()))
        knots = _turned(stroke.knots * np.exp(waver(2.2, 2)), float(waver(1.6, 1)[0]), False)
        knots += waver(0.45 * steady, len(knots), 2)
        knots[[0, -1]] += waver(0.7 * steady, 2, 2)
        points = _curve(knots, stroke.smooth)
        if stroke.joined_to is None:
            joint = own = np.zeros(2)
        else:
            joint = _along(placed[stroke.joined_to], stroke.joined_at + waver(1.5, 1))[0]
            own = _along(points, stroke.own_at + waver(1.5, 1))[0]
        placed.append(points + joint - own + stroke.offset + waver(0.8, 2))
    return placed


def _middle_and_extent(strokes: list[Points]) -> tuple[Float[np.ndarray, " 2"], float]:
    points = np.concatenate(strokes)
    low, high = points.min(0), points.max(0)
    return (low + high) / 2, max(0.3, float((high - low).max()))


def _pen(path: Points, hand: Hand, generator: np.random.Generator) -> Points:
    """What the pen reports of a path meant, both in pixels."""
    length = float(_lengths(path)[-1])
    count = max(3, round(length / hand.step_px) + 1)
    points = _along(path, np.linspace(0, 1, count)) + generator.normal(0, hand.tremor_px, (count, 2))
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


# Telling characters apart.

LOOK_CELLS = 20
_CELLS = np.arange(LOOK_CELLS)
_BLUR = np.exp(-0.5 * ((_CELLS[:, None] - _CELLS[None]) / 1.6) ** 2)


def _look(character: Character) -> tuple[Float[np.ndarray, " cells"], bool]:
    """A small blurred picture of the character at one centre and extent, and whether the character can be read.

    The picture has length 1, so that two of them multiply to a likeness. A character can be read where it is more
    than a plain line and no stroke hides another.
    """
    strokes = _compose(character, 0.0, None)
    centre, extent = _middle_and_extent(strokes)
    picture = np.zeros((LOOK_CELLS, LOOK_CELLS), dtype=bool)
    length, legible = 0.0, True
    for points in strokes:
        share = float(_lengths(points)[-1]) / extent
        at = ((_along(points, np.linspace(0, 1, max(2, int(share * 40)))) - centre) / extent + 0.5) * (
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

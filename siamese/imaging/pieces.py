"""Groups spots of ink to pieces of writing that stand apart from each other."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from siamese.imaging.ink import connected, pen_width_px

LEAST_EXTENT = 0.05  # of the longer side, of a piece of writing
LEAST_PART = 0.3  # of the ink of the largest character, that another one has at least
LEAST_PENS = 4  # widths of the pen: what is smaller is a dot

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in shares of the width and the height, in [0, 1]."""
Piece = tuple[Bool[np.ndarray, "_ _"], Box]
"""The ink of a piece of writing, and its box on the page."""


@dataclass(frozen=True)
class Spacing:
    """How near spots of ink stand that belong to one piece, and what shape a piece has."""

    across: float
    """The widest gap to the left and right, in sizes of the larger spot."""
    down: float
    """The widest gap above and below, in sizes of the larger spot."""
    least_aspect: float
    """Width by height of a piece, at least."""
    by_height: bool
    """Whether the size of a spot is its height, as in a line of writing, or its longer side."""


CHARACTERS = Spacing(
    across=0.8, down=0.8, least_aspect=0.0, by_height=False
)  # 1 of 3,000 drawings of Omniglot is apart


def characters_apart(dark: Bool[np.ndarray, "height width"]) -> list[Box]:
    """Boxes of characters that stand apart from each other, the one with most ink first; ink is true.

    Dots are none, as in Braille.
    """
    pieces = pieces_of(dark, CHARACTERS)
    if len(pieces) < 2:
        return [box for _, box in pieces]
    least_px, least_ink = LEAST_PENS * pen_width_px(dark), LEAST_PART * int(pieces[0][0].sum())
    return [box for ink, box in pieces if max(ink.shape) >= least_px and int(ink.sum()) >= least_ink]


def pieces_of(dark: Bool[np.ndarray, "height width"], spacing: Spacing) -> list[Piece]:
    """Spots that stand together.

    Args:
        dark: Ink true.
        spacing: Which spots belong together.

    Returns:
        The pieces, the one with most ink first.
    """
    labels, stats = connected(dark)
    boxes = stats[:, :4].astype(float)
    boxes[:, 2:] += boxes[:, :2]
    parent = np.arange(len(stats))
    large = [spot for spot in range(1, len(stats)) if max(stats[spot, 2:4]) >= 0.3 * LEAST_EXTENT * max(dark.shape)]
    for place, one in enumerate(large):
        for other in large[place + 1 :]:
            if _is_near(boxes[one], boxes[other], spacing):
                first, second = _root(parent, one), _root(parent, other)
                parent[max(first, second)] = min(first, second)
    groups: dict[int, list[int]] = {}
    for spot in large:
        groups.setdefault(_root(parent, spot), []).append(spot)
    height, width = dark.shape
    found = []
    for spots in groups.values():
        left, top = boxes[spots, :2].min(0)
        right, bottom = boxes[spots, 2:].max(0)
        extent = max(right - left, bottom - top)
        if extent < LEAST_EXTENT * max(dark.shape) or right - left < spacing.least_aspect * (bottom - top):
            continue
        window = slice(int(top), int(bottom)), slice(int(left), int(right))
        ink = np.isin(labels[window], spots)
        box = (float(left / width), float(top / height), float(right / width), float(bottom / height))
        found.append((ink, box))
    return sorted(found, key=lambda entry: -int(entry[0].sum()))


def _root(parent: np.ndarray, spot: int) -> int:
    while parent[spot] != spot:
        spot = int(parent[spot])
    return spot


def _is_near(one: Float[np.ndarray, "4"], other: Float[np.ndarray, "4"], spacing: Spacing) -> bool:
    across = max(one[0], other[0]) - min(one[2], other[2])
    down = max(one[1], other[1]) - min(one[3], other[3])
    size = max(one[3] - one[1], other[3] - other[1])
    if not spacing.by_height:
        size = max(size, one[2] - one[0], other[2] - other[0])
    return bool(across <= spacing.across * size and down <= spacing.down * size)

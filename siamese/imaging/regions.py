"""Finds pieces of writing on a page: where there are several, nobody guesses which one is meant."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from siamese.imaging.decode import Source, decode_image, image_remarks, open_image
from siamese.imaging.ink import connected
from siamese.imaging.page import find_sheet, flattening
from siamese.imaging.printed import separate_print
from siamese.imaging.reading import REMARKS

LEAST_EXTENT = 0.05  # of the longer side, of a piece of writing
LEAST_PART = 0.3  # of the ink of the largest piece of a picture of characters, that another one has at least

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in shares of the width and the height, in [0, 1]."""
Piece = tuple[Bool[np.ndarray, "_ _"], Box]
"""The ink of a piece of writing, and its box on the page."""


@dataclass(frozen=True)
class Spacing:
    """How near spots of ink stand that belong to one piece, and what shape a piece has."""

    across: float
    """The widest gap to the left and right, in heights of the taller spot."""
    down: float
    """The widest gap above and below, in heights of the taller spot."""
    least_aspect: float
    """Width by height of a piece, at least."""


CHARACTERS = Spacing(across=0.8, down=0.8, least_aspect=0.0)


def find_pieces(image: Source | object) -> list[Box]:
    """Finds characters that stand apart from each other in a picture.

    Args:
        image: What `open_image` takes.

    Returns:
        Their boxes on the upright image, the piece with most ink first; none where there is no writing.

    Raises:
        ImageError: For what `open_image` refuses.
    """
    decoded = decode_image(image)
    page = open_image(decoded)
    pieces = pieces_of(separate_print(page).handwriting(), CHARACTERS)
    large = [box for ink, box in pieces if int(ink.sum()) >= LEAST_PART * int(pieces[0][0].sum())]
    return boxes_on_image(large, decoded, page)


def boxes_on_image(boxes: list[Box], decoded: Image.Image, page: Image.Image) -> list[Box]:
    """Where boxes on a page lie on the image that it was cut out of.

    Args:
        boxes: On the page.
        decoded: The image as `decode_image` gives it.
        page: The same as `open_image` gives it: the sheet of paper alone, if there was one.

    Returns:
        For each box the upright one around it on the image.
    """
    picture = np.asarray(decoded)
    corners = find_sheet(picture) if REMARKS["sheet_found"] in image_remarks(page) else None
    if corners is None:
        return boxes
    matrix, _ = flattening(picture.shape[:2], corners)
    size = np.array(picture.shape[1::-1])
    found = []
    for left, top, right, bottom in boxes:
        places = np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) * np.array(page.size)
        places = cv2.perspectiveTransform(places[None], np.linalg.inv(matrix))[0] / size
        (left, top), (right, bottom) = (edge(places, axis=0).clip(0, 1).tolist() for edge in (np.min, np.max))
        found.append((left, top, right, bottom))
    return found


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
    tall = max(one[3] - one[1], other[3] - other[1])
    return bool(across <= spacing.across * tall and down <= spacing.down * tall)

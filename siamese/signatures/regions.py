"""Finds pieces of handwriting on a page: where there are several, nobody guesses which one is meant."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from siamese.imaging.decode import Source, decode_image, image_remarks, open_image
from siamese.imaging.page import find_sheet, flattening
from siamese.imaging.printed import separate_print
from siamese.imaging.reading import REMARKS
from siamese.imaging.unusual import load_detector, measure, scaled_mask

JOIN_ACROSS, JOIN_DOWN = 1.6, 0.4  # of the height of a piece: spots so near belong to it
LEAST_EXTENT = 0.05  # of the longer side, of a piece of handwriting
LEAST_ASPECT = 0.7  # width by height
LEAST_PART = 0.45  # of the ink of the largest piece, that another one has at least


@dataclass(frozen=True)
class Region:
    """A piece of handwriting on a page."""

    left: float
    """Shares of the image's width and height, in [0, 1], of the upright image."""
    top: float
    right: float
    bottom: float
    score: float
    """How much it looks like a signature, in [0, 1]."""


def find_signatures(image: Source | object) -> list[Region]:
    """Finds what looks like signatures on a page, in a photograph of one, or on a form.

    Args:
        image: What `open_image` takes.

    Returns:
        The pieces of handwriting, the likeliest first; none where there is no handwriting.

    Raises:
        ImageError: For what `open_image` refuses.
    """
    decoded = decode_image(image)
    page = open_image(decoded)
    picture, values = np.asarray(decoded), np.asarray(page)
    boxes = [(_scored(piece), box) for piece, box in pieces_of(separate_print(page).handwriting())]
    is_cut_out = REMARKS["sheet_found"] in image_remarks(page)
    corners = find_sheet(picture) if is_cut_out else None
    regions = []
    for score, box in sorted(boxes, key=lambda entry: -entry[0]):
        places = np.array([(box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3])], dtype=np.float64)
        places = places * np.array(values.shape[::-1])
        size = np.array(values.shape[::-1])
        if corners is not None:
            matrix, _ = flattening(picture.shape[:2], corners)
            places = cv2.perspectiveTransform(places[None], np.linalg.inv(matrix))[0]
            size = np.array(picture.shape[1::-1])
        (left, top), (right, bottom) = ((edge(places, axis=0) / size).clip(0, 1).tolist() for edge in (np.min, np.max))
        regions.append(Region(left, top, right, bottom, score))
    return regions


def pieces_of(
    dark: Bool[np.ndarray, "height width"],
) -> list[tuple[Bool[np.ndarray, "_ _"], tuple[float, float, float, float]]]:
    """Spots that stand together.

    Returns:
        For each piece its ink, and left, top, right and bottom in shares of the page; the largest first.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark.astype(np.uint8), connectivity=8)
    boxes = stats[:, :4].astype(float)
    boxes[:, 2:] += boxes[:, :2]
    parent = np.arange(len(stats))
    large = [spot for spot in range(1, len(stats)) if max(stats[spot, 2:4]) >= 0.3 * LEAST_EXTENT * max(dark.shape)]
    for place, one in enumerate(large):
        for other in large[place + 1 :]:
            if _is_near(boxes[one], boxes[other]):
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
        if extent < LEAST_EXTENT * max(dark.shape) or right - left < LEAST_ASPECT * (bottom - top):
            continue
        window = slice(int(top), int(bottom)), slice(int(left), int(right))
        ink = np.isin(labels[window], spots)
        found.append((ink, (left / width, top / height, right / width, bottom / height)))
    return sorted(found, key=lambda entry: -int(entry[0].sum()))


def has_several_pieces(dark: Bool[np.ndarray, "height width"]) -> bool:
    """Whether more than one piece of handwriting on a page without its print may be the signature."""
    pieces = pieces_of(dark)
    if len(pieces) < 2:
        return False
    return int(pieces[1][0].sum()) >= LEAST_PART * int(pieces[0][0].sum()) and _scored(pieces[1][0]) >= 0.5


def _root(parent: np.ndarray, spot: int) -> int:
    while parent[spot] != spot:
        spot = int(parent[spot])
    return spot


def _is_near(one: Float[np.ndarray, "4"], other: Float[np.ndarray, "4"]) -> bool:
    """Whether two spots stand as near as the letters and words of one signature do."""
    across = max(one[0], other[0]) - min(one[2], other[2])
    down = max(one[1], other[1]) - min(one[3], other[3])
    tall = max(one[3] - one[1], other[3] - other[1])
    return bool(across <= JOIN_ACROSS * tall and down <= JOIN_DOWN * tall)


def _scored(ink: Bool[np.ndarray, "_ _"]) -> float:
    """How much ink looks like a signature: by the detector of unusual input."""
    mask = scaled_mask(ink.astype(np.float32))
    if mask is None:
        return 0.0
    detector = load_detector()
    return float(1 / (1 + np.exp(np.clip(detector.logit(measure(mask)) - detector.signature_threshold, -30, 30))))

"""Finds signatures on a page: where there are several, nobody guesses which one is meant."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from siamese.imaging.decode import Source, decode_image, open_image
from siamese.imaging.pieces import Spacing, pieces_of
from siamese.imaging.printed import separate_print
from siamese.imaging.regions import boxes_on_image
from siamese.imaging.unusual import load_detector, measure, scaled_mask

SIGNATURES = Spacing(
    across=1.6, down=0.4, least_aspect=0.7, by_height=True
)  # as the letters and words of one signature stand
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
    pieces = pieces_of(separate_print(page).handwriting(), SIGNATURES)
    scored = sorted(((_scored(ink), box) for ink, box in pieces), key=lambda entry: -entry[0])
    boxes = boxes_on_image([box for _, box in scored], decoded, page)
    return [Region(*box, score) for (score, _), box in zip(scored, boxes, strict=True)]


def has_several_pieces(dark: Bool[np.ndarray, "height width"]) -> bool:
    """Whether more than one piece of handwriting on a page without its print may be the signature."""
    pieces = pieces_of(dark, SIGNATURES)
    if len(pieces) < 2:
        return False
    return int(pieces[1][0].sum()) >= LEAST_PART * int(pieces[0][0].sum()) and _scored(pieces[1][0]) >= 0.5


def _scored(ink: Bool[np.ndarray, "_ _"]) -> float:
    """How much ink looks like a signature: by the detector of unusual input."""
    mask = scaled_mask(ink.astype(np.float32))
    if mask is None:
        return 0.0
    detector = load_detector()
    return float(1 / (1 + np.exp(np.clip(detector.logit(measure(mask)) - detector.signature_threshold, -30, 30))))

"""Detects input that is not a pen drawing, such as faces, landscapes, emoji, noise and printed pages."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from siamese.imaging.ink import pen_width_px
from siamese.imaging.pieces import characters_apart
from siamese.imaging.quantiles import quantile

FITTED = Path(__file__).with_name("unusual.json")  # written by python -m train.unusual
LONGER_PX = 200  # longer side of the ink's box at which it is measured
INK_LEVEL = 0.35  # what counts as ink after scaling
MOSTLY_INK = 0.5  # share of the ink's box: what covers more is a filled shape, unless its strokes are still seen:
SOLID_PEN = 0.2  # width of the pen, in shares of the longer side of the ink's box, from which they are not
FINE_PEN, BROAD_PEN = 0.0085, 0.155  # pen in shares of that side: 0.7 and 12 px of 80, as far as pens were measured
SMALL_PX = 28  # ink whose box is smaller is not measured: a broad pen fills it
FEATURES = ("coverage", "pen", "thickest", "thick_share", "spots", "holes", "length", "filled")
EDGES_PX = 400  # longer side of the picture at which edges are looked for
EDGE_STEP = 0.2  # of the step from paper to ink, that an edge has at least
AROUND_PX = 9  # width of a square around what was read, whose edges are its own
RIM_SHARE = 0.05  # of each side, in which a sheet's own edge may be left
STRAY_EDGES = 0.12  # for each edge of the ink: far more than a photographed page of writing has


@dataclass(frozen=True)
class Detector:
    """A logistic regression on the features and their squares."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    """Of the features, then of their squares; above 0 they speak for something unusual."""
    bias: float
    threshold: float
    """Logit from which on a drawing counts as unusual."""
    signature_threshold: float
    """The same for the ink of a signature, whose letters run together as a drawing's do not."""

    def logit(self, features: Float[np.ndarray, " features"]) -> float:
        """How unusual ink with these features is."""
        standard = (features - np.array(self.mean)) / np.array(self.scale)
        return float(np.concatenate([standard, standard**2]) @ np.array(self.weights) + self.bias)


@cache
def load_detector() -> Detector:
    """The fitted detector that comes with the package."""
    entry = json.loads(FITTED.read_text(encoding="utf-8"))
    return Detector(
        mean=tuple(entry["mean"]),
        scale=tuple(entry["scale"]),
        weights=tuple(entry["weights"]),
        bias=float(entry["bias"]),
        threshold=float(entry["threshold"]),
        signature_threshold=float(entry["signature_threshold"]),
    )


def character_codes(ink: Float[Tensor, "_ _"]) -> list[str]:
    """Codes of remarks on a pen unlike those of the training, on several characters, and on ink that no pen has drawn.

    Args:
        ink: In [0, 1] on paper 0, of any size.
    """
    mask = scaled_mask(ink.numpy())
    if mask is None:
        return []
    several = ["several_pieces"] * (len(characters_apart(mask)) > 1)
    return [*_pen_codes(mask), *several, *_unusual_codes(mask, is_signature=False)]


def signature_codes(ink: Float[Tensor, "_ _"]) -> list[str]:
    """Codes of remarks on ink that no pen has drawn, from ink in [0, 1] on paper 0."""
    mask = scaled_mask(ink.numpy())
    return [] if mask is None else _unusual_codes(mask, is_signature=True)


def _unusual_codes(mask: Bool[np.ndarray, "_ _"], is_signature: bool) -> list[str]:
    """Codes of remarks on ink that no pen has drawn.

    Args:
        mask: Ink as `scaled_mask` gives it.
        is_signature: Whether a signature is expected, not a character.
    """
    detector = load_detector()
    threshold = detector.signature_threshold if is_signature else detector.threshold
    codes = ["mostly_ink"] if mask.mean() > MOSTLY_INK and pen_share(mask) > SOLID_PEN else []
    if detector.logit(measure(mask)) > threshold:
        codes.append("not_strokes")
    return codes


def ground_codes(levels: UInt8[np.ndarray, "height width"], *read: Bool[np.ndarray, "_ _"]) -> list[str]:
    """Returns codes of remarks on a ground that is no paper, as in a photograph of a face; see `stray_edges`."""
    return ["not_strokes"] if stray_edges(levels, *read) > STRAY_EDGES else []


def stray_edges(levels: UInt8[np.ndarray, "height width"], *read: Bool[np.ndarray, "_ _"]) -> float:
    """Compares the edges in the ground of a picture with those of what was read from it; paper has none.

    Args:
        levels: Brightness, 0 to 255.
        read: Masks of the whole picture, at any size: the ink that was found, and the print that was left out.

    Returns:
        The ratio of pixels at edges, 0 for none in the ground.
    """
    scale = min(1.0, EDGES_PX / max(levels.shape))
    size = max(1, round(levels.shape[1] * scale)), max(1, round(levels.shape[0] * scale))
    small = cv2.GaussianBlur(cv2.resize(levels, size, interpolation=cv2.INTER_AREA), (5, 5), 0)
    near = np.zeros(small.shape, dtype=bool)
    for mask in read:
        near |= cv2.resize(mask.view(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA) > 0
    is_near = cv2.dilate(near.view(np.uint8), np.ones((AROUND_PX, AROUND_PX), np.uint8)).view(bool)
    steps = cv2.morphologyEx(small, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    own = steps[is_near]
    if len(own) == 0:
        return 0.0
    edges = steps > max(4.0, 2 * EDGE_STEP * quantile(own, 0.9))
    down, across = (round(RIM_SHARE * side) for side in edges.shape)
    inner = slice(down, edges.shape[0] - down), slice(across, edges.shape[1] - across)
    in_ground, of_ink = int(np.count_nonzero((edges & ~is_near)[inner])), int(np.count_nonzero(edges & is_near))
    return in_ground / max(1, of_ink)


def _pen_codes(mask: Bool[np.ndarray, "_ _"]) -> list[str]:
    """Codes of remarks on a pen unlike those of the training, from ink as `scaled_mask` gives it."""
    share = pen_share(mask)
    return ["fine_pen"] if share < FINE_PEN else ["broad_pen"] if share > BROAD_PEN else []


def pen_share(mask: Bool[np.ndarray, "_ _"]) -> float:
    """Width of the pen in shares of the longer side of the ink's box, from ink as `scaled_mask` gives it."""
    return pen_width_px(np.pad(mask, 1)) / max(mask.shape)


def scaled_mask(ink: Float[np.ndarray, "_ _"]) -> Bool[np.ndarray, "_ _"] | None:
    """Crops ink to its box and scales it to at most LONGER_PX; None if there is too little ink."""
    marked = ink >= INK_LEVEL
    rows, columns = np.flatnonzero(marked.any(1)), np.flatnonzero(marked.any(0))
    if len(rows) == 0:
        return None
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    longer = max(box.shape)
    if longer < SMALL_PX:
        return None
    if longer > LONGER_PX:
        size = [max(1, round(side * LONGER_PX / longer)) for side in box.shape[::-1]]
        box = cv2.resize(np.ascontiguousarray(box, dtype=np.float32), size, interpolation=cv2.INTER_AREA)
    return box >= min(INK_LEVEL, float(box.max()))


def measure(mask: Bool[np.ndarray, "_ _"]) -> Float[np.ndarray, " 8"]:
    """What is measured of ink, in the order of FEATURES."""
    padded = np.pad(mask, 1).astype(np.uint8)
    longer = max(mask.shape)
    pen = pen_width_px(padded > 0)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)
    spots = cv2.connectedComponents(padded, connectivity=8)[0] - 1
    holes = cv2.connectedComponents(1 - padded, connectivity=4)[0] - 2
    area = max(1, int(padded.sum()))
    contours, _ = cv2.findContours(padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(padded), contours, -1, 1, cv2.FILLED)
    return np.array(
        [
            float(mask.mean()),
            np.log(pen / longer),
            np.log(2 * float(distance.max()) / pen),
            float((distance > 0.75 * pen).sum()) / area,
            np.log1p(spots),
            np.log1p(max(0, holes)),
            np.log(area / (pen * longer)),
            float(filled.sum()) / mask.size,
        ]
    )

"""Converts colour to grey by the contrast between paper and pen, and removes ink of other colours."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image

from siamese.imaging.quantiles import median, quantile
from siamese.imaging.unusual import stray_edges

GLANCE_PX = 320  # longer side at which colours are compared
SAMPLE_STEP = 3  # of so many pixels one tells the paper's colour and how much it varies
COLOURFUL = 30  # of 255, between the channels of a pixel
COLOURFUL_SHARE = 0.002  # of the pixels
LEAST_STEP = 0.08  # distance of ink from the paper, of the cube of colours
WEAK_GREY = 0.4  # share of that distance that is left in grey, below which the colours themselves are used
LEAST_ANGLE_DEG = 22  # between the absorption of two inks
LEAST_SHARE = 0.02  # of the ink, of either colour: a thin stamp beside a broad pen
LEAST_PIXELS = 20  # of either colour
FULL_STRENGTH = 0.35  # of the strongest absorption, above which a pixel is wholly covered by a pen or a stamp
LEAST_PALE_SHARE = 0.15  # of the ink, of a highlighter: rims of strokes are fewer
GREYEST = 0.5  # ratio of the least to the most absorbed channel above which pale ink is a shadow
MOST_SPREAD = 0.15  # of the directions of pale ink, above which it has no colour of its own
PALE_STRENGTH = 0.08  # of the strongest absorption, above which a pixel can be that of a highlighter
STRIP_ROWS = 64  # worked on at a time, so that their absorption stays in the cache of the processor
COVERED = 0.5  # amount of an ink, from which on it explains what is seen
UNEXPLAINED_EDGES = 0.05  # for each edge of an ink; pages with two inks have hardly any
ALIKE = 0.93  # ratio of darkness above which neither ink can be told to be the pen's
WHITE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # weights of grey, ITU-R 601

Colours = UInt8[np.ndarray, "_ _ 3"]
Grey = UInt8[np.ndarray, "_ _"]


def is_colourful(picture: Image.Image) -> bool:
    """Whether enough pixels of an "RGB" image have a colour for it to count."""
    step = max(1, max(picture.size) // GLANCE_PX)
    size = -(-picture.width // step), -(-picture.height // step)
    few = np.asarray(picture.resize(size, Image.Resampling.NEAREST) if step > 1 else picture)
    red, green, blue = np.moveaxis(few, -1, 0)  # one after the other: NumPy is slow along an axis of three
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return float(np.mean(spread >= COLOURFUL)) >= COLOURFUL_SHARE


def contrast_in_colour(colours: Colours) -> tuple[Callable[[Colours], Grey] | None, list[str]]:
    """Chooses how a page in colour comes to grey so that the pen stands out.

    Where grey shows the pen well and there is one ink, that is plain grey. Where grey hides it (red on green, yellow
    on white), brightness is measured along the line from the paper's colour to the ink's. Where there are two inks, the
    darker is taken for the pen's, and the other is taken out by colour deconvolution: Ruifrok and Johnston,
    "Quantification of histochemical staining by color deconvolution" (2001).

    Args:
        colours: The page, or a smaller picture of it.

    Returns:
        What brings the page to grey, ink dark or light, None for plain grey; and codes of remarks.
    """
    scale = min(1.0, GLANCE_PX / max(colours.shape[:2]))
    size = max(1, round(colours.shape[1] * scale)), max(1, round(colours.shape[0] * scale))
    # not averaged: thin lines keep their colour
    small = cv2.resize(colours, size, interpolation=cv2.INTER_NEAREST if scale > 0.4 else cv2.INTER_AREA)
    small = small.astype(np.float32) / 255
    sample = small.reshape(-1, 3)[::SAMPLE_STEP]
    paper = np.array([median(channel) for channel in sample.T], dtype=np.float32)
    lit = _light(small)
    away = small - cv2.merge([lit[..., 0] * level for level in paper])
    distance = np.sqrt(np.einsum("ijk,ijk->ij", away, away) / 3)
    sample = distance.ravel()[::SAMPLE_STEP]
    usual = median(sample)
    noise = median(np.abs(sample - usual)) * 1.5
    inked = distance > max(LEAST_STEP, usual + 6 * noise)
    if np.count_nonzero(inked) < 20 or inked.mean() > 0.5:
        return None, []
    away = away[inked]
    density = _absorption(small[inked], paper * lit[inked])
    inks = _two_inks(density)
    if inks is not None:
        pen, other, is_told = inks
        if not is_told:
            return None, ["print_crosses"]
        codes = ["not_strokes"] * _has_more_colours(small, paper, pen, other)
        return partial(_without_other, paper=paper, pen=pen, other=other), ["colour_removed", *codes]
    step = np.median(away, axis=0)
    length = float(np.linalg.norm(step))
    # by the strongest of it: a highlighter under a dark pen covers more than the pen does, and grey shows the pen
    seen = quantile(np.abs(away @ WHITE), 0.95)
    if seen >= WEAK_GREY * length / np.sqrt(3):
        return None, []
    along = step / max(length, 1e-6)
    top = quantile(away @ along, 0.7)
    return partial(_along, paper=paper, step=(along * max(top, 1e-6)).astype(np.float32)), []


def _has_more_colours(
    small: Float32[np.ndarray, "height width 3"], paper: np.ndarray, pen: np.ndarray, other: np.ndarray
) -> bool:
    """Tells whether two inks leave edges of a page unexplained, as they do of a photograph of a face.

    Args:
        small: The page, in [0, 1].
        paper: Colour of the paper.
        pen: Absorption of one ink.
        other: Absorption of the other.
    """
    amounts = _absorption(small, paper) @ np.linalg.pinv(np.stack([pen, other], axis=1)).T
    levels = plain_grey((255 * small).astype(np.uint8))
    return stray_edges(levels, *np.moveaxis(amounts > COVERED, -1, 0)) > UNEXPLAINED_EDGES


def _absorption(
    colours: Float32[np.ndarray, "*pixels 3"], paper: Float32[np.ndarray, "*_ 3"]
) -> Float32[np.ndarray, "*pixels 3"]:
    """How much light of each colour, in [0, 1], ink takes away from the paper: a logarithm, so that inks add up."""
    return np.log((paper + 0.02) / (colours + 0.02)).clip(0)


def plain_grey(colours: Colours) -> Grey:
    """Returns the brightness, ITU-R 601."""
    return cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)


def _along(colours: Colours, paper: np.ndarray, step: np.ndarray) -> Grey:
    """Grey by how far each pixel is on the way from the paper's colour to the ink's."""
    amount = (colours.astype(np.float32) / 255 - paper) @ (step / (step @ step))
    return (255 * (1 - amount.clip(0, 1))).astype(np.uint8)


def _light(small: Float32[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "height width 1"]:
    """Returns the illumination of light paper relative to the middle of the page; 1 if the paper is not light."""
    brightness = small @ WHITE
    middle = median(brightness)
    if middle < 0.35:
        return np.ones((*brightness.shape, 1), np.float32)
    window = round(max(brightness.shape) * 0.25) | 1
    closed = cv2.morphologyEx(brightness, cv2.MORPH_CLOSE, np.ones((window, window), np.uint8))
    closed = cv2.blur(closed, (9, 9))
    return (closed / middle).clip(0.3, 1.5)[..., None].astype(np.float32)


def _two_inks(density: Float32[np.ndarray, "pixels 3"]) -> tuple[np.ndarray, np.ndarray, bool] | None:
    """Returns the absorption of the pen and of another ink, and whether the pen is certain; None for a single ink."""
    strength = np.linalg.norm(density, axis=1)
    strongest = quantile(strength, 0.9)
    full = strength > FULL_STRENGTH * strongest
    directions = density[full] / strength[full, None]
    if len(directions) < 30:
        return None
    cv2.setRNGSeed(1)  # k-means draws its first centres
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 1e-3)
    _, labels, centres = cv2.kmeans(  # type: ignore[call-overload]  # its stubs lack None: no labels to begin with
        directions.astype(np.float32), 2, None, criteria, 2, cv2.KMEANS_PP_CENTERS
    )
    labels = labels.ravel()
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    angle = float(np.degrees(np.arccos(np.clip(centres[0] @ centres[1], -1, 1))))
    shares = np.bincount(labels, minlength=2) / len(labels)
    if angle < LEAST_ANGLE_DEG or shares.min() < max(LEAST_SHARE, LEAST_PIXELS / len(labels)):
        return _pale_ink(density, strength, full, strongest)
    spread = [float(np.median(np.linalg.norm(directions[labels == one] - centres[one], axis=1))) for one in (0, 1)]
    if max(spread) > 0.35 * np.linalg.norm(centres[0] - centres[1]):  # one ink whose colour wavers
        return None
    inks = [np.quantile(density[full][labels == one], 0.75, axis=0) for one in (0, 1)]
    darkness = [1 - float(np.exp(-ink) @ WHITE) for ink in inks]
    pen = int(darkness[1] > darkness[0])
    return inks[pen], inks[1 - pen], darkness[1 - pen] < ALIKE * darkness[pen]


def _pale_ink(
    density: Float32[np.ndarray, "pixels 3"],
    strength: Float32[np.ndarray, " pixels"],
    full: Bool[np.ndarray, " pixels"],
    strongest: float,
) -> tuple[np.ndarray, np.ndarray, bool] | None:
    """Returns the absorption of the pen and of a highlighter of another colour, far paler than the pen; None without.

    Args:
        density: Absorption of each inked pixel.
        strength: Its length.
        full: Whether the pixel is wholly covered by the pen.
        strongest: The strength of the pen.
    """
    pen = np.quantile(density[full], 0.75, axis=0)
    pale = ~full & (strength > PALE_STRENGTH * strongest)
    directions = density[pale] / strength[pale, None]
    apart = directions @ (pen / np.linalg.norm(pen)) < np.cos(np.radians(LEAST_ANGLE_DEG))
    if np.count_nonzero(apart) < max(LEAST_PIXELS, LEAST_PALE_SHARE * len(density)):
        return None
    centre = np.median(directions[apart], axis=0)
    wavers = float(np.median(np.linalg.norm(directions[apart] - centre, axis=1))) > MOST_SPREAD
    if wavers or centre.min() > GREYEST * centre.max():  # noise, or a shadow
        return None
    return pen, np.median(density[pale][apart], axis=0), True


def _without_other(colours: Colours, paper: np.ndarray, pen: np.ndarray, other: np.ndarray) -> Grey:
    """Returns the amount of the pen's ink as grey, by least squares on the absorption of both inks."""
    light = np.log(np.arange(256, dtype=np.float32) / 255 + 0.02)
    of_level = (np.log(paper + 0.02).astype(np.float32) - light[:, None]).clip(0)[None]  # absorption, [1, 256, 3]
    first, second = np.linalg.pinv(np.stack([pen, other], axis=1)).astype(np.float32)
    alone = (pen / (pen @ pen)).astype(np.float32)
    dark = float(np.exp(-pen) @ WHITE)
    grey = np.empty(colours.shape[:2], dtype=np.uint8)
    for top in range(0, len(colours), STRIP_ROWS):
        density = cv2.LUT(colours[top : top + STRIP_ROWS], of_level)
        amount = np.where(density @ second < 0, density @ alone, density @ first).clip(0, 1)
        grey[top : top + STRIP_ROWS] = 255 * (1 - amount * (1 - dark))
    return grey

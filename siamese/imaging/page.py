"""Finds the sheet of paper in a photograph or scan and corrects its rotation and perspective."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from siamese.imaging.quadrilateral import Corners, Grey, best_quadrilateral
from siamese.imaging.quantiles import quantile

GLANCE_PX = 400  # longer side at which a sheet is looked for
SHEET_PX = 1600  # longer side, at most, of the sheet that is cut out
STROKE_SHARE = 0.09  # of the longer side: dark structures narrower than this are taken for ink and filled
EVEN_GROUND = 14  # of 255: a ground that varies less holds no edge of a sheet
UPRIGHT_PX = 1.0  # by which the ends of an upright edge may differ
INSET_SHARE = 0.012  # of the shorter side, cut off all around: the edge itself and its shadow


def find_sheet(values: UInt8[np.ndarray, "..."]) -> Corners | None:
    """Finds the corners of the sheet.

    Args:
        values: The picture, grey or in colours, paper light.

    Returns:
        Column and row of the corners from the top left one clockwise, in pixels of `values`; None for no sheet.
    """
    height, width = values.shape[:2]
    # averaging all pixels would take longer and show no more
    values = every_nth(values, max(1, max(height, width) // (2 * GLANCE_PX)))
    scale = min(1.0, GLANCE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    small = cv2.medianBlur(small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), 5)
    ground = _filled(small)
    if np.ptp(ground) < EVEN_GROUND:  # a clean drawing
        return None
    sample = ground[::2, ::2]
    if quantile(sample, 0.99) - quantile(sample, 0.01) < EVEN_GROUND:
        return None
    found = best_quadrilateral(ground, small)
    if found is None:
        return None
    return found * (np.array([width, height]) / np.array(size))


def every_nth(values: UInt8[np.ndarray, "..."], step: int) -> UInt8[np.ndarray, "..."]:
    """Takes every row and column whose number is a multiple of `step`; NumPy takes five times as long for colours."""
    if step == 1:
        return values
    size = -(-values.shape[1] // step), -(-values.shape[0] // step)
    return cv2.warpAffine(values, np.diag([step, step, 0.0])[:2], size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)


def flattened(values: UInt8[np.ndarray, "..."], corners: Corners) -> UInt8[np.ndarray, "..."]:
    """Rectifies the quadrilateral to a rectangle seen from above and cuts off its edges.

    Args:
        values: The picture, grey or in colours.
        corners: From the top left one clockwise.
    """
    upright = _upright_box(corners)
    if upright is not None:  # nothing to turn: the pixels stay as they are
        return _cropped(values, upright)
    matrix, size = flattening(values.shape[:2], corners)
    scale = max(size) / max(float(np.linalg.norm(corners[i] - corners[i - 1])) for i in range(4))
    if scale < 0.6:  # so that no thin line falls between the pixels that are read
        factor = scale * 1.2
        values = cv2.resize(values, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([1 / factor, 1 / factor, 1.0])
    return cv2.warpPerspective(values, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _upright_box(corners: Corners) -> tuple[int, int, int, int] | None:
    """Returns left, top, right and bottom of an upright sheet of at most SHEET_PX; None for others."""
    left, right, top, bottom = (
        corners[ends, axis] for axis, ends in ((0, [0, 3]), (0, [1, 2]), (1, [0, 1]), (1, [2, 3]))
    )
    if max(float(np.ptp(side)) for side in (left, right, top, bottom)) > UPRIGHT_PX:
        return None
    box = round(left.max()), round(top.max()), round(right.min()), round(bottom.min())
    return box if max(box[2] - box[0], box[3] - box[1]) <= SHEET_PX else None


def _cropped(values: UInt8[np.ndarray, "..."], box: tuple[int, int, int, int]) -> UInt8[np.ndarray, "..."]:
    """Crops to a box and cuts off its edges, except those at the border of the picture."""
    height, width = values.shape[:2]
    left, top, right, bottom = box
    inset = max(3, round(INSET_SHARE * min(right - left, bottom - top)))
    low = [at + inset if at > 2 else 0 for at in (left, top)]
    high = [at - inset if at < side - 2 else side for at, side in ((right, width), (bottom, height))]
    return np.ascontiguousarray(values[low[1] : high[1], low[0] : high[0]])


def flattening(shape: tuple[int, ...], corners: Corners) -> tuple[Float[np.ndarray, "3 3"], tuple[int, int]]:
    """The perspective from a picture of this shape to the sheet alone, and the sheet's width and height."""
    top, right, bottom, left = (float(np.linalg.norm(corners[i] - corners[(i + 1) % 4])) for i in range(4))
    wide, tall = (top + bottom) / 2, (left + right) / 2
    scale = min(1.0, SHEET_PX / max(wide, tall))
    size = max(8, round(wide * scale)), max(8, round(tall * scale))
    inset = max(3.0, INSET_SHARE * min(size))
    target = np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]], dtype=np.float64)
    # an edge that is the picture's own rim shows no desk: nothing is cut off there
    for side, (axis, limit) in enumerate(((1, 0.0), (0, float(shape[1])), (1, float(shape[0])), (0, 0.0))):
        ends = [side, (side + 1) % 4]
        if np.abs(corners[ends, axis] - limit).max() > 2:
            target[ends, axis] += -inset if side in (0, 3) else inset
    return cv2.getPerspectiveTransform(corners.astype(np.float32), target.astype(np.float32)), size


def _filled(small: Grey) -> Grey:
    """The picture without ink: dark structures narrower than STROKE_SHARE filled with what surrounds them."""
    window = round(max(small.shape) * STROKE_SHARE) | 1
    kernel = np.ones((window, window), dtype=np.uint8)
    # repeated beyond the rim, so that a narrow strip of desk there is not filled as if it were a stroke
    padded = cv2.copyMakeBorder(small, window, window, window, window, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)
    return cv2.medianBlur(np.ascontiguousarray(closed[window:-window, window:-window]), 5)

"""Statistics of an image that do not depend on the shape of the signature: paper, pen and size."""

import numpy as np
from jaxtyping import Float32, UInt8

STATISTICS = ("background", "ink_darkness", "stroke_width", "ink_size", "aspect_ratio")


def image_statistics(image: UInt8[np.ndarray, "height width"]) -> Float32[np.ndarray, "5"]:
    """STATISTICS of one image with ink light on dark paper, the two parted by Otsu's threshold.

    Returns:
        Median level of the paper and mean level of the ink, of 255; mean width of a stroke in pixels; area of the ink
        in pixels; width over height of its box.
    """
    import cv2

    lowest = image.min()
    # what is above the threshold is ink; an even image is ink altogether
    threshold = int(cv2.threshold(image, 0, 255, cv2.THRESH_OTSU)[0]) + 1 if image.max() > lowest else int(lowest)
    mask = image >= threshold
    counts = np.bincount(image.reshape(-1), minlength=256)
    paper, levels = counts[:threshold], np.arange(256)
    area = int(counts[threshold:].sum())
    background = int(np.searchsorted(paper.cumsum(), paper.sum() / 2))
    darkness = float(counts[threshold:] @ levels[threshold:]) / area
    # the steps along rows and columns count an outline's height and width: over all directions 4 / pi of its length
    steps = np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1])
    width_px = 2 * area / max(1.0, steps * np.pi / 4)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    aspect = (columns[-1] - columns[0] + 1) / (rows[-1] - rows[0] + 1)
    return np.array([background, darkness, width_px, area, aspect], dtype=np.float32)

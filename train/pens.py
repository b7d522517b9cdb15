"""Layers from which `train.augment` redraws a drawing with another pen, by the distance to its centre lines."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from siamese.imaging.skeleton import skeletonize

REACH_PX = 10.0  # largest distance that is kept, enough for a pen of 19 px
SMALL_STROKE = 0.2  # largest share of the ink in a connected part that may be removed
BLUR_PX = 2  # margin around a removed part, so that its blurred edge goes too


def distance_to_lines(lines: Bool[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    """Returns the distance of each pixel to the nearest pixel of a line; infinite if there are no lines."""
    if not lines.any():
        return np.full(lines.shape, np.inf, np.float32)
    return cv2.distanceTransform((~lines).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def pen_layers(prepared: UInt8[Tensor, "drawings 1 105 105"]) -> UInt8[Tensor, "drawings 3 105 105"]:
    """Computes the layers that `train.augment` needs to redraw drawings or to remove their smallest part.

    Args:
        prepared: Ink 255 on paper 0.

    Returns:
        Three layers for each drawing: the ink; the nearness to a centre line (255 on it, falling to 0 at REACH_PX);
        and 255 on the smallest connected part, if there are several and it has at most SMALL_STROKE of the ink.
    """
    layers = np.zeros((len(prepared), 3, *prepared.shape[2:]), np.uint8)
    layers[:, :1] = prepared.numpy()
    for picture, nearness, smallest in layers:
        mask = picture >= 128
        distance = distance_to_lines(skeletonize(torch.from_numpy(mask)).numpy())
        nearness[:] = np.round(np.clip(1 - distance / REACH_PX, 0, 1) * 255)
        smallest[:] = _smallest_part(mask.astype(np.uint8))
    return torch.from_numpy(layers)


def _smallest_part(mask: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    if count < 3 or areas.min() > SMALL_STROKE * areas.sum():
        return np.zeros_like(mask)
    smallest = (labels == 1 + areas.argmin()).astype(np.uint8) * 255
    return cv2.dilate(smallest, np.ones((2 * BLUR_PX + 1, 2 * BLUR_PX + 1), np.uint8))

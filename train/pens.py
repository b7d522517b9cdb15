"""Drawings as other pens would have drawn them: by the distance of each pixel to the middle of the nearest line."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from siamese.imaging.skeleton import skeletonize

REACH_PX = 10.0  # distances up to here are kept: enough for a pen of 19 px
SMALL_STROKE = 0.2  # of a drawing's ink: a part that hangs together and has at most this much may be lost
BLUR_PX = 2  # around a small stroke, so that no edge of it is left behind


def distance_to_lines(lines: Bool[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    """The distance in pixels from each pixel to the nearest one of the lines; infinite where there is no line."""
    if not lines.any():
        return np.full(lines.shape, np.inf, np.float32)
    return cv2.distanceTransform((~lines).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def pen_layers(prepared: UInt8[Tensor, "drawings 1 105 105"]) -> UInt8[Tensor, "drawings 3 105 105"]:
    """What `train.augment` needs to draw prepared drawings again with another pen or without a small stroke.

    Args:
        prepared: Ink 255 on paper 0.

    Returns:
        Three layers for each drawing: the ink; how near the middle of a line is (255 on it, 0 from REACH_PX on); and
        255 where its smallest part stands, provided it has several and that one holds at most SMALL_STROKE of the ink.
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

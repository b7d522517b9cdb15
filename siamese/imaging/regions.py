"""Finds pieces of writing on a picture of a page: where there are several, nobody guesses which one is meant."""

import cv2
import numpy as np
from PIL import Image

from siamese.imaging.decode import Source, decode_image, image_remarks, open_image
from siamese.imaging.page import find_sheet, flattening
from siamese.imaging.pieces import Box, characters_apart
from siamese.imaging.printed import separate_print
from siamese.imaging.reading import REMARKS


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
    return boxes_on_image(characters_apart(separate_print(page).handwriting()), decoded, page)


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

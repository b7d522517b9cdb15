"""The pieces of writing in a picture, for the sheets of the tabs about characters to choose from."""

from siamese.imaging.decode import ImageError
from siamese.imaging.regions import find_pieces
from siamese.ui.validation import MAX_PICTURE_BYTES, UserError, decoded_file, for_page


@for_page
def picture_pieces(asked: dict) -> dict:
    """Returns the boxes of characters that stand apart in the picture; fewer than two leave nothing to choose."""
    try:
        boxes = find_pieces(decoded_file(asked.get("picture"), "The picture", MAX_PICTURE_BYTES))
    except ImageError as error:
        raise UserError(f"The picture: {error}") from error
    return {"regions": [dict(zip(("left", "top", "right", "bottom"), box, strict=True)) for box in boxes]}

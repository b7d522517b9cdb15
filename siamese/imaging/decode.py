"""Reads images of any origin as safe grey images and prepares them; all pixels from outside come in here."""

import io
import threading
from collections.abc import Callable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageFile, ImageOps, WebPImagePlugin
from torch import Tensor

from siamese.imaging.colour import GLANCE_PX, contrast_in_colour, is_colourful, plain_grey
from siamese.imaging.formats import FORMATS as FORMATS
from siamese.imaging.formats import MAX_PIXELS as MAX_PIXELS
from siamese.imaging.formats import (
    NAMES,
    SIGNATURES,
    WEB_FORMATS,
    check_bounds,
    check_size,
    format_of,
    has_further_pages,
    how_to_convert,
    too_many_pixels,
)
from siamese.imaging.ink import SMALL_PX, find_ink, is_light_on_dark
from siamese.imaging.page import every_nth, find_sheet, flattened
from siamese.imaging.printed import separate_print
from siamese.imaging.quadrilateral import Corners
from siamese.imaging.reading import REMARKS, ImageError, Reading, Remark, merge_remarks
from siamese.imaging.unusual import INK_LEVEL, character_codes, ground_codes
from siamese.imaging.values import image_of_array, to_8_bits
from siamese.preprocessing import Preprocessing, prepare_ink

MAX_BYTES = 32 << 20  # a photograph of 48 megapixels has 12 to 25 MB
MAX_JPEG_PIXELS = 64_000_000  # decoded at a reduced size, see `_decode`
MAX_BILEVEL_PIXELS = 36_000_000  # A4 at 600 dpi has 34.8 million; brought to less than MAX_PIXELS once it is grey
MAX_RLE_PIXELS = 1_000_000  # Pillow unpacks run lengths in Python
DRAFT_SIDE_PX = 1200  # a large JPEG is decoded at 1/2, 1/4 or 1/8 while its shorter side stays above this
MIN_CONTRAST = 8  # of 255, between the darkest and the lightest pixel
LOW_CONTRAST = 40  # of 255: below it a remark is made
LARGE_PIXELS = 4_000_000  # larger ones are decoded one at a time: the memory of several visitors must not add up

Source = str | PathLike | bytes | bytearray | memoryview | BinaryIO | Image.Image | np.ndarray | Tensor

TURNS = {  # EXIF orientation, as in ImageOps.exif_transpose
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION = 0x0112
NO_BYTES = "The image file is empty; please save or send it again."
NOTED = "siamese.remarks"  # key of a Pillow image's info under which its remarks travel

assert WebPImagePlugin.SUPPORTED, "This Pillow was built without WebP."  # naming the plug-in has registered it

_one_large_image = threading.Lock()


def open_image(source: Source | object, formats: Sequence[str] = FORMATS) -> Image.Image:
    """Reads any image as a safe 8-bit grey one ("L") at its own resolution, dark ink on white, upright as EXIF says.

    JPEGs of more than 4 megapixels come at 1/2, 1/4 or 1/8 of their size, 1-bit images of more than 16 at 1/2. What is
    transparent becomes paper; light ink on a dark ground is turned over.

    Args:
        source: A path, the bytes of a file, or a Pillow image. The format is told by the content; of a GIF the first
            frame is read, of a TIFF the first page.
        formats: The formats that are read, out of FORMATS.

    Returns:
        The grey image, of a photograph the sheet of paper alone; `image_remarks` gives what is worth saying about how
        it was read.

    Raises:
        ImageError: And nothing else, for whatever cannot be used.
    """
    try:
        if isinstance(source, Image.Image) and NOTED in source.info:  # it has passed here before
            grey, remarks = source.copy(), list(image_remarks(source))
        else:
            picture, codes = _decoded(source, formats)
            grey, more = _page(picture)
            remarks = [REMARKS[code] for code in (*codes, *more)]
        grey.info = {NOTED: tuple(remarks)}  # not what the file itself says under this key
        return grey
    except ImageError:
        raise
    except Exception as error:  # Pillow raises SyntaxError, EOFError, struct.error, MemoryError and more
        raise ImageError("The image is damaged and cannot be read; please save it again as PNG or JPEG.") from error


def decode_image(source: Source | object, formats: Sequence[str] = FORMATS) -> Image.Image:
    """Reads any image as a safe "L" or, where colours count, "RGB" one, upright, with all that is in it.

    Args:
        source: As `open_image` takes it.
        formats: The formats that are read, out of FORMATS.

    Raises:
        ImageError: And nothing else, for whatever cannot be used.
    """
    try:
        return _decoded(source, formats)[0]
    except ImageError:
        raise
    except Exception as error:
        raise ImageError("The image is damaged and cannot be read; please save it again as PNG or JPEG.") from error


def _decoded(source: object, formats: Sequence[str]) -> tuple[Image.Image, list[str]]:
    """An "L" or "RGB" image, and codes of remarks."""
    if isinstance(source, np.ndarray | Tensor):
        source = image_of_array(source)
    if isinstance(source, Image.Image):
        return _decoded_picture(source, formats)
    data = _read(source)
    picture, codes = _decoded_file(data, formats)
    if data.startswith(SIGNATURES["TIFF"]) and has_further_pages(data):
        codes = [*codes, "first_page"]
    return picture, codes


def _extrema(grey: Image.Image) -> tuple[int, int]:
    """Returns the darkest and the lightest value of a picture with one band."""
    return cast(tuple[int, int], grey.getextrema())  # of several bands Pillow gives several pairs


def _page(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    """Returns the sheet of paper in grey, dark ink on white, and codes of remarks."""
    codes: list[str] = []
    pixels = np.asarray(picture)
    is_small = max(picture.size) <= SMALL_PX
    corners = None if is_small else find_sheet(pixels)
    if corners is not None:
        codes.append("sheet_found")
    if pixels.ndim == 3:
        to_grey, more = (plain_grey, []) if is_small and _is_plain(pixels) else _way_to_grey(pixels, corners)
        codes += more
        if corners is None:
            pixels = to_grey(pixels)
        elif to_grey is plain_grey:  # a third of the work: what is turned is grey already
            pixels = flattened(plain_grey(pixels), corners)
        else:
            pixels = to_grey(flattened(pixels, corners))
    elif corners is not None:
        pixels = flattened(pixels, corners)
    grey = picture if picture.mode == "L" and corners is None else Image.fromarray(pixels)
    darkest, lightest = int(pixels.min()), int(pixels.max())
    if lightest - darkest < MIN_CONTRAST:
        raise ImageError(
            "The image is blank: nothing on it is darker or lighter than the rest; please choose one with writing."
        )
    if lightest - darkest < LOW_CONTRAST:
        codes.append("low_contrast")
    return (ImageOps.invert(grey) if is_light_on_dark(grey) else grey), codes


def _is_plain(colours: UInt8[np.ndarray, "height width 3"]) -> bool:
    """Tells whether plain grey has enough contrast."""
    return int(np.ptp(plain_grey(colours))) >= LOW_CONTRAST


def _way_to_grey(
    colours: UInt8[np.ndarray, "height width 3"], corners: Corners | None
) -> tuple[Callable[[UInt8[np.ndarray, "_ _ 3"]], UInt8[np.ndarray, "_ _"]], list[str]]:
    """Chooses by a smaller picture how the paper in it comes to grey; with codes of remarks."""
    step = max(1, max(colours.shape) // (2 * GLANCE_PX))
    colours = every_nth(colours, step)
    if corners is not None:
        colours = flattened(colours, corners / step)
    to_grey, codes = contrast_in_colour(colours)
    return to_grey or plain_grey, codes


def check_format(data: bytes, formats: Sequence[str] = WEB_FORMATS) -> None:
    """Refuses the bytes of a file that is no image in one of `formats`.

    Raises:
        ImageError: With a sentence that says, where the format is known, how to convert the file.
    """
    if not data:
        raise ImageError(NO_BYTES)
    kind = format_of(data)
    if kind is None or kind not in formats:
        raise ImageError(how_to_convert(kind, formats))


def load_ink(source: Source | object, preprocessing: Preprocessing = Preprocessing()) -> Float[Tensor, "1 105 105"]:
    """Returns the ink that `read_ink` finds, without the remarks; raises what it raises."""
    return read_ink(source, preprocessing).ink


def read_ink(source: Source | object, preprocessing: Preprocessing = Preprocessing()) -> Reading:
    """Reads the character in an image: found, centred and scaled.

    Args:
        source: What `open_image` takes.
        preprocessing: How the network was shown characters in training.

    Returns:
        Ink 1 on paper 0, [1, 105, 105], with what was noticed.

    Raises:
        ImageError: For what `open_image` refuses, and where no ink is found.
        ValueError: Where `preprocessing` is that of signatures, which `signatures.isolation.read_signature` reads.
    """
    if preprocessing.kind != "character":
        raise ValueError(f"These weights compare images of kind {preprocessing.kind!r}; please use `verify` with them.")
    grey = open_image(source)
    reading = find_writing(grey)
    try:
        prepared = prepare_ink(reading.ink, preprocessing)
    except ValueError as error:
        raise ImageError(
            "No ink was found in the image; please choose one with darker writing, or crop it to the writing."
        ) from error
    return Reading(prepared, merge_remarks([image_remarks(grey), reading.remarks]))


def find_writing(grey: Image.Image) -> Reading:
    """The ink of an image as `open_image` gives it, without what is printed, at up to 800 px; all zero for none."""
    if max(grey.size) <= SMALL_PX:
        ink = find_ink(grey)
        return Reading(ink, tuple(REMARKS[code] for code in character_codes(ink)))
    page = separate_print(grey)
    ink = find_ink(page.image)
    codes = [*character_codes(ink), *ground_codes(page.levels, ink.numpy() >= INK_LEVEL, page.printed)]
    return Reading(ink, merge_remarks([page.remarks, [REMARKS[code] for code in codes]]))


def image_remarks(image: Image.Image | object) -> tuple[Remark, ...]:
    """Returns the remarks of `open_image` on an image; empty for other Pillow images."""
    remarks = image.info.get(NOTED) if isinstance(image, Image.Image) else None
    return remarks if isinstance(remarks, tuple) else ()


def _read(source: object) -> bytes:
    """Returns the bytes of a file, at most MAX_BYTES of them."""
    if isinstance(source, bytes | bytearray | memoryview):
        if memoryview(source).nbytes > MAX_BYTES:
            raise ImageError(f"The image file is larger than {MAX_BYTES >> 20} MB; please bring a smaller one.")
        data = bytes(source)
    elif isinstance(source, str | PathLike):
        path = Path(fspath(source))
        try:
            if not path.is_file():  # neither a folder nor a device or pipe, which would never end
                raise ImageError(f"There is no image file at {str(path)!r}.")
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            if isinstance(error, ImageError):
                raise
            raise ImageError(f"The image file {str(path)!r} cannot be read.") from error
        if len(data) > MAX_BYTES:
            raise ImageError(f"The image file is larger than {MAX_BYTES >> 20} MB; please bring a smaller one.")
    elif source is None:
        raise ImageError("No image was given.")
    elif hasattr(source, "read"):
        data = source.read(MAX_BYTES + 1)
        if not isinstance(data, bytes):
            raise ImageError("The open file gives text; please open it in binary mode ('rb').")
        if len(data) > MAX_BYTES:
            raise ImageError(f"The image file is larger than {MAX_BYTES >> 20} MB; please bring a smaller one.")
    else:
        raise ImageError(
            "An image is a path, bytes, an open file, a Pillow image, a NumPy array or a torch tensor, not "
            f"{type(source).__name__}."
        )
    if not data:
        raise ImageError(NO_BYTES)
    return data


def _decoded_file(data: bytes, formats: Sequence[str]) -> tuple[Image.Image, list[str]]:
    kind = format_of(data)
    if kind is None or kind not in formats:
        raise ImageError(how_to_convert(kind, formats))
    try:
        check_bounds(kind, data)
        with Image.open(io.BytesIO(data), formats=[kind]) as image:
            return _decoded_picture(image, formats)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_many_pixels(MAX_PIXELS) from error
    except Exception as error:
        name = NAMES.get(kind, kind)
        raise ImageError(f"The {name} image is damaged or cut short; please save or send it again.") from error


def _decoded_picture(image: Image.Image, formats: Sequence[str]) -> tuple[Image.Image, list[str]]:
    """Checks of what the header says, decoding, and paper where nothing is; for Pillow images of any origin."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    if isinstance(image, ImageFile.ImageFile) and image.format not in {*formats, "MPO"}:
        raise ImageError(how_to_convert(image.format, formats))
    can_be_reduced = image.format in {"JPEG", "MPO"} and isinstance(image, ImageFile.ImageFile)
    max_pixels = MAX_BILEVEL_PIXELS if image.mode == "1" else MAX_PIXELS
    check_size(*image.size, MAX_JPEG_PIXELS if can_be_reduced else max_pixels)
    if image.format == "BMP" and tiles and tiles[0][0] == "bmp_rle":
        check_size(*image.size, MAX_RLE_PIXELS)
    if image.width * image.height > LARGE_PIXELS:
        with _one_large_image:
            picture, codes, orientation = _decode(image, can_be_reduced)
    else:
        picture, codes, orientation = _decode(image, can_be_reduced)
    return (picture.transpose(TURNS[orientation]) if orientation in TURNS else picture), codes


def _decode(image: Image.Image, can_be_reduced: bool) -> tuple[Image.Image, list[str], int]:
    """The decoded image in grey or, where colours count, in "RGB"; codes of remarks; and its EXIF orientation."""
    if can_be_reduced and isinstance(image, ImageFile.ImageFile) and image.tile:
        small = (DRAFT_SIDE_PX, DRAFT_SIDE_PX) if image.width * image.height > LARGE_PIXELS else image.size
        image.draft("L" if image.mode == "L" else "RGB", small)
        check_size(*image.size, MAX_PIXELS)
    image.load()
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # the picture is whole, only the note about it is not
        orientation = 1
    picture, codes = _on_white(image)
    return picture, codes, orientation if isinstance(orientation, int) else 1


def _on_white(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Converts any mode to "L" or, if colours count, to "RGB"; transparent pixels become white."""
    if image.mode == "1" and image.width * image.height > MAX_PIXELS:
        return image.convert("L").reduce(2), []
    if image.mode == "L" and "transparency" not in image.info and image.getextrema() != (0, 1):
        return image.copy(), []
    if image.mode in {"I", "F"} or image.mode.startswith("I;16") or image.mode == "L":
        values, codes = to_8_bits(np.asarray(image))
        return Image.fromarray(values), codes
    if "transparency" in image.info and image.mode in {"1", "L", "P", "RGB"}:
        image = image.convert("RGBA")
    if image.mode in {"PA", "La", "RGBa"}:
        image = image.convert({"PA": "RGBA", "La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode not in {"LA", "RGBA"}:
        if image.mode == "1":
            return image.convert("L"), []
        colours = image if image.mode == "RGB" else image.convert("RGB")
        return (colours.copy() if is_colourful(colours) else colours.convert("L")), []
    alpha, grey = image.getchannel("A"), image.convert("L")
    on_white = Image.composite(grey, Image.new("L", image.size, 255), alpha)
    darkest, lightest = _extrema(on_white)
    if lightest - darkest >= MIN_CONTRAST:
        return on_white, []
    return Image.composite(grey, Image.new("L", image.size, 0), alpha), []  # white ink on nothing: seen on black

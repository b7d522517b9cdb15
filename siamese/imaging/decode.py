"""Reads a file of any origin as a safe grey image, and on to the network's input: the one door for outside pixels."""

import io
import threading
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageFile, ImageOps, WebPImagePlugin
from torch import Tensor

from siamese.imaging.ink import find_ink, is_light_on_dark
from siamese.preprocessing import Preprocessing, prepare_ink

MAX_BYTES = 32 << 20  # a photograph of 48 megapixels has 12 to 25 MB
MAX_PIXELS = 16_000_000
MAX_JPEG_PIXELS = 64_000_000  # decoded at a reduced size, see `_decode`
MAX_BILEVEL_PIXELS = 36_000_000  # A4 at 600 dpi has 34.8 million; brought to less than MAX_PIXELS once it is grey
MAX_JPEG_COEFFICIENTS = 48_000_000  # where libjpeg holds them all: in JPEGs of several scans
MAX_JPEG_SCANS = 32
MAX_JPEG_HEADER_BYTES = 8 << 20
MAX_RLE_PIXELS = 1_000_000  # Pillow unpacks run lengths in Python
MAX_BLOCKS = 20_000  # chunks or segments, each of which costs Pillow a turn in Python
MAX_TIFF_TAGS = 256
MAX_TIFF_VALUES = 100_000  # of one tag; the strips of an image are such values
MAX_GIF_BLOCKS = 2_000  # before the picture; Pillow copies a whole comment again for each of its blocks
DRAFT_SIDE_PX = 1200  # a large JPEG is decoded at 1/2, 1/4 or 1/8 while its shorter side stays above this
MIN_SIDE_PX = 8
MAX_ASPECT = 20
MIN_CONTRAST = 8  # of 255, between the darkest and the lightest pixel
LARGE_PIXELS = 4_000_000  # larger ones are decoded one at a time: the memory of several visitors must not add up

Source = str | PathLike | bytes | bytearray | memoryview | Image.Image

SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "GIF": (b"GIF8",),
    "BMP": (b"BM",),
    "WEBP": (b"RIFF",),
    "TIFF": (b"II*\x00", b"MM\x00*"),
}
WEB_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")  # what the open app takes: browsers show these themselves
FORMATS = (*WEB_FORMATS, "TIFF")
NAMES = {"WEBP": "WebP"}  # where a format's name is not its key
HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"}
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
REMARKS = "remarks"
TIFF_BYTES = (1, 2, 6, 7)  # types of tags whose values Pillow keeps as bytes

assert WebPImagePlugin.SUPPORTED, "This Pillow was built without WebP."  # naming the plug-in has registered it

_one_large_image = threading.Lock()


class ImageError(ValueError):
    """An image that cannot be used; its text is one sentence for the person who brought it."""


def open_image(source: Source | object, formats: Sequence[str] = FORMATS) -> Image.Image:
    """Reads any image as a safe 8-bit grey one ("L") at its own resolution, dark ink on white, upright as EXIF says.

    JPEGs of more than 4 megapixels come at 1/2, 1/4 or 1/8 of their size, 1-bit images of more than 16 at 1/2. What is
    transparent becomes paper; light ink on a dark ground is turned over.

    Args:
        source: A path, the bytes of a file, or a Pillow image. The format is told by the content; of a GIF the first
            frame is read, of a TIFF the first page.
        formats: The formats that are read, out of FORMATS.

    Returns:
        The grey image; `image_remarks` gives what is worth saying about how it was read.

    Raises:
        ImageError: And nothing else, for whatever cannot be used.
    """
    remarks: list[str] = []
    try:
        if isinstance(source, Image.Image):
            grey = _grey_of_picture(source, formats)
        else:
            data = _read(source)
            grey = _grey_of_file(data, formats)
            if data.startswith(SIGNATURES["TIFF"]) and _has_further_pages(data):
                remarks.append("The TIFF has several pages; the first one was read.")
        if is_light_on_dark(grey):
            grey = ImageOps.invert(grey)
        grey.info = {REMARKS: tuple(remarks)}  # not what the file itself says under this key
        return grey
    except ImageError:
        raise
    except Exception as error:  # Pillow raises SyntaxError, EOFError, struct.error, MemoryError and more
        raise ImageError("The image is damaged and cannot be read; please save it again as PNG or JPEG.") from error


def image_remarks(image: Image.Image) -> tuple[str, ...]:
    """Sentences on how `open_image` read an image; empty for a Pillow image of another origin."""
    return tuple(image.info.get(REMARKS, ()))


def check_format(data: bytes, formats: Sequence[str] = WEB_FORMATS) -> None:
    """Refuses the bytes of a file in a format that is known but is not among `formats`.

    Raises:
        ImageError: With a sentence that says how to convert the file.
    """
    kind = _format_of(data)
    if kind is not None and kind not in formats:
        raise ImageError(_how_to_convert(kind, formats))


def load_ink(source: Source | object, preprocessing: Preprocessing = Preprocessing()) -> Float[Tensor, "1 105 105"]:
    """What the network is shown of an image: ink 1 on paper 0, found, centred and scaled as `preprocessing` says.

    Raises ImageError for what `open_image` refuses and where no ink is found.
    """
    if preprocessing.kind == "signature":
        from siamese.signatures.isolation import load_signature_ink  # which needs this module

        return load_signature_ink(source, preprocessing)
    ink = find_ink(open_image(source))
    try:
        return prepare_ink(ink, preprocessing)
    except ValueError as error:
        raise ImageError("No ink was found in the image; please bring a drawing that stands out more.") from error


def _read(source: object) -> bytes:
    """The bytes of a file, at most MAX_BYTES of them."""
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
    else:
        raise ImageError(f"An image is a path, bytes or a Pillow image, not {type(source).__name__}.")
    if not data:
        raise ImageError("The image file is empty.")
    return data


def _format_of(data: bytes) -> str | None:
    """The format that the first bytes of a file tell: one of FORMATS, "HEIC", "PDF", or None."""
    if data.startswith(b"%PDF-"):
        return "PDF"
    if data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS:
        return "HEIC"
    kind = next((kind for kind, signatures in SIGNATURES.items() if data.startswith(signatures)), None)
    return None if kind == "WEBP" and data[8:12] != b"WEBP" else kind


def _how_to_convert(kind: str | None, formats: Sequence[str]) -> str:
    names = [NAMES.get(name, name) for name in formats]
    listed = f"not a {', '.join(names[:-1])} or {names[-1]} image"
    if kind == "HEIC":
        return f"The file is {listed} but a HEIC or AVIF photograph; please export it as JPEG."
    if kind == "PDF":
        return f"The file is {listed} but a PDF; please save the page as PNG, or take a screenshot of it."
    if kind == "TIFF":
        return f"The file is {listed} but a TIFF; please save it as PNG."
    return f"The file is {listed}."


def _grey_of_file(data: bytes, formats: Sequence[str]) -> Image.Image:
    kind = _format_of(data)
    if kind not in formats:
        raise ImageError(_how_to_convert(kind, formats))
    try:
        if kind == "JPEG":
            _check_jpeg(data)
        elif kind == "PNG":
            _check_png(data)
        elif kind == "GIF":
            _check_gif(data)
        elif kind == "WEBP":
            _check_webp(data)
        elif kind == "TIFF":
            _check_tiff(data)
        with Image.open(io.BytesIO(data), formats=[kind]) as image:
            return _grey_of_picture(image, formats)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(MAX_PIXELS) from error
    except Exception as error:
        name = NAMES.get(kind, kind)
        raise ImageError(f"The {name} image is damaged or cut short; please save or send it again.") from error


def _grey_of_picture(image: Image.Image, formats: Sequence[str]) -> Image.Image:
    """Checks of what the header says, decoding, and grey on white; for Pillow images of any origin."""
    is_file = isinstance(image, ImageFile.ImageFile)
    if is_file and image.format not in {*formats, "MPO"}:
        raise ImageError(_how_to_convert(image.format, formats))
    can_be_reduced = image.format in {"JPEG", "MPO"} and is_file
    max_pixels = MAX_BILEVEL_PIXELS if image.mode == "1" else MAX_PIXELS
    _check_size(*image.size, MAX_JPEG_PIXELS if can_be_reduced else max_pixels)
    if image.format == "BMP" and is_file and image.tile and image.tile[0][0] == "bmp_rle":
        _check_size(*image.size, MAX_RLE_PIXELS)
    if image.width * image.height > LARGE_PIXELS:
        with _one_large_image:
            grey, orientation = _decode(image, can_be_reduced)
    else:
        grey, orientation = _decode(image, can_be_reduced)
    darkest, lightest = grey.getextrema()
    if lightest - darkest < MIN_CONTRAST:
        raise ImageError("The image is blank; please bring one with a drawing on it.")
    return grey.transpose(TURNS[orientation]) if orientation in TURNS else grey


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise _too_many_pixels(max_pixels)
    if min(width, height) < MIN_SIDE_PX:
        raise ImageError(f"The image is {width} x {height} pixels; each side must have at least {MIN_SIDE_PX}.")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"The image is {width} x {height} pixels; one side may be at most {MAX_ASPECT} times the other."
        )


def _too_many_pixels(max_pixels: int) -> ImageError:
    return ImageError(f"The image has more than {max_pixels // 1_000_000} megapixels; please make it smaller.")


def _decode(image: Image.Image, can_be_reduced: bool) -> tuple[Image.Image, int]:
    """The decoded image in grey, and its EXIF orientation."""
    if can_be_reduced and image.tile:
        small = (DRAFT_SIDE_PX, DRAFT_SIDE_PX) if image.width * image.height > LARGE_PIXELS else image.size
        image.draft("L", small)
        _check_size(*image.size, MAX_PIXELS)
    image.load()
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # the picture is whole, only the note about it is not
        orientation = 1
    return _grey_on_white(image), orientation if isinstance(orientation, int) else 1


def _grey_on_white(image: Image.Image) -> Image.Image:
    """Any mode to "L"; what is transparent becomes white."""
    if image.mode == "1" and image.width * image.height > MAX_PIXELS:
        return image.convert("L").reduce(2)
    if image.mode == "L" and "transparency" not in image.info:
        return image.copy()
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return _grey_of_numbers(image)
    if "transparency" in image.info and image.mode in {"1", "L", "P", "RGB"}:
        image = image.convert("RGBA")
    if image.mode in {"PA", "La", "RGBa"}:
        image = image.convert({"PA": "RGBA", "La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode not in {"LA", "RGBA"}:
        return image.convert("L") if image.mode in {"1", "P", "RGB"} else image.convert("RGB").convert("L")
    alpha, grey = image.getchannel("A"), image.convert("L")
    on_white = Image.composite(grey, Image.new("L", image.size, 255), alpha)
    darkest, lightest = on_white.getextrema()
    if lightest - darkest >= MIN_CONTRAST:
        return on_white
    return Image.composite(grey, Image.new("L", image.size, 0), alpha)  # white ink on nothing: seen on black


def _grey_of_numbers(image: Image.Image) -> Image.Image:
    """16-bit and floating-point images, which Pillow's convert would clip; the range is told by the largest value."""
    values = np.asarray(image)
    lowest, highest = float(values.min()), float(values.max())
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise ImageError("The image holds values that are not numbers.")
    if image.mode == "F" and highest <= 1:
        full = 1.0
    elif image.mode.startswith("I;16") or highest > 255:
        full = 65535.0
    else:
        full = 255.0
    grey = np.clip(values.astype(np.float32) * np.float32(255 / full), 0, 255)
    return Image.fromarray((grey + 0.5).astype(np.uint8))


# What follows reads the outermost structure of a file before Pillow does, where a hostile one would keep Pillow
# turning in Python for minutes or make a codec take memory that the size of the picture does not tell.


def _check_jpeg(data: bytes) -> None:
    """Bounds on header and scans, ITU T.81 annex B: libjpeg holds all coefficients of a JPEG of several scans."""
    place, pixels, components, is_progressive = 2, 0, 0, False
    for _ in range(MAX_BLOCKS):
        start = place
        while data[place] == 0xFF and place - start < 64:  # fill bytes may stand before a marker
            place += 1
        marker = data[place]
        if place == start or marker in {0x00, 0xFF}:
            break
        length = int.from_bytes(data[place + 1 : place + 3], "big")
        body = data[place + 3 : place + 1 + length]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            pixels = int.from_bytes(body[1:3], "big") * int.from_bytes(body[3:5], "big")
            components = body[5]
            is_progressive = marker not in {0xC0, 0xC1}
        if marker == 0xDA:
            if is_progressive or body[0] < components:
                if pixels * components > MAX_JPEG_COEFFICIENTS:
                    raise ImageError("The JPEG is progressive and very large; please save it as an ordinary JPEG.")
                if data.count(b"\xff\xda") > MAX_JPEG_SCANS:
                    raise ImageError("The JPEG has too many scans; please save it as an ordinary JPEG.")
            return
        place += 1 + length
        if length < 2 or place > MAX_JPEG_HEADER_BYTES:
            break
    raise SyntaxError("no picture in the JPEG")


def _check_png(data: bytes) -> None:
    place = 8
    for _ in range(MAX_BLOCKS):
        if data[place + 4 : place + 8] in {b"IEND", b""}:
            return
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    raise SyntaxError("too many chunks in the PNG")


def _check_gif(data: bytes) -> None:
    """Up to the first picture, GIF89a sections 18 to 26."""
    place = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    blocks = 0
    while data[place] == 0x21:
        place += 2
        while data[place]:
            place += 1 + data[place]
            blocks += 1
            if blocks > MAX_GIF_BLOCKS:
                raise SyntaxError("too many blocks before the picture of the GIF")
        place += 1


def _check_tiff(data: bytes) -> None:
    """Bounds on the tags of the first page, TIFF 6.0 section 2, which Pillow makes Python values of."""
    order, entries, _ = _first_page(data)
    if len(entries) > MAX_TIFF_TAGS:
        raise SyntaxError("too many tags in the TIFF")
    for entry in entries:
        kind, count = int.from_bytes(entry[2:4], order), int.from_bytes(entry[4:8], order)
        if count > MAX_TIFF_VALUES and kind not in TIFF_BYTES:
            raise SyntaxError("too many values in a tag of the TIFF")


def _has_further_pages(data: bytes) -> bool:
    return _first_page(data)[2] != 0


def _first_page(data: bytes) -> tuple[Literal["little", "big"], list[bytes], int]:
    """The byte order of a TIFF, the tags of its first page, and where the next page is (0 for none)."""
    order = "little" if data[:2] == b"II" else "big"
    place = int.from_bytes(data[4:8], order)
    end = place + 2 + 12 * int.from_bytes(data[place : place + 2], order)
    tags = data[place + 2 : end]
    return order, [tags[at : at + 12] for at in range(0, len(tags), 12)], int.from_bytes(data[end : end + 4], order)


def _check_webp(data: bytes) -> None:
    """The size of the canvas, which libwebp takes memory for on opening (RFC 9649)."""
    if len(data) < 30:
        raise SyntaxError("no picture in the WebP")
    first, body = data[12:16], data[20:30]
    if first == b"VP8X":
        width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
    elif first == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    _check_size(width, height, MAX_PIXELS)

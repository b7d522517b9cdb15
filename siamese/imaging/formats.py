"""Detects the format of a file and checks, before it is decoded, that decoding stays within bounds."""

from collections.abc import Callable, Sequence
from typing import Literal

from siamese.imaging.reading import ImageError

MAX_PIXELS = 16_000_000
MAX_JPEG_COEFFICIENTS = 48_000_000  # where libjpeg holds them all: in JPEGs of several scans
MAX_JPEG_SCANS = 32
MAX_JPEG_HEADER_BYTES = 8 << 20
MAX_BLOCKS = 20_000  # chunks or segments, each of which costs Pillow a turn in Python
MAX_TIFF_TAGS = 256
MAX_TIFF_VALUES = 100_000  # of one tag; the strips of an image are such values
MAX_GIF_BLOCKS = 2_000  # before the picture; Pillow copies a whole comment again for each of its blocks
WEB_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")  # what the open app takes: browsers show these themselves
FORMATS = (*WEB_FORMATS, "TIFF")
NAMES = {"WEBP": "WebP"}  # where a format's name is not its key
HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"}
TIFF_BYTES = (1, 2, 6, 7)  # types of tags whose values Pillow keeps as bytes
MIN_SIDE_PX = 8
MAX_ASPECT = 20

SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "GIF": (b"GIF8",),
    "BMP": (b"BM",),
    "WEBP": (b"RIFF",),
    "TIFF": (b"II*\x00", b"MM\x00*"),
}


def format_of(data: bytes) -> str | None:
    """Detects the format of a file from its first bytes: one of FORMATS, "HEIC", "PDF", or None."""
    if data.startswith(b"%PDF-"):
        return "PDF"
    if data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS:
        return "HEIC"
    kind = next((kind for kind, signatures in SIGNATURES.items() if data.startswith(signatures)), None)
    return None if kind == "WEBP" and data[8:12] != b"WEBP" else kind


def how_to_convert(kind: str | None, formats: Sequence[str]) -> str:
    """Returns the message for a file whose format is not one of `formats`."""
    names = [NAMES.get(name, name) for name in formats]
    listed = f"not a {', '.join(names[:-1])} or {names[-1]} image"
    if kind == "HEIC":
        return f"The file is {listed} but a HEIC or AVIF photograph; please export it as JPEG."
    if kind == "PDF":
        return f"The file is {listed} but a PDF; please save the page as PNG, or take a screenshot of it."
    if kind == "TIFF":
        return f"The file is {listed} but a TIFF; please save it as PNG."
    return f"The file is {listed}; please choose one that is, or save it as PNG."


def check_bounds(kind: str, data: bytes) -> None:
    """Raises SyntaxError or ImageError if a file of this format would cost too much to decode."""
    if kind in CHECKS:
        CHECKS[kind](data)


def check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise too_many_pixels(max_pixels)
    if min(width, height) < MIN_SIDE_PX:
        raise ImageError(f"The image is {width} x {height} pixels; each side must have at least {MIN_SIDE_PX}.")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"The image is {width} x {height} pixels; one side may be at most {MAX_ASPECT} times the other."
        )


def too_many_pixels(max_pixels: int) -> ImageError:
    return ImageError(f"The image has more than {max_pixels // 1_000_000} megapixels; please make it smaller.")


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


def has_further_pages(data: bytes) -> bool:
    return _first_page(data)[2] != 0


def _first_page(data: bytes) -> tuple[Literal["little", "big"], list[bytes], int]:
    """The byte order of a TIFF, the tags of its first page, and where the next page is (0 for none)."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
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
    check_size(width, height, MAX_PIXELS)


CHECKS: dict[str, Callable[[bytes], None]] = {
    "JPEG": _check_jpeg,
    "PNG": _check_png,
    "GIF": _check_gif,
    "WEBP": _check_webp,
    "TIFF": _check_tiff,
}

"""What is printed, stamped or marked on a sheet beside the writing."""

import cv2
import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from train.scenes.sheet import Colour, Mask, Point, Sheet, inked

PRINTED_WORDS = (
    "Signature", "Name", "Date", "Applicant", "Please sign here", "Address", "Unterschrift", "Page 1 of 2", "No. 4711",
    "Block letters", "For office use only", "Place, date",
)  # fmt: skip


def _line(mask: Mask, start: Point, end: Point, width_px: float | int) -> None:
    """Adds one straight line to a mask; points are (x, y)."""
    shift = 4
    points = [tuple(round(value * (1 << shift)) for value in point) for point in (start, end)]
    layer = np.zeros(mask.shape, dtype=np.uint8)
    cv2.line(layer, points[0], points[1], 255, max(1, round(width_px)), cv2.LINE_AA, shift)
    np.maximum(mask, layer.astype(np.float32) / 255, out=mask)


def _print_grey(generator: np.random.Generator) -> Float[np.ndarray, "3"]:
    """Colour of what a printer or a stationer's press left: dark to middle grey, sometimes blue or green."""
    tint = np.array([[0, 0, 0], [0, 0, 0], [0, 0.05, 0.25], [0, 0.2, 0.1]])[generator.integers(4)]
    return generator.uniform(0.1, 0.55) + tint


def _around(sheet: Sheet, strength: float, generator: np.random.Generator) -> tuple[float, ...]:
    """Left, top, right and bottom of a field printed around the writing; the stronger, the closer."""
    top, left, bottom, right = sheet.box
    extent = max(bottom - top, right - left)
    gap = extent * (0.32 - 0.24 * strength)
    jitter = generator.uniform(0.9, 1.3, 4)
    return left - gap * jitter[0], top - gap * jitter[1], right + gap * jitter[2], bottom + gap * jitter[3]


def _rule_width(generator: np.random.Generator) -> float:
    return float(generator.uniform(2, 5))


def frame(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    left, top, right, bottom = _around(sheet, strength, generator)
    mask, width = np.zeros_like(sheet.writing), _rule_width(generator)
    for start, end in (
        ((left, top), (right, top)), ((right, top), (right, bottom)),
        ((right, bottom), (left, bottom)), ((left, bottom), (left, top)),
    ):  # fmt: skip
        _line(mask, start, end, width)
    return _printed(sheet, mask, generator)


def _printed(sheet: Sheet, mask: Mask, generator: np.random.Generator) -> Colour:
    """The sheet with print in its own colour under the pen."""
    paper = sheet.colour[0, 0]
    ground = np.ones_like(sheet.colour) * paper
    ground = inked(ground, mask, _print_grey(generator))
    return inked(ground, sheet.writing, sheet.pen)


def comb(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """A field of one letter each: a base line with upright strokes, open above."""
    left, top, right, bottom = _around(sheet, strength, generator)
    mask, width, pitch = np.zeros_like(sheet.writing), _rule_width(generator), right - left
    tooth = top + (bottom - top) * generator.uniform(0.0, 0.55)
    for cell in range(-3, 5):
        x = left + cell * pitch
        _line(mask, (x, bottom), (x + pitch, bottom), width)
        _line(mask, (x, bottom), (x, tooth), width)
    return _printed(sheet, mask, generator)


def grid_cell(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """One cell of a table that goes on beyond the picture."""
    left, top, right, bottom = _around(sheet, strength, generator)
    mask, width = np.zeros_like(sheet.writing), _rule_width(generator)
    height, across = mask.shape
    for step in range(-3, 4):
        y, x = top + step * (bottom - top), left + step * (right - left)
        _line(mask, (-5, y), (across + 5, y), width)
        _line(mask, (x, -5), (x, height + 5), width)
    return _printed(sheet, mask, generator)


def _parallels(
    sheet: Sheet,
    spacing_px: float | int,
    offset_px: float | int,
    width_px: float | int,
    slope: float | int,
    upright: bool,
) -> Mask:
    mask = np.zeros_like(sheet.writing)
    height, width = mask.shape
    place = offset_px % spacing_px - 2 * spacing_px
    while place < (width if upright else height) + 2 * spacing_px:
        if upright:
            _line(mask, (place, -5), (place - slope * height, height + 5), width_px)
        else:
            _line(mask, (-5, place), (width + 5, place + slope * width), width_px)
        place += spacing_px
    return mask


def ruled(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """Ruled paper; the writing stands on a line, and the stronger, the closer are the lines."""
    top, left, bottom, right = sheet.box
    spacing = max(bottom - top, 0.3 * (right - left)) * (1.3 - 0.8 * strength)
    slope = generator.uniform(-0.02, 0.02)
    mask = _parallels(sheet, spacing, bottom - 0.08 * (bottom - top), generator.uniform(1.5, 3), slope, False)
    return _printed(sheet, mask, generator)


def squared(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    top, left, bottom, right = sheet.box
    spacing = max(bottom - top, right - left) * (0.5 - 0.3 * strength)
    slope, width = generator.uniform(-0.02, 0.02), generator.uniform(1.2, 2.2)
    offsets = generator.uniform(0, spacing, 2)
    mask = _parallels(sheet, spacing, offsets[0], width, slope, False)
    np.maximum(mask, _parallels(sheet, spacing, offsets[1], width, slope, True), out=mask)
    return _printed(sheet, 0.8 * mask, generator)


def _base_line(sheet: Sheet, strength: float, generator: np.random.Generator, rows: tuple[float, ...]) -> Mask:
    """Lines under the writing, which cross its descenders where the strength is high."""
    top, left, bottom, right = sheet.box
    rise = (bottom - top) * (-0.12 + 0.3 * strength)
    reach = max(right - left, bottom - top) * generator.uniform(0.12, 0.4)
    mask, width = np.zeros_like(sheet.writing), _rule_width(generator)
    for row in rows:
        _line(mask, (left - reach, bottom - rise + row), (right + reach, bottom - rise + row), width)
    return mask


def single_line(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    return _printed(sheet, _base_line(sheet, strength, generator, (0.0,)), generator)


def double_line(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    gap = float(generator.uniform(8, 16))
    return _printed(sheet, _base_line(sheet, strength, generator, (0.0, gap)), generator)


def dotted_line(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    line = _base_line(sheet, strength, generator, (0.0,))
    pitch = generator.uniform(9, 18)
    on = (np.arange(line.shape[1]) % pitch) < pitch * generator.uniform(0.3, 0.55)
    return _printed(sheet, line * on[None].astype(np.float32), generator)


def _words(mask: Mask, text: str, place: Point, height_px: float | int) -> None:
    """Prints words with their left upper corner at (x, y)."""
    layer = Image.new("L", (mask.shape[1], mask.shape[0]), 0)
    font = ImageFont.load_default(size=max(8, round(height_px)))
    ImageDraw.Draw(layer).text(place, text, font=font, fill=255)
    np.maximum(mask, np.asarray(layer, dtype=np.float32) / 255, out=mask)


def caption(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """A base line with a printed word below, or a printed word beside the writing."""
    top, left, bottom, right = sheet.box
    extent = max(bottom - top, right - left)
    word = PRINTED_WORDS[generator.integers(len(PRINTED_WORDS))]
    size = extent * (0.06 + 0.05 * strength)
    gap = extent * (0.16 - 0.1 * strength)
    if generator.random() < 0.5:
        mask = np.zeros_like(sheet.writing)
        _line(mask, (left - 0.1 * extent, bottom + gap), (right + 0.1 * extent, bottom + gap), _rule_width(generator))
        _words(mask, word, (left, bottom + gap + 0.3 * size), size)
    else:
        mask = np.zeros_like(sheet.writing)
        short = word.split(maxsplit=1)[0][:9] + ":"
        length = ImageFont.load_default(size=max(8, round(size))).getlength(short)
        _words(mask, short, (left - gap - length, (top + bottom) / 2 - size / 2), size)
    return _printed(sheet, mask, generator)


def stamp(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """A round or square stamp in another colour than the pen, partly over the writing."""
    top, left, bottom, right = sheet.box
    extent = max(bottom - top, right - left)
    colour = np.array([[0.80, 0.12, 0.16], [0.85, 0.25, 0.55], [0.10, 0.55, 0.30]][generator.integers(3)])
    radius = extent * generator.uniform(0.22, 0.34)
    x = (left + right) / 2 + (1 - strength) * extent * 0.5 + generator.uniform(0, 0.1) * extent
    y = (top + bottom) / 2 + generator.uniform(-0.2, 0.2) * extent
    mask = np.zeros_like(sheet.writing)
    layer = np.zeros(mask.shape, dtype=np.uint8)
    if generator.random() < 0.5:
        cv2.circle(layer, (round(x), round(y)), round(radius), 255, 5, cv2.LINE_AA)
        cv2.circle(layer, (round(x), round(y)), round(radius * 0.7), 255, 3, cv2.LINE_AA)
    else:
        corners = (round(x - radius), round(y - radius / 2)), (round(x + radius), round(y + radius / 2))
        cv2.rectangle(layer, *corners, 255, 5, cv2.LINE_AA)
    mask = np.maximum(mask, layer.astype(np.float32) / 255)
    _words(mask, "RECEIVED", (x - 0.6 * radius, y - radius * 0.12), radius * 0.26)
    stamped = inked(sheet.colour, 0.85 * mask, colour)
    return np.minimum(stamped, 1 - (1 - sheet.pen) * sheet.writing[..., None])  # the pen stays as dark as it was


def highlighter(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """A translucent band of yellow, green or pink over part of the writing."""
    top, left, bottom, right = sheet.box
    inks = [[1.0, 0.95, 0.25], [0.55, 0.98, 0.45], [1.0, 0.6, 0.8]]
    colour = np.array(inks[generator.integers(3)], dtype=np.float32)
    middle = top + (bottom - top) * generator.uniform(0.35, 0.65)
    half = max(12.0, (bottom - top) * (0.2 + 0.35 * strength))
    mask = np.zeros_like(sheet.writing)
    start, end = left - 0.15 * (right - left), right + 0.15 * (right - left)
    _line(mask, (start, middle), (end, middle + generator.uniform(-8, 8)), 2 * half)
    return (sheet.colour * (1 - mask[..., None] * (1 - colour))).astype(np.float32)

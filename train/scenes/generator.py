"""Draws scenes: writing as people photograph, scan and fill it in, each with one kind of trouble.

The generator knows nothing of how the library reads an image, so that its scenes test the reader and do not mirror it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image, ImageDraw, ImageFont

Writing = Float[np.ndarray, "height width"]
"""Ink in [0, 1], 1 where the pen was."""

Mask = Float32[np.ndarray, "height width"]
"""How much of each pixel is covered, in [0, 1]."""

Colour = Float32[np.ndarray, "height width 3"]
"""Red, green and blue in [0, 1]."""

Point = tuple[float | int, float | int]
"""x and y, in pixels."""

WRITING_PX = {"character": 320, "signature": 560}
"""Longer side of the writing on the sheet before it is photographed."""

PENS = ((28, 28, 32), (24, 38, 120), (52, 44, 40))
"""Red, green and blue of a black, a blue and a brown-black pen."""

PRINTED_WORDS = (
    "Signature", "Name", "Date", "Applicant", "Please sign here", "Address", "Unterschrift", "Page 1 of 2", "No. 4711",
    "Block letters", "For office use only", "Place, date",
)  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """Paper with writing on it, seen straight from above."""

    colour: Colour
    """Red, green and blue in [0, 1]."""
    box: tuple[int, int, int, int]
    """Top, left, bottom and right (exclusive) of the writing, in pixels."""
    pen: Float32[np.ndarray, "3"]
    """Colour of the pen, in [0, 1]."""
    writing: Mask
    """Ink of the writing over the whole sheet, in [0, 1]."""


Trouble = Callable[[Sheet, float, np.random.Generator], Colour]


def draw_scene(
    kind: str, writing: Writing, strength: float, generator: np.random.Generator, subject: str = "character"
) -> Image.Image:
    """Draws one scene around a piece of writing.

    Args:
        kind: A name in KINDS; "clean" is the sheet alone.
        writing: Ink in [0, 1] of any size; only its box is used.
        strength: How bad the trouble is, in [0, 1].
        generator: Source of every choice.
        subject: "character" or "signature": how large the writing stands on the sheet.

    Returns:
        An RGB picture.

    Raises:
        ValueError: For an unknown kind, a strength outside of [0, 1], or writing without ink.
    """
    if kind not in KINDS:
        raise ValueError(f"There is no scene {kind!r}; choose one of {', '.join(KINDS)}.")
    if not 0 <= strength <= 1:
        raise ValueError(f"The strength is {strength}, must lie in 0 to 1.")
    sheet = _sheet(writing, WRITING_PX[subject], generator)
    colour = KINDS[kind](sheet, strength, generator)
    colour = cv2.GaussianBlur(colour, (0, 0), generator.uniform(0.6, 1.0))
    colour = colour + generator.normal(0, 0.006, colour.shape)
    picture = Image.fromarray((np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8))
    return _through_jpeg(picture, 15) if kind == "jpeg" else picture


def _sheet(writing: Writing, extent_px: int, generator: np.random.Generator) -> Sheet:
    """Returns a sheet much larger than the writing, which is placed near its middle."""
    rows, columns = np.nonzero(writing > 0.25)
    if len(rows) == 0:
        raise ValueError("The writing holds no ink.")
    ink: Writing = writing[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(np.float32)
    scale = extent_px / max(ink.shape)
    size = (max(4, round(ink.shape[1] * scale)), max(4, round(ink.shape[0] * scale)))
    ink = cv2.resize(ink, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    if scale > 1:  # round the steps of enlarged pixels, as a pen would
        ink = cv2.GaussianBlur(ink, (0, 0), 0.4 * scale)
        ink = np.clip((ink - 0.5) * 4 + 0.5, 0, 1)
    height = round(ink.shape[0] + extent_px * generator.uniform(0.9, 1.2))
    width = round(ink.shape[1] + extent_px * generator.uniform(0.9, 1.2))
    top = round((height - ink.shape[0]) * generator.uniform(0.4, 0.6))
    left = round((width - ink.shape[1]) * generator.uniform(0.4, 0.6))
    whole = np.zeros((height, width), dtype=np.float32)
    whole[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    pen = np.array(PENS[generator.integers(len(PENS))], dtype=np.float32) / 255
    yellowing = np.array([0, 0.005, 0.02], dtype=np.float32)
    white = np.array([generator.uniform(0.93, 0.99)] * 3, dtype=np.float32) - yellowing
    paper = np.ones((height, width, 3), dtype=np.float32) * white
    box = (top, left, top + ink.shape[0], left + ink.shape[1])
    return Sheet(_inked(paper, whole, pen), box, pen, whole)


def _inked(colour: Colour, ink: Float[np.ndarray, "height width"], pen: Float[np.ndarray, "3"]) -> Colour:
    return (colour * (1 - ink[..., None]) + np.float32(pen) * ink[..., None]).astype(np.float32)


# What is printed on the sheet.


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


def _frame(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
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
    ground = _inked(ground, mask, _print_grey(generator))
    return _inked(ground, sheet.writing, sheet.pen)


def _comb(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """A field of one letter each: a base line with upright strokes, open above."""
    left, top, right, bottom = _around(sheet, strength, generator)
    mask, width, pitch = np.zeros_like(sheet.writing), _rule_width(generator), right - left
    tooth = top + (bottom - top) * generator.uniform(0.0, 0.55)
    for cell in range(-3, 5):
        x = left + cell * pitch
        _line(mask, (x, bottom), (x + pitch, bottom), width)
        _line(mask, (x, bottom), (x, tooth), width)
    return _printed(sheet, mask, generator)


def _grid_cell(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
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


def _ruled(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """Ruled paper; the writing stands on a line, and the stronger, the closer are the lines."""
    top, left, bottom, right = sheet.box
    spacing = max(bottom - top, 0.3 * (right - left)) * (1.3 - 0.8 * strength)
    slope = generator.uniform(-0.02, 0.02)
    mask = _parallels(sheet, spacing, bottom - 0.08 * (bottom - top), generator.uniform(1.5, 3), slope, False)
    return _printed(sheet, mask, generator)


def _squared(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
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


def _single_line(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    return _printed(sheet, _base_line(sheet, strength, generator, (0.0,)), generator)


def _double_line(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    gap = float(generator.uniform(8, 16))
    return _printed(sheet, _base_line(sheet, strength, generator, (0.0, gap)), generator)


def _dotted_line(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
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


def _caption(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
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


def _stamp(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
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
    stamped = _inked(sheet.colour, 0.85 * mask, colour)
    return np.minimum(stamped, 1 - (1 - sheet.pen) * sheet.writing[..., None])  # the pen stays as dark as it was


def _highlighter(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
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


# What lies around the sheet, and how it is seen.


def _noise(shape: tuple[int, int], scale_px: float | int, generator: np.random.Generator) -> Mask:
    """Smooth noise of unit deviation with features of about `scale_px`."""
    small = (max(2, round(shape[0] / scale_px)), max(2, round(shape[1] / scale_px)))
    coarse = generator.normal(0, 1, small).astype(np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _desk(kind: str, shape: tuple[int, int], generator: np.random.Generator) -> Colour:
    """A table top: dark or light, even or speckled, or wood with its grain."""
    height, width = shape
    if kind == "wood":
        woods = [[0.45, 0.29, 0.17], [0.62, 0.44, 0.27], [0.33, 0.21, 0.14]]
        base = np.array(woods[generator.integers(3)], dtype=np.float32)
        along = _noise((height, width), 300, generator)
        rows = np.arange(height, dtype=np.float32)[:, None] / generator.uniform(4, 9)
        grain = np.sin(rows + 2.5 * along + 0.5 * _noise(shape, 30, generator))
        planks = (np.arange(height) // generator.integers(180, 320) % 2).astype(np.float32)[:, None]
        level = 1 + 0.10 * grain + 0.06 * planks + 0.04 * _noise(shape, 5, generator)
        return (base * level[..., None]).astype(np.float32)
    low, high = (0.08, 0.32) if kind == "dark" else (0.5, 0.74)
    base = (generator.uniform(low, high) + generator.uniform(-0.05, 0.05, 3)).astype(np.float32)
    speckle = generator.choice([0.0, 0.02, 0.05])
    level = 1 + 0.05 * _noise(shape, 120, generator) + speckle * _noise(shape, 2.5, generator)
    return (base * level[..., None]).astype(np.float32)


def _laid(
    sheet: Sheet,
    ground: Callable[[tuple[int, int]], Colour],
    share: float | int,
    turn_deg: float | int,
    tilt_deg: float | int,
    generator: np.random.Generator,
) -> Colour:
    """The sheet on a ground, turned in its plane and seen at an angle.

    Args:
        sheet: What is photographed.
        ground: Draws the ground of a given height and width.
        share: Share of the picture that the sheet covers, in (0, 1).
        turn_deg: Turn in the plane, in degrees.
        tilt_deg: Angle between the line of sight and the sheet's normal, in degrees.
        generator: Source of every choice.
    """
    height, width = sheet.writing.shape
    side = round(np.sqrt(height * width / share))
    canvas = (max(side, round(height * 1.12)), max(side, round(width * 1.12)))
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]], dtype=np.float32) / 2
    turn, tilt = np.deg2rad(turn_deg), np.deg2rad(tilt_deg)
    around = generator.uniform(0, 2 * np.pi)
    x = corners[:, 0] * np.cos(turn) - corners[:, 1] * np.sin(turn)
    y = corners[:, 0] * np.sin(turn) + corners[:, 1] * np.cos(turn)
    toward = x * np.cos(around) + y * np.sin(around)
    distance = 2.2 * max(canvas)
    depth = distance / (distance + toward * np.sin(tilt))
    squeeze = toward * (np.cos(tilt) - 1)
    x, y = (x + squeeze * np.cos(around)) * depth, (y + squeeze * np.sin(around)) * depth
    room = (canvas[1] - np.ptp(x), canvas[0] - np.ptp(y))
    x = x - x.min() + max(room[0], 4) * generator.uniform(0.35, 0.65)
    y = y - y.min() + max(room[1], 4) * generator.uniform(0.35, 0.65)
    target = np.stack([x, y], 1).astype(np.float32)
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    size = (canvas[1], canvas[0])
    laid = cv2.warpPerspective(sheet.colour, matrix, size, flags=cv2.INTER_AREA)
    there = cv2.warpPerspective(np.ones_like(sheet.writing), matrix, size, flags=cv2.INTER_LINEAR)[..., None]
    shadow = cv2.GaussianBlur(there[..., 0], (0, 0), 9)[..., None]
    desk = ground(canvas) * (1 - 0.35 * shadow)
    return (desk * (1 - there) + laid * there).astype(np.float32)


def _on_desk(kind: str) -> Trouble:
    def trouble(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
        share, turn = 0.7 - 0.5 * strength, generator.uniform(-20, 20) * strength
        tilt = 10 * strength * generator.random()
        colour = _laid(sheet, lambda shape: _desk(kind, shape, generator), share, turn, tilt, generator)
        return _lit(colour, 0.15, generator)

    return trouble


def _lit(colour: Colour, loss: float | int, generator: np.random.Generator) -> Colour:
    """Light that falls off by a share `loss` from one side of the picture to the other."""
    height, width = colour.shape[:2]
    angle = generator.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    along = x * np.cos(angle) + y * np.sin(angle)
    along = (along - along.min()) / (along.max() - along.min())
    return (colour * (1 - loss * along)[..., None]).astype(np.float32)


def _scanner_lid(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """A slip on a scanner whose lid was open: black around the sheet."""
    level = generator.uniform(0.0, 0.06)

    def black(shape: tuple[int, int]) -> Colour:
        return np.full((*shape, 3), level, dtype=np.float32)

    return _laid(sheet, black, 0.75 - 0.5 * strength, generator.uniform(-6, 6), 0.0, generator)


def _black_bars(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """Black bars along one to three sides, as a crooked scan or a screenshot has them."""
    colour = sheet.colour.copy()
    height, width = colour.shape[:2]
    top, left, bottom, right = sheet.box
    for side in generator.permutation(4)[: generator.integers(1, 4)]:
        room = (top, height - bottom, left, width - right)[side]
        bar = max(4, round(room * (0.2 + 0.5 * strength)))
        part = (colour[:bar], colour[height - bar :], colour[:, :bar], colour[:, width - bar :])[side]
        part[:] = generator.uniform(0.0, 0.05)
    return colour


def _perspective(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """A sheet on a desk, seen at an angle of up to 15 degrees."""
    desk = ("dark", "light", "wood")[generator.integers(3)]
    return _laid(
        sheet, lambda shape: _desk(desk, shape, generator), 0.5, generator.uniform(-8, 8), 15 * strength, generator
    )


def _shadow(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """Light that falls off over the sheet, and the soft shadow of a hand."""
    colour = _lit(sheet.colour, 0.65 * strength, generator)
    y, x = np.mgrid[0 : colour.shape[0], 0 : colour.shape[1]].astype(np.float32)
    angle = generator.uniform(0, 2 * np.pi)
    distance = (x - colour.shape[1] / 2) * np.cos(angle) + (y - colour.shape[0] / 2) * np.sin(angle)
    edge = generator.uniform(-0.2, 0.2) * max(colour.shape)
    fall = 1 / (1 + np.exp(-(distance - edge) / (0.05 * max(colour.shape))))
    return (colour * (1 - 0.35 * strength * fall)[..., None]).astype(np.float32)


def _grain(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """Noise of a standard deviation of up to 8 per cent of full scale."""
    return (sheet.colour + generator.normal(0, 0.08 * strength, sheet.colour.shape)).astype(np.float32)


def _clean(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    return sheet.colour


def _through_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    data: UInt8[np.ndarray, " bytes"] = cv2.imencode(
        ".jpg", np.asarray(picture)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality]
    )[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded just now
    return Image.fromarray(decoded[..., ::-1])


KINDS: dict[str, Trouble] = {
    "clean": _clean,
    "desk_dark": _on_desk("dark"),
    "desk_light": _on_desk("light"),
    "desk_wood": _on_desk("wood"),
    "scanner_lid": _scanner_lid,
    "black_bars": _black_bars,
    "frame": _frame,
    "comb": _comb,
    "grid_cell": _grid_cell,
    "ruled": _ruled,
    "squared": _squared,
    "single_line": _single_line,
    "double_line": _double_line,
    "dotted_line": _dotted_line,
    "caption": _caption,
    "stamp": _stamp,
    "highlighter": _highlighter,
    "shadow": _shadow,
    "perspective": _perspective,
    "jpeg": _clean,
    "noise": _grain,
}

FORMS = ("frame", "grid_cell", "ruled", "squared", "single_line", "double_line", "dotted_line", "caption", "stamp")
"""Kinds that a form prints around a signature."""

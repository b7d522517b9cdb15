"""What lies around a sheet, and how it is lit, photographed and scanned."""

from collections.abc import Callable

import cv2
import numpy as np

from train.scenes.sheet import Colour, Mask, Sheet, Trouble


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


def on_desk(kind: str) -> Trouble:
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


def scanner_lid(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """A slip on a scanner whose lid was open: black around the sheet."""
    level = generator.uniform(0.0, 0.06)

    def black(shape: tuple[int, int]) -> Colour:
        return np.full((*shape, 3), level, dtype=np.float32)

    return _laid(sheet, black, 0.75 - 0.5 * strength, generator.uniform(-6, 6), 0.0, generator)


def black_bars(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
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


def perspective(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """A sheet on a desk, seen at an angle of up to 15 degrees."""
    desk = ("dark", "light", "wood")[generator.integers(3)]
    return _laid(
        sheet, lambda shape: _desk(desk, shape, generator), 0.5, generator.uniform(-8, 8), 15 * strength, generator
    )


def shadow(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """Light that falls off over the sheet, and the soft shadow of a hand."""
    colour = _lit(sheet.colour, 0.65 * strength, generator)
    y, x = np.mgrid[0 : colour.shape[0], 0 : colour.shape[1]].astype(np.float32)
    angle = generator.uniform(0, 2 * np.pi)
    distance = (x - colour.shape[1] / 2) * np.cos(angle) + (y - colour.shape[0] / 2) * np.sin(angle)
    edge = generator.uniform(-0.2, 0.2) * max(colour.shape)
    fall = 1 / (1 + np.exp(-(distance - edge) / (0.05 * max(colour.shape))))
    return (colour * (1 - 0.35 * strength * fall)[..., None]).astype(np.float32)


def grain(sheet: Sheet, strength: float, generator: np.random.Generator) -> Colour:
    """Noise of a standard deviation of up to 8 per cent of full scale."""
    return (sheet.colour + generator.normal(0, 0.08 * strength, sheet.colour.shape)).astype(np.float32)

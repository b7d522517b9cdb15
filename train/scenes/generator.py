"""Draws scenes: writing as people photograph, scan and fill it in, each with one kind of trouble.

The generator knows nothing of how the library reads an image, so that its scenes test the reader and do not mirror it.
"""

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from train.scenes import forms, surroundings
from train.scenes.sheet import Colour, Sheet, Trouble, Writing, written_sheet

WRITING_PX = {"character": 320, "signature": 560}
"""Longer side of the writing on the sheet before it is photographed."""


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
    sheet = written_sheet(writing, WRITING_PX[subject], generator)
    colour = KINDS[kind](sheet, strength, generator)
    colour = cv2.GaussianBlur(colour, (0, 0), generator.uniform(0.6, 1.0))
    colour = colour + generator.normal(0, 0.006, colour.shape)
    picture = Image.fromarray((np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8))
    return _through_jpeg(picture, 15) if kind == "jpeg" else picture


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
    "desk_dark": surroundings.on_desk("dark"),
    "desk_light": surroundings.on_desk("light"),
    "desk_wood": surroundings.on_desk("wood"),
    "scanner_lid": surroundings.scanner_lid,
    "black_bars": surroundings.black_bars,
    "frame": forms.frame,
    "comb": forms.comb,
    "grid_cell": forms.grid_cell,
    "ruled": forms.ruled,
    "squared": forms.squared,
    "single_line": forms.single_line,
    "double_line": forms.double_line,
    "dotted_line": forms.dotted_line,
    "caption": forms.caption,
    "stamp": forms.stamp,
    "highlighter": forms.highlighter,
    "shadow": surroundings.shadow,
    "perspective": surroundings.perspective,
    "jpeg": _clean,
    "noise": surroundings.grain,
}

FORMS = ("frame", "grid_cell", "ruled", "squared", "single_line", "double_line", "dotted_line", "caption", "stamp")
"""Kinds that a form prints around a signature."""

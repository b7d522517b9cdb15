"""Draws the images whose reading the benchmark measures: photographs of 12 megapixels, drawings of 600 px, a scan."""

import io

import numpy as np
from jaxtyping import Float32
from PIL import Image

from siamese.characters.synthetic import synthetic_drawings
from siamese.signatures.synthetic import synthetic_files
from train.scenes.generator import draw_scene

PHOTOGRAPH_PX = (4000, 3000)
CLEAN_PX = 600
SEED = 12

Ink = Float32[np.ndarray, "height width"]


def reading_cases() -> dict[str, tuple[str, bytes]]:
    """Returns by its name what an image shows, "character" or "signature", and its file."""
    character = synthetic_drawings(1, 1, 1, seed=SEED).ink[0].numpy().astype(np.float32)
    _, scan = next(iter(synthetic_files(1, 1, 0, SEED)))
    grey = np.asarray(Image.open(io.BytesIO(scan)).convert("L"), dtype=np.float32)
    signature = ((np.median(grey) - 12 - grey) / 150).clip(0, 1)
    return {
        f"clean drawing, {CLEAN_PX} px": ("character", _clean(character)),
        "sheet on a desk, 12 MP": ("character", _photograph("desk_wood", "character", character)),
        "sheet alone, 12 MP": ("character", _photograph("clean", "character", character)),
        "ruled sheet, 12 MP": ("character", _photograph("ruled", "character", character)),
        "stamped sheet, 12 MP": ("character", _photograph("stamp", "character", character)),
        "scan of a signature": ("signature", scan),
        "signature on a desk, 12 MP": ("signature", _photograph("desk_wood", "signature", signature)),
    }


def _photograph(kind: str, subject: str, ink: Ink) -> bytes:
    """A scene as a camera's JPEG."""
    generator = np.random.default_rng(SEED)
    scene = draw_scene(kind, ink, 0.5, generator, subject).resize(PHOTOGRAPH_PX, Image.Resampling.BICUBIC)
    noise = generator.integers(-4, 5, (*scene.size[::-1], 1), dtype=np.int16)
    pixels = np.asarray(scene).astype(np.int16) + noise
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def _clean(ink: Ink) -> bytes:
    """A drawing on white whose longer side has CLEAN_PX."""
    picture = Image.fromarray((255 * (1 - ink)).astype(np.uint8))
    size = [max(1, round(side * CLEAN_PX / max(picture.size))) for side in picture.size]
    file = io.BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()

"""How long reading an image takes beyond decoding it: `python -m tests.benchmarks.reading`, on an idle machine.

Photographs of 12 megapixels and clean drawings of 600 px, all drawn here; every round reads and decodes each of them
once, so that whatever else the machine does disturbs all alike.
"""

import argparse
import io
import statistics
import time

import numpy as np
from PIL import Image

from siamese.characters.synthetic import synthetic_drawings
from siamese.imaging.decode import decode_image, read_ink
from siamese.signatures.isolation import read_signature
from siamese.signatures.synthetic import synthetic_files
from train.scenes.generator import draw_scene

PHOTOGRAPH_PX = (4000, 3000)
CLEAN_PX = 600
SEED = 12


def subjects() -> dict[str, np.ndarray]:
    """Ink in [0, 1] of a character and of a signature."""
    character = synthetic_drawings(1, 1, 1, seed=SEED).ink[0].numpy().astype(np.float32)
    _, data = next(iter(synthetic_files(1, 1, 0, SEED)))
    grey = np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=np.float32)
    return {"character": character, "signature": ((np.median(grey) - 12 - grey) / 150).clip(0, 1)}


def photograph(kind: str, subject: str, ink: np.ndarray) -> bytes:
    """A scene as a camera's JPEG."""
    generator = np.random.default_rng(SEED)
    scene = draw_scene(kind, ink, 0.5, generator, subject).resize(PHOTOGRAPH_PX, Image.Resampling.BICUBIC)
    noise = generator.integers(-4, 5, (*scene.size[::-1], 1), dtype=np.int16)
    pixels = np.asarray(scene).astype(np.int16) + noise
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def clean(ink: np.ndarray) -> bytes:
    """A drawing on white whose longer side has 600 px."""
    picture = Image.fromarray((255 * (1 - ink)).astype(np.uint8))
    size = [max(1, round(side * CLEAN_PX / max(picture.size))) for side in picture.size]
    file = io.BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def main() -> None:
    """Prints a line for each image: the median over the rounds, with quartiles."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.reading", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="at least 2 (default: 15)")
    rounds = max(2, parser.parse_args().rounds)
    read = {"character": read_ink, "signature": read_signature}
    images = {}
    for subject, ink in subjects().items():
        for kind in ("desk_wood", "shadow", "ruled"):
            images[subject, f"12 megapixels, {kind}"] = photograph(kind, subject, ink)
        images[subject, f"clean, {CLEAN_PX} px"] = clean(ink)
    beyond_ms: dict[tuple[str, str], list[float]] = {name: [] for name in images}
    for number in range(rounds + 1):
        for (subject, name), data in images.items():
            started = time.perf_counter()
            decode_image(data)
            decoded = time.perf_counter()
            read[subject](data)
            if number:  # the first round warms up
                beyond_ms[subject, name].append(1000 * (time.perf_counter() - decoded - (decoded - started)))
    for (subject, name), taken in beyond_ms.items():
        low, median, high = statistics.quantiles(taken, method="inclusive")
        print(f"{subject}, {name}: {median:.0f} ms beyond decoding ({low:.0f} to {high:.0f})")


if __name__ == "__main__":
    main()

"""Fits the detector of unusual input: python -m train.unusual --data images_background.zip --signatures cedar.zip

`python -m train.unusual --check 500` says how much unusual input the library doubts or refuses, by all of its rules.
What is usual are Omniglot's drawings by every pen and synthetic signatures; what is unusual is drawn here, by program:
faces, landscapes, emoji, noise, textures, filled shapes and pages of print.
"""

import argparse
import io
import json
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from sklearn.linear_model import LogisticRegression

from siamese.data.pen_strokes import synthetic_hand
from siamese.imaging.decode import ImageError, open_image, read_ink
from siamese.imaging.ink import find_ink
from siamese.imaging.reading import Reading
from siamese.imaging.unusual import FEATURES, FITTED, Detector, measure, scaled_mask
from siamese.signatures.isolation import isolate_signature, read_signature
from siamese.signatures.synthetic import invent_signature, sign
from train.evaluation import wilson_interval

COMMAND = "python -m train.unusual --data images_background.zip --signatures cedar.zip"
SEED, CHECK_SEED = 18, 19
DRAWINGS, SIGNATURES, UNUSUAL = 2400, 240, 900
SCANNED, SCANNED_WRITERS = 400, 40  # scanned signatures that set the threshold for signatures; the writers used
FALSE_ALARMS = 0.003  # share of usual ink that may count as unusual
SIZE_PX = 300

Picture = UInt8[np.ndarray, "_ _"]


def omniglot_pictures(path: str, count: int, generator: np.random.Generator) -> list[Picture]:
    """Drawings of an archive of Omniglot, with pens of several widths and at several sizes."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith(".png"))
        pictures = []
        for name in generator.choice(names, count, replace=False):
            drawing = np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("L"))
            if generator.random() < 0.5:
                pen = int(generator.integers(1, 5))
                drawing = cv2.erode(drawing, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (pen, pen)))
                drawing = cv2.resize(drawing, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
            pictures.append(drawing)
    return pictures


def scanned_signatures(path: str, count: int, generator: np.random.Generator) -> list[Picture]:
    """Signatures of an archive (<name>/<writer>/<file>), of its first SCANNED_WRITERS writers."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".webp", ".png")))
        writers = sorted({name.rsplit("/", 2)[-2] for name in names})[:SCANNED_WRITERS]
        names = [name for name in names if name.rsplit("/", 2)[-2] in writers]
        chosen = generator.choice(names, min(count, len(names)), replace=False)
        return [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("L")) for name in chosen]


def signature_picture(generator: np.random.Generator) -> Picture:
    """A synthetic signature by a pen of some width."""
    paths = sign(invent_signature(generator), synthetic_hand(generator), generator)
    points = np.concatenate(paths)
    low, high = points.min(0), points.max(0)
    picture = np.full(tuple(int(side) + 60 for side in (high - low)[::-1]), 255, np.uint8)
    pen = int(generator.integers(2, 8))
    for path in paths:
        cv2.polylines(picture, [np.round(path - low + 30).astype(np.int32)], False, 0, pen, cv2.LINE_AA)
    return picture


def smooth_noise(generator: np.random.Generator, cells: int) -> Float[np.ndarray, "_ _"]:
    """Clouds: noise on a raster of so many cells, enlarged."""
    coarse = generator.random((cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC)


def unusual_picture(generator: np.random.Generator) -> Picture:
    """Something that no pen has drawn."""
    kind = generator.integers(7)
    shade = generator.integers(0, 120)
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX]
    picture: np.ndarray = np.full((SIZE_PX, SIZE_PX), 250, np.uint8)
    middle = tuple(int(at) for at in generator.integers(110, 190, 2))
    if kind == 0:  # a face: shaded oval, hair, eyes, mouth
        axes = int(generator.integers(60, 90)), int(generator.integers(80, 110))
        cv2.ellipse(picture, (middle[0], middle[1] - 30), (axes[0] + 12, axes[1]), 0, 180, 360, int(shade // 2), -1)
        cv2.ellipse(picture, middle, axes, 0, 0, 360, int(generator.integers(120, 220)), -1)
        for side in (-1, 1):
            cv2.ellipse(picture, (middle[0] + side * axes[0] // 2, middle[1] - 20), (14, 8), 0, 0, 360, int(shade), -1)
        cv2.ellipse(picture, (middle[0], middle[1] + axes[1] // 2), (30, 12), 0, 0, 180, int(shade), -1)
        picture = (picture * (0.7 + 0.3 * smooth_noise(generator, 4)).clip(0, 1)).astype(np.uint8)
    elif kind == 1:  # a landscape: bands of clouds and hills
        heights = 120 + 60 * smooth_noise(generator, 6)[0]
        picture = (140 + 110 * smooth_noise(generator, 5)).clip(0, 255).astype(np.uint8)
        ground = (60 + 90 * smooth_noise(generator, int(generator.integers(6, 40)))).clip(0, 255).astype(np.uint8)
        picture = np.where(rows > heights[columns], ground, picture)
    elif kind == 2:  # an emoji: a filled disc with eyes and mouth
        radius = int(generator.integers(70, 120))
        cv2.circle(picture, middle, radius, int(generator.integers(0, 200)), -1)
        for side in (-1, 1):
            cv2.circle(picture, (middle[0] + side * radius // 3, middle[1] - radius // 4), radius // 8, 255, -1)
        cv2.ellipse(picture, (middle[0], middle[1] + radius // 5), (radius // 2, radius // 3), 0, 0, 180, 255, -1)
    elif kind == 3:  # noise
        picture = generator.integers(0, 256, (SIZE_PX, SIZE_PX)).astype(np.uint8)
        if generator.random() < 0.6:
            picture = cv2.GaussianBlur(picture, (0, 0), float(generator.uniform(0.8, 5)))
            picture = cv2.normalize(picture, np.empty_like(picture), 0, 255, cv2.NORM_MINMAX)
    elif kind == 4:  # a texture
        waves = np.sin(columns / generator.uniform(3, 12)) * np.sin(rows / generator.uniform(3, 12))
        picture = (128 + 100 * waves + 60 * (smooth_noise(generator, 9) - 0.5)).clip(0, 255).astype(np.uint8)
    elif kind == 5:  # filled shapes
        for _ in range(int(generator.integers(1, 5))):
            points = generator.integers(30, 270, (int(generator.integers(3, 8)), 2)).astype(np.int32)
            cv2.fillPoly(picture, [cv2.convexHull(points)], int(generator.integers(0, 160)))
    else:  # a page of print
        step = int(generator.integers(14, 26))
        for row in range(30, SIZE_PX - 10, step):
            words = "".join(generator.choice(list("abcdefghiklmnoprstuvw     "), 60))
            cv2.putText(picture, words, (8, row), cv2.FONT_HERSHEY_SIMPLEX, step / 50, int(shade), 1, cv2.LINE_AA)
    return picture


def features_of(picture: Picture, is_signature: bool = False) -> Float[np.ndarray, " 8"] | None:
    """Returns the ink as the detector measures it; None if no ink is found."""
    try:
        grey = open_image(Image.fromarray(picture))
        ink = isolate_signature(grey) if is_signature else find_ink(grey)
    except ImageError:
        return None
    mask = scaled_mask(ink.numpy())
    return None if mask is None else measure(mask)


def fit_detector(usual: Float[np.ndarray, "n 8"], unusual: Float[np.ndarray, "m 8"]) -> dict:
    """Mean, scale, weights, bias and threshold, with the shares that were flagged."""
    mean, scale = usual.mean(0), usual.std(0).clip(min=1e-6)
    both = (np.concatenate([usual, unusual]) - mean) / scale
    squares = np.concatenate([both, both**2], axis=1).clip(-50, 50)
    labels = np.arange(len(both)) >= len(usual)
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=3000).fit(squares, labels)
    logits = squares @ model.coef_[0] + model.intercept_[0]
    threshold = float(np.quantile(logits[~labels], 1 - FALSE_ALARMS))
    return {
        "features": list(FEATURES),
        "mean": mean.round(5).tolist(),
        "scale": scale.round(5).tolist(),
        "weights": model.coef_[0].round(5).tolist(),
        "bias": round(float(model.intercept_[0]), 5),
        "threshold": round(threshold, 5),
        "flagged": {
            "usual": round(float(np.mean(logits[~labels] > threshold)), 4),
            "unusual": round(float(np.mean(logits[labels] > threshold)), 4),
        },
        "fitted_on": {"usual": len(usual), "unusual": len(unusual)},
        "command": COMMAND,
    }


def signature_threshold(entry: dict, scans: list[Float[np.ndarray, " 8"]]) -> float:
    """The logit that FALSE_ALARMS of scanned signatures exceed, never below the threshold for drawings."""
    mean, scale, weights = (tuple(entry[name]) for name in ("mean", "scale", "weights"))
    detector = Detector(mean, scale, weights, entry["bias"], entry["threshold"], entry["threshold"])
    logits = [detector.logit(features) for features in scans]
    return round(max(entry["threshold"], float(np.quantile(logits, 1 - FALSE_ALARMS))), 5)


def is_doubted(read: Callable[[Image.Image], Reading], picture: Picture) -> bool:
    """Whether a picture is refused, or read with a remark that makes the answer "unsure"."""
    try:
        return read(Image.fromarray(picture)).is_doubtful
    except ImageError:
        return True


def check(count: int, generator: np.random.Generator) -> list[str]:
    """Returns a sentence for each way of reading: how many of `count` unusual pictures are doubted or refused."""
    pictures = [unusual_picture(generator) for _ in range(count)]
    sentences = []
    for name, read in (("characters", read_ink), ("signatures", read_signature)):
        hits = sum(is_doubted(read, picture) for picture in pictures)
        low, high = wilson_interval(hits, count)
        share = f"{hits / count:.1%} (95 % interval {low:.1%} to {high:.1%})"
        sentences.append(f"Read as {name}: {share} of {count} unusual pictures are doubted or refused.")
    return sentences


def main(arguments: Sequence[str] | None = None) -> int:
    """Fits the detector and writes its numbers beside the module that reads them, or checks what is doubted."""
    parser = argparse.ArgumentParser(prog="python -m train.unusual", description="Fit the detector of unusual input.")
    parser.add_argument("--data", help="Omniglot's images_background.zip")
    parser.add_argument("--signatures", help="an archive of scanned signatures, as CEDAR's")
    parser.add_argument(
        "--check", type=int, metavar="N", help="fit nothing: draw N pictures and say how many are doubted"
    )
    parser.add_argument("--output", default=str(FITTED), help="where the numbers go (default: beside the module)")
    asked = parser.parse_args(arguments)
    if asked.check is not None:
        if asked.check < 1:
            parser.error("--check needs at least one picture.")
        print("\n".join(check(asked.check, np.random.default_rng(CHECK_SEED))))
        return 0
    if not (asked.data and asked.signatures):
        parser.error("--data and --signatures are needed to fit the detector.")
    generator = np.random.default_rng(SEED)
    torch.set_num_threads(1)
    found = [features_of(picture) for picture in omniglot_pictures(asked.data, DRAWINGS, generator)]
    found += [features_of(signature_picture(generator), is_signature=True) for _ in range(SIGNATURES)]
    odd = [features_of(unusual_picture(generator)) for _ in range(UNUSUAL)]
    usual, unusual = (np.array([row for row in rows if row is not None]) for rows in (found, odd))
    entry = fit_detector(usual, unusual)
    scans = [features_of(scan, True) for scan in scanned_signatures(asked.signatures, SCANNED, generator)]
    entry["signature_threshold"] = signature_threshold(entry, [row for row in scans if row is not None])
    Path(asked.output).write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
    print(f"Flagged: {entry['flagged']['usual']:.2%} of usual ink, {entry['flagged']['unusual']:.1%} of unusual.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

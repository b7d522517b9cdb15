"""Signatures to test with, drawn on the spot, and weights that say how often they are fooled by such."""

import base64
import io
import json
import math
import shutil
from pathlib import Path

from PIL import Image, ImageDraw

from tests.running_app import ROOT, untrained_weights

POINTS = {
    "strict": {"threshold": 0.9, "far": 0.01, "frr": 0.38},
    "balanced": {"threshold": 0.5, "far": 0.13, "frr": 0.13},
    "lenient": {"threshold": 0.1, "far": 0.46, "frr": 0.004},
}
CURVE = {"threshold": [0.0, 0.1, 0.5, 0.9, 1.0], "far": [1.0, 0.46, 0.13, 0.01, 0.0], "frr": [0, 0.004, 0.13, 0.38, 1]}
CALIBRATION = {"similarity_edges": [0.0, 0.3, 0.7, 1.0], "share_same": [0.1, 0.6, 0.9]}
FUSION = {"bias": 0.5, "network": 1.0, "hinge": -1.0, "profile": -0.1}
MIDDLES = {"network_middle": 0.0, "hinge_middle": 0.3, "profile_middle": 2.0}
SIGNATURE = {"extent_px": 99, "keep_aspect": True, "kind": "signature", "aspect_power": 0.5, "pen_px": 2.0}


def signature_weights(folder: Path) -> Path:
    """A checkpoint of the bundled network of characters that claims to have been measured on signatures."""
    bundled = ROOT / "siamese/pretrained/omniglot"
    if (bundled / "model.safetensors").exists():
        shutil.copytree(bundled, folder)
    else:
        untrained_weights(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["preprocessing"] = SIGNATURE
    config["verification"] = {
        "threshold": POINTS["balanced"]["threshold"],
        "calibration": CALIBRATION,
        "measured_on": "signatures that nobody wrote",
        "operating_points": POINTS,
        "curve": CURVE,
        "fusion": FUSION | MIDDLES,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def signature(phase: float = 0.0, size: tuple[int, int] = (300, 120)) -> Image.Image:
    """A line that goes up and down; another phase is another hand."""
    image = Image.new("L", size, 255)
    points = [
        (20 + step * (size[0] - 40) / 60, size[1] * (0.5 + 0.3 * math.sin(step / 4 + phase * step / 30)))
        for step in range(61)
    ]
    ImageDraw.Draw(image).line(points, fill=0, width=4)
    return image


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()

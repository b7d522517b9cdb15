"""One Look: recognises a character, or a signature, that it has seen once.

from siamese import load_recognizer
recognizer = load_recognizer()
recognizer.similarity("a.png", "b.png")
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siamese.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
    from siamese.hub import HubError
    from siamese.images import ImageError, load_ink, open_image
    from siamese.network import SiameseNetwork
    from siamese.preparation import Preparation
    from siamese.recognizer import Recognizer, Verification, load_recognizer
    from siamese.verifier import Verifier, load_verifier

__all__ = [
    "CheckpointError",
    "HubError",
    "ImageError",
    "Preparation",
    "Recognizer",
    "SiameseNetwork",
    "Verification",
    "Verifier",
    "load_checkpoint",
    "load_ink",
    "load_recognizer",
    "load_verifier",
    "open_image",
    "save_checkpoint",
]

_HOMES = {
    "CheckpointError": "checkpoint",
    "HubError": "hub",
    "ImageError": "images",
    "Preparation": "preparation",
    "Recognizer": "recognizer",
    "SiameseNetwork": "network",
    "Verification": "recognizer",
    "Verifier": "verifier",
    "load_checkpoint": "checkpoint",
    "load_ink": "images",
    "load_recognizer": "recognizer",
    "load_verifier": "verifier",
    "open_image": "images",
    "save_checkpoint": "checkpoint",
}


def __getattr__(name: str) -> object:
    """Names are fetched when they are first used: `import siamese` alone does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

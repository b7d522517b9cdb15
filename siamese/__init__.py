"""One Look: recognises a character, or a signature, that it has seen once.

from siamese import load_recognizer
recognizer = load_recognizer()
recognizer.similarity("a.png", "b.png")
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siamese.characters.recognizer import Recognizer, load_recognizer
    from siamese.hub.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
    from siamese.hub.errors import HubError
    from siamese.hub.model import SiameseNetwork
    from siamese.imaging.decode import ImageError, load_ink, open_image
    from siamese.imaging.reading import Reading, Remark
    from siamese.inference.verdict import Comparison, Verification
    from siamese.preprocessing import Preprocessing
    from siamese.signatures.regions import Region, find_signatures
    from siamese.signatures.verifier import Verifier, load_verifier

__all__ = [
    "CheckpointError",
    "Comparison",
    "HubError",
    "ImageError",
    "Preprocessing",
    "Reading",
    "Recognizer",
    "Region",
    "Remark",
    "SiameseNetwork",
    "Verification",
    "Verifier",
    "find_signatures",
    "load_checkpoint",
    "load_ink",
    "load_recognizer",
    "load_verifier",
    "open_image",
    "save_checkpoint",
]

_HOMES = {
    "CheckpointError": "hub.checkpoint",
    "Comparison": "inference.verdict",
    "HubError": "hub.errors",
    "ImageError": "imaging.decode",
    "Preprocessing": "preprocessing",
    "Reading": "imaging.reading",
    "Recognizer": "characters.recognizer",
    "Region": "signatures.regions",
    "Remark": "imaging.reading",
    "SiameseNetwork": "hub.model",
    "Verification": "inference.verdict",
    "Verifier": "signatures.verifier",
    "find_signatures": "signatures.regions",
    "load_checkpoint": "hub.checkpoint",
    "load_ink": "imaging.decode",
    "load_recognizer": "characters.recognizer",
    "load_verifier": "signatures.verifier",
    "open_image": "imaging.decode",
    "save_checkpoint": "hub.checkpoint",
}


def __getattr__(name: str) -> object:
    """Names are fetched when they are first used: `import siamese` alone does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

"""Reads facts about the loaded weights from their config.json."""

from typing import Any

from siamese.characters.recognizer import Recognizer
from siamese.hub.checkpoint import CheckpointError, read_config
from siamese.signatures.verifier import Verifier


def config_of(model: Recognizer | Verifier) -> dict[str, Any]:
    """Returns the config.json of a model; empty if there is none."""
    if model.origin is None:
        return {}
    try:
        return read_config(model.origin.folder)
    except CheckpointError:
        return {}


def figures_of(config: dict[str, Any]) -> dict[str, Any]:
    figures = config.get("figures")
    return figures if isinstance(figures, dict) else {}

"""The files beside the Python modules: style and behaviour of the page."""

from pathlib import Path

HERE = Path(__file__).parent


def script(file: str) -> str:
    """The text of a .js or .css file of this folder."""
    return (HERE / file).read_text(encoding="utf-8")

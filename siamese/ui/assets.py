"""The files beside the Python modules: style and behaviour of the page."""

from pathlib import Path

HERE = Path(__file__).parent / "static"


def script(*files: str) -> str:
    """The text of .js or .css files of this folder, one behind the other: a tab's own behind what it shares."""
    return "\n".join((HERE / file).read_text(encoding="utf-8") for file in files)

"""The result of reading an image: its ink with remarks (a code for programs, a sentence for people), or an error."""

from collections.abc import Iterable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


class ImageError(ValueError):
    """An image cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Remark:
    """A remark on how an image was read."""

    code: str
    """A key of REMARKS, which does not change from version to version."""
    text: str
    """One sentence."""
    is_doubt: bool
    """Whether the image is outside of what was measured: a verdict on it is "unsure", and no reliability is claimed."""

    def as_dict(self) -> dict[str, str | bool]:
        """Code, text and is_doubt, as JSON takes them."""
        return {"code": self.code, "text": self.text, "is_doubt": self.is_doubt}


@dataclass(frozen=True)
class Reading:
    """The ink of an image and the remarks on it."""

    ink: Float[Tensor, "*shape"]
    """Ink 1, paper 0."""
    remarks: tuple[Remark, ...] = ()

    @property
    def is_doubtful(self) -> bool:
        """Whether a verdict on this image must be "unsure"."""
        return any(remark.is_doubt for remark in self.remarks)


REMARKS: dict[str, Remark] = {
    remark.code: remark
    for remark in (
        Remark("sheet_found", "The sheet of paper was cut out of the photograph.", False),
        Remark("frame_removed", "A printed frame was removed.", False),
        Remark("lines_removed", "Printed lines were removed.", False),
        Remark("print_removed", "Print was found beside the writing and left out.", False),
        Remark("colour_removed", "Ink of another colour was left out, such as a stamp or a highlighter.", False),
        Remark("fine_pen", "The pen is much finer than those the network was trained on.", False),
        Remark("broad_pen", "The pen is much broader than those the network was trained on.", False),
        Remark("low_contrast", "There is very little contrast between the ink and the paper.", False),
        Remark("value_range", "The values of the image were taken for fewer bits than their type holds.", False),
        Remark("first_page", "The file has several pages; the first one was read.", False),
        Remark("print_crosses", "Print or a stamp crosses the writing and could not be taken out.", True),
        Remark("print_remains", "Print remains around the writing and could not be told from it.", True),
        Remark("several_pieces", "More than one piece of writing was found.", True),
        Remark("mostly_ink", "Ink covers most of the drawing, as in a filled shape, not in writing.", True),
        Remark("not_strokes", "This does not look like pen strokes.", True),
    )
}
"""Every remark there is, by its code."""


def merge_remarks(groups: Iterable[Iterable[Remark]]) -> tuple[Remark, ...]:
    """The remarks of several images, each once, in the order of REMARKS."""
    codes = {remark.code for group in groups for remark in group}
    return tuple(remark for remark in REMARKS.values() if remark.code in codes)

"""Words for shares and remarks on the pages. A share is shown as a count of 100 that is never 0 or 100."""

from collections.abc import Iterable

from siamese.imaging.reading import Remark

DOUBT = (
    "The network was not tested on pictures like these, so it is not known how often such a result is right. "
    "Crop to the writing, or choose a clearer picture."
)


def of_hundred(share: float) -> str:
    """Returns a measured share in [0, 1] as a count of 100: "more than 99", "fewer than 1", "16"."""
    return "more than 99" if share > 0.995 else "fewer than 1" if share < 0.005 else str(round(share * 100))


def about_of_hundred(share: float) -> str:
    """Returns an estimated share in [0, 1] as a count of 100: "more than 99", "fewer than 1", "about 16"."""
    words = of_hundred(share)
    return words if words.startswith(("more", "fewer")) else f"about {words}"


def range_of_hundred(shares: tuple[float, float]) -> str:
    """The range of measured shares as counts of 100: "15 to 25", "at most 3", "16"."""
    low, high = map(of_hundred, shares)
    if low == high:
        return low
    return f"at most {high}" if low.startswith("fewer") else f"{low} to {high}"


def said_of(remarks: Iterable[tuple[str, Remark]]) -> list[dict[str, str]]:
    """Converts remarks on pictures for a page.

    Args:
        remarks: Pairs of what the page calls the picture and a remark on it.

    Returns:
        For each remark the entries "picture" and "text", a sentence.
    """
    return [{"picture": picture, "text": remark.text} for picture, remark in remarks]

"""How far error rates reach from one collection of signatures to another that training left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SKILLED = "skilled forgeries"  # what the forgeries of a collection are
BY_OTHERS = "the same name by other writers"


@dataclass(frozen=True)
class RateRange:
    """The lowest and the highest rate over several collections, each left out of a training and then scored at
    thresholds that were chosen on the others."""

    far: tuple[float, float]
    """Share of skilled forgeries that pass."""
    frr: tuple[float, float]
    """Share of genuine signatures that are refused."""
    wrong: tuple[float, float]
    """Share of wrong answers where half of all signatures are forged: the mean of both."""


def rate_ranges(left_out: Sequence[Mapping], references: int) -> dict[str, RateRange]:
    """The ranges at each operating point, by its name.

    Args:
        left_out: The list "left_out" of a checked config.json; collections without skilled forgeries do not count.
        references: For so many or, where a collection has fewer, for the next smaller number.

    Returns:
        Empty where no collection was left out.
    """
    measured = [found["operating_points"] for entry in left_out if (found := _measure(entry, references))]
    names = measured[0] if measured else ()
    return {
        name: _range([(float(points[name]["far"]), float(points[name]["frr"])) for points in measured])
        for name in names
    }


def _range(rates: Sequence[tuple[float, float]]) -> RateRange:
    wrong = [(far + frr) / 2 for far, frr in rates]
    return RateRange(*((min(values), max(values)) for values in (*zip(*rates, strict=True), wrong)))


def _measure(entry: Mapping, references: int) -> Mapping | None:
    counts = [int(count) for count in entry["by_references"] if int(count) <= references]
    return entry["by_references"][str(max(counts))] if counts and entry["forgeries"] == SKILLED else None

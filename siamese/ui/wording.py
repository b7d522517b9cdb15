"""How shares are put into words on the pages: as counts of 100, which never claim all or none."""


def of_hundred(share: float) -> str:
    """A measured share as a count of 100: "more than 99", "fewer than 1", "16"."""
    return "more than 99" if share > 0.995 else "fewer than 1" if share < 0.005 else str(round(share * 100))


def about_of_hundred(share: float) -> str:
    """An estimated share as a count of 100: "more than 99", "fewer than 1", "about 16"."""
    words = of_hundred(share)
    return words if words.startswith(("more", "fewer")) else f"about {words}"

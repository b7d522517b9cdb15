"""What a visitor does on any tab."""

import math
import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.hostile import encoded

LARGE_SCREEN = pytest.param(1280, "light", marks=pytest.mark.slow)
SIZES = pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), LARGE_SCREEN])  # where both behave alike

VIEWS = pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (390, "dark"),
        pytest.param(1280, "dark", marks=pytest.mark.slow),
        pytest.param(390, "light", marks=pytest.mark.slow),
    ],
)


def png_file(image: Image.Image, name: str = "a.png") -> dict:
    """A file as an <input> takes it."""
    return {"name": name, "mimeType": "image/png", "buffer": encoded(image, "PNG")}


def open_tab(page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")


def scribble(page, canvas, phase: float = 0.0) -> None:
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()

    def place(share: float) -> tuple[float, float]:
        height = 0.5 + 0.3 * math.sin(9 * share + phase)
        return box["x"] + box["width"] * (0.15 + 0.7 * share), box["y"] + box["height"] * height

    page.mouse.move(*place(0))
    page.mouse.down()
    for step in range(1, 21):
        page.mouse.move(*place(step / 20))
    page.mouse.up()


class Refusing:
    """Stands between a page and the server: refuses the functions that `names` holds, keeps waiting those in `held`."""

    def __init__(self, page) -> None:
        self.names: set[str] = set()
        self.held: dict[str, list] = {}
        page.route(re.compile("component_server"), self._answer)

    def _answer(self, route) -> None:
        name = route.request.post_data_json["fn_name"]
        if name in self.names:
            route.fulfill(json={"error": "Refused."})
        elif name in self.held and not self.held[name]:
            self.held[name].append(route)
        else:
            route.continue_()


def dealt(page, ways: int) -> None:
    """Waits for a round that can be answered."""
    expect(page.locator(".candidates:not([aria-busy], .answered) .candidate")).to_have_count(ways)


def overflow(page) -> int:
    """By how many pixels the page is wider than the screen."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def in_sight(page, selector: str) -> bool:
    """Whether the middle of a part of the page lies on the screen and nothing lies over it."""
    return page.locator(selector).first.evaluate(
        """(part) => {
          const { left, top, width, height } = part.getBoundingClientRect();
          const here = document.elementFromPoint(left + width / 2, top + height / 2);
          const isFree = Boolean(here) && (part.contains(here) || here.contains(part));
          return isFree && top >= 0 && top + height <= innerHeight;
        }"""
    )

"""How long a visitor waits from dropping a picture to the verdict; times count on a machine with nothing else to do."""

import base64
import io
import statistics

import pytest
from PIL import Image, ImageDraw

from tests.browser.test_play import drawing

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.slow]

ORDINARY_S, PHOTOGRAPH_S = 0.3, 3.0
DROP_AND_WAIT = """([base64, type]) => new Promise((resolve) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], "picture", { type }));
  const answer = document.querySelector(".compare .answer");
  const began = performance.now();
  new MutationObserver((_, watch) => {
    if (answer.hidden) return;
    watch.disconnect();
    requestAnimationFrame(() => resolve((performance.now() - began) / 1000));
  }).observe(answer, { childList: true, subtree: true });
  const sheet = document.querySelectorAll(".compare .pad-sheet")[1];
  sheet.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
})"""


def photograph() -> bytes:
    """36 megapixels of uneven paper with a corner on it."""
    light = Image.linear_gradient("L").resize((7360, 4912)).point(lambda grey: 150 + grey // 3)
    ImageDraw.Draw(light).line([(2000, 1000), (5200, 3800), (2000, 3800)], fill=40, width=150)
    file = io.BytesIO()
    light.convert("RGB").save(file, "JPEG", quality=92)
    return file.getvalue()


def median_s(page, data: bytes, kind: str, times: int) -> float:
    sent = [base64.b64encode(data).decode(), kind]
    return statistics.median(page.evaluate(DROP_AND_WAIT, sent) for _ in range(times))


def test_a_verdict_comes_at_once(open_page):
    page = open_page(query="/?tab=compare")
    page.locator("input[name=picture-1]").set_input_files(drawing("triangle"))
    page.locator("input[name=picture-2]").set_input_files(drawing("corner"))
    expect(page.locator(".compare .answer")).to_be_visible()
    times_s = {
        "drawing": median_s(page, drawing("corner")["buffer"], "image/png", 9),
        "photograph": median_s(page, photograph(), "image/jpeg", 3),
    }
    print(times_s)
    assert times_s["drawing"] <= ORDINARY_S
    assert times_s["photograph"] <= PHOTOGRAPH_S

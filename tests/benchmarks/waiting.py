"""How long a visitor waits: `python -m tests.benchmarks.waiting`, on a machine with nothing else to do.

The first round on an ordinary line and on one of 1.6 Mbit/s, and the verdict of a drawing and of a photograph of 36
megapixels, side by side in one run.
"""

import base64
import statistics
import time

from PIL import Image, ImageDraw
from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM_FLAGS, chromium
from tests.browser.test_play import drawing
from tests.hostile import encoded
from tests.running_app import running_app

SLOW_LINE = {"offline": False, "latency": 0, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8}
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
    return encoded(light.convert("RGB"), "JPEG", quality=92)


def median_s(page, data: bytes, kind: str, times: int) -> float:
    sent = [base64.b64encode(data).decode(), kind]
    return statistics.median(page.evaluate(DROP_AND_WAIT, sent) for _ in range(times))


def first_round_s(browser, address: str, line: dict | None) -> float:
    """Seconds from opening the page to the first tile, in a browser that has nothing in its cache."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    if line:
        context.new_cdp_session(page).send("Network.emulateNetworkConditions", line)
    begun = time.monotonic()
    page.goto(address, wait_until="commit")
    page.locator(".candidate").first.wait_for()
    took = time.monotonic() - begun
    context.close()
    return took


def main() -> None:
    """Measures and prints a line for each kind of wait."""
    with running_app() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_FLAGS))
        for name, line in (("ordinary line", None), ("1.6 Mbit/s", SLOW_LINE)):
            took_s = statistics.median(first_round_s(browser, address, line) for _ in range(3))
            print(f"first round, {name}: {took_s:.2f} s")
        page = browser.new_page()
        page.goto(address + "/?tab=compare")
        for number, name in ((1, "triangle"), (2, "corner")):
            page.locator(f"input[name=picture-{number}]").set_input_files(drawing(name))
        page.locator(".compare .answer").wait_for()
        print(f"verdict on a drawing: {median_s(page, drawing('corner')['buffer'], 'image/png', 9):.2f} s")
        print(f"verdict on 36 megapixels: {median_s(page, photograph(), 'image/jpeg', 3):.2f} s")
        browser.close()


if __name__ == "__main__":
    main()

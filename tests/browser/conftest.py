"""One browser for the session, one page of a given size and scheme for each test."""

import os
import shutil
from pathlib import Path

import pytest

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--use-fake-device-for-media-stream",  # a camera that shows a clock
)
PICTURES = Path(__file__).parent.parent.parent / "artifacts"
PATIENCE_MS = 60_000  # a busy machine is no failure


def chromium() -> str | None:
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


@pytest.fixture(scope="session")
def browser():
    path = chromium()
    if path is None and "CI" not in os.environ:
        pytest.skip("There is no Chromium on this machine; install one to drive the app in it.")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, app_address):
    """A function that opens the app: width in pixels, "light" or "dark", what stands behind the address, options."""
    contexts, troubles = [], []

    def opened(width: int = 1280, scheme: str = "light", query: str = "", context=None, **options):
        if context is None:
            size = {"width": width, "height": 844 if width < 500 else 800}
            context = browser.new_context(viewport=size, color_scheme=scheme, **options)
            context.set_default_timeout(PATIENCE_MS)
            contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)

        def watch(request):
            if not request.url.startswith((app_address, "data:", "blob:")):
                troubles.append(f"asked another host: {request.url}")

        page.on("request", watch)
        page.goto(app_address + query)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture
def keep():
    """A function that keeps a picture of the page under artifacts/, which git ignores."""

    def kept(page, name: str):
        PICTURES.mkdir(exist_ok=True)
        page.screenshot(path=PICTURES / f"{name}.png", full_page=True)

    return kept

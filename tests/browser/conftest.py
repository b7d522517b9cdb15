"""One browser for the session; each test is a visitor of its own."""

import os
import shutil

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
    """A function that opens the app: width in pixels, "light" or "dark", what stands behind the address, and so on.

    A second page in a test, if it is not given the context of the first, is that of another visitor.
    """
    contexts, troubles = [], []

    def opened(width=1280, scheme="light", query="", context=None, reduced_motion="no-preference", **options):
        if context is None:
            context = browser.new_context(**options)
            context.set_default_timeout(PATIENCE_MS)
            contexts.append(context)
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 844 if width < 500 else 800})
        page.emulate_media(color_scheme=scheme, reduced_motion=reduced_motion)
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

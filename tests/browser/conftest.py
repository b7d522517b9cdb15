"""One browser for the session; each test is a visitor of its own, of whom the next one finds nothing."""

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
    "--process-per-site",  # a page has the scripts that the page before it has loaded
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


@pytest.fixture(scope="session")
def visitors(browser, app_address):
    """What all visitors but a second one in a test have in common: a context with a page that stays open.

    While that page is open, the others load in 1.5 s of a core; without it, in 4 s.
    """
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    context.new_page().goto(app_address)
    yield context
    context.close()


def forget_visitor(context, address: str) -> None:
    """Closes all pages but the first and takes away what they were allowed and what they stored."""
    first, *others = context.pages
    for page in others:
        page.close()
    context.unroute_all()
    context.clear_permissions()
    session = context.new_cdp_session(first)
    session.send("Storage.clearDataForOrigin", {"origin": address, "storageTypes": "all"})
    session.detach()


@pytest.fixture
def open_page(browser, visitors, app_address):
    """A function that opens the app: width in pixels, "light" or "dark", what stands behind the address, and so on.

    A second page in a test, if it is not given the context of the first, is that of another visitor. `is_apart` and
    options of a context give the page a context that ends with the test: a clock would stand still for all others.
    """
    contexts, troubles = [], []

    def opened(
        width=1280,
        scheme="light",
        query="",
        context=None,
        reduced_motion="no-preference",
        is_apart=False,
        **options,
    ):
        if context is None and (is_apart or options or visitors in contexts):
            context = browser.new_context(**options)
            context.set_default_timeout(PATIENCE_MS)
        context = context or visitors
        if context not in contexts:
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
        if context is visitors:
            forget_visitor(context, app_address)
        else:
            context.close()
    assert troubles == []

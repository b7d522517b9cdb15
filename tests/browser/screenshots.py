"""The README's pictures: `python -m tests.browser.screenshots DIR`. They show Omniglot's evaluation alphabets."""

import argparse
import io
from pathlib import Path

from PIL import Image

from tests.browser.conftest import CHROMIUM_FLAGS, PATIENCE_MS, chromium
from tests.running_app import running_app

LINK, PICK = "10o-onelookatthese", 3  # the link is completed below with the mark of the public key
COLOURS = 96  # flat paper and ink need no more, and a picture stays below 150 KB
DESKTOP, PHONE = (1180, 900), (390, 844)


def save(page, path: Path) -> None:
    """The whole page as a small PNG."""
    image = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}  {path.stat().st_size // 1024} KB")


def replayed_link() -> str:
    from siamese.ui.trials import TrialSource

    return LINK + TrialSource().new_game(10, "omniglot").link[-2:]


def take(address: str, folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_FLAGS))

        def opened(size: tuple[int, int], scheme: str, query: str = ""):
            context = browser.new_context(
                viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, reduced_motion="reduce"
            )
            context.set_default_timeout(PATIENCE_MS)
            page = context.new_page()
            page.goto(address + query)
            page.locator(".candidate canvas").first.wait_for()
            return page

        def answered(page) -> None:
            page.locator(".candidate").nth(PICK).click()
            page.locator(".candidate.truth").wait_for()
            page.mouse.move(2, 2)

        query = f"/?challenge={replayed_link()}"
        page = opened(DESKTOP, "light", query)
        answered(page)
        save(page, folder / "challenge.png")
        page.get_by_role("tab", name="Compare", exact=True).click()
        page.locator(".example").nth(2).click()
        page.get_by_role("button", name="Why this result?").click()
        page.locator("img.why").nth(1).wait_for()
        save(page, folder / "compare.png")
        page.get_by_role("tab", name="Verify a signature", exact=True).click()
        page.locator("#verify .example").nth(1).click()
        page.locator(".verify .inks figure").nth(3).wait_for()
        save(page, folder / "verify.png")
        page.get_by_role("tab", name="Your own classes", exact=True).click()
        page.get_by_role("button", name="Load an example set").click()
        page.locator(".ranking li").first.wait_for()
        save(page, folder / "own-classes.png")
        page.get_by_role("tab", name="About", exact=True).click()
        page.locator(".chart").wait_for()
        save(page, folder / "about.png")
        page = opened(PHONE, "dark", query)
        answered(page)
        save(page, folder / "phone.png")
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the README's pictures of every tab.")
    parser.add_argument("folder", type=Path, metavar="DIR")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    if chromium() is None:
        raise SystemExit("There is no Chromium on this machine; install one to take pictures.")
    with running_app() as address:
        take(address, folder)


if __name__ == "__main__":
    main()

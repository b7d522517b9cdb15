"""Every tab fits the screen and passes axe-core, which knows WCAG 2 for screen readers, keyboards and contrast."""

from pathlib import Path

import pytest

from tests.browser.visitor import VIEWS, open_tab, overflow

axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed.")
expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser
TABS = ["Compare", "Verify a signature", "Your own classes", "About"]
RUN = """axe.run(".gradio-container", {runOnly: ["wcag2a", "wcag2aa"]}).then((found) => found.violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).slice(0, 3).join("; ")}`))"""


@VIEWS
def test_no_tab_has_a_serious_violation_or_is_wider_than_the_screen(open_page, width, scheme):
    page = open_page(width, scheme)
    page.emulate_media(reduced_motion="reduce")  # colours are judged where they come to rest
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    expect(page.locator(".candidate")).to_have_count(10)
    assert overflow(page) <= 0
    found = {"challenge": page.evaluate(RUN)}
    page.keyboard.press("a")
    expect(page.locator(".candidate.truth")).to_have_count(1)
    found["challenge, answered"] = page.evaluate(RUN)
    for name in TABS:
        open_tab(page, name)
        expect(page.locator("[role=tabpanel]:visible .panel")).to_be_visible()
        assert overflow(page) <= 0, name
        if name == "Compare":
            page.locator(".example").first.click()
            expect(page.locator(".compare .answer")).to_be_visible()
        if name == "Your own classes":
            page.get_by_role("button", name="Load an example set").click()
            expect(page.locator(".ranking li")).to_have_count(8)
        found[name] = page.evaluate(RUN)
    assert {name: rules for name, rules in found.items() if rules} == {}

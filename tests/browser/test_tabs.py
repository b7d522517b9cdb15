"""Each tab has an address; About can be read on a phone; what holds for every tab is in test_axe.py."""

import re
from itertools import pairwise

import pytest

from tests.browser.visitor import VIEWS, overflow

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser

TABS = {"compare": "Compare", "verify": "Verify a signature", "own": "Your own classes", "about": "About"}


def selected(page, name: str) -> None:
    expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")


def test_each_tab_has_an_address_and_back_leads_to_the_one_before(open_page):
    page = open_page()
    selected(page, "One-shot challenge")
    for address, name in TABS.items():
        page.get_by_role("tab", name=name, exact=True).click()
        expect(page).to_have_url(re.compile(rf"[?&]tab={address}\b"))
    for name in ["Your own classes", "Verify a signature", "Compare", "One-shot challenge"]:
        page.go_back()
        selected(page, name)
    assert "tab=" not in page.url
    page.go_forward()
    selected(page, "Compare")
    page.get_by_role("tab", name="Compare", exact=True).focus()
    page.keyboard.press("ArrowRight")
    selected(page, "Verify a signature")
    expect(page.get_by_role("tab", name="Verify a signature", exact=True)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    selected(page, "Compare")


def test_an_address_opens_its_tab(open_page):
    page = open_page(query="/?tab=verify")
    selected(page, "Verify a signature")
    page.reload()
    selected(page, "Verify a signature")
    page.goto(page.url.split("?")[0] + "?tab=nonsense")
    selected(page, "One-shot challenge")
    assert "tab=" not in page.url


SMALLEST_TEXT = """[...document.querySelectorAll("#about *")].filter((node) => node.checkVisibility()
    && [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()))
    .map((node) => parseFloat(getComputedStyle(node).fontSize)).reduce((a, b) => Math.min(a, b))"""
LABELS = """[...document.querySelectorAll("#about .chart .end")].map((node) => {
    const box = node.getBoundingClientRect(); return [box.top, box.bottom, box.right]; })"""


@VIEWS
def test_about_can_be_read_and_links_the_paper_and_the_data(open_page, width, scheme):
    page = open_page(width, scheme, "/?tab=about")
    expect(page.locator(".chart")).to_be_visible()
    expect(page.locator("#about table:visible")).to_have_count(1)  # the rest is behind Details
    assert page.evaluate(SMALLEST_TEXT) >= 11
    labels = sorted(page.evaluate(LABELS))
    assert len(labels) == 4
    assert all(before[1] <= after[0] + 1 for before, after in pairwise(labels))
    assert max(right for _, _, right in labels) <= width
    for code in page.locator("#about [data-address]").all_inner_texts():
        assert page.url.startswith(f"{code}/?")  # the examples call the app that shows them
    page.locator("#about summary").click()
    expect(page.locator("#about table:visible").nth(2)).to_be_visible()
    assert page.evaluate(SMALLEST_TEXT) >= 11
    assert overflow(page) <= 0
    links = page.locator("#about a")
    expect(links.filter(has_text="Paper: Koch")).to_have_attribute("href", re.compile("oneshot1.pdf$"))
    expect(links.filter(has_text="Data: Omniglot")).to_have_attribute("href", re.compile("brendenlake/omniglot$"))

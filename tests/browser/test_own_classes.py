"""Your own classes: kept in the visitor's browser, named by folders, examples that replace one another."""

import io
import re
import zipfile

import pytest

from tests.browser.test_play import drawing
from tests.browser.visitor import open_tab, scribble

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser


@pytest.fixture
def own(open_page):
    def opened(**options):
        page = open_page(**options)
        open_tab(page, "Your own classes")
        expect(page.locator(".own [data-count]")).not_to_be_empty()
        return page

    return opened


def names(page) -> list[str]:
    return page.locator(".shelf-item input").evaluate_all("inputs => inputs.map((input) => input.value)")


def test_the_set_survives_a_reload_in_this_browser_and_removing_it_asks(own):
    page = own()
    page.locator("input[name=class]").set_input_files([drawing("corner"), drawing("triangle")])
    expect(page.locator(".shelf-item")).to_have_count(2)
    page.locator(".shelf-item input").first.fill("rivet")
    page.locator(".shelf-item input").first.press("Tab")
    expect(page.locator(".own [data-kept]")).to_contain_text("kept in this browser on this device")
    again = own(context=page.context)
    expect(again.locator(".shelf-item")).to_have_count(2)
    assert names(again) == ["rivet", "triangle"]
    empty = again.get_by_role("button", name="Remove all")
    empty.click()
    box = again.get_by_role("dialog")
    expect(box).to_contain_text("Remove all 2 classes from this browser?")
    expect(box.get_by_role("button", name="Keep")).to_be_focused()
    again.keyboard.press("Escape")
    expect(again.locator(".shelf-item")).to_have_count(2)
    expect(empty).to_be_focused()
    scribble(again, again.locator(".own .pad-sheet canvas").nth(1))
    expect(again.locator(".ranking li")).to_have_count(2)
    empty.click()
    box.get_by_role("button", name="Remove").click()
    expect(again.locator(".shelf-item")).to_have_count(0)
    expect(again.locator(".own [data-say]")).to_have_text("")  # the query is gone as well
    expect(again.get_by_role("button", name="Clear: To classify")).to_be_disabled()
    last = own(context=page.context)
    last.locator("input[name=query]").set_input_files(drawing("corner"))
    expect(last.locator(".own [data-say]")).to_contain_text("Add two classes")
    expect(last.locator(".shelf-item")).to_have_count(0)


def test_an_example_set_replaces_what_it_loaded_before_and_the_query(own):
    page = own()
    page.locator("input[name=class]").set_input_files([drawing("corner"), drawing("triangle")])
    expect(page.locator(".shelf-item")).to_have_count(2)
    scribble(page, page.locator(".own .pad-sheet canvas").nth(1))
    expect(page.locator(".ranking li")).to_have_count(2)
    load = page.get_by_role("button", name="Load an example set")
    load.click()
    expect(page.locator(".ranking li")).to_have_count(10)
    query = page.locator(".own .pad").nth(1)
    expect(query.locator(".pad-picture")).to_be_visible()  # in place of what was drawn
    load.click()
    expect(page.locator(".own .answer")).to_be_visible()
    expect(page.locator(".shelf-item")).to_have_count(10)
    assert names(page)[:2] == ["corner", "triangle"]  # nobody's own classes are taken away


def test_folders_of_a_zip_name_classes(own):
    page = own()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path, kind in (("oak/1.png", "corner"), ("oak/2.png", "corner"), ("elm/1.png", "triangle")):
            archive.writestr(path, drawing(kind)["buffer"])
    page.locator("[data-import]").set_input_files(
        {"name": "trees.zip", "mimeType": "application/zip", "buffer": file.getvalue()}
    )
    expect(page.locator(".shelf-item")).to_have_count(2)
    assert names(page) == ["elm", "oak"]


def test_a_picture_of_a_zip_that_cannot_be_used_costs_nothing_of_the_others(own):
    page = own()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("elm.png", drawing("corner")["buffer"])
        archive.writestr("fir.png", b"no picture")
    page.locator("[data-import]").set_input_files(
        {"name": "trees.zip", "mimeType": "application/zip", "buffer": file.getvalue()}
    )
    expect(page.locator(".own [data-say]")).to_contain_text("1 class was imported. 1 picture could not be used. fir:")
    assert names(page) == ["elm"]


def test_classes_that_fit_alike_are_all_named(own):
    page = own()
    page.locator("input[name=class]").set_input_files([drawing("corner"), drawing("corner"), drawing("triangle")])
    page.locator("input[name=query]").set_input_files(drawing("corner"))
    expect(page.locator(".own .score")).to_have_text(re.compile("similar, and so is corner( 2)?$"))

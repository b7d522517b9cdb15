"""A visitor's afternoon: two uploads compared, classes of their own."""

import base64
import re

import pytest
from PIL import Image, ImageDraw

from tests.browser.visitor import SIZES, Refusing, open_tab, png_file, scribble

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser


def drawing(kind: str) -> dict:
    """A picture with two or three strokes, as an <input> takes it."""
    image = Image.new("L", (300, 240), 255)
    points = [(60, 50), (240, 190), (60, 190)] if kind == "corner" else [(150, 40), (60, 200), (240, 200), (150, 40)]
    ImageDraw.Draw(image).line(points, fill=0, width=9)
    return png_file(image, f"{kind}.png")


@SIZES
def test_two_uploads_are_compared(open_page, width, scheme):
    page = open_page(width, scheme)
    open_tab(page, "Compare")
    page.locator("input[name=picture-1]").set_input_files(drawing("corner"))
    page.locator("input[name=picture-2]").set_input_files(drawing("corner"))
    answer = page.locator(".compare .answer")
    expect(answer).to_be_visible()
    expect(answer.locator(".verdict")).to_have_text(re.compile("The same|Different|Unsure"))
    same = answer.locator(".score").inner_text()
    expect(answer.locator(".scale")).to_have_attribute("aria-label", re.compile("the threshold is"))
    expect(answer.locator("img.seen")).to_have_count(2)
    answer.get_by_role("button", name="Why this result?").click()
    expect(answer.locator("img.why")).to_have_count(2)
    page.locator("input[name=picture-2]").set_input_files(drawing("triangle"))
    expect(answer.locator(".score")).not_to_have_text(same)
    page.locator("input[name=picture-2]").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": b"<html>"}
    )
    expect(page.locator(".compare [role=alert]")).to_contain_text("not a PNG, JPEG, WebP, BMP or GIF")
    expect(answer).to_be_hidden()


PASTE = """([base64, type]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], "pasted.png", { type }));
  document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""


def test_pasted_pictures_go_to_the_sheets_that_are_empty(open_page):
    page = open_page()
    open_tab(page, "Compare")
    expect(page.locator(".compare .pad")).to_have_count(2)
    corner = base64.b64encode(drawing("corner")["buffer"]).decode()
    page.evaluate(PASTE, [corner, "text/plain"])
    page.evaluate(PASTE, [corner, "image/png"])
    expect(page.locator(".compare [data-say]")).to_contain_text("Now the other picture")
    expect(page.locator(".compare .pad-picture:visible")).to_have_count(1)
    page.evaluate(PASTE, [corner, "image/png"])
    expect(page.locator(".compare .pad-picture:visible")).to_have_count(2)
    expect(page.locator(".compare .answer .verdict")).to_have_text("The same")


LIVE = "[...document.querySelectorAll('video')].filter((video) => video.srcObject?.active).length"


def test_the_camera_takes_a_picture_and_is_off_when_its_sheet_is_out_of_sight(open_page):
    page = open_page()
    page.context.grant_permissions(["camera"])
    open_tab(page, "Compare")
    sheet = page.locator(".compare .pad").first
    sheet.get_by_role("button", name="Camera").click()
    expect(sheet.locator("video")).to_be_visible()
    assert page.evaluate(LIVE) == 1
    page.wait_for_function("document.querySelector('.compare video').videoWidth > 0")
    sheet.get_by_role("button", name="Take picture").click()
    expect(sheet.locator(".pad-picture")).to_be_visible()
    expect(sheet.locator("video")).to_be_hidden()
    assert page.evaluate(LIVE) == 0
    sheet.get_by_role("button", name="Camera").click()
    expect(sheet.locator("video")).to_be_visible()
    expect(sheet.locator(".pad-picture")).to_be_hidden()
    open_tab(page, "About")
    page.wait_for_function(f"{LIVE} === 0")
    open_tab(page, "Compare")
    expect(sheet.locator("video")).to_be_hidden()
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('no')); }")
    sheet.get_by_role("button", name="Camera").click()
    expect(page.locator(".compare [role=alert]")).to_contain_text("upload a picture instead")


LATE = """() => {
  const [decode, open] = [window.createImageBitmap, navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)];
  const held = (action) => (...given) => new Promise((resolve) => { window.goOn = () => resolve(action(...given)); });
  window.createImageBitmap = held(decode);
  navigator.mediaDevices.getUserMedia = held(async (wanted) => (window.opened = await open(wanted)));
}"""


def test_what_comes_late_takes_no_drawing_away(open_page):
    page = open_page()
    page.context.grant_permissions(["camera"])
    open_tab(page, "Compare")
    page.evaluate(LATE)
    sheet = page.locator(".compare .pad").first
    undo = sheet.get_by_role("button", name="Undo")
    page.locator("input[name=picture-1]").set_input_files(drawing("corner"))
    page.wait_for_function("Boolean(window.goOn)")
    scribble(page, sheet.locator("canvas"))
    page.evaluate("goOn()")
    page.wait_for_timeout(500)
    expect(sheet.locator(".pad-picture")).to_be_hidden()
    expect(undo).to_be_enabled()
    page.evaluate("delete window.goOn")
    sheet.get_by_role("button", name="Camera").click()
    page.wait_for_function("Boolean(window.goOn)")
    scribble(page, sheet.locator("canvas"), 1.0)
    page.evaluate("goOn()")
    page.wait_for_function("window.opened && window.opened.getTracks().every((track) => track.readyState === 'ended')")
    expect(sheet.locator("video")).to_be_hidden()
    expect(undo).to_be_enabled()


def test_a_late_refusal_is_not_told_beside_a_newer_answer(open_page):
    page = open_page()
    open_tab(page, "Compare")
    server = Refusing(page)
    server.held["compare_pictures"] = late = []
    page.locator("input[name=picture-1]").set_input_files(drawing("corner"))
    said, answer = page.locator(".compare [data-say]"), page.locator(".compare .answer")
    expect(said).to_contain_text("Now the other picture")
    page.locator("input[name=picture-2]").set_input_files(drawing("corner"))
    expect(said).to_have_text("Looking …")
    page.wait_for_timeout(500)
    page.locator("input[name=picture-2]").set_input_files(drawing("triangle"))
    expect(answer).to_be_visible()
    with page.expect_response(re.compile("component_server")):
        late[0].fulfill(json={"error": "Refused."})
    page.wait_for_timeout(200)
    expect(said).to_have_text("")
    expect(answer).to_be_visible()
    server.names = {"explain_pictures"}
    why = answer.get_by_role("button", name="Why this result?")
    why.click()
    expect(said).to_have_text("Refused.")
    expect(why).to_have_attribute("aria-pressed", "false")
    server.names = set()
    why.click()
    expect(why).to_have_attribute("aria-pressed", "true")
    expect(answer.locator("img.why")).to_have_count(2)
    why.click()
    expect(why).to_have_attribute("aria-pressed", "false")
    expect(answer.locator("img.why")).to_have_count(0)


def test_a_comparison_by_keyboard_alone(open_page):
    page = open_page()
    page.get_by_role("tab", name="One-shot challenge", exact=True).focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("tab", name="Compare", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".example")).to_have_count(4)
    page.locator(".compare .pad-sheet").first.focus()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('example')"):
            break
    page.keyboard.press("Enter")
    expect(page.locator(".compare .answer")).to_be_visible()


def test_own_classes_are_named_ranked_exported_and_imported(open_page, tmp_path):
    page = open_page()
    open_tab(page, "Your own classes")
    page.locator("input[name=class]").set_input_files([drawing("corner"), drawing("triangle")])
    expect(page.locator(".shelf-item")).to_have_count(2)
    page.locator("input[name=query]").set_input_files(drawing("triangle"))
    expect(page.locator(".own .answer")).to_be_visible()
    expect(page.locator(".ranking .rank-name").first).to_have_text("triangle")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as ZIP").click()
    download.value.save_as(tmp_path / "set.zip")
    page.get_by_role("button", name="Remove all").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.locator(".shelf-item")).to_have_count(0)
    page.locator("[data-import]").set_input_files(tmp_path / "set.zip")
    expect(page.locator(".shelf-item")).to_have_count(2)
    expect(page.locator(".shelf-item input").nth(1)).to_have_value("triangle")
    page.locator("[data-import]").set_input_files(drawing("corner") | {"name": "a.zip"})
    expect(page.locator(".own [role=alert]")).to_contain_text("not a ZIP")
    page.get_by_role("button", name="Load an example set").click()  # which takes nobody's own classes away
    expect(page.locator(".shelf-item")).to_have_count(10)
    expect(page.locator(".shelf-item input").nth(1)).to_have_value("triangle")


def test_classes_that_were_asked_for_before_all_were_removed_do_not_come_back(open_page, tmp_path):
    page = open_page()
    open_tab(page, "Your own classes")
    server = Refusing(page)
    page.locator("input[name=class]").set_input_files([drawing("corner"), drawing("bar")])
    expect(page.locator(".shelf-item")).to_have_count(2)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as ZIP").click()
    download.value.save_as(tmp_path / "set.zip")
    for function, ask in (
        ("own_example", lambda: page.get_by_role("button", name="Load an example set").click()),
        ("own_import", lambda: page.locator("[data-import]").set_input_files(tmp_path / "set.zip")),
    ):
        server.held[function] = late = []
        with page.expect_request(re.compile("component_server")):
            ask()
        page.get_by_role("button", name="Remove all").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        with page.expect_response(re.compile("component_server")):
            late[0].continue_()
        page.locator("input[name=class]").set_input_files([drawing("triangle"), drawing("corner")])
        expect(page.locator(".shelf-item")).to_have_count(2)
        expect(page.locator(".shelf-item input").first).to_have_value("triangle")


def test_a_class_is_added_once_and_costs_no_newer_drawing(open_page):
    page = open_page()
    open_tab(page, "Your own classes")
    server = Refusing(page)
    server.held["own_add"] = late = []
    name, add = page.locator(".own [data-name]"), page.get_by_role("button", name="Add this class")
    canvas = page.locator(".own .pad-sheet canvas").first
    scribble(page, canvas)
    expect(add).to_be_enabled()
    name.fill("first")
    with page.expect_request(re.compile("component_server")):
        name.press("Enter")
    name.press("Enter")
    name.fill("second")
    scribble(page, canvas, 1.0)
    late[0].continue_()
    expect(page.locator(".shelf-item input")).to_have_value("first")
    expect(name).to_have_value("second")
    expect(add).to_be_enabled()
    add.click()
    expect(page.locator(".shelf-item input")).to_have_count(2)
    expect(page.locator(".shelf-item input").nth(1)).to_have_value("second")
    expect(page.locator(".own .pad-sheet").first).to_be_focused()

"""Sheets: pictures cropped and turned by mouse, touch and keyboard, steps taken back, files that miss a sheet."""

import base64
import re

import pytest
from PIL import Image, ImageDraw

from tests.browser.test_play import drawing
from tests.browser.visitor import open_tab, png_file, scribble

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser

SHAPE = "picture => [picture.naturalWidth, picture.naturalHeight]"


def two_strokes() -> Image.Image:
    """400 x 200: a cross on the left, a ring on the right."""
    image = Image.new("L", (400, 200), 255)
    pen = ImageDraw.Draw(image)
    pen.line([(40, 40), (160, 160)], fill=0, width=9)
    pen.line([(40, 160), (160, 40)], fill=0, width=9)
    pen.ellipse([240, 40, 360, 160], outline=0, width=9)
    return image


def far_apart() -> Image.Image:
    """900 x 300: a cross on the left, a ring far to the right of it."""
    image = Image.new("L", (900, 300), 255)
    both = two_strokes()
    image.paste(both.crop((0, 0, 200, 200)), (50, 50))
    image.paste(both.crop((200, 0, 400, 200)), (650, 50))
    return image


@pytest.fixture
def compare(open_page):
    def opened(width: int = 1280, **options):
        page = open_page(width, **options)
        open_tab(page, "Compare")
        expect(page.locator(".compare .pad")).to_have_count(2)
        return page

    return opened


def shape(pad) -> list[int]:
    return pad.locator(".pad-picture").evaluate(SHAPE)


def bring(page, number: int, file: dict):
    pad = page.locator(".compare .pad").nth(number - 1)
    page.locator(f"input[name=picture-{number}]").set_input_files(file)
    expect(pad.get_by_role("button", name="Crop")).to_be_visible()
    return pad


def test_one_of_two_characters_that_stand_apart_is_chosen(compare):
    page = compare(390)
    pad = page.locator(".compare .pad").first
    page.locator("input[name=picture-1]").set_input_files(png_file(far_apart()))
    expect(pad.locator(".crop-region")).to_have_count(2)
    bring(page, 2, png_file(two_strokes().crop((200, 0, 400, 200))))
    expect(page.locator(".compare .answer")).to_be_hidden()  # nothing is judged before one is chosen
    regions = pad.locator(".crop-region")
    right = max(range(2), key=lambda number: regions.nth(number).bounding_box()["x"])
    regions.nth(right).click()
    expect(page.locator(".compare .verdict")).to_have_text("The same")
    assert shape(pad)[0] < 300


@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.slow)])  # where one crops by touch, below
def test_a_part_is_kept_with_the_mouse_and_judged_instead_of_the_whole(compare, width):
    page = compare(width)
    pad = bring(page, 1, png_file(two_strokes()))
    bring(page, 2, png_file(two_strokes().crop((200, 0, 400, 200))))
    score = page.locator(".compare .score")
    expect(score).to_be_visible()
    whole = score.inner_text()
    pad.get_by_role("button", name="Crop").click()
    expect(page.locator(".compare .answer")).to_be_hidden()  # nothing is judged while a part is chosen
    frame = pad.locator(".crop").bounding_box()
    page.mouse.move(frame["x"] + 0.52 * frame["width"], frame["y"] + 0.04 * frame["height"])
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.98 * frame["width"], frame["y"] + 0.96 * frame["height"], steps=4)
    page.mouse.up()
    pad.get_by_role("button", name="Keep this part").click()
    expect(score).not_to_have_text(whole)
    assert shape(pad) == pytest.approx([184, 184], abs=3)
    expect(page.locator(".compare .verdict")).to_have_text("The same")
    pad.get_by_role("button", name="Undo").click()
    expect(score).to_have_text(whole)
    assert shape(pad) == [400, 200]


def test_a_part_is_kept_by_keyboard(compare):
    page = compare()
    pad = bring(page, 1, png_file(two_strokes()))
    pad.get_by_role("button", name="Crop").focus()
    page.keyboard.press("Enter")
    box = pad.locator(".crop-box")
    expect(box).to_be_focused()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    for _ in range(10):
        page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    expect(pad.locator(".crop")).to_be_hidden()
    assert shape(pad) == pytest.approx([240, 160], abs=2)  # 0.0 to 0.6 of 400, 0.1 to 0.9 of 200
    expect(pad.locator(".pad-sheet")).to_be_focused()
    pad.get_by_role("button", name="Crop").click()
    page.keyboard.press("Escape")
    expect(pad.locator(".crop")).to_be_hidden()
    assert shape(pad) == pytest.approx([240, 160], abs=2)


def test_a_corner_is_dragged_by_touch(compare):
    page = compare(390, has_touch=True, is_mobile=True)
    pad = bring(page, 1, png_file(two_strokes()))
    pad.get_by_role("button", name="Crop").tap()
    frame, corner = (pad.locator(name).bounding_box() for name in (".crop", ".crop-corner.nw"))
    start = {"x": corner["x"] + corner["width"] / 2, "y": corner["y"] + corner["height"] / 2}
    end = {"x": frame["x"] + 0.5 * frame["width"], "y": start["y"]}
    touch = page.context.new_cdp_session(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [start]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [end]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    pad.get_by_role("button", name="Keep this part").click()  # a second tap so soon would be a double one
    expect(pad.locator(".crop")).to_be_hidden()
    assert shape(pad) == pytest.approx([160, 160], abs=3)  # 0.5 to 0.9 of 400, 0.1 to 0.9 of 200


def test_a_picture_is_turned_and_cropped_and_every_step_is_taken_back(compare):
    page = compare()
    pad = bring(page, 1, png_file(two_strokes()))
    pad.get_by_role("button", name="Turn").click()
    page.wait_for_function("document.querySelector('.compare .pad-picture').naturalHeight === 400")
    pad.get_by_role("button", name="Crop").click()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.compare .pad-picture').naturalHeight === 320")
    pad.get_by_role("button", name="Turn").click()
    page.wait_for_function("document.querySelector('.compare .pad-picture').naturalWidth === 320")
    for width, height in ((160, 320), (200, 400), (400, 200)):
        page.keyboard.press("Control+z")
        page.wait_for_function(f"document.querySelector('.compare .pad-picture').naturalWidth === {width}")
        assert shape(pad) == [width, height]
    page.keyboard.press("Control+z")
    expect(pad.locator(".pad-picture")).to_be_hidden()
    expect(pad.get_by_role("button", name="Undo")).to_be_disabled()


def test_ctrl_z_takes_back_strokes_and_what_was_cleared(compare):
    page = compare()
    pad = page.locator(".compare .pad").first
    undo, clear = (pad.get_by_role("button", name=name) for name in ("Undo", "Clear"))
    scribble(page, pad.locator("canvas"))
    clear.click()
    expect(clear).to_be_disabled()
    page.keyboard.press("Control+z")
    expect(clear).to_be_enabled()
    page.keyboard.press("Control+z")
    expect(clear).to_be_disabled()
    expect(undo).to_be_disabled()
    page.keyboard.press("Control+z")  # nothing is left, and nothing happens
    expect(undo).to_be_disabled()


DROP = """(node, [files, where]) => {
  const data = new DataTransfer();
  for (const [name, base64] of files) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], name, { type: "image/png" }));
  }
  const event = (kind) => new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
  const target = where ? node.querySelector(where) : node;
  return [target.dispatchEvent(event("dragover")), target.dispatchEvent(event("drop"))];
}"""
PASTE = """(base64) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
  document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""


def test_sheets_say_what_became_of_what_was_brought(compare):
    page = compare()
    corner, triangle = (base64.b64encode(drawing(kind)["buffer"]).decode() for kind in ("corner", "triangle"))
    files = [["a.png", corner], ["b.png", triangle]]
    first = page.locator(".compare .pad").first
    note = first.locator(".pad-note")
    # a file that misses the sheets would otherwise replace the page: its default action is taken away
    assert page.locator(".compare").evaluate(DROP, [files, "h2"]) == [False, False]
    expect(note).to_have_text("The file was dropped beside the sheet; drop it on one.")
    page.locator(".compare").evaluate(DROP, [files, ".pad-sheet"])
    expect(note).to_have_text("You chose 2 files; this sheet takes one, so it shows the first.")
    expect(page.locator(".compare .pad-picture:visible")).to_have_count(1)
    page.evaluate("document.activeElement.blur()")
    page.evaluate(PASTE, triangle)
    expect(page.locator(".compare .answer")).to_be_visible()
    page.evaluate(PASTE, triangle)
    expect(note).to_have_text("Both sheets are full; clear one first, then paste again.")


def test_white_ink_on_nothing_is_read_as_through_the_api_however_large(compare):
    page = compare()
    image = Image.new("RGBA", (2400, 1800), (255, 255, 255, 0))
    corner = Image.new("L", image.size, 0)
    ImageDraw.Draw(corner).line([(480, 375), (1920, 1425), (480, 1425)], fill=255, width=68)
    image.putalpha(corner)
    pad = bring(page, 1, png_file(image))
    expect(pad.locator(".pad-picture")).to_have_class(re.compile("light"))  # and can be seen on the sheet
    bring(page, 2, drawing("corner"))
    expect(page.locator(".compare .verdict")).to_have_text("The same")

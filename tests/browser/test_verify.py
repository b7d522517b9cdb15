"""Signatures in the browser: points chosen by keyboard, inks over one another, bad files, the forger's game."""

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.test_axe import RUN
from tests.browser.visitor import SIZES, Refusing, in_sight, open_tab, overflow, png_file, scribble
from tests.signature_weights import signature

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser


@pytest.fixture
def desk(open_page):
    def opened(width: int = 1280, scheme: str = "light"):
        page = open_page(width, scheme)
        page.emulate_media(reduced_motion="reduce")
        open_tab(page, "Verify a signature")
        return page

    return opened


def file(name: str, phase: float = 0.0) -> dict:
    return png_file(signature(phase), name)


def checked(page) -> list[str]:
    """What axe-core finds on the page as it stands."""
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed.")
    if not page.evaluate("'axe' in window"):
        page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    return page.evaluate(RUN)


@SIZES
def test_a_signature_is_judged_at_the_point_that_is_chosen(desk, width, scheme):
    page = desk(width, scheme)
    sheets = page.locator("[data-desk] .pad-sheet canvas")
    scribble(page, sheets.nth(0))
    page.get_by_role("button", name="Add as a reference").click()
    expect(page.locator(".file-list figure")).to_have_count(1)
    page.locator("input[name=reference]").set_input_files([file("a.png"), file("b.png", 0.1)])
    expect(page.locator(".file-list figure")).to_have_count(3)
    scribble(page, sheets.nth(1))
    answer = page.locator(".verify .answer")
    expect(answer.locator(".verdict")).to_have_text(re.compile("Genuine|Not genuine|Unsure"))
    expect(answer.locator(".score")).to_contain_text("similar to 3 references")
    expect(answer.locator(".scale")).to_have_attribute(
        "aria-label", re.compile("lenient 10.%, balanced 50.%, strict 90.%")
    )
    expect(answer.locator(".meaning")).to_contain_text("balanced")
    expect(answer.locator(".point")).to_have_count(3)
    expect(answer.locator(".point").first).to_contain_text("Of 100 skilled forgeries, 1 would pass")
    page.locator("input[name=verify-point][value=balanced]").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("input[name=verify-point][value=strict]")).to_be_focused()
    expect(answer.locator(".meaning")).to_contain_text("strict")
    expect(answer.locator(".scale-mark.chosen")).to_have_text(re.compile("strict"))
    expect(answer.locator(".inks figure")).to_have_count(4)
    page.get_by_label("Compare with this one: reference 1").check()
    expect(page.locator(".laid")).to_have_attribute(
        "aria-label", re.compile("reference 1 in blue and questioned in orange")
    )
    page.locator("input[name=verify-layer][value=questioned]").check()
    expect(page.locator(".laid .reference")).to_be_hidden()
    expect(page.locator(".laid .questioned")).to_be_visible()
    page.locator("input[name=verify-layer][value=both]").check()
    answer.get_by_role("button", name="Why this result?").click()
    expect(answer.locator("img.why")).to_have_count(2)
    expect(answer.locator("[data-parts]")).to_contain_text("The shapes below")
    answer.get_by_role("button", name="Why this result?").click()
    expect(answer.locator("[data-parts]")).to_be_hidden()
    answer.get_by_role("button", name="Why this result?").click()
    expect(answer.locator("[data-parts]")).to_be_visible()
    expect(page.locator(".verify .note")).to_contain_text("Nothing that is signed here is kept")
    assert overflow(page) <= 0
    assert checked(page) == []
    page.get_by_role("button", name="Remove reference 3").click()
    expect(answer.locator(".score")).to_contain_text("2 references")


def test_a_bad_file_is_one_sentence_and_costs_nothing(desk):
    page = desk()
    scribble(page, page.locator("[data-desk] .pad-sheet canvas").nth(0))
    bad = {"name": "letter.png", "mimeType": "image/png", "buffer": b"<html>"}
    page.locator("input[name=reference]").set_input_files([file("a.png"), bad, file("b.png", 0.1)])
    alert = page.locator(".verify [role=alert]")
    expect(alert).to_have_text(
        "letter.png: The file is not a PNG, JPEG, WebP, BMP or GIF image; please choose one that is, or save it as PNG."
    )
    expect(page.locator(".file-list figure")).to_have_count(2)
    expect(page.get_by_role("button", name="Add as a reference")).to_be_enabled()  # what was drawn stands still
    page.locator("input[name=questioned]").set_input_files(file("q.png", 0.05))
    expect(page.locator(".verify .score")).to_contain_text("3 references")
    page.locator("input[name=questioned]").set_input_files(bad)
    expect(alert).to_contain_text("The questioned signature: The file is not a PNG")
    expect(page.locator(".verify .answer")).to_be_hidden()
    expect(page.locator(".file-list figure")).to_have_count(2)
    page.locator("input[name=reference]").set_input_files([file(f"{n}.png", n / 20) for n in range(9)])
    expect(alert).to_have_text("8.png: There are already 10 references; please remove one first.")
    expect(page.locator(".file-list figure")).to_have_count(10)
    page.locator("input[name=questioned]").set_input_files(file("q.png", 0.05))
    expect(page.locator(".verify [data-say]").first).to_have_text(
        "There are 10 references already; remove one, or clear the sheet."  # what was drawn would be one more
    )


def test_nothing_of_it_stays_in_the_page(desk):
    page = desk()
    page.locator("input[name=reference]").set_input_files(file("a.png"))
    expect(page.locator(".verify .pad-picture").first).to_be_visible()
    page.locator("input[name=reference]").set_input_files(file("b.png", 0.1))  # the first one makes room
    expect(page.locator(".file-list figure")).to_have_count(1)
    page.locator("input[name=questioned]").set_input_files(file("q.png", 0.05))
    expect(page.locator(".verify .answer")).to_be_visible()
    page.get_by_role("button", name="Start over").click()
    expect(page.locator(".verify .answer")).to_be_hidden()
    assert page.locator(".verify img[src]:not(.example img)").count() == 0
    remembered = page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])")
    assert "image/png" not in remembered
    assert "reference" not in remembered


@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.slow)])
def test_an_example_is_judged_with_one_press(desk, width):
    page = desk(width)
    examples = page.locator("#verify .example")
    expect(examples).to_have_count(3)
    for number in (0, 2):
        examples.nth(number).click()
        expect(page.locator(".file-list figure")).to_have_count(3)
        expect(page.locator(".verify .answer")).to_be_visible()
        expect(page.locator(".verify .score")).to_contain_text("3 references")
    page.locator(".verify .point").last.click()
    expect(page.locator("input[name=verify-point][value=lenient]")).to_be_checked()
    page.get_by_role("button", name="Start over").click()
    expect(page.locator(".file-list figure")).to_have_count(0)
    examples.nth(0).click()
    expect(page.locator("input[name=verify-point][value=balanced]")).to_be_checked()


@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.slow)])
def test_one_of_several_pieces_of_writing_is_chosen(desk, width):
    page = desk(width)
    sheet = Image.new("L", (900, 700), 255)
    for top, phase in ((80, 0.0), (400, 1.2)):
        sheet.paste(signature(phase, (600, 200)), (150, top))
    page.locator("input[name=questioned]").set_input_files(png_file(sheet))
    pad = page.locator("[data-desk] .pad").nth(1)
    expect(pad.locator(".crop-region")).to_have_count(2)
    expect(pad.locator(".pad-note")).to_have_text("2 pieces of writing were found. Choose one, or drag a rectangle.")
    assert checked(page) == []
    page.locator("input[name=reference]").set_input_files([file("a.png"), file("b.png", 0.1)])
    expect(page.locator(".file-list figure")).to_have_count(2)
    expect(page.locator(".verify .answer")).to_be_hidden()  # nothing is judged before one is chosen
    pad.get_by_role("button", name="take piece 2 of 2").click()
    expect(page.locator(".verify .score")).to_contain_text("2 references")
    shape = pad.locator(".pad-picture").evaluate("picture => [picture.naturalWidth, picture.naturalHeight]")
    assert shape[0] > 500
    assert shape[1] < 260
    pad.get_by_role("button", name="Undo").click()  # the whole page again: judged, and unsure
    expect(page.locator(".verify .verdict")).to_have_text("Unsure")
    expect(page.locator(".verify .remarks")).to_contain_text("The questioned signature: More than one piece")
    assert overflow(page) <= 0


def test_what_is_still_being_added_does_not_outlive_starting_over(desk):
    page = desk()
    server = Refusing(page)
    server.held["verify_ink"] = late = []
    with page.expect_request(re.compile("component_server")):
        page.locator("input[name=reference]").set_input_files([file("a.png"), file("b.png", 0.1)])
    page.get_by_role("button", name="Start over").click()
    with page.expect_response(re.compile("component_server")):
        late[0].continue_()
    page.wait_for_timeout(500)
    expect(page.locator(".file-list figure")).to_have_count(0)


def test_the_keyboard_goes_on_where_a_reference_was_removed(desk):
    page = desk()
    page.locator("input[name=reference]").set_input_files([file("a.png"), file("b.png", 0.1), file("c.png", 0.2)])
    buttons = page.locator(".file-list .remove")
    expect(buttons).to_have_count(3)
    buttons.nth(1).focus()
    for left, place in ((2, 1), (1, 0)):
        page.keyboard.press("Enter")
        expect(buttons).to_have_count(left)
        expect(buttons.nth(place)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("[data-desk] .pad-sheet").first).to_be_focused()


@SIZES
def test_a_friend_forges(desk, width, scheme):
    page = desk(width, scheme)
    page.locator("input[name=verify-mode][value=game]").check()
    game = page.locator(".verify [data-game]")
    go = game.locator("[data-go]")
    canvas = game.locator(".pad-sheet canvas")
    step = game.locator(".steps [aria-current]")
    expect(go).to_be_disabled()
    for part in ("[data-game] .pad-sheet", "[data-go]"):
        assert in_sight(page, part), part
    game.locator("input[name=verify-game-point][value=lenient]").check()
    for number in (1, 2, 3):
        expect(game.locator("h3").first).to_have_text(f"Your signature, {number} of 3")
        scribble(page, canvas, 0.05 * number)
        expect(go).to_be_enabled()
        go.click()
    expect(game.locator("h3").first).to_have_text("Hand the device to your friend")
    expect(game.locator("h3").first).to_be_focused()
    assert game.locator("img[src]").count() == 0  # hidden from whoever is handed it by mistake
    go.click()
    expect(step).to_have_text("Forge it")
    expect(game.locator(".inks figure")).to_have_count(1)  # one of the three
    game.locator("input[name=game]").set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": b"<html>"})
    go.click()
    expect(game.locator("[role=alert]")).to_contain_text("not a PNG")
    game.get_by_role("button", name="Clear: Signature").click()
    scribble(page, canvas, 1.4)
    expect(go).to_be_enabled()
    assert checked(page) == []
    go.click()
    expect(game.locator("h3").first).to_have_text("Hand the device back")
    go.click()
    scribble(page, canvas, 0.1)
    expect(go).to_be_enabled()
    go.click()
    expect(game.locator("h3").first).to_have_text(re.compile("^(The signer|The forger|Nobody) wins$"))
    expect(game.locator(".judged")).to_have_count(2)
    expect(game.locator(".judged").first).to_contain_text("lenient setting")
    assert overflow(page) <= 0
    assert checked(page) == []
    game.get_by_role("button", name="Another forger, the same signatures").click()
    expect(step).to_have_text("Hand over")
    go.click()
    expect(game.locator(".inks figure")).to_have_count(1)
    game.get_by_role("button", name="Start the game again").click()
    expect(game.locator("h3").first).to_have_text("Your signature, 1 of 3")
    assert game.locator("img[src]").count() == 0


def test_the_game_by_keyboard_with_files(desk):
    page = desk()
    page.locator("input[name=verify-mode][value=desk]").focus()
    page.keyboard.press("ArrowRight")
    game = page.locator(".verify [data-game]")
    expect(game).to_be_visible()
    for phase in (0.0, 0.02, 0.04):
        title = game.locator("h3").first.inner_text()
        game.locator("input[name=game]").set_input_files(file("mine.png", phase))
        expect(game.locator("[data-go]")).to_be_enabled()
        game.locator("[data-go]").focus()
        page.keyboard.press("Enter")
        expect(game.locator("h3").first).not_to_have_text(title)
    expect(game.locator("h3").first).to_be_focused()


def test_the_game_counts_one_press_and_forgets_what_was_under_way_when_it_starts_again(desk):
    page = desk()
    page.locator("input[name=verify-mode][value=game]").check()
    server = Refusing(page)
    game = page.locator(".verify [data-game]")
    go, title = game.locator("[data-go]"), game.locator("h3").first
    canvas = game.locator(".pad-sheet canvas")
    press = "button => button.click()"  # at once, while the sheet waits for a further stroke

    def sign(wobble: float) -> None:
        scribble(page, canvas, wobble)
        expect(go).to_be_enabled()

    server.held["verify_ink"] = late = []
    sign(0.0)
    with page.expect_request(re.compile("component_server")):
        go.evaluate(press)
    scribble(page, canvas, 0.1)
    page.wait_for_timeout(1_000)
    go.evaluate(press)
    late[0].continue_()
    expect(title).to_have_text("Your signature, 2 of 3")
    for wobble, then in ((0.1, "Your signature, 3 of 3"), (0.2, "Hand the device to your friend")):
        sign(wobble)
        scribble(page, canvas, wobble)
        go.evaluate(press)
        expect(title).to_have_text(then)
    page.wait_for_timeout(1_000)
    expect(go).to_be_enabled()
    go.click()
    sign(1.4)
    go.click()
    expect(title).to_have_text("Hand the device back")
    go.click()
    sign(0.1)
    server.held["verify_signature"] = late = []
    with page.expect_request(lambda request: "verify_signature" in (request.post_data or "")):
        go.click()
    game.get_by_role("button", name="Start the game again").click()
    with page.expect_response(re.compile("component_server")):
        late[0].continue_()
    page.wait_for_timeout(1_000)
    expect(title).to_have_text("Your signature, 1 of 3")
    expect(game.locator("[role=alert]")).to_have_count(0)
    sign(0.0)

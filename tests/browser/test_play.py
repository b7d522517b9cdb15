"""A visitor's afternoon: a challenge by mouse and by keyboard, two uploads compared, a signature verified."""

import base64
import io
import math
import re

import pytest
from PIL import Image, ImageDraw

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=60_000)
pytestmark = pytest.mark.browser

VIEWS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
TABS = ["One-shot challenge", "Compare", "Verify a signature", "Your own classes", "About"]


def drawing(kind: str) -> dict:
    """A file as an <input> takes it."""
    image = Image.new("L", (300, 240), 255)
    points = [(60, 50), (240, 190), (60, 190)] if kind == "corner" else [(150, 40), (60, 200), (240, 200), (150, 40)]
    ImageDraw.Draw(image).line(points, fill=0, width=9)
    file = io.BytesIO()
    image.save(file, "PNG")
    return {"name": f"{kind}.png", "mimeType": "image/png", "buffer": file.getvalue()}


def open_tab(page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")


def scribble(page, canvas, phase: float = 0.0) -> None:
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()

    def place(share: float) -> tuple[float, float]:
        height = 0.5 + 0.3 * math.sin(9 * share + phase)
        return box["x"] + box["width"] * (0.15 + 0.7 * share), box["y"] + box["height"] * height

    page.mouse.move(*place(0))
    page.mouse.down()
    for step in range(1, 21):
        page.mouse.move(*place(step / 20))
    page.mouse.up()


class Refusing:
    """Stands between a page and the server: refuses the functions that `names` holds, keeps waiting those in `held`."""

    def __init__(self, page) -> None:
        self.names: set[str] = set()
        self.held: dict[str, list] = {}
        page.route(re.compile("component_server"), self._answer)

    def _answer(self, route) -> None:
        name = route.request.post_data_json["fn_name"]
        if name in self.names:
            route.fulfill(json={"error": "Refused."})
        elif name in self.held and not self.held[name]:
            self.held[name].append(route)
        else:
            route.continue_()


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_a_round_by_mouse(open_page, keep, width, scheme):
    page = open_page(width, scheme)
    tiles = page.locator(".candidate")
    expect(tiles).to_have_count(10)
    expect(page.locator(".from")).to_have_text("Invented alphabets")
    keep(page, f"challenge-asked-{width}-{scheme}")
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    tiles.nth(3).click()
    expect(page.locator(".candidates")).to_have_class(re.compile("answered"))
    expect(page.locator(".candidate.truth")).to_have_count(1)
    expect(page.locator(".candidate.network")).to_have_count(1)
    expect(page.locator(".candidate .share")).to_have_count(10)
    expect(page.locator(".challenge [data-say]")).to_have_text(re.compile("^(Right|Wrong)"))
    expect(page.locator(".challenge .detail").first).to_contain_text("The alphabet is")
    keep(page, f"challenge-answered-{width}-{scheme}")
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".candidate .share")).to_have_count(0)
    expect(tiles).to_have_count(10)


def test_a_whole_match_by_keyboard_alone(open_page, keep):
    page = open_page()
    expect(page.locator(".candidate")).to_have_count(10)
    page.locator("input[value=free]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("input[value=match]")).to_be_checked()
    for number in range(1, 11):
        expect(page.locator(".challenge [data-say]")).to_contain_text(f"Round {number} of 10")
        if number % 2:
            page.keyboard.press(str(number % 10))
        else:  # the focus lies on the first tile after Enter; two arrows and Enter pick the third
            expect(page.locator(".candidate").first).to_be_focused()
            page.keyboard.press("ArrowRight")
            page.keyboard.press("ArrowRight")
            expect(page.locator(".candidate").nth(2)).to_be_focused()
            page.keyboard.press("Enter")
        expect(page.locator(".candidate.truth")).to_have_count(1)
        expect(page.locator("[data-next]")).to_be_focused()
        page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Copy the result")).to_be_visible()
    expect(page.locator(".finish-score dd").first).to_have_text(re.compile(r"^\d+ of 10$"))
    keep(page, "challenge-match")


def test_a_link_replays_a_round_and_scores_survive_a_reload(open_page):
    page = open_page()
    expect(page.locator(".candidate")).to_have_count(10)
    with page.expect_response(
        lambda response: "component_server" in response.url and "candidates" in response.text()
    ) as one:
        page.locator(".segment", has_text="20").click()
    dealt = one.value.json()
    expect(page.locator(".candidate")).to_have_count(20)
    page.keyboard.press("p")  # the twentieth
    expect(page.locator(".candidate").nth(19)).to_have_class(re.compile("yours"))
    expect(page.locator(".scores dd").first).to_have_text(re.compile("/ 1$"))
    streak = page.locator(".scores dd").nth(3).inner_text()
    again = open_page(query=f"/?challenge={dealt['link']}", context=page.context)
    expect(again.locator(".candidate")).to_have_count(20)
    expect(again.locator(".scores dd").nth(3)).to_have_text(streak)
    expect(again.locator(".ruler-text")).to_contain_text("1 round with 20 candidates")
    assert dealt["link"] in again.url


def test_a_broken_link_is_forgotten_and_a_busy_server_costs_none(open_page):
    broken = open_page(query="/?challenge=20i-cut")
    expect(broken.locator(".challenge [role=alert]")).to_contain_text("no challenge")
    assert "challenge" not in broken.url
    broken.get_by_role("button", name="Deal again").click()
    expect(broken.locator(".candidate")).to_have_count(10)
    expect(broken.locator(".candidate").first).to_be_focused()
    server = Refusing(broken.context)
    server.names = {"challenge_deal"}
    busy = open_page(query="/?challenge=daily", context=broken.context)
    again = busy.get_by_role("button", name="Deal again")
    expect(again).to_be_enabled()
    again.click()
    expect(again).to_be_focused()
    assert "challenge=daily" in busy.url
    server.names = set()
    again.click()
    expect(busy.locator(".challenge [data-say]")).to_contain_text("Round 1 of 10")


def test_a_refusal_costs_no_match(open_page):
    page = open_page()
    expect(page.locator(".candidate")).to_have_count(10)
    server = Refusing(page)
    said, score = page.locator(".challenge [data-say]"), page.locator(".scores dd").first
    again = page.get_by_role("button", name="Deal again")
    page.locator(".segment", has_text="Match of ten").click()
    expect(said).to_contain_text("Round 1 of 10")
    server.names = {"challenge_deal"}
    page.locator(".candidate").first.click()
    page.get_by_role("button", name="Next").click()
    expect(said).to_have_text("Refused.")
    expect(score).to_have_text(re.compile("^[01] / 1$"))
    server.names = set()
    again.click()
    expect(said).to_contain_text("Round 2 of 10")
    server.names = {"challenge_answer"}
    page.locator(".candidate").first.click()
    expect(said).to_have_text("Refused.")
    server.names = set()
    again.click()
    expect(said).to_contain_text("Round 2 of 10")
    expect(score).to_have_text(re.compile("^[01] / 1$"))
    server.names = {"challenge_deal"}
    with page.expect_response(lambda r: "component_server" in r.url and "Refused." in r.text()):
        page.locator(".candidate").first.click()
    server.names = set()
    page.get_by_role("button", name="Next").click()  # the refused round that was dealt ahead is asked for anew
    expect(said).to_contain_text("Round 3 of 10")
    expect(score).to_have_text(re.compile("^[0-2] / 2$"))


def test_the_daily_challenge_is_the_same_for_two_visitors(open_page):
    queries = []
    for _ in range(2):
        page = open_page()
        expect(page.locator(".candidate")).to_have_count(10)
        with page.expect_response(lambda r: "component_server" in r.url and "candidates" in r.text()) as one:
            page.locator(".segment", has_text="Daily").click()
        queries.append(one.value.json()["query"])
        expect(page.locator(".challenge [data-say]")).to_contain_text("Round 1 of 10")
    assert queries[0] == queries[1]


def test_one_minute_ends_after_sixty_seconds_and_counts_what_was_right(open_page, keep):
    page = open_page(390, "dark")
    expect(page.locator(".candidate")).to_have_count(10)
    page.clock.install(time=0)
    page.clock.pause_at(3_600)  # the minute passes as the test says, however busy the machine is
    page.locator(".segment", has_text="One minute").click()
    expect(page.locator("[data-seconds]")).to_have_text("60 s")
    page.get_by_role("button", name="Start the minute").click()
    for answered in (1, 2):
        expect(page.locator(".candidate:not([disabled])")).to_have_count(10)
        page.keyboard.press("1")
        expect(page.locator(".candidate.truth")).to_have_count(1)
        expect(page.locator(".scores")).to_contain_text(re.compile(rf"[0-{answered}] / {answered}"))
        page.clock.run_for(1_000)  # the next round is dealt by itself
        expect(page.locator(".candidate.truth")).to_have_count(0)
    page.clock.fast_forward(30_000)
    expect(page.locator("[data-seconds]")).to_have_text("28 s")
    page.clock.fast_forward(30_000)
    expect(page.get_by_role("button", name="Copy the result")).to_be_visible()
    expect(page.locator(".finish-score dd").first).to_have_text(re.compile(r"^[012] of 2$"))
    keep(page, "challenge-minute-390")


def drawn(page) -> str:
    """What the first candidate looks like; its ink comes after its tile."""
    page.wait_for_function("document.querySelector('.candidate canvas').width === 240")
    return page.evaluate("document.querySelector('.candidate canvas').toDataURL()")


def test_a_round_s_link_is_copied_and_opens_that_round(open_page):
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect(page.locator(".candidate")).to_have_count(10)
    first = drawn(page)
    page.get_by_role("button", name="Copy a link to this round").click()
    expect(page.locator(".challenge [data-say]")).to_have_text("A link to this round is in the clipboard.")
    link = page.evaluate("navigator.clipboard.readText()")
    assert "/?challenge=10i-" in link
    again = open_page(query=link[link.index("/?") :], context=page.context)
    expect(again.locator(".candidate")).to_have_count(10)
    assert drawn(again) == first


def test_the_network_guesses_while_one_draws(open_page, keep):
    page = open_page(390)
    page.locator(".segment", has_text="You draw").click()
    canvas = page.locator(".query .pad-sheet canvas")
    expect(canvas).to_be_visible()
    scribble(page, canvas)
    expect(page.locator(".candidate.network")).to_have_count(1)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".challenge [data-say]")).to_have_text("Draw one of them.")
    expect(page.locator(".candidate.network, .candidate .share")).to_have_count(0)
    scribble(page, canvas)
    expect(page.locator(".candidate.network")).to_have_count(1)
    page.locator(".candidate").nth(1).click()
    expect(page.locator(".scores dd").first).to_have_text(re.compile(r"^[01] / 1$"))
    keep(page, "challenge-draw-390")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_two_uploads_are_compared(open_page, keep, width, scheme):
    page = open_page(width, scheme)
    open_tab(page, "Compare")
    page.locator("input[name=picture-1]").set_input_files(drawing("corner"))
    page.locator("input[name=picture-2]").set_input_files(drawing("corner"))
    answer = page.locator(".compare .answer")
    expect(answer).to_be_visible()
    expect(answer.locator(".verdict")).to_have_text(re.compile("The same|Different|Too close to call"))
    same = answer.locator(".score").inner_text()
    expect(answer.locator(".scale")).to_have_attribute("aria-label", re.compile("the threshold is"))
    expect(answer.locator("img.seen")).to_have_count(2)
    answer.get_by_role("button", name="Why?").click()
    expect(answer.locator("img.why")).to_have_count(2)
    keep(page, f"compare-{width}-{scheme}")
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
    expect(page.locator(".compare [data-say]")).to_contain_text("One more picture")
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
    expect(sheet.get_by_role("button", name="Camera")).to_be_visible()


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


def test_without_a_camera_a_sentence_says_what_else_can_be_done(open_page):
    page = open_page()
    open_tab(page, "Compare")
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('no')); }")
    page.locator(".compare .pad").first.get_by_role("button", name="Camera").click()
    expect(page.locator(".compare [role=alert]")).to_contain_text("upload a picture instead")


def test_a_late_refusal_is_not_told_beside_a_newer_answer(open_page):
    page = open_page()
    open_tab(page, "Compare")
    server = Refusing(page)
    server.held["compare_pictures"] = late = []
    page.locator("input[name=picture-1]").set_input_files(drawing("corner"))
    said, answer = page.locator(".compare [data-say]"), page.locator(".compare .answer")
    expect(said).to_contain_text("One more picture")
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
    why = answer.get_by_role("button", name="Why?")
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


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_a_signature_is_verified(open_page, keep, width, scheme):
    page = open_page(width, scheme)
    open_tab(page, "Verify a signature")
    sheets = page.locator(".verify .pad-sheet canvas")
    scribble(page, sheets.nth(0))
    page.get_by_role("button", name="Add as a reference").click()
    expect(page.locator(".file-list figure")).to_have_count(1)
    page.locator("input[name=reference]").set_input_files([drawing("corner"), drawing("triangle")])
    expect(page.locator(".file-list figure")).to_have_count(3)
    scribble(page, sheets.nth(1), 0.2)
    answer = page.locator(".verify .answer")
    expect(answer).to_be_visible()
    expect(answer.locator(".verdict")).to_have_text(re.compile("Genuine|Not genuine|Too close to call"))
    expect(answer.locator(".score")).to_contain_text("3 references")
    expect(answer.locator(".inks figure")).to_have_count(4)
    expect(page.locator(".verify .note")).to_contain_text("Nothing that is signed here is kept")
    keep(page, f"verify-{width}-{scheme}")
    page.get_by_role("button", name="Remove reference 3").click()
    expect(answer.locator(".score")).to_contain_text("2 references")


def test_own_classes_are_named_ranked_exported_and_imported(open_page, keep, tmp_path):
    page = open_page()
    open_tab(page, "Your own classes")
    page.locator("input[name=class]").set_input_files([drawing("corner"), drawing("triangle")])
    expect(page.locator(".shelf-item")).to_have_count(2)
    page.locator("input[name=query]").set_input_files(drawing("triangle"))
    expect(page.locator(".own .answer")).to_be_visible()
    expect(page.locator(".ranking .rank-name").first).to_have_text("triangle")
    keep(page, "own-classes-1280")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as ZIP").click()
    download.value.save_as(tmp_path / "set.zip")
    page.get_by_role("button", name="Remove all").click()
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


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_no_tab_is_wider_than_the_screen(open_page, keep, width, scheme):
    page = open_page(width, scheme)
    for name in TABS:
        open_tab(page, name)
        expect(page.locator("[role=tabpanel]:visible .panel")).to_be_visible()
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{name} at {width} px"
        keep(page, f"tab-{name.split()[0].lower()}-{width}-{scheme}")

"""The challenge as it is played: by mouse, keyboard and touch, on a desktop's screen and on a phone's."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from siamese.ui.trials import TrialSource
from tests.browser.visitor import Refusing, dealt, in_sight, scribble

axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed.")
expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser

SAID, DETAIL, NEXT = ".challenge .turn [data-say]", ".challenge .turn .detail", ".challenge [data-next]"
PHONE = {"has_touch": True, "is_mobile": True}


def answer(page, key: str = "a") -> None:
    page.keyboard.press(key)
    expect(page.locator(".candidate.truth")).to_have_count(1)


def choose(page, name: str) -> None:
    page.locator(".challenge .segment", has_text=re.compile(f"^{name}$")).click()


def address(page) -> str:
    return page.evaluate("new URL(location.href).searchParams.get('challenge') ?? ''")


def played(page, link: str, marks: list[bool], ways: int = 5) -> None:
    """Leaves in the page's memory what was answered of a match or a daily; the network had everything right."""
    picture = {"place": 1, "url": "data:image/gif;base64,R0lGODlhAQABAAAAACw="}
    wrong = {"index": len(marks) - 1, "query": picture["url"], "truth": picture, "choice": picture | {"place": 0}}
    review = [wrong | {"network_choice": picture}]
    game = {"n_way": ways, "mine": marks, "network": [True] * len(marks), "review": review}
    memory = json.dumps({"games": {link: game}})
    page.evaluate(f"localStorage.setItem('one-look/1', {json.dumps(memory)})")


def finished(page, link: str, right: int) -> None:
    """Opens a match that was played to its end."""
    played(page, link, [number < right for number in range(10)])
    page.goto(page.url.split("?")[0] + f"?challenge={link}")


TAGS_OVER_INK = """() => [...document.querySelectorAll(".candidate")].filter((tile) => {
  const canvas = tile.querySelector("canvas");
  const frame = canvas.getBoundingClientRect();
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const scale = frame.width / canvas.width;
  return [...tile.querySelectorAll(".tag, .seal")].some((tag) => {
    const box = tag.getBoundingClientRect();
    for (let i = 3; i < pixels.data.length; i += 4) {
      if (pixels.data[i] < 128) continue;
      const place = (i - 3) / 4;
      const x = frame.left + scale * (place % canvas.width);
      const y = frame.top + scale * Math.floor(place / canvas.width);
      if (x > box.left && x < box.right && y > box.top && y < box.bottom) return true;
    }
    return false;
  });
}).length"""


@pytest.mark.parametrize(("width", "scheme", "ways"), [(1280, "light", 20), (390, "dark", 10)])
def test_rounds_without_scrolling_whose_tags_leave_the_drawings_alone(open_page, width, scheme, ways):
    page = open_page(width, scheme, reduced_motion="reduce")
    expect(page.locator(".challenge h2")).to_contain_text("People get 95.5\u00a0% right, this network 9")
    dealt(page, 10)
    if ways != 10:
        choose(page, str(ways))
    for number in range(3):
        dealt(page, ways)
        for part in (".challenge .query", ".candidate >> nth=0", f".candidate >> nth={ways - 1}"):
            assert in_sight(page, part), part
        before = page.locator(NEXT).bounding_box()
        page.locator(".candidate").nth(number).click()
        expect(page.locator(".candidate.truth")).to_have_count(1)
        expect(page.locator(SAID)).to_have_text(re.compile("^(Right|Wrong)"))
        expect(page.locator(DETAIL)).to_have_text(re.compile("sure of"))
        assert page.locator(NEXT).bounding_box() == before
        for part in (".challenge .query", SAID, NEXT, ".candidate.truth", f".candidate >> nth={ways - 1}"):
            assert in_sight(page, part), part
        expect(page.locator(".candidate .tag").first).to_be_visible()
        assert page.evaluate(TAGS_OVER_INK) == 0
        page.locator(NEXT).click()
        expect(page.locator(".candidate .share")).to_have_count(0)
    assert page.evaluate("scrollY") == 0


def test_query_clock_and_verdict_stay_in_sight_while_the_candidates_scroll(open_page):
    page = open_page(390, reduced_motion="reduce", is_apart=True)
    dealt(page, 10)
    page.set_viewport_size({"width": 390, "height": 480})
    page.clock.install(time=0)
    page.clock.pause_at(3_600)
    choose(page, "20")
    dealt(page, 20)
    choose(page, "Minute")
    page.locator(NEXT).click()
    dealt(page, 20)
    for place in (0, 19):
        page.locator(".candidate").nth(place).scroll_into_view_if_needed()
        assert in_sight(page, ".challenge .query")
        assert in_sight(page, ".challenge .clock")
        assert in_sight(page, NEXT)
    expect(page.locator(".challenge .clock")).to_have_text("60 s")
    page.locator(".candidate").nth(19).click()
    expect(page.locator(SAID)).to_have_text(re.compile("^(Right|Wrong)"))
    assert in_sight(page, SAID)


def test_a_candidate_has_one_name(open_page):
    page = open_page()
    dealt(page, 10)
    choose(page, "20")
    dealt(page, 20)
    assert page.locator(".candidate .name").all_inner_texts() == list("ABCDEFGHIJKLMNOPQRST")
    tile = page.locator(".candidate").nth(12)
    expect(tile).to_have_attribute("aria-label", "Pick candidate M of 20")
    expect(tile).to_have_attribute("aria-keyshortcuts", "M")
    answer(page, "m")
    expect(tile).to_have_class(re.compile("yours"))
    expect(tile).to_have_attribute("aria-label", re.compile("^Candidate M, .* your choice"))
    network = page.locator(".candidate.network .name").inner_text()
    expect(page.locator(DETAIL)).to_contain_text(re.compile(rf"sure of {network}\."))
    truth = page.locator(".candidate.truth .name").inner_text()
    expect(page.locator(SAID)).to_have_text(re.compile("^Right" if truth == "M" else rf"^Wrong, it was {truth}\."))


def test_a_match_by_keyboard_alone_survives_a_reload_and_ends_with_a_review(open_page):
    page = open_page()
    dealt(page, 10)
    page.locator("input[value='5']").check()
    dealt(page, 5)
    page.locator("input[value=free]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(page.locator("input[value=match]")).to_be_checked()
    for number in range(1, 11):
        expect(page.locator(SAID)).to_have_text(f"Round {number} of 10")
        dealt(page, 5)
        if number == 5:
            score = page.locator(".scores dd").first.inner_text()
            link = address(page)
            page.reload()
            expect(page.locator(SAID)).to_have_text("Round 5 of 10")
            dealt(page, 5)
            expect(page.locator(".scores dd").first).to_have_text(score)
            assert address(page) == link
        if number % 2:
            page.keyboard.press("e")
        else:  # the focus lies on the first tile after Enter; two arrows and Enter pick the third
            expect(page.locator(".candidate").first).to_be_focused()
            page.keyboard.press("ArrowRight")
            page.keyboard.press("ArrowRight")
            expect(page.locator(".candidate").nth(2)).to_be_focused()
            page.keyboard.press("Enter")
        expect(page.locator(".candidate.truth")).to_have_count(1)
        expect(page.locator(NEXT)).to_be_focused()
        page.keyboard.press("Enter")
    heading = page.locator(".finish h3")
    expect(heading).to_be_focused()
    expect(heading).to_have_text(re.compile(r"\d+ of 10 right"))
    expect(page.locator(".finish .mark")).to_have_count(20)
    expect(page.get_by_text(re.compile(r"of 10 right"))).to_have_count(1)
    for gone in (NEXT, ".challenge .asked-label", ".challenge .rule", ".tally .scores"):
        expect(page.locator(gone)).to_be_hidden()
    wrong = page.locator(".finish .mark.wrong").count()
    assert wrong  # of 5, always the last or the third
    expect(page.locator(".review li").first).to_contain_text(re.compile(r"Round \d+\s*Asked\s*Right: [A-E]"))
    assert page.locator(".review li").count() <= wrong
    page.reload()
    expect(heading).to_have_text(re.compile(r"\d+ of 10 right"))
    page.get_by_role("button", name="Play again").click()
    expect(page.locator(SAID)).to_have_text("Round 1 of 10")


def test_a_link_carries_the_score_to_beat(open_page):
    link = TrialSource().new_game(5, "invented", is_match=True).link
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    finished(page, link, 7)
    expect(page.locator(".finish h3")).to_have_text("The network won: you got 7 of 10 right, the network 10.")
    page.get_by_role("button", name="Copy a link").click()
    expect(page.locator(".finish [data-say]")).to_contain_text("copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.endswith(f"/?challenge={link}&beat=7")
    page.get_by_role("button", name="Copy the result").click()
    expect(page.locator(".finish [data-say]")).to_have_text("The result was copied.")
    assert page.evaluate("navigator.clipboard.readText()").splitlines()[1] == "Me " + "🟩" * 7 + "⬜" * 3 + " 7/10"
    friend = open_page(query=copied[copied.index("/?") :])
    expect(friend.locator(".beat")).to_have_text("Your friend got 7 right. Can you beat that?")
    expect(friend.locator(SAID)).to_have_text("Round 1 of 10")


def test_the_daily_is_played_once(open_page):
    page = open_page(390, "dark")
    dealt(page, 10)
    played(page, f"daily-{datetime.now(UTC).date()}", [True, False] * 4, ways=10)  # eight rounds of today's
    choose(page, "Daily")
    for number in (9, 10):
        expect(page.locator(SAID)).to_have_text(f"Round {number} of 10")
        dealt(page, 10)
        assert address(page) == "daily"
        answer(page)
        page.reload() if number == 9 else page.keyboard.press("Enter")
    finish = page.locator(".finish")
    expect(finish.locator("h3")).to_have_text(re.compile(r"you.* got \d+ of 10 right|each got \d+ of 10 right"))
    expect(finish.locator(".mark")).to_have_count(20)
    expect(finish.locator(".countdown")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    expect(finish).to_contain_text("0:00 UTC")
    expect(finish).to_contain_text("Streak: 1 day.")
    page.reload()
    expect(finish.locator("h3")).to_be_visible()
    choose(page, "Free play")
    dealt(page, 10)
    choose(page, "Daily")
    expect(finish.locator("h3")).to_be_visible()
    expect(page.locator(".candidate:visible")).to_have_count(0)
    page.get_by_role("button", name="Continue in free play").click()
    dealt(page, 10)
    expect(page.locator("input[value=free]")).to_be_checked()
    assert re.match("10[io]-", address(page))


def test_the_address_follows_and_a_link_opens_its_round(open_page):
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    dealt(page, 10)
    first, link = drawn(page), address(page)
    page.get_by_role("button", name="Copy a link to this round").click()
    expect(page.locator("[data-copied]")).to_have_text("The link was copied.")
    assert page.evaluate("navigator.clipboard.readText()").endswith(f"/?challenge={link}")
    answer(page)
    expect(page.locator(".scores dd").first).to_have_text(re.compile("/ 1$"))
    streak = page.locator(".scores dd").nth(3).inner_text()
    page.reload()
    dealt(page, 10)
    assert drawn(page) == first
    answer(page)
    expect(page.locator(".scores dd").nth(3)).to_have_text(streak)
    expect(page.locator(".ruler-text")).to_contain_text("1 round with 10 candidates")  # counted once
    page.keyboard.press("Enter")
    dealt(page, 10)
    assert address(page) not in ("", link)
    choose(page, "Match")
    expect(page.locator(SAID)).to_have_text("Round 1 of 10")
    assert address(page).endswith("-x10")
    choose(page, "Draw")
    expect(page.locator(".challenge .pad-sheet")).to_be_visible()
    assert address(page) == "draw"
    choose(page, "Minute")
    expect(page.locator(NEXT)).to_have_text("Start the minute")
    assert address(page) == "minute"
    page.reload()
    expect(page.locator(NEXT)).to_have_text("Start the minute")


def drawn(page) -> str:
    """What the first candidate looks like; its ink comes after its tile."""
    page.wait_for_function("document.querySelector('.candidate canvas').width === 240")
    return page.evaluate("document.querySelector('.candidate canvas').toDataURL()")


def test_a_broken_link_is_forgotten_and_a_busy_server_costs_none(open_page):
    broken = open_page(query="/?challenge=20i-cut")
    expect(broken.locator(".challenge [role=alert]")).to_contain_text("is not a challenge")
    assert "challenge" not in broken.url
    broken.get_by_role("button", name="Try again").click()
    dealt(broken, 20)
    expect(broken.locator(".candidate").first).to_be_focused()
    server = Refusing(broken.context)
    server.names = {"challenge_deal"}
    busy = open_page(query="/?challenge=daily", context=broken.context)
    again = busy.get_by_role("button", name="Try again")
    expect(again).to_be_enabled()
    again.click()
    expect(again).to_be_focused()
    assert "challenge=daily" in busy.url
    server.names = set()
    again.click()
    expect(busy.locator(SAID)).to_have_text("Round 1 of 10")


def test_a_refusal_costs_no_match(open_page):
    page = open_page()
    dealt(page, 10)
    server = Refusing(page)
    said, score = page.locator(SAID), page.locator(".scores dd").first
    again = page.get_by_role("button", name="Try again")
    choose(page, "Match")
    expect(said).to_have_text("Round 1 of 10")
    server.names = {"challenge_deal"}
    page.locator(".candidate").first.click()
    page.get_by_role("button", name="Next").click()
    expect(said).to_have_text("Refused.")
    expect(score).to_have_text(re.compile("^[01] / 1$"))
    server.names = set()
    again.click()
    expect(said).to_have_text("Round 2 of 10")
    server.names = {"challenge_answer"}
    page.locator(".candidate").first.click()
    expect(said).to_have_text("Refused.")
    server.names = set()
    again.click()
    expect(said).to_have_text("Round 2 of 10")
    expect(score).to_have_text(re.compile("^[01] / 1$"))
    server.names = {"challenge_deal"}
    with page.expect_response(lambda r: "component_server" in r.url and "Refused." in r.text()):
        page.locator(".candidate").first.click()
    server.names = set()
    page.get_by_role("button", name="Next").click()  # the refused round that was dealt ahead is asked for anew
    expect(said).to_have_text("Round 3 of 10")
    expect(score).to_have_text(re.compile("^[0-2] / 2$"))


def test_a_game_chosen_by_mouse_is_not_changed_by_an_arrow_and_enter_starts_the_minute(open_page):
    page = open_page(is_apart=True)
    dealt(page, 10)
    choose(page, "Match")
    expect(page.locator(SAID)).to_have_text("Round 1 of 10")
    expect(page.locator(".candidate").first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".candidate").nth(1)).to_be_focused()
    expect(page.locator("input[value=match]")).to_be_checked()
    page.clock.install(time=0)
    page.clock.pause_at(3_600)  # the minute passes as the test says, however busy the machine is
    choose(page, "Minute")
    expect(page.locator(NEXT)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".challenge .clock")).to_have_text("60 s")
    for answered in (1, 2):
        dealt(page, 10)
        answer(page)
        expect(page.locator(".scores")).to_contain_text(re.compile(rf"[0-{answered}] / {answered}"))
        page.clock.run_for(1_000)  # the next round is dealt by itself
        expect(page.locator(".candidate.truth")).to_have_count(0)
    page.clock.fast_forward(30_000)
    expect(page.locator(".challenge .clock")).to_have_text("28 s")
    page.clock.fast_forward(30_000)
    expect(page.locator(".finish h3")).to_have_text(re.compile(r"[012] right in one minute"))
    expect(page.get_by_role("button", name="Copy a link")).to_be_hidden()
    page.get_by_role("button", name="Play again").click()
    expect(page.locator(NEXT)).to_have_text("Start the minute")
    page.locator("input[value=timed]").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".challenge .clock")).to_have_text("60 s")


def in_sight_while_one_draws(page) -> None:
    expect(page.locator(".candidate")).to_have_count(10)
    for part in (".challenge .pad-sheet", ".candidate:first-child", ".candidate:last-child", "[data-next]", SAID):
        assert in_sight(page, part), part


def test_sheet_candidates_and_next_are_in_sight_while_one_draws(open_page):
    in_sight_while_one_draws(open_page(query="/?challenge=draw"))


def test_a_row_of_right_answers_is_that_of_the_game(open_page):
    page = open_page()
    dealt(page, 10)
    row = page.locator(".scores dd").nth(2)
    answer(page)
    right = page.locator(".candidate.truth.yours").count()
    expect(row).to_have_text(str(right))
    choose(page, "Match")
    expect(page.locator(SAID)).to_have_text("Round 1 of 10")
    expect(row).to_have_text("0")
    answer(page)
    score = [page.locator(f".candidate.truth{side}").count() for side in (".yours", ".network")]
    expect(page.locator("[data-from]")).to_have_text(f"You {score[0]}, network {score[1]}")


def test_drawing_on_a_phone(open_page):
    page = open_page(390, query="/?challenge=draw")
    canvas = page.locator(".challenge .pad-sheet canvas")
    in_sight_while_one_draws(page)
    lowest = page.locator(".candidate").last.bounding_box()  # above the bar with the verdict, not under it
    assert lowest["y"] + lowest["height"] <= page.locator(".turn").bounding_box()["y"]
    box = canvas.bounding_box()
    asked = []
    page.on(
        "request", lambda request: asked.append(request) if "challenge_guess" in (request.post_data or "") else None
    )
    page.mouse.click(box["x"] + 80, box["y"] + 80)  # a press without movement
    page.locator(".candidate").nth(1).click()
    expect(page.locator(SAID)).to_have_text("Draw one of the characters.")
    expect(page.locator(".candidate.truth")).to_have_count(0)
    assert asked == []
    scribble(page, canvas)
    expect(page.locator(".candidate.network")).to_have_count(1)
    guessed = page.locator(".candidate.network .name").inner_text()
    expect(page.locator(SAID)).to_have_text(re.compile(rf"sure of {guessed}\.|; {guessed} comes nearest\."))
    assert in_sight(page, ".challenge .pad-sheet canvas")
    assert in_sight(page, SAID)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(SAID)).to_have_text("Draw one of the characters.")
    expect(page.locator(".candidate.network, .candidate .share")).to_have_count(0)
    scribble(page, canvas)
    expect(page.locator(".candidate.network")).to_have_count(1)
    page.locator(".candidate").nth(1).click()
    expect(page.locator(".scores dd").first).to_have_text(re.compile(r"^[01] / 1$"))
    expect(page.locator(SAID)).to_have_text(re.compile("^The network was right|^You drew B; the network took it for"))


def test_a_phone_has_the_share_sheet_and_both_links(open_page):
    link = TrialSource().new_game(5, "invented", is_match=True).link
    page = open_page(390, **PHONE)
    dealt(page, 10)
    expect(page.get_by_role("button", name="Copy a link to this round")).to_be_visible()
    expect(page.locator("footer").get_by_text("Use via API")).to_be_visible()
    page.add_init_script("navigator.share = async (given) => { window.shared = given; }")
    finished(page, link, 4)
    page.get_by_role("button", name="Share").click()
    page.wait_for_function("Boolean(window.shared)")
    assert f"challenge={link}&beat=4" in page.evaluate("window.shared.text")
    expect(page.get_by_role("button", name="Copy a link")).to_be_visible()


def test_single_key_shortcuts_can_be_switched_off(open_page):
    page = open_page()
    dealt(page, 10)
    switch = page.get_by_role("checkbox", name="Single-key shortcuts")
    expect(switch).to_be_checked()
    switch.uncheck()
    page.reload()
    dealt(page, 10)
    expect(switch).not_to_be_checked()
    expect(page.locator(".candidate").first).not_to_have_attribute("aria-keyshortcuts", "A")
    page.keyboard.press("a")
    page.keyboard.press("ArrowRight")  # keys that are no characters go on working
    expect(page.locator(".candidate").first).to_be_focused()
    expect(page.locator(".candidate.yours")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator(".candidate.truth")).to_have_count(1)
    page.keyboard.press("Enter")
    dealt(page, 10)
    switch.check()
    answer(page)


RUN = """axe.run(".challenge", {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}).then((found) => found.violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).slice(0, 3).join("; ")}`))"""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_no_game_has_a_serious_violation(open_page, width, scheme):
    link = TrialSource().new_game(5, "invented", is_match=True).link
    page = open_page(width, scheme, reduced_motion="reduce")  # colours are judged where they come to rest
    finished(page, link, 4)
    rules = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    page.evaluate(rules)
    expect(page.locator(".review canvas").first).to_be_visible()
    found = {"finish": page.evaluate(RUN)}
    choose(page, "Minute")
    expect(page.locator(NEXT)).to_have_text("Start the minute")
    found["minute"] = page.evaluate(RUN)
    choose(page, "Draw")
    expect(page.locator(".challenge .pad-sheet")).to_be_visible()
    found["draw"] = page.evaluate(RUN)
    choose(page, "Match")
    dealt(page, 5)
    answer(page)
    found["match"] = page.evaluate(RUN)
    assert {name: rules for name, rules in found.items() if rules} == {}


def test_arrows_move_between_the_games_and_space_chooses(open_page):
    page = open_page()
    dealt(page, 10)
    choose(page, "Match")
    expect(page.locator(SAID)).to_have_text("Round 1 of 10")
    link = address(page)
    page.locator("input[value=match]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("input[value=timed]")).to_be_focused()
    expect(page.locator("input[value=match]")).to_be_checked()
    assert address(page) == link
    page.keyboard.press("Space")
    expect(page.locator("input[value=timed]")).to_be_checked()
    expect(page.locator(NEXT)).to_have_text("Start the minute")
    page.locator("label", has=page.locator("input[value=timed]")).click()  # chosen already: on to the game
    expect(page.locator(NEXT)).to_be_focused()


def test_a_stroke_is_taken_back_by_ctrl_z_in_a_drawing_round(open_page):
    page = open_page(query="/?challenge=draw")
    scribble(page, page.locator(".challenge .pad-sheet canvas"))
    undo = page.get_by_role("button", name="Undo: Draw one of the characters")
    expect(undo).to_be_enabled()
    page.keyboard.press("Control+z")
    expect(undo).to_be_disabled()

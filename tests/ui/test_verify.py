"""The tab "Verify a signature": its words, its figures, bad input, the endpoint, and that nothing signed is kept."""

import asyncio
import base64
import gc
import re
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from siamese.hub.resolve import ResolvedModel
from siamese.inference.encoder import Encoder
from siamese.inference.verdict import Verification
from siamese.metrics import Calibration, ErrorCurve, OperatingPoint
from siamese.preprocessing import Preprocessing
from siamese.signatures.rates import RateRange
from siamese.signatures.verifier import ErrorRates, Verifier
from siamese.ui.pages import verify
from siamese.ui.pages.verify import (
    advice,
    cost_sentence,
    counted_sentence,
    markup,
    meaning,
    page_functions,
    parts_sentences,
    rates_sentence,
    unmeasured_sentence,
)
from siamese.ui.wording import DOUBT
from tests.networks import narrow_network
from tests.running_app import App
from tests.signature_weights import CALIBRATION, CURVE, POINTS, SIGNATURE, data_url, png, signature

MINE, ALSO_MINE, OTHER = (data_url(png(signature(phase))) for phase in (0.0, 0.05, 1.2))
BLANK = data_url(png(Image.new("L", (90, 50), 255)))


def functions(verifier: Verifier) -> list[Callable[[dict], dict]]:
    """What the page may call, each to its end, in a thread whose event loop no browser test has left behind."""

    def waiting(answer: Callable) -> Callable[[dict], dict]:
        def called(asked: dict) -> dict:
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(asyncio.run, answer(asked)).result()

        return called

    return [waiting(answer) for answer in page_functions(verifier)]


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    network = narrow_network()
    calibration = Calibration(**{name: tuple(values) for name, values in CALIBRATION.items()})
    points = {name: OperatingPoint(**point) for name, point in POINTS.items()}
    curve = ErrorCurve(**{name: tuple(map(float, values)) for name, values in CURVE.items()})
    return Verifier(
        Encoder(network),
        {1: ErrorRates(1, points, curve)},
        "signatures that nobody wrote",
        preprocessing=Preprocessing(**SIGNATURE),
        default_calibration=calibration,
    )


@pytest.fixture
def judge(verifier):
    return functions(verifier)[0]


def test_every_point_has_its_verdict_and_its_cost(judge, verifier):
    result = judge({"references": [MINE, OTHER], "questioned": ALSO_MINE})
    assert [one["name"] for one in result["points"]] == ["strict", "balanced", "lenient"]
    assert [one["threshold"] for one in result["points"]] == [0.9, 0.5, 0.1]
    assert result["points"][1]["cost"] == (
        "Of 100 skilled forgeries, 13 would pass; of 100 genuine signatures, 13 would be refused."
    )
    assert result["counted"] == "These rates were measured with 1 reference; you gave 2."
    assert "46 would pass" in result["points"][2]["cost"]
    assert "fewer than 1 would be refused" in result["points"][2]["cost"]
    assert result["similarities"][0] > result["similarities"][1]
    rates = verifier.measured[1].curve.at(result["score"])
    assert result["rates"] == rates_sentence(rates)
    for one in result["points"]:
        share = verifier.share_genuine(result["score"])
        reliability = share if result["score"] >= one["threshold"] else 1 - share
        sure = "genuine" if result["score"] >= one["threshold"] else "forgery"
        assert one["verdict"] == (sure if reliability >= 0.75 else "unsure")


def test_what_is_outside_of_what_was_measured_is_unsure_and_no_rate_is_claimed(judge):
    two = Image.new("L", (900, 700), 255)
    for top, phase in ((80, 0.0), (400, 1.2)):
        two.paste(signature(phase, (600, 200)), (150, top))
    result = judge({"references": [MINE], "questioned": data_url(png(two))})
    assert {one["verdict"] for one in result["points"]} == {"unsure"}
    assert {one["meaning"] for one in result["points"]} == {DOUBT}
    assert result["rates"] is result["counted"] is result["advice"] is None
    assert {"picture": "The questioned signature", "text": "More than one piece of writing was found."} in result[
        "remarks"
    ]


def test_inks_are_shown_as_found_and_over_one_another(judge):
    result = judge({"references": [MINE, OTHER], "questioned": ALSO_MINE})
    assert len(result["inks"]) == 3
    assert len(result["layers"]) == 2
    for url in (*result["inks"], *(url for layers in result["layers"] for url in layers.values())):
        assert url.startswith("data:image/png;base64,")
    assert result["layers"][0]["questioned"] != result["layers"][1]["questioned"]  # each laid over its own


def test_weights_that_were_not_measured_have_one_threshold(verifier):
    plain = Verifier(verifier.encoder)
    result = functions(plain)[0]({"references": [MINE], "questioned": ALSO_MINE})
    assert [one["name"] for one in result["points"]] == [None]
    assert result["rates"] is result["counted"] is None
    assert "not been measured" in result["points"][0]["meaning"]
    assert "a practised forger deceives it easily" in markup(plain)
    assert "Measured on" not in markup(plain)
    noted = Verifier(verifier.encoder, origin=ResolvedModel(Path(), "model", None, "There is no model at <b>."))
    assert "There is no model at &lt;b&gt;." in markup(noted)


def test_words():
    point = OperatingPoint(0.5, 0.004, 0.2)
    assert "fewer than 1 would pass" in cost_sentence(point)
    assert "of 100 skilled forgeries, more than 99 scored" in rates_sentence(OperatingPoint(0.5, 1.0, 0.995))
    genuine = Verification(0.8, 0.5, "genuine", 0.9, (0.8,))
    assert meaning(genuine, "strict", point, 0.9) == (
        "It passes at the strict setting. Of 100 skilled forgeries, fewer than 1 pass as well."
    )
    refused = Verification(0.2, 0.5, "forgery", 0.9, (0.2,))
    assert meaning(refused, "balanced", point, 0.1) == (
        "It is refused at the balanced setting. Of 100 genuine signatures, 20 are refused as well."
    )
    unsure = Verification(0.4, 0.5, "unsure", 0.6, (0.4,))
    assert "It is refused at the balanced setting, but" in meaning(unsure, "balanced", point, 0.4)
    assert "about 40 of 100 with such a score are genuine" in meaning(unsure, "balanced", point, 0.4)


def test_why_is_shown_for_one_reference(verifier):
    why = functions(verifier)[2]({"references": [MINE], "questioned": ALSO_MINE})
    assert len(why["sees"]) == len(why["maps"]) == 2
    assert why["parts"] == []  # these weights go by the network alone
    both = {"references": [MINE, OTHER], "questioned": ALSO_MINE}
    first, second = (functions(verifier)[2](both | {"which": which}) for which in (0, 1))
    assert first == why
    assert second["sees"][0] != why["sees"][0]
    assert second["sees"][1] == why["sees"][1]
    for wrong in (2, -1, "first"):
        assert "The number of the reference" in functions(verifier)[2](both | {"which": wrong})["error"]


def test_what_each_part_of_a_score_says():
    assert parts_sentences({"network": 0.9, "hinge": 0.1, "profile": -2.0}) == [
        "The shapes below, which the network compares, count for the same person.",
        "The turns of the pen count little.",
        "The height and direction of the lines from left to right count against it.",
    ]
    assert parts_sentences({}) == []
    parts = {"network": 1.0, "hinge": 1.0, "profile": 1.0, "references": -0.5}
    assert "less than usual, which counts against it" in parts_sentences(parts)[-1]
    assert "more than usual, which counts for it" in parts_sentences(parts | {"references": 0.5})[-1]
    assert len(parts_sentences(parts | {"references": 0.1})) == 3


def test_the_page_shows_how_errors_fall_and_says_how_little_one_reference_is(verifier):
    def measured(references: int, error: float) -> ErrorRates:
        points = {name: OperatingPoint(0.5, error, error) for name in POINTS}
        return ErrorRates(references, points, None)

    several = Verifier(verifier.encoder, {1: measured(1, 0.17), 3: measured(3, 0.1), 5: measured(5, 0.09)})
    words = markup(several)
    assert re.findall(r"<li><span>([^<]+)</span><i style=\"width:(\d+)%\"></i><b>(\d+)</b>", words) == [
        ("1 reference", "100", "17"),
        ("3 references", "59", "10"),
        ("5 references", "53", "9"),
    ]
    assert advice(several, 1) == ("With one reference, 17 of 100 answers are wrong; with 3, 10. Add more if you can.")
    assert advice(several, 2) is None  # which was not measured
    assert advice(several, 3) is None
    assert "fall" not in markup(verifier)  # one number alone shows nothing
    assert advice(verifier, 1) is None


def test_errors_on_collections_left_out_come_first(verifier):
    point, elsewhere = OperatingPoint(0.5, 0.13, 0.13), RateRange((0.15, 0.25), (0.002, 0.1), (0.1, 0.2))
    assert cost_sentence(point, elsewhere) == (
        "With people, pens and papers it has not seen: of 100 skilled forgeries, 15 to 25 pass; of 100 genuine "
        "signatures, at most 10 are refused. With new people, but pens and papers it has seen: 13 and 13."
    )
    found = Verification(0.8, 0.5, "genuine", 0.9, (0.8,), ())
    assert meaning(found, "balanced", point, 0.9, elsewhere).endswith(
        "Of 100 skilled forgeries, 15 to 25 pass as well, with people, pens and papers it has not seen."
    )
    measured = {
        count: replace(
            rates, references=count, elsewhere=dict.fromkeys(POINTS, RateRange((0.0, 0.0), (0.0, 0.0), wrong))
        )
        for rates in verifier.measured.values()
        for count, wrong in ((1, (0.1, 0.2)), (3, (0.05, 0.08)))
    }
    several = replace(verifier, measured=measured)
    assert "setting, with people, pens and papers it has not seen, if half" in markup(several)
    assert "<b>10 to 20</b>" in markup(several)
    assert advice(several, 1) == (
        "With one reference, 10 to 20 of 100 answers are wrong; with 3, 5 to 8. Add more if you can."
    )
    assert measured[1].as_dict()["strict"] == POINTS["strict"] | {
        "far_elsewhere": [0.0, 0.0],
        "frr_elsewhere": [0.0, 0.0],
    }


def test_the_number_of_references_that_rates_were_measured_with_is_compared_with_what_was_given():
    assert counted_sentence(3, 3) == "These rates were measured with 3 references, as many as you gave."
    assert counted_sentence(3, 4) == "These rates were measured with 3 references; you gave 4."


def test_examples_are_judged_like_any_other_signatures(verifier):
    examples = functions(verifier)[3]({})["examples"]
    assert [one["caption"] for one in examples] == [
        "A genuine signature",
        "A skilled forgery",
        "Another person's signature",
    ]
    for one in examples:
        assert len(one["inks"]) == len(one["references"]) == 3
        assert "score" in functions(verifier)[0](one)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "1 to 10 references"),
        ({"references": [MINE] * 11, "questioned": MINE}, "1 to 10 references"),
        ({"references": [MINE], "questioned": None}, "The questioned signature is missing"),
        ({"references": [MINE, "x"], "questioned": MINE}, "Reference 2 is not a file"),
        ({"references": [MINE, data_url(b"<html>")], "questioned": MINE}, "Reference 2: The file is not a PNG"),
        (
            {"references": [MINE], "questioned": data_url(png(Image.new("L", (90, 50), 255)))},
            "The questioned signature:",
        ),
    ],
)
def test_bad_input_is_one_sentence(judge, asked, words):
    answer = judge(asked)
    assert list(answer) == ["error"]
    assert words in answer["error"]
    assert answer["error"].count(".") == 1
    assert answer["error"].endswith(".")


def test_a_picture_is_looked_at_when_it_is_brought(verifier):
    look = functions(verifier)[1]
    assert look({"picture": MINE, "count": 9})["ink"].startswith("data:image/png")
    assert "already 10 references" in look({"picture": MINE, "count": 10})["error"]
    assert look({"picture": data_url(b"<html>")})["error"].startswith("The file is not a PNG")


# Nothing that is signed is kept.


def test_the_page_says_so(verifier):
    words = " ".join(markup(verifier).split())
    assert "Nothing that is signed here is kept: no history, no log, no file." in words


def test_nothing_in_memory_outlives_a_call(verifier, judge, monkeypatch, caplog):
    seen = []

    def watched(data):
        reading = read(data)
        seen.extend([weakref.ref(reading), weakref.ref(reading.ink)])
        return reading

    read = verify.read_signature
    monkeypatch.setattr(verify, "read_signature", watched)
    verify.example_signatures()  # which are nobody's
    asked = {"references": [MINE, OTHER], "questioned": ALSO_MINE}
    for answer in functions(verifier):
        assert "error" not in answer(dict(asked, picture=MINE))
    assert "error" in judge({"references": [MINE], "questioned": data_url(b"<html>")})
    gc.collect()
    assert len(seen) == 2 * (3 + 1 + 3 + 1)
    assert [one for one in seen if one() is not None] == []
    assert not verifier.encoder._cache
    assert not verifier.encoder._waiting
    assert caplog.text == ""


@pytest.fixture(scope="module")
def client(app):
    client = Client(app.address, verbose=False, download_files=False)
    yield client
    client.close()


@pytest.fixture
def signed(tmp_path) -> list[Path]:
    paths = [tmp_path / f"{name}.png" for name in ("mine", "mine-too", "other")]
    for path, phase in zip(paths, (0.0, 0.05, 1.2), strict=True):
        path.write_bytes(png(signature(phase)))
    return paths


def files_of(app: App) -> dict[str, bytes]:
    """Every file that the app has anywhere, folders too, and what stands in it."""
    paths = [path for path in sorted(app.folder.rglob("*")) if path != app.folder / "log"]
    return {str(path.relative_to(app.folder)): path.read_bytes() if path.is_file() else b"" for path in paths}


def uploaded(app: App) -> set[Path]:
    return {path for path in (app.folder / "uploads").rglob("*") if path.is_file()}


def test_no_component_holds_state_for_a_session(http):
    config = http.get("/config").json()
    assert not [one for one in config["components"] if one["type"] in {"state", "browserstate"}]


def call(http: httpx.Client, name: str, data: dict) -> dict:
    components = http.get("/config").json()["components"]
    place = next(one["id"] for one in components if name in (one["props"].get("server_fns") or []))
    body = {"session_hash": "a-visitor", "component_id": place, "fn_name": name, "data": data}
    return http.post("/gradio_api/component_server", json=body).json()


def test_programs_choose_the_point_and_are_told_the_errors(client, signed):
    mine, too, other = map(handle_file, map(str, signed))
    result = client.predict([mine, other], too, api_name="/verify")
    assert result["operating_point"] == "balanced"
    assert result["threshold"] == 0.5
    assert result["operating_points"] == POINTS
    assert len(result["similarities"]) == 2
    strict = client.predict([mine, other], too, "strict", api_name="/verify")
    assert (strict["threshold"], strict["operating_point"], strict["score"]) == (0.9, "strict", result["score"])
    for wrong in ("firm", 3, ["strict"]):
        with pytest.raises(AppError, match="must be one of strict, balanced, lenient"):
            client.predict([mine], too, wrong, api_name="/verify")


def test_no_file_and_no_line_of_a_log_is_left_of_what_was_signed(app, http, client, signed):
    uploads = uploaded(app)
    http.get("/")
    client.predict([handle_file(str(signed[0]))], handle_file(str(signed[2])), api_name="/verify")
    before, log = files_of(app), app.log()
    asked = {"references": [MINE, OTHER], "questioned": ALSO_MINE}
    assert "score" in call(http, "verify_signature", asked)
    assert "ink" in call(http, "verify_ink", {"picture": MINE})
    why = call(http, "verify_why", asked)
    assert len(why["maps"]) == 2
    assert why["parts"][0].startswith("The shapes below")
    assert "error" in call(http, "verify_signature", asked | {"questioned": data_url(b"<html>mine")})
    mine, too, other = map(handle_file, map(str, signed))
    client.predict([mine, other], too, "strict", api_name="/verify")
    blank, page = signed[0].with_name("blank.png"), signed[0].with_name("page.png")
    blank.write_bytes(png(Image.new("L", (90, 50), 255)))
    page.write_text("<html>mine")
    for references, questioned, point in (
        ([mine, handle_file(str(page))], too, ""),
        ([mine], handle_file(str(blank)), ""),
        ([mine] * 11, too, ""),
        ([mine], too, "firm"),
    ):
        with pytest.raises(AppError):
            client.predict(references, questioned, point, api_name="/verify")
    assert files_of(app) == before
    assert uploaded(app) == uploads
    assert app.log() == log
    written = b"".join(files_of(app).values()) + app.log().encode()
    for path in signed:
        data = path.read_bytes()
        assert data not in written
        assert base64.b64encode(data)[20:60] not in written


def test_calls_that_bring_the_same_reference_at_once_take_nothing_from_one_another(client, signed):
    mine, too, _ = map(handle_file, map(str, signed))
    jobs = [client.submit([mine], too, api_name="/verify") for _ in range(6)]
    assert len({job.result(timeout=300)["score"] for job in jobs}) == 1


def test_what_is_kept_would_be_found(app):
    """The test above can fail: a file anywhere below the app's folder is seen."""
    before = files_of(app)
    left = app.folder / "tmp" / "left"
    left.write_bytes(png(signature()))
    assert files_of(app) != before
    left.unlink()


def test_a_network_that_was_not_measured_on_signatures_says_so():
    assert "has not been measured" in unmeasured_sentence(None)
    assert "about 95 of 100 scores like this one" in unmeasured_sentence(0.95)
    assert "this network has not been measured on signatures" in unmeasured_sentence(0.95)

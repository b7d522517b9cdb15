from pathlib import Path

import pytest

from siamese.characters.recognizer import Recognizer, load_recognizer
from siamese.hub.checkpoint import read_config, save_checkpoint
from siamese.hub.resolve import ResolvedModel
from siamese.inference.encoder import Encoder
from siamese.preprocessing import SIGNATURE, Preprocessing
from siamese.signatures.verifier import Verifier, load_verifier
from siamese.ui.pages import about
from tests.networks import narrow_network

PARAMETERS = f"{sum(part.numel() for part in narrow_network().parameters()):,}"
REPORT = {
    "one_shot": [
        {"protocol": "lake_runs", "n_way": 20, "trials": 400, "accuracy": 0.9775, "interval": [0.958, 0.989]},
        {"protocol": "within_alphabet", "n_way": 5, "trials": 1000, "accuracy": 0.9, "interval": [0.88, 0.92]},
        {"protocol": "within_alphabet", "n_way": 20, "trials": 1000, "accuracy": 0.861, "interval": [0.84, 0.88]},
    ],
    "verification": [{"protocol": "within_alphabet", "pairs": 10000, "accuracy": 0.93, "auc": 0.981, "eer": 0.07}],
    "baselines": [
        {"name": "modified_hausdorff", "protocol": "lake_runs", "n_way": 20, "trials": 400, "accuracy": 0.612},
        {"name": "<script>", "protocol": "lake_runs", "n_way": 20, "trials": 400, "accuracy": 0.1},
    ],
}


def page(recognizer: Recognizer) -> str:
    """Where the network of characters verifies signatures too."""
    return about.markup(recognizer, Verifier(recognizer.encoder))


def test_figures_come_from_the_checkpoint_with_task_interval_and_trials(tmp_path: Path):
    given = {"figures": REPORT, "training": {"recipe": "<b>modern"}}
    save_checkpoint(tmp_path, narrow_network(), Preprocessing(), storage="int8", **given)
    text = page(load_recognizer(str(tmp_path)))
    for words in ("97.75\u00a0%", "95.8\u00a0% to 98.9\u00a0%", "86.10\u00a0%", "61.2\u00a0%", PARAMETERS, "0.981"):
        assert words in text
    assert "90.00\u00a0%" not in text  # each protocol is shown at its largest number of candidates
    assert "<script>" not in text
    assert "&lt;b&gt;modern" in text


FIELDS = ("protocol", "name", "n_way", "trials", "pairs", "accuracy", "interval", "writers_scored")


@pytest.mark.parametrize("words", ["<script>", ["<script>"], {"<script>": 1}, 10**400])
@pytest.mark.parametrize("field", FIELDS)
def test_nothing_of_a_stranger_is_read_as_html(field, words):
    strange = {part: [one | {field: words} for one in entries] for part, entries in REPORT.items()}
    for draw in (about.character_rows, about.accuracy_chart, about.verification_table, about.baseline_table):
        assert "<script>" not in "".join(about.as_far_as_readable(draw, strange))
    for draw in (about.signature_rows, about.signature_details):
        assert "<script>" not in "".join(about.as_far_as_readable(draw, SIGNATURES | {field: words}))


def test_without_figures_none_are_claimed():
    text = page(Recognizer(narrow_network()))
    assert "have not been evaluated" in text
    assert "97." not in text


def test_the_chart_ends_each_line_with_its_name():
    drawn = about.accuracy_chart(REPORT)
    assert "one alphabet 86.1\u00a0%" in drawn
    assert "people 95.5\u00a0%" in drawn
    assert "all alphabets 9" not in drawn  # which was not measured
    assert about.accuracy_chart({}) == ""


def test_only_addresses_that_exist_are_linked(monkeypatch, tmp_path: Path):
    network = narrow_network()
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert "huggingface.co" not in page(Recognizer(network))
    monkeypatch.setenv("SPACE_ID", "user/one-look")
    assert 'href="https://huggingface.co/spaces/user/one-look/tree/main"' in page(Recognizer(network))
    monkeypatch.setenv("SPACE_ID", '"><script>')
    assert "<script>" not in page(Recognizer(network))
    origin = ResolvedModel(tmp_path, "user/weights", "0123456" + "f" * 33, None)
    assert 'href="https://huggingface.co/user/weights"' in page(Recognizer(network, origin=origin))


def test_the_page_says_whose_weights_answer_and_why(tmp_path: Path):
    note = (
        "user/one-look could not be loaded: <the> Hub is out of order (500). Revision 0123456 from the cache answers."
    )
    origin = ResolvedModel(tmp_path, "user/one-look", "0123456" + "f" * 33, note)
    network = narrow_network()
    text = page(Recognizer(network, origin=origin))
    for words in ("user/one-look", "0123456" + "f" * 33, note.replace("<the>", "&lt;the&gt;")):
        assert words in text
    bundled = page(Recognizer(network, origin=ResolvedModel(tmp_path, "omniglot (bundled)", None, None)))
    assert "omniglot (bundled)" in bundled
    assert "Note" not in bundled


SIGNATURES = {
    "forgeries": "skilled forgeries",
    "writers_scored": 12,
    "by_references": {
        "1": {"eer_skilled": 0.198, "eer_random": 0.033, "intervals": {"eer_skilled": [0.125, 0.263]}},
        "5": {"eer_skilled": 0.118, "eer_random": None, "intervals": {"eer_skilled": [0.05, 0.17]}},
    },
}


def test_what_verifies_signatures_is_named_with_its_errors(tmp_path: Path):
    network = narrow_network()
    rates = {"far": 0.1, "frr": 0.1}
    points = {name: rates | {"threshold": at} for name, at in (("strict", 0.9), ("balanced", 0.517), ("lenient", 0.1))}
    verification = {"threshold": 0.843, "operating_points": points}  # of the network alone, and of the whole score
    figures = {"one_shot": [], "signatures": SIGNATURES}
    save_checkpoint(tmp_path, network, SIGNATURE, storage="int8", verification=verification, figures=figures)
    digest = read_config(tmp_path)["weights_sha256"]
    text = about.markup(Recognizer(network), load_verifier(str(tmp_path)))
    signatures = text.split("Results", 1)[1]
    for words in (
        "12 writers, not trained on",
        "with 1 reference<",
        "19.8\u00a0%",
        "12.5\u00a0% to 26.3\u00a0%",
        "3.3\u00a0%",
        "11.8\u00a0%",
        digest,
        "0.517",
    ):
        assert words in signatures
    assert "0.843" not in signatures
    assert "Each part of a score" not in signatures
    assert "The model that verifies signatures" in signatures
    assert "The model that verifies signatures" not in page(Recognizer(network))


def test_collections_never_seen_have_rows_of_their_own():
    entry = {
        "collection": "<tablet>",
        "writers": 40,
        "forgeries": "skilled forgeries",
        "by_references": {"1": {"eer_skilled": 0.217}},
    }
    (found,) = about.left_out_rows({"left_out": [entry]})
    assert "21.7\u00a0%" in found
    assert "trained without &lt;tablet&gt;" in found
    assert "skilled forgeries, all 40 writers of that collection" in found
    assert "trained without SVC2004" in about.left_out_rows({"left_out": [entry | {"collection": "svc2004"}]})[0]
    assert about.left_out_rows({}) == []


def test_what_counts_beside_the_network_is_told_with_what_it_is_worth():
    alone = {"network": {"eer_skilled": 0.194}, "hinge": {"eer_skilled": 0.231}, "profile": {"eer_skilled": 0.15}}
    told = about.signature_details(SIGNATURES | {"parts_alone": alone})
    parts = "the network 19.4\u00a0%, the turns of the lines 23.1\u00a0%, their height and direction from left to right"
    assert f"{parts} 15.0\u00a0%" in told
    strange = {name: {"eer_skilled": "<script>"} for name in alone}
    assert "<script>" not in about.as_far_as_readable(about.signature_details, SIGNATURES | {"parts_alone": strange})


@pytest.mark.parametrize("part", ["one_shot", "verification", "signatures"])
@pytest.mark.parametrize("malformed", [[{}], {"by_references": {"1": {}}}, [{"protocol": "lake_runs"}], "text"])
def test_malformed_figures_of_a_stranger_do_not_keep_the_page_from_opening(part, malformed, tmp_path: Path):
    network = narrow_network()
    save_checkpoint(tmp_path, network, Preprocessing(), storage="int8", figures=REPORT | {part: malformed})
    recognizer = load_recognizer(str(tmp_path))
    text = about.markup(recognizer, Verifier(Encoder(network), origin=recognizer.origin))
    assert "The model that recognises characters" in text


def test_every_stage_of_the_training_is_named(tmp_path: Path):
    first = {"images": 288_000, "held_out_alphabets": ["Bengali"], "began_with": None}
    second = {"images": 230_400, "held_out_alphabets": [], "began_with": first}
    training = {"validation_accuracy": 0.78862847, "began_with": second}
    save_checkpoint(tmp_path, narrow_network(), Preprocessing(), storage="int8", training=training)
    text = page(load_recognizer(str(tmp_path)))
    for words in (">0.7886<", ">230,400 images<", ">288,000 images, alphabets held out: 1<"):
        assert words in text


@pytest.mark.parametrize("training", [{"began_with": {"images": 1, "held_out_alphabets": 5}}, [1], "text", 7])
def test_a_malformed_training_does_not_keep_the_page_from_opening(training):
    text = about.model_table(Recognizer(narrow_network()), {"training": training}, "The model")
    assert PARAMETERS in text

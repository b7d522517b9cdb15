"""`python -m siamese`: answers for people and as JSON, one sentence for bad input."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from siamese.__main__ import main, odds
from siamese.hub.checkpoint import save_checkpoint
from siamese.metrics import NAMED_POINTS
from siamese.preprocessing import Preprocessing
from tests.hostile import drawing
from tests.networks import narrow_network

ROOT = Path(__file__).parents[1]
CALIBRATION = {"similarity_edges": [0.0, 0.5, 1.0], "share_same": [0.1, 0.9]}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("model")
    network = narrow_network()
    verification = {"threshold": 0.5, "calibration": CALIBRATION, "measured_on": "nothing"}
    save_checkpoint(folder, network, Preprocessing(), storage="int8", verification=verification)
    return str(folder)


@pytest.fixture
def files(tmp_path) -> dict[str, str]:
    """Three classes in a folder, and a query that is the second of them in another size."""
    support = tmp_path / "support"
    support.mkdir()
    upright = drawing("L", (120, 120))
    for name, image in {"a": upright.rotate(90), "b": upright, "c": upright.rotate(180)}.items():
        image.save(support / f"{name}.png")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._a.png"):  # passed over, whatever left them
        (support / name).write_bytes(b"stray")
    drawing("RGB", (300, 300)).save(tmp_path / "query.jpg")
    (tmp_path / "text.png").write_text("not an image")
    return {"support": str(support), "query": str(tmp_path / "query.jpg"), "text": str(tmp_path / "text.png")} | {
        name: str(support / f"{name}.png") for name in "abc"
    }


def answer_of(capsys: pytest.CaptureFixture, *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_compare(capsys, model, files):
    alike = answer_of(capsys, "compare", files["b"], files["b"], "--model", model)
    other = answer_of(capsys, "compare", files["a"], files["b"], "--model", model)
    assert alike["similarity"] == pytest.approx(0.982014, abs=1e-6)  # sigmoid(4), the head's bias: no difference at all
    assert other["similarity"] < alike["similarity"]
    assert alike["same"] is True
    assert alike["reliability"] == 0.9
    assert alike["threshold"] == 0.5
    assert alike["model"] == {"name": model, "revision": None}


def test_verify(capsys, model, files):
    answer = answer_of(capsys, "verify", files["a"], files["b"], files["query"], "--model", model)
    assert set(answer["similarities"]) == {files["a"], files["b"]}
    assert answer["verdict"] in {"genuine", "forgery", "unsure"}
    assert min(answer["similarities"].values()) <= answer["score"] <= max(answer["similarities"].values())


def test_classify_names_the_file_that_is_most_alike(capsys, model, files):
    answer = answer_of(capsys, "classify", files["support"], files["query"], "--model", model)
    assert answer["answer"] == "b.png"
    assert list(answer["similarities"]) == sorted(
        answer["similarities"], key=lambda name: -answer["similarities"][name]
    )


def test_sentences_for_people(capsys, model, files):
    assert main(["compare", files["b"], files["b"], "--model", model]) == 0
    assert capsys.readouterr().out == (
        "Similarity 0.982, threshold 0.500: the same.\n"
        "If half of all pairs are the same, 90% of scores like this one are on the right side.\n"
    )
    assert main(["classify", files["support"], files["query"], "--model", model]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("  b.png")
    assert main(["verify", files["b"], files["b"], "--model", model]) == 0
    assert capsys.readouterr().out == (
        "Score 0.982, threshold 0.500: genuine.\n"
        "The error rates of this network on signatures have not been measured.\n"
    )


def test_a_console_that_cannot_show_a_name_shows_its_code(model, files, monkeypatch):
    """Windows consoles write in cp1252; the file is called "ink" in Chinese."""
    (Path(files["support"]) / "b.png").rename(Path(files["support"]) / "\u58a8.png")
    console = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", console)
    assert main(["classify", files["support"], files["query"], "--model", model]) == 0
    console.flush()
    assert console.buffer.getvalue().splitlines()[0].endswith(rb"  \u58a8.png")


def test_nothing_is_told_to_be_certain():
    assert odds(None) == []
    assert odds(0.98)[0].startswith("If half of all pairs are the same, 98% of")
    assert odds(1.0)[0].startswith("If half of all pairs are the same, more than 99% of")


def test_verify_at_an_operating_point(capsys, model, files, tmp_path):
    points = {
        "strict": {"threshold": 0.99, "far": 0.01, "frr": 0.4},
        "balanced": {"threshold": 0.6, "far": 0.15, "frr": 0.15},
        "lenient": {"threshold": 0.2, "far": 0.5, "frr": 0.01},
    }
    signatures = tmp_path / "signatures"
    verification = {"threshold": 0.6, "operating_points": points, "calibration": CALIBRATION}
    save_checkpoint(signatures, narrow_network(), Preprocessing(), verification=verification)
    given = ["verify", files["b"], files["b"], "--model", str(signatures)]
    answer = answer_of(capsys, *given)
    assert (answer["operating_point"], answer["threshold"], answer["verdict"]) == ("balanced", 0.6, "genuine")
    assert answer["operating_points"] == points
    answer = answer_of(capsys, *given, "--operating-point", "strict")
    assert (answer["operating_point"], answer["threshold"], answer["verdict"]) == ("strict", 0.99, "unsure")
    assert main([*given, "--operating-point", "lenient"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "Score 0.982, threshold 0.200 (lenient): genuine.",
        "There 50.0% of skilled forgeries pass and 1.0% of genuine signatures are refused.",
    ]
    with pytest.raises(SystemExit):
        main([*given, "--operating-point", "firm"])
    refused = capsys.readouterr().err
    assert all(name in refused for name in NAMED_POINTS)
    assert main(["verify", files["b"], files["b"], "--model", model, "--operating-point", "strict"]) == 1
    assert capsys.readouterr().err == (
        "These weights carry no operating points, so 'strict' cannot be chosen; leave it out.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["compare", "a", "missing.png"], "no image file at 'missing.png'"),
        (["compare", "a", "text"], "text.png: The file is not a PNG"),
        (["classify", "missing", "a"], "no folder of support images at 'missing'"),
        (["classify", "empty", "a"], "has no images"),
        (["compare", "a", "b", "--model", "missing/folder/deep"], "missing/folder/deep"),
        (["compare", "a", "b", "--device", "abacus"], "'abacus' is not available"),
        (["compare", "a", "b", "--device", "meta"], "'meta' is not available"),
    ],
)
def test_bad_input_gets_one_sentence_and_a_status(capsys, model, files, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    known = files | {"empty": str(tmp_path / "empty")}
    model_option = [] if "--model" in arguments else ["--model", model]
    assert main([*(known.get(word, word) for word in arguments), *model_option]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert reason in shown.err
    assert shown.err.count("\n") == 1
    assert shown.err.endswith(".\n")


def test_too_few_images_are_a_wrong_command_line(capsys):
    for arguments in ([], ["verify", "one.png"], ["compare", "one.png"], ["classify", "folder"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2


def test_importing_the_package_alone_does_not_load_torch():
    code = "import siamese, sys; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_every_exported_name_exists():
    import siamese

    assert all(getattr(siamese, name) is not None for name in siamese.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        siamese.no_such_name  # noqa: B018


def test_who_stops_reading_gets_no_traceback(model, files):
    words = [sys.executable, "-m", "siamese", "classify", files["support"], files["query"], "--model", model]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 1

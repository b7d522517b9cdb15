import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from siamese.characters import omniglot
from siamese.characters.drawings import Drawings
from siamese.characters.episodes import Trials
from siamese.characters.omniglot import lake_runs
from siamese.data.bundled import encode_png
from siamese.hub.checkpoint import load_checkpoint, save_checkpoint
from siamese.preprocessing import Preprocessing
from tests.blots import blots
from tests.networks import NARROW, narrow_network
from train.__main__ import main
from train.characters import evaluate
from train.characters.baselines import modified_hausdorff_distances, squared_pixel_distances, won_among
from train.characters.evaluate import embed_views, thresholds_of
from train.characters.transfer import TransferError, load_pictures, transfer_trials
from train.evaluation import embed_drawings, load_model, one_shot_logits


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "model"
    verification = {"threshold": 0.6, "calibration": {"similarity_edges": [0.0, 1.0], "share_same": [0.5]}}
    save_checkpoint(folder, narrow_network(), Preprocessing(), storage="int8", verification=verification)
    (folder.parent / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n', encoding="utf-8")
    return folder


def test_the_first_view_is_the_drawing_itself_and_the_others_are_near_it(checkpoint):
    model = load_model(str(checkpoint), "cpu", "float32")
    prepared = blots({"A": 2}, 2).prepared(Preprocessing())
    views = embed_views(model, prepared, 2, torch.Generator().manual_seed(0))
    plain = embed_drawings(model.network, prepared, precision=torch.float32)
    assert views.shape == (3, 4, NARROW.embedding_units)
    torch.testing.assert_close(views[0], plain)
    assert not torch.allclose(views[1], plain)
    assert not torch.allclose(views[1], views[2])


def test_thresholds_come_from_the_checkpoint():
    own = {"threshold": 0.4, "thresholds": {"within_alphabet": 0.4, "across_alphabets": 0.3}}
    assert thresholds_of({"verification": own}) == ({"within_alphabet": 0.4, "across_alphabets": 0.3}, None)
    assert thresholds_of({"verification": {"threshold": 0.4}})[0] == {"within_alphabet": 0.4, "across_alphabets": 0.4}
    thresholds, remark = thresholds_of({})
    assert thresholds == {"within_alphabet": 0.5, "across_alphabets": 0.5}
    assert "no threshold from validation" in remark


# Transfer


def save_thumbnails(folder: Path, drawings: Drawings, size_px: int) -> None:
    """One sub-folder for each character; light on dark, as MNIST has it."""
    for row, ink in enumerate(drawings.ink):
        place = folder / f"class {int(drawings.character[row])}"
        place.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray((ink.numpy() * 255).astype("uint8")).resize((size_px, size_px))
        picture.save(place / f"{int(drawings.drawer[row])}.png")


def test_a_folder_of_thumbnails_becomes_trials_among_all_its_classes(tmp_path):
    save_thumbnails(tmp_path, blots({"A": 4}, 3, spoilt=0.0), 28)
    (tmp_path / "class 0" / "notes.png").write_text("not a picture", encoding="utf-8")
    for name in (".hidden", "Thumbs.db", "desktop.ini"):
        (tmp_path / "class 0" / name).write_text("", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    pictures = load_pictures(tmp_path, Preprocessing(), torch.Generator().manual_seed(0))
    assert pictures.prepared.shape == (12, 1, 105, 105)
    assert pictures.drawings.character.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert [sentence.split(": ")[0] for sentence in pictures.refused] == [str(tmp_path / "class 0" / "notes.png")]
    trials = transfer_trials(pictures, 50, torch.Generator().manual_seed(0))
    assert trials.support.shape == (50, 4)
    chosen = trials.support[torch.arange(50), trials.label]
    assert bool((chosen != trials.query).all())
    # Copies of one picture: nearest neighbour cannot fail where the true one is at distance 0.
    assert won_among(squared_pixel_distances(pictures.prepared, trials), trials.label, 4).all()


def test_a_folder_without_classes_is_refused(tmp_path):
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(TransferError, match="cannot be read"):
        load_pictures(tmp_path / "missing", Preprocessing(), generator)
    (tmp_path / "one").mkdir()
    with pytest.raises(TransferError, match="holds 1 sub-folders"):
        load_pictures(tmp_path, Preprocessing(), generator)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "broken.png").write_text("", encoding="utf-8")
    with pytest.raises(TransferError, match="Fewer than two sub-folders"):
        load_pictures(tmp_path, Preprocessing(), generator)


# The command


def evaluate_with(*options: str) -> int:
    return main(["evaluate", *map(str, options)])


def test_one_command_one_table_one_report(checkpoint, tmp_path, monkeypatch, capsys):
    drawings = blots({"Small": 3, "Large": 6}, 3)
    monkeypatch.setattr(omniglot, "load_drawings", lambda split, source: drawings)
    assert evaluate.PAIRS == 10_000
    monkeypatch.setattr(evaluate, "PAIRS", 400)
    save_thumbnails(tmp_path / "images", blots({"A": 2}, 2), 64)
    report_file, figures = tmp_path / "new" / "report.json", tmp_path / "figures"
    status = evaluate_with(
        *("--model", checkpoint, "--data", "anything", "--trials", 40, "--output", report_file, "--figures", figures),
        *("--images", tmp_path / "images", "--compare", checkpoint, "--device", "cpu", "--seed", 2),
        *("--baselines", "--precision", "float32", "bfloat16"),
    )
    printed = capsys.readouterr().out
    report = json.loads(report_file.read_text(encoding="utf-8"))
    assert status == 0
    assert report["model"]["source"] == str(checkpoint)
    parameters = sum(parameter.numel() for parameter in narrow_network().parameters())
    assert report["model"]["parameters"] == parameters
    assert (report["model"]["storage"], report["model"]["device"], report["seed"]) == ("int8", "cpu", 2)
    assert [(row["protocol"], row["n_way"]) for row in report["one_shot"]] == [
        *(("within_alphabet", n_way) for n_way in (2, 3, 5)),
        *(("across_alphabets", n_way) for n_way in (2, 3, 5)),
    ]
    for row in report["one_shot"]:
        assert (row["split"], row["trials"]) == ("evaluation", 40)
        assert row["interval"][0] <= row["accuracy"] <= row["interval"][1]
    assert set(report["per_alphabet"]) == {"Small", "Large"}
    assert report["per_alphabet_n_way"] == {"Small": 3, "Large": 6}
    for row in report["verification"]:
        assert set(row) == {"protocol", "pairs", "accuracy", "auc", "eer", "threshold"}
        assert (row["pairs"], row["threshold"]) == (400, 0.6)
    names = {(row["name"], row["protocol"], row["n_way"]) for row in report["baselines"]}
    assert len(names) == len(report["baselines"]) == 3 * 2 * 3
    assert ("modified_hausdorff", "across_alphabets", 5) in names
    assert {row["differing_trials"] for row in report["comparison"]["one_shot"]} == {0}
    assert {row["p_value"] for row in report["comparison"]["one_shot"]} == {1.0}
    (transfer,) = report["transfer"]
    assert set(transfer) > {"n_way", "trials", "accuracy", "interval", "nearest_neighbour_l2"}
    assert [transfer[name] for name in ("data", "n_way", "images")] == ["images", 2, 4]
    within_five = next(row for row in report["one_shot"] if row["n_way"] == 5)
    assert within_five["left_out"] == ["Small"]
    assert f"{100 * within_five['accuracy']:.2f} %" in printed
    assert "5-way within an alphabet leaves out Small" in printed
    assert f"{parameters:,} parameters, stored as int8, float32 on cpu" in printed
    assert [other["precision"] for other in report["other_precisions"]] == ["bfloat16"]
    assert len(report["other_precisions"][0]["one_shot"]) == len(report["one_shot"])
    assert printed.count("bfloat16") == 2  # a column of each table
    assert {path.name for path in figures.iterdir()} == {
        *("accuracy_over_n.png", "trials.png", "roc.png", "training.png")
    }


def test_transfer_alone_needs_no_alphabets(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(omniglot, "load_drawings", lambda split, source: pytest.fail("Omniglot was read."))
    save_thumbnails(tmp_path / "images", blots({"A": 3}, 2), 28)
    options = ("--model", checkpoint, "--images", tmp_path / "images", "--transfer-only", "--trials", 20)
    assert evaluate_with(*options, "--device", "cpu") == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[:4] == ["images", "6", "3", "20"]


def test_several_folders_stand_in_one_table(checkpoint, tmp_path, capsys):
    folders = [tmp_path / "pencil", tmp_path / "marker"]
    for folder, classes in zip(folders, (2, 3), strict=True):
        save_thumbnails(folder, blots({"A": classes}, 2), 28)
    options = ("--model", checkpoint, "--images", *folders, "--transfer-only", "--trials", 20, "--device", "cpu")
    assert evaluate_with(*options) == 0
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()[-2:]]
    assert rows == [["pencil", "4", "2"], ["marker", "6", "3"]]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--model", "no/such folder"), "There is no model at no/such folder"),
        (("--trials", "0"), "--trials must be at least 1"),
        (("--transfer-only",), "--transfer-only needs --images"),
        (
            ("--images", "x", "--transfer-only", "--compare", "y", "--data", "d", "--figures", "z"),
            "--transfer-only does not go with --compare, --data, --figures",
        ),
        (("--precision", "int8", "--device", "cpu"), "int8 needs a CPU with VNNI"),
        (("--device", "abacus"), "The device 'abacus' is not available"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_sentence(options, sentence, capsys, monkeypatch):
    monkeypatch.setattr("train.evaluation.is_fast", lambda: False)
    assert evaluate_with(*options) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert sentence in written.err
    assert len(written.err.strip().splitlines()) == 1


def test_a_report_that_cannot_be_written_is_said_in_one_sentence(checkpoint, tmp_path, capsys):
    save_thumbnails(tmp_path / "images", blots({"A": 2}, 2), 28)
    options = ("--model", checkpoint, "--images", tmp_path / "images", "--transfer-only", "--trials", 5)
    assert evaluate_with(*options, "--device", "cpu", "--output", checkpoint / "config.json" / "report.json") == 1
    assert "cannot be written" in capsys.readouterr().err


# On Omniglot itself


@pytest.mark.slow
def test_hausdorff_gives_the_error_that_lake_reports(omniglot):
    drawings = omniglot["evaluation"]
    trials = lake_runs(drawings)
    distances = modified_hausdorff_distances(drawings.ink, trials)
    assert int(won_among(distances, trials.label, 20).sum()) == 245  # 38.75 % of 400 are wrong; he gives 38.8 %


def test_classify_on_the_files_of_a_run_agrees_with_the_evaluation(omniglot):
    from siamese import load_recognizer

    recognizer = load_recognizer("omniglot", "cpu")  # the bundled one, whatever MODEL_ID says
    drawings = omniglot["evaluation"]
    runs = lake_runs(drawings)
    trials = Trials(runs.support[:20], runs.query[:20], runs.label[:20])
    rows = torch.cat([trials.support.flatten(), trials.query]).unique()
    checkpoint = load_checkpoint(recognizer.origin.folder)
    embeddings = embed_drawings(checkpoint.network, drawings.take(rows).prepared(checkpoint.preprocessing))
    moved = Trials(torch.searchsorted(rows, trials.support), torch.searchsorted(rows, trials.query), trials.label)
    evaluated = one_shot_logits(checkpoint.network, embeddings, moved).argmax(1).tolist()
    support = [encode_png(drawings.ink[row]) for row in trials.support[0]]
    similarities = [recognizer.classify(support, encode_png(drawings.ink[row])) for row in trials.query]
    classified = [max(range(20), key=one.__getitem__) for one in similarities]
    assert sum(a == b for a, b in zip(evaluated, classified, strict=True)) >= 19

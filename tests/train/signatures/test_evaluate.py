"""What is measured on signatures, by hand where it can be, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch

from siamese.hub.checkpoint import load_checkpoint, read_config, save_checkpoint
from siamese.metrics import NAMED_POINTS, Consistency, calibration_in
from siamese.network import SiameseNetwork
from siamese.preprocessing import SIGNATURE
from siamese.signatures.dataset import Signatures
from siamese.signatures.features import StrokeFeatures, banded_dtw, hinge_distances, profile_distances
from siamese.signatures.fusion import ScoreFusion
from siamese.signatures.verifier import Scoring, scoring_in
from tests.networks import narrow_network
from train.__main__ import main
from train.figures import Curve, detection_error_tradeoff, signature_roc
from train.signatures import collections as module
from train.signatures import comparison
from train.signatures.comparison import Comparison, ProfileDistances
from train.signatures.evaluate import HASHED, seen_hashes, unseen_writers
from train.signatures.scores import (
    DRAWS,
    Scores,
    curves_of,
    measures,
    scores_of,
    stranger_probe,
    thresholds_for,
    verification_entry,
)


def some_signatures(writers: int, genuine: int, forgeries: int) -> Signatures:
    """Blank pictures, rows by writer, genuine ones first."""
    each = genuine + forgeries
    rows = torch.arange(writers * each)
    return Signatures(
        images=torch.zeros(len(rows), 1, 105, 105, dtype=torch.uint8),
        writer=rows // each,
        genuine=rows % each < genuine,
        writer_names=tuple(f"writer {index}" for index in range(writers)),
        sha256=tuple(f"{row:064x}" for row in rows.tolist()),
        text=("",) * len(rows),
        medium=("",) * len(rows),
        raw_statistics=torch.zeros(len(rows), 5),
        strokes=StrokeFeatures(torch.zeros(len(rows), 576), torch.zeros(len(rows), 48, 18)),
    )


FUSION = ScoreFusion(0.5, 0.25, -4.0, -2.0, 1.0, 0.3, 2.0)


class Line(SiameseNetwork):
    """Compares by minus the distance of the first number of each embedding: arithmetic for children."""

    def compare_all(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return -(a[:, None, 0] - b[None, :, 0]).abs()


@pytest.fixture(scope="module")
def line():
    with torch.device("meta"):
        return Line()


def compared(network: SiameseNetwork, embeddings: torch.Tensor, signatures: Signatures) -> Comparison:
    return Comparison(network, embeddings, signatures, ProfileDistances(signatures.strokes))


def placed(*values: float) -> torch.Tensor:
    embeddings = torch.zeros(len(values), 4096)
    embeddings[:, 0] = torch.tensor(values)
    return embeddings


def test_every_pair_counts_once_with_one_reference(line):
    # Writer 0: genuine at 0, 1 and 3, a forgery at 5. Writer 1: genuine at 10 and 12, 14, a forgery at 10.5.
    signatures = some_signatures(2, 3, 1)
    scores = scores_of(compared(line, placed(0, 1, 3, 5, 10, 12, 14, 10.5), signatures), 1)
    assert scores.writers == ("writer 0", "writer 1")
    distances = [sorted(-part.logit().round(decimals=3)) for part in scores.genuine]
    assert distances == [[1, 2, 3], [2, 2, 4]]
    assert sorted(-scores.skilled[0].logit().round(decimals=3)) == [2, 4, 5]
    assert sorted(-scores.skilled[1].logit().round(decimals=3)) == [0.5, 1.5, 3.5]
    assert sorted(-scores.random[0].logit().round(decimals=3)) == [7, 9, 9, 10, 11, 11, 12, 13, 14]


def test_logits_of_several_references_are_averaged(line):
    signatures = some_signatures(1, 3, 1)
    scores = scores_of(compared(line, placed(0, 1, 3, 5), signatures), 2)
    assert len(scores.genuine[0]) == len(scores.skilled[0]) == DRAWS
    # Two of 0, 1 and 3 are references, the third is questioned: means 2.5 (3 left out), 1.5 (1) and 2 (0).
    assert set((-scores.genuine[0].logit()).round(decimals=3).tolist()) <= {1.5, 2.0, 2.5}
    assert set((-scores.skilled[0].logit()).round(decimals=3).tolist()) <= {4.5, 3.5, 3.0}
    assert len(scores.random[0]) == 0


def test_references_that_differ_give_more_room(line):
    # References at 0 and 4 (logit -4 among themselves) fall short of a level of -1 by 3, half of which is added.
    assert Consistency(0.5, -1.0).reference_offset(torch.tensor([[0.0, -4.0], [-4.0, 0.0]])) == pytest.approx(1.5)
    assert Consistency(0.5, -1.0).reference_offset(torch.tensor([[0.0]])) == 0
    signatures = some_signatures(1, 3, 1)
    embeddings = placed(0, 1, 3, 5)
    plain = scores_of(compared(line, embeddings, signatures), 2)
    roomy = scores_of(compared(line, embeddings, signatures), 2, Scoring(consistency=Consistency(0.5, -1.0)))
    # Pairs of 0, 1 and 3 are 1, 2 or 3 apart: 0, 0.5 or 1 is added.
    added = (roomy.skilled[0].logit() - plain.skilled[0].logit()).round(decimals=3)
    assert set(added.tolist()) == {0.0, 0.5, 1.0}
    assert torch.equal(added, (roomy.genuine[0].logit() - plain.genuine[0].logit()).round(decimals=3))
    alone = scores_of(compared(line, embeddings, signatures), 1, Scoring(consistency=Consistency(0.5, -1.0))).skilled[0]
    assert torch.equal(alone, scores_of(compared(line, embeddings, signatures), 1).skilled[0])
    with pytest.raises(ValueError, match="must lie in 0 to 1"):
        Consistency(1.5, 0.0)


def test_the_closest_reference_counts_more_than_the_others(line):
    signatures, embeddings = some_signatures(1, 3, 1), placed(0, 1, 3, 5)
    plain, moved = (
        scores_of(compared(line, embeddings, signatures), 2, Scoring(nearest=nearest)).skilled[0].logit()
        for nearest in (0.0, 0.5)
    )
    # Two of 0, 1 and 3 are references of the forgery at 5: the closer one is 0.5, 1.5 or 1 closer than their mean.
    assert set((moved - plain).round(decimals=3).tolist()) <= {0.25, 0.75, 0.5}
    one = scores_of(compared(line, embeddings, signatures), 1, Scoring(nearest=0.5)).skilled[0]
    assert torch.equal(one, scores_of(compared(line, embeddings, signatures), 1).skilled[0])


def with_handwriting(signatures: Signatures) -> Signatures:
    """Turns and courses at random."""
    generator = torch.Generator().manual_seed(1)
    turns = torch.rand(len(signatures), 576, generator=generator)
    course = torch.rand(len(signatures), 48, 18, generator=generator)
    return replace(signatures, strokes=StrokeFeatures(turns / turns.norm(dim=1, keepdim=True), course))


def test_the_handwriting_counts_as_the_fusion_says(line):
    signatures, embeddings = with_handwriting(some_signatures(2, 2, 1)), placed(0, 1, 3, 10, 12, 10.5)
    scores = scores_of(compared(line, embeddings, signatures), 1, Scoring(FUSION))
    one, other = (signatures.strokes.take(torch.tensor([row])) for row in (0, 1))
    turns, course = hinge_distances(one, other).item(), profile_distances(one, other).item()
    assert scores.genuine[0].logit().item() == pytest.approx(0.5 + 0.25 * -1 - 4 * turns - 2 * course, abs=1e-4)
    assert len(scores.skilled[0]) == 2
    plain = scores_of(compared(line, embeddings, signatures), 1)
    assert (scores.random[0].logit() < plain.random[0].logit() - 1).all()


def test_the_stranger_probe_finds_what_genuine_signatures_have_in_common(line):
    # Genuine signatures of every writer lie at 0, forgeries at 5: a network of scanners, not of hands.
    signatures = some_signatures(3, 2, 2)
    assert stranger_probe(compared(line, placed(*([0, 0, 5, 5] * 3)), signatures)) == 1
    # Every other writer's forgeries lie where that writer's genuine signatures do.
    alike = placed(0, 1, 0, 1, 4, 6, 4, 6, 9, 9, 9, 9)
    assert stranger_probe(compared(line, alike, signatures)) == pytest.approx(0.5)
    alone = signatures.of_writers(["writer 0"])
    assert stranger_probe(compared(line, placed(0, 1, 2, 3), alone)) is None


def test_each_pair_is_aligned_once_whatever_asks_for_it(monkeypatch):
    signatures = with_handwriting(some_signatures(2, 3, 1))
    aligned = []

    def counted(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
        aligned.append(len(ours))
        return banded_dtw(ours, theirs)

    monkeypatch.setattr(comparison, "banded_dtw", counted)
    table = comparison.ProfileDistances(signatures.strokes)
    rows, others = torch.tensor([0, 1, 2]), torch.tensor([2, 1, 5])
    expected = profile_distances(signatures.strokes.take(rows), signatures.strokes.take(others))
    assert torch.equal(table.between(rows, others), expected)
    assert sum(aligned) == 8  # 1 with 2 and 2 with 1 is one pair
    assert torch.equal(table.between(others, rows), expected.T)
    assert sum(aligned) == 8
    monkeypatch.setattr(comparison, "MAX_KEPT", 7)  # of 8: too many for a table
    assert torch.equal(comparison.ProfileDistances(signatures.strokes).between(rows, others), expected)


def test_what_config_json_says_of_the_scoring(tmp_path):
    scoring = Scoring(FUSION, Consistency(0.5, -1.0), 0.5)
    scores = by_hand()
    entry = verification_entry({1: scores}, scores, "two writers", scoring)
    save_checkpoint(tmp_path, narrow_network(), SIGNATURE, verification=json.loads(json.dumps(entry)))
    assert scoring_in(read_config(tmp_path)) == scoring
    assert scoring_in({}) == Scoring()


def test_the_threshold_at_the_top_is_the_network_s_own(tmp_path):
    lower = by_hand()
    higher = replace(lower, **{kind: [part + 0.05 for part in getattr(lower, kind)] for kind in ("genuine", "skilled")})
    entry = verification_entry({1: by_hand()}, higher, "two writers")
    assert entry["threshold"] == pytest.approx(entry["operating_points"]["balanced"]["threshold"] + 0.05)
    assert calibration_in(entry) != calibration_in(entry["by_references"]["1"])


def test_writers_with_too_few_signatures_are_left_out(line):
    signatures = some_signatures(2, 3, 1)
    assert scores_of(compared(line, placed(*range(8)), signatures), 3).writers == ()
    no_forgeries = signatures.take(signatures.genuine | (signatures.writer == 1))
    assert scores_of(compared(line, placed(*range(7)), no_forgeries), 1).writers == ("writer 1",)


def by_hand() -> Scores:
    """Two writers; at 0.5 one of four skilled forgeries passes and one of four genuine signatures is refused."""
    genuine = [torch.tensor([0.9, 0.8]), torch.tensor([0.7, 0.4])]
    skilled = [torch.tensor([0.1, 0.2]), torch.tensor([0.3, 0.6])]
    random = [torch.tensor([0.05]), torch.tensor([0.15])]
    return Scores(("a", "b"), *([part.double() for part in parts] for parts in (genuine, skilled, random)))


def test_the_measures_by_hand():
    found = measures(by_hand(), {"balanced": 0.5, "strict": 0.65})
    assert (found["writers"], found["pairs"]) == (2, {"genuine": 4, "skilled": 4, "random": 2})
    assert found["eer_skilled"] == pytest.approx(0.25)
    assert found["eer_skilled_per_writer"] == pytest.approx((0 + 0.5) / 2)
    assert found["eer_random"] == pytest.approx(0)
    assert found["auc_skilled"] == pytest.approx(15 / 16)  # only 0.4 against 0.6 is the wrong way round
    assert found["operating_points"]["balanced"] == {"threshold": 0.5, "far": 0.25, "far_random": 0.0, "frr": 0.25}
    assert found["operating_points"]["strict"] == {"threshold": 0.65, "far": 0.0, "far_random": 0.0, "frr": 0.25}
    low, high = found["intervals"]["eer_skilled"]
    assert low == pytest.approx(0, abs=1e-9)  # the easy writer drawn twice
    assert high == pytest.approx(0.5)  # the hard one


def test_one_writer_has_no_random_forgeries():
    alone = Scores(("a",), [torch.tensor([0.9]).double()], [torch.tensor([0.1]).double()], [torch.empty(0).double()])
    found = measures(alone, {"balanced": 0.5})
    assert found["eer_random"] is found["auc_random"] is found["operating_points"]["balanced"]["far_random"] is None
    assert "eer_random" not in found["intervals"]


def test_scores_of_folds_are_put_together():
    both = by_hand() + by_hand()
    assert both.writers == ("a", "b", "a", "b")
    assert measures(both, {})["eer_skilled"] == pytest.approx(0.25)


def test_the_entry_of_config_json_loads_and_gives_its_thresholds(tmp_path):
    generator = torch.Generator().manual_seed(1)
    lists = [[(torch.randn(50, generator=generator).double() + at).sigmoid() for _ in range(4)] for at in (2, 0, -3)]
    scores = Scores(tuple("abcd"), *lists)
    entry = verification_entry({1: scores, 5: scores}, scores, "four invented writers")
    assert entry["operating_points"] == entry["by_references"]["1"]["operating_points"]
    points = entry["operating_points"]
    assert tuple(points) == NAMED_POINTS
    assert entry["threshold"] == points["balanced"]["threshold"]
    assert points["strict"]["far"] <= 0.01 < points["balanced"]["far"]
    assert points["lenient"]["frr"] <= 0.01 < points["balanced"]["frr"]
    assert points["lenient"]["threshold"] < points["balanced"]["threshold"] < points["strict"]["threshold"]
    save_checkpoint(tmp_path, narrow_network(), SIGNATURE, verification=json.loads(json.dumps(entry)))
    config = load_checkpoint(tmp_path).config
    assert thresholds_for(config, 1) == {name: points[name]["threshold"] for name in NAMED_POINTS}
    assert thresholds_for(config, 3) == thresholds_for(config, 1)
    assert thresholds_for({}, 1) == {}
    other = {"operating_points": {name: {"threshold": 0.1} for name in NAMED_POINTS}}
    more = {"verification": entry | {"by_references": entry["by_references"] | {"3": other}}}
    assert thresholds_for(more, 4) == dict.fromkeys(NAMED_POINTS, 0.1)
    assert thresholds_for(more, 2) == thresholds_for(config, 1)


def test_each_number_of_references_has_a_calibration_of_its_own():
    generator = torch.Generator().manual_seed(1)

    def scores(apart: float) -> Scores:
        lists = [[(torch.randn(50, generator=generator).double() + at).sigmoid()] for at in (apart, -apart, -3)]
        return Scores(("a",), *lists)

    entry = verification_entry({1: scores(0.3), 5: scores(3)}, scores(0.3), "an invented writer")
    one, five = (calibration_in(entry["by_references"][count]) for count in ("1", "5"))
    assert five.posterior(0.9) > one.posterior(0.9)


def test_a_writer_is_seen_by_a_single_image():
    signatures = some_signatures(3, 2, 1)
    config = {"training": {"signatures": {"training": {"x": [signatures.sha256[4]]}, "validation": {}, "test": {}}}}
    assert unseen_writers(signatures, seen_hashes(config)) == ("writer 0", "writer 2")
    config["training"]["signatures"]["validation"] = {"y": [signatures.sha256[0]]}
    config["training"]["signatures"]["test"] = {"z": [signatures.sha256[8]]}
    assert unseen_writers(signatures, seen_hashes(config)) == ("writer 2",)
    config["training"]["signatures"]["before"] = [signatures.sha256[7]]
    assert unseen_writers(signatures, seen_hashes(config)) == ()
    assert seen_hashes({}) == set()


# The command, on a network that has learned nothing


@pytest.fixture(scope="module")
def drawn():
    """Random dots of five writers."""
    blank = some_signatures(5, 4, 3)
    generator = torch.Generator().manual_seed(1)
    dots = (torch.rand(blank.images.shape, generator=generator) < 0.05).to(torch.uint8) * 255
    return replace(with_handwriting(blank), images=dots)


@pytest.fixture
def model(drawn, tmp_path, monkeypatch):
    """A checkpoint that was trained on the first writer and validated on the second."""
    monkeypatch.setattr(module, "load_signatures", lambda _source, _preparation: drawn)
    network = narrow_network(1)
    seen = {"training": {"writer 0": [drawn.sha256[0]]}, "validation": {"writer 1": [drawn.sha256[7]]}, "test": {}}
    seen["hashed"] = HASHED
    generator = torch.Generator().manual_seed(1)
    parts = [[torch.rand(9, generator=generator).double() for _ in range(2)] for _ in range(3)]
    scores = Scores(("a", "b"), *parts)
    scoring = Scoring(FUSION, Consistency(0.5, 1.0))
    save_checkpoint(
        tmp_path / "model",
        network,
        SIGNATURE,
        verification=verification_entry({1: scores}, scores, "nothing", scoring),
        training={"signatures": seen},
    )
    return tmp_path / "model"


def test_the_command_scores_unseen_writers_only_and_says_so(model, tmp_path, capsys):
    report = tmp_path / "report.json"
    words = ["evaluate-signatures", "--model", str(model), "--data", "some/archive.zip", "--output", str(report)]
    assert main([*words, "--figures", str(tmp_path / "figures"), "--device", "cpu"]) == 0
    told = capsys.readouterr().out
    assert "Scored 3 writers of archive.zip; 2 more were left out, as the checkpoint has seen them." in told
    assert "Leak probe of single images" in told
    entry = json.loads(report.read_text(encoding="utf-8"))["signatures"]
    assert entry["writers"] == ["writer 2", "writer 3", "writer 4"]
    assert (entry["writers_scored"], entry["writers_seen"], entry["references"]) == (3, 2, 1)
    for name in ("leak_probe", "leak_probe_scored", "pair_leak_probe"):
        assert set(entry[name]) == {"background", "ink_darkness", "stroke_width", "ink_size", "aspect_ratio"}
    assert entry["leak_probe"] != entry["leak_probe_scored"]  # all writers, and those that were scored
    assert set(entry["operating_points"]) == set(NAMED_POINTS)
    assert list(entry["by_references"]) == ["1", "3"]  # four genuine signatures leave none for five references
    assert entry["pairs"]["genuine"] == 3 * 6
    assert entry["pairs"]["skilled"] == 3 * 12
    assert entry["pairs"]["random"] == 3 * 4 * 8
    low, high = entry["intervals"]["eer_skilled"]
    assert 0 <= low <= entry["eer_skilled"] <= high <= 1
    assert list(entry["parts_alone"]) == ["network", "hinge", "profile"]
    assert len({entry["auc_skilled"], *(part["auc_skilled"] for part in entry["parts_alone"].values())}) == 4
    assert all(part["pairs"] == entry["pairs"] for part in entry["parts_alone"].values())
    assert 0 < entry["stranger_probe"] < 1
    assert "  alone, 1 " in told
    assert "Stranger probe, AUC" in told
    pictures = [path.name for path in sorted((tmp_path / "figures").iterdir())]
    assert pictures == ["signatures_det.png", "signatures_roc.png"]


def test_who_was_seen_must_be_told_by_pixels(model, capsys):
    checkpoint = load_checkpoint(model)
    training = checkpoint.config["training"]
    del training["signatures"]["hashed"]  # the hashes of files, as they once were, match no hash of pixels
    save_checkpoint(model, checkpoint.network, checkpoint.preprocessing, training=training)
    assert main(["evaluate-signatures", "--model", str(model), "--data", "x.zip", "--device", "cpu"]) == 1
    assert "names whom it has seen in a way that is no longer read" in capsys.readouterr().err


def test_writers_that_were_all_seen_are_refused(model, drawn, monkeypatch, capsys):
    first = drawn.of_writers(["writer 0", "writer 1"])
    monkeypatch.setattr(module, "load_signatures", lambda _source, _preparation: first)
    assert main(["evaluate-signatures", "--model", str(model), "--data", "x.zip", "--device", "cpu"]) == 1
    assert "trained or chosen on all 2 writers of x.zip" in capsys.readouterr().err


def test_a_source_that_is_not_there_is_refused(tmp_path, capsys):
    save_checkpoint(tmp_path / "model", narrow_network(), SIGNATURE)
    words = ["evaluate-signatures", "--model", str(tmp_path / "model"), "--data", str(tmp_path / "none.zip")]
    assert main([*words, "--device", "cpu"]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_signatures_without_forgeries_cannot_be_scored(model, drawn, monkeypatch, capsys):
    monkeypatch.setattr(module, "load_signatures", lambda _source, _preparation: drawn.take(drawn.genuine))
    assert main(["evaluate-signatures", "--model", str(model), "--data", "x.zip", "--device", "cpu"]) == 1
    assert "there is nothing to score" in capsys.readouterr().err


def test_both_figures_are_drawn(tmp_path):
    curves = [Curve("one", curves_of(by_hand()).skilled), Curve("two", curves_of(by_hand()).random)]
    signature_roc(curves, tmp_path / "roc.png")
    detection_error_tradeoff(curves, tmp_path / "det.png")
    assert (tmp_path / "roc.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "det.png").read_bytes().startswith(b"\x89PNG")

"""Signatures at an operating point: thresholds, measured errors, whose weights answer, and what is kept: nothing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from siamese.characters.recognizer import load_recognizer
from siamese.hub import checkpoint
from siamese.hub import resolve as hub
from siamese.hub.checkpoint import CONFIG_FILE, WEIGHTS_FILE, CheckpointError, save_checkpoint
from siamese.hub.errors import HubError
from siamese.imaging.decode import ImageError
from siamese.inference.encoder import Encoder
from siamese.metrics import Calibration, Consistency, ErrorCurve, OperatingPoint
from siamese.network import SiameseNetwork
from siamese.preprocessing import SIGNATURE, Preprocessing, prepare_ink
from siamese.signatures.features import concatenate, hinge_distances, profile_distances, stroke_features
from siamese.signatures.fusion import ScoreFusion
from siamese.signatures.isolation import isolate_signature
from siamese.signatures.verifier import Verifier, int8_calibration, load_verifier
from tests.networks import narrow_network
from tests.signature_weights import signature

POINTS = {
    "strict": {"threshold": 0.99, "far": 0.01, "frr": 0.4},
    "balanced": {"threshold": 0.5, "far": 0.15, "frr": 0.15},
    "lenient": {"threshold": 0.2, "far": 0.5, "frr": 0.01},
}
FUSION = ScoreFusion(0.5, 0.25, -4.0, -2.0, 1.0, 0.3, 2.0)
OF_FIVE = {name: point | {"threshold": point["threshold"] - 0.1} for name, point in POINTS.items()}
CURVE = {"threshold": [0.0, 0.2, 0.6, 1.0], "far": [1.0, 0.5, 0.1, 0.0], "frr": [0.0, 0.1, 0.3, 1.0]}


@pytest.fixture(scope="module")
def network() -> SiameseNetwork:
    network = narrow_network()
    with torch.no_grad():
        network.head.weight.mul_(160)  # so that 48 units tell pictures apart as 4,096 do
    return network


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("signatures")
    verification = {"threshold": 0.5, "operating_points": POINTS, "curve": CURVE, "measured_on": "nobody"}
    counted = {"similarity_edges": [0.0, 0.5, 1.0], "share_same": [0.1, 0.8]}
    verification["by_references"] = {"5": {"operating_points": OF_FIVE, "calibration": counted}}
    save_checkpoint(folder, network, Preprocessing(kind="signature"), "int8", verification)
    return folder


@pytest.fixture(scope="module")
def verifier(folder) -> Verifier:
    return load_verifier(str(folder), "cpu")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """Where bundled weights are looked for; nothing is there yet."""
    monkeypatch.setattr(hub, "PRETRAINED", tmp_path)
    monkeypatch.delenv("SIGNATURE_MODEL_ID", raising=False)
    return tmp_path


def test_the_point_decides(verifier):
    similar = verifier.verify([signature()], signature(0.02))
    assert similar.threshold == 0.5
    assert 0.5 < similar.score < 0.99
    assert similar.verdict == "genuine"
    strict = verifier.verify([signature()], signature(0.02), "strict")
    assert (strict.score, strict.threshold, strict.verdict) == (similar.score, 0.99, "forgery")
    assert verifier.verify([signature()], signature(0.02), "lenient").threshold == 0.2


def test_a_score_is_the_network_s_on_isolated_ink(verifier, network):
    inks = [isolate_signature(signature(phase)) for phase in (1.2, 3.0, 0.1)]
    pictures = torch.stack([prepare_ink(ink, Preprocessing(kind="signature")) for ink in inks])
    with torch.no_grad():
        logits = network(pictures[:2], pictures[2:].expand(2, -1, -1, -1))
    found = verifier.verify([signature(1.2), signature(3.0)], signature(0.1))
    assert found.similarities == pytest.approx(logits.sigmoid().tolist(), abs=0.004)  # bfloat16 where it is fast
    assert found.score == pytest.approx(logits.mean().sigmoid().item(), abs=0.004)
    assert abs(found.similarities[0] - found.similarities[1]) > 0.012  # swapped or the larger one taken, it would fail


@pytest.fixture(scope="module")
def weighed(network, tmp_path_factory) -> Verifier:
    folder = tmp_path_factory.mktemp("weighed")
    verification = {"threshold": 0.5, "operating_points": POINTS, "fusion": vars(FUSION)}
    save_checkpoint(folder, network, Preprocessing(kind="signature"), "int8", verification)
    return load_verifier(str(folder), "cpu")


def test_how_the_lines_run_counts_beside_the_network(weighed, verifier):
    inks = [isolate_signature(signature(phase)) for phase in (1.2, 3.0, 0.1)]
    alone, found = verifier.logits(inks[:2], inks[2]), weighed.logits(inks[:2], inks[2])
    known, questioned = concatenate([stroke_features(ink) for ink in inks[:2]]), stroke_features(inks[2])
    distances = hinge_distances(known, questioned)[:, 0], profile_distances(known, questioned)[:, 0]
    torch.testing.assert_close(found, 0.5 + 0.25 * alone - 4 * distances[0] - 2 * distances[1])
    parts = weighed.parts(inks[:2], inks[2])
    assert parts["network"] == pytest.approx(0.25 * (alone[0].item() - 1))
    assert parts["hinge"] == pytest.approx(-4 * (distances[0][0].item() - 0.3))
    assert parts["profile"] == pytest.approx(-2 * (distances[1][0].item() - 2))
    assert parts["references"] == 0
    assert weighed.parts(inks[:2], inks[2], 1)["hinge"] == pytest.approx(-4 * (distances[0][1].item() - 0.3))
    assert verifier.parts(inks[:2], inks[2]) == {}


def test_the_parts_add_up_to_the_score(weighed):
    roomy = replace(weighed, scoring=replace(weighed.scoring, consistency=Consistency(0.5, 3.0)))
    inks = [isolate_signature(signature(phase)) for phase in (1.2, 3.0, 0.1)]
    parts = roomy.parts(inks[:2], inks[2], 1)
    neutral = 0.5 + 0.25 * 1 - 4 * 0.3 - 2 * 2
    assert roomy.logits(inks[:2], inks[2])[1].item() == pytest.approx(neutral + sum(parts.values()), abs=1e-5)
    assert parts["references"] > 0.1


def test_the_network_alone_decides_where_nothing_is_fused(weighed, network):
    plain = Verifier(weighed.encoder, preprocessing=weighed.preprocessing)
    inks = [isolate_signature(signature(phase)) for phase in (0.0, 0.3)]
    with torch.no_grad():
        pictures = plain.pictures(inks)
        expected = network(pictures[:1], pictures[1:]).sigmoid().item()
    alone = plain.verify([signature()], signature(0.3))
    assert alone.score == pytest.approx(expected, abs=0.02)
    assert weighed.verify([signature()], signature(0.3)).score != pytest.approx(alone.score, abs=0.01)


def test_no_resolution_and_no_margin_is_seen(verifier):
    small, wide = signature(), Image.new("L", (900, 700), 255)
    wide.paste(signature().resize((600, 240), Image.Resampling.BICUBIC), (250, 80))
    same = verifier.verify([small], wide).score
    assert same > 0.97
    assert same > 0.01 + verifier.verify([small], signature(0.3)).score


def test_nothing_is_remembered(verifier):
    verifier.verify([signature()], signature(0.5))
    marks = verifier.explain(*[isolate_signature(signature(one)) for one in (0.0, 0.4)])
    assert max(one.abs().max() for one in marks) == pytest.approx(1)
    assert not verifier.encoder._cache
    assert not verifier.encoder._waiting


def test_bad_input_is_one_sentence(verifier, network):
    with pytest.raises(ValueError, match="At least one reference"):
        verifier.verify([], signature())
    with pytest.raises(ValueError, match="must be one of strict, balanced, lenient"):
        verifier.verify([signature()], signature(), "firm")
    with pytest.raises(ImageError):
        verifier.verify([Image.new("L", (50, 50), 255)], signature())
    with pytest.raises(ImageError, match="No signature was found"):
        verifier.logits([torch.zeros(20, 20)], torch.zeros(20, 20))
    plain = Verifier(Encoder(network))
    with pytest.raises(ValueError, match="carry no operating points"):
        plain.verify([signature()], signature(), "strict")
    assert plain.point_named(None) is None
    assert plain.verify([signature()], signature()).threshold == 0.5


def test_a_share_of_genuine_ones_needs_a_calibration(network):
    calibration = Calibration((0.0, 0.5, 1.0), (0.2, 0.9))
    assert Verifier(Encoder(network), default_calibration=calibration).share_genuine(0.6) == 0.9
    assert Verifier(Encoder(network)).share_genuine(0.6) is None


def test_how_sure_a_verdict_is_was_counted_with_as_many_references(verifier):
    assert verifier.calibration(4) is None
    assert verifier.calibration(5) == Calibration((0.0, 0.5, 1.0), (0.1, 0.8))
    assert verifier.share_genuine(0.6, 4) is None
    assert verifier.share_genuine(0.6, 5) == 0.8
    assert verifier.verify([signature()] * 4, signature(0.02)).reliability is None
    assert verifier.verify([signature()] * 5, signature(0.02)).reliability == 0.8


def test_what_a_checkpoint_says(verifier):
    one = verifier.error_rates(1)
    assert list(one.points) == ["strict", "balanced", "lenient"]
    assert one.points["strict"] == OperatingPoint(0.99, 0.01, 0.4)
    assert one.curve == ErrorCurve(*(tuple(CURVE[key]) for key in ("threshold", "far", "frr")))
    assert (verifier.measured_on, verifier.note) == ("nobody", None)


def test_more_references_have_thresholds_of_their_own(verifier):
    assert verifier.error_rates(4) == verifier.error_rates(1)
    assert verifier.error_rates(10) == verifier.error_rates(5) != verifier.error_rates(4)
    assert verifier.error_rates(5).curve is None
    assert [verifier.threshold("balanced", count) for count in (1, 4, 5, 10)] == [0.5, 0.5, 0.4, 0.4]
    assert verifier.verify([signature()] * 5, signature()).threshold == 0.4


def test_no_other_network_answers_where_no_signature_weights_are(elsewhere, monkeypatch):
    with pytest.raises(HubError, match="bundled weights 'signatures' are missing"):
        load_verifier(device="cpu")
    monkeypatch.setenv("SIGNATURE_MODEL_ID", str(elsewhere / "none"))
    with pytest.raises(HubError, match="There is no model at "):
        load_verifier(device="cpu")


def test_bundled_signature_weights_share_what_they_can(elsewhere, folder, monkeypatch):
    (elsewhere / "signatures").symlink_to(folder)
    characters = load_recognizer(str(folder), "cpu")
    verifier = load_verifier(base=characters, device="cpu")
    assert verifier.origin.name == "signatures (bundled)"
    assert verifier.encoder.network.embedding.weight is characters.network.embedding.weight
    assert verifier.encoder.network.head.weight is not characters.network.head.weight


@pytest.mark.parametrize("model", ["user/none/deep", "user/none", "none"])
def test_bundled_signature_weights_answer_where_others_cannot(elsewhere, folder, monkeypatch, model):
    (elsewhere / "signatures").symlink_to(folder)
    monkeypatch.setenv("SIGNATURE_MODEL_ID", model)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    verifier = load_verifier(device="cpu")
    assert verifier.origin.name == "signatures (bundled)"
    assert verifier.measured
    assert verifier.note.endswith("The bundled weights answer instead.")


def test_a_layer_that_is_in_memory_is_not_read_again(elsewhere, folder, monkeypatch):
    monkeypatch.setattr(checkpoint, "BASES", elsewhere)
    shutil.copytree(folder, elsewhere / "omniglot")
    characters = load_recognizer(str(elsewhere / "omniglot"), "cpu")
    verification = json.loads((folder / CONFIG_FILE).read_text())["verification"]
    preprocessing = Preprocessing(kind="signature")
    save_checkpoint(
        elsewhere / "signatures", characters.network, preprocessing, "shared", verification, base="omniglot"
    )
    (elsewhere / "omniglot" / WEIGHTS_FILE).unlink()
    verifier = load_verifier(base=characters, device="cpu")
    assert verifier.note is None
    assert verifier.encoder.network.embedding.weight is characters.network.embedding.weight
    with pytest.raises(CheckpointError, match=WEIGHTS_FILE):
        load_verifier(str(elsewhere / "signatures"), "cpu")


def test_malformed_points_are_said(elsewhere, folder):
    broken = elsewhere / "signatures"
    broken.mkdir()
    config = json.loads((folder / CONFIG_FILE).read_text())
    config["verification"]["operating_points"]["strict"] = None
    (broken / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"operating_points\.strict"):
        load_verifier(device="cpu")


def test_int8_is_measured_on_signatures():
    pictures = int8_calibration(SIGNATURE)
    assert pictures.shape == (24, 1, 105, 105)
    assert torch.equal(pictures, int8_calibration(SIGNATURE))
    assert (pictures.sum((1, 2, 3)) > 100).all()

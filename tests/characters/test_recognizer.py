"""Answers about images, and what is taken from a checkpoint."""

import pytest
import torch
from PIL import Image

from siamese.characters.recognizer import Recognizer, int8_calibration, load_recognizer
from siamese.hub.checkpoint import save_checkpoint
from siamese.imaging.decode import ImageError
from siamese.metrics import Calibration
from siamese.network import SiameseNetwork
from siamese.preprocessing import Preprocessing, prepare_ink
from tests.hostile import drawing, encoded
from tests.networks import NARROW, narrow_network


@pytest.fixture(scope="module")
def network() -> SiameseNetwork:
    return narrow_network()


@pytest.fixture
def recognizer(network) -> Recognizer:
    return Recognizer(network, precision=torch.float32)


def images(count: int) -> list[Image.Image]:
    return [drawing("L", (100, 100)).rotate(360 * turn / count, fillcolor=255) for turn in range(count)]


def test_similarity_is_the_networks_own(recognizer, network):
    a, b = images(5)[:2]
    with torch.no_grad():
        logit = network(recognizer.load_ink(a)[None], recognizer.load_ink(b)[None])
    assert recognizer.similarity(a, b) == pytest.approx(logit.sigmoid().item(), abs=1e-6)
    assert recognizer.similarity(a, b) == pytest.approx(recognizer.similarity(b, a), abs=1e-9)
    assert recognizer.similarity(a, a) == pytest.approx(0.982014, abs=1e-6)  # sigmoid(4), the head's bias


def test_classify_gives_one_similarity_for_each_support_image(recognizer):
    support = images(6)
    similarities = recognizer.classify(support, support[4])
    assert len(similarities) == 6
    assert max(range(6), key=similarities.__getitem__) == 4
    assert similarities == pytest.approx([recognizer.similarity(one, support[4]) for one in support], abs=1e-6)
    assert recognizer.classify([], support[0]) == []


def test_compare_embeddings_agrees_with_classify(recognizer):
    support = images(4)
    table = recognizer.compare_embeddings(recognizer.embed(support), recognizer.embed(support[:2]))
    assert table.shape == (4, 2)
    assert table[:, 1].tolist() == pytest.approx(recognizer.classify(support, support[1]), abs=1e-5)


def test_verify_takes_all_references(network):
    calibration = Calibration((0.0, 0.5, 1.0), (0.1, 0.9))
    recognizer = Recognizer(network, threshold=0.4, calibration=calibration, precision=torch.float32)
    a, b, c = images(3)
    found = recognizer.verify([a, b], c)
    assert found.similarities == pytest.approx((recognizer.similarity(a, c), recognizer.similarity(b, c)), abs=1e-6)
    assert found.threshold == 0.4
    assert found.reliability == recognizer.reliability(found.score) == pytest.approx(0.9)
    with pytest.raises(ValueError, match="At least one reference"):
        recognizer.verify([], a)


def test_a_bad_image_is_refused(recognizer):
    for good in (images(1)[0], encoded(images(1)[0], "PNG")):
        with pytest.raises(ImageError):
            recognizer.similarity(b"not an image", good)


def test_nothing_gives_nothing(recognizer):
    assert recognizer.embed([]).shape == (0, NARROW.embedding_units)


def test_explain_shows_the_ink_of_both(recognizer):
    a, b = images(5)[:2]
    for source, marks in zip((a, b), recognizer.explain(a, b), strict=True):
        assert marks.abs().max() > 0
        assert (marks[recognizer.load_ink(source)[0] == 0] == 0).all()


def test_forget_drops_what_was_remembered(recognizer):
    recognizer.embed(images(2))
    assert len(recognizer.encoder._cache) == 2
    recognizer.forget()
    assert not recognizer.encoder._cache


def test_load_recognizer_takes_all_it_needs_from_the_checkpoint(tmp_path, network):
    preprocessing = Preprocessing(extent_px=60, keep_aspect=False)
    measured = {"similarity_edges": [0.0, 0.5, 1.0], "share_same": [0.2, 0.8]}
    save_checkpoint(tmp_path, network, preprocessing, verification={"threshold": 0.7, "calibration": measured})
    loaded = load_recognizer(str(tmp_path), device="cpu")
    assert loaded.preprocessing == preprocessing
    assert loaded.threshold == 0.7
    assert loaded.calibration == Calibration((0.0, 0.5, 1.0), (0.2, 0.8))
    assert loaded.origin.folder == tmp_path
    assert loaded.device == torch.device("cpu")
    a, b = images(5)[:2]
    expected = Recognizer(network, preprocessing, precision=loaded.precision).similarity(a, b)
    assert loaded.similarity(a, b) == pytest.approx(expected, abs=1e-6)


def test_without_verification_the_threshold_is_even_chance(tmp_path, network):
    save_checkpoint(tmp_path, network, Preprocessing())
    loaded = load_recognizer(str(tmp_path), device="cpu")
    assert loaded.threshold == 0.5
    assert loaded.reliability(0.9) is None


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="'abacus'"):
        load_recognizer(None, device="abacus")


def test_pictures_prepared_for_training_give_the_same_as_files(recognizer):
    image = drawing("1", (105, 105))
    ink = torch.tensor(
        [[pixel == 0 for pixel in row] for row in torch.tensor(list(image.get_flattened_data())).view(105, 105)]
    )
    prepared = prepare_ink(ink.float(), recognizer.preprocessing)
    assert torch.equal(recognizer.embed_pictures(prepared[None]), recognizer.embed([image]))


def test_int8_is_measured_on_the_same_drawings_each_time():
    first = int8_calibration(Preprocessing())
    assert torch.equal(first, int8_calibration(Preprocessing()))
    assert not torch.equal(first, int8_calibration(Preprocessing(extent_px=60)))
    assert first.shape == (32, 1, 105, 105)
    assert 0 <= first.min() < first.max() <= 1

"""A network on a device: answers, precision, batches, the cache and threads."""

import io
import threading

import pytest
import torch
from PIL import Image

from siamese.characters import recognizer as module
from siamese.characters.recognizer import BATCH, Recognizer, load_recognizer
from siamese.hub.checkpoint import save_checkpoint
from siamese.imaging.decode import ImageError
from siamese.inference.int8 import is_fast
from siamese.metrics import Calibration
from siamese.network import SiameseNetwork
from siamese.preprocessing import Preprocessing, prepare_ink
from tests.hostile import drawing


@pytest.fixture(scope="module")
def network() -> SiameseNetwork:
    return SiameseNetwork(generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture
def recognizer(network) -> Recognizer:
    return Recognizer(network, precision=torch.float32)


def images(count: int) -> list[Image.Image]:
    return [drawing("L", (100, 100)).rotate(360 * turn / count, fillcolor=255) for turn in range(count)]


def counting(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that the tower sees from now on."""
    sizes, embed = [], recognizer._tower.embed

    def counted(pictures: torch.Tensor) -> torch.Tensor:
        sizes.append(len(pictures))
        return embed(pictures)

    monkeypatch.setattr(recognizer._tower, "embed", counted)
    return sizes


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


def test_verify_takes_the_mean_of_the_logits(recognizer):
    found = recognizer.judge(torch.tensor([1.0, 3.0]))
    assert found.score == pytest.approx(0.880797, abs=1e-6)  # sigmoid(2)
    assert found.similarities == pytest.approx((0.731059, 0.952574), abs=1e-6)
    assert found.verdict == "genuine"
    assert found.reliability is None
    assert recognizer.judge(torch.tensor([-0.1])).verdict == "forgery"
    assert recognizer.judge(torch.tensor([0.0])).verdict == "genuine"  # at the threshold counts as above
    a, b, c = images(3)
    found = recognizer.verify([a, b], c)
    assert found.similarities == pytest.approx((recognizer.similarity(a, c), recognizer.similarity(b, c)), abs=1e-6)


def test_verdict_is_unsure_where_such_scores_are_often_wrong(network):
    calibration = Calibration((0.0, 0.3, 0.6, 0.8, 1.0), (0.1, 0.3, 0.7, 0.95))
    judge = Recognizer(network, threshold=0.6, calibration=calibration, precision=torch.float32)
    assert [judge.reliability(score) for score in (0.1, 0.4, 0.7, 0.9)] == pytest.approx([0.9, 0.7, 0.7, 0.95])
    logits = torch.tensor([0.1, 0.4, 0.7, 0.9]).logit()
    assert [judge.judge(logit[None]).verdict for logit in logits] == ["forgery", "unsure", "unsure", "genuine"]


def test_no_reference_is_refused(recognizer):
    with pytest.raises(ValueError, match="At least one reference"):
        recognizer.verify([], images(1)[0])


def test_a_bad_image_is_refused(recognizer):
    with pytest.raises(ImageError):
        recognizer.similarity(b"not an image", images(1)[0])


def test_bfloat16_stays_close_to_float32(network):
    pictures = torch.stack([Recognizer(network, precision=torch.float32).load_ink(one) for one in images(8)])
    exact = Recognizer(network, precision=torch.float32).embed_pictures(pictures)
    short = Recognizer(network, precision=torch.bfloat16).embed_pictures(pictures)
    assert short.dtype == torch.float32
    assert (exact - short).abs().max() < 0.02
    assert (exact - short).abs().max() > 0  # it was another computation
    assert next(network.parameters()).dtype == torch.float32  # the network itself keeps its precision


def test_embeddings_are_made_once(recognizer, monkeypatch):
    sizes = counting(recognizer, monkeypatch)
    support = images(7)
    first = recognizer.classify(support, support[0])
    assert sizes == [7]  # the query is one of the support images
    assert recognizer.classify(support, support[0]) == first
    assert sizes == [7]
    recognizer.classify(support, drawing("L", (100, 60)))
    assert sizes == [7, 1]


def test_large_requests_go_in_chunks(recognizer, monkeypatch):
    sizes = counting(recognizer, monkeypatch)
    monkeypatch.setattr(module, "BATCH", 4)
    pictures = torch.rand(10, 1, 105, 105, generator=torch.Generator().manual_seed(0))
    embeddings = recognizer.embed_pictures(pictures)
    assert sizes == [4, 4, 2]
    with torch.no_grad():
        assert torch.allclose(embeddings, recognizer.network.embed(pictures), atol=1e-5)
    assert BATCH == 64


def test_the_cache_is_bounded_and_forgets_the_oldest(recognizer, monkeypatch):
    monkeypatch.setattr(module, "CACHED_EMBEDDINGS", 3)
    sizes = counting(recognizer, monkeypatch)
    pictures = torch.rand(5, 1, 105, 105, generator=torch.Generator().manual_seed(0))
    recognizer.embed_pictures(pictures)
    assert len(recognizer._cache) == 3
    recognizer.embed_pictures(pictures[4:])
    assert sizes == [5]
    recognizer.embed_pictures(pictures[:1])
    assert sizes == [5, 1]


def test_nothing_gives_nothing(recognizer):
    assert recognizer.embed([]).shape == (0, 4096)
    assert recognizer.embed_pictures(torch.empty(0, 1, 105, 105)).shape == (0, 4096)


def test_threads_that_wait_share_a_batch_and_each_gets_its_own(recognizer, monkeypatch):
    sizes = counting(recognizer, monkeypatch)
    pictures = torch.rand(8, 1, 105, 105, generator=torch.Generator().manual_seed(0))
    answers: dict[int, torch.Tensor] = {}

    def ask(row: int) -> None:
        answers[row] = recognizer.embed_pictures(pictures[row : row + 1])[0]

    visitors = [threading.Thread(target=ask, args=(row,)) for row in range(8)]
    with recognizer._at_work:  # the device is busy, all eight come in the meantime
        for visitor in visitors:
            visitor.start()
        while len(recognizer._waiting) < 8:
            assert all(visitor.is_alive() for visitor in visitors)
    for visitor in visitors:
        visitor.join(timeout=60)
    assert sizes == [8]
    with torch.no_grad():
        expected = recognizer.network.embed(pictures)
    for row in range(8):
        assert torch.allclose(answers[row], expected[row], atol=1e-5)


def test_a_failing_batch_reaches_the_one_who_asked_and_the_next_goes_on(recognizer, monkeypatch):
    pictures = torch.rand(2, 1, 105, 105, generator=torch.Generator().manual_seed(0))

    def fail(_pictures: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as broken:
        broken.setattr(recognizer._tower, "embed", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            recognizer.embed_pictures(pictures)
    assert recognizer.embed_pictures(pictures).shape == (2, 4096)


def test_explain_marks_ink_and_only_ink(recognizer):
    a, b = images(5)[:2]
    for source, marks in zip((a, b), recognizer.explain(a, b), strict=True):
        assert marks.shape == (105, 105)
        assert marks.isfinite().all()
        assert (marks[recognizer.load_ink(source)[0] == 0] == 0).all()
    assert max(marks.abs().max() for marks in recognizer.explain(a, b)) == pytest.approx(1)


def test_explain_of_an_image_with_itself_finds_nothing_against(recognizer):
    same = images(1)[0]
    assert all((marks >= 0).all() for marks in recognizer.explain(same, same))


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


def test_two_recognisers_hold_an_equal_layer_once(network):
    other = SiameseNetwork(generator=torch.Generator().manual_seed(1)).eval()
    unlike = Recognizer(other, precision=torch.bfloat16)
    other = SiameseNetwork(generator=torch.Generator().manual_seed(1)).eval()
    other.embedding.weight = torch.nn.Parameter(network.embedding.weight.clone())
    base = Recognizer(network, precision=torch.bfloat16)
    alone, shared = Recognizer(other, precision=torch.bfloat16), Recognizer(other, precision=torch.bfloat16, base=base)
    assert shared.network.embedding.weight is base.network.embedding.weight
    assert shared._tower.embedding.weight.data_ptr() == base._tower.embedding.weight.data_ptr()
    assert shared._tower.embedding.bias.data_ptr() != base._tower.embedding.bias.data_ptr()
    assert shared._tower.convolutions[0].weight.data_ptr() != base._tower.convolutions[0].weight.data_ptr()
    a, b = images(2)
    assert shared.similarity(a, b) == alone.similarity(a, b) != base.similarity(a, b)
    refused = Recognizer(unlike.network, precision=torch.bfloat16, base=base)
    assert refused.network.embedding.weight is not base.network.embedding.weight
    assert refused._tower.embedding.weight.data_ptr() != base._tower.embedding.weight.data_ptr()


def test_nothing_is_remembered_where_that_is_asked_for(recognizer):
    pictures = torch.stack([recognizer.load_ink(image) for image in images(2)])
    recognizer.embed_pictures(pictures, remember=False)
    recognizer.explain_pictures(pictures)
    assert not recognizer._cache
    assert not recognizer._waiting
    recognizer.embed_pictures(pictures)
    assert len(recognizer._cache) == 2


def test_a_threshold_of_ones_own(network):
    calibration = Calibration((0.0, 0.4, 0.6, 1.0), (0.1, 0.5, 0.9))
    recognizer = Recognizer(network, threshold=0.5, calibration=calibration, precision=torch.float32)
    logit = torch.tensor([2.0])  # 0.88
    assert recognizer.judge(logit).verdict == "genuine"
    refused = recognizer.judge(logit, threshold=0.95)
    assert (refused.verdict, refused.threshold) == ("unsure", 0.95)
    assert refused.reliability == pytest.approx(0.1)
    assert recognizer.judge(-logit, threshold=0.95).verdict == "forgery"


@pytest.mark.skipif(not is_fast(), reason="a processor without VNNI")
def test_whole_numbers_answer_where_the_processor_has_instructions_for_them(network):
    base = Recognizer(network)
    assert base.precision == torch.int8
    exact = Recognizer(network, precision=torch.float32)
    pictures = torch.stack([exact.load_ink(one) for one in images(4)])
    a, b = base.embed_pictures(pictures), exact.embed_pictures(pictures)
    assert 0 < (a - b).square().mean().sqrt() < 0.005
    shared = Recognizer(network, base=base)
    assert shared._tower.embedding.weight is base._tower.embedding.weight
    assert torch.equal(shared.embed_pictures(pictures), a)


def test_other_processors_answer_in_the_precision_of_training(network, monkeypatch):
    monkeypatch.setattr(module, "is_fast", lambda: False)
    assert Recognizer(network).precision == module.fastest_precision(torch.device("cpu"))


def test_a_network_that_whole_numbers_cannot_serve_is_served_without_them(network, monkeypatch):
    monkeypatch.setattr(module, "int8_tower", lambda *_: None)
    recognizer = Recognizer(network, precision=torch.int8)
    assert recognizer.precision == module.fastest_precision(torch.device("cpu"))
    assert recognizer.embed(images(1)).shape == (1, 4096)


def test_a_file_seen_before_is_not_decoded_again(recognizer, monkeypatch):
    sizes = counting(recognizer, monkeypatch)
    decoded = []
    load_ink = recognizer.load_ink
    monkeypatch.setattr(recognizer, "load_ink", lambda source: decoded.append(source) or load_ink(source))
    files = [as_png(image) for image in images(3)]
    first = recognizer.embed(files)
    assert (len(decoded), sizes) == (3, [3])
    other = drawing("L", (100, 60))
    again = recognizer.embed([files[2], other, files[0], memoryview(files[2])])
    assert (len(decoded), sizes) == (4, [3, 1])
    assert torch.equal(again[[0, 2, 3]], first[[2, 0, 2]])
    assert torch.equal(again[1:2], recognizer.embed([other]))
    with pytest.raises(ImageError):
        recognizer.embed([files[0], b"not an image"])


def as_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_visitors_share_the_threads_that_compute(recognizer):
    """OpenMP would give each visitor's thread a team of its own."""
    names = set()
    pictures = torch.rand(4, 1, 105, 105, generator=torch.Generator().manual_seed(0))
    embed, compare = recognizer._tower.embed, recognizer.network.compare_query

    def noted(function):
        def called(*arguments):
            names.add(threading.current_thread().name)
            return function(*arguments)

        return called

    with pytest.MonkeyPatch.context() as watched:
        watched.setattr(recognizer._tower, "embed", noted(embed))
        watched.setattr(recognizer.network, "compare_query", noted(compare))
        visitors = [
            threading.Thread(target=lambda: recognizer.classify(images(2), images(1)[0])),
            threading.Thread(target=recognizer.embed_pictures, args=(pictures,)),
        ]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join(timeout=60)
    assert names == {"recognizer_0"}

"""The encoder: answers, precision, batches, the cache and threads."""

import threading
from dataclasses import replace

import pytest
import torch

from siamese.inference import encoder as module
from siamese.inference.device import fastest_precision
from siamese.inference.encoder import BATCH, Encoder
from siamese.inference.int8 import Int8Encoder, Layer
from siamese.inference.worker import submit
from siamese.network import SiameseNetwork
from tests.networks import NARROW, narrow_network

UNITS = NARROW.embedding_units


@pytest.fixture(scope="module")
def network() -> SiameseNetwork:
    return narrow_network()


@pytest.fixture
def encoder(network) -> Encoder:
    return Encoder(network, precision=torch.float32)


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    return (torch.rand(count, 1, 105, 105, generator=torch.Generator().manual_seed(seed)) < 0.1).float()


def counting(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that the network sees from now on."""
    sizes, embed = [], encoder._cast.embed

    def counted(batch: torch.Tensor) -> torch.Tensor:
        sizes.append(len(batch))
        return embed(batch)

    monkeypatch.setattr(encoder._cast, "embed", counted)
    return sizes


def test_embeddings_and_logits_are_the_network_s_own(encoder, network):
    some = pictures(3)
    with torch.no_grad():
        expected = network.embed(some)
        logits = network.compare_all(expected, expected[:2])
    found = encoder.embed(some)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(encoder.compare_all(found, found[:2]), logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(encoder.compare(found, found), logits.diagonal()[:1].expand(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(encoder.compare_query(found, found[1]), logits[:, 1], rtol=0, atol=1e-5)


def test_the_network_that_was_given_stays_as_it_is():
    network = narrow_network(batch_norm=True).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    parameters = list(network.parameters())
    encoder = Encoder(network, precision=torch.bfloat16)
    encoder.embed(pictures(2))
    assert network.training
    assert all(a is b and a.requires_grad for a, b in zip(network.parameters(), parameters, strict=True))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not encoder.network.training


def test_weights_are_not_copied(network, encoder):
    assert encoder.network is not network
    assert encoder.network.embedding.weight.data_ptr() == network.embedding.weight.data_ptr()


def test_a_normalised_network_is_folded():
    network = narrow_network(batch_norm=True)
    with torch.no_grad():
        network.convolution_norms[1].running_mean.uniform_(-1, 1)
        expected = network.embed(pictures(2))
    found = Encoder(network, precision=torch.float32).embed(pictures(2))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_bfloat16_stays_close_to_float32(network):
    exact = Encoder(network, precision=torch.float32).embed(pictures(8))
    short = Encoder(network, precision=torch.bfloat16).embed(pictures(8))
    assert short.dtype == torch.float32
    assert 0 < (exact - short).abs().max() < 0.02
    assert next(network.parameters()).dtype == torch.float32


@pytest.mark.parametrize("precision", [torch.int8, torch.bfloat16])
def test_answers_stay_the_same_without_the_layer_in_float32(network, precision):
    encoder = Encoder(network, precision=precision, calibration=lambda: pictures(4))
    before = encoder.embed(pictures(3))
    encoder.release_float32()
    encoder.forget()
    after = encoder.embed(pictures(3))
    assert torch.equal(after, before)
    assert torch.equal(encoder.compare_all(after, after), network.compare_all(before, before).detach())
    assert encoder.network.embedding.weight.is_meta == (encoder.precision == torch.int8)
    assert network.embedding.weight.device.type == "cpu"


def test_embeddings_are_made_once(encoder, monkeypatch):
    sizes = counting(encoder, monkeypatch)
    some = pictures(7)
    first = encoder.embed(torch.cat([some, some[:2]]))
    assert sizes == [7]
    assert torch.equal(first[7:], first[:2])
    assert torch.equal(encoder.embed(some), first[:7])
    assert sizes == [7]
    encoder.forget()
    encoder.embed(some)
    assert sizes == [7, 7]


def test_large_requests_go_in_batches(encoder, monkeypatch):
    sizes = counting(encoder, monkeypatch)
    monkeypatch.setattr(module, "BATCH", 4)
    embeddings = encoder.embed(pictures(10))
    assert sizes == [4, 4, 2]
    with torch.no_grad():
        assert torch.allclose(embeddings, encoder.network.embed(pictures(10)), atol=1e-5)
    assert BATCH == 64


def test_the_cache_is_bounded_and_forgets_the_oldest(network, monkeypatch):
    monkeypatch.setattr(module, "CACHED_EMBEDDINGS", 3)
    encoder = Encoder(network, precision=torch.float32)
    sizes = counting(encoder, monkeypatch)
    some = pictures(5)
    encoder.embed(some)
    assert len(encoder._cache) == 3
    encoder.embed(some[4:])
    assert sizes == [5]
    encoder.embed(some[:1])
    assert sizes == [5, 1]


def test_nothing_is_remembered_where_that_is_asked_for(encoder):
    encoder.embed(pictures(2), remember=False)
    assert not encoder._cache
    assert not encoder._waiting
    encoder.embed(pictures(2))
    assert len(encoder._cache) == 2


def test_nothing_gives_nothing(encoder):
    assert encoder.embed(pictures(0)).shape == (0, UNITS)
    assert encoder.embed_sources([], lambda _: pictures(1)[0]).shape == (0, UNITS)


def test_a_file_seen_before_is_not_decoded_again(encoder, monkeypatch):
    sizes, decoded, some = counting(encoder, monkeypatch), [], pictures(4)

    def load(source: bytes | int) -> torch.Tensor:
        decoded.append(source)
        return some[source if isinstance(source, int) else source[0]]

    files = [bytes([number]) for number in range(3)]
    first = encoder.embed_sources(files, load)
    assert (len(decoded), sizes) == (3, [3])
    again = encoder.embed_sources([files[2], 3, files[0], memoryview(files[2])], load)
    assert (len(decoded), sizes) == (4, [3, 1])
    assert torch.equal(again[[0, 2, 3]], first[[2, 0, 2]])
    assert torch.equal(again[1:2], encoder.embed(some[3:]))


def test_threads_that_wait_share_a_batch_and_each_gets_its_own(encoder, monkeypatch):
    sizes, some, busy = counting(encoder, monkeypatch), pictures(8), threading.Event()
    answers: dict[int, torch.Tensor] = {}

    def ask(row: int) -> None:
        answers[row] = encoder.embed(some[row : row + 1])[0]

    blocked = submit(lambda: busy.wait(60))  # the worker is busy, all eight come in the meantime
    visitors = [threading.Thread(target=ask, args=(row,)) for row in range(8)]
    for visitor in visitors:
        visitor.start()
    while len(encoder._waiting) < 8:
        assert all(visitor.is_alive() for visitor in visitors)
    busy.set()
    for visitor in visitors:
        visitor.join(timeout=60)
    assert blocked.result()
    assert sizes == [8]
    with torch.no_grad():
        expected = encoder.network.embed(some)
    for row in range(8):
        assert torch.allclose(answers[row], expected[row], atol=1e-5)


def test_only_the_worker_computes(encoder, monkeypatch):
    names = set()

    def noted(function):
        def called(*arguments):
            names.add(threading.current_thread().name)
            return function(*arguments)

        return called

    monkeypatch.setattr(encoder._cast, "embed", noted(encoder._cast.embed))
    for method in ("compare", "compare_all", "compare_query"):
        monkeypatch.setattr(encoder.network, method, noted(getattr(encoder.network, method)))
    found = encoder.embed(pictures(2))
    encoder.compare(found, found)
    encoder.compare_all(found, found)
    encoder.compare_query(found, found[0])
    assert names == {"inference_0"}


def test_a_failing_batch_reaches_all_who_wait_and_the_next_goes_on(encoder, monkeypatch):
    """Also where the failure comes after the first answers of the batch are there."""
    some, embed = pictures(3), encoder._cast.embed

    def fail(_batch: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of memory")

    class Half(torch.Tensor):
        def float(self) -> "Half":
            return self

        def __iter__(self):
            yield torch.zeros(UNITS)
            raise RuntimeError("out of memory")

    for broken in (fail, lambda batch: embed(batch).as_subclass(Half)):
        with monkeypatch.context() as patch:
            patch.setattr(encoder._cast, "embed", broken)
            with pytest.raises(RuntimeError, match="out of memory"):
                encoder.embed(some)
        assert not encoder._waiting
    assert encoder.embed(some).shape == (3, UNITS)


def test_two_encoders_hold_an_equal_layer_once(network):
    other = narrow_network(1)
    other.embedding.weight = torch.nn.Parameter(network.embedding.weight.clone())
    base = Encoder(network, precision=torch.bfloat16)
    alone, shared = Encoder(other, precision=torch.bfloat16), Encoder(other, precision=torch.bfloat16, base=base)
    assert shared.network.embedding.weight is base.network.embedding.weight
    assert shared._cast.embedding.weight.data_ptr() == base._cast.embedding.weight.data_ptr()
    assert shared._cast.embedding.bias.data_ptr() != base._cast.embedding.bias.data_ptr()
    assert shared._cast.convolutions[0].weight.data_ptr() != base._cast.convolutions[0].weight.data_ptr()
    some = pictures(2)
    assert torch.equal(shared.embed(some), alone.embed(some))
    assert not torch.equal(shared.embed(some), base.embed(some))
    unlike = Encoder(narrow_network(2), precision=torch.bfloat16, base=base)
    assert unlike._cast.embedding.weight.data_ptr() != base._cast.embedding.weight.data_ptr()


def stand_in(network: SiameseNetwork) -> Int8Encoder:
    empty = Layer(torch.empty(0), torch.empty(0), torch.empty(0))
    return Int8Encoder((), replace(empty, weight=network.embedding.weight.detach()), ())


def test_int8_is_made_of_the_pictures_given_and_shares_the_layer(network, monkeypatch):
    asked = []

    def made(given, some, base, precision):
        asked.append((len(some), base, precision))
        return stand_in(given)

    monkeypatch.setattr(module, "int8_encoder", made)
    base = Encoder(network, precision=torch.int8, calibration=lambda: pictures(5))
    assert base.precision == torch.int8
    Encoder(network, precision=torch.int8, calibration=lambda: pictures(4), base=base)
    best = fastest_precision(torch.device("cpu"))
    assert asked == [(5, None, best), (4, base._cast, best)]


def test_a_network_that_int8_does_not_suit_is_served_without(network, monkeypatch):
    monkeypatch.setattr(module, "int8_encoder", lambda *_: None)
    for given in ({"calibration": lambda: pictures(2)}, {}):
        encoder = Encoder(network, precision=torch.int8, **given)
        assert encoder.precision == fastest_precision(torch.device("cpu"))
        assert encoder.embed(pictures(1)).shape == (1, UNITS)

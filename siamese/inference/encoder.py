"""Embeds prepared pictures: one network on one device, for characters and for signatures, for all threads."""

import copy
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

import torch
from cachetools import LRUCache
from jaxtyping import Float, Float32
from torch import Tensor, nn

from siamese.inference.device import answering_precision, fastest_precision
from siamese.inference.int8 import Int8Encoder, int8_encoder
from siamese.inference.worker import run_on_worker, submit
from siamese.inference.zero_gpu import MIN_GPU_BATCH, GpuDecorator, ZeroGpuEncoder
from siamese.network import SiameseNetwork

BATCH = 64  # pictures in one pass; larger ones are no faster on a CPU
CACHED_EMBEDDINGS = 2_048  # of 16 KiB each

Picture = Float[Tensor, "1 105 105"]
Embedding = Float32[Tensor, " units"]
Source = TypeVar("Source")  # anything that the caller can load: a path, the bytes of a file, an image


class Encoder:
    """Embeds and compares. May be used by several threads: those that wait share one batch."""

    def __init__(
        self,
        network: SiameseNetwork,
        device: torch.device | str = "cpu",
        precision: torch.dtype | None = None,
        base: "Encoder | None" = None,
        gpu: GpuDecorator | None = None,
        calibration: Callable[[], Float[Tensor, "pictures 1 105 105"]] | None = None,
    ) -> None:
        """Prepares a network for answers; the network itself stays as it is.

        Args:
            network: Its weights are shared where device and precision allow.
            device: Where it computes.
            precision: Of the convolutions and the 9216 x 4096 layer; by default what answers fastest on the device.
                torch.int8 falls back to the next best where `calibration` is missing or the network does not suit.
            base: An encoder on the same device. Where its 9216 x 4096 layer, 97 % of a network, has the same
                weights, both hold them once.
            gpu: Gives a function a GPU in a process of its own, for many new pictures at once, see `zero_gpu`.
            calibration: Makes the pictures on which the ranges of int8 are measured, such as the network is for.
        """
        self.device = torch.device(device)
        self.network = on_device(network, self.device)
        precision = precision or answering_precision(self.device)
        held = None
        if base is not None and base.device == self.device and same_layer(base.network, self.network):
            self.network.embedding.weight = base.network.embedding.weight
            held = base
        fast = None
        if precision == torch.int8:
            precision = fastest_precision(self.device)
            if calibration is not None:
                packed = held._cast if held is not None and isinstance(held._cast, Int8Encoder) else None
                fast = int8_encoder(self.network, calibration(), packed, precision)
        self.precision = torch.int8 if fast else precision
        layer = None
        if held is not None and held.precision == self.precision and isinstance(held._cast, SiameseNetwork):
            layer = held._cast.embedding.weight
        self._cast: Int8Encoder | SiameseNetwork = fast or cast_encoder(self.network, self.precision, layer)
        self._gpu = None
        if gpu is not None:
            gpu_precision = fastest_precision(self.device) if fast else self.precision
            self._gpu = ZeroGpuEncoder(cast_encoder(self.network, gpu_precision, None), gpu, gpu_precision)
        self._cache: LRUCache[bytes, Embedding] = LRUCache(CACHED_EMBEDDINGS)
        self._waiting: deque[tuple[Picture, Future[Embedding]]] = deque()
        self._lock = threading.Lock()  # held for moments, over the cache and what waits

    def embed(
        self, pictures: Float[Tensor, "images 1 105 105"], remember: bool = True
    ) -> Float32[Tensor, "images units"]:
        """Embeds prepared pictures, equal ones once.

        Args:
            pictures: Ink 1 on paper 0.
            remember: Keep the embeddings for later calls; with False nothing of the pictures outlives this one.

        Returns:
            Embeddings on the encoder's device.
        """
        if len(pictures) == 0:
            return torch.empty(0, self.network.config.embedding_units, device=self.device)
        pictures = pictures.detach().to("cpu", torch.float32)
        keys = [hashlib.blake2b(picture.numpy().tobytes(), digest_size=16).digest() for picture in pictures]
        known = self._recall(keys)
        new = {key: picture for key, picture in zip(keys, pictures, strict=True) if key not in known}
        made = self._embed_on_gpu(new) or self._embed_on_worker(new)
        if remember:
            self._remember(made)
        known |= made
        return torch.stack([known[key] for key in keys])

    def embed_sources(
        self, sources: Sequence[Source], load: Callable[[Source], Picture]
    ) -> Float32[Tensor, "images units"]:
        """Embeds images; the bytes of a file that was seen before are not decoded again.

        Args:
            sources: What `load` takes.
            load: Makes a prepared picture of a source.
        """
        if len(sources) == 0:
            return torch.empty(0, self.network.config.embedding_units, device=self.device)
        keys = [file_key(source) for source in sources]
        known = self._recall([key for key in keys if key is not None])
        new = [place for place, key in enumerate(keys) if key not in known]
        made: dict[int, Embedding] = {}
        if new:
            embeddings = self.embed(torch.stack([load(sources[place]) for place in new]))
            made = dict(zip(new, embeddings.unbind(), strict=True))
            files = [(place, keys[place]) for place in new]
            self._remember({key: made[place].clone() for place, key in files if key is not None})
        return torch.stack([known[key] if key in known else made[place] for place, key in enumerate(keys)])

    def compare(
        self, a: Float[Tensor, "*#batch units"], b: Float[Tensor, "*#batch units"]
    ) -> Float32[Tensor, "*#batch"]:
        """Logits, on the CPU, of embeddings that stand at the same place in `a` and `b`."""
        return run_on_worker(lambda: self.network.compare(a, b).cpu())

    def compare_all(self, a: Float[Tensor, "n units"], b: Float[Tensor, "m units"]) -> Float32[Tensor, "n m"]:
        """Logits, on the CPU, of each of `a` with each of `b`."""
        return run_on_worker(lambda: self.network.compare_all(a, b).cpu())

    def compare_query(
        self, support: Float[Tensor, "images units"], query: Float[Tensor, " units"]
    ) -> Float32[Tensor, " images"]:
        """Logits, on the CPU, of one embedding with each of many."""
        return run_on_worker(lambda: self.network.compare_query(support, query).cpu())

    def forget(self) -> None:
        """Drops every embedding that was remembered."""
        with self._lock:
            self._cache.clear()

    def release_float32(self) -> None:
        """Frees the 9216 x 4096 layer in float32, 151 MB, where int8 answers instead of it.

        For a process that only answers: `network.embed` cannot be called any more, and this encoder can no longer be
        the base of another one.
        """
        if self.precision == torch.int8:
            self.network.embedding.to("meta")

    def _recall(self, keys: Sequence[bytes]) -> dict[bytes, Embedding]:
        with self._lock:
            return {key: self._cache[key] for key in keys if key in self._cache}

    def _remember(self, embeddings: dict[bytes, Embedding]) -> None:
        with self._lock:
            self._cache.update(embeddings)

    def _embed_on_gpu(self, new: dict[bytes, Picture]) -> dict[bytes, Embedding] | None:
        """One pass on a GPU that is lent for it; None where the pictures are too few or none was free."""
        if self._gpu is None or len(new) < MIN_GPU_BATCH:
            return None
        embeddings = self._gpu.embed(torch.stack(list(new.values())))
        if embeddings is None:
            return None
        return {key: embedding.clone() for key, embedding in zip(new, embeddings.unbind(), strict=True)}

    def _embed_on_worker(self, new: dict[bytes, Picture]) -> dict[bytes, Embedding]:
        """On the encoder's device, in batches with what other threads bring meanwhile.

        There are as many calls of `_embed_waiting` as all threads' pictures need, so none is left waiting.
        """
        futures: dict[bytes, Future[Embedding]] = {key: Future() for key in new}
        with self._lock:
            self._waiting.extend((picture, futures[key]) for key, picture in new.items())
        for _ in range(0, len(new), BATCH):
            submit(self._embed_waiting)
        return {key: future.result() for key, future in futures.items()}

    def _embed_waiting(self) -> None:
        """One pass over what waits, whoever asked for it."""
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        if not batch:
            return
        try:
            dtype = torch.float32 if self.precision == torch.int8 else self.precision
            pictures = torch.stack([picture for picture, _ in batch]).to(self.device, dtype)
            embeddings = self._cast.embed(pictures.contiguous(memory_format=torch.channels_last)).float()
            answers = [embedding.clone() for embedding in embeddings]  # so that none keeps the whole batch in memory
        except BaseException as error:
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)


def file_key(source: Source) -> bytes | None:
    """What the embedding of a file is remembered by; None for what is no file's bytes."""
    if not isinstance(source, bytes | bytearray | memoryview):
        return None
    return hashlib.blake2b(bytes(source), digest_size=16, person=b"file").digest()


def on_device(network: SiameseNetwork, device: torch.device) -> SiameseNetwork:
    """The same function as a network of its own in evaluation mode, sharing its weights where they are on `device`."""
    if network.config.batch_norm:
        network = network.folded()
    with torch.device("meta"):  # the weights are there already, so none are drawn
        own = SiameseNetwork(network.config)
    own.load_state_dict(network.state_dict(), assign=True)
    return own.to(device).requires_grad_(False).eval()


def same_layer(a: SiameseNetwork, b: SiameseNetwork) -> bool:
    return torch.equal(a.embedding.weight, b.embedding.weight)


def cast_encoder(network: SiameseNetwork, precision: torch.dtype, layer: Tensor | None) -> SiameseNetwork:
    """The network with its heavy layers in `precision`, cast once: casting at each call would cost 40 ms.

    Args:
        network: In float32.
        precision: Of the convolutions and the 9216 x 4096 layer. What leaves that layer is float32 again, so that
            the sigmoid and the comparison lose nothing.
        layer: That layer's weight in `precision`, where another encoder holds it already.
    """
    if precision == torch.float32:
        return network
    known = {} if layer is None else {id(network.embedding.weight): layer}  # deepcopy takes it for the copy
    cast = copy.deepcopy(network, known).requires_grad_(False)
    cast.convolutions.to(precision).to(memory_format=torch.channels_last)
    cast.embedding.to(precision)

    def in_float32(_layer: nn.Module, _inputs: tuple[Tensor, ...], units: Tensor) -> Tensor:
        return units.float()

    cast.embedding.register_forward_hook(in_float32)
    return cast

"""A network on a device, ready to answer: how alike are two images, is it genuine, which of these is it?"""

import copy
import hashlib
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from siamese.imaging.decode import Source, load_ink
from siamese.inference.int8 import Int8Tower, int8_tower, is_fast
from siamese.inference.zero_gpu import MIN_GPU_BATCH, GpuDecorator, ZeroGpuEncoder, on_zero_gpu
from siamese.metrics import Calibration, calibration_in
from siamese.network import EMBEDDING_UNITS, SiameseNetwork
from siamese.preprocessing import Preprocessing

if TYPE_CHECKING:
    from siamese.hub.checkpoint import Checkpoint
    from siamese.hub.resolve import ResolvedModel

BATCH = 64  # pictures in one pass; larger ones are no faster on a CPU
CACHED_EMBEDDINGS = 2_048  # of 16 KiB each
SURE = 0.75  # share of right answers below which a verdict is "unsure"
DEFAULT_THRESHOLD = 0.5  # where a checkpoint names none: the network's own even chance

PATCH_PX, PATCH_STEP_PX = 17, 10  # what `explain` wipes out: about three widths of a pen

Verdict = Literal["genuine", "forgery", "unsure"]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Verification:
    """The answer to "is it by the same hand (or the same character)?"."""

    score: float
    """Similarity in [0, 1]: the sigmoid of the mean logit over all references."""
    threshold: float
    """The score from which on a signature counts as genuine."""
    verdict: Verdict
    reliability: float | None
    """How often a score like this one is on the right side of the threshold; None where nothing was measured."""
    similarities: tuple[float, ...]
    """The similarity of each reference to the questioned image."""


class Recognizer:
    """Answers for images of any origin. May be used by several threads: those that wait share one batch."""

    def __init__(
        self,
        network: SiameseNetwork,
        preprocessing: Preprocessing = Preprocessing(),
        threshold: float = DEFAULT_THRESHOLD,
        calibration: Calibration | None = None,
        origin: "ResolvedModel | None" = None,
        device: torch.device | str = "cpu",
        precision: torch.dtype | None = None,
        base: "Recognizer | None" = None,
        lend: GpuDecorator | None = None,
    ) -> None:
        """`precision` of the convolutions and the 9216 x 4096 layer; by default what answers fastest on the device.

        `lend` gives a function a GPU in a process of its own (see lent_gpu.py), for many new pictures at once.
        Where `base` is on the same device and its 9216 x 4096 layer has the same weights, both hold them once: they
        are 97 % of a network.
        """
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.preprocessing = preprocessing
        self.threshold = threshold
        self.calibration = calibration
        self.origin = origin
        self.precision = precision or answering_precision(self.device)
        shares = base is not None and base.device == self.device and _same_layer(base.network, self.network)
        if shares:
            self.network.embedding.weight = base.network.embedding.weight
        tower = None
        if self.precision == torch.int8:
            held = base._tower if shares and isinstance(base._tower, Int8Tower) else None
            next_best = fastest_precision(self.device)
            tower = int8_tower(self.network, preprocessing, held, next_best)
            self.precision = torch.int8 if tower else next_best
        heavy = base._tower.embedding.weight if shares and base.precision == self.precision else None
        self._tower = tower or _tower(self.network, self.precision, heavy)
        self._lent = None
        if lend is not None:
            lent_precision = fastest_precision(self.device) if tower else self.precision
            self._lent = ZeroGpuEncoder(_tower(self.network, lent_precision, None), lend, lent_precision)
        self._cache: OrderedDict[bytes, Float32[Tensor, " units"]] = OrderedDict()
        self._waiting: deque[tuple[Float[Tensor, "1 105 105"], Future]] = deque()
        self._state = threading.Lock()  # held for moments, over the cache and what waits
        self._at_work = threading.Lock()  # held while the device works

    def load_ink(self, source: Source) -> Float[Tensor, "1 105 105"]:
        """What the network is shown of an image; raises ImageError."""
        return load_ink(source, self.preprocessing)

    def embed(self, sources: Sequence[Source]) -> Float32[Tensor, "images units"]:
        """Embeddings of images, on the recogniser's device; raises ImageError.

        A file given as bytes that was seen before is not even decoded.
        """
        if len(sources) == 0:
            return torch.empty(0, EMBEDDING_UNITS, device=self.device)
        keys = [_file_key(source) for source in sources]
        with self._state:
            known = {key: self._cache[key] for key in keys if key in self._cache}
            for key in known:
                self._cache.move_to_end(key)
        new = [place for place, key in enumerate(keys) if key not in known]
        made = {}
        if new:
            pictures = torch.stack([self.load_ink(sources[place]) for place in new])
            made = dict(zip(new, self.embed_pictures(pictures).unbind(), strict=True))
            self._remember({keys[place]: made[place].clone() for place in new if keys[place] is not None})
        return torch.stack([known[key] if key in known else made[place] for place, key in enumerate(keys)])

    def embed_pictures(
        self, pictures: Float[Tensor, "images 1 105 105"], remember: bool = True
    ) -> Float32[Tensor, "images units"]:
        """Embeddings of pictures that are prepared already (ink 1 on paper 0), each made once and remembered.

        With `remember` False nothing of the pictures outlives the call.
        """
        pictures = pictures.detach().to("cpu", torch.float32)
        keys = [hashlib.blake2b(picture.numpy().tobytes(), digest_size=16).digest() for picture in pictures]
        results: dict[bytes, Float32[Tensor, " units"]] = {}
        new: dict[bytes, Float[Tensor, "1 105 105"]] = {}
        with self._state:
            for key, picture in zip(keys, pictures, strict=True):
                if key in self._cache:
                    self._cache.move_to_end(key)
                    results[key] = self._cache[key]
                else:
                    new[key] = picture
        results |= self._embed_lent(new) or self._embed_here(new)
        if remember:
            self._remember({key: results[key] for key in new})
        if not keys:
            return torch.empty(0, EMBEDDING_UNITS, device=self.device)
        return torch.stack([results[key] for key in keys])

    def compare_embeddings(self, a: Float[Tensor, "n units"], b: Float[Tensor, "m units"]) -> Float[Tensor, "n m"]:
        """Similarity in [0, 1] of each of `a` with each of `b`."""
        return _run_on_worker(lambda: self.network.compare_all(a, b).sigmoid())

    def forget(self) -> None:
        """Let go of every embedding that was remembered."""
        with self._state:
            self._cache.clear()

    def _remember(self, embeddings: dict[bytes, Float32[Tensor, " units"]]) -> None:
        with self._state:
            self._cache.update(embeddings)
            while len(self._cache) > CACHED_EMBEDDINGS:
                self._cache.popitem(last=False)

    def similarity(self, a: Source, b: Source) -> float:
        """How alike two images are, in [0, 1]; raises ImageError."""
        return self.classify([a], b)[0]

    def classify(self, support: Sequence[Source], query: Source) -> list[float]:
        """The similarity of `query` to each image of `support`, all in [0, 1]; raises ImageError."""
        logits = self._logits(support, query)
        return logits.double().sigmoid().tolist()

    def verify(self, references: Sequence[Source], questioned: Source) -> Verification:
        """Whether `questioned` is by the hand of all `references`; raises ImageError, ValueError for no reference."""
        if len(references) == 0:
            raise ValueError("At least one reference is needed to verify against.")
        return self.judge(self._logits(references, questioned))

    def judge(
        self,
        logits: Float[Tensor, " references"],
        threshold: float | None = None,
        calibration: Calibration | None = None,
    ) -> Verification:
        """The verdict on the logits of a questioned image with each of its references.

        `threshold` in (0, 1) and `calibration` are by default the recogniser's own.
        """
        threshold = self.threshold if threshold is None else threshold
        logits = logits.double()
        score = logits.mean().sigmoid().item()
        reliability = self.reliability(score, threshold, calibration)
        if reliability is not None and reliability < SURE:
            verdict = "unsure"
        else:
            verdict = "genuine" if score >= threshold else "forgery"
        return Verification(score, threshold, verdict, reliability, tuple(logits.sigmoid().tolist()))

    def reliability(
        self, similarity: float, threshold: float | None = None, calibration: Calibration | None = None
    ) -> float | None:
        """How often a score like this one is on the right side of the threshold, half of all pairs being the same.

        A share in [0, 1], None where there is no calibration. `threshold` and `calibration` are by default the
        recogniser's own.
        """
        calibration = calibration or self.calibration
        if calibration is None:
            return None
        threshold = self.threshold if threshold is None else threshold
        share_same = calibration.posterior(similarity)
        return share_same if similarity >= threshold else 1 - share_same

    def explain(self, a: Source, b: Source) -> tuple[Float[Tensor, "105 105"], Float[Tensor, "105 105"]]:
        """Which ink speaks for sameness (above 0) and which against it (below 0), in `load_ink` of `a` and of `b`.

        By occlusion (Zeiler and Fergus, 2014, section 4.2): what the logit loses when a patch of ink is wiped out,
        averaged over the patches that hold a pixel, times the ink there. The largest magnitude over both is 1.
        Raises ImageError.
        """
        return self.explain_pictures(torch.stack([self.load_ink(a), self.load_ink(b)]))

    def explain_pictures(
        self, pictures: Float[Tensor, "2 1 105 105"]
    ) -> tuple[Float[Tensor, "105 105"], Float[Tensor, "105 105"]]:
        """`explain` for two pictures that are prepared already; nothing of them is remembered."""
        patches = [_patches(picture) for picture in pictures]
        wiped = [picture * ~patch[:, None] for picture, patch in zip(pictures, patches, strict=True)]
        embeddings = self.embed_pictures(torch.cat([pictures, *wiped]), remember=False)
        whole, *parts = embeddings.split([2, *map(len, patches)])
        maps = []
        with torch.inference_mode():
            logit = self.network.compare(whole[:1], whole[1:])
            for picture, patch, part, other in zip(pictures, patches, parts, whole.flip(0), strict=True):
                loss = (logit - self.network.compare(part, other.expand_as(part))).cpu()
                mean = (patch * loss[:, None, None]).sum(0) / patch.sum(0).clamp(min=1)
                maps.append(mean * picture[0])
        largest = max(one.abs().max() for one in maps).clamp(min=1e-12)
        return maps[0] / largest, maps[1] / largest

    def _logits(self, support: Sequence[Source], query: Source) -> Float[Tensor, " images"]:
        query_first = self.embed([query, *support])
        return _run_on_worker(lambda: self.network.compare_query(query_first[1:], query_first[0]).cpu())

    def _embed_lent(
        self, new: dict[bytes, Float[Tensor, "1 105 105"]]
    ) -> dict[bytes, Float32[Tensor, " units"]] | None:
        """All of them in one pass on a lent GPU; None where they are too few for one or none was lent."""
        if self._lent is None or len(new) < MIN_GPU_BATCH:
            return None
        embeddings = self._lent.embed(torch.stack(list(new.values())))
        if embeddings is None:
            return None
        return {key: embedding.clone() for key, embedding in zip(new, embeddings.unbind(), strict=True)}

    def _embed_here(self, new: dict[bytes, Float[Tensor, "1 105 105"]]) -> dict[bytes, Float32[Tensor, " units"]]:
        """On the recogniser's device, in one batch with what other threads brought meanwhile."""
        futures = {key: Future() for key in new}
        with self._state:
            self._waiting.extend((picture, futures[key]) for key, picture in new.items())
        while not all(future.done() for future in futures.values()):
            with self._at_work:
                _run_on_worker(self._embed_waiting)
        return {key: future.result() for key, future in futures.items()}

    def _embed_waiting(self) -> None:
        """One pass over what waits, whoever asked for it."""
        with self._state:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        if not batch:
            return
        try:
            shown = torch.float32 if self.precision == torch.int8 else self.precision
            pictures = torch.stack([picture for picture, _ in batch]).to(self.device, shown)
            embeddings = self._tower.embed(pictures.contiguous(memory_format=torch.channels_last)).float()
            for (_, future), embedding in zip(batch, embeddings.unbind(), strict=True):
                future.set_result(embedding.clone())  # of its own, so that none keeps the whole batch in memory
        except BaseException as error:
            for _, future in batch:
                future.set_exception(error)


@cache
def _worker() -> ThreadPoolExecutor:
    """The one thread that computes for all recognisers and all visitors.

    OpenMP keeps a team of threads for each thread that ever asked it for parallel work: N visitors would own N teams.
    """
    return ThreadPoolExecutor(1, thread_name_prefix="recognizer")


os.register_at_fork(after_in_child=_worker.cache_clear)  # threads do not survive a fork


def _run_on_worker(task: Callable[[], Answer]) -> Answer:
    def answer() -> Answer:
        with torch.inference_mode():
            return task()

    return _worker().submit(answer).result()


def _file_key(source: Source) -> bytes | None:
    """What the embedding of a file is remembered by; None for what is no file's bytes."""
    if not isinstance(source, bytes | bytearray | memoryview):
        return None
    return hashlib.blake2b(bytes(source), digest_size=16, person=b"file").digest()


def load_recognizer(
    source: str | None = None, device: torch.device | str | None = None, lend: GpuDecorator | None = None
) -> Recognizer:
    """A recogniser with the weights of `source`: a folder, "user/name@revision", or None for the bundled ones.

    `device` is a name such as "cpu" or "cuda"; by default CUDA where it is present. `lend` as in `Recognizer`.
    Raises CheckpointError or HubError for weights that cannot be used, ValueError for a device that is not there.
    """
    from siamese.hub.resolve import load_model

    chosen = usable_device(device)
    return recognizer_of(*load_model(source), chosen, lend)


def recognizer_of(
    origin: "ResolvedModel",
    checkpoint: "Checkpoint",
    device: torch.device | str = "cpu",
    lend: GpuDecorator | None = None,
    base: Recognizer | None = None,
) -> Recognizer:
    """A recogniser with weights that were read already; `lend` and `base` as in `Recognizer`."""
    verification = checkpoint.config.get("verification") or {}
    return Recognizer(
        checkpoint.network,
        checkpoint.preprocessing,
        threshold=verification.get("threshold", DEFAULT_THRESHOLD),
        calibration=calibration_in(verification),
        origin=origin,
        device=device,
        base=base,
        lend=lend,
    )


def _patches(picture: Float[Tensor, "1 105 105"]) -> Bool[Tensor, "patches 105 105"]:
    """Squares of PATCH_PX, PATCH_STEP_PX apart, that hold ink: about 50 of them."""
    size = picture.shape[-1]
    places = torch.arange(size)
    bands = (places - torch.arange(0, size + PATCH_STEP_PX, PATCH_STEP_PX)[:, None]).abs() <= PATCH_PX // 2
    patches = (bands[:, None, :, None] & bands[None, :, None, :]).flatten(0, 1)
    return patches[(patches * picture).sum((1, 2)) > 1]


def usable_device(device: torch.device | str | None) -> torch.device:
    """The device named, or the best there is; raises ValueError for one that this machine has not."""
    if device is None:  # on ZeroGPU CUDA only seems to be there
        return torch.device("cuda" if torch.cuda.is_available() and not on_zero_gpu() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()  # "meta" allocates, but holds no numbers
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"The device {str(device)!r} is not there; use 'cpu' or leave it out.") from error
    return chosen


def fastest_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it: measured 5 to 9 times as fast as float32 with AMX or AVX512-BF16.

    Elsewhere it is emulated and slower, so float32.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float32
    if device.type == "cpu":
        checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        gains = any(getattr(torch.cpu, check, bool)() for check in checks)
        return torch.bfloat16 if gains else torch.float32
    return torch.float32


def answering_precision(device: torch.device) -> torch.dtype:
    """int8 on processors that have instructions for it: twice as fast as bfloat16, 7 to 9 times as float32.

    4 of 4,000 validation trials were answered in another way than in float32; with bfloat16 it is 2.
    """
    return torch.int8 if device.type == "cpu" and is_fast() else fastest_precision(device)


def _same_layer(a: SiameseNetwork, b: SiameseNetwork) -> bool:
    return torch.equal(a.embedding.weight, b.embedding.weight)


def _tower(network: SiameseNetwork, precision: torch.dtype, heavy: nn.Parameter | None) -> SiameseNetwork:
    """The network with its heavy layers in `precision` once and for all: casting at each call costs 40 ms.

    What leaves the 9216 x 4096 layer is float32 again, so that the sigmoid and the comparison lose nothing.
    `heavy` is that layer's weight in `precision`, where another tower holds it already.
    """
    if precision == torch.float32:
        return network
    known = {} if heavy is None else {id(network.embedding.weight): heavy}  # taken as its own copy
    tower = copy.deepcopy(network, known).requires_grad_(False)
    tower.convolutions.to(precision, memory_format=torch.channels_last)
    tower.embedding.to(precision)

    def in_float32(_layer: nn.Module, _inputs: tuple[Tensor, ...], units: Tensor) -> Tensor:
        return units.float()

    tower.embedding.register_forward_hook(in_float32)
    return tower

"""The actions that the benchmark measures, by side and name. Each side runs in its own process.

So what one side does to its process, such as keeping freed memory while it trains, speeds up or slows down no other,
and each has a peak of memory of its own.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import count, cycle
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from siamese.characters.drawings import Drawings
from siamese.characters.synthetic import synthetic_drawings
from siamese.inference import int8
from siamese.network import EMBEDDING_UNITS, FLAT_UNITS, SiameseNetwork
from siamese.preprocessing import Preprocessing
from train.errors import CommandError

MULTIPLY_ADDS = {  # of one embedding: output pixels x output channels x weights of each
    "10x10": 96 * 96 * 64 * 100,
    "7x7": 42 * 42 * 128 * 64 * 49,
    "4x4": 18 * 18 * 128 * 128 * 16,
    "last 4x4": 6 * 6 * 256 * 128 * 16,
    "9216 x 4096": FLAT_UNITS * EMBEDDING_UNITS,
}
EMBEDDING_OPERATIONS = 2 * sum(MULTIPLY_ADDS.values())
TRAINING_OPERATIONS = 3 * EMBEDDING_OPERATIONS - 2 * MULTIPLY_ADDS["10x10"]  # pictures need no gradient

BATCHES = (1, 20, 64, 256)
WAYS = 20
COPY_BYTES = 1 << 28
SHORT_S = 0.25  # what takes less is run once more, untimed, before it is measured: its process may have slept
SEED = 7

Actions = dict[str, Callable[[], object]]


def drawings_for(side: str) -> Drawings:
    """Returns synthetic drawings; the measured times do not depend on what they show."""
    return synthetic_drawings(*((2, 24, 3) if side == "serving" else (3, 16, 4)), seed=SEED)


def distinct_pictures(number: int) -> Float[Tensor, "number 1 105 105"]:
    """Returns prepared pictures that all differ, as the recogniser embeds equal ones only once."""
    prepared = drawings_for("serving").prepared(Preprocessing()).float().div_(255)
    pictures = prepared.repeat(-(-number // len(prepared)), 1, 1, 1)[:number].clone()
    pictures[:, 0, 0, 0] = torch.arange(number) / (8 * number)
    return pictures


def machine(device: torch.device, sizes: tuple[int, ...] = ()) -> Actions:
    """Returns the actions that measure the limits of the machine: matrix products and a copy."""
    actions: Actions = {}
    for size in sizes or ((8192, 16384) if device.type == "cuda" else (2048, 4096)):
        for name, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
            actions[f"{name} {size}"] = partial(torch.matmul, a, b)
        if device.type == "cpu" and int8.is_fast():
            actions[f"int8 {size}"] = int8_product(size)
    source = torch.zeros(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    actions["copy"] = lambda: target.copy_(source)
    return actions


def int8_product(size: int) -> Callable[[], object]:
    weight = torch.randint(-127, 128, (size, size), dtype=torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(weight, [size, size])
    rows, scale, zero = torch.randint(256, (size, size), dtype=torch.uint8), torch.ones(size), torch.zeros(size).long()
    return lambda: torch.ops.onednn.qlinear_pointwise(
        rows, 1.0, 0, packed, scale, zero, None, 1.0, 0, torch.float32, "none", [], ""
    )


def serving(device: torch.device, model: str | None, batches: tuple[int, ...] = BATCHES) -> Actions:
    """Returns the actions of the recogniser as the app uses it."""
    from siamese.characters.recognizer import load_recognizer
    from train.plain_reference import png_files

    recognizer = load_recognizer(model, device)
    pictures = distinct_pictures(max(*batches, WAYS + 1))
    files = png_files(drawings_for("serving"))
    queries = cycle(files[WAYS:])
    support = recognizer.embed_pictures(pictures[:WAYS], remember=False)
    recognizer.embed(files[:WAYS])

    def cold() -> None:
        embeddings = recognizer.embed_pictures(pictures[: WAYS + 1], remember=False)
        recognizer.compare_embeddings(embeddings[WAYS:], embeddings[:WAYS])

    def warm() -> None:
        query = recognizer.embed_pictures(pictures[WAYS : WAYS + 1], remember=False)
        recognizer.compare_embeddings(query, support)

    def cold_files() -> None:
        recognizer.forget()
        warm_files()

    def warm_files() -> None:
        recognizer.classify(files[:WAYS], next(queries))

    embed: Actions = {f"embed {n}": partial(recognizer.embed_pictures, pictures[:n], remember=False) for n in batches}
    trials: Actions = {"cold": cold, "warm": warm, "cold from files": cold_files, "warm from files": warm_files}
    return embed | trials


def loading(device: torch.device, model: str | None) -> Actions:
    """Returns the action that loads a recogniser from a folder."""
    from siamese.characters.recognizer import load_recognizer

    return {"load": lambda: load_recognizer(model, device)}


def training(device: torch.device) -> Actions:
    """Returns the actions of training with the recipe "modern": a step, its data and its distortions."""
    from train import loop
    from train.augment import dihedral, distort
    from train.characters.config import CharacterConfig
    from train.characters.objective import step_loss
    from train.characters.sampling import alphabet_sampler
    from train.config import load_recipe
    from train.seeding import step_generator

    loop.reuse_large_buffers()
    config = load_recipe(CharacterConfig, "modern")
    drawings = drawings_for("training")
    prepared = drawings.prepared(config.preprocessing).to(device)
    sampler = alphabet_sampler(drawings)
    network = SiameseNetwork(config.network, config.initialisation, torch.Generator().manual_seed(SEED))
    network.to(device).to(memory_format=torch.channels_last).train()
    optimizer = loop.make_optimizer(network, config)
    steps = count()

    def step() -> None:
        number = next(steps)
        loop.take_step(network, optimizer, step_loss(network, prepared, sampler, config, number), config, number)

    def data() -> Tensor:
        batch = sampler.sample(config.characters, config.drawers, config.views, step_generator(0, 0))
        return dihedral(loop.pictures(prepared, batch.rows), batch.view)

    images = data()
    return {
        "step": step,
        "data": data,
        "distortions": lambda: distort(images, config.distortions, step_generator(0, 0)),
    }


def plain(device: torch.device, batches: tuple[int, ...] = BATCHES) -> Actions:
    """Returns the same actions with `train.plain_reference`."""
    from train import plain_reference

    torch.manual_seed(SEED)
    network = plain_reference.PlainNetwork().to(device).eval()
    pictures = distinct_pictures(max(*batches, WAYS + 1)).to(device)
    files = plain_reference.png_files(drawings_for("serving"))[: WAYS + 1]
    learning = plain_reference.PlainTraining(plain_reference.PlainNetwork(), drawings_for("training"), device)

    def embed(number: int) -> None:
        with torch.no_grad():
            network.tower(pictures[:number])

    embeddings: Actions = {f"embed {n}": partial(embed, n) for n in batches}
    return embeddings | {
        "trial": lambda: plain_reference.trial(network, pictures[:WAYS], pictures[WAYS]),
        "trial from files": lambda: plain_reference.trial_of_files(network, files[:WAYS], files[WAYS], device),
        "step": learning.step,
        "data": learning.load,
    }


def reading(device: torch.device) -> Actions:
    """Returns the actions that find the ink in decoded images, as the library does."""
    from siamese.imaging.decode import decode_image, read_ink
    from siamese.signatures.isolation import read_signature
    from train.reading_cases import reading_cases

    read = {"character": read_ink, "signature": read_signature}
    return {name: partial(read[subject], decode_image(data)) for name, (subject, data) in reading_cases().items()}


def plain_reading(device: torch.device) -> Actions:
    """Returns the same actions with `train.plain_reference`."""
    from siamese.imaging.decode import decode_image
    from train.plain_reference import isolate
    from train.reading_cases import reading_cases

    return {name: partial(isolate, decode_image(data)) for name, (_, data) in reading_cases().items()}


SIDES: dict[str, Callable[..., Actions]] = {
    "machine": machine,
    "serving": serving,
    "loading": loading,
    "training": training,
    "plain": plain,
    "reading": reading,
    "plain reading": plain_reading,
}


class Side:
    """A process that runs the actions of a side one at a time on request."""

    def __init__(self, name: str, device: torch.device, *settings: object) -> None:
        """Starts the process; `settings` go to the function of SIDES."""
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, name, device, settings), daemon=True)
        self._process.start()
        theirs.close()
        self.names: list[str] = self._answer()

    def seconds(self, action: str) -> float:
        """Runs an action and returns its duration in seconds."""
        self._pipe.send(action)
        return self._answer()

    def peak_bytes(self) -> int:
        """Returns the peak memory of the process or, on a GPU, of its tensors."""
        self._pipe.send(None)
        return self._answer()

    def __enter__(self) -> "Side":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _answer(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError as error:
            raise CommandError("A process of the benchmark ended before its time; is there enough memory?") from error
        if isinstance(answer, Exception):
            raise answer
        return answer


def serve(pipe: Connection, name: str, device: torch.device, settings: tuple) -> None:
    """Runs in the process of a side: answers requests until the pipe is closed."""
    try:
        actions = SIDES[name](device, *settings)
        pipe.send(list(actions))
        last: dict[str, float] = {}
        while True:
            asked = pipe.recv()
            if asked is None:
                pipe.send(peak_bytes(device))
                continue
            if last.get(asked, 0.0) < SHORT_S:
                timed(actions[asked], device)
            last[asked] = timed(actions[asked], device)
            pipe.send(last[asked])
    except EOFError:
        return
    except Exception as error:
        pipe.send(CommandError(f"{name}: {error}"))


def timed(action: Callable[[], object], device: torch.device) -> float:
    """Runs an action and returns its duration in seconds, including the work of the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes elsewhere

"""A GPU that is lent for one call at a time, as on Hugging Face's ZeroGPU, and what answers where none is free.

There CUDA seems to be present everywhere, but it is real only inside a function that `spaces.GPU` decorates, which
runs in a process forked for it. So the recogniser lives on the CPU, cache, comparisons and all, and lends out one
thing: the tower's pass over many pictures. Being refused costs nothing but that attempt.
"""

import contextvars
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from siamese.network import SiameseNetwork

DEVICE = "cuda"  # what the lent GPU is called in the process that has it
MIN_GPU_BATCH = 32  # pictures; the CPU is done with fewer before a GPU is allotted, and no visitor's quota is spent
PATIENCE_S = 5.0  # for a free GPU, a fresh process and CUDA's start in it; `spaces` itself would queue for a minute

GpuDecorator = Callable[[Callable], Callable]

log = logging.getLogger("one_look")


def on_zero_gpu() -> bool:
    """Whether this is a ZeroGPU Space, told by what the package `spaces` looks at itself."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in {"1", "t", "true"}


class ZeroGpuEncoder:
    """Embeds pictures where a GPU is lent for it. May be used by several threads, one call at a time."""

    def __init__(
        self, tower: SiameseNetwork, lend: GpuDecorator, precision: torch.dtype, patience_s: float = PATIENCE_S
    ):
        """`lend` makes of a function one that runs in a process forked for the call, with pickled numpy arrays."""

        def embed_there(pictures: Float32[np.ndarray, "images 1 105 105"]) -> Float32[np.ndarray, "images units"]:
            tower.to(DEVICE)  # in the fork alone, which keeps it for its next call
            with torch.inference_mode():
                batch = torch.from_numpy(pictures).to(DEVICE)
                batch = batch.to(precision, memory_format=torch.channels_last)  # there: a fork has no threads to do it
                return tower.embed(batch).float().cpu().numpy()

        self._embed_there = lend(embed_there)
        self._patience_s = patience_s
        self._call: Future | None = None
        self._state = threading.Lock()

    def embed(self, pictures: Float32[Tensor, "images 1 105 105"]) -> Float32[Tensor, "images units"] | None:
        """Embeddings on the CPU; None where no GPU was lent in time, for whatever reason: the CPU must answer."""
        with self._state:
            if self._call is not None and not self._call.done():
                return None  # an earlier call still waits for a GPU
            call = self._call = Future()

        def ask() -> None:
            try:
                call.set_result(self._embed_there(pictures.numpy()))
            except BaseException as error:  # a quota that is spent, no GPU free, a process that was killed
                call.set_exception(error)

        context = contextvars.copy_context()  # holds the visitor's request, by which `spaces` counts the quota
        threading.Thread(target=context.run, args=(ask,), name="lent-gpu", daemon=True).start()
        try:
            return torch.from_numpy(call.result(self._patience_s))
        except TimeoutError:
            log.info("No GPU came within %g s: the CPU answers.", self._patience_s)
        except Exception as error:
            log.info("No GPU was lent, the CPU answers: %s", error)
        return None

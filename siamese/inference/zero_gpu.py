"""Hugging Face's ZeroGPU: a GPU that is lent for one call at a time.

On ZeroGPU CUDA is reported everywhere, but is usable only inside a function that `spaces.GPU` decorates, which runs in
a forked process. So the encoder stays on the CPU with its cache and comparisons, and only passes over many pictures go
to the GPU. If no GPU is free, the CPU answers.
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

DEVICE = "cuda"  # name of the GPU in the process that has it
MIN_GPU_BATCH = 32  # pictures; with fewer the CPU is faster than the allocation of a GPU
TIMEOUT_S = 5.0  # for a free GPU, a fresh process and CUDA's start in it; `spaces` itself would queue for a minute

GpuDecorator = Callable[[Callable], Callable]

log = logging.getLogger("one_look")


def on_zero_gpu() -> bool:
    """Whether this is a ZeroGPU Space, by the variable that the package `spaces` reads."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in {"1", "t", "true"}


class ZeroGpuEncoder:
    """Embeds pictures on a GPU that is lent for the call. May be used by several threads, one call at a time."""

    def __init__(
        self, network: SiameseNetwork, gpu: GpuDecorator, precision: torch.dtype, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Prepares the function that runs on the GPU.

        Args:
            network: Cast to `precision`, on the CPU.
            gpu: Decorates a function so that it runs on a GPU, in a forked process, with pickled numpy arrays.
            precision: Precision of the pictures.
            timeout_s: How long a call may wait for a GPU.
        """

        def embed_there(pictures: Float32[np.ndarray, "images 1 105 105"]) -> Float32[np.ndarray, "images units"]:
            network.to(DEVICE)  # in the fork alone, which keeps it for its next call
            with torch.inference_mode():
                batch = torch.from_numpy(pictures).to(DEVICE)
                batch = batch.to(precision, memory_format=torch.channels_last)  # there: a fork has no threads to do it
                return network.embed(batch).float().cpu().numpy()

        self._embed_there = gpu(embed_there)
        self._timeout_s = timeout_s
        self._call: Future | None = None
        self._lock = threading.Lock()

    def embed(self, pictures: Float32[Tensor, "images 1 105 105"]) -> Float32[Tensor, "images units"] | None:
        """Embeds pictures and returns the embeddings on the CPU; None if no GPU was available in time."""
        with self._lock:
            if self._call is not None and not self._call.done():
                return None  # an earlier call still waits for a GPU
            call = self._call = Future()

        def ask() -> None:
            try:
                call.set_result(self._embed_there(pictures.numpy()))
            except BaseException as error:  # a quota that is spent, no GPU free, a process that was killed
                call.set_exception(error)

        context = contextvars.copy_context()  # holds the visitor's request, by which `spaces` counts the quota
        threading.Thread(target=context.run, args=(ask,), name="zero-gpu", daemon=True).start()
        try:
            return torch.from_numpy(call.result(self._timeout_s))
        except TimeoutError:
            log.info("No GPU came within %g s: the CPU answers.", self._timeout_s)
        except Exception as error:
            log.info("No GPU was lent, the CPU answers: %s", error)
        return None

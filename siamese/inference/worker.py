"""The one thread that computes with PyTorch for all encoders and all visitors.

OpenMP keeps a team of threads for each thread that ever asked it for parallel work: with N visitors' threads there
would be N teams, that compete for the same cores and never end.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

NAME = "inference"

Answer = TypeVar("Answer")


@cache
def _worker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix=NAME)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_worker.cache_clear)  # threads do not survive a fork


def submit(task: Callable[[], Answer]) -> "Future[Answer]":
    """Has the worker call `task`, without gradients, after what it was given before."""

    def call() -> Answer:
        with torch.inference_mode():
            return task()

    return _worker().submit(call)


def run_on_worker(task: Callable[[], Answer]) -> Answer:
    """What `task` returns or raises, called by the worker without gradients; called at once by the worker itself."""
    if threading.current_thread().name.startswith(f"{NAME}_"):
        return task()
    return submit(task).result()

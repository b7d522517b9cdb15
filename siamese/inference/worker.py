"""The one thread that computes with PyTorch for all encoders and all visitors.

OpenMP keeps a team of threads for each thread that has ever started parallel work: N visitors' threads would leave N
teams, which compete for the same cores and never end.
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
    """Queues a task for the worker, which calls it without gradients."""

    def call() -> Answer:
        with torch.inference_mode():
            return task()

    return _worker().submit(call)


def run_on_worker(task: Callable[[], Answer]) -> Answer:
    """Runs a task on the worker without gradients and returns its result; on the worker itself it runs at once."""
    if threading.current_thread().name.startswith(f"{NAME}_"):
        return task()
    return submit(task).result()

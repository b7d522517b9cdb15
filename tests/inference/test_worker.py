"""The one thread that computes."""

import importlib
import os
import threading

import pytest
import torch

from siamese.inference import worker
from siamese.inference.worker import run_on_worker, submit


def test_tasks_run_one_after_the_other_in_one_thread_without_gradients():
    def seen(number: int) -> tuple[int, str, bool]:
        return number, threading.current_thread().name, torch.is_inference_mode_enabled()

    answers = [future.result() for future in [submit(lambda n=n: seen(n)) for n in range(5)]]
    assert [number for number, _, _ in answers] == list(range(5))
    assert {name for _, name, _ in answers} == {"inference_0"}
    assert all(without_gradients for _, _, without_gradients in answers)


def test_what_a_task_raises_reaches_the_one_who_asked():
    with pytest.raises(ZeroDivisionError):
        run_on_worker(lambda: 1 // 0)
    assert run_on_worker(lambda: 7) == 7


def test_the_worker_does_not_wait_for_itself():
    assert run_on_worker(lambda: run_on_worker(lambda: 5)) == 5


def test_systems_without_fork_do_without(monkeypatch):
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    try:
        assert importlib.reload(worker).run_on_worker(lambda: 3) == 3
    finally:
        monkeypatch.undo()
        importlib.reload(worker)

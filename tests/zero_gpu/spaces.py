"""A stand-in for the package `spaces` of a ZeroGPU Space: this folder on PYTHONPATH, SPACES_ZERO_GPU=true.

Like the real one it lets CUDA seem to be there, runs what `GPU` decorates in a forked process, and passes arguments
and results pickled. Unlike it, it needs no GPU: in the fork "cuda" is the CPU, and anywhere else it is an error.
A line of JSON for each call goes to the file ZERO_LOG; the file ZERO_TROUBLE, where it exists, names what goes wrong.
"""

import json
import multiprocessing
import os
import sys
import time
from functools import wraps
from pathlib import Path

if "torch" in sys.modules or "gradio" in sys.modules:
    raise RuntimeError("`spaces` must be imported before torch and gradio.")

import torch

is_forked = False
plain_to = torch.Tensor.to


def to(tensor, *args, **kwargs):
    """`Tensor.to`, by which modules move their parameters, too."""
    named = kwargs.get("device", args[0] if args else None)
    if isinstance(named, str | torch.device) and torch.device(named).type == "cuda":
        if not is_forked:
            raise RuntimeError("Low-level CUDA init reached outside of a decorated function.")
        args, kwargs = args[1:] if args else args, kwargs | {"device": torch.device("cpu")}
        args, kwargs = (), kwargs | {"dtype": next((one for one in args if isinstance(one, torch.dtype)), tensor.dtype)}
    return plain_to(tensor, *args, **kwargs)


torch.Tensor.to = to
torch.cuda.is_available = lambda: True
torch.cuda.get_device_capability = lambda *_: (9, 0)


def trouble() -> str:
    path = Path(os.environ.get("ZERO_TROUBLE", "/nowhere"))
    return path.read_text().strip() if path.is_file() else ""


def visitor() -> str | None:
    """The token by which the quota would be counted."""
    from gradio.context import LocalContext

    request = LocalContext.request.get(None)
    return None if request is None else request.headers.get("x-ip-token")


def GPU(task=None, *, duration=60):
    if task is None:
        return lambda task: GPU(task, duration=duration)

    @wraps(task)
    def on_gpu(*args):
        with Path(os.environ["ZERO_LOG"]).open("a") as log:
            entry = {"images": len(args[0]), "duration": duration, "visitor": visitor(), "trouble": trouble()}
            log.write(json.dumps(entry) + "\n")
        if trouble() == "quota":
            import gradio as gr

            raise gr.Error("You have exceeded your free ZeroGPU quota.", print_exception=False)
        if trouble() == "queue":
            time.sleep(60)
        fork = multiprocessing.get_context("fork")
        asked, answered = fork.SimpleQueue(), fork.SimpleQueue()

        def work() -> None:
            global is_forked
            is_forked = True
            torch.set_num_threads(1)  # threads of the parent's pool are not here
            if trouble() == "dies":
                os._exit(9)
            answered.put(task(*asked.get()))

        process = fork.Process(target=work, daemon=True)
        process.start()
        asked.put(args)
        while not answered._reader.poll(0.05):
            if not process.is_alive() and not answered._reader.poll(0.2):
                raise RuntimeError("GPU task aborted")
        result = answered.get()
        process.join()
        return result

    return on_gpu

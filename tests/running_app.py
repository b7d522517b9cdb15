"""The app as a visitor meets it: a process of its own, with the bundled weights where there are any."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent
PATIENCE_S = 240  # a machine that is busy with something else may take long to import torch


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def untrained_weights(folder: Path) -> Path:
    """A checkpoint of weights drawn from one seed, for a copy of the project without the bundled ones."""
    import torch

    from siamese.checkpoint import save_checkpoint
    from siamese.network import SiameseNetwork
    from siamese.preparation import Preparation

    network = SiameseNetwork(generator=torch.Generator().manual_seed(0))
    save_checkpoint(folder, network, Preparation(), storage="int8")
    return folder


@contextmanager
def running_app(**environment: str) -> Iterator[str]:
    """The address of an app that was started for this block and is stopped behind it."""
    with tempfile.TemporaryDirectory(prefix="one-look-app-") as scratch:
        port = free_port()
        settings = {
            **os.environ,
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_TEMP_DIR": f"{scratch}/uploads",
            "HF_HUB_OFFLINE": "1",
            "OMNIGLOT_DATA": "invented",
            **environment,
        }
        if "MODEL_ID" not in settings and not (ROOT / "siamese/pretrained/omniglot/model.safetensors").exists():
            settings["MODEL_ID"] = str(untrained_weights(Path(scratch) / "weights"))
        log_path = Path(scratch) / "log"
        with log_path.open("w") as log:
            process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=settings, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        try:
            wait_until_it_answers(process, address, log_path)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_it_answers(process: subprocess.Popen, address: str, log_path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"The app ended with status {process.returncode}:\n{log_path.read_text()[-3000:]}")
        try:
            if httpx.get(f"{address}/config", timeout=10).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"The app did not answer within {PATIENCE_S} s:\n{log_path.read_text()[-3000:]}")

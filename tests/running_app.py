"""The app as a visitor meets it: a process of its own, with the bundled weights where there are any."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent
PATIENCE_S = 600  # a machine that is busy with something else may take long to import torch


@dataclass(frozen=True)
class App:
    """A process that serves."""

    process: subprocess.Popen
    address: str
    folder: Path
    """All that it writes lies here: its log, uploads/ and tmp/."""

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def untrained_weights(folder: Path) -> Path:
    """A checkpoint of weights drawn from one seed, for a copy of the project without the bundled ones."""
    import torch

    from siamese.hub.checkpoint import save_checkpoint
    from siamese.network import SiameseNetwork
    from siamese.preprocessing import Preprocessing

    network = SiameseNetwork(generator=torch.Generator().manual_seed(0))
    save_checkpoint(folder, network, Preprocessing(), storage="int8")
    return folder


@contextmanager
def running_app(**environment: str) -> Iterator[str]:
    """The address of an app that was started for this block and is stopped behind it."""
    with tempfile.TemporaryDirectory(prefix="one-look-app-") as folder:
        app = start_app(Path(folder), **environment)
        try:
            yield app.address
        finally:
            stop_app(app)


def start_app(folder: Path, program: Sequence[str] = ("app.py",), **environment: str) -> App:
    """An app that answers already; `program` is what Python is given. The same folder again is a restart."""
    (folder / "tmp").mkdir(exist_ok=True)
    port = free_port()
    settings = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": f"{folder}/uploads",
        "TMPDIR": f"{folder}/tmp",
        "HF_HUB_OFFLINE": "1",
        **environment,
    }
    if "MODEL_ID" not in settings and not (ROOT / "siamese/pretrained/omniglot/model.safetensors").exists():
        settings["MODEL_ID"] = str(untrained_weights(folder / "weights"))
    with (folder / "log").open("a") as log:
        process = subprocess.Popen([sys.executable, *program], cwd=ROOT, env=settings, stdout=log, stderr=log)
    app = App(process, f"http://127.0.0.1:{port}", folder)
    try:
        wait_until_it_answers(app)
    except BaseException:
        stop_app(app)
        raise
    return app


def stop_app(app: App) -> None:
    app.process.terminate()
    try:
        app.process.wait(20)
    except subprocess.TimeoutExpired:
        app.process.kill()
        app.process.wait()


def wait_until_it_answers(app: App) -> None:
    deadline = time.monotonic() + PATIENCE_S
    with httpx.Client(timeout=10, trust_env=False) as client:
        while time.monotonic() < deadline:
            if app.process.poll() is not None:
                raise RuntimeError(f"The app ended with status {app.process.returncode}:\n{app.log()[-3000:]}")
            try:
                if client.get(f"{app.address}/config").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
    raise RuntimeError(f"The app did not answer within {PATIENCE_S} s:\n{app.log()[-3000:]}")

"""Measures the speed of serving and training, next to the limits of the machine and a plain implementation.

Every round runs each action of each side once, so that other load on the machine affects all alike. A figure is the
median over the rounds with its quartiles, a ratio the median of the ratios of the rounds.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from siamese.hub.resolve import resolve_model
from siamese.inference.device import usable_device
from train.characters.config import CharacterConfig
from train.config import load_recipe
from train.errors import CommandError
from train.measured import BATCHES, COPY_BYTES, EMBEDDING_OPERATIONS, TRAINING_OPERATIONS, WAYS, Side
from train.plain_reference import PAIRS_A_STEP

ROUNDS, STARTS, READING_ROUNDS = 9, 3, 30
LISTENING_PATIENCE_S = 120
APP = Path(__file__).resolve().parent.parent / "app.py"

Times = dict[tuple[str, str], list[float]]


@dataclass(frozen=True)
class Figure:
    """A median over the rounds, with quartiles."""

    median: float
    low: float
    high: float

    def as_dict(self) -> dict:
        return {"median": self.median, "low": self.low, "high": self.high}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Measure serving and training beside the machine's ceilings and the plain way."
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--model", metavar="DIR_OR_REPO", help="weights to serve (default: the bundled ones)")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write the figures as JSON")
    parser.add_argument("--reading", action="store_true", help="measure only how long it takes to find ink in an image")
    parser.add_argument("--quick", action="store_true", help="one round and small batches: to see that it works")


def run(arguments: argparse.Namespace) -> int:
    """Measures and prints the table; returns the exit status."""
    device = usable_device(arguments.device)
    if arguments.reading:
        report = measure_reading(device, arguments.quick)
    else:
        folder = resolve_model(arguments.model, strict=arguments.model is not None).folder
        report = measure(device, str(folder), arguments.quick)
    print(table(report))
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(device: torch.device, model: str, quick: bool = False) -> dict:
    """Measures everything and returns the report; `model` is the folder of a checkpoint."""
    batches = BATCHES[:3] if quick else BATCHES
    settings = {
        "machine": ((512,),) if quick else (),
        "serving": (model, batches),
        "loading": (model,),
        "training": (),
        "plain": (batches,),
        "reading": (),
        "plain reading": (),
    }
    with ExitStack() as running:
        sides = {name: running.enter_context(Side(name, device, *chosen)) for name, chosen in settings.items()}
        times = interleaved(sides, 1 if quick else ROUNDS)
        peaks = {name: side.peak_bytes() for name, side in sides.items()}
    starts = [listening(model) for _ in range(1 if quick else STARTS)] if APP.exists() else []
    return report(times, peaks, starts, device)


def measure_reading(device: torch.device, quick: bool = False) -> dict:
    """Measures how long it takes to find the ink in decoded images and returns a report with those rows alone."""
    with ExitStack() as running:
        sides = {name: running.enter_context(Side(name, device)) for name in ("reading", "plain reading")}
        times = interleaved(sides, 1 if quick else READING_ROUNDS)
    return {"machine": machine(device), "ceilings": {}, "rows": reading_rows(times)}


def interleaved(sides: dict[str, Side], rounds: int) -> Times:
    """Runs every action of every side once in each round and returns the durations in seconds."""
    plan = [(name, action) for name, side in sides.items() for action in side.names]
    plan.sort(key=lambda entry: entry[1])  # what is compared runs one after the other
    times: Times = {entry: [] for entry in plan}
    with tqdm(total=rounds * len(plan), desc="measuring", unit="run") as bar:
        for _ in range(rounds):
            for name, action in plan:
                bar.set_postfix_str(f"{name}: {action}", refresh=False)
                times[name, action].append(sides[name].seconds(action))
                bar.update()
    return times


def report(times: Times, peaks: dict[str, int], starts: list[tuple[float, int]], device: torch.device) -> dict:
    """Computes the report.

    Args:
        times: Durations in seconds by side and action.
        peaks: Peak memory in bytes by side.
        starts: For each start of the app, the seconds until its socket listened and the resident bytes then.
        device: Where it was measured.
    """
    ceilings = {
        f"{kind}_operations_per_s": max(
            2 * int(action.split()[1]) ** 3 / statistics.median(seconds)
            for (side, action), seconds in times.items()
            if side == "machine" and action.startswith(kind)
        )
        for kind in ("float32", "bfloat16", "int8")
        if any(side == "machine" and action.startswith(kind) for side, action in times)
    }
    ceilings["copy_bytes_per_s"] = 2 * COPY_BYTES / statistics.median(times["machine", "copy"])  # read and written
    peak = ceilings["bfloat16_operations_per_s"]
    batches = sorted(int(action.split()[1]) for side, action in times if side == "serving" and "embed" in action)
    rows = [
        row(times, f"embeddings, batch {n}", "images/s", ("serving", f"embed {n}"), ("plain", f"embed {n}"), per_s(n))
        | {"ceiling_share": EMBEDDING_OPERATIONS * n / statistics.median(times["serving", f"embed {n}"]) / peak}
        for n in batches
    ]
    trial, files = ("plain", "trial"), ("plain", "trial from files")
    rows += [
        row(times, f"{WAYS}-way trial, cold", "ms", ("serving", "cold"), trial, milliseconds),
        row(times, f"{WAYS}-way trial, warm", "ms", ("serving", "warm"), trial, milliseconds),
        row(times, f"{WAYS}-way trial from files, cold", "ms", ("serving", "cold from files"), files, milliseconds),
        row(times, f"{WAYS}-way trial from files, warm", "ms", ("serving", "warm from files"), files, milliseconds),
    ]
    images = load_recipe(CharacterConfig, "modern").images_a_step
    pairs = images * (images - 1) // 2
    step, plain_step = ("training", "step"), ("plain", "step")
    learnt = row(times, "training", "images/s", step, plain_step, per_s(images), per_s(2 * PAIRS_A_STEP))
    training_share = TRAINING_OPERATIONS * images / statistics.median(times[step]) / peak
    rows += [
        learnt | {"ceiling_share": training_share},
        row(times, "training", "pairs/s", step, plain_step, per_s(pairs), per_s(PAIRS_A_STEP)),
        row(
            times,
            "training, 100,000 images",
            "s",
            step,
            plain_step,
            lambda s: s * 1e5 / images,
            lambda s: s * 1e5 / (2 * PAIRS_A_STEP),
        ),
        share(times, "data", "training", "plain"),
        share(times, "distortions", "training"),
    ]
    rows += reading_rows(times)
    rows.append(row(times, "loading the model", "s", ("loading", "load"), None, float))
    if starts:
        to_listening, resident = (figure([start[part] for start in starts]).as_dict() for part in (0, 1))
        rows.append(bare("start to listening", "s", to_listening))
        rows.append(bare("the app's memory then", "bytes", resident))
    rows += [bare(f"peak memory, {name}", "bytes", figure([peaks[name]]).as_dict()) for name in peaks]
    by_name = {(entry["name"], entry["unit"]): entry for entry in rows}
    ratio = {
        "serving_batch64": by_name["embeddings, batch 64", "images/s"]["ratio"],
        "warm_20way": by_name[f"{WAYS}-way trial, warm", "ms"]["ratio"],
        "cold_20way": by_name[f"{WAYS}-way trial, cold", "ms"]["ratio"],
        "training_images": learnt["ratio"],
        "training_pairs": by_name["training", "pairs/s"]["ratio"],
    }
    return {
        "machine": machine(device),
        "ceilings": ceilings,
        "rows": rows,
        "ratios": ratio,
        "ceiling_share": {
            "serving_batch64": by_name["embeddings, batch 64", "images/s"]["ceiling_share"],
            "training": training_share,
        },
        "peak_memory_bytes": peaks["serving"],
        "model_load_s": statistics.median(times["loading", "load"]),
        "start_to_listening_s": statistics.median([start[0] for start in starts]) if starts else None,
    }


def reading_rows(times: Times) -> list[dict]:
    """Returns a row for each image whose ink was found."""
    return [
        row(times, f"finding ink, {name}", "ms", ("reading", name), ("plain reading", name), milliseconds)
        for side, name in times
        if side == "reading"
    ]


def row(
    times: Times,
    name: str,
    unit: str,
    ours: tuple[str, str],
    plain: tuple[str, str] | None,
    convert: Callable[[float], float],
    convert_plain: Callable[[float], float] | None = None,
) -> dict:
    """Returns a row of the report with our figure and the plain one; in a ratio above 1, ours is the better."""
    made = bare(name, unit, figure(map(convert, times[ours])).as_dict())
    if plain is None:
        return made
    convert_plain = convert_plain or convert
    made["plain"] = figure(map(convert_plain, times[plain])).as_dict()
    ratios = [convert(a) / convert_plain(b) for a, b in zip(times[ours], times[plain], strict=True)]
    made["ratio"] = statistics.median(ratios if unit.endswith("/s") else [1 / each for each in ratios])
    return made


def share(times: Times, part: str, ours: str, plain: str | None = None) -> dict:
    """Returns a row with the share of a training step that one part takes."""
    made = bare(f"{part}, share of a training step", "", shares(times, part, ours))
    return made if plain is None else made | {"plain": shares(times, part, plain)}


def shares(times: Times, part: str, side: str) -> dict:
    return figure(a / b for a, b in zip(times[side, part], times[side, "step"], strict=True)).as_dict()


def bare(name: str, unit: str, ours: dict) -> dict:
    return {"name": name, "unit": unit, "ours": ours}


def figure(values: Iterable[float | int]) -> Figure:
    ordered = sorted(map(float, values))
    low, _, high = statistics.quantiles(ordered, method="inclusive") if len(ordered) > 1 else ordered * 3
    return Figure(statistics.median(ordered), low, high)


def per_s(number: int) -> Callable[[float], float]:
    return lambda seconds: number / seconds


def milliseconds(seconds: float) -> float:
    return 1000 * seconds


def machine(device: torch.device) -> dict:
    """Describes the machine."""
    cpuinfo = Path("/proc/cpuinfo")
    named = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    checks = {"amx": "_is_amx_tile_supported", "avx512_bf16": "_is_avx512_bf16_supported", "vnni": "_is_vnni_supported"}
    return {
        "processor": named[0].split(":")[1].strip() if named else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": [name for name, check in checks.items() if getattr(torch.cpu, check, bool)()],
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def listening(model: str) -> tuple[float, int]:
    """Starts the app; returns the seconds until its socket accepts connections, and its resident bytes then."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    settings = {"GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1", "MODEL_ID": model}
    start = time.perf_counter()
    app = subprocess.Popen(
        [sys.executable, str(APP)],
        cwd=APP.parent,
        env=os.environ | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while time.perf_counter() - start < LISTENING_PATIENCE_S:
            if app.poll() is not None:
                raise CommandError(f"The app ended with status {app.returncode} instead of listening.")
            with socket.socket() as caller:
                if caller.connect_ex(("127.0.0.1", port)) == 0:
                    return time.perf_counter() - start, resident_bytes(app.pid)
            time.sleep(0.02)
        raise CommandError(f"The app did not listen within {LISTENING_PATIENCE_S} s.")
    finally:
        app.terminate()
        try:
            app.wait(20)
        except subprocess.TimeoutExpired:
            app.kill()
            app.wait()


def resident_bytes(process: int) -> int:
    """Returns the resident memory of a process; 0 if the system does not report it."""
    status = Path(f"/proc/{process}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


def table(report: dict) -> str:
    """Formats the report in Markdown."""
    ceilings = ", ".join(f"{name.split('_')[0]} {value / 1e9:,.0f} G/s" for name, value in report["ceilings"].items())
    machine = f"{report['machine']['processor']}, {report['machine']['threads']} threads"
    lines = [f"{machine}; ceilings: {ceilings}" if ceilings else machine]
    lines += ["", "| | ours | plain | ratio | of bfloat16 ceiling |", "| --- | ---: | ---: | ---: | ---: |"]
    for entry in report["rows"]:
        unit, scale = ("MB", 1e-6) if entry["unit"] == "bytes" else (entry["unit"], 1.0)
        cells = [f"{entry['name']} ({unit})" if unit else entry["name"]]
        cells += [words(entry[side], scale) if side in entry else "" for side in ("ours", "plain")]
        cells.append(f"{entry['ratio']:.{1 if entry['ratio'] >= 1 else 2}f}" if "ratio" in entry else "")
        cells.append(f"{entry['ceiling_share']:.0%}" if "ceiling_share" in entry else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def words(value: dict, scale: float) -> str:
    """Formats a median with its quartiles to three significant digits."""
    median, low, high = (f"{scale * value[part]:,.{digits(scale * value['median'])}f}" for part in value)
    return median if low == high else f"{median} ({low} to {high})"


def digits(value: float) -> int:
    return 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3

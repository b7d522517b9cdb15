"""How many visitors the app serves: `python tests/benchmarks/load.py`, about three minutes.

Starts the app and lets 1, 10 and 50 visitors play rounds and compare pictures, half of them through the page, half
through Gradio's queue as programs do, each as fast as the answers come; then 50 who look before they click; then more
than the app lets in at one moment, who must be told so while the others are served. Each answer is compared with the
one that a single visitor gets. Ends with status 1 and a sentence where one is wrong or missing.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tests.benchmarks.visitors import (
    Entry,
    Question,
    answers_alone,
    comparison_of_program,
    comparison_on_page,
    crowd,
    endless,
    keep_asking,
    questions,
    round_of_program,
    round_on_page,
)
from tests.running_app import start_app, stop_app

QUESTIONS = 160  # of each kind of visitor; their embeddings are more than the app remembers
LOOKING_S = 3.0
CROWD = 160  # more than 48 calls of pages and 64 + 4 of programs at one moment

# The app, which in addition writes down how many pictures went through the network at once.
COUNTING = """
import os, runpy, sys
from siamese.inference.int8 import Int8Encoder
from siamese.network import SiameseNetwork
sizes = open(os.environ["BATCH_SIZES"], "a", buffering=1)
def counting(embed):
    def counted(self, images):
        sizes.write(f"{len(images)}\\n")
        return embed(self, images)
    return counted
for tower in (SiameseNetwork, Int8Encoder):  # whichever answers on this processor
    tower.embed = counting(tower.embed)
runpy.run_path("app.py", run_name="__main__")
"""


@dataclass(frozen=True)
class Row:
    """What visitors of one kind waited for, in one phase."""

    what: str
    answered: int
    per_second: float
    p50_ms: float
    p95_ms: float
    busy: int
    wrong: int
    failed: int


@dataclass(frozen=True)
class Phase:
    name: str
    visitors: int
    seconds: float
    rows: list[Row]
    pictures_at_once_mean: float
    pictures_at_once_most: int
    notes: list[str]


def rows_of(entries: Sequence[Entry], seconds: float) -> list[Row]:
    """One row for each thing that was done, and one for all of them; waiting times are those of answers."""
    kinds = {entry.what: [one for one in entries if one.what == entry.what] for entry in entries}
    rows = []
    for what, of_kind in [*sorted(kinds.items()), ("all", list(entries))]:
        waited = [entry.waited_s * 1000 for entry in of_kind if entry.outcome in {"answered", "wrong"}]
        p50, p95 = np.percentile(waited, [50, 95]) if waited else (float("nan"),) * 2
        counts = {name: sum(one.outcome == name for one in of_kind) for name in ("answered", "busy", "wrong", "failed")}
        per_second = counts["answered"] / seconds
        rows.append(Row(what, per_second=per_second, p50_ms=float(p50), p95_ms=float(p95), **counts))
    return rows


async def phase(
    name: str, address: str, asked: list[Question], visitors: int, seconds: float, looks_for_s: float, sizes: Path
) -> Phase:
    supplies = (
        endless(asked, (round_on_page, comparison_on_page)),
        endless(asked, (round_of_program, comparison_of_program)),
    )
    if visitors == 1:
        supplies = (endless(asked),)
    seen = sizes.stat().st_size
    ledger: list[Entry] = []
    async with crowd(address, visitors) as there:
        for visitor in there:
            visitor.looks_for_s = looks_for_s
        begun = time.monotonic()
        until = begun + seconds
        await asyncio.gather(
            *(keep_asking(one, supplies[i % len(supplies)], until, ledger) for i, one in enumerate(there))
        )
        took = time.monotonic() - begun
    with sizes.open() as file:
        file.seek(seen)
        batches = [int(line) for line in file.read().split()]
    notes = sorted({f"{entry.what}: {entry.note}" for entry in ledger if entry.outcome in {"wrong", "failed"}})
    mean = sum(batches) / max(1, len(batches))
    return Phase(name, visitors, took, rows_of(ledger, took), mean, max(batches, default=0), notes[:20])


def table(phases: Sequence[Phase]) -> str:
    lines = [f"{'':34}{'answered':>9}{'per s':>8}{'p50 ms':>9}{'p95 ms':>9}{'busy':>7}{'wrong':>7}{'failed':>7}"]
    for one in phases:
        at_once = f"{one.pictures_at_once_mean:.0f} pictures at once, {one.pictures_at_once_most} at most"
        lines.append(f"{one.name} ({one.seconds:.0f} s, {at_once})")
        lines += [
            f"    {row.what:30}{row.answered:9}{row.per_second:8.1f}{row.p50_ms:9.0f}{row.p95_ms:9.0f}"
            f"{row.busy:7}{row.wrong:7}{row.failed:7}"
            for row in one.rows
        ]
        lines += [f"    {note}" for note in one.notes]
    return "\n".join(lines)


def complaint(phases: Sequence[Phase]) -> str | None:
    """What is not as promised, in one sentence; the last phase is the one with more visitors than are let in."""
    for one in phases:
        total = one.rows[-1]
        if total.wrong or total.failed:
            return f"{one.name}: {total.wrong} answers were wrong and {total.failed} were missing: {one.notes[:3]}"
        if not total.answered:
            return f"{one.name}: nobody was answered."
        if one is not phases[-1] and total.busy:
            return f"{one.name}: {total.busy} visitors were sent away, where all should have been let in."
    for kind in ("page", "program"):
        rows = [row for row in phases[-1].rows if row.what.startswith(kind)]
        if not sum(row.busy for row in rows) or not sum(row.answered for row in rows):
            return f"{phases[-1].name}: no {kind} was told to wait, or none was served."
    return None


async def measure(address: str, sizes: Path, seconds: float, count: int) -> list[Phase]:
    asked = await answers_alone(address, questions(count, count))
    plan = [(f"{n} at once", n, 0.0) for n in (1, 10, 50)]
    plan += [(f"50 who look for {LOOKING_S:.0f} s", 50, LOOKING_S), (f"{CROWD} at once", CROWD, 0.0)]
    return [await phase(name, address, asked, n, seconds, looks, sizes) for name, n, looks in plan]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20, help="length of each of the five phases")
    parser.add_argument("--questions", type=int, default=QUESTIONS, help="rounds and comparisons of each kind")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="one-look-load-") as folder:
        sizes = Path(folder) / "sizes"
        sizes.touch()
        app = start_app(Path(folder), ("-c", COUNTING), BATCH_SIZES=str(sizes), CHALLENGE_SECRET="")
        try:
            phases = asyncio.run(measure(app.address, sizes, chosen.seconds, chosen.questions))
        finally:
            stop_app(app)
    print(table(phases))
    if chosen.output:
        machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
        chosen.output.write_text(json.dumps({**machine, "phases": [asdict(one) for one in phases]}, indent=1))
    if found := complaint(phases):
        sys.exit(found)


if __name__ == "__main__":
    main()

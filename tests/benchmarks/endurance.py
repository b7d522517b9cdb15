"""Half an hour of visitors who do everything: `python tests/benchmarks/endurance.py`.

Starts the app and lets a few visitors play, compare, verify, sort into classes and call the endpoints of programs, one
action in twenty being hostile: bombs, damaged files, archives that lead out, nonsense, uploads that break off, results
that nobody fetches. Each answer must be the one that a single visitor got; the app's memory must stay flat after the
warm-up; no file may be left behind. Then the app is killed in the middle of it and started again, and must serve.
Ends with status 1 and a sentence for each promise that was not kept.
"""

import argparse
import asyncio
import itertools
import json
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
from hostile import hostile_archives, hostile_files, mutations
from running_app import App, start_app, stop_app
from visitors import (
    Entry,
    Failure,
    Question,
    Step,
    Visitor,
    answers_alone,
    bytes_of,
    crowd,
    data_url,
    pairs,
    play,
    questions,
)

log = logging.getLogger("endurance")

ALLOWED_MB = 50
MAX_HOSTILE_BYTES = 3 << 20  # larger ones cost more to send than to refuse; tests/test_hostile.py has them

# The app, whose uploads live shorter than half an hour, so that it can be seen that they go.
SHORT_LIVES = """
import os, runpy, sys
sys.path.insert(0, os.getcwd())
from siamese.ui import limits
limits.UPLOAD_LIFE_S, limits.SWEEP_S = float(os.environ["UPLOAD_LIFE_S"]), float(os.environ["SWEEP_S"])
runpy.run_path("app.py", run_name="__main__")
"""


@dataclass(frozen=True)
class Plan:
    minutes: float = 30.0
    warm_up_minutes: float = 8.0
    """By then every kind of question has been asked often enough that its buffers are there: the rare ones take six."""
    visitors: int = 6
    looks_for_s: float = 2.0
    ordinary: int = 160
    """Questions of each kind of visitor, apart from what is asked more rarely."""
    hostile: int = 200
    upload_life_s: float = 60.0
    sweep_s: float = 15.0
    allowed_mb: float = ALLOWED_MB
    hostile_share: float = 0.05
    seed: int = 0


@dataclass(frozen=True)
class Sample:
    """What the app holds at one moment."""

    at_s: float
    memory_mb: float | None
    open_files: int | None


@dataclass(frozen=True)
class Report:
    plan: Plan
    seconds: float
    done: dict[str, int]
    outcomes: dict[str, int]
    notes: list[str]
    samples: list[Sample]
    range_mb: float | None
    slope_mb_per_hour: float | None
    files_at_most: int
    files_left: list[str]
    files_left_by_the_kill: list[str]
    cut_off_by_the_kill: int
    complaints: list[str]


# ---- what is done beside playing and comparing


async def guess_on_page(visitor: Visitor, asked: dict, step: Step) -> None:
    """A candidate itself as the drawing: it must be the one that is guessed."""

    def found(answer: dict) -> str | None:
        is_best = answer["similarities"][asked["place"]] == max(answer["similarities"])
        return None if is_best else f"the guess is {answer['network_choice']} instead of {asked['place']}"

    sheet = await step("page: sheet", visitor.ask("challenge_sheet", {"n_way": 10, "source": "invented"}), dealt)
    await visitor.look()
    drawing = {"round": sheet["round"], "drawing": sheet["candidates"][asked["place"]]}
    await step("page: guess", visitor.ask("challenge_guess", drawing), found)


def dealt(sheet: dict) -> str | None:
    return None if len(set(sheet["candidates"])) == 10 else "the sheet has not ten different candidates"


async def verification_on_page(visitor: Visitor, asked: dict, step: Step) -> None:
    await step("page: verify", visitor.ask("verify_signature", asked))


async def explanation_on_page(visitor: Visitor, asked: dict, step: Step) -> None:
    await step("page: explain", visitor.ask("explain_pictures", asked))


async def classes_on_page(visitor: Visitor, asked: dict, step: Step) -> None:
    """Sorted, taken away as a ZIP, and brought back."""
    await step("page: sort into classes", visitor.ask("own_rank", asked))
    taken = await step("page: export classes", visitor.ask("own_export", {"classes": asked["classes"]}))
    await step("page: import classes", visitor.ask("own_import", {"zip": taken["zip"]}))


async def verification_of_program(visitor: Visitor, asked: dict, step: Step) -> None:
    async def brought() -> dict:
        files = [await visitor.upload(bytes_of(url)) for url in asked["pictures"]]
        return await visitor.call("verify", [files[:-1], files[-1], *asked["more"]])

    await step("program: verify", brought())


async def opening(visitor: Visitor, asked: str, step: Step) -> None:
    async def opened() -> int:
        return (await visitor.http.get(asked)).status_code

    await step("page: open", opened())


def rare(seed: int, settings_of_verify: list[Any]) -> list[Question]:
    """What visitors do more rarely than playing and comparing."""
    chance = random.Random(seed)
    made = [Question(opening, path) for path in ("/", "/config", "/theme.css", "/gradio_api/info")]
    made += [Question(guess_on_page, {"place": chance.randrange(10)}) for _ in range(8)]
    for one, two, three in zip(*[pairs(24, chance.randrange(2**32))] * 3, strict=True):
        made.append(Question(verification_on_page, {"references": [one["a"], one["b"]], "questioned": two["a"]}))
        signed = {"pictures": [one["a"], two["a"], three["a"]], "more": settings_of_verify}
        made.append(Question(verification_of_program, signed))
        classes = [{"name": f"class {i}", "picture": url} for i, url in enumerate((one["b"], two["b"], three["b"]))]
        small = [one for one in classes if len(one["picture"]) < 200_000]
        if len(small) > 1:
            made.append(Question(classes_on_page, {"classes": small, "query": three["a"]}))
    made += [Question(explanation_on_page, pair) for pair in pairs(4, chance.randrange(2**32))]
    return made


# ---- what is done to do harm


async def hostile_picture(visitor: Visitor, asked: dict, step: Step) -> None:
    await step("hostile: picture", visitor.ask(asked["function"], asked["payload"]))


async def hostile_upload(visitor: Visitor, asked: bytes, step: Step) -> None:
    async def brought() -> dict:
        file = await visitor.upload(asked, "../../../a.png")
        return await visitor.call("compare", [file, file])

    await step("hostile: upload", brought())


async def hostile_request(visitor: Visitor, asked: tuple[str, str, dict], step: Step) -> None:
    """Any request by method, path and what httpx takes; what counts is the status."""

    async def status() -> int:
        method, path, given = asked
        response = await visitor.http.request(method, path, **given)
        if response.status_code >= 500:
            raise Failure(f"{method} {path[:60]}: status {response.status_code}")
        return response.status_code

    await step("hostile: request", status())


async def broken_off(visitor: Visitor, asked: str, step: Step) -> None:
    """A body that ends before its end, as when somebody goes away."""

    async def sent() -> None:
        address = urlsplit(str(visitor.http.base_url))
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        kind = "multipart/form-data; boundary=x" if asked.endswith("upload") else "application/json"
        head = f"POST {asked} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: 999999\r\n\r\n"
        part = '--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        writer.write((head + part).encode() + bytes(100_000))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    await step("hostile: broken off", sent())


async def unfetched(visitor: Visitor, asked: list, step: Step) -> None:
    """A call whose answer nobody comes for."""

    def has_begun(response: httpx.Response) -> str | None:
        return None if response.status_code in {200, 503} else f"status {response.status_code}"

    call = visitor.http.post("/gradio_api/call/new_challenge", json={"data": asked})
    await step("hostile: not fetched", call, has_begun)


def hostile(count: int, seed: int, functions: Sequence[str]) -> list[Question]:
    """About `count` hostile actions of every kind."""
    chance = random.Random(seed)
    good = next(pairs(1, seed))["a"]
    files = [*hostile_files(), *mutations(seed, count)]
    small = [data for _, data in files if len(data) <= MAX_HOSTILE_BYTES]
    made = []
    for data in chance.sample(small, min(len(small), count // 2)):
        url = data_url(data)
        places = {"own_add": {"picture": url}, "verify_ink": {"picture": url}}
        places |= {name: {"a": good, "b": url} for name in ("compare_pictures", "explain_pictures")}
        function = chance.choice(sorted(places))
        made.append(Question(hostile_picture, {"function": function, "payload": places[function]}))
    made += [Question(hostile_upload, data) for data in chance.sample(small, min(len(small), count // 8))]
    for _, archive in hostile_archives():
        payload = {"zip": data_url(archive, "application/zip")}
        made.append(Question(hostile_picture, {"function": "own_import", "payload": payload}))
    nonsense = [None, [], "x", 3, {"n_way": 10**400}, {"round": {"a": 1}, "choice": 1e308}, {"link": ["x"]}, {"a": 0}]
    made += [
        Question(hostile_picture, {"function": chance.choice(functions), "payload": chance.choice(nonsense)})
        for _ in range(count // 8)
    ]
    api, a_form = "/gradio_api", {"content-type": "multipart/form-data"}
    closed = ("file=/etc/passwd", "proxy=http://127.0.0.1/", "runs", "deep_link?session_hash=a", "monitoring")
    bodies = (b"", b"{", b"[" * 50_000, b"\xff\xfe", b'{"data": 1}')
    requests = [("GET", f"{api}/{place}", {}) for place in closed]
    requests += [("POST", f"{api}/component_server", {"content": body}) for body in bodies]
    requests += [("POST", f"{api}/queue/join", {"json": body}) for body in ({}, {"data": [], "session_hash": "a"})]
    requests += [("POST", f"{api}/run/compare", {"json": {"data": []}})]
    requests += [("POST", f"{api}/upload", {"content": b"--x", "headers": a_form})]
    requests += [("GET", "/" + "a" * 5000, {}), ("PUT", "/config", {}), ("GET", "/static/../../app.py", {})]
    made += [Question(hostile_request, one) for one in requests]
    made += [Question(broken_off, f"/gradio_api/{place}") for place in ("upload", "component_server", "queue/join")] * 3
    made += [Question(unfetched, [20, "invented", ""])] * 4
    chance.shuffle(made)
    return made


# ---- what is looked at meanwhile


def sample(app: App, begun_s: float) -> Sample:
    """On Linux; elsewhere there is only the time."""
    at_s, place = time.monotonic() - begun_s, Path(f"/proc/{app.process.pid}")
    try:
        lines = (place / "status").read_text().splitlines()
        resident = next((line for line in lines if line.startswith("VmRSS")), None)
        opened = len(list((place / "fd").iterdir()))
    except OSError:
        return Sample(at_s, None, None)
    return Sample(at_s, None if resident is None else int(resident.split()[1]) / 1024, opened)


def files_of(app: App) -> list[str]:
    """What visitors left on the disk; a folder counts as well, as its name tells of what lay in it."""
    below = [path for name in ("uploads/one-look-uploads", "tmp") for path in (app.folder / name).rglob("*")]
    return sorted(str(path.relative_to(app.folder)) for path in below)


def steadiness(samples: Sequence[Sample], windows: int = 10) -> tuple[float | None, float | None]:
    """Range of the medians of so many windows of time in MB, and the slope of a line through all in MB an hour.

    Medians, as decoding one large picture may take 60 MB for a moment and gives them back.
    """
    known = [(one.at_s, one.memory_mb) for one in samples if one.memory_mb is not None]
    if len(known) < 2 * windows:
        return None, None
    at_s, memory = np.array(known).T
    medians = [float(np.median(part)) for part in np.array_split(memory, windows)]
    slope = np.polyfit(at_s, memory, 1)[0] * 3600
    return max(medians) - min(medians), float(slope)


def complaints_of_memory(samples: Sequence[Sample], allowed_mb: float) -> list[str]:
    """One sentence if the memory was not flat, one if files stayed open; the samples are those after the warm-up."""
    found = []
    grown, slope = steadiness(samples)
    if grown is not None and grown > allowed_mb:
        found.append(f"Memory was not flat: it ranged over {grown:.0f} MB, with {slope:+.0f} MB an hour.")
    opened = [one.open_files for one in samples if one.open_files is not None]
    tenth = max(1, len(opened) // 10)
    if opened and (more := np.median(opened[-tenth:]) - np.median(opened[:tenth])) > 50:
        found.append(f"{more:.0f} more files or connections were open at the end than after the warm-up.")
    return found


def complaints_of_answers(entries: Sequence[Entry]) -> list[str]:
    """One sentence for wrong answers, one for missing ones, one where nobody was answered."""
    found = []
    for outcome, words in (("wrong", "were not those of a single visitor"), ("failed", "were missing")):
        of_kind = [entry for entry in entries if entry.outcome == outcome]
        if of_kind:
            found.append(f"{len(of_kind)} answers {words}, the first: {of_kind[0].what}: {of_kind[0].note}")
    if not any(entry.outcome == "answered" for entry in entries):
        found.append("Nobody was answered.")
    return found


# ---- the run


def mixture(
    ordinary: Sequence[Question], harmful: Sequence[Question], hostile_share: float, seed: int
) -> Iterator[Question]:
    """Ordinary questions in order, over and over; in `hostile_share` of all cases a hostile one instead."""
    chance = random.Random(seed)
    good, bad = itertools.cycle(ordinary), itertools.cycle(harmful)
    while True:
        yield next(bad if chance.random() < hostile_share else good)


async def visit(visitor: Visitor, supply: Iterator[Question], until_s: float, ledger: list[Entry]) -> None:
    await visitor.look()
    while time.monotonic() < until_s:
        await play(visitor, next(supply), ledger)
        await visitor.look()


async def watch(app: App, begun_s: float, samples: list[Sample], files: list[int]) -> None:
    while True:
        samples.append(sample(app, begun_s))
        files.append(len(files_of(app)))
        await asyncio.sleep(1)


async def loaded(app: App, plan: Plan, supply: Iterator[Question], seconds: float) -> tuple[list, list, list]:
    """Ledger, samples, and numbers of files, of visitors who come for so long."""
    ledger: list[Entry] = []
    samples: list[Sample] = []
    files: list[int] = []
    begun = time.monotonic()
    async with crowd(app.address, plan.visitors) as visitors:
        for visitor in visitors:
            visitor.looks_for_s = plan.looks_for_s
        watching = asyncio.create_task(watch(app, begun, samples, files))
        await asyncio.gather(*(visit(one, supply, begun + seconds, ledger) for one in visitors))
        watching.cancel()
    return ledger, samples, files


async def killed(app: App, plan: Plan, supply: Iterator[Question]) -> list[Entry]:
    """The same load, in the middle of which the app gets SIGKILL; what was under way is missing, of course."""
    asyncio.get_running_loop().call_later(4, app.process.kill)
    ledger, _, _ = await loaded(app, plan, supply, 6)
    app.process.wait()
    return ledger


async def emptied(app: App, plan: Plan) -> list[str]:
    """What is left on the disk when there was time enough to clear it away."""
    deadline = time.monotonic() + plan.upload_life_s + 3 * plan.sweep_s + 20
    while (left := files_of(app)) and time.monotonic() < deadline:
        await asyncio.sleep(1)
    return left


async def prepared(app: App, plan: Plan) -> tuple[list[Question], list[Question]]:
    """Ordinary and hostile questions, with the answers that a single visitor gets."""
    async with crowd(app.address, 1) as (visitor,):
        functions = [name for name in visitor.places.components if name != "own_import"]
        described = (await visitor.http.get("/gradio_api/info")).json()["named_endpoints"]["/verify"]["parameters"]
    settings = [one["parameter_default"] for one in described[2:]]
    ordinary = questions(plan.ordinary, plan.ordinary, plan.seed)
    unusual = rare(plan.seed + 1, settings)
    step = max(1, len(ordinary) // len(unusual))
    for number, one in enumerate(unusual):  # spread evenly
        ordinary.insert(number * (step + 1), one)
    harmful = hostile(plan.hostile, plan.seed + 2, functions)
    return await answers_alone(app.address, ordinary), await answers_alone(app.address, harmful)


async def endure(plan: Plan, folder: Path) -> Report:
    def started() -> App:
        lives = {"UPLOAD_LIFE_S": str(plan.upload_life_s), "SWEEP_S": str(plan.sweep_s)}
        return start_app(folder, ("-c", SHORT_LIVES), CHALLENGE_SECRET="", **lives)

    app = started()
    try:
        ordinary, harmful = await prepared(app, plan)
        log.info("%d questions asked alone", len(ordinary) + len(harmful))
        supply = mixture(ordinary, harmful, plan.hostile_share, plan.seed)
        begun = time.monotonic()
        warm_up, early, _ = await loaded(app, plan, supply, plan.warm_up_minutes * 60)
        log.info("warmed up, %s MB", early[-1].memory_mb)
        ledger, samples, files = await loaded(app, plan, supply, plan.minutes * 60)
        log.info("at the end %s MB; waiting for the files to go", samples[-1].memory_mb)
        seconds = time.monotonic() - begun
        ledger = warm_up + ledger
        has_crashed = app.process.poll() is not None
        left = await emptied(app, plan)
        cut_off = await killed(app, plan, supply)
        log.info("killed; starting again")
        app = started()
        again = [one for one in ordinary if one.play not in {opening}][:: max(1, len(ordinary) // 20)]
        restarted: list[Entry] = []
        async with crowd(app.address, 1) as (visitor,):
            for question in again:
                await play(visitor, question, restarted)
        left_by_the_kill = await emptied(app, plan)
    finally:
        stop_app(app)
    found = complaints_of_answers(ledger) + complaints_of_memory(samples, plan.allowed_mb)
    if has_crashed:
        found.append("The app ended in the middle.")
    if left or left_by_the_kill:
        found.append(f"{len(left)} files were left behind, {len(left_by_the_kill)} after the kill: {left[:3]}")
    found += [f"After the kill: {one}" for one in complaints_of_answers(restarted)]
    if count := app.log().count("Traceback"):
        found.append(f"The app's log holds {count} tracebacks, the last: {app.log().strip().splitlines()[-1]}")
    notes = Counter(f"{one.what}: {one.note}" for one in ledger if one.outcome in {"wrong", "failed"})
    return Report(
        plan=plan,
        seconds=seconds,
        done=dict(sorted(Counter(entry.what for entry in ledger).items())),
        outcomes=dict(Counter(entry.outcome for entry in ledger)),
        notes=[f"{count} x {note}" for note, count in notes.most_common(20)],
        samples=[*early, *(Sample(early[-1].at_s + one.at_s, one.memory_mb, one.open_files) for one in samples)],
        range_mb=steadiness(samples)[0],
        slope_mb_per_hour=steadiness(samples)[1],
        files_at_most=max(files, default=0),
        files_left=left,
        files_left_by_the_kill=left_by_the_kill,
        cut_off_by_the_kill=sum(entry.outcome == "failed" for entry in cut_off),
        complaints=found,
    )


def summary(report: Report) -> str:
    hostile_ones = sum(count for what, count in report.done.items() if what.startswith("hostile"))
    lines = [f"{what:28}{count:7}" for what, count in report.done.items()]
    lines.append(f"{report.seconds / 60:.1f} minutes, {sum(report.done.values())} requests, {hostile_ones} hostile:")
    lines.append(", ".join(f"{count} {outcome}" for outcome, count in report.outcomes.items()))
    lines += report.notes
    known = [one.memory_mb for one in report.samples if one.memory_mb is not None]
    if known and report.range_mb is not None:
        lines.append(
            f"memory {known[0]:.0f} MB at first, {known[-1]:.0f} MB at last, {max(known):.0f} MB at most; after the "
            f"warm-up its medians range over {report.range_mb:.1f} MB, {report.slope_mb_per_hour:+.1f} MB an hour"
        )
    lines.append(f"files: {report.files_at_most} at most, {len(report.files_left)} left when nobody came any more")
    lines.append(
        f"killed: {report.cut_off_by_the_kill} answers cut off, {len(report.files_left_by_the_kill)} files left"
    )
    return "\n".join(lines)


def draw_memory(report: Report, path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3), layout="constrained")
    axes.plot([one.at_s / 60 for one in report.samples], [one.memory_mb for one in report.samples], linewidth=0.8)
    axes.axvline(report.plan.warm_up_minutes, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="minutes of load", ylabel="resident memory, MB", ylim=(0, None))
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=Plan.minutes)
    parser.add_argument("--warm-up-minutes", type=float, default=Plan.warm_up_minutes)
    parser.add_argument("--visitors", type=int, default=Plan.visitors)
    parser.add_argument("--looks-for-s", type=float, default=Plan.looks_for_s, help="pause before each click")
    parser.add_argument("--allowed-mb", type=float, default=Plan.allowed_mb)
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--plot", type=Path, help="draw the memory over time as PNG")
    chosen = vars(parser.parse_args())
    output, plot = chosen.pop("output"), chosen.pop("plot")
    logging.basicConfig(format="%(asctime)s %(message)s")
    log.setLevel(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="one-look-endurance-") as folder:
        report = asyncio.run(endure(Plan(**chosen), Path(folder)))
    print(summary(report))
    if output:
        output.write_text(json.dumps(asdict(report), indent=1))
    if plot:
        draw_memory(report, plot)
    if report.complaints:
        sys.exit("\n".join(report.complaints))


if __name__ == "__main__":
    main()

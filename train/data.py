"""Describes a source of Omniglot or of signatures, and makes the table of Lake's runs: `python -m train data`."""

import argparse
import contextlib
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from siamese.characters.drawings import Drawings
from siamese.characters.episodes import excluded_alphabets
from siamese.characters.omniglot import lake_runs, load_drawings, load_omniglot, pixel_hashes
from siamese.characters.omniglot_layouts import LAYOUTS as OMNIGLOT_LAYOUTS
from siamese.characters.omniglot_layouts import LIMITS, OFFICIAL_ALPHABETS
from siamese.data.bundled import FOLDER, LAKE_RUNS, SPLITS, Split, write_table
from siamese.data.safe_zip import ZipError, open_zip
from siamese.data.sources import SourceError
from siamese.imaging.decode import ImageError, open_image
from siamese.preprocessing import IMAGE_SIZE_PX
from siamese.signatures.dataset import load_signatures
from siamese.signatures.image_statistics import STATISTICS
from siamese.signatures.layouts import LAYOUTS as SIGNATURE_LAYOUTS
from siamese.signatures.leak_probe import leak_probe, pair_leak_probe

OFFICIAL_CHARACTERS: dict[Split, int] = {"background": 964, "evaluation": 659}
OFFICIAL_DRAWERS = 20
RUNS, RUN_CHARACTERS = 20, 20
RUN_FILE = re.compile(r"(?:.*/)?run(\d\d)/(training/class\d\d\.png|test/item\d\d\.png|class_labels\.txt)")
SHEET_CHARACTERS, SHEET_DRAWERS = 4, 3  # for each alphabet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(
        [
            "A SOURCE is a folder or a ZIP archive, parquet files, user/name on the Hub, or 'invented'. Folders lie as",
            *(f"  {one.name}: {one.example}" for one in (*OMNIGLOT_LAYOUTS, *SIGNATURE_LAYOUTS)),
        ]
    )
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument(
        "--check",
        nargs="?",
        const="",
        metavar="SOURCE",
        help="print what a source holds and write a sheet of samples (without a SOURCE: the bundled set)",
    )
    task.add_argument(
        "--bundle", metavar="SOURCE", help="write the parquet files of the package from a copy of Omniglot"
    )
    task.add_argument(
        "--lake-runs", metavar="ARCHIVE", type=Path, help="make the table of Lake's runs from his all_runs.zip"
    )
    task.add_argument(
        "--signatures",
        metavar="SOURCE",
        help="print what a source of signatures holds, and how well statistics alone tell genuine ones from forged",
    )
    parser.add_argument("--data", metavar="SOURCE", help="with --lake-runs: where the evaluation images are")
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="where the sheet (default: omniglot-sheet.png), the table or the folder of parquet files (default: the "
        "package's own) goes",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the chosen task; returns the exit status. Raises SourceError or OSError."""
    if arguments.lake_runs is not None:
        table = lake_table(arguments.lake_runs, load_drawings("evaluation", arguments.data))
        output = arguments.output or LAKE_RUNS
        output.write_text(_table_text(table), encoding="utf-8")
        print(f"Wrote {len(table['runs'])} runs to {output}.")
    elif arguments.bundle is not None:
        write_bundle(arguments.bundle, arguments.output or FOLDER)
    elif arguments.signatures is not None:
        _check_signatures(arguments.signatures)
    else:
        _check(arguments.check, arguments.output or Path("omniglot-sheet.png"))
    return 0


def write_bundle(source: str, folder: Path) -> None:
    """Writes the splits of Omniglot as the package holds them; both together take about a minute.

    Args:
        source: A folder with the official archives, or another source as in `load_omniglot`.
        folder: Where background.parquet and evaluation.parquet go; existing ones are replaced.

    Raises:
        SourceError: The source cannot be read.
        OSError: The folder cannot be written.
    """
    for split, rows in load_omniglot(source).items():
        path = folder / f"{split}.parquet"
        write_table(rows, path)
        print(f"Wrote {len(rows)} drawings to {path}, {path.stat().st_size} bytes.")


def lake_table(archive: Path, evaluation: Drawings) -> dict[str, Any]:
    """Makes the table of Lake's runs from his `all_runs.zip`: alphabets, characters, drawers and hashes of pixels.

    Raises SourceError where a file of the runs is missing or is none of the evaluation drawings.
    """
    files: dict[tuple[int, str], bytes] = {}
    try:
        with open_zip(archive, LIMITS, f"The archive {str(archive)!r}") as members:
            for member in members:
                if match := RUN_FILE.fullmatch(member.path):
                    files[int(match[1]), match[2]] = member.read()
    except ZipError as error:
        raise SourceError(str(error)) from error
    rows = {digest: row for row, digest in enumerate(pixel_hashes(evaluation.ink))}
    return {
        "about": "The 20 runs of the one-shot classification task of Lake et al. (2015), found in the evaluation set.",
        "pixels": "sha256 of the 105 x 105 bits by rows, ink 1, packed into bytes; its first 16 hexadecimal digits",
        "runs": [_run(number, files, evaluation, rows) for number in range(1, RUNS + 1)],
    }


def _run(
    number: int, files: dict[tuple[int, str], bytes], evaluation: Drawings, rows: dict[str, int]
) -> dict[str, Any]:
    def row(name: str) -> int:
        digest = pixel_hashes(_ink(_file(files, number, name))[None])[0]
        if digest not in rows:
            raise SourceError(f"The image run{number:02d}/{name} is none of the evaluation drawings.")
        return rows[digest]

    # each line names a test image, then the training image of the same character
    lines = _file(files, number, "class_labels.txt").decode("ascii", "replace").splitlines()
    pairs = [re.findall(r"(?:test|training)/\w+\.png", line) for line in lines if line.strip()]
    if len(pairs) != RUN_CHARACTERS or any(len(pair) != 2 for pair in pairs):
        raise SourceError(f"The file run{number:02d}/class_labels.txt does not pair {RUN_CHARACTERS} images.")
    support = [row(f"training/class{place:02d}.png") for place in range(1, RUN_CHARACTERS + 1)]
    query = [row(test) for test, _ in pairs]
    true = [row(training) for _, training in pairs]
    if any(evaluation.character[q] != evaluation.character[t] for q, t in zip(query, true, strict=True)):
        raise SourceError(f"In run{number:02d} a test image is paired with a training image of another character.")
    alphabets = evaluation.alphabet[torch.tensor(support + query)].unique()
    drawers = [evaluation.drawer[torch.tensor(part)].unique() for part in (support, query)]
    if len(alphabets) != 1 or any(len(drawer) != 1 for drawer in drawers):
        raise SourceError(f"The drawings of run{number:02d} are not by two drawers of one alphabet.")
    if drawers[0] == drawers[1]:
        raise SourceError(f"Supports and queries of run{number:02d} are by one and the same drawer.")
    first = int(evaluation.character[evaluation.alphabet == alphabets[0]].min())
    digests = {place: digest for digest, place in rows.items()}

    def facts(part: list[int]) -> list[list[int | str]]:
        return [[int(evaluation.character[place]) - first + 1, digests[place]] for place in part]

    return {
        "alphabet": evaluation.alphabet_names[int(alphabets[0])],
        "support_drawer": int(drawers[0]),
        "query_drawer": int(drawers[1]),
        "support": facts(support),
        "query": facts(query),
    }


def _check_signatures(source: str) -> None:
    signatures = load_signatures(source)
    genuine = int(signatures.genuine.sum())
    forged = len(signatures) - genuine
    print(f"{len(signatures.writers_held)} writers: {genuine} genuine signatures, {forged} skilled forgeries.")
    for remark in signatures.remarks:
        print(remark)
    if not forged:
        return
    probes = {"raw image": leak_probe(signatures, raw=True), "prepared": leak_probe(signatures)}
    with contextlib.suppress(ValueError):  # without pairs of both kinds the single images have to do
        probes |= {"raw pairs": pair_leak_probe(signatures, raw=True), "prepared pairs": pair_leak_probe(signatures)}
    print("AUC, genuine against forged, by nothing but:")
    print(" " * 15 + "".join(f"{title:>16}" for title in probes))
    for name in STATISTICS:
        print(f"{name:15}" + "".join(f"{probe[name]:16.3f}" for probe in probes.values()))


def _file(files: dict[tuple[int, str], bytes], number: int, name: str) -> bytes:
    if (number, name) not in files:
        raise SourceError(f"The archive holds no run{number:02d}/{name}; is it Lake's all_runs.zip?")
    return files[number, name]


def _ink(image: bytes) -> Bool[Tensor, "105 105"]:
    try:
        picture = open_image(image)
    except ImageError as error:
        raise SourceError(f"An image of Lake's runs cannot be used: {error}") from error
    if picture.size != (IMAGE_SIZE_PX, IMAGE_SIZE_PX):
        raise SourceError(f"An image of Lake's runs has {picture.width} x {picture.height} pixels, not 105 x 105.")
    return torch.from_numpy(np.asarray(picture) < 128)


def _table_text(table: dict[str, Any]) -> str:
    """Formats the table as JSON with one line for each character, so that diffs are readable."""
    text = json.dumps(table, indent=1)
    return re.sub(r"\[\s+(\d+),\s+(\"\w+\")\s+\]", r"[\1, \2]", text) + "\n"


def _check(source: str, output: Path) -> None:
    sheets: list[UInt8[Tensor, "rows 105 105"]] = []
    refusals: list[SourceError] = []
    for split in SPLITS:
        start = time.perf_counter()
        try:
            drawings = load_drawings(split, source)
        except SourceError as refusal:
            refusals.append(refusal)
            continue
        took_s = time.perf_counter() - start
        print(f"{split}: {describe(split, drawings)}\n  read in {took_s:.1f} s")
        sheets.append(samples(drawings))
    for missing in refusals:
        if not sheets:
            raise missing
        print(missing)
    _write_sheet(torch.cat(sheets), output)
    print(f"Samples: {output}")


def describe(split: Split, drawings: Drawings) -> str:
    """Describes a split in a few lines."""
    characters, drawn = drawings.character.unique(return_counts=True)
    drawers = f"{drawn.min()}" if drawn.min() == drawn.max() else f"{drawn.min()} to {drawn.max()}"
    lines = [
        f"{len(drawings.alphabet.unique())} alphabets, {len(characters)} characters, {drawers} drawers of each, "
        f"{len(drawings)} drawings, ink {int(drawings.ink.count_nonzero()) / drawings.ink.numel():.1%}"
    ]
    whole = (
        set(drawings.alphabet_names) == set(OFFICIAL_ALPHABETS[split])
        and len(characters) == OFFICIAL_CHARACTERS[split]
        and len(drawings) == OFFICIAL_CHARACTERS[split] * OFFICIAL_DRAWERS
    )
    lines.append(f"  SHA-256 of pixels and characters: {drawings.digest()}")
    lines.append(f"  {'the whole of' if whole else 'not the whole of'} Omniglot's {split} set")
    if small := excluded_alphabets(drawings, 20):
        lines.append(f"  too few characters for 20-way trials within the alphabet: {', '.join(small)}")
    if split == "evaluation":
        try:
            lines.append(f"  Lake's runs: all {len(lake_runs(drawings))} trials found")
        except SourceError as refusal:
            lines.append(f"  Lake's runs: no. {refusal}")
    return "\n".join(lines)


def samples(drawings: Drawings) -> Bool[Tensor, "samples 105 105"]:
    """Returns a row of 12 drawings for each alphabet: its first four characters by three drawers, else blank."""
    rows = torch.zeros(
        len(drawings.alphabet_names), SHEET_CHARACTERS, SHEET_DRAWERS, *drawings.ink.shape[1:], dtype=torch.bool
    )
    for alphabet in range(len(drawings.alphabet_names)):
        for place, character in enumerate(
            drawings.character[drawings.alphabet == alphabet].unique()[:SHEET_CHARACTERS]
        ):
            some = drawings.ink[drawings.character == character][:SHEET_DRAWERS]
            rows[alphabet, place, : len(some)] = some
    return rows.flatten(0, 2)


def _write_sheet(ink: Bool[Tensor, "samples 105 105"], output: Path) -> None:
    from torchvision.utils import make_grid, save_image

    paper = 1.0 - ink[:, None].float()
    grid = make_grid(paper, nrow=SHEET_CHARACTERS * SHEET_DRAWERS, padding=1, pad_value=0.7)
    save_image(grid, output, format="PNG")  # whatever the name ends in

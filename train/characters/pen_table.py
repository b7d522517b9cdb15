"""How well a network knows a character again that another pen drew: `python -m train evaluate --pens`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor
from tqdm import tqdm

from siamese.characters.drawings import Drawings
from siamese.characters.episodes import Trials, sample_trials
from siamese.characters.omniglot import lake_runs
from siamese.data.sources import SourceError
from siamese.imaging.skeleton import points_along, skeletonize
from siamese.network import SiameseNetwork
from siamese.preprocessing import Preprocessing, prepare_ink
from train.evaluation import Pairs, generator_for, one_shot_accuracy, pair_logits, wilson_interval
from train.pens import distance_to_lines

PENS_PX = (0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0)
TRIALS = 2_000
N_WAY = 20
FINER = 3  # a sheet has so many pixels for each one of the drawing, so that hairlines are hairlines
MARGIN_PX = 8  # around the drawing, so that the broadest pen stays on the sheet
CALLED = ("same_called_same", "different_called_same")
HEADS = {"lake_runs": "Lake's runs", "within_alphabet": "within an alphabet"}

Embed = Callable[[UInt8[Tensor, "drawings 1 105 105"]], Float32[Tensor, "drawings units"]]


@dataclass(frozen=True)
class PenTasks:
    """Trials and pairs whose queries are drawn again; the supports stay as Omniglot's pen of 3 px drew them."""

    one_shot: dict[str, Trials]
    """By protocol."""
    pairs: Pairs
    """Each query of the trials within an alphabet with its own character, then with another of the alphabet."""
    queries: Int64[Tensor, " queries"]
    """The drawings that are queries, each once, in rising order."""
    notes: list[str]
    """A sentence for each thing that these data cannot give."""


def make_pen_tasks(drawings: Drawings, seed: int, trials: int, with_lake_runs: bool) -> PenTasks:
    """Lake's runs where the drawings are Omniglot's evaluation set, and `trials` random ones within an alphabet.

    Raises EpisodeError where no alphabet has characters enough.
    """
    one_shot, notes = {}, []
    if with_lake_runs:
        try:
            one_shot["lake_runs"] = lake_runs(drawings)
        except SourceError as error:
            notes.append(f"Lake's runs with other pens are left out: {error}")
    generator = generator_for(seed, "pens")
    within = sample_trials(drawings, N_WAY, trials, generator, within_alphabet=True)
    one_shot["within_alphabet"] = within
    other = (within.label + torch.randint(1, N_WAY, within.label.shape, generator=generator)) % N_WAY
    every = torch.arange(len(within))
    second = torch.cat([within.support[every, within.label], within.support[every, other]])
    pairs = Pairs(within.query.repeat(2), second, torch.arange(2 * len(within)) < len(within))
    queries = torch.cat([some.query for some in one_shot.values()]).unique()
    return PenTasks(one_shot, pairs, queries, notes)


def drawn_with_pens(
    ink: Bool[Tensor, "height width"], pens_px: tuple[float, ...], preprocessing: Preprocessing
) -> UInt8[Tensor, "pens 1 105 105"]:
    """A drawing as each of the pens would have drawn it along the middle of its lines, prepared for the network.

    Args:
        ink: A drawing as it comes, for example one of Omniglot.
        pens_px: Widths of the pens in pixels of `ink`.
        preprocessing: How the network sees ink.

    Returns:
        Ink 255 on paper 0, one picture for each pen.
    """
    lines = np.pad(skeletonize(ink).numpy(), MARGIN_PX)
    points = np.rint(points_along(lines, FINER) * FINER + (FINER - 1) / 2).astype(np.int64)
    sheet = np.zeros([side * FINER for side in lines.shape], dtype=bool)
    sheet[points[:, 0], points[:, 1]] = True
    distance = torch.from_numpy(distance_to_lines(sheet))
    inks = [(pen * FINER / 2 - distance + 0.5).clamp(0, 1) for pen in pens_px]
    return torch.stack([(prepare_ink(one, preprocessing) * 255).round().to(torch.uint8) for one in inks])


def pen_entries(
    network: SiameseNetwork,
    embed: Embed,
    embeddings: Float[Tensor, "drawings units"],
    drawings: Drawings,
    tasks: PenTasks,
    preprocessing: Preprocessing,
    threshold: float,
    progress: bool = False,
) -> list[dict]:
    """One entry of the report for each pen.

    Args:
        network: Compares embeddings.
        embed: Embeds prepared pictures.
        embeddings: Those of the drawings as they are.
        drawings: The whole set that `tasks` speaks of.
        tasks: What is asked.
        preprocessing: How the network sees ink.
        threshold: Similarity from which on a pair is called "the same".
        progress: Whether to show how far it is.
    """
    rows = tqdm(tasks.queries.tolist(), desc="drawing", unit="drawing", disable=not progress)
    pictures = torch.stack([drawn_with_pens(drawings.ink[row], PENS_PX, preprocessing) for row in rows], 1)
    entries = []
    for pen, of_pen in zip(PENS_PX, pictures, strict=True):
        redrawn = embeddings.clone()
        redrawn[tasks.queries] = embed(of_pen)
        entries.append({"pen_px": pen} | answers(network, embeddings, redrawn, tasks, threshold))
    return entries


def answers(
    network: SiameseNetwork,
    embeddings: Float[Tensor, "drawings units"],
    redrawn: Float[Tensor, "drawings units"],
    tasks: PenTasks,
    threshold: float,
) -> dict:
    """Accuracies and shares called "the same", each with its 95 % interval, of queries that are `redrawn`."""
    both, further = torch.cat([embeddings, redrawn]), len(embeddings)
    entry: dict = {"one_shot": {}}
    for name, trials in tasks.one_shot.items():
        asked = Trials(trials.support, trials.query + further, trials.label)
        accuracy, interval, _ = one_shot_accuracy(network, both, asked)
        entry["one_shot"][name] = {"trials": len(trials), "accuracy": accuracy, "interval": list(interval)}
    pairs = Pairs(tasks.pairs.first + further, tasks.pairs.second, tasks.pairs.same)
    called_same = pair_logits(network, both, pairs).sigmoid() >= threshold
    for name, of_kind in zip(CALLED, (pairs.same, ~pairs.same), strict=True):
        count, total = int(called_same[of_kind].sum()), int(of_kind.sum())
        entry[name] = {"pairs": total, "share": count / total, "interval": list(wilson_interval(count, total))}
    return entry


def pen_lines(entries: list[dict]) -> list[str]:
    """The table for people, in per cent: a head, and one line for each pen."""
    protocols = list(entries[0]["one_shot"])
    head = f"{'pen of the query, px of 105':30}" + "".join(f"{HEADS[name]:>24}" for name in protocols)
    lines = [f"{head}{'same called same':>24}{'different called same':>24}"]
    for entry in entries:
        shares = [entry["one_shot"][name] for name in protocols]
        cells = [(row["accuracy"], row["interval"]) for row in shares]
        cells += [(entry[name]["share"], entry[name]["interval"]) for name in CALLED]
        text = "".join(f"{f'{100 * share:.1f} ({100 * low:.1f}-{100 * high:.1f})':>24}" for share, (low, high) in cells)
        lines.append(f"{entry['pen_px']:<30g}{text}")
    return lines

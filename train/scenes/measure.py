"""Measures how well writing is read in scenes: Lake's trials and pairs of signatures, one kind of scene at a time."""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from tqdm import tqdm

from siamese.characters.drawings import Drawings
from siamese.characters.episodes import Trials
from siamese.characters.recognizer import Recognizer
from siamese.imaging.decode import ImageError
from siamese.signatures.synthetic import synthetic_files
from siamese.signatures.verifier import Verifier
from train.evaluation import wilson_interval
from train.scenes.generator import draw_scene

POINT = "balanced"
SEED = 1914


@dataclass(frozen=True)
class CharacterRow:
    """Lake's trials with the query in one kind of scene, supports as they were drawn."""

    kind: str
    trials: int
    accuracy: float
    """Share of trials in which the true class has the highest similarity; an image that is refused counts as wrong."""
    interval: tuple[float, float]
    """95 % interval of the accuracy (Wilson)."""
    refused: int
    """Queries for which the library said that the image cannot be used."""


@dataclass(frozen=True)
class SignatureRow:
    """Pairs of signatures on one kind of form, at the balanced operating point, one reference."""

    kind: str
    pairs: int
    """Of different writers, both on the form; as many are genuine, with a clean reference."""
    different_called_genuine: float
    different_interval: tuple[float, float]
    genuine_called_forgery: float
    genuine_interval: tuple[float, float]
    unsure: tuple[float, float]
    """Share of verdicts "unsure", or refused, among the different and among the genuine pairs."""


def measure_characters(
    recognizer: Recognizer, drawings: Drawings, trials: Trials, kinds: Sequence[str], seed: int = SEED
) -> list[CharacterRow]:
    """Answers trials whose query stands in a scene.

    Args:
        recognizer: The network to be measured.
        drawings: What the trials point into.
        trials: One-shot trials, as a rule Lake's 400.
        kinds: Names in `generator.KINDS`; each trial has its own strength, drawn evenly from 0 to 1.
        seed: Of the scenes; the same for every network.

    Returns:
        One row for each kind.
    """
    supports, places = torch.unique(trials.support, return_inverse=True)
    embeddings = recognizer.embed([_page(drawings.ink[row].numpy()) for row in supports.tolist()])
    rows = []
    for kind in kinds:
        won = refused = 0
        for number, (query, label) in enumerate(
            tqdm(zip(trials.query.tolist(), trials.label.tolist(), strict=True), kind, len(trials), leave=False)
        ):
            generator = np.random.default_rng([seed, number, _name_number(kind)])
            scene = draw_scene(kind, drawings.ink[query].numpy().astype(np.float32), generator.random(), generator)
            try:
                embedding = recognizer.embed([scene])
            except ImageError:
                refused += 1
                continue
            similarity = recognizer.compare_embeddings(embedding, embeddings[places[number]])[0]
            won += int((similarity >= similarity[label]).sum() == 1)  # a tie counts as wrong
        rows.append(CharacterRow(kind, len(trials), won / len(trials), wilson_interval(won, len(trials)), refused))
    return rows


def measure_signatures(verifier: Verifier, kinds: Sequence[str], pairs: int, seed: int = SEED) -> list[SignatureRow]:
    """Verifies pairs of synthetic signatures on forms.

    Args:
        verifier: The network to be measured, with its operating points.
        kinds: Names in `generator.KINDS`.
        pairs: How many pairs of different writers, and as many of one writer, in each kind.
        seed: Of the writers and the scenes; the same for every network.

    Returns:
        One row for each kind.
    """
    writers = _writers(max(8, min(60, pairs // 4)), seed)
    rows = []
    for kind in kinds:
        different, genuine = [], []
        for number in tqdm(range(pairs), kind, leave=False):
            generator = np.random.default_rng([seed, number, _name_number(kind)])
            one, other = generator.choice(len(writers), 2, replace=False)
            first, second = generator.choice(len(writers[one]), 2, replace=False)
            strength = generator.random(3)
            on_form = [
                draw_scene(kind, ink, strength[place], generator, "signature")
                for place, ink in enumerate((writers[one][first], writers[other][second], writers[one][second]))
            ]
            clean = draw_scene("clean", writers[one][first], 0.0, generator, "signature")
            different.append(_verdict(verifier, on_form[0], on_form[1]))
            genuine.append(_verdict(verifier, clean, on_form[2]))
        passed, rejected = different.count("genuine"), genuine.count("forgery")
        rows.append(
            SignatureRow(
                kind,
                pairs,
                passed / pairs,
                wilson_interval(passed, pairs),
                rejected / pairs,
                wilson_interval(rejected, pairs),
                (different.count("unsure") / pairs, genuine.count("unsure") / pairs),
            )
        )
    return rows


def format_scenes(characters: Sequence[CharacterRow], signatures: Sequence[SignatureRow]) -> str:
    """The rows as Markdown tables, shares in per cent."""
    lines = []
    if characters:
        lines += [
            "| scene of the query | trials | accuracy | 95 % interval | refused |",
            "| --- | ---: | ---: | ---: | ---: |",
        ]
        lines += [
            f"| {row.kind} | {row.trials} | {row.accuracy:.2%} "
            f"| {row.interval[0]:.1%} to {row.interval[1]:.1%} | {row.refused} |"
            for row in characters
        ]
    if signatures:
        lines += [
            "",
            "| form | pairs of each kind | different, called genuine | 95 % interval "
            "| genuine, called forgery | 95 % interval | unsure |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        lines += [
            f"| {row.kind} | {row.pairs} | {row.different_called_genuine:.1%} "
            f"| {row.different_interval[0]:.1%} to {row.different_interval[1]:.1%} | {row.genuine_called_forgery:.1%} "
            f"| {row.genuine_interval[0]:.1%} to {row.genuine_interval[1]:.1%} "
            f"| {row.unsure[0]:.1%}, {row.unsure[1]:.1%} |"
            for row in signatures
        ]
    return "\n".join(lines).replace("%", " %").replace("95  %", "95 %")


def scenes_entry(characters: Sequence[CharacterRow], signatures: Sequence[SignatureRow]) -> dict:
    """What a report holds of them: lists of rows as JSON objects, shares in [0, 1]."""
    return {"seed": SEED, "characters": list(map(asdict, characters)), "signatures": list(map(asdict, signatures))}


def _page(ink: Bool[np.ndarray, "height width"]) -> Image.Image:
    return Image.fromarray(np.where(ink, 0, 255).astype(np.uint8))


def _verdict(verifier: Verifier, reference: Image.Image, questioned: Image.Image) -> str:
    """The verdict at the balanced point; "unsure" where an image is refused, since nobody is accepted by it."""
    try:
        return verifier.verify([reference], questioned, POINT if verifier.measured else None).verdict
    except ImageError:
        return "unsure"


def _writers(count: int, seed: int) -> list[list[Float[np.ndarray, "height width"]]]:
    """Ink of four genuine signatures of each of `count` synthetic writers."""
    found: dict[str, list[Float[np.ndarray, "height width"]]] = {}
    for name, data in synthetic_files(count, 4, 0, seed):
        grey = np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=np.float32)
        paper, ink = np.median(grey), grey.min()
        found.setdefault(name.split("/")[0], []).append(np.clip((paper - 12 - grey) / (paper - 12 - ink), 0, 1))
    return list(found.values())


def _name_number(kind: str) -> int:
    """A number of a name that does not change from run to run, as Python's hash does."""
    return int.from_bytes(kind.encode()[:7], "big")

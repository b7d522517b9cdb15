"""What the evaluations share: the model, its embeddings, and trials, pairs, thresholds and intervals made of them."""

import json
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from scipy.stats import binomtest
from torch import Tensor
from tqdm import tqdm

from siamese.characters.drawings import Drawings
from siamese.characters.episodes import Trials, correct, trial_logits
from siamese.hub import resolve as hub
from siamese.inference.device import answering_precision, fastest_precision, usable_device
from siamese.inference.int8 import Int8Encoder, int8_encoder, is_fast
from siamese.metrics import calibration, most_accurate_threshold, receiver_operating_characteristic
from siamese.network import SiameseNetwork
from siamese.preprocessing import Preprocessing
from train.errors import CommandError

INT8_BATCH = 64
PAIRS = 10_000
PROTOCOLS = (("within_alphabet", True), ("across_alphabets", False))  # where different pairs come from
PAIRS_AT_ONCE = 256  # a gathered block of 2 x 4 MiB stays in the processor's cache


class EvaluationError(CommandError):
    """An evaluation that cannot be made; the message is one sentence."""


@dataclass(frozen=True)
class Model:
    """A checkpoint that is evaluated, on one device and in one precision.

    Attributes:
        network: On `device`, in float32.
        preprocessing: How its pictures are prepared.
        config: What config.json holds.
        folder: Where the checkpoint lies.
        device: Where it computes.
        precision: Of the convolutions and the 9216 x 4096 layer.
        encoder: What embeds where the precision is int8.
        description: The entry "model" of the report.
    """

    network: SiameseNetwork
    preprocessing: Preprocessing
    config: dict
    folder: Path
    device: torch.device
    precision: torch.dtype
    encoder: Int8Encoder | None
    description: dict

    @torch.inference_mode()
    def embed(
        self, prepared: UInt8[Tensor, "drawings 1 105 105"], progress: bool = False
    ) -> Float32[Tensor, "drawings units"]:
        """Embeds prepared drawings (ink 255 on paper 0) as the app would in this precision."""
        if self.encoder is None:
            return embed_drawings(self.network, prepared, self.device, precision=self.precision, progress=progress)
        embeddings = torch.empty(len(prepared), self.network.config.embedding_units)
        with tqdm(total=len(prepared), desc="embedding in int8", unit="image", disable=not progress) as bar:
            for start in range(0, len(prepared), INT8_BATCH):
                batch = prepared[start : start + INT8_BATCH]
                embeddings[start : start + INT8_BATCH] = self.encoder.embed(batch.float().div_(255))
                bar.update(len(batch))
        return embeddings


def load_model(source: str | None, device: str | None, precision: str | None) -> Model:
    """Loads the checkpoint named and no other.

    Args:
        source: A folder, "user/name@revision", or None for the bundled weights.
        device: Such as "cpu" or "cuda"; None for CUDA where it is present.
        precision: "int8", "bfloat16" or "float32"; None for the one in which the app would answer here.

    Raises:
        ValueError: The device is not there.
        EvaluationError: The device cannot compute the network in this precision.
        HubError, CheckpointError: The checkpoint cannot be had or is damaged.
    """
    chosen = usable_device(device)
    dtype = getattr(torch, precision) if precision else answering_precision(chosen)
    origin, checkpoint = hub.load_model(source, strict=True)
    network, encoder = checkpoint.network.to(chosen), None
    if dtype == torch.int8:
        suits = chosen.type == "cpu" and is_fast()
        encoder = int8_encoder(network, int8_pictures(checkpoint.preprocessing)) if suits else None
        if encoder is None and precision:
            raise EvaluationError(
                "int8 needs a CPU with VNNI instructions and a network of rectifiers; choose another --precision."
            )
        dtype = torch.int8 if encoder else fastest_precision(chosen)
    description = {
        "source": origin.name,
        "revision": origin.revision,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "storage": checkpoint.config["storage"],
        "precision": str(dtype).removeprefix("torch."),
        "device": torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else chosen.type,
    }
    return Model(
        *(network, checkpoint.preprocessing, checkpoint.config, origin.folder, chosen, dtype, encoder, description)
    )


def int8_pictures(preprocessing: Preprocessing) -> Float[Tensor, "pictures 1 105 105"]:
    """The pictures on which the app measures the ranges of int8 for a network of this kind."""
    from siamese.characters import recognizer
    from siamese.signatures import verifier

    kind = verifier if preprocessing.kind == "signature" else recognizer
    return kind.int8_calibration(preprocessing)


def write_report(report: dict, path: Path) -> None:
    """Writes a report as JSON; raises OSError where that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Pairs:
    """Pairs of drawings by different drawers.

    Attributes:
        first: Rows of the drawings.
        second: Rows of the drawings.
        same: Whether both show one character.
    """

    first: Int64[Tensor, " pairs"]
    second: Int64[Tensor, " pairs"]
    same: Bool[Tensor, " pairs"]


@torch.inference_mode()
def embed_drawings(
    network: SiameseNetwork,
    prepared: UInt8[Tensor, "drawings 1 105 105"],
    device: torch.device | str = "cpu",
    batch_size: int = 256,
    precision: torch.dtype | None = None,
    progress: bool = False,
) -> Float32[Tensor, "drawings units"]:
    """Embeds prepared drawings.

    Args:
        network: On `device`; used in evaluation mode and left in the mode that it was in.
        prepared: Ink 255 on paper 0.
        device: Where the embeddings are made and stay.
        batch_size: Drawings in one pass.
        precision: Of the convolutions and the 9216 x 4096 layer, whose output is float32 again; by default what is
            fastest on the device.
        progress: Whether to show a bar.
    """
    device = torch.device(device)
    precision = precision or fastest_precision(device)
    autocast = nullcontext() if precision == torch.float32 else torch.autocast(device.type, precision)
    embeddings = torch.empty(len(prepared), network.config.embedding_units, device=device)
    training = network.training
    network.eval()
    hook = network.embedding.register_forward_hook(lambda _layer, _inputs, units: units.float())
    try:
        with autocast, tqdm(total=len(prepared), desc="embedding", unit="image", disable=not progress) as bar:
            for start in range(0, len(prepared), batch_size):
                images = prepared[start : start + batch_size].to(device).float().div_(255)
                images = images.contiguous(memory_format=torch.channels_last)
                embeddings[start : start + batch_size] = network.embed(images)
                bar.update(len(images))
    finally:
        hook.remove()
        network.train(training)
    return embeddings


@torch.inference_mode()
def one_shot_logits(
    network: SiameseNetwork, embeddings: Float[Tensor, "*views drawings units"], trials: Trials
) -> Float[Tensor, "trials n_way"]:
    """Scores each query with each of its candidates; with several views of every drawing, the mean over all pairs."""
    if embeddings.ndim == 2:
        return trial_logits(network, embeddings, trials)
    views, drawings = embeddings.shape[:2]
    flat = embeddings.flatten(0, 1)
    total = torch.zeros(trials.support.shape, device=embeddings.device)
    for of_query in range(views):
        for of_support in range(views):
            moved = Trials(trials.support + of_support * drawings, trials.query + of_query * drawings, trials.label)
            total += trial_logits(network, flat, moved)
    return total / views**2


def one_shot_accuracy(
    network: SiameseNetwork, embeddings: Float[Tensor, "*views drawings units"], trials: Trials
) -> tuple[float, tuple[float, float], Bool[Tensor, " trials"]]:
    """Scores trials and counts those that were won; a tie is not won.

    Returns:
        The share of trials won, its 95 % interval, and which trials were won.
    """
    won = correct(one_shot_logits(network, embeddings, trials).cpu(), trials.label.cpu())
    return won.double().mean().item(), wilson_interval(int(won.sum()), len(won)), won


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Gives the 95 % score interval of a share, which holds up near 0 and 1.

    Args:
        successes: From 0 to `trials`.
        trials: At least 1.

    Returns:
        The ends of the interval, fractions.

    Raises:
        ValueError: A count is out of range.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"There is no interval of {successes} successes in {trials} trials.")
    interval = binomtest(successes, trials).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def paired_test(correct_a: Bool[Tensor, " trials"], correct_b: Bool[Tensor, " trials"]) -> float:
    """Tests whether two networks that met the same trials are equally good.

    Args:
        correct_a: Which trials the first network won.
        correct_b: Which trials the second network won.

    Returns:
        Two-sided p of McNemar's exact test, which looks at the trials that only one of the two won.
    """
    only_a, only_b = int((correct_a & ~correct_b).sum()), int((correct_b & ~correct_a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def verification_pairs(drawings: Drawings, pairs: int, generator: torch.Generator, within_alphabet: bool) -> Pairs:
    """Draws pairs by different drawers, the first half of the same character, the second half of different ones.

    Args:
        drawings: What the pairs are taken from.
        pairs: How many.
        generator: Decides them.
        within_alphabet: Whether different characters come from one alphabet, otherwise from any two.

    Raises:
        ValueError: The drawings hold no such pair.
    """
    same_count = pairs // 2
    first, second = [], []
    anywhere = torch.zeros_like(drawings.alphabet)
    groups_of_different = drawings.alphabet if within_alphabet else anywhere
    for count, same in ((same_count, True), (pairs - same_count, False)):
        group = drawings.character if same else groups_of_different
        a, b = _pairs_in_groups(drawings, group, count, same, generator)
        first.append(a)
        second.append(b)
    return Pairs(torch.cat(first), torch.cat(second), torch.arange(pairs) < same_count)


def _pairs_in_groups(
    drawings: Drawings, group: Int64[Tensor, " drawings"], count: int, same: bool, generator: torch.Generator
) -> tuple[Int64[Tensor, " pairs"], Int64[Tensor, " pairs"]]:
    """Draws the first of each pair from all drawings and the second from those of its group that fit."""
    order = group.argsort(stable=True)
    _, place, size = group.unique(return_inverse=True, return_counts=True)
    begin = size.cumsum(0) - size
    first, second = torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
    for _ in range(1_000):
        if len(first) >= count:
            return first[:count], second[:count]
        if len(drawings) == 0:
            break
        a = torch.randint(len(drawings), (2 * count,), generator=generator)
        within = (torch.rand(2 * count, generator=generator, dtype=torch.float64) * size[place[a]]).long()
        b = order[begin[place[a]] + within]
        fits = (drawings.drawer[a] != drawings.drawer[b]) & ((drawings.character[a] == drawings.character[b]) == same)
        first, second = torch.cat([first, a[fits]]), torch.cat([second, b[fits]])
    raise ValueError(
        f"These drawings hold no pairs of {'one character' if same else 'different characters'} by different drawers."
    )


@torch.inference_mode()
def pair_logits(
    network: SiameseNetwork, embeddings: Float[Tensor, "*views drawings units"], pairs: Pairs
) -> Float[Tensor, " pairs"]:
    """Scores pairs: logits of "the same character", on the CPU in float64, the mean over all pairs of views."""
    views = embeddings if embeddings.ndim == 3 else embeddings[None]
    total = torch.zeros(len(pairs.first), dtype=torch.float64)
    for left in views:
        for right in views:
            blocks = zip(pairs.first.split(PAIRS_AT_ONCE), pairs.second.split(PAIRS_AT_ONCE), strict=True)
            logits = [network.compare(left[a.to(views.device)], right[b.to(views.device)]) for a, b in blocks]
            total += torch.cat(logits).double().cpu()
    return total / len(views) ** 2


@dataclass(frozen=True)
class HeldOut:
    """Drawings of alphabets that a network has not been trained on, and their embeddings."""

    network: SiameseNetwork
    embeddings: Float[Tensor, "*views drawings units"]
    drawings: Drawings

    @property
    def alphabets(self) -> list[str]:
        return [self.drawings.alphabet_names[index] for index in self.drawings.alphabet.unique().tolist()]


def calibrate(held_out: Sequence[HeldOut], generator: torch.Generator, pairs: int = PAIRS) -> dict:
    """Measures the entry "verification" of config.json on held-out alphabets.

    Args:
        held_out: One network or several, each with drawings of its own, whose pairs are pooled.
        generator: Decides the pairs.
        pairs: How many for each network and protocol.

    Returns:
        "thresholds", the most accurate similarity of each protocol; "threshold" and "calibration" of the harder one,
        where different pairs come from one alphabet; "measured_on", a sentence.
    """
    thresholds = {}
    for protocol, within_alphabet in PROTOCOLS:
        drawn = [verification_pairs(held.drawings, pairs, generator, within_alphabet) for held in held_out]
        scored = zip(held_out, drawn, strict=True)
        similarity = torch.cat([pair_logits(held.network, held.embeddings, some).sigmoid() for held, some in scored])
        same = torch.cat([some.same for some in drawn])
        roc = receiver_operating_characteristic(similarity[same], similarity[~same])
        thresholds[protocol] = clear_of_ends(most_accurate_threshold(roc).threshold)
        if within_alphabet:
            bins = calibration(similarity, same)
    each = " of each of these sets" if len(held_out) > 1 else ""
    names = "; ".join(", ".join(held.alphabets) for held in held_out)
    return {
        "threshold": thresholds["within_alphabet"],
        "thresholds": thresholds,
        "calibration": bins.as_dict(),
        "measured_on": f"{pairs} pairs by different drawers{each}, half of them the same character, the others two "
        f"characters of one alphabet, from {names}",
    }


def clear_of_ends(similarity: float, margin: float = 1e-6) -> float:
    """Keeps a threshold away from 0 and 1, where every score, or none, would pass."""
    return min(max(similarity, margin), 1 - margin)


def generator_for(seed: int, *parts: str | int) -> torch.Generator:
    """Makes a generator for one part of an evaluation, so that leaving a part out changes no other."""
    return torch.Generator().manual_seed(zlib.crc32(" ".join(map(str, (seed, *parts))).encode()))

"""Same or different: error rates, thresholds and what a score is worth. For characters and for signatures.

A score rises with sameness. A pair is accepted as the same (a signature as genuine) where its score is at least
the threshold. FAR is the share of different pairs (forgeries) accepted, FRR the share of same pairs (genuine
signatures) refused; every rate is a fraction in [0, 1].
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

STRICT_FAR = 0.01  # of skilled forgeries
LENIENT_FRR = 0.01
NAMED_POINTS = ("strict", "balanced", "lenient")
CURVE_POINTS = 100
DRAWS_AT_ONCE = 100  # of a bootstrap; each takes LEVELS numbers a few times
LEVELS = 2_000  # thresholds of a bootstrapped curve; their spacing is far below the intervals that come out


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what it costs."""

    threshold: float
    far: float
    frr: float

    @property
    def accuracy(self) -> float:
        """Share of right answers where half of the pairs are the same."""
        return 1 - (self.far + self.frr) / 2


@dataclass(frozen=True)
class Roc:
    """Every operating point there is: thresholds rise, `far` falls from 1 to 0, `frr` rises from 0 to 1.

    The first threshold is the lowest score (all are accepted), the last is above all scores (none is).
    """

    threshold: Float64[Tensor, " points"]
    far: Float64[Tensor, " points"]
    frr: Float64[Tensor, " points"]


@dataclass(frozen=True)
class ErrorCurve:
    """What each threshold costs, in few points: small enough to travel in config.json."""

    threshold: tuple[float, ...]
    """Rising."""
    far: tuple[float, ...]
    """Never rises."""
    frr: tuple[float, ...]
    """Never falls."""

    def __post_init__(self) -> None:
        if not 0 < len(self.threshold) == len(self.far) == len(self.frr):
            raise ValueError("A curve needs as many thresholds as rates of either kind, and at least one.")
        if list(self.threshold) != sorted(set(self.threshold)):
            raise ValueError("The thresholds of a curve must rise.")
        if list(self.far) != sorted(self.far, reverse=True) or list(self.frr) != sorted(self.frr):
            raise ValueError("The far of a curve must not rise with the threshold, its frr must not fall.")
        if not all(0 <= rate <= 1 for rate in (*self.far, *self.frr)):
            raise ValueError("The rates of a curve must lie in 0 to 1.")

    def at(self, threshold: float) -> OperatingPoint:
        """The rates at a threshold, linear between the points; beyond them those of the nearest one."""
        far, frr = (float(np.interp(threshold, self.threshold, rates)) for rates in (self.far, self.frr))
        return OperatingPoint(threshold, far, frr)

    def as_dict(self) -> dict:
        return {name: list(values) for name, values in asdict(self).items()}


@dataclass(frozen=True)
class Consistency:
    """How much room a writer is given whose references differ among themselves."""

    weight: float
    """Share of what the references fall short of `level` that is made good, in [0, 1]."""
    level: float
    """The mean logit of two genuine signatures of one writer, over many writers."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"The weight of the references' consistency is {self.weight}, must lie in 0 to 1.")

    def reference_offset(self, among: Float[Tensor, "references references"]) -> float:
        """What is added to the logits of a questioned signature with references that have these logits among
        themselves; 0 for a single one, negative for a writer who signs more alike than most."""
        references = len(among)
        if references < 2:
            return 0.0
        pairs = torch.ones_like(among, dtype=torch.bool).triu(1)
        return self.weight * (self.level - among[pairs].double().mean().item())


@dataclass(frozen=True)
class Calibration:
    """How often pairs of a similarity were the same, where half of all pairs were."""

    similarity_edges: tuple[float, ...]
    """Bounds of the bins, rising from 0 to 1: one more than there are bins."""
    share_same: tuple[float, ...]
    """Share of same pairs in each bin; never falls."""

    def __post_init__(self) -> None:
        edges, shares = self.similarity_edges, self.share_same
        if len(edges) != len(shares) + 1 or len(shares) == 0:
            raise ValueError(f"A calibration of {len(shares)} bins needs one edge more, not {len(edges)}.")
        if list(edges) != sorted(set(edges)) or edges[0] != 0 or edges[-1] != 1:
            raise ValueError("The similarity_edges of a calibration must rise from 0 to 1.")

    def posterior(self, similarity: float) -> float:
        """Share of same pairs among those about as similar; a bin holds its lower edge."""
        return self.share_same[int(np.searchsorted(self.similarity_edges[1:-1], similarity, side="right"))]

    def as_dict(self) -> dict:
        return {name: list(values) for name, values in asdict(self).items()}


def calibration_in(entry: dict) -> Calibration | None:
    """Of an entry of config.json that `read_config` has checked; None where it has none."""
    measured = entry.get("calibration")
    return Calibration(**{name: tuple(map(float, values)) for name, values in measured.items()}) if measured else None


def false_acceptance_rate(different: Float[Tensor, " pairs"], threshold: float) -> float:
    """FAR: share of the scores of different pairs that reach the threshold."""
    return (different.double() >= threshold).double().mean().item()


def false_rejection_rate(same: Float[Tensor, " pairs"], threshold: float) -> float:
    """FRR: share of the scores of same pairs that stay below the threshold."""
    return (same.double() < threshold).double().mean().item()


def operating_point(
    same: Float[Tensor, " same"], different: Float[Tensor, " different"], threshold: float
) -> OperatingPoint:
    """What a threshold chosen elsewhere costs on these scores."""
    _require_scores(same, different)
    return OperatingPoint(threshold, false_acceptance_rate(different, threshold), false_rejection_rate(same, threshold))


def receiver_operating_characteristic(same: Float[Tensor, " same"], different: Float[Tensor, " different"]) -> Roc:
    """The ROC of scores of same and of different pairs; raises ValueError where one kind is missing or not finite."""
    _require_scores(same, different)
    same, different = same.double().sort().values, different.double().sort().values
    levels = torch.cat([same, different]).unique()
    thresholds = torch.cat([levels, levels.new_full((1,), torch.inf)])
    refused = torch.searchsorted(same, thresholds)  # how many lie strictly below
    accepted = len(different) - torch.searchsorted(different, thresholds)
    return Roc(thresholds, accepted.double() / len(different), refused.double() / len(same))


def area_under_curve(roc: Roc) -> float:
    """AUC by trapezia: the chance that a same pair outscores a different one, ties counted half."""
    return torch.trapezoid(1 - roc.frr.flip(0), roc.far.flip(0)).item()


def equal_error_point(roc: Roc) -> OperatingPoint:
    """Where FAR and FRR meet, on the straight line between the two operating points around the crossing."""
    gap = roc.far - roc.frr  # falls from 1 to -1
    after = int((gap <= 0).nonzero()[0])
    before = after - 1
    share = (gap[before] / (gap[before] - gap[after])).item()
    rate = (roc.far[before] + share * (roc.far[after] - roc.far[before])).item()
    low, high = roc.threshold[before].item(), roc.threshold[after].item()
    threshold = low if high == torch.inf else low + share * (high - low)
    return OperatingPoint(threshold, rate, rate)


def most_accurate_threshold(roc: Roc) -> OperatingPoint:
    """The threshold with the least FAR + FRR, half-way to the score below it.

    Where several are equally good the middle one is taken: it lies farthest from becoming a bad one.
    """
    errors = roc.far + roc.frr
    best = (errors <= errors.min() + 1e-12).nonzero().squeeze(1)
    return _between(roc, int(best[len(best) // 2]))


def threshold_at_far(roc: Roc, far: float) -> OperatingPoint:
    """The lowest threshold that accepts at most this share of different pairs."""
    if not 0 <= far <= 1:
        raise ValueError(f"far is {far}, must lie in 0 to 1.")
    return _between(roc, int((roc.far <= far + 1e-12).nonzero()[0]))


def threshold_at_frr(roc: Roc, frr: float) -> OperatingPoint:
    """The highest threshold that refuses at most this share of same pairs."""
    if not 0 <= frr <= 1:
        raise ValueError(f"frr is {frr}, must lie in 0 to 1.")
    return _between(roc, int((roc.frr <= frr + 1e-12).nonzero()[-1]))


def named_points(roc: Roc) -> dict[str, OperatingPoint]:
    """The three thresholds that people choose among, by the names in NAMED_POINTS.

    "strict" accepts at most 1 % of the forgeries, "balanced" errs alike both ways, "lenient" refuses at most 1 % of
    the genuine ones. Where the scores are parted so well that the order would turn round, all three are "balanced".
    """
    balanced = equal_error_point(roc)
    strict, lenient = threshold_at_far(roc, STRICT_FAR), threshold_at_frr(roc, LENIENT_FRR)
    if not lenient.threshold <= balanced.threshold <= strict.threshold:
        strict = lenient = balanced
    return dict(zip(NAMED_POINTS, (strict, balanced, lenient), strict=True))


def error_curve(roc: Roc, points: int = CURVE_POINTS) -> ErrorCurve:
    """At most `points` points of an ROC with finite thresholds, evenly spread over the changes of both rates."""
    finite = roc.threshold.isfinite()
    threshold, far, frr = (part[finite] for part in (roc.threshold, roc.far, roc.frr))
    way = frr - far  # rises from -1; every change of either rate moves it
    wanted = torch.linspace(way[0].item(), way[-1].item(), points, dtype=torch.float64)
    places = torch.searchsorted(way.contiguous(), wanted).clamp(max=len(way) - 1).unique()
    return ErrorCurve(*(tuple(part[places].tolist()) for part in (threshold, far, frr)))


def equal_error_interval(
    same: Sequence[Float[Tensor, " _"]],
    different: Sequence[Float[Tensor, " _"]],
    generator: torch.Generator,
    samples: int = 1_000,
) -> tuple[float, float]:
    """The 95 % interval of the equal error rate by bootstrap over writers.

    Scores of one writer depend on each other, so whole writers are drawn, with replacement, and the rates are those
    of all scores drawn together. With few writers such an interval is rather too narrow.

    Args:
        same: For each writer the scores of same pairs.
        different: For each writer the scores of different pairs.
        generator: Source of the draws.
        samples: Number of draws.

    Raises:
        ValueError: A writer lacks one kind.

    Source:
        Efron, "Better bootstrap confidence intervals" (1987), bias-corrected and accelerated; of percentiles where
        the draws are too much alike for that.
    """
    for ours, theirs in zip(same, different, strict=True):
        _require_scores(ours, theirs)
    levels = torch.cat([*same, *different]).double().unique()
    if len(levels) > LEVELS:
        levels = levels[torch.linspace(0, len(levels) - 1, LEVELS).round().long()]
    levels = torch.cat([levels, levels.new_full((1,), torch.inf)])
    refused = torch.stack([torch.searchsorted(s.double().sort().values, levels) for s in same]).double()
    passed = torch.stack([len(d) - torch.searchsorted(d.double().sort().values, levels) for d in different]).double()
    counts = torch.tensor([[len(s), len(d)] for s, d in zip(same, different, strict=True)], dtype=torch.float64)

    def rate(writers: Int64[np.ndarray, "*draws drawn"], axis: int = -1) -> Float64[np.ndarray, "*draws"]:
        drawn = torch.from_numpy(np.moveaxis(writers, axis, -1))
        times = torch.zeros(*drawn.shape[:-1], len(same), dtype=torch.float64)
        times = times.scatter_add(-1, drawn, torch.ones_like(drawn, dtype=torch.float64))  # each writer is drawn
        total = times @ counts
        far, frr = times @ passed / total[..., 1:], times @ refused / total[..., :1]
        gap = far - frr  # as in `equal_error_point`, of all draws at once
        after = (gap <= 0).int().argmax(-1, keepdim=True)
        far_before, far_after, gap_before, gap_after = (
            values.gather(-1, place) for values in (far, gap) for place in (after - 1, after)
        )
        share = gap_before / (gap_before - gap_after)
        return (far_before + share * (far_after - far_before)).squeeze(-1).numpy()

    from scipy.stats import bootstrap  # takes half a second to import, and only evaluation needs it

    writers = np.arange(len(same))
    seed = int(torch.randint(2**31, (), generator=generator))
    for method in ("BCa", "percentile") if len(same) > 1 else ():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of draws that are all alike: the next method takes over
            found = bootstrap(
                (writers,),
                rate,
                n_resamples=samples,
                batch=DRAWS_AT_ONCE,
                vectorized=True,
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        if np.isfinite(found).all():
            return float(found.low), float(found.high)
    point = float(rate(writers))
    return point, point


def calibration(similarity: Float[Tensor, " pairs"], same: Bool[Tensor, " pairs"], bins: int = 20) -> Calibration:
    """How often pairs of a similarity were the same.

    Neighbouring bins in which the share would fall are joined (pool adjacent violators), so that a higher similarity
    never promises less. scikit-learn's IsotonicRegression pools the same way but keeps no bins.

    Args:
        similarity: In [0, 1].
        same: Whether a pair is the same.
        bins: At most so many, that hold about equally many pairs.

    Raises:
        ValueError: There are no pairs.
    """
    if len(similarity) == 0:
        raise ValueError("A calibration needs at least one pair.")
    order = similarity.double().argsort(stable=True)
    ordered, hits = similarity.double()[order], same[order].double()
    # Equal similarities stay together: a bin begins where the value changes.
    wanted = ordered[(torch.arange(1, bins) * len(ordered)) // bins]
    edges = [edge for edge in wanted.unique().tolist() if ordered[0] < edge and 0 < edge < 1]
    starts = [0, *torch.searchsorted(ordered, torch.tensor(edges, dtype=torch.float64)).tolist(), len(ordered)]
    pooled: list[tuple[float, int, float]] = []  # same pairs, pairs, lower edge
    for lower, begin, end in zip([0.0, *edges], starts[:-1], starts[1:], strict=True):
        total, count = hits[begin:end].sum().item(), end - begin
        while pooled and pooled[-1][0] / pooled[-1][1] >= total / count:
            earlier_total, earlier_count, lower = pooled.pop()
            total, count = total + earlier_total, count + earlier_count
        pooled.append((total, count, lower))
    return Calibration((*(lower for _, _, lower in pooled), 1.0), tuple(total / count for total, count, _ in pooled))


def _between(roc: Roc, index: int) -> OperatingPoint:
    """The operating point of this index, its threshold moved half-way to the next score below: the same answers."""
    high, low = roc.threshold[index].item(), roc.threshold[max(0, index - 1)].item()
    threshold = low + 1e-9 * max(1.0, abs(low)) if high == torch.inf else (low + high) / 2
    return OperatingPoint(threshold, roc.far[index].item(), roc.frr[index].item())


def _require_scores(same: Tensor, different: Tensor) -> None:
    if len(same) == 0 or len(different) == 0:
        raise ValueError(f"Error rates need pairs of both kinds: there are {len(same)} same and {len(different)}.")
    if not (same.isfinite().all() and different.isfinite().all()):
        raise ValueError("Error rates need finite scores.")

"""One score from the network and the stroke features of two signatures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from siamese.signatures.features import StrokeFeatures, hinge_distances, profile_distances


@dataclass(frozen=True)
class ScoreFusion:
    """A linear combination of the network's logit and two distances; fitted on writers that the network had not seen.

    Written into a checkpoint's config.json and read from there.
    """

    bias: float
    network: float
    """Weight of the network's logit; not negative."""
    hinge: float
    """Weight of `hinge_distances`; not positive."""
    profile: float
    """Weight of `profile_distances`; not positive."""
    network_middle: float
    """Half-way between the means of forged and of genuine pairs, as the next two: speaks for neither, see `parts`."""
    hinge_middle: float
    profile_middle: float

    def __post_init__(self) -> None:
        if not all(map(np.isfinite, vars(self).values())):
            raise ValueError("The fusion of network and stroke features must be of finite numbers.")
        if self.network < 0 or self.hinge > 0 or self.profile > 0:
            raise ValueError(
                f"The fusion's weights are {self.network}, {self.hinge} and {self.profile} for network, hinge and "
                "profile: the first must not be negative, the others not positive."
            )

    def logits(
        self, network: Float[Tensor, "n m"], first: StrokeFeatures, second: StrokeFeatures
    ) -> Float64[Tensor, "n m"]:
        """Fused logits of all pairs.

        Args:
            network: The network's logits of the same pairs.
            first: Features of n signatures.
            second: Features of m signatures.
        """
        logits = self.bias + self.network * network.cpu().double()
        if self.hinge:
            logits = logits + self.hinge * hinge_distances(first, second)
        if self.profile:
            logits = logits + self.profile * profile_distances(first, second)
        return logits

    def parts(
        self, network: Float[Tensor, "n m"], first: StrokeFeatures, second: StrokeFeatures
    ) -> dict[str, Float64[Tensor, "n m"]]:
        """What "network", "hinge" and "profile" each add to the logits: above 0 speaks for the same hand."""
        return {
            "network": self.network * (network.cpu().double() - self.network_middle),
            "hinge": self.hinge * (hinge_distances(first, second) - self.hinge_middle),
            "profile": self.profile * (profile_distances(first, second) - self.profile_middle),
        }


def fusion_in(verification: Mapping) -> ScoreFusion | None:
    """The fusion that the entry "verification" of a checked config.json holds; None where it has none."""
    entry = verification.get("fusion")
    return ScoreFusion(**{name: float(value) for name, value in entry.items()}) if entry else None

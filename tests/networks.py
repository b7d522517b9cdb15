"""Networks for tests in which the width does not matter: 28,000 parameters, made in a moment."""

import torch

from siamese.network import NetworkConfig, SiameseNetwork
from train.config import TrainConfig

NARROW = NetworkConfig(channels=(4, 8, 8, 16), embedding_units=48)


def narrow_network(seed: int = 0, **options: object) -> SiameseNetwork:
    """A network of `NARROW` width in evaluation mode; `options` are other fields of NetworkConfig."""
    config = NetworkConfig(**{"channels": NARROW.channels, "embedding_units": NARROW.embedding_units, **options})
    return SiameseNetwork(config, generator=torch.Generator().manual_seed(seed)).eval()


def initial_network(config: TrainConfig) -> SiameseNetwork:
    """The network that a run by this config begins with."""
    return SiameseNetwork(config.network, config.initialisation, torch.Generator().manual_seed(config.seed))

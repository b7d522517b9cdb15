"""Random generators of training: what a step samples depends only on the seed and the number of the step."""

import torch


def step_generator(seed: int, step: int) -> torch.Generator:
    """Returns the generator of one step, which does not depend on earlier steps."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % (1 << 63))

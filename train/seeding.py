"""Random generators of training: what a step draws depends on the seed and its number alone."""

import torch


def step_generator(seed: int, step: int) -> torch.Generator:
    """Makes the generator of one step; it depends on nothing that came before."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % (1 << 63))

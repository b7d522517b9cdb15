"""Compact storage of weights: the large layer as int8 with a scale for each row, the rest as float16."""

import torch
from jaxtyping import Float, Float32, Int8
from torch import Tensor

LARGE_TENSOR = "embedding.weight"  # 97 % of the parameters
SCALE_TENSOR = "embedding.weight_scale"
SCALE_SHARES = (1.0, 0.97, 0.94, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)  # of the largest weight of a row, tried in turn
ROWS_AT_ONCE = 256  # 9 MB


def quantise(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Converts float tensors to the storage "int8"; values beyond the range of float16 become infinite."""
    whole, scale = quantise_rows(tensors[LARGE_TENSOR])
    others = {name: tensor for name, tensor in tensors.items() if name != LARGE_TENSOR}
    return in_float16(others) | {LARGE_TENSOR: whole, SCALE_TENSOR: scale}


def dequantise(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Restores float32 tensors from what `quantise` returned."""
    tensors = {name: tensor.float() for name, tensor in stored.items() if name not in (LARGE_TENSOR, SCALE_TENSOR)}
    return tensors | {LARGE_TENSOR: stored[LARGE_TENSOR].float().mul_(stored[SCALE_TENSOR][:, None])}


def in_float16(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half() for name, tensor in tensors.items()}


def quantise_rows(
    weight: Float[Tensor, "rows columns"],
) -> tuple[Int8[Tensor, "rows columns"], Float32[Tensor, " rows"]]:
    """Rounds weights to whole numbers in [-127, 127] with one scale for each row: weight ~ whole * scale.

    The largest weights of a row are clipped where that lowers the squared error of the whole row; the scale is the
    least-squares one for the whole numbers found. Rows that come from such numbers give them again.
    """
    whole = torch.empty(weight.shape, dtype=torch.int8)
    scales = torch.empty(len(weight))
    for start in range(0, len(weight), ROWS_AT_ONCE):
        rows = weight[start : start + ROWS_AT_ONCE].float()
        largest = rows.abs().amax(1, keepdim=True).clamp(min=1e-30)
        best_error = torch.full((len(rows), 1), torch.inf)
        best, best_scale = torch.zeros_like(rows), largest / 127
        for share in SCALE_SHARES:
            candidate = (rows * (127 / (share * largest))).round_().clamp_(-127, 127)
            norm = candidate.square().sum(1, keepdim=True).clamp(min=1)
            scale = (rows * candidate).sum(1, keepdim=True) / norm
            error = (rows - candidate * scale).square_().sum(1, keepdim=True)
            better = error < best_error
            best = torch.where(better, candidate, best)
            best_scale = torch.where(better, scale, best_scale)
            best_error = torch.where(better, error, best_error)
        exact_whole, exact_scale = (rows * (127 / largest)).round_(), largest / 127
        for scale in (exact_scale, *(exact_scale.nextafter(torch.tensor(end)) for end in (0.0, torch.inf))):
            is_exact = (exact_whole * scale == rows).all(1, keepdim=True)
            best, best_scale = torch.where(is_exact, exact_whole, best), torch.where(is_exact, scale, best_scale)
        whole[start : start + ROWS_AT_ONCE] = best.to(torch.int8)
        scales[start : start + ROWS_AT_ONCE] = best_scale[:, 0]
    return whole, scales

"""Training in several processes: each embeds its part of the batch, and all compute the loss of the whole batch.

Start them with `torchrun --nproc-per-node N -m train fit ...` or, on GPUs, with
`accelerate launch --multi_gpu -m train fit ...`. Several machines must share the folder of the run. The batch of a step
depends only on the seed and the step, so each process samples the whole batch and takes its part. Gradients and the
statistics of batch normalisation equal those of a single process up to rounding. Without a launcher the functions of
this module do nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from siamese.network import BatchNorm, SiameseNetwork
from train.errors import CommandError


class DistributedError(CommandError):
    """The processes cannot train together; the message is one sentence for the user."""


@contextmanager
def processes(device: torch.device) -> Iterator[torch.device]:
    """Connects the processes that a launcher started, if there is one.

    Args:
        device: The device asked for.

    Yields:
        The device of this process: with CUDA that of its local rank.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def count() -> int:
    """Returns the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Returns the number of this process, counted from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def own_part(images: Float[Tensor, "batch 1 105 105"]) -> Float[Tensor, "part 1 105 105"]:
    """Returns the part of a batch that this process embeds.

    Raises:
        DistributedError: The batch cannot be divided evenly among the processes.
    """
    if len(images) % count():
        raise DistributedError(
            f"A batch of {len(images)} images cannot be shared evenly among {count()} processes; "
            "change characters or drawers."
        )
    return images.chunk(count())[rank()]


def all_gather(part: Float[Tensor, "part units"]) -> Float[Tensor, "batch units"]:
    """Returns the parts of all processes, in the order of their ranks; gradients flow back to the own part."""
    return _Gather.apply(part) if dist.is_initialized() else part


def average_gradients(network: nn.Module) -> None:
    """Replaces the gradients of each process with their mean over all processes."""
    if dist.is_initialized():
        for parameter in network.parameters():
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.grad /= count()


def any_rank(yes: bool, device: torch.device) -> bool:
    """Whether `yes` is true in any process, so that all leave the loop at the same step."""
    if not dist.is_initialized():
        return yes
    vote = torch.tensor(float(yes), device=device)
    dist.all_reduce(vote, dist.ReduceOp.MAX)
    return bool(vote)


def broadcast(value: float, device: torch.device) -> float:
    """Returns the value of the first process."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return shared.item()


def wait() -> None:
    """Waits until every process has called this function."""
    if dist.is_initialized():
        dist.barrier()


def share_statistics(network: SiameseNetwork) -> None:
    """Makes batch normalisation use the statistics of the whole batch; call it before the optimiser is made."""
    if dist.is_initialized() and network.config.batch_norm:
        for place, norm in enumerate(network.convolution_norms):
            if isinstance(norm, torch.nn.BatchNorm2d):  # a frozen layer has none
                network.convolution_norms[place] = _WholeBatchNorm.like(norm)
        network.embedding_norm = _WholeBatchNorm.like(network.embedding_norm)


class _Gather(torch.autograd.Function):
    """Gathers the parts of all processes.

    Every process computes the loss of the whole batch, so the gradient of its own part needs no communication. It is
    multiplied by the number of processes because `average_gradients` divides by it.
    """

    @staticmethod
    def forward(ctx: object, part: Tensor) -> Tensor:
        parts = [torch.empty_like(part) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient.chunk(dist.get_world_size())[dist.get_rank()] * dist.get_world_size()


class _Mean(torch.autograd.Function):
    """Averages a value over the processes; each value enters the mean of all, so gradients are averaged as well."""

    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return _Mean.forward(ctx, gradient)


class _WholeBatchNorm(BatchNorm):
    """Batch normalisation over the parts of all processes; `torch.nn.SyncBatchNorm` does not support CPUs."""

    @classmethod
    def like(cls, norm: BatchNorm) -> "_WholeBatchNorm":
        whole = cls(norm.num_features, norm.eps, norm.momentum).to(norm.weight)
        whole.load_state_dict(norm.state_dict())
        return whole.train(norm.training)

    def _check_input_dim(self, _features: Tensor) -> None:
        """Accepts any number of dimensions from 2; the second one holds the channels."""

    def forward(self, features: Float[Tensor, "part channels *size"]) -> Float[Tensor, "part channels *size"]:
        if not self.training:
            return super().forward(features)
        wide = features.to(torch.promote_types(features.dtype, torch.float32))  # bfloat16 is too coarse for sums
        others = [place for place in range(wide.ndim) if place != 1]
        shape = [-1 if place == 1 else 1 for place in range(wide.ndim)]
        mean = _Mean.apply(wide.mean(others))
        centred = wide - mean.view(shape)
        variance = _Mean.apply(centred.square().mean(others))
        assert self.running_mean is not None  # `like` copies a layer that keeps statistics
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        with torch.no_grad():
            values = wide.numel() // len(mean) * dist.get_world_size()
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_((variance * (values / (values - 1))).to(self.running_var), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(shape) + self.bias.view(shape)).to(features.dtype)

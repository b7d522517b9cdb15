"""The training loop of both tasks: steps, losses, schedule, validation, and what is saved on the way."""

import ctypes
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from siamese.inference.device import fastest_precision
from siamese.network import SiameseNetwork
from train import distributed
from train.augment import to_device
from train.config import TrainConfig
from train.errors import CommandError
from train.seeding import step_generator
from train.state import (
    append_metrics,
    best_weights,
    has_state,
    keep_metrics_until,
    restore_state,
    save_best,
    save_state,
)

SAVE_EVERY_S = 45
READ_EVERY = 20  # steps between two reads of the losses on a GPU


class TrainingError(CommandError):
    """Training cannot continue; the message is one sentence for the user."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    steps: int
    """Steps taken since the beginning of the run."""
    finished: bool
    """False if a signal or the time limit stopped the run before its last step; it can then be resumed."""
    images: int
    """Images embedded in training, counted with repetition."""
    validation_accuracy: float | None
    """Accuracy of the returned weights on the held-out data, in [0, 1]; None if they were not validated."""


@dataclass(frozen=True)
class Task:
    """The loss and the validation of a run; the loop itself is the same for characters and signatures."""

    step_loss: Callable[[SiameseNetwork, int], Tensor]
    """Loss of a step, given the network and the number of the step; depends on nothing else but the seed."""
    accuracy: Callable[[SiameseNetwork], float] | None
    """Accuracy on the held-out data, in [0, 1]; None if nothing is held out."""
    measure: str
    """What the accuracy counts, as shown to the user, such as "20-way trials in held-out alphabets"."""


def fit(
    network: SiameseNetwork,
    task: Task,
    config: TrainConfig,
    output: Path,
    device: torch.device,
    resume: bool = False,
    max_minutes: float = math.inf,
    report: Callable[[dict], None] | None = None,
    improved: Callable[[SiameseNetwork, Outcome], None] | None = None,
) -> Outcome:
    """Trains a network in place until the last step, the time limit or a signal.

    At the end the network holds the weights to export: the best ones with `config.patience`, else the averaged ones
    with `config.weight_average`, else the last ones. When several processes train together, all of them call this
    function and the first one writes the files.

    Args:
        network: The network to train.
        task: What it learns from and is validated on.
        config: The recipe.
        output: Folder of the run; the state and the metrics are written here.
        device: Where to train.
        resume: Whether to continue from the state in `output`, if there is one.
        max_minutes: Time limit in minutes; the state is saved when it is reached.
        report: Called with each line of metrics.jsonl.
        improved: Called with the network and its outcome after each validation that is the best so far, except the
            last one.

    Returns:
        How the run ended.

    Raises:
        TrainingError: The loss or a gradient is infinite or NaN. The weights have not been changed by that step, so
            the state saved last is sound.
        StateError: The state cannot be read or written, or belongs to another recipe.
    """
    first = distributed.is_first()
    reuse_large_buffers()
    network.to(device).to(memory_format=torch.channels_last).train()
    distributed.share_statistics(network)
    optimizer = make_optimizer(network, config)
    average = averaged(network, config.weight_average) if config.weight_average else None
    measured = network if average is None else cast(SiameseNetwork, average.module)
    step, best = 0, (0.0, 0)
    if resume and has_state(output):
        step, best = restore_state(output, network, optimizer, config, average)
    if first:
        keep_metrics_until(output, step)
    accuracy, began = best[0] if best[1] == step > 0 else None, time.monotonic()
    saved, deferred = began, DeferredMetrics(device)

    def write(lines: list[dict]) -> None:
        for line in lines if first else []:
            append_metrics(output, line)
            if report:
                report(line)

    def must_stop() -> bool:
        return distributed.any_rank(bool(stop) or time.monotonic() - began >= 60 * max_minutes, device)

    progress = tqdm(total=config.steps, initial=step, unit="step", desc="training", disable=not first)
    with progress as bar, stop_request() as stop:
        while step < config.steps and not out_of_patience(config, step, best) and not must_stop():
            if config.network.dropout:  # drop-out draws from PyTorch's global generator
                torch.manual_seed(step_generator(config.seed, step).initial_seed() ^ distributed.rank())
            loss = task.step_loss(network, step)
            norm = take_step(network, optimizer, loss, config, step, deferred.broken)
            if average is not None:
                average.update_parameters(network)
            step += 1
            bar.update()
            line = {
                "step": step,
                "images": step * config.images_a_step,
                "learning_rate": learning_rate(config, step - 1),
            }
            line["seconds"] = round(time.monotonic() - began, 2)
            deferred.add(line, loss, norm)
            accuracy = None
            validate = task.accuracy if step % config.validate_every == 0 or step == config.steps else None
            if not (validate or deferred.is_long or time.monotonic() - saved > SAVE_EVERY_S):
                continue
            lines = deferred.read()
            bar.set_postfix(
                loss=f"{line['loss']:.3f}",
                images_s=f"{config.images_a_step * (bar.format_dict['rate'] or 0):.0f}",
                refresh=False,
            )
            if validate:
                accuracy = distributed.broadcast(validate(measured), device)
                line |= {"validation_accuracy": accuracy, "seconds": round(time.monotonic() - began, 2)}
                if first:
                    bar.write(f"step {step}: {accuracy:.2%} of {task.measure}, before {best[0]:.2%}")
                if accuracy > best[0]:
                    best = (accuracy, step)
                    if config.patience and first:
                        save_best(output, measured)
                    if improved and first and step < config.steps:
                        improved(measured, Outcome(step, False, step * config.images_a_step, accuracy))
            write(lines)
            if first and time.monotonic() - saved > SAVE_EVERY_S:
                save_state(output, network, optimizer, config, step, best, average)
                saved = time.monotonic()
    write(deferred.read())
    if first:
        save_state(output, network, optimizer, config, step, best, average)
    distributed.wait()  # the other processes read the best weights, which the first one writes
    finished = step == config.steps or out_of_patience(config, step, best)
    if config.patience and finished and best[1]:
        network.load_state_dict(best_weights(output))
        accuracy = best[0]
    elif average is not None:
        network.load_state_dict(measured.state_dict())
    network.eval()
    return Outcome(step, finished, step * config.images_a_step, accuracy)


def averaged(network: SiameseNetwork, decay: float) -> AveragedModel:
    """Returns a copy of a network that keeps the exponential moving average of its weights and statistics.

    Args:
        network: The network that is trained.
        decay: Weight of the earlier average at each step, in (0, 1).
    """
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def out_of_patience(config: TrainConfig, step: int, best: tuple[float, int]) -> bool:
    """Whether `config.patience` validations have passed since the best one; `best` is its accuracy and step."""
    return bool(config.patience) and step - best[1] >= config.patience * config.validate_every


class DeferredMetrics:
    """Collects lines of metrics and reads their losses from the device several steps at a time.

    Reading each loss at once would make a GPU wait for the CPU. A loss that is not finite is therefore noticed some
    steps later; until then the optimiser leaves the weights unchanged, see `take_step`.
    """

    def __init__(self, device: torch.device, every: int | None = None) -> None:
        """Creates an empty collection.

        Args:
            device: Where the losses are.
            every: Number of steps read at once; by default 1 on a CPU and READ_EVERY on a GPU.
        """
        self.every = every or (1 if device.type == "cpu" else READ_EVERY)
        self.broken = torch.zeros((), device=device) if self.every > 1 else None
        self._lines: list[tuple[dict, Float[Tensor, ""], Float[Tensor, ""]]] = []

    @property
    def is_long(self) -> bool:
        """Whether it is time to read the losses."""
        return len(self._lines) >= self.every

    def add(self, line: dict, loss: Float[Tensor, ""], norm: Float[Tensor, ""]) -> None:
        """Adds the line of a step, its loss and the norm of its gradients."""
        self._lines.append((line, loss.detach(), norm))

    def read(self) -> list[dict]:
        """Returns the lines added since the last call, each with its loss.

        Raises:
            TrainingError: A loss or a gradient is infinite or NaN.
        """
        lines = [line for line, _, _ in self._lines]
        if lines:
            values = torch.stack([value.float() for _, *pair in self._lines for value in pair]).view(-1, 2).tolist()
            self._lines.clear()
            for line, (loss, norm) in zip(lines, values, strict=True):
                check_numbers(line["step"] - 1, loss, norm)
                line["loss"] = loss
        return lines


def check_numbers(step: int, loss: float, norm: float) -> None:
    """Raises TrainingError if the loss, or the norm of all gradients, is infinite or NaN."""
    if not math.isfinite(loss):
        raise TrainingError(f"The loss of step {step} is {loss}; try a lower learning_rate.")
    if not math.isfinite(norm):
        raise TrainingError(f"A gradient of step {step} is infinite or NaN; try a lower learning_rate.")


def take_step(
    network: SiameseNetwork,
    optimizer: torch.optim.Optimizer,
    loss: Float[Tensor, ""],
    config: TrainConfig,
    step: int,
    broken: Float[Tensor, ""] | None = None,
) -> Float[Tensor, ""]:
    """Computes the gradients and takes one step of the optimiser.

    Args:
        network: The network that is trained.
        optimizer: As `make_optimizer` makes it.
        loss: Loss of the step.
        config: The recipe.
        step: Number of the step, counted from 0.
        broken: A flag on the device of the network, or None. With a flag nothing is raised: it is set to 1, and while
            it is 1 a fused optimiser leaves the weights unchanged.

    Returns:
        The norm of all gradients.

    Raises:
        TrainingError: The loss or a gradient is infinite or NaN and there is no flag; the weights are unchanged.
    """
    optimizer.zero_grad()
    loss.backward()
    distributed.average_gradients(network)
    norm = torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
    if broken is None:
        check_numbers(step, loss.item(), norm.item())
    else:
        broken.copy_(torch.maximum(broken, (~(loss.detach() + norm).isfinite()).float()))
        optimizer.found_inf = broken  # type: ignore[attr-defined]  # fused ones read it, as gradient scaling sets it
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, step) * group["rate"]
        if config.optimiser == "sgd":
            group["momentum"] = momentum(config, step)
    optimizer.step()
    if config.distance_head:
        network.keep_head_a_distance()
    return norm


def pictures(prepared: UInt8[Tensor, "drawings layers 105 105"], rows: Tensor) -> Float[Tensor, "batch layers 105 105"]:
    """Returns some of the prepared drawings as floats: ink 1, paper 0."""
    return prepared[to_device(rows, prepared.device)].float() / 255


def embed(network: SiameseNetwork, images: Float[Tensor, "batch 1 105 105"]) -> Float[Tensor, "batch units"]:
    """Embeds a batch, each process its own part, and returns the embeddings of the whole batch in float32."""
    precision = fastest_precision(images.device)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == torch.bfloat16):
        part = network.embed(distributed.own_part(images).contiguous(memory_format=torch.channels_last))
    return distributed.all_gather(part.float())


def make_optimizer(network: SiameseNetwork, config: TrainConfig) -> torch.optim.Optimizer:
    """Returns the optimiser of the recipe.

    Weight decay applies to matrices and kernels only, not to biases or normalisation. Each parameter group holds its
    layer's factor on the learning rate under "rate".
    """
    rates = config.layer_rates or (1.0,) * (len(network.convolutions) + 2)
    layers: list[list[torch.nn.Module]] = [
        [layer] for layer in [*network.convolutions, network.embedding, network.head]
    ]
    if network.config.batch_norm:
        for layer, norm in zip(layers, [*network.convolution_norms, network.embedding_norm], strict=False):
            layer.append(norm)
    groups = []
    for rate, modules in zip(rates, layers, strict=True):
        parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
        for decays, decay in ((True, config.weight_decay), (False, 0.0)):
            members = [p for p in parameters if (p.ndim > 1) == decays]
            if members:
                groups.append({"params": members, "weight_decay": decay, "rate": rate})
    if config.optimiser == "sgd":
        fused = network.head.weight.device.type == "cuda" or None  # only a fused optimiser reads `found_inf`
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum[0], fused=fused)
    kind = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.learning_rate, fused=True)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Returns the learning rate of a step, counted from 0: a linear warm-up, then the schedule."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "decay":
        return config.learning_rate * config.decay ** (step // config.decay_every)
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def momentum(config: TrainConfig, step: int) -> float:
    """Returns the momentum of SGD at a step, counted from 0, which rises linearly and then stays.

    Source: Koch et al. (2015), section 3.2.
    """
    low, high, decays = config.momentum
    return low + (high - low) * min(1.0, step / config.decay_every / decays)


def freeze_layers(network: SiameseNetwork, config: TrainConfig) -> None:
    """Excludes frozen convolutions, and the 9216 x 4096 layer if it is shared, from training.

    Of the normalisation after the shared layer only the shift is trained, so that folding it in on export does not
    change the layer's weights.
    """
    network.freeze_convolutions(config.frozen_convolutions)
    if config.shared_embedding:
        network.embedding.weight.requires_grad_(False)
        if config.network.batch_norm:
            network.embedding.bias.requires_grad_(False)
            network.embedding_norm.weight.requires_grad_(False)


def keep_statistics(network: SiameseNetwork, config: TrainConfig) -> None:
    """Keeps the normalisation after a shared 9216 x 4096 layer in evaluation mode, with its earlier statistics."""
    if config.network.batch_norm and config.shared_embedding:
        network.embedding_norm.eval()


@contextmanager
def stop_request() -> Iterator[list[int]]:
    """Catches SIGINT and SIGTERM; yields a list to which each is added, so that a run can end between two steps."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked  # Python lets only the main thread handle signals
        return
    before = {s: signal.signal(s, lambda number, _frame: asked.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def reuse_large_buffers() -> None:
    """Tells glibc to keep freed memory instead of returning it to the kernel.

    Most activations are larger than glibc's threshold for mapping a block separately, so each step would otherwise
    fault in hundreds of MB of new pages: 63 images/s without this, 156 with it, on two cores.
    """
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):  # on Windows
        return
    if hasattr(libc, "mallopt"):
        mmap_max, trim_threshold, top_pad = -4, -1, -2  # malloc.h
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, -1)
        libc.mallopt(top_pad, 1 << 28)

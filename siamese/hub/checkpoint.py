"""Saves a network to a folder with `model.safetensors` and `config.json`, and loads it with all its checks."""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from jaxtyping import Float32
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as serialise_safetensors
from torch import Tensor

from siamese.hub.files import flush_folder, read_bounded, replace_file
from siamese.hub.quantise import LARGE_TENSOR, SCALE_TENSOR, dequantise, in_float16, quantise
from siamese.hub.schema import FORMAT, CheckpointError, Storage, checked, network_config, network_entry
from siamese.network import SiameseNetwork
from siamese.preprocessing import Preprocessing

BASES = Path(__file__).parents[1] / "pretrained"  # where a checkpoint that shares a layer finds the one that has it
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
CARD_FILE = "README.md"
PREVIOUS_WEIGHTS_FILE = "model.previous.safetensors"  # exists only during a save, or after one that was cut off
WEIGHTS_LIMIT_BYTES = 200_000_000  # 38,951,745 float32 numbers take 155.8 million
CONFIG_LIMIT_BYTES = 40_000_000  # two SHA-256 of each of 200,000 signatures take 31 million


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint."""

    network: SiameseNetwork
    """In evaluation mode, float32, without batch normalisation."""
    preprocessing: Preprocessing
    """How ink must be prepared before this network sees it."""
    config: dict
    """The whole of config.json, see `siamese.hub.schema`."""


def save_checkpoint(
    folder: Path | str,
    network: SiameseNetwork,
    preprocessing: Preprocessing,
    storage: Storage = "float32",
    verification: dict | None = None,
    training: dict | None = None,
    figures: dict | None = None,
    base: str | None = None,
) -> None:
    """Writes the network, batch normalisation folded in, and what must be known to use it.

    A checkpoint that is there already stays loadable until the new one is complete, whatever interrupts.

    Args:
        folder: Created where it is missing.
        network: On any device.
        preprocessing: How ink must be prepared before the network sees it.
        storage: "float32" holds plainly named float tensors. "int8" holds the 9216 x 4096 layer as int8 with one
            scale for each row and the rest as float16 (40 MB). "shared" holds all but that layer as float16 (2.5 MB)
            and names `base`.
        verification: Thresholds, calibration and error rates, see `siamese.hub.schema.VerificationEntry`.
        training: What the weights were trained on.
        figures: A report of the evaluation command.
        base: For "shared": the bundled checkpoint that has the layer; it is named with the SHA-256 of its weights.

    Raises:
        CheckpointError: A tensor holds NaN or infinity or does not fit the storage, JSON cannot hold an entry, the
            layer is not the base's to the bit, or the disk does not take the files.
    """
    if storage not in get_args(Storage):
        raise CheckpointError(f"storage is {storage!r}, must be one of {', '.join(get_args(Storage))}.")
    if (storage == "shared") != (base is not None):
        raise CheckpointError('A base is required for the storage "shared" and not allowed for others.')
    plain = network.folded() if network.config.batch_norm else network
    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in plain.state_dict().items()}
    check_finite(tensors, "cannot be saved")
    base_entry = None
    if base is not None:
        base_entry = {"name": base, "weights_sha256": read_config(BASES / base)["weights_sha256"]}
        if not torch.equal(tensors.pop(LARGE_TENSOR), base_layer(base_entry, Path(folder))):
            raise CheckpointError(
                f"The 9216 x 4096 layer is not the one of the bundled checkpoint {base!r}: store the network whole."
            )
        tensors = in_float16(tensors)
    elif storage == "int8":
        tensors = quantise(tensors)
    check_finite(tensors, f'cannot be stored as "{storage}"')
    weights = serialise_safetensors(tensors)
    entries = {
        "format": FORMAT,
        "network": network_entry(network.config),
        "preprocessing": preprocessing.as_dict(),
        "storage": storage,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "base": base_entry,
        "verification": verification,
        "training": training,
        "figures": figures,
    }
    config = checked({key: value for key, value in entries.items() if value is not None}, Path(folder) / CONFIG_FILE)
    replace_files(Path(folder), {WEIGHTS_FILE: weights, CONFIG_FILE: as_json(config)})


def load_checkpoint(
    folder: Path | str, device: torch.device | str = "cpu", known_layers: dict[str, Tensor] | None = None
) -> Checkpoint:
    """Reads a checkpoint of any storage.

    Args:
        folder: Holds model.safetensors and config.json.
        device: Where the network goes.
        known_layers: Large layers that are in memory already, by the SHA-256 of the weights they came with; one that
            the checkpoint shares is taken from there and not read again.

    Returns:
        The network, whole and float32, and its papers.

    Raises:
        CheckpointError: config.json is not complete, the weights are not the ones it was written with (by SHA-256; a
            base's too), or names, shapes and types of the tensors are not exactly the network's, all finite.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"There is no checkpoint at {folder}: no such folder.")
    config = read_config(folder)
    with torch.device("meta"):  # the weights come from the file, so none are drawn
        network = SiameseNetwork(network_config(config["network"]))
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    tensors = read_tensors(folder, config, shapes)
    if config["storage"] == "shared":
        known = (known_layers or {}).get(config["base"]["weights_sha256"])
        tensors[LARGE_TENSOR] = base_layer(config["base"], folder) if known is None else known
        if tensors[LARGE_TENSOR].shape != shapes[LARGE_TENSOR]:
            raise CheckpointError(f"{folder} shares a layer with a network of other widths.")
    network.load_state_dict(tensors, strict=True, assign=True)
    return Checkpoint(network.to(device).eval(), preprocessing_of(config), config)


def preprocessing_of(config: dict) -> Preprocessing:
    """Of a checked config; what it leaves out has the default."""
    defaults = Preprocessing().as_dict()
    return Preprocessing(**{name: type(defaults[name])(value) for name, value in config["preprocessing"].items()})


def read_config(folder: Path | str) -> dict:
    """config.json, checked, under the names of this version.

    Raises:
        CheckpointError: It cannot be read or lacks what a loader needs.
    """
    path = Path(folder) / CONFIG_FILE
    try:
        config = json.loads(read_bounded(path, CONFIG_LIMIT_BYTES), parse_constant=refuse_constant)
    except CheckpointError:
        raise
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}.") from error
    return checked(config, path)


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def as_json(config: dict) -> bytes:
    try:
        return (json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"config.json cannot hold what was given: {error}.") from error


def read_tensors(folder: Path, config: dict, shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """The tensors that the folder holds, as float32; without the large layer where that is shared."""
    try:
        tensors = parse_safetensors(read_weights(folder, config["weights_sha256"]))
    except SafetensorError as error:
        raise CheckpointError(f"{folder / WEIGHTS_FILE} is not a safetensors file: {error}.") from error
    check_tensors(tensors, shapes, config["storage"], folder / WEIGHTS_FILE)
    check_finite(tensors, f"of {folder} cannot be used")
    return (
        dequantise(tensors) if config["storage"] == "int8" else {name: each.float() for name, each in tensors.items()}
    )


def base_layer(base: dict, folder: Path) -> Float32[Tensor, "units features"]:
    """The large layer of the bundled checkpoint that `base` names.

    Args:
        base: The entry "base" of a checked config.json.
        folder: The checkpoint that shares the layer, for the sentence.

    Raises:
        CheckpointError: The bundled checkpoint is missing or has other weights.
    """
    source = BASES / base["name"]
    needs = f"{folder} needs the bundled checkpoint {base['name']!r} with the weights {base['weights_sha256'][:12]}"
    advice = "take the version of the package that it came with"
    if not (source / CONFIG_FILE).is_file():
        raise CheckpointError(f"{needs}, which is missing here: {advice}.")
    config = read_config(source)
    if config["weights_sha256"] != base["weights_sha256"]:
        raise CheckpointError(f"{needs}, here it has {config['weights_sha256'][:12]}: {advice}.")
    if config["storage"] == "shared":
        raise CheckpointError(f"{needs}, which has no large layer of its own.")
    with torch.device("meta"):
        network = SiameseNetwork(network_config(config["network"]))
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    return read_tensors(source, config, shapes)[LARGE_TENSOR]


def read_weights(folder: Path, digest: str) -> bytes:
    """The weights file with this SHA-256: the usual one, or the one that a save that was cut off left beside it."""
    usual, previous = folder / WEIGHTS_FILE, folder / PREVIOUS_WEIGHTS_FILE
    for path in (usual, previous):
        if path == usual or path.exists():
            weights = read_bounded(path, WEIGHTS_LIMIT_BYTES)
            if hashlib.sha256(weights).hexdigest() == digest:
                return weights
    raise CheckpointError(
        f"{usual} is damaged or belongs to another config.json: its SHA-256 differs from the one there."
    )


def check_tensors(tensors: dict[str, Tensor], shapes: dict[str, torch.Size], storage: Storage, path: Path) -> None:
    """Compares names, shapes and types with the network's; raises CheckpointError that names the tensor."""
    types = dict.fromkeys(shapes, torch.float32)
    if storage == "int8":
        shapes = shapes | {SCALE_TENSOR: shapes[LARGE_TENSOR][:1]}
        types = dict.fromkeys(shapes, torch.float16) | {LARGE_TENSOR: torch.int8, SCALE_TENSOR: torch.float32}
    if storage == "shared":
        shapes = {name: shape for name, shape in shapes.items() if name != LARGE_TENSOR}
        types = dict.fromkeys(shapes, torch.float16)
    for name in sorted(set(shapes) - set(tensors)):
        raise CheckpointError(f"{path} lacks the tensor {name} of shape {list(shapes[name])}.")
    for name in sorted(set(tensors) - set(shapes)):
        raise CheckpointError(f"{path} has the tensor {name}, which the network does not have.")
    for name, tensor in tensors.items():
        if tensor.shape != shapes[name]:
            raise CheckpointError(
                f"{path} has the tensor {name} with the shape {list(tensor.shape)}, must be {list(shapes[name])}."
            )
        if tensor.dtype != types[name]:
            found, wanted = (str(kind).removeprefix("torch.") for kind in (tensor.dtype, types[name]))
            raise CheckpointError(f"{path} has the tensor {name} as {found}, must be {wanted}.")


def check_finite(tensors: dict[str, Tensor], consequence: str) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CheckpointError(f"The tensor {name} {consequence}: it holds NaN or infinity.")


def replace_files(folder: Path, contents: dict[str, bytes]) -> None:
    """Writes the files so that at each moment config.json finds the weights it names.

    Each file is written beside its place and flushed to the disk, then all are renamed, config.json last. The old
    weights stay beside the new ones until then.

    Raises:
        CheckpointError: The disk does not take the files.
    """
    partial = {folder / name: folder / f".{name}.partial" for name in contents}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, temporary in partial.items():
            with temporary.open("wb") as file:
                file.write(contents[path.name])
                file.flush()
                os.fsync(file.fileno())
        if WEIGHTS_FILE in contents:
            keep_previous_weights(folder)
        for path, temporary in partial.items():
            replace_file(temporary, path)
        flush_folder(folder)
        if WEIGHTS_FILE in contents:
            (folder / PREVIOUS_WEIGHTS_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint could not be written to {folder} ({error.strerror or error}); "
            "one that stood there before is untouched."
        ) from error
    finally:
        for temporary in partial.values():
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def keep_previous_weights(folder: Path) -> None:
    """Gives the weights that config.json names a second name, which the loader knows."""
    weights, previous = folder / WEIGHTS_FILE, folder / PREVIOUS_WEIGHTS_FILE
    if not weights.exists() or not (folder / CONFIG_FILE).exists():
        return
    if previous.exists():  # an earlier save was cut off: which of the two files does config.json name?
        try:
            digest = read_config(folder)["weights_sha256"]
        except CheckpointError:
            return
        if hashlib.sha256(previous.read_bytes()).hexdigest() == digest:
            return
        previous.unlink()
    try:
        os.link(weights, previous)
    except OSError:  # a file system without hard links
        replace_file(weights, previous)

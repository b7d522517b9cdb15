"""A folder with `model.safetensors` and `config.json` to and from a network: the one loader, strict, never pickle."""

import hashlib
import json
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import torch
from jaxtyping import Float, Float32, Int8
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as serialise_safetensors
from torch import Tensor

from siamese.hub.schema import network_config, network_entry
from siamese.metrics import NAMED_POINTS, ErrorCurve, calibration_in
from siamese.network import Activation, SiameseNetwork
from siamese.preprocessing import Preprocessing
from siamese.signatures.features import ScoreFusion, weighing_in

BASES = Path(__file__).parents[1] / "pretrained"  # where a checkpoint that shares a layer finds the one that has it
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
CARD_FILE = "README.md"
PREVIOUS_WEIGHTS_FILE = "model.previous.safetensors"  # stands only while a save is under way, or was cut off
FORMAT = "one-look/1"
WEIGHTS_LIMIT_BYTES = 200_000_000  # 38,951,745 float32 numbers take 155.8 million
CONFIG_LIMIT_BYTES = 40_000_000  # two SHA-256 of each of 200,000 signatures take 31 million
COMPACT_TENSOR = "embedding.weight"  # 97 % of the parameters, and the tensor that may be shared
SCALE_TENSOR = "embedding.weight_scale"
SCALE_SHARES = (1.0, 0.97, 0.94, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)  # of the largest weight of a row, tried in turn

MEASURES = ("verification", "training", "figures")  # entries of config.json that are about the weights

Storage = Literal["float32", "int8", "shared"]


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or written; its text is one sentence for people."""


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds."""

    network: SiameseNetwork
    """In evaluation mode, float32, without batch normalisation: the paper's layers."""
    preprocessing: Preprocessing
    """How ink must be prepared before this network sees it."""
    config: dict
    """The whole of config.json."""


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
    """Write the network, batch normalisation folded, and what must be known to use it.

    "float32" holds plainly named float tensors; "int8" holds the 9216 x 4096 layer as int8 with one scale for each
    row and the rest as float16 (40 MB); "shared" holds all but that layer as float16 (2.5 MB) and names `base`, the
    bundled checkpoint that has the layer, by the SHA-256 of its weights. A checkpoint that stands in `folder` stays
    loadable until the new one is complete, whatever interrupts. Raises CheckpointError for a tensor with NaN or
    infinity, for values that JSON cannot hold, for a layer that is not the base's to the bit and where the disk does
    not take the files.
    """
    if storage not in get_args(Storage):
        raise CheckpointError(f"storage is {storage!r}, must be one of {', '.join(get_args(Storage))}.")
    if (storage == "shared") != (base is not None):
        raise CheckpointError('A base belongs to the storage "shared", and to no other.')
    plain = network.folded() if network.config.batch_norm else network
    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in plain.state_dict().items()}
    check_finite(tensors, "cannot be saved")
    named_base = None
    if storage == "shared":
        named_base = {"name": base, "weights_sha256": read_config(BASES / base)["weights_sha256"]}
        if not torch.equal(tensors.pop(COMPACT_TENSOR), base_layer(named_base, Path(folder))):
            raise CheckpointError(
                f"The 9216 x 4096 layer is not the one of the bundled checkpoint {base!r}: store the network whole."
            )
        tensors = in_float16(tensors, storage)
    elif storage == "int8":
        tensors = compact(tensors)
    weights = serialise_safetensors(tensors)
    config = {
        "format": FORMAT,
        "network": network_entry(network.config),
        "preprocessing": preprocessing.as_dict(),
        "storage": storage,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    given = {"base": named_base, "verification": verification, "training": training, "figures": figures}
    config |= {key: value for key, value in given.items() if value is not None}
    write_checkpoint(Path(folder), weights, config)


def load_checkpoint(
    folder: Path | str, device: torch.device | str = "cpu", known_layers: dict[str, Tensor] | None = None
) -> Checkpoint:
    """Read a checkpoint of any storage; the network is whole and float32 on `device`.

    `known_layers` are large layers that are in memory already, by the SHA-256 of the weights they came with: one that
    is shared is taken from there and not read again.

    Raises CheckpointError, one sentence, unless config.json is complete, the weights are the ones it was written
    with (SHA-256), those of a base too, and names, shapes and types of the tensors are exactly those of the network,
    all finite.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"There is no checkpoint at {folder}: no such folder.")
    config = read_config(folder)
    preprocessing = preprocessing_of(config, folder)
    with torch.device("meta"):  # the weights come from the file, so none are drawn
        network = SiameseNetwork(network_config(config["network"]))
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    tensors = read_tensors(folder, config, shapes)
    if config["storage"] == "shared":
        known = (known_layers or {}).get(config["base"]["weights_sha256"])
        tensors[COMPACT_TENSOR] = base_layer(config["base"], folder) if known is None else known
    network.load_state_dict(tensors, strict=True, assign=True)
    return Checkpoint(network.to(device).eval(), preprocessing, config)


def read_tensors(folder: Path, config: dict, shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """The tensors that the folder holds, as float32; without the large layer where that is shared."""
    try:
        tensors = parse_safetensors(read_weights(folder, config["weights_sha256"]))
    except SafetensorError as error:
        raise CheckpointError(f"{folder / WEIGHTS_FILE} is not a safetensors file: {error}.") from error
    check_tensors(tensors, shapes, config["storage"], folder)
    check_finite(tensors, f"of {folder} cannot be used")
    return restore(tensors) if config["storage"] == "int8" else {name: each.float() for name, each in tensors.items()}


def base_layer(base: dict, folder: Path) -> Float32[Tensor, "units features"]:
    """The weights of the large layer out of the bundled checkpoint that `base` names; raises CheckpointError.

    `folder` is the checkpoint that shares the layer, for the sentence.
    """
    source = BASES / base["name"]
    needs = f"{folder} needs the bundled checkpoint {base['name']!r} with the weights {base['weights_sha256'][:12]}"
    if not (source / CONFIG_FILE).is_file():
        raise CheckpointError(f"{needs}, which is missing here: take the version of the package that it came with.")
    config = read_config(source)
    if config["weights_sha256"] != base["weights_sha256"]:
        raise CheckpointError(
            f"{needs}, here it has {config['weights_sha256'][:12]}: take the version of the package that it came with."
        )
    if config["storage"] == "shared":
        raise CheckpointError(f"{needs}, which has no large layer of its own.")
    with torch.device("meta"):
        shapes = {
            name: tensor.shape
            for name, tensor in SiameseNetwork(network_config(config["network"])).state_dict().items()
        }
    return read_tensors(source, config, shapes)[COMPACT_TENSOR]


def amend_config(folder: Path | str, **entries: dict) -> dict:
    """Put `verification`, `training` or `figures` into the config.json of a checkpoint; the weights stay.

    Returns the whole new config; raises CheckpointError.
    """
    folder = Path(folder)
    unknown = set(entries) - {"verification", "training", "figures"}
    if unknown:
        raise CheckpointError(f"config.json has no entry {', '.join(sorted(unknown))} that may be amended.")
    config = read_config(folder) | entries
    check_verification(config, folder)
    replace_files(folder, {CONFIG_FILE: as_json(config)})
    return config


def read_config(folder: Path) -> dict:
    """config.json with every entry that a loader needs; raises CheckpointError."""
    path = folder / CONFIG_FILE
    try:
        config = json.loads(read_bounded(path, CONFIG_LIMIT_BYTES), parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} holds no JSON object.")
    if config.get("format") != FORMAT:
        raise CheckpointError(f"{path} has the format {config.get('format')!r}, this version reads {FORMAT!r}.")
    if "preparation" in config:  # the name of this entry in checkpoints written before it was called preprocessing
        config.setdefault("preprocessing", config.pop("preparation"))
    for key in ("network", "preprocessing"):
        if not isinstance(config.get(key), dict):
            raise CheckpointError(f"{path} lacks the entry {key!r}.")
    if set(config["network"]) - {"channels", "embedding_units"} != {"activation"} or config["network"][
        "activation"
    ] not in get_args(Activation):
        raise CheckpointError(
            f"{path} has the network {config['network']}, must be an activation, one of "
            f"{', '.join(get_args(Activation))}, and nothing else."
        )
    if config.get("storage") not in get_args(Storage):
        raise CheckpointError(
            f"{path} names the storage {config.get('storage')!r}, must be one of {', '.join(get_args(Storage))}."
        )
    digest = config.get("weights_sha256")
    if not isinstance(digest, str) or len(digest) != 64:
        raise CheckpointError(f"{path} lacks the SHA-256 of the weights.")
    if config["storage"] == "shared":
        check_base(config.get("base"), path)
    check_verification(config, folder)
    return config


def check_base(base: object, path: Path) -> None:
    """The name of a bundled checkpoint, and no way out of their folder, and a SHA-256; raises CheckpointError."""
    name, digest = (base.get(key) for key in ("name", "weights_sha256")) if isinstance(base, dict) else (None, None)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9_]+", name):
        raise CheckpointError(f"{path} shares a layer but does not name the bundled checkpoint that has it.")
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise CheckpointError(f"{path} lacks the SHA-256 of the weights of its base {name!r}.")


def check_verification(config: dict, folder: Path) -> None:
    """A threshold in (0, 1), a calibration of numbers in [0, 1], named operating points and their curves, where there
    are any; raises CheckpointError."""
    path, verification = folder / CONFIG_FILE, config.get("verification")
    if verification is None:
        return
    if not isinstance(verification, dict):
        raise CheckpointError(f"{path} has a 'verification' that is no JSON object.")
    threshold = verification.get("threshold", 0.5)
    if not is_number(threshold) or not 0 < threshold < 1:
        raise CheckpointError(f"{path} has the threshold {threshold!r}, must lie between 0 and 1.")
    check_measured(verification, path)
    consistency = verification.get("consistency")
    if consistency is not None:
        names = set(consistency) if isinstance(consistency, dict) else set()
        values = [consistency[name] for name in ("weight", "level")] if names == {"weight", "level"} else [None]
        if not all(map(is_number, values)) or not 0 <= values[0] <= 1:
            raise CheckpointError(f"{path} has a 'consistency' that is not a weight in 0 to 1 and a level.")
    weighing = verification.get("weighing")
    if weighing is not None:
        names = {field.name for field in fields(ScoreFusion)}
        if not isinstance(weighing, dict) or set(weighing) != names or not all(map(is_number, weighing.values())):
            raise CheckpointError(f"{path} has a 'weighing' that is not of the numbers {', '.join(sorted(names))}.")
        try:
            weighing_in(verification)
        except ValueError as error:
            raise CheckpointError(f"{path} has a 'weighing' that is none: {error}") from error
    by_references = verification.get("by_references", {})
    if not isinstance(by_references, dict) or not all(key.isdecimal() for key in by_references):
        raise CheckpointError(f"{path} has a 'by_references' whose names are not numbers of references.")
    for measured in by_references.values():
        check_measured(measured, path)


def check_measured(entry: object, path: Path) -> None:
    """ "calibration", "operating_points" and "curve" of an entry, where it has them; raises CheckpointError."""
    if not isinstance(entry, dict):
        raise CheckpointError(f"{path} has a 'by_references' with an entry that is no JSON object.")
    check_calibration(entry.get("calibration"), path)
    points = entry.get("operating_points")
    if points is not None:
        if not isinstance(points, dict) or set(points) != set(NAMED_POINTS):
            raise CheckpointError(f"{path} must name the operating points {', '.join(NAMED_POINTS)}, and no others.")
        for name, point in points.items():
            values = [point.get(key) for key in ("threshold", "far", "frr")] if isinstance(point, dict) else [None]
            if not all(is_number(value) and 0 <= value <= 1 for value in values) or not 0 < values[0] < 1:
                raise CheckpointError(
                    f"{path} has an operating point {name!r} without a threshold between 0 and 1 and two rates."
                )
    curve = entry.get("curve")
    if curve is not None:
        try:
            columns = {key: curve[key] for key in ("threshold", "far", "frr")}
            if not all(is_number(value) for values in columns.values() for value in values):
                raise ValueError("Its entries are not all numbers.")
            ErrorCurve(**{key: tuple(map(float, values)) for key, values in columns.items()})
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} has a 'curve' that is no error curve: {error}") from error


def check_calibration(calibration: object, path: Path) -> None:
    if calibration is None:
        return
    if not isinstance(calibration, dict) or set(calibration) != {"similarity_edges", "share_same"}:
        raise CheckpointError(f"{path} has a calibration that is not 'similarity_edges' and 'share_same'.")
    for key, values in calibration.items():
        if not isinstance(values, list) or not all(is_number(value) and 0 <= value <= 1 for value in values):
            raise CheckpointError(f"{path} has a calibration whose {key!r} is not a list of numbers in 0 to 1.")
    try:
        calibration_in({"calibration": calibration})
    except ValueError as error:
        raise CheckpointError(f"{path} has a calibration that is none: {error}") from error


def is_number(value: object) -> bool:
    """A finite one: neither JSON's 1e400 nor whole numbers that no float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} stands where a number must")


def preprocessing_of(config: dict, folder: Path) -> Preprocessing:
    """The entry "preprocessing"; a missing field means the dataclass's default.

    A field that is added to `Preprocessing` later must therefore have as default what was done before it.
    Raises CheckpointError for an unknown name and a value of the wrong type or range.
    """
    path, entries = folder / CONFIG_FILE, config["preprocessing"]
    defaults = Preprocessing().as_dict()
    unknown = set(entries) - set(defaults)
    if unknown:
        raise CheckpointError(f"{path} has {', '.join(sorted(unknown))}, which this version does not know: update it.")
    for name, value in entries.items():
        wanted = type(defaults[name])
        if type(value) is not wanted and not (wanted is float and is_number(value)):
            raise CheckpointError(f"{path} has {name} = {value!r}, must be of type {wanted.__name__}.")
    try:
        return Preprocessing(**{name: type(defaults[name])(value) for name, value in entries.items()})
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_weights(folder: Path, digest: str) -> bytes:
    """The bytes whose SHA-256 config.json names; raises CheckpointError where no file has it.

    A save that was cut off between its two renames leaves them beside the new weights.
    """
    previous = folder / PREVIOUS_WEIGHTS_FILE
    for path in (folder / WEIGHTS_FILE, previous):
        if path == folder / WEIGHTS_FILE or path.exists():
            weights = read_bounded(path, WEIGHTS_LIMIT_BYTES)
            if hashlib.sha256(weights).hexdigest() == digest:
                return weights
    raise CheckpointError(
        f"{folder / WEIGHTS_FILE} is damaged or belongs to another config.json: its SHA-256 differs from the one there."
    )


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > limit_bytes:
                raise CheckpointError(f"{path} has {size_bytes:,} bytes, more than the {limit_bytes:,} it may have.")
            return file.read()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.parent} is no checkpoint: {path.name} is missing.") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error


def check_tensors(tensors: dict[str, Tensor], shapes: dict[str, torch.Size], storage: Storage, folder: Path) -> None:
    """Exact names, shapes and types; raises CheckpointError that names the tensor and both values."""
    types = dict.fromkeys(shapes, torch.float32)
    if storage == "int8":
        shapes = shapes | {SCALE_TENSOR: torch.Size([shapes[COMPACT_TENSOR][0]])}
        types = dict.fromkeys(shapes, torch.float16) | {COMPACT_TENSOR: torch.int8, SCALE_TENSOR: torch.float32}
    if storage == "shared":
        shapes = {name: shape for name, shape in shapes.items() if name != COMPACT_TENSOR}
        types = dict.fromkeys(shapes, torch.float16)
    path = folder / WEIGHTS_FILE
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
            raise CheckpointError(
                f"{path} has the tensor {name} as {type_name(tensor.dtype)}, must be {type_name(types[name])}."
            )


def type_name(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


def check_finite(tensors: dict[str, Tensor], consequence: str) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CheckpointError(f"The tensor {name} {consequence}: it holds NaN or infinity.")


def compact(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Float tensors as "int8" stores them; raises CheckpointError for a weight that float16 cannot hold."""
    quantised, scale = quantise_rows(tensors[COMPACT_TENSOR])
    stored = in_float16({name: tensor for name, tensor in tensors.items() if name != COMPACT_TENSOR}, "int8")
    return stored | {COMPACT_TENSOR: quantised, SCALE_TENSOR: scale}


def in_float16(tensors: dict[str, Tensor], storage: Storage) -> dict[str, Tensor]:
    stored = {name: tensor.half() for name, tensor in tensors.items()}
    check_finite(stored, f'cannot be stored as "{storage}"')
    return stored


def restore(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `compact` made, as float32 tensors."""
    tensors = {name: tensor.float() for name, tensor in stored.items() if name not in (COMPACT_TENSOR, SCALE_TENSOR)}
    return tensors | {COMPACT_TENSOR: stored[COMPACT_TENSOR].float().mul_(stored[SCALE_TENSOR][:, None])}


def quantise_rows(
    weight: Float[Tensor, "rows columns"],
) -> tuple[Int8[Tensor, "rows columns"], Float32[Tensor, " rows"]]:
    """Whole numbers in [-127, 127] and one scale for each row, weight ~ quantised * scale.

    For each row the largest weight may be cut off where that lowers the squared error of the whole row; the scale
    is then the least-squares one for the whole numbers found. Rows that come from such numbers give them again.
    """
    quantised = torch.empty(weight.shape, dtype=torch.int8)
    scales = torch.empty(len(weight))
    for start in range(0, len(weight), 256):  # 9 MB at a time
        rows = weight[start : start + 256].float()
        largest = rows.abs().amax(1, keepdim=True).clamp(min=1e-30)
        best_error = torch.full((len(rows), 1), torch.inf)
        best, best_scale = torch.zeros_like(rows), largest / 127
        for share in SCALE_SHARES:
            whole = (rows * (127 / (share * largest))).round_().clamp_(-127, 127)
            scale = (rows * whole).sum(1, keepdim=True) / whole.square().sum(1, keepdim=True).clamp(min=1)
            error = (rows - whole * scale).square_().sum(1, keepdim=True)
            better = error < best_error
            best = torch.where(better, whole, best)
            best_scale = torch.where(better, scale, best_scale)
            best_error = torch.where(better, error, best_error)
        whole = (rows * (127 / largest)).round_()
        scale = largest / 127
        for candidate in (scale, *(scale.nextafter(torch.tensor(end)) for end in (0.0, torch.inf))):
            is_exact = (whole * candidate == rows).all(1, keepdim=True)
            best, best_scale = torch.where(is_exact, whole, best), torch.where(is_exact, candidate, best_scale)
        quantised[start : start + 256] = best.to(torch.int8)
        scales[start : start + 256] = best_scale[:, 0]
    return quantised, scales


def as_json(config: dict) -> bytes:
    try:
        return (json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"config.json cannot hold what was given: {error}.") from error


def write_checkpoint(folder: Path, weights: bytes, config: dict) -> None:
    """Both files, so that at each moment config.json finds the weights it names; raises CheckpointError.

    The old weights stay beside the new ones until the new config.json is in place.
    """
    check_verification(config, folder)
    replace_files(folder, {WEIGHTS_FILE: weights, CONFIG_FILE: as_json(config)})


def replace_files(folder: Path, contents: dict[str, bytes]) -> None:
    """Write each file beside its place and flush it to the disk, then rename all of them, config.json last."""
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
            temporary.replace(path)
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
    """Give the weights that config.json names a second name, which the loader knows."""
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
        weights.replace(previous)


def flush_folder(folder: Path) -> None:
    """Renames reach the disk with their folder; not every system can open one."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

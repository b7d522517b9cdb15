"""What config.json of a checkpoint may hold, checked with pydantic: the first fault becomes one sentence."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from siamese.metrics import NAMED_POINTS, Calibration, ErrorCurve
from siamese.network import CHANNELS, EMBEDDING_UNITS, Activation, NetworkConfig
from siamese.preprocessing import Preprocessing

FORMAT = "one-look/1"
MEASURES = ("verification", "training", "figures")  # entries that are about the weights

Storage = Literal["float32", "int8", "shared"]
Rate = Annotated[float, Field(ge=0, le=1)]
Threshold = Annotated[float, Field(gt=0, lt=1)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
References = Annotated[str, Field(pattern=r"^[0-9]+$")]  # a number of references, as a key


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or written; its text is one sentence for people."""


class Entry(BaseModel):
    """Numbers must be numbers: neither text nor true nor infinity is taken for one."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")


class OpenEntry(Entry):
    """An entry that may also hold what only people read."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="allow")


class NetworkEntry(Entry):
    """The layers; widths are left out where they are the paper's."""

    activation: Activation
    channels: Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(min_length=4, max_length=4)] = list(CHANNELS)
    embedding_units: Annotated[int, Field(ge=1, le=16_384)] = EMBEDDING_UNITS


class PreprocessingEntry(Entry):
    """The fields of `Preprocessing`; a missing one has the dataclass's default.

    A field that is added to `Preprocessing` later must therefore have as default what was done before it.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="allow")

    @model_validator(mode="before")
    @classmethod
    def known_fields_of_their_types(cls, entry: Any) -> Any:
        if not isinstance(entry, dict):
            raise ValueError("must be a JSON object")
        defaults = Preprocessing().as_dict()
        if unknown := set(entry) - set(defaults):
            raise ValueError(f"has {', '.join(sorted(unknown))}, which this version does not know: update it")
        for name, value in entry.items():
            wanted = type(defaults[name])
            if type(value) is not wanted and not (wanted is float and type(value) is int):
                raise ValueError(f"has {name} = {value!r}, must be of type {wanted.__name__}")
        Preprocessing(**entry)  # checks the ranges
        return entry


class BaseEntry(Entry):
    """The bundled checkpoint that holds the layer that is shared."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]  # no way out of the folder of bundled checkpoints
    weights_sha256: Digest


class CalibrationEntry(Entry):
    """`siamese.metrics.Calibration`."""

    similarity_edges: list[Rate]
    share_same: list[Rate]

    @model_validator(mode="after")
    def is_a_calibration(self) -> "CalibrationEntry":
        Calibration(tuple(self.similarity_edges), tuple(self.share_same))
        return self


class PointEntry(OpenEntry):
    """`siamese.metrics.OperatingPoint`."""

    threshold: Threshold
    far: Rate
    frr: Rate


class CurveEntry(Entry):
    """`siamese.metrics.ErrorCurve`."""

    threshold: list[float]
    far: list[float]
    frr: list[float]

    @model_validator(mode="after")
    def is_a_curve(self) -> "CurveEntry":
        ErrorCurve(tuple(self.threshold), tuple(self.far), tuple(self.frr))
        return self


def all_named(points: dict[str, PointEntry]) -> dict[str, PointEntry]:
    """Raises ValueError where the operating points are not exactly NAMED_POINTS."""
    if set(points) != set(NAMED_POINTS):
        raise ValueError(f"must name the points {', '.join(NAMED_POINTS)}, and no others")
    return points


NamedPoints = Annotated[dict[str, PointEntry], AfterValidator(all_named)]


class MeasuredEntry(OpenEntry):
    """How often scores are wrong, for one number of references."""

    calibration: CalibrationEntry | None = None
    operating_points: NamedPoints | None = None
    curve: CurveEntry | None = None


class ConsistencyEntry(Entry):
    """`siamese.metrics.Consistency`."""

    weight: Rate
    level: float


class FusionEntry(Entry):
    """`siamese.signatures.fusion.ScoreFusion`: similarity may only count for sameness, distances against it."""

    bias: float
    network: Annotated[float, Field(ge=0)]
    hinge: Annotated[float, Field(le=0)]
    profile: Annotated[float, Field(le=0)]
    network_middle: float
    hinge_middle: float
    profile_middle: float


class LeftOutMeasureEntry(OpenEntry):
    """Errors on a collection that training left out, for one number of references."""

    eer_skilled: Rate
    operating_points: NamedPoints


class LeftOutEntry(OpenEntry):
    """A collection that training left out, see `siamese.signatures.rates`."""

    collection: str
    writers: int
    forgeries: str
    by_references: dict[References, LeftOutMeasureEntry]


class VerificationEntry(MeasuredEntry):
    """Thresholds and error rates; `by_references` has them for other numbers of references than one."""

    threshold: Threshold | None = None
    consistency: ConsistencyEntry | None = None
    fusion: FusionEntry | None = None
    nearest: Rate | None = None
    by_references: dict[References, MeasuredEntry] | None = None
    left_out: list[LeftOutEntry] | None = None


class CheckpointConfig(OpenEntry):
    """The whole of config.json."""

    format: Literal["one-look/1"]
    network: NetworkEntry
    preprocessing: PreprocessingEntry
    storage: Storage
    weights_sha256: Digest
    base: BaseEntry | None = None
    verification: VerificationEntry | None = None
    training: dict | None = None
    figures: dict | None = None

    @model_validator(mode="after")
    def shared_weights_name_their_base(self) -> "CheckpointConfig":
        if self.storage == "shared" and self.base is None:
            raise ValueError("shares a layer but does not name the bundled checkpoint that has it ('base')")
        return self


def checked(config: object, path: Path) -> dict:
    """What config.json holds.

    Args:
        config: The parsed JSON.
        path: Where it stands, for the sentence.

    Raises:
        CheckpointError: It is not what a loader needs.
    """
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} holds no JSON object.")
    if config.get("format") != FORMAT:
        raise CheckpointError(f"{path} has the format {config.get('format')!r}, this version reads {FORMAT!r}.")
    try:
        CheckpointConfig.model_validate(config)
    except ValidationError as error:
        raise CheckpointError(f"{path}: {sentence(error)}") from error
    return config


def sentence(error: ValidationError) -> str:
    """The first fault, with its place and the value found there."""
    fault = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in fault["loc"]) or "it"
    said = fault["msg"].removeprefix("Value error, ").removesuffix(".")
    if fault["type"] == "value_error":
        return f"{place!r} {said}." if said[0].islower() else f"{place!r} cannot be used: {said}."
    if fault["type"] == "missing":
        return f"the entry {place!r} is missing."
    return f"{place!r} is {shortened(fault['input'])}: {said[0].lower()}{said[1:]}."


def shortened(value: object, limit: int = 80) -> str:
    shown = repr(value)
    return shown if len(shown) <= limit else shown[:limit] + "..."


def network_entry(config: NetworkConfig) -> dict:
    """What config.json says of a network: its activation, and its widths where they are not the paper's."""
    entry: dict = {"activation": config.activation}
    if config.channels != CHANNELS:
        entry["channels"] = list(config.channels)
    if config.embedding_units != EMBEDDING_UNITS:
        entry["embedding_units"] = config.embedding_units
    return entry


def network_config(entry: dict) -> NetworkConfig:
    """The opposite of `network_entry`, of an entry that `checked` has passed."""
    return NetworkConfig(
        entry["activation"],
        channels=tuple(entry.get("channels", CHANNELS)),
        embedding_units=entry.get("embedding_units", EMBEDDING_UNITS),
    )

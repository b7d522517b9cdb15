"""The configuration that both tasks share, and the reader of recipes: TOML files with the fields of a config."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, field, fields
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_type_hints

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from siamese.hub.schema import sentence
from siamese.network import Initialisation, NetworkConfig
from siamese.preprocessing import Preprocessing
from train.augment import STRICT, Distortions
from train.errors import CommandError

Optimiser = Literal["adamw", "adam", "sgd"]
Schedule = Literal["constant", "cosine", "decay"]
TaskName = Literal["characters", "signatures"]
Views = Literal[1, 4, 8]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
TableKind = Literal["recipe", "search"]
FOLDERS: dict[TableKind, str] = {"recipe": "train.recipes", "search": "train.searches"}
COMMANDS: dict[TaskName, str] = {"characters": "fit", "signatures": "fit-signatures"}
LAYERS = 6  # four convolutions, the 9216 x 4096 layer, the head


class RecipeError(CommandError):
    """A recipe cannot be read or contradicts itself; the message is one sentence for the user.

    It is no ValueError, because pydantic would catch that and wrap it in an error of its own.
    """


@dataclass(frozen=True, config=STRICT)
class TrainConfig:
    """Fields that recipes for characters and for signatures share; the values are checked on construction.

    Raises:
        pydantic.ValidationError: A value has the wrong type or is out of range.
        RecipeError: Values contradict each other.
    """

    task: ClassVar[TaskName]

    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(batch_norm=True))
    """Activation, batch normalisation and drop-out."""
    initialisation: Initialisation = "modern"
    """How the weights are drawn where no earlier checkpoint is given."""
    preprocessing: Preprocessing = Preprocessing()
    """How ink is centred and scaled; stored with the checkpoint."""
    distortions: Distortions = Distortions()
    """Ranges of the random distortions of each drawing."""
    seed: int = 0
    """Seed of the initial weights and of everything that is sampled."""

    validate_every: PositiveInt = 500
    """Steps between two validations."""
    patience: NonNegativeInt = 0
    """Number of validations without a new best after which the run ends and returns the best weights; with 0 the run
    takes all its steps and returns the last weights."""

    frozen_convolutions: Annotated[int, Field(ge=0, le=LAYERS - 2)] = 0
    """Number of convolutions, counted from the first, that are not trained."""
    shared_embedding: bool = False
    """Whether to leave the 9216 x 4096 weights untrained, so that checkpoints can share them."""

    steps: PositiveInt = 6000
    """Optimiser steps of the whole run."""
    optimiser: Optimiser = "adamw"
    """"adamw" (decoupled weight decay), "adam", or "sgd" with momentum (both with an L2 penalty)."""
    learning_rate: PositiveFloat = 1e-3
    """Highest learning rate of the schedule."""
    layer_rates: tuple[float, ...] = ()
    """Factors on the learning rate of the six layers; empty means 1 for each."""
    warmup_steps: NonNegativeInt = 200
    """Steps over which the learning rate rises linearly from 0."""
    schedule: Schedule = "cosine"
    """"constant"; "cosine", which falls to 0 at the last step; or "decay", which multiplies the rate by `decay` every
    `decay_every` steps."""
    decay: float = 0.99
    """Factor of the schedule "decay"."""
    decay_every: PositiveInt = 1000
    """Steps between two multiplications by `decay`."""
    momentum: tuple[BelowOne, BelowOne, PositiveInt] = (0.5, 0.9, 1)
    """Momentum of SGD at the start and at the end, and the number of `decay_every` periods over which it rises."""
    weight_decay: NonNegativeFloat = 1e-4
    """Weight decay of matrices and kernels; biases and normalisation have none."""
    weight_average: BelowOne = 0.0
    """Decay per step of an exponential moving average of the weights, which is then validated and exported; 0 for no
    average."""
    distance_head: bool = True
    """Whether to clamp the head's weights to at most 0, so that a difference never raises the logit."""

    pair_loss: NonNegativeFloat = 1.0
    """Weight of the cross-entropy of pairs."""
    n_way_loss: NonNegativeFloat = 1.0
    """Weight of the N-way cross-entropy on the same logits."""

    def __post_init__(self) -> None:
        if self.layer_rates and len(self.layer_rates) != LAYERS:
            raise RecipeError(f"layer_rates has {len(self.layer_rates)} factors, the network has {LAYERS} layers.")

    @property
    def images_a_step(self) -> int:
        """Images embedded in a step."""
        raise NotImplementedError

    def as_dict(self) -> dict:
        """Returns the fields as nested dictionaries, for config.json and the state."""
        return asdict(self)


Config = TypeVar("Config", bound=TrainConfig)


def check_losses(*weights: float) -> None:
    """Raises RecipeError if the weights of all losses are 0."""
    if max(weights) == 0:
        raise RecipeError("The weights of the losses are all 0; one must be above 0.")


def config_from(table: Mapping[str, Any], kind: type[Config]) -> Config:
    """Builds a config from the tables of a recipe.

    Args:
        table: The fields of the recipe; missing ones take their defaults.
        kind: `CharacterConfig` or `SignatureConfig`.

    Raises:
        RecipeError: A field does not exist, has the wrong type or is out of range.
    """
    try:
        # as JSON, because in Python pydantic's strict mode takes no list for a tuple
        return TypeAdapter(kind).validate_json(json.dumps(table, default=str))
    except ValidationError as error:
        fault = error.errors()[0]
        if fault["type"] != "unexpected_keyword_argument":
            raise RecipeError(f"The recipe does not fit: {sentence(error)}") from error
        *tables, name = map(str, fault["loc"])
        place = f"The table {tables[0]} of the recipe" if tables else "The recipe"
        known = get_type_hints(get_type_hints(kind)[tables[0]] if tables else kind)
        raise RecipeError(f"{place} has no field {name}; there are {', '.join(sorted(known))}.") from error


def saved_config(table: Mapping[str, Any], kind: type[Config]) -> Config:
    """Builds a config from what `as_dict` wrote in an earlier version.

    Fields added since then take their defaults; fields that no longer exist are ignored.
    """
    names = {entry.name for entry in fields(kind)}
    return config_from({name: value for name, value in table.items() if name in names}, kind)


def table_names(kind: TableKind) -> list[str]:
    """Returns the names of the TOML files in `train/recipes` or `train/searches`, in alphabetical order."""
    files = (Path(entry.name) for entry in resources.files(FOLDERS[kind]).iterdir())
    return sorted(file.stem for file in files if file.suffix == ".toml")


def read_table(kind: TableKind, name: str) -> dict[str, Any]:
    """Reads a recipe or a search.

    Args:
        kind: Which of them.
        name: Name of a file in `train/recipes` or `train/searches`, or the path of a TOML file.

    Raises:
        RecipeError: There is no such file, or it is not TOML.
    """
    path = Path(name)
    try:
        if path.suffix == ".toml":
            text = path.read_text(encoding="utf-8")
        elif name in table_names(kind):
            text = (resources.files(FOLDERS[kind]) / f"{name}.toml").read_text(encoding="utf-8")
        else:
            raise RecipeError(f"No {kind} is called {name!r}; there are {', '.join(table_names(kind))}.")
        return tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"The {kind} {name} cannot be read: {error}.") from error


def recipe_names(task: TaskName) -> list[str]:
    """Returns the names of the recipes for a task."""
    return [name for name in table_names("recipe") if read_table("recipe", name).get("task", "characters") == task]


def load_recipe(kind: type[Config], name: str, **changes: Any) -> Config:
    """Reads a recipe.

    Args:
        kind: `CharacterConfig` or `SignatureConfig`.
        name: Name of a recipe, or the path of a TOML file.
        changes: Fields that replace those of the recipe.

    Raises:
        RecipeError: The recipe cannot be read, is for another task, or does not fit.
    """
    table = read_table("recipe", name)
    task = table.pop("task", "characters")
    if task not in COMMANDS:
        raise RecipeError(f"task is {task!r}, must be {' or '.join(COMMANDS)}.")
    if task != kind.task:
        raise RecipeError(f"The recipe {name} is for {task}: `python -m train {COMMANDS[task]}` takes it.")
    return config_from(table | changes, kind)

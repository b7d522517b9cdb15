"""The configuration that both tasks share, and the reader of recipes: TOML files with the fields of a config."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from siamese.network import Initialisation, NetworkConfig
from siamese.preprocessing import Preprocessing
from train.augment import Distortions

Optimiser = Literal["adamw", "adam", "sgd"]
Schedule = Literal["constant", "cosine", "decay"]
TaskName = Literal["characters", "signatures"]
COMMANDS: dict[TaskName, str] = {"characters": "fit", "signatures": "fit-signatures"}
LAYERS = 6  # four convolutions, the 9216 x 4096 layer, the head
SCALARS = {int: "a whole number", float: "a number", bool: "true or false"}


class RecipeError(ValueError):
    """A recipe cannot be read or contradicts itself; the message is one sentence for the user."""


@dataclass(frozen=True)
class TrainConfig:
    """Fields that recipes for characters and for signatures share; the values are checked on construction.

    Raises:
        RecipeError: A value is out of range.
    """

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

    validate_every: int = 500
    """Steps between two validations."""
    patience: int = 0
    """Number of validations without a new best after which the run ends and returns the best weights; with 0 the run
    takes all its steps and returns the last weights."""

    frozen_convolutions: int = 0
    """Number of convolutions, counted from the first, that are not trained."""
    shared_embedding: bool = False
    """Whether to leave the 9216 x 4096 weights untrained, so that checkpoints can share them."""

    steps: int = 6000
    """Optimiser steps of the whole run."""
    optimiser: Optimiser = "adamw"
    """"adamw" (decoupled weight decay), "adam", or "sgd" with momentum (both with an L2 penalty)."""
    learning_rate: float = 1e-3
    """Highest learning rate of the schedule."""
    layer_rates: tuple[float, ...] = ()
    """Factors on the learning rate of the six layers; empty means 1 for each."""
    warmup_steps: int = 200
    """Steps over which the learning rate rises linearly from 0."""
    schedule: Schedule = "cosine"
    """"constant"; "cosine", which falls to 0 at the last step; or "decay", which multiplies the rate by `decay` every
    `decay_every` steps."""
    decay: float = 0.99
    """Factor of the schedule "decay"."""
    decay_every: int = 1000
    """Steps between two multiplications by `decay`."""
    momentum: tuple[float, float, int] = (0.5, 0.9, 1)
    """Momentum of SGD at the start and at the end, and the number of `decay_every` periods over which it rises."""
    weight_decay: float = 1e-4
    """Weight decay of matrices and kernels; biases and normalisation have none."""
    weight_average: float = 0.0
    """Decay per step of an exponential moving average of the weights, which is then validated and exported; 0 for no
    average."""
    distance_head: bool = True
    """Whether to clamp the head's weights to at most 0, so that a difference never raises the logit."""

    pair_loss: float = 1.0
    """Weight of the cross-entropy of pairs."""
    n_way_loss: float = 1.0
    """Weight of the N-way cross-entropy on the same logits."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, "steps", "validate_every", "decay_every")
        check_at_least(self, 0, "patience", "warmup_steps", "weight_decay")
        if not 0 <= self.weight_average < 1:
            raise RecipeError(f"weight_average is {self.weight_average}, must lie in 0 to below 1.")
        if not 0 <= self.frozen_convolutions <= LAYERS - 2:
            raise RecipeError(f"frozen_convolutions is {self.frozen_convolutions}, the network has {LAYERS - 2}.")
        check_choice(self, "optimiser", Optimiser)
        check_choice(self, "schedule", Schedule)
        if not self.learning_rate > 0:
            raise RecipeError(f"learning_rate is {self.learning_rate}, must be above 0.")
        if self.layer_rates and len(self.layer_rates) != LAYERS:
            raise RecipeError(f"layer_rates has {len(self.layer_rates)} factors, the network has {LAYERS} layers.")
        if len(self.momentum) != 3 or not 0 <= min(self.momentum[:2]) <= max(self.momentum[:2]) < 1:
            raise RecipeError(f"momentum is {self.momentum}, must be two numbers in 0 to below 1 and a count.")
        if self.momentum[2] < 1:
            raise RecipeError(f"momentum rises within {self.momentum[2]} decays, must be at least 1.")

    @property
    def images_a_step(self) -> int:
        """Images embedded in a step."""
        raise NotImplementedError

    def as_dict(self) -> dict:
        """Returns the fields as nested dictionaries, for config.json and the state."""
        return asdict(self)


Config = TypeVar("Config", bound=TrainConfig)


def check_at_least(config: TrainConfig, least: int, *names: str) -> None:
    """Raises RecipeError if one of the named fields is below `least`."""
    for name in names:
        if getattr(config, name) < least:
            must = f"be at least {least}" if least else "not be negative"
            raise RecipeError(f"{name} is {getattr(config, name)}, must {must}.")


def check_choice(config: TrainConfig, name: str, kind: Any) -> None:
    """Raises RecipeError if a field is not one of the literals of its type `kind`."""
    if getattr(config, name) not in get_args(kind):
        raise RecipeError(f"{name} is {getattr(config, name)!r}, must be one of {', '.join(get_args(kind))}.")


def check_losses(weights: Sequence[float]) -> None:
    """Raises RecipeError if a weight of a loss is negative or all are 0."""
    if min(weights) < 0 or max(weights) == 0:
        raise RecipeError("The weights of the losses must not be negative, and one must be above 0.")


def check_views(views: int) -> None:
    """Raises RecipeError if a number of views is not 1, 4 or 8."""
    if views not in (1, 4, 8):
        raise RecipeError(f"views is {views}, must be 1, 4 or 8.")


def config_from(table: Mapping[str, Any], kind: type[Config]) -> Config:
    """Builds a config from the tables of a recipe.

    Args:
        table: The fields of the recipe; missing ones take their defaults.
        kind: `CharacterConfig` or `SignatureConfig`.

    Raises:
        RecipeError: A field does not exist, has the wrong type or is out of range.
    """
    try:
        return kind(**_checked(table, kind, "the recipe"))
    except (TypeError, ValueError) as error:
        raise error if isinstance(error, RecipeError) else RecipeError(f"The recipe does not fit: {error}") from error


def saved_config(table: Mapping[str, Any], kind: type[Config]) -> Config:
    """Builds a config from what `as_dict` wrote in an earlier version.

    Fields added since then take their defaults; fields that no longer exist are ignored.
    """
    names = {entry.name for entry in fields(kind)}
    return config_from({name: value for name, value in table.items() if name in names}, kind)


def _checked(table: Mapping[str, Any], kind: type, where: str) -> dict[str, Any]:
    """Converts a table to the types of a dataclass's fields: lists to tuples, tables to dataclasses.

    Raises:
        RecipeError: A field does not exist or has the wrong type; `where` names the table in the message.
    """
    names = {entry.name for entry in fields(kind)}
    unknown = sorted(set(table) - names)
    if unknown:
        raise RecipeError(f"{where} has no field {', '.join(unknown)}; there are {', '.join(sorted(names))}.")
    values = dict(table)
    for name, wanted in get_type_hints(kind).items():
        if name not in values:
            continue
        value = values[name]
        if wanted in SCALARS:
            accepted = (int, float) if wanted is float else wanted
            if not isinstance(value, accepted) or (isinstance(value, bool) and wanted is not bool):
                raise RecipeError(f"{name} is {value!r}, must be {SCALARS[wanted]}.")
            values[name] = wanted(value)
        elif get_origin(wanted) is tuple:
            if not isinstance(value, list | tuple):
                raise RecipeError(f"{name} is {value!r}, must be a list.")
            values[name] = tuple(value)
        elif isinstance(wanted, type) and is_dataclass(wanted):
            if not isinstance(value, dict):
                raise RecipeError(f"{name} is {value!r}, must be a table: [{name}].")
            values[name] = wanted(**_checked(value, wanted, name))
    return values


def recipe_names(task: TaskName | None = None) -> list[str]:
    """Returns the names of the recipes in `train/recipes`, or of those for one task, in alphabetical order."""
    files = (Path(entry.name) for entry in resources.files("train.recipes").iterdir())
    names = sorted(file.stem for file in files if file.suffix == ".toml")
    return [name for name in names if task is None or read_recipe(name).get("task", "characters") == task]


def read_recipe(name: str) -> dict[str, Any]:
    """Reads a recipe, given the name of a file in `train/recipes` or the path of a TOML file.

    Raises:
        RecipeError: There is no such recipe, or the file is not TOML.
    """
    path = Path(name)
    try:
        if path.suffix == ".toml":
            text = path.read_text(encoding="utf-8")
        elif name in recipe_names():
            text = (resources.files("train.recipes") / f"{name}.toml").read_text(encoding="utf-8")
        else:
            raise RecipeError(f"No recipe is called {name!r}; there are {', '.join(recipe_names())}.")
        return tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"The recipe {name} cannot be read: {error}.") from error


def recipe_for(task: TaskName, name: str) -> dict[str, Any]:
    """Reads a recipe for a task; the entry "task" is left out of the returned tables.

    Raises:
        RecipeError: The recipe cannot be read or is for another task.
    """
    table = read_recipe(name)
    found = table.pop("task", "characters")
    if found not in COMMANDS:
        raise RecipeError(f"task is {found!r}, must be {' or '.join(COMMANDS)}.")
    if found != task:
        raise RecipeError(f"The recipe {name} is for {found}: `python -m train {COMMANDS[found]}` takes it.")
    return table

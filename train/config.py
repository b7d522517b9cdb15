"""What decides a training run beside the data and the task: one frozen value; recipes are TOML files of its fields."""

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
    """A recipe that cannot be read or does not fit together; the message is one sentence for the user."""


@dataclass(frozen=True)
class TrainConfig:
    """What characters and signatures have in common; checked when made. A run is of one of the two subclasses."""

    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(batch_norm=True))
    """Activation, batch normalisation and drop-out."""
    initialisation: Initialisation = "modern"
    """How the weights are drawn where no earlier checkpoint is given."""
    preprocessing: Preprocessing = Preprocessing()
    """How ink is brought to one centre and extent; travels with the checkpoint."""
    distortions: Distortions = Distortions()
    """Ranges of the random distortions of each drawing."""
    seed: int = 0
    """Decides the initial weights and everything that is sampled."""

    validate_every: int = 500
    """Steps from one validation to the next."""
    patience: int = 0
    """Validations without a new best after which the run ends and returns the best; 0 returns the last."""

    frozen_convolutions: int = 0
    """So many of the first convolutions stay as they were at the start."""
    shared_embedding: bool = False
    """Leave the 9216 x 4096 weights as they were at the start, so that a checkpoint need not hold them again."""

    steps: int = 6000
    """Optimiser steps of the whole run."""
    optimiser: Optimiser = "adamw"
    """AdamW (decay decoupled), Adam or SGD with momentum (both: decay as an L2 penalty)."""
    learning_rate: float = 1e-3
    """At its height."""
    layer_rates: tuple[float, ...] = ()
    """Factors on the learning rate of the six layers; empty means 1 for each."""
    warmup_steps: int = 200
    """Steps in which the learning rate rises from 0."""
    schedule: Schedule = "cosine"
    """"cosine" falls to 0 at the last step; "decay" is multiplied by `decay` every `decay_every` steps."""
    decay: float = 0.99
    """Factor of the schedule "decay"."""
    decay_every: int = 1000
    """Steps from one factor to the next."""
    momentum: tuple[float, float, int] = (0.5, 0.9, 1)
    """Of SGD: it rises in a line from the first to the second within this many decays, then stays."""
    weight_decay: float = 1e-4
    """On weights, not on biases or normalisation."""
    weight_average: float = 0.0
    """Decay a step of an exponential moving average of the weights, which is then what validates and is exported; 0
    takes the weights as they are."""
    distance_head: bool = True
    """Keep the head from rewarding a difference."""

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
        return asdict(self)


Config = TypeVar("Config", bound=TrainConfig)


def check_at_least(config: TrainConfig, least: int, *names: str) -> None:
    """Raises RecipeError where one of these fields is below `least`."""
    for name in names:
        if getattr(config, name) < least:
            must = f"be at least {least}" if least else "not be negative"
            raise RecipeError(f"{name} is {getattr(config, name)}, must {must}.")


def check_choice(config: TrainConfig, name: str, kind: Any) -> None:
    """Raises RecipeError where a field is none of the literals of its type."""
    if getattr(config, name) not in get_args(kind):
        raise RecipeError(f"{name} is {getattr(config, name)!r}, must be one of {', '.join(get_args(kind))}.")


def check_losses(weights: Sequence[float]) -> None:
    """Raises RecipeError where a weight of a loss is negative, or none is above 0."""
    if min(weights) < 0 or max(weights) == 0:
        raise RecipeError("The weights of the losses must not be negative, and one must be above 0.")


def check_views(views: int) -> None:
    if views not in (1, 4, 8):
        raise RecipeError(f"views is {views}, must be 1, 4 or 8.")


def config_from(table: Mapping[str, Any], kind: type[Config]) -> Config:
    """A config from the tables of a recipe; raises RecipeError for a field that does not exist or does not fit."""
    try:
        return kind(**_checked(table, kind, "the recipe"))
    except (TypeError, ValueError) as error:
        raise error if isinstance(error, RecipeError) else RecipeError(f"The recipe does not fit: {error}") from error


def saved_config(table: Mapping[str, Any], kind: type[Config]) -> Config:
    """A config that `as_dict` wrote; a field that came later has its default, and one that went does not count."""
    names = {entry.name for entry in fields(kind)}
    return config_from({name: value for name, value in table.items() if name in names}, kind)


def _checked(table: Mapping[str, Any], kind: type, where: str) -> dict[str, Any]:
    """The fields of a dataclass by their types: numbers, lists as tuples, tables as the dataclasses that they are."""
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
        elif is_dataclass(wanted):
            if not isinstance(value, dict):
                raise RecipeError(f"{name} is {value!r}, must be a table: [{name}].")
            values[name] = wanted(**_checked(value, wanted, name))
    return values


def recipe_names(task: TaskName | None = None) -> list[str]:
    """The recipes of the package, or those for one task."""
    files = (Path(entry.name) for entry in resources.files("train.recipes").iterdir())
    names = sorted(file.stem for file in files if file.suffix == ".toml")
    return [name for name in names if task is None or read_recipe(name).get("task", "characters") == task]


def read_recipe(name: str) -> dict[str, Any]:
    """The tables of a recipe, by the name of a file in `train/recipes` or by the path of a TOML file.

    Raises:
        RecipeError: Where there is no such recipe, or it is no TOML.
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
    """The tables of a recipe for this task, which is left out of them.

    Raises:
        RecipeError: As `read_recipe`, and where the recipe is for another task.
    """
    table = read_recipe(name)
    found = table.pop("task", "characters")
    if found not in COMMANDS:
        raise RecipeError(f"task is {found!r}, must be {' or '.join(COMMANDS)}.")
    if found != task:
        raise RecipeError(f"The recipe {name} is for {found}: `python -m train {COMMANDS[found]}` takes it.")
    return table

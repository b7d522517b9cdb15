"""A training run in one frozen value; recipes are TOML files of its fields."""

import tomllib
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

from siamese.network import Initialisation, NetworkConfig
from siamese.preprocessing import Preprocessing
from train.augment import Distortions

Sampling = Literal["alphabets", "pairs", "signatures"]
Optimiser = Literal["adamw", "adam", "sgd"]
Schedule = Literal["constant", "cosine", "decay"]
LAYERS = 6  # four convolutions, the 9216 x 4096 layer, the head

# Five of the 30 background alphabets on which recipes, checkpoints and thresholds are chosen: round, angular and
# flowing scripts and one from a cartoon. None is in the evaluation set.
VALIDATION_ALPHABETS = (
    "Bengali",
    "Early_Aramaic",
    "Futurama",
    "Japanese_(hiragana)",
    "Mkhedruli_(Georgian)",
)


class RecipeError(ValueError):
    """A recipe that cannot be read or does not fit together; the message is one sentence for the user."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run beside the data; checked when made."""

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

    hold_out: tuple[str, ...] = VALIDATION_ALPHABETS
    """Alphabets kept from training, for validation; empty trains on all of the background set."""
    alphabets: tuple[str, ...] = ()
    """Alphabets to train on; empty takes all that are not held out."""
    synthetic_alphabets: int = 0
    """So many invented alphabets of 20 characters by 20 drawers are trained on beside the others."""
    train_drawers: int = 20
    """Only drawers up to this number are trained on; below 20, the others are those of validation."""
    validation_drawers: int = 0
    """So many of these others validate, the next in number; 0 takes all."""
    validate_every: int = 500
    """Steps from one validation to the next."""
    validation_trials: int = 2000
    """20-way trials within the held-out alphabets at each validation."""
    patience: int = 0
    """Validations without a new best after which the run ends and returns the best; 0 returns the last."""

    sampling: Sampling = "alphabets"
    """"alphabets": characters x drawers of few alphabets, all against all; "pairs": a fixed list of pairs;
    "signatures": genuine signatures and forgeries of few writers, all against all."""
    characters: int = 32
    """Characters in a batch of alphabets, pairs in a batch of pairs."""
    drawers: int = 2
    """Drawings of each character in a batch of alphabets, each by another drawer."""
    views: int = 4
    """How many of the square's eight views count as alphabets of their own: 1 none, 4 turned, 8 mirrored too. As
    writers of their own, whose lines stay level: 4 mirrored and upside down, 8 turned too."""
    pairs: int = 30_000
    """Length of the list of pairs; half are of one character."""
    different_within_alphabet: bool = True
    """Whether the different pairs of the list lie within one alphabet; otherwise any two characters meet."""
    copies: int = 0
    """Distorted copies of each pair in the list, beside the pair as drawn."""

    test_writers: int = 12
    """Writers of signatures that neither train nor decide anything."""
    validation_writers: int = 8
    """Writers of signatures from which thresholds come, and by which recipes are chosen."""
    validation_part: int = 0
    """Which so many of those who do not test these are, counted from 0: others validate in each part."""
    synthetic_writers: int = 0
    """So many invented writers (`siamese.signatures.synthetic`) are trained on beside those of the data."""
    writers: int = 4
    """Writers in a batch of signatures."""
    genuine: int = 8
    """Genuine signatures of each of them."""
    forgeries: int = 8
    """Skilled forgeries of each of them."""
    skilled_share: float = 0.5
    """Weight of skilled forgeries among the different pairs of a batch; the rest is that of other writers'."""
    writer_distortions: Distortions = Distortions()
    """Ranges of a distortion that a writer's signatures of a batch share, forged ones too: a hand of its own."""
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
    """Weight of the cross-entropy of pairs; over all pairs of a batch of alphabets same and different count alike."""
    label_smoothing: float = 0.0
    """Of the cross-entropy of pairs."""
    hard_share: float = 1.0
    """Share of each image's different pairs, the most similar ones, that the cross-entropy of pairs looks at."""
    n_way_loss: float = 1.0
    """Weight of the N-way cross-entropy on the same logits."""
    contrastive_loss: float = 0.0
    """Weight of the contrastive loss on the learned distance."""
    triplet_loss: float = 0.0
    """Weight of the batch-hard triplet loss on the learned distance."""
    margin: float = 4.0
    """Of the contrastive and the triplet loss, in units of the logit."""

    def __post_init__(self) -> None:
        for name in ("steps", "characters", "validate_every", "validation_trials", "pairs", "decay_every"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{name} is {getattr(self, name)}, must be at least 1.")
        for name in (
            "synthetic_alphabets",
            "copies",
            "patience",
            "warmup_steps",
            "weight_decay",
            "margin",
            "validation_drawers",
        ):
            if getattr(self, name) < 0:
                raise RecipeError(f"{name} is {getattr(self, name)}, must not be negative.")
        if not 0 <= self.label_smoothing < 0.5:
            raise RecipeError(f"label_smoothing is {self.label_smoothing}, must lie in 0 to below 0.5.")
        if not 0 < self.hard_share <= 1:
            raise RecipeError(f"hard_share is {self.hard_share}, must lie above 0, to 1.")
        if not 0 <= self.weight_average < 1:
            raise RecipeError(f"weight_average is {self.weight_average}, must lie in 0 to below 1.")
        if self.synthetic_writers < 0:
            raise RecipeError(f"synthetic_writers is {self.synthetic_writers}, must not be negative.")
        for name in ("writers", "genuine"):
            if getattr(self, name) < 2:
                raise RecipeError(f"{name} is {getattr(self, name)}, must be at least 2.")
        if min(self.forgeries, self.test_writers, self.validation_writers, self.validation_part) < 0:
            raise RecipeError("forgeries, test_writers, validation_writers and validation_part must not be negative.")
        if not 0 <= self.skilled_share <= 1:
            raise RecipeError(f"skilled_share is {self.skilled_share}, must lie in 0 to 1.")
        if not 0 <= self.frozen_convolutions <= LAYERS - 2:
            raise RecipeError(f"frozen_convolutions is {self.frozen_convolutions}, the network has {LAYERS - 2}.")
        for name, kind in (("sampling", Sampling), ("optimiser", Optimiser), ("schedule", Schedule)):
            if getattr(self, name) not in get_args(kind):
                raise RecipeError(f"{name} is {getattr(self, name)!r}, must be one of {', '.join(get_args(kind))}.")
        if self.sampling == "alphabets" and min(self.drawers, self.characters) < 2:
            raise RecipeError(
                f"A batch of {self.characters} characters x {self.drawers} drawers has no same or no different pair; "
                "both must be at least 2."
            )
        if self.writer_distortions.needs_layers or (self.sampling != "alphabets" and self.distortions.needs_layers):
            raise RecipeError("redraw_share and lost_share are for a batch of alphabets; set them to 0.")
        if self.views not in (1, 4, 8):
            raise RecipeError(f"views is {self.views}, must be 1, 4 or 8.")
        if not self.learning_rate > 0:
            raise RecipeError(f"learning_rate is {self.learning_rate}, must be above 0.")
        if self.layer_rates and len(self.layer_rates) != LAYERS:
            raise RecipeError(f"layer_rates has {len(self.layer_rates)} factors, the network has {LAYERS} layers.")
        if len(self.momentum) != 3 or not 0 <= min(self.momentum[:2]) <= max(self.momentum[:2]) < 1:
            raise RecipeError(f"momentum is {self.momentum}, must be two numbers in 0 to below 1 and a count.")
        if self.momentum[2] < 1:
            raise RecipeError(f"momentum rises within {self.momentum[2]} decays, must be at least 1.")
        both = sorted(set(self.alphabets) & set(self.hold_out))
        if both:
            raise RecipeError(f"{', '.join(both)} cannot be trained on and held out.")
        if not 2 <= self.train_drawers <= 20:
            raise RecipeError(f"train_drawers is {self.train_drawers}, must lie in 2 to 20.")
        others = 20 - self.train_drawers
        if self.hold_out and others and min(others, self.validation_drawers or others) < 2:
            raise RecipeError("The drawers leave one drawer to validation; it needs two.")
        if self.validation_drawers > others:
            raise RecipeError(
                f"validation_drawers is {self.validation_drawers}, but train_drawers leaves {others} of the 20."
            )
        batch_losses = self.n_way_loss, self.contrastive_loss, self.triplet_loss
        if min(self.pair_loss, *batch_losses) < 0 or max(self.pair_loss, *batch_losses) == 0:
            raise RecipeError("The weights of the losses must not be negative, and one must be above 0.")
        if self.sampling == "pairs" and (max(batch_losses) > 0 or self.pair_loss == 0):
            raise RecipeError("A list of pairs is trained by pair_loss alone; set the other losses to 0.")
        if self.sampling == "signatures" and (max(batch_losses[1:]) > 0 or self.label_smoothing):
            raise RecipeError("Signatures are trained by pair_loss and n_way_loss, without label_smoothing.")
        if self.sampling != "alphabets" and self.hard_share < 1:
            raise RecipeError("hard_share chooses among the pairs of a batch of alphabets; set it to 1.")
        if max(batch_losses[1:]) > 0 and not self.distance_head:
            raise RecipeError("The contrastive and the triplet loss need a distance; set distance_head to true.")
        if self.patience and not self.hold_out:
            raise RecipeError("patience needs alphabets in hold_out to validate on.")

    @property
    def images_a_step(self) -> int:
        """Images embedded in a step."""
        if self.sampling == "signatures":
            return self.writers * (self.genuine + self.forgeries)
        return self.characters * (self.drawers if self.sampling == "alphabets" else 2)

    def as_dict(self) -> dict:
        return asdict(self)


PARTS = {
    "network": NetworkConfig,
    "preprocessing": Preprocessing,
    "distortions": Distortions,
    "writer_distortions": Distortions,
}
SEQUENCES = ("hold_out", "alphabets", "layer_rates", "momentum")
SCALARS = {int: "a whole number", float: "a number", bool: "true or false"}


def config_from(table: dict) -> TrainConfig:
    """A config from the tables of a recipe; raises RecipeError for a field that does not exist or does not fit."""
    values = dict(table)
    try:
        for name in set(PARTS) & set(values):
            if not isinstance(values[name], dict):
                raise RecipeError(f"{name} is {values[name]!r}, must be a table: [{name}].")
            entries = {key: tuple(value) if isinstance(value, list) else value for key, value in values[name].items()}
            values[name] = PARTS[name](**known(entries, PARTS[name], name))
        for name in set(SEQUENCES) & set(values):
            if not isinstance(values[name], list | tuple):
                raise RecipeError(f"{name} is {values[name]!r}, must be a list.")
            values[name] = tuple(values[name])
        return TrainConfig(**known(values, TrainConfig, "the recipe"))
    except (TypeError, ValueError) as error:
        raise error if isinstance(error, RecipeError) else RecipeError(f"The recipe does not fit: {error}") from error


def known(values: dict, kind: type, where: str) -> dict:
    names = {entry.name for entry in fields(kind)}
    unknown = sorted(set(values) - names)
    if unknown:
        raise RecipeError(f"{where} has no field {', '.join(unknown)}; there are {', '.join(sorted(names))}.")
    for name, wanted in get_type_hints(kind).items():
        if name in values and wanted in SCALARS:
            value, accepted = values[name], (int, float) if wanted is float else wanted
            if not isinstance(value, accepted) or (isinstance(value, bool) and wanted is not bool):
                raise RecipeError(f"{name} is {value!r}, must be {SCALARS[wanted]}.")
            values = values | {name: wanted(value)}
        elif isinstance(values.get(name), list) and get_origin(wanted) is tuple:  # as TOML and JSON have it
            values = values | {name: tuple(values[name])}
    return values


def recipe_names() -> list[str]:
    files = (Path(entry.name) for entry in resources.files("train.recipes").iterdir())
    return sorted(file.stem for file in files if file.suffix == ".toml")


def load_recipe(name: str) -> TrainConfig:
    """A recipe by the name of a file in `train/recipes`, or by the path of a TOML file."""
    path = Path(name)
    try:
        if path.suffix == ".toml":
            text = path.read_text(encoding="utf-8")
        elif name in recipe_names():
            text = (resources.files("train.recipes") / f"{name}.toml").read_text(encoding="utf-8")
        else:
            raise RecipeError(f"No recipe is called {name!r}; there are {', '.join(recipe_names())}.")
        return config_from(tomllib.loads(text))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"The recipe {name} cannot be read: {error}.") from error

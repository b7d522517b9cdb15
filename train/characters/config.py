"""What decides a training run on characters beside the data."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

from train.augment import STRICT
from train.config import RecipeError, TrainConfig, Views, check_losses

Sampling = Literal["alphabets", "pairs"]

# Five of the 30 background alphabets on which recipes, checkpoints and thresholds are chosen: round, angular and
# flowing scripts and one from a cartoon. None is in the evaluation set.
VALIDATION_ALPHABETS = (
    "Bengali",
    "Early_Aramaic",
    "Futurama",
    "Japanese_(hiragana)",
    "Mkhedruli_(Georgian)",
)


@dataclass(frozen=True, config=STRICT)
class CharacterConfig(TrainConfig):
    """Fields of a recipe for characters; checked when made."""

    task = "characters"

    hold_out: tuple[str, ...] = VALIDATION_ALPHABETS
    """Alphabets kept from training, for validation; empty trains on all of the background set."""
    alphabets: tuple[str, ...] = ()
    """Alphabets to train on; empty takes all that are not held out."""
    synthetic_alphabets: NonNegativeInt = 0
    """So many invented alphabets of 20 characters by 20 drawers are trained on beside the others."""
    train_drawers: Annotated[int, Field(ge=2, le=20)] = 20
    """Only drawers up to this number are trained on; below 20, the others are those of validation."""
    validation_drawers: NonNegativeInt = 0
    """So many of these others validate, the next in number; 0 takes all."""
    validation_trials: PositiveInt = 2000
    """20-way trials within the held-out alphabets at each validation."""

    sampling: Sampling = "alphabets"
    """"alphabets": characters x drawers of few alphabets, all against all; "pairs": a fixed list of pairs."""
    characters: PositiveInt = 32
    """Characters in a batch of alphabets, pairs in a batch of pairs."""
    drawers: PositiveInt = 2
    """Drawings of each character in a batch of alphabets, each by another drawer."""
    views: Views = 4
    """How many of the square's eight views count as alphabets of their own: 1 none, 4 turned, 8 mirrored too."""
    pairs: PositiveInt = 30_000
    """Length of the list of pairs; half are of one character."""
    different_within_alphabet: bool = True
    """Whether the different pairs of the list lie within one alphabet; otherwise any two characters meet."""
    copies: NonNegativeInt = 0
    """Distorted copies of each pair in the list, beside the pair as drawn."""

    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Of the cross-entropy of pairs."""
    hard_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of each image's different pairs, the most similar ones, that the cross-entropy of pairs looks at."""
    contrastive_loss: NonNegativeFloat = 0.0
    """Weight of the contrastive loss on the learned distance."""
    triplet_loss: NonNegativeFloat = 0.0
    """Weight of the batch-hard triplet loss on the learned distance."""
    margin: NonNegativeFloat = 4.0
    """Of the contrastive and the triplet loss, in units of the logit."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampling == "alphabets" and min(self.drawers, self.characters) < 2:
            raise RecipeError(
                f"A batch of {self.characters} characters x {self.drawers} drawers has no same or no different pair; "
                "both must be at least 2."
            )
        if self.sampling != "alphabets" and self.distortions.needs_layers:
            raise RecipeError("redraw_share and lost_share are for a batch of alphabets; set them to 0.")
        both = sorted(set(self.alphabets) & set(self.hold_out))
        if both:
            raise RecipeError(f"{', '.join(both)} cannot be trained on and held out.")
        if self.patience and not self.hold_out:
            raise RecipeError("patience needs alphabets in hold_out to validate on.")
        self._check_drawers()
        self._check_losses()

    def _check_drawers(self) -> None:
        others = 20 - self.train_drawers
        if self.hold_out and others and min(others, self.validation_drawers or others) < 2:
            raise RecipeError("The drawers leave one drawer to validation; it needs two.")
        if self.validation_drawers > others:
            raise RecipeError(
                f"validation_drawers is {self.validation_drawers}, but train_drawers leaves {others} of the 20."
            )

    def _check_losses(self) -> None:
        batch_losses = self.n_way_loss, self.contrastive_loss, self.triplet_loss
        check_losses(self.pair_loss, *batch_losses)
        if self.sampling == "pairs" and (max(batch_losses) > 0 or self.pair_loss == 0):
            raise RecipeError("A list of pairs is trained by pair_loss alone; set the other losses to 0.")
        if self.sampling == "pairs" and self.hard_share < 1:
            raise RecipeError("hard_share chooses among the pairs of a batch of alphabets; set it to 1.")
        if max(batch_losses[1:]) > 0 and not self.distance_head:
            raise RecipeError("The contrastive and the triplet loss need a distance; set distance_head to true.")

    @property
    def images_a_step(self) -> int:
        return self.characters * (self.drawers if self.sampling == "alphabets" else 2)

"""What decides a training run on signatures beside the data."""

from dataclasses import dataclass

from train.augment import Distortions
from train.config import (
    RecipeError,
    TrainConfig,
    check_at_least,
    check_losses,
    check_views,
    config_from,
    recipe_for,
)


@dataclass(frozen=True)
class SignatureConfig(TrainConfig):
    """Fields of a recipe for signatures; checked when made."""

    test_writers: int = 12
    """Writers that neither train nor decide anything."""
    validation_writers: int = 8
    """Writers from whom thresholds come, and by whom recipes are chosen."""
    validation_part: int = 0
    """Which so many of those who do not test these are, counted from 0: others validate in each part."""
    synthetic_writers: int = 0
    """So many invented writers (`siamese.signatures.synthetic`) are trained on beside those of the data."""

    writers: int = 4
    """Writers in a batch."""
    genuine: int = 8
    """Genuine signatures of each of them."""
    forgeries: int = 8
    """Skilled forgeries of each of them."""
    views: int = 4
    """How many of the square's eight views count as writers of their own, their lines kept level: 1 none, 4 mirrored
    and upside down, 8 turned too."""
    skilled_share: float = 0.5
    """Weight of skilled forgeries among the different pairs of a batch; the rest is that of other writers'."""
    writer_distortions: Distortions = Distortions()
    """Ranges of a distortion that a writer's signatures of a batch share, forged ones too: a hand of its own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 2, "writers", "genuine")
        check_at_least(
            self, 0, "forgeries", "test_writers", "validation_writers", "validation_part", "synthetic_writers"
        )
        check_views(self.views)
        check_losses((self.pair_loss, self.n_way_loss))
        if not 0 <= self.skilled_share <= 1:
            raise RecipeError(f"skilled_share is {self.skilled_share}, must lie in 0 to 1.")
        if self.distortions.needs_layers or self.writer_distortions.needs_layers:
            raise RecipeError("redraw_share and lost_share are for a batch of alphabets; set them to 0.")

    @property
    def images_a_step(self) -> int:
        return self.writers * (self.genuine + self.forgeries)


def load_recipe(name: str) -> SignatureConfig:
    """A recipe for signatures, by its name or the path of a TOML file; raises RecipeError."""
    return config_from(recipe_for("signatures", name), SignatureConfig)

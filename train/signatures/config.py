"""What decides a training run on signatures beside the data."""

from typing import Annotated

from pydantic import Field, NonNegativeInt
from pydantic.dataclasses import dataclass

from train.augment import STRICT, Distortions, Share
from train.config import RecipeError, TrainConfig, Views, check_losses


@dataclass(frozen=True, config=STRICT)
class SignatureConfig(TrainConfig):
    """Fields of a recipe for signatures; checked when made."""

    task = "signatures"

    test_writers: NonNegativeInt = 12
    """Writers that neither train nor decide anything."""
    validation_writers: NonNegativeInt = 8
    """Writers from whom thresholds come, and by whom recipes are chosen."""
    validation_part: NonNegativeInt = 0
    """Which so many of those who do not test these are, counted from 0: others validate in each part."""
    synthetic_writers: NonNegativeInt = 0
    """So many invented writers (`siamese.signatures.synthetic`) are trained on beside those of the data."""

    writers: Annotated[int, Field(ge=2)] = 4
    """Writers in a batch."""
    genuine: Annotated[int, Field(ge=2)] = 8
    """Genuine signatures of each of them."""
    forgeries: NonNegativeInt = 8
    """Skilled forgeries of each of them."""
    views: Views = 4
    """How many of the square's eight views count as writers of their own, their lines kept level: 1 none, 4 mirrored
    and upside down, 8 turned too."""
    skilled_share: Share = 0.5
    """Weight of skilled forgeries among the different pairs of a batch; the rest is that of other writers'."""
    writer_distortions: Distortions = Distortions()
    """Ranges of a distortion that a writer's signatures of a batch share, forged ones too: a hand of its own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_losses(self.pair_loss, self.n_way_loss)
        if self.distortions.needs_layers or self.writer_distortions.needs_layers:
            raise RecipeError("redraw_share and lost_share are for a batch of alphabets; set them to 0.")

    @property
    def images_a_step(self) -> int:
        return self.writers * (self.genuine + self.forgeries)

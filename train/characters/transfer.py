"""One-shot trials on a folder of other handwriting, which no part of the training has seen."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor
from tqdm import tqdm

from siamese.characters.drawings import Drawings
from siamese.characters.episodes import Trials, sample_trials
from siamese.data.safe_zip import is_stray
from siamese.imaging.decode import ImageError, load_ink
from siamese.preprocessing import Preprocessing
from train.errors import CommandError

MOST_WAYS = 20
MOST_IMAGES = 5_000  # about a minute of a CPU; MNIST alone has 70,000
MOST_IMAGES_PER_CLASS = 200


class TransferError(CommandError):
    """A folder that holds no classes to tell apart; the message is one sentence."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of a folder as the network sees them.

    Attributes:
        prepared: Ink 255 on paper 0.
        drawings: The same as one alphabet; who drew a picture is not known, so each counts as by another drawer.
        refused: A sentence for each file that is no usable picture.
    """

    prepared: UInt8[Tensor, "pictures 1 105 105"]
    drawings: Drawings
    refused: tuple[str, ...]


def load_pictures(
    folder: Path, preprocessing: Preprocessing, generator: torch.Generator, progress: bool = False
) -> Pictures:
    """Reads a folder with one sub-folder for each class.

    Args:
        folder: Its files may have any size, colour and polarity; stray ones are passed over.
        preprocessing: How pictures are prepared for the network.
        generator: Chooses among the pictures of large classes.
        progress: Whether to show a bar.

    Raises:
        TransferError: Fewer than two classes have two usable pictures.
    """
    try:
        classes = sorted(path for path in folder.iterdir() if path.is_dir() and not is_stray(path.name))
    except OSError as error:
        raise TransferError(f"The folder {folder} cannot be read: {error.strerror or error}.") from error
    if len(classes) < 2:
        raise TransferError(
            f"{folder} holds {len(classes)} sub-folders; it needs one for each of at least two classes."
        )
    each = max(2, min(MOST_IMAGES_PER_CLASS, MOST_IMAGES // len(classes)))
    chosen = [(index, path) for index, place in enumerate(classes) for path in choose_files(place, each, generator)]
    inks, labels, refused = [], [], []
    for index, path in tqdm(chosen, desc="reading", unit="image", disable=not progress):
        try:
            inks.append((load_ink(path, preprocessing) * 255).round().to(torch.uint8))
            labels.append(index)
        except ImageError as error:
            refused.append(f"{path}: {error}")
    counts = torch.tensor(labels, dtype=torch.int64).bincount(minlength=len(classes))
    usable = [index for index in range(len(classes)) if counts[index] >= 2]
    if len(usable) < 2:
        reason = f" ({refused[0]})" if refused else ""
        raise TransferError(f"Fewer than two sub-folders of {folder} hold two usable pictures{reason}.")
    keep = [row for row, index in enumerate(labels) if index in set(usable)]
    prepared = torch.stack([inks[row] for row in keep])
    character = torch.tensor([usable.index(labels[row]) for row in keep])
    drawings = Drawings(
        prepared[:, 0] >= 128, torch.zeros_like(character), character, torch.arange(1, len(keep) + 1), (folder.name,)
    )
    return Pictures(prepared, drawings, tuple(refused))


def choose_files(folder: Path, count: int, generator: torch.Generator) -> list[Path]:
    """Chooses at most `count` files of a folder at random, in the order of their names; raises TransferError."""
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not is_stray(path.name))
    except OSError as error:
        raise TransferError(f"The folder {folder} cannot be read: {error.strerror or error}.") from error
    kept = torch.randperm(len(files), generator=generator)[:count].sort().values
    return [files[index] for index in kept.tolist()]


def transfer_trials(pictures: Pictures, trials: int, generator: torch.Generator) -> Trials:
    """Draws one-shot trials among all classes, at most MOST_WAYS of them in a trial."""
    classes = len(pictures.drawings.character.unique())
    return sample_trials(pictures.drawings, min(classes, MOST_WAYS), trials, generator, within_alphabet=False)

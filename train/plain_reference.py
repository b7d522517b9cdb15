"""A plain implementation of the network, as others write it, for comparison in `python -m train benchmark`.

Float32 and PyTorch's default memory format; both images of each pair are embedded; a 20-way trial is 20 pairs; a
DataLoader opens and distorts two PNG files with PIL for each training pair; ink is what Otsu's threshold finds dark.
Nothing else in the project uses it.
"""

import io
import random

import cv2
import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from siamese.characters.drawings import Drawings

PAIRS_A_STEP = 32
LEARNING_RATE = 6e-5
ROTATION_DEG = 15
IMAGE_SIZE_PX, EXTENT_PX = 105, 80


class PlainNetwork(nn.Module):
    """Koch et al. (2015), figure 4, layer by layer."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            *(nn.Conv2d(1, 64, 10), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 128, 7), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(128, 128, 4), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(128, 256, 4), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(9216, 4096), nn.Sigmoid()),
        )
        self.out = nn.Linear(4096, 1)

    def forward(
        self, first: Float[Tensor, "pairs 1 105 105"], second: Float[Tensor, "pairs 1 105 105"]
    ) -> Float[Tensor, "pairs 1"]:
        """Logits of "the same character"."""
        return self.out((self.tower(first) - self.tower(second)).abs())


class PairFiles(Dataset):
    """Pairs of PNG files, drawn anew each time: even places are of one character."""

    def __init__(self, files: list[list[bytes]], pairs: int) -> None:
        """`files` holds the drawings of each character."""
        from torchvision import transforms

        self.files = files
        self.pairs = pairs
        self.random = random.Random(0)
        self.transform = transforms.Compose([transforms.RandomAffine(ROTATION_DEG), transforms.ToTensor()])

    def __len__(self) -> int:
        return self.pairs

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor, Tensor]:
        one, other = self.random.sample(self.files, 2)
        paths = self.random.sample(one, 2) if place % 2 == 0 else [self.random.choice(one), self.random.choice(other)]
        first, second = (self.transform(open_image(path)) for path in paths)
        return first, second, torch.tensor([1.0 - place % 2])


def open_image(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file)).convert("L")


def isolate(picture: Image.Image) -> Float[Tensor, "1 105 105"]:
    """The ink of a decoded image by Otsu's threshold over all of its pixels, its box scaled into 105 x 105."""
    grey = np.asarray(picture.convert("L"))
    ink = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)[1]
    left, top, width, height = cv2.boundingRect(ink)
    scale = EXTENT_PX / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    scaled = cv2.resize(ink[top : top + height, left : left + width], size, interpolation=cv2.INTER_AREA)
    middle = np.zeros((IMAGE_SIZE_PX, IMAGE_SIZE_PX), dtype=np.float32)
    y, x = (IMAGE_SIZE_PX - size[1]) // 2, (IMAGE_SIZE_PX - size[0]) // 2
    middle[y : y + size[1], x : x + size[0]] = scaled / np.float32(255)
    return torch.from_numpy(middle)[None]


def png_files(drawings: Drawings) -> list[bytes]:
    """Each drawing as Omniglot stores it: dark ink on white, one bit for each pixel."""
    files = []
    for ink in drawings.ink:
        file = io.BytesIO()
        Image.fromarray(~ink.numpy()).save(file, "PNG")
        files.append(file.getvalue())
    return files


def by_character(drawings: Drawings) -> list[list[bytes]]:
    files: dict[int, list[bytes]] = {}
    for character, file in zip(drawings.character.tolist(), png_files(drawings), strict=True):
        files.setdefault(character, []).append(file)
    return list(files.values())


class PlainTraining:
    """A step of training on pairs after another."""

    def __init__(self, network: PlainNetwork, drawings: Drawings, device: torch.device) -> None:
        self.network = network.to(device).train()
        self.device = device
        self.optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        self.loss = nn.BCEWithLogitsLoss()
        loader = DataLoader(PairFiles(by_character(drawings), 1 << 30), batch_size=PAIRS_A_STEP, num_workers=0)
        self.batches = iter(loader)

    def load(self) -> list[Tensor]:
        return next(self.batches)

    def step(self) -> None:
        first, second, same = (part.to(self.device) for part in self.load())
        self.optimizer.zero_grad()
        self.loss(self.network(first, second), same).backward()
        self.optimizer.step()


@torch.no_grad()
def trial(
    network: PlainNetwork, support: Float[Tensor, "n_way 1 105 105"], query: Float[Tensor, "1 105 105"]
) -> Float[Tensor, " n_way"]:
    """Every candidate with a copy of the query: 2 n_way passes of the tower."""
    return network(query.expand_as(support), support)[:, 0]


def trial_of_files(network: PlainNetwork, support: list[bytes], query: bytes, device: torch.device) -> list[float]:
    from torchvision.transforms.functional import to_tensor

    candidates = torch.stack([to_tensor(open_image(file)) for file in support])
    queries = torch.stack([to_tensor(open_image(query)) for _ in support])  # each pair opens both of its files
    with torch.no_grad():
        return network(queries.to(device), candidates.to(device))[:, 0].tolist()

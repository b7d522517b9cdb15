"""Omniglot as alphabets, characters and drawers, from whatever holds it; and Lake's twenty runs.

Lake, Salakhutdinov and Tenenbaum (2015), "Human-level concept learning through probabilistic program induction".
"""

import io
import json
import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from siamese.characters.drawings import Drawings, pack_bits, unpack_bits
from siamese.characters.episodes import Trials
from siamese.characters.omniglot_layouts import StoredDrawing, stored_drawings
from siamese.characters.synthetic import synthetic_drawings
from siamese.data.bundled import LAKE_RUNS, SPLITS, Split, read_bundled, read_table
from siamese.data.cache import Stored, cached, code_digest, digest
from siamese.data.sources import Source, SourceError, fingerprint, resolve_source
from siamese.imaging.decode import ImageError, open_image
from siamese.preprocessing import IMAGE_SIZE_PX

if TYPE_CHECKING:  # takes a second to import, and a cached start does without
    import datasets

# (alphabets, characters, drawers, seed) of `--data invented`: 20 drawers as Omniglot has, 24 characters for 20 ways
INVENTED: dict[Split, tuple[int, int, int, int]] = {
    "background": (20, 24, 20, 2015),
    "evaluation": (10, 24, 20, 105),
}
CACHE_FORMAT = "2"
# The files and folders that make what is in the cache.
MAKERS = (
    "characters/omniglot.py",
    "characters/omniglot_layouts.py",
    "characters/strokes.py",
    "characters/synthetic.py",
    "data/pen_strokes.py",
    "data/sources.py",
    "imaging",
)


def load_omniglot(source: str | None = None) -> "datasets.DatasetDict":
    """Reads Omniglot as splits "background" and "evaluation" of `datasets`.

    Args:
        source: A folder or a ZIP archive with images_background and images_evaluation anywhere in it, parquet files,
            "user/name" or "user/name@revision" on the Hub, or "invented". None takes the environment variable
            OMNIGLOT_DATA, and without it the set that is bundled with the package.

    Returns:
        Columns image; alphabet (ClassLabel with the names of both splits); character, from 1 within its alphabet;
        drawer, from 1. Rows go by alphabet, character, drawer. A split that the source lacks is left out.

    Raises:
        SourceError: Where the source cannot be read or does not hold what Omniglot does.
    """
    import datasets

    place = _resolve(source)
    if place is None:
        bundled = {split: datasets.Dataset(datasets.table.InMemoryTable(read_table(split))) for split in SPLITS}
        return datasets.DatasetDict(bundled)
    drawings: dict[str, list[StoredDrawing]] = {}
    refusals: list[SourceError] = []
    for split in SPLITS:
        try:
            drawings[split] = _invented(split) if place.kind == "invented" else stored_drawings(place, split)
        except SourceError as refusal:
            refusals.append(refusal)
    if not drawings:
        raise refusals[0]
    features = datasets.Features(
        image=datasets.Image(),
        alphabet=datasets.ClassLabel(names=sorted({one.alphabet for rows in drawings.values() for one in rows})),
        character=datasets.Value("int32"),
        drawer=datasets.Value("int32"),
    )
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {
                    "image": [{"bytes": one.image, "path": None} for one in rows],
                    "alphabet": [one.alphabet for one in rows],
                    "character": [one.character for one in rows],
                    "drawer": [one.drawer for one in rows],
                },
                features=features,
            )
            for split, rows in drawings.items()
        }
    )


def load_drawings(split: Split, source: str | None = None) -> Drawings:
    """Reads one split of Omniglot.

    The bundled set is decoded each time, which takes a second; other sources are decoded once and from then on read
    from the cache folder. A data set on the Hub without a revision is read anew only where the cache does not hold it.

    Args:
        split: "background" or "evaluation".
        source: As in `load_omniglot`.

    Returns:
        Rows by alphabet, character, drawer.

    Raises:
        SourceError: Where the source cannot be read or does not hold what Omniglot does.
    """
    if split not in SPLITS:
        raise SourceError(f"The split is {split!r}, must be one of {', '.join(SPLITS)}.")
    place = _resolve(source)
    if place is None:
        return bundled_drawings(split)
    settings = INVENTED[split] if place.kind == "invented" else ""
    identity = f"{CACHE_FORMAT} {fingerprint(place)} {settings} {code_digest(MAKERS)}"
    make = partial(_make, place, split)
    return _restored(cached(f"{split}-{digest(str(place).encode())}", identity, make))


def bundled_drawings(split: Split) -> Drawings:
    """Decodes a split of the set that is bundled with the package."""
    bundled = read_bundled(split)
    held, alphabet = bundled.alphabet.unique(return_inverse=True)
    _, character = torch.stack([bundled.alphabet, bundled.character]).unique(dim=1, return_inverse=True)
    names = tuple(bundled.alphabet_names[index] for index in held.tolist())
    return Drawings(bundled.all_ink(), alphabet, character, bundled.drawer, names)


def lake_runs(evaluation: Drawings) -> Trials:
    """Lake's 20 runs of 20 trials, each 20-way within one alphabet.

    A run's 20 supports are by one drawer, its 20 queries by another, and each trial sees all 20 supports. The
    drawings are found by a hash of their pixels, so any copy of the evaluation set serves, however it is ordered.

    Returns:
        400 trials of rows into `evaluation`.

    Raises:
        SourceError: Where a drawing of the runs is missing or its character is another than in the runs.
    """
    table = json.loads(LAKE_RUNS.read_text(encoding="utf-8"))
    rows = {pixel_hash: row for row, pixel_hash in enumerate(pixel_hashes(evaluation.ink))}
    support, query, label = [], [], []
    missing: list[str] = []
    for run in table["runs"]:
        for role in ("support", "query"):
            missing += [
                f"{run['alphabet']}, character {character}, drawer {run[f'{role}_drawer']}"
                for character, pixel_hash in run[role]
                if pixel_hash not in rows
            ]
        candidates = [rows.get(pixel_hash, -1) for _, pixel_hash in run["support"]]
        places = {character: place for place, (character, _) in enumerate(run["support"])}
        for character, pixel_hash in run["query"]:
            support.append(candidates)
            query.append(rows.get(pixel_hash, -1))
            label.append(places[character])
    if missing:
        raise SourceError(
            f"Lake's runs need Omniglot's evaluation images, but {len(missing)} of their drawings are not here, pixel "
            f"for pixel (the first: {missing[0]})."
        )
    trials = Trials(torch.tensor(support), torch.tensor(query), torch.tensor(label))
    same = evaluation.character[trials.support] == evaluation.character[trials.query][:, None]
    if not torch.equal(same, torch.nn.functional.one_hot(trials.label, trials.n_way).bool()):
        raise SourceError("These images are those of Lake's runs, but they are sorted into other characters.")
    return trials


def pixel_hashes(ink: Bool[Tensor, "drawings 105 105"]) -> list[str]:
    """For each drawing 16 hexadecimal digits that depend on its pixels alone."""
    return [digest(row.tobytes()) for row in pack_bits(ink).numpy()]


def _resolve(source: str | None) -> Source | None:
    """None for the set that is bundled with the package."""
    name = source or os.environ.get("OMNIGLOT_DATA")
    return resolve_source(name, "drawings") if name else None


def _make(source: Source, split: Split) -> Stored:
    if source.kind == "invented":
        return _stored(synthetic_drawings(*INVENTED[split]))
    return _stored(_decode(stored_drawings(source, split), source))


def _invented(split: Split) -> list[StoredDrawing]:
    drawings = load_drawings(split, "invented")
    characters = INVENTED[split][1]
    return [
        StoredDrawing(_png(ink), drawings.alphabet_names[alphabet], character % characters + 1, drawer)
        for ink, alphabet, character, drawer in zip(
            drawings.ink, drawings.alphabet.tolist(), drawings.character.tolist(), drawings.drawer.tolist(), strict=True
        )
    ]


def _png(ink: Bool[Tensor, "105 105"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(~ink.numpy()).save(buffer, "PNG")
    return buffer.getvalue()


def _decode(stored: Sequence[StoredDrawing], source: Source) -> Drawings:
    ink = torch.empty(len(stored), IMAGE_SIZE_PX, IMAGE_SIZE_PX, dtype=torch.bool)
    for row, one in enumerate(stored):
        where = f"{one.alphabet}, character {one.character}, drawer {one.drawer}"
        try:
            picture = open_image(one.image)
        except ImageError as error:
            raise SourceError(f"{source.subject} holds an image that cannot be used ({where}): {error}") from error
        if picture.size != (IMAGE_SIZE_PX, IMAGE_SIZE_PX):
            width, height = picture.size
            raise SourceError(
                f"{source.subject} holds an image of {width} x {height} pixels ({where}); Omniglot's have 105 x 105."
            )
        ink[row] = torch.from_numpy(np.asarray(picture) < 128)
    names = tuple(sorted({one.alphabet for one in stored}))
    alphabets = {name: index for index, name in enumerate(names)}
    keys = sorted({(one.alphabet, one.character) for one in stored})
    characters = {key: index for index, key in enumerate(keys)}
    return Drawings(
        ink=ink,
        alphabet=torch.tensor([alphabets[one.alphabet] for one in stored]),
        character=torch.tensor([characters[one.alphabet, one.character] for one in stored]),
        drawer=torch.tensor([one.drawer for one in stored]),
        alphabet_names=names,
    )


def _stored(drawings: Drawings) -> Stored:
    tensors = {
        "ink": pack_bits(drawings.ink),
        "alphabet": drawings.alphabet,
        "character": drawings.character,
        "drawer": drawings.drawer,
    }
    return Stored(tensors, {"alphabet_names": drawings.alphabet_names})


def _restored(stored: Stored) -> Drawings:
    return Drawings(
        ink=unpack_bits(stored.tensors["ink"], IMAGE_SIZE_PX),
        alphabet=stored.tensors["alphabet"],
        character=stored.tensors["character"],
        drawer=stored.tensors["drawer"],
        alphabet_names=tuple(stored.values["alphabet_names"]),
    )

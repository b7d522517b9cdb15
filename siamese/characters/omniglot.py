"""Omniglot as alphabets, characters and drawers, from whatever holds it; and Lake's twenty runs.

Lake, Salakhutdinov and Tenenbaum (2015), "Human-level concept learning through probabilistic program induction".
"""

import contextlib
import hashlib
import io
import json
import os
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from siamese.characters import synthetic as invented
from siamese.characters.drawings import Drawings, pack_bits, unpack_bits
from siamese.characters.episodes import Trials
from siamese.data.bundled import LAKE_RUNS, SPLITS, Split, read_bundled, read_table
from siamese.imaging.decode import ImageError, open_image
from siamese.inference.tensor_cache import read_tensors, write_tensors
from siamese.preprocessing import IMAGE_SIZE_PX

if TYPE_CHECKING:  # takes a second to import, and a cached start does without
    import datasets

# (alphabets, characters, drawers, seed) of `--data invented`: 20 drawers as Omniglot has, 24 characters for 20 ways
INVENTED: dict[Split, tuple[int, int, int, int]] = {
    "background": (20, 24, 20, 2015),
    "evaluation": (10, 24, 20, 105),
}

OFFICIAL_ALPHABETS: dict[Split, tuple[str, ...]] = {
    "background": (
        *("Alphabet_of_the_Magi", "Anglo-Saxon_Futhorc", "Arcadian", "Armenian", "Asomtavruli_(Georgian)", "Balinese"),
        *("Bengali", "Blackfoot_(Canadian_Aboriginal_Syllabics)", "Braille", "Burmese_(Myanmar)", "Cyrillic"),
        *("Early_Aramaic", "Futurama", "Grantha", "Greek", "Gujarati", "Hebrew"),
        *("Inuktitut_(Canadian_Aboriginal_Syllabics)", "Japanese_(hiragana)", "Japanese_(katakana)", "Korean", "Latin"),
        *("Malay_(Jawi_-_Arabic)", "Mkhedruli_(Georgian)", "N_Ko", "Ojibwe_(Canadian_Aboriginal_Syllabics)"),
        *("Sanskrit", "Syriac_(Estrangelo)", "Tagalog", "Tifinagh"),
    ),
    "evaluation": (
        *("Angelic", "Atemayar_Qelisayer", "Atlantean", "Aurek-Besh", "Avesta", "Ge_ez", "Glagolitic", "Gurmukhi"),
        *("Kannada", "Keble", "Malayalam", "Manipuri", "Mongolian", "Old_Church_Slavonic_(Cyrillic)", "Oriya"),
        *("Sylheti", "Syriac_(Serto)", "Tengwar", "Tibetan", "ULOG"),
    ),
}

# What other copies call the splits and columns. "small1" and "small2" of some repeat the background and are left out.
SPLIT_NAMES: dict[Split, tuple[str, ...]] = {
    "background": ("background", "images_background", "train"),
    "evaluation": ("evaluation", "images_evaluation", "test"),
}
ALPHABET_COLUMNS = ("alphabet", "alphabet_name", "language")
CHARACTER_COLUMNS = ("character", "alphabet_char_id", "character_id", "char_id", "label")
DRAWER_COLUMNS = ("drawer", "drawer_id", "writer")
LABEL_WITH_ALPHABET = re.compile(r"(.+?)[/_. -]+character[_ ]?(\d+)")

MAX_ARCHIVE_BYTES = 64 << 20  # the official archives have 9.5 MB and 6.5 MB
MAX_MEMBERS = 100_000  # Omniglot has 32,460 images in 1,623 folders
MAX_IMAGE_BYTES = 64 << 10  # Omniglot's largest has 522 bytes
MAX_UNPACKED_BYTES = 256 << 20

IMAGE_PATH = re.compile(r"(?:.*/)?images_(background|evaluation)/([^/]+)/character(\d{1,4})/\d{1,8}_(\d{1,4})\.png")
HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
CACHE_FORMAT = "1"


class OmniglotError(ValueError):
    """A source that cannot serve; the message is one sentence."""


@dataclass(frozen=True)
class _Place:
    """Where a source is, once its name has been understood."""

    kind: Literal["bundled", "invented", "folder", "hub"]
    name: str
    revision: str | None = None


@dataclass(frozen=True)
class _Entry:
    """One drawing as it is stored: a PNG or the like, and where it belongs."""

    image: bytes
    alphabet: str
    character: int
    drawer: int


def load_omniglot(source: str | None = None) -> "datasets.DatasetDict":
    """Omniglot as splits "background" and "evaluation" of `datasets`; a split that the source lacks is left out.

    Columns: image; alphabet (ClassLabel with the names of both splits); character, from 1 within its alphabet;
    drawer, from 1. Rows go by alphabet, character, drawer.

    `source` is a folder with the official archives, with what they unpack to, or with parquet files; the id of a
    data set on the Hub, "user/name" or "user/name@revision"; or "invented". None takes the environment variable
    OMNIGLOT_DATA, and without it the set that is bundled with the package.

    Raises OmniglotError where the source cannot be read or does not hold what Omniglot does.
    """
    import datasets

    place = _resolve(source)
    if place.kind == "bundled":
        bundled = {split: datasets.Dataset(datasets.table.InMemoryTable(read_table(split))) for split in SPLITS}
        return datasets.DatasetDict(bundled)
    entries: dict[str, list[_Entry]] = {}
    refusals: list[OmniglotError] = []
    for split in SPLITS:
        try:
            entries[split] = _entries(place, split)
        except OmniglotError as refusal:
            refusals.append(refusal)
    if not entries:
        raise refusals[0]
    names = sorted({entry.alphabet for rows in entries.values() for entry in rows})
    features = datasets.Features(
        image=datasets.Image(),
        alphabet=datasets.ClassLabel(names=names),
        character=datasets.Value("int32"),
        drawer=datasets.Value("int32"),
    )
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {
                    "image": [{"bytes": entry.image, "path": None} for entry in rows],
                    "alphabet": [entry.alphabet for entry in rows],
                    "character": [entry.character for entry in rows],
                    "drawer": [entry.drawer for entry in rows],
                },
                features=features,
            )
            for split, rows in entries.items()
        }
    )


def load_drawings(split: Split, source: str | None = None) -> Drawings:
    """One split of Omniglot. The bundled set is decoded each time, which takes a second; other sources are decoded
    once and from then on read from the cache folder.

    `source` as in `load_omniglot`. A data set on the Hub without a revision is read anew only where the cache does
    not hold it.

    Raises OmniglotError where the source cannot be read or does not hold what Omniglot does.
    """
    if split not in SPLITS:
        raise OmniglotError(f"The split is {split!r}, must be one of {', '.join(SPLITS)}.")
    place = _resolve(source)
    if place.kind == "bundled":
        return bundled_drawings(split)
    identity = f"{CACHE_FORMAT} {_identity(place, split)}"
    cache = cache_folder() / f"{split}-{_hash(f'{place.kind} {place.name} {place.revision}'.encode())}.safetensors"
    cached = _read_cache(cache, identity)
    if cached is not None:
        return cached
    if place.kind == "invented":
        drawings = invented.synthetic_drawings(*INVENTED[split])
    else:
        drawings = _decode(_entries(place, split), _spoken(place))
    with contextlib.suppress(OSError):  # a full or read-only disk costs the next start some seconds, no more
        _write_cache(cache, identity, drawings)
    return drawings


def bundled_drawings(split: Split) -> Drawings:
    """Decodes a split of the set that is bundled with the package."""
    bundled = read_bundled(split)
    held, alphabet = bundled.alphabet.unique(return_inverse=True)
    _, character = torch.stack([bundled.alphabet, bundled.character]).unique(dim=1, return_inverse=True)
    names = tuple(bundled.alphabet_names[index] for index in held.tolist())
    return Drawings(bundled.all_ink(), alphabet, character, bundled.drawer, names)


def lake_runs(evaluation: Drawings) -> Trials:
    """Lake's 20 runs of 20 trials: 400 rows into `evaluation`, each 20-way within one alphabet.

    A run's 20 supports are by one drawer, its 20 queries by another, and each trial sees all 20 supports. The
    drawings are found by a hash of their pixels, so any copy of the evaluation set serves, however it is ordered.

    Raises OmniglotError where a drawing of the runs is missing or its character is another than in the runs.
    """
    table = json.loads(LAKE_RUNS.read_text(encoding="utf-8"))
    rows = {digest: row for row, digest in enumerate(pixel_hashes(evaluation.ink))}
    support, query, label = [], [], []
    missing: list[str] = []
    for run in table["runs"]:
        for role in ("support", "query"):
            missing += [
                f"{run['alphabet']}, character {character}, drawer {run[f'{role}_drawer']}"
                for character, digest in run[role]
                if digest not in rows
            ]
        candidates = [rows.get(digest, -1) for _, digest in run["support"]]
        places = {character: place for place, (character, _) in enumerate(run["support"])}
        for character, digest in run["query"]:
            support.append(candidates)
            query.append(rows.get(digest, -1))
            label.append(places[character])
    if missing:
        raise OmniglotError(
            f"Lake's runs need Omniglot's evaluation images, but {len(missing)} of their drawings are not here, pixel "
            f"for pixel (the first: {missing[0]})."
        )
    trials = Trials(torch.tensor(support), torch.tensor(query), torch.tensor(label))
    same = evaluation.character[trials.support] == evaluation.character[trials.query][:, None]
    if not torch.equal(same, torch.nn.functional.one_hot(trials.label, trials.n_way).bool()):
        raise OmniglotError("These images are those of Lake's runs, but they are sorted into other characters.")
    return trials


def pixel_hashes(ink: Bool[Tensor, "drawings 105 105"]) -> list[str]:
    """For each drawing 16 hexadecimal digits that depend on its pixels alone."""
    return [_hash(row.tobytes()) for row in pack_bits(ink).numpy()]


def cache_folder() -> Path:
    """Where decoded drawings are kept: beside the Hub's own cache, see HF_HOME."""
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "one-look"


def read_archive(archive: Path, wanted: re.Pattern[str]) -> dict[str, bytes]:
    """The members of a ZIP file whose whole path matches, read into memory; nothing is unpacked to disk.

    Raises OmniglotError where the archive is damaged, larger than Omniglot can be, or holds a link, an encrypted
    member, a member twice or a path that leaves its folder.
    """
    shown = repr(str(archive))
    try:
        if archive.stat().st_size > MAX_ARCHIVE_BYTES:
            raise OmniglotError(f"The archive {shown} is larger than {MAX_ARCHIVE_BYTES >> 20} MB.")
        with zipfile.ZipFile(archive) as members:
            listed = members.infolist()
            if len(listed) > MAX_MEMBERS:
                raise OmniglotError(f"The archive {shown} lists {len(listed)} members; Omniglot has 32,460 images.")
            for member in listed:
                _check_member(member, shown)
            chosen = [member for member in listed if wanted.fullmatch(member.filename)]
            if len({member.filename for member in chosen}) < len(chosen):
                raise OmniglotError(f"The archive {shown} holds a member twice.")
            if sum(member.file_size for member in chosen) > MAX_UNPACKED_BYTES:
                raise OmniglotError(f"The archive {shown} unpacks to more than {MAX_UNPACKED_BYTES >> 20} MB.")
            return {member.filename: _read_member(members, member, shown) for member in chosen}
    except FileNotFoundError as error:
        raise OmniglotError(f"There is no archive at {shown}.") from error
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise OmniglotError(f"The archive {shown} is damaged or no ZIP file; please download it again.") from error


def _check_member(member: zipfile.ZipInfo, shown: str) -> None:
    path = PurePosixPath(member.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename:
        raise OmniglotError(f"The archive {shown} holds a path that leaves its folder: {member.filename!r}.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise OmniglotError(f"The archive {shown} holds a link: {member.filename!r}.")
    if member.flag_bits & 1:
        raise OmniglotError(f"The archive {shown} is encrypted.")


def _read_member(members: zipfile.ZipFile, member: zipfile.ZipInfo, shown: str) -> bytes:
    if member.file_size > MAX_IMAGE_BYTES:
        raise OmniglotError(f"The archive {shown} holds a member of {member.file_size} bytes: {member.filename!r}.")
    with members.open(member) as file:
        return file.read(member.file_size)  # with a limit, since the size in the directory need not be the truth


# Understanding what a source is.


def _resolve(source: str | None) -> _Place:
    name = source or os.environ.get("OMNIGLOT_DATA")
    if not name:
        return _Place("bundled", "bundled")
    if name == "invented":
        return _Place("invented", name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _Place("folder", str(folder.resolve()))
    hub_id = HUB_ID.fullmatch(name)
    if hub_id and not name.startswith("."):
        return _Place("hub", hub_id[1], hub_id[2])
    raise OmniglotError(
        f"{name!r} is no folder; a source of Omniglot is a folder, a data set on the Hub (user/name) or 'invented'."
    )


def _spoken(place: _Place) -> str:
    """The source as the subject of a sentence."""
    return {
        "invented": "The invented data set",
        "folder": f"The folder {place.name!r}",
        "hub": f"The data set {place.name}{f'@{place.revision}' if place.revision else ''}",
    }[place.kind]


def _identity(place: _Place, split: Split) -> str:
    """What changes when the data behind a source change."""
    if place.kind == "invented":
        return f"{INVENTED[split]} {_hash(Path(invented.__file__).read_bytes())}"
    if place.kind == "hub":
        return f"{place.name}@{place.revision}"
    files = _split_files(Path(place.name), split)
    listing = [f"{path} {(facts := path.stat()).st_size} {facts.st_mtime_ns}" for path in files]
    return _hash("\n".join(listing).encode())


def _split_files(folder: Path, split: Split) -> list[Path]:
    """The archive, the PNG files or the parquet files that hold a split."""
    for base in (folder, folder / "python"):  # the latter in a clone of the official repository
        if (archive := base / f"images_{split}.zip").is_file():
            return [archive]
        if (unpacked := base / f"images_{split}").is_dir():
            return sorted(unpacked.glob("*/character*/*.png"))
    tables = sorted([*folder.glob("*.parquet"), *folder.glob("*/*.parquet")])
    if tables:
        return tables
    if any(
        (base / f"images_{other}{end}").exists()
        for base in (folder, folder / "python")
        for other in SPLITS
        for end in (".zip", "")
    ):
        raise OmniglotError(f"The folder {str(folder)!r} holds no images_{split}, but the {split} set is needed.")
    raise OmniglotError(
        f"The folder {str(folder)!r} holds neither Omniglot's archives (images_background.zip, "
        f"images_evaluation.zip), nor what they unpack to, nor parquet files."
    )


# Reading what a source holds.


def _entries(place: _Place, split: Split) -> list[_Entry]:
    """The drawings of one split by alphabet, character, drawer."""
    if place.kind == "invented":
        entries = _invented_entries(split)
    elif place.kind == "hub":
        entries = _table_entries(_fetch_from_hub(place), split, _spoken(place))
    else:
        files = _split_files(Path(place.name), split)
        if [file.suffix for file in files] == [".zip"]:
            entries = _archive_entries(files[0], split)
        elif files and files[0].suffix == ".parquet":
            entries = _table_entries(_read_parquet(files, _spoken(place)), split, _spoken(place))
        else:
            entries = _file_entries(files, split)
    if not entries:
        raise OmniglotError(f"{_spoken(place)} holds no drawing of the {split} set.")
    drawn = Counter((entry.alphabet, entry.character, entry.drawer) for entry in entries)
    (alphabet, character, drawer), times = drawn.most_common(1)[0]
    if times > 1:
        raise OmniglotError(
            f"{_spoken(place)} holds {times} drawings of {alphabet}, character {character}, by drawer {drawer}; "
            f"any two drawings of a character must be by different drawers."
        )
    return sorted(entries, key=lambda entry: (entry.alphabet, entry.character, entry.drawer))


def _invented_entries(split: Split) -> list[_Entry]:
    drawings = load_drawings(split, "invented")
    characters = INVENTED[split][1]
    return [
        _Entry(_png(ink), drawings.alphabet_names[alphabet], character % characters + 1, drawer)
        for ink, alphabet, character, drawer in zip(
            drawings.ink, drawings.alphabet.tolist(), drawings.character.tolist(), drawings.drawer.tolist(), strict=True
        )
    ]


def _png(ink: Bool[Tensor, "105 105"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(~ink.numpy()).save(buffer, "PNG")
    return buffer.getvalue()


def _archive_entries(archive: Path, split: Split) -> list[_Entry]:
    return _path_entries(read_archive(archive, IMAGE_PATH).items(), split)


def _file_entries(files: list[Path], split: Split) -> list[_Entry]:
    if len(files) > MAX_MEMBERS:
        raise OmniglotError(f"The folder holds {len(files)} images; Omniglot has 32,460.")
    large = next((file for file in files if file.stat().st_size > MAX_IMAGE_BYTES), None)
    if large is not None:
        raise OmniglotError(f"The image {str(large)!r} is larger than {MAX_IMAGE_BYTES} bytes.")
    return _path_entries(((file.as_posix(), file.read_bytes()) for file in files), split)


def _path_entries(files: Iterable[tuple[str, bytes]], split: Split) -> list[_Entry]:
    matches = ((IMAGE_PATH.fullmatch(path), image) for path, image in files)
    return [
        _Entry(image, match[2], int(match[3]), int(match[4])) for match, image in matches if match and match[1] == split
    ]


def _fetch_from_hub(place: _Place) -> "Mapping[str, datasets.Dataset]":
    import datasets

    shown = f"{_spoken(place)} (no folder has that name)"
    try:
        tables = datasets.load_dataset(place.name, revision=place.revision)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise OmniglotError(f"{shown} does not exist on the Hub or is not open to you.") from error
    except Exception as error:  # the network's errors, and those of every file format
        raise OmniglotError(f"{shown} could not be read from the Hub ({_first_line(error)}).") from error
    return tables


def _read_parquet(files: list[Path], shown: str) -> "Mapping[str, datasets.Dataset]":
    import datasets

    by_split: dict[str, list[str]] = {}
    for file in files:
        # background.parquet, train-00000-of-00001.parquet, or train/0000.parquet
        stem = re.sub(r"-\d+-of-\d+(-\w+)?$", "", file.stem)
        by_split.setdefault(file.parent.name if stem.isdigit() else stem, []).append(str(file))
    try:
        return datasets.load_dataset("parquet", data_files=by_split)
    except Exception as error:  # pyarrow's errors are many
        raise OmniglotError(f"{shown} holds parquet files that cannot be read ({_first_line(error)}).") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.')}" if lines else type(error).__name__


def _table_entries(tables: "Mapping[str, datasets.Dataset]", split: Split, shown: str) -> list[_Entry]:
    """The drawings of a split out of tables whose splits and columns may have other names."""
    held = {name: table for name, table in tables.items() if not name.startswith("small")}
    columns = {name: _columns(table, shown) for name, table in held.items()}
    rows = {name: _table_rows(table, columns[name], shown) for name, table in held.items()}
    official = {_plain(name): (name, s) for s in SPLITS for name in OFFICIAL_ALPHABETS[s]}
    everything = [row for part in rows.values() for row in part]
    if everything and all(_plain(row.alphabet) in official for row in everything):
        # the names tell the split, whatever the table was cut into: an evaluation alphabet never trains
        chosen = [
            _Entry(row.image, official[_plain(row.alphabet)][0], row.character, row.drawer)
            for row in everything
            if official[_plain(row.alphabet)][1] == split
        ]
    else:
        name = next((name for name in SPLIT_NAMES[split] if name in rows), None)
        if name is None:
            raise OmniglotError(
                f"{shown} has the splits {', '.join(tables)}, but none is called {' or '.join(SPLIT_NAMES[split])} and "
                f"its alphabets are not named as Omniglot's, so the {split} set cannot be told."
            )
        chosen = rows[name]
    if all(columns[name]["drawer"] for name in held):
        return chosen
    if len({(row.alphabet, row.character, row.image) for row in chosen}) < len(chosen):
        raise OmniglotError(f"{shown} holds a drawing twice and does not name the drawers.")
    # without names of drawers the drawings of a character are counted: any two are by different drawers
    counts: Counter[tuple[str, int]] = Counter()
    numbered = []
    for row in chosen:
        counts[row.alphabet, row.character] += 1
        numbered.append(_Entry(row.image, row.alphabet, row.character, counts[row.alphabet, row.character]))
    return numbered


def _columns(table: "datasets.Dataset", shown: str) -> dict[str, str | None]:
    """Which column holds the image, the alphabet, the character and the drawer; None for what is not there."""
    import datasets

    features = table.features
    found = {
        "image": next((name for name, feature in features.items() if isinstance(feature, datasets.Image)), None),
        "alphabet": next((name for name in ALPHABET_COLUMNS if name in features), None),
        "character": next((name for name in CHARACTER_COLUMNS if name in features), None),
        "drawer": next((name for name in DRAWER_COLUMNS if name in features), None),
    }
    listing = ", ".join(features)
    if found["image"] is None or found["character"] is None:
        lacking = "image" if found["image"] is None else "character or label"
        raise OmniglotError(f"{shown} has no column of the kind {lacking} (its columns: {listing}).")
    label = features[found["character"]]
    named = isinstance(label, datasets.ClassLabel) and all(map(LABEL_WITH_ALPHABET.fullmatch, label.names))
    if found["alphabet"] is None and not named:
        raise OmniglotError(
            f"{shown} does not tell which alphabet a character belongs to (its columns: {listing}), so neither the "
            f"evaluation set nor trials within an alphabet can be made from it."
        )
    return found


def _table_rows(table: "datasets.Dataset", columns: dict[str, str | None], shown: str) -> list[_Entry]:
    import datasets

    if len(table) > MAX_MEMBERS:
        raise OmniglotError(f"{shown} has {len(table)} rows; Omniglot has 32,460 images.")
    used = {role: name for role, name in columns.items() if name}
    plain = table.select_columns(list(used.values())).cast_column(used["image"], datasets.Image(decode=False))
    values: dict[str, list[Any]] = {role: _values(plain, name) for role, name in used.items()}
    if "alphabet" not in values:
        labels = [LABEL_WITH_ALPHABET.fullmatch(str(label)) for label in values["character"]]
        values["alphabet"] = [label[1] if label else "" for label in labels]
        values["character"] = [label[2] if label else "" for label in labels]
    if not all(isinstance(image, dict) and image.get("bytes") for image in values["image"]):
        raise OmniglotError(f"{shown} keeps its images outside its tables; please take a copy in parquet files.")
    if any(len(image["bytes"]) > MAX_IMAGE_BYTES for image in values["image"]):
        raise OmniglotError(f"{shown} holds an image of more than {MAX_IMAGE_BYTES} bytes.")
    names = [f"alphabet {name:02d}" if isinstance(name, int) else str(name) for name in values["alphabet"]]
    numbers = _numbers(names, values["character"])
    drawers = _numbers([""] * len(names), values["drawer"]) if "drawer" in values else [0] * len(names)
    return [
        _Entry(image["bytes"], name, character, drawer)
        for image, name, character, drawer in zip(values["image"], names, numbers, drawers, strict=True)
    ]


def _values(table: "datasets.Dataset", column: str) -> list[Any]:
    import datasets

    feature = table.features[column]
    values = list(table[column])
    if isinstance(feature, datasets.ClassLabel) and not all(name.isdigit() for name in feature.names):
        return [feature.int2str(value) for value in values]
    return values


def _numbers(groups: list[str], values: list[Any]) -> list[int]:
    """Each value as the number that it is or ends in ("character07"); else its place among its group's values."""
    found = [re.search(r"(\d+)$", str(value)) for value in values]
    if all(found):
        return [int(match[1]) for match in found if match]
    places: dict[tuple[str, str], int] = {}
    counts: Counter[str] = Counter()
    for group, value in sorted({(group, str(value)) for group, value in zip(groups, values, strict=True)}):
        counts[group] += 1
        places[group, value] = counts[group]
    return [places[group, str(value)] for group, value in zip(groups, values, strict=True)]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


# Decoding once.


def _decode(entries: list[_Entry], shown: str) -> Drawings:
    ink = torch.empty(len(entries), IMAGE_SIZE_PX, IMAGE_SIZE_PX, dtype=torch.bool)
    for row, entry in enumerate(entries):
        where = f"{entry.alphabet}, character {entry.character}, drawer {entry.drawer}"
        try:
            picture = open_image(entry.image)
        except ImageError as error:
            raise OmniglotError(f"{shown} holds an image that cannot be used ({where}): {error}") from error
        if picture.size != (IMAGE_SIZE_PX, IMAGE_SIZE_PX):
            width, height = picture.size
            raise OmniglotError(
                f"{shown} holds an image of {width} x {height} pixels ({where}); Omniglot's have 105 x 105."
            )
        ink[row] = torch.from_numpy(np.asarray(picture) < 128)
    names = tuple(sorted({entry.alphabet for entry in entries}))
    alphabets = {name: index for index, name in enumerate(names)}
    keys = sorted({(entry.alphabet, entry.character) for entry in entries})
    characters = {key: index for index, key in enumerate(keys)}
    return Drawings(
        ink=ink,
        alphabet=torch.tensor([alphabets[entry.alphabet] for entry in entries]),
        character=torch.tensor([characters[entry.alphabet, entry.character] for entry in entries]),
        drawer=torch.tensor([entry.drawer for entry in entries]),
        alphabet_names=names,
    )


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _write_cache(cache: Path, identity: str, drawings: Drawings) -> None:
    tensors = {
        "ink": pack_bits(drawings.ink),
        "alphabet": drawings.alphabet,
        "character": drawings.character,
        "drawer": drawings.drawer,
    }
    write_tensors(cache, identity, tensors, {"alphabet_names": json.dumps(drawings.alphabet_names)})


def _read_cache(cache: Path, identity: str) -> Drawings | None:
    """What the cache holds; None where it has to be made anew."""
    found = read_tensors(cache, identity)
    if found is None:
        return None
    tensors, words = found
    return Drawings(
        ink=unpack_bits(tensors["ink"], IMAGE_SIZE_PX),
        alphabet=tensors["alphabet"],
        character=tensors["character"],
        drawer=tensors["drawer"],
        alphabet_names=tuple(json.loads(words["alphabet_names"])),
    )

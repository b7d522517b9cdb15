"""Layouts of copies of Omniglot: which drawing a file or a row is, by its path or its columns."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from re import Match
from typing import TYPE_CHECKING, Any, NoReturn

from siamese.data.bundled import SPLITS, Split
from siamese.data.safe_zip import ZipLimits
from siamese.data.sources import (
    IMAGE_SUFFIX,
    Source,
    SourceError,
    SourceFile,
    column_values,
    find_column,
    image_bytes,
    layout,
    load_tables,
    match_layout,
    open_files,
    refuse_layout,
)

if TYPE_CHECKING:  # takes a second to import, and a cached start does without
    import datasets

# Whatever stands above images_background: torchvision's root has omniglot-py there, a copy of Kaggle images_background
# once more, and an archive counts as a folder of its name. A pattern's groups: `split`; `small`, which takes part in
# the match for the "small" sets, which repeat a part of the background set; `alphabet`; and `character` and `drawer`,
# numbers from 1.
LAYOUTS = (
    layout(
        "Omniglot",
        "images_background/<alphabet>/character01/0001_01.png and images_evaluation/...",
        r"images_(?P<split>background|evaluation)(?P<small>_small\d)?/"
        r"(?P<alphabet>[^/]+)/character(?P<character>\d{1,4})/\d{1,8}_(?P<drawer>\d{1,4})",
    ),
)
NO_ALPHABET = re.compile(r"(?:.*/)?images_(?:background|evaluation)\w*/character\d{1,4}/[^/]+" + IMAGE_SUFFIX, re.I)
OTHER_FOLDER = re.compile(r"(?P<folder>.*)/[^/]+/character\d{1,4}/\d{1,8}_\d{1,4}" + IMAGE_SUFFIX, re.I)
ONE_ALPHABET = re.compile(r"(?P<folder>[^/]+)/character\d{1,4}/\d{1,8}_\d{1,4}" + IMAGE_SUFFIX, re.I)

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

# The official archives have 9.5 MB and 6.5 MB, 32,460 images in 1,623 folders; the largest image has 522 bytes, and in
# another format perhaps a hundred times as many.
LIMITS = ZipLimits(archive_bytes=64 << 20, members=100_000, member_bytes=64 << 10, unpacked_bytes=256 << 20)


@dataclass(frozen=True)
class StoredDrawing:
    """One drawing as it is stored: a PNG or the like, and where it belongs."""

    image: bytes
    alphabet: str
    character: int
    """From 1 within its alphabet."""
    drawer: int
    """From 1."""


def stored_drawings(source: Source, split: Split) -> list[StoredDrawing]:
    """The drawings of one split by alphabet, character, drawer.

    Raises:
        SourceError: Where the source cannot be read, lies in no layout that is known, or lacks the split.
    """
    if source.kind in ("hub", "parquet"):
        drawings = _table_drawings(load_tables(source), split, source)
    else:
        with open_files(source, LIMITS) as files:
            found = match_layout(files, LAYOUTS)
            if found is not None:
                drawings = _file_drawings(found[1], split, source)
            elif source.tables:
                drawings = _table_drawings(load_tables(source), split, source)
            else:
                _refuse(source, files)
    drawn = Counter((one.alphabet, one.character, one.drawer) for one in drawings)
    (alphabet, character, drawer), times = drawn.most_common(1)[0]
    if times > 1:
        raise SourceError(
            f"{source.subject} holds {times} drawings of {alphabet}, character {character}, by drawer {drawer}; "
            f"any two drawings of a character must be by different drawers."
        )
    return sorted(drawings, key=lambda one: (one.alphabet, one.character, one.drawer))


def _file_drawings(
    matches: Sequence[tuple[SourceFile, Match[str]]], split: Split, source: Source
) -> list[StoredDrawing]:
    """Each drawing once, also where an archive lies beside what it was unpacked to."""
    of_split = [(file, match) for file, match in matches if match["split"].lower() == split]
    if not of_split:
        raise SourceError(f"{source.subject} holds no images_{split}, but the {split} set is needed.")
    whole = [(file, match) for file, match in of_split if not match["small"]]
    drawings = {
        StoredDrawing(file.read(), match["alphabet"], int(match["character"]), int(match["drawer"]))
        for file, match in whole or of_split
    }
    return list(drawings)


def _refuse(source: Source, files: Sequence[SourceFile]) -> NoReturn:
    """Names the folder whose name or level is wrong; raises SourceError."""
    should = "Omniglot lies as images_background/<alphabet>/character01/0001_01.png"
    for file in files:
        if NO_ALPHABET.fullmatch(file.path):
            raise SourceError(
                f"{source.subject} lacks the folders of the alphabets: it holds {file.path!r}, but {should}."
            )
        if ONE_ALPHABET.fullmatch(file.path):
            raise SourceError(
                f"{source.subject} is the folder of a single alphabet; name the one above it that holds "
                f"images_background and images_evaluation."
            )
        if match := OTHER_FOLDER.fullmatch(file.path):
            raise SourceError(
                f"{source.subject} holds drawings in {match['folder']!r}, which is called neither images_background "
                f"nor images_evaluation; please rename that folder."
            )
    refuse_layout(source, files, LAYOUTS, "drawing")


def _table_drawings(tables: "Mapping[str, datasets.Dataset]", split: Split, source: Source) -> list[StoredDrawing]:
    """The drawings of a split out of tables whose splits and columns may have other names."""
    held = {name: table for name, table in tables.items() if not name.startswith("small")}
    columns = {name: _columns(table, source) for name, table in held.items()}
    rows = {name: _table_rows(table, columns[name], source) for name, table in held.items()}
    official = {_plain(name): (name, s) for s in SPLITS for name in OFFICIAL_ALPHABETS[s]}
    everything = [row for part in rows.values() for row in part]
    if everything and all(_plain(row.alphabet) in official for row in everything):
        # the names tell the split, whatever the table was cut into: an evaluation alphabet never trains
        chosen = [
            StoredDrawing(row.image, official[_plain(row.alphabet)][0], row.character, row.drawer)
            for row in everything
            if official[_plain(row.alphabet)][1] == split
        ]
    else:
        name = next((name for name in SPLIT_NAMES[split] if name in rows), None)
        if name is None:
            raise SourceError(
                f"{source.subject} has the splits {', '.join(tables)}, but none is called "
                f"{' or '.join(SPLIT_NAMES[split])} and its alphabets are not named as Omniglot's, so the {split} set "
                f"cannot be told."
            )
        chosen = rows[name]
    if not chosen:
        raise SourceError(f"{source.subject} holds no drawing of the {split} set.")
    if all(columns[name]["drawer"] for name in held):
        return chosen
    if len({(row.alphabet, row.character, row.image) for row in chosen}) < len(chosen):
        raise SourceError(f"{source.subject} holds a drawing twice and does not name the drawers.")
    # without names of drawers the drawings of a character are counted: any two are by different drawers
    counts: Counter[tuple[str, int]] = Counter()
    numbered = []
    for row in chosen:
        counts[row.alphabet, row.character] += 1
        numbered.append(StoredDrawing(row.image, row.alphabet, row.character, counts[row.alphabet, row.character]))
    return numbered


def _columns(table: "datasets.Dataset", source: Source) -> dict[str, str | None]:
    """Returns the columns of the image, the alphabet, the character and the drawer; None for missing ones."""
    import datasets

    features = table.features
    found = {
        "image": next((name for name, feature in features.items() if isinstance(feature, datasets.Image)), None),
        "alphabet": find_column(table, ALPHABET_COLUMNS),
        "character": find_column(table, CHARACTER_COLUMNS),
        "drawer": find_column(table, DRAWER_COLUMNS),
    }
    listing = ", ".join(features)
    if found["image"] is None or found["character"] is None:
        lacking = "image" if found["image"] is None else "character or label"
        raise SourceError(f"{source.subject} has no column of the kind {lacking} (its columns: {listing}).")
    label = features[found["character"]]
    named = isinstance(label, datasets.ClassLabel) and all(map(LABEL_WITH_ALPHABET.fullmatch, label.names))
    if found["alphabet"] is None and not named:
        raise SourceError(
            f"{source.subject} does not tell which alphabet a character belongs to (its columns: {listing}), so "
            f"neither the evaluation set nor trials within an alphabet can be made from it."
        )
    return found


def _table_rows(table: "datasets.Dataset", columns: Mapping[str, str | None], source: Source) -> list[StoredDrawing]:
    import datasets

    if len(table) > LIMITS.members:
        raise SourceError(f"{source.subject} has {len(table)} rows; Omniglot has 32,460 images.")
    used = {role: name for role, name in columns.items() if name}
    plain = table.select_columns(list(used.values())).cast_column(used["image"], datasets.Image(decode=False))
    values: dict[str, list[Any]] = {role: column_values(plain, name) for role, name in used.items()}
    if "alphabet" not in values:
        labels = [LABEL_WITH_ALPHABET.fullmatch(str(label)) for label in values["character"]]
        values["alphabet"] = [label[1] if label else "" for label in labels]
        values["character"] = [label[2] if label else "" for label in labels]
    images = [image_bytes(cell, source) for cell in values["image"]]
    if any(len(image) > LIMITS.member_bytes for image in images):
        raise SourceError(f"{source.subject} holds an image of more than {LIMITS.member_bytes:,} bytes.")
    names = [f"alphabet {name:02d}" if isinstance(name, int) else str(name) for name in values["alphabet"]]
    numbers = _numbers(names, values["character"])
    drawers = _numbers([""] * len(names), values["drawer"]) if "drawer" in values else [0] * len(names)
    return [StoredDrawing(*row) for row in zip(images, names, numbers, drawers, strict=True)]


def _numbers(groups: Sequence[str], values: Sequence[Any]) -> list[int]:
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

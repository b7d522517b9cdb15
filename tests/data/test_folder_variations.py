"""Folders and archives as people keep them, drawn by a seed: each is read in full or refused with one sentence."""

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image

from siamese.characters.omniglot_layouts import stored_drawings
from siamese.data.sources import SourceError, resolve_source
from siamese.signatures.layouts import open_signatures
from tests.data.archives import archive, unpacked, zipped
from tests.hostile import encoded

CASES, SEED = 200, 23
ABOVE = ["", "", "omniglot-py/", "Data Set (1)/", "字/é/", "images/"]
SUFFIXES = {".png": "PNG", ".PNG": "PNG", ".jpg": "JPEG", ".JPEG": "JPEG", ".tif": "TIFF", ".bmp": "BMP"}
STRAYS = ["Thumbs.db", "desktop.ini", ".DS_Store", "__MACOSX/._0001_01.png", "._0001_01.png", "README.txt", "list.csv"]
FORMS = ["folder", "folder", "archive", "archive with backslashes", "archive in a folder", "archive in an archive"]
FAULTS = ["nothing in it", "archive cut short", "no archive", "not there", "other names"]
SIGNATURE_LAYOUTS = [
    ("{above}{w}/genuine_{n}{suffix}", "{above}{w}/forgery_{n}{suffix}"),
    ("{above}full_org/original_{w}_{n}{suffix}", "{above}full_forg/forgeries_{w}_{n}{suffix}"),
    ("{above}{w}/{w:03}-G/B-S-{w}-G-{n:02}{suffix}", "{above}{w}/{w:03}-F/B-S-{w}-F-{n:02}{suffix}"),
    ("{above}GPDS/{w:03}/c-{w:03}-{n:02}{suffix}", "{above}GPDS/{w:03}/cf-{w:03}-{n:02}{suffix}"),
    ("{above}real/{n:02}{w:03}{w:03}{suffix}", "{above}forge/{n:02}009{w:03}{suffix}"),
    ("{above}{w}/real/{n}{suffix}", "{above}{w}/forge/{n}{suffix}"),
    ("{above}genuine/{w}/{n}{suffix}", "{above}forged/{w}/{n}{suffix}"),
    ("{above}train/{w:03}/{n:02}{suffix}", "{above}train/{w:03}_forg/{n:02}{suffix}"),
]


def picture(kind: str, grey: int) -> bytes:
    return encoded(Image.new("L", (12, 12), grey), kind)


def omniglot_files(chance: random.Random) -> dict[str, bytes]:
    """Two alphabets of two characters by two drawers, in one of the forms in which copies of Omniglot lie."""
    above, suffix = chance.choice(ABOVE), chance.choice(list(SUFFIXES))
    split = chance.choice(["", "images_background/", "python/"]) + chance.choice(
        ["images_background", "images_background_small1", "IMAGES_BACKGROUND"]
    )
    return {
        f"{above}{split}/{alphabet}/character{character:02}/{character:04}_{drawer:02}{suffix}": picture(
            SUFFIXES[suffix], 10 * character + drawer
        )
        for alphabet in ("Latin", "Early_Aramaic")
        for character in (1, 2)
        for drawer in (1, 2)
    }


def signature_files(chance: random.Random) -> dict[str, bytes]:
    """Two writers with two genuine signatures and two forgeries each."""
    above, suffix = chance.choice(ABOVE), chance.choice(list(SUFFIXES))
    return {
        kind.format(above=above, suffix=suffix, w=writer, n=number): picture(SUFFIXES[suffix], 40 * writer + number)
        for kind in chance.choice(SIGNATURE_LAYOUTS)
        for writer in (1, 2)
        for number in (1, 2)
    }


def stored(place: Path, form: str, files: Mapping[str, bytes]) -> Path:
    """Writes the files in one of FORMS; gives what a user would name."""
    place.mkdir()
    match form:
        case "folder":
            return unpacked(place, files)
        case "archive in a folder":
            archive(place / "images.zip", files)
            return place
        case "archive in an archive":
            archive(place / "set.zip", {"images.zip": zipped(files)})
        case _:
            separator = "\\" if "backslashes" in form else "/"
            archive(place / "set.zip", {path.replace("/", separator): content for path, content in files.items()})
    return place / "set.zip"


def with_strays(files: Mapping[str, bytes], chance: random.Random) -> dict[str, bytes]:
    folder = chance.choice(list(files)).rpartition("/")[0]
    strays = chance.sample(STRAYS, chance.randrange(4))
    return dict(files) | {f"{chance.choice(['', folder + '/'])}{name}": b"\0\1 stray" for name in strays}


def spoiled(source: Path, fault: str) -> Path:
    """The source with one fault."""
    match fault:
        case "nothing in it":
            empty = source.parent / "empty"
            empty.mkdir(exist_ok=True)
            return empty
        case "archive cut short":
            (short := source.parent / "short.zip").write_bytes(zipped({"a.png": b"x" * 500})[:-40])
            return short
        case "no archive":
            (text := source.parent / "text.zip").write_text("no archive")
            return text
        case "not there":
            return source / "missing.zip"
        case _:
            (other := source.parent / "other").mkdir(exist_ok=True)
            (other / "scan 1.png").write_bytes(picture("PNG", 0))
            return other


def read_omniglot(source: Path) -> list[bytes]:
    return [one.image for one in stored_drawings(resolve_source(str(source), "drawings"), "background")]


def read_signatures(source: Path) -> list[bytes]:
    with open_signatures(resolve_source(str(source), "signatures")) as files:
        assert sum(file.genuine for file in files) == len(files) / 2
        assert len({file.writer for file in files}) == 2
        return [file.read() for file in files]


@pytest.mark.parametrize(
    ("make", "read"),
    [(omniglot_files, read_omniglot), (signature_files, read_signatures)],
    ids=["omniglot", "signatures"],
)
def test_each_of_200_folders_is_read_in_full_or_refused_with_one_sentence(
    make: Callable[[random.Random], dict[str, bytes]], read: Callable[[Path], list[bytes]], tmp_path
):
    refused = 0
    for number in range(CASES // 2):
        chance = random.Random(SEED * 1000 + number)
        files, form = make(chance), chance.choice(FORMS)
        place = tmp_path / str(number)
        source = stored(place, form, with_strays(files, chance))
        if chance.random() < 0.3:
            refused += 1
            with pytest.raises(SourceError) as refusal:
                read(spoiled(source, chance.choice(FAULTS)))
            said = str(refusal.value)
            assert said.endswith(".")
            assert not any(word in said for word in ("\n", "Error", "Traceback"))
        else:
            assert sorted(read(source)) == sorted(files.values()), (number, form, next(iter(files)))
        shutil.rmtree(place)
    assert 10 < refused < 50

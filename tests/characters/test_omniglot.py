"""Sources other than the bundled set; what they hold is drawn on the spot."""

import json
import zipfile
from pathlib import Path

import datasets
import pytest
import torch
from PIL import Image

from siamese.characters import omniglot
from siamese.characters.drawings import Drawings
from siamese.characters.omniglot import lake_runs, load_drawings, load_omniglot, pixel_hashes
from siamese.characters.omniglot_layouts import OFFICIAL_ALPHABETS
from siamese.data import cache
from siamese.data.sources import SourceError
from tests.data.archives import archive, unpacked
from tests.hostile import encoded


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache of this test's own, and no source in the environment."""
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    monkeypatch.delenv("OMNIGLOT_DATA", raising=False)


def png(ink: torch.Tensor, mode: str = "1") -> bytes:
    return encoded(Image.fromarray(~ink.numpy()).convert(mode), "PNG")


def files(drawings: Drawings, split: str) -> dict[str, bytes]:
    """The drawings under the official paths; characters count from 1 in their alphabet, which has 6 of them."""
    return {
        f"images_{split}/{drawings.alphabet_names[drawings.alphabet[i]]}/character{drawings.character[i] % 6 + 1:02d}/"
        f"{drawings.character[i] + 1:04d}_{drawings.drawer[i]:02d}.png": png(drawings.ink[i])
        for i in range(len(drawings))
    }


def table(drawings: Drawings, rows: list[int] | None = None) -> dict[str, list]:
    """Columns as another copy of Omniglot has them."""
    chosen = drawings if rows is None else drawings.take(torch.tensor(rows))
    return {
        "image": [{"bytes": png(ink, "RGB"), "path": None} for ink in chosen.ink],
        "label": chosen.character.tolist(),
        "alphabet": chosen.alphabet.tolist(),
        "drawer": chosen.drawer.tolist(),
    }


def write_parquet(path: Path, columns: dict[str, list], **features: object) -> None:
    made = datasets.Dataset.from_dict(columns)
    for name, feature in {"image": datasets.Image(), **features}.items():
        made = made.cast_column(name, feature)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.to_parquet(path)


def assert_same(one: Drawings, other: Drawings) -> None:
    """The same drawings in the order of alphabet names, characters and drawers."""
    order = sorted(range(len(other)), key=lambda i: (other.alphabet_names[other.alphabet[i]], i))
    assert one.alphabet_names == tuple(sorted(other.alphabet_names))
    assert torch.equal(one.ink, other.ink[order])
    assert torch.equal(one.drawer, other.drawer[order])
    assert torch.equal(one.character, torch.arange(18).repeat_interleave(4))
    assert torch.equal(one.alphabet, torch.arange(3).repeat_interleave(24))


# What serves.


def test_an_official_archive_in_a_folder(drawings, tmp_path):
    archive(tmp_path / "images_evaluation.zip", files(drawings, "evaluation"))
    assert_same(load_drawings("evaluation", str(tmp_path)), drawings)


def test_what_the_archives_unpack_to(drawings, tmp_path):
    with zipfile.ZipFile(archive(tmp_path / "a.zip", files(drawings, "background"))) as members:
        members.extractall(tmp_path / "python")  # where a clone of the official repository has them
    assert_same(load_drawings("background", str(tmp_path)), drawings)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("", "omniglot-py/"),  # torchvision's root
        ("", "images_background/"),  # as Kaggle packs it
        ("images_background", "images_background_small1"),
        ("/character", "\\character"),
        (".png", ".PNG"),
    ],
)
def test_other_layouts_of_an_archive_and_of_a_folder(drawings, tmp_path, was, becomes):
    few = drawings.take(torch.arange(8))
    members = {
        (becomes + path if not was else path.replace(was, becomes)): content
        for path, content in files(few, "background").items()
    }
    found = load_drawings("background", str(archive(tmp_path / "any.zip", members)))
    assert torch.equal(found.ink, few.ink)
    assert found.drawer.tolist() == few.drawer.tolist()
    folder = unpacked(tmp_path / "folder", {path.replace("\\", "/"): content for path, content in members.items()})
    (folder / "Thumbs.db").write_bytes(b"stray")
    assert torch.equal(load_drawings("background", str(folder)).ink, few.ink)


def test_an_archive_that_holds_the_alphabets_at_once_and_one_within_an_archive(drawings, tmp_path):
    few = drawings.take(torch.arange(8))
    bare = {path.removeprefix("images_background/"): content for path, content in files(few, "background").items()}
    inner = archive(tmp_path / "images_background.zip", bare)
    assert torch.equal(load_drawings("background", str(inner)).ink, few.ink)
    outer = archive(tmp_path / "outer.zip", {"data\\images_background.zip": inner.read_bytes()})
    assert torch.equal(load_drawings("background", str(outer)).ink, few.ink)


def test_the_small_sets_do_not_count_beside_the_whole_one(drawings, tmp_path):
    members = files(drawings, "background")
    few = dict(list(members.items())[:8])
    small = {
        path.replace("background", f"background_small{n}"): content for n in (1, 2) for path, content in few.items()
    }
    assert len(load_drawings("background", str(archive(tmp_path / "small.zip", small)))) == 8
    assert_same(load_drawings("background", str(archive(tmp_path / "all.zip", small | members))), drawings)


def test_drawings_as_jpeg_are_read(tmp_path):
    ink = torch.zeros(105, 105, dtype=torch.bool)
    ink[20:80, 50:56] = True
    picture = encoded(Image.fromarray(~ink.numpy()).convert("L"), "JPEG", quality=90)
    members = {"images_evaluation/Abc/character01/0001_01.jpg": picture}
    found = load_drawings("evaluation", str(archive(tmp_path / "a.zip", members)))
    assert (found.ink[0] != ink).float().mean() < 0.002


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("images_backgrund/Abc/character01/0001_01.png", "holds drawings in 'set/images_backgrund', which is called"),
        ("images_background/character01/0001_01.png", "lacks the folders of the alphabets: it holds 'set/images_back"),
        ("character01/0001_01.png", "is the folder of a single alphabet; name the one above it"),
        ("pictures/a.png", "its images lie as 'set/pictures/a.png'. Known are Omniglot: images_background/<alphabet>/"),
    ],
)
def test_a_folder_whose_name_or_level_is_one_off_is_named(tmp_path, path, sentence):
    place = tmp_path / "set" / path
    place.parent.mkdir(parents=True)
    place.write_bytes(b"never read")
    with pytest.raises(SourceError) as refusal:
        load_drawings("background", str(tmp_path / "set"))
    assert sentence in str(refusal.value)


def test_the_environment_names_the_source(drawings, tmp_path, monkeypatch):
    archive(tmp_path / "images_evaluation.zip", files(drawings, "evaluation"))
    monkeypatch.setenv("OMNIGLOT_DATA", str(tmp_path))
    assert_same(load_drawings("evaluation"), drawings)


def test_parquet_in_files_named_by_split(drawings, tmp_path):
    write_parquet(tmp_path / "data" / "train-00000-of-00001.parquet", table(drawings, list(range(24))))
    write_parquet(tmp_path / "data" / "test-00000-of-00002.parquet", table(drawings, list(range(24, 40))))
    write_parquet(tmp_path / "data" / "test-00001-of-00002.parquet", table(drawings, list(range(40, 72))))
    background, evaluation = (load_drawings(split, str(tmp_path)) for split in ("background", "evaluation"))
    assert torch.equal(background.ink, drawings.ink[:24])
    assert background.alphabet_names == ("alphabet 00",)
    assert torch.equal(evaluation.ink, drawings.ink[24:])
    assert evaluation.alphabet_names == ("alphabet 01", "alphabet 02")
    assert torch.equal(evaluation.drawer, drawings.drawer[24:])


def test_a_copy_without_drawers_counts_the_drawings_of_a_character(drawings, tmp_path):
    columns = table(drawings)
    del columns["drawer"]
    write_parquet(tmp_path / "test.parquet", columns)
    write_parquet(tmp_path / "small1.parquet", columns)  # a repetition, to be left out
    loaded = load_drawings("evaluation", str(tmp_path))
    assert loaded.drawer.tolist() == [1, 2, 3, 4] * 18
    assert torch.equal(loaded.ink, drawings.ink)


def test_labels_that_name_the_alphabet(drawings, tmp_path):
    columns = table(drawings)
    names = [f"Alphabet_{c // 6}/character{c % 6 + 1:02d}" for c in range(18)]
    del columns["alphabet"]
    write_parquet(tmp_path / "evaluation.parquet", columns, label=datasets.ClassLabel(names=names))
    loaded = load_drawings("evaluation", str(tmp_path))
    assert loaded.alphabet_names == ("Alphabet_0", "Alphabet_1", "Alphabet_2")
    assert torch.equal(loaded.character, drawings.character)
    assert torch.equal(loaded.ink, drawings.ink)


def test_known_alphabets_tell_the_split_whatever_the_copy_was_cut_into(drawings, tmp_path):
    """An evaluation alphabet in a split called "train" must not be trained on."""
    columns = table(drawings)
    columns["alphabet"] = [["greek", "Syriac (Serto)", "Latin"][a] for a in columns["alphabet"]]
    for name, rows in {"train": range(0, 72, 2), "test": range(1, 72, 2)}.items():
        part = {column: [values[i] for i in rows] for column, values in columns.items()}
        write_parquet(tmp_path / f"{name}.parquet", part)
    background, evaluation = (load_drawings(split, str(tmp_path)) for split in ("background", "evaluation"))
    assert background.alphabet_names == ("Greek", "Latin")
    assert evaluation.alphabet_names == ("Syriac_(Serto)",)
    assert torch.equal(evaluation.ink, drawings.ink[24:48])
    assert len(background) == 48


def test_a_data_set_on_the_hub_is_read_once(drawings, monkeypatch):
    asked = []

    def load_dataset(name: str, revision: str | None) -> datasets.DatasetDict:
        asked.append((name, revision))
        made = datasets.Dataset.from_dict(table(drawings)).cast_column("image", datasets.Image())
        return datasets.DatasetDict(train=made.select(range(24)), test=made.select(range(24, 72)))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    for _ in range(2):
        assert torch.equal(load_drawings("evaluation", "somebody/omniglot@v1").ink, drawings.ink[24:])
    assert asked == [("somebody/omniglot", "v1")]
    load_drawings("evaluation", "somebody/omniglot@v2")
    assert asked[1:] == [("somebody/omniglot", "v2")]


def test_invented_drawings_serve_as_both_splits(monkeypatch):
    monkeypatch.setattr(omniglot, "INVENTED", {"background": (2, 3, 2, 1), "evaluation": (1, 3, 2, 2)})
    background, evaluation = (load_drawings(split, "invented") for split in ("background", "evaluation"))
    assert (len(background), len(evaluation)) == (12, 6)
    assert not set(background.alphabet_names) & set(evaluation.alphabet_names)
    rows = load_omniglot("invented")
    assert rows["background"][4]["character"] == 3
    assert (
        rows["background"].features["alphabet"].int2str(rows["background"][4]["alphabet"]) in background.alphabet_names
    )


def test_as_invented_they_are_enough_for_twenty_ways_and_twenty_drawers():
    for alphabets, characters, drawers, _ in omniglot.INVENTED.values():
        assert alphabets >= 10
        assert characters >= 20
        assert drawers == 20
    assert omniglot.INVENTED["background"][3] != omniglot.INVENTED["evaluation"][3]


def test_rows_of_datasets(drawings, tmp_path):
    archive(tmp_path / "images_background.zip", files(drawings, "background"))
    few = drawings.take(torch.arange(4))
    archive(
        tmp_path / "images_evaluation.zip",
        {k.replace("Nemoran", "Zed"): v for k, v in files(few, "evaluation").items()},
    )
    rows = load_omniglot(str(tmp_path))
    assert {name: len(split) for name, split in rows.items()} == {"background": 72, "evaluation": 4}
    assert rows["background"].column_names == ["image", "alphabet", "character", "drawer"]
    alphabet = rows["background"].features["alphabet"]
    assert alphabet.names == sorted({*drawings.alphabet_names, "Zed"})
    assert rows["evaluation"].features == rows["background"].features
    first = rows["evaluation"][1]
    assert (alphabet.int2str(first["alphabet"]), first["character"], first["drawer"]) == ("Zed", 1, 2)
    assert first["image"].tobytes() == Image.fromarray(~drawings.ink[1].numpy()).tobytes()


def test_rows_of_datasets_go_through_parquet_and_back(drawings, tmp_path):
    archive(tmp_path / "images_evaluation.zip", files(drawings, "evaluation"))
    rows = load_omniglot(str(tmp_path))
    assert list(rows) == ["evaluation"]
    again = tmp_path / "again"
    again.mkdir()
    rows["evaluation"].to_parquet(again / "evaluation.parquet")
    assert_same(load_drawings("evaluation", str(again)), drawings)


# The cache.


@pytest.fixture
def folder(drawings, tmp_path):
    archive(tmp_path / "images_evaluation.zip", files(drawings, "evaluation"))
    return tmp_path


def test_the_second_load_decodes_nothing(folder, drawings, monkeypatch):
    load_drawings("evaluation", str(folder))
    monkeypatch.setattr(omniglot, "stored_drawings", None)
    assert_same(load_drawings("evaluation", str(folder)), drawings)


def test_a_changed_archive_is_read_again(folder, drawings):
    load_drawings("evaluation", str(folder))
    archive(folder / "images_evaluation.zip", files(drawings.take(torch.arange(24)), "evaluation"))
    assert len(load_drawings("evaluation", str(folder))) == 24
    assert len(list((folder / "cache").iterdir())) == 1


def test_a_damaged_cache_is_made_anew(folder, drawings, monkeypatch):
    load_drawings("evaluation", str(folder))
    (cache,) = (folder / "cache").iterdir()
    cache.write_bytes(cache.read_bytes()[:-100])
    assert_same(load_drawings("evaluation", str(folder)), drawings)
    monkeypatch.setattr(omniglot, "stored_drawings", None)
    assert_same(load_drawings("evaluation", str(folder)), drawings)


# What does not serve.


def test_an_unknown_split(tmp_path):
    with pytest.raises(Exception, match="split"):  # of the type checker, where it is on
        load_drawings("test", str(tmp_path))


def test_an_empty_folder(tmp_path):
    with pytest.raises(SourceError, match="holds no drawing in a layout that is known: it holds no image"):
        load_drawings("evaluation", str(tmp_path))
    with pytest.raises(SourceError, match="holds no image"):
        load_omniglot(str(tmp_path))


def test_a_folder_with_the_other_split_only(folder):
    with pytest.raises(SourceError, match="holds no images_background, but the background set is needed"):
        load_drawings("background", str(folder))


def test_a_copy_that_names_no_alphabets(drawings, tmp_path):
    columns = table(drawings)
    write_parquet(tmp_path / "full.parquet", {name: columns[name] for name in ("image", "label")})
    with pytest.raises(SourceError, match=r"does not tell which alphabet .* \(its columns: image, label\)"):
        load_drawings("evaluation", str(tmp_path))


def test_a_copy_in_one_piece_with_alphabets_unknown(drawings, tmp_path):
    write_parquet(tmp_path / "full.parquet", table(drawings))
    with pytest.raises(SourceError, match="has the splits full, but none is called evaluation"):
        load_drawings("evaluation", str(tmp_path))


def test_a_copy_without_images(tmp_path):
    datasets.Dataset.from_dict({"alphabet": ["a"], "label": [1]}).to_parquet(tmp_path / "test.parquet")
    with pytest.raises(SourceError, match="has no column of the kind image"):
        load_drawings("evaluation", str(tmp_path))


def test_a_copy_whose_images_lie_elsewhere(drawings, tmp_path):
    columns = table(drawings)
    columns["image"] = [{"bytes": None, "path": "/etc/hostname"}] * 72
    write_parquet(tmp_path / "test.parquet", columns)
    with pytest.raises(SourceError, match="keeps its images outside its tables"):
        load_drawings("evaluation", str(tmp_path))


def test_a_drawer_who_draws_a_character_twice(drawings, tmp_path):
    columns = table(drawings)
    columns["drawer"][5] = columns["drawer"][4]
    write_parquet(tmp_path / "test.parquet", columns)
    with pytest.raises(SourceError, match="2 drawings of alphabet 00, character 1, by drawer 1"):
        load_drawings("evaluation", str(tmp_path))


def test_a_drawing_held_twice_where_drawers_are_not_named(drawings, tmp_path):
    columns = table(drawings, [0, 1, 2, 1])
    del columns["drawer"]
    write_parquet(tmp_path / "test.parquet", columns)
    with pytest.raises(SourceError, match="holds a drawing twice"):
        load_drawings("evaluation", str(tmp_path))


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (b"no image", r"cannot be used \(Abc, character 1, drawer 1\)"),
        (png(torch.eye(28, dtype=torch.bool)), "an image of 28 x 28 pixels"),
    ],
)
def test_an_image_that_is_none_of_omniglots(tmp_path, image, sentence):
    archive(tmp_path / "images_evaluation.zip", {"images_evaluation/Abc/character01/0001_01.png": image})
    with pytest.raises(SourceError, match=sentence):
        load_drawings("evaluation", str(tmp_path))


# Lake's runs.


def test_the_table_holds_what_lakes_task_is():
    runs = json.loads(omniglot.LAKE_RUNS.read_text(encoding="utf-8"))["runs"]
    assert len(runs) == 20
    alphabets = [run["alphabet"] for run in runs]
    assert alphabets[::2] == alphabets[1::2]  # ten alphabets, two runs each
    assert len(set(alphabets)) == 10
    assert set(alphabets) <= set(OFFICIAL_ALPHABETS["evaluation"])
    for run in runs:
        assert run["support_drawer"] != run["query_drawer"]
        support, query = ([character for character, _ in run[role]] for role in ("support", "query"))
        assert len(set(support)) == 20
        assert sorted(support) == sorted(query)
        assert support != query
    assert len({digest for run in runs for role in ("support", "query") for _, digest in run[role]}) == 800


@pytest.fixture
def two_runs(drawings, tmp_path, monkeypatch):
    """A table of two runs of three trials over the fixture's drawings: characters 0, 1, 2 and 6, 7, 8."""
    digests = pixel_hashes(drawings.ink)

    def run(first: int, support: list[int], query: list[int], drawers: tuple[int, int]) -> dict:
        def rows(characters: list[int], drawer: int) -> list:
            return [[c + 1, digests[(first + c) * 4 + drawer - 1]] for c in characters]

        facts = {"alphabet": "Abc", "support_drawer": drawers[0], "query_drawer": drawers[1]}
        return {**facts, "support": rows(support, drawers[0]), "query": rows(query, drawers[1])}

    path = tmp_path / "runs.json"
    path.write_text(json.dumps({"runs": [run(0, [2, 0, 1], [0, 1, 2], (3, 1)), run(6, [0, 1, 2], [2, 1, 0], (2, 4))]}))
    monkeypatch.setattr(omniglot, "LAKE_RUNS", path)


def test_runs_are_found_by_their_pixels_in_any_order(two_runs, drawings):
    trials = lake_runs(drawings)
    first, second = [10, 2, 6], [25, 29, 33]  # row = character x 4 + drawer - 1
    assert trials.support.tolist() == [first] * 3 + [second] * 3
    assert trials.query.tolist() == [0, 4, 8, 35, 31, 27]
    assert trials.label.tolist() == [1, 2, 0, 2, 1, 0]
    turned = torch.arange(71, -1, -1)
    mirrored = lake_runs(drawings.take(turned))
    assert torch.equal(71 - mirrored.support, trials.support)
    assert torch.equal(mirrored.label, trials.label)


def test_a_pixel_that_differs_is_noticed(two_runs, drawings):
    ink = drawings.ink.clone()
    ink[31, 50, 50] ^= True
    other = Drawings(ink, drawings.alphabet, drawings.character, drawings.drawer, drawings.alphabet_names)
    with pytest.raises(SourceError, match=r"but 1 of their drawings .*the first: Abc, character 2, drawer 4"):
        lake_runs(other)


def test_characters_sorted_otherwise_are_noticed(two_runs, drawings):
    character = drawings.character.clone()
    character[4] = 0
    other = Drawings(drawings.ink, drawings.alphabet, character, drawings.drawer, drawings.alphabet_names)
    with pytest.raises(SourceError, match="sorted into other characters"):
        lake_runs(other)


def test_invented_drawings_hold_no_runs_of_lakes(drawings):
    with pytest.raises(SourceError, match="800 of their drawings are not here"):
        lake_runs(drawings)

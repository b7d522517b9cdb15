"""Sources other than the bundled set; what they hold is drawn on the spot."""

import io
import json
import stat
import zipfile
from pathlib import Path

import datasets
import pytest
import torch
from PIL import Image

from siamese.characters import omniglot
from siamese.characters.drawings import Drawings
from siamese.characters.omniglot import (
    OmniglotError,
    lake_runs,
    load_drawings,
    load_omniglot,
    pixel_hashes,
    read_archive,
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache of this test's own, and no source in the environment."""
    monkeypatch.setattr(omniglot, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    monkeypatch.delenv("OMNIGLOT_DATA", raising=False)


def png(ink: torch.Tensor, mode: str = "1") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(~ink.numpy()).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def files(drawings: Drawings, split: str) -> dict[str, bytes]:
    """The drawings under the official paths; characters count from 1 in their alphabet, which has 6 of them."""
    return {
        f"images_{split}/{drawings.alphabet_names[drawings.alphabet[i]]}/character{drawings.character[i] % 6 + 1:02d}/"
        f"{drawings.character[i] + 1:04d}_{drawings.drawer[i]:02d}.png": png(drawings.ink[i])
        for i in range(len(drawings))
    }


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name, content in members.items():
            target.writestr(name, content)
    return path


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
    monkeypatch.setattr(omniglot, "read_archive", None)
    assert_same(load_drawings("evaluation", str(folder)), drawings)


def test_a_changed_archive_is_read_again(folder, drawings):
    load_drawings("evaluation", str(folder))
    archive(folder / "images_evaluation.zip", files(drawings.take(torch.arange(24)), "evaluation"))
    assert len(load_drawings("evaluation", str(folder))) == 24
    assert len(list((folder / "cache").iterdir())) == 1


@pytest.mark.parametrize("damage", ["cut short", "emptied", "a bit turned", "another file"])
def test_a_damaged_cache_is_made_anew(folder, drawings, damage, monkeypatch):
    load_drawings("evaluation", str(folder))
    (cache,) = (folder / "cache").iterdir()
    whole = cache.read_bytes()
    turned = bytearray(whole)
    turned[-5_000] ^= 1
    cache.write_bytes(
        {"cut short": whole[:-100], "emptied": b"", "a bit turned": bytes(turned), "another file": b"PK" * 999}[damage]
    )
    assert_same(load_drawings("evaluation", str(folder)), drawings)
    monkeypatch.setattr(omniglot, "read_archive", None)
    assert_same(load_drawings("evaluation", str(folder)), drawings)


def test_a_cache_folder_that_cannot_be_written_costs_only_time(folder, drawings, monkeypatch):
    (folder / "file").write_text("in the way")
    monkeypatch.setattr(omniglot, "cache_folder", lambda: folder / "file" / "cache")
    assert_same(load_drawings("evaluation", str(folder)), drawings)


# What does not serve.


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("nothing", "'nothing' is no folder; a source of Omniglot is a folder"),
        ("/no/such/folder", "'/no/such/folder' is no folder"),
        ("../up", r"'../up' is no folder"),
        ("a b/c", "'a b/c' is no folder"),
    ],
)
def test_a_source_that_is_nothing_known(source, sentence):
    with pytest.raises(OmniglotError, match=sentence):
        load_drawings("evaluation", source)


def test_an_unknown_split(tmp_path):
    with pytest.raises(Exception, match="split"):  # of the type checker, where it is on
        load_drawings("test", str(tmp_path))


def test_an_empty_folder(tmp_path):
    with pytest.raises(OmniglotError, match=r"holds neither Omniglot's archives .* nor parquet files"):
        load_drawings("evaluation", str(tmp_path))
    with pytest.raises(OmniglotError, match="holds neither"):
        load_omniglot(str(tmp_path))


def test_a_folder_with_the_other_split_only(folder):
    with pytest.raises(OmniglotError, match="holds no images_background, but the background set is needed"):
        load_drawings("background", str(folder))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (datasets.exceptions.DatasetNotFoundError("no"), "somebody/nothing .* does not exist on the Hub"),
        (ConnectionError("no route\nmore"), r"could not be read from the Hub \(ConnectionError: no route\)"),
        (ValueError(), r"could not be read from the Hub \(ValueError\)"),
    ],
)
def test_a_hub_that_gives_nothing(monkeypatch, error, sentence):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(OmniglotError, match=sentence):
        load_drawings("evaluation", "somebody/nothing")


def test_a_copy_that_names_no_alphabets(drawings, tmp_path):
    columns = table(drawings)
    write_parquet(tmp_path / "full.parquet", {name: columns[name] for name in ("image", "label")})
    with pytest.raises(OmniglotError, match=r"does not tell which alphabet .* \(its columns: image, label\)"):
        load_drawings("evaluation", str(tmp_path))


def test_a_copy_in_one_piece_with_alphabets_unknown(drawings, tmp_path):
    write_parquet(tmp_path / "full.parquet", table(drawings))
    with pytest.raises(OmniglotError, match="has the splits full, but none is called evaluation"):
        load_drawings("evaluation", str(tmp_path))


def test_a_copy_without_images(tmp_path):
    datasets.Dataset.from_dict({"alphabet": ["a"], "label": [1]}).to_parquet(tmp_path / "test.parquet")
    with pytest.raises(OmniglotError, match="has no column of the kind image"):
        load_drawings("evaluation", str(tmp_path))


def test_a_copy_whose_images_lie_elsewhere(drawings, tmp_path):
    columns = table(drawings)
    columns["image"] = [{"bytes": None, "path": "/etc/hostname"}] * 72
    write_parquet(tmp_path / "test.parquet", columns)
    with pytest.raises(OmniglotError, match="keeps its images outside its tables"):
        load_drawings("evaluation", str(tmp_path))


def test_a_parquet_file_that_is_none(tmp_path):
    (tmp_path / "test.parquet").write_bytes(b"not a table")
    with pytest.raises(OmniglotError, match="parquet files that cannot be read"):
        load_drawings("evaluation", str(tmp_path))


def test_a_drawer_who_draws_a_character_twice(drawings, tmp_path):
    columns = table(drawings)
    columns["drawer"][5] = columns["drawer"][4]
    write_parquet(tmp_path / "test.parquet", columns)
    with pytest.raises(OmniglotError, match="2 drawings of alphabet 00, character 1, by drawer 1"):
        load_drawings("evaluation", str(tmp_path))


def test_a_drawing_held_twice_where_drawers_are_not_named(drawings, tmp_path):
    columns = table(drawings, [0, 1, 2, 1])
    del columns["drawer"]
    write_parquet(tmp_path / "test.parquet", columns)
    with pytest.raises(OmniglotError, match="holds a drawing twice"):
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
    with pytest.raises(OmniglotError, match=sentence):
        load_drawings("evaluation", str(tmp_path))


# Hostile archives.

INNOCENT = "images_evaluation/Abc/character01/0001_01.png"


def test_members_that_do_not_match_are_not_read(tmp_path):
    path = archive(tmp_path / "a.zip", {INNOCENT: b"1", "images_evaluation/.DS_Store": b"2", "x/y.png": b"3"})
    assert read_archive(path, omniglot.IMAGE_PATH) == {INNOCENT: b"1"}


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/x.png", "C:/x.png", "..\\x.png"])
def test_a_path_that_leaves_the_folder(tmp_path, name):
    path = archive(tmp_path / "a.zip", {INNOCENT: b"1", name: b"2"})
    with pytest.raises(OmniglotError, match="a path that leaves its folder"):
        read_archive(path, omniglot.IMAGE_PATH)


def test_a_link(tmp_path):
    link = zipfile.ZipInfo(INNOCENT)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr(link, "/etc/passwd")
    with pytest.raises(OmniglotError, match="holds a link"):
        read_archive(tmp_path / "a.zip", omniglot.IMAGE_PATH)


def test_a_member_that_unpacks_to_too_much(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(INNOCENT, bytes(1 << 20))
    with pytest.raises(OmniglotError, match="a member of 1048576 bytes"):
        read_archive(tmp_path / "a.zip", omniglot.IMAGE_PATH)


def test_a_member_that_lies_about_its_size(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(INNOCENT, bytes(1 << 20))
    content = path.read_bytes()
    assert content.count((1 << 20).to_bytes(4, "little")) == 2  # before the member and in the directory
    path.write_bytes(content.replace((1 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(OmniglotError, match="damaged"):
        read_archive(path, omniglot.IMAGE_PATH)


def test_too_many_members_and_too_much_in_all(tmp_path, monkeypatch):
    path = archive(tmp_path / "a.zip", {INNOCENT: b"12", INNOCENT.replace("_01", "_02"): b"34"})
    monkeypatch.setattr(omniglot, "MAX_UNPACKED_BYTES", 3)
    with pytest.raises(OmniglotError, match="unpacks to more than"):
        read_archive(path, omniglot.IMAGE_PATH)
    monkeypatch.setattr(omniglot, "MAX_MEMBERS", 1)
    with pytest.raises(OmniglotError, match="lists 2 members"):
        read_archive(path, omniglot.IMAGE_PATH)
    monkeypatch.setattr(omniglot, "MAX_ARCHIVE_BYTES", 10)
    with pytest.raises(OmniglotError, match="is larger than"):
        read_archive(path, omniglot.IMAGE_PATH)


def test_a_member_held_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr(INNOCENT, b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            target.writestr(INNOCENT, b"2")
    with pytest.raises(OmniglotError, match="holds a member twice"):
        read_archive(tmp_path / "a.zip", omniglot.IMAGE_PATH)


def test_an_encrypted_archive(tmp_path):
    path = archive(tmp_path / "a.zip", {INNOCENT: b"1"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(OmniglotError, match="is encrypted"):
        read_archive(path, omniglot.IMAGE_PATH)


def test_no_archive_and_a_damaged_one(tmp_path):
    with pytest.raises(OmniglotError, match="There is no archive at"):
        read_archive(tmp_path / "a.zip", omniglot.IMAGE_PATH)
    path = archive(tmp_path / "a.zip", {INNOCENT: b"1" * 999})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(OmniglotError, match="damaged or no ZIP file"):
        read_archive(path, omniglot.IMAGE_PATH)


def test_a_turned_bit_in_a_member(tmp_path):
    path = archive(tmp_path / "a.zip", {INNOCENT: b"1" * 999})
    path.write_bytes(path.read_bytes().replace(b"1" * 999, b"1" * 998 + b"0"))
    with pytest.raises(OmniglotError, match="damaged"):
        read_archive(path, omniglot.IMAGE_PATH)


# Lake's runs.


def test_the_table_holds_what_lakes_task_is():
    runs = json.loads(omniglot.LAKE_RUNS.read_text(encoding="utf-8"))["runs"]
    assert len(runs) == 20
    alphabets = [run["alphabet"] for run in runs]
    assert alphabets[::2] == alphabets[1::2]  # ten alphabets, two runs each
    assert len(set(alphabets)) == 10
    assert set(alphabets) <= set(omniglot.OFFICIAL_ALPHABETS["evaluation"])
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
    with pytest.raises(OmniglotError, match=r"but 1 of their drawings .*the first: Abc, character 2, drawer 4"):
        lake_runs(other)


def test_characters_sorted_otherwise_are_noticed(two_runs, drawings):
    character = drawings.character.clone()
    character[4] = 0
    other = Drawings(drawings.ink, drawings.alphabet, character, drawings.drawer, drawings.alphabet_names)
    with pytest.raises(OmniglotError, match="sorted into other characters"):
        lake_runs(other)


def test_invented_drawings_hold_no_runs_of_lakes(drawings):
    with pytest.raises(OmniglotError, match="800 of their drawings are not here"):
        lake_runs(drawings)

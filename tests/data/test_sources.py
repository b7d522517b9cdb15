"""Sources by their names, files with the paths that layouts are told by, and what is refused."""

from pathlib import Path

import datasets
import pytest

from siamese.data.safe_zip import ZipLimits
from siamese.data.sources import (
    Source,
    SourceError,
    column_values,
    fingerprint,
    layout,
    load_tables,
    match_layout,
    open_files,
    resolve_source,
)
from tests.data.archives import unpacked, zipped

LIMITS = ZipLimits(archive_bytes=1 << 20, members=10, member_bytes=1 << 10, unpacked_bytes=1 << 12)


def contents(path: Path, limits: ZipLimits = LIMITS) -> dict[str, bytes]:
    with open_files(resolve_source(str(path), "drawings"), limits) as files:
        return {file.path: file.read() for file in files}


# Names.


def test_what_a_name_can_mean(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"")
    (tmp_path / "a.parquet").write_bytes(b"")
    kinds = {
        str(tmp_path): "folder",
        str(tmp_path / "a.zip"): "archive",
        str(tmp_path / "a.parquet"): "parquet",
        "user/name": "hub",
        "invented": "invented",
    }
    assert {name: resolve_source(name, "drawings").kind for name in kinds} == kinds
    assert resolve_source("user/name@v1.0", "drawings") == Source("hub", "user/name", "v1.0")
    assert resolve_source("user/name@v1.0", "drawings").subject == "The data set user/name@v1.0"


@pytest.mark.parametrize("name", ["there/is/none", "./none", "none.zip", "some/none.zip", "../up", "a b/c", "none"])
def test_a_name_that_means_nothing_is_refused(name):
    with pytest.raises(SourceError, match="is neither a folder nor a file; drawings come from a folder, a ZIP archive"):
        resolve_source(name, "drawings")


def test_a_fingerprint_changes_with_the_files(tmp_path):
    folder = Source("folder", str(unpacked(tmp_path, {"a/1.png": b"1"})))
    before = fingerprint(folder)
    assert fingerprint(folder) == before
    unpacked(tmp_path, {"a/Thumbs.db": b"1", "a/cache.safetensors": b"1", "a/._1.png": b"1"})
    assert fingerprint(folder) == before
    unpacked(tmp_path, {"a/2.png": b"1"})
    assert fingerprint(folder) != before


# Files.


def test_files_carry_the_names_of_the_folders_and_archives_that_hold_them(tmp_path):
    inner = {"Alpha\\1.png": b"3", "inner.zip": zipped({"x/1.png": b"4", "deepest.zip": zipped({"1.png": b"5"})})}
    members = {"a/1.PNG": b"1", "a/2.tiff": b"2", "b.zip": zipped(inner), "a/Thumbs.db": b"", "a/notes.txt": b""}
    expected = {"a/1.PNG": b"1", "a/2.tiff": b"2", "b/Alpha/1.png": b"3", "b/inner/x/1.png": b"4"}
    folder = unpacked(tmp_path / "set", members)
    assert contents(folder) == {f"set/{path}": content for path, content in expected.items()}
    whole = tmp_path / "whole.zip"
    whole.write_bytes(zipped(inner))
    assert contents(whole) == {"whole/Alpha/1.png": b"3", "whole/inner/x/1.png": b"4"}


def test_too_many_files_and_too_large_ones(tmp_path):
    folder = unpacked(tmp_path / "set", {f"{number}.png": b"1" for number in range(3)})
    with pytest.raises(SourceError, match="holds 3 files, more than 2"):
        contents(folder, ZipLimits(1 << 20, 2, 1 << 10, 1 << 12))
    unpacked(folder, {"4.png": bytes(2_000)})
    with pytest.raises(SourceError, match=r"'.*4.png' is larger than 1,024 bytes"):
        contents(folder)
    (tmp_path / "a.zip").write_bytes(zipped({"4.png": bytes(2_000)}))
    with pytest.raises(SourceError, match=r"holds an image of more than 1,024 bytes: '4\.png'"):
        contents(tmp_path / "a.zip")


def test_archives_that_cannot_be_used_are_named(tmp_path):
    folder = unpacked(tmp_path / "set", {"a.zip": b"PK\x03\x04 and nothing else"})
    with pytest.raises(SourceError, match=r"The archive '.*a.zip' is damaged or not a ZIP file"):
        contents(folder)
    (tmp_path / "b.zip").write_bytes(zipped({"inner.zip": zipped({"../1.png": b"1"})}))
    with pytest.raises(SourceError, match=r"b.zip' holds an archive, 'inner.zip', .* a path that leaves its folder"):
        contents(tmp_path / "b.zip")


def test_a_damaged_member_is_refused_when_it_is_read(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped({"1.png": b"1" * 99}).replace(b"11", b"10", 1))
    with pytest.raises(SourceError, match="damaged"):
        contents(tmp_path / "a.zip")


# Layouts.


def test_the_layout_of_most_files_is_chosen(tmp_path):
    letters = layout("letters", "a1.png", r"(?P<letter>[a-z])\d")
    numbers = layout("numbers", "11.png", r"(?P<number>\d+)")
    folder = unpacked(tmp_path / "set", {"x/a1.png": b"", "x/11.JPG": b"", "12.tif": b"", "x.txt": b""})
    with open_files(Source("folder", str(folder)), LIMITS) as files:
        found, matches = match_layout(files, [letters, numbers])
        assert match_layout(files, []) is None
    assert found is numbers
    assert [(file.path, match["number"]) for file, match in matches] == [("set/12.tif", "12"), ("set/x/11.JPG", "11")]


# Tables.


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")


def test_parquet_files_are_named_after_their_splits(tmp_path):
    table = datasets.Dataset.from_dict({"number": [1, 2]})
    names = ["train-00000-of-00002", "train-00001-of-00002", "data/test-00000-of-00001", "validation/0000"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        table.to_parquet(tmp_path / f"{name}.parquet")
    found = load_tables(resolve_source(str(tmp_path), "drawings"))
    assert {split: len(rows) for split, rows in found.items()} == {"train": 4, "test": 2, "validation": 2}
    one = load_tables(resolve_source(str(tmp_path / "validation" / "0000.parquet"), "drawings"))
    assert list(one) == ["validation"]


def test_a_parquet_file_that_is_none(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"none")
    with pytest.raises(SourceError, match="holds parquet files that cannot be read"):
        load_tables(resolve_source(str(tmp_path), "drawings"))


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
    with pytest.raises(SourceError, match=sentence):
        load_tables(resolve_source("somebody/nothing", "drawings"))


def test_class_labels_come_by_their_names_unless_these_are_numbers():
    features = datasets.Features(a=datasets.ClassLabel(names=["x", "y"]), b=datasets.ClassLabel(names=["7", "9"]))
    table = datasets.Dataset.from_dict({"a": [1, 0], "b": [1, 0]}, features=features)
    assert column_values(table, "a") == ["y", "x"]
    assert column_values(table, "b") == [1, 0]

"""Signatures out of folders, archives and tables: once each, in one order, from the cache where nothing changed."""

import io
import re

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from siamese.data import cache
from siamese.data.sources import SourceError
from siamese.preprocessing import Preprocessing
from siamese.signatures import dataset as module
from siamese.signatures.dataset import Signatures, load_signatures, prepare_files
from siamese.signatures.image_statistics import image_statistics
from siamese.signatures.synthetic import synthetic_files
from tests.data.archives import archive, unpacked
from tests.hostile import encoded

FILES = dict(synthetic_files(writers=2, genuine=2, forgeries=1, seed=21))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache of this test's own."""
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")


@pytest.fixture(scope="module")
def expected() -> Signatures:
    return prepare_files(FILES)


def stored_as(content: bytes, kind: str, **options: object) -> bytes:
    return encoded(Image.open(io.BytesIO(content)), kind, **options)


def assert_same(one: Signatures, other: Signatures) -> None:
    assert one.sha256 == other.sha256
    for name in ("images", "writer", "genuine", "raw_statistics"):
        assert torch.equal(getattr(one, name), getattr(other, name))
    for name, tensor in vars(one.strokes).items():
        assert torch.equal(tensor, vars(other.strokes)[name])


# What serves.


def test_a_folder_and_an_archive_of_windows_give_the_same_signatures(tmp_path, expected):
    found = load_signatures(str(unpacked(tmp_path / "files", FILES)), progress=False)
    assert_same(found, expected)
    assert found.writer_names == ("01", "02")
    assert found.remarks == ()
    members = {f"signatures\\{path}".replace("/", "\\"): content for path, content in FILES.items()}
    assert_same(load_signatures(str(archive(tmp_path / "a.zip", members)), progress=False), expected)


def test_rows_go_by_writer_genuine_ones_first(expected):
    assert expected.writer.tolist() == [0, 0, 0, 1, 1, 1]
    assert expected.genuine.tolist() == [True, True, False] * 2
    assert expected.images.dtype == torch.uint8
    assert expected.images.amax((1, 2, 3)).tolist() == [255] * 6
    assert expected.text == expected.medium == ("",) * 6


def test_number_10_comes_after_number_9():
    contents = list(FILES.values())[:3]
    found = prepare_files(dict(zip((f"7/genuine_{n}.png" for n in (9, 10, 1)), contents, strict=True)))
    statistics = [image_statistics(255 - np.asarray(Image.open(io.BytesIO(content)))) for content in contents]
    assert torch.equal(found.raw_statistics, torch.from_numpy(np.stack([statistics[2], *statistics[:2]])))


def test_tiff_files_with_several_pages_are_read_and_a_remark_says_so(expected):
    pages = {
        path.replace(".png", ".tif"): stored_as(content, "TIFF", save_all=True, append_images=[Image.new("L", (9, 9))])
        for path, content in FILES.items()
    }
    found = prepare_files(pages)
    assert_same(found, expected)
    assert found.remarks == (
        "01/genuine_01.tif, one of 6 such files: The file has several pages; the first one was read.",
    )


def test_duplicates_count_once_and_contradictions_not_at_all(expected):
    bmp = {path.replace(".png", ".bmp"): stored_as(content, "BMP") for path, content in FILES.items()}
    found = prepare_files(FILES | {path: bmp[path] for path in list(bmp)[:2]})  # the same pixels, stored otherwise
    assert_same(found, expected)
    assert found.remarks == ("2 files repeat others and were left out.",)
    found = prepare_files(FILES | {"02/forgery_07.png": FILES["01/genuine_02.png"]})
    assert_same(found, expected.take(torch.tensor([0, 2, 3, 4, 5])))
    assert "2 files are there under two names that contradict" in found.remarks[0]


def test_an_archive_beside_what_it_was_unpacked_to_counts_once(tmp_path, expected):
    archive(unpacked(tmp_path / "set", FILES) / "copy.zip", FILES)
    found = load_signatures(str(tmp_path / "set"), progress=False)
    assert found.sha256 == expected.sha256
    assert found.remarks == ("6 files repeat others and were left out.",)


def test_stray_files_are_no_signatures(tmp_path, expected):
    stray = ["__MACOSX/01/genuine_01.png", "01/._genuine_99.png", "01/Thumbs.db", "desktop.ini", ".DS_Store"]
    members = FILES | dict.fromkeys(stray, b"stray") | {"readme.txt": b""}
    assert_same(load_signatures(str(unpacked(tmp_path / "set", members)), progress=False), expected)


@pytest.mark.parametrize("genuine", ["bool", "names"])
def test_parquet_files_with_image_writer_and_genuine(tmp_path, expected, genuine):
    rows = [(path[:2], path[3:].startswith("genuine"), content) for path, content in FILES.items()]
    features = datasets.Features(
        image=datasets.Image(),
        writer=datasets.Value("string"),
        genuine=datasets.Value("bool") if genuine == "bool" else datasets.ClassLabel(names=["forgery", "genuine"]),
    )
    columns = {
        "image": [{"bytes": content, "path": None} for _, _, content in rows],
        "writer": [writer for writer, _, _ in rows],
        "genuine": [kind if genuine == "bool" else int(kind) for _, kind, _ in rows],
    }
    datasets.Dataset.from_dict(columns, features=features).to_parquet(tmp_path / "train.parquet")
    assert_same(load_signatures(str(tmp_path), progress=False), expected)


def test_take_and_of_writers(expected):
    taken = expected.take(torch.tensor([4, 0]))
    assert taken.sha256 == (expected.sha256[4], expected.sha256[0])
    assert torch.equal(taken.images, expected.images[[4, 0]])
    assert taken.writers_held == ("01", "02")
    second = expected.of_writers(["02"])
    assert_same(second, expected.take(expected.writer == 1))
    assert second.writer_names == expected.writer_names
    assert second.writers_held == ("02",)
    assert len(expected.of_writers([])) == 0
    with pytest.raises(ValueError, match="No writer is called 04, 05"):
        expected.of_writers(["05", "01", "04"])


# What cannot serve.


def test_parquet_files_without_writers_are_refused(tmp_path):
    datasets.Dataset.from_dict({"image": [1], "label": [2]}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(SourceError, match="needs the columns image, writer and genuine; it has image, label"):
        load_signatures(str(tmp_path), progress=False)


def test_forgeries_alone():
    with pytest.raises(SourceError, match="has no genuine signatures"):
        prepare_files({path: content for path, content in FILES.items() if "forgery" in path})


@pytest.mark.parametrize("content", [b"no image", b""])
def test_an_image_that_cannot_be_read_is_named_and_left_out(expected, content):
    found = prepare_files(FILES | {"02/genuine_04.png": content})
    assert_same(found, expected)
    (remark,) = found.remarks
    assert re.match(r"Files that cannot be used and were left out: 1 \(02/genuine_04.png: ", remark)
    with pytest.raises(SourceError, match=r"no (usable )?genuine signatures"):
        prepare_files(dict.fromkeys(FILES, content))


# Prepared once.


def test_the_cache_serves_until_the_data_or_the_preparation_change(tmp_path, monkeypatch, expected):
    source = archive(tmp_path / "a.zip", FILES)
    load_signatures(str(source), progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(module, "open_signatures", None)  # nothing is read again
        again = load_signatures(str(source), progress=False)
        assert_same(again, expected)
        assert again.writer_names == expected.writer_names
        with pytest.raises(TypeError):
            load_signatures(str(source), Preprocessing(kind="signature"), progress=False)
    archive(source, {path: content for path, content in FILES.items() if not path.startswith("02")})
    assert load_signatures(str(source), progress=False).writer_names == ("01",)

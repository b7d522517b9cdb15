"""Layouts, duplicates, archives that must not be trusted, the cache; and a probe that must be able to fail."""

import io
import os
import re
import stat
import zipfile
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from siamese.preprocessing import SIGNATURE, Preprocessing
from siamese.signatures import dataset as module
from siamese.signatures.dataset import (
    STATISTICS,
    SignatureError,
    Signatures,
    image_statistics,
    leak_probe,
    load_signature_dataset,
    load_signatures,
    pair_leak_probe,
    prepare_files,
)
from siamese.signatures.synthetic import synthetic_files

REAL = os.environ.get("ONE_LOOK_SIGNATURES")

FILES = dict(synthetic_files(writers=3, genuine=3, forgeries=2, seed=21))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache of this test's own."""
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")


@pytest.fixture(scope="module")
def expected() -> Signatures:
    return prepare_files(FILES)


def renamed(layout: str) -> dict[str, bytes]:
    """The files under the paths of another layout."""
    paths = {}
    for path, content in FILES.items():
        writer, name = int(path[:2]), path[3:]
        is_genuine, number = name.startswith("genuine"), int(name[-6:-4])
        if layout == "CEDAR":
            place = f"full_org/original_{writer}_{number}" if is_genuine else f"full_forg/forgeries_{writer}_{number}"
        elif layout == "ICDAR":
            # the third writer stands in the test folder, the second in both
            split = "train" if writer == 1 or (writer == 2 and number == 1) else "test"
            folder = f"{writer:03d}" if is_genuine else f"{writer:03d}_forg"
            place = f"sign_data/{split}/{folder}/{'' if is_genuine else '01190'}{number:02d}_{writer:03d}"
        else:
            place = f"cedar/{path[:-4]}"
        paths[f"{place}.png"] = content
    return paths


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name, content in members.items():
            target.writestr(name, content)
    return path


def unpacked(folder: Path, members: dict[str, bytes]) -> Path:
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def assert_same(one: Signatures, other: Signatures) -> None:
    assert one.sha256 == other.sha256
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.writer, other.writer)
    assert torch.equal(one.genuine, other.genuine)
    assert torch.equal(one.raw_statistics, other.raw_statistics)
    assert torch.equal(one.handwriting.turns, other.handwriting.turns)
    assert torch.equal(one.handwriting.course, other.handwriting.course)


# Layouts.


@pytest.mark.parametrize("layout", ["writers", "CEDAR", "ICDAR"])
@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_every_layout_gives_the_same_signatures(layout, kind, tmp_path, expected):
    members = renamed(layout)
    source = archive(tmp_path / "a.zip", members) if kind == "archive" else unpacked(tmp_path / "files", members)
    found = load_signatures(str(source), progress=False)
    assert_same(found, expected)
    assert found.writer_names == (("001", "002", "003") if layout == "ICDAR" else ("01", "02", "03"))
    assert found.remarks == ()


def test_rows_go_by_writer_genuine_ones_first(expected):
    assert expected.writer.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert expected.genuine.tolist() == [True, True, True, False, False] * 3
    assert expected.images.dtype == torch.uint8
    assert expected.images.amax((1, 2, 3)).tolist() == [255] * 15


def test_number_10_comes_after_number_9(tmp_path):
    contents = list(FILES.values())
    members = {f"7/genuine_{number}.png": contents[number] for number in (9, 10, 1)}
    found = load_signatures(str(unpacked(tmp_path / "files", members)), progress=False)
    assert torch.equal(found.images, prepare_files({f"7/genuine_{n}.png": contents[n] for n in (1, 9, 10)}).images)
    assert found.raw_statistics[1].tolist() == pytest.approx(statistics_of(contents[9]))


def statistics_of(content: bytes) -> list[float]:
    return image_statistics(255 - np.asarray(Image.open(io.BytesIO(content)))).tolist()


def test_a_folder_named_train_is_a_dutch_set(tmp_path, expected):
    members = {path.removeprefix("sign_data/"): content for path, content in renamed("ICDAR").items()}
    members = {path.replace("test/", "train/"): content for path, content in members.items()}
    unpacked(tmp_path, members)
    assert_same(load_signatures(str(tmp_path / "train"), progress=False), expected)


def test_duplicates_count_once_and_contradictions_not_at_all(tmp_path, expected):
    members = renamed("ICDAR")
    again = dict(members)
    again["sign_data/sign_data/train/001/copy.png"] = members["sign_data/train/001/01_001.png"]
    again["sign_data/test/001/copy_too.png"] = members["sign_data/train/001/01_001.png"]
    found = load_signatures(str(archive(tmp_path / "a.zip", again)), progress=False)
    assert_same(found, expected)
    assert found.remarks == ("2 files repeat others and were left out.",)
    again["sign_data/test/003_forg/02_001.png"] = members["sign_data/train/001/02_001.png"]
    found = load_signatures(str(archive(tmp_path / "b.zip", again)), progress=False)
    assert_same(found, expected.take(torch.tensor([0, *range(2, 15)])))
    assert "2 files are there under two names that contradict" in found.remarks[1]


def test_a_picture_that_is_stored_in_another_way_is_the_same(tmp_path, expected):
    """Another compression and another mode: as a copy on the Hub has them."""
    members = {}
    for path, content in renamed("writers").items():
        stored = io.BytesIO()
        Image.open(io.BytesIO(content)).convert("RGB").save(stored, "BMP")
        members[path.replace(".png", ".bmp")] = stored.getvalue()
    assert load_signatures(str(archive(tmp_path / "a.zip", members)), progress=False).sha256 == expected.sha256
    both = load_signatures(str(archive(tmp_path / "b.zip", members | renamed("writers"))), progress=False)
    assert_same(both, expected)
    assert both.remarks == (f"{len(expected)} files repeat others and were left out.",)


def test_what_file_managers_leave_behind_is_no_signature(tmp_path, expected):
    members = renamed("writers") | {
        "__MACOSX/cedar/01/genuine_01.png": b"",
        "cedar/01/.genuine_99.png": b"",
        "cedar/readme.txt": b"",
    }
    assert_same(load_signatures(str(archive(tmp_path / "a.zip", members)), progress=False), expected)


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


def test_parquet_files_without_writers_are_refused(tmp_path):
    datasets.Dataset.from_dict({"image": [1], "label": [2]}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(SignatureError, match="needs the columns image, writer and genuine; it has image, label"):
        load_signatures(str(tmp_path), progress=False)


def test_rows_of_datasets(tmp_path, expected):
    table = load_signature_dataset(str(archive(tmp_path / "a.zip", renamed("CEDAR"))))
    assert table.features["writer"].names == ["01", "02", "03"]
    assert table["writer"][:] == expected.writer.tolist()
    assert table["genuine"][:] == expected.genuine.tolist()
    assert tuple(table["sha256"][:]) == expected.sha256
    assert table[0]["image"].mode == "L"


# What cannot serve.


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("there/is/none", "neither a folder nor a file"),
        ("./none", "neither a folder nor a file"),
        ("none.zip", "neither a folder nor a file"),
    ],
)
def test_a_source_that_is_not_there(source, sentence):
    with pytest.raises(SignatureError, match=sentence):
        load_signatures(source, progress=False)


def test_a_folder_without_signatures(tmp_path):
    with pytest.raises(SignatureError, match="holds no signatures as <writer>/genuine_"):
        load_signatures(str(tmp_path), progress=False)


def test_forgeries_alone(tmp_path):
    forged = {path: content for path, content in FILES.items() if "forgery" in path}
    with pytest.raises(SignatureError, match="holds no genuine signature"):
        load_signatures(str(unpacked(tmp_path, forged)), progress=False)


@pytest.mark.parametrize("content", [b"no image", b""])
def test_an_image_that_cannot_be_read_is_named_and_left_out(tmp_path, content):
    whole = load_signatures(str(unpacked(tmp_path / "whole", FILES)), progress=False)
    members = {**FILES, "03/genuine_04.png": content}
    found = load_signatures(str(unpacked(tmp_path / "damaged", members)), progress=False)
    (remark,) = set(found.remarks) - set(whole.remarks)
    assert re.match(r"Files that cannot be used and were left out: 1 \(.*03/genuine_04.png: ", remark)
    kept = torch.tensor([digest in found.sha256 for digest in whole.sha256])
    assert len(found) == int(kept.sum()) >= len(whole) - 1
    assert torch.equal(found.images, whole.images[kept])
    broken = dict.fromkeys(FILES, content)
    with pytest.raises(SignatureError, match="no genuine signature"):
        load_signatures(str(unpacked(tmp_path / "broken", broken)), progress=False)


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and nothing else")
    with pytest.raises(SignatureError, match="damaged or no ZIP file"):
        load_signatures(str(tmp_path / "a.zip"), progress=False)


def test_a_damaged_member(tmp_path):
    path = archive(tmp_path / "a.zip", FILES)
    content = bytearray(path.read_bytes())
    place = content.find(FILES["02/genuine_01.png"][:64]) + 100
    content[place : place + 40] = bytes(40)
    path.write_bytes(bytes(content))
    with pytest.raises(SignatureError, match="damaged or no ZIP file"):
        load_signatures(str(path), progress=False)


@pytest.mark.parametrize(
    "name", ["../01/genuine_01.png", "/01/genuine_01.png", "..\\01\\genuine_01.png", "C:genuine_1.png"]
)
def test_a_path_that_leaves_its_folder(tmp_path, name):
    with pytest.raises(SignatureError, match="holds a path that leaves its folder"):
        load_signatures(str(archive(tmp_path / "a.zip", {**FILES, name: b"x"})), progress=False)


def test_a_link_in_an_archive(tmp_path):
    link = zipfile.ZipInfo("01/genuine_09.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr(link, "/etc/hostname")
    with pytest.raises(SignatureError, match="holds a link"):
        load_signatures(str(tmp_path / "a.zip"), progress=False)


def test_a_member_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr("01/genuine_01.png", FILES["01/genuine_01.png"])
        with pytest.warns(UserWarning, match="Duplicate name"):
            target.writestr("01/genuine_01.png", FILES["01/genuine_01.png"])
    with pytest.raises(SignatureError, match="holds a member twice"):
        load_signatures(str(tmp_path / "a.zip"), progress=False)


@pytest.mark.parametrize(
    ("limit", "value", "sentence"),
    [
        ("MAX_ARCHIVE_BYTES", 1000, "is larger than"),
        ("MAX_MEMBERS", 3, "lists 15 members"),
        ("MAX_UNPACKED_BYTES", 1000, "unpacks to more than"),
        ("MAX_BYTES", 1000, "holds an image of more than"),
    ],
)
def test_limits_of_an_archive(tmp_path, monkeypatch, limit, value, sentence):
    monkeypatch.setattr(module, limit, value)
    with pytest.raises(SignatureError, match=sentence):
        load_signatures(str(archive(tmp_path / "a.zip", FILES)), progress=False)


# Prepared once.


def test_the_cache_serves_until_the_data_or_the_preparation_change(tmp_path, monkeypatch, expected):
    source = archive(tmp_path / "a.zip", FILES)
    load_signatures(str(source), progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_opened", None)  # nothing is read again
        again = load_signatures(str(source), progress=False)
        assert_same(again, expected)
        assert again.writer_names == expected.writer_names
        with pytest.raises(TypeError):
            load_signatures(str(source), Preprocessing(kind="signature"), progress=False)
    archive(source, {path: content for path, content in FILES.items() if not path.startswith("02")})
    assert load_signatures(str(source), progress=False).writer_names == ("01", "03")


def test_a_damaged_cache_is_made_anew(tmp_path, expected):
    source = archive(tmp_path / "a.zip", FILES)
    load_signatures(str(source), progress=False)
    (cache,) = (tmp_path / "cache").glob("*.safetensors")
    content = bytearray(cache.read_bytes())
    content[-30_000] ^= 255
    cache.write_bytes(bytes(content))
    assert_same(load_signatures(str(source), progress=False), expected)


def test_take_and_of_writers(expected):
    taken = expected.take(torch.tensor([7, 0]))
    assert taken.sha256 == (expected.sha256[7], expected.sha256[0])
    assert torch.equal(taken.images, expected.images[[7, 0]])
    assert taken.writers_held == ("01", "02")
    second = expected.of_writers(["02"])
    assert_same(second, expected.take(expected.writer == 1))
    assert second.writer_names == expected.writer_names
    assert second.writers_held == ("02",)
    assert len(expected.of_writers([])) == 0
    with pytest.raises(ValueError, match="No writer is called 04, 05"):
        expected.of_writers(["05", "01", "04"])


# The probe.


def test_statistics_by_hand():
    """Ink of 200 on paper of 30: a bar of 4 x 20 px has 80 px and an outline of 48; pi / 4 of that counts."""
    picture = np.full((40, 50), 30, dtype=np.uint8)
    picture[10:14, 20:40] = 200
    background, darkness, width, size, aspect = image_statistics(picture).tolist()
    assert (background, darkness, size, aspect) == (30, 200, 80, 5)
    assert width == pytest.approx(2 * 80 / (48 * np.pi / 4))


@pytest.mark.parametrize("level", [0, 7, 255])
def test_statistics_of_an_even_image_are_numbers(level):
    assert np.isfinite(image_statistics(np.full((20, 30), level, dtype=np.uint8))).all()


def leaking(files: dict[str, bytes]) -> dict[str, bytes]:
    """Forgeries scanned on lighter paper than genuine signatures, as in CEDAR."""
    made = {}
    for path, content in files.items():
        values = np.asarray(Image.open(io.BytesIO(content))).astype(float)
        paper = np.median(values)
        target = 240 if "genuine" in path else 252
        ink = ((paper - values) / paper).clip(0, 1)
        buffer = io.BytesIO()
        Image.fromarray((target * (1 - ink)).astype(np.uint8)).save(buffer, "PNG")
        made[path] = buffer.getvalue()
    return made


def test_the_probe_fails_on_raw_images_that_leak_and_passes_on_prepared_ones():
    signatures = prepare_files(leaking(dict(synthetic_files(writers=8, genuine=3, forgeries=3, seed=3))))
    raw, prepared = leak_probe(signatures, raw=True), leak_probe(signatures)
    assert tuple(raw) == tuple(prepared) == STATISTICS
    assert raw["background"] == 1.0
    assert prepared["background"] == 0.5
    for name in ("ink_darkness", "stroke_width", "ink_size"):
        assert 0.25 < prepared[name] < 0.75  # of 48 images; a standard deviation is 0.08
    assert pair_leak_probe(signatures, raw=True)["background"] > 0.95
    assert pair_leak_probe(signatures)["background"] == 0.5


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ink_darkness", lambda image: image // 2),
        ("stroke_width", lambda image: np.asarray(Image.fromarray(image).resize((50, 50)).resize((105, 105)))),
        ("ink_size", lambda image: np.where(np.arange(105)[None] < 52, image, 0).astype(np.uint8)),
        ("aspect_ratio", lambda image: np.asarray(Image.fromarray(image).resize((105, 40)))),
    ],
)
def test_each_probe_sees_what_it_is_made_for(expected, name, change):
    images = expected.images.numpy().copy()
    for row in torch.nonzero(~expected.genuine).flatten().tolist():
        changed = change(images[row, 0])
        images[row, 0] = 0
        images[row, 0, : changed.shape[0], : changed.shape[1]] = changed
    leaky = Signatures(**{**vars(expected), "images": torch.from_numpy(images)})
    assert abs(leak_probe(leaky)[name] - 0.5) > 0.35


def test_the_probe_needs_both_kinds(expected):
    with pytest.raises(ValueError, match="both kinds"):
        leak_probe(expected.take(expected.genuine))


@pytest.mark.skipif(not REAL, reason="ONE_LOOK_SIGNATURES names no archive")
def test_on_a_real_data_set_nothing_but_the_aspect_ratio_tells():
    signatures = load_signatures(str(REAL), SIGNATURE, progress=False)
    probe = leak_probe(signatures)
    assert all(0.4 <= probe[name] <= 0.6 for name in STATISTICS[:-1]), probe
    assert max(abs(value - 0.5) for value in leak_probe(signatures, raw=True).values()) > 0.1

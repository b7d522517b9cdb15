import contextlib
import io
import json
import struct
import zipfile

import pytest
from PIL import Image, ImageDraw

from siamese.data import safe_zip
from siamese.ui.class_archive import FORMAT, OwnClass, Unpacked, one_of_each_class, pack, unpack
from siamese.ui.validation import UserError
from tests.hostile import encoded


def picture(shift: int = 0) -> bytes:
    image = Image.new("L", (40, 40), 255)
    ImageDraw.Draw(image).line([(5, 5 + shift), (30, 35)], fill=0, width=3)
    return encoded(image, "PNG")


def zipped(*entries, **how) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how.get("compression", zipfile.ZIP_DEFLATED)) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return file.getvalue()


def info(name: str, mode: int) -> zipfile.ZipInfo:
    one = zipfile.ZipInfo(name)
    one.external_attr = mode << 16
    return one


CLASSES = [OwnClass("rivet", picture()), OwnClass("Schraube ø 4", picture(6)), OwnClass("<b>", picture(9))]


def test_a_set_comes_back_as_it_went():
    assert unpack(pack(CLASSES)) == Unpacked(CLASSES, 0)
    assert pack(CLASSES) == pack(CLASSES)


def test_a_plain_folder_of_pictures_is_named_by_its_files():
    brought = unpack(
        zipped(("set/bolt.PNG", picture()), ("set/nut.png", picture(4)), ("notes.txt", b"x"), ("set/", b""))
    )
    assert brought.classes == [OwnClass("bolt", picture()), OwnClass("nut", picture(4))]


@pytest.mark.parametrize("path", ["../a.png", "/a.png", "a/../../b.png", "C:a.png"])
def test_no_path_leaves(path):
    with pytest.raises(UserError, match="leaves its folder"):
        unpack(zipped((path, picture())))


@pytest.mark.parametrize(
    ("paths", "classes"),
    [
        (["b.png", "a.png"], [("a", "a.png"), ("b", "b.png")]),
        (["set/b.png", "set/a.png"], [("a", "set/a.png"), ("b", "set/b.png")]),
        (["oak/2.png", "elm/1.png", "oak/1.png"], [("elm", "elm/1.png"), ("oak", "oak/1.png")]),
        (["set/oak/x/2.png", "set/elm/x/1.png"], [("x", "set/elm/x/1.png"), ("x", "set/oak/x/2.png")]),
        (["fir.png", "oak/1.png"], [("fir", "fir.png"), ("oak", "oak/1.png")]),
    ],
)
def test_folders_name_classes(paths, classes):
    assert one_of_each_class(paths) == classes
    data = picture()
    found = unpack(zipped(*((path, data) for path in paths)))
    assert found.classes == [OwnClass(name, data) for name, _ in classes]
    assert found.left_out == len(paths) - len(classes)


def test_links_and_devices_are_refused():
    for mode in (0o120777, 0o020666):
        with pytest.raises(UserError, match="link or a device"):
            unpack(zipped((info("a.png", mode), b"/etc/passwd")))


def test_bombs_are_refused_before_they_are_read(monkeypatch):
    bombs = [
        ("more than 4 MB", zipped(("a.png", bytes(5 << 20)))),
        ("more than 32 MB", zipped(*((f"{i}.png", bytes(4 << 20)) for i in range(9)))),
        ("holds 101 classes", zipped(*((f"{i}.png", b"x") for i in range(101)))),
        ("more than 1000", zipped(*((f"a/{i}.png", b"x") for i in range(1001)))),
        ("larger than 8 MB", bytes(9 << 20)),
    ]
    monkeypatch.setattr(safe_zip, "_read", lambda *_: pytest.fail("something was read"))
    for words, data in bombs:
        with pytest.raises(UserError, match=words):
            unpack(data)


def test_an_entry_that_is_named_many_times_counts_as_often():
    classes = [{"name": str(number), "file": "a.png"} for number in range(9)]
    manifest = json.dumps({"format": FORMAT, "classes": classes})
    with pytest.raises(UserError, match="more than 32 MB"):
        unpack(zipped(("classes.json", manifest), ("a.png", bytes(4 << 20))))


def test_a_size_that_lies_is_found_out():
    data = bytearray(zipped(("a.png", bytes(200_000))))
    central = data.rindex(b"PK\x01\x02")
    data[central + 24 : central + 28] = struct.pack("<I", 10)
    with pytest.raises(UserError):
        unpack(bytes(data))


def test_locked_and_oddly_compressed_archives_are_refused():
    data = bytearray(zipped(("a.png", picture())))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(UserError, match="password"):
        unpack(bytes(data))
    with pytest.raises(UserError, match="ordinary ZIP"):
        unpack(zipped(("a.png", picture()), compression=zipfile.ZIP_LZMA))


@pytest.mark.parametrize(
    "manifest",
    [
        "[1]",
        "{",
        '{"format": "other"}',
        json.dumps({"format": FORMAT, "classes": 3}),
        json.dumps({"format": FORMAT, "classes": [3]}),
        json.dumps({"format": FORMAT, "classes": [{"name": "a", "file": "gone.png"}]}),
        json.dumps({"format": FORMAT, "classes": [{"name": 3, "file": "001.png"}]}),
        json.dumps({"format": FORMAT, "classes": [{"name": "a", "file": []}]}),
        json.dumps({"format": FORMAT, "classes": [{"name": "\ud800", "file": "001.png"}]}),
        json.dumps({"format": FORMAT, "classes": []}),
        "[" * 30_000,
    ],
)
def test_a_manifest_that_lies_is_refused(manifest):
    with pytest.raises(UserError):
        unpack(zipped(("classes.json", manifest), ("001.png", picture())))


def test_every_damage_is_one_refusal():
    good = pack(CLASSES)
    for place in range(0, len(good), 7):
        broken = bytearray(good)
        broken[place] ^= 0xFF
        with contextlib.suppress(UserError):
            unpack(bytes(broken))
    for cut in range(0, len(good) - 1, 97):
        with pytest.raises(UserError):
            unpack(good[:cut])

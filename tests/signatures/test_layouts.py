"""Whose signature a file is, in every layout that is known; paths alone, no image is drawn."""

from functools import partial

import pytest

from siamese.data.sources import Source, SourceError
from siamese.signatures.layouts import LAYOUTS, SignatureFile, files_by_path

SOURCE = Source("folder", "set")


def read_paths(*paths: str) -> list[SignatureFile]:
    return files_by_path({path: partial(bytes, path.encode()) for path in paths}, SOURCE)


def facts(*paths: str) -> list[tuple[str, bool]]:
    return [(file.writer, file.genuine) for file in read_paths(*paths)]


@pytest.mark.parametrize(
    ("genuine", "forged", "writer"),
    [
        ("set/cedar/7/genuine_1.webp", "set/cedar/7/forgery_12.webp", "7"),
        ("set/full_org/original_7_1.png", "set/full_forg/forgeries_7_2.png", "07"),
        ("set/7/original_7_1.png", "set/7/forgeries_7_2.png", "07"),
        ("set/full_org/original_7_1.tif", "set/full_forg/forgeries_7_2.TIFF", "07"),
        ("sign_data/train/007/01_007.png", "sign_data/test/007_forg/0119007_01.png", "007"),
        ("set/Offline Genuine/007_01.PNG", "set/Offline Forgeries/0119007_01.PNG", "007"),
        ("set/Reference(646)/007/007_01.PNG", "set/Questioned(1287)/007/0114007_02.png", "007"),
        ("BHSig260/Bengali/007/B-S-007-G-01.tif", "BHSig260/Bengali/007/B-S-007-F-30.tif", "B-S-007"),
        ("BHSig260/Hindi/7/H-S-7-G-01.tif", "BHSig260/Hindi/7/H-S-7-F-30.tif", "H-S-7"),
        ("GPDS/007/c-007-01.jpg", "GPDS/007/cf-007-01.jpg", "007"),
        ("set/real/00700007.png", "set/forge/02100007.png", "007"),
        ("set/genuine/NFI-00700007.png", "set/forged/NFI-02100007.png", "007"),
        ("set/7/real/a.png", "set/7/forge/b.png", "7"),
        ("set/7/genuine/a.jpg", "set/7/forgeries/b.jpg", "7"),
        ("set/real/7/a.png", "set/forged/7/b.png", "7"),
        ("set/org/7/a.png", "set/forg/7/b.png", "7"),
    ],
)
def test_a_genuine_signature_and_a_forgery_of_it(genuine, forged, writer):
    assert facts(genuine, forged) == [(writer, True), (writer, False)]


def test_names_that_many_wrote_on_several_media():
    (file,) = read_paths("cross_media/012/name07_phone_in_hand.webp")
    assert (file.writer, file.genuine, file.text, file.medium) == ("012", True, "07", "phone_in_hand")


@pytest.mark.parametrize("one", LAYOUTS, ids=[one.name for one in LAYOUTS])
def test_the_examples_that_refusals_name_follow_their_layouts(one):
    paths = one.example.partition(" (")[0].split(" and ")
    found = [one.pattern.fullmatch(path) for path in paths]
    assert all(found)
    assert [match["genuine"] is not None for match in found] == [True, False][: len(found)]


def test_the_layout_that_most_files_follow_counts():
    paths = [f"set/001/B-S-001-G-{number:02}.tif" for number in range(3)]
    assert facts(*paths, "set/7/genuine_1.png") == [("B-S-001", True)] * 3


def test_writers_of_one_name_in_two_sets_are_two_writers():
    assert facts("set/cedar/1/genuine_1.png", "set/svc/1/genuine_1.png") == [("cedar/1", True), ("svc/1", True)]
    assert facts("a/set/cedar/1/genuine_1.png", "a/set/svc/x/1/genuine_1.png")[1] == ("svc/x/1", True)
    assert {file.identity for file in read_paths("a/1/genuine_1.png", "b/1/genuine_1.png")} == {"1"}


def test_a_writer_of_the_dutch_set_is_one_person_in_training_and_test():
    assert facts("set/train/001/1.png", "set/test/001/1.png") == [("001", True)] * 2


def test_a_set_in_no_layout_is_refused_with_the_paths_that_it_has():
    with pytest.raises(SourceError) as refusal:
        read_paths("set/pages/1.png", "set/pages/2.png", "set/more/a.jpg")
    assert "'set' holds no signatures in a layout that is known" in str(refusal.value)
    assert "its images lie as 'set/pages/1.png', 'set/more/a.jpg'. Known are one folder a writer: " in str(
        refusal.value
    )
    with pytest.raises(SourceError, match="it holds no image"):
        read_paths()

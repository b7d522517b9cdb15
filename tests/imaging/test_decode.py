"""The door for pixels: what comes in, as what, and what is turned away."""

import io
import re

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from siamese.imaging import decode as images
from siamese.imaging.decode import WEB_FORMATS, ImageError, check_format, image_remarks, load_ink, open_image
from siamese.preprocessing import Preprocessing, prepare_ink
from tests.hostile import drawing, encoded, mutations, sixteen_bit, valid_files

LOOSE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)


def difference(grey: Image.Image, expected: Image.Image) -> float:
    """Mean difference of two grey images in levels of 255."""
    assert grey.size == expected.size
    return float(np.abs(np.asarray(grey, dtype=float) - np.asarray(expected, dtype=float)).mean())


def is_image_or_sentence(data: bytes) -> bool:
    """Whether the door did one of the two things that it may do."""
    try:
        grey = open_image(data)
    except ImageError as error:
        return str(error).endswith(".") and "\n" not in str(error)
    return grey.mode == "L"


@pytest.mark.parametrize("name", valid_files())
def test_every_kind_of_file_shows_the_drawing_dark_on_white(name):
    grey = open_image(valid_files()[name])
    if name == "bmp-rle":  # rows of 20 white, 8 black and 68 white pixels
        row = np.r_[np.full(20, 255), np.zeros(8), np.full(68, 255)]
        assert (np.asarray(grey) == row).all()
        return
    expected = drawing().transpose(Image.Transpose.ROTATE_270) if "exif" in name else drawing()
    assert grey.mode == "L"
    limit = 25 if name.endswith("-16") else 8  # its paper is 60,000 of 65,535, not white
    assert difference(grey, expected) < limit


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientations_bring_the_picture_upright(orientation):
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # the turn that undoes it
    stored = drawing() if back is None else drawing().transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("PNG", "JPEG", "WEBP"):
        assert difference(open_image(encoded(stored, kind, exif=exif)), drawing()) < 8


def test_broken_exif_does_not_cost_the_picture():
    assert (
        difference(open_image(encoded(drawing(), "PNG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")), drawing()) == 0
    )


def test_sixteen_bits_are_scaled_not_clipped():
    levels = np.asarray(open_image(encoded(sixteen_bit(), "PNG")))
    assert levels.min() == 12  # 3,000 x 255 / 65,535 = 11.7
    assert levels.max() == 233  # 60,000 x 255 / 65,535 = 233.5


def test_floating_point_images_are_told_by_their_range():
    unit = np.asarray(drawing(), dtype=np.float32) / 255
    for values in (unit, unit * 255, unit * 65_535):
        assert difference(open_image(Image.fromarray(values)), drawing()) < 1
    unit[3, 3] = np.nan
    with pytest.raises(ImageError, match="not numbers"):
        open_image(Image.fromarray(unit))


def test_transparency_is_paper_whatever_colour_lies_under_it():
    for under in (0, 128, 255):
        clear = drawing("RGBA", ink=(0, 0, 0, 255), paper=(under, under, under, 0))
        assert difference(open_image(clear), drawing()) == 0


def test_white_ink_on_nothing_is_ink():
    assert difference(open_image(drawing("RGBA", ink=(255, 255, 255, 255), paper=(0, 0, 0, 0))), drawing()) == 0


def test_light_on_dark_is_turned_over():
    chalk = Image.eval(drawing(), lambda level: 255 - level)
    assert difference(open_image(encoded(chalk, "PNG")), drawing()) == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "I"])
def test_pillow_images_of_any_mode_come_in(mode):
    source = drawing("RGBA").convert("La" if mode == "La" else mode) if mode != "La" else drawing("LA").convert("La")
    assert difference(open_image(source), drawing()) < 2


def test_sources_are_told_alike(tmp_path):
    data = encoded(drawing(), "PNG")
    path = tmp_path / "drawing.jpg"  # the extension is wrong, the content counts
    path.write_bytes(data)
    for source in (path, str(path), data, bytearray(data), memoryview(data), drawing(), Image.open(io.BytesIO(data))):
        assert difference(open_image(source), drawing()) == 0


def test_the_source_is_left_as_it_was():
    source = drawing()
    before = source.tobytes()
    open_image(source).paste(0, (0, 0, 50, 50))
    assert source.tobytes() == before


def test_other_plug_ins_cannot_be_reached_through_an_open_pillow_image():
    with pytest.raises(ImageError, match="not a PNG"):
        open_image(Image.open(io.BytesIO(encoded(drawing(), "PPM"))))


def test_the_first_page_of_a_tiff_is_read_and_a_remark_says_so():
    pages = encoded(drawing(), "TIFF", save_all=True, append_images=[drawing().rotate(90)])
    grey = open_image(pages)
    assert difference(grey, drawing()) == 0
    assert [remark.code for remark in image_remarks(grey)] == ["first_page"]
    assert image_remarks(open_image(encoded(drawing(), "TIFF"))) == ()


def test_a_file_cannot_bring_remarks_of_its_own():
    notes = PngInfo()
    notes.add_text("remarks", "This is by the Queen.")
    assert image_remarks(open_image(encoded(drawing(), "PNG", pnginfo=notes))) == ()


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {"compression": "group4"})])
def test_a_bilevel_scan_of_a4_at_600_dpi_is_read_at_half_its_size(kind, options):
    page = Image.new("1", (4960, 7016), 1)
    page.paste(0, (1000, 2000, 1400, 2040))
    grey = open_image(encoded(page, kind, **options))
    assert grey.size == (2480, 3508)
    assert grey.getpixel((600, 1010)) == 0
    assert grey.getpixel((600, 1100)) == 255
    with pytest.raises(ImageError, match="more than 16 megapixels"):
        open_image(encoded(page.convert("L"), "PNG"))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (encoded(drawing(), "TIFF"), "but a TIFF; please save it as PNG."),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "but a HEIC or AVIF photograph; please export it as JPEG."),
        (b"%PDF-1.7 and so on", "but a PDF; please save the page as PNG"),
        (
            b"PK and no image at all",
            "The file is not a PNG, JPEG, WebP, BMP or GIF image; please choose one that is, or save it as PNG.",
        ),
    ],
)
def test_a_format_that_the_open_app_does_not_read_is_refused_with_the_way_to_convert_it(data, sentence):
    for refuse in (check_format, lambda given: open_image(given, WEB_FORMATS)):
        with pytest.raises(ImageError, match=re.escape(sentence)):
            refuse(data)
    check_format(encoded(drawing(), "PNG"))


@pytest.mark.parametrize("source", ["", "no such file.png", "a\0b", ".", "/dev/zero", b"", b"GIF8", None, 3, ["a.png"]])
def test_what_is_no_image_is_refused_with_one_sentence(source):
    with pytest.raises(ImageError) as refusal:
        open_image(source)
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize("size", [(1, 1), (7, 100), (100, 7), (8, 161), (161, 8)])
def test_tiny_and_extreme_sizes_are_refused(size):
    with pytest.raises(ImageError, match=r"\d+ x \d+ pixels"):
        open_image(drawing("L", size))


def test_limits_of_size_stand_where_they_are_said_to(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 96 * 80)
    open_image(encoded(drawing(), "PNG"))
    monkeypatch.setattr(images, "MAX_PIXELS", 96 * 80 - 1)
    with pytest.raises(ImageError, match="megapixels"):
        open_image(encoded(drawing(), "PNG"))
    monkeypatch.setattr(images, "MAX_PIXELS", 96 * 80)
    data = encoded(drawing(), "GIF")
    monkeypatch.setattr(images, "MAX_BYTES", len(data))
    open_image(data)
    monkeypatch.setattr(images, "MAX_BYTES", len(data) - 1)
    with pytest.raises(ImageError, match="larger than"):
        open_image(data)


def test_a_phone_photograph_of_48_megapixels_is_accepted_reduced_and_upright():
    photograph = drawing("RGB", (8064, 6048))
    exif = Image.Exif()
    exif[0x0112] = 6
    grey = open_image(encoded(photograph, "JPEG", exif=exif))
    assert grey.size == (1512, 2016)
    assert difference(grey, drawing("L", (2016, 1512)).transpose(Image.Transpose.ROTATE_270)) < 2


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_other_formats_stop_at_16_megapixels(kind):
    with pytest.raises(ImageError, match="16 megapixels"):
        open_image(encoded(Image.new("L", (4001, 4000)), kind))


def test_only_the_first_frame_is_shown():
    frames = [drawing(), Image.new("L", (96, 80), 255)]
    for kind in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert difference(open_image(data), drawing()) < 3


@LOOSE
@given(st.binary(max_size=400))
def test_any_bytes_are_an_image_or_an_image_error(data):
    assert is_image_or_sentence(data)


@LOOSE
@given(st.sampled_from(sorted(images.SIGNATURES)), st.binary(max_size=400))
def test_any_bytes_behind_a_signature_are_an_image_or_an_image_error(kind, data):
    head = images.SIGNATURES[kind][0] + (b"\x00\x00\x00\x00WEBP" if kind == "WEBP" else b"")
    assert is_image_or_sentence(head + data)


@LOOSE
@given(arrays.arrays(np.uint8, st.tuples(st.integers(8, 40), st.integers(8, 40), st.sampled_from([1, 2, 3, 4]))))
def test_any_pixels_give_ink_in_range_or_an_image_error(pixels):
    source = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    try:
        ink = load_ink(source)
    except ImageError:
        return
    assert ink.shape == (1, 105, 105)
    assert ink.isfinite().all()
    assert ink.min() >= 0
    assert ink.max() <= 1


@LOOSE
@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(8, 30), st.integers(8, 30))),
    st.sampled_from(["PNG", "BMP", "GIF", "WEBP"]),
)
def test_lossless_formats_give_what_pillow_was_given(pixels, kind):
    source = Image.fromarray(pixels)
    options = {"lossless": True} if kind == "WEBP" else {}
    try:
        expected = open_image(source)
    except ImageError:
        with pytest.raises(ImageError):
            open_image(encoded(source, kind, **options))
        return
    assert difference(open_image(encoded(source, kind, **options)), expected) == 0


@settings(LOOSE, max_examples=30)
@given(st.integers(0, 2**32))
def test_mutated_files_are_an_image_or_an_image_error(seed):
    for _, data in mutations(seed, 5):
        assert is_image_or_sentence(data)


def test_clean_1_bit_drawings_are_prepared_exactly_as_in_training():
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        picture = Image.new("1", (105, 105), 1)
        points = torch.randint(10, 95, (6,), generator=generator).tolist()
        ImageDraw.Draw(picture).line(list(zip(points[::2], points[1::2], strict=True)), fill=0, width=3)
        ink = torch.from_numpy(~np.asarray(picture)).float()
        for preprocessing in (Preprocessing(), Preprocessing(extent_px=95, keep_aspect=False)):
            loaded = load_ink(encoded(picture, "PNG"), preprocessing)
            assert torch.equal(loaded, prepare_ink(ink, preprocessing))

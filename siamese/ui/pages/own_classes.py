"""The tab "Your own classes": one picture of each class, then any number of queries, and no training in between."""

import base64
import io
import json
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath

import gradio as gr

from siamese.characters.recognizer import Recognizer
from siamese.imaging.decode import WEB_FORMATS, ImageError, open_image
from siamese.preprocessing import prepare_ink
from siamese.ui.assets import script
from siamese.ui.pictures import drawing_url, ink_url, kept_url
from siamese.ui.trials import omniglot_trial
from siamese.ui.validation import UserError, decoded, for_page, ink_of, name, picture

LEAST_CLASSES, MOST_CLASSES = 2, 50
MAX_KEPT_BYTES = 400_000  # of one kept picture; 320 x 320 grey pixels are 102,400 bytes before compression
MAX_ARCHIVE_BYTES = 8 << 20
MAX_ENTRY_BYTES = 4 << 20
MAX_UNPACKED_BYTES = 32 << 20
MAX_ENTRIES = 2 * MOST_CLASSES
MANIFEST = "classes.json"
MAX_MANIFEST_BYTES = 64 << 10
FORMAT = "one-look-classes/1"
EXAMPLE_SEED = 12
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"}

MARKUP = """
<section class="panel own" aria-labelledby="own-title">
  <header class="lead"><h2 id="own-title">Your own classes, after one look each</h2>
  <p>Parts, marks, stamps, glyphs: one picture for each class, 2 to 50 of them, then any number of queries. A class is
  added or removed without any training, which is the point of one-shot learning.</p></header>
  <div class="two">
    <div><div data-new></div>
      <div class="row"><label class="name-field">Name
      <input type="text" data-name maxlength="60" placeholder="for example: rivet"></label>
      <button type="button" class="button" data-add disabled>Add this class</button></div></div>
    <div data-query></div>
  </div>
  <div class="say-row"><p class="say" data-say role="status" aria-live="polite"></p></div>
  <div class="answer" data-answer hidden>
    <div class="verdict-row" aria-live="polite">
    <p class="verdict" data-verdict></p><p class="score" data-score></p></div>
    <ol class="ranking" data-ranking></ol>
    <p class="reliability" data-note></p>
  </div>
  <div class="row shelf-head"><h3 data-count></h3>
    <button type="button" class="tool" data-export disabled>Export as ZIP</button>
    <label class="tool"><input type="file" accept=".zip,application/zip" class="visually-hidden" data-import
    aria-label="Import a ZIP of classes"><span>Import a ZIP</span></label>
    <button type="button" class="tool" data-example>Load an example set</button>
    <button type="button" class="tool" data-empty disabled>Remove all</button></div>
  <div class="shelf" data-shelf role="list" aria-label="Your classes"></div>
  <p class="detail">The set stays in this page: it is gone when you leave, unless you export it.</p>
</section>
"""


@dataclass(frozen=True)
class OwnClass:
    """One class as it travels: a name and the bytes of its picture."""

    name: str
    picture: bytes


def pack(classes: list[OwnClass]) -> bytes:
    """A ZIP with one PNG for each class and a manifest that names them, the same bytes for the same classes."""
    file = io.BytesIO()
    entries = [(f"{number:03}.png", one) for number, one in enumerate(classes, 1)]
    manifest = {"format": FORMAT, "classes": [{"name": one.name, "file": entry} for entry, one in entries]}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(MANIFEST), json.dumps(manifest, ensure_ascii=False, indent=1))
        for entry, one in entries:
            archive.writestr(zipfile.ZipInfo(entry), one.picture)
    return file.getvalue()


def unpack(data: bytes) -> list[OwnClass]:
    """The classes of a ZIP that `pack` made, or of one with a picture for each class, named by its file.

    Nothing is written anywhere. Counts, sizes and names are checked before anything is read, and what is read is
    bounded again, since a header may lie. Raises UserError.
    """
    if len(data) > MAX_ARCHIVE_BYTES:
        raise UserError(f"The ZIP is larger than {MAX_ARCHIVE_BYTES >> 20} MB.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _unpack(archive)
    except UserError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        NotImplementedError,
        RuntimeError,
        OSError,
        EOFError,
    ) as error:
        raise UserError("The file is not a ZIP, or a damaged one.") from error
    except (ValueError, TypeError, LookupError, RecursionError) as error:  # of malformed names and lists
        raise UserError("The ZIP holds something that this app does not understand.") from error


def _unpack(archive: zipfile.ZipFile) -> list[OwnClass]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir() and "__MACOSX" not in entry.filename]
    if len(entries) > MAX_ENTRIES or len(archive.infolist()) > 2 * MAX_ENTRIES:
        raise UserError(f"The ZIP holds {len(entries)} files; a set has at most {MOST_CLASSES} classes.")
    for entry in entries:
        _check(entry)
    _check_sum(entries)
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names):
        raise UserError("The ZIP holds a file twice.")
    by_name = dict(zip(names, entries, strict=True))
    if MANIFEST in by_name:
        manifest = json.loads(_read(archive, by_name[MANIFEST], MAX_MANIFEST_BYTES))
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise UserError(f"The ZIP's {MANIFEST} is of a kind that this app does not know.")
        wanted = [(name(one["name"], "A class's name"), by_name[one["file"]]) for one in _listed(manifest)]
    else:
        pictures = [entry for entry in entries if PurePosixPath(entry.filename).suffix.lower() in IMAGE_SUFFIXES]
        wanted = [(name(PurePosixPath(entry.filename).stem, "A class's name"), entry) for entry in pictures]
    if not 1 <= len(wanted) <= MOST_CLASSES:
        raise UserError(f"The ZIP holds {len(wanted)} classes; a set has 1 to {MOST_CLASSES}.")
    _check_sum([entry for _, entry in wanted])  # a manifest may name one entry many times
    return [OwnClass(label, _read(archive, entry, MAX_ENTRY_BYTES)) for label, entry in wanted]


def _listed(manifest: dict) -> list[dict]:
    listed = manifest.get("classes")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise UserError(f"The ZIP's {MANIFEST} lists no classes.")
    return listed


def _check(entry: zipfile.ZipInfo) -> None:
    path = entry.filename
    if path.startswith("/") or "\\" in path or ":" in path or ".." in PurePosixPath(path).parts or "\x00" in path:
        raise UserError("The ZIP holds a file whose path leads out of it.")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise UserError("The ZIP holds a link or a device; only plain files are taken.")
    if entry.flag_bits & 0x1:
        raise UserError("The ZIP is locked with a password.")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError("The ZIP is compressed in a way that this app does not read; use an ordinary ZIP.")
    if entry.file_size > MAX_ENTRY_BYTES:
        raise UserError(f"The ZIP holds a file of more than {MAX_ENTRY_BYTES >> 20} MB.")


def _check_sum(entries: list[zipfile.ZipInfo]) -> None:
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise UserError(f"The ZIP unpacks to more than {MAX_UNPACKED_BYTES >> 20} MB.")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit_bytes: int) -> bytes:
    with archive.open(entry) as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise UserError("The ZIP holds a file that is larger than it says.")
    return data


def ranking(recognizer: Recognizer, support: list, query: object) -> dict:
    """Similarities of the query with one picture of each class, whether it is none of them, remarks on the query."""
    similarities = recognizer.classify(support, query)
    best = max(range(len(similarities)), key=similarities.__getitem__)
    return {
        "similarities": similarities,
        "best": best,
        "none_of_these": similarities[best] < recognizer.threshold,
        "threshold": recognizer.threshold,
        "remarks": [remark.as_dict() for remark in recognizer.read(query).remarks],
    }


def build(recognizer: Recognizer) -> None:
    """Put the tab's contents into the open Gradio context."""

    def class_of(one: object, number: int) -> OwnClass:
        if not isinstance(one, dict):
            raise UserError("The page sent something that this app does not understand.")
        label = name(one.get("name"), f"The name of class {number}")
        return OwnClass(label, decoded(one.get("picture"), label, MAX_KEPT_BYTES))

    def classes_of(listed: object, least: int) -> list[OwnClass]:
        if not isinstance(listed, list) or not least <= len(listed) <= MOST_CLASSES:
            raise UserError(f"A set has {least} to {MOST_CLASSES} classes.")
        return [class_of(one, number) for number, one in enumerate(listed, 1)]

    @for_page
    def own_add(asked: dict) -> dict:
        ink = ink_of(open_image(decoded(asked.get("picture"), "The picture")), "The picture")
        return {"picture": kept_url(ink), "sees": ink_url(prepare_ink(ink, recognizer.preprocessing)[0])}

    @for_page
    def own_rank(asked: dict) -> dict:
        classes = classes_of(asked.get("classes"), LEAST_CLASSES)
        query = picture(asked.get("query"), "The query")
        ink_of(query, "The query")
        return ranking(recognizer, [one.picture for one in classes], query)

    @for_page
    def own_export(asked: dict) -> dict:
        classes = classes_of(asked.get("classes"), 1)
        for one in classes:
            open_image(one.picture)  # what is no picture leaves no trace in a set that somebody else will open
        return {"zip": "data:application/zip;base64," + base64.b64encode(pack(classes)).decode()}

    @for_page
    def own_import(asked: dict) -> dict:
        brought = unpack(decoded(asked.get("zip"), "The ZIP", MAX_ARCHIVE_BYTES))
        classes = []
        for one in brought:
            try:
                ink = ink_of(open_image(one.picture, WEB_FORMATS), one.name)
            except ImageError as error:
                raise UserError(f"{one.name}: {error}") from error
            classes.append({"name": one.name, "picture": kept_url(ink)})
        return {"classes": classes}

    @for_page
    def own_example(_asked: dict) -> dict:
        trial = omniglot_trial(8, EXAMPLE_SEED)
        names = ("Alder", "Birch", "Cedar", "Elm", "Fir", "Hazel", "Larch", "Oak")
        classes = [
            {"name": label, "picture": drawing_url(ink)} for label, ink in zip(names, trial.candidates, strict=True)
        ]
        return {"classes": classes, "query": drawing_url(trial.query)}

    gr.HTML(
        MARKUP,
        js_on_load=script("upload.js", "own_classes.js"),
        apply_default_css=False,
        server_functions=[own_add, own_rank, own_export, own_import, own_example],
        elem_classes="tab",
    )

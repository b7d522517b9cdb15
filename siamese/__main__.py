"""The command line of the library: python -m siamese compare | verify | classify."""

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from siamese.characters.recognizer import Recognizer
    from siamese.signatures.verifier import Verifier

MAX_SUPPORT = 10_000  # images in a support folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit status: 0, or 1 after one sentence on stderr.

    Raises:
        SystemExit: The arguments are wrong; with status 2.
    """
    asked = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console in cp1252 cannot print every file name
            stream.reconfigure(errors="backslashreplace")
    try:
        paths = [Path(path) for path in asked.images]
        if asked.command == "classify":
            paths = [*support_files(Path(asked.support)), *paths]
        for path in paths:  # report unusable images by name before the network is loaded
            opened(path)
        answer, sentences = COMMANDS[asked.command](asked, paths)
    except (ValueError, OSError) as error:  # ImageError, CheckpointError, HubError and their like
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(answer, indent=2) if asked.json else "\n".join(sentences))
    return 0


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the three commands."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--model", help="a folder, or user/name@revision on the Hub (default: the bundled weights for the task)"
    )
    options.add_argument("--device", help="cpu, cuda or mps (default: cuda if available)")
    options.add_argument("--json", action="store_true", help="print JSON instead of sentences")
    top = argparse.ArgumentParser(prog="python -m siamese", description="Recognise what was seen once.")
    commands = top.add_subparsers(dest="command", required=True)
    compare = commands.add_parser("compare", parents=[options], help="how alike are two images?")
    compare.add_argument("images", nargs=2, metavar="IMAGE")
    verify = commands.add_parser("verify", parents=[options], help="is the last signature by the writer of the others?")
    verify.add_argument("first", metavar="REFERENCE")
    verify.add_argument("images", nargs="+", metavar="REFERENCE ... QUESTIONED", action=AppendToFirst)
    verify.add_argument(
        "--operating-point",
        choices=("strict", "balanced", "lenient"),
        help="strict lets hardly any forgery pass, lenient refuses hardly any genuine signature (default: balanced)",
    )
    classify = commands.add_parser("classify", parents=[options], help="which image of a folder is like the query?")
    classify.add_argument("support", metavar="SUPPORT_DIR")
    classify.add_argument("images", nargs=1, metavar="QUERY")
    return top


class AppendToFirst(argparse.Action):
    """Joins `first` and the other images, so that argparse itself requires at least two."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[str] | None,
        _option: str | None = None,
    ) -> None:
        namespace.images = [namespace.first, *(values or ())]


def opened(path: Path) -> "Image.Image":
    """Opens an image; raises ImageError with a message that names the file."""
    from siamese.imaging.decode import ImageError, open_image

    try:
        return open_image(path)
    except ImageError as error:
        raise ImageError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def support_files(folder: Path) -> list[Path]:
    """Lists the files of a support folder in the order of their names.

    Raises:
        ValueError: The folder does not exist, is empty or has more than MAX_SUPPORT files.
    """
    from siamese.data.safe_zip import is_stray

    if not folder.is_dir():
        raise ValueError(f"There is no folder of support images at {str(folder)!r}.")
    files = sorted(path for path in folder.iterdir() if path.is_file() and not is_stray(path.name))
    if not files:
        raise ValueError(f"The folder {str(folder)!r} has no images.")
    if len(files) > MAX_SUPPORT:
        raise ValueError(f"The folder {str(folder)!r} holds {len(files)} files; at most {MAX_SUPPORT} are compared.")
    return files


def loaded(asked: argparse.Namespace) -> "Recognizer":
    """Loads the recogniser that the options name; prints the note on its weights to stderr."""
    from siamese.characters.recognizer import load_recognizer  # imported here so that usage errors need no torch

    recognizer = load_recognizer(asked.model, asked.device)
    print_note(recognizer.origin.note if recognizer.origin else None)
    return recognizer


def print_note(note: str | None) -> None:
    """Prints a note to stderr, if there is one."""
    if note:
        print(note, file=sys.stderr)


def compare(asked: argparse.Namespace, paths: list[Path]) -> tuple[dict, list[str]]:
    """Compares two images; returns the answer as JSON values and as sentences."""
    recognizer = loaded(asked)
    found = recognizer.compare(*paths)
    answer = {
        "model": name_of(recognizer),
        "similarity": found.similarity,
        "threshold": found.threshold,
        "same": None if found.verdict == "unsure" else found.verdict == "same",
        "verdict": found.verdict,
        "reliability": found.reliability,
        "remarks": [remark.as_dict() for remark in found.remarks],
    }
    verdict = "the same" if found.verdict == "same" else found.verdict
    return answer, [
        f"Similarity {found.similarity:.3f}, threshold {found.threshold:.3f}: {verdict}.",
        *odds(found.reliability),
        *(remark.text for remark in found.remarks),
    ]


def verify(asked: argparse.Namespace, paths: list[Path]) -> tuple[dict, list[str]]:
    """Verifies the last signature against the others; returns the answer as JSON values and as sentences."""
    from siamese.signatures.verifier import load_verifier

    verifier = load_verifier(asked.model, asked.device)
    print_note(verifier.note)
    point = verifier.point_named(asked.operating_point)
    found = verifier.verify(paths[:-1], paths[-1], point)
    measured = verifier.error_rates(len(paths) - 1)
    reliability = found.reliability if measured else None  # else it is that of pairs of characters
    answer = {
        "model": name_of(verifier),
        "score": found.score,
        "threshold": found.threshold,
        "operating_point": point,
        "verdict": found.verdict,
        "reliability": reliability,
        "similarities": {str(path): one for path, one in zip(paths[:-1], found.similarities, strict=True)},
        "operating_points": measured.as_dict() if measured else {},
        "remarks": [remark.as_dict() for remark in found.remarks],
    }
    at = f" ({point})" if point else ""
    return answer, [
        f"Score {found.score:.3f}, threshold {found.threshold:.3f}{at}: {found.verdict}.",
        *errors(verifier, len(paths) - 1, point),
        *odds(reliability),
        *(remark.text for remark in found.remarks),
    ]


def classify(asked: argparse.Namespace, paths: list[Path]) -> tuple[dict, list[str]]:
    """Ranks the support images for the last image; returns the answer as JSON values and as sentences."""
    recognizer = loaded(asked)
    similarities = recognizer.classify(paths[:-1], paths[-1])
    remarks = recognizer.read(paths[-1]).remarks
    ranked = sorted(zip(similarities, paths[:-1], strict=True), key=lambda entry: -entry[0])
    answer = {
        "model": name_of(recognizer),
        "answer": None if any(remark.is_doubt for remark in remarks) else ranked[0][1].name,
        "similarities": {path.name: similarity for similarity, path in ranked},
        "remarks": [remark.as_dict() for remark in remarks],
    }
    ranking = [f"{similarity:.3f}  {path.name}" for similarity, path in ranked]
    return answer, [*ranking, *(remark.text for remark in remarks)]


def errors(verifier: "Verifier", references: int, point: str | None) -> list[str]:
    measured = verifier.error_rates(references)
    if measured is None or point is None:
        return ["The error rates of this network on signatures have not been measured."]
    rates, elsewhere = measured.points[point], measured.elsewhere.get(point)
    said = [f"There {rates.far:.1%} of skilled forgeries pass and {rates.frr:.1%} of genuine signatures are refused."]
    if elsewhere:
        far, frr = (f"{low:.1%} to {high:.1%}" for low, high in (elsewhere.far, elsewhere.frr))
        said.append(
            f"That is for new writers of collections it knows; on collections it had never seen, {far} of skilled "
            f"forgeries pass and {frr} of genuine signatures are refused."
        )
    return said


def odds(reliability: float | None) -> list[str]:
    if reliability is None:
        return []
    share = "more than 99%" if reliability > 0.99 else f"{reliability:.0%}"
    return [f"If half of all pairs are the same, {share} of scores like this one are on the right side."]


def name_of(model: "Recognizer | Verifier") -> dict | None:
    origin = model.origin
    return None if origin is None else {"name": origin.name, "revision": origin.revision}


COMMANDS = {"compare": compare, "verify": verify, "classify": classify}

if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more
        status = 1
    sys.exit(status)

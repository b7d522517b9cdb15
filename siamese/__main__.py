"""The recogniser from a shell: python -m siamese compare | verify | classify."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from siamese.recognizer import Recognizer

MAX_SUPPORT = 10_000  # images in a support folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0, or 1 after one sentence on stderr (2 for a command line that cannot be understood)."""
    asked = parser().parse_args(arguments)
    from siamese.recognizer import load_recognizer  # torch only after the command line is known to be right

    try:
        paths = [Path(path) for path in asked.images]
        if asked.command == "classify":
            paths = [*support_files(Path(asked.support)), *paths]
        images = [opened(path) for path in paths]
        recognizer = load_recognizer(asked.model, asked.device)
        if recognizer.origin is not None and recognizer.origin.note:
            print(recognizer.origin.note, file=sys.stderr)
        answer, sentences = COMMANDS[asked.command](recognizer, paths, images)
    except (ValueError, OSError) as error:  # ImageError, CheckpointError, HubError and their like
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(answer, indent=2) if asked.json else "\n".join(sentences))
    return 0


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--model", help="a folder, or user/name@revision on the Hub (default: the bundled weights)")
    options.add_argument("--device", help="cpu, cuda, ... (default: CUDA where it is present)")
    options.add_argument("--json", action="store_true", help="print JSON instead of sentences")
    top = argparse.ArgumentParser(prog="python -m siamese", description="Recognise what was seen once.")
    commands = top.add_subparsers(dest="command", required=True)
    compare = commands.add_parser("compare", parents=[options], help="how alike are two images?")
    compare.add_argument("images", nargs=2, metavar="IMAGE")
    verify = commands.add_parser("verify", parents=[options], help="is the last image by the hand of the others?")
    verify.add_argument("first", metavar="REFERENCE")
    verify.add_argument("images", nargs="+", metavar="REFERENCE ... QUESTIONED", action=BehindFirst)
    classify = commands.add_parser("classify", parents=[options], help="which image of a folder is the query like?")
    classify.add_argument("support", metavar="SUPPORT_DIR")
    classify.add_argument("images", nargs=1, metavar="QUERY")
    return top


class BehindFirst(argparse.Action):
    """Gathers `first` and the rest, so that argparse itself asks for at least two."""

    def __call__(
        self, _parser: object, namespace: argparse.Namespace, values: list[str], _option: object = None
    ) -> None:
        namespace.images = [namespace.first, *values]


def opened(path: Path) -> "Image.Image":
    """The image at `path`; raises ImageError with the path in front, as there are several."""
    from siamese.images import ImageError, open_image

    try:
        return open_image(path)
    except ImageError as error:
        raise ImageError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def support_files(folder: Path) -> list[Path]:
    """The files of a support folder in the order of their names; raises ValueError where there are none."""
    if not folder.is_dir():
        raise ValueError(f"There is no folder of support images at {str(folder)!r}.")
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not files:
        raise ValueError(f"The folder {str(folder)!r} holds no image.")
    if len(files) > MAX_SUPPORT:
        raise ValueError(f"The folder {str(folder)!r} holds {len(files)} files; at most {MAX_SUPPORT} are compared.")
    return files


def compare(recognizer: "Recognizer", paths: list[Path], images: list["Image.Image"]) -> tuple[dict, list[str]]:
    similarity = recognizer.similarity(*images)
    reliability = recognizer.reliability(similarity)
    same = similarity >= recognizer.threshold
    answer = {
        "model": name_of(recognizer),
        "similarity": similarity,
        "threshold": recognizer.threshold,
        "same": same,
        "reliability": reliability,
    }
    verdict = "the same" if same else "different"
    return answer, [
        f"Similarity {similarity:.3f}, threshold {recognizer.threshold:.3f}: {verdict}.",
        *odds(reliability),
    ]


def verify(recognizer: "Recognizer", paths: list[Path], images: list["Image.Image"]) -> tuple[dict, list[str]]:
    found = recognizer.verify(images[:-1], images[-1])
    answer = {
        "model": name_of(recognizer),
        "score": found.score,
        "threshold": found.threshold,
        "verdict": found.verdict,
        "reliability": found.reliability,
        "similarities": {str(path): one for path, one in zip(paths[:-1], found.similarities, strict=True)},
    }
    return answer, [
        f"Score {found.score:.3f}, threshold {found.threshold:.3f}: {found.verdict}.",
        *odds(found.reliability),
    ]


def classify(recognizer: "Recognizer", paths: list[Path], images: list["Image.Image"]) -> tuple[dict, list[str]]:
    similarities = recognizer.classify(images[:-1], images[-1])
    ranked = sorted(zip(similarities, paths[:-1], strict=True), key=lambda entry: -entry[0])
    answer = {
        "model": name_of(recognizer),
        "answer": ranked[0][1].name,
        "similarities": {path.name: similarity for similarity, path in ranked},
    }
    return answer, [f"{similarity:.3f}  {path.name}" for similarity, path in ranked]


def odds(reliability: float | None) -> list[str]:
    if reliability is None:
        return []
    return [f"Of scores like this one {reliability:.0%} are on the right side, where half of all pairs are the same."]


def name_of(recognizer: "Recognizer") -> dict | None:
    origin = recognizer.origin
    return None if origin is None else {"name": origin.name, "revision": origin.revision}


COMMANDS = {"compare": compare, "verify": verify, "classify": classify}

if __name__ == "__main__":
    sys.exit(main())

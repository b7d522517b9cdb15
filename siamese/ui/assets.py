"""The style sheets and the JavaScript modules of the page.

The files under static/ are ES modules, which the unit tests import as they stand. A page that loaded them one by one
would send some twenty requests more, and Gradio's own page sends forty already. So they travel as one script, each
module in a function of its own. `bundle` understands the forms that these modules use: named imports from a relative
path, and `export` before a const, a function or a class.
"""

import re
from pathlib import Path

STATIC = Path(__file__).parent / "static"

IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.[^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^ *export (?=(?:const|class|function|async function) (\w+))", re.MULTILINE)
OTHER_FORMS = re.compile(r"^\s*(?:import|export)\b.*", re.MULTILINE)


def script(*files: str) -> str:
    """Reads files of the folder static/ and joins them.

    Args:
        files: Names of .js or .css files.

    Returns:
        Their text, one behind the other.
    """
    return "\n".join((STATIC / file).read_text(encoding="utf-8") for file in files)


def bundle(entry: str, folder: Path = STATIC) -> str:
    """Joins a module and all that it imports to one script.

    Args:
        entry: Path of the module, relative to `folder`.
        folder: Where the modules lie.

    Returns:
        A script that runs every module once, imported ones first.

    Raises:
        ValueError: Modules import each other in a circle, or one uses a form that is not supported.
    """
    names: dict[Path, str] = {}
    pieces: list[str] = []

    def add(path: Path, importers: tuple[Path, ...]) -> str:
        if path in importers:
            raise ValueError(f"{path.name} imports itself, by way of {importers[-1].name}.")
        if path in names:
            return names[path]
        text = path.read_text(encoding="utf-8")

        def imported(found: re.Match) -> str:
            module = add((path.parent / found[2]).resolve(), (*importers, path))
            return f"const {{{found[1].replace(' as ', ': ')}}} = {module};\n"

        exports = [found[1] for found in EXPORT.finditer(text)]
        body = EXPORT.sub("", IMPORT.sub(imported, text))
        if (other := OTHER_FORMS.search(body)) is not None:
            raise ValueError(f"{path.name} has a form that is not supported: {other[0].strip()}")
        names[path] = f"module{len(names)}"
        pieces.append(f"const {names[path]} = (() => {{\n{body}return {{ {', '.join(exports)} }};\n}})();\n")
        return names[path]

    add((folder / entry).resolve(), ())
    return f'(() => {{\n"use strict";\n{"".join(pieces)}}})();\n'

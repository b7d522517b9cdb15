"""`pip install .` carries everything that the code opens: weights, styles, scripts, tables, recipes."""

import tomllib
from pathlib import Path

import siamese

ROOT = Path(siamese.__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
PACKAGES = ("siamese", "train")


def files(suffixes: tuple[str, ...] = ()) -> set[Path]:
    """Files of the packages, by suffix where suffixes are given."""
    found = {path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}
    return {path for path in found if path.suffix in suffixes} if suffixes else found


def test_every_folder_with_code_is_a_package():
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in files((".py",))}
    assert folders == set(SETTINGS["packages"])


def test_every_file_that_is_no_code_is_carried():
    carried = set()
    for package, patterns in SETTINGS["package-data"].items():
        for pattern in patterns:
            carried |= set((ROOT / package.replace(".", "/")).glob(pattern))
    needed = files((".json", ".toml", ".css", ".js", ".safetensors", ".png", ".svg", ".html"))
    assert {str(path.relative_to(ROOT)) for path in needed - carried} == set()


def test_requirements_are_those_of_the_library_the_app_and_training():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)}
    assert set((ROOT / "requirements.txt").read_text(encoding="utf-8").split()) == named

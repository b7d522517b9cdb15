"""The shape of the project: what lies at the top, and which way imports point."""

import ast
import functools
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FIXED = {"app.py", "requirements.txt", "README.md", "siamese", "train", "tests", "LICENSE", "pyproject.toml"}
NETWORKED = {"huggingface_hub", "requests", "httpx", "aiohttp", "urllib"}
MAY_TOUCH_THE_NETWORK = {
    "siamese.hub.card",
    "siamese.hub.character_card",
    "siamese.hub.model",
    "siamese.hub.download",
    "siamese.hub.errors",
    "siamese.hub.push",
    "siamese.hub.resolve",
    "siamese.hub.settings",
    "siamese.hub.signature_card",
    "siamese.characters.omniglot",
    "siamese.data.cache",
    "train.publish",
}


def tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [Path(name) for name in listed.split("\0") if name]


@functools.cache
def sources() -> dict[str, Path]:
    """Modules by their dotted names."""
    paths = [ROOT / "app.py", *(ROOT / "siamese").rglob("*.py"), *(ROOT / "train").rglob("*.py")]
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


@functools.cache
def imports(path: Path) -> set[str]:
    """Dotted names of everything a file imports, at whatever depth; imports for annotations alone left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; the arrows are read from absolute names"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


LAYERS = (  # from the bottom up: a module imports from its own line, or from one above it in this list
    ("siamese.network",),
    ("siamese.metrics",),
    ("siamese.imaging.skeleton",),
    ("siamese.preprocessing",),
    ("siamese.imaging",),
    ("siamese.data",),
    ("siamese.inference",),
    ("siamese.hub",),
    ("siamese.characters", "siamese.signatures"),
    ("siamese.__main__", "siamese.ui"),
    ("train", "app"),
)


def place(module: str) -> tuple[int, str]:
    """The line of LAYERS that a module stands in, and the most specific name there; (-1, "") for a package's top."""
    found = [(len(name), number, name) for number, names in enumerate(LAYERS) for name in names if within(module, name)]
    return max(found)[1:] if found else (-1, "")


@functools.cache
def arrows() -> dict[str, set[str]]:
    """For each module the modules of ours that it imports, at whatever depth; a package stands for its __init__."""
    known = sources()
    return {
        module: {name for name in imports(path) if name in known and name != module} for module, path in known.items()
    }


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One way from a module back to itself, or an empty list."""
    done: set[str] = set()

    def search(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module not in done:
            for other in sorted(graph.get(module, ())):
                if found := search(other, [*way, module]):
                    return found
            done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := search(module, []))), [])


def wrong_arrows(graph: dict[str, set[str]]) -> list[str]:
    """Imports that point up, or across between two names of one line of LAYERS."""
    wrong = []
    for module, others in graph.items():
        line, name = place(module)
        for other in others:
            other_line, other_name = place(other)
            if line >= 0 and (other_line > line or (other_line == line and other_name != name)):
                wrong.append(f"{module} -> {other}")
    return sorted(wrong)


def test_imports_make_no_circle():
    assert circle(arrows()) == []


def test_imports_point_down():
    assert wrong_arrows(arrows()) == []


def test_training_on_signatures_and_on_characters_know_nothing_of_each_other():
    rooms = {"train.characters": "train.signatures", "train.signatures": "train.characters"}
    graph = arrows()
    for room, other in rooms.items():
        imported = set().union(*(found for module, found in graph.items() if within(module, room)))
        assert imported
        assert not {module for module in imported if within(module, other)}


def test_a_circle_and_a_wrong_arrow_would_be_seen():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c", "a"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert wrong_arrows({"siamese.imaging.ink": {"siamese.hub.card", "siamese.network"}}) == [
        "siamese.imaging.ink -> siamese.hub.card"
    ]
    assert wrong_arrows({"siamese.characters.recognizer": {"siamese.signatures.dataset"}}) != []
    assert wrong_arrows({"siamese.preprocessing": {"siamese.imaging.skeleton"}}) == []


@pytest.mark.parametrize("module", sorted(sources()))
def test_only_the_app_knows_gradio_and_nobody_the_tests(module):
    named = imports(sources()[module])

    def uses(package: str) -> bool:
        return any(within(name, package) for name in named)

    assert not uses("tests")
    if module != "app" and not within(module, "siamese.ui"):
        assert not uses("gradio")
        assert not uses("siamese.ui")


def test_the_arrows_are_seen():
    """The reader of imports finds what it must find, so that the test above can fail."""
    assert "siamese.network" in imports(ROOT / "train" / "loop.py")
    assert "torch" in imports(ROOT / "siamese" / "network.py")


@pytest.mark.parametrize("module", sorted(set(sources()) - MAY_TOUCH_THE_NETWORK))
def test_only_modules_that_load_or_publish_touch_the_network(module):
    if within(module, "siamese.ui") or module == "app":
        return  # the app serves; what it fetches, it fetches through the loaders
    found = {name.split(".")[0] for name in imports(sources()[module])} & NETWORKED
    assert not found - {"urllib"}
    assert not any(name.startswith("urllib.request") for name in imports(sources()[module]))


def test_the_top_level_is_fixed():
    top = {path.parts[0] for path in tracked()}
    assert {name for name in top if not name.startswith(".")} <= FIXED


def test_there_is_no_drawer_for_odds_and_ends():
    parts = {part for path in tracked() for part in path.parts}
    assert not parts & {"utils.py", "utils", "common", "scripts", "helpers.py", "misc.py"}


def test_no_file_names_a_place_on_somebody_s_machine():
    places = re.compile(rb"/(?:home|Users|root|work|mnt|opt)/[A-Za-z0-9_.-]+/?")
    found = {}
    for path in tracked():
        if path.suffix in {".py", ".toml", ".md", ".txt", ".js", ".css", ".json", ".jsonl", ".yml", ".yaml", ""}:
            content = (ROOT / path).read_bytes() if (ROOT / path).is_file() else b""
            names = {name.decode() for name in places.findall(content)}
            if names and path != Path("tests/test_layout.py"):
                found[str(path)] = sorted(names)
    assert not found


def test_every_package_is_installed_with_the_project():
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    there = {
        ".".join(p.relative_to(ROOT).parent.parts)
        for n in ("siamese", "train")
        for p in (ROOT / n).rglob("__init__.py")
    }
    assert set(listed) == there

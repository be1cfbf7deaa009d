"""The house's one direction: a room imports only rooms to its left.

The order stands in `docs/architecture.md`. Imports are read from the source, those inside functions,
under `TYPE_CHECKING` and by `import_module("…")` included, so that nothing slips past by being late.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ecoload

PACKAGE = Path(ecoload.__file__).parent
ORDER = "errors plan spec measure guard export engine verdict report run protocol cli".split()
SANDBOX = "sandbox"
MAY_IMPORT_SANDBOX = {"cli"}
FRONT = {"__init__", "__main__"}


def imports_of(source: str, module: str, is_package: bool = False) -> set[str]:
    """The absolute names that `module` (dotted) imports; `from a import b` gives `a` and `a.b`."""
    return set(_imports(ast.parse(source), module if is_package else module.rpartition(".")[0]))


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _is_dynamic(node.func) and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value


def _is_dynamic(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"import_module", "__import__"}


def rooms_of(names: set[str]) -> set[str]:
    """The rooms of the house among imported names."""
    return {name.split(".")[1] for name in names if name.startswith("ecoload.")} - {"__version__"}


def wrong(room: str, imported: set[str]) -> set[str]:
    """Those of the `imported` rooms that `room` may not look into."""
    others = imported - {room}
    if room == SANDBOX:
        return others
    allowed = {*ORDER[: ORDER.index(room)], *([SANDBOX] if room in MAY_IMPORT_SANDBOX else [])}
    return others - allowed


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "vendor" not in path.parts)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def dotted(path: Path) -> str:
    parts = ("ecoload", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_a_room_imports_only_rooms_to_its_left(path: Path) -> None:
    room = room_of(path)
    if room in FRONT:
        return
    assert room in ORDER or room == SANDBOX, f"{room} has no place in the order: give it one"
    names = imports_of(path.read_text(), dotted(path), is_package=path.name == "__init__.py")
    assert not wrong(room, rooms_of(names))


def test_the_front_door_loads_no_room_before_it_is_asked() -> None:
    code = "import sys, ecoload; print(*(name for name in sys.modules if name.startswith('ecoload.')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""


def test_the_order_is_the_documented_one() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    assert " ".join(ORDER) in page


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("import ecoload.engine.clock", {"engine"}),
        ("from ecoload import plan", {"plan"}),
        ("from ecoload.verdict import slo", {"verdict"}),
        ("def late():\n    from ecoload.report import html", {"report"}),
        ("if TYPE_CHECKING:\n    from ecoload.cli import main", {"cli"}),
        ("from ..report import terminal", {"report"}),
        ("from .. import verdict", {"verdict"}),
        ("from . import clock", {"engine"}),
        ("importlib.import_module('ecoload.export.k6')", {"export"}),
        ("import json, ecolog.engine", set()),
        ("name = 'ecoload.report'", set()),
        ("from ecoload import __version__", set()),
    ],
)
def test_every_way_to_import_is_seen(source: str, rooms: set[str]) -> None:
    assert rooms_of(imports_of(source, "ecoload.engine.http1")) == rooms


def test_relative_imports_of_a_package_start_at_itself() -> None:
    assert rooms_of(imports_of("from . import clock", "ecoload.engine", is_package=True)) == {"engine"}
    assert rooms_of(imports_of("from .. import plan", "ecoload.engine", is_package=True)) == {"plan"}


@pytest.mark.parametrize(
    ("room", "imported", "refused"),
    [
        ("engine", {"plan", "measure", "engine"}, set()),
        ("engine", {"verdict"}, {"verdict"}),
        ("plan", {"spec"}, {"spec"}),
        ("spec", {"plan", "errors"}, set()),
        ("cli", {"protocol", "sandbox"}, set()),
        ("run", {"sandbox"}, {"sandbox"}),
        ("sandbox", {"errors"}, {"errors"}),
        ("sandbox", {"sandbox"}, set()),
        ("engine", {"attic"}, {"attic"}),
    ],
)
def test_a_room_to_the_right_is_refused(room: str, imported: set[str], refused: set[str]) -> None:
    assert wrong(room, imported) == refused

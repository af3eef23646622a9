"""Imports point down and in no circle, rooms of a level do not import each other, files and functions are short."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, BENCHMARKS = ROOT / "src" / "bertinchamps", ROOT / "benchmarks"

LEVELS = {
    "errors": 0, "contract": 0, "registry": 0, "schemas": 0, "durable": 0, "launch": 0, "console": 0, "fingerprints": 0,
    "spans": 0, "pages": 0, "records": 0, "manifests": 0, "signals": 0, "textfiles": 0, "hub": 0, "durations": 0,
    "data": 1, "model": 1, "training": 1, "metrics": 1,
    "composing": 2, "objectives": 2, "tasks": 2, "reporting": 2,
    "spacy_components": 3, "serving": 3,
    "exporting": 4,
    "compressing": 5,
    "command_line": 6, "checks": 6,
    "prepare": 7, "pretrain": 7, "finetune": 7, "predict": 7, "suggest": 7, "study": 7, "tune": 7, "merge": 7,
    "compress": 7, "export": 7, "publish": 7, "serve": 7, "report": 7, "purge": 7, "demo_notes": 7, "api": 7,
    "demo": 8, "__main__": 8, "__init__": 8,
}  # fmt: skip


LONGEST_FILE, LONGEST_FUNCTION = 300, 40  # lines; of a function, those of its docstring apart
REASON = "Long because"  # begins the line of a docstring that says why its file or function is longer
# Imports for types alone that two classes need which are defined by each other: importer → imported.
FOR_TYPES = {
    "bertinchamps.training.hook": {"bertinchamps.training.trainer"}
}  # a trainer calls hooks with itself


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(file: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bertinchamps":
            parts = (node.module or "").split(".")[1:]
            rooms |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            rooms |= {a.name.split(".")[1] for a in node.names if a.name.startswith("bertinchamps.")}
    return rooms


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_point_down(file: Path) -> None:
    room = room_of(file)
    assert room in LEVELS, f"say which level {room} is on"
    for imported in imports_of(file) - {room}:
        # level 0 is one small family, and commands may build on each other (pretrain prepares first)
        free = LEVELS[room] == LEVELS[imported] and LEVELS[room] in (0, 7)
        assert LEVELS[imported] < LEVELS[room] or free, f"{room} imports {imported}"


def modules_under(folder: Path) -> dict[str, Path]:
    """The modules of a folder, by the names under which they are imported."""
    names = {file: file.relative_to(folder.parent).with_suffix("").parts for file in folder.rglob("*.py")}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): file for file, parts in names.items()}


def imported_by(file: Path, modules: dict[str, Path]) -> set[str]:
    """Those of the modules that a file names in an import, wherever in the file the import stands."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else str(node.module) for name in inside}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & modules.keys()


@pytest.mark.parametrize("folder", [PACKAGE, BENCHMARKS], ids=lambda folder: folder.name)
def test_no_imports_go_in_a_circle(folder: Path) -> None:
    """Of modules, within a room and between rooms; imports in a function or for types alone count like any other.

    Three things do not count: that a module of a package runs the package's `__init__.py` first, which a package that
    holds the registry of its modules lives with; that a registry imports the modules of its package by name; FOR_TYPES.
    """
    modules = modules_under(folder)
    graph = {
        name: imported_by(file, modules) - {name} - FOR_TYPES.get(name, set())
        for name, file in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" is imported by ".join(error.args[1]))


def _says_why(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any(line.startswith(REASON) for line in (ast.get_docstring(node) or "").splitlines())


def _lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    docstring = first if ast.get_docstring(function, clean=False) is not None else None
    own = 0 if docstring is None else int(docstring.end_lineno or 0) - docstring.lineno + 1
    return int(function.end_lineno or 0) - function.lineno + 1 - own


def too_long(file: Path) -> list[str]:
    """The file, if it is too long without a reason, and the functions in it that are."""
    text = file.read_text(encoding="utf-8")
    tree, lines = ast.parse(text), len(text.splitlines())
    found = [f"{lines} lines"] if lines > LONGEST_FILE and not _says_why(tree) else []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _says_why(node):
            lines = _lines_of(node)
            found += [f"{node.name}: {lines} lines"] if lines > LONGEST_FUNCTION else []
    return found


def test_files_and_functions_are_short_or_say_why_not() -> None:
    files = {
        str(file.relative_to(ROOT)): file for folder in (PACKAGE, BENCHMARKS) for file in folder.rglob("*.py")
    }
    assert {name: found for name, file in files.items() if (found := too_long(file))} == {}


def test_the_engine_does_not_know_hydra() -> None:
    for file in (PACKAGE / "training").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "import hydra" not in text
        assert "omegaconf" not in text


HELP = """
import contextlib, runpy, sys
from bertinchamps.schemas import COMMANDS
for command in (*COMMANDS, "demo"):
    sys.argv[1:] = ["--help"]
    with contextlib.suppress(SystemExit):
        runpy.run_module(f"bertinchamps.{command}", run_name="__main__", alter_sys=True)
    slow = {"torch", "transformers", "datasets"} & sys.modules.keys()
    assert not slow, f"{command} --help imports {slow}"
"""


def test_help_imports_nothing_that_takes_long() -> None:
    subprocess.run([sys.executable, "-c", HELP], check=True, capture_output=True)

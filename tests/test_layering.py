"""Imports point down only, and the rooms of a level do not import each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "bertinchamps"

LEVELS = {
    "errors": 0, "contract": 0, "registry": 0, "schemas": 0, "durable": 0, "launch": 0, "console": 0, "fingerprints": 0,
    "spans": 0, "pages": 0, "records": 0,
    "data": 1, "model": 1, "training": 1, "metrics": 1,
    "composing": 2, "objectives": 2, "tasks": 2, "reporting": 2,
    "command_line": 3, "checks": 3,
    "prepare": 4, "pretrain": 4, "finetune": 4, "predict": 4, "report": 4,
    "demo": 5, "__main__": 5, "__init__": 5,
}  # fmt: skip


def _file_of(room: str) -> Path:
    package = PACKAGE / room / "__init__.py"
    return package if package.exists() else PACKAGE / f"{room}.py"


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
        free = LEVELS[room] == LEVELS[imported] and LEVELS[room] in (0, 4)
        assert LEVELS[imported] < LEVELS[room] or free, f"{room} imports {imported}"


def test_the_engine_does_not_know_hydra() -> None:
    for file in (PACKAGE / "training").glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "import hydra" not in text
        assert "omegaconf" not in text


HELP = """
import contextlib, runpy, sys
for command in ("pretrain", "prepare", "finetune", "predict", "report", "demo"):
    sys.argv[1:] = ["--help"]
    with contextlib.suppress(SystemExit):
        runpy.run_module(f"bertinchamps.{command}", run_name="__main__", alter_sys=True)
    slow = {"torch", "transformers", "datasets"} & sys.modules.keys()
    assert not slow, f"{command} --help imports {slow}"
"""


def test_help_imports_nothing_that_takes_long() -> None:
    subprocess.run([sys.executable, "-c", HELP], check=True, capture_output=True)

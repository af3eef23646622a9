"""requirements.lock: the versions of constraints.txt, with hashes, of all that tests need but PyTorch."""

from __future__ import annotations

import platform
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support import ROOT

HERE = (*sys.version_info[:2], platform.system(), platform.machine())
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {"dependencies": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}


def pins(file: str) -> dict[str, str]:
    """Name → what stands behind its version, version included."""
    lines = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    given = (line for line in lines if line.strip() and not line.lstrip().startswith("#"))
    pairs = (line.split("==", 1) for line in given)
    return {canonicalize_name(name): pin for name, pin in pairs}


def needed(lines: Iterable[str], extra: str = "") -> set[tuple[str, str]]:
    """Names and extras that requirements ask for here."""
    found = set()
    for each in map(Requirement, lines):
        if each.marker is None or each.marker.evaluate({"extra": extra}):
            name = canonicalize_name(each.name)
            found |= {(name, own) for own in ("", *each.extras)}
    return found


def closure(leaf: str) -> set[str]:
    """All packages that the extra `dev` needs here, by their metadata; what `leaf` needs is not looked at."""
    seen: set[tuple[str, str]] = set()
    waiting = {("bertinchamps", ""), ("bertinchamps", "dev")}
    while waiting:
        name, extra = each = waiting.pop()
        seen.add(each)
        if name == "bertinchamps":
            asked = needed(OURS[extra or "dependencies"])
        else:
            asked = set() if name == leaf else needed(distribution(name).requires or (), extra)
        waiting |= asked - seen
    return {name for name, _ in seen} - {"bertinchamps", leaf}


def test_the_lock_has_the_versions_of_the_constraints_and_hashes() -> None:
    constraints, lock = pins("constraints.txt"), pins("requirements.lock")
    versions = {name: pin.split()[0] for name, pin in lock.items()}
    assert versions == {name: constraints[name].strip() for name in lock}
    assert [name for name, pin in lock.items() if not HASH.search(pin)] == []


def test_no_file_of_pytorch_is_locked() -> None:
    of_torch = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
    assert [name for name in pins("requirements.lock") if of_torch.fullmatch(name)] == []


@pytest.mark.skipif(HERE != (3, 11, "Linux", "x86_64"), reason="the lock is for Python 3.11 on Linux x86-64")
def test_the_lock_has_all_that_the_extra_dev_needs_and_nothing_else() -> None:
    assert set(pins("requirements.lock")) == closure("torch")

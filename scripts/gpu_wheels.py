"""For `gpu_pack.py`: the Python wheels that a machine without a network lacks, fetched or built, and made small."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OLDEST_GLIBC = 5  # 2.5, of which the first manylinux tag speaks
NAMED_GLIBC = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
LZMA_FROM = 1024  # bytes; a smaller file does not shrink by it
AT_ONCE = 4


class Problem(Exception):
    """What the user can mend."""


@dataclass(frozen=True)
class Target:
    """The other machine: CPython on Linux.

    Attributes:
        python: its version, such as "3.12".
        glibc: it has version 2.N of it.
        machine: "x86_64" or "aarch64".
        has: package → version, or None where it is not known.
    """

    python: str
    glibc: int
    machine: str
    has: Mapping[str, str | None]

    def platforms(self) -> list[str]:
        """Tags of wheels that run there, the newest first; pip takes each as it is, and implies no older one."""
        tags = []
        for minor in range(self.glibc, OLDEST_GLIBC - 1, -1):
            names = [f"manylinux_2_{minor}", *([NAMED_GLIBC[minor]] if minor in NAMED_GLIBC else [])]
            tags += [f"{name}_{self.machine}" for name in names]
        return tags

    def environment(self) -> dict[str, str]:
        """What markers of requirements are compared with."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }


@dataclass
class Closure:
    """What has to be packed.

    Attributes:
        names: packages, in canonical form.
        notes: what the machine has in another version than is asked for.
    """

    names: set[str] = field(default_factory=set)
    notes: set[str] = field(default_factory=set)


def closure(
    roots: Iterable[str], target: Target, requirements_of: Callable[[str], Collection[str]]
) -> Closure:
    """All that the roots need and the machine lacks; extras only where a requirement asks for them.

    Args:
        roots: requirements.
        target: the machine. What the packages that it has need themselves is there with them.
        requirements_of: the metadata of a package.
    """
    found, done = Closure(), set()
    waiting = [(Requirement(root), "the project") for root in roots]
    while waiting:
        requirement, asked_by = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in target.has:
            version = target.has[name]
            if version is not None and not requirement.specifier.contains(version, prereleases=True):
                found.notes.add(f"{asked_by} asks for {requirement}, and the machine has {version}")
            continue
        found.names.add(name)
        for extra in {"", *requirement.extras} - {of for package, of in done if package == name}:
            done.add((name, extra))
            needed = [Requirement(line) for line in requirements_of(name)]
            environment = {**target.environment(), "extra": extra}
            waiting += [
                (one, name) for one in needed if one.marker is None or one.marker.evaluate(environment)
            ]
    return found


def installed(name: str) -> list[str]:
    """The requirements of a package of this environment.

    Raises:
        Problem: it is not installed.
    """
    try:
        return requires(name) or []
    except PackageNotFoundError:
        raise Problem(
            f"{name} is needed there and not installed here, so what it needs itself is unknown"
        ) from None


def packages_in(file: Path) -> dict[str, str | None]:
    """Package → version, of a list of names or of `pip list --format=freeze`.

    Raises:
        Problem: a line is neither.
    """
    found: dict[str, str | None] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.partition("#")[0].strip()
        match = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\s*==\s*([^\s;]+)|\s*@.*)?", text)
        if match:
            found[canonicalize_name(match[1])] = match[2]
        elif text:
            raise Problem(f"{file}: line {number}: neither NAME nor NAME==VERSION")
    return found


def pack_wheels(
    folder: Path,
    roots: Iterable[str],
    pins: Mapping[str, str | None],
    target: Target,
    tell: Callable[[str], None],
) -> dict[str, str]:
    """Put a wheel of each package that the roots need and the machine lacks into a folder.

    Args:
        folder: exists.
        roots: requirements.
        pins: package → the version to take.
        target: the machine.
        tell: shown progress.

    Returns:
        Package → version.

    Raises:
        Problem: packages without a pin, or without a wheel for the machine; all of them.
    """
    found = closure(roots, target, installed)
    for note in sorted(found.notes):
        tell(f"note: {note}")
    chosen = {name: pins.get(name) for name in sorted(found.names)}
    versions = {name: version for name, version in chosen.items() if version is not None}
    if len(versions) < len(chosen):
        raise Problem(f"{', '.join(chosen.keys() - versions.keys())}: no version in constraints.txt")
    tell(f"wheels: {len(versions)} packages for Python {target.python}: {', '.join(versions)}")
    with ThreadPoolExecutor(AT_ONCE) as workers:
        wanted = [f"{name}=={version}" for name, version in versions.items()]
        problems = list(workers.map(lambda pin: fetch(pin, target, folder), wanted))
        if any(problems):
            raise Problem("\n".join(filter(None, problems)))
        largest_first = sorted(folder.glob("*.whl"), key=lambda wheel: -wheel.stat().st_size)
        list(workers.map(shrink, largest_first))
    return versions


def fetch(pin: str, target: Target, folder: Path) -> str | None:
    """Put the wheel of a `name==version` into a folder, built here if there is none and it is pure Python.

    Returns:
        What went wrong, or None.
    """
    pip = [sys.executable, "-m", "pip"]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-deps"]
    there = [f"--python-version={target.python}", "--implementation=cp", "--only-binary=:all:"]
    there += [f"--platform={platform}" for platform in target.platforms()]
    if _ran([*pip, "download", *quiet, *there, "--dest", str(folder), pin]) is None:
        return None
    with tempfile.TemporaryDirectory() as own:
        failure = _ran([*pip, "wheel", *quiet, "--wheel-dir", own, pin])
        if failure is not None:
            return f"{pin}: {failure}"
        (wheel,) = Path(own).glob("*.whl")
        if not wheel.name.endswith("-none-any.whl"):
            return f"{pin}: no wheel for Python {target.python} on {target.platforms()[0]}, and it is not pure Python"
        shutil.move(wheel, folder)
    return None


def _ran(command: list[str]) -> str | None:
    """Run a command; None if it did what it should, else the end of what it said."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    errors = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")]
    return None if ran.returncode == 0 else " ".join(errors[-2:]) or ran.stderr[-500:]


def shrink(wheel: Path) -> None:
    """Compress the files of a wheel again, with LZMA: pip opens it as before, and it takes about two thirds."""
    smaller = wheel.with_suffix(".smaller")
    with zipfile.ZipFile(wheel) as before, zipfile.ZipFile(smaller, "w") as after:
        for info in before.infolist():
            content = before.read(info)
            method = zipfile.ZIP_LZMA if len(content) >= LZMA_FROM else zipfile.ZIP_DEFLATED
            after.writestr(info, content, compress_type=method)
    smaller.replace(wheel)

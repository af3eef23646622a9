#!/usr/bin/env python3
"""Builds what a GPU machine without a network needs besides the checkout: Python wheels that it lacks, and data.

    python scripts/gpu_pack.py --out PACK --quaero QUAERO.zip -- data=files 'data.files=[notes/*.jsonl.zst]'
    python scripts/gpu_pack.py --out PACK --corpus EXPORT      a corpus that `prepare export=EXPORT` wrote
    python scripts/gpu_pack.py --out PACK                      the wheels alone

PACK/wheels/   *.whl, manifest.json
PACK/data/     corpus/ QUAERO_FrenchMed_brat.zip labelled/ manifest.json

Needs the project's environment (`make`) and pip's index; the other machine needs neither. What it has is a list of
packages: scripts/gpu_machine.txt, or --have with its `pip list --format=freeze`. docs/gpu.md has the whole call.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import gpu_wheels
from gpu_wheels import Problem, Target, packages_in
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
MACHINE = ROOT / "scripts" / "gpu_machine.txt"
TESTING = ("pytest", "pytest-timeout")
CLEANING = ("datasketch", "ftfy", "py3langid")  # imported by steps of `cleaning` only
QUAERO = "QUAERO_FrenchMed_brat.zip"  # where scripts/gpu_minutes.py looks for it
SHOWN = 8


def pack_wheels(folder: Path, arguments: argparse.Namespace) -> None:
    """Wheels of what the project needs and the machine lacks, with a manifest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    left_out = () if arguments.cleaning else CLEANING
    needed = [root for root in project["dependencies"] if Requirement(root).name not in left_out]
    target = Target(arguments.python, arguments.glibc, arguments.machine, packages_in(arguments.have))
    pins = packages_in(ROOT / "constraints.txt")
    versions = gpu_wheels.pack_wheels(folder, [*needed, *TESTING], pins, target, tell)
    about = {"python": target.python, "glibc": f"2.{target.glibc}", "machine": target.machine}
    write_manifest(folder, {**about, "left out": left_out, "packages": versions})


def pack_data(folder: Path, arguments: argparse.Namespace) -> None:
    """An exported corpus and labelled data, with a manifest."""
    corpus = folder / "corpus"
    if arguments.corpus is not None:
        shutil.copytree(arguments.corpus, corpus)
    elif arguments.settings:
        words = [*arguments.settings, f"export={json.dumps(str(corpus))}"]
        sources = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": sources}
        command = [sys.executable, "-m", "bertinchamps.prepare", *words]
        if subprocess.run(command, env=environment, check=False).returncode:
            raise Problem("the corpus could not be prepared, see above")
    if arguments.quaero is not None:
        shutil.copyfile(arguments.quaero, folder / QUAERO)
    for file in arguments.labelled:
        (folder / "labelled").mkdir(exist_ok=True)
        shutil.copyfile(file, folder / "labelled" / file.name)
    about = {}
    if corpus.is_dir():
        exported = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
        counts = {split: exported["corpus"][split] for split in ("train", "held_out")}
        about = {"corpus": {"fingerprint": exported["fingerprint"], **counts}}
    write_manifest(folder, about)


def write_manifest(folder: Path, about: Mapping[str, object]) -> None:
    """What is in a folder, with the size and digest of each file."""
    files = {
        str(file.relative_to(folder)): {
            "bytes": file.stat().st_size,
            "blake2b": hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest(),
        }
        for file in files_in(folder)
    }
    content = json.dumps({**about, "files": files}, indent=2, ensure_ascii=False)
    (folder / "manifest.json").write_text(content, encoding="utf-8")


def files_in(folder: Path) -> list[Path]:
    """All files below a folder, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def too_large(folder: Path, limit: float) -> str | None:
    """What to say of a folder above so many megabytes (10^6 bytes): its largest files."""
    sizes = {file: file.stat().st_size for file in files_in(folder)}
    total = sum(sizes.values())
    tell(f"{folder}: {len(sizes)} files, {total / 1e6:.1f} MB")
    if total <= limit * 1e6:
        return None
    largest = sorted(sizes, key=lambda file: -sizes[file])[:SHOWN]
    lines = [f"  {sizes[file] / 1e6:8.1f} MB  {file.relative_to(folder)}" for file in largest]
    return "\n".join(
        [f"{folder} has {total / 1e6:.1f} MB, more than {limit:g}. The largest of its files:", *lines]
    )


def parsed(words: list[str]) -> argparse.Namespace:
    """The command line, with all that is wrong with it told at once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="gets wheels/ and data/")
    parser.add_argument("--have", metavar="FILE", type=Path, default=MACHINE, help="packages of the machine")
    parser.add_argument("--python", default="3.12", help="of the machine (%(default)s)")
    parser.add_argument("--glibc", type=int, default=28, help="the machine has 2.N of it (%(default)s)")
    parser.add_argument("--machine", default="x86_64", choices=("x86_64", "aarch64"))
    parser.add_argument("--cleaning", action="store_true", help=f"pack {', '.join(CLEANING)}, too")
    parser.add_argument("--corpus", metavar="DIR", type=Path, help="written by prepare export=DIR")
    parser.add_argument("--quaero", metavar="ZIP", type=Path)
    parser.add_argument("--labelled", metavar="FILE", type=Path, action="append", default=[])
    parser.add_argument("--only", choices=("wheels", "data"), help="build one of the folders")
    parser.add_argument("--limit", type=float, default=60, help="megabytes of a folder (%(default)s)")
    parser.add_argument("settings", nargs="*", metavar="-- KEY=VALUE", help="of prepare, for the corpus")
    arguments = parser.parse_args(words)
    problems = _problems(arguments)
    if problems:
        stop("\n".join(problems))
    return arguments


def _problems(arguments: argparse.Namespace) -> list[str]:
    problems = [f"{folder}: is there already" for folder in folders(arguments) if folder.exists()]
    given = [("--have", arguments.have), ("--quaero", arguments.quaero)]
    given += [("--labelled", file) for file in arguments.labelled]
    problems += [f"{name} {file}: no such file" for name, file in given if file and not file.is_file()]
    names = [file.name for file in arguments.labelled]
    problems += [
        f"--labelled: two files are called {name}" for name in sorted(set(names)) if names.count(name) > 1
    ]
    if arguments.corpus is not None and not (arguments.corpus / "manifest.json").is_file():
        problems.append(
            f"--corpus {arguments.corpus}: no manifest.json there; prepare export=DIR writes such a folder"
        )
    if arguments.corpus is not None and arguments.settings:
        problems.append("--corpus and settings of prepare: give one of them")
    if not re.fullmatch(r"3\.\d+", arguments.python):
        problems.append(f"--python {arguments.python}: a version such as 3.12")
    if arguments.only == "data" and not has_data(arguments):
        problems.append("--only data: give --corpus, settings of prepare, --quaero or --labelled")
    return problems


def has_data(arguments: argparse.Namespace) -> bool:
    """Whether any data are to be packed."""
    return bool(arguments.corpus or arguments.settings or arguments.quaero or arguments.labelled)


def folders(arguments: argparse.Namespace) -> list[Path]:
    """Those to be built; data first, because its settings may be wrong."""
    data, wheels = arguments.only != "wheels" and has_data(arguments), arguments.only != "data"
    return [arguments.out / name for name, wanted in (("data", data), ("wheels", wheels)) if wanted]


def build(arguments: argparse.Namespace) -> None:
    """Each folder beside its place, moved to its name when it is whole."""
    for folder in folders(arguments):
        unfinished = folder.with_name(f".{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        if folder.name == "wheels":
            pack_wheels(unfinished, arguments)
        else:
            pack_data(unfinished, arguments)
        unfinished.rename(folder)


def calls(out: Path) -> str:
    """What to type on the other machine."""
    lines = [f"With {out} and the checkout side by side on the machine, in the checkout:"]
    pack = f"../{out.resolve().name}"
    if (out / "wheels").is_dir():
        install = "python3 -m pip install -q --no-index --no-deps --no-compile"
        lines.append(f"  {install} --target ../site {pack}/wheels/*.whl")
    lines.append("  export PYTHONPATH=$PWD/../site:$PWD/src")
    data = f"--pack {pack}/data " if (out / "data").is_dir() else ""
    lines.append(f"  python3 scripts/gpu_minutes.py {data}--work ../work --out ../out")
    return "\n".join(lines)


def tell(message: str) -> None:
    """Say something about the work."""
    print(message, file=sys.stderr, flush=True)


def stop(message: str) -> NoReturn:
    """End with what is wrong."""
    tell(message)
    raise SystemExit(2)


def main(words: list[str]) -> None:
    """Build, compare sizes with the limit, and say how to go on."""
    arguments = parsed(words)
    try:
        build(arguments)
    except Problem as problem:
        stop(str(problem))
    problems = [too_large(folder, arguments.limit) for folder in folders(arguments)]
    if any(problems):
        stop("\n".join(filter(None, problems)))
    print(calls(arguments.out))


if __name__ == "__main__":
    main(sys.argv[1:])

#!/usr/bin/env python3
"""Runs every command on documents full of canaries, and counts what leaks: words, connections, readable files.

    python scripts/canaries.py --folder /tmp/canaries
    python scripts/canaries.py --folder /tmp/canaries --strace

- **Words.** Each canary is a word that stands in one place of one file: a text, an id, another column, a name of a
  column, an entity, a mistake. After the commands, whatever they printed and every file that they left, in runs,
  cache, home and temporary folder, is searched for all of them. Predictions are allowed to have them, and
  must, or the search is broken.
- **Connections.** No command may ask for a name or connect (`no_network.py`), and no setting says so: variables
  such as HF_HUB_OFFLINE or WANDB_MODE are removed from the environment. `serve` is asked over loopback, `publish` sends
  to a hub on loopback. --strace sees programs that are no Python, too, as the system does, and counts by program
  what stays on this machine (loopback, sockets of the file system).
- **Readable files.** With a umask of 022, nothing that commands left may be readable by others, but what `report` made
  and what libraries keep in the home for themselves.
- **Mistakes.** Files with a mistake of each kind, which commands must refuse with status 2 and no traceback.

Exit status 1: something leaked, a command failed, or a mistake was not refused. The tally is canaries.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from canary_commands import Begin, Watch, all_commands, begin, purge, refused, write_plans
from canary_inputs import Canaries, belongs, faults, write_documents
from canary_traces import missing
from machine import machine

OTHERS = 0o077  # bits of a mode


@dataclass
class Leaks:
    """What was searched, and what was found.

    Attributes:
        files: searched.
        size: bytes searched.
        words: canaries where they must not be: file or command → where they were put.
        belonging: canaries where they belong.
        readable: files and folders that others may read.
    """

    files: int = 0
    size: int = 0
    words: dict[str, list[str]] = field(default_factory=dict)
    belonging: int = 0
    readable: list[str] = field(default_factory=list)


def search(watch: Watch, leaks: Leaks) -> None:
    """Search all that commands printed and left."""
    for name, text in watch.told.items():
        if found := watch.canary.found_in(text.encode()):
            leaks.words[f"printed by {name}"] = sorted({watch.canary.places[word] for word in found})
    for path in watch.files():
        name = str(path.relative_to(watch.place))
        if path.is_symlink():
            continue
        mine = path.parent != watch.place and not name.startswith(("work/report", "home/"))
        if mine and path.stat().st_mode & OTHERS:
            leaks.readable.append(name)
        if not path.is_file():
            continue
        content = path.read_bytes()
        leaks.files, leaks.size = leaks.files + 1, leaks.size + len(content)
        found = watch.canary.found_in(content + os.fsencode(name))
        if belongs(path.relative_to(watch.place)):
            leaks.belonging += len(found)
        elif found:
            leaks.words[name] = sorted({watch.canary.places[word] for word in found})


def told(watch: Watch, leaks: Leaks, mistakes: int) -> dict[str, Any]:
    """The tally."""
    return {
        "machine": machine(),
        "commands": len(watch.told),
        "of them on files with a mistake": mistakes,
        "canaries": len(watch.canary.places),
        "files searched": leaks.files,
        "MB searched": round(leaks.size / 1e6, 1),
        "canaries in predictions, where they belong": leaks.belonging,
        "canaries elsewhere": leaks.words,
        "connections and look-ups": watch.attempts(),
        **({"connections on this machine": dict(watch.traced().allowed)} if watch.strace else {}),
        "readable by others": leaks.readable,
        "failed": watch.failed,
    }


@contextmanager
def ready(folder: Path, begin_: Begin, strace: bool, seed: int) -> Iterator[Watch]:
    """An empty folder with documents."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    watch = Watch(folder, Canaries(seed), begin_, strace)
    write_documents(watch.work, watch.canary)
    write_plans(watch.work / "plans")
    yield watch


def main() -> int:
    """Entry point; returns the exit status."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--folder", type=Path, help="for all that commands write; emptied (a temporary one)")
    words.add_argument("--seed", type=int, default=0, help="of the canaries (%(default)s)")
    words.add_argument("--strace", action="store_true", help="see connections of all programs; slower")
    arguments = words.parse_args()
    if arguments.strace and (why := missing()):
        words.error(f"--strace: {why}")
    folder = arguments.folder.absolute() if arguments.folder else Path(tempfile.mkdtemp(prefix="canaries"))
    with ready(folder, begin, arguments.strace, arguments.seed) as watch:
        leaks, chosen = Leaks(), list(faults())
        all_commands(watch)
        refused(watch, chosen)
        search(watch, leaks)
        purge(watch)
        tally = told(watch, leaks, len(chosen))
    (folder / "canaries.json").write_text(
        json.dumps(tally, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    for name, value in tally.items():
        shown = len(value) if isinstance(value, dict | list) else value
        print(f"{name:<45} {shown}")
        for line in value.items() if isinstance(value, dict) else value if isinstance(value, list) else ():
            print(f"    {line}")
    leaked = ("canaries elsewhere", "connections and look-ups", "readable by others", "failed")
    return int(any(tally[name] for name in leaked) or not leaks.belonging)


if __name__ == "__main__":
    sys.exit(main())

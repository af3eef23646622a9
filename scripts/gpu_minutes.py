#!/usr/bin/env python3
"""Minutes of a GPU become figures: tests, rates, a pretrained model, its scores, and one page.

    python3 scripts/gpu_minutes.py --pack PACK/data --out OUT --work WORK
    python3 scripts/gpu_minutes.py --out OUT --rehearse              the same on the CPU, with tiny sizes
    python3 scripts/gpu_minutes.py --pack PACK/data --out OUT --work WORK --stages scores     of a model that is in WORK

Each stage is killed at its limit, and the next one starts. OUT gets at most eight files; page.md is written anew after
each stage. What the stages are, and how to bring all of it to a machine without a network: docs/gpu.md.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from benchmarks import results  # noqa: E402
from benchmarks.gpu_minutes import ladder, page, rehearsal  # noqa: E402
from benchmarks.gpu_minutes.fast import Fast  # noqa: E402
from benchmarks.gpu_minutes.learns import Learns  # noqa: E402
from benchmarks.gpu_minutes.place import Place  # noqa: E402
from benchmarks.gpu_minutes.right import Right  # noqa: E402
from benchmarks.gpu_minutes.scores import Scores  # noqa: E402

COMMIT = "BERTINCHAMPS_COMMIT"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    words.add_argument("--out", metavar="DIR", type=Path, required=True, help="for what is brought back")
    words.add_argument("--pack", metavar="DIR", type=Path, help="data/ of what scripts/gpu_pack.py wrote")
    words.add_argument(
        "--work", metavar="DIR", type=Path, help="for runs and models; kept (default: a temporary one)"
    )
    words.add_argument("--seconds", type=float, default=480.0, help="of everything together (%(default).0f)")
    words.add_argument(
        "--stages", metavar="NAME,…", type=_stages, default=page.ORDER, help=f"({','.join(page.ORDER)})"
    )
    words.add_argument("--rehearse", action="store_true", help="on the CPU, with tiny sizes")
    words.add_argument(
        "--commit", default=os.environ.get(COMMIT), help=f"where git cannot tell it (${COMMIT})"
    )
    return words


def _stages(names: str) -> tuple[str, ...]:
    given = names.split(",")
    unknown = [name for name in given if name not in page.ORDER]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(page.ORDER)}")
    return tuple(name for name in page.ORDER if name in given)


def stages(names: tuple[str, ...], place: Place) -> list[ladder.Stage]:
    """The stages by name, in order; in a rehearsal, which a slow machine may do, none is held to its share."""
    limits = {"seconds": ladder.LEAST_SECONDS, "takes_what_is_left": True} if place.rehearsal else {}
    known: dict[str, ladder.Stage] = {
        "right": Right(place, warm="learns" in names, **limits),
        "fast": Fast(place, **limits),
        "learns": Learns(place, **limits),
        "scores": Scores(place, **limits),
    }
    return [known[name] for name in names]


def facts(place: Place, commit: str | None) -> dict[str, str]:
    """Of this call, by their names on the page."""
    hardware = results.hardware()
    return {
        "device": "CPU" if place.rehearsal else hardware["device"],
        "processor": f"{hardware['processor']}, {hardware['cores']} cores",
        "versions": ", ".join(f"{name} {version}" for name, version in results.versions().items()),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "commit": _commit() or commit or "unknown",
        "command": place.plain(shlex.join(["python", "scripts/gpu_minutes.py", *sys.argv[1:]])),
    }


def _commit() -> str | None:
    """Of this checkout, and whether files differ from it; None where git cannot tell."""
    if not (ROOT / ".git").exists():
        return None
    told = []
    for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no")):
        try:
            ran = subprocess.run(
                ("git", "-C", ROOT, *words), capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        told.append(ran.stdout.strip())
    return f"{told[0]}{' with changes' if told[1] else ''}"


def run(arguments: argparse.Namespace, work: Path, began: float, interruption: ladder.Interruption) -> int:
    """Everything, with a folder for what is not brought back; returns the exit status."""
    pack = arguments.pack or work / "pack"
    place = Place(ROOT, arguments.out.resolve(), work.resolve(), pack.resolve(), arguments.rehearse)
    about = facts(place, arguments.commit)
    if arguments.pack is None and arguments.rehearse:
        rehearsal.make_pack(place, interruption.came)
    return ladder.climb(stages(arguments.stages, place), place, arguments.seconds, about, interruption, began)


def main() -> None:
    """Entry point."""
    began = time.monotonic()
    words = parser()
    arguments = words.parse_args()
    if arguments.pack is None and not arguments.rehearse and {"learns", "scores"} & set(arguments.stages):
        words.error("learns and scores need --pack DIR")
    interruption = ladder.Interruption()
    interruption.listen()
    if arguments.work:
        sys.exit(run(arguments, arguments.work, began, interruption))
    with tempfile.TemporaryDirectory() as folder:
        status = run(arguments, Path(folder), began, interruption)
    sys.exit(status)


if __name__ == "__main__":
    main()

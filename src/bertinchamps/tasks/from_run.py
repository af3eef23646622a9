"""The run that a model came from: it has the settings, and knows where the examples are.

RUN/model/            lies in its run
MODEL/from_run.json   of a model that merge or compress made: the absolute path of the run
"""

from __future__ import annotations

from pathlib import Path

from bertinchamps.durable import read_json, write_json

FILE = "from_run.json"
FORMAT = 1  # to be raised when old files would be misread


def run_around(folder: Path) -> Path | None:
    """The run in whose directory a model lies, if it lies in one."""
    return next((place for place in (folder, folder.parent) if (place / "run.json").is_file()), None)


def run_of(folder: Path) -> Path | None:
    """The run that a model lies in or remembers, which may be gone; None: nothing tells of one.

    Raises:
        UserError: from_run.json is damaged.
    """
    around, file = run_around(folder), folder / FILE
    if around is not None or not file.is_file():
        return around
    return Path(read_json(file, "run")["run"])


def remember_run(folder: Path, place: Path) -> None:
    """Let a model that is made of another one remember the run of that one, where it is known."""
    if (run := run_of(folder)) is not None:
        write_json(place / FILE, {"format": FORMAT, "run": str(run.resolve())})

"""One run of several processes: all see one directory, and have the same settings and documents."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from bertinchamps.console import tell
from bertinchamps.errors import UserError
from bertinchamps.training.distributed import Processes
from bertinchamps.training.run import Run, RunConfig, open_run
from bertinchamps.training.run_files import read_facts
from bertinchamps.training.settings import deciding_settings


def open_shared_run(
    command: str,
    config: RunConfig,
    data_fingerprint: str,
    label: str,
    processes: Processes,
    settled: Mapping[str, Any] | None = None,
) -> Run:
    """`open_run`, by the first process of a job for all of its processes.

    Raises:
        UserError: see `open_run`; or processes differ in settings or data, or do not see one directory.
    """
    if config.resume == "never" and max(processes.gather(processes.restarts)):
        processes.tell("torchrun began this job again, which makes resume=auto of resume=never")
        config = replace(cast(Any, config), resume="auto")
    refuse_differences(processes, config, data_fingerprint)
    opened = partial(open_run, command, config, data_fingerprint, label, tell, settled)
    return share_run(processes, opened)


def share_run(processes: Processes, open_it: Callable[[], Run]) -> Run:
    """The run that the first process of a job opens and locks, as each process sees it.

    Raises:
        UserError: the run could not be opened, or another process does not see the same directory.
    """
    opened: list[Run] = []

    def facts() -> dict[str, Any]:
        run = open_it()
        opened.append(run)
        return {
            "folder": str(run.folder.resolve()),
            "command": run.command,
            "resumed_from": run.resumed_from and str(run.resumed_from.resolve()),
            "state": run.state,
            "finished": run.finished,
            "begun": read_facts(run.folder),
        }

    def seen() -> Run:
        if opened:
            return opened[0]
        folder, resumed_from = Path(shared["folder"]), shared["resumed_from"] and Path(shared["resumed_from"])
        if not (folder / "run.json").is_file() or read_facts(folder) != shared["begun"]:
            raise UserError(
                f"{folder} is not the run that process 0 opened, as seen from {platform.node()}: all machines need "
                "to see one directory of runs. Give run_dir or runs_dir on a file system that they share"
            )
        no_lock = Path(os.devnull).open()  # noqa: SIM115 (closed by whoever trains the run)
        return Run(folder, shared["command"], resumed_from, shared["state"], no_lock, shared["finished"])

    shared = processes.from_first(facts)
    return processes.together(seen)


def refuse_differences(processes: Processes, config: RunConfig, data_fingerprint: str) -> None:
    """Compare settings and data of the processes of a job.

    Raises:
        UserError: settings or corpora differ, on every process.
    """
    mine = {**deciding_settings(config), "the corpus": data_fingerprint}
    first, *others = processes.gather(mine)
    differing = [
        f"{key} is {first.get(key)!r} on process 0 and {other.get(key)!r} on process {rank}"
        for rank, other in enumerate(others, start=1)
        for key in sorted(first.keys() | other.keys())
        if first.get(key) != other.get(key)
    ]
    if differing:
        raise UserError(
            "the processes of a job need the same settings and the same documents:\n"
            + "\n".join(differing)
            + "\nStart it with one command on all machines, and with the same files on each."
        )

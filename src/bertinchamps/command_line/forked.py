"""Commands in processes of their own that begin with everything imported: forks of one process that has imported it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from bertinchamps.data.workers import come_in_reach, out_of_reach, when_parent_ends


def context_of(modules: Sequence[str]) -> ForkServerContext:
    """What begins processes: forks of one that has imported the modules, which nothing else has used.

    It is the place of importing alone: no threads, no card, no random numbers that forks would share.
    """
    # A library that asks for cards while it is imported must not begin to use one, or no fork could.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context


def begin(context: ForkServerContext, command: str, words: Sequence[str], log: Path) -> BaseProcess:
    """Begin a command with words of its command line; what it prints is added to a file.

    It ends with this process as it does when a terminal is closed: a training with a checkpoint.
    """
    with out_of_reach():  # without the server, nobody would hear how a command ended
        forkserver.ensure_running()
    process = context.Process(target=_run, args=(command, list(words), log), name=command)
    process.start()
    return process


def _run(command: str, words: list[str], log: Path) -> None:
    """Be the command, in the new process."""
    from bertinchamps.command_line.running import run

    with log.open("ab") as stream:
        for standard in (1, 2):
            os.dup2(stream.fileno(), standard)
    come_in_reach()
    when_parent_ends(_hang_up)
    sys.argv = [f"bertinchamps.{command}", *words]
    run(command)


def _hang_up() -> None:
    """End this command as the end of a terminal does, even where nohup keeps that from it."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    os.kill(os.getpid(), signal.SIGTERM if ignored else signal.SIGHUP)

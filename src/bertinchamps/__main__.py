"""The console script: `bertinchamps COMMAND …` is `python -m bertinchamps.COMMAND …`."""

from __future__ import annotations

import runpy
import sys
from importlib.metadata import PackageNotFoundError, version

from bertinchamps.console import tell
from bertinchamps.registry import closest

ABOUT = {
    "demo": "three minutes on a toy corpus: see what all of this does",
    "demo_notes": "fictitious notes, annotated ones and letters → a folder to try everything on",
    "prepare": "documents → a tokenizer and tokens on disk",
    "pretrain": "documents → a French masked language model, within a budget",
    "finetune": "an encoder and examples → a model, its predictions and scores",
    "predict": "new text → entities or classes",
    "suggest": "a model and texts → which to annotate next",
    "study": "a grid of fine-tunings → tables and figures",
    "tune": "settings of fine-tuning, searched on dev",
    "merge": "an adapter and its base → one whole model",
    "compress": "a model → a smaller and faster one, step by step, measured",
    "export": "a model → the files of other programs",
    "publish": "an exported model → a repository on a hub",
    "serve": "a model → an HTTP service on this machine, with a page",
    "purge": "runs → the same without what comes from documents",
    "report": "finished runs → tables",
}


def main() -> None:
    """Hand the rest of the command line to the module of that name."""
    command = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if command in ("--version", "-V"):
        try:
            _show(f"bertinchamps {version('bertinchamps')}\n")
        except PackageNotFoundError:
            _show("bertinchamps, from a source tree that is not installed\n")
    elif command in ("--help", "-h", "help"):
        _show(usage())
    elif command in ABOUT:
        del sys.argv[1]
        runpy.run_module(f"bertinchamps.{command}", run_name="__main__", alter_sys=True)
    else:
        tell(f"bertinchamps: no such command: {command}{closest(command, ABOUT)}\n{usage()}".rstrip())
        raise SystemExit(2)


def _show(text: str) -> None:
    try:
        print(text, end="", flush=True)  # noqa: T201
    except OSError as error:
        from bertinchamps.command_line.stopping import stop_for_place

        stop_for_place("--help", error)


def usage() -> str:
    """The commands, a line each."""
    lines = [f"  {name:<10} {about}" for name, about in ABOUT.items()]
    return "\n".join(
        [
            "Usage: bertinchamps COMMAND [KEY=VALUE …]",
            *lines,
            "bertinchamps COMMAND --help explains every key.",
            "",
        ]
    )


if __name__ == "__main__":
    main()

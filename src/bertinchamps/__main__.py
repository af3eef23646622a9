"""The console script: `bertinchamps COMMAND …` is `python -m bertinchamps.COMMAND …`."""

from __future__ import annotations

import importlib
import sys

from bertinchamps.config import COMMANDS
from bertinchamps.registry import closest


def main() -> None:
    """Hand the rest of the command line to the module of that name."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in COMMANDS:
        wrong = f"no such command: {command}{closest(command, COMMANDS)}\n" if command.strip("-h") else ""
        sys.stderr.write(
            f"{wrong}Usage: bertinchamps {{{','.join(COMMANDS)}}} [KEY=VALUE …]; --help after a command\n"
        )
        raise SystemExit(2 if wrong else 0)
    del sys.argv[1]
    importlib.import_module(f"bertinchamps.{command}").main()


if __name__ == "__main__":
    main()

"""From `python -m bertinchamps.X key=value …` to a checked configuration and a running job."""

from bertinchamps.command_line.running import run

__all__ = ["run"]

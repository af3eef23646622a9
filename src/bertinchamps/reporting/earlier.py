"""What runs of earlier versions said otherwise."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bertinchamps.training.settings import settings_but_the_seed


def older_settings(folder: Path, results: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run of an earlier version: from the config.yaml beside results.json, or else from the command."""
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        return {"model": results.get("model"), **settings_but_the_seed(config)}
    except (OSError, ValueError, yaml.YAMLError, AttributeError):
        words = [word.partition("=") for word in shlex.split(results["command"])]
        given = {key.lstrip("+"): value for key, equals, value in words if equals}
        return {
            key: value
            for key, value in settings_but_the_seed(given).items()
            if key != "task" or value != results["task"]
        }

"""What a setting that names a model means: a directory, a run, or a name on the Hub."""

from __future__ import annotations

from pathlib import Path

from bertinchamps.errors import UserError
from bertinchamps.manifests import refuse_damaged
from bertinchamps.model.adapters.saved import is_adapter


def located(key: str, name: str) -> Path | str:
    """Where a model is: the directory of a model, also of the one in a run's directory, or a name on the Hub.

    Args:
        key: of the setting, for messages.
        name: as the user gave it.

    Raises:
        UserError: a path with no model there, or with a damaged one.
    """
    folder = Path(name).expanduser()
    for candidate in (folder, folder / "model"):
        if (candidate / "config.json").is_file():
            refuse_damaged(candidate)
            return candidate
        if is_adapter(candidate):
            raise UserError(
                f"{key}={name}: an adapter, without the weights of its base; python -m bertinchamps.merge "
                f"model={name} output=DIR makes a whole model of both, for {key}=DIR"
            )
    # FOLDER/NAME with an existing FOLDER is a path: a mistyped path must not be looked up on the Hub
    local = "/" in name and Path(folder.parts[0]).is_dir()
    if folder.exists() or local or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"{key}={name}: no model there (no config.json, and no model/config.json)")
    return name

"""What can be wrong with the settings of `publish`."""

from __future__ import annotations

from pathlib import Path

from bertinchamps.errors import UserError
from bertinchamps.exporting.sending import sendable
from bertinchamps.hub import NO_NAME
from bertinchamps.schemas import PublishConfig


def problems(config: PublishConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    return [*_of_repository(config), *_of_folder(config), *_of_token(config)]


def _of_repository(config: PublishConfig) -> list[str]:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(config.repo)
    except HFValidationError:
        return [f"repo={config.repo}: {NO_NAME.removeprefix('is ')}"]
    return []


def _of_folder(config: PublishConfig) -> list[str]:
    try:
        return sendable(Path(config.model).expanduser())[1]
    except UserError as error:
        return [f"model={error}"]


def _of_token(config: PublishConfig) -> list[str]:
    from huggingface_hub import get_token

    if config.dry_run or get_token():
        return []
    return [
        "no token, without which no hub lets anybody write: run hf auth login, or set HF_TOKEN; "
        "dry_run=true lists what would be sent"
    ]

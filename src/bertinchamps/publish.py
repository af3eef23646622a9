"""python -m bertinchamps.publish: an exported model in, a repository on a hub out."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if (
    __name__ == "__main__"
):  # what follows takes long to import, and waits until the command line has proved right
    command_line.run("publish")
    sys.exit()

from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import HfApi

from bertinchamps.console import tell
from bertinchamps.errors import UserError
from bertinchamps.exporting.marker import package_version
from bertinchamps.exporting.sending import sendable
from bertinchamps.hub import page_of, writing
from bertinchamps.schemas import PublishConfig


def publish(config: PublishConfig) -> None:
    """Send an exported model, after saying what is sent and where to.

    Raises:
        UserError: the directory is not an export, or the hub does not take it; a hub takes all files or none.
    """
    folder = Path(config.model).expanduser()
    files, problems = sendable(folder)
    if problems:
        raise UserError("\n".join(problems))
    tell("\n".join(_what(config, folder, files)))
    if config.dry_run:
        tell("dry_run=true: nothing was sent")
        return
    api = HfApi()
    with writing("repo", config.repo):
        repo = api.create_repo(config.repo, private=config.private, exist_ok=True).repo_id
        if config.private and not api.model_info(repo).private:
            raise UserError(
                f"repo={config.repo}: is there already, and is public; private=false sends the model to everybody"
            )
        api.upload_folder(
            folder_path=folder,
            repo_id=repo,
            allow_patterns=[str(file.relative_to(folder)) for file in files],
            commit_message=f"A model of bertinchamps {package_version()}",
        )
    tell(f"published  {page_of(repo, kind='')}")


def _what(config: PublishConfig, folder: Path, files: list[Path]) -> Iterator[str]:
    """The files with their sizes, and where they go."""
    sizes = {str(file.relative_to(folder)): file.stat().st_size for file in files}
    readers = "private" if config.private else "public"
    yield (
        f"publish    {len(sizes)} files, {sum(sizes.values()) / 1e6:,.2f} MB → "
        f"{page_of(config.repo, kind='')} ({readers})"
    )
    width = max(map(len, sizes))
    for name, size in sizes.items():
        yield f"           {name:<{width}} {size / 1e6:>10,.3f} MB"

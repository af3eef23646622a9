"""Official releases of corpora: their files on the user's disk, or a message with the address to get them from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bertinchamps.errors import UserError
from bertinchamps.textfiles.archives import contents, listed


@dataclass(frozen=True)
class Release:
    """A corpus as its authors publish it. The user's key for it is `task.path`.

    Attributes:
        name: what the corpus is called.
        address: the page or file to get it from.
        archives: names of the files there.
        hub: a repository on the Hugging Face Hub that can be read instead, if there is one.
    """

    name: str
    address: str
    archives: tuple[str, ...]
    hub: str | None = None

    def check(self, path: str | None, patterns: Sequence[str]) -> None:
        """Look for the files of each pattern, without reading them.

        Raises:
            UserError: a pattern matches no file, or files in more than one folder.
        """
        if path is None:
            raise UserError(f"task.path: not given\n{self._remedy()}")
        if not Path(path).expanduser().exists():
            raise UserError(
                f"task.path={path}: no such file or folder (looked from {Path.cwd()})\n{self._remedy()}"
            )
        found = listed(Path(path), patterns, self.archives)
        self._checked(path, patterns, found)

    def files(self, path: str | None, patterns: Sequence[str]) -> Mapping[str, dict[PurePosixPath, bytes]]:
        """Pattern → path → content of the files.

        Raises:
            UserError: see `check`; or a file cannot be read.
        """
        if path is None or not Path(path).expanduser().exists():
            self.check(path, patterns)
        found = contents(Path(path or ""), patterns, self.archives)
        self._checked(str(path), patterns, list(found))
        return {
            pattern: {name: content for name, content in found.items() if name.match(pattern)}
            for pattern in patterns
        }

    def _checked(self, path: str, patterns: Sequence[str], found: list[PurePosixPath]) -> None:
        missing = [pattern for pattern in patterns if not any(name.match(pattern) for name in found)]
        if missing:
            raise UserError(f"task.path={path}: no {', no '.join(missing)} in it\n{self._remedy()}")
        for pattern in patterns:
            folders = sorted({str(name.parent) for name in found if name.match(pattern)})
            if len(folders) > 1:
                raise UserError(
                    f"task.path={path}: {pattern} is there twice; choose {' or '.join(folders[:4])}"
                )

    def _remedy(self) -> str:
        hub = f", or read {self.hub} from the Hugging Face Hub with task.hub={self.hub}" if self.hub else ""
        return (
            f"{self.name} can be had at {self.address}\n"
            f"then task.path=PATH names {' and '.join(self.archives)}, a folder that holds it,"
            f" or a folder that it was unpacked into{hub}"
        )

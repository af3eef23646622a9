"""Any one dataset on the loopback Hub, read by the real libraries in a process of its own."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from data.loopback_hub import REPOSITORY, Handler, Hub, serving
from support import command


class DatasetHandler(Handler):
    """Answers for any repository as the loopback Hub answers for its one, with a tag for each content."""

    def do_GET(self) -> None:  # noqa: N802
        for prefix in ("/api/datasets/", "/datasets/"):
            if self.path.startswith(prefix):
                rest = self.path.removeprefix(prefix).split("/", 2)[2:]
                self.path = "/".join([prefix + REPOSITORY, *rest])
        super().do_GET()

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        tag = {"ETag": f'"{hashlib.md5(body).hexdigest()}"'} if "ETag" in headers else {}
        super()._send(status, body, {**headers, **tag})


@contextmanager
def serving_dataset(files: Mapping[str, bytes], refusal: tuple[int, str] | None = None) -> Iterator[Hub]:
    """Runs a hub in a thread."""
    with serving(files, refusal=refusal) as hub:
        hub.RequestHandlerClass = DatasetHandler
        yield hub


def as_parquet(
    configuration: str, features: str, splits: Mapping[str, list[dict[str, Any]]]
) -> dict[str, bytes]:
    """The files of a repository: a README that says what is where, and a Parquet file a split."""
    data = "".join(f"  - split: {split}\n    path: {configuration}/{split}-*\n" for split in splits)
    readme = (
        f"---\ndataset_info:\n- config_name: {configuration}\n  features:\n{features}"
        f"configs:\n- config_name: {configuration}\n  data_files:\n{data}---\n"
    )
    files = {"README.md": readme.encode()}
    for split, rows in splits.items():
        out = io.BytesIO()
        parquet.write_table(arrow.Table.from_pylist(rows), out)
        files[f"{configuration}/{split}-00000-of-00001.parquet"] = out.getvalue()
    return files


def class_label(name: str, classes: list[str]) -> str:
    """A feature of class labels, as the README spells it."""
    names = "".join(f"          '{number}': {label}\n" for number, label in enumerate(classes))
    return f"  - name: {name}\n    dtype:\n      class_label:\n        names:\n{names}"


def run(tmp_path: Path, code: str, **environment: str) -> tuple[str, str]:
    """What the code prints, and the message of its UserError; any other error fails the test."""
    program = (
        "import sys\nfrom bertinchamps.tasks.readers import readers\nfrom bertinchamps.errors import UserError\n"
        f"try:\n    exec({code!r})\nexcept UserError as error:\n    sys.exit('USER ERROR ' + str(error))\n"
    )
    done = command("-c", program, cwd=tmp_path, **environment)
    _, user_error, message = done.stderr.partition("USER ERROR ")
    assert done.returncode == (1 if user_error else 0), done.stderr
    return done.stdout, message

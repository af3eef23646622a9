"""The processes that commands of other tests are forks of, and where they would not do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import forking
import warm
from support import NO_HUB, ROOT

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", **NO_HUB}
HAS = (
    "import sys; print(*(name in sys.modules for name in ('torch', 'transformers', 'bertinchamps.contract')))"
)


def python(code: str, *words: str, cwd: Path = ROOT, stage: str = "libraries", **environment: str) -> str:
    ran = warm.run(["-c", code, *words], cwd, {**ENVIRONMENT, **environment}, "", 60, stage)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    ("stage", "has"),
    [("libraries", "True False False"), ("hub", "True True False"), ("rooms", "True True True")],
)
def test_a_stage_has_imported_what_its_name_says(stage: str, has: str) -> None:
    assert python(HAS, stage=stage).strip() == has


def test_a_fork_has_the_umask_of_the_test(tmp_path: Path) -> None:
    for umask in (0o022, 0o077):
        before = os.umask(umask)
        try:
            python(f"open('{umask}', 'w').close()", cwd=tmp_path)
        finally:
            os.umask(before)
        assert (tmp_path / str(umask)).stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_fork_looks_for_modules_where_a_new_python_does(tmp_path: Path) -> None:
    code = "import sys; print(*sys.path[1:], sep='\\n')"
    for path in ("", str(tmp_path), f"{tmp_path}{os.pathsep}{ROOT}"):
        environment = {**ENVIRONMENT, "PYTHONPATH": path}
        new = subprocess.check_output([sys.executable, "-c", code], env=environment, cwd=ROOT, text=True)
        assert python(code, PYTHONPATH=path) == new
        inner = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
        assert python(inner, PYTHONPATH=path) == new


INNER = """
import subprocess, sys
import forking
options = eval(sys.argv[1])
forking.ForkingPopen.possible = options.pop("possible", True)
subprocess.run([sys.executable, "-c", "import sys; print('torch' in sys.modules)"], check=True, **options)
"""


@pytest.mark.parametrize(
    ("options", "forks"),
    [
        ({}, True),
        ({"start_new_session": True, "close_fds": True}, True),
        ({"umask": 0o077}, False),  # an option that a fork does not honour
        ({"env": {**ENVIRONMENT, "OMP_NUM_THREADS": "2"}}, False),  # what a library read when it was imported
        ({"possible": False}, False),  # a Python of another kind
    ],
)
def test_another_python_is_started_where_a_fork_would_not_do(options: dict[str, Any], forks: bool) -> None:
    assert python(INNER, repr(options)).strip() == str(forks and forking.can_fork(subprocess.Popen))


def test_a_popen_of_another_kind_is_noticed() -> None:
    class Renamed(subprocess.Popen[bytes]):
        def _execute_child(self, args: Any, pipes: Any) -> None: ...

    class Without(subprocess.Popen[bytes]):
        _execute_child = None

    assert not forking.can_fork(Renamed)
    assert not forking.can_fork(Without)

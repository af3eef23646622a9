"""Places that cannot be written to or looked into are told in a line, and lose nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_corpus import built, bytes_of, failure, forbidden, names, sentences, settings, write

from bertinchamps.data import planning
from support import command

DEMO = ["data=demo", "data.documents=1000", "tokenizer.vocab_size=300", "blocks.sequence_length=16"]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("/dev/full", "File exists"),
        ("/proc/x", "No such file or directory"),
        ("/proc", "No such file or directory"),
        ("file", "File exists"),
        ("file/inside", "Not a directory"),
    ],
)
@pytest.mark.parametrize("by", ["key", "environment"])
def test_a_cache_that_cannot_be_is_told_before_anything_is_prepared(
    tmp_path: Path, place: str, reason: str, by: str
) -> None:
    (tmp_path / "file").touch()
    keys = [f"blocks.cache_dir={place}"] if by == "key" else []
    result = command("bertinchamps.prepare", *DEMO, *keys, cwd=tmp_path, BERTINCHAMPS_CACHE=place)
    assert result.returncode == 2
    heading, problem = result.stderr.splitlines()
    assert heading == "bertinchamps prepare: error"
    assert f"({reason}); blocks.cache_dir= names another place" in problem


@pytest.mark.parametrize(
    ("stats", "problem"),
    [
        ("/proc/x.html", "cannot be written there (No such file or directory); name another place"),
        ("file/x.html", "cannot be written there (Not a directory); name another place"),
        ("/dev/full", "is there already, and was not touched; choose another name"),
        ("link.html", "is there already, and was not touched; choose another name"),
    ],
)
def test_a_page_that_cannot_be_written_is_told_before_anything_is_prepared(
    tmp_path: Path, stats: str, problem: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link.html").symlink_to("nowhere")
    result = command("bertinchamps.prepare", *DEMO, f"stats={stats}", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.splitlines()[1:] == [f"  - stats={stats}: {problem}"]


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from bertinchamps.data import tokenising
tokenising.SECONDS_BETWEEN_COMMITS, tokenising.SHARE_OF_TIME_FOR_COMMITS = 0, 1e9
from bertinchamps.data.cleaning import cleaner
cleaner.DOCUMENTS_AT_ONCE = 50
sys.argv = ["prepare", *sys.argv[2:]]
runpy.run_module("bertinchamps.prepare", run_name="__main__")
"""


@pytest.mark.parametrize("size", [0, 5_000, 100_000])  # the last one is enough for a tokenizer
def test_a_disk_that_fills_is_told_and_the_same_command_goes_on(tmp_path: Path, size: int) -> None:
    words = [*DEMO, "tokenizer.sample_characters=20000", "blocks.cache_dir=cache"]
    full = subprocess.run(
        [sys.executable, "-c", LIMITED, str(size), *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert full.returncode == 2, full.stderr
    told = full.stderr.splitlines()[-1]
    assert "cannot be written to (File too large); make room and give the same command again" in told
    assert "Traceback" not in full.stderr
    again = command("bertinchamps.prepare", *words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert ("going on" in again.stderr) == (size == 100_000)


@pytest.mark.parametrize("stderr", ["closed", "full"])
def test_nobody_has_to_listen(tmp_path: Path, stderr: str) -> None:
    redirection = {"closed": "2>&-", "full": "2>/dev/full"}[stderr]
    words = " ".join([*DEMO, "blocks.cache_dir=cache"])
    done = subprocess.run(
        f"{sys.executable} -m bertinchamps.prepare {words} {redirection}", shell=True, cwd=tmp_path
    )
    assert done.returncode == 0
    assert len(names(tmp_path / "cache" / "corpora")) == 1


# ------------------------------------------------------------------------------------ another user's


@contextmanager
def another_user() -> Iterator[None]:
    """Act as a user who owns nothing; who runs the tests as one already stays that one."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that all users can enter, with a file of notes in it, and a cache."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(folder / "cache"))
    write(folder / "notes.jsonl", sentences(200))
    yield folder
    subprocess.run(["chmod", "-R", "u+rwX", str(folder)], check=True)
    shutil.rmtree(folder)


def test_a_cache_that_one_may_only_read_gives_what_is_in_it(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(shared / "notes.jsonl")
    corpus = built(config)
    subprocess.run(["chmod", "-R", "a+rX,a-w", str(shared)], check=True)
    monkeypatch.setattr(planning, "train_tokenizer", forbidden)
    with another_user():
        again = built(config)
        assert bytes_of(again) == bytes_of(corpus)
        config.blocks.held_out_share = 0.3
        message = failure(lambda: built(config))
    assert message == (
        f"{shared}/cache/tokenizers: cannot be written to (Permission denied); blocks.cache_dir= names another place"
    )


def test_a_cache_that_one_may_not_look_into_is_reported(shared: Path) -> None:
    built(settings(shared / "notes.jsonl"))
    (shared / "cache").chmod(0 if os.geteuid() else 0o700)
    with another_user():
        message = failure(lambda: built(settings(shared / "notes.jsonl")))
    assert message == (
        f"{shared}/cache: no cache can be kept there (Permission denied); blocks.cache_dir= names another place"
    )


def test_what_another_user_built_is_reported(shared: Path) -> None:
    corpus = built(settings(shared / "notes.jsonl"))
    for folder in (shared / "cache", corpus.folder.parent, corpus.tokenizer_folder.parent):
        folder.chmod(0o777)
    corpus.tokenizer_folder.chmod(0 if os.geteuid() else 0o700)
    with another_user():
        message = failure(lambda: built(settings(shared / "notes.jsonl")))
    assert message == (
        f"{corpus.tokenizer_folder}/checksums.json: cannot be read (Permission denied); name a place of your own with "
        "blocks.cache_dir="
    )


def test_what_another_user_left_is_in_nobodys_way(shared: Path) -> None:
    for kind in ("corpora", "tokenizers"):
        (shared / "cache" / kind / ".another.unfinished").mkdir(parents=True, mode=0)
        (shared / "cache" / kind / ".another.lock").touch(0)
    subprocess.run(["chmod", "777", *map(str, [shared / "cache", *(shared / "cache").iterdir()])], check=True)
    with another_user():
        corpus = built(settings(shared / "notes.jsonl"))
    assert corpus.folder.is_dir()
    if os.geteuid() == 0:
        assert (shared / "cache" / "corpora" / ".another.unfinished").is_dir()

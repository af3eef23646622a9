"""Shares of a corpus, cleaned and tokenised by tasks of datatrove, are the bytes that one machine writes."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_corpus import (
    EVERYTHING,
    FILES,
    SECRET,
    built,
    bytes_of,
    counted,
    failure,
    messy,
    names,
    sentences,
    settings,
    with_copies,
    write,
)

from bertinchamps.contract import Document
from bertinchamps.data import cluster as cluster_module
from bertinchamps.data.cluster import cluster_problems, prepare_on_cluster
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.shards.tasks import Tokenise
from bertinchamps.data.sources import sources
from bertinchamps.schemas import PrepareConfig

__all__ = ["messy"]  # a fixture


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "cache"))


class InTurn:
    """An executor without datatrove: one task after the other, in this process."""

    waits = True

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks

    def submit(self, name: str, task: Any, shards: int, logs: Path) -> str:
        for rank in range(shards):
            task(None, rank, shards)
        return name


@pytest.fixture
def in_turn(monkeypatch: pytest.MonkeyPatch) -> Callable[[PrepareConfig, int], Corpus]:
    def prepared(config: PrepareConfig, tasks: int) -> Corpus:
        monkeypatch.setattr(cluster_module.executors, "build", lambda name, **arguments: InTurn(tasks))
        corpus = prepare_on_cluster(config, {"name": "in_turn"}, lambda _: None)
        assert corpus is not None
        return corpus

    return prepared


def on_one_machine(config: PrepareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    with monkeypatch.context() as patch:
        patch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "one"))
        return built(config)


def assert_same(ours: Corpus, theirs: Corpus) -> None:
    assert ours.fingerprint == theirs.fingerprint
    assert bytes_of(ours) == bytes_of(theirs)
    assert counted(ours) == counted(theirs)
    assert names(ours.folder) == FILES


def many_files(messy: list[Path]) -> list[str]:
    """The documents of the two files in nine of different sizes."""
    lines = [line for path in messy for line in path.read_text(encoding="utf-8").splitlines(keepends=True)]
    files = []
    for number, end in enumerate([1, 40, 90, 91, 150, 230, 260, 300, len(lines)]):
        start = 0 if number == 0 else int(files[-1].stem.split("_")[1])
        files.append(messy[0].parent / f"{number}_{end}.jsonl")
        files[-1].write_text("".join(lines[start:end]), encoding="utf-8")
    return [str(file) for file in files]


@pytest.mark.parametrize("steps", [EVERYTHING, EVERYTHING[1:4], EVERYTHING[3:4], []], ids=len)
@pytest.mark.parametrize("tasks", [1, 4, 12])
@pytest.mark.parametrize("own", [False, True])
def test_any_number_of_tasks_writes_the_bytes_of_one_machine(
    messy: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_turn: Callable[..., Corpus],
    steps: list[dict[str, Any]],
    tasks: int,
    own: bool,
) -> None:
    data: dict[str, Any] = {"files": many_files(messy)}
    if own:
        data["held_out_files"] = [str(write(tmp_path / "own.jsonl", [*sentences(30, 5), *sentences(9)]))]
    config = settings(messy[0], data, steps, tokens_per_character=0.5)
    theirs = on_one_machine(config, tmp_path, monkeypatch)
    ours = in_turn(config, tasks)
    assert_same(ours, theirs)
    assert names(tmp_path / "cache" / "corpora") == [ours.fingerprint]
    assert in_turn(config, tasks).fingerprint == ours.fingerprint  # found


def test_tasks_find_copies_of_held_out_documents_before_cleaning_and_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_turn: Callable[..., Corpus]
) -> None:
    data, train, _ = with_copies(tmp_path)
    steps = [{"name": "exact_duplicates"}, {"name": "unicode"}, {"name": "repeated_lines"}]
    config = settings(tmp_path, data, steps)
    ours = in_turn(config, 2)
    assert_same(ours, on_one_machine(config, tmp_path, monkeypatch))
    assert ours.manifest["train"]["documents"] == len(train)
    assert ours.manifest["dropped"] == {"copy of a held-out document": 20}


def test_two_workers_of_datatrove_do_it(
    messy: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(messy[0], {"files": many_files(messy)}, EVERYTHING)
    said: list[str] = []
    corpus = prepare_on_cluster(config, {"name": "local", "workers": 2, "tasks": 3}, said.append)
    assert corpus is not None
    assert_same(corpus, on_one_machine(config, tmp_path, monkeypatch))
    assert [line.split(",")[0] for line in said if line.startswith("cluster")] == [
        f"cluster: {task}"
        for task in ("look-0", "decide-0", "look-1", "decide-1", "look-2", "decide-2", "tokenise", "join")
    ]
    assert names(tmp_path / "cache" / "corpora") == [corpus.fingerprint]


def test_a_task_that_failed_says_why_and_the_rest_is_not_done_again(
    messy: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    files = many_files(messy)
    broken, whole = Path(files[-1]), Path(files[-1]).read_bytes()
    config = settings(messy[0], {"files": files}, EVERYTHING[:1], sample_characters=200)
    theirs = on_one_machine(config, tmp_path, monkeypatch)
    hashes = sources.build("files", files=files).fingerprint()
    monkeypatch.setattr("bertinchamps.data.sources.files.FilesSource.fingerprint", lambda *_: hashes)
    broken.write_bytes(whole + f'{{"text": "{SECRET}\n'.encode())
    on_two = {"name": "local", "workers": 1, "tasks": 2}
    message = failure(lambda: prepare_on_cluster(config, on_two, lambda _: None))
    assert f"{broken}: line {whole.count(b'{') + 1}: not valid JSON" in message
    logs = [file.read_text(encoding="utf-8") for file in tmp_path.rglob("*.log")]
    assert any("not valid JSON" in log for log in logs)
    assert not any(SECRET in text for text in [*logs, *capfd.readouterr()])
    broken.write_bytes(whole)
    corpus = prepare_on_cluster(config, on_two, lambda _: None)
    assert corpus is not None
    assert bytes_of(corpus) == bytes_of(theirs)
    assert "Skipping 1 already completed tasks" in capfd.readouterr().err


SBATCH = """#!/usr/bin/env bash
# Slurm of one machine: runs the tasks of a job array at once, and prints the number of the job.
for word in "$@"; do
  case "$word" in --export=*) export "RUN_OFFSET=${word##*RUN_OFFSET=}";; --*) ;; *) script="$word";; esac
done
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
export SLURM_NODELIST=localhost SLURM_JOB_ID=7
for task in $(seq 0 "${last:-0}"); do SLURM_ARRAY_TASK_ID=$task bash "$script" >> "$SLURM_LOG" 2>&1; done
grep -h '^#SBATCH --\\(partition\\|account\\|cpus\\)' "$script" >> "$SLURM_LOG.settings"
echo "Submitted batch job 7"
"""
SRUN = '#!/usr/bin/env bash\nwhile [[ "$1" == -* ]]; do [[ "$1" == -n ]] && shift; shift; done\nexec "$@"\n'


def test_slurm_is_given_arrays_of_jobs(
    messy: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {"sbatch": SBATCH, "srun": SRUN, "scontrol": "#!/bin/sh\necho localhost\n"}.items():
        (programs / name).write_text(script)
        (programs / name).chmod(stat.S_IRWXU)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("SLURM_LOG", str(tmp_path / "slurm.log"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    config = settings(messy[0], {"files": many_files(messy)}, EVERYTHING[:1])
    slurm = {"name": "slurm", "partition": "cpu", "tasks": 2, "sbatch_args": {"account": "hospital"}}
    said: list[str] = []
    corpus = prepare_on_cluster(config, slurm, said.append)
    assert corpus is not None, (tmp_path / "slurm.log").read_text()  # this Slurm is done at once
    assert "cluster: join, 1 tasks: job 7" in said
    asked = (tmp_path / "slurm.log.settings").read_text()
    assert "--partition=cpu" in asked
    assert "--account=hospital" in asked
    assert_same(corpus, on_one_machine(config, tmp_path, monkeypatch))
    assert names(tmp_path / "cache" / "corpora") == [corpus.fingerprint]


class Later(InTurn):
    """Submits jobs and does not wait for them; one name is refused."""

    waits = False

    def __init__(self, refused: str = "") -> None:
        super().__init__(tasks=2)
        self._refused = refused

    def submit(self, name: str, task: Any, shards: int, logs: Path) -> str:
        if name == self._refused:
            raise OSError("sbatch: QOS limit")
        return "job 7"


def test_jobs_that_may_still_run_are_not_submitted_again(
    messy: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module.executors, "build", lambda name, **arguments: Later())
    config = settings(messy[0])
    said: list[str] = []
    assert prepare_on_cluster(config, {"name": "later"}, said.append) is None
    assert said[-1] == "cluster: when the last job is done, the same command opens the corpus"
    message = failure(lambda: prepare_on_cluster(config, {"name": "later"}, lambda _: None))
    assert message.startswith("tasks were submitted before (tokenise (job 7) join (job 7))")


def test_jobs_that_were_submitted_before_one_failed_are_reported(
    messy: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module.executors, "build", lambda name, **arguments: Later("join"))
    message = failure(lambda: prepare_on_cluster(settings(messy[0]), {"name": "later"}, lambda _: None))
    assert "OSError: sbatch: QOS limit). Cancel what was submitted (tokenise (job 7) join)" in message
    again = failure(lambda: prepare_on_cluster(settings(messy[0]), {"name": "later"}, lambda _: None))
    assert again.startswith("tasks were submitted before (tokenise (job 7) join)")


def test_another_number_of_tasks_has_nothing_to_do_with_what_is_half_done(
    messy: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_turn: Callable[..., Corpus]
) -> None:
    config = settings(messy[0], {"files": many_files(messy)}, EVERYTHING)
    theirs = on_one_machine(config, tmp_path, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(Tokenise, "run", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        assert "OSError" in failure(lambda: in_turn(config, 3))
    assert_same(in_turn(config, 5), theirs)
    assert names(tmp_path / "cache" / "corpora") == [theirs.fingerprint]


def test_what_lies_between_the_stages_is_its_owners_alone(
    messy: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_turn: Callable[..., Corpus]
) -> None:
    modes: dict[str, int] = {}
    run = Tokenise.run

    def looking(self: Tokenise, rank: int, world_size: int) -> None:
        modes[""] = self.work.folder.stat().st_mode & 0o777
        assert names(self.work.folder / "texts-0")
        run(self, rank, world_size)

    monkeypatch.setattr(Tokenise, "run", looking)
    before = os.umask(0)
    try:
        corpus = in_turn(settings(messy[0], {"files": many_files(messy)}, EVERYTHING), 2)
    finally:
        os.umask(before)
    assert modes == {"": 0o700}
    assert not any(path.stat().st_mode & 0o077 for path in [corpus.folder, *corpus.folder.rglob("*")])


@pytest.mark.parametrize(
    ("data", "number"),
    [({"name": "demo", "documents": 7}, 7), ({"name": "files"}, 61)],
    ids=["demo", "files"],
)
def test_shares_make_up_the_source(tmp_path: Path, data: dict[str, Any], number: int) -> None:
    if data["name"] == "files":
        files = [write(tmp_path / f"{n}.jsonl", sentences(n * n % 19 + 1, n)) for n in range(7)]
        data = {**data, "files": [str(file) for file in files]}
    source: Any = sources.build(**data)
    whole = [document.text for document in source.documents()]
    for tasks in range(1, 10):
        parts = [[document.text for document in source.shard(rank, tasks)] for rank in range(tasks)]
        assert [text for part in parts for text in part] == whole
    assert len(whole) == number or data["name"] == "files"


class Whole:
    """A source that can only be read from its beginning to its end."""

    def check(self) -> None: ...

    def fingerprint(self, quick: bool = False) -> dict[str, object]:
        return {}

    def documents(self, after: Any = None) -> Iterator[Document]:
        return iter(())

    def held_out(self) -> None: ...

    def sample(self, characters: int) -> Iterator[Document]:
        return iter(())


def test_a_source_that_cannot_be_divided_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sources._builders, "whole", Whole)
    (problem,) = cluster_problems({"name": "local"}, {"name": "whole"})
    assert problem.startswith("data=whole: this source has no method `shard`")
    assert cluster_problems({"name": "local"}, {"name": "demo", "online": False}) == []


def test_mistakes_are_named_by_key() -> None:
    assert cluster_problems({"name": "local", "tasks": 0}, {}) == ["cluster.tasks=0: must be at least 1"]
    assert cluster_problems({"name": "local", "workers": 0}, {}) == ["cluster.workers=0: must be at least 1"]
    assert "prepare it without +cluster" in cluster_problems({"name": "local"}, {"name": "mix"})[0]
    assert "leave it out" in cluster_problems({"name": "local"}, {"name": "hub", "max_documents": 3})[0]
    (problem,) = cluster_problems({"name": "slurm"}, {})
    assert problem.startswith("cluster.partition: slurm needs it")
    assert cluster_problems({"name": "slrm"}, {})[0].startswith("cluster=slrm: no such cluster; did you mean")

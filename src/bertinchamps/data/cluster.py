"""Preparation on many machines: datatrove runs the tasks of `shards/`, knows which are done, and talks to Slurm.

CACHE/corpora/.FINGERPRINT.cluster-TASKS/   what the tasks write, until the corpus is whole
    logs/                                   datatrove's
    submitted.txt                           the jobs, where they run without being waited for
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from bertinchamps.console import Tell
from bertinchamps.data.building import locked, reporting
from bertinchamps.data.corpus import Corpus, open_corpus
from bertinchamps.data.planning import build_source, plan_corpus
from bertinchamps.data.shards.tasks import tasks_of
from bertinchamps.data.shards.work import Divisible, Task, Work
from bertinchamps.errors import UserError
from bertinchamps.registry import Registry
from bertinchamps.schemas import PrepareConfig, named

SUBMITTED = "submitted.txt"


class Executor(Protocol):
    """Runs tasks somewhere.

    Attributes:
        tasks: shards of the source.
        waits: `submit` returns when the tasks are done.
    """

    tasks: int
    waits: bool

    def submit(self, name: str, task: Task, shards: int, logs: Path) -> str:
        """Run a task on so many shards, after all that was submitted before; returns its state, for the log."""


executors: Registry[Executor] = Registry("cluster", "cluster")


@executors.register("local")
class Local:
    """Processes of this machine, which stand in for a cluster.

    Args:
        workers: at once.
        tasks: shards of the source.
    """

    waits = True

    def __init__(self, workers: int = 2, tasks: int = 2) -> None:
        self.tasks, self._workers = tasks, workers

    def submit(self, name: str, task: Task, shards: int, logs: Path) -> str:
        """Run a task on so many shards."""
        run = _datatrove().LocalPipelineExecutor(
            [task],
            tasks=shards,
            workers=min(self._workers, shards),
            logging_dir=str(logs / name),
            start_method="spawn",
        )
        run.run()
        return "done"


@executors.register("slurm")
class Slurm:
    """Slurm jobs, each of which waits for the one before.

    Args:
        partition: of the cluster.
        tasks: shards of the source.
        time: limit of a task.
        workers: tasks at once; -1 for as many as the cluster gives.
        cpus_per_task: the tokenizer uses them all.
        mem_per_cpu_gb: the tasks that decide may need more: about 100 bytes a document.
        qos: quality of service.
        env_command: run before a task, such as `source /shared/venv/bin/activate`.
        sbatch_args: further ones, such as `{account: hospital}`.
    """

    waits = False

    def __init__(
        self,
        partition: str,
        tasks: int = 64,
        time: str = "24:00:00",
        workers: int = -1,
        cpus_per_task: int = 2,
        mem_per_cpu_gb: int = 4,
        qos: str | None = None,
        env_command: str | None = None,
        sbatch_args: dict[str, Any] | None = None,
    ) -> None:
        self.tasks = tasks
        self._settings: dict[str, Any] = {
            "partition": partition,
            "time": time,
            "workers": workers,
            "cpus_per_task": cpus_per_task,
            "mem_per_cpu_gb": mem_per_cpu_gb,
            "qos": qos or "",
            "env_command": env_command,
            "sbatch_args": sbatch_args,
        }
        self._before: Any = None

    def submit(self, name: str, task: Task, shards: int, logs: Path) -> str:
        """Submit a job array that begins when the one before has ended well."""
        job = _datatrove().SlurmPipelineExecutor(
            [task],
            tasks=shards,
            job_name=f"bertinchamps_{name}",
            logging_dir=str(logs / name),
            depends=self._before,
            **self._settings,
        )
        job.run()
        self._before = job
        return "done before" if job.job_id == -1 else f"job {job.job_id}"


def _datatrove() -> Any:
    os.environ.setdefault(
        "LOGURU_DIAGNOSE", "NO"
    )  # or tracebacks in its logs would show variables, and so texts
    import datatrove.executor

    return datatrove.executor


def prepare_on_cluster(config: PrepareConfig, settings: Mapping[str, Any], tell: Tell) -> Corpus | None:
    """Build the tokenizer here and the blocks in tasks, or find them built.

    Args:
        config: data, cleaning, tokenizer and blocks.
        settings: the node `cluster`.
        tell: reports what was submitted.

    Returns:
        The corpus, or None where the tasks are still to be run by the cluster.

    Raises:
        UserError: documents cannot be read, or a task failed.
    """
    name, arguments = named(dict(settings))
    executor = executors.build(name, **arguments)
    plan = plan_corpus(config, tell)
    # the name holds the number of tasks: another number has other shards
    folder = plan.folder.with_name(f".{plan.folder.name}.cluster-{executor.tasks}")
    if not plan.folder.is_dir():
        with reporting(plan.folder.parent), locked(plan.folder, tell):
            folder.mkdir(exist_ok=True, mode=0o700)
            if not plan.folder.is_dir():
                work = Work(folder, plan.source, plan.config, plan.tokenizer_folder, plan.facts)
                _submit(work, plan.folder, executor, tell)
    if not plan.folder.is_dir():
        tell("cluster: when the last job is done, the same command opens the corpus")
        return None
    for left in plan.folder.parent.glob(f".{plan.folder.name}.cluster-*"):
        shutil.rmtree(left, ignore_errors=True)  # Slurm may still be writing statistics into the logs
    return open_corpus(plan.folder, plan.tokenizer_folder, config.blocks, tell)


def _submit(work: Work, target: Path, executor: Executor, tell: Tell) -> None:
    submitted, logs = work.folder / SUBMITTED, work.folder / "logs"
    if submitted.exists():
        raise UserError(
            f"tasks were submitted before ({submitted.read_text(encoding='utf-8').strip()}). If they are over and did "
            f"not build the corpus, see {logs}, delete {submitted}, and give the same command again"
        )
    try:
        for stage, task, shards in tasks_of(work, target, executor.tasks):
            if not executor.waits:  # written first: what is submitted may run, whatever happens here
                with submitted.open("a", encoding="utf-8") as stream:
                    stream.write(f"{stage} ")
            job = executor.submit(stage, task, shards, logs)
            tell(f"cluster: {stage}, {shards} tasks: {job}")
            if not executor.waits and submitted.exists():
                with submitted.open("a", encoding="utf-8") as stream:
                    stream.write(f"({job}) ")
    except Exception as error:
        if not executor.waits:
            done = submitted.read_text(encoding="utf-8").strip()
            raise UserError(
                f"submitting failed ({type(error).__name__}: {str(error)[:200]}). Cancel what was submitted ({done}), "
                f"delete {submitted}, and give the same command again"
            ) from None
        reported = [file.read_text(encoding="utf-8") for file in sorted(work.folder.glob("problem-*"))]
        reasons = "\n".join(reported) or f"{type(error).__name__}; see {logs}"
        raise UserError(f"a task failed; the same command goes on with what is done: {reasons}") from None


def _indivisible(data: Mapping[str, Any]) -> list[str]:
    """What keeps tasks from sharing a source, in the user's key names."""
    name = data.get("name")
    if name == "mix":
        return ["data=mix: its order cannot be divided among tasks; prepare it without +cluster"]
    if data.get("max_documents") is not None:
        return ["data.max_documents: tasks of a cluster read whole files; leave it out"]
    try:
        divisible = isinstance(build_source(dict(data)), Divisible)
    except UserError:  # reported where sources are checked
        return []
    return (
        []
        if divisible
        else [
            f"data={name}: this source has no method `shard`, by which tasks divide its documents; prepare it "
            "without +cluster"
        ]
    )


def cluster_problems(settings: Mapping[str, Any], data: Mapping[str, Any]) -> list[str]:
    """Mistakes in the node `cluster`, and what of the node `data` no cluster can do, in the user's key names."""
    name, arguments = named(dict(settings))
    problems = executors.problems(name, arguments)
    if not problems:
        keys = ("tasks", "cpus_per_task", "mem_per_cpu_gb", *(("workers",) if name == "local" else ()))
        wrong = [key for key in keys if arguments.get(key, 1) < 1]
        problems = [f"cluster.{key}={arguments[key]}: must be at least 1" for key in wrong]
    problems += _indivisible(data)
    if data.get("on_error") == "skip":
        problems.append("data.on_error=skip: tasks of a cluster do not count what they leave out; use stop")
    try:
        import datatrove  # noqa: F401
    except ModuleNotFoundError:
        problems.append("cluster: needs datatrove: pip install 'bertinchamps[cluster]'")
    return problems

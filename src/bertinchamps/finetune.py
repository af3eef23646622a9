"""python -m bertinchamps.finetune: an encoder and examples in, a model, its predictions and honest scores out."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if __name__ == "__main__":  # what follows imports torch, and waits until the command line has proved right
    command_line.run("finetune")
    sys.exit()

import shlex
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bertinchamps.checks.finetuning import length_remarks, refuse_unusable
from bertinchamps.console import tell
from bertinchamps.errors import Stopped
from bertinchamps.reporting.html.page import page_lines, write_run_page
from bertinchamps.schemas import FinetuneConfig
from bertinchamps.tasks.distillation import config_of_teacher, with_teachers
from bertinchamps.tasks.encoder_source import encoder_name, prepare_tokenizer
from bertinchamps.tasks.examples import Examples, read_examples
from bertinchamps.tasks.finetuning import FineTuning
from bertinchamps.tasks.folds import config_of_fold, folds_of
from bertinchamps.tasks.score_lines import score_lines
from bertinchamps.textfiles.limits import reading
from bertinchamps.training.assembly import assemble
from bertinchamps.training.distributed import Processes, join
from bertinchamps.training.hook import Hook
from bertinchamps.training.hooks import Selection
from bertinchamps.training.run import Run, going_on
from bertinchamps.training.run_files import FOLDS, TEACHERS, read_facts, read_summary
from bertinchamps.training.runtime import build_runtime
from bertinchamps.training.shared_run import open_shared_run


@reading
def finetune(config: FinetuneConfig, more_hooks: Sequence[Hook] = ()) -> Path:
    """Fine-tune one configuration.

    Args:
        config: the settings.
        more_hooks: called after all others while training.

    Returns:
        The run's directory, with the model, its predictions and results.json in it.

    Raises:
        UserError: something the user can mend; nothing that existed was lost.
    """
    processes = join()
    examples = processes.together(lambda: read_examples(config))
    encoder = str(encoder_name(config))
    processes.together(lambda: refuse_unusable(config, examples, encoder))
    remarks = (*examples.remarks, *length_remarks(config, encoder))
    examples = replace(examples, remarks=remarks)
    label, settled = examples.run_label(config.head, config.seed), {"encoder": encoder}
    run = open_shared_run("finetune", config, examples.fingerprint, label, processes, settled)
    with going_on(run):
        if run.finished:
            processes.tell(f"{run.folder}: this run is finished, so nothing was trained; its results:")
        else:
            cross_validate(config, examples, run, processes)
            train(config, examples, run, processes, more_hooks)
        if config.report.html:
            processes.from_first(lambda: write_run_page(run.folder, tell, config.report.show_text))
        results = processes.from_first(lambda: read_summary(run.folder, "finetune"))
    processes.tell(*score_lines(results, run.folder), *page_lines(run.folder))
    processes.tell(
        f"next       python -m bertinchamps.predict model={shlex.quote(str(run.folder))} input=TEXTS output=FOUND.jsonl"
    )
    return run.folder


def train(
    config: FinetuneConfig,
    examples: Examples,
    run: Run,
    processes: Processes,
    more_hooks: Sequence[Hook] = (),
) -> None:
    """Train until the budget ends; score dev and test with the weights that were best on dev, once."""
    config = taught(config, examples, run, processes)
    runtime = build_runtime(config.runtime, processes)
    processes.from_first(lambda: prepare_tokenizer(config, run, examples.texts()))
    problem = FineTuning(config, examples, run, runtime)
    selection = partial(Selection, config.selection, problem.metric)
    with assemble(config, problem, runtime, run, selection, processes, more_hooks) as training:
        training.fit()
        training.conclude()


def cross_validate(config: FinetuneConfig, examples: Examples, run: Run, processes: Processes) -> None:
    """Fine-tune once for each fold (`selection.folds`), one after another; finished ones are not done again."""
    count = config.selection.folds
    if count is None:
        return
    folds = processes.together(lambda: folds_of(examples, count, config.selection.dev_share))
    processes.tell(f"folds      {count} fine-tunings in {run.folder / FOLDS}, then that of {run.folder.name}")
    for number, fold in enumerate(folds, start=1):
        own = config_of_fold(config, run.folder, number)
        _train_part(own, fold, run, processes, "fold", f"{number} of {count}")


def taught(config: FinetuneConfig, examples: Examples, run: Run, processes: Processes) -> FinetuneConfig:
    """Fine-tune the run's own teachers (`distillation.own_teachers`), one after another, unless they are finished.

    Returns:
        The settings with them among the teachers.
    """
    count = config.distillation.own_teachers
    if count == 0:
        return config
    processes.tell(f"teachers   {count} in {run.folder / TEACHERS}, then the student {run.folder.name}")
    own = [config_of_teacher(config, run.folder, number) for number in range(1, count + 1)]
    for number, each in enumerate(own, start=1):
        _train_part(each, examples, run, processes, "teacher", f"{number} of {count}")
    return with_teachers(config, [Path(str(each.run_dir)) for each in own])


def _train_part(
    config: FinetuneConfig, examples: Examples, run: Run, processes: Processes, what: str, which: str
) -> None:
    """Fine-tune a part of a run, a fold or a teacher, unless it is finished.

    Raises:
        Stopped: a signal came; the run's own command goes on.
    """
    settled = {"encoder": str(read_facts(run.folder)["encoder"])}
    label = examples.run_label(config.head, config.seed)
    opened = open_shared_run("finetune", config, examples.fingerprint, label, processes, settled)
    with opened.lock:
        if opened.finished:
            processes.tell(f"{what:<10} {which} is finished")
            return
        processes.tell(f"{what:<10} {which}")
        try:
            train(config, examples, opened, processes)
        except Stopped as error:
            raise Stopped(
                f"stopped in {what} {which}; the same command with resume={run.folder} goes on", error.number
            ) from error


def score(config: FinetuneConfig) -> float:
    """Fine-tune one configuration and return its best dev score: what a sweep compares, never test."""
    folder = finetune(config)
    results = join().from_first(lambda: read_summary(folder, "finetune"))
    return float(results["selection"]["value"])

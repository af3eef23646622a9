"""python -m bertinchamps.pretrain: documents in, a French masked language model out, inside a budget."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if __name__ == "__main__":  # what follows imports torch, and waits until the command line has proved right
    command_line.run("pretrain")
    sys.exit()

import shlex
from functools import partial
from pathlib import Path

import torch

from bertinchamps.checks.pretraining import remarks
from bertinchamps.console import Tell, tell
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.online import open_online
from bertinchamps.data.preparation import prepare
from bertinchamps.data.samples import with_samples
from bertinchamps.objectives import build_objective
from bertinchamps.objectives.base_tokenizer import with_tokenizer_of_base
from bertinchamps.reporting.html.page import page_lines, write_run_page
from bertinchamps.schemas import PretrainConfig
from bertinchamps.training.assembly import assemble
from bertinchamps.training.distributed import Processes, join
from bertinchamps.training.figures import draw_losses
from bertinchamps.training.hooks import Evaluation
from bertinchamps.training.run import Run, going_on
from bertinchamps.training.run_files import read_facts, read_summary
from bertinchamps.training.runtime import build_runtime
from bertinchamps.training.shared_run import open_shared_run


def pretrain(config: PretrainConfig) -> Path:
    """Pretrain one configuration, and return the run's directory with the finished model in it.

    Raises:
        UserError: something the user can mend; nothing that existed was lost.
    """
    processes = join()
    processes.tell(*remarks(config))
    corpus = open_corpus(config, processes)
    objective = build_objective(config, corpus, torch.device("cpu"))  # refuses before there is a directory
    label = f"{config.arch.num_hidden_layers}x{config.arch.hidden_size}"
    if config.model is not None:
        base = Path(config.model)
        label = base.parent.name if base.name == "model" else base.name
    origins = {"origins": found} if (found := objective.origins()) else {}
    run = open_shared_run("pretrain", config, corpus.fingerprint, label, processes, origins)
    with going_on(run):
        if run.finished:
            processes.tell(f"{run.folder}: this run is finished, so nothing was trained; its scores:")
        else:
            train(config, corpus, run, processes)
        summary = processes.from_first(lambda: read_summary(run.folder))
    processes.tell(*objective.summary_lines(summary, run.folder), *page_lines(run.folder))
    model = shlex.quote(str(run.folder / "model"))
    processes.tell(f"next       python -m bertinchamps.finetune model={model} task=ner task.train=ANNOTATED")
    return run.folder


def train(config: PretrainConfig, corpus: Corpus, run: Run, processes: Processes) -> None:
    """Train until the budget ends; leave a model, a summary and a figure in the run's directory."""
    runtime = build_runtime(config.runtime, processes)
    objective = build_objective(config, corpus, runtime.device)
    objective.begun_with(read_facts(run.folder).get("origins", {}))
    evaluation = partial(Evaluation, config.evaluation)
    more_hooks = objective.base.hooks() if objective.base else []
    with assemble(config, objective, runtime, run, evaluation, processes, more_hooks) as training:
        training.fit()
        training.conclude()
    processes.from_first(lambda: draw_losses(run.folder))  # last, so that a figure that fails costs no run
    if config.report.html:
        processes.from_first(lambda: write_run_page(run.folder, tell))


def open_corpus(config: PretrainConfig, processes: Processes) -> Corpus:
    """The corpus, built by one process of each machine, and opened by the others as soon as it is there."""

    def build(shaped: PretrainConfig, tell: Tell) -> Corpus:
        return with_samples(
            (open_online if config.data.get("online") else prepare)(shaped, tell), config, tell
        )

    shaped = processes.together(lambda: with_tokenizer_of_base(config))
    built = processes.together(lambda: build(shaped, tell) if processes.local_rank == 0 else None)
    return processes.together(lambda: built or build(shaped, lambda message: None))


def score(config: PretrainConfig) -> float:
    """Pretrain one configuration and return its headline score on held-out documents: what a sweep compares."""
    folder = pretrain(config)
    summary = join().from_first(lambda: read_summary(folder))
    return float(summary["held_out"][summary.get("headline", "loss")])

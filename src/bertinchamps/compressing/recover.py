"""recover: a short training of what a step left, head and all; of a masked language model, see `recovering_masked`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from bertinchamps.compressing import Done, Material, steps
from bertinchamps.compressing.rebuilding import copy_files, write_model
from bertinchamps.compressing.recovering_masked import RUN, recover_masked_lm
from bertinchamps.console import counted
from bertinchamps.errors import Stopped, UserError
from bertinchamps.exporting.source import Source
from bertinchamps.model.adapters import adapters
from bertinchamps.model.adapters.saved import is_adapter
from bertinchamps.model.encoders import open_config
from bertinchamps.schemas import (
    BudgetConfig,
    DistillationConfig,
    FinetuneConfig,
    FinetuneReportConfig,
)
from bertinchamps.tasks.distillation import student_problems
from bertinchamps.tasks.finetuning import FineTuning
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.texts.losses import PLAIN
from bertinchamps.textfiles.texts import entry_problems
from bertinchamps.training.assembly import assemble
from bertinchamps.training.hooks import Selection
from bertinchamps.training.optim import RATE_TIMES_WIDTH
from bertinchamps.training.privacy.guarantee import is_guaranteed
from bertinchamps.training.run import open_run
from bertinchamps.training.run_files import read_summary
from bertinchamps.training.runtime import Runtime, build_runtime

MERGED = ".merged"  # beside the model that is trained: an adapter and its base as one
GENTLE = (
    0.1  # of the run's learning rate: at all of it a trained model loses what it has learnt (docs/log.md)
)


class Recovery(FineTuning):
    """Fine-tuning that begins with the head of a model, too.

    Args:
        start: directory of the model.
        given: as for `FineTuning`.
    """

    long_results = False  # nobody asks for them

    def __init__(self, start: Path, *given: Any) -> None:
        super().__init__(*given)
        self._start = start

    def build_model(self, resumed_from: Path | None) -> nn.Module:
        return super().build_model(resumed_from or self._start)


def _problems(settings: Any) -> list[str]:
    epochs, rate, weight = settings.get("epochs", 1), settings.get("learning_rate"), settings.get("weight", 0)
    files, passages = settings.get("files", ()), settings.get("passages", 0)
    menu = (
        (
            "files",
            ", ".join(files),
            not files or settings.get("teacher"),
            "nobody labels them; give teacher=true",
        ),
        ("passages", passages, passages >= 0, "must be at least 0; 0: no texts without labels"),
        ("epochs", epochs, epochs > 0, "must be above zero"),
        ("learning_rate", rate, rate is None or rate > 0, "must be above zero; null: a tenth of the run's"),
        ("weight", weight, 0 <= weight <= 1, "from 0 to 1"),
    )
    found = [f"steps.{name}={value}: {remedy}" for name, value, right, remedy in menu if not right]
    return found + entry_problems("steps.files", files)


@steps.register("recover", check=_problems)
class Recover:
    """Trains the model again on the run's examples; the weights that are best on dev are kept.

    Where no epoch scores higher than before, the model stays as it was. A masked language model is trained on the texts
    of `texts=` that do not score, and kept where held-out ones of them have a lower loss (`recovering_masked.py`).

    Args:
        epochs: passes over the training examples, or over the texts.
        learning_rate: highest one; None: a tenth of the run's, as the weights are those of a trained model, or of the
            rate by width where the run trained an adapter; for a masked language model that of `experiment=continue`.
        teacher: the model before all steps gives probabilities, beside the labels.
        weight: the teacher's share of the targets.
        files: texts without labels that the teacher labels, as PATH or PATH::PART; empty: those of `texts=`.
        passages: of these texts at the most; 0: none.
    """

    def __init__(
        self,
        epochs: float = 3.0,
        learning_rate: float | None = None,
        teacher: bool = False,
        weight: float = 0.5,
        files: Sequence[str] = (),
        passages: int = 2_000,
    ) -> None:
        self.epochs, self.learning_rate = epochs, learning_rate
        self.teacher, self.weight = teacher, weight
        self.files, self.passages = tuple(files), passages

    def problems(self, material: Material) -> list[str]:
        facts = material.source.facts
        found = material.text_problems()
        if facts is None and self.teacher:
            return [
                *found,
                "steps.teacher=true: teaches models of finetune, not masked language models; leave it out",
            ]
        if facts is not None and self.teacher:
            loss = facts.loss.get("name", PLAIN)
            found += student_problems("steps.teacher=true", kinds.build(facts.kind), loss)
            if self.files and facts.pairs:
                found.append("steps.files: are single texts, and the model reads pairs; leave them out")
        if facts is not None and is_guaranteed(material.source.folder):
            found.append(
                "steps: recover trains on the records of train again, which the model protects (privacy=dp_sgd): the "
                "guarantee would be void; leave it out"
            )
        return found

    def apply(self, folder: Path, material: Material, place: Path) -> Done:
        facts = material.source.facts
        if facts is None:
            return recover_masked_lm(folder, material, place, self.epochs, self.learning_rate)
        if (examples := material.examples).labels != facts.labels:
            raise UserError(
                f"model={material.config.model}: its labels are not those of the examples, so it cannot be trained on"
            )
        folder = _whole(material.at(folder), place)
        config = self._settings(folder, material, place / RUN)
        run = open_run(
            "finetune", config, examples.fingerprint, "recovery", lambda line: None, {"encoder": str(folder)}
        )
        with run.lock:
            runtime = build_runtime(config.runtime)
            problem = Recovery(folder, config, examples, run, runtime)
            selection = partial(Selection, config.selection, problem.metric)
            with assemble(config, problem, runtime, run, selection) as training:
                start = _score(problem, training.trainer.model, runtime)
                training.fit()
                if training.trainer.stop_requested:
                    raise Stopped(
                        "stopped while recovering; nothing was written", training.trainer.stopped_by
                    )
                best = dict(training.scoring.best)  # type: ignore[attr-defined]
        better = best["value"] > start
        trained = run.folder / "model" if better else folder
        copy_files(trained, place)
        shutil.rmtree(run.folder)
        shutil.rmtree(place / MERGED, ignore_errors=True)
        metric, score = problem.metric, max(start, best["value"])
        told = {"metric": metric, "dev_before": start, "dev": score, "kept": better, "epochs": self.epochs}
        found = f"best after {best['epoch']:g}" if better else "none was better than before"
        if self.teacher:
            told |= {"texts_without_labels": problem.unlabelled}
            found = f"taught on {counted(problem.unlabelled, 'text')} without labels, too; {found}"
        return Done(
            told, [f"recovered  {self.epochs:g} epochs, {found}: dev {metric} {start:.4f} → {score:.4f}"]
        )

    def _texts(self, material: Material) -> list[str]:
        """Files of the texts that the teacher labels; none where examples are pairs."""
        facts = material.source.facts
        if not (self.teacher and self.passages) or (facts is not None and facts.pairs):
            return []
        return list(self.files or material.config.texts)

    def _settings(self, folder: Path, material: Material, run_dir: Path) -> FinetuneConfig:
        """Those of the run, with another start and budget."""
        settings = material.settings
        rate = self.learning_rate or GENTLE * _rate_of(folder, material)
        rates = [
            "learning_rate",
            *(key for key in settings.optim if key.endswith("learning_rate")),
        ]  # Muon has two
        teachers = [str(_whole(material.source, run_dir.parent))] if self.teacher else []
        return replace(
            settings,
            model=str(folder),
            adapter={"name": "none"},
            privacy={"name": "none"},
            optim={**settings.optim, **dict.fromkeys(rates, rate)},
            budget=BudgetConfig(epochs=self.epochs),
            selection=replace(settings.selection, folds=None, score_test=False),
            distillation=DistillationConfig(
                teachers, self.weight, files=self._texts(material), passages=self.passages
            ),
            runtime=material.runtime,
            report=FinetuneReportConfig(html=False, intervals=0),
            tracker={"name": "none"},
            hooks=[],
            seed=material.config.seed,
            run_dir=str(run_dir),
            resume="never",
        )


def _whole(source: Source, place: Path) -> Path:
    """The directory of a model; an adapter and its base are written below `place` as one."""
    merged = place / MERGED
    if not is_adapter(source.folder):
        return source.folder
    if not merged.exists():
        merged.mkdir(mode=0o700)
        write_model(source.model(), source, source.tokenizer(), merged)
    return merged


def _score(problem: Recovery, model: nn.Module, runtime: Runtime) -> float:
    """The dev score of the model that is trained, as it is now."""
    model.eval()
    with torch.no_grad(), runtime.arithmetic():
        score = problem.evaluate(model)[problem.metric]
    model.train()
    return score


def _rate_of(folder: Path, material: Material) -> float:
    """The learning rate for all weights of a model: its run's highest one, which the results tell.

    A run that trained an adapter had a rate for the adapter's few weights; the rate by width stands in its place.
    """
    if not adapters.build(**material.settings.adapter).trains_encoder:
        return RATE_TIMES_WIDTH / float(open_config(str(folder)).hidden_size)
    run = cast(Path, material.run)  # without one, `Material.settings` has refused the model
    return float(read_summary(run, "finetune")["learning_rate"])

"""Fine-tuning as a `training.assembly.Problem`: encoder, head, examples, predictions and scores."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from bertinchamps.contract import Batch, Output
from bertinchamps.data import pretraining_facts
from bertinchamps.data.pretraining_facts import NO_PRETRAINING, in_a_sentence, seen
from bertinchamps.metrics.calibration import calibration
from bertinchamps.model.adapters import Adapter, adapters
from bertinchamps.model.adapters.saved import open_saved
from bertinchamps.model.flops import downstream_flops_per_token
from bertinchamps.model.heads import DownstreamModel
from bertinchamps.model.trained_rows import freeze_embeddings, train_rows
from bertinchamps.schemas import FinetuneConfig
from bertinchamps.tasks.distillation import Teachers, joint_cost, lessons_of
from bertinchamps.tasks.encoder_source import SCRATCH, label_of, open_encoder, remarks_on
from bertinchamps.tasks.evaluated import Evaluated
from bertinchamps.tasks.examples import Examples, Subtask
from bertinchamps.tasks.folds import write_results as folds_results
from bertinchamps.tasks.kinds import HasConfidences
from bertinchamps.tasks.protected_examples import protected
from bertinchamps.tasks.splits import counts_in_words, label_lines
from bertinchamps.training.assembly import Problem, Training
from bertinchamps.training.clock import Spent
from bertinchamps.training.hooks import Selection
from bertinchamps.training.run import Run
from bertinchamps.training.run_files import read_facts
from bertinchamps.training.runtime import Runtime
from bertinchamps.training.settings import settings_but_the_seed


class FineTuning(Problem):
    """What `finetune` trains.

    Args:
        config: the settings.
        examples: the examples and their kind.
        run: the run's directory, which holds the tokenizer of a model from scratch.
        runtime: device and precision of the model, and of teachers.

    Attributes:
        metric: the dev score that selects the weights.
        unlabelled: texts without labels that teachers label.
    """

    long_results = True  # each split is predicted, and teachers are scored

    def __init__(self, config: FinetuneConfig, examples: Examples, run: Run, runtime: Runtime) -> None:
        self._began, self._predicted_texts, self._predicting_seconds = time.perf_counter(), 0, 0.0
        self._settled: dict[str, Any] = {}
        self._config, self._examples, self._kind = config, examples, examples.kind
        self._tokenizer, self._source = open_encoder(config, run, run.resumed_from)
        self._adapter: Adapter = adapters.build(**config.adapter)
        self._base = read_facts(run.folder)["encoder"]
        self._remarks = [*examples.remarks, *remarks_on(self._base)]
        self.facts = self._kind.facts(config, examples.title, examples.splits, examples.labels)
        batch, evaluated = config.batch, config.batch.evaluation
        predictor = self._kind.build_predictor(self.facts, self._tokenizer, evaluated, runtime.device)
        self._teachers, lessons, self.unlabelled = None, None, 0
        if config.distillation.teachers:
            self._teachers = Teachers(config.distillation, evaluated, runtime)
            lessons = lessons_of(self._teachers, config.distillation, examples, config.seed)
            self.unlabelled = len(lessons.unlabelled)
        self._task = self._kind.build_task(examples.splits, predictor, batch, config.seed, lessons)
        self.privacy = protected(config, self._task, self._kind.record)
        self._evaluated = Evaluated(self._task, config.report)
        self._special = torch.tensor(self._tokenizer.all_special_ids, device=runtime.device)
        self.name, self.metric = self._task.name, config.selection.metric or self._task.metric
        self.predicted_fraction, self.tokens_per_position = self._task.predicted_fraction, config.max_length
        scratch = config.model == SCRATCH
        self._pretraining = None if scratch else pretraining_facts.read_facts(self._source.name)
        self._seen = self._saw(None)
        self._seen_of = {subtask.title: self._saw(subtask) for subtask in examples.subtasks}

    def _saw(self, subtask: Subtask | None) -> dict[str, Any]:
        """Whether pretraining saw the texts of dev and of test: of all examples, or of a subtask's."""
        splits = self._examples.splits if subtask is None else subtask.places
        return {
            split: NO_PRETRAINING
            if self._config.model == SCRATCH
            else seen(self._pretraining, self._examples.texts(split, subtask))
            for split in ("dev", "test")
            if split in splits
        }

    def epoch_length(self) -> int:
        return self.privacy.records if self.privacy else self._task.epoch_length()

    def batches(self, cursor: int, micro_batch: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        if self.privacy:
            return self.privacy.batches(cursor, micro_batch)
        return self._task.batches(cursor, micro_batch, rank, world_size)

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        if self._config.mask_rate and model.training:
            inputs = {**inputs, "input_ids": self._masked(inputs["input_ids"])}
        return self._task.loss(model, inputs)

    def _masked(self, ids: Tensor) -> Tensor:
        """Ids with some subwords hidden by the mask token, so that the model learns to use their neighbours."""
        chosen = torch.rand(ids.shape, device=ids.device) < self._config.mask_rate
        return ids.masked_fill(chosen & ~torch.isin(ids, self._special), self._tokenizer.mask_token_id)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return self._task.evaluate(model)

    def settle(self, model: nn.Module) -> None:
        """Choose on dev what the kind chooses for the final weights; `facts` has it from then on."""
        choice, task = self._config.selection, self._task
        if choice.temperature and isinstance(task, HasConfidences):
            before = calibration(task.decisions("dev", task.predict(model, "dev")))
            self.facts = replace(self.facts, temperature=task.fit_temperature(model))
            after = calibration(task.decisions("dev", task.predict(model, "dev")))
            errors = {"dev_ece_before": before.get("ece"), "dev_ece_after": after.get("ece")}
            self._settled = {"temperature": self.facts.temperature, **errors}
        settled = task.settled(model, self.facts, choice)
        self.facts = settled.facts
        if settled.wanted:
            self._settled["wanted"] = settled.wanted

    def build_model(self, resumed_from: Path | None) -> nn.Module:
        """The encoder with the kind's head; `open_encoder` was given `resumed_from` already."""
        build = partial(self._kind.build_model, self.facts)
        if resumed_from is not None:
            model, self._adapter = open_saved(resumed_from, build, self._base, self._config.dropout)
            return model
        model = build(self._source)
        self._adapter.attach(model, self._source.name)
        return model

    def flops_per_token(self, model: nn.Module) -> float:
        """FLOPs per token in a sequence of `max_length` tokens."""
        tuned: Any = model
        return downstream_flops_per_token(model, tuned.model.config, self._config.max_length)

    def narrow(self, model: nn.Module) -> None:
        """Train only those rows of the token embedding whose ids occur in train; with an adapter or privacy, none."""
        tuned: Any = model
        if self.privacy:
            if self._adapter.trains_encoder:
                freeze_embeddings(tuned.model)  # which rows change would tell which words train has
            self.privacy.attach(
                model, lambda *given: self.loss(*given).loss_sum, self._config.batch.micro_batch
            )
        elif self._adapter.trains_encoder:
            masks = {self._tokenizer.mask_token_id} if self._config.mask_rate else set()
            train_rows(tuned.model, self._task.train_ids() | masks)
        self._trained = sum(weights.numel() for weights in tuned.parameters() if weights.requires_grad)

    def describe(self, parameters: int, flops_per_token: float) -> Iterator[str]:
        """The model, the counts and labels of each split, and all remarks."""
        yield f"model      {parameters:,} parameters, from {self._source.name}"
        if adapted := self._adapter.describe():
            yield f"adapter    {self._trained:,} parameters are trained: the head, and {adapted}"
        if not self._adapter.trains_encoder and self._config.sparsity["name"] != "none":
            yield "note       sparsity: the encoder is frozen, so its zeros stay zeros anyway"
        for split in self._task.splits:
            yield f"{split:<10} {counts_in_words(self._task.facts(split))}"
        yield from label_lines(self._examples.splits)
        yield from self.privacy.guarantee.lines() if self.privacy else ()
        for remark in self._remarks:
            yield f"note       {remark}"
        for title, facts in (self._seen_of or {"": self._seen}).items():
            for split, fact in facts.items():
                yield f"note       {in_a_sentence(fact, f'{split} of {title}' if title else split)}"

    def save(self, model: nn.Module, folder: Path, spent: Callable[[], Spent]) -> None:
        """Write model, tokenizer, task.json, privacy.json, and the facts of pretraining where the encoder has them."""
        self._adapter.save(cast(DownstreamModel, model), folder)
        self._tokenizer.save_pretrained(folder)
        self.facts.save(folder)
        if self.privacy:
            self.privacy.write_facts(folder, spent().steps)
        if self._pretraining is not None:
            pretraining_facts.write_facts(self._pretraining, folder)

    def results(self, training: Training) -> dict[str, Any]:
        """Predict every split with the chosen weights, write the predictions, score dev and test once."""
        trainer, run = training.trainer, training.run
        scores, by_subtask = self._scores(training)
        started = read_facts(run.folder)
        settings = settings_but_the_seed(asdict(self._config))
        return {
            "task": self.facts.title,
            "kind": self.facts.kind,
            "head": self.facts.head,
            "model": started["encoder"],
            "model_label": self._config.label or label_of(self._config, started["encoder"]),
            "parameters": training.parameters,
            "trained_parameters": self._trained,
            "stored_bytes": sum(
                file.stat().st_size for file in (run.folder / "model").rglob("*.safetensors")
            ),
            "seed": self._config.seed,
            "learning_rate": trainer.optimizer.param_groups[0]["base_lr"],
            "settings": {"model": started["encoder"], **settings},
            "command": started["command"],
            "versions": {"python": started["python"], **started["versions"]},
            "data_fingerprint": started["data_fingerprint"],
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "hardware": f"{trainer.runtime.describe()}; {platform.platform()}",
            "cost": self._cost(training),
            "selection": self._selected(training),
            "data": {split: self._task.facts(split) for split in self._task.splits},
            "remarks": self._remarks,
            **({"unreadable": bad} if (bad := self._examples.unreadable()) else {}),
            "pretraining_saw": self._seen,
            **({"sparsity": trainer.masks.facts()} if trainer.masks else {}),
            **({"privacy": self.privacy.guarantee.facts(trainer.step)} if self.privacy else {}),
            "scores": scores,
            **self._evaluated.results(),
            "subtasks": by_subtask,
            **self._of_teachers(run.folder),
            **self._of_folds(run.folder),
        }

    def _selected(self, training: Training) -> dict[str, Any]:
        """Which weights were chosen, and what was settled for them on dev."""
        selection = cast(Selection, training.scoring)
        return {"split": selection.split, "metric": selection.metric, **selection.best, **self._settled}

    def _of_folds(self, folder: Path) -> dict[str, Any]:
        """The results of cross-validation, where there was one."""
        folds = self._config.selection.folds
        return {} if folds is None else folds_results(folder, folds, self._config.report.intervals)

    def _cost(self, training: Training) -> dict[str, Any]:
        """Of the run: reading, predictions and own teachers included; of training; and of the predictions."""
        clock = training.trainer.clock
        spent, before = clock.spent, training.run.state.get("spent", {}).get("seconds", 0.0)
        cost = {
            "seconds": before + time.perf_counter() - self._began,
            "training_seconds": spent.seconds,
            "epochs": spent.positions / clock.epoch_length,
            "steps": spent.steps,
            "tokens": spent.tokens,
            "flops": spent.flops,
            "flops_dense": spent.flops_dense,
            **training.cost(),
            "predicted_texts": self._predicted_texts,
            "predicting_seconds": self._predicting_seconds,
        }
        return cost if self._teachers is None else joint_cost(cost, self._teachers.costs(training.run.folder))

    def _predicted_splits(self) -> list[str]:
        """Without test where it is to be left alone."""
        return [split for split in self._task.splits if split != "test" or self._config.selection.score_test]

    def _of_teachers(self, run: Path) -> dict[str, Any]:
        """The teachers and the scores of their mean probabilities, where there are teachers."""
        if self._teachers is None:
            return {}
        splits = {split: self._examples.splits[split] for split in self._predicted_splits()}
        scores = self._teachers.scores(self._task, self.facts, splits, self._config)
        return {"teachers": {**self._teachers.facts(run), "scores": scores}}

    def _scores(self, training: Training) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Write the predictions of all splits; return the scores of dev and test, and the results of each subtask."""
        model = training.trainer.model
        scores: dict[str, Any] = {}
        by_subtask: dict[str, dict[str, Any]] = {
            subtask.title: {
                "data_fingerprint": subtask.fingerprint,
                "pretraining_saw": self._seen_of[subtask.title],
                "scores": {},
            }
            for subtask in self._examples.subtasks
        }
        folder = training.run.folder / "predictions"
        folder.mkdir(exist_ok=True)
        model.eval()
        for split in self._predicted_splits():
            began = time.perf_counter()
            with torch.no_grad(), training.trainer.runtime.arithmetic():
                predicted = self._task.predict(model, split)
            self._predicting_seconds += time.perf_counter() - began
            self._predicted_texts += len(predicted)
            self._kind.write_split(folder, self._task, split, predicted)
            if split == "train":
                continue
            scores[split] = self._evaluated.add(folder, split, predicted)
            for subtask in self._examples.subtasks:
                if places := subtask.places.get(split):
                    by_subtask[subtask.title]["scores"][split] = self._evaluated.scores(
                        split, predicted, places
                    )
        return scores, by_subtask

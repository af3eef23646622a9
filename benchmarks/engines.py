"""The two sides of `benchmarks.finetuning`: this engine, and `transformers.Trainer` as its documentation uses it."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    PrinterCallback,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks import needed_flops
from benchmarks.devices import product_flops, set_process_as_torch_starts
from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.model.encoders import DROPOUTS, EncoderSource, longest_input, open_config, open_tokenizer
from bertinchamps.model.trained_rows import train_rows
from bertinchamps.schemas import FinetuneConfig, named
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.kinds.entities import Entities
from bertinchamps.tasks.splits import label_names
from bertinchamps.tasks.tagging.recognition import EntityRecognition
from bertinchamps.tasks.tagging.representations import IGNORED
from bertinchamps.training.clock import Clock
from bertinchamps.training.hook import Hook
from bertinchamps.training.optim import optimizers
from bertinchamps.training.runtime import Runtime, build_runtime
from bertinchamps.training.schedules import schedules
from bertinchamps.training.trainer import Trainer
from bertinchamps.training.updates import Update

KIND = Entities()


class Timing(NamedTuple):
    """One training, from its first batch to its last update.

    Attributes:
        seconds: wall time.
        examples: read, over all epochs.
        updates: of the weights.
        loss: mean over the updates, in nats: a sign that both sides learn the same.
    """

    seconds: float
    examples: int
    updates: int
    loss: float


@dataclass(frozen=True)
class Problem:
    """What both sides are given.

    Attributes:
        config: the settings.
        runtime: device, precision and threads.
        tokenizer: of the model.
        facts: labels and longest input.
        task: our engine's task; it holds the training windows.
        examples: the same windows for the peer.
    """

    config: FinetuneConfig
    runtime: Runtime
    tokenizer: Any
    facts: TaskFacts
    task: EntityRecognition
    examples: list[dict[str, list[int]]]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example."""
        return [len(example["input_ids"]) for example in self.examples]


def open_problem(config: FinetuneConfig, title: str, train: list[AnnotatedText]) -> Problem:
    """Read the model's tokenizer and cut the training documents into windows.

    Raises:
        UserError: the model cannot be opened, or does not read inputs of that length.
    """
    longest = longest_input(open_config(config.model))
    if config.max_length > longest:
        raise UserError(f"--padding {config.max_length}: this encoder reads at most {longest} tokens")
    runtime = build_runtime(config.runtime)
    tokenizer = open_tokenizer(config.model)
    splits = {"train": train}
    facts = TaskFacts(title, "ner", config.head, label_names(splits), config.max_length)
    predictor = KIND.build_predictor(facts, tokenizer, config.batch.evaluation, runtime.device)
    task = KIND.build_task(splits, predictor, config.batch, config.seed)
    return Problem(config, runtime, tokenizer, facts, task, labelled_subwords(task))


def flops_per_example(problem: Problem) -> float:
    """Mean FLOPs of forward and backward that an example needs, padding left out."""
    needed = needed_flops.of_labels(problem.facts, open_config(problem.config.model), problem.lengths)
    return 3 * needed / len(problem.lengths)


def product_of_a_batch(problem: Problem) -> float:
    """FLOP/s of the feed-forward's first product on a mean micro-batch."""
    tokens = round(statistics.mean(problem.lengths) * problem.config.batch.micro_batch)
    return product_flops(problem.runtime, tokens, open_config(problem.config.model))


def labelled_subwords(task: EntityRecognition) -> list[dict[str, list[int]]]:
    """The task's training windows with a tag at each word's first subword and -100 elsewhere."""
    examples = []
    for document, group in groupby(task.windows["train"], key=lambda window: window.document):
        windows = list(group)
        kept = task.representation.kept(task.splits["train"][document].entities, windows)
        for window in windows:
            labels = [IGNORED] * len(window.subwords)
            tags = task.representation.targets(kept.entities, window)
            for place, tag in zip(window.first_subwords, tags, strict=True):
                if labels[place] == IGNORED:  # a subword that begins several words stands for the first
                    labels[place] = int(tag)
            examples.append({"input_ids": list(window.subwords), "labels": labels})
    return examples


class Stopwatch:
    """Measures until the device, too, has finished."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def start(self) -> None:
        """Training begins."""
        _wait()
        self.seconds = -time.perf_counter()

    def stop(self) -> None:
        """The last update is done."""
        _wait()
        self.seconds += time.perf_counter()


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


# ------------------------------------------------------------------------------------------- ours


class OurStopwatch(Hook, Stopwatch):
    """The engine's hook that measures."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def before_training(self, trainer: Trainer) -> None:
        self.start()

    def observe(self, trainer: Trainer, update: Update) -> None:
        self.losses.append(update.loss)

    def after_training(self, trainer: Trainer) -> None:
        self.stop()


def train_ours(problem: Problem) -> Timing:
    """Train once as `python -m bertinchamps.finetune` does, without its hooks."""
    config, task = problem.config, problem.task
    runtime = build_runtime(config.runtime)  # anew, since the peer changes what it sets for the process
    torch.manual_seed(config.seed)
    model: Any = KIND.build_model(problem.facts, EncoderSource(config.model, dropout=config.dropout))
    model.to(runtime.device)
    train_rows(model.model, task.train_ids())
    watch = OurStopwatch()
    trainer = Trainer(
        task=task,
        model=model,
        optimizer=optimizers.build(**config.optim, model=model),
        schedule=schedules.build(**config.schedule),
        batch=config.batch,
        clock=Clock(config.budget, task.epoch_length(), flops_per_token=0.0),  # there is no budget of FLOPs
        runtime=runtime,
        seed=config.seed,
        gradient_clipping=config.gradient_clipping,
        hooks=[watch],
    )
    gc.collect()
    trainer.fit()
    return Timing(watch.seconds, trainer.cursor, trainer.step, sum(watch.losses) / len(watch.losses))


# --------------------------------------------------------------------------------------- the peer


class PeerStopwatch(TrainerCallback, Stopwatch):
    """The peer's callback that measures."""

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.start()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.stop()


def train_peer(problem: Problem, padding: str, bf16: bool, folder: Path) -> Timing:
    """Train once with `transformers.Trainer`.

    Args:
        problem: what is to be trained.
        padding: "max_length", or "longest" (of the batch).
        bf16: autocast to bfloat16; otherwise float32.
        folder: the output directory, in which nothing is written.
    """
    config = problem.config
    set_process_as_torch_starts()
    torch.manual_seed(config.seed)
    watch = PeerStopwatch()
    trainer = transformers.Trainer(
        model=_stock_model(problem),
        args=_arguments(problem, bf16, folder),
        train_dataset=problem.examples,
        data_collator=DataCollatorForTokenClassification(
            problem.tokenizer, padding=padding, max_length=config.max_length
        ),
        compute_loss_func=_loss,
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    gc.collect()
    output = trainer.train()
    # An epoch of the peer ends with a batch of what is left.
    read = round(len(problem.examples) * float(trainer.state.epoch or 0))
    return Timing(watch.seconds, read, output.global_step, output.training_loss)


def _stock_model(problem: Problem) -> Any:
    """The model as AutoModelForTokenClassification opens it, with the dropout that our side has."""
    config = AutoConfig.from_pretrained(problem.config.model)
    config.id2label = dict(enumerate(problem.task.representation.classes))
    config.label2id = {name: index for index, name in config.id2label.items()}
    if problem.config.dropout is not None:
        for name in DROPOUTS:
            if hasattr(config, name):
                setattr(config, name, problem.config.dropout)
    return AutoModelForTokenClassification.from_pretrained(
        problem.config.model, config=config, dtype=torch.float32
    )


def _arguments(problem: Problem, bf16: bool, folder: Path) -> TrainingArguments:
    config = problem.config
    _, optimizer = named(config.optim)
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=float(config.budget.epochs or 0),
        per_device_train_batch_size=config.batch.micro_batch,
        gradient_accumulation_steps=config.batch.size // config.batch.micro_batch,
        learning_rate=optimizer["learning_rate"],
        weight_decay=optimizer["weight_decay"],
        adam_beta1=optimizer["betas"][0],
        adam_beta2=optimizer["betas"][1],
        adam_epsilon=optimizer["epsilon"],
        max_grad_norm=config.gradient_clipping or 0.0,
        bf16=bf16,
        use_cpu=problem.runtime.device.type == "cpu",
        seed=config.seed,
        label_names=["labels"],
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def _loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | None = None) -> Tensor:
    """What stock token classifiers compute when they are given labels; those of this project take none."""
    logits = outputs["logits"].float().flatten(0, 1)
    total = F.cross_entropy(logits, labels.flatten(), ignore_index=IGNORED, reduction="sum")
    return total / (num_items_in_batch if num_items_in_batch is not None else (labels != IGNORED).sum())

"""One row of benchmarks.pretraining, in a process of its own: this engine, a plain loop, or transformers.Trainer."""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.devices import now, peak_memory, product_flops, set_process_as_torch_starts
from benchmarks.pretraining_problem import BLOCKS, CLIPPING, IDS, composed, random_corpus
from bertinchamps.contract import Output
from bertinchamps.data.corpus import Corpus
from bertinchamps.model.architecture import build_config
from bertinchamps.model.flops import downstream_flops_per_token, flops_per_token
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.objectives import Given, objectives
from bertinchamps.schemas import PretrainConfig
from bertinchamps.training.clock import Clock
from bertinchamps.training.hook import Hook
from bertinchamps.training.hooks import BudgetBar, Logging, MetricsLog
from bertinchamps.training.optim import optimizers
from bertinchamps.training.runtime import Runtime, build_runtime
from bertinchamps.training.schedules import schedules
from bertinchamps.training.sparsity.masks import build_masks
from bertinchamps.training.trackers import trackers
from bertinchamps.training.trainer import Trainer


def measure(arguments: argparse.Namespace, row: Mapping[str, str]) -> dict[str, Any]:
    """Seconds of updates, memory and FLOP/s of one row."""
    words = [
        f"budget.steps={arguments.warmup + arguments.updates}",
        f"runtime.precision={row['precision']}",
        f"runtime.compile={row['compile']}",
    ]
    config = composed(arguments, words)
    with tempfile.TemporaryDirectory() as folder:
        corpus = random_corpus(config, Path(folder))
        runtime = build_runtime(config.runtime)
        torch.manual_seed(0)
        engine, _, family = row["engine"].partition(":")
        if engine == "bertinchamps":
            hook = Stamps()
            trainer = trainer_of(config, corpus, runtime, hook)
            trainer.fit()
            stamps, flops = hook.at, trainer.clock.flops_per_token
        else:
            set_process_as_torch_starts()
            model = peer(family or engine, config)
            flops = peer_flops(model, config)
            if engine == "trainer":
                stamps = _trainer(model, config, corpus, runtime, Path(folder))
            else:
                stamps = _loop(model, config, corpus, runtime)
    seconds = [after - before for before, after in itertools.pairwise(stamps)]
    tokens = config.batch.size * config.blocks.sequence_length
    rate = tokens / statistics.median(seconds[arguments.warmup :])
    return {
        "tokens_per_second": rate,
        "first_update_seconds": seconds[0],
        "memory_megabytes": peak_memory(runtime.device),
        "flops": rate * flops,
        "product_flops": product_flops(
            runtime, config.batch.micro_batch * config.blocks.sequence_length, config.arch
        ),
        "peak_flops": runtime.peak_flops,
    }


class Stamps(Hook):
    """The time of each update's end, waited for."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def before_training(self, trainer: Trainer) -> None:
        self.at.append(time.perf_counter())

    def after_update(self, trainer: Trainer) -> None:
        self.at.append(now(trainer.runtime.device))


def trainer_of(
    config: PretrainConfig,
    corpus: Corpus,
    runtime: Runtime,
    hook: Hook,
    loss: Callable[..., Output] | None = None,
) -> Trainer:
    """This project's trainer, as `python -m bertinchamps.pretrain` builds it.

    Args:
        config: of the run.
        corpus: random blocks.
        runtime: device, precision, compilation.
        hook: the last one.
        loss: of task, model and inputs, in place of the task's own.
    """
    model = BertinchampsForMaskedLM(build_config(asdict(config.arch), corpus.vocabulary.size, **IDS)).to(
        runtime.device
    )
    if config.runtime.activation_checkpointing:
        runtime.recompute_activations(model)
    task = objectives.build(**config.objective, given=Given(corpus, 0, 1, runtime.device))
    if loss is not None:
        task.loss = partial(loss, task)
    flops = flops_per_token(model.config, config.blocks.sequence_length, task.predicted_fraction)
    tracker, bar = trackers.build(name="none", run_dir=corpus.folder, settings={}), BudgetBar()
    return Trainer(
        task=task,
        model=model,
        optimizer=optimizers.build(**config.optim, model=model),
        schedule=schedules.build(**config.schedule),
        batch=config.batch,
        clock=Clock(config.budget, task.epoch_length(), flops),
        runtime=runtime,
        seed=0,
        gradient_clipping=config.gradient_clipping,
        hooks=[Logging(MetricsLog(corpus.folder / "metrics.jsonl", 0, tracker, bar.print), bar), hook],
        masks=build_masks(config.sparsity, model, 0),
    )


def peer(family: str, config: PretrainConfig) -> nn.Module:
    """A stock model of the same layers and widths, with random weights."""
    from transformers import BertConfig, BertForMaskedLM, ModernBertConfig, ModernBertForMaskedLM

    arch = config.arch
    shared: dict[str, Any] = {
        "vocab_size": config.tokenizer.vocab_size,
        "hidden_size": arch.hidden_size,
        "num_hidden_layers": arch.num_hidden_layers,
        "num_attention_heads": arch.num_attention_heads,
        "max_position_embeddings": max(512, config.blocks.sequence_length),
        "pad_token_id": 0,
    }
    if family == "bert":
        return BertForMaskedLM(
            BertConfig(
                **shared,
                intermediate_size=arch.intermediate_size,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            )
        )
    ids = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    return ModernBertForMaskedLM(
        ModernBertConfig(
            **shared, **ids, intermediate_size=arch.intermediate_size // 2, sparse_prediction=True
        )
    )


def peer_flops(model: Any, config: PretrainConfig) -> float:
    """FLOPs a token of forward and backward, counted as ours are; the decoder's, where it is sparse, for its share."""
    whole = downstream_flops_per_token(model, model.config, config.blocks.sequence_length)
    if not getattr(model.config, "sparse_prediction", False):
        return whole
    encoder = downstream_flops_per_token(model.model, model.config, config.blocks.sequence_length)
    return encoder + _targets(config) / config.blocks.sequence_length * (whole - encoder)


def _targets(config: PretrainConfig) -> int:
    """Masked positions of a block."""
    return max(1, round(config.objective["mask_rate"] * config.blocks.sequence_length))


def masked_batches(config: PretrainConfig, corpus: Corpus) -> Iterator[dict[str, Tensor]]:
    """Micro-batches with as many targets a block as ours: 80 % [MASK], 10 % random, 10 % as they were."""
    length, rows = config.blocks.sequence_length, config.batch.micro_batch
    targets = _targets(config)
    random = np.random.default_rng(0)
    while True:
        ids = torch.from_numpy(corpus.train.read(random.integers(0, BLOCKS, rows)).astype(np.int64))  # type: ignore[union-attr]
        chosen = torch.rand(rows, length).topk(targets, dim=1).indices
        labels = torch.full_like(ids, -100).scatter(1, chosen, ids.gather(1, chosen))
        share = torch.rand(rows, targets)
        drawn = torch.randint(5, config.tokenizer.vocab_size, (rows, targets))
        new = torch.where(share < 0.8, 4, torch.where(share < 0.9, drawn, ids.gather(1, chosen)))
        attention = torch.ones_like(ids)
        yield {"input_ids": ids.scatter(1, chosen, new), "labels": labels, "attention_mask": attention}


def _stock_arithmetic(runtime: Runtime) -> AbstractContextManager[Any]:
    """What PyTorch does by itself."""
    dtype = runtime.autocast_dtype
    return nullcontext() if dtype is None else torch.autocast(runtime.device.type, dtype=dtype)


def _loop(model: nn.Module, config: PretrainConfig, corpus: Corpus, runtime: Runtime) -> list[float]:
    model = model.to(runtime.device).train()
    called = torch.compile(model) if runtime.compiled else model
    accumulated, updates = config.batch.size // config.batch.micro_batch, int(config.budget.steps or 0)
    stamps: list[float] = []

    def go_on() -> bool:
        stamps.append(now(runtime.device))
        return len(stamps) < updates

    began = time.perf_counter()
    plain_updates(model, called, runtime, masked_batches(config, corpus), accumulated, go_on)
    return [began, *stamps]


def plain_updates(
    model: nn.Module,
    called: Callable[..., Any],
    runtime: Runtime,
    batches: Iterator[dict[str, Tensor]],
    accumulated: int,
    go_on: Callable[[], bool],
) -> None:
    """Train a stock model in a plain loop: AdamW (fused) and clipping.

    Args:
        model: with a loss of its own, on the device.
        called: the model, or compiled.
        runtime: device and precision.
        batches: micro-batches, moved to the device where they are not there.
        accumulated: micro-batches an update.
        go_on: asked after each update.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    while True:
        for _ in range(accumulated):
            inputs = {name: tensor.to(runtime.device) for name, tensor in next(batches).items()}
            with _stock_arithmetic(runtime):
                loss = called(**inputs).loss / accumulated
            loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIPPING)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if not go_on():
            return


def _trainer(
    model: nn.Module, config: PretrainConfig, corpus: Corpus, runtime: Runtime, folder: Path
) -> list[float]:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    stamps: list[float] = []

    class Stamps(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            stamps.append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            stamps.append(now(runtime.device))

    class Given(torch.utils.data.IterableDataset[dict[str, Tensor]]):
        def __iter__(self) -> Iterator[dict[str, Tensor]]:
            for batch in masked_batches(config, corpus):
                for row in range(len(batch["input_ids"])):
                    yield {name: tensor[row] for name, tensor in batch.items()}

    settings = TrainingArguments(
        output_dir=str(folder / "trainer"),
        max_steps=int(config.budget.steps or 0),
        per_device_train_batch_size=config.batch.micro_batch,
        gradient_accumulation_steps=config.batch.size // config.batch.micro_batch,
        bf16=runtime.autocast_dtype is not None,
        max_grad_norm=CLIPPING,
        optim="adamw_torch_fused",
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        logging_strategy="no",
        use_cpu=runtime.device.type == "cpu",
    )
    Trainer(model=model, args=settings, train_dataset=Given(), callbacks=[Stamps()]).train()
    return stamps

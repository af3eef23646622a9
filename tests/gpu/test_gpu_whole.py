"""What compiled code does on a card, how much memory the recipe takes, and when a run ends."""

from __future__ import annotations

import copy
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from gpu_comparing import HOST, answer, compare, compare_masks, masking, to_mask
from gpu_runs import (
    CARD,
    DEVICE,
    NEEDS_A_CARD,
    SIZES,
    Recorder,
    Sizes,
    model_of,
    refuse_to_wait_in_updates,
    runtime_of,
    task_of,
    trainer_of,
)
from torch import Tensor
from torch._dynamo.utils import counters

from bertinchamps.data.corpus import Corpus
from bertinchamps.schemas import BatchConfig, BudgetConfig
from bertinchamps.training.hook import Hook
from bertinchamps.training.runtime import Runtime
from bertinchamps.training.trainer import Trainer

pytestmark = NEEDS_A_CARD

UPDATES = 8


def test_the_recipes_micro_batch_fits_into_sixteen_gigabytes(
    sizes: Sizes, corpus: Corpus, record_property: Callable[[str, object], None]
) -> None:
    """Not compiled, which keeps more."""
    if CARD:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    batch = BatchConfig(micro_batch=sizes.whole, size=2 * sizes.whole, ramp=0.0)
    trainer_of(
        task_of(corpus), model_of(sizes.crammed).to(DEVICE), runtime_of(), batch, BudgetConfig(steps=2)
    ).fit()
    if CARD:
        reserved = torch.cuda.max_memory_reserved()
        record_property("peak_bytes", torch.cuda.max_memory_allocated())
        record_property("peak_bytes_reserved", reserved)
        assert reserved < 16e9
        torch.cuda.empty_cache()


def test_compiled_masks_are_the_hosts_bit_for_bit(device: torch.device, corpus: Corpus) -> None:
    here, there = (
        [masking(place, whole_word, spans) for whole_word in (False, True) for spans in (False, True)]
        for place in (HOST, device)
    )

    def both(ids: Tensor, positions: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        return [mask(ids, positions) for mask in there]

    ids, positions = to_mask(corpus)
    got = runtime_of(compiled=True).compile(both)(ids.to(device), positions.to(device))
    for mask, theirs in zip(here, got, strict=True):
        compare_masks(mask(ids, positions), theirs)


class Compiled(NamedTuple):
    """A compiled run over a whole ramp.

    Attributes:
        task: of it.
        model: of it, trained.
        runtime: of it.
        losses: of its updates.
        eager_losses: of the same updates without compiling.
        sequences: of its updates.
        graphs: captured for it.
        breaks: of graphs.
    """

    task: Any
    model: Any
    runtime: Runtime
    losses: np.ndarray[Any, Any]
    eager_losses: np.ndarray[Any, Any]
    sequences: list[int]
    graphs: int
    breaks: int


def ramp(sizes: Sizes) -> BatchConfig:
    return BatchConfig(micro_batch=sizes.compiled, size=4 * sizes.compiled, ramp=0.8)


@pytest.fixture(scope="module")
def compiled(corpus: Corpus) -> Compiled:
    """Two layers of `crammed`, whose updates refuse to wait as soon as they are compiled."""
    recorders = []
    for switch in (False, True):  # a runtime forgets what was compiled before it, so this one comes last
        runtime, recorder = runtime_of(compiled=switch), Recorder()
        task, model = task_of(corpus), model_of(SIZES.two_layers).to(DEVICE)
        counters.clear()
        trainer = trainer_of(task, model, runtime, ramp(SIZES), BudgetConfig(steps=UPDATES), [recorder])
        refuse_to_wait_in_updates(trainer, but_the_first=True)
        trainer.fit()
        recorders.append(recorder)
    graphs, breaks = counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())
    eager_losses, losses = (recorder.losses() for recorder in recorders)
    sequences = [update.sequences for update in recorder.updates]
    return Compiled(task, model, runtime, losses, eager_losses, sequences, graphs, breaks)


def test_a_whole_ramp_is_compiled_once_and_waits_for_nothing(compiled: Compiled, sizes: Sizes) -> None:
    assert compiled.sequences[0] == sizes.compiled
    assert compiled.sequences[-1] == 4 * sizes.compiled
    assert (compiled.graphs, compiled.breaks) == (1, 0)


def test_compiled_code_learns_what_eager_code_learns(compiled: Compiled) -> None:
    # Both round to bfloat16, at other places.
    np.testing.assert_allclose(compiled.losses, compiled.eager_losses, rtol=0.01)
    assert compiled.losses[-1] < 0.99 * compiled.losses[0]


def test_loss_and_gradients_of_compiled_code_are_the_hosts(
    compiled: Compiled, sizes: Sizes, corpus: Corpus
) -> None:
    batch = next(compiled.task.batches(0, sizes.compiled))
    got = answer(compiled.task, compiled.model, batch, compiled.runtime)
    expected = answer(task_of(corpus, HOST), copy.deepcopy(compiled.model).to(HOST), batch, None)
    compare(expected, got, "bf16")


def test_evaluation_between_updates_compiles_nothing_again(compiled: Compiled, sizes: Sizes) -> None:
    class Evaluating(Hook):
        def after_update(self, trainer: Trainer) -> None:
            assert np.isfinite(trainer.evaluate()["loss"])

    counters.clear()
    trainer_of(
        compiled.task, compiled.model, compiled.runtime, ramp(sizes), BudgetConfig(steps=3), [Evaluating()]
    ).fit()
    assert counters["stats"]["unique_graphs"] == 0


def test_a_budget_in_hours_does_not_overrun(
    compiled: Compiled, sizes: Sizes, record_property: Callable[[str, object], None]
) -> None:
    """Each update keeps the device busy for long after the host has given it all its work."""
    recorder = Recorder()
    batch = BatchConfig(micro_batch=sizes.compiled, size=32 * sizes.compiled, ramp=0.0)
    trainer = trainer_of(
        compiled.task,
        compiled.model,
        compiled.runtime,
        batch,
        BudgetConfig(hours=sizes.seconds / 3600),
        [recorder],
    )
    began = time.perf_counter()
    trainer.fit()
    if CARD:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    assert trainer.step == len(recorder.updates) > 0
    durations = [update.seconds for update in recorder.updates]
    usual, longest = statistics.median(durations), max(durations)
    for name, value in (("seconds", seconds), ("usual_update", usual), ("longest_update", longest)):
        record_property(name, round(value, 4))
    if CARD:
        unforeseen = longest - usual  # as where another process has the card for a moment
        assert seconds < sizes.seconds + unforeseen + 0.1 * usual
        assert seconds > sizes.seconds - 2.5 * longest

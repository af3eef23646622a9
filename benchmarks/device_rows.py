"""One row of benchmarks.device, in a process of its own: an update of this engine, or of a stock class."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.nn import functional

from benchmarks import device_variants, pretraining_problem
from benchmarks.device_link import Link, Skipped
from benchmarks.device_meter import Meter
from benchmarks.device_plan import Row, Settings
from benchmarks.devices import set_process_as_torch_starts
from benchmarks.pretraining_rows import masked_batches, peer, peer_flops, plain_updates, trainer_of
from bertinchamps.contract import Output
from bertinchamps.data.corpus import Corpus
from bertinchamps.objectives.masking import IGNORED
from bertinchamps.schemas import PretrainConfig
from bertinchamps.training.hook import Hook
from bertinchamps.training.runtime import Runtime, build_runtime
from bertinchamps.training.trainer import Trainer

PEER_BATCHES = 8  # that go round, on the device before the first update
# Settings of the compiler beside its defaults, by a row's option.
COMPILER = {"graphs": {"triton.cudagraphs": True}, "autotune": {"max_autotune_gemm": True}}


@dataclass(frozen=True)
class TurnTakingRuntime(Runtime):
    """A runtime whose functions compile at once and run when it is their turn on the device.

    Attributes:
        link: to the leader.
        options: of the compiler.
    """

    link: Link = field(kw_only=True)
    options: Mapping[str, Any] = field(kw_only=True, default_factory=dict)

    def compile(self, function: Callable[..., Any], one_graph: bool = True) -> Callable[..., Any]:
        """The function, compiled as the engine does it where compilation is on."""
        if self.compiled:
            function = self.compiled_to_wait(function, dynamic=False, fullgraph=one_graph)
        graphs = bool(self.options.get("triton.cudagraphs"))

        def call(*arguments: Any) -> Any:
            if not self.compiled:
                self.link.compiled()
            if not graphs:
                return function(*arguments)
            torch.compiler.cudagraph_mark_step_begin()
            result = function(*arguments)
            if counters["inductor"]["cudagraph_skips"]:
                raise RuntimeError("the compiler left out CUDA graphs")
            return result

        return call

    def compiled_to_wait(self, function: Any, **how: Any) -> Callable[..., Any]:
        """torch.compile with forward and backward compiled before the first one runs, which waits for its turn."""
        from torch._functorch import config as functorch
        from torch._inductor.compile_fx import compile_fx

        if hasattr(
            functorch, "force_non_lazy_backward_lowering"
        ):  # else backward compiles behind the first forward
            functorch.force_non_lazy_backward_lowering = True

        def backend(graph: Any, examples: Any) -> Callable[..., Any]:
            ready: Callable[..., Any] = compile_fx(graph, examples, config_patches=dict(self.options))
            self.link.compiled()
            return ready

        return torch.compile(function, backend=backend, **how)  # type: ignore[no-any-return]


class AfterUpdate(Hook):
    """Calls the meter."""

    meter: Meter

    def after_update(self, trainer: Trainer) -> None:
        self.meter.go_on()


def measure_update(row: Row, settings: Settings, config: PretrainConfig, link: Link) -> None:
    """The engine's update, plain or with what the row's option names."""
    with _corpus_and_runtime(row, config, link) as (corpus, runtime):
        if row.needs_cuda and runtime.device.type != "cuda":
            raise Skipped("needs CUDA")
        if row.alone:
            link.compiled()
        loss = fused_loss if row.option == "linear_cross_entropy" else None
        if loss is not None and not hasattr(functional, "linear_cross_entropy"):
            raise Skipped("this PyTorch has no torch.nn.functional.linear_cross_entropy")
        hook = AfterUpdate()
        trainer = trainer_of(config, corpus, runtime, hook, loss)
        hook.meter = Meter(
            row, settings, link, runtime.device, trainer.clock.flops_per_token, runtime.peak_flops
        )
        trainer.fit()


def measure_peer(row: Row, settings: Settings, config: PretrainConfig, link: Link) -> None:
    """A stock class in a plain loop, whose batches are on the device before."""
    with _corpus_and_runtime(row, config, link) as (corpus, runtime):
        set_process_as_torch_starts()
        model: nn.Module = peer(row.option, config)
        flops = peer_flops(model, config)
        model = model.to(runtime.device).train()
        batches: list[dict[str, Tensor]] = [
            {name: tensor.to(runtime.device) for name, tensor in batch.items()}
            for batch in itertools.islice(masked_batches(config, corpus), PEER_BATCHES)
        ]
        if runtime.compiled:
            called = runtime.compiled_to_wait(model)
        else:
            called = model
            link.compiled()
        meter = Meter(row, settings, link, runtime.device, flops, runtime.peak_flops)
        plain_updates(model, called, runtime, itertools.cycle(batches), 1, meter.go_on)


MEASUREMENTS: dict[str, Callable[[Row, Settings, PretrainConfig, Link], None]] = {
    "update": measure_update,
    "peer": measure_peer,
    "products": device_variants.measure_products,
    "texts": device_variants.measure_texts,
}


@contextmanager
def _corpus_and_runtime(
    row: Row, config: PretrainConfig, link: Link
) -> Iterator[tuple[Corpus, TurnTakingRuntime]]:
    with tempfile.TemporaryDirectory() as folder:
        corpus = pretraining_problem.random_corpus(config, Path(folder))
        runtime = build_runtime(config.runtime)
        torch.manual_seed(0)
        options = COMPILER.get(row.option, {})
        yield corpus, TurnTakingRuntime(**vars(runtime), link=link, options=options)


def fused_loss(task: Any, model: Any, inputs: Mapping[str, Tensor]) -> Output:
    """The task's loss with logits and cross-entropy in one function of PyTorch, chunk by chunk."""
    masked, chosen, labels = task._masking(inputs["input_ids"], inputs["positions"])
    hidden = model.head.transform(model.encoder(masked, query_positions=chosen).last_hidden_state)
    weight, bias = model.head.decoder.weight, model.head.decoder.bias
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    return Output(
        functional.linear_cross_entropy(  # type: ignore[attr-defined]
            hidden.flatten(0, 1),
            weight,
            labels.flatten(),
            linear_bias=bias,
            ignore_index=IGNORED,
            reduction="sum",
            # the compiler asks for it, with a warning that it cannot compile
            options=torch.nn.LinearCrossEntropyOptions(allow_retain_graph=True),  # type: ignore[attr-defined]
        )
    )

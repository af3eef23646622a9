"""What a pretraining update launches, multiplies and moves, counted on fake tensors: nothing runs."""

from __future__ import annotations

import contextlib
import functools
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.pretraining_problem import IDS, random_corpus
from bertinchamps.model import attention
from bertinchamps.model.architecture import build_config
from bertinchamps.model.flops import flops_per_token
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.objectives import Given, objectives
from bertinchamps.objectives.mlm import MaskedLanguageModeling
from bertinchamps.schemas import PretrainConfig
from bertinchamps.training import muon
from bertinchamps.training.guarded_step import GuardedStep
from bertinchamps.training.optim import optimizers
from bertinchamps.training.runtime import Runtime

# CUDA's kernels over lists of tensors: at most so many tensors (by the number of lists) and blocks a launch.
# ATen/native/cuda/MultiTensorApply.cuh
CHUNK = 65_536
MOST_BLOCKS = 320
MOST_TENSORS = (110, 64, 48, 36, 30)
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
NO_KERNEL = (
    "_unsafe_view",
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "lift_fresh",
)
RUNTIME = Runtime(torch.device("cpu"), torch.bfloat16, compiled=False, asynchronous=True)  # as on a card


@dataclass
class Traffic:
    """Launches, and bytes that all but matrix products read and write."""

    launches: int = 0
    bytes: int = 0


def counted_model(config: PretrainConfig, micro_batches: tuple[int, int]) -> dict[str, Any]:
    """Of forward and backward of a micro-batch.

    Args:
        config: architecture and objective.
        micro_batches: two sizes in sequences; launches are those of the second.

    Returns:
        For "eager" and for "compiled": `launches`, `bytes` of any micro-batch, `bytes_per_token`. `flops_per_token`.
    """
    length = config.blocks.sequence_length
    tokens = [size * length for size in micro_batches]
    with tempfile.TemporaryDirectory() as folder, _as_on_a_card():
        corpus = random_corpus(config, Path(folder))
        task = objectives.build(**config.objective, given=Given(corpus, 0, 1, RUNTIME.device))
        counts: dict[str, Any] = {}
        for way, count in (("eager", _eager), ("compiled", _compiled)):
            one, other = (count(config, task, size) for size in micro_batches)
            slope = (other.bytes - one.bytes) / (tokens[1] - tokens[0])
            always = one.bytes - slope * tokens[0]
            counts[way] = {"launches": other.launches, "bytes": always, "bytes_per_token": slope}
    built = build_config(asdict(config.arch), config.tokenizer.vocab_size, **IDS)
    return {**counts, "flops_per_token": flops_per_token(built, length, task.predicted_fraction)}


def counted_step(config: PretrainConfig) -> dict[str, int]:
    """`launches`, `bytes` and `flops` of clipping and of the optimizer's second step, which finds all of its state."""
    traffic = Launches()
    with _as_on_a_card(), FakeTensorMode():
        model = _model(config)
        stepping = GuardedStep(
            optimizers.build(**config.optim, model=model), RUNTIME, config.gradient_clipping
        )
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        stepping.step(torch.zeros(2))
        with FlopCounterMode(display=False) as flops, traffic:
            norm = stepping.clip(model.parameters())
            stepping.step(torch.stack([norm, norm]))
    return {**asdict(traffic.counted), "flops": flops.get_total_flops()}


@contextlib.contextmanager
def _as_on_a_card() -> Iterator[None]:
    """The functions that an update takes on a GPU, where it would take others on this processor."""

    def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)

    clip = functools.partial(nn.utils.clip_grad_norm_, foreach=True)
    with (
        mock.patch.object(attention, "attend", attend),
        mock.patch.object(nn.utils, "clip_grad_norm_", clip),
        mock.patch.object(muon, "product_dtype", return_value=torch.bfloat16),
    ):
        yield


def _model(config: PretrainConfig) -> BertinchampsForMaskedLM:
    return BertinchampsForMaskedLM(build_config(asdict(config.arch), config.tokenizer.vocab_size, **IDS))


def _inputs(config: PretrainConfig, micro_batch: int) -> dict[str, Tensor]:
    ids = torch.zeros(micro_batch, config.blocks.sequence_length, dtype=torch.int64)
    return {"input_ids": ids, "positions": torch.zeros(micro_batch, dtype=torch.int64)}


def _eager(config: PretrainConfig, task: MaskedLanguageModeling, micro_batch: int) -> Traffic:
    """Kernels of forward and backward, one operator after the other."""
    traffic = Launches()
    with FakeTensorMode(allow_non_fake_inputs=True):  # the task keeps tables of the vocabulary
        model, inputs = _model(config).train(), _inputs(config, micro_batch)
        with traffic:
            with RUNTIME.arithmetic():
                loss = task.loss(model, inputs).loss_sum
            loss.backward()  # type: ignore[no-untyped-call]
    return traffic.counted


class Launches(TorchDispatchMode):
    """Counts the kernels that operators would launch on a GPU while it is open, and their bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.counted = Traffic()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        number = launches_of(func, args)
        self.counted.launches += number
        if number and func._schema.name.removeprefix("aten::") not in PRODUCTS:
            self.counted.bytes += _size([args, kwargs or {}]) + _written(func, args, out)
        return out


def launches_of(operator: torch._ops.OpOverload, arguments: Sequence[Any]) -> int:
    """Kernels that an operator starts: none for views and for memory that is not filled, else one, or as many as lists
    of tensors need."""
    name = operator._schema.name.removeprefix("aten::")
    views = any(
        out.alias_info is not None and not out.alias_info.is_write for out in operator._schema.returns
    )
    if operator.namespace != "aten" or views or name in NO_KERNEL:
        return 0
    if name.startswith(("_foreach_", "_fused_")):
        lists = [
            part
            for part in arguments
            if isinstance(part, list | tuple) and part and isinstance(part[0], Tensor)
        ]
        return multi_tensor_launches([tensor.numel() for tensor in lists[0]], len(lists))
    return 1


def multi_tensor_launches(sizes: Iterable[int], lists: int) -> int:
    """Launches of a kernel over lists of tensors.

    Args:
        sizes: entries of each tensor of a list.
        lists: that the kernel reads together.
    """
    launches = tensors = blocks = 0
    for size in sizes:
        tensors += 1
        left = math.ceil(size / CHUNK)
        while left:
            taken = min(left, MOST_BLOCKS - blocks)
            left, blocks = left - taken, blocks + taken
            if blocks == MOST_BLOCKS or (left == 0 and tensors == MOST_TENSORS[min(lists, 5) - 1]):
                launches, blocks, tensors = launches + 1, 0, int(left > 0)
    return launches + (blocks > 0)


def _written(operator: torch._ops.OpOverload, arguments: Sequence[Any], out: Any) -> int:
    """Bytes of what an operator returns, or changes in place."""
    if operator._schema.returns and operator._schema.returns[0].alias_info is None:
        return _size(out)
    described = operator._schema.arguments
    changed = [
        given
        for given, what in zip(arguments, described, strict=False)
        if what.alias_info is not None and what.alias_info.is_write
    ]
    return _size(changed)


def _size(tree: Any) -> int:
    return sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


class _Counted(Exception):
    """Compiling went as far as it had to."""


def _compiled(config: PretrainConfig, task: MaskedLanguageModeling, micro_batch: int) -> Traffic:
    """Kernels of forward and backward after the compiler's fusions, and their bytes; no code is generated.

    Inductor's CPU device is given the rules by which its Triton backend fuses, for which Triton need not be there.
    """
    from torch._functorch import config as functorch
    from torch._inductor import compile_fx, graph
    from torch._inductor import config as inductor

    traffic = Traffic()

    def count(lowered: Any) -> ModuleType:
        lowered.init_wrapper_code()
        lowered._update_scheduler()
        _add_scheduled(lowered.scheduler.nodes, traffic)
        module = ModuleType("counted")
        module.call = lambda arguments: None  # type: ignore[attr-defined]
        module.__file__ = ""
        return module

    def backend(traced: Any, examples: Any) -> Callable[..., Any]:
        compile_fx.compile_fx(traced, examples)
        raise _Counted

    def loss(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
        with RUNTIME.arithmetic():
            return task.loss(model, inputs).loss_sum

    torch.compiler.reset()
    model, inputs = _model(config).train(), _inputs(config, micro_batch)
    with (
        mock.patch.object(graph.GraphLowering, "compile_to_module", count),
        inductor.patch(fx_graph_cache=False, cpu_backend="triton"),
        functorch.patch(enable_autograd_cache=False, force_non_lazy_backward_lowering=True),
    ):
        try:
            torch.compile(loss, backend=backend, fullgraph=True, dynamic=False)(model, inputs)
        except torch._dynamo.exc.BackendCompilerFailed as failure:
            if not isinstance(failure.inner_exception, _Counted):
                raise
    return traffic


def _add_scheduled(nodes: Iterable[Any], traffic: Traffic) -> None:
    from torch._inductor import ir, scheduler

    for node in nodes:
        if isinstance(node, scheduler.NopKernelSchedulerNode) or isinstance(node.node, ir.MultiOutput):
            continue  # no kernel: an allocation, or one of several results of the kernel before
        traffic.launches += 1
        name = str(getattr(node.node, "python_kernel_name", "")).removeprefix("extern_kernels.")
        if name not in PRODUCTS:
            traffic.bytes += node.get_read_write_buffers_sizes()

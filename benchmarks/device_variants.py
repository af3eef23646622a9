"""Rows of benchmarks.device that are no whole update: fp8 products, and fine-tuning batches without padding."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.device_link import Link, Skipped
from benchmarks.device_meter import Marks
from benchmarks.device_plan import Row, Settings
from benchmarks.devices import now, peak_memory
from benchmarks.pretraining_problem import IDS
from bertinchamps.model import attention
from bertinchamps.model.architecture import build_config
from bertinchamps.model.flops import downstream_flops_per_token
from bertinchamps.model.huggingface import BertinchampsModel
from bertinchamps.schemas import PretrainConfig, RuntimeConfig
from bertinchamps.training.runtime import Runtime, build_runtime

MOST = 200  # turns that are timed
SETS = 3  # of operands that take turns, so that none is in the cache
LARGEST = 448.0  # of float8_e4m3fn
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 2e-2}


def measure_products(row: Row, settings: Settings, config: PretrainConfig, link: Link) -> None:
    """Products of the feed-forward and the vocabulary in fp8 beside bf16: alone, and with the casts of both operands.

    Products alone: not what an update would gain.
    """
    runtime = build_runtime(RuntimeConfig(precision="bf16", compile="off"))
    arch = config.arch
    tokens = row.micro_batch * settings.sequence_length
    masked = row.micro_batch * max(1, round(settings.mask_rate * settings.sequence_length))
    shapes = {
        "feed-forward in": (tokens, arch.hidden_size, arch.intermediate_size),
        "feed-forward out": (tokens, arch.intermediate_size // 2, arch.hidden_size),
        "vocabulary": (masked, arch.hidden_size, settings.vocabulary),
    }
    _refuse_without_fp8(runtime.device)
    link.compiled()
    cast = torch.compile(_to_fp8, dynamic=False) if settings.compiled else _to_fp8
    for shape in shapes.values():  # which compiles
        _fp8_seconds(shape, runtime.device, replace(settings, warm_up=0.0, measured=0.0), cast)
    while True:
        link.ready(None)
        rows = []
        for name, shape in shapes.items():
            plain, alone, with_casts = _fp8_seconds(shape, runtime.device, settings, cast)
            flops = 2 * math.prod(shape)
            for what, seconds in ((name, alone), (f"{name}, with casts", with_casts)):
                measured = _rates(shape[0] / seconds, flops / seconds / runtime.peak_flops, runtime.device)
                facts = {
                    "name": f"fp8 product, {what}",
                    "against": "the same in bf16",
                    "ratio": plain / seconds,
                }
                rows.append({**facts, **measured})
        link.measured(rows)


def _refuse_without_fp8(device: torch.device) -> None:
    if not hasattr(torch, "float8_e4m3fn") or not hasattr(torch, "_scaled_mm"):
        raise Skipped("this PyTorch has no fp8 products")
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 9):
        raise Skipped("this GPU has no fp8 products")


def _to_fp8(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The matrix over its scale, in fp8, and the scale: that of its largest entry."""
    scale = matrix.abs().max().float().clamp(min=1e-12) / LARGEST
    return (matrix / scale).to(torch.float8_e4m3fn), scale


def _fp8_seconds(
    shape: tuple[int, int, int], device: torch.device, settings: Settings, cast: Callable[..., Any]
) -> list[float]:
    """Of a product [rows, inner] · [columns, inner]ᵀ in bf16, in fp8, and in fp8 with the casts of both."""
    rows, inner, columns = shape
    given = [torch.randn(rows, inner, device=device, dtype=torch.bfloat16) for _ in range(SETS)]
    weights = [torch.randn(columns, inner, device=device, dtype=torch.bfloat16) for _ in range(SETS)]
    small = [(_to_fp8(a), _to_fp8(b)) for a, b in zip(given, weights, strict=True)]

    def product(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
        return torch._scaled_mm(
            a[0], b[0].t(), scale_a=a[1], scale_b=b[1], out_dtype=torch.bfloat16, use_fast_accum=True
        )

    exact, found = functional.linear(given[0], weights[0]).float(), product(*small[0]).float()
    error = float((found - exact).norm() / exact.norm())
    if not error < 0.1:  # e4m3 keeps three bits of the fraction
        raise RuntimeError(f"an fp8 product of {shape} is off by {error:.2g} of its norm")
    ways: list[Callable[[int], Any]] = [
        lambda turn: functional.linear(given[turn], weights[turn]),
        lambda turn: product(*small[turn]),
        lambda turn: product(cast(given[turn]), cast(weights[turn])),
    ]
    seconds = _medians([_all_turns(way, device) for way in ways], device, settings)
    return [each / SETS for each in seconds]


def _all_turns(way: Callable[[int], Any], device: torch.device) -> Callable[[], Any]:
    """The function with each set of operands: on a GPU as one graph, whose kernels the host does not start."""
    if device.type != "cuda":
        return lambda: [way(turn) for turn in range(SETS)]
    way(0)  # what is made once is made before
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for turn in range(SETS):
            way(turn)
    return graph.replay


class Batch(NamedTuple):
    """A fine-tuning batch, B texts of T tokens in all, the longest of S.

    Attributes:
        ids: [B, S], zero behind each text.
        mask: [B, S], true at tokens.
        places: [T], of each token in its text.
        lengths: of the texts.
    """

    ids: Tensor
    mask: Tensor
    places: Tensor
    lengths: list[int]


def measure_texts(row: Row, settings: Settings, config: PretrainConfig, link: Link) -> None:
    """The encoder's forward and backward over texts of different lengths: without padding beside with it, not compiled.

    Fine-tuning is not compiled either: no two of its batches have one shape.
    """
    runtime = build_runtime(RuntimeConfig(precision=settings.precision, compile="off"))
    if runtime.device.type == "cuda" and importlib.util.find_spec("torch.nn.attention.varlen") is None:
        raise Skipped("this PyTorch has no torch.nn.attention.varlen")
    torch.manual_seed(0)
    model = BertinchampsModel(build_config(asdict(config.arch), settings.vocabulary, **IDS))
    model = model.to(runtime.device).train()
    batch = ragged(row.micro_batch, settings, runtime.device)
    link.compiled()
    ways = (lambda: padded(model, batch, runtime), lambda: packed(model, batch, runtime))
    plain, other = (float(way()) for way in ways)
    if not abs(plain - other) <= TOLERANCE[runtime.autocast_dtype or torch.float32] * abs(plain):
        raise RuntimeError(f"with padding the encoder gives {plain:.4g}, without it {other:.4g}")
    tokens = sum(batch.lengths)
    flops = sum(downstream_flops_per_token(model, model.config, length) * length for length in batch.lengths)
    while True:
        link.ready(None)
        seconds = _medians(ways, runtime.device, settings)
        padding = 1 - tokens / batch.ids.numel()
        rows = [
            {
                "name": row.name,
                "against": f"the same padded ({padding:.0%} of it)",
                "ratio": seconds[0] / seconds[1],
            },
            {"name": f"padded texts, {row.micro_batch}"},
        ]
        for measured, each in zip(rows, reversed(seconds), strict=True):
            measured |= _rates(tokens / each, flops / each / runtime.peak_flops, runtime.device)
        link.measured(rows)


def ragged(texts: int, settings: Settings, device: torch.device) -> Batch:
    """Texts of random tokens, from four up to the longest sequence, short ones more often."""
    random = np.random.default_rng(0)
    longest = settings.sequence_length
    lengths = [int(length) for length in np.clip(random.gamma(2.0, longest / 6, texts), 4, longest)]
    mask = torch.arange(max(lengths), device=device) < torch.tensor(lengths, device=device)[:, None]
    ids = torch.randint(5, settings.vocabulary, mask.shape, device=device) * mask
    places = torch.cat([torch.arange(length, device=device) for length in lengths])
    return Batch(ids, mask, places, lengths)


def padded(model: Any, batch: Batch, runtime: Runtime) -> Tensor:
    """The mean square of one projection of the texts' hidden states, after its backward pass."""
    with runtime.arithmetic():
        hidden = model(batch.ids, batch.mask).last_hidden_state  # [B, S, H]
    return _after_backward(model, (_projected(hidden).square() * batch.mask).sum(), batch)


def packed(model: Any, batch: Batch, runtime: Runtime) -> Tensor:
    """The same, of the texts one behind the other in one row."""
    ids = batch.ids[batch.mask][None]  # [1, T]
    with runtime.arithmetic(), one_behind_the_other(batch):
        hidden = model(ids, position_ids=batch.places[None]).last_hidden_state  # [1, T, H]
    return _after_backward(model, _projected(hidden).square().sum(), batch)


def _projected(hidden: Tensor) -> Tensor:  # [..., H] -> [...]
    return hidden.float() @ torch.linspace(-1, 1, hidden.shape[-1], device=hidden.device)


def _after_backward(model: nn.Module, total: Tensor, batch: Batch) -> Tensor:
    mean = total / len(batch.places)
    mean.backward()  # type: ignore[no-untyped-call]
    model.zero_grad(set_to_none=True)
    return mean.detach()


@contextlib.contextmanager
def one_behind_the_other(batch: Batch) -> Iterator[None]:
    """Texts of a row do not see each other."""
    device = batch.ids.device
    ends = torch.tensor([0, *np.cumsum(batch.lengths)], dtype=torch.int32, device=device)
    longest = max(batch.lengths)

    def attend(
        query: Tensor, key: Tensor, value: Tensor, mask: Any, dropout: float
    ) -> Tensor:  # [1, N, T, D]
        if device.type != "cuda":  # its kernel is CUDA's
            parts = zip(*(tensor.split(batch.lengths, dim=2) for tensor in (query, key, value)), strict=True)
            return torch.cat([functional.scaled_dot_product_attention(*part) for part in parts], dim=2)
        from torch.nn.attention.varlen import varlen_attn

        rows = (tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value))  # [T, N, D]
        read: Any = varlen_attn(*rows, ends, ends, longest, longest)
        return read.transpose(0, 1)[None]  # type: ignore[no-any-return]

    with mock.patch.object(attention, "attend", attend):
        yield


def _medians(ways: Sequence[Callable[[], Any]], device: torch.device, settings: Settings) -> list[float]:
    """Seconds of each of some functions, which take turns."""
    began, turns = now(device), 0
    while turns < 2 or time.perf_counter() - began < settings.warm_up:
        for way in ways:
            way()
        turns += 1
    expected = (now(device) - began) / turns
    marks = Marks(device)
    marks.mark()
    for _ in range(min(MOST, max(settings.fewest, math.ceil(settings.measured / expected)))):
        for way in ways:
            way()
            marks.mark()
    seconds = marks.seconds()
    return [statistics.median(seconds[place :: len(ways)]) for place in range(len(ways))]


def _rates(tokens_per_second: float, mfu: float, device: torch.device) -> dict[str, float]:
    return {
        "tokens_per_second": tokens_per_second,
        "mfu": mfu,
        "memory_megabytes": peak_memory(device),
    }

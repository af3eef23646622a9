"""The rows of benchmarks.device, in order of value, and the memory that each one takes."""

from __future__ import annotations

import functools
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks import pretraining_problem
from bertinchamps.schemas import ArchConfig, PretrainConfig

OURS, PEER, VARIANT = "update", "peer", "variant"
CONTEXT = 0.8  # gigabytes of a process that uses a GPU, before its first tensor
OPERANDS = 1.5  # gigabytes of the row that times products alone


class Row(NamedTuple):
    """One measurement, in a process of its own.

    Attributes:
        name: of the row; unique.
        kind: "update", "peer" or "variant".
        micro_batch: sequences.
        what: the function of `device_rows.MEASUREMENTS` that measures it.
        option: for that function.
        against: name of the row that is measured again just before it, for their ratio.
        needs_cuda: whether a CPU cannot do it.
        alone: it times kernels while it compiles, so nothing else may run meanwhile.
    """

    name: str
    kind: str
    micro_batch: int
    what: str
    option: str = ""
    against: str = ""
    needs_cuda: bool = False
    alone: bool = False


@dataclass(frozen=True)
class Settings:
    """What all rows share.

    Attributes:
        arch: of configs/arch/.
        sequence_length: tokens.
        vocabulary: entries.
        mask_rate: share of the tokens.
        precision: of `runtime.precision`.
        compiled: whether updates are.
        warm_up: seconds of updates before any are timed, so that the device is at its speed.
        measured: seconds of updates that are timed.
        fewest: updates that are timed, at least.
        profiled: updates that are profiled.
    """

    arch: str
    sequence_length: int
    vocabulary: int
    mask_rate: float
    precision: str
    compiled: bool
    warm_up: float
    measured: float
    fewest: int
    profiled: int


def composed(row: Row, settings: Settings) -> PretrainConfig:
    """The configuration of a pretraining run with updates of one micro-batch of the row.

    Raises:
        UserError: a setting that does not exist or has no such value.
    """
    return _composed(settings, row.micro_batch, row.option == "muon")


@functools.cache  # most rows share theirs
def _composed(settings: Settings, micro_batch: int, muon: bool) -> PretrainConfig:
    shape = Namespace(
        arch=settings.arch,
        micro_batch=micro_batch,
        accumulate=1,
        sequence_length=settings.sequence_length,
        vocabulary=settings.vocabulary,
        mask_rate=settings.mask_rate,
        threads=None,
        settings=[],
    )
    words = [
        "budget.steps=1000000",  # the leader says when it is enough
        f"runtime.precision={settings.precision}",
        f"runtime.compile={'on' if settings.compiled else 'off'}",
        *(["optim=muon"] if muon else []),
    ]
    return pretraining_problem.composed(shape, words)


def plan(micro_batches: Sequence[int]) -> list[Row]:
    """All rows: our updates, the peers at the first size, what changes the plain update, the peers at the second size.

    Args:
        micro_batches: sequences, from that of the recipe on.
    """
    first, *others = micro_batches
    few, many = max(2, first // 4), 2 * first  # texts of a fine-tuning batch
    plain = f"bertinchamps, {first}"
    return [
        *(Row(f"bertinchamps, {size}", OURS, size, "update") for size in micro_batches),
        *_peers(first),
        Row(f"CUDA graphs (reduce-overhead), {first}", VARIANT, first, "update", "graphs", plain, needs_cuda=True),
        Row(f"linear_cross_entropy, {first}", VARIANT, first, "update", "linear_cross_entropy", plain),
        Row(f"optim=muon, {first}", VARIANT, first, "update", "muon", plain),
        Row("fp8 products", VARIANT, first, "products"),
        Row(f"packed texts (varlen attention), {few}", VARIANT, few, "texts"),
        Row(f"packed texts (varlen attention), {many}", VARIANT, many, "texts"),
        *(row for size in others[:1] for row in _peers(size)),
        Row(
            f"max-autotune of products, {first}", VARIANT, first, "update", "autotune", plain,
            needs_cuda=True, alone=True,
        ),
    ]  # fmt: skip


def _peers(size: int) -> list[Row]:
    return [
        Row(f"ModernBertForMaskedLM, {size}", PEER, size, "peer", "modernbert"),
        Row(f"BertForMaskedLM, {size}", PEER, size, "peer", "bert"),
    ]


class Memory(NamedTuple):
    """Gigabytes of a row's process on the device.

    Attributes:
        held: while it compiles, or waits for its turn.
        peak: while it works.
    """

    held: float
    peak: float


def memory(row: Row, settings: Settings, arch: ArchConfig) -> Memory:
    """An estimate, of parameters and tokens.

    Weights, gradients and two moments in float32 are 16 bytes a parameter, without an optimizer 8. For a token, what a
    layer keeps for the backward pass is taken as 12 bytes for each hidden and 6 for each intermediate unit (compiled:
    normalised input in float32 and bf16, queries, keys, values, output, both sides of the activation), and its logits
    as 8 bytes for each entry of the vocabulary: of masked positions, or in BertForMaskedLM of all. What is not compiled
    keeps twice as much.
    """
    if row.what == "products":
        return Memory(CONTEXT + OPERANDS, CONTEXT + OPERANDS)
    hidden, inner = arch.hidden_size, arch.intermediate_size
    bert = row.option == "bert"
    matrices = 4 * hidden**2 + (2.0 if bert else 1.5) * hidden * inner  # a glu's second map is half as wide
    parameters = settings.vocabulary * hidden + arch.num_hidden_layers * matrices
    held = CONTEXT + (8 if row.what == "texts" else 16) * parameters / 1e9
    decoded = 1.0 if bert else settings.mask_rate
    for_a_token = arch.num_hidden_layers * (12 * hidden + 6 * inner) + decoded * 8 * settings.vocabulary
    if row.what == "texts":
        for_a_token *= 2
    peak = held + row.micro_batch * settings.sequence_length * for_a_token / 1e9
    return Memory(peak if row.option == "graphs" else held, peak)  # CUDA graphs keep their memory

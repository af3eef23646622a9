"""Where and how the arithmetic runs: device, precision, compilation, threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from bertinchamps.contract import Batch
from bertinchamps.errors import UserError
from bertinchamps.launch import Launch, launched
from bertinchamps.schemas import RuntimeConfig
from bertinchamps.training.cpu import dropout, float32
from bertinchamps.training.cpu.memory import keep_freed_memory
from bertinchamps.training.cpu.overrides import FunctionOverrides
from bertinchamps.training.device import autocast_dtype, can_compile, cores_of
from bertinchamps.training.feeding import read_ahead
from bertinchamps.training.peak import Peak, peak_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ALONE = Launch()
# On a CPU, compiling takes most of a minute before the first update and makes the others a fifth to a third faster
# (docs/performance.md). Runs of less than a quarter of an hour, at the rate of two cores, do not earn it back.
CPU_FLOPS = 0.5e12
EARNS_COMPILING = 900 * CPU_FLOPS


@dataclass(frozen=True)
class Runtime:
    """The resolved choices.

    Attributes:
        device: of the model.
        autocast_dtype: the dtype of matrix products; None: plain float32.
        compiled: functions go through torch.compile.
        processes: world size; every process has a device like this one.
        asynchronous: the device runs asynchronously (CUDA).
        fast_linear_maps: float32 goes through `float32.linear`.
    """

    device: torch.device
    autocast_dtype: torch.dtype | None
    compiled: bool
    processes: int = 1
    asynchronous: bool = False
    fast_linear_maps: bool = False

    @property
    def peak_flops(self) -> float:
        """FLOP/s that count as 100 %, summed over all processes; the first call may measure them."""
        return self._peak.flops * self.processes

    @property
    def peak_origin(self) -> str:
        """ "data sheet", or "measured" with a matrix product on this device."""
        return self._peak.origin

    @property
    def _peak(self) -> Peak:
        return peak_of(self.device, self.autocast_dtype, torch.get_num_threads(), self.fast_linear_maps)

    def set_process(self) -> None:
        """Set PyTorch's options that hold for the whole process."""
        # Compiled scatters add in the order in which threads arrive, unless set otherwise. On a CPU one seed gives
        # one result, bit for bit; on CUDA that would cost too much.
        torch.use_deterministic_algorithms(self.device.type == "cpu")
        # No code here reads uninitialised memory, and filling it takes time.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.set_float32_matmul_precision("highest" if self.autocast_dtype is None else "high")

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """The context in which forward passes run."""
        dtype = self.autocast_dtype
        autocast = nullcontext() if dtype is None else torch.autocast(self.device.type, dtype=dtype)
        with autocast, self._faster_functions():
            yield

    def _faster_functions(self) -> AbstractContextManager[Any]:
        functions: dict[Callable[..., Any], Callable[..., Any]] = {}
        if self.fast_linear_maps:
            functions[functional.linear] = partial(float32.linear, images=float32.images())
        # Compiled code draws for dropout in its own kernels, without extra time.
        if self.device.type == "cpu" and not self.compiled:
            functions[functional.dropout] = dropout.dropout
            functions[functional.scaled_dot_product_attention] = dropout.attention
        return FunctionOverrides(functions) if functions else nullcontext()

    def recompute_activations(self, model: PreTrainedModel) -> None:
        """Activation checkpointing: layers keep their inputs alone, and run again in the backward pass.

        Raises:
            UserError: models of this class cannot do so.
        """
        if not model.supports_gradient_checkpointing:
            raise UserError(
                f"runtime.activation_checkpointing=true: {type(model).__name__} has no such thing; leave it out"
            )
        settings: dict[str, Any] = {"use_reentrant": False}
        if not self.compiled:
            # torch.utils.checkpoint restores autocast for the second run, and no other context.
            settings["context_fn"] = lambda: (nullcontext(), self._faster_functions())
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=settings)

    def compile(self, function: Callable[..., Any], one_graph: bool = True) -> Callable[..., Any]:
        """The function, compiled for static shapes if `compiled`.

        Args:
            function: to compile.
            one_graph: raise an error where a part cannot be compiled. False: such parts run as they are.
        """
        return torch.compile(function, dynamic=False, fullgraph=one_graph) if self.compiled else function

    def feed(self, batches: Iterator[Batch], ahead: int) -> Generator[Batch]:
        """Read batches ahead in a thread; on CUDA into pinned memory, and copy them without synchronising."""
        cuda = self.device.type == "cuda"
        for batch in read_ahead(batches, ahead, pin=cuda):
            inputs = {
                name: tensor.to(self.device, non_blocking=cuda) for name, tensor in batch.inputs.items()
            }
            yield replace(batch, inputs=inputs)

    def for_run(self, most_flops: float) -> Runtime:
        """The same runtime, without compiling where a run of `most_flops` would not earn it back."""
        earns = self.device.type != "cpu" or most_flops >= EARNS_COMPILING
        return self if earns else replace(self, compiled=False)

    def free_memory(self) -> None:
        """Give memory of a card that nothing uses back to it."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def fetch(self, numbers: torch.Tensor) -> Callable[[], list[float]]:
        """Start to copy `numbers` [K] to the host; the returned function waits for the copy alone."""
        if self.device.type != "cuda":
            return numbers.tolist
        copy = numbers.to("cpu", non_blocking=True)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record()

        def wait() -> list[float]:
            copied.synchronize()
            arrived: list[float] = copy.tolist()
            return arrived

        return wait

    def describe(self) -> str:
        """One line for people: device, precision, compilation."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        precision = (
            "float32" if self.autocast_dtype is None else str(self.autocast_dtype).removeprefix("torch.")
        )
        threads = f", {torch.get_num_threads()} threads" if self.device.type == "cpu" else ""
        processes = f", {self.processes} processes" if self.processes > 1 else ""
        return f"{name}{threads}, {precision}, {'compiled' if self.compiled else 'not compiled'}{processes}"


def build_runtime(config: RuntimeConfig, place: Launch = ALONE) -> Runtime:
    """Resolve every `auto` on this machine.

    Args:
        config: the choices.
        place: rank and world size; each process of a machine takes a GPU of its own, by local rank.
    """
    torch.compiler.reset()  # the jobs of a sweep share a process, which keeps few compiled variants of a function
    torch.set_num_threads(config.threads or int(os.environ.get("OMP_NUM_THREADS") or cores_of(place)))
    keep_freed_memory()
    runtime = resolved(config, place)
    runtime.set_process()
    return runtime


def resolved(config: RuntimeConfig, place: Launch = ALONE) -> Runtime:
    """The runtime of `build_runtime`, which leaves the process as it is: for a program that others wrote."""
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    device = (
        torch.device(kind, place.local_rank)
        if kind == "cuda" and place.world_size > 1
        else torch.device(kind)
    )
    dtype = autocast_dtype(config.precision, device)
    fast_linear_maps = device.type == "cpu" and dtype is None and float32.help_here()
    # On processors, compiled float32 is slower than eager where it was measured (docs/performance.md).
    pays = device.type != "cpu" or dtype is not None
    compiled = config.compile == "on" or (config.compile == "auto" and pays and can_compile(device))
    return Runtime(
        device,
        dtype,
        compiled,
        processes=place.world_size,
        asynchronous=device.type == "cuda",
        fast_linear_maps=fast_linear_maps,
    )


def runtime_problems(config: RuntimeConfig) -> list[str]:
    """Mistakes in the runtime settings, and settings that this machine cannot fulfil, in the user's key names."""
    problems = [
        f"runtime.{key}={value}: one of {', '.join(menu)}"
        for key, value, menu in (
            ("device", config.device, ("auto", "cpu", "cuda")),
            ("precision", config.precision, ("auto", "fp32", "bf16", "fp16")),
            ("compile", config.compile, ("auto", "on", "off")),
        )
        if value not in menu
    ]
    if config.device == "cuda" and not torch.cuda.is_available():
        problems.append(
            "runtime.device=cuda: this PyTorch sees no CUDA device; runtime.device=auto takes the CPU"
        )
    cuda = (
        config.device != "cpu" and torch.cuda.is_available()
    )  # asking a device that is not there would raise
    on_this_machine = launched().local_world_size
    if cuda and on_this_machine > 1 and torch.cuda.device_count() < on_this_machine:
        problems.append(
            f"runtime.device={config.device}: {on_this_machine} processes on a machine with "
            f"{torch.cuda.device_count()} CUDA devices, and each needs its own: give torchrun "
            f"--nproc-per-node={torch.cuda.device_count()}, or train on the CPU with runtime.device=cpu"
        )
    if config.compile == "on" and not can_compile(torch.device("cuda" if cuda else "cpu")):
        needs = (
            "Triton and Python's headers"
            if cuda
            else "a C++ compiler and Python's headers (g++, python3-dev)"
        )
        problems.append(f"runtime.compile=on: needs {needs}; runtime.compile=auto does without")
    if config.precision == "fp16" and not cuda:
        problems.append(
            "runtime.precision=fp16: it is for GPUs; a processor emulates it, and takes minutes for what float32 takes "
            "a second for: runtime.precision=auto takes what this one multiplies fast"
        )
    if config.threads is not None and config.threads < 1:
        problems.append(f"runtime.threads={config.threads}: must be at least 1")
    return problems

"""Choices that depend on the device and on how long a run is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from bertinchamps.schemas import RuntimeConfig
from bertinchamps.training import peak, runtime
from bertinchamps.training.device import autocast_dtype
from bertinchamps.training.runtime import EARNS_COMPILING, Runtime, build_runtime

CPU = Runtime(torch.device("cpu"), None, compiled=True)
CUDA = replace(CPU, device=torch.device("cuda"))  # described, not used


@pytest.mark.parametrize(
    ("given", "flops", "compiled"),
    [(CPU, 0.9, False), (CPU, 1.1, True), (CUDA, 0.1, True), (replace(CPU, compiled=False), 9.0, False)],
)
def test_a_short_run_on_a_cpu_is_not_compiled(given: Runtime, flops: float, compiled: bool) -> None:
    assert given.for_run(flops * EARNS_COMPILING).compiled is compiled


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Callable[[tuple[int, int]], torch.device]:
    """A CUDA device of a compute capability, as far as questions go."""

    def of(capability: tuple[int, int]) -> torch.device:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: capability >= (8, 0))
        return torch.device("cuda")

    return of


@pytest.mark.parametrize(
    ("capability", "precision", "expected"),
    [
        ((9, 0), "auto", torch.bfloat16),  # H100
        ((7, 5), "auto", torch.float16),  # T4: tensor cores for fp16 alone
        ((6, 1), "auto", None),
        ((9, 0), "fp32", None),
        ((7, 5), "bf16", torch.bfloat16),
        ((9, 0), "fp16", torch.float16),
    ],
)
def test_the_precision_of_a_card(
    card: Callable[[tuple[int, int]], torch.device],
    capability: tuple[int, int],
    precision: str,
    expected: torch.dtype | None,
) -> None:
    assert autocast_dtype(precision, card(capability)) is expected


def test_numbers_of_a_cpu_are_there_at_once() -> None:
    assert CPU.fetch(torch.tensor([1.5, 2.0]))() == [1.5, 2.0]


def test_float32_on_a_processor_is_not_compiled_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "can_compile", lambda device: True)
    chosen = {
        (precision, compiled): build_runtime(RuntimeConfig("cpu", precision, compiled, threads=1)).compiled
        for precision in ("fp32", "bf16")
        for compiled in ("auto", "on")
    }
    assert chosen == {
        ("fp32", "auto"): False, ("bf16", "auto"): True, ("fp32", "on"): True, ("bf16", "on"): True,
    }  # fmt: skip


def test_the_peak_is_measured_when_it_is_asked_for_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    monkeypatch.setattr(peak, "_seconds", lambda function, device: measured.append(device) or 0.001)
    peak.peak_of.cache_clear()
    first, second = (build_runtime(RuntimeConfig("cpu", "fp32", "off", threads=1)) for _ in range(2))
    assert measured == []
    state = torch.random.get_rng_state()
    assert first.peak_flops == second.peak_flops == 2 * peak.SIZE**3 / 0.001
    assert len(measured) == peak.TIMES
    assert torch.equal(torch.random.get_rng_state(), state)
    assert replace(first, processes=3).peak_flops == 3 * first.peak_flops
    assert first.peak_origin == "measured"
    peak.peak_of.cache_clear()


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L4", 121),
        ("Tesla T4", 65),
        ("NVIDIA RTX A1000 Laptop GPU", None),
        ("NVIDIA A10G", None),
        ("NVIDIA T400 4GB", None),
    ],
)
def test_a_data_sheet_is_that_of_the_card_and_not_of_another_with_a_longer_name(
    name: str, tflops: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    monkeypatch.setattr(torch, "randn", lambda *sizes, **more: torch.ones(2, 2))
    monkeypatch.setattr(torch, "Generator", lambda device: torch.default_generator)
    monkeypatch.setattr(peak, "_seconds", lambda function, device: 1.0)
    found = peak.peak_of.__wrapped__(CUDA.device, torch.bfloat16, 1, False)
    assert found == ((tflops * 1e12, "data sheet") if tflops else (2 * 8192**3, "measured"))

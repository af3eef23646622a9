"""What a run costs besides seconds: energy, peak memory, money, CO2 (docs/costs.md).

Energy is read off counters where there are any: NVML's of a card, RAPL's of a processor. Elsewhere it is a stated power
times the seconds, and the record says so.
"""

from __future__ import annotations

import importlib
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bertinchamps.launch import launched
from bertinchamps.schemas import CostConfig
from bertinchamps.training.peak import data_sheet
from bertinchamps.training.runtime import Runtime

EURO_PER_HOUR = {"cuda": 2.5, "cpu": 0.05}  # of a card, of a core
WATTS_OF_A_CORE = 6.0
WATTS_OF_A_CARD = 300.0  # of a card without a data sheet
JOULES_PER_KWH = 3.6e6
PROCESSORS = "counters of all processors, other programs included"
WHOLE_MACHINE = "psys"  # RAPL's name of a counter that holds those of the processors
POWERCAP = Path("/sys/class/powercap")


class Counter(NamedTuple):
    """A counter of energy.

    Attributes:
        origin: what it is, for people.
        joules: since some moment.
        wraps_at: joules at which it begins at 0 again; None: never.
        processes: how many of the run's processes it counts for.
    """

    origin: str
    joules: Callable[[], float]
    wraps_at: float | None
    processes: int


def counters_of(device: torch.device) -> list[Counter]:
    """The counters that can be read for a device; none where power has to be stated."""
    found = _card(device) if device.type == "cuda" else _packages(device)
    return found if readings_of(found) else []


def readings_of(counters: Sequence[Counter]) -> list[float] | None:
    """What each counter says now, in joules; None where one of them cannot be read."""
    try:
        return [counter.joules() for counter in counters]
    except Exception:  # many cards have no counter, a driver may get lost: NVML has exceptions of its own
        return None


def joules_between(before: float, after: float, wraps_at: float | None) -> float:
    """What a counter has counted between two readings, between which it began anew at most once."""
    return after - before if after >= before or wraps_at is None else after + wraps_at - before


def watts_of(runtime: Runtime, stated: float | None) -> tuple[float, str]:
    """The power of all that a run computes on, in watts, and its origin.

    Args:
        runtime: device and number of processes.
        stated: by the user, for all processes.
    """
    if stated is not None:
        return stated, "stated"
    if runtime.device.type == "cuda":
        sheet = data_sheet(torch.cuda.get_device_name(runtime.device))
        each, origin = (sheet.watts, "data sheet") if sheet else (WATTS_OF_A_CARD, "guessed")
        return each * runtime.processes, f"{origin}, {each:g} W a card"
    cores = torch.get_num_threads() * runtime.processes
    return WATTS_OF_A_CORE * cores, f"guessed, {WATTS_OF_A_CORE:g} W a core"


def money_and_co2(config: CostConfig, runtime: Runtime, seconds: float, kwh: float) -> dict[str, float]:
    """Money and CO2 with the rates that they follow from."""
    rate = config.euro_per_hour
    if rate is None:
        units = 1 if runtime.device.type == "cuda" else torch.get_num_threads()
        rate = EURO_PER_HOUR.get(runtime.device.type, 0.0) * units * runtime.processes
    return {
        "euro": rate * seconds / 3600,
        "euro_per_hour": rate,
        "gram_co2": config.gram_co2_per_kwh * kwh,
        "gram_co2_per_kwh": config.gram_co2_per_kwh,
    }


def forget_peak_memory(device: torch.device) -> None:
    """Let `peak_memory` begin anew, where the system can do that."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return  # then it is the peak of the process so far


def peak_memory(device: torch.device) -> int:
    """Bytes: of a card, what PyTorch had allocated on it at the most; otherwise of the process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="utf-8").splitlines()
        found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
        if found:
            return 1024 * int(found[0])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def cost_line(cost: Mapping[str, Any]) -> str:
    """The record of a run's cost in a line, for people."""
    return (
        f"cost       {cost['peak_memory_bytes'] / 2**30:.2f} GB, {cost['energy_kwh']:.3g} kWh "
        f"({cost['energy_origin']}), {cost['gram_co2']:.3g} g CO2, {cost['euro']:.3g} euro"
    )


def _card(device: torch.device) -> list[Counter]:
    """NVML's counter of a card; `pip install nvidia-ml-py` brings NVIDIA's library."""
    try:
        library = importlib.import_module("pynvml")
        library.nvmlInit()
        handle = library.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    except Exception:  # not installed, no driver, no such card: each has an exception of its own
        return []
    return [
        Counter(
            "counter of the card", lambda: library.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000, None, 1
        )
    ]


def _packages(device: torch.device) -> list[Counter]:
    """RAPL's counters of whole processors, which on most systems root alone may read."""
    if device.type != "cpu":
        return []
    found = []
    for folder in sorted(POWERCAP.glob("*-rapl:*")):
        if folder.name.count(":") != 1:
            continue  # parts of a processor, which are inside of it
        try:
            if (folder / "name").read_text(encoding="ascii").strip() == WHOLE_MACHINE:
                continue
            wraps_at = int((folder / "max_energy_range_uj").read_text(encoding="ascii")) / 1e6
        except (OSError, ValueError):
            return []
        read = partial(_microjoules, folder / "energy_uj")
        found.append(Counter(PROCESSORS, read, wraps_at, launched().local_world_size))
    return found


def _microjoules(file: Path) -> float:
    """A counter of RAPL, in joules."""
    return int(file.read_text(encoding="ascii")) / 1e6

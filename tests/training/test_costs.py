"""What a run costs: counters of energy, stated power, peak memory, money and CO2."""

from __future__ import annotations

import json
import mmap
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from bertinchamps.pretrain import pretrain
from bertinchamps.schemas import CostConfig
from bertinchamps.training import costs
from bertinchamps.training.costs import Counter, counters_of, joules_between, money_and_co2, watts_of
from bertinchamps.training.hooks import Costs
from bertinchamps.training.peak import data_sheet
from bertinchamps.training.runtime import Runtime
from bertinchamps.training.trainer import Trainer
from support import QUICK, composed

CPU = torch.device("cpu")


def runtime(processes: int = 1) -> Runtime:
    return Runtime(CPU, None, compiled=False, processes=processes)


class Spending:
    """As much of a trainer as the hook asks for."""

    def __init__(self, seconds: float, processes: int = 1) -> None:
        self.runtime, self.clock = runtime(processes), self
        self.spent = self
        self.seconds = seconds


def trainer(seconds: float, processes: int = 1) -> Trainer:
    return cast(Trainer, Spending(seconds, processes))


def rapl(folder: Path, joules: float, most: float = 1000.0) -> None:
    domains = (
        ("intel-rapl:0", "package-0", joules),
        ("intel-rapl:0:0", "core", 7.0),
        ("intel-rapl:1", "package-1", 0.0),
        ("intel-rapl:2", "psys", 3 * joules),  # of some laptops: all of the machine
    )
    for name, what, value in domains:
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "name").write_text(f"{what}\n")
        (folder / name / "energy_uj").write_text(str(int(value * 1e6)))
        (folder / name / "max_energy_range_uj").write_text(str(int(most * 1e6)))


@pytest.fixture(autouse=True)
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of counters, empty at first."""
    folder = tmp_path / "powercap"
    folder.mkdir()
    monkeypatch.setattr(costs, "POWERCAP", folder)
    return folder


def test_a_counter_that_began_anew_is_unrolled() -> None:
    assert joules_between(10, 25, 100) == 15
    assert joules_between(90, 5, 100) == 15
    assert joules_between(90, 95, None) == 5


def test_counters_of_processors_are_read_and_their_parts_and_sums_are_not(powercap: Path) -> None:
    assert counters_of(CPU) == []
    rapl(powercap, 12.5)
    assert [(counter.joules(), counter.wraps_at) for counter in counters_of(CPU)] == [(12.5, 1000), (0, 1000)]
    (powercap / "intel-rapl:1" / "energy_uj").unlink()  # as where root alone may read
    assert counters_of(CPU) == []


def nvml(uuid: str, readings: Sequence[int | None]) -> SimpleNamespace:
    """NVIDIA's library for one card, whose counter has these readings in millijoules; None: it cannot be read."""
    following = iter(readings)

    def handle(asked: str) -> str:
        if asked != uuid:
            raise RuntimeError("not found")
        return asked

    def energy(handle: str) -> int:
        reading = next(following)
        if reading is None:
            raise RuntimeError("not supported")
        return reading

    return SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=handle,
        nvmlDeviceGetTotalEnergyConsumption=energy,
    )


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Runtime]:
    """A function that puts a card with such a counter there; it returns the card's runtime."""

    def put(*readings: int | None, uuid: str = "GPU-1") -> Runtime:
        monkeypatch.setitem(sys.modules, "pynvml", nvml(uuid, readings))
        return Runtime(torch.device("cuda"), None, compiled=False, processes=1)

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Unknown 1")
    for name in ("max_memory_allocated", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda device: 0)
    return put


def test_the_counter_of_a_card_is_read_where_it_has_one(card: Callable[..., Runtime]) -> None:
    (counter,) = counters_of(card(5000, 7500).device)
    assert counter.joules() == 7.5
    assert counters_of(card(None).device) == []
    assert counters_of(card(5000, uuid="MIG-1").device) == []


@pytest.mark.parametrize(
    ("readings", "joules", "origin"),
    [
        ((None,), 0, "guessed, 300 W a card"),
        ((0, None), 0, "guessed, 300 W a card"),
        ((0, 0, 9000, None), 9, "counter of the card; guessed, 300 W a card"),
    ],
)
def test_a_card_whose_counter_cannot_be_read_does_not_stop_a_run(
    card: Callable[..., Runtime], readings: Sequence[int | None], joules: float, origin: str
) -> None:
    spending = trainer(100.0)
    spending.runtime = card(*readings)
    hook = Costs(CostConfig())
    hook.before_training(spending)
    for _ in range(3):
        hook.after_training(spending)
    record = hook.record(spending)
    assert (hook._joules, record["energy_origin"]) == (joules, origin)
    assert record["energy_kwh"] == pytest.approx((joules + 300 * 100) / 3.6e6, rel=1e-3)


def test_power_is_stated_or_of_the_data_sheet_or_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watts_of(runtime(), 35.0) == (35.0, "stated")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert watts_of(runtime(processes=3), None) == (36.0, "guessed, 6 W a core")
    cuda = Runtime(torch.device("cuda"), None, compiled=False, processes=2)
    for name, watts in (("NVIDIA A100-SXM4-80GB", 800.0), ("NVIDIA Unknown 1", 600.0)):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, name=name: name)
        assert watts_of(cuda, None)[0] == watts
    assert data_sheet("NVIDIA RTX A1000") is None


def test_the_energy_of_counters_is_added_up_over_resumptions(powercap: Path, tmp_path: Path) -> None:
    rapl(powercap, 990.0)
    hook = Costs(CostConfig(gram_co2_per_kwh=100.0, euro_per_hour=7.2, watts=50.0))
    hook.before_training(trainer(0))
    rapl(powercap, 26.0)  # 36 J, over the end of the counter
    hook.after_training(trainer(0))
    hook.save(tmp_path)
    resumed = Costs(CostConfig(gram_co2_per_kwh=100.0, euro_per_hour=7.2, watts=50.0))
    resumed.load(tmp_path)
    resumed.before_training(trainer(0))
    rapl(powercap, 62.0)
    resumed.after_training(trainer(0))
    resumed._counted_seconds = 10.0
    record = resumed.record(trainer(10.0))
    assert record["energy_kwh"] == pytest.approx(72 / 3.6e6)
    assert record["energy_origin"] == "counters of all processors, other programs included"
    assert record["gram_co2"] == pytest.approx(72 / 3.6e4)
    assert record["euro"] == pytest.approx(7.2 * 10 / 3600)
    elsewhere = resumed.record(trainer(20.0))  # ten seconds that no counter saw
    assert elsewhere["energy_kwh"] == pytest.approx((72 + 500) / 3.6e6)
    assert elsewhere["energy_origin"].endswith("; stated")


def test_one_process_reads_for_all_of_its_machine_and_for_other_machines(powercap: Path) -> None:
    hook, counter = Costs(CostConfig()), Counter("a", iter([0.0, 10.0]).__next__, None, 2)
    hook._counters, hook._readings = [counter], [counter.joules()]
    hook._read(trainer(0, processes=4))  # on two machines
    assert hook._joules == 20


def test_money_follows_the_number_of_cores_and_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert money_and_co2(CostConfig(), runtime(2), 1800, 1.0) == {
        "euro": pytest.approx(0.1), "euro_per_hour": pytest.approx(0.2), "gram_co2": 21.7, "gram_co2_per_kwh": 21.7,
    }  # fmt: skip
    cuda = Runtime(torch.device("cuda"), None, compiled=False, processes=2)
    assert money_and_co2(CostConfig(), cuda, 3600, 0.0)["euro"] == 5.0


def test_the_peak_of_memory_begins_anew_and_holds_what_was_allocated() -> None:
    costs.forget_peak_memory(CPU)
    before = costs.peak_memory(CPU)
    with mmap.mmap(-1, 64 * 2**20) as new:  # memory that no allocator had before
        new.write(bytes(64 * 2**20))
        assert costs.peak_memory(CPU) >= before + 60 * 2**20


def test_every_pretraining_knows_what_it_cost(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = [*QUICK, "budget.steps=2", "cost.watts=100", "cost.gram_co2_per_kwh=50", "cost.euro_per_hour=3.6"]
    folder = pretrain(composed(*words, f"run_dir={tmp_path / 'run'}"))
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    cost, seconds = summary["cost"], summary["spent"]["seconds"]
    assert cost["energy_kwh"] == pytest.approx(100 * seconds / 3.6e6)
    assert cost["energy_origin"] == "stated"
    assert cost["gram_co2"] == pytest.approx(50 * cost["energy_kwh"])
    assert cost["euro"] == pytest.approx(seconds / 1000)
    assert cost["peak_memory_bytes"] > 100 * 2**20
    assert "cost       " in capfd.readouterr().err

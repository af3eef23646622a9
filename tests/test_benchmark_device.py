"""benchmarks.device: whose turn it is, what a profile says, and the file at any moment."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from benchmarks import device, device_plan, device_profile, device_rows, device_variants
from benchmarks.device_plan import Memory, Row, Settings
from benchmarks.device_profile import Interval
from benchmarks.device_schedule import Limits, Schedule, Worker
from benchmarks.pretraining_problem import random_corpus
from bertinchamps.model.huggingface import BertinchampsModel
from bertinchamps.training.runtime import Runtime
from support import ROOT, command, started

SETTINGS = Settings("tiny", 32, 512, 0.15, "fp32", False, 0.0, 0.01, 2, 1)
LIMITS = Limits(seconds=60, compiling=30, measuring=30, gigabytes=10, processes=8)


class Heard:
    """What the schedule told."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.plain: dict[str, float | None] = {}
        self.problems: dict[str, str] = {}
        self.logs: dict[str, str] = {}

    def ready(self, row: Row, first_update: float | None) -> None:
        self.rows[row.name] = {"first_update_seconds": first_update}

    def measured(self, row: Row, message: Mapping[str, Any], plain: float | None) -> None:
        self.rows[row.name], self.plain[row.name] = message["rows"][0], plain

    def failed(self, row: Row, problem: str, log: str) -> None:
        self.problems[row.name], self.logs[row.name] = problem, log


@pytest.fixture
def scheduled(tmp_path: Path) -> Callable[..., tuple[Heard, list[list[str]]]]:
    """Runs rows of `device_workers`; returns what was told, and the lines that they wrote."""

    def run(
        rows: Sequence[Row], limits: Limits = LIMITS, memory: Mapping[str, Memory] | None = None
    ) -> tuple[Heard, list[list[str]]]:
        notes, heard = tmp_path / "notes", Heard()
        rows = [row._replace(option=str(notes)) for row in rows]
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["device_workers"]
        )  # a start takes milliseconds then, on a busy machine, too

        def start(row: Row, memory: Memory) -> Worker:
            return Worker(row, memory, context, ("device_workers", None, None), tmp_path / f"{row.name}.log")

        taken = {row.name: Memory(1, 2) for row in rows} | dict(memory or {})
        Schedule(rows, taken, limits, heard, start).run()
        assert not multiprocessing.active_children()
        lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
        return heard, [line.split(" ", 2)[1:] for line in lines]

    return run


def row(name: str, what: str = "good", micro_batch: int = 1, **given: Any) -> Row:
    return Row(name, "update", micro_batch, what, **given)


def test_rows_are_measured_one_after_the_other_in_order_when_all_are_ready(scheduled: Any) -> None:
    heard, lines = scheduled([row("a"), row("b"), row("c")])
    assert not heard.problems
    assert [what for _, what in lines[:6]].count("ends its first update") == 3
    assert lines[6:] == [[name, what] for name in "abc" for what in ("begins", "ends")]
    assert heard.rows["a"] == {"tokens_per_second": 100.0, "outside_kernels": 0.25}


def test_a_row_that_fails_is_skipped_dies_or_overruns_is_told_and_stops_no_other(scheduled: Any) -> None:
    kinds = ("fails", "skips", "dies", "never_compiles", "never_ends_its_profile")
    rows = [*(row(kind, kind) for kind in kinds), row("last")]
    heard, lines = scheduled(rows, LIMITS._replace(compiling=5, measuring=2))
    assert heard.problems == {
        "fails": "ValueError: no such kernel",
        "skips": "skipped: needs a card",
        "dies": "its process ended with status 7: the last words",
        "never_compiles": "overran its 5 s of compiling",
        "never_ends_its_profile": "overran its 2 s of measuring",
    }
    assert "Traceback" in heard.logs["fails"]
    assert heard.rows["never_ends_its_profile"] == {"tokens_per_second": 5.0}  # as far as it came
    assert ["last", "ends"] in lines


def test_measuring_does_not_wait_for_a_slow_compiler_beyond_half_of_the_time(scheduled: Any) -> None:
    began = time.monotonic()
    heard, _ = scheduled([row("slow", "never_compiles"), row("quick")], LIMITS._replace(seconds=6))
    assert "tokens_per_second" in heard.rows["quick"]
    assert not heard.problems  # the slow one was not reached
    assert 6 <= time.monotonic() - began < 16


def test_the_plain_way_is_measured_again_just_before_what_is_compared_with_it(scheduled: Any) -> None:
    rows = [row("plain", micro_batch=2), row("other"), row("changed", micro_batch=3, against="plain")]
    heard, lines = scheduled(rows)
    measured = [name for name, what in lines if what == "begins"]
    assert measured == ["plain", "other", "plain", "changed"]
    assert heard.plain == {"plain": None, "other": None, "changed": 200.0}


def test_a_row_that_times_kernels_while_it_compiles_has_the_device_alone_and_last(scheduled: Any) -> None:
    _, lines = scheduled([row("alone", alone=True), row("a"), row("b")])
    assert [name for name, what in lines if what.startswith("begins")][-2:] == ["alone", "alone"]


def test_what_runs_together_fits_into_the_memory(scheduled: Any) -> None:
    memory = {"a": Memory(1, 6), "b": Memory(1, 6), "c": Memory(4, 9), "huge": Memory(1, 11)}
    heard, lines = scheduled([row("a"), row("b"), row("c"), row("huge")], memory=memory)
    assert heard.problems == {"huge": "needs 11 GB by estimate, of 10"}
    working: set[str] = set()
    for name, what in lines:
        working = working | {name} if what.startswith("begins") else working - {name}
        assert len(working) < 2, lines  # 6 and 6 and what is held are more than 10
    assert {name for name, what in lines if what == "ends"} == {"a", "b", "c"}


def test_the_union_of_intervals_counts_no_moment_twice() -> None:
    intervals = [Interval("a", 0, 10), Interval("b", 5, 10), Interval("c", 7, 2), Interval("d", 20, 5)]
    assert device_profile.covered(reversed(intervals)) == 20
    assert device_profile.outside_kernels(intervals) == pytest.approx(1 - 20 / 25)
    assert device_profile.outside_kernels([Interval("a", 3, 4)]) == 0
    assert device_profile.outside_kernels([]) is None


def test_the_longest_kernels_are_those_of_an_update_and_operators_count_where_they_call_no_other() -> None:
    calls = [
        Interval("outer", 0, 10),
        Interval("inner", 1, 4),
        Interval("inner", 6, 4),
        Interval("x", 0, 9, "t"),
    ]
    kept = device_profile.innermost([*calls, Interval("next", 10, 2)])
    assert sorted((one.name, one.start) for one in kept) == [
        ("inner", 1),
        ("inner", 6),
        ("next", 10),
        ("x", 0),
    ]
    first, second, _ = device_profile.longest(kept, updates=2)
    assert first == {"name": "x", "microseconds": 4.5, "calls": 0.5, "share": pytest.approx(9 / 19)}
    assert (second["name"], second["calls"]) == ("inner", 1)
    assert len(device_profile.longest([Interval(str(n), n, 1) for n in range(40)], 1)) == 15


def test_kernels_are_read_from_a_trace_of_torchs_profiler() -> None:
    events = [
        {"ph": "X", "cat": "kernel", "name": "gemm", "ts": 1.5, "dur": 2, "tid": 7},
        {"ph": "X", "cat": "gpu_memcpy", "name": "copy", "ts": 4, "dur": 1, "tid": 7},
        {"ph": "X", "cat": "cuda_runtime", "name": "launch", "ts": 0, "dur": 9, "tid": 1},
        {"ph": "f", "cat": "ac2g", "name": "ac2g", "ts": 1},
    ]
    found = device_profile.of_trace({"traceEvents": events}, device_profile.ON_THE_DEVICE)
    assert found == [Interval("gemm", 1.5, 2, 7), Interval("copy", 4, 1, 7)]


def test_the_rows_of_a_large_card_fit_it_by_estimate() -> None:
    settings = device.settings_of(device.parser().parse_args([]))[0]
    rows = device_plan.plan((128, 256, 512))
    assert len({each.name for each in rows}) == len(rows)
    arch = device_plan.composed(rows[0], settings).arch
    memory = {each.name: device_plan.memory(each, settings, arch) for each in rows}
    sizes = [memory[f"bertinchamps, {size}"] for size in (128, 256, 512)]
    # 119.6 million parameters of 16 bytes, whatever the micro-batch
    assert all(size.held == pytest.approx(0.8 + 119.6e6 * 16 / 1e9, rel=0.01) for size in sizes)
    assert sizes[2].peak - sizes[2].held == pytest.approx(4 * (sizes[0].peak - sizes[0].held))
    assert max(size.peak for size in memory.values()) < 0.82 * 80
    assert memory["BertForMaskedLM, 128"].peak > memory["ModernBertForMaskedLM, 128"].peak > sizes[0].held


def test_the_file_is_whole_from_the_first_moment_and_tells_what_was_not_reached(tmp_path: Path) -> None:
    rows = [row("a"), row("b", against="a")]
    collected = device.Collected(rows, {"benchmark": "device"}, tmp_path / "d.json")

    def written() -> dict[str, Any]:
        result: dict[str, Any] = json.loads((tmp_path / "d.json").read_text(encoding="utf-8"))
        return result

    assert [each["problem"] for each in written()["rows"]] == ["not reached", "not reached"]
    collected.ready(rows[0], 31.5)
    collected.measured(
        rows[0], {"rows": [{"tokens_per_second": 10.0}], "kernels": [{"name": "k"}], "last": True}, None
    )
    collected.measured(
        rows[1], {"rows": [{"tokens_per_second": 15.0}], "kernels": [{"name": "l"}], "last": False}, 12.0
    )
    collected.failed(rows[1], "overran", "")
    first, second = written()["rows"]
    assert first == {"name": "a", "kind": "update", "micro_batch": 1, "tokens_per_second": 10.0}
    assert (second["ratio"], second["against"], second["problem"]) == (1.25, "a", "overran")
    assert written()["kernels"] == [{"name": "k"}]


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"rows": []},
        {"rows": [{"name": "a", "kind": "update", "micro_batch": 1, "problem": "not reached"}]},
        {"rows": [{"name": "a", "tokens_per_second": 1.0, "outside_kernels": None, "problem": "overran"}]},
    ],
)
def test_the_table_is_made_of_any_part_of_a_result(part: dict[str, Any]) -> None:
    table = device.table(part)
    for each in part.get("rows", []):
        assert f"| {each['name']} |" in table
        assert each["problem"] in table


def test_a_run_that_is_killed_leaves_a_whole_file_and_no_process(tmp_path: Path) -> None:
    output = tmp_path / "d.json"
    running = started("benchmarks.device", "--rehearse", f"--output={output}", cwd=ROOT)
    try:
        measured: list[dict[str, Any]] = []
        ends = time.monotonic() + 240
        while not measured and time.monotonic() < ends:
            time.sleep(0.05)
            if output.exists():
                rows = json.loads(output.read_text(encoding="utf-8"))["rows"]
                measured = [each for each in rows if "tokens_per_second" in each]
        rows_of_it = descendants(running.pid)
        assert len(rows_of_it) > 1
    finally:
        running.kill()
        running.wait(60)
    rows = json.loads(output.read_text(encoding="utf-8"))["rows"]
    assert [each for each in rows if "tokens_per_second" in each]
    assert [each for each in rows if each.get("problem") == "not reached"]
    assert "not reached: " in device.table({"rows": rows})
    ends = time.monotonic() + 60
    while (left := [pid for pid in rows_of_it if is_alive(pid)]) and time.monotonic() < ends:
        time.sleep(0.1)
    assert not left


def descendants(pid: int) -> list[int]:
    """Processes that a process started, and those that they started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    except OSError:
        return []
    return [each for child in map(int, children) for each in (child, *descendants(child))]


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_rehearsal_is_offered(tmp_path: Path) -> None:
    ran = command("benchmarks.device", f"--output={tmp_path / 'd.json'}", cwd=ROOT)
    assert ran.returncode == 2
    assert "--rehearse" in ran.stderr


@pytest.mark.skipif(
    not hasattr(functional, "linear_cross_entropy"), reason="this PyTorch has no such function"
)
def test_the_fused_loss_is_the_tasks(tmp_path: Path) -> None:
    config = device_plan.composed(Row("a", "update", 4, "update"), SETTINGS)
    corpus = random_corpus(config, tmp_path)
    trainer = device_rows.trainer_of(
        config, corpus, Runtime(torch.device("cpu"), None, False), device_rows.AfterUpdate()
    )
    inputs = {"input_ids": torch.randint(5, 512, (4, 32)), "positions": torch.arange(4)}
    plain = trainer.task.loss(trainer.model, inputs).loss_sum
    fused = device_rows.fused_loss(trainer.task, trainer.model, inputs).loss_sum
    torch.testing.assert_close(fused, plain)


@pytest.mark.parametrize("positions", ["scaled_sinusoidal", "learned"])
def test_texts_without_padding_give_what_they_give_with_it(positions: str) -> None:
    config = device_plan.composed(Row("a", "variant", 4, "texts"), SETTINGS)
    torch.manual_seed(0)
    built = device_variants.build_config(
        {**vars(config.arch), "positions": positions}, 512, **device_variants.IDS
    )
    model = BertinchampsModel(built)
    batch = device_variants.ragged(6, SETTINGS, torch.device("cpu"))
    assert len(set(batch.lengths)) > 2
    runtime = Runtime(torch.device("cpu"), None, False)
    with_padding = device_variants.padded(model, batch, runtime)
    torch.testing.assert_close(device_variants.packed(model, batch, runtime), with_padding)
    backwards = batch._replace(places=batch.places.flip(0))  # positions count, too
    assert abs(device_variants.packed(model, backwards, runtime) - with_padding) > 1e-4 * with_padding
    with device_variants.one_behind_the_other(batch):  # so does whose tokens a token sees
        row, mask = batch.ids[batch.mask][None], torch.ones(1, len(batch.places))
        one_text = model(row, mask, position_ids=batch.places[None]).last_hidden_state
    apart = model(batch.ids[:1, : batch.lengths[0]]).last_hidden_state
    torch.testing.assert_close(one_text[:, : batch.lengths[0]], apart)

"""A study runs the cells of its grid, once each, and draws what they scored."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
import yaml

from bertinchamps.checks.studying import problems
from bertinchamps.command_line.readable import readable
from bertinchamps.durable import take_lock
from bertinchamps.reporting import study_figures
from bertinchamps.reporting.runs import FinetuningRun
from bertinchamps.reporting.study_figures import XAxis, axis_of, plot_study, points
from bertinchamps.reporting.study_grid import Cell, Plan, cells_of
from bertinchamps.schemas import StudyConfig
from bertinchamps.study import mistakes_of_cells
from support import command, composed, metrics, started
from tiny_corpora import brat_corpus
from tiny_encoders import make_encoder

Settings = dict[str, Any]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("data")
    words = [
        *brat_corpus(folder / "brat"),
        "runtime=eager",
        "max_length=48",
        "budget.epochs=1",
        "runtime.threads=1",
    ]
    return {"model": str(make_encoder("bert", folder / "bert")), **dict(word.split("=") for word in words)}


def study(folder: Path, settings: Settings, **grid: list[Any]) -> list[str]:
    """Write a plan, and return the words of its study."""
    keys = {"examples": "few_shot.examples"}
    plan = {"settings": settings, "grid": {keys.get(key, key): values for key, values in grid.items()}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")
    return ["bertinchamps.study", "plan=mine.yaml"]


def finished(folder: Path) -> dict[str, float]:
    return {file.parent.name: file.stat().st_mtime for file in folder.glob("runs/*/results.json")}


def test_a_study_does_each_cell_once_and_draws_all(settings: Settings, tmp_path: Path) -> None:
    result = command(*study(tmp_path, settings, examples=[2, 4], seed=[0, 1]), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "4 runs, 0 of which are there" in result.stderr
    before = finished(tmp_path / "studies" / "mine")
    assert len(before) == 4
    assert {name.rpartition("_")[0] for name in before} == {"2_0", "2_1", "4_0", "4_1"}
    drawn = {file.name for file in (tmp_path / "studies" / "mine" / "report").iterdir()}
    assert {"report.md", "score_over_few_shot_examples.png", "score_over_minutes.svg"} <= drawn
    result = command(*study(tmp_path, settings, examples=[2, 4, 6], seed=[0, 1]), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "6 runs, 4 of which are there" in result.stderr
    after = finished(tmp_path / "studies" / "mine")
    assert len(after) == 6
    assert {name: after[name] for name in before} == before


def test_a_run_that_fails_stops_no_other(settings: Settings, tmp_path: Path) -> None:
    result = command(*study(tmp_path, settings, examples=[999, 2]), cwd=tmp_path)
    assert result.returncode == 2
    assert "1 of 2 runs failed" in result.stderr
    assert "few_shot.examples=999: train has" in result.stderr
    assert len(finished(tmp_path / "studies" / "mine")) == 1
    (named,) = [line for line in result.stderr.splitlines() if "studies/mine/logs" in line]
    log = tmp_path / named.strip().removeprefix("- ").partition(": ")[0]
    assert "few_shot.examples=999" in log.read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_a_study_that_was_stopped_goes_on(settings: Settings, tmp_path: Path, number: int) -> None:
    """Its fork ends, too, with a checkpoint, even where the study could not tell it."""
    words = study(tmp_path, {**settings, "budget.epochs": 60}, seed=[0, 1])
    fork = started(*words, cwd=tmp_path)
    # A run that was stopped before its first update has nothing to go on from.
    deadline, runs = time.monotonic() + 60, tmp_path / "studies" / "mine" / "runs"
    while not any(map(metrics, (file.parent for file in runs.glob("*/metrics.jsonl")))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    fork.send_signal(number)
    _, err = fork.communicate(60)
    if number != signal.SIGKILL:
        assert fork.returncode == 128 + number
        assert "the same command goes on" in err
    (run,) = runs.iterdir()
    while not _free(run):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert finished(tmp_path / "studies" / "mine") == {}
    result = command(*words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(finished(tmp_path / "studies" / "mine")) == 2
    logs = sorted(file.read_text(encoding="utf-8") for file in tmp_path.glob("studies/mine/logs/*.log"))
    assert ["going on from" in log for log in logs].count(True) == 1


def _free(run: Path) -> bool:
    """Whether no process trains a run."""
    with (run / ".lock").open() as lock:
        return take_lock(lock)


def told(folder: Path, plan: str) -> list[str]:
    (folder / "mine.yaml").write_text(plan, encoding="utf-8")
    found = problems(StudyConfig(str(folder / "mine.yaml"), str(folder / "there")))
    return [problem.replace(f"plan={folder / 'mine.yaml'}", "plan") for problem in found]


def test_every_mistake_of_a_plan_is_told_before_it_begins(settings: Settings, tmp_path: Path) -> None:
    assert told(tmp_path, "settings: [a]\nx: 1") == [
        "plan: x: no such key; a plan has `settings`, `grid` and `where`",
        "plan: settings: keys of finetune with values, such as `task: ner`",
    ]
    assert told(tmp_path, "grid: {seed: 3, head: [a, a]}") == [
        "plan: grid: seed: a list of values, such as [8, 16]",
        "plan: grid: head: a value is given twice",
    ]
    assert told(tmp_path, "settings: {run_dir: x, seed: 0}\ngrid: {seed: [1], resume: [auto]}") == [
        "plan: settings: run_dir: the study sets it; folder= says where the runs are",
        "plan: grid: resume: the study sets it; folder= says where the runs are",
        "plan: seed: in settings and in grid",
    ]
    assert told(tmp_path, "grid: {seed: [0, 1]}\nwhere: {seed=2: {}, seed=1: x}") == [
        "plan: where: seed=2: no value of the grid; such as `seed=0`, with a value of `grid`",
        "plan: where: seed=1: keys of finetune with values, such as `budget.epochs: 3`",
    ]
    assert told(tmp_path, "grid: {seed: [0, 1]}\nwhere: {seed=1: {seed: 3, run_dir: x}}") == [
        "plan: where: seed=1: run_dir: the study sets it; folder= says where the runs are",
        "plan: where: seed=1: seed: in grid, too",
    ]
    assert told(tmp_path, "settings:\n  a: [\n")[0].startswith("plan, line 3: not yaml")
    assert told(tmp_path, "settings: {}") == [
        "plan: grid: keys of finetune with lists of values, such as `seed: [0, 1, 2]`"
    ]
    assert problems(StudyConfig("nowhere.yaml"))[0].startswith("plan=nowhere.yaml: cannot be read")
    wrong = {"head": ["flat", "nestd"], "few_shot.examples": [0, 4]}
    found = mistakes_of_cells(Plan(settings, wrong))
    assert any("head=nestd" in problem and "did you mean" in problem for problem in found)
    assert sum("few_shot.examples=0" in problem for problem in found) == 1
    many = {**wrong, "seed": list(range(8))}
    assert set(mistakes_of_cells(Plan(settings, many))) == set(found)


def test_cells_have_names_of_their_own_and_change_with_the_settings() -> None:
    grid = {"model": ["runs/a", "runs/b"], "optim.betas": [[0.9, 0.98]], "seed": [0, 1]}
    cells = cells_of(Plan({}, grid))
    assert [cell.words[0] for cell in cells] == ["model=runs/a"] * 2 + ["model=runs/b"] * 2
    assert cells[0].words[1] == "optim.betas=[0.9, 0.98]"
    names = {cell.name for cell in cells}
    assert len(names) == 4
    where = cells_of(Plan({"head": "flat", "lr": 1}, grid, {"model=runs/b": {"lr": 2}, "seed=1": {"x": [3]}}))
    assert [cell.all_words[:-3] for cell in where] == [
        ["head=flat", "lr=1"], ["head=flat", "lr=1", "x=[3]"], ["head=flat", "lr=2"], ["head=flat", "lr=2", "x=[3]"],
    ]  # fmt: skip
    assert where[0].name == cells_of(Plan({"head": "flat", "lr": 1}, grid))[0].name
    assert names.isdisjoint(cell.name for cell in cells_of(Plan({"head": "flat"}, grid)))


def test_points_are_means_over_seeds_in_the_order_of_the_axis() -> None:
    grid = {"adapter": ["none", "lora"], "few_shot.examples": [8, 16], "seed": [0, 1]}
    known = [
        (cell, run_with(0.1 * cell.values["few_shot.examples"] + 0.2 * cell.values["seed"]))
        for cell in cells_of(Plan({}, grid))
    ]
    found = points(axis_of("few_shot.examples", known), known, "ner", "strict")
    assert list(found["series"]) == ["adapter=lora"] * 2 + ["adapter=none"] * 2
    assert list(found["x"]) == [8, 16, 8, 16]
    assert list(found["mean"]) == pytest.approx([0.9, 1.7, 0.9, 1.7])
    assert list(found["deviation"]) == pytest.approx([0.02**0.5] * 4)


def test_models_of_one_name_are_not_averaged() -> None:
    models = ["runs/none/model", "runs/clinical/model", "camembert/camembert-base"]
    cells = cells_of(Plan({}, {"model": models, "few_shot.examples": [8, 16], "seed": [0, 1]}))
    known = [(cell, run_with(float(models.index(cell.values["model"])))) for cell in cells]
    found = points(axis_of("few_shot.examples", known), known, "ner", "strict")
    named = ["model=camembert/camembert-base", "model=clinical/model", "model=none/model"]
    assert list(found["series"]) == [name for name in named for _ in range(2)]
    assert list(found["mean"]) == [2, 2, 1, 1, 0, 0]
    assert set(found["deviation"]) == {0}
    alone = [(cell, run) for cell, run in known if cell.values["model"] != "runs/none/model"]
    found = points(axis_of("few_shot.examples", alone), alone, "ner", "strict")
    assert set(found["series"]) == {"model=camembert-base", "model=model"}


def test_common_grids_have_a_figure_for_each_key(tmp_path: Path) -> None:
    grid = {
        "few_shot.examples": [8, 32, None], "optim.learning_rate": ["1e-4", "3e-4"],
        "+budget": ["90s", "1h"], "optim.betas": [[0.9], 1], "seed": [0, 1],
    }  # fmt: skip
    cells = cells_of(Plan({}, grid))
    runs = [run_with(0.5, cell, train=40 * (cell.values["few_shot.examples"] or 100)) for cell in cells]
    drawn = {file.stem for file in plot_study(cells, runs, tmp_path) if file.suffix == ".png"}
    assert drawn == {
        "score_over_few_shot_examples", "score_over_optim_learning_rate", "score_over_budget", "score_over_minutes",
    }  # fmt: skip
    known = list(zip(cells, runs, strict=True))
    found = points(axis_of("few_shot.examples", known), known, "ner", "strict")
    assert dict(zip(found["x"], found["tick"], strict=True)) == {8: "8", 32: "32", 100: "all"}
    assert set(points(axis_of("optim.learning_rate", known), known, "ner", "strict")["x"]) == {1e-4, 3e-4}
    assert set(points(axis_of("+budget", known), known, "ner", "strict")["x"]) == {1.5, 60}


def test_budgets_of_one_setting_are_one_line_over_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = cells_of(Plan({}, {"adapter": ["none", "lora"], "+budget": ["1m", "5m", "15m"], "seed": [0, 1]}))
    drawn = {}

    def keep(axis: XAxis, found: pd.DataFrame, axes: object) -> None:
        drawn[axis.name] = found

    monkeypatch.setattr(study_figures, "_panel", keep)
    plot_study(cells, [run_with(0.5, cell) for cell in cells], tmp_path)
    assert list(drawn["minutes"]["series"]) == ["adapter=lora"] * 3 + ["adapter=none"] * 3
    assert list(drawn["minutes"]["seeds"]) == [2] * 6


def run_with(score: float, cell: Cell | None = None, train: int = 40) -> FinetuningRun:
    scores = {"test": {"strict": {"f1": score}}}
    folder = Path(cell.name if cell else "run")
    run = SimpleNamespace(
        task="ner", split="test", scores=scores, folder=folder, data={"train": {"documents": train}}, sizes={},
        cost={"seconds": 60},
    )  # fmt: skip
    return cast(FinetuningRun, run)


def test_runs_that_leave_test_alone_are_drawn_and_tabulated_by_dev(
    settings: Settings, tmp_path: Path
) -> None:
    result = command(*study(tmp_path, {**settings, "selection.score_test": False}, seed=[0]), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    report = tmp_path / "studies" / "mine" / "report"
    assert (report / "score_over_minutes.png").is_file()
    page = (report / "report.md").read_text(encoding="utf-8")
    assert "## Left out" not in page
    assert "(dev, %)" in page
    assert "(test, %)" not in page


def test_a_length_of_time_is_a_budget_of_fine_tuning() -> None:
    words = readable(["task=ner", "task.train=x", "+budget=90s"], "finetune")
    assert words[2:] == ["budget.hours=0.025", "budget.epochs=null"]
    config = composed(*words, command="finetune")
    assert (config.budget.hours, config.budget.epochs) == (0.025, None)

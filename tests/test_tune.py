"""A search chooses on dev, ends poor trials, leaves test alone, and goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from bertinchamps.checks.tuning import problems
from bertinchamps.durable import write_json
from bertinchamps.errors import UserError
from bertinchamps.reporting.search_space import Range, content_of, read_search
from bertinchamps.reporting.study_grid import read_plan
from bertinchamps.schemas import TuneConfig
from bertinchamps.study import mistakes_of_cells
from bertinchamps.training.hooks import Selection
from bertinchamps.training.trainer import Trainer
from bertinchamps.tune import EndsPoorTrials, tune
from tiny_corpora import brat_corpus
from tiny_encoders import make_encoder


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("data")
    words = [
        *brat_corpus(folder / "brat"),
        "runtime=eager",
        "max_length=48",
        "budget.epochs=2",
        "runtime.threads=1",
    ]
    settings = {
        "model": str(make_encoder("bert", folder / "bert")),
        **dict(word.split("=") for word in words),
    }
    return {
        "settings": settings,
        "search": {"optim.learning_rate": {"low": "1e-6", "high": "1e-2", "log": True}},
    }


def config(folder: Path, plan: dict[str, Any], trials: int) -> TuneConfig:
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump(plan), encoding="utf-8")
    return TuneConfig(str(file), str(folder / "there"), trials)


def test_a_search_goes_on_and_leaves_test_alone(
    plan: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tune(config(tmp_path, plan, 2))
    tune(config(tmp_path, plan, 3))
    told = capfd.readouterr().err
    begun = [line.split()[0] for line in told.splitlines() if " optim.learning_rate=" in line]
    assert [word for word in begun if "/" in word] == ["1/2", "2/2", "3/3"]
    runs = sorted((tmp_path / "there" / "runs").iterdir())
    more = {**plan, "search": {**plan["search"], "dropout": [0.0, 0.1]}}
    assert "(search: dropout)" in "".join(problems(config(tmp_path, more, 3)))
    results = [json.loads((run / "results.json").read_text(encoding="utf-8")) for run in runs]
    assert len(results) == 3
    assert all(set(result["scores"]) == {"dev"} for result in results)
    assert len({result["learning_rate"] for result in results}) == 3
    best = yaml.safe_load((tmp_path / "there" / "best.yaml").read_text(encoding="utf-8"))
    values = {result["learning_rate"]: result["selection"]["value"] for result in results}
    top = max(values.values())
    assert values[min(values, key=lambda rate: abs(rate - best["optim.learning_rate"]))] == top
    assert best["model"] == plan["settings"]["model"]


def test_a_search_goes_on_with_its_own_plan_alone(tmp_path: Path) -> None:
    before = {
        "settings": {"task": "ner", "model": "a"},
        "search": {"dropout": {"low": 0.0, "high": "3e-1"}, "adapter.rank": [4, 8]},
    }
    begun = config(tmp_path, before, 3)
    folder = tmp_path / "there"
    folder.mkdir()
    write_json(folder / "plan.json", content_of(read_search(Path(begun.plan))))
    other = {**before, "settings": {"task": "ner", "model": "b"}}
    assert problems(config(tmp_path, other, 3)) == []  # no trial was begun
    (folder / "trials.log").touch()
    assert problems(config(tmp_path, before, 5)) == []
    same = {**before, "search": {"adapter.rank": [4, 8], "dropout": {"high": 0.3, "low": 0.0, "log": False}}}
    assert problems(config(tmp_path, same, 5)) == []
    more = {**before, "search": {**before["search"], "adapter.rank": [4, 8, 16], "seed": [0, 1]}}
    for plan, differing in (
        (other, "settings: model"),
        (more, "search: adapter.rank, search: seed"),
        ({**before, "settings": {"task": "ner"}}, "settings: model"),
    ):
        (found,) = problems(config(tmp_path, plan, 5))
        assert f"of another plan, and trials of two plans do not compare ({differing});" in found
    (folder / "plan.json").unlink()
    (found,) = problems(config(tmp_path, before, 3))
    assert "plan.json: cannot be read" in found


def test_each_value_has_a_search_and_a_study_gets_the_best_of_all(
    plan: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    space = {"optim.learning_rate": {"low": "1e-6", "high": "1e-2", "log": True}}
    settings = {key: value for key, value in plan["settings"].items() if key != "budget.epochs"}
    each = {
        "settings": {**settings, "budget.epochs": 1},
        "search": space,
        "each": {"head": ["flat", "nested"]},
    }
    tune(config(tmp_path, each, 1))
    assert "2/2" not in capfd.readouterr().err
    tune(config(tmp_path, each, 2))
    begun = [
        line.split()[0] for line in capfd.readouterr().err.splitlines() if " optim.learning_rate=" in line
    ]
    assert [word for word in begun if "/" in word] == ["2/2", "2/2"]
    found = {
        chosen["head"]: chosen["optim.learning_rate"]
        for file in (tmp_path / "there").glob("*/best.yaml")
        if (chosen := yaml.safe_load(file.read_text(encoding="utf-8")))
    }
    study = read_plan(tmp_path / "there" / "study.yaml")
    assert study.grid == {"head": ["flat", "nested"], "seed": [0, 1, 2]}
    assert study.where == {f"head={head}": {"optim.learning_rate": rate} for head, rate in found.items()}
    assert len(found) == 2
    assert mistakes_of_cells(study) == []
    other = {**each, "settings": {**each["settings"], "dropout": 0.2}}
    assert sum("of another plan" in problem for problem in problems(config(tmp_path, other, 2))) == 2


def test_wrong_settings_are_told_before_the_first_trial(plan: dict[str, Any], tmp_path: Path) -> None:
    wrong = {**plan, "settings": {**plan["settings"], "head": "nestd"}}
    with pytest.raises(UserError, match="head=nestd"):
        tune(config(tmp_path, wrong, 2))
    assert not (tmp_path / "there").exists()


class Trial:
    """As much of Optuna's trial as the hook asks for."""

    def __init__(self) -> None:
        self.told: list[tuple[float, int]] = []

    def report(self, value: float, step: int) -> None:
        self.told.append((value, step))

    def should_prune(self) -> bool:
        return len(self.told) == 2


def test_a_poor_trial_is_ended_at_an_evaluation() -> None:
    selection = object.__new__(Selection)
    selection.seconds, selection.best = [], {"value": 0.1}
    trainer = cast(Trainer, SimpleNamespace(hooks=[selection], converged=False))
    trial = Trial()
    hook = EndsPoorTrials(trial)
    for evaluated in (False, True, False, True):
        if evaluated:
            selection.seconds.append(1.0)
        hook.after_update(trainer)
    assert trial.told == [(0.1, 1), (0.1, 2)]
    assert hook.pruned
    assert trainer.converged


def test_spaces_are_read_with_yamls_numbers(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(
        "search:\n  optim.learning_rate: {low: 1e-4, high: 1.0e-2, log: true}\n  adapter.rank: {low: 2, high: 16}\n"
        "  head: [flat, nested]\n",
        encoding="utf-8",
    )
    space = read_search(file).space
    assert space["optim.learning_rate"] == Range(1e-4, 1e-2, True)
    assert cast(Range, space["adapter.rank"]).whole
    assert space["head"] == ["flat", "nested"]


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("{}", "search: keys of finetune, such as"),
        ("{dropout: 3}", "search: dropout: a list of values, or {low: …, high: …}"),
        ("{dropout: [3]}", "search: dropout: a list of several values"),
        (
            "{dropout: {low: 1, high: 0}}",
            "search: dropout: low: 1, high: 0: two numbers, the smaller one first",
        ),
        (
            "{dropout: {low: 0, high: 1, log: true}}",
            "search: dropout: log: True, low: 0: true or false",
        ),
        ("{dropout: {low: a, high: 1}}", "search: dropout: low: a, high: 1: two numbers"),
        ("{seed: [0, 1]}", "seed: in settings and in search"),
        ("{run_dir: [a, b]}", "run_dir: the search sets it"),
        ("{dropout: [0, 1]}\neach: {adapter: [a, b], head: [c, d]}", "each: adapter, head: one key alone"),
        (
            "{dropout: [0, 1]}\neach: {adapter: [a, a]}",
            "each: adapter: a list of several values, none of them",
        ),
        ("{dropout: [0, 1]}\neach: {dropout: [0, 1]}", "each: dropout: in settings or in search, too"),
        ("{dropout: [0, 1]}\neach: {run_dir: [a, b]}", "run_dir: the search sets it"),
        ("{dropout: [0, 1]}\neach: {seed: [0, 1]}", "each: seed: settings are chosen for all seeds"),
    ],
)
def test_mistakes_of_a_plan_are_told(search: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(f"settings: {{seed: 3}}\nsearch: {search}\n", encoding="utf-8")
    found = problems(TuneConfig(str(file), str(tmp_path / "there"), 0))
    assert found[0] == "trials=0: must be at least 1"
    assert any(problem.removeprefix(f"plan={file}: ").startswith(message) for problem in found), found

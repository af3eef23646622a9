"""python -m bertinchamps.tune: a search of settings of fine-tuning with Optuna, on dev alone."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if __name__ == "__main__":  # what follows imports torch, and waits until the command line has proved right
    command_line.run("tune")
    sys.exit()

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bertinchamps.checks import finetuning
from bertinchamps.command_line.mistakes import examine
from bertinchamps.command_line.readable import readable
from bertinchamps.console import tell
from bertinchamps.durable import write_file, write_json
from bertinchamps.errors import Stopped, UserError
from bertinchamps.finetune import finetune
from bertinchamps.reporting.search_space import (
    BEST,
    JOURNAL,
    PLAN,
    STUDY,
    Range,
    SearchPlan,
    content_of,
    folder_of,
    read_search,
    searches_of,
    study_of,
)
from bertinchamps.reporting.study_grid import words_of
from bertinchamps.schemas import FinetuneConfig, TuneConfig
from bertinchamps.training.hook import Hook
from bertinchamps.training.hooks import Selection
from bertinchamps.training.run_files import read_summary
from bertinchamps.training.trainer import Trainer

UNPRUNED = 5  # trials before the first one is ended early


class EndsPoorTrials(Hook):
    """Tells the search each score of dev, and ends training where the search expects nothing of it.

    Args:
        trial: of Optuna.
    """

    def __init__(self, trial: Any) -> None:
        self._trial, self._told = trial, 0
        self.pruned = False

    def after_update(self, trainer: Trainer) -> None:
        selection = next(hook for hook in trainer.hooks if isinstance(hook, Selection))
        if len(selection.seconds) == self._told:
            return
        self._told = len(selection.seconds)
        self._trial.report(selection.best["value"], self._told)
        if self._trial.should_prune():
            self.pruned = trainer.converged = True


def tune(config: TuneConfig) -> None:
    """Run trials until there are `trials`, and write the best settings; with `each`, once for each of its values.

    Raises:
        Stopped: by a signal; the same command goes on with the next trial.
        UserError: the settings are wrong, or no trial succeeded.
    """
    plan, folder = read_search(Path(config.plan).expanduser()), folder_of(config)
    searches = searches_of(plan, folder)
    for own, place in searches:
        _configuration(own, _first(own), place / "runs" / "new")
    found = []
    for own, place in searches:
        if plan.each:
            tell(f"search     {' '.join(words_of({key: own.settings[key] for key in plan.each}))}")
        found.append(_search(config, own, place))
    if plan.each:
        content = yaml.safe_dump(study_of(plan, found)._asdict(), allow_unicode=True, sort_keys=False)
        write_file(folder / STUDY, content)
        tell(f"next       python -m bertinchamps.study plan={shlex.quote(str(folder / STUDY))}")


def _search(config: TuneConfig, plan: SearchPlan, folder: Path) -> dict[str, Any]:
    """The best values of a search, which goes on where it was."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / PLAN, content_of(plan))
    search = _open(config, folder)
    for number in range(_there(search), config.trials):
        trial = search.ask()
        values = {key: _suggested(trial, key, choice) for key, choice in plan.space.items()}
        tell(f"{number + 1}/{config.trials}".ljust(11) + " ".join(words_of(values)))
        _try(search, trial, plan, values, folder / "runs" / str(trial.number))
    if not any(trial.value is not None for trial in search.trials):
        raise UserError(f"{folder}: none of {config.trials} trials succeeded; the messages above say why")
    best = search.best_trial
    found = {key: _plain(best.params[key]) for key in plan.space}
    content = yaml.safe_dump({**plan.settings, **found}, allow_unicode=True, sort_keys=False)
    write_file(folder / BEST, content)
    tell(f"best       dev {best.value:.4f}, trial {best.number}: {' '.join(words_of(found))}")
    tell(f"settings   {folder / BEST}; test was left alone: score it once, with these")
    return found


def _try(search: Any, trial: Any, plan: SearchPlan, values: Mapping[str, Any], run: Path) -> None:
    """One trial, whose result the search is told."""
    from optuna.trial import TrialState

    watch = EndsPoorTrials(trial)
    try:
        folder = finetune(_configuration(plan, values, run), [watch])
    except Stopped as error:
        search.tell(trial, state=TrialState.FAIL)
        raise Stopped(
            f"stopped in trial {trial.number}; the same command goes on with the next one", error.number
        ) from error
    except UserError as error:
        tell(f"failed     {error}")
        search.tell(trial, state=TrialState.FAIL)
        return
    if watch.pruned:
        search.tell(trial, state=TrialState.PRUNED)  # its value is the last that was reported
    else:
        search.tell(trial, float(read_summary(folder, "finetune")["selection"]["value"]))


def _open(config: TuneConfig, folder: Path) -> Any:
    """The search, with the trials that are there; those that a kill interrupted count as failed."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    search = optuna.create_study(
        study_name="tune", storage=storage, load_if_exists=True, direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED),
    )  # fmt: skip
    for trial in search.trials:
        if trial.state == optuna.trial.TrialState.RUNNING:
            search.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    search.sampler = optuna.samplers.TPESampler(seed=config.seed + len(search.trials))
    return search


def _there(search: Any) -> int:
    """The trials that are done, the failed ones excluded."""
    return sum(trial.value is not None for trial in search.trials)


def _suggested(trial: Any, key: str, choice: Range | list[Any]) -> Any:
    if not isinstance(choice, Range):
        return trial.suggest_categorical(key, choice)
    suggest = trial.suggest_int if choice.whole else trial.suggest_float
    return suggest(key, choice.low, choice.high, log=choice.log)


def _first(plan: SearchPlan) -> dict[str, Any]:
    """Values that are in the space."""
    return {key: choice.low if isinstance(choice, Range) else choice[0] for key, choice in plan.space.items()}


def _configuration(plan: SearchPlan, values: Mapping[str, Any], run: Path) -> FinetuneConfig:
    """The configuration of a trial.

    Raises:
        UserError: all that is wrong with it.
    """
    words = words_of({**plan.settings, **values, "selection.score_test": False, "run_dir": str(run)})
    problems, configs = examine("finetune", readable(words, "finetune"), finetuning.problems)
    if problems:
        raise UserError("\n".join(problems))
    config: FinetuneConfig = configs[0]
    return config


def _plain(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value

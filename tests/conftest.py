"""Fixtures that many tests share."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from bertinchamps.schemas import PretrainConfig
from support import QUICK, composed
from warm import draw_once, shorten_windows


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays: nothing is garbage meanwhile, and afterwards the collector need not look at it again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long tests first, some modules of them in each worker's part of the list, so that no worker ends with them alone.

    Those of one module stay together, since each worker builds the fixtures of a module anew.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    long = [item for item in items if item.get_closest_marker("long")]
    others = [item for item in items if not item.get_closest_marker("long")]
    modules = list(dict.fromkeys(item.path for item in long))
    left = len(items)
    items.clear()
    for worker in range(workers):
        part = left // (workers - worker)  # as `--dist worksteal` divides them
        mine = [item for item in long if item.path in modules[worker::workers]]
        short = max(0, part - len(mine))
        items += mine + others[:short]
        del others[:short]
        left -= part
    items += others


@pytest.fixture(scope="session", autouse=True)
def _as_commands_have_it() -> None:
    """What the process that commands are forks of shortens is short in tests, too."""
    draw_once()
    shorten_windows()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of blocks for the session, so that the small corpus is prepared once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(cache))


@pytest.fixture(scope="session")
def knows_by_heart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuned run with the nested head that knows the first ten `tiny_corpora.documents` by heart."""
    from bertinchamps.finetune import finetune
    from test_finetune import QUICK, by_heart

    folder = tmp_path_factory.mktemp("by_heart")
    words = [*QUICK, *by_heart(folder), "head=nested", "budget.epochs=40", f"run_dir={folder / 'run'}"]
    return finetune(composed(*words, command="finetune"))


@pytest.fixture
def quick_run(tmp_path: Path) -> Callable[..., Path]:
    """Pretrain in this process with small settings; returns the run's directory."""

    def run(*overrides: str, name: str = "run") -> Path:
        from bertinchamps.checks.pretraining import problems
        from bertinchamps.pretrain import pretrain

        config: PretrainConfig = composed(*QUICK, f"run_dir={tmp_path / name}", *overrides)
        assert problems(config) == []
        return pretrain(config)

    return run

"""Fixtures that many tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bertinchamps.schemas import PretrainConfig
from support import QUICK, composed


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of blocks for the session, so that the small corpus is prepared once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(cache))


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

"""The figure of a run's losses."""

from __future__ import annotations

from pathlib import Path

from bertinchamps.training.figures import plot_loss


def run_of(losses: list[float]) -> list[dict[str, float | str]]:
    train = [{"kind": "train", "step": n, "tokens": 64 * n, "loss": loss} for n, loss in enumerate(losses, 1)]
    return [
        *train,
        {"kind": "held_out", "step": 0, "tokens": 0, "loss": 6.0},
        {**train[-1], "kind": "held_out"},
    ]


def test_each_run_has_a_figure_of_its_own_losses(tmp_path: Path) -> None:
    first = plot_loss(run_of([6.0, 5.0, 4.0]), "run", tmp_path / "first")
    second = plot_loss(run_of([6.0, 5.5, 5.4]), "run", tmp_path / "second")
    assert [file.name for file in first] == ["first.png", "first.svg"]
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in first[1].read_bytes()
    assert first[0].read_bytes() != second[0].read_bytes()


def test_a_run_of_no_update_has_a_figure(tmp_path: Path) -> None:
    assert all(file.stat().st_size > 0 for file in plot_loss([], "run", tmp_path / "loss"))

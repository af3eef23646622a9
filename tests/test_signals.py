"""Who hears of a signal: once, for the first one alone, and as long as a context lasts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from bertinchamps import signals
from bertinchamps.signals import TO_END, Interrupted, be_deaf, hearing, interrupting


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in TO_END}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def left_with(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses with which the process would have left at once."""
    statuses: list[int] = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    return statuses


@pytest.mark.parametrize(
    ("second", "seconds", "leaves"),
    [
        (signal.SIGTERM, 2.0, True),
        (signal.SIGINT, 2.0, True),
        (signal.SIGTERM, 0.1, False),  # one signal to a group, which a parent passed on
        (signal.SIGHUP, 2.0, False),
    ],
)
def test_a_second_signal_leaves_at_once(
    second: signal.Signals,
    seconds: float,
    leaves: bool,
    left_with: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, heard = 100.0, list[int]()
    monkeypatch.setattr(signals.time, "monotonic", lambda: clock)
    with hearing(heard.append):
        os.kill(os.getpid(), signal.SIGTERM)
        clock += seconds
        os.kill(os.getpid(), second)
    assert heard == [signal.SIGTERM]
    assert left_with == ([128 + second] if leaves else [])


def test_what_nohup_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with hearing(lambda number: pytest.fail("heard")), interrupting():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_an_error_gives_the_signals_back_unless_they_are_not_to_be_heard_any_more() -> None:
    before = [signal.getsignal(number) for number in TO_END]
    with pytest.raises(Interrupted) as interrupted, interrupting():
        os.kill(os.getpid(), signal.SIGTERM)
    assert interrupted.value.number == signal.SIGTERM
    assert [signal.getsignal(number) for number in TO_END] == before
    with hearing(lambda number: pytest.fail("heard")):
        be_deaf()
    os.kill(os.getpid(), signal.SIGTERM)

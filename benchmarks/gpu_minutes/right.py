"""The stage `right`: the tests that need a card; beside them, the first updates of the stage `learns`."""

from __future__ import annotations

import re
import signal
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import markdown
from benchmarks.gpu_minutes import files, learns
from benchmarks.gpu_minutes.place import Place
from benchmarks.gpu_minutes.processes import Command

SHARE_OF_ONE_TEST = 0.65  # of the limit: a test that hangs does not take all of it
SOME_TESTS_FAILED = 1  # pytest's status
LONGEST_REASON = 400  # characters
VERBOSE = re.compile(r"^(tests/\S+?::.+?)(?: (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b.*)?$")
OUTCOMES = {"failure": "failed", "error": "error", "skipped": "skipped"}


@dataclass
class Right:
    """Runs the tests, and two updates as `learns` will make them, which leaves their compilation in the cache.

    Args:
        place: where things are.
        warm: whether `learns` follows.
    """

    place: Place
    warm: bool
    name: str = "right"
    seconds: float = 60.0
    takes_what_is_left: bool = False
    grace: float = 4.0
    ask: signal.Signals = signal.SIGINT  # pytest writes what it knows, and a run ends

    def commands(self, seconds: float) -> list[Command]:
        self._report.unlink(missing_ok=True)  # of an earlier call
        words = ["-m", "gpu", "tests/gpu", "-v", "--tb=short", "-p", "no:cacheprovider", "-o", "addopts="]
        words += ["-o", f"timeout={seconds * SHARE_OF_ONE_TEST:.0f}", f"--junitxml={self._report}"]
        tests = Command(self.place.module("pytest", words), self._log, reported=(SOME_TESTS_FAILED,))
        if not self.warm:
            return [tests]
        first = learns.pretraining(self.place, "budget.steps=2", self.place.new_folder("first_updates"))
        return [tests, Command(first, self.place.logs / "right_first_updates.log")]

    @property
    def _report(self) -> Path:
        return self.place.logs / "right.xml"

    @property
    def _log(self) -> Path:
        return self.place.logs / "right.log"

    def result(self) -> dict[str, Any]:
        """The tests as the report tells them, or as far as the log does; and one that never ended."""
        logged = _from_log(self._log.read_text(encoding="utf-8", errors="replace"))
        known = _from_report(self._report, self.place) if self._report.is_file() else []
        names = {test["test"] for test in known}
        return {"tests": known + [test for test in logged if test["test"] not in names]}


def _from_report(file: Path, place: Place) -> list[dict[str, Any]]:
    """Of a report in the form of JUnit."""
    try:
        cases = list(ET.parse(file).getroot().iter("testcase"))
    except ET.ParseError:
        return []
    named = [case for case in cases if case.get("name")]  # one that was interrupted is not; the log knows it
    return [_result_of(case, place) for case in named]


def _result_of(case: ET.Element, place: Place) -> dict[str, Any]:
    """Of one test, or of a file that could not be collected."""
    entry: dict[str, Any] = {
        "test": _node(case.get("classname", ""), case.get("name", "")),
        "outcome": "passed",
        "seconds": round(float(case.get("time", 0)), 2),
    }
    for tag, outcome in OUTCOMES.items():
        found = case.find(tag)
        if found is not None:
            entry["outcome"] = outcome
            entry["reason"] = place.plain(_reason(found))[:LONGEST_REASON]
    return entry


def _reason(found: ET.Element) -> str:
    """On one line: the message, or of a traceback what pytest marks as the error."""
    text = found.text or ""
    marked = " ".join(line[1:] for line in text.splitlines() if line.startswith("E "))
    message = found.get("message") or ""
    return " ".join((marked if message == "collection failure" and marked else message or text).split())


def _node(dotted: str, name: str) -> str:
    """tests.gpu.test_a.TestB and test_c → tests/gpu/test_a.py::TestB::test_c, as pytest takes it."""
    names = (dotted or name).split(".")
    module = next((place for place, part in enumerate(names) if part.startswith("test_")), len(names) - 1)
    file = "/".join(names[: module + 1]) + ".py"
    return "::".join([file, *names[module + 1 :], *([name] if dotted else [])])


def _from_log(text: str) -> list[dict[str, Any]]:
    """Of the lines of `pytest -v`; a test without an outcome was running when the log ended."""
    outcomes: dict[str, str] = {}
    for line in text.splitlines():
        found = VERBOSE.match(line.rstrip())
        if found:
            outcomes[found[1].rstrip()] = (found[2] or "never ended").lower()
    return [{"test": name, "outcome": outcome} for name, outcome in outcomes.items()]


def short(result: dict[str, Any]) -> str:
    """One line."""
    tests = [test["outcome"] for test in result.get("tests", [])]
    counts = {
        outcome: tests.count(outcome) for outcome in dict.fromkeys(["passed", "failed", *sorted(tests)])
    }
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())


def section(result: dict[str, Any]) -> list[str]:
    """Markdown: every test, and why some did not pass."""
    tests = result.get("tests", [])
    lines = [f"Tests marked `gpu`: {short(result)}."]
    rows = [(f"`{test['test']}`", test["outcome"], test.get("seconds", "")) for test in tests]
    if rows:
        lines += ["", *markdown.table(("test", "outcome", "seconds"), 2, rows)]
    reasons = [f"- `{test['test']}`: {files.inline(test['reason'])}" for test in tests if test.get("reason")]
    return [*lines, "", *reasons] if reasons else lines

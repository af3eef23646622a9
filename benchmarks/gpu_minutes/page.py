"""What the stages found, as one page of Markdown and as a short table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from benchmarks import markdown
from benchmarks.gpu_minutes import fast, files, learns, right, scores
from bertinchamps.pages import render

ORDER = ("right", "fast", "learns", "scores")
SHORT = {"right": right.short, "fast": fast.short, "learns": learns.short, "scores": scores.short}
SECTIONS = {"right": right.section, "fast": fast.section, "learns": learns.section, "scores": scores.section}
TITLES = {"right": "Right", "fast": "Fast", "learns": "Learns", "scores": "Scores"}


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """Of the stages that have left one, by name, in order."""
    found = {name: files.read_json(folder / f"{name}.json") for name in ORDER}
    return {name: result for name, result in found.items() if result}


def page(folder: Path) -> str:
    """One page.

    Args:
        folder: with the stages' results and the figure.
    """
    found = results(folder)
    stages = {name: result["stage"] for name, result in found.items() if "stage" in result}
    sections = [
        {
            "title": TITLES[name],
            "content": _markdown(_section(name, result)),
            "figure": name == "learns" and (folder / "loss.png").is_file(),
            "commands": stages.get(name, {}).get("commands"),
            "problem": stages.get(name, {}).get("problem"),
        }
        for name, result in found.items()
    ]
    return render(
        "gpu_minutes/page.md.jinja",
        "benchmarks",
        rehearsal=any(stage["rehearsal"] for stage in stages.values()),
        facts=_markdown(markdown.table(("what", "on this page"), 2, _facts(list(stages.values())))),
        stages=_markdown(markdown.table(("stage", "came", "found", "seconds", "of"), 3, _stages(found))),
        sections=sections,
        fenced=lambda line: _markdown([line.replace("```", "'''")]),
    )


def short_table(folder: Path) -> str:
    """The stages, a line each, for whoever sees the end of the output alone."""
    return "\n".join(markdown.table(("stage", "came", "found", "seconds", "of"), 3, _stages(results(folder))))


def _facts(stages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What is the same for all stages once; what differs between calls, each."""
    names = dict.fromkeys(name for stage in stages for name in stage["call"])
    return [
        (name, files.inline("; ".join(dict.fromkeys(str(stage["call"].get(name, "")) for stage in stages))))
        for name in names
    ]


def _stages(found: dict[str, dict[str, Any]]) -> list[tuple[object, ...]]:
    rows = []
    for name, result in found.items():
        stage = result.get("stage", {"came": "cut off", "seconds": 0, "limit": 0})
        times = f"{stage['seconds']:.0f}", f"{stage['limit']:.0f}"
        rows.append((name, stage["came"], _short(name, result), *times))
    return rows


def _short(name: str, result: dict[str, Any]) -> str:
    try:
        return SHORT[name](result)
    except Exception as error:  # a result that is half there must not cost the page
        return f"unreadable: {type(error).__name__}"


def _section(name: str, result: dict[str, Any]) -> list[str]:
    try:
        return SECTIONS[name](result)
    except Exception as error:
        return [f"The result is there and cannot be shown: {type(error).__name__} {error}."]


def _markdown(lines: list[str]) -> Markup:
    """Lines that are Markdown already."""
    return Markup("\n".join(lines))

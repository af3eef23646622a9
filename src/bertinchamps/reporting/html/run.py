"""What stands on the page of one run: gathered from its files, without text of documents unless asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bertinchamps.errors import UserError
from bertinchamps.metrics.protocols import PROTOCOLS
from bertinchamps.records import with_current_keys
from bertinchamps.reporting.html.curves import curves_of
from bertinchamps.reporting.html.places import impersonal, impersonal_all
from bertinchamps.reporting.html.scores import (
    Grid,
    calibration_of,
    cell,
    errors_of,
    folds_of,
    interval,
    splits_of,
)
from bertinchamps.reporting.html.settings import environment_of, groups_of
from bertinchamps.reporting.html.texts import ShownText, shown_text
from bertinchamps.training.privacy.guarantee import in_words
from bertinchamps.training.run_files import SUMMARIES, read_facts, read_summary

POINTS = 1500  # of a curve
MOST_BESIDE = 30  # other runs, the latest ones
MOST_COMPARED = 200  # texts of a split
SHARES = (
    "accuracy",
    "agreement",
    "precision",
    "recall",
    "f1",
    "share",
)  # ends of the names of held-out scores that are shares
BITS = "bits_per_character"  # the held-out score that is no share, and not in nats
# key of the costs → title, format, factor
COSTS = {
    "seconds": ("hours", ",.3f", 1 / 3600),
    "training_seconds": ("hours of training", ",.3f", 1 / 3600),
    "steps": ("updates", ",.0f", 1),
    "epochs": ("epochs", ",.1f", 1),
    "tokens": ("tokens", ",.0f", 1),
    "flops": ("FLOPs", ".3g", 1),
    "flops_dense": ("FLOPs if no weight were zero", ".3g", 1),
    "peak_memory_bytes": ("GB of memory, at most", ",.2f", 1 / 2**30),
    "energy_kwh": ("kWh", ".3g", 1),
    "energy_origin": ("energy from", "", 1),
    "gram_co2": ("g of CO2", ".3g", 1),
    "euro": ("euro", ".3g", 1),
    "predicted_texts": ("texts predicted", ",.0f", 1),
    "predicting_seconds": ("seconds to predict them", ",.1f", 1),
}


def values_of(run: Path, show_text: bool = False) -> dict[str, Any]:
    """The values of the template `run.html.jinja`.

    Args:
        run: the directory of a finished run.
        show_text: for fine-tuning: with texts of dev and test, gold beside predicted.

    Raises:
        UserError: a file of the run is missing or damaged.
    """
    facts = read_facts(run)
    command = command_of(run)
    summary = read_summary(run, command)
    tuned = command == "finetune"
    device = summary.get("hardware" if tuned else "device", "")
    return {
        "title": run.resolve().name,
        "command": command,
        "finished": summary.get("finished", "").replace("T", " ").replace("+0000", " UTC"),
        "cards": list(_cards(summary) if tuned else _pretraining_cards(summary)),
        "data": {"runs": [{"name": run.resolve().name, "curves": curves_of(run, POINTS)}]},
        "splits": splits_of(summary) if tuned else [],
        "errors": list(errors_of(summary)),
        "folds": list(folds_of(summary)),
        "calibration": list(calibration_of(summary)),
        "held_out": _held_out(summary) if not tuned else None,
        "cost": _cost(summary["cost"] if tuned else {**summary["spent"], **summary.get("cost", {})}),
        "counts": _counts(summary.get("data", {})),
        "remarks": [impersonal(str(remark)) for remark in (*summary.get("remarks", []), *_privacy(summary))],
        "beside": beside(run, command, facts, summary),
        "groups": groups_of(run),
        "environment": environment_of(facts, str(device)),
        "show_text": show_text,
        "compared": list(_compared(run)) if show_text else [],
    }


def _privacy(summary: Mapping[str, Any]) -> Iterator[str]:
    """What is guaranteed of records of train, and what is not."""
    if facts := summary.get("privacy"):
        yield f"{in_words(facts)}. {facts['not_protected']}"


def command_of(run: Path) -> str:
    """The command that made a finished run.

    Raises:
        UserError: it is no finished run.
    """
    for command, file in SUMMARIES.items():
        if (run / file).is_file():
            return command
    raise UserError(f"{run}: no finished run in there (no {' and no '.join(SUMMARIES.values())})")


def _cards(results: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Title, value and what is said about it, of the figures on top."""
    for split, by_protocol in results["scores"].items():
        for name, scores in by_protocol.items():
            if name in PROTOCOLS and split == ("test" if "test" in results["scores"] else "dev"):
                protocol = PROTOCOLS[name]
                unit = " %" if protocol.percent else ""
                ends = interval(scores.get("intervals", {}).get(protocol.headline), protocol)
                title = f"{protocol.metrics[protocol.headline]} of {split}, {name}"
                yield title, f"{cell(scores[protocol.headline], protocol)}{unit}", ends
    yield "parameters", f"{results['parameters']:,}", ""
    if privacy := results.get("privacy"):
        spent = privacy["epsilon_spent"]
        of = f"δ = {privacy['delta']:.3g}, each {privacy['record']} of train"
        yield "differential privacy", "none" if spent is None else f"ε = {spent:.2f}", of
    yield "minutes", f"{results['cost']['seconds'] / 60:.1f}", f"{results['cost']['steps']:,} updates"


def _pretraining_cards(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    spent = summary["spent"]
    first = summary.get("held_out_before", {})
    for name, value in summary["held_out"].items():
        share = name.endswith(SHARES)
        shown, began = (f"{100 * n:.1f} %" if share else f"{n:.3f}" for n in (value, first.get(name, 0)))
        unit = [] if share or name.endswith(BITS) else ["nats"]
        remarks = unit + ([f"{began} before"] if name in first else [])
        yield f"held-out {name}", shown, ", ".join(remarks)
    yield "tokens a second", f"{summary['tokens_per_second']:,.0f}", f"{spent['tokens']:,} tokens"
    if "mfu" in summary:
        peak = f"of {summary['peak_flops']:.3g} FLOP/s, {summary['peak_origin']}"
        yield "model FLOPs utilisation", f"{100 * summary['mfu']:.0f} %", peak
    yield "hours", f"{spent['seconds'] / 3600:.2f}", f"{spent['steps']:,} updates"
    if earlier := summary.get("before"):
        yield (
            "hours before",
            f"{earlier['seconds'] / 3600:.2f}",
            f"of {summary['grown_from']['model']}, from which it grew",
        )
    yield "parameters", f"{summary.get('parameters', 0):,}", ""


def _held_out(summary: Mapping[str, Any]) -> Grid:
    first, scores = summary.get("held_out_before", {}), summary["held_out"]
    note = (
        "Losses are in nats per masked token, that of detection per token, at a mask of 15 %, on documents that were "
        "never trained on. Bits per character compare across tokenizers (docs/metrics.md). TITLE/score is that of "
        "other documents, which evaluation.also names."
    )
    if not first:
        rows = [[name, f"{value:.4f}"] for name, value in scores.items()]
        return Grid("Held out", ["score", "value"], rows, notes=[note])
    begun = {name: f"{value:.4f}" for name, value in first.items()}
    rows = [[name, begun.get(name, "–"), f"{value:.4f}"] for name, value in scores.items()]
    start = f"Before the first update the model was {summary['continued_from']['model']} as it came."
    return Grid("Held out", ["score", "before", "after"], rows, notes=[note, start])


def _cost(cost: Mapping[str, Any]) -> list[tuple[str, str]]:
    same = cost.get("flops_dense") == cost.get("flops")
    shown = {key: value for key, value in cost.items() if not (same and key == "flops_dense")}
    return [
        (title, format(shown[key] * factor, digits) if digits else str(shown[key]))
        for key, (title, digits, factor) in COSTS.items()
        if shown.get(key) not in (None, "")
    ]


def _counts(data: Mapping[str, Mapping[str, Any]]) -> Grid | None:
    """Counts of each split, a column each."""
    if not data:
        return None
    lost = {split: counts.get("not_representable") or {} for split, counts in data.items()}
    names = dict.fromkeys(
        name for counts in data.values() for name, count in counts.items() if isinstance(count, int)
    )
    why = dict.fromkeys(reason for own in lost.values() for reason in own)
    rows = [
        [name.replace("_", " "), *(f"{counts.get(name, 0):,}" for counts in data.values())] for name in names
    ]
    rows += [
        [f"cannot be held: {reason}", *(f"{own.get(reason, 0):,}" for own in lost.values())] for reason in why
    ]
    return Grid("Examples", ["", *data], rows)


def beside(run: Path, command: str, facts: Mapping[str, Any], summary: Mapping[str, Any]) -> Grid | None:
    """The latest other runs in the same folder that were made on the same data; None: there is none."""
    files = [
        file for file in run.resolve().parent.glob(f"*/{SUMMARIES[command]}") if file.parent != run.resolve()
    ]
    files.sort(key=lambda file: file.stat().st_mtime, reverse=True)
    rows: list[list[str]] = []
    columns: dict[str, None] = {}
    found: list[tuple[str, dict[str, str]]] = []
    for file in files[:MOST_BESIDE]:
        try:
            other = with_current_keys(json.loads(file.read_bytes()))
            same = read_facts(file.parent)["data_fingerprint"] == facts["data_fingerprint"]
            cells = headlines(other, command)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, UserError):
            continue
        if same:
            found.append((file.parent.name, cells))
    if not found:
        return None
    found.insert(0, (f"{run.resolve().name} (this one)", headlines(summary, command)))
    columns = dict.fromkeys(name for _, cells in found for name in cells)
    rows = [[name, *(cells.get(column, "–") for column in columns)] for name, cells in found]
    return Grid("Other runs on the same data, in the same folder", ["run", *columns], rows)


def headlines(summary: Mapping[str, Any], command: str) -> dict[str, str]:
    """The first scores of a run, by title."""
    if command == "pretrain":
        scores = {f"held-out {name}": f"{value:.3f}" for name, value in summary["held_out"].items()}
        return {
            **scores,
            "tokens": f"{summary['spent']['tokens']:,}",
            "updates": f"{summary['spent']['steps']:,}",
        }
    split = "test" if summary["scores"].get("test") else "dev"
    shown = {
        "model": str(summary.get("model_label", "")),
        "head": summary.get("head") or "–",
        "seed": str(summary["seed"]),
    }
    for name, scores in summary["scores"][split].items():
        if name in PROTOCOLS:
            protocol = PROTOCOLS[name]
            ends = interval(scores.get("intervals", {}).get(protocol.headline), protocol)
            value = cell(scores[protocol.headline], protocol)
            title = f"{split}, {name}: {protocol.metrics[protocol.headline]}"
            shown[title] = f"{value} ({ends})" if ends else value
    return impersonal_all(shown)  # type: ignore[no-any-return]


def _compared(run: Path) -> Iterator[tuple[str, list[ShownText], int]]:
    """Split, its first texts with gold beside predicted, and how many texts are not shown."""
    for split in ("test", "dev"):
        file = run / "predictions" / f"{split}_compared.jsonl"
        if file.is_file():
            lines = file.read_text(encoding="utf-8").splitlines()
            shown = [shown_text(json.loads(line)) for line in lines[:MOST_COMPARED]]
            yield split, shown, max(0, len(lines) - MOST_COMPARED)

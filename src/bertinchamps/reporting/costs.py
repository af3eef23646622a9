"""Tables of costs: of fine-tuning each setting, and of pretraining each model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from bertinchamps.reporting.means import columns_of, over_seeds, with_deviation
from bertinchamps.reporting.runs import FinetuningRun, PretrainingRun
from bertinchamps.reporting.sections import Section
from bertinchamps.reporting.tables import Table, identities

COSTS = ("seconds", "epochs", "steps", "tokens", "flops", "flops_dense")
DENSE = "FLOPs if dense"


def cost_table(sections: Iterable[Section]) -> Table:
    """The cost of fine-tuning each setting, averaged over seeds. A run is in the section of its own task alone."""
    shown, records = [], []
    for section in sections:
        settings = [setting for setting in section.settings if not setting.runs[0].trained_on]
        if not settings:
            continue
        costs = columns_of(
            over_seeds(
                [
                    (number, key, {**run.cost, "flops_dense": _dense_flops(run)}[key])
                    for number, setting in enumerate(settings)
                    for run in setting.runs
                    for key in COSTS
                ],
                ["number"],
            ),
            COSTS,
        )
        costs["hardware"] = [
            ", ".join(sorted({run.hardware for run in setting.runs})) for setting in settings
        ]
        records.append(identities(section, settings, split="").drop(columns="split").join(costs))
        shown += [
            {
                "task": section.title,
                "model": setting.label,
                "seconds": with_deviation(cost.seconds, cost.seconds_deviation, ",.0f"),
                "epochs": f"{cost.epochs:.1f}",
                "steps": f"{cost.steps:,.0f}",
                "tokens": f"{cost.tokens:,.0f}",
                "FLOPs": f"{cost.flops:.3g}",
                **_dense_cell(cost.flops, cost.flops_dense),
                "seeds": setting.seeds,
                "hardware": cost.hardware,
            }
            for setting, cost in zip(settings, costs.itertuples(), strict=True)
        ]
    return Table("finetuning_cost", "What fine-tuning cost, a run", _framed(shown), pd.concat(records))


def pretraining_table(runs: Sequence[PretrainingRun], names: Sequence[str]) -> Table:
    """The cost and the held-out scores of each pretrained model.

    Args:
        runs: the finished runs.
        names: name of each run in the table.
    """
    named = list(zip(runs, names, strict=True))
    note = (
        "Losses of mlm are in nats per masked token, at a mask of 15 %, and accuracies of masked tokens. They compare "
        "between runs of one objective and one corpus only, which has one tokenizer and one held-out part."
    )
    return Table(
        "pretraining",
        "What pretraining cost and reached",
        _framed([_pretraining_cells(run, name) for run, name in named]),
        pd.DataFrame([_pretraining_record(run, name) for run, name in named], dtype=object),
        (note,),
    )


def _pretraining_cells(run: PretrainingRun, name: str) -> dict[str, str]:
    return {
        "run": name,
        "layers × width": run.shape,
        "parameters": f"{run.parameters:,}",
        "tokenizer": run.tokenizer,
        "corpus": run.data_fingerprint[:12],
        "hours": f"{run.cost['seconds'] / 3600:.2f}",
        "steps": f"{run.cost['steps']:,.0f}",
        "tokens": f"{run.cost['tokens']:,.0f}",
        "FLOPs": f"{run.cost['flops']:.3g}",
        **_dense_cell(run.cost["flops"], _dense_flops(run)),
        "tokens/s": f"{run.tokens_per_second:,.0f}",
        "objective": run.objective,
        **{f"{title}, before": value for title, value in _held_out(run.before).items()},
        **_held_out(run.held_out),
        "device": run.device,
    }


def _dense_flops(run: FinetuningRun | PretrainingRun) -> float:
    """FLOPs as if no weight were held at zero; earlier versions held none."""
    return run.cost.get("flops_dense", run.cost["flops"])


def _dense_cell(flops: float, dense: float) -> dict[str, str]:
    """The cell beside the FLOPs at density; none where no weight was held at zero."""
    return {} if dense == flops else {DENSE: f"{dense:.3g}"}


def _framed(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Rows of cells as a table; what some rows lack is empty, and both counts of FLOPs are neighbours."""
    frame = pd.DataFrame(rows).fillna("")
    if DENSE in frame:
        dense = frame.pop(DENSE)
        frame.insert(frame.columns.get_loc("FLOPs") + 1, DENSE, dense)
    return frame


def _held_out(scores: Mapping[str, float]) -> dict[str, str]:
    """The scores of an objective; losses of different objectives do not compare."""
    shares = {name: value for name, value in scores.items() if name.endswith("accuracy")}
    return {
        **{f"held-out {name}": f"{value:.3f}" for name, value in scores.items() if name not in shares},
        **{f"held-out {name}, %": f"{100 * value:.1f}" for name, value in shares.items()},
    }


def _pretraining_record(run: PretrainingRun, name: str) -> dict[str, object]:
    return {
        "run": name,
        "layers_and_width": run.shape,
        "parameters": run.parameters,
        "tokenizer": run.tokenizer,
        "data_fingerprint": run.data_fingerprint,
        **{key: run.cost[key] for key in ("seconds", "steps", "tokens", "flops")},
        "flops_dense": _dense_flops(run),
        "tokens_per_second": run.tokens_per_second,
        "objective": run.objective,
        **{f"held_out_before_{name}": value for name, value in run.before.items()},
        **{f"held_out_{name}": value for name, value in run.held_out.items()},
        "device": run.device,
        "command": run.command,
    }

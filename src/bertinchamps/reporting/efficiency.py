"""What each setting costs beside what it scores: to fine-tune, to store, to predict (Taylor et al., 2024)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pandas as pd

from bertinchamps.metrics.protocols import PROTOCOLS
from bertinchamps.reporting.means import deviation, mean, with_deviation
from bertinchamps.reporting.runs import FinetuningRun
from bertinchamps.reporting.sections import Section, Setting
from bertinchamps.reporting.tables import Table, identities

TASKS = 100  # that are stored beside one encoder
TEXTS = 1_000_000
BYTES_OF_A_PARAMETER = 4
NEEDED = ("peak_memory_bytes", "energy_kwh", "euro", "euro_per_hour", "predicted_texts", "predicting_seconds")

Value = Callable[[FinetuningRun], float]


def _base_bytes(run: FinetuningRun) -> float:
    """Of the encoder that an adapter needs beside what it stores itself."""
    if run.settings.get("adapter.name", "none") == "none":
        return 0.0
    return max(0.0, BYTES_OF_A_PARAMETER * run.parameters - run.sizes["stored_bytes"])


def _hours_to_predict(run: FinetuningRun) -> float:
    return run.cost["predicting_seconds"] / run.cost["predicted_texts"] * TEXTS / 3600


# key of the CSV file → title, format, value of a run
COLUMNS: Mapping[str, tuple[str, str, Value]] = {
    "minutes": ("minutes to fine-tune", ",.1f", lambda run: run.cost["training_seconds"] / 60),
    "euro": ("euro to fine-tune", ",.3g", lambda run: run.cost["euro"]),
    "energy_kwh": ("kWh", ".2g", lambda run: run.cost["energy_kwh"]),
    "memory_gigabytes": ("GB of memory", ",.2f", lambda run: run.cost["peak_memory_bytes"] / 2**30),
    "trained_parameters": ("trained parameters", ",.0f", lambda run: run.sizes["trained_parameters"]),
    "stored_megabytes": (
        "MB for 1 task",
        ",.1f",
        lambda run: (_base_bytes(run) + run.sizes["stored_bytes"]) / 2**20,
    ),
    "stored_megabytes_of_all": (
        f"MB for {TASKS} tasks",
        ",.0f",
        lambda run: (_base_bytes(run) + TASKS * run.sizes["stored_bytes"]) / 2**20,
    ),
    "predicting_hours": ("hours for a million texts", ",.2f", _hours_to_predict),
    "predicting_euro": (
        "euro for a million texts",
        ",.3g",
        lambda run: _hours_to_predict(run) * run.cost["euro_per_hour"],
    ),
}


def efficiency_table(sections: Iterable[Section]) -> Table | None:
    """Costs beside the headline score, averaged over seeds; None where no run has counted them."""
    shown, records = [], []
    for section in sections:
        settings = [setting for setting in section.settings if _is_counted(setting)]
        if not settings:
            continue
        values = {
            key: [[value(run) for run in setting.runs] for setting in settings]
            for key, (_, _, value) in COLUMNS.items()
        }
        numbers = pd.DataFrame({key: [mean(of_setting) for of_setting in own] for key, own in values.items()})
        known = identities(section, settings, split="").drop(
            columns=["split", *numbers.columns], errors="ignore"
        )
        records.append(known.join(numbers))
        for place, setting in enumerate(settings):
            shown.append(
                {
                    "task": section.title,
                    "model": setting.label,
                    "score": _score(setting, section.split),
                    **{
                        title: format(numbers[key][place], digits)
                        for key, (title, digits, _) in COLUMNS.items()
                    },
                    "seeds": setting.seeds,
                }
            )
    if not shown:
        return None
    notes = (
        f"A task of an adapter is stored beside its encoder, which {TASKS} tasks share. A million texts are as long as "
        "those of the task, tokenised beforehand. What energy and money are counted as is in docs/costs.md.",
    )
    return Table("efficiency", "What each setting costs", pd.DataFrame(shown), pd.concat(records), notes)


def _is_counted(setting: Setting) -> bool:
    """Whether all runs of a setting have costs and sizes; runs of earlier versions have not."""
    return not setting.runs[0].trained_on and all(
        all(key in run.cost for key in NEEDED) and {"trained_parameters", "stored_bytes"} <= run.sizes.keys()
        for run in setting.runs
    )


def _score(setting: Setting, split: str) -> str:
    """The headline of the first protocol of a split."""
    name = next(iter(setting.runs[0].scores[split]))
    protocol = PROTOCOLS[name]
    found = [scores[protocol.headline] for scores in setting.scores(split, name)]
    digits, scale = (".1f", 100.0) if protocol.percent else (".3f", 1.0)
    return f"{name} {with_deviation(mean(found), deviation(found), digits, scale)}"

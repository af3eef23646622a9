"""Tables of costs: what fine-tuning each setting and pretraining each model took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bertinchamps.reporting.runs import PretrainingRun
from bertinchamps.reporting.sections import Mean, Section
from bertinchamps.reporting.tables import Table, identity_columns, mean_columns, with_deviation


def cost_table(sections: Iterable[Section]) -> Table:
    """What each setting's fine-tuning cost."""
    rows, records = [], []
    for section in sections:
        for setting in section.settings:
            cost = {
                key: Mean.over(run.cost[key] for run in setting.runs)
                for key in ("seconds", "epochs", "steps", "tokens", "flops")
            }
            hardware = ", ".join(sorted({run.hardware for run in setting.runs}))
            rows.append(
                [
                    section.title,
                    setting.label,
                    with_deviation(cost["seconds"], ",.0f"),
                    f"{cost['epochs'].value:.1f}",
                    f"{cost['steps'].value:,.0f}",
                    f"{cost['tokens'].value:,.0f}",
                    f"{cost['flops'].value:.3g}",
                    setting.seeds,
                    hardware,
                ]
            )
            identity = identity_columns(section, setting, split="")
            del identity["split"]
            records.append({**identity, **mean_columns(cost), "hardware": hardware})
    return Table(
        file_stem="finetuning_cost",
        title="What fine-tuning cost, a run",
        header=["task", "model", "seconds", "epochs", "steps", "tokens", "FLOPs", "seeds", "hardware"],
        rows=rows,
        records=records,
    )


def pretraining_table(runs: Sequence[PretrainingRun], names: Sequence[str]) -> Table:
    """What each pretrained model cost, and its held-out loss.

    Args:
        runs: the finished runs.
        names: what to call them.
    """
    header = ["run", "layers × width", "parameters", "tokenizer", "corpus", "hours", "steps", "tokens", "FLOPs",
              "tokens/s", "held-out loss", "masked tokens right, %", "device"]  # fmt: skip
    rows, records = [], []
    for run, name in zip(runs, names, strict=True):
        rows.append(
            [
                name,
                run.shape,
                f"{run.parameters:,}",
                run.tokenizer,
                run.data_fingerprint[:12],
                f"{run.cost['seconds'] / 3600:.2f}",
                f"{run.cost['steps']:,.0f}",
                f"{run.cost['tokens']:,.0f}",
                f"{run.cost['flops']:.3g}",
                f"{run.tokens_per_second:,.0f}",
                f"{run.held_out['loss']:.3f}",
                f"{100 * run.held_out['accuracy']:.1f}",
                run.device,
            ]
        )
        cost = {key: run.cost[key] for key in ("seconds", "steps", "tokens", "flops")}
        records.append(
            {
                "run": name,
                "layers_and_width": run.shape,
                "parameters": run.parameters,
                "tokenizer": run.tokenizer,
                "data_fingerprint": run.data_fingerprint,
                **cost,
                "tokens_per_second": run.tokens_per_second,
                "held_out_loss": run.held_out["loss"],
                "held_out_accuracy": run.held_out["accuracy"],
                "device": run.device,
                "command": run.command,
            }
        )
    note = (
        "Losses are in nats per masked token, at a mask of 15 %. They compare between runs of one corpus only, "
        "which has one tokenizer and one held-out part."
    )
    return Table("pretraining", "What pretraining cost and reached", header, rows, records, (note,))

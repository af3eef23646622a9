"""The report: what may stand side by side, what is averaged, and what is never left out in silence."""

from __future__ import annotations

import re
import shutil
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from written_runs import entities, ner, page_of, rows_of, table_under, write_pretraining, write_run

from bertinchamps import metrics
from bertinchamps.checks.reporting import problems
from bertinchamps.errors import UserError
from bertinchamps.metrics.protocols import PROTOCOLS
from bertinchamps.report import report
from bertinchamps.reporting.costs import pretraining_table
from bertinchamps.reporting.page import write_report
from bertinchamps.reporting.published import published
from bertinchamps.reporting.runs import PretrainingRun, gather
from bertinchamps.schemas import ReportConfig
from support import command


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_seeds_give_mean_and_sample_deviation_and_one_seed_is_shown_as_such(runs: Path) -> None:
    scores = [0.50, 0.53, 0.59]
    for seed, f1 in enumerate(scores):
        write_run(runs / f"deep/er/{seed}", ner(f1), seed)
    write_run(runs / "alone", ner(0.4), seed=7, model_label="scratch")
    table = table_under(page_of(runs), "entities, strict")
    by_model = {row[0]: row for row in table}
    mean, deviation = statistics.fmean(scores), statistics.stdev(scores)
    assert by_model["small, 0.7 h, flat"][4] == f"{100 * mean:.1f} ± {100 * deviation:.1f}"
    assert by_model["small, 0.7 h, flat"][5] == "ours, 3 seeds: 0, 1, 2"
    assert by_model["scratch, flat"][4:] == ["40.0", "ours, 1 seed: 7"]
    [row] = [
        row
        for row in rows_of(runs, "quaero_emea_strict")
        if row["model"] == "small, 0.7 h" and row["split"] == "test"
    ]
    assert (float(row["f1"]), float(row["f1_deviation"])) == (mean, deviation)
    assert row["seeds"] == "3"


def test_csv_holds_what_the_table_shows_and_dev_beside_it(runs: Path) -> None:
    write_run(runs / "a", ner(0.5), scores={"dev": ner(0.7), "test": ner(0.5)})
    page = page_of(runs)
    shown = {row[0]: row for row in table_under(page, "entities, nested")}
    records = rows_of(runs, "quaero_emea_nested_exact")
    ours = {row["split"]: row for row in records if row["from"] == "ours"}
    assert f"{100 * float(ours['test']['f1']):.1f}" == shown["small, 0.7 h, flat"][4] == "45.0"
    assert float(ours["dev"]["f1"]) == pytest.approx(0.65)
    assert ours["dev"]["f1_deviation"] == ""
    assert "65.0" not in page
    by_type = rows_of(runs, "quaero_emea_strict_by_type")
    assert [(row["type"], row["support"]) for row in by_type if row["split"] == "test"] == [
        ("CHEM", "10.0"),
        ("DISO", "20.0"),
    ]


def test_no_table_mixes_protocols(runs: Path) -> None:
    write_run(runs / "a", ner(0.5))
    page = page_of(runs)
    strict = [row[0] for row in table_under(page, "entities, strict")]
    nested = [row[0] for row in table_under(page, "entities, nested")]
    paper = [row[0] for row in table_under(page, "tags, the protocol of BERTinchamps (test")]
    assert strict[2:] == ["small, 0.7 h, flat", "CamemBERT", "CamemBERT-bio", "CamemBERTav2"]
    assert nested[2:] == ["small, 0.7 h, flat", "Erasmus MC, dictionaries", "CamemBERT-bio, flat"]
    assert paper[2:] == ["small, 0.7 h, flat"]
    after = page.split("tags, the protocol of BERTinchamps (test")[1].split("###")[0]
    assert "not comparable" in after
    assert "The protocol of the paper." in after


def test_runs_with_scores_of_dev_alone_stand_apart_where_they_are_asked_for(runs: Path) -> None:
    write_run(runs / "a", ner(0.5))
    for seed in range(2):
        write_run(runs / f"chosen{seed}", ner(0), seed, scores={"dev": ner(0.6)}, model_label="chosen")
    assert "no scores of the test split" in page_of(runs)
    output = runs.parent / "report"
    write_report(gather(runs, dev=True), runs, output)
    page = (output / "report.md").read_text(encoding="utf-8")
    assert "Left out" not in page
    assert "Scores are those of test or dev, as" in page
    of_test = page.partition("dev alone: entities, strict")[0]
    assert [row[0] for row in table_under(of_test, "entities, strict")][2] == "small, 0.7 h, flat"
    assert "chosen" not in of_test
    table = table_under(page, "dev alone: entities, strict")
    assert [row[0] for row in table[2:]] == ["chosen, flat"]
    assert "60.0 ± 0.0" in table[2]
    records = rows_of(runs, "quaero_emea_dev_strict")
    assert [(row["from"], row["split"]) for row in records] == [("ours", "dev")]


def test_a_run_without_a_protocol_does_not_count_as_one_of_its_seeds(runs: Path) -> None:
    write_run(runs / "a", ner(0.5), seed=0)
    write_run(runs / "b", {"strict": entities(0.6)}, seed=1)
    page = page_of(runs)
    assert "2 seeds" in str(table_under(page, "entities, strict"))
    assert "1 seed: 0" in str(table_under(page, "entities, nested"))


def test_other_data_are_kept_apart_and_reported(runs: Path) -> None:
    write_run(runs / "a", ner(0.5), seed=0)
    write_run(runs / "b", ner(0.5), seed=1)
    write_run(runs / "c", ner(0.9), seed=2, data_fingerprint="bbbb")
    page = page_of(runs)
    assert len(re.findall(r"^### .*entities, strict.*\(test, %\)$", page, re.MULTILINE)) == 2
    assert "2 different states of its data (aaaa, bbbb)" in page
    assert "name each with task.title= when fine-tuning" in page
    other = table_under(page, "other data (bbbb): entities, strict: same")
    assert [row[0] for row in other[2:]] == ["small, 0.7 h, flat"]  # and nothing published beside it
    assert other[2][4] == "90.0"
    assert table_under(page, "(drug leaflets): entities, strict")[2][4] == "50.0 ± 0.0"


def test_heads_and_models_are_different_settings(runs: Path) -> None:
    write_run(runs / "a", ner(0.5))
    write_run(runs / "b", ner(0.6), head="nested")
    table = table_under(page_of(runs), "entities, nested")
    assert [row[0] for row in table[2:4]] == ["small, 0.7 h, flat", "small, 0.7 h, nested"]


def test_the_same_seed_twice_is_no_second_sample(runs: Path) -> None:
    write_run(runs / "old", ner(0.5), finished="2026-11-20T12:00:00+0000")
    write_run(runs / "new", ner(0.6), finished="2026-11-21T12:00:00+0000")
    page = page_of(runs)
    assert table_under(page, "entities, strict")[2][4] == "60.0"
    assert re.search(r"- `old`: same settings and seed as .*new", page)


def with_settings(**settings: Any) -> dict[str, Any]:
    return {"settings": {"model": "runs/a", "optim.learning_rate": 1e-4, "budget.epochs": 12, **settings}}


def test_runs_of_other_settings_are_neither_dropped_nor_averaged(runs: Path) -> None:
    """Two rates with one seed are no repetition, and with two seeds no mean."""
    fast = with_settings(**{"optim.learning_rate": 3e-3})
    write_run(runs / "fast_0", ner(0.9), **fast)
    write_run(runs / "slow_0", ner(0.1), **with_settings())
    write_run(runs / "slow_1", ner(0.3), seed=1, **with_settings())
    page = page_of(runs)
    rows = table_under(page, "entities, strict")[2:]
    assert [(row[0], row[4], row[5]) for row in rows if row[5].startswith("ours")] == [
        ("small, 0.7 h, flat (optim.learning_rate=0.0001)", "20.0 ± 14.1", "ours, 2 seeds: 0, 1"),
        ("small, 0.7 h, flat (optim.learning_rate=0.003)", "90.0", "ours, 1 seed: 0"),
    ]
    assert "## Left out" not in page
    assert (
        len({row["settings_digest"] for row in rows_of(runs, "quaero_emea_strict") if row["from"] == "ours"})
        == 2
    )


def test_labels_name_the_settings_that_tell_runs_apart(runs: Path) -> None:
    """A grid of two keys, of which one brings settings of its own that come first in the alphabet."""
    brought: dict[str, dict[str, Any]] = {
        "none": {},
        "lora": {"adapter.alpha": 16, "adapter.rank": 8, "cost.hour": 2},
    }
    for adapter, settings in brought.items():
        for examples in (8, 32):
            grid = {"adapter.name": adapter, "few_shot.examples": examples, **settings}
            write_run(runs / f"{adapter}{examples}", ner(0.5), **with_settings(**grid))
    labels = {row[0] for row in table_under(page_of(runs), "entities, strict")[2:]}
    assert {label for label in labels if label.startswith("small, 0.7 h")} == {
        f"small, 0.7 h, flat (adapter.name={adapter}, few_shot.examples={examples}, …)"
        for adapter in brought
        for examples in (8, 32)
    }


def test_more_settings_than_a_label_names_have_a_digest(runs: Path) -> None:
    keys = ["a", "b", "c", "d"]
    for number in range(5):
        settings = {key: int(number == place) for place, key in enumerate(keys)}
        write_run(runs / str(number), ner(0.5), **with_settings(**settings))
    labels = [row[0] for row in table_under(page_of(runs), "entities, strict")[2:] if "0.7 h" in row[0]]
    assert len(set(labels)) == len(keys) + 1
    assert all("(a=" in label and "c=" in label and "d=" not in label and ", … " in label for label in labels)


def test_a_label_that_is_alone_tells_no_settings(runs: Path) -> None:
    for seed in (0, 1):
        write_run(runs / str(seed), ner(0.5), seed=seed, **with_settings())
    assert table_under(page_of(runs), "entities, strict")[2][0] == "small, 0.7 h, flat"


def test_results_without_settings_are_told_apart_by_their_config_or_command(runs: Path) -> None:
    """As versions before wrote them."""
    for name, rate in (("a", "1e-3"), ("b", "1e-5")):
        folder = write_run(runs / name, ner(0.5), model_label="old")
        (folder / "config.yaml").write_text(
            f"optim: {{learning_rate: {rate}}}\nseed: 0\nrun_dir: runs/{name}\n"
        )
    for seed, rate in ((0, "1e-3"), (1, "1e-3"), (0, "1e-5")):
        words = f"python -m bertinchamps.finetune optim.learning_rate={rate} seed={seed} run_dir=runs/{seed}{rate}"
        write_run(runs / f"c{seed}{rate}", ner(0.5), seed=seed, command=words, model_label="older")
    labels = [(row[0], row[5]) for row in table_under(page_of(runs), "entities, strict")[2:]]
    assert labels[:4] == [
        ("old, flat (optim.learning_rate=1e-3)", "ours, 1 seed: 0"),
        ("old, flat (optim.learning_rate=1e-5)", "ours, 1 seed: 0"),
        ("older, flat (optim.learning_rate=1e-3)", "ours, 2 seeds: 0, 1"),
        ("older, flat (optim.learning_rate=1e-5)", "ours, 1 seed: 0"),
    ]


def test_labels_are_text_and_neither_html_nor_links(runs: Path) -> None:
    evil = "<img src=x onerror=alert(1)> [here](http://example.org)"
    scores = ner(0.5)
    scores["strict"]["types"] = {evil: scores["strict"]["types"]["CHEM"]}
    write_run(runs / "a", scores, model_label=evil, remarks=[evil])
    page = page_of(runs)
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt; \\[here](http://example.org)" in page


OTHER_TASKS = {
    "classes": {"accuracy": 0.8, "macro_f1": 0.7, "classes": {"yes|no": {"precision": 0.5, "recall": 0.5, "f1": 0.5,
                                                                        "support": 3}}},
    "multi_label": {"micro_f1": 0.8, "macro_f1": 0.7, "exact_match": 0.6,
                    "classes": {"C34": {"precision": 0.5, "recall": 0.5, "f1": 0.25, "support": 3}}},
    "multiple_choice": {"exact_match": 0.8, "hamming": 0.9},
    "precision_at_k": {"precision_at_1": 0.8, "precision_at_5": 0.4},  # of seven classes there are no eight likeliest
    "regression": {"pearson": 0.8, "spearman": 0.7, "mean_absolute_error": 1.25, "root_mean_squared_error": 2.5},
}  # fmt: skip


@pytest.mark.parametrize("protocol", OTHER_TASKS)
def test_tasks_of_ones_own_have_tables_of_the_same_shape(runs: Path, protocol: str) -> None:
    write_run(runs / "a", {protocol: OTHER_TASKS[protocol]}, task="my topics", head=None)
    write_run(runs / "b", ner(0.5))
    page = page_of(runs)
    assert page.index("## QUAERO") < page.index("## my topics")
    table = table_under(page, f"my topics: {PROTOCOLS[protocol].title}")
    assert table[2][0] == "small, 0.7 h"
    assert table[2][2] == ("0.800" if protocol == "regression" else "80.0")
    assert rows_of(runs, f"my_topics_{protocol}")
    if protocol == "multi_label":
        assert table_under(page, "F1 by class, protocol multi_label")[2] == ["C34", "3", "25.0"]
    if protocol == "precision_at_k":
        assert table[2][2:5] == ["80.0", "40.0", "–"]


RELATIONS = """
from bertinchamps.metrics.protocols import PROTOCOLS, Protocol

PROTOCOLS.register(
    "strict_relations",
    Protocol(
        "relations, strict: same type, both entities right",
        metrics={"precision": "precision", "recall": "recall", "f1": "F1 of relations"},
        headline="f1",
        parts="relations",
        part="relation",
        remark="A relation between wrong entities is wrong.",
    ),
)
"""


def test_a_protocol_of_ones_own_is_one_file(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file alone is what a new kind of task adds for its scores to be reported."""
    added = runs.parent / "added"
    added.mkdir()
    (added / "strict_relations.py").write_text(RELATIONS, encoding="utf-8")
    list(PROTOCOLS)  # those that are there, which the end of the test leaves as they were
    monkeypatch.setattr(PROTOCOLS, "_protocols", dict(PROTOCOLS))
    monkeypatch.setattr(PROTOCOLS, "_package", metrics.__name__)
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(added)])
    whole = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 8}
    for seed in (0, 1):
        scores = {**whole, "relations": {"treats": {**whole, "f1": 0.4}}}
        write_run(runs / f"{seed}", {"strict_relations": scores, **ner(0.5)}, seed, task="relations of drugs")
    page = page_of(runs)
    monkeypatch.delitem(sys.modules, "bertinchamps.metrics.strict_relations")
    table = table_under(page, "relations of drugs: relations, strict")
    assert table[0] == ["model", "parameters", "precision", "recall", "F1 of relations", "from"]
    assert table[2][2:5] == ["50.0 ± 0.0", "25.0 ± 0.0", "33.3 ± 0.0"]
    assert table_under(page, "F1 by relation")[2] == ["treats", "8", "40.0 ± 0.0"]
    assert "A relation between wrong entities is wrong." in page
    drawn = (runs.parent / "report" / "scores.svg").read_text(encoding="utf-8")
    assert "<!-- F1 of relations (test, %) -->" in drawn
    [row] = [
        row
        for row in rows_of(runs, "relations_of_drugs_strict_relations_by_relation")
        if row["split"] == "dev"
    ]
    assert (row["relation"], row["f1"], row["f1_deviation"]) == ("treats", "0.4", "0.0")


def test_remarks_of_runs_are_printed_once_in_their_section(runs: Path) -> None:
    for seed in (0, 1):
        write_run(
            runs / str(seed), {"classes": OTHER_TASKS["classes"]}, seed,
            task="pawsx", head=None, remarks=["Not the official splits."],
        )  # fmt: skip
    page = page_of(runs)
    section = page.split("PAWS-X (paraphrases)\n")[1].split("\n## ")[0]
    assert section.count("Not the official splits.") == 1


def test_markdown_tables_are_well_formed(runs: Path) -> None:
    write_run(runs / "a", {**ner(0.5)}, model_label="odd | label\nof two lines")
    write_run(runs / "b", {"classes": OTHER_TASKS["classes"]}, task="topics", head=None)
    write_pretraining(runs / "p")
    lines = page_of(runs).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert "odd \\| label of two lines, flat" in "".join(tables)
    for start, line in enumerate(lines):
        if line.startswith("|") and not lines[start - 1].startswith("|"):
            widths = set()
            for row in lines[start:]:
                if not row.startswith("|"):
                    break
                assert row.endswith("|")
                widths.add(len(re.findall(r"(?<!\\)\|", row)))
            assert len(widths) == 1
            assert set(lines[start + 1]) == set("|- ")
            assert lines[start - 1] == ""


def test_pretraining_and_costs(runs: Path) -> None:
    write_pretraining(runs / "p")
    write_run(runs / "a", ner(0.5), seed=0)
    write_run(runs / "b", ner(0.5), seed=2)
    page = page_of(runs)
    [_, _, row] = table_under(page, "What pretraining cost")
    assert row[:4] == ["p", "4 × 256", "11,008,000", "french"]
    assert row[10:14] == ["mlm", "3.180", "1.147", "45.5"]
    [_, _, row] = table_under(page, "What fine-tuning cost")
    assert row[2] == f"101 ± {statistics.stdev([100, 102]):.0f}"
    assert float(rows_of(runs, "finetuning_cost")[0]["flops"]) == 1e13
    assert "python -m bertinchamps.finetune seed=2" in page


BROKEN = {
    "no hardware": ({"hardware": None}, "hardware is missing"),
    "no cost": ({"cost": {"seconds": 1.0}}, "cost.steps is missing"),
    "no test": ({"scores": {"dev": ner(0.5)}}, "a report holds no others: give task.test= when"),
    "no f1": ({"scores": {"test": {"strict": {"precision": 0.1, "recall": 0.1}}}}, "test.strict: f1 missing"),
    "nan": ({"scores": {"test": {"strict": entities(float("nan"))}}}, "precision, recall, f1 missing or not"),
    "protocol": ({"scores": {"test": {"strikt": entities(0.5)}}}, "test.strikt: no such protocol"),
    "types": ({"scores": {"test": {"strict": {**entities(0.5), "types": {"CHEM": 3}}}}}, "types: needs precision"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_run_is_listed_with_the_reason(runs: Path, case: str) -> None:
    changes, reason = BROKEN[case]
    write_run(runs / "whole", ner(0.5))
    write_run(runs / "broken", ner(0.9), **changes)
    page = page_of(runs)
    assert re.search(rf"^- `broken`: results.json: .*{re.escape(reason)}", page, re.MULTILINE)
    assert "1 seed: 0" in str(table_under(page, "entities, strict"))


def test_unfinished_and_damaged_runs_are_listed(runs: Path) -> None:
    write_run(runs / "whole", ner(0.5))
    write_run(runs / "cut", ner(0.5)).joinpath("results.json").write_text('{"task": "qua', encoding="utf-8")
    write_pretraining(runs / "stopped").joinpath("summary.json").unlink()
    write_pretraining(runs / "lossless", held_out={"loss": None, "accuracy": 0.5})
    write_pretraining(runs / "no_config").joinpath("config.yaml").unlink()
    page = page_of(runs)
    for name, reason in (
        ("cut", "not whole JSON"),
        ("stopped", "not finished"),
        ("lossless", "held_out.loss is not a finite number"),
        ("no_config", "config.yaml: missing"),
    ):
        assert re.search(rf"^- `{name}`: .*{reason}", page, re.MULTILINE), name
    assert "4 left out" in page


def test_no_runs_at_all_is_the_users_to_mend(runs: Path) -> None:
    runs.mkdir()
    config = ReportConfig(runs_dir=str(runs), output=str(runs / "report"))
    with pytest.raises(UserError, match="no runs in there"):
        report(config)
    write_pretraining(runs / "stopped").joinpath("summary.json").unlink()
    with pytest.raises(UserError, match=r"(?s)no finished run.*stopped: not finished"):
        report(config)
    assert not (runs / "report").exists()


def test_wrong_settings_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = problems(
        ReportConfig(runs_dir=str(tmp_path / "nowhere"), output=str(tmp_path / "file" / "report"))
    )
    assert len(found) == 2
    assert "no such directory" in found[0]
    assert "a file is in the way" in found[1]


def test_every_published_figure_can_be_shown_and_has_a_source() -> None:
    for figure in published().scores:
        assert figure.task in published().tasks
        assert set(figure.scores) <= set(PROTOCOLS[figure.protocol].metrics)
        assert set(figure.deviations) <= set(figure.scores)
        assert all(0 < score < 1 for score in figure.scores.values())
        assert figure.source


def test_the_command_writes_page_tables_and_figure(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path / "runs" / str(seed), ner(0.5 + seed / 50), seed)
    write_pretraining(tmp_path / "runs" / "p")
    done = command("bertinchamps.report", "runs_dir=runs", "output=out/report", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "report"
    page = (folder / "report.md").read_text(encoding="utf-8")
    assert (folder / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "scores.svg").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([^)]+)\)", page))
    assert linked | {"scores.svg", "report.md", "report.html"} == {file.name for file in folder.iterdir()}
    assert str(tmp_path) not in page
    refused = command("bertinchamps.report", "runs_dir=nowhere", cwd=tmp_path)
    assert refused.returncode == 2
    assert "runs_dir=nowhere: no such directory" in refused.stderr


def test_help_needs_no_heavy_package(tmp_path: Path) -> None:
    for name in ("torch", "matplotlib", "pandas", "jinja2"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('too early')", encoding="utf-8")
    done = command("bertinchamps.report", "--help", cwd=tmp_path, fresh=True, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "runs_dir" in done.stdout


def test_scores_of_an_earlier_version_are_read_under_their_name_of_now(runs: Path) -> None:
    scores = {"pearson": 0.8, "spearman": 0.7, "mean_absolute_error": 1.25, "root_mean_squared_error": 2.5}
    write_run(runs / "now", {"regression": scores}, seed=0)
    write_run(runs / "before", {"number": scores}, seed=1)
    table = table_under(page_of(runs), "a number a text")
    assert "2 seeds: 0, 1" in str(table)


def test_each_score_stands_beside_what_pretraining_saw_of_test(runs: Path) -> None:
    measured = {"measured": True, "lines": 407, "found": 23, "left": 0, "actions": ["cut"]}
    write_run(runs / "cut", ner(0.5), model_label="cut", pretraining_saw={"test": measured})
    counted = {**measured, "left": 23, "actions": ["count"]}
    write_run(runs / "counted", ner(0.5), model_label="counted", pretraining_saw={"test": counted})
    write_run(runs / "hub", ner(0.5), model_label="hub", pretraining_saw={"test": {"measured": False}})
    none = {"measured": True, "pretrained": False}
    write_run(runs / "scratch", ner(0.5), model_label="scratch", pretraining_saw={"test": none})
    write_run(runs / "older", ner(0.5), model_label="older")
    write_run(runs / "odd", ner(0.5), model_label="odd", pretraining_saw={"test": {"measured": True}})
    table = table_under(page_of(runs), "entities, strict")
    column = table[0].index("test's text in pretraining")
    cells = {row[0].partition(",")[0]: row[column] for row in table[2:]}
    assert cells == {
        "cut": "0 of 407 lines (23 cut)",
        "counted": "23 of 407 lines",
        "hub": "not measured",
        "scratch": "no pretraining",
        "older": "not measured",
        "odd": "not measured",
        "CamemBERT": "–",
        "CamemBERT-bio": "–",
        "CamemBERTav2": "–",
    }
    records = rows_of(runs, "quaero_emea_strict")
    [record] = [row for row in records if row["model"] == "cut" and row["split"] == "test"]
    assert record["pretraining_saw"] == "0 of 407 lines (23 cut)"


def test_runs_of_earlier_versions_have_no_column_of_what_pretraining_saw(runs: Path) -> None:
    write_run(runs / "older", ner(0.5))
    assert "pretraining" not in page_of(runs).split("## Cost")[0].split("runs below")[1]
    assert "pretraining_saw" not in rows_of(runs, "quaero_emea_strict")[0]


def test_operations_at_density_stand_beside_dense_ones_where_weights_were_zero() -> None:
    run = PretrainingRun(
        folder=Path("a"), command="c", data_fingerprint="d", shape="2 × 64", tokenizer="french", objective="mlm",
        parameters=1, device="CPU", tokens_per_second=1.0, held_out={"loss": 2.0},
        cost={"seconds": 1.0, "steps": 1, "tokens": 8, "flops": 2e9, "flops_dense": 5e9},
    )  # fmt: skip
    earlier = {key: value for key, value in run.cost.items() if key != "flops_dense"}
    table = pretraining_table([run, replace(run, cost=earlier)], ["sparse", "dense"])
    assert list(table.shown["FLOPs if dense"]) == ["5e+09", ""]
    assert list(table.records["flops_dense"]) == [5e9, 2e9]


def test_fine_tuning_that_kept_zeros_has_both_counts_of_operations(runs: Path) -> None:
    cost = {"seconds": 9.0, "training_seconds": 8.0, "epochs": 1.0, "steps": 2, "tokens": 8, "flops": 2e9}
    for seed in range(2):
        kept = {"cost": {**cost, "flops_dense": 5e9}, "settings": {"sparsity.name": "keep"}}
        write_run(runs / f"sparse{seed}", ner(0.5), seed=seed, **kept)
    write_run(runs / "dense", ner(0.5), cost={**cost, "flops_dense": 2e9})
    head, _, *rows = table_under(page_of(runs), "What fine-tuning cost")
    at = head.index("FLOPs")
    assert head[at + 1] == "FLOPs if dense"
    assert sorted(row[at : at + 2] for row in rows) == [["2e+09", ""], ["2e+09", "5e+09"]]
    assert sorted(float(row["flops_dense"]) for row in rows_of(runs, "finetuning_cost")) == [2e9, 5e9]
    for seed in range(2):
        shutil.rmtree(runs / f"sparse{seed}")
    assert "FLOPs if dense" not in table_under(page_of(runs), "What fine-tuning cost")[0]

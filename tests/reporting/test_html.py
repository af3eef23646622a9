"""report.html: one file that loads nothing, says what a run did, and quotes no document unless it is asked to."""

from __future__ import annotations

import csv
import html
import json
import re
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from written_runs import ner, write_pretraining, write_run

from bertinchamps.checks.reporting import problems
from bertinchamps.command_line.readable import readable
from bertinchamps.finetune import finetune
from bertinchamps.pretrain import pretrain
from bertinchamps.report import report
from bertinchamps.reporting.html.curves import curves_of
from bertinchamps.reporting.html.page import write_run_page
from bertinchamps.reporting.html.places import impersonal
from bertinchamps.schemas import ReportConfig
from browser import needs_browser, shown
from support import QUICK, command, composed
from tiny_corpora import brat_corpus

TUNED = [
    "runtime=eager", "runtime.compile=off", "runtime.threads=1", "max_length=48", "batch.evaluation=16",
    "model=scratch", "arch=tiny", "tokenizer.vocab_size=300", "tokenizer.min_frequency=1", "budget.epochs=2",
    "head=nested",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two fine-tuning runs, one of which shows its texts, and a pretraining run."""
    folder = tmp_path_factory.mktemp("seen")
    corpus = brat_corpus(folder / "corpus")
    result = command("bertinchamps.finetune", *TUNED, *corpus, "run_dir=runs/plain", cwd=folder)
    assert result.returncode == 0, result.stderr
    (folder / "plain.log").write_text(result.stdout + result.stderr, encoding="utf-8")
    quoting = [*TUNED, *corpus, f"run_dir={folder / 'runs' / 'quoting'}", "report.show_text=true", "seed=1"]
    finetune(composed(*quoting, command="finetune"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTINCHAMPS_CACHE", str(folder / "cache"))
        pretrain(composed(*QUICK, "budget.steps=4", f"run_dir={folder / 'runs' / 'pretrained'}"))
    return folder / "runs"


def page_of(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


def text_of(page: str) -> str:
    """What a reader sees, without scripts and styles."""
    page = html.unescape(re.sub(r"</?mark[^>]*>", "", page))
    return " ".join(
        re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)).split()
    )


@pytest.mark.parametrize("name", ["plain", "quoting", "pretrained"])
def test_a_page_is_one_file_that_names_no_other(name: str, runs: Path) -> None:
    page = page_of(runs / name)
    addresses = set(re.findall(r"\w+://[^\s\"'<]+", page)) - {"http://www.w3.org/2000/svg"}
    assert addresses == set()
    assert re.findall(r"\b(?:src|href)=\"(?!#|data:)", page) == []
    assert "default-src 'none'" in page


def test_the_page_of_a_fine_tuning_says_what_its_files_say(runs: Path) -> None:
    shown_text = text_of(page_of(runs / "plain"))
    results = json.loads((runs / "plain" / "results.json").read_text(encoding="utf-8"))
    for split in ("dev", "test"):
        for scores in (results["scores"][split]["strict"], results["scores"][split]["nested_exact"]):
            assert f"F1 {100 * scores['f1']:.1f}" in shown_text
    assert "optim.learning_rate" in shown_text
    assert "no pretraining, which could have seen the text of test".capitalize() in shown_text
    assert results["versions"]["torch"] in shown_text
    assert "kWh" in shown_text
    assert "plain" in text_of(page_of(runs / "quoting"))  # the other run, beside this one
    assert str(Path.home()) not in shown_text or len(str(Path.home())) < 6


def test_errors_are_counted_by_type_and_kind_and_add_up(runs: Path) -> None:
    results = json.loads((runs / "plain" / "results.json").read_text(encoding="utf-8"))
    for split in ("dev", "test"):
        errors, nested = results["errors"][split], results["scores"][split]["nested_exact"]
        whole = dict(zip(errors["columns"], errors["rows"][-1], strict=True))
        assert whole["correct"] == nested["tp"]
        assert whole["missed"] + whole["wrong type"] + whole["wrong boundaries"] == nested["fn"]
        assert whole["spurious"] + whole["wrong type"] + whole["wrong boundaries"] == nested["fp"]
        assert f"Errors in {split}" in text_of(page_of(runs / "plain"))


def test_texts_are_quoted_only_where_the_user_asks_for_them(runs: Path) -> None:
    documents = [
        file.read_text(encoding="utf-8")
        for file in (runs / "plain" / "predictions" / "test" / "gold").glob("*.txt")
    ]
    assert documents
    longest = [max(text.split(), key=len) for text in documents]
    assert not any(word in html.unescape(page_of(runs / "plain")) for word in longest)
    assert all(word in text_of(page_of(runs / "quoting")) for word in longest)
    assert "never commit" in text_of(page_of(runs / "quoting"))
    assert stat.S_IMODE((runs / "quoting" / "report.html").stat().st_mode) == 0o600
    assert not list((runs / "plain" / "predictions").glob("*_compared.jsonl"))


def test_the_page_of_a_pretraining_has_its_curves(runs: Path) -> None:
    page = page_of(runs / "pretrained")
    data = json.loads(
        re.findall(r"<script type=\"application/json\" id=\"data\">(.*?)</script>", page, re.S)[0]
    )
    curves = data["runs"][0]["curves"]
    assert len(curves["train"]["loss"]) == 4
    assert {"learning_rate", "sequences", "mfu", "tokens_per_second"} <= curves["train"].keys()
    assert {"loss", "accuracy"} <= curves["held_out"].keys()
    assert curves["train"]["step"] == [1, 2, 3, 4]


def test_curves_of_many_updates_are_means_and_keep_the_extremes(tmp_path: Path) -> None:
    lines = [
        {"kind": "train", "step": n, "tokens": n, "seconds": n, "loss": 9.0 if n == 777 else 1.0}
        for n in range(2000)
    ]
    (tmp_path / "metrics.jsonl").write_text(
        "\n".join([*map(json.dumps, lines), '{"kind": "train", "st']), encoding="utf-8"
    )
    curve = curves_of(tmp_path, 100)["train"]
    assert len(curve["loss"]) == 100
    assert max(value for value in curve["high"] if value) == 9.0
    assert max(value for value in curve["loss"] if value) == pytest.approx(1.4)


def test_a_page_takes_little_time_whatever_the_length_of_the_run(tmp_path: Path) -> None:
    run = write_pretraining(tmp_path / "run")
    (run / "run.json").write_text(
        json.dumps({"command": "x", "data_fingerprint": "a", "versions": {}}), encoding="utf-8"
    )
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    (run / "summary.json").write_text(
        json.dumps({**summary, "peak_flops": 1e12, "peak_origin": "stated"}), encoding="utf-8"
    )
    record = '{"kind": "train", "step": %d, "tokens": 9, "seconds": 1.0, "loss": 2.5, "mfu": 0.5, "sequences": 8}\n'
    (run / "metrics.jsonl").write_text("".join(record % n for n in range(200_000)), encoding="utf-8")
    write_run_page(run, pytest.fail)  # the first one compiles the templates
    began = time.process_time()
    write_run_page(run, pytest.fail)
    assert time.process_time() - began < 1.5


def test_a_page_that_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    said: list[str] = []
    write_run_page(write_run(tmp_path / "run", ner(0.5)), said.append)  # no run.json
    assert len(said) == 1
    assert said[0].startswith("note       no report.html could be written")


def test_a_label_that_may_be_a_text_is_not_shown(tmp_path: Path) -> None:
    scores = ner(0.5)
    scores["strict"]["types"]["a sentence of a document that somebody took for a label"] = scores["strict"][
        "types"
    ]["CHEM"]
    run = write_run(tmp_path / "run", scores)
    (run / "run.json").write_text(
        json.dumps({"command": "x", "data_fingerprint": "a", "versions": {}}), encoding="utf-8"
    )
    write_run_page(run, pytest.fail)
    assert "a sentence of a document" not in page_of(run)
    assert "(a label of 55 characters)" in page_of(run)


def test_paths_lose_homes_and_names_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    assert impersonal("train=[/home/alice/notes/a.jsonl,/Users/bob/b]") == "train=[~/notes/a.jsonl,~/b]"
    assert impersonal("/data/corpora/a.jsonl") == "/data/corpora/a.jsonl"
    assert impersonal("run_dir=/root/runs/a /rooting") == "run_dir=~/runs/a /rooting"
    assert impersonal("https://host/home") == "https://host/home"


def test_several_runs_are_compared_on_one_page(runs: Path, tmp_path: Path) -> None:
    words = [str(runs / "plain"), str(runs / "quoting"), f"output={tmp_path / 'report'}"]
    result = command("bertinchamps.report", *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "2 fine-tuning, 0 pretraining" in result.stderr
    page = page_of(tmp_path / "report")
    data = json.loads(
        re.findall(r"<script type=\"application/json\" id=\"data\">(.*?)</script>", page, re.S)[0]
    )
    assert [run["name"] for run in data["runs"]] == ["plain", "quoting"]
    assert "entities, strict" in text_of(page)
    assert "pretrained" not in text_of(page)
    [file] = (tmp_path / "report").glob("*_differences.csv")
    with file.open(encoding="utf-8", newline="") as stream:
        rows = {row["protocol"]: row for row in csv.DictReader(stream)}
    f1 = [
        json.loads((runs / name / "results.json").read_text(encoding="utf-8"))["scores"]["test"]
        for name in ("plain", "quoting")
    ]
    for protocol, headline in (("strict", "f1"), ("nested_exact", "f1"), ("paper", "weighted_f1")):
        difference = f1[0][protocol][headline] - f1[1][protocol][headline]
        assert float(rows[protocol]["value"]) == pytest.approx(difference)
        assert 0 < float(rows[protocol]["p"]) <= 1
    assert "approximate randomisation" in text_of(page)


def test_words_of_report_without_a_key_name_runs() -> None:
    assert readable(["runs/a", "output=x", "runs/été, b"], "report") == [
        "output=x",
        'runs=["runs/a", "runs/été, b"]',
    ]
    assert readable(["output=x"], "report") == ["output=x"]
    assert problems(ReportConfig(runs=["nowhere"], runs_dir="neither")) == [
        "runs: nowhere: no such directory; name runs, or directories that hold some"
    ]


def test_a_plain_log_says_what_is_done_how_long_it_takes_and_what_comes_next(runs: Path) -> None:
    log = (runs.parent / "plain.log").read_text(encoding="utf-8")
    assert "\r" not in log
    assert "\x1b" not in log
    lines = {line.partition(" ")[0]: line for line in log.splitlines()}
    assert re.fullmatch(r"budget +2 epochs \([\d,]+ updates of 8\)", lines["budget"])
    assert lines["run"] == "run        runs/plain"
    assert re.search(r"· about \d+ (s|min) left", log)
    assert lines["report"] == "report     runs/plain/report.html"
    assert (
        lines["next"]
        == "next       python -m bertinchamps.predict model=runs/plain input=TEXTS output=FOUND.jsonl"
    )
    assert re.search(r"f1 [\d.]+ \[[\d.]+, [\d.]+\]", log)


@needs_browser
def test_a_browser_draws_the_curves_without_an_error_or_a_request(runs: Path, tmp_path: Path) -> None:
    report(ReportConfig(runs_dir=str(runs), output=str(tmp_path / "report")))
    for page in (runs / "plain" / "report.html", tmp_path / "report" / "report.html"):
        seen: Any = shown(page)
        assert seen.requests == ["/report.html"]
        assert seen.console == []
        assert seen.document.count("<polyline") >= 5
    assert "Confidence and truth, test" in text_of(page_of(runs / "plain")) or not calibrated(runs / "plain")


def calibrated(run: Path) -> bool:
    """Whether a run has predicted anything."""
    return "test" in json.loads((run / "results.json").read_text(encoding="utf-8"))["calibration"]

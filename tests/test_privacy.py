"""No word of a document in anything but the blocks, the tokenizer and the weights; no code from data."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from bertinchamps.checks.finetuning import problems as finetuning_problems
from bertinchamps.checks.pretraining import problems
from bertinchamps.command_line.mistakes import mistakes
from bertinchamps.composing import asks_a_resolver, saved_configuration
from bertinchamps.errors import UserError
from support import QUICK, command

SECRET = "Zébulonnier"


def test_no_word_of_a_document_reaches_logs_metrics_or_the_run(tmp_path: Path) -> None:
    notes = [{"text": f"Madame {SECRET} a {n} ans et consulte pour une toux. " * 20} for n in range(20, 80)]
    (tmp_path / "notes.jsonl").write_text("\n".join(map(json.dumps, notes)), encoding="utf-8")
    words = [word for word in QUICK if not word.startswith("data")]
    words += [
        "data=files",
        "data.files=[notes.jsonl]",
        "budget.steps=3",
        "run_dir=run",
        "checkpoint.every_steps=1",
    ]
    cache = {"BERTINCHAMPS_CACHE": str(tmp_path / "cache")}
    result = command("bertinchamps.pretrain", *words, "tracker=tensorboard", cwd=tmp_path, **cache)
    assert result.returncode == 0, result.stderr
    assert SECRET not in result.stdout + result.stderr
    needle = SECRET.encode()
    allowed = {"tokenizer.json"}  # its entries are words of the corpus, which docs/privacy.md says
    for file in (tmp_path / "run").rglob("*"):
        if file.is_file() and file.name not in allowed:
            assert needle not in file.read_bytes(), file


@pytest.mark.parametrize("text_field", ["text", "texte"])
def test_no_word_of_a_document_reaches_an_error(tmp_path: Path, text_field: str) -> None:
    bad = f'{{"texte": "{SECRET}"}}\n{{"text": "{SECRET}\n'
    (tmp_path / "notes.jsonl").write_text(bad, encoding="utf-8")
    words = ["data=files", "data.files=[notes.jsonl]", f"data.text_field={text_field}"]
    result = command("bertinchamps.prepare", *words, cwd=tmp_path)
    assert result.returncode == 2
    assert "notes.jsonl" in result.stderr
    assert SECRET not in result.stderr


def test_nothing_is_loaded_in_a_way_that_could_run_code() -> None:
    source = Path(__file__).resolve().parents[1] / "src"
    for file in source.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert called not in ("pickle.load", "pickle.loads", "eval", "exec", "joblib.load"), file
                assert called != "torch.load" or given.get("weights_only") == "True", file
                assert given.get("trust_remote_code", "False") == "False", file


def test_no_value_of_the_environment_gets_into_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_TESTS", SECRET)
    words = {
        "run_dir": "${oc.env:SECRET_OF_TESTS}",
        "data.documents": "'${oc.decode:${oc.env:SECRET_OF_TESTS}}'",
        "runs_dir": "x${oc.env:SECRET_OF_TESTS,none}",
        "blocks.cache_dir": "'${oc.${tracker.name}:SECRET_OF_TESTS}'",
        "hooks": "[{name: '${oc.env:SECRET_OF_TESTS}'}]",
    }
    given = [*QUICK, "budget.steps=1", *(f"{key}={value}" for key, value in words.items())]
    (found,) = mistakes("pretrain", given, problems)
    lines = [line for line in found.splitlines() if "takes no value from the environment" in line]
    assert {line.partition("=")[0] for line in lines} == {*words} - {"hooks"} | {"hooks.name"}
    assert SECRET not in found


def test_a_value_of_another_key_may_be_taken_and_a_colon_be_written() -> None:
    words = [*QUICK, "budget.steps=1", "evaluation.blocks=${batch.size}", "runs_dir='runs/a:b'"]
    assert mistakes("pretrain", words, problems) == []
    assert not any(map(asks_a_resolver, ("${a.b}: c ${d}", "\\${a:b", "a:b")))
    assert all(map(asks_a_resolver, ("${a:b}", "${${a}:b}", "x ${a.${b}:c} y")))


def test_a_yaml_file_takes_no_value_of_the_environment_and_none_is_written(tmp_path: Path) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nrun_dir: ${oc.env:SECRET_OF_TESTS}\n"
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text(text, encoding="utf-8")
    words = [*QUICK, "budget.steps=1", "--config-dir", "own", "experiment=mine"]
    ended = command("bertinchamps.pretrain", *words, cwd=tmp_path, SECRET_OF_TESTS=SECRET)
    assert ended.returncode == 2
    assert "run_dir=${oc.env:SECRET_OF_TESTS}: a configuration takes no value" in ended.stderr
    assert SECRET not in ended.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["own"]


def test_a_configuration_of_somebody_elses_run_reads_no_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_TESTS", SECRET)
    (tmp_path / "config.yaml").write_text("runs_dir: ${oc.env:SECRET_OF_TESTS}\n", encoding="utf-8")
    with pytest.raises(UserError, match="takes no value from the environment") as raised:
        saved_configuration("finetune", tmp_path / "config.yaml")
    assert SECRET not in str(raised.value)


def test_a_setting_names_an_entry_of_a_registry_and_never_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('it ran')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    unknown = ("+optim._target_", "+data._target_", "+_target_", "tracker._target_")
    found = mistakes(
        "pretrain", [*QUICK, "budget.steps=1", *(f"{key}=evil.Evil" for key in unknown)], problems
    )
    assert [line.partition(":")[0] for line in found] == [key.lstrip("+") for key in unknown]
    nodes = ["hooks=[{_target_: evil.Evil},{name: evil.Evil}]", "cleaning=[{name: evil.clean}]"]
    nodes.append("objective.name=evil.Evil")
    found = mistakes("pretrain", [*QUICK, "budget.steps=1", *nodes], problems)
    for key in ("hooks", "cleaning", "objective"):
        assert any(line.startswith(key) for line in found), found


@pytest.mark.parametrize("room", ["task", "optim", "tracker"])
def test_a_yaml_file_of_a_room_names_no_code_either(
    room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('it ran')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / room).mkdir()
    node = "_target_: evil.Evil\nname: evil.Evil\n"
    text = f"# @package _global_\ntask:\n  {node.replace(chr(10), chr(10) + '  ').rstrip()}\n"
    (tmp_path / room / "bad.yaml").write_text(text if room == "task" else node, encoding="utf-8")
    words = [f"{room}=bad", *(["task=demo"] if room != "task" else []), "model=scratch"]
    told = "\n".join(mistakes("finetune", words, finetuning_problems, tmp_path))
    assert "evil.Evil" in told
    assert "it ran" not in told

"""The command line tells all mistakes at once, with what would have been right, before anything starts."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser

from bertinchamps.checks.pretraining import problems
from bertinchamps.checks.reporting import problems as reporting_problems
from bertinchamps.command_line import run
from bertinchamps.command_line.help import help_text
from bertinchamps.command_line.memory import REMEDIES, within_memory
from bertinchamps.command_line.mistakes import _flat_keys
from bertinchamps.command_line.mistakes import mistakes as all_mistakes
from bertinchamps.command_line.readable import readable
from bertinchamps.composing import compose, configuration
from bertinchamps.errors import OutOfMemory
from bertinchamps.schemas import COMMANDS
from bertinchamps.signals import TO_END
from support import NO_HUB, QUICK, ROOT, command

CONFIGS: list[object] = []
SIGNALS: list[signal.Signals] = []


def keep(config: object) -> None:
    """Stands in for the work of a command."""
    CONFIGS.append(config)


def need_too_much(config: object) -> float:
    """The work of a command that gets no memory."""
    del config
    raise MemoryError


def be_refused(config: object) -> float:
    """The work of a command that may not read a file."""
    del config
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "model/model.safetensors")


def be_interrupted(config: object) -> float:
    """The work of a command that gets a signal."""
    del config
    os.kill(os.getpid(), SIGNALS[-1])
    return 0.0


def mistakes(*words: str, of: str = "pretrain") -> list[str]:
    return all_mistakes(of, list(words), problems)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("arch.norn=rmsnorm", "arch.norn: no such key; did you mean 'norm'? (arch has: hidden_size"),
        ("learning_rate=1e-3", "learning_rate: no such key; did you mean 'optim.learning_rate'?"),
        ("optim.lr=1e-3", "optim.lr: no such key (optim has: name, learning_rate"),
        ("batch.micro_batch=many", "batch.micro_batch=many: must be a whole number"),
        ("batch.micro_batch=1.5", "batch.micro_batch=1.5: must be a whole number"),
        ("batch.ramp=[1,2]", "batch.ramp=[1,2]: must be a number"),
        ("gradient_clipping=x", "gradient_clipping=x: must be a number or null"),
        ("seed=null", "seed=null: must be a whole number"),
        ("arch.norm_bias=perhaps", "arch.norm_bias=perhaps: must be true or false"),
        ("tokenizer.normalizer={a: b}", "tokenizer.normalizer={a: b}: must be text"),
        ("cleaning=unicode", "cleaning=unicode: must be a list of groups of settings, such as 'cleaning=[{"),
        ("run_dir=", "run_dir=: nothing stands behind the =; give a value, or leave run_dir out"),
        ("checkpoint.every_minutes=-1", "checkpoint.every_minutes=-1.0: must be at least 0"),
        ("checkpoint.every_steps=0", "checkpoint.every_steps=0: must be at least 1, or null"),
        ("checkpoint.keep=0", "checkpoint.keep=0: must be at least 1"),
        ("budget=long", "budget=long: a length of time is a number and s, m, h or d, such as +budget=5m"),
        ("budget=5m", "budget=5m: write +budget=5m, with a plus"),
        ("batch=3", "batch=3: must be a group of settings; give one of batch.micro_batch, batch.size"),
        ("batch={siez: 3}", "batch.siez: no such key; did you mean 'size'? (batch has: micro_batch"),
        ("batch={size: many}", "batch.size=many: must be a whole number"),
        ("arch=smal", "arch=smal: no such choice; did you mean 'small'? (one of: bert_base"),
        ("budget=24h", "budget=24h: write +budget=24h, with a plus"),
        ("+schedule=cosine", "+schedule=cosine: write schedule=cosine, without the plus"),
        ("data.files=[a b", "data.files=[a b: not of the form key=value"),
        ("arch.norm=batchnorm", "arch.norm=batchnorm: no such norm (one of: layernorm, rmsnorm)"),
        ("arch.num_attention_heads=7", "arch.num_attention_heads=7: does not divide arch.hidden_size=768"),
        ("batch.size=100", "batch.size=100: must be a multiple of batch.micro_batch=128"),
        ("objective.mask_rate=1.5", "objective.mask_rate=1.5: a share between 0 and 1"),
        ("blocks.held_out_share=0", "blocks.held_out_share=0.0: a share between 0 and 1"),
        ("tokenizer.vocab_size=70000", "tokenizer.vocab_size=70000: from 6 to 65536"),
        ("runtime.precision=fp8", "runtime.precision=fp8: one of auto, fp32, bf16"),
        ("schedule.base=2", "schedule.base=2: a share, from 0 to 1"),
        ("cleaning=[{name: lenght}]", "cleaning=lenght: no such cleaning step; did you mean 'length'?"),
        ("budget.hours=-1", "budget.hours=-1.0: must be above zero"),
        ("gradient_clipping=0", "gradient_clipping=0.0: must be above zero"),
        ("seed=-1", "seed=-1: must be at least 0"),
        ("optim.betas=[a,b]", "optim.betas=['a', 'b']: must be a list of numbers"),
        ("cleaning=[{name: length, least: abc}]", "cleaning.least=abc: must be a whole number"),
        ("objective.whole_word=no", "objective.whole_word=no: must be true or false"),
        ("~arch.nothing", "~arch.nothing: no such key"),
    ],
)
def test_each_mistake_is_told_with_what_would_have_been_right(word: str, told: str) -> None:
    found = mistakes("budget.steps=1", word)
    assert any(problem.startswith(told) for problem in found), found


def test_all_mistakes_are_told_together() -> None:
    found = mistakes("arch=smal", "batch.size=100", "arch.norn=x", "optim.betas=3", "data=nowhere")
    told = " ".join(found)
    for part in (
        "arch=smal",
        "batch.size=100",
        "arch.norn",
        "optim.betas=3",
        "data=nowhere",
        "no budget given",
    ):
        assert part in told


def test_what_an_unknown_choice_would_take_is_not_called_a_mistake() -> None:
    found = mistakes("data=fils", "data.files=[a.txt]", "arch=smal", "arch.norn=x", "budget.steps=1")
    assert [problem.partition(":")[0] for problem in found] == ["data=fils", "arch=smal", "arch.norn"], found


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("data.files=null", "data.files=None: must be a list of texts or text"),
        ("data.files=[1,2]", "data.files=[1, 2]: must be a list of texts or text"),
        ("data.held_out_files=5", "data.held_out_files=5: must be a list of texts or text"),
        ("data.files={a: b}", "data.files={a: b}: must be a list"),
        ("data.txt_documents=page", "data.txt_documents=page: one of file, line"),
        ("data.text_field=", "data.text_field=: nothing stands behind the ="),
    ],
)
def test_each_mistake_about_files_is_told_with_what_would_have_been_right(word: str, told: str) -> None:
    found = mistakes("budget.steps=1", "data=files", word)
    assert any(problem.startswith(told) for problem in found), found


def test_a_choice_that_is_needed_is_asked_for_with_its_menu() -> None:
    assert mistakes(of="finetune") == [
        "task: a choice is needed; add task=NAME (one of: classification, cls, deidentification, demo, e3c, "
        "e3c_relations, frasimed_disease, frasimed_morphology, frenchmedmcqa, morfitt, ner, pawsx, quaero_both, "
        "quaero_emea, quaero_medline, relations, stsb_fr, xnli)"
    ]


def test_combinations_are_checked() -> None:
    found = mistakes("budget.steps=1", "arch.positions=learned", "blocks.sequence_length=1024")
    assert "learned positions end at arch.max_positions=512" in found[0]
    assert (
        "arch.stock=modernbert needs rotary"
        in mistakes("budget.steps=1", "arch=modern", "arch.positions=none")[0]
    )


def test_a_stream_has_no_epochs_and_no_blocks_ahead_of_time(tmp_path: Path) -> None:
    (found,) = mistakes("data=demo", "data.online=true", "budget.epochs=2")
    assert found == "budget.epochs=2.0: with data.online=true the length of an epoch is unknown"
    result = command("bertinchamps.prepare", "data=demo", "data.online=true", cwd=tmp_path)
    assert (
        "+cluster=local: python -m bertinchamps.prepare takes it"
        in mistakes("+cluster=local", "budget.steps=1")[0]
    )
    assert "data.online=true: blocks that are prepared are not packed while training" in result.stderr


def test_every_job_of_a_sweep_is_checked() -> None:
    assert mistakes("budget.steps=1", "arch.norm=layernorm,rmsnorm", "schedule=cosine,one_cycle") == []
    assert "arch.norm=batchnorm" in mistakes("budget.steps=1", "arch.norm=layernorm,batchnorm")[0]
    assert "schedule=cosin: no such choice" in mistakes("budget.steps=1", "schedule=cosin,one_cycle")[0]


@pytest.mark.parametrize(
    "words",
    [
        ["+budget=24h"],
        ["+budget=8h", "budget.hours=1.5"],
        ["budget.steps=200"],
        ["budget.tokens=1e9"],
        ["budget.epochs=3"],
        ["budget.flops=4.1e18"],
        ["data=files", "data.files=[a.jsonl.zst,b.txt]", "arch=small", "+budget=10m"],
        ["+ablation=post_norm", "+budget=24h"],
        ["arch.vocab_padding=128", "seed=3", "budget.steps=1", "gradient_clipping=null"],
    ],
)
def test_right_command_lines_have_no_mistakes(words: list[str]) -> None:
    assert mistakes(*words) == []


@pytest.mark.parametrize(
    "words",
    [
        ["pretrain", "data=demo", "arch=tiny", "+budget=1m"],
        ["pretrain", "data=demo", "arch=tiny", "+budget=1m", "seed=3"],
        ["finetune", "task=demo", "model=scratch", "max_length=64"],
    ],
)
def test_a_command_line_is_composed_once(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name, *settings = words
    composed: list[object] = []
    compose = ConfigLoaderImpl.load_configuration
    monkeypatch.setattr(
        ConfigLoaderImpl,
        "load_configuration",
        lambda *given, **named: composed.append(named) or compose(*given, **named),
    )
    monkeypatch.setattr(sys, "argv", [name, *settings])
    monkeypatch.setattr(os, "umask", lambda mask: 0)
    monkeypatch.setenv("GOMP_SPINCOUNT", "3000")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    CONFIGS.clear()
    run(name, f"{__name__}:keep")
    assert len(composed) == 1
    assert [configuration(name, settings)] == CONFIGS


def test_a_mistake_ends_with_status_2_one_message_and_no_files(tmp_path: Path) -> None:
    result = command("bertinchamps.pretrain", "arch=smal", "seed=x", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("bertinchamps pretrain: 3 problems\n  - ")
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_lists_choices_and_explains_keys(tmp_path: Path) -> None:
    result = command("bertinchamps.pretrain", "--help", cwd=tmp_path)
    assert result.returncode == 0
    for part in (
        "slanted_triangular",
        "+budget",
        "10m",
        "+ablation",
        "arch.dropout",
        "one rate for embeddings",
    ):
        assert part in result.stdout
    assert (
        "torch"
        not in command("bertinchamps.pretrain", "--help", cwd=tmp_path, fresh=True, PYTHONVERBOSE="").stderr
    )


def test_cfg_job_prints_the_configuration(tmp_path: Path) -> None:
    result = command("bertinchamps.pretrain", "--cfg", "job", "+budget=10m", "budget.hours=2", cwd=tmp_path)
    assert "hours: 2.0" in result.stdout
    assert "sequence_length: 128" in result.stdout


def test_a_sweep_runs_each_job_and_compares_them(tmp_path: Path) -> None:
    words = [
        "--multirun",
        *QUICK,
        "budget.steps=2",
        "arch.norm=layernorm,rmsnorm",
        "schedule=cosine,one_cycle",
    ]
    result = command("bertinchamps.pretrain", *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "runs").glob("*/summary.json"))) == 4
    table = [line for line in result.stdout.splitlines() if "arch.norm=" in line]
    assert len(table) == 4


def test_a_job_that_fails_does_not_end_the_sweep(tmp_path: Path) -> None:
    words = [
        "--multirun",
        *QUICK,
        "budget.steps=3",
        "gradient_clipping=null",
        "optim.learning_rate=1e30,1e-3",
    ]
    result = command("bertinchamps.pretrain", *words, cwd=tmp_path)
    assert result.returncode == 2
    assert "this job failed: update" in result.stderr
    assert "Traceback" not in result.stderr
    table = [line.split()[0] for line in result.stdout.splitlines() if "optim.learning_rate=" in line]
    assert table[0] == "nan"
    assert float(table[1]) > 0


def test_yaml_of_the_users_own_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine" / "ablation").mkdir(parents=True)
    (tmp_path / "mine" / "ablation" / "warm.yaml").write_text("# @package _global_\nseed: 77\n")
    words = ["--config-dir", "mine", "--cfg", "job", "+ablation=warm", "+budget=1m"]
    assert "seed: 77" in command("bertinchamps.pretrain", *words, cwd=tmp_path).stdout


def test_prepare_builds_what_pretraining_finds(tmp_path: Path) -> None:
    words = [word for word in QUICK if word.split(".")[0].split("=")[0] in ("data", "tokenizer", "blocks")]
    cache = {"BERTINCHAMPS_CACHE": str(tmp_path / "cache")}
    result = command("bertinchamps.prepare", *words, cwd=tmp_path, **cache)
    assert result.returncode == 0, result.stderr
    assert "documents" in result.stderr
    built = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*.bin")}
    assert command("bertinchamps.pretrain", *QUICK, "budget.steps=1", cwd=tmp_path, **cache).returncode == 0
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*.bin")} == built


WORKERS_WITHOUT_TORCH = """
import sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ImportError("a worker imports torch")

if "--multiprocessing-fork" in sys.orig_argv:
    sys.meta_path.insert(0, Refusing())
"""


@pytest.mark.parametrize("started", ["bertinchamps.pretrain", "bertinchamps pretrain"])
def test_worker_processes_do_not_import_torch(tmp_path: Path, started: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(WORKERS_WITHOUT_TORCH)
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    words = [*started.split(), *QUICK, "data.online=true", "budget.steps=1"]
    result = command(*words, cwd=tmp_path, PYTHONPATH=path)
    assert result.returncode == 0, result.stderr


def test_the_hub_out_of_reach_is_one_readable_message(tmp_path: Path) -> None:
    closed = {**NO_HUB, "BERTINCHAMPS_CACHE": str(tmp_path / "cache")}
    result = command("bertinchamps.pretrain", "+budget=24h", cwd=tmp_path, **closed)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    for way_out in ("data=files", "data=demo", "hf auth login"):
        assert way_out in result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("task.train=données/séjours.csv", "données/séjours.csv"),
        ("task.train=données du mois (1).csv", "données du mois (1).csv"),
        ("task.train='déjà \"cité\".csv'", 'déjà "cité".csv'),
        ("data.files=[a.txt,été/b.txt]", ["a.txt", "été/b.txt"]),
        ("task.train=plain.csv", "plain.csv"),
    ],
)
def test_values_may_have_accents(word: str, value: object) -> None:
    (override,) = OverridesParser.create().parse_overrides(readable([word], "pretrain"))
    assert override.value() == value


def test_accents_in_a_sweep_stay_apart_and_options_come_first() -> None:
    words = readable(["task.train=été.csv,hiver.csv", "seed=0", "--multirun"], "pretrain")
    assert words[0] == "--multirun"
    sweep = OverridesParser.create().parse_override(words[1])
    assert [str(value) for value in sweep.sweep_string_iterator()] == ['"été.csv"', "hiver.csv"]


def test_one_directory_for_a_whole_sweep_is_refused(tmp_path: Path) -> None:
    words = ["task=demo", "seed=0,1", "run_dir=mine", "--multirun"]
    result = command("bertinchamps.finetune", *words, cwd=tmp_path)
    assert result.returncode == 2
    assert "run_dir=mine: the jobs of a sweep need a directory each" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_task_hides_no_other_mistake() -> None:
    found = mistakes("task=clasification", "task.train=a.csv", "sed=1", "budget.epoch=1", of="finetune")
    assert len(found) == 3
    assert "did you mean 'classification'" in found[0]
    assert "did you mean 'seed'" in found[1]
    assert found[2].startswith("budget.epoch: no such key")


EVIL = """
from pathlib import Path
from hydra.experimental.callback import Callback

class Evil(Callback):
    def __init__(self, **given):
        Path("it_ran").touch()
"""


@pytest.mark.parametrize(
    "hydra",
    [
        "callbacks: {evil: {_target_: evil.Evil}}",
        "job_logging: {handlers: {evil: {(): evil.Evil}}, root: {handlers: [evil]}}",
        "hydra_logging: {handlers: {evil: {(): evil.Evil}}, root: {handlers: [evil]}}",
        "launcher: {_target_: evil.Evil}",
        "sweeper: {_target_: evil.Evil}",
        "job: {env_set: {LD_PRELOAD: evil.so}}",
    ],
)
def test_a_yaml_file_names_no_code_to_run(hydra: str, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(EVIL)
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "evil.yaml").write_text(f"# @package _global_\nhydra:\n  {hydra}\n")
    words = ["bertinchamps.pretrain", *QUICK, "budget.steps=1", "--config-dir", "own", "experiment=evil"]
    ended = command(*words, cwd=tmp_path)  # where Python finds evil.py
    assert ended.returncode == 2
    assert "in a yaml file of --config-dir: not taken: a configuration names no code to run" in ended.stderr
    assert not (tmp_path / "it_ran").exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "word",
    [
        "+hydra.callbacks.evil._target_=evil.Evil",
        "hydra/launcher=basic",
        "+hydra.job_logging.handlers.evil.()=evil.Evil",
        "hydra.searchpath=[pkg://evil]",
        "hydra.job.env_set.PATH=/",
    ],
)
def test_a_command_line_names_no_code_to_run(word: str) -> None:
    (told,) = mistakes(*QUICK, "budget.steps=1", word)
    assert word in told
    assert "not taken" in told or "not of the form" in told


def test_where_a_sweep_is_written_may_be_set() -> None:
    assert mistakes(*QUICK, "budget.steps=1", "hydra.sweep.dir=sweeps") == []


@pytest.mark.parametrize(
    "option", ["--config-path=own", "--config-name=evil", "--experimental-rerun=job.pickle"]
)
def test_another_configuration_than_the_commands_is_not_read(option: str, tmp_path: Path) -> None:
    ended = command("bertinchamps.pretrain", *QUICK, "budget.steps=1", option, cwd=tmp_path)
    assert ended.returncode == 2
    assert f"{option}: not taken" in ended.stderr


def test_options_may_stand_between_settings(tmp_path: Path) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 7\n")
    words = [*QUICK, "--config-dir", "own", "budget.steps=1", "--cfg", "job", "experiment=mine"]
    ended = command("bertinchamps.pretrain", *words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "seed: 7" in ended.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["budget=10"], "budget=10: of what? Give a length of time, such as +budget=10m or +budget=10h"),
        (["+budget=10"], "+budget=10: a length of time is a number and s, m, h or d, such as +budget=5m"),
        (["budget.hours=1,5"], "add --multirun, or budget.hours=1.5 if a decimal number is meant"),
        (["arch=tiny,small"], "arch=tiny,small: several values are several jobs: add --multirun"),
        (["--data", "demo"], "--data: no such option; settings are written key=value, such as data=demo"),
        (["--learning-rate=1e-3"], "--learning-rate=1e-3: no such option; settings are written key=value, such as "
                                   "learning_rate=1e-3"),
        (["runtime.precision=fp16", "runtime.device=cpu", "budget.steps=1"], "runtime.precision=fp16: it is for GPUs"),
    ],
)  # fmt: skip
def test_a_newcomers_mistakes_are_answered(words: list[str], told: str, tmp_path: Path) -> None:
    ended = command("bertinchamps.pretrain", "data=demo", *words, cwd=tmp_path)
    assert ended.returncode == 2
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("word", "hours", "recipe"),
    [
        ("+budget=5m", 5 / 60, 32),
        ("+budget=90s", 0.025, 32),
        ("+budget=2d", 48.0, 4096),
        ("+budget=1.5h", 1.5, 4096),
    ],
)
def test_a_budget_of_any_length_brings_the_recipe_of_such_budgets(
    word: str, hours: float, recipe: int
) -> None:
    from support import composed

    config = composed(*readable(["data=demo", word], "pretrain"))
    assert config.budget.hours == pytest.approx(hours)
    assert config.batch.size == recipe
    assert readable(["+budget=10m"], "pretrain") == ["+budget=10m"]  # a preset stays one


@pytest.mark.parametrize(
    ("name", "recipes"),
    [("pretrain", "experiment   continue, day, "), ("finetune", "recipe       entities, ")],
)
def test_help_names_the_recipes(name: str, recipes: str) -> None:
    assert f"  {recipes}" in help_text(name, [])
    assert "recipe" not in help_text("study", [])


def test_help_shows_the_keys_of_the_choice_that_is_made(tmp_path: Path) -> None:
    help_of = {
        words: command("bertinchamps.finetune", "--help", *words.split(), cwd=tmp_path).stdout
        for words in ("", "task=classification", "task=quaero_emea optim=muon")
    }
    assert "those of a choice are shown by task=CHOICE --help" in help_of[""]
    assert (
        "task.separator                     between the classes of a multi-label cell"
        in help_of["task=classification"]
    )
    assert "task.corpus                        or MEDLINE [EMEA]" in help_of["task=quaero_emea optim=muon"]
    assert "optim.matrix_learning_rate" in help_of["task=quaero_emea optim=muon"]
    assert "optim.matrix_learning_rate" not in help_of["task=classification"]
    pretrain = command("bertinchamps.pretrain", "--help", "data=files", cwd=tmp_path).stdout
    for said in (
        "data.held_out_files",
        "schedule.falloff",
        "{name: length, least: 0, most: None}",
        "+budget=5m",
    ):
        assert said in pretrain


def test_every_key_that_help_shows_is_one(tmp_path: Path) -> None:
    """The lines of every choice, read from its yaml, are keys of the composed configuration."""
    from omegaconf import OmegaConf

    from bertinchamps.command_line.keys import keys_of_yaml, open_groups
    from bertinchamps.composing import config_dir
    from bertinchamps.schemas import COMMANDS

    shown = 0
    for group in {group for name in COMMANDS for group in open_groups(name)}:
        for file in (config_dir() / group).glob("*.yaml"):
            node = OmegaConf.load(file)
            own = node[group] if "@package _global_" in file.read_text(encoding="utf-8") else node
            keys = {
                key.name.removeprefix(f"{group}.")
                for key in keys_of_yaml(file.read_text(encoding="utf-8"), group)
            }
            assert keys == {str(key) for key in own} - {"name", "defaults"}, file
            shown += len(keys)
    assert shown > 50


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--help"], 0, "pretrain   documents"),
        ([], 0, "Usage: bertinchamps COMMAND"),
        (["--version"], 0, "bertinchamps"),
        (["pretrian"], 2, "no such command: pretrian; did you mean 'pretrain'?"),
    ],
)
def test_the_console_script_answers(words: list[str], code: int, told: str, tmp_path: Path) -> None:
    ended = command("bertinchamps", *words, cwd=tmp_path)
    assert ended.returncode == code
    assert told in ended.stdout + ended.stderr


@pytest.mark.parametrize("listener", ["2>&-", "2>/dev/full"])
def test_a_mistake_is_status_2_where_nobody_listens(listener: str, tmp_path: Path) -> None:
    words = f"{sys.executable} -m bertinchamps.report output.x=1 {listener}"
    result = subprocess.run(["bash", "-c", words], cwd=tmp_path, capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (2, b"")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: …"
        ),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_memory_that_does_not_suffice_is_told_with_what_to_lower(error: Exception) -> None:
    def work() -> float:
        raise error

    with pytest.raises(OutOfMemory, match=r"out of memory.*: lower batch\.micro_batch.* max_length") as told:
        within_memory("finetune", work)
    assert told.value.__cause__ is told.value.__context__ is None  # whose frames would hold the memory
    keys = {key for name in COMMANDS for key in command_keys(name)}
    for remedy in REMEDIES.values():
        assert set(re.findall(r"[a-z_]+\.[a-z_]+|max_length|runs_dir|batch\b(?!\.)", remedy)) <= keys, remedy


def command_keys(name: str) -> set[str]:
    """The keys of a command, and those of its groups."""
    return set(_flat_keys(compose(name, ["task=ner"] if name == "finetune" else [])))


def test_a_command_that_runs_out_of_memory_leaves_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["report", f"runs_dir={tmp_path}", f"output={tmp_path}"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(SystemExit) as left:
        run("report", f"{__name__}:need_too_much")
    assert left.value.code == 2
    assert capsys.readouterr().err == (
        "bertinchamps report: error\n  - out of memory: gather fewer runs: runs_dir=FOLDER\n"
    )


@pytest.mark.parametrize(
    "words", ["bertinchamps --help", "bertinchamps --version", "bertinchamps.report --help"]
)
def test_help_that_nobody_can_read_ends_without_a_traceback(words: str, tmp_path: Path) -> None:
    for place, code in ((">/dev/full", 2), ("| true", 128 + signal.SIGPIPE)):
        pause = "sleep 0.2; " if place == "| true" else ""
        line = f"{{ {pause}{sys.executable} -m {words}; echo status $? >&2; }} {place}"
        ended = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert f"status {code}" in ended.stderr, place
        assert "Traceback" not in ended.stderr


def test_a_file_that_is_refused_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["report", f"runs_dir={tmp_path}", f"output={tmp_path}"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(SystemExit) as left:
        run("report", f"{__name__}:be_refused")
    assert left.value.code == 2
    assert capsys.readouterr().err == (
        "bertinchamps report: error\n  - model/model.safetensors: cannot be read or written (Permission denied)\n"
    )


def test_a_report_where_nothing_can_be_written_is_refused(tmp_path: Path) -> None:
    words = [f"runs_dir={tmp_path}", "output=/proc/report"]
    (told,) = reporting_problems(configuration("report", words))
    assert told.startswith("output=/proc/report: cannot be written there (")


@pytest.fixture
def every_signal_is_heard() -> Iterator[None]:
    """Tests under nohup ignore SIGHUP, and those in the background of a shell SIGINT."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in TO_END}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("every_signal_is_heard")
@pytest.mark.parametrize("number", TO_END)
def test_a_command_that_a_signal_ends_says_so_and_has_its_status(
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(f"{__name__}.SIGNALS", [number])
    before = [signal.getsignal(each) for each in TO_END]
    for name, words, way in (
        ("report", [f"runs_dir={tmp_path}", f"output={tmp_path}"], "the same command begins again"),
        ("prepare", ["data=demo"], "the same command goes on with what is done"),
    ):
        monkeypatch.setattr(sys, "argv", [name, *words])
        with pytest.raises(SystemExit) as left:
            run(name, f"{__name__}:be_interrupted")
        assert left.value.code == 128 + number
        assert capsys.readouterr().err == f"\nbertinchamps {name}: stopped by {number.name}; {way}\n"
    assert [signal.getsignal(each) for each in TO_END] == before

"""Every shipped yaml composes and starts; the two recipes of the paper hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import torch
from hydra.errors import HydraException
from omegaconf import OmegaConf

from bertinchamps.checks.pretraining import remarks
from bertinchamps.composing import compose, config_dir, with_settings
from bertinchamps.schemas import ArchConfig
from bertinchamps.training.schedules import micro_batches, schedules
from support import composed, losses

SWITCHED_ON = {"experiment", "ablation", "budget"}
FILES = sorted(
    f"{file.parent.name}/{file.stem}"
    for file in config_dir().glob("*/*.yaml")
    if file.parent.name
    not in (
        *(
            "adapter",
            "cluster",
            "data",
            "deidentify",
            "exporting",
            "loss",
            "privacy",
            "recipe",
            "target",
            "task",
        ),
    )
    and file.stem != "distillation"  # which needs a teacher: objectives/test_teachers.py
    and file.parts[-2:] != ("sparsity", "keep.yaml")  # of finetune
)


@pytest.mark.parametrize("file", FILES)
def test_every_yaml_starts(file: str, quick_run: Callable[..., Path]) -> None:
    group, name = file.split("/")
    if file == "tracker/mlflow":
        pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'bertinchamps[mlflow]'")
    choice = f"{'+' if group in ('ablation', 'budget') else ''}{group}={name}"
    shrunk = ["arch.num_hidden_layers=1", "arch.hidden_size=32", "arch.num_attention_heads=2"]
    shrunk += ["arch.intermediate_size=64"]
    if group == "runtime":
        shrunk += ["runtime.compile=off"]  # starting is what is tested; compiling has its own test
    run = quick_run(choice, "budget.steps=1", *shrunk)
    assert (run / "model" / "model.safetensors").exists()


@pytest.mark.parametrize("name", sorted(file.stem for file in (config_dir() / "data").glob("*.yaml")))
def test_every_source_composes_and_its_settings_are_right(name: str) -> None:
    from bertinchamps.checks.pretraining import problems

    given = ["data.folder=missing"] if name == "prepared" else []
    found = problems(composed(f"data={name}", *given, "+budget=24h"))
    assert len(found) == len(given)  # the folder of an exported corpus is missing
    assert all(problem.startswith("data.folder=missing") for problem in found)


@pytest.mark.parametrize(("name", "given"), [("local", []), ("slurm", ["cluster.partition=cpu"])])
def test_every_cluster_composes_and_its_settings_are_right(name: str, given: list[str]) -> None:
    from bertinchamps.checks.preparation import problems

    config = composed("data=demo", f"+cluster={name}", *given, command="prepare")
    assert problems(config) == []
    files = {file.stem for file in (config_dir() / "cluster").glob("*.yaml")}
    assert files == {"local", "slurm"}


@pytest.mark.parametrize("name", sorted(file.stem for file in (config_dir() / "task").glob("*.yaml")))
def test_every_task_composes_and_only_its_files_are_missing(name: str, tmp_path: Path) -> None:
    from bertinchamps.checks.finetuning import problems

    given = ["task.train=missing.jsonl"] if name in ("ner", "classification", "relations") else []
    given += ["task.templates=missing.txt"] if name == "deidentification" else []
    settings = ["model=scratch", f"runs_dir={tmp_path}", *given]
    found = problems(composed(f"task={name}", *settings, command="finetune"))
    assert all("task." in problem for problem in found), found
    assert len(found) == (0 if name == "demo" else 1)


@pytest.mark.parametrize("name", sorted(file.stem for file in (config_dir() / "loss").glob("*.yaml")))
def test_every_loss_composes_and_its_settings_are_right(name: str) -> None:
    from bertinchamps.tasks.texts.losses import losses

    settings = composed("task=demo", f"loss={name}", command="finetune").loss
    assert losses.problems(**{"name": settings.pop("name"), "arguments": settings}) == []


@pytest.mark.parametrize("name", sorted(file.stem for file in (config_dir() / "format").glob("*.yaml")))
def test_every_format_composes_and_its_settings_are_right(name: str) -> None:
    from bertinchamps.exporting import exporters

    settings = composed(f"format={name}", command="export").format
    assert exporters.problems(**{"name": settings.pop("name"), "arguments": settings}) == []


@pytest.mark.parametrize("corpus", ["emea", "medline", "both"])
def test_quaero_has_what_scored_best_and_the_papers_recipe_beside_it(corpus: str) -> None:
    words = f"task=quaero_{corpus}"
    best, paper = (composed(words, *more, command="finetune") for more in ([], ["recipe=entities_paper"]))
    assert (best.head, best.optim["learning_rate"]) == ("nested", None)
    assert (paper.head, paper.optim["learning_rate"], paper.task) == ("flat", 1e-4, best.task)
    assert composed(words, "head=flat", "budget.epochs=3", command="finetune").head == "flat"


def test_a_recipe_decides_over_epochs_and_selection_of_the_users_own_entities() -> None:
    words = ["task=ner", "task.train=a.jsonl"]
    plain, taught = (composed(*words, *more, command="finetune") for more in ([], ["recipe=self_training"]))
    assert (plain.budget.epochs, plain.selection.every_epochs, plain.selection.patience) == (100, 1, 15)
    assert (taught.budget.epochs, taught.selection.every_epochs, taught.selection.patience) == (4, 0.5, None)
    both = composed("task=quaero_both", "recipe=self_training", command="finetune")
    assert (both.budget, both.selection, both.distillation) == (
        taught.budget,
        taught.selection,
        taught.distillation,
    )


def test_an_own_teacher_learns_as_a_run_on_both_corpora_does() -> None:
    teacher = composed("task=quaero_both", command="finetune")
    student = composed("task=quaero_both", "recipe=self_training", command="finetune")
    assert student.distillation.teacher_epochs == teacher.budget.epochs == 16
    for settings in (teacher, student):
        assert (settings.head, settings.mask_rate, settings.selection.thresholds) == ("nested", 0.0, "fixed")
        assert settings.selection.patience is None


def test_a_short_budget_has_a_small_vocabulary_unless_another_is_named() -> None:
    assert composed("+budget=10m").tokenizer.vocab_size == 8192
    assert composed("+budget=10m", "tokenizer=paper").tokenizer.vocab_size == 32768
    assert composed("+budget=10m", "tokenizer.vocab_size=500").tokenizer.vocab_size == 500


def test_short_budgets_are_told_what_suits_them() -> None:
    def told(*words: str) -> str:
        return " ".join(remarks(composed("data=demo", "runtime.device=cpu", *words)))

    assert "arch=small" in told("+budget=10m")
    assert "arch=small" in told("+budget=10m", "arch=modern")
    assert told("+budget=10m", "arch=small") == told("+budget=24h") == ""
    assert "experiment=short" in told("+budget=10m", "experiment=paper", "arch=small")


def test_the_tasks_have_the_papers_settings() -> None:
    quaero = composed("task=quaero_emea", "recipe=entities_paper", command="finetune")
    assert quaero.optim == {
        "name": "adamw", "learning_rate": 1e-4, "weight_decay": 0.01, "betas": [0.9, 0.999], "epsilon": 1e-8,
    }  # fmt: skip
    assert quaero.schedule == {"name": "slanted_triangular", "base": 0.25, "falloff": 0.25}
    assert (quaero.budget.epochs, quaero.batch.size, quaero.batch.evaluation) == (100, 8, 8)
    assert quaero.selection.patience is not None
    for name, epochs in (("cls", 10), ("pawsx", 10), ("xnli", 5)):
        flue = composed(f"task={name}", command="finetune")
        assert (flue.optim["betas"], flue.optim["epsilon"], flue.optim["learning_rate"]) == (
            [0.9, 0.98],
            1e-6,
            4e-5,
        )
        assert flue.schedule == {"name": "cosine", "warmup": 0.0}
        assert (flue.budget.epochs, flue.batch.size, flue.batch.evaluation) == (epochs, 16, 128)


@pytest.mark.parametrize("name", sorted(file.stem for file in (config_dir() / "ablation").glob("*.yaml")))
def test_every_ablation_is_a_few_lines_and_changes_the_papers_run(name: str) -> None:
    assert len((config_dir() / "ablation" / f"{name}.yaml").read_text().splitlines()) <= 10
    assert composed("+budget=24h", f"+ablation={name}") != composed("+budget=24h")


def test_the_default_of_a_day_is_the_papers_recipe() -> None:
    config = composed("+budget=24h")
    assert config == composed("+budget=24h", "experiment=paper")
    assert config.budget.hours == 24
    assert config.data["repository"] == "oscar-corpus/OSCAR-2301"
    assert config.tokenizer.vocab_size == 32768
    assert config.tokenizer.normalizer == "french"
    assert config.blocks.sequence_length == 128
    assert config.objective == {"name": "mlm", "mask_rate": 0.15, "whole_word": False}
    assert config.optim == {
        "name": "adamw",
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "betas": [0.9, 0.98],
        "epsilon": 1e-12,
    }
    assert config.gradient_clipping == 0.5
    assert config.schedule == {"name": "slanted_triangular", "base": 0.25, "falloff": 0.25}
    assert asdict(config.batch) == {"micro_batch": 128, "size": 4096, "ramp": 1.0}
    assert [micro_batches(config.batch, p) for p in (0, 0.25, 0.5, 0.75, 1)] == [1, 8, 16, 24, 32]
    assert schedules.build(**config.schedule)(0.75) == 1.0
    assert config.arch.dropout == 0.0


def test_the_papers_code_differs_where_it_did() -> None:
    config = composed("+budget=24h", "experiment=paper_code")
    assert asdict(config.batch) == {"micro_batch": 128, "size": 8192, "ramp": 0.6}
    assert [micro_batches(config.batch, p) for p in (0.3, 0.6, 1)] == [32, 64, 64]
    assert config.objective["mask_rate"] == 0.25
    assert config.tokenizer.normalizer == "paper"
    paper = composed("+budget=24h")
    assert (config.arch, config.optim, config.schedule) == (paper.arch, paper.optim, paper.schedule)


def test_crammed_is_the_papers_architecture() -> None:
    arch = composed("+budget=24h").arch
    expected = ArchConfig(
        hidden_size=768, num_hidden_layers=16, num_attention_heads=12, intermediate_size=3072,
        feed_forward="glu", activation="gelu", norm="layernorm", norm_position="pre", norm_epsilon=1e-12,
        norm_bias=True, attention_bias=False, feed_forward_bias=False, decoder_bias=False,
        embedding_norm=True, final_norm=True, first_attention_norm=True, positions="scaled_sinusoidal",
        head_transform=False, query_key_norm=False, dropout=0.0, init="normal", initializer_range=0.02,
        tie_word_embeddings=True,
    )  # fmt: skip
    assert arch == expected


@pytest.mark.parametrize(
    ("budget", "experiment"), [("1m", "short"), ("30m", "short"), ("1h", "paper"), ("24h", "paper")]
)
def test_a_budget_under_an_hour_brings_the_short_recipe_unless_told_otherwise(
    budget: str, experiment: str
) -> None:
    assert composed(f"+budget={budget}").batch == composed(f"experiment={experiment}", "+budget=1h").batch
    assert composed(f"+budget={budget}", "experiment=paper_code").batch.size == 8192


def test_the_command_line_wins_over_presets() -> None:
    config = composed(
        "+budget=10m", "budget.hours=3", "arch=small", "optim=adamw", "batch.size=128", "+ablation=no_glu"
    )
    assert (config.budget.hours, config.arch.num_hidden_layers, config.optim["name"]) == (3, 4, "adamw")
    assert (config.batch.size, config.arch.feed_forward) == (128, "mlp")


def test_the_schema_and_the_model_agree_on_what_an_architecture_is() -> None:
    from bertinchamps.model.architecture import ARCHITECTURE_FIELDS, NODE_ONLY_FIELDS

    assert {knob.name for knob in fields(ArchConfig)} == {*ARCHITECTURE_FIELDS, *NODE_ONLY_FIELDS}


def test_every_knob_is_documented_where_it_is_declared() -> None:
    from bertinchamps.command_line.help import help_text

    declared = help_text("pretrain").partition("Single settings")[2].partition("Settings of ")[0]
    keys = [line for line in declared.splitlines() if line.startswith("    ")]
    assert len(keys) > 60
    assert all(len(line.split()) > 2 for line in keys)


def test_activation_checkpointing_gives_the_same_losses(quick_run: Callable[..., Path]) -> None:
    plain = losses(quick_run("budget.steps=3", name="plain"))
    saving = losses(quick_run("budget.steps=3", "runtime.activation_checkpointing=true", name="saving"))
    assert saving == pytest.approx(plain, rel=1e-6)


def test_compiled_and_eager_losses_agree(quick_run: Callable[..., Path]) -> None:
    from bertinchamps.training.device import can_compile

    if not can_compile(torch.device("cpu")):
        pytest.skip("no C++ compiler, which torch.compile needs on a CPU")
    eager = losses(quick_run("budget.steps=4", name="eager"))
    compiled = losses(quick_run("budget.steps=4", "runtime.compile=on", name="compiled"))
    assert compiled == pytest.approx(eager, rel=1e-4)


def test_the_default_runtime_gives_one_result_for_one_seed(quick_run: Callable[..., Path]) -> None:
    """Compiled code adds gradients of the embedding in parallel, in whatever order, unless told not to."""
    default = ["runtime=auto", "runtime.threads=2", "batch.micro_batch=64", "batch.size=64", "budget.steps=8"]
    first = losses(quick_run(*default, "objective.mask_rate=0.4", name="first"))
    assert losses(quick_run(*default, "objective.mask_rate=0.4", name="second")) == first


@pytest.mark.parametrize("name", sorted(file.stem for file in (config_dir() / "deidentify").glob("*.yaml")))
def test_every_way_to_deidentify_composes_and_its_settings_are_right(name: str) -> None:
    from bertinchamps.checks.prediction import problems

    (missing,) = problems(composed(f"deidentify={name}", "model=missing", command="predict"))
    assert missing.startswith("model=missing")


@pytest.mark.parametrize("name", sorted(file.stem for file in (config_dir() / "exporting").glob("*.yaml")))
def test_every_format_of_export_composes_under_the_key_format(name: str) -> None:
    from bertinchamps.command_line.mistakes import mistakes

    assert composed(f"format={name}", command="export").format["name"] == name
    assert mistakes("export", [f"exporting={name}x"])[0].startswith(
        f"format={name}x: no such choice; did you mean"
    )


def test_format_is_a_plain_key_of_other_commands() -> None:
    for name in ("predict", "suggest"):
        assert composed("format=csv", "input=notes", command=name).format == "csv"


@pytest.mark.parametrize(
    ("command", "groups", "settings"),
    [
        ("pretrain", "+budget=10m data=demo arch=small", "batch.size=8 arch.norm=rmsnorm run_dir=a"),
        ("pretrain", "data=demo", "~data.documents budget.hours=null cleaning=[{name:unicode}] +data.more=3"),
        ("finetune", "task=quaero_emea adapter=lora", "task.path='a' optim.learning_rate=1e-3 head=nested"),
        ("export", "format=onnx", "format.int8=true model=runs/a"),
        ("predict", "deidentify=tags", "format=csv deidentify.labels=[NOM,TEL]"),
    ],
)
def test_settings_change_a_tree_as_if_they_had_been_composed(
    command: str, groups: str, settings: str
) -> None:
    tree = compose(command, groups.split())
    before = OmegaConf.to_container(tree)
    expected = OmegaConf.to_container(compose(command, [*groups.split(), *settings.split()]))
    assert OmegaConf.to_container(with_settings(tree, settings.split())) == expected != before
    assert OmegaConf.to_container(tree) == before


@pytest.mark.parametrize("setting", ["batch.sise=8", "batch.size=many", "+batch.size=[8"])
def test_a_setting_that_is_wrong_is_refused_as_if_it_had_been_composed(setting: str) -> None:
    with pytest.raises(HydraException) as composing:
        compose("pretrain", ["data=demo", setting])
    with pytest.raises(type(composing.value)) as changing:
        with_settings(compose("pretrain", ["data=demo"]), [setting])
    assert str(changing.value) == str(composing.value)

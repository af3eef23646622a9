"""Fine-tuning with differential privacy, from the command line's settings to a model and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bertinchamps.checks.compressing import problems as compress_problems
from bertinchamps.checks.finetuning import problems
from bertinchamps.composing import config_dir
from bertinchamps.compress import compress
from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.export import export
from bertinchamps.finetune import finetune
from bertinchamps.merge import merge
from bertinchamps.tasks.formats import brat
from bertinchamps.training.privacy import accounting
from bertinchamps.training.privacy.guarantee import in_words
from bertinchamps.training.privacy.private_run import STATE
from support import before_update, composed, fail, metrics
from test_finetune import QUICK
from tiny_corpora import brat_corpus, documents, opinions
from tiny_encoders import make_encoder

UNREPORTED = ["report.html=false", "report.intervals=0"]
PRIVATE = [
    "privacy=dp_sgd",
    "privacy.accountant=rdp",
    "batch.micro_batch=4",
    "batch.size=4",
    "budget.epochs=2",
]
REPEATED = ["privacy.noise_seed=5", "optim.learning_rate=1e-3"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder, a corpus and texts with classes."""
    folder = tmp_path_factory.mktemp("private")
    make_encoder("bert", folder / "encoder")
    brat_corpus(folder / "corpus")
    for document in documents(10):  # of several windows each
        brat.write_document(folder / "corpus" / "train", twice(document))
    for split, count in (("train", 40), ("dev", 12)):
        opinions(folder / f"{split}.jsonl", count)
    return folder


def twice(document: AnnotatedText) -> AnnotatedText:
    """A document whose text stands there twice, on two lines."""
    behind = len(document.text) + 1
    moved = [
        Entity(label, tuple((start + behind, end + behind) for start, end in fragments))
        for label, fragments in document.entities
    ]
    return document._replace(
        text=f"{document.text}\n{document.text}", entities=tuple(sorted([*document.entities, *moved]))
    )


def settings(
    place: Path, *words: str, task: str = "classification", private: Sequence[str] = tuple(PRIVATE)
) -> Any:
    splits = (
        [f"task.{split}={place / 'corpus' / split}" for split in ("train", "dev", "test")]
        if task == "ner"
        else [f"task.{split}={place / split}.jsonl" for split in ("train", "dev")]
    )
    return composed(
        f"task={task}", *splits, *QUICK, f"model={place / 'encoder'}", *private, *words, command="finetune"
    )


@pytest.fixture(scope="module")
def run(place: Path) -> Callable[..., tuple[Path, dict[str, Any]]]:
    def finetuned(name: str, *words: str, task: str = "classification") -> tuple[Path, dict[str, Any]]:
        config = settings(place, *words, f"run_dir={place / name}", task=task)
        assert problems(config) == []
        folder = finetune(config)
        return folder, json.loads((folder / "results.json").read_text(encoding="utf-8"))

    return finetuned


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def test_the_guarantee_is_kept_and_told_everywhere(run: Any, place: Path, capsys: Any) -> None:
    from bertinchamps.reporting.html.page import write_run_page

    folder, results = run("told")
    printed = capsys.readouterr().err
    facts = results["privacy"]
    assert 7.9 < facts["epsilon_spent"] <= facts["epsilon"] == 8.0
    assert facts["delta"] == pytest.approx(0.1 / 40)
    assert (facts["record"], facts["records"], facts["sampling_rate"]) == ("text", 40, 0.1)
    assert facts["updates"] == facts["updates_planned"] == results["cost"]["steps"] == 20
    assert (facts["accountant"], facts["secret_noise"], facts["clip"]) == ("rdp", True, 1.0)
    assert facts["library"].startswith("opacus ")
    assert json.loads((folder / "model" / "privacy.json").read_text(encoding="utf-8")) == facts
    assert "privacy    ε = 8, δ = 0.0025 for each text of train, after 20 updates" in printed
    assert "It does not cover" in printed
    assert f"privacy    {in_words(facts)}" in printed
    write_run_page(folder, lambda *lines: None, False)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "differential privacy" in page
    assert in_words(facts) in page
    export(composed(f"model={folder}", f"output={place / 'exported'}", command="export"))
    card = (place / "exported" / "README.md").read_text(encoding="utf-8")
    assert f"## Differential privacy\n\n- {in_words(facts)}." in card
    assert f"- {facts['not_protected']}" in card
    sizes = {record["sequences"] for record in metrics(folder)}
    assert len(sizes) > 2  # drawn, not dealt
    assert all(
        torch.equal(tensor, load_file(place / "encoder" / "model.safetensors")[name])
        for name, tensor in weights(folder).items()
        if ".embeddings." in name
    )


def test_a_smaller_model_keeps_the_guarantee_since_nothing_of_train_decides_it(run: Any, place: Path) -> None:
    folder, results = run("large")
    words = [
        "runtime=eager", "runtime.threads=1", "runtime.precision=fp32", "measure.repeats=0", f"model={folder}",
        f"texts=[{place / 'dev.jsonl'}]",
    ]  # fmt: skip
    chain = ["steps=[{name: trim},{name: prune, feed_forward: 0.5, layers: 1, examples: 8}]"]
    small = []
    other = opinions(place / "other.jsonl", 9)
    for name, others in (("same", []), ("others", [f"+examples.train={other}"])):
        config = composed(*words, *chain, *others, f"output={place / name}", command="compress")
        assert compress_problems(config) == []
        compress(config)
        small.append(place / name)
    first, second = (load_file(each / "model.safetensors") for each in small)
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert json.loads((small[0] / "privacy.json").read_text(encoding="utf-8")) == results["privacy"]
    card = (small[0] / "README.md").read_text(encoding="utf-8")
    assert in_words(results["privacy"]) in card
    assert "examples of dev" in card
    again = ["steps=[{name: recover}]", f"output={place / 'again'}"]
    (found,) = compress_problems(composed(*words, *again, command="compress"))
    assert found.startswith("steps: recover trains on the records of train again, which the model protects")


def test_an_adapter_that_is_merged_keeps_the_guarantee(run: Any, place: Path) -> None:
    folder, results = run("lora", "adapter=lora")
    merge(composed(f"model={folder}", f"output={place / 'merged'}", command="merge"))
    assert json.loads((place / "merged" / "privacy.json").read_text(encoding="utf-8")) == results["privacy"]


def test_the_secret_is_in_checkpoints_alone(run: Any) -> None:
    folder, _ = run("secret", "checkpoint.every_steps=20", "budget.epochs=3")
    (state,) = folder.rglob(f"checkpoints/*/resume/{STATE}")
    secret = json.loads(state.read_text(encoding="utf-8"))["secret"]
    assert len(bytes.fromhex(secret)) == 32
    holders = [file for file in folder.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]
    assert holders == [state]
    assert state.stat().st_mode & 0o077 == 0


def test_one_seed_gives_two_models_unless_the_noise_has_a_seed_of_its_own(run: Any) -> None:
    first, second = (weights(run(f"drawn-{n}", "seed=7", "budget.steps=2")[0]) for n in range(2))
    assert any(not torch.equal(first[name], second[name]) for name in first)
    folder, results = run("public-0", "seed=7", "budget.steps=2", *REPEATED)
    third, fourth = weights(folder), weights(run("public-1", "seed=7", "budget.steps=2", *REPEATED)[0])
    assert all(torch.equal(third[name], fourth[name]) for name in third)
    assert results["privacy"]["secret_noise"] is False
    assert "nothing is protected" in in_words(results["privacy"])


@pytest.mark.parametrize("gradients", ["together", "apart"])
def test_a_run_that_breaks_off_goes_on_to_the_same_result(gradients: str, run: Any, place: Path) -> None:
    words = [
        f"privacy.gradients={gradients}",
        "checkpoint.every_steps=1",
        "budget.steps=8",
        "dropout=0.1",
        *REPEATED,
    ]
    whole, _ = run(f"whole-{gradients}", *words)
    broken = place / f"broken-{gradients}"
    with before_update(5, fail), pytest.raises(UserError, match="here"):
        finetune(settings(place, *words, f"run_dir={broken}"))
    finetune(settings(place, *words, f"run_dir={broken}", f"resume={broken}"))
    for file in ("model.safetensors", "privacy.json"):
        assert (whole / "model" / file).read_bytes() == (broken / "model" / file).read_bytes()
    records = [[record["loss"] for record in metrics(folder)] for folder in (whole, broken)]
    assert records[0] == records[1]


def test_a_resumed_run_takes_the_secret_and_the_noise_of_its_checkpoint(place: Path) -> None:
    words = ["checkpoint.every_steps=2", "budget.steps=4", f"run_dir={place / 'kept'}"]
    with before_update(2, fail), pytest.raises(UserError, match="here"):
        finetune(settings(place, *words))
    before = next((place / "kept").rglob(f"step-00000002/resume/{STATE}")).read_text(encoding="utf-8")
    finetune(settings(place, *words, f"resume={place / 'kept'}"))
    after = next((place / "kept").rglob(f"step-00000004/resume/{STATE}")).read_text(encoding="utf-8")
    assert before == after


def test_the_nested_head_has_parts_that_hooks_do_not_know_and_is_trained_apart(run: Any, capsys: Any) -> None:
    _, results = run("nested", "head=nested", "mask_rate=0.15", "budget.steps=3", task="ner")
    assert "one by one: Opacus' hooks do not know SpanScorer, which has parts" in capsys.readouterr().err
    assert results["privacy"]["epsilon_spent"] <= 8


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_a_document_with_all_its_windows_is_one_record(adapter: str, run: Any) -> None:
    words = [*REPEATED, "dropout=0", "mask_rate=0", f"adapter={adapter}", "budget.steps=4"]
    if adapter == "lora":
        words.append("adapter.dropout=0")
    runs = [
        run(f"{adapter}-{gradients}", f"privacy.gradients={gradients}", *words, task="ner")
        for gradients in ("together", "apart")
    ]
    facts = runs[0][1]["privacy"]
    assert (facts["record"], facts["records"]) == ("document", 10)
    assert runs[0][1]["data"]["train"]["windows"] > 10
    file = "model.safetensors" if adapter == "none" else "adapter_model.safetensors"
    one, other = (load_file(folder / "model" / file) for folder, _ in runs)
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=2e-4, rtol=1e-2)


def test_an_adapter_that_hooks_do_not_see_is_refused_together_and_trained_apart(
    run: Any, place: Path, capsys: Any
) -> None:
    words = ["adapter=ia3", "budget.steps=2"]
    with pytest.raises(UserError, match=r"set privacy\.gradients=auto or apart"):
        finetune(settings(place, *words, "privacy.gradients=together", f"run_dir={place / 'scaled'}"))
    capsys.readouterr()
    run("scaled-apart", *words)
    assert "note       records go through the model one by one: Opacus' hooks" in capsys.readouterr().err


def test_without_noise_there_is_no_guarantee_and_the_classes_are_learnt(run: Any) -> None:
    _, results = run(
        "clipped", "privacy.epsilon=null", "budget.epochs=12", "optim.learning_rate=3e-3", "dropout=0"
    )
    facts = results["privacy"]
    assert (facts["epsilon_spent"], facts["noise_multiplier"]) == (None, 0.0)
    assert in_words(facts).startswith("no privacy")
    assert results["scores"]["dev"]["classes"]["accuracy"] > 0.9


def test_settings_that_do_not_go_with_privacy_are_told_at_once(place: Path, monkeypatch: Any) -> None:
    words = [
        "model=scratch", "batch.ramp=0.5", "selection.folds=3", "few_shot.examples=4", "loss=balanced",
        f"distillation.teachers=[{place / 'encoder'}]", "sparsity=keep", "long_texts.read=windows",
        "runtime.activation_checkpointing=true", "budget.epochs=null", "budget.hours=1",
    ]  # fmt: skip
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    found = "\n".join(problems(settings(place, *words)))
    for told in (
        "model=scratch: privacy=dp_sgd protects no tokenizer", "budget=hours, tokens or FLOPs alone",
        "batch.ramp=0.5", "selection.folds=3", "few_shot.examples=4", "distillation.teachers=", "sparsity=keep: not",
        "loss=balanced: it weighs classes by their counts", "long_texts.read=windows: windows of several texts",
        "runtime.activation_checkpointing=true", "processes=2",
    ):  # fmt: skip
        assert told in found
    monkeypatch.undo()
    assert problems(settings(place)) == []
    regression = problems(settings(place, "task.target=number"))
    assert any("not for this task: the numbers are standardised" in problem for problem in regression)


def test_examples_that_cannot_be_protected_are_refused_before_a_directory_is_made(place: Path) -> None:
    config = settings(
        place, "task.dev=null", "batch.size=40", "privacy.delta=0.5", f"run_dir={place / 'none'}"
    )
    with pytest.raises(UserError) as error:
        finetune(config)
    for told in ("dev is carved from train", "batch.size=40", "privacy.delta=0.5: must be below 1 / "):
        assert told in str(error.value)
    assert not (place / "none").exists()


def test_a_missing_library_is_told_with_the_extra(place: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(accounting, "find_spec", lambda name: None)
    assert any("pip install 'bertinchamps[privacy]'" in problem for problem in problems(settings(place)))
    assert not any("opacus" in problem for problem in problems(settings(place, private=())))


@pytest.mark.parametrize("name", sorted(file.stem for file in (config_dir() / "privacy").glob("*.yaml")))
def test_every_privacy_composes_and_its_settings_are_right(name: str, place: Path) -> None:
    assert problems(settings(place, private=[f"privacy={name}"])) == []

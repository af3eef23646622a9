"""From files and an encoder to a model, predictions and scores, through the command's own functions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from bertinchamps.checks.finetuning import problems
from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import Stopped, UserError
from bertinchamps.finetune import finetune
from bertinchamps.pretrain import pretrain
from bertinchamps.tasks.formats import brat, spans_jsonl
from support import QUICK as PRETRAINING
from support import command, composed, metrics
from tiny_corpora import brat_corpus, documents, opinions
from tiny_encoders import FAMILIES, make_encoder

QUICK = ["runtime=eager", "runtime.compile=off", "runtime.threads=1", "max_length=48", "batch.evaluation=16"]
SCRATCH = ["model=scratch", "arch=tiny", "tokenizer.vocab_size=300", "tokenizer.min_frequency=1"]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[Path, dict[str, Any]]]:
    def finetuned(*overrides: str, name: str = "run") -> tuple[Path, dict[str, Any]]:
        config = composed(*QUICK, f"run_dir={tmp_path / name}", *overrides, command="finetune")
        assert problems(config) == []
        folder = finetune(config)
        return folder, json.loads((folder / "results.json").read_text(encoding="utf-8"))

    return finetuned


def by_heart(folder: Path) -> list[str]:
    """Settings of a run whose dev documents are copies of the training ones, long enough to know them."""
    brat_corpus(folder / "corpus")
    shutil.copytree(folder / "corpus" / "train", folder / "corpus" / "copy")
    corpus = [f"task.train={folder / 'corpus/train'}", f"task.dev={folder / 'corpus/copy'}"]
    training = ["budget.epochs=60", "optim.learning_rate=3e-3", "dropout=0", "selection.every_epochs=10"]
    return ["task=ner", *corpus, *SCRATCH, *training]


@pytest.mark.parametrize("head", ["flat", "nested"])
def test_ten_sentences_are_learnt_by_heart(head: str, run: Any, tmp_path: Path) -> None:
    folder, results = run(*by_heart(tmp_path), f"head={head}")
    dev = results["scores"]["dev"]
    gold = documents(10)
    predicted = spans_jsonl.read(folder / "predictions" / "dev.jsonl")
    assert dev["strict"]["f1"] == 1.0
    if head == "nested":
        assert dev["nested_exact"]["f1"] == 1.0
        assert [p.entities for p in predicted] == [g.entities for g in gold]
    else:  # the longest of each nest is found, and the two inside it cannot be
        assert dev["nested_exact"]["f1"] == pytest.approx(2 * 20 / (20 + 40))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", ["flat", "nested"])
def test_encoders_of_other_families_are_finetuned_by_the_same_command(
    family: str, head: str, run: Any, tmp_path: Path
) -> None:
    encoder = make_encoder(family, tmp_path / family)
    folder, results = run(
        *brat_corpus(tmp_path / "corpus"), f"model={encoder}", f"head={head}", "budget.epochs=6",
        "optim.learning_rate=1e-3",
    )  # fmt: skip
    losses = [record["loss"] for record in metrics(folder)]
    assert losses[-1] < losses[0]
    assert set(results["scores"]["test"]) == {"strict", "nested_exact", "paper"}
    assert len(brat.read_folder(folder / "predictions" / "test" / "brat")) == 4


@pytest.mark.parametrize("family", FAMILIES)
def test_encoders_of_other_families_classify(family: str, run: Any, tmp_path: Path) -> None:
    encoder = make_encoder(family, tmp_path / family)
    train = opinions(tmp_path / "train.jsonl")
    _, results = run(
        "task=classification", f"task.train={train}", f"model={encoder}", "budget.epochs=1", "optim.learning_rate=1e-3"
    )  # fmt: skip
    assert set(results["scores"]["dev"]["classes"]["classes"]) == {"bad", "good"}


def test_the_flat_model_opens_in_a_stock_pipeline(run: Any, tmp_path: Path) -> None:
    from transformers import pipeline

    folder, _ = run(*by_heart(tmp_path))
    tag = pipeline("token-classification", model=str(folder / "model"), aggregation_strategy="first")
    document = documents(1)[0]
    ours = spans_jsonl.read(folder / "predictions" / "train.jsonl")[0]
    theirs = [(found["entity_group"], found["start"], found["end"]) for found in tag(document.text)]
    assert sorted(theirs) == [(entity.label, entity.start, entity.end) for entity in ours.entities]
    assert theirs


def test_a_stock_pipeline_does_not_label_with_a_nested_model(run: Any, tmp_path: Path) -> None:
    from transformers import (
        AutoModel,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        pipeline,
    )

    folder, _ = run(*by_heart(tmp_path), "head=nested", "budget.epochs=1")
    for stock in (AutoModelForTokenClassification, AutoModelForSequenceClassification):
        with pytest.raises(ValueError, match=r"nested head.* label with python -m bertinchamps\.predict"):
            stock.from_pretrained(folder / "model")
    with pytest.raises(ValueError, match="nested head"):
        pipeline("token-classification", model=str(folder / "model"))
    assert AutoModel.from_pretrained(folder / "model").config.hidden_size
    corpus = brat_corpus(tmp_path / "corpus")
    run(*corpus, f"model={folder}", "budget.epochs=1", name="flat")  # another head over the same encoder


def test_a_nested_model_over_another_encoder_says_so_in_a_stock_pipeline(run: Any, tmp_path: Path) -> None:
    from transformers import pipeline

    encoder = make_encoder("camembert", tmp_path / "camembert")
    folder, _ = run(*brat_corpus(tmp_path / "corpus"), f"model={encoder}", "head=nested", "budget.epochs=1")
    found = pipeline("token-classification", model=str(folder / "model"))("Le patient tousse.")
    assert {token["entity"] for token in found} == {
        "no class: the model has a nested head, so label with python -m bertinchamps.predict"
    }


def test_several_classes_pairs_and_numbers(run: Any, tmp_path: Path) -> None:
    rows = [
        {
            "text": f"note {n}", "other": f"suite {n % 3}", "codes": ["A"] * (n % 2) + ["B"] * (n % 3 == 0),
            "length": float(n % 5),
        }
        for n in range(40)
    ]  # fmt: skip
    file = tmp_path / "notes.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    shared = ["task=classification", f"task.train={file}", "task.pair=other", *SCRATCH, "budget.epochs=2"]
    shared += ["selection.dev_share=0.4"]
    _, multi = run(*shared, "task.label=codes", "task.target=multi", name="multi")
    assert set(multi["scores"]["dev"]["multi_label"]["classes"]) == {"A", "B"}
    _, number = run(*shared, "task.label=length", "task.target=number", name="number")
    assert number["scores"]["dev"]["regression"]["root_mean_squared_error"] < 10


def test_the_best_on_dev_is_kept_and_test_is_scored_with_it(run: Any, tmp_path: Path) -> None:
    folder, results = run(
        *brat_corpus(tmp_path / "corpus"), *SCRATCH, "budget.epochs=30", "optim.learning_rate=3e-3",
        "selection.patience=2", "schedule=constant",
    )  # fmt: skip
    scores = [(record["step"], record["strict_f1"]) for record in metrics(folder, "dev")]
    best = max(score for _, score in scores)
    assert results["selection"]["value"] == best
    assert results["selection"]["step"] == next(step for step, score in scores if score == best)
    assert results["scores"]["dev"]["strict"]["f1"] == pytest.approx(best)
    since = [score for step, score in scores if step > results["selection"]["step"]]
    assert len(since) == 2  # and training stopped there
    assert results["cost"]["epochs"] < 29


def test_one_seed_gives_one_result_and_going_on_changes_nothing(run: Any, tmp_path: Path) -> None:
    words = [*brat_corpus(tmp_path / "corpus"), *SCRATCH, "budget.epochs=6", "optim.learning_rate=3e-3"]
    whole, results = run(*words, name="whole")
    checkpointed = [*words, "checkpoint.every_steps=3", "checkpoint.keep=9"]
    cut, _ = run(*checkpointed, name="cut")
    for file in ("results.json", "metrics.jsonl"):
        (cut / file).unlink()
    for later in sorted((cut / "checkpoints").iterdir())[1:]:
        later.rename(later.with_name(f"gone-{later.name}"))
    again, resumed = run(*checkpointed, f"resume={cut}", name="cut")
    assert again == cut
    assert resumed["scores"] == results["scores"]
    assert resumed["selection"] == results["selection"]
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (whole, cut)]
    assert weights[0] == weights[1]


def test_dev_is_carved_from_train_and_not_from_test(run: Any, tmp_path: Path) -> None:
    words = [word for word in brat_corpus(tmp_path / "corpus", train=20) if not word.startswith("task.dev")]
    folder, results = run(*words, *SCRATCH, "budget.epochs=1", "selection.dev_share=0.2")
    carved = {document.name for document in spans_jsonl.read(folder / "predictions" / "dev.jsonl")}
    assert results["data"]["train"]["documents"] + len(carved) == 20
    assert carved < {document.name for document in documents(20)}
    assert results["data"]["test"]["documents"] == 4
    _, other_seed = run(
        *words, *SCRATCH, "budget.epochs=1", "selection.dev_share=0.2", "seed=1", name="other"
    )
    assert other_seed["data_fingerprint"] == results["data_fingerprint"]


def test_no_text_of_a_document_leaves_the_predictions(tmp_path: Path) -> None:
    brat_corpus(tmp_path / "corpus")
    name = "Zwyngelstein"
    for split in ("train", "dev", "test"):
        (tmp_path / "corpus" / split / "visit.txt").write_text(f"{name} tousse.", encoding="utf-8")
        (tmp_path / "corpus" / split / "visit.ann").write_text(f"T1\tDISO 0 12\t{name}\n", encoding="utf-8")
    words = [f"task.{split}=corpus/{split}" for split in ("train", "dev", "test")]
    result = command(
        "bertinchamps.finetune",
        "task=ner",
        *words,
        *QUICK,
        *SCRATCH,
        "tokenizer.min_frequency=2",
        "budget.epochs=2",
        "run_dir=run",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert name not in result.stdout + result.stderr
    holding = [
        str(file.relative_to(tmp_path / "run"))
        for file in (tmp_path / "run").rglob("*")
        if file.is_file() and name.encode() in file.read_bytes()
    ]
    assert holding
    assert all(file.startswith("predictions/") for file in holding)


def test_every_mistake_is_told_at_once_before_anything_starts(tmp_path: Path) -> None:
    result = command(
        "bertinchamps.finetune", "task=quaero_emea", "head=nestd", "optim.learning_rate=-1", "model=./nowhere",
        "batch.micro_batch=3", "selection.patience=0", "task.corpus=EMAE", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 2
    for told in ("head=nestd", "did you mean 'nested'", "optim.learning_rate=-1", "model=./nowhere",
                 "batch.size=8", "selection.patience=0", "task.corpus=EMAE"):  # fmt: skip
        assert told in result.stderr, told
    assert list(tmp_path.iterdir()) == []


def test_a_bare_call_prints_the_menu(tmp_path: Path) -> None:
    result = command("bertinchamps.finetune", cwd=tmp_path)
    assert result.returncode == 2
    for name in ("quaero_emea", "quaero_medline", "xnli", "cls", "pawsx", "classification", "ner"):
        assert name in result.stderr


def test_the_last_pretrained_model_is_found(quick_run: Callable[..., Path], run: Any, tmp_path: Path) -> None:
    words = [*brat_corpus(tmp_path / "corpus"), "budget.epochs=1", f"runs_dir={tmp_path / 'runs'}"]
    config = composed(*QUICK, *words, command="finetune")
    assert any("model=last: no finished pretraining run" in problem for problem in problems(config))
    pretrained = quick_run("budget.steps=2", name="runs/pretrained")
    _, results = run(*words)
    assert results["model_label"] == pretrained.name


def test_weights_that_do_not_fit_are_refused(run: Any, tmp_path: Path) -> None:
    encoder = make_encoder("bert", tmp_path / "bert")
    config = json.loads((encoder / "config.json").read_text())
    (encoder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(UserError, match=r"do not fit its config\.json: missing"):
        run(*brat_corpus(tmp_path / "corpus"), f"model={encoder}", "budget.epochs=1")


def test_a_window_longer_than_the_encoder_reads_is_refused(run: Any, tmp_path: Path) -> None:
    encoder = make_encoder("camembert", tmp_path / "camembert")
    with pytest.raises(
        UserError,
        match=r"max_length=65: this encoder reads at most 64 tokens at once; set max_length=64 or less",
    ):
        run(*brat_corpus(tmp_path / "corpus"), f"model={encoder}", "max_length=65")


def test_any_names_of_documents_and_types_get_through(run: Any, tmp_path: Path) -> None:
    def odd(document: AnnotatedText) -> AnnotatedText:
        entities = [Entity(f"{entity.label}-x y", entity.fragments) for entity in document.entities]
        return AnnotatedText(f"2024/{document.name}{'é' * 150}", document.text, tuple(entities))

    spans_jsonl.write(tmp_path / "train.jsonl", [odd(document) for document in documents(12)])
    words = ["task=ner", f"task.train={tmp_path / 'train.jsonl'}", "selection.dev_share=0.3", *SCRATCH]
    for head in ("nested", "flat"):
        folder, results = run(*words, f"head={head}", "budget.epochs=1", name=head)
        lost = results["data"]["train"]["not_representable"]
        assert set(lost) <= {"inside a longer one"}
        assert set(results["scores"]["dev"]["nested_exact"]["types"]) == {"ANAT-x y", "CHEM-x y", "DISO-x y"}
        gold = brat.read_folder(folder / "predictions" / "train" / "gold")
        assert {entity.label for document in gold for entity in document.entities} >= {"DISO-x_y"}


def test_what_could_choose_no_weights_is_refused_before_a_directory_is_made(run: Any, tmp_path: Path) -> None:
    words = brat_corpus(tmp_path / "corpus")
    for file in (tmp_path / "corpus" / "dev").glob("*.ann"):
        file.write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="no entity in the dev split"):
        run(*words, *SCRATCH, "budget.epochs=1")
    numbers = tmp_path / "numbers.jsonl"
    numbers.write_text("".join(f'{{"text": "note {n}", "label": 3}}\n' for n in range(20)), encoding="utf-8")
    number = ["task=classification", f"task.train={numbers}", "task.target=number"]
    with pytest.raises(UserError, match="only one number in the dev split"):
        run(*number, *SCRATCH, "budget.epochs=1")
    assert not (tmp_path / "run").exists()
    for metric, menu in (
        ("mean_absolute_error", "spearman, pearson"),
        ("spearmann", "did you mean 'spearman'"),
    ):
        (problem,) = problems(composed(*number, *SCRATCH, f"selection.metric={metric}", command="finetune"))
        assert menu in problem


def test_the_last_model_stays_the_one_that_was_last_when_the_run_began(
    quick_run: Callable[..., Path], run: Any, tmp_path: Path
) -> None:
    first = quick_run("budget.steps=2", name="runs/first")
    words = [*brat_corpus(tmp_path / "corpus"), "budget.epochs=2", f"runs_dir={tmp_path / 'runs'}"]
    _, whole = run(*words, name="whole")
    cut, _ = run(*words, "checkpoint.every_steps=1", name="cut")
    (cut / "results.json").unlink()
    quick_run("budget.steps=2", "arch.hidden_size=96", name="runs/second")
    _, resumed = run(*words, "checkpoint.every_steps=1", f"resume={cut}", name="cut")
    assert resumed["model_label"] == first.name
    assert resumed["model"] == whole["model"] == str(first / "model")
    assert resumed["scores"] == whole["scores"]
    assert resumed["cost"]["seconds"] > resumed["cost"]["training_seconds"]


def test_a_run_that_had_converged_does_not_train_on_when_it_is_resumed(run: Any, tmp_path: Path) -> None:
    words = [
        *brat_corpus(tmp_path / "corpus"), *SCRATCH, "budget.epochs=30", "optim.learning_rate=3e-3",
        "selection.patience=2", "schedule=constant", "checkpoint.every_steps=1",
    ]  # fmt: skip
    folder, results = run(*words)
    (folder / "results.json").unlink()
    _, again = run(*words, f"resume={folder}")
    assert again["cost"]["steps"] == results["cost"]["steps"]
    assert again["selection"] == results["selection"]
    assert again["scores"] == results["scores"]


def test_a_run_killed_while_its_tokenizer_is_trained_starts_over(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertinchamps.tasks import encoder_source

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    words = [*brat_corpus(tmp_path / "corpus"), *SCRATCH, "budget.epochs=1"]
    with monkeypatch.context() as patch:
        patch.setattr(encoder_source, "train_tokenizer", die)
        with pytest.raises(Stopped, match=r"resume=.* goes on"):
            run(*words)
    folder, results = run(*words, f"resume={tmp_path / 'run'}")
    assert results["scores"]
    assert (folder / "model" / "tokenizer.json").is_file()


def test_what_scores_could_hide_is_remarked_or_refused(run: Any, tmp_path: Path) -> None:
    words = brat_corpus(tmp_path / "corpus")
    for file in (tmp_path / "corpus" / "test").glob("*.ann"):
        file.write_text("", encoding="utf-8")
    shutil.copy(tmp_path / "corpus/train/note_0.txt", tmp_path / "corpus/dev/again.txt")
    shutil.copy(tmp_path / "corpus/train/note_0.ann", tmp_path / "corpus/dev/again.ann")
    _, results = run(*words, *SCRATCH, "budget.epochs=1")
    assert results["remarks"] == [
        "1 of the 5 texts of dev are word for word in train, too",
        "test has no entity: its scores say nothing",
    ]
    alike = tmp_path / "alike.jsonl"
    alike.write_text("".join(f'{{"text": "note {n}", "label": "A"}}\n' for n in range(20)), encoding="utf-8")
    with pytest.raises(UserError, match=r"only one class.*task\.label"):
        run("task=classification", f"task.train={alike}", *SCRATCH, "budget.epochs=1", name="alike")
    for file in (tmp_path / "corpus" / "train").iterdir():
        file.write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"task\.train: no text in it"):
        run(*words, *SCRATCH, "budget.epochs=1", name="empty")
    assert not (tmp_path / "empty").exists()


def test_a_name_below_a_folder_that_is_here_is_not_looked_up_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    words = brat_corpus(tmp_path / "corpus")
    (problem,) = problems(composed(*words, "model=runs/nope", command="finetune"))
    assert "model=runs/nope: no model there" in problem


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_flipped_bit_of_a_pretrained_model_is_named_and_nothing_is_trained_on_it(
    file: str, tmp_path: Path
) -> None:
    from bertinchamps.training.checkpoint import write_directory

    encoder = tmp_path / "encoder"
    write_directory(encoder, lambda folder: make_encoder("bert", folder))
    content = bytearray((encoder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (encoder / file).write_bytes(content)
    words = [*QUICK, *brat_corpus(tmp_path / "corpus"), f"model={encoder}", f"runs_dir={tmp_path / 'runs'}"]
    config = composed(*words, command="finetune")
    with pytest.raises(
        UserError, match=f"{file} was altered after it was written.*restore the file from a copy"
    ):
        finetune(config)
    assert not (tmp_path / "runs").exists()
    (encoder / "manifest.json").unlink()  # as the message says of what was changed on purpose
    if file == "model.safetensors":
        finetune(composed(*words, "budget.epochs=0.2", command="finetune"))


def test_a_flipped_bit_of_a_fine_tuned_model_labels_no_text(run: Any, tmp_path: Path) -> None:
    from bertinchamps.predict import predict
    from bertinchamps.schemas import PredictConfig

    folder, _ = run(*brat_corpus(tmp_path / "corpus"), *SCRATCH, "budget.epochs=0.2", "head=nested")
    (tmp_path / "note.txt").write_text("Un cancer du foie.")
    weights = folder / "model" / "head.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 16
    weights.write_bytes(content)
    with pytest.raises(UserError, match=r"head\.safetensors was altered"):
        predict(
            PredictConfig(
                model=str(folder), input=str(tmp_path / "note.txt"), output=str(tmp_path / "out.jsonl")
            )
        )
    assert not (tmp_path / "out.jsonl").exists()


def test_a_task_has_the_title_that_it_is_given_and_its_run_no_head_of_entities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "avis").mkdir()
    train = opinions(tmp_path / "avis" / "train.jsonl")
    shared = [*QUICK, *SCRATCH, "budget.epochs=1", "task=classification", f"task.train={train}"]
    names = {}
    for title in ("null", "'Avis 2/3'"):
        folder = finetune(composed(*shared, f"task.title={title}", command="finetune"))
        names[folder.name.partition("_classification")[2] or folder.name[20:]] = json.loads(
            (folder / "results.json").read_text(encoding="utf-8")
        )["task"]
    assert names == {"_avis_train_seed0": "classification_avis_train", "Avis-2-3_seed0": "Avis 2/3"}
    brat = finetune(
        composed(*QUICK, *SCRATCH, *brat_corpus(tmp_path / "b"), "budget.epochs=1", command="finetune")
    )
    assert brat.name.endswith("ner_b_train_flat_seed0")


def test_a_finished_run_says_that_nothing_was_trained(run: Any, tmp_path: Path, capsys: Any) -> None:
    words = [*brat_corpus(tmp_path / "corpus"), *SCRATCH, "budget.epochs=1"]
    folder, _ = run(*words)
    assert "nothing was trained" not in "".join(capsys.readouterr())
    run(*words, f"resume={folder}", "task.title=another")
    assert f"{folder}: this run is finished, so nothing was trained" in "".join(capsys.readouterr())


def test_windows_longer_than_the_encoder_was_made_for_are_reported(
    run: Any, tmp_path: Path, capsys: Any
) -> None:
    words = [*brat_corpus(tmp_path / "corpus"), *SCRATCH, "budget.epochs=1"]
    _, results = run(*words, "max_length=100000")
    (remark,) = results["remarks"]
    assert remark.startswith("max_length=100000 is more than the 512 tokens that the encoder was made for")
    assert remark in "".join(capsys.readouterr())


@pytest.mark.parametrize("head", ["flat", "nested"])
def test_the_loss_on_dev_is_the_training_loss_of_its_windows(head: str, run: Any, tmp_path: Path) -> None:
    """With dev a copy of train, no dropout and a rate of nearly zero, both are the same number."""
    words = [*by_heart(tmp_path), f"head={head}", "budget.epochs=1", "mask_rate=0"]
    words += ["batch.micro_batch=10", "batch.size=10"]
    folder, _ = run(*words, "optim.learning_rate=1e-12", "selection.every_epochs=1")
    (dev,) = metrics(folder, "dev")
    (train,) = metrics(folder)
    assert dev["loss"] == pytest.approx(train["loss"], rel=1e-5)


@pytest.mark.parametrize("target", ["single", "multi"])
def test_the_loss_on_dev_falls_while_classes_are_learnt(target: str, run: Any, tmp_path: Path) -> None:
    train = opinions(tmp_path / "train.jsonl")
    shutil.copyfile(train, tmp_path / "dev.jsonl")
    words = ["task=classification", f"task.train={train}", f"task.dev={tmp_path / 'dev.jsonl'}", *SCRATCH]
    folder, _ = run(
        *words, f"task.target={target}", "budget.epochs=8", "optim.learning_rate=3e-3", "dropout=0"
    )
    losses = [record["loss"] for record in metrics(folder, "dev")]
    assert losses[-1] < losses[0]


# ------------------------------------------------------------------------ what pretraining saw of the splits


def test_a_score_says_whether_pretraining_saw_the_text_of_test(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = brat_corpus(tmp_path / "corpus")
    texts = [document.text for document in documents(4, skip=14)]  # those of test
    rows = [f"{' '.join(f'mot{n + k}' for k in range(30))}. {texts[n] if n < 3 else ''}" for n in range(400)]
    lines = "".join(json.dumps({"text": row}, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "notes.jsonl").write_text(lines, encoding="utf-8")
    sets = f"[{tmp_path / 'corpus/test'}, {tmp_path / 'corpus/dev'}]"
    config = composed(
        *[word for word in PRETRAINING if not word.startswith("data")], f"run_dir={tmp_path / 'pretrained'}",
        "data=files", f"data.files=[{tmp_path / 'notes.jsonl'}]", "budget.steps=2", "checkpoint.every_steps=1",
        f"cleaning=[{{name: overlap, files: {sets}, action: count}}]",
    )  # fmt: skip
    pretrained = pretrain(config)
    for model in (pretrained / "model", *(pretrained / "checkpoints").iterdir()):
        facts = json.loads((model / "pretraining.json").read_text(encoding="utf-8"))
        assert (facts["objective"], facts["overlap"][0]["sets"][0]["lines_found"]) == ("mlm", 3)
    assert (
        json.loads((pretrained / "model/pretraining.json").read_text(encoding="utf-8"))["spent"]["steps"] == 2
    )
    folder, results = run(*words, f"model={pretrained}", "budget.epochs=1")
    saw = results["pretraining_saw"]
    assert saw["test"] == {
        "measured": True, "lines": 4, "short_lines": 0, "found": 3, "whole": 3, "left": 3, "actions": ["count"],
    }  # fmt: skip
    assert (saw["dev"]["found"], saw["dev"]["lines"]) == (0, 4)
    printed = capsys.readouterr().err
    assert "pretraining saw 3 of 4 lines of test (measured)" in printed
    assert "pretraining did not see the text of dev: measured, 0 of 4 lines" in printed
    of_run, of_encoder = (place / "model/pretraining.json" for place in (folder, pretrained))
    assert of_run.read_bytes() == of_encoder.read_bytes()
    _, again = run(*words, f"model={folder}", "budget.epochs=1", name="again")  # from the fine-tuned model
    assert again["pretraining_saw"] == saw


def test_without_a_measurement_none_is_claimed(run: Any, tmp_path: Path) -> None:
    words = brat_corpus(tmp_path / "corpus")
    encoder = make_encoder("bert", tmp_path / "encoder")
    folder, results = run(*words, f"model={encoder}", "budget.epochs=1")
    assert results["pretraining_saw"] == {"dev": {"measured": False}, "test": {"measured": False}}
    assert not (folder / "model/pretraining.json").exists()
    folder, results = run(*words, *SCRATCH, "budget.epochs=1", name="scratch")
    assert results["pretraining_saw"]["test"] == {"measured": True, "pretrained": False}
    assert not (folder / "model/pretraining.json").exists()


def test_masks_hide_subwords_of_training_alone(run: Any, tmp_path: Path) -> None:
    """Ten sentences that are learnt by heart are not, where each update hides most of them."""
    words = [*by_heart(tmp_path), "budget.epochs=20"]
    _, plain = run(*words, "mask_rate=0", name="plain")
    _, hidden = run(*words, "mask_rate=0.9", name="hidden")
    f1 = [results["scores"]["dev"]["strict"]["f1"] for results in (plain, hidden)]
    assert f1[1] < f1[0]
    differing = dict(plain["settings"].items() ^ hidden["settings"].items())
    assert set(differing) == {"mask_rate"}


def test_a_mask_rate_needs_a_mask_token(tmp_path: Path) -> None:
    encoder = make_encoder("bert", tmp_path / "encoder")
    file = encoder / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    settings["mask_token"] = None
    file.write_text(json.dumps(settings), encoding="utf-8")
    words = [*brat_corpus(tmp_path / "corpus"), f"model={encoder}", *QUICK, f"run_dir={tmp_path / 'run'}"]
    with pytest.raises(UserError, match=r"mask_rate=0.1: the encoder's tokenizer has no mask token"):
        finetune(composed(*words, "mask_rate=0.1", command="finetune"))
    assert "mask_rate=1.0: from 0 to less than 1" in problems(
        composed(*words, "mask_rate=1", command="finetune")
    )


@pytest.fixture(scope="module")
def sparse_encoder(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A pretrained model three quarters of whose weights in the layers are zero."""
    words = ["budget.steps=2", "sparsity=static", "sparsity.level=0.75"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTINCHAMPS_CACHE", str(cache))
        return pretrain(
            composed(*PRETRAINING, *words, f"run_dir={tmp_path_factory.mktemp('sparse') / 'run'}")
        )


@pytest.mark.parametrize(("sparsity", "optimizer"), [("none", "adamw"), ("keep", "adamw"), ("keep", "muon")])
def test_a_sparse_encoder_is_finetuned_dense_or_with_its_zeros(
    sparsity: str, optimizer: str, sparse_encoder: Path, run: Any, tmp_path: Path
) -> None:
    before = load_file(sparse_encoder / "model" / "model.safetensors")
    words = [f"model={sparse_encoder}", f"sparsity={sparsity}", f"optim={optimizer}", "budget.epochs=2"]
    folder, results = run(*brat_corpus(tmp_path / "corpus"), *words)
    after = load_file(folder / "model" / "model.safetensors")
    maps = [name for name, w in after.items() if ".layers." in name and w.ndim == 2]
    assert len(maps) == 8
    for name in maps:
        zero = before[name] == 0
        assert float(zero.float().mean()) == pytest.approx(0.75, abs=1e-3)
        assert bool((after[name] == 0)[zero].all()) == (sparsity == "keep")
        assert after[name][~zero].ne(before[name][~zero]).any()
    cost, facts = results["cost"], folder / "model" / "sparsity.json"
    assert (cost["flops"] < cost["flops_dense"]) == (sparsity == "keep") == facts.is_file()
    assert sparsity == "none" or results["sparsity"]["zeros"] == pytest.approx(0.75, abs=1e-3)


def test_a_prompt_leaves_the_zeros_of_its_encoder_and_says_so(
    sparse_encoder: Path, run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        f"model={sparse_encoder}",
        "sparsity=keep",
        "adapter=prompt",
        "adapter.tokens=4",
        "budget.epochs=1",
    ]
    folder, results = run(*brat_corpus(tmp_path / "corpus"), *words)
    assert "sparsity: the encoder is frozen, so its zeros stay zeros anyway" in capsys.readouterr().err
    assert "sparsity" not in results
    assert not list(folder.rglob("sparsity.*"))


def test_zeros_cannot_be_kept_where_there_are_none_or_where_merging_fills_them(
    run: Any, tmp_path: Path
) -> None:
    corpus = brat_corpus(tmp_path / "corpus")
    with pytest.raises(UserError, match="sparsity=keep: no weight in the layers of this model is zero"):
        run(*corpus, *SCRATCH, "sparsity=keep")
    make_encoder("bert", tmp_path / "encoder")
    words = [f"model={tmp_path / 'encoder'}", "sparsity=keep", "adapter=lora"]
    (told,) = problems(composed(*QUICK, *corpus, *words, command="finetune"))
    assert told.startswith("sparsity=keep: adapter=lora adds dense products")

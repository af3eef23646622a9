"""The command: steps in a chain, each measured; what it writes is opened as its model was; nothing half is left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM

from bertinchamps.checks.compressing import problems
from bertinchamps.command_line.mistakes import examine
from bertinchamps.composing import config_dir
from bertinchamps.compress import compress
from bertinchamps.compressing import measuring, steps
from bertinchamps.compressing.material import material_of
from bertinchamps.compressing.uses import use_of
from bertinchamps.durable import write_json
from bertinchamps.errors import UserError
from bertinchamps.export import export
from bertinchamps.finetune import finetune
from bertinchamps.manifests import MANIFEST
from bertinchamps.predict import predict
from bertinchamps.schemas import ExportConfig
from bertinchamps.tasks.formats import spans_jsonl
from bertinchamps.tasks.from_run import run_of
from bertinchamps.training.runtime import build_runtime
from bertinchamps.training.sparsity.masks import read_facts
from support import command, composed
from test_finetune import QUICK, SCRATCH, brat_corpus
from tiny_corpora import documents, opinions, related, related_corpus
from tiny_encoders import TEXTS, make_encoder

FAST = [
    "runtime=eager",
    "runtime.threads=1",
    "runtime.precision=fp32",
    "measure.repeats=2",
    "measure.texts=4",
]
CHAIN = (
    "steps=[{name: trim},{name: prune, layers: 1, heads: 0.5, feed_forward: 0.25},{name: recover, epochs: 2}]"
)

LITTLE = "steps=[{name: prune, feed_forward: 0.1, examples: 4}]"


def settings(*words: str) -> Any:
    return composed(*FAST, *words, command="compress")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the model of `knows_by_heart` reads, as JSON lines."""
    file = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    lines = (json.dumps({"text": each.text}) + "\n" for each in documents(10))
    file.write_text("".join(lines), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def chained(knows_by_heart: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("compressed") / "small"
    config = settings(f"model={knows_by_heart}", f"output={output}", f"texts=[{texts}]", CHAIN)
    assert problems(config) == []
    compress(config)
    return output


def parameters(folder: Path) -> int:
    return sum(each.numel() for file in folder.glob("*.safetensors") for each in load_file(file).values())


def test_a_chain_gives_a_smaller_model_and_says_what_it_did(chained: Path, knows_by_heart: Path) -> None:
    record = json.loads((chained / "compress.json").read_text(encoding="utf-8"))
    assert [step["name"] for step in record["steps"]] == ["trim", "prune", "recover"]
    rows = record["measured"]
    assert [row["name"] for row in rows] == ["before", "trim", "prune", "recover"]
    assert rows[0]["parameters"] == parameters(knows_by_heart / "model")
    assert rows[-1]["parameters"] == rows[2]["parameters"] == parameters(chained)
    assert rows[0]["parameters"] > rows[1]["parameters"] > rows[2]["parameters"]
    assert rows[0]["parameters"] - rows[1]["parameters"] == record["steps"][0]["facts"]["parameters_saved"]
    for row in rows:
        assert all(row[measure] > 0 for measure in ("one", "batch", "per_second"))
        assert row["memory"] is None or row["memory"] >= 0
    config = json.loads((chained / "config.json").read_text(encoding="utf-8"))
    before = json.loads((knows_by_heart / "model" / "config.json").read_text(encoding="utf-8"))
    assert config["num_hidden_layers"] == before["num_hidden_layers"] - 1
    assert config["num_attention_heads"] * 2 == before["num_attention_heads"]
    assert {file.name for file in chained.iterdir() if file.name.startswith(".")} == set()
    card = (chained / "README.md").read_text(encoding="utf-8")
    assert f"| recover | {rows[-1]['parameters']:,} |" in card
    assert "## Compression" in card
    assert str(chained.parent) not in card


def test_scores_of_the_table_are_those_of_the_models(chained: Path, knows_by_heart: Path) -> None:
    results = json.loads((knows_by_heart / "results.json").read_text(encoding="utf-8"))
    first, trimmed, _, last = json.loads((chained / "compress.json").read_text(encoding="utf-8"))["measured"]
    assert first["metric"] == results["selection"]["metric"]
    assert first["scores"][first["metric"]] == pytest.approx(results["selection"]["value"])
    assert trimmed["scores"] == pytest.approx(first["scores"])
    step = json.loads((chained / "compress.json").read_text(encoding="utf-8"))["steps"][-1]
    assert last["scores"][last["metric"]] == pytest.approx(step["facts"]["dev"])


def test_what_comes_out_is_used_as_what_went_in(chained: Path, texts: Path, tmp_path: Path) -> None:
    found = tmp_path / "found.jsonl"
    words = ("runtime=eager", "runtime.threads=1")
    predict(composed(f"model={chained}", f"input={texts}", f"output={found}", *words, command="predict"))
    assert len(spans_jsonl.read(found)) == 10
    form = {"name": "hf", "remote_code": True}
    export(ExportConfig(model=str(chained), output=str(tmp_path / "exported"), format=form))
    assert (tmp_path / "exported" / "config.json").is_file()
    again = [*brat_corpus(tmp_path / "corpus"), *QUICK, f"model={chained}", "head=flat", "budget.epochs=1"]
    run = finetune(composed(*again, "report.html=false", f"run_dir={tmp_path / 'run'}", command="finetune"))
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert results["remarks"][-1].startswith("the encoder was fine-tuned before, and whether")


def test_a_compressed_model_is_compressed_again_while_its_run_is_there(chained: Path, tmp_path: Path) -> None:
    config = settings(f"model={chained}", f"output={tmp_path / 'new'}", LITTLE, "measure.repeats=0")
    assert problems(config) == []
    compress(config)
    first = json.loads((chained / "compress.json").read_text(encoding="utf-8"))
    record = json.loads((tmp_path / "new" / "compress.json").read_text(encoding="utf-8"))
    assert record["earlier"] == first
    assert record["measured"][0]["scores"] == pytest.approx(first["measured"][-1]["scores"])
    card = (tmp_path / "new" / "README.md").read_text(encoding="utf-8")
    assert "Scores and parameters above are those of the model before it was compressed" in card
    assert "- compressed before: trim, prune, recover" in card
    assert run_of(tmp_path / "new") == run_of(chained)
    alone = shutil.copytree(chained, tmp_path / "alone")
    (alone / MANIFEST).unlink()  # which would refuse the change
    write_json(alone / "from_run.json", {"run": str(tmp_path / "gone")})
    (found,) = problems(settings(f"model={alone}", f"output={tmp_path / 'other'}", LITTLE))
    assert found.startswith(f"model={alone}: came from the run {tmp_path / 'gone'}, which knows its examples")
    (alone / "from_run.json").unlink()
    (found,) = problems(settings(f"model={alone}", f"output={tmp_path / 'other'}", LITTLE))
    assert "stands alone, and its run knows its examples" in found


def test_classes_are_compressed_by_the_same_command(tmp_path: Path) -> None:
    opinions(tmp_path / "train.jsonl")
    encoder = make_encoder("camembert", tmp_path / "encoder")
    words = ["task=classification", f"task.train={tmp_path / 'train.jsonl'}", f"model={encoder}", *QUICK]
    run = finetune(composed(*words, "budget.epochs=1", f"run_dir={tmp_path / 'run'}", command="finetune"))
    output = tmp_path / "small"
    chain = "steps=[{name: prune, feed_forward: 0.5, examples: 8},{name: trim}]"
    words = (f"model={run}", f"output={output}", f"texts=[{tmp_path / 'train.jsonl'}]")
    compress(settings(*words, chain, "measure.repeats=0"))
    rows = json.loads((output / "compress.json").read_text(encoding="utf-8"))["measured"]
    assert rows[0]["one"] is None
    assert rows[1]["scores"] == pytest.approx(rows[2]["scores"])
    assert "| – |" in (output / "README.md").read_text(encoding="utf-8")


def test_relations_are_timed_between_the_entities_of_dev(tmp_path: Path) -> None:
    words = [*related_corpus(tmp_path / "corpus"), *QUICK, *SCRATCH, "budget.epochs=1", "report.html=false"]
    run = finetune(composed(*words, f"run_dir={tmp_path / 'run'}", command="finetune"))
    material = material_of(settings(f"model={run}", f"output={tmp_path / 'small'}", LITTLE))
    use = use_of(material)
    model = use.open(run / "model", "torch", 8, build_runtime(material.config.runtime))
    passes = []
    model.model.register_forward_hook(lambda *_: passes.append(1))
    answers = model.answer(use.texts())
    assert [each.entities for each in answers] == [each.entities for each in related(4, 12)]
    assert passes
    compress(material.config)
    rows = json.loads((tmp_path / "small" / "compress.json").read_text(encoding="utf-8"))["measured"]
    assert [row["name"] for row in rows] == ["before", "prune"]


def test_a_masked_language_model_is_judged_on_texts(tmp_path: Path, capsys: Any) -> None:
    encoder = make_encoder("modernbert", tmp_path / "encoder")
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), encoding="utf-8")
    output = tmp_path / "small"
    chain = "steps=[{name: trim, min_count: 2},{name: prune, feed_forward: 0.25, layers: 1}]"
    words = (f"model={encoder}", f"output={output}")
    assert "give texts=[FILES]" in problems(settings(*words, chain))[0]
    compress(settings(*words, chain, f"texts=[{texts}]"))
    record = json.loads((output / "compress.json").read_text(encoding="utf-8"))
    assert record["measured"][0]["metric"] == "masked_accuracy"
    assert "fièvre" not in capsys.readouterr().out + (output / "README.md").read_text(encoding="utf-8")
    taught = "steps=[{name: recover, teacher: true}]"
    told = problems(settings(f"model={encoder}", f"output={output}2", taught, f"texts=[{texts}]"))
    assert told[0].startswith("steps.teacher=true: teaches models of finetune")


def test_a_masked_language_model_recovers_on_the_texts_that_do_not_score(tmp_path: Path, capsys: Any) -> None:
    encoder = make_encoder("modernbert", tmp_path / "encoder")
    texts, output = tmp_path / "texts.jsonl", tmp_path / "small"
    texts.write_text(
        "".join(json.dumps({"text": f"{text} {n}"}) + "\n" for n in range(40) for text in TEXTS),
        encoding="utf-8",
    )
    chain = "steps=[{name: prune, feed_forward: 0.5},{name: recover, epochs: 4, learning_rate: 3e-3}]"
    words = (f"model={encoder}", f"output={output}", f"texts=[{texts}]", "measure.repeats=0")
    assert problems(settings(*words, chain)) == []
    compress(settings(*words, chain))
    record = json.loads((output / "compress.json").read_text(encoding="utf-8"))
    facts, rows = record["steps"][1]["facts"], record["measured"]
    assert facts["kept"]
    assert facts["after"] < facts["before"]
    assert rows[2]["scores"]["loss"] < rows[1]["scores"]["loss"]
    assert rows[2]["parameters"] == rows[1]["parameters"] < rows[0]["parameters"]
    told = json.loads((output / "pretraining.json").read_text(encoding="utf-8"))
    assert told["continued_from"]["model"] == "encoder"
    assert {file.name for file in output.iterdir() if file.name.startswith(".") or file.is_dir()} == set()
    opened = AutoModelForMaskedLM.from_pretrained(output)
    assert type(opened).__name__ == "ModernBertForMaskedLM"
    assert "fièvre" not in capsys.readouterr().out + (output / "README.md").read_text(encoding="utf-8")


def test_zeros_of_a_sparse_model_stay_and_are_counted_again(tmp_path: Path) -> None:
    encoder = make_encoder("modernbert", tmp_path / "encoder")
    state = load_file(encoder / "model.safetensors")
    for name, weight in state.items():
        if ".layers." in name and weight.ndim == 2:
            weight[::2] = 0.0
    save_file(state, encoder / "model.safetensors", metadata={"format": "pt"})
    told = {"format": 1, "sparsity": {"name": "static", "level": 0.5}, "zeros": 0.5, "weights": 1}
    write_json(encoder / "sparsity.json", told)
    texts, output = tmp_path / "texts.jsonl", tmp_path / "small"
    lines = (json.dumps({"text": f"{text} {n}"}) + "\n" for n in range(20) for text in TEXTS)
    texts.write_text("".join(lines), encoding="utf-8")
    chain = "steps=[{name: trim},{name: prune, feed_forward: 0.25},{name: recover, learning_rate: 3e-3}]"
    words = (f"model={encoder}", f"output={output}", f"texts=[{texts}]", "measure.repeats=0", chain)
    assert problems(settings(*words)) == []
    compress(settings(*words))
    assert json.loads((output / "compress.json").read_text(encoding="utf-8"))["steps"][2]["facts"]["kept"]
    small = load_file(output / "model.safetensors")
    of_layers = [each for name, each in small.items() if ".layers." in name and each.ndim == 2]
    zeros = sum(int((each == 0).sum()) for each in of_layers)
    total = sum(each.numel() for each in of_layers)
    facts = read_facts(output)
    assert facts is not None
    assert (facts["weights"], facts["zeros"]) == (total, pytest.approx(zeros / total))
    assert 0.4 < facts["zeros"] < 0.7


def test_too_little_text_to_recover_on_is_said(tmp_path: Path) -> None:
    encoder = make_encoder("modernbert", tmp_path / "encoder")
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS[:2]), encoding="utf-8")
    words = (f"model={encoder}", f"output={tmp_path / 'small'}", f"texts=[{texts}]", "measure.repeats=0")
    with pytest.raises(UserError, match="steps: recover: texts= holds too little to train on"):
        compress(settings(*words, "steps=[{name: recover}]"))
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize("error", [UserError("cannot"), KeyboardInterrupt()])
def test_a_compression_that_ends_early_leaves_nothing(
    error: BaseException, knows_by_heart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("bertinchamps.compressing.chain.measured", fail)
    with pytest.raises(type(error)):
        compress(settings(f"model={knows_by_heart}", f"output={tmp_path / 'small'}", LITTLE))
    assert list(tmp_path.iterdir()) == []


def test_all_mistakes_are_told_before_anything_is_read(knows_by_heart: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    steps_given = "steps=[{name: prune, heads: 0.9},{name: quantize_to_3_bits},{name: trim, min_count: 0}]"
    found, _ = examine(
        "compress", [f"model={knows_by_heart}", f"output={tmp_path / 'taken'}", steps_given], problems
    )
    assert len(found) == 3
    assert found[0].endswith("is there already, and was not touched; choose another name")
    assert found[1].startswith("steps=quantize_to_3_bits: no such step")
    assert found[2].startswith("steps.min_count=0: must be at least 1")
    found, _ = examine(
        "compress",
        ["model=missing", f"output={tmp_path / 'new'}", "texts=[missing.txt]", "measure.batch=0"],
        problems,
    )
    assert [line.partition(":")[0] for line in found] == [
        "texts",
        "measure.batch=0",
        "steps",
        "model=missing",
    ]


def test_parts_that_a_model_cannot_lose_are_told(knows_by_heart: Path, tmp_path: Path) -> None:
    words = (f"model={knows_by_heart}", f"output={tmp_path / 'new'}")
    (found,) = problems(settings(*words, "steps=[{name: prune, heads: 0.9}]"))
    assert found.startswith("steps.heads=0.9: nothing would be left of ")
    (found,) = problems(settings(*words, "steps=[{name: prune, layers: 40}]"))
    assert "and one must stay" in found
    for first, second, told in (
        ("layers: 1", "layers: 1", "steps.layers=1: the model has 1 by then, and one must stay"),
        ("heads: 0.5", "heads: 0.6", "steps.heads=0.6: nothing would be left of 1 by then; remove less"),
    ):
        chain = f"steps=[{{name: prune, {first}}},{{name: prune, {second}}}]"
        assert problems(settings(*words, chain)) == [told]
    (found,) = problems(settings(*words, LITTLE, "+examples.train=gone"))
    assert "gone" in found
    assert "+examples.KEY=PLACE" in found
    (found,) = problems(settings(*words, "steps=[{name: trim}]"))
    assert found.startswith("steps: trim keeps what texts use; give texts=[FILES]")


def test_heads_of_other_families_cannot_go(tmp_path: Path) -> None:
    encoder = make_encoder("bert", tmp_path / "encoder")
    (tmp_path / "a.txt").write_text("Le patient tousse.", encoding="utf-8")
    words = (f"model={encoder}", f"output={tmp_path / 'new'}", f"texts=[{tmp_path / 'a.txt'}]")
    (found,) = problems(settings(*words, "steps=[{name: prune, heads: 0.5}]"))
    assert found.startswith("steps.heads=0.5: the heads of a bert fill its hidden size, so none can go")


@pytest.mark.parametrize("name", sorted(file.stem for file in (config_dir() / "target").glob("*.yaml")))
def test_every_target_composes_and_its_steps_are_right(name: str) -> None:
    nodes = composed(f"target={name}", command="compress").steps
    assert nodes
    assert [
        steps.problems(node["name"], {k: v for k, v in node.items() if k != "name"}) for node in nodes
    ] == [[] for _ in nodes]


def test_memory_is_what_a_model_takes_beside_what_is_there() -> None:
    memory = measuring._Memory(build_runtime(composed(*FAST, command="compress").runtime))
    taken = b"x" * 50_000_000
    found = memory.taken()
    assert found is None or 45_000_000 < found < 80_000_000
    del taken


def test_the_command_compresses_and_tells_the_table(
    knows_by_heart: Path, texts: Path, tmp_path: Path
) -> None:
    words = (f"model={knows_by_heart}", "output=small", "target=small", f"texts=[{texts}]", *FAST)
    done = command("bertinchamps.compress", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr
    assert "| trim |" in told
    assert "python -m bertinchamps.predict model=small input=TEXTS" in told
    again = command("bertinchamps.compress", *words, cwd=tmp_path)
    assert again.returncode == 2
    assert "is there already" in again.stderr

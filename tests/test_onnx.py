"""Graphs for onnxruntime: the same predictions as PyTorch's, whatever the kind of task, the batch and the length."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")

from bertinchamps.checks import exporting, prediction
from bertinchamps.command_line.mistakes import mistakes
from bertinchamps.errors import UserError
from bertinchamps.export import export
from bertinchamps.exporting import exporters
from bertinchamps.exporting import onnx as onnx_format
from bertinchamps.exporting.onnx_comparing import Both
from bertinchamps.exporting.onnx_products import products_of
from bertinchamps.exporting.onnx_subject import subject_of
from bertinchamps.exporting.source import Source, open_source
from bertinchamps.model.heads.nested import ROLE_SIZE
from bertinchamps.model.onnx_model import FILES, OnnxModel
from bertinchamps.predict import predict
from bertinchamps.schemas import RuntimeConfig
from bertinchamps.tasks.facts import read_facts
from bertinchamps.tasks.formats import spans_jsonl
from bertinchamps.tasks.pretrained_model import open_pretrained
from bertinchamps.training.runtime import build_runtime
from support import composed
from untrained import NOTES, save_masked_words, save_task


@pytest.fixture(scope="session")
def masked_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_masked_words(tmp_path_factory.mktemp("masked_words"))


def words_of_export(model: Path, output: Path, *words: str) -> list[str]:
    texts = output.parent / "texts.txt"
    texts.write_text("\n".join(NOTES), encoding="utf-8")
    return [
        f"model={model}",
        f"output={output}",
        "format=onnx",
        f"format.texts={texts}",
        "format.seconds=0",
        *words,
    ]


@pytest.fixture(scope="session")
def exported(
    masked_words: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[Path, Path]]:
    """A model, and the directory of its graph; each is exported once."""
    done: dict[tuple[str, ...], tuple[Path, Path]] = {}

    def of(name: str, *words: str) -> tuple[Path, Path]:
        if (name, *words) not in done:
            folder = tmp_path_factory.mktemp(name)
            model = masked_words if name == "masked_words" else save_task(masked_words, name, folder / "run")
            config = composed(*words_of_export(model, folder / "exported", *words), command="export")
            assert exporting.problems(config) == []
            export(config)
            done[name, *words] = model, folder / "exported"
        return done[name, *words]

    return of


def labelled(model: Path, place: Path, *words: str) -> list[dict[str, Any]]:
    """What predict writes for NOTES."""
    lines = [json.dumps({"text": text, "second": f"oui\n{text[:9]}"}) for text in NOTES]
    (place / "notes.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (place / "found.jsonl").unlink(missing_ok=True)
    given = [f"model={model}", f"input={place / 'notes.jsonl'}", f"output={place / 'found.jsonl'}"]
    config = composed(*given, "runtime=eager", "runtime.threads=1", *words, command="predict")
    assert prediction.problems(config) == []
    predict(config)
    return [json.loads(line) for line in (place / "found.jsonl").read_text(encoding="utf-8").splitlines()]


def told(row: dict[str, Any]) -> tuple[Any, list[float]]:
    """Decisions, and the numbers beside them."""
    entities = row.get("entities", [])
    spans = [(entity["start"], entity["end"], entity["label"]) for entity in entities]
    numbers = [entity["confidence"] for entity in entities] + list(row.get("probabilities", {}).values())
    target = row.get("predicted")
    return (spans, None, [*numbers, target]) if isinstance(target, float) else (spans, target, numbers)  # type: ignore[return-value]


@pytest.mark.long
@pytest.mark.parametrize("name", ["nested", "flat", "classes"])
def test_predictions_are_those_of_pytorch(
    name: str, exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans_jsonl, "DIGITS", 9)  # of four, two close numbers may round to neighbours
    model, graph = exported(name, *(["format.int8=true"] if name == "nested" else []))
    for batch in (1, 64):
        words = [f"batch={batch}"]
        theirs = [told(row) for row in labelled(graph, tmp_path, "runtime.engine=onnx", *words)]
        mine = [told(row) for row in labelled(model, tmp_path, *words)]
        for one, other in zip(mine, theirs, strict=True):
            assert one[:-1] == other[:-1]
            assert one[-1] == pytest.approx(other[-1], abs=2e-5)
    assert name == "classes" or any(decided[0] for decided in mine)


@pytest.mark.parametrize("name", ["several", "pairs", "windows", "choices"])
def test_graphs_of_other_kinds_of_texts_give_the_numbers_of_their_models(
    name: str, masked_words: Path, tmp_path: Path
) -> None:
    """Without onnxruntime, since an export takes seconds: what is exported is what the model computes."""
    source = Source(save_task(masked_words, name, tmp_path / "run") / "model", None, None)
    subject = subject_of(replace(source, facts=read_facts(source.folder)), "model", "mean")
    both = Both(subject.model, _Graph(subject.model))
    with torch.no_grad():
        found = subject.reader(3)(both, NOTES)
    assert both.calls > 1
    assert both.difference < 1e-5 < both.largest
    assert len(found) == len(NOTES)


class _Graph(torch.nn.Module):
    """A model that goes through its graph."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model

    def forward(self, *given: Any) -> torch.Tensor:
        return self._model.through(self._model.graph, *given)


@pytest.mark.long
def test_weights_of_8_bits_are_smaller_and_find_almost_the_same(exported: Any, tmp_path: Path) -> None:
    _, graph = exported("nested", "format.int8=true")
    whole, small = ((graph / file).stat().st_size for file in FILES.values())
    assert small < whole
    products = {product.name: product.shape for product in products_of(graph / FILES["onnx"])}
    assert products["head"] == (ROLE_SIZE, ROLE_SIZE * len(read_facts(graph).labels))  # of starts and ends
    rows = [labelled(graph, tmp_path, f"runtime.engine={engine}") for engine in ("onnx", "onnx_int8")]
    mine, theirs = ({(at, *span) for at, row in enumerate(side) for span in told(row)[0]} for side in rows)
    assert len(mine & theirs) > 0.5 * len(mine | theirs) > 0


@pytest.mark.long
def test_masks_are_filled_and_texts_embedded_as_by_pytorch(masked_words: Path, exported: Any) -> None:
    runtime = build_runtime(RuntimeConfig(device="cpu", precision="fp32", threads=1, compile="off"))
    mine = open_pretrained(masked_words / "model", 2, runtime)
    texts = ["Le [MASK] présente une [MASK] et [CLS].", "[MASK] sèche", f"{'fièvre ' * 700}[MASK]"]
    filled = open_pretrained(exported("masked_words")[1], 2, runtime, "onnx")
    assert mine.filler is not None
    assert filled.filler is not None
    assert filled.embedder is None
    for one, other in zip(mine.filler.fill(texts), filled.filler.fill(texts), strict=True):
        assert [[each.token for each in mask] for mask in one] == [
            [each.token for each in mask] for mask in other
        ]
        assert [each.probability for mask in one for each in mask] == pytest.approx(
            [each.probability for mask in other for each in mask], abs=1e-5
        )
    assert [len(masks) for masks in mine.filler.fill(texts)] == [2, 1, 1]
    embedded = open_pretrained(exported("masked_words", "format.what=embeddings")[1], 3, runtime, "onnx")
    assert mine.embedder is not None
    assert embedded.embedder is not None
    assert embedded.filler is None
    vectors = [np.array(side.embed(NOTES)) for side in (mine.embedder, embedded.embedder)]
    assert vectors[0].shape == (len(NOTES), 32)
    assert np.abs(vectors[0] - vectors[1]).max() < 1e-4


@pytest.mark.long
def test_the_service_runs_on_graphs(exported: Any) -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    from bertinchamps.checks.serving import problems
    from bertinchamps.serving.models import open_models

    made = [exported("nested", "format.int8=true"), exported("classes"), exported("masked_words")]
    sides = []
    for engine, side in (("torch", 0), ("onnx", 1)):
        config = composed("runtime=eager", "runtime.threads=1", f"runtime.engine={engine}", command="serve")
        config.model = [str(pair[side]) for pair in made]
        assert problems(config) == []
        sides.append(open_models(config))
    texts = [(f"{text} [MASK]", None) for text in NOTES]
    for mine, theirs in zip(*sides, strict=True):
        for path in theirs.abilities:
            for one, other in zip(mine.abilities[path](texts), theirs.abilities[path](texts), strict=True):
                assert rounded(one) == rounded(other)
    assert [list(model.abilities) for model in sides[1]] == [["ner"], ["classify"], ["fill-mask"]]


def rounded(value: Any) -> Any:
    """With numbers of three digits."""
    if isinstance(value, dict):
        return {name: rounded(own) for name, own in value.items()}
    if isinstance(value, list):
        return [rounded(own) for own in value]
    return pytest.approx(value, abs=1e-3) if isinstance(value, float) else value


def test_an_export_that_computes_something_else_is_not_kept(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, graph = exported("classes")
    right = OnnxModel.graph
    monkeypatch.setattr(
        onnx_format, "write_graph", lambda model, example, file: shutil.copy(graph / "model.onnx", file)
    )
    monkeypatch.setattr(OnnxModel, "graph", lambda self, tensors: right(self, tensors) + 0.5)
    with pytest.raises(UserError, match=r"above format\.bound=0\.001; nothing was written"):
        export(composed(*words_of_export(model, tmp_path / "wrong"), command="export"))
    assert [file.name for file in tmp_path.iterdir()] == ["texts.txt"]


def test_what_is_missing_is_told_with_the_command_that_makes_it(exported: Any, tmp_path: Path) -> None:
    model, graph = exported("classes")
    with pytest.raises(
        UserError, match=r"no model\.onnx in .* `python -m bertinchamps\.export model=RUN format=onnx"
    ):
        labelled(model, tmp_path, "runtime.engine=onnx")
    with pytest.raises(UserError, match=r"format=onnx format\.int8=true output=DIR"):
        labelled(graph, tmp_path, "runtime.engine=onnx_int8")
    with pytest.raises(UserError, match=r"without weights for PyTorch; give runtime\.engine=onnx"):
        labelled(graph, tmp_path)
    (tmp_path / "cut").mkdir()
    for file in graph.iterdir():
        if file.name != "manifest.json":
            shutil.copy(file, tmp_path / "cut")
    (tmp_path / "cut" / "model.onnx").write_bytes((graph / "model.onnx").read_bytes()[:500])
    with pytest.raises(UserError, match=r"model\.onnx: cannot be read by onnxruntime"):
        labelled(tmp_path / "cut", tmp_path, "runtime.engine=onnx")


def test_settings_that_contradict_each_other_are_refused(exported: Any, tmp_path: Path) -> None:
    _, graph = exported("classes")
    words = [f"model={graph}", "runtime.engine=onnx", "runtime.precision=bf16", "runtime.compile=on"]
    found = prediction.problems(composed(*words, command="predict"))
    assert [problem.partition(":")[0] for problem in found] == [
        "runtime.precision=bf16",
        "runtime.compile=on",
    ]
    (problem,) = prediction.problems(composed(f"model={graph}", "runtime.engine=onyx", command="predict"))
    assert problem == "runtime.engine=onyx: one of auto, torch, onnx, onnx_int8"
    for command in ("pretrain", "finetune"):
        task = ["task=demo"] if command == "finetune" else []
        (problem,) = mistakes(command, [*task, "runtime.engine=onnx"])
        assert "runtime.engine" in problem
    words = ["format.what=weights", "format.pool=max", "format.seconds=-1", "format.texts=nowhere.txt"]
    found = exporting.problems(composed(*words_of_export(graph, tmp_path / "out", *words), command="export"))
    assert [problem.partition("=")[0] for problem in found] == [
        "format.what", "format.pool", "format.texts", "format.seconds"
    ]  # fmt: skip


def test_models_that_have_no_graph_are_refused(masked_words: Path, tmp_path: Path) -> None:
    model = save_task(masked_words, "classes", tmp_path / "run")
    source = open_source(composed(*words_of_export(model, tmp_path / "out"), command="export"))
    assert source.facts is not None
    relations = Source(source.folder, None, replace(source.facts, kind="relations"))
    (problem,) = exporters.build("onnx").problems(relations)
    assert "reads entities beside texts" in problem
    assert exporters.build("onnx", what="embeddings").problems(relations) == []

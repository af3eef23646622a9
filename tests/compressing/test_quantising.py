"""Weights of 8 bits: what each product changes, how far logits move, and that predict opens the result by itself."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")

from bertinchamps.api import load
from bertinchamps.checks import compressing, prediction
from bertinchamps.compress import compress
from bertinchamps.compressing.quantise import TABLE
from bertinchamps.errors import UserError
from bertinchamps.exporting import onnx as onnx_format
from bertinchamps.exporting.onnx_products import Product, Sensitivity, fewest_kept, sensitivity_lines
from bertinchamps.predict import predict
from bertinchamps.tasks.together import Together
from support import composed
from tiny_corpora import documents
from untrained import save_masked_words

TEXTS = tuple(document.text for document in documents(6))  # of those that the model knows by heart


def settings(*words: str) -> Any:
    common = ["runtime=eager", "runtime.threads=1", "measure.repeats=1", "measure.texts=2", "measure.batch=2"]
    return composed(*common, *words, command="compress")


@pytest.fixture(scope="module")
def quantised(knows_by_heart: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("quantised") / "int8"
    step = "steps=[{name: quantise, keep: 2, texts: 4, scores: true}]"
    config = settings(f"model={knows_by_heart}", f"output={output}", step)
    assert compressing.problems(config) == []
    compress(config)
    return output


def labelled(model: Path, place: Path, *words: str) -> list[dict[str, Any]]:
    texts, found = place / "texts.jsonl", place / "found.jsonl"
    texts.write_text("\n".join(json.dumps({"text": text}) for text in TEXTS), encoding="utf-8")
    found.unlink(missing_ok=True)
    given = [f"model={model}", f"input={texts}", f"output={found}", "runtime.threads=1"]
    config = composed(*given, *words, command="predict")
    assert prediction.problems(config) == []
    predict(config)
    return [json.loads(line) for line in found.read_text(encoding="utf-8").splitlines()]


def spans(rows: list[dict[str, Any]]) -> list[list[tuple[int, int, str]]]:
    return [[(each["start"], each["end"], each["label"]) for each in row["entities"]] for row in rows]


@pytest.mark.long
def test_the_list_names_each_product_once_the_most_sensitive_first(
    quantised: Path, knows_by_heart: Path
) -> None:
    table = json.loads((quantised / TABLE).read_text(encoding="utf-8"))
    rows, names = table["products"], [row["name"] for row in table["products"]]
    config = json.loads((knows_by_heart / "model" / "config.json").read_text(encoding="utf-8"))
    layers = [
        f"model.layers.{layer}.{product}"
        for layer in range(config["num_hidden_layers"])
        for product in (
            "attention.query_key_value", "attention.output", "feed_forward.input", "feed_forward.output"
        )
    ]  # fmt: skip
    of_head = [f"head.{part}" for part in ("start.0", "end.0", "start_score", "end_score", "inside_score")]
    assert {"model.embeddings.tokens", *layers, *of_head} <= set(names)
    assert len(names) == len(set(names))
    assert [row["mean"] for row in rows] == sorted((row["mean"] for row in rows), reverse=True)
    assert all(0 <= row["mean"] <= row["largest"] for row in rows)
    assert [row["kept"] for row in rows] == [True, True, *[False] * (len(rows) - 2)]
    assert all(abs(row["score"]) <= 1 for row in rows)


@pytest.mark.long
def test_logits_move_little_and_predict_needs_no_further_key(
    quantised: Path, knows_by_heart: Path, tmp_path: Path
) -> None:
    table = json.loads((quantised / TABLE).read_text(encoding="utf-8"))
    assert 0 < table["mean"] < 0.01 * table["highest_logit"]
    assert table["largest"] < 0.1 * table["highest_logit"]
    weights = [file.name for file in quantised.iterdir() if file.suffix in (".safetensors", ".onnx")]
    assert weights == ["model_int8.onnx"]
    record = json.loads((quantised / "compress.json").read_text(encoding="utf-8"))
    assert record["engine"] == record["steps"][-1]["engine"] == "onnx_int8"
    mine = spans(labelled(knows_by_heart, tmp_path))
    assert any(mine)
    assert spans(labelled(quantised, tmp_path)) == mine
    assert spans(labelled(quantised, tmp_path, "runtime.engine=onnx_int8")) == mine
    again = ["steps=[{name: prune, layers: 1}]", f"output={tmp_path / 'again'}"]
    (found,) = compressing.problems(settings(f"model={quantised}", *again))
    assert found.startswith(f"model={quantised}: was quantised, so it can only be run")


def test_python_opens_it_as_predict_does(quantised: Path, knows_by_heart: Path) -> None:
    text = TEXTS[0]
    from_python = load(str(quantised)).label(text)
    assert from_python["entities"]
    assert spans([from_python]) == spans([load(str(knows_by_heart)).label(text)])
    assert Together([str(quantised)]).label([text]) == {str(quantised): [from_python]}


@pytest.mark.long
def test_the_service_opens_it_beside_a_model_of_pytorch(quantised: Path, knows_by_heart: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    from bertinchamps.serving.models import open_models

    config = composed("runtime=eager", "runtime.threads=1", command="serve")
    config.model = [str(quantised), str(knows_by_heart)]
    small, whole = open_models(config)
    pairs = [(text, None) for text in TEXTS]
    found = [
        [
            [(each["start"], each["end"], each["label"]) for each in own]
            for own in model.abilities["ner"](pairs)
        ]
        for model in (small, whole)
    ]
    assert found[0] == found[1]


@pytest.mark.long
def test_settings_that_the_graph_cannot_follow_are_told(quantised: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"runtime\.precision=bf16: runtime\.engine=onnx_int8 computes in float32"
    ):
        labelled(quantised, tmp_path, "runtime.precision=bf16")
    with pytest.raises(UserError, match=r"without weights for PyTorch; give runtime\.engine=onnx_int8"):
        labelled(quantised, tmp_path, "runtime.engine=torch")
    with pytest.raises(UserError, match=r"no model\.onnx in"):
        labelled(quantised, tmp_path, "runtime.engine=onnx")


def test_as_few_products_as_needed_stay_in_float32() -> None:
    order = [Sensitivity(Product(name, name, (2, 2)), 0.1, 0.2) for name in "abcd"]

    def gap_of(kept: Collection[str]) -> tuple[float, float]:
        return 1.0 - 0.3 * len(kept), 0.0

    assert [each.name for each in fewest_kept(order, 0.5, gap_of)] == ["a", "b"]
    assert fewest_kept(order, 1.0, gap_of) == []
    assert [each.name for each in fewest_kept(order, -1.0, gap_of)] == list("abcd")
    lines = sensitivity_lines(order)
    assert len(lines) == 5
    assert "score" not in lines[0]


def test_mistakes_are_told_at_once(
    knows_by_heart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def problems(steps: str, model: Path = knows_by_heart) -> list[str]:
        config = settings(f"model={model}", f"output={tmp_path / 'out'}", f"steps={steps}")
        return compressing.problems(config)

    (problem,) = problems("[{name: quantise, keep: 1, bound: 0.1}]")
    assert "give one; bound chooses how many stay" in problem
    assert len(problems("[{name: quantise, keep: -1, texts: 0, bound: 0}]")) == 3
    (problem,) = problems("[{name: quantise},{name: prune, layers: 1}]")
    assert "quantise comes last" in problem
    found = problems("[{name: quantise}]", save_masked_words(tmp_path / "words"))
    assert "takes models of finetune" in found[0]
    monkeypatch.setattr(onnx_format, "_installed", lambda name: name != "onnxruntime")
    (problem,) = problems("[{name: quantise}]")
    assert "needs onnxruntime: pip install 'bertinchamps[onnx]'" in problem

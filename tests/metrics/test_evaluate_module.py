"""The protocols as modules of `evaluate`: the same numbers, no network, and no file of the inputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

import bertinchamps.metrics
from annotated import documents
from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.metrics.classes import class_scores
from bertinchamps.metrics.counting import span_scores
from bertinchamps.metrics.evaluate_module import as_record
from bertinchamps.metrics.multi_label import multi_label_scores
from bertinchamps.metrics.nested_exact import nested_exact_scores
from bertinchamps.metrics.regression import regression_scores
from bertinchamps.metrics.strict_spans import strict_scores
from bertinchamps.metrics.token_labels import token_label_scores

ROOM = Path(bertinchamps.metrics.__file__).parent
SECRET = "Zébulonnier"
GOLD = AnnotatedText(
    "note", f"Madame {SECRET} tousse", (Entity("DISO", ((19, 25),)), Entity("LIVB", ((0, 18),)))
)
PREDICTED = GOLD._replace(entities=(Entity("DISO", ((19, 25),)), Entity("DISO", ((0, 6), (8, 18)))))

SPANS = ([as_record(GOLD)], [as_record(PREDICTED)])
LINKED = {**as_record(GOLD), "relations": [{"label": "NEAR", "head": 0, "tail": 1}]}
CASES: list[tuple[str, Any, Any]] = [
    ("strict_spans", SPANS, strict_scores([GOLD], [PREDICTED])),
    ("nested_exact", SPANS, nested_exact_scores([GOLD], [PREDICTED])),
    ("token_labels", ([["O", "B-X"]], [["O", "O"]]), token_label_scores([["O", "B-X"]], [["O", "O"]])),
    ("classes", (["a", "b"], ["a", "a"]), class_scores(["a", "b"], ["a", "a"])),
    (
        "multi_label",
        ([["a", "b"], []], [["b"], ["a"]]),
        multi_label_scores([("a", "b"), ()], [("b",), ("a",)]),
    ),
    ("regression", ([1.0, 2.5], [1.5, 2.0]), regression_scores([1.0, 2.5], [1.5, 2.0])),
    (
        "relations",
        ([LINKED], [LINKED]),
        {**span_scores(1, 0, 0), "types": {"NEAR": span_scores(1, 0, 0)}},
    ),
]

# Loads every module as a user of evaluate would, in a process that may not open a connection.
LOADS = """
import json, pathlib, socket, sys

def refused(*words, **settings):
    raise AssertionError("a connection was attempted")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refused
cases = json.load(sys.stdin)
import evaluate
for file, (references, predictions) in cases:
    module = evaluate.load(file)
    print(json.dumps(module.compute(references=references, predictions=predictions)))
"""


def test_evaluate_loads_each_file_and_gives_the_same_numbers_offline_and_without_files(
    tmp_path: Path,
) -> None:
    cases = [(str(ROOM / f"{name}.py"), sides) for name, sides, _ in CASES]
    result = subprocess.run(
        [sys.executable, "-c", LOADS],
        cwd=tmp_path,
        env={
            "PATH": "",
            "HOME": str(tmp_path),
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_OFFLINE": "1",
            "HF_EVALUATE_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOM.parents[1]),
        },
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert answers == [expected for *_, expected in CASES]
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in written if file.suffix == ".arrow"]
    assert all(SECRET.encode() not in file.read_bytes() for file in written)


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from bertinchamps.metrics.nested_exact import NestedExact
    from bertinchamps.metrics.strict_spans import StrictSpans

    cache = str(tmp_path_factory.mktemp("evaluate"))
    return {"strict": StrictSpans(cache_dir=cache), "nested": NestedExact(cache_dir=cache), "cache": cache}


@settings(max_examples=20, deadline=None)
@given(pair=documents())
def test_a_module_gives_the_numbers_of_its_function(
    modules: dict[str, Any], pair: tuple[AnnotatedText, AnnotatedText]
) -> None:
    gold, predicted = ([text] for text in pair)
    records = {"references": [as_record(pair[0])], "predictions": [as_record(pair[1])]}
    assert modules["strict"].compute(**records) == strict_scores(gold, predicted)
    assert modules["nested"].compute(**records) == nested_exact_scores(gold, predicted)
    assert not [file for file in Path(modules["cache"]).rglob("*") if file.is_file()]


def test_batches_added_one_after_the_other_are_kept_in_memory(modules: dict[str, Any]) -> None:
    strict = modules["strict"]
    for name in "ab":
        strict.add(
            reference=as_record(GOLD._replace(name=name)), prediction=as_record(PREDICTED._replace(name=name))
        )
    assert not [file for file in Path(modules["cache"]).rglob("*") if file.is_file()]
    assert strict.compute()["support"] == 4


def test_a_configuration_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    from bertinchamps.metrics.regression import Regression

    with pytest.raises(ValueError, match="one of: default"):
        Regression("numbers", cache_dir=str(tmp_path))


def test_scores_without_evaluate_do_not_import_it() -> None:
    code = (
        "import sys\n"
        "from bertinchamps.metrics import error_analysis, strict_spans\n"
        "from bertinchamps.metrics.protocols import PROTOCOLS\n"
        "assert len(PROTOCOLS) >= 8\n"
        "assert not {'evaluate', 'datasets', 'sklearn', 'torch'} & set(sys.modules)\n"
        "assert not hasattr(strict_spans, 'NoSuchName')\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Ten lines of Python: what `from bertinchamps import …` gives."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bertinchamps.api import Guess, fine_tune, load
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import relations_jsonl
from bertinchamps.training.run_files import read_facts
from support import QUICK, composed
from tiny_corpora import documents, related

QUICKLY = {"runtime": "eager", "runtime.threads": 1, "max_length": 48, "budget.epochs": 1}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    from bertinchamps.pretrain import pretrain

    folder = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTINCHAMPS_CACHE", str(cache))
        return pretrain(composed(*QUICK, "budget.steps=1", f"run_dir={folder / 'mine'}"))


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(cache))
    return cache


def examples(count: int) -> list[dict[str, Any]]:
    """Objects as lists of annotations have them."""
    return [
        {
            "text": document.text,
            "entities": [
                {"start": entity.start, "end": entity.end, "label": entity.label}
                for entity in document.entities
            ],
        }
        for document in documents(count)
    ]


def test_a_mask_is_filled(pretrained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    model = load(str(pretrained))
    assert "Loading weights" not in capfd.readouterr().err
    guesses = model.fill_mask("Le patient a une [MASK].", count=3)
    assert [type(guess) for guess in guesses] == [Guess] * 3
    assert [guess.probability for guess in guesses] == sorted((g.probability for g in guesses), reverse=True)
    for text in ("Le patient.", "[MASK] et [MASK]."):
        with pytest.raises(UserError, match=r"give one \[MASK\]"):
            model.fill_mask(text)
    with pytest.raises(UserError, match="fine_tune"):
        model.label("Le patient.")


def test_a_list_of_examples_makes_a_model_that_labels_as_the_command_does(
    pretrained: Path, own_cache: Path, tmp_path: Path
) -> None:
    from bertinchamps.predict import predict

    before = list(sys.argv)
    run = tmp_path / "tagger"
    settings = {**QUICKLY, "run_dir": str(run)}
    tagger = fine_tune(examples(12), str(pretrained), dev=examples(3), settings=settings)
    assert tagger.folder == run / "model"
    assert sys.argv == before
    assert "bertinchamps.finetune task=ner task.title=examples" in read_facts(run)["command"]
    assert not [file for file in run.rglob("*") if stat.S_IMODE(file.stat().st_mode) & 0o077]
    texts = [document.text for document in documents(2)]
    file = Path(yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["task"]["train"])
    assert file.parents[1] == own_cache / "temporary"
    assert not file.parent.exists()
    found = tagger.label(texts)
    assert tagger.label(texts[0])["entities"] == found[0]["entities"]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (tmp_path / "texts.jsonl").write_text(lines, encoding="utf-8")
    words = [f"model={run}", f"input={tmp_path / 'texts.jsonl'}", f"output={tmp_path / 'found.jsonl'}"]
    predict(composed(*words, "runtime=eager", command="predict"))
    written = (tmp_path / "found.jsonl").read_text(encoding="utf-8").splitlines()
    said = [entity for line in written for entity in json.loads(line)["entities"]]
    here = [entity for each in found for entity in each["entities"]]
    assert [list(entity.values())[:3] for entity in here] == [list(entity.values())[:3] for entity in said]
    confidences = [entity["confidence"] for entity in said]
    assert [entity["confidence"] for entity in here] == pytest.approx(confidences, abs=1e-3)
    with pytest.raises(UserError, match="fills no masks"):
        tagger.fill_mask("Une [MASK].")


def test_classes_come_from_labels(pretrained: Path, tmp_path: Path) -> None:
    notes = [
        {"text": f"note {n} de {'toux' if n % 2 else 'fracture'}", "label": "AB"[n % 2]} for n in range(20)
    ]
    settings = {**QUICKLY, "run_dir": str(tmp_path / "classes")}
    classifier = fine_tune(notes, str(pretrained), settings=settings)
    found = classifier.label("une toux")
    assert found["predicted"] in ("A", "B")
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    with pytest.raises(UserError, match="one text at a time"):
        classifier.label("une toux", pair="une autre")


def test_relations_need_entities_which_another_model_finds(pretrained: Path, tmp_path: Path) -> None:
    linked = [relations_jsonl.as_item(document) for document in related(16)]
    settings = {**QUICKLY, "runtime.threads": 1, "runs_dir": str(tmp_path)}
    linker = fine_tune(linked[:12], str(pretrained), dev=linked[12:], settings=settings)
    with pytest.raises(UserError, match="ner=MODEL"):
        linker.label(linked[0]["text"])
    tagger = fine_tune(examples(12), str(pretrained), dev=examples(3), settings=settings)
    found = load(str(linker.folder), ner=str(tagger.folder)).label(linked[0]["text"])
    assert set(found) == {"id", "text", "entities", "relations"}


@pytest.mark.parametrize(
    ("given", "settings", "told"),
    [
        ([], {}, "none of them has text and one of relations, entities, label"),
        ([{"text": "une toux"}], {}, "the first has text and one of"),
        (
            [{"text": "une toux", "entities": [{"start": 4, "end": 90, "label": "A"}]}],
            {},
            "train.jsonl: line 1",
        ),
        (examples(3), {"budget.epoch": 1}, "budget.epoch"),
    ],
)
def test_mistakes_are_named(
    given: list[dict[str, Any]], settings: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        fine_tune(given, "scratch", settings={**settings, "arch": "tiny", "runs_dir": str(tmp_path)})


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model is there"):
        load(str(tmp_path))


def test_the_package_itself_imports_nothing_that_takes_long() -> None:
    code = (
        "import sys, bertinchamps; assert not {'torch', 'transformers', 'hydra'} & sys.modules.keys();"
        "bertinchamps.nothing"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "has no attribute 'nothing'" in ended.stderr

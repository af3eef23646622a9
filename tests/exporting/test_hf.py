"""What `format=hf` writes is opened by transformers in a process that cannot import bertinchamps, with equal logits."""

from __future__ import annotations

import ast
import json
import os
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import FACTS, finetuned, pretrained, source_of

import warm
from bertinchamps.data import pretraining_facts
from bertinchamps.data.line_sets import digest_of, lines_of
from bertinchamps.errors import UserError
from bertinchamps.exporting import exporters
from bertinchamps.exporting.parity import compared, random_inputs, random_words
from bertinchamps.exporting.remote_code import files
from bertinchamps.model.encoders import open_tokenizer
from bertinchamps.model.heads.nested import NestedTagger
from support import NO_HUB

# architecture, head, whether code may lie beside the weights, and the class that opens the result
STOCK = [
    ("modern", None, "ModernBertForMaskedLM"),
    ("bert_base", None, "BertForMaskedLM"),
    ("modern", "flat", "ModernBertForTokenClassification"),
    ("bert_base", "flat", "BertForTokenClassification"),
    ("modern", "classes", "ModernBertForSequenceClassification"),
    ("bert_base", "number", "BertForSequenceClassification"),
    ("camembert", None, "CamembertForMaskedLM"),
    ("camembert", "classes", "CamembertForSequenceClassification"),
    ("camembert", "number", "CamembertForSequenceClassification"),
    ("roberta", "choices", "RobertaForSequenceClassification"),
]
REMOTE = [
    ("crammed", None, "BertinchampsForMaskedLM"),
    ("crammed", "flat", "BertinchampsForTokenClassification"),
    ("crammed", "classes", "BertinchampsForSequenceClassification"),
    ("crammed", "number", "BertinchampsForSequenceClassification"),
    ("crammed", "nested", "SpanClassifier"),
    ("camembert", "nested", "SpanClassifier"),
]
CASES = [(*case, False) for case in STOCK] + [(*case, True) for case in REMOTE]

# Reads cases, writes what the models give; whatever asks for bertinchamps fails.
PROGRAM = """
import contextlib, importlib.abc, io, json, sys
class Refused(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "bertinchamps":
            raise ImportError("bertinchamps is not installed here")
assert "bertinchamps" not in sys.modules
sys.meta_path.insert(0, Refused())
import torch, transformers
from safetensors.torch import load_file, save_file
transformers.dynamic_module_utils.HF_MODULES_CACHE = sys.argv[2]
for folder, auto, remote, code in json.load(open(sys.argv[1])):
    inputs = load_file(f"{folder}.inputs")
    model = getattr(transformers, auto).from_pretrained(folder, trust_remote_code=remote).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=remote)
    assert tokenizer("Le patient tousse.").input_ids
    with torch.no_grad():
        logits = model(**inputs).logits
    name = torch.tensor(list(type(model).__name__.encode()))
    save_file({"logits": logits.contiguous(), "name": name}, f"{folder}.outputs")
    told, shown = {}, io.StringIO()  # what the card says of the use
    with contextlib.redirect_stdout(shown):
        exec(code.replace("MODEL", folder), told)
    if isinstance(told["model"], transformers.Pipeline):
        assert told["model"](f"Le patient {tokenizer.mask_token}."), folder
try:
    import bertinchamps
except ImportError:
    print("refused")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exporting")


@pytest.fixture(scope="module")
def model_at(place: Path) -> Any:
    """Makes a model once: its folder."""

    @cache
    def made(arch: str, head: str | None) -> Path:
        encoder = place / arch
        if not encoder.exists():
            pretrained(arch, encoder)
        return encoder if head is None else finetuned(encoder, head, place / f"{arch}_{head}")

    return made


@pytest.fixture(scope="module")
def elsewhere(
    place: Path, model_at: Any
) -> dict[tuple[str, str | None], tuple[torch.Tensor, torch.Tensor, str]]:
    """Of each case: what the original gives, what the exported model gives in another process, and its class there."""
    jobs, expected = [], {}
    for arch, head, _, remote in CASES:
        source, folder = source_of(model_at(arch, head), head), place / f"{arch}_{head}_exported"
        folder.mkdir()
        exporter = exporters.build("hf", remote_code=remote)
        assert exporter.problems(source) == []
        lines = exporter.export(source, folder)
        auto = lines[1].split("transformers.")[1].split(".")[0]
        model = source.model()
        inputs = random_inputs(source.tokenizer(), getattr(model, "model", model))
        expected[arch, head] = wanted(model, inputs, head)
        if head == "nested":
            words = random_words(inputs["attention_mask"])
            inputs |= {"first_subwords": words.first, "last_subwords": words.last}
        save_file(inputs, f"{folder}.inputs")
        jobs.append((str(folder), auto, remote, exporter.use().code))
    (place / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | NO_HUB
    words = ["-c", PROGRAM, str(place / "jobs.json"), str(place / "modules")]
    done = warm.run(words, place, environment | {"OMP_NUM_THREADS": "1"}, "", 120, "hub")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "refused\n"
    found = {}
    for (arch, head, _, _), (folder, *_) in zip(CASES, jobs, strict=True):
        given = load_file(f"{folder}.outputs")
        found[arch, head] = (expected[arch, head], given["logits"], bytes(given["name"].tolist()).decode())
    return found


def wanted(model: Any, inputs: dict[str, torch.Tensor], head: str | None) -> torch.Tensor:
    """What a model gives, in the unit of the targets."""
    with torch.no_grad():
        if isinstance(model, NestedTagger):
            return model(inputs, random_words(inputs["attention_mask"]))  # type: ignore[no-any-return]
        logits: torch.Tensor = getattr(model, "model", model)(**inputs).logits
    facts = FACTS.get(head or "")
    return logits if facts is None else logits * facts.deviation + facts.mean


@pytest.mark.parametrize(("arch", "head", "opened", "remote"), CASES)
def test_the_logits_are_equal_where_bertinchamps_cannot_be_imported(
    elsewhere: Any, place: Path, arch: str, head: str | None, opened: str, remote: bool
) -> None:
    ours, theirs, name = elsewhere[arch, head]
    assert name == opened
    if head == "nested":
        rows, columns = torch.triu_indices(ours.shape[1], ours.shape[2])
        ours, theirs = ours[:, rows, columns], theirs[:, rows, columns]
    mask = load_file(place / f"{arch}_{head}_exported.inputs")["attention_mask"].bool()
    if ours.shape[:2] == mask.shape:
        ours, theirs = ours[mask], theirs[mask]
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)
    assert ours.std() > 0.01
    code = {file.name for file in (place / f"{arch}_{head}_exported").glob("*.py")}
    assert code == ({"configuration_bertinchamps.py", "modeling_bertinchamps.py"} if remote else set())


def test_nothing_in_an_exported_directory_names_a_place(elsewhere: Any, place: Path) -> None:
    for folder in place.glob("*_exported"):
        for file in folder.iterdir():
            if file.suffix != ".safetensors":
                assert str(place) not in file.read_text(encoding="utf-8"), file


def test_what_pretraining_saw_is_remembered_without_names_of_files(tmp_path: Path, model_at: Any) -> None:
    folder, place = tmp_path / "model", tmp_path / "exported"
    shutil.copytree(model_at("modern", None), folder)
    place.mkdir()
    texts = ["Le patient tousse depuis trois semaines et ne dort plus."]
    sets = [
        {"name": "secret/file.txt", "digest": digest_of(lines_of(texts)), "lines": 1, "short_lines": 0}
        | {"lines_found": 1, "lines_whole": 1, "lines_left": 0}
    ]
    facts = {
        "format": 1,
        "corpus": "abc",
        "objective": "mlm",
        "spent": {},
        "overlap": [{"action": "cut", "sets": sets}],
    }
    pretraining_facts.write_facts(facts, folder)
    exporters.build("hf").export(source_of(folder), place)
    assert "secret" not in (place / pretraining_facts.FILE).read_text(encoding="utf-8")
    seen = pretraining_facts.seen(pretraining_facts.read_facts(str(place)), texts)
    assert (seen["measured"], seen["found"], seen["left"]) == (True, 1, 0)


@pytest.mark.parametrize(
    ("arch", "head", "remote", "told"),
    [
        ("crammed", None, False, r"arch\.positions=scaled_sinusoidal: arch\.stock=modernbert needs rotary(.|\n)*"
         r"nearest: modernbert\); format\.remote_code=true writes"),
        ("crammed", "nested", False, r"head=nested: no stock class scores spans; format\.remote_code=true"),
        ("crammed", "windows", True, r"WindowsClassifier reads windows(.|\n)*bertinchamps\.predict"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_with_the_key_that_helps(
    tmp_path: Path, model_at: Any, arch: str, head: str | None, remote: bool, told: str
) -> None:
    source, exporter = source_of(model_at(arch, head), head), exporters.build("hf", remote_code=remote)
    with pytest.raises(UserError, match=told):
        exporter.export(source, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_classifier_with_the_pooler_of_cramming_is_refused_where_its_encoder_is_stock(
    tmp_path: Path,
) -> None:
    encoder = pretrained("modern", tmp_path / "encoder", pooler="cramming")
    source = source_of(finetuned(encoder, "classes", tmp_path / "model"), "classes")
    (place := tmp_path / "exported").mkdir()
    with pytest.raises(
        UserError, match=r"pooler=cramming(.|\n)*remote_code=true(.|\n)*finetune model=EXPORTED"
    ):
        exporters.build("hf").export(source, place)
    assert list(place.iterdir()) == []


def test_a_field_in_the_way_is_told_before_weights_are_read(tmp_path: Path, model_at: Any) -> None:
    source = source_of(model_at("crammed", None))
    found = exporters.build("hf").problems(source)
    assert found[0] == "arch.first_attention_norm=true: arch.stock=modernbert needs false"
    assert found[-1].endswith("format.remote_code=true writes the model with its code beside its weights")


def test_an_exported_model_with_another_weight_is_refused() -> None:
    logits = torch.randn(4, 5)
    assert compared(logits, logits + 1e-6).startswith("logits     differ from the original's by")
    for other in (logits + 1e-3, logits * torch.nan):
        with pytest.raises(UserError, match="another one, and was not kept"):
            compared(logits, other)


def test_the_code_beside_the_weights_needs_torch_and_transformers_alone(place: Path, elsewhere: Any) -> None:
    for file in (place / "crammed_nested_exported").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            roots = {name.split(".")[0] for name in names}
            assert roots <= {"torch", "transformers", *sys.stdlib_module_names}, file


def test_two_definitions_of_one_name_are_not_put_into_one_file() -> None:
    norms, positions = "bertinchamps.model.norms", "bertinchamps.model.positions"
    assert "def rmsnorm" in files([], [(norms, "build_norm")], "1")["modeling_bertinchamps.py"]
    with pytest.raises(ValueError, match=r"problems is a definition of .* rename one of them"):
        files(
            [],
            [("bertinchamps.training.checkpoint", "problems"), ("bertinchamps.checks.merging", "problems")],
            "1",
        )
    assert "class Rotary" in files([], [(positions, "POSITIONS")], "1")["modeling_bertinchamps.py"]


def test_the_span_model_gives_the_entities_of_words(place: Path, elsewhere: Any) -> None:
    from bertinchamps.exporting.spans import SpanClassifier

    folder = place / "crammed_nested_exported"
    model = SpanClassifier.from_pretrained(folder).eval()
    tokenizer = open_tokenizer(str(folder))
    texts = [["Le", "patient", "présente", "une", "toux", "."], ["Une", "fracture", "."]]
    encoded = tokenizer(texts, is_split_into_words=True, return_tensors="pt", padding=True)
    words = model.subwords([encoded.word_ids(row) for row in range(2)])
    assert words["first_subwords"].shape == (2, 6)
    assert (words["last_subwords"] >= words["first_subwords"]).all()
    with torch.no_grad():
        logits = model(**encoded, **words).logits
    alone = tokenizer([texts[1]], is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        of_one = model(**alone, **model.subwords([alone.word_ids(0)])).logits
    torch.testing.assert_close(logits[1, :3, :3].triu(), of_one[0].triu(), rtol=1e-4, atol=1e-4)
    logits[:] = -9.0
    logits[0, 1, 2, 0], logits[0, 1, 4, 1], logits[0, 3, 2, 0] = 0.0, 0.0, 5.0
    assert [(span.first, span.last, span.label) for span in model.entities(logits[0], 6)] == [(1, 2, "ANAT")]

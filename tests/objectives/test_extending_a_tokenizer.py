"""`tokenizer.extend`: words of the documents become entries of the base's tokenizer, and old rows stay."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from test_continuing import FIVE, QUICK, stopped_and_resumed, summary_of, went_on
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bertinchamps.checks.preparation import problems as problems_of_prepare
from bertinchamps.checks.pretraining import problems
from bertinchamps.contract import Document
from bertinchamps.data.tokenizer_extension import extend_tokenizer, read_parts
from bertinchamps.model.new_rows import with_new_rows, with_other_rows
from bertinchamps.objectives import build_objective
from bertinchamps.pretrain import open_corpus
from bertinchamps.schemas import TokenizerConfig
from bertinchamps.training.distributed import join
from families import draw_biases_of_entries, make_masked_lm, with_tokens_at_the_end
from support import composed, losses
from tiny_encoders import mobile_bert

NEW = ["bronchopneumopathie", "hypertriglyceridemie", "electrocardiogramme"]
OLD = ["Le patient a une pression de 12.", "La toux, et la fièvre : rien.", "œdème du pied gauche"]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    made = {family: make_masked_lm(family, folder / family) for family in FIVE}
    for base in made.values():
        draw_biases_of_entries(base)
    return made


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    file = tmp_path / "notes.jsonl"
    texts = [f"{n} Le patient a une {NEW[n % 3]}, et une {NEW[(n + 1) % 3]}. " * 8 for n in range(60)]
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return file


def words_for(notes: Path, *words: str) -> list[str]:
    quick = [word for word in QUICK if not word.startswith("data")]
    return [*quick, "data=files", f"data.files=[{notes}]", *words]


def settings(base: Path, notes: Path, *words: str) -> Any:
    return composed(*words_for(notes, f"model={base}", *words))


@pytest.mark.parametrize("family", FIVE)
def test_new_words_are_entries_and_old_texts_and_rows_stay(
    bases: dict[str, Path], notes: Path, tmp_path: Path, family: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = bases[family]
    config = settings(base, notes, "budget.steps=1", "tokenizer.extend=3", f"blocks.cache_dir={tmp_path}")
    corpus = open_corpus(config, join())
    said = capsys.readouterr()
    [line] = [each for each in (said.out + said.err).splitlines() if "pieces a word" in each]
    before, after = (float(part.split()[-1]) for part in line.split(" pieces")[0].split("→"))
    assert after < before
    theirs, ours = (AutoTokenizer.from_pretrained(folder) for folder in (base, corpus.tokenizer_folder))
    assert theirs(OLD)["input_ids"] == ours(OLD)["input_ids"]
    assert type(theirs) is type(ours)
    for word in NEW:
        [new] = ours(f"une {word}", add_special_tokens=False)["input_ids"][-1:]
        assert new >= len(theirs)
        text = f"Le patient a une {word}, hier."
        encoded = ours(text, return_offsets_mapping=True)
        start, end = encoded["offset_mapping"][encoded["input_ids"].index(new)]
        assert text[start:end].strip() == word
        assert ours.decode(encoded["input_ids"]).count(word) == 1
    objective: Any = build_objective(config, corpus, torch.device("cpu"))
    model = objective.build_model(None).model.eval()
    original = AutoModelForMaskedLM.from_pretrained(base).eval()
    parts = read_parts(corpus.tokenizer_folder)
    assert model.config.vocab_size >= max(parts) + 1
    rows = [each.get_input_embeddings().weight for each in (original, model)]
    assert torch.equal(rows[0][: len(theirs)], rows[1][: len(theirs)])
    for new, old in parts.items():
        torch.testing.assert_close(rows[1][new], rows[0][old].mean(0))
    ids = theirs(OLD[:1], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = [each(input_ids=ids).logits for each in (original, model)]
    assert torch.equal(logits[0][..., : len(theirs)], logits[1][..., : len(theirs)])
    new, old = next(iter(parts.items()))
    torch.testing.assert_close(logits[1][..., new], logits[0][..., old].mean(-1))  # biases, too


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("bert", "BertTokenizer"),
        ("roberta", "RobertaTokenizer"),
        ("camembert", "CamembertTokenizer"),  # has ids behind its vocabulary
        ("camembert", "DebertaV2Tokenizer"),
    ],
)
def test_classes_of_transformers_have_the_new_entries_and_all_old_ids(
    bases: dict[str, Path], tmp_path: Path, family: str, name: str
) -> None:
    base, extended = tmp_path / "base", tmp_path / "extended"
    shutil.copytree(bases[family], base)
    extended.mkdir()
    facts = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps({**facts, "tokenizer_class": name}))
    documents = [Document(f"une {word}, une {word}", "") for word in NEW]
    said: list[str] = []
    extend_tokenizer(base, TokenizerConfig(extend=2), documents, lambda _: False, extended, said.append)
    theirs, ours = (AutoTokenizer.from_pretrained(folder) for folder in (base, extended))
    assert type(theirs) is type(ours)
    assert ours.get_vocab().items() >= theirs.get_vocab().items()
    assert theirs(OLD)["input_ids"] == ours(OLD)["input_ids"]
    whole = [
        word for word in NEW if len(ours(f"une {word}")["input_ids"]) == len(ours("une")["input_ids"]) + 1
    ]
    assert len(whole) == 2
    assert not any(word in line for word in NEW for line in said)


def test_tokens_behind_the_vocabulary_keep_their_ids(tmp_path: Path) -> None:
    base, extended = with_tokens_at_the_end(tmp_path / "base"), tmp_path / "extended"
    extended.mkdir()
    documents = [Document(f"une {word}, une {word}", "") for word in NEW]
    extend_tokenizer(base, TokenizerConfig(extend=2), documents, lambda _: False, extended, lambda _: None)
    old, new = (AutoTokenizer.from_pretrained(folder).get_vocab() for folder in (base, extended))
    assert old.items() <= new.items()
    assert sorted(new[piece] for piece in new.keys() - old.keys()) == sorted(read_parts(extended))


@pytest.mark.parametrize("family", ["bert", "roberta", "camembert"])
def test_an_extended_run_is_opened_by_stock_classes_and_goes_on_without_its_base(
    bases: dict[str, Path], tmp_path: Path, family: str
) -> None:
    words = ["budget.steps=5", "tokenizer.extend=4"]
    base = tmp_path / family
    shutil.copytree(bases[family], base)
    whole = went_on(base, tmp_path / "whole", *words)
    model, tokenizer = (
        kind.from_pretrained(whole / "model") for kind in (AutoModelForMaskedLM, AutoTokenizer)
    )
    old = AutoTokenizer.from_pretrained(base)
    longest = max((token for token in tokenizer.get_vocab() if token not in old.get_vocab()), key=len)
    word = tokenizer.convert_tokens_to_string([longest]).strip()
    [new] = tokenizer(f"une {word}", add_special_tokens=False)["input_ids"][-1:]
    assert new == tokenizer.convert_tokens_to_ids(longest) >= len(old)
    logits = model(**tokenizer(f"une {word} {tokenizer.mask_token}", return_tensors="pt")).logits
    assert logits.shape[-1] == model.config.vocab_size > new
    scores = summary_of(whole)
    assert scores["held_out"]["loss"] < scores["held_out_before"]["loss"]
    assert scores["held_out"]["bits_per_character"] > 0
    halves = stopped_and_resumed(base, tmp_path / "halves", words, gone=True)
    assert losses(halves) == losses(whole)
    for name in ("tokenizer.json", "model.safetensors"):
        assert (halves / "model" / name).read_bytes() == (whole / "model" / name).read_bytes()


@torch.no_grad()
def test_entries_that_are_columns_of_a_head_are_means_too() -> None:
    model = mobile_bert()
    for weights in model.cls.predictions.parameters():
        torch.nn.init.normal_(weights)
    longer = with_new_rows(model, {50: [7, 9], 51: [8]}, "model=x").eval()
    ids = torch.arange(10)[None]
    before, after = (each(input_ids=ids).logits for each in (model, longer))
    assert torch.equal(after[..., :50], before)
    torch.testing.assert_close(after[..., 50], before[..., [7, 9]].mean(-1))
    torch.testing.assert_close(after[..., 51], before[..., 8])
    fewer = with_other_rows(model, [[0], [4, 5], [6]], {}, "model=x").eval()
    logits = fewer(input_ids=torch.tensor([[0, 2]])).logits
    expected = model(input_ids=torch.tensor([[0, 6]])).logits
    torch.testing.assert_close(
        logits, torch.stack((expected[..., 0], expected[..., [4, 5]].mean(-1), expected[..., 6]), -1)
    )


@pytest.mark.parametrize(
    ("family", "frozen", "entries"),
    [
        ("bert", "freeze.layers=1", "tokenizer.extend=4"),
        ("modernbert", "adapter=lora", "tokenizer.extend=4"),
        ("camembert", "freeze.layers=2", "tokenizer.replace=350"),
        ("roberta", "adapter=lora", "tokenizer.replace=350"),
    ],
)
def test_new_entries_are_trained_beside_what_is_frozen(
    bases: dict[str, Path], tmp_path: Path, family: str, frozen: str, entries: str
) -> None:
    words, base = ["budget.steps=4", frozen, entries], tmp_path / family
    shutil.copytree(bases[family], base)
    config = composed(*QUICK, f"model={base}", *words)
    begun: Any = build_objective(config, open_corpus(config, join()), torch.device("cpu")).build_model(None)
    before = {
        name.replace(".base_layer", ""): part.clone() for name, part in begun.model.state_dict().items()
    }
    whole = went_on(base, tmp_path / "whole", *words)
    model = AutoModelForMaskedLM.from_pretrained(whole / "model")
    changed = {name for name, part in model.state_dict().items() if not torch.equal(part, before[name])}
    embedding = model.get_input_embeddings()
    [tokens] = [f"{name}.weight" for name, part in model.named_modules() if part is embedding]
    moved = (embedding.weight != before[tokens]).any(1)
    new = len(AutoTokenizer.from_pretrained(base)) if "extend" in entries else 0
    assert moved[new:].any()
    assert {name for name in changed if ".embeddings." in name} == {tokens}
    adapted = ("query.weight", "key.weight", "value.weight", "Wqkv.weight")
    lowest = [name for name in changed if ".layer.0." in name or ".layers.0." in name]
    assert all(name.endswith(adapted) for name in lowest)
    assert bool(lowest) == (frozen == "adapter=lora")
    halves = stopped_and_resumed(base, tmp_path / "halves", words, gone=True)
    assert losses(halves) == losses(whole)
    one, two = ((run / "model" / "model.safetensors").read_bytes() for run in (whole, halves))
    assert one == two


def test_the_corpus_changes_with_the_words_and_mistakes_are_told(bases: dict[str, Path], notes: Path) -> None:
    base = bases["bert"]
    names = [
        open_corpus(settings(base, notes, *words), join()).fingerprint
        for words in ([], ["tokenizer.extend=1"], ["tokenizer.extend=2"])
    ]
    assert len(set(names)) == 3
    first = open_corpus(settings(base, notes, "tokenizer.extend=1"), join())
    notes.write_text(notes.read_text().replace(NEW[0], "tomodensitométrie"))
    second = open_corpus(settings(base, notes, "tokenizer.extend=1"), join())
    assert first.tokenizer_folder != second.tokenizer_folder
    said = "\n".join(problems(settings(base, notes, "budget.steps=1", "tokenizer.extend=0")))
    assert "tokenizer.extend=0: must be at least 1" in said
    said = "\n".join(problems(composed(*words_for(notes, "budget.steps=1", "tokenizer.extend=5"))))
    assert "tokenizer.extend=5: of a model that is trained further" in said
    told = problems_of_prepare(composed("data=demo", "tokenizer.extend=5", command="prepare"))
    assert any("tokenizer.extend=5: of a tokenizer that exists" in problem for problem in told)

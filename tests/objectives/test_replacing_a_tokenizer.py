"""`tokenizer.replace`: a vocabulary of the documents in the base's tokenizer; rows of shared pieces stay."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from test_continuing import FIVE, configured, stopped_and_resumed, summary_of, went_on
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bertinchamps.checks.preparation import problems as problems_of_prepare
from bertinchamps.checks.pretraining import problems
from bertinchamps.contract import Document
from bertinchamps.data.preparation import prepare
from bertinchamps.data.sources import sources
from bertinchamps.data.tokenizer import SPECIAL_TOKENS
from bertinchamps.data.tokenizer_replacement import read_replacement, replace_tokenizer
from bertinchamps.errors import UserError
from bertinchamps.objectives import build_objective
from bertinchamps.objectives.continuing import Base
from bertinchamps.pretrain import open_corpus
from bertinchamps.schemas import TokenizerConfig
from bertinchamps.training.distributed import join
from families import draw_biases_of_entries, make_masked_lm, with_tokens_at_the_end
from support import composed, losses
from tiny_encoders import TEXTS

N = 350
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    made = {family: make_masked_lm(family, folder / family) for family in FIVE}
    made["last"] = with_tokens_at_the_end(folder / "last")
    for base in made.values():
        draw_biases_of_entries(base)
    return made


def documents() -> list[Document]:
    return list(sources.build("demo", documents=60, seed=0).documents())


def replaced(base: Path, folder: Path, number: int = N) -> list[str]:
    """Replace a tokenizer, without held-out documents; what was told."""
    folder.mkdir(parents=True)
    said: list[str] = []
    config = TokenizerConfig(replace=number)
    replace_tokenizer(base, config, documents(), lambda _: False, folder, said.append)
    return said


def without_ids(folder: Path) -> dict[str, Any]:
    """What tokenizer.json says besides entries and ids."""
    content: dict[str, Any] = json.loads((folder / "tokenizer.json").read_bytes())
    model = {
        key: value for key, value in content["model"].items() if key not in ("vocab", "merges", "unk_id")
    }
    content["added_tokens"] = [{**token, "id": 0} for token in content["added_tokens"]]
    text = json.dumps({**content, "model": model, "post_processor": None})
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize("family", [*FIVE, "last"])
def test_a_vocabulary_of_the_documents_in_the_base_whose_shared_rows_stay(
    bases: dict[str, Path], tmp_path: Path, family: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = bases[family]
    config = configured(
        base, "budget.steps=1", f"tokenizer.replace={N}", f"blocks.cache_dir={tmp_path / 'cache'}"
    )
    assert problems(config) == []
    corpus = open_corpus(config, join())
    told = capsys.readouterr()
    said = told.out + told.err
    theirs, ours = (AutoTokenizer.from_pretrained(folder) for folder in (base, corpus.tokenizer_folder))
    old, new = theirs.get_vocab(), ours.get_vocab()
    assert type(theirs) is type(ours)
    assert sorted(new.values()) == list(range(N))
    shared = old.keys() & new.keys()
    assert f"{len(shared)} of {N} entries" in said
    [before, after] = map(
        float, re.findall(r"([\d.]+) → ([\d.]+) pieces a word on held-out documents", said)[0]
    )
    assert after < before
    assert without_ids(base) == without_ids(corpus.tokenizer_folder)
    added = theirs.get_added_vocab().keys()
    assert added == ours.get_added_vocab().keys()
    assert theirs.special_tokens_map == ours.special_tokens_map
    if family != "last":
        assert {token: old[token] for token in added} == {token: new[token] for token in added}
    text = documents()[3].text[:100]
    encoded = ours(text, return_offsets_mapping=True)
    tokens = ours.convert_ids_to_tokens(encoded["input_ids"])
    assert (tokens[0], tokens[-1]) == (ours.cls_token, ours.sep_token)
    covered = {at for start, end in encoded["offset_mapping"] for at in range(start, end)}
    assert all(at in covered for at, letter in enumerate(text) if not letter.isspace())
    assert ours.unk_token_id not in encoded["input_ids"]
    objective: Any = build_objective(config, corpus, CPU)
    model, original = (
        objective.build_model(None).model.eval(),
        AutoModelForMaskedLM.from_pretrained(base).eval(),
    )
    check_rows(original, model, old, new, corpus.tokenizer_folder)
    named = ("pad_token_id", "cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id")
    for name in named:
        index = getattr(original.config, name, None)
        expected = None if index is None else new[theirs.convert_ids_to_tokens(index)]
        assert getattr(model.config, name, None) == expected
    check_logits(original, model, theirs, ours, sorted(shared - added))


def check_rows(original: Any, model: Any, old: dict[str, int], new: dict[str, int], folder: Path) -> None:
    """Rows of shared entries are the base's, others means of their parts; so are the biases of the head."""
    assert model.config.vocab_size == N
    found = read_replacement(folder)
    assert found is not None
    for each in ("get_input_embeddings", "get_output_embeddings"):
        before, after = (getattr(whole, each)() for whole in (original, model))
        assert after.weight.shape[0] == N
        for piece, index in new.items():
            parts = [old[piece]] if piece in old else found.parts[index]
            torch.testing.assert_close(after.weight[index], before.weight[parts].mean(0))
            if getattr(after, "bias", None) is not None:
                torch.testing.assert_close(after.bias[index], before.bias[parts].mean())
    assert any(len(parts) > 1 for parts in found.parts)


@torch.no_grad()
def check_logits(original: Any, model: Any, theirs: Any, ours: Any, pieces: list[str]) -> None:
    """A row of shared pieces has the states that it had, and the logits of shared pieces."""
    row = pieces[:: max(1, len(pieces) // 20)]
    states, logits = [], []
    for whole, tokenizer in ((original, theirs), (model, ours)):
        tokens = [tokenizer.cls_token, *row, tokenizer.mask_token, tokenizer.sep_token, tokenizer.pad_token]
        ids = torch.tensor([tokenizer.convert_tokens_to_ids(tokens)])
        output = whole(input_ids=ids, output_hidden_states=True)
        states.append(output.hidden_states[-1])
        logits.append(output.logits[..., tokenizer.convert_tokens_to_ids(pieces)])
    assert torch.equal(*states)
    torch.testing.assert_close(*logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta", "camembert"])
def test_a_run_is_opened_by_stock_classes_and_goes_on_bit_for_bit_without_its_base(
    bases: dict[str, Path], tmp_path: Path, family: str
) -> None:
    words, base = ["budget.steps=5", f"tokenizer.replace={N}"], tmp_path / family
    shutil.copytree(bases[family], base)
    whole = went_on(base, tmp_path / "whole", *words)
    model, tokenizer = (
        kind.from_pretrained(whole / "model") for kind in (AutoModelForMaskedLM, AutoTokenizer)
    )
    assert type(model).__name__.lower().startswith(family)
    assert model.config.vocab_size == len(tokenizer) == N
    ids = tokenizer(f"une {tokenizer.mask_token} du fémur", return_tensors="pt")
    assert tokenizer.mask_token_id in ids["input_ids"]
    assert model(**ids).logits.shape[-1] == N
    scores = summary_of(whole)
    assert scores["held_out"]["loss"] < scores["held_out_before"]["loss"]
    assert scores["held_out"]["bits_per_character"] > 0
    halves = stopped_and_resumed(base, tmp_path / "halves", words, gone=True)
    assert losses(halves) == losses(whole)
    for name in ("tokenizer.json", "model.safetensors", "config.json"):
        assert (halves / "model" / name).read_bytes() == (whole / "model" / name).read_bytes()


def base_with_our_names(kind: str, folder: Path) -> Path:
    """A tokenizer with the names of our special tokens, which is opened without transformers."""
    tokenizer: Any = Tokenizer(
        getattr(models, kind)(**({"unk_token": "[UNK]"} if kind == "WordPiece" else {}))
    )
    tokenizer.pre_tokenizer = {
        "WordPiece": pre_tokenizers.BertPreTokenizer,
        "BPE": pre_tokenizers.ByteLevel,
        "Unigram": pre_tokenizers.Metaspace,
    }[kind]()
    unknown = {"unk_token": "[UNK]"} if kind == "Unigram" else {}
    trainer = getattr(trainers, {"BPE": "BpeTrainer"}.get(kind, f"{kind}Trainer"))(
        vocab_size=300, special_tokens=list(SPECIAL_TOKENS), show_progress=False, **unknown
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return folder


def test_the_same_documents_give_the_same_vocabulary_in_another_process(tmp_path: Path) -> None:
    bases = [base_with_our_names(kind, tmp_path / kind) for kind in ("WordPiece", "BPE", "Unigram")]
    code = """
import sys
from pathlib import Path
from bertinchamps.data.sources import sources
from bertinchamps.data.tokenizer import SPECIAL_TOKENS
from bertinchamps.data.tokenizer_replacement import replace_tokenizer
from bertinchamps.schemas import TokenizerConfig
documents = list(sources.build("demo", documents=60, seed=0).documents())
for base in map(Path, sys.argv[2:]):
    folder = Path(sys.argv[1]) / base.name
    folder.mkdir(parents=True)
    replace_tokenizer(base, TokenizerConfig(replace=350), documents, lambda _: False, folder, lambda _: None)
"""
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "there"), *map(str, bases)],
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    for base in bases:
        replaced(base, tmp_path / "here" / base.name)
        for name in ("tokenizer.json", "replacement.json"):
            one, other = ((tmp_path / place / base.name / name).read_bytes() for place in ("here", "there"))
            assert one == other


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("bert", "BertTokenizer"),
        ("roberta", "RobertaTokenizer"),
        ("camembert", "CamembertTokenizer"),  # has ids behind its vocabulary
        ("camembert", "XLMRobertaTokenizer"),
        ("camembert", "DebertaV2Tokenizer"),
    ],
)
def test_classes_of_transformers_open_the_new_vocabulary(
    bases: dict[str, Path], tmp_path: Path, family: str, name: str
) -> None:
    base = tmp_path / "base"
    shutil.copytree(bases[family], base)
    facts = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps({**facts, "tokenizer_class": name}))
    said = replaced(base, tmp_path / "new", 300)
    theirs, ours = (AutoTokenizer.from_pretrained(folder) for folder in (base, tmp_path / "new"))
    assert type(theirs).__name__ == type(ours).__name__ == name
    assert len(ours) == 300
    assert [theirs.unk_token_id, theirs.pad_token_id] == [ours.unk_token_id, ours.pad_token_id]
    text = documents()[3].text
    assert len(ours(text)["input_ids"]) < len(theirs(text)["input_ids"])
    assert not any(word in line for word in ("patient", "fracture") for line in said)


def test_a_corpus_that_was_prepared_is_the_one_that_training_finds(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    base, words = bases["camembert"], [f"tokenizer.replace={N}", f"blocks.cache_dir={tmp_path}"]
    found = open_corpus(configured(base, *words), join())
    settings = ["data=demo", "data.documents=60", "blocks.sequence_length=32", "blocks.held_out_share=0.2"]
    config = composed(*settings, f"tokenizer.path={base}", *words, command="prepare")
    assert prepare(config, lambda _: None).folder == found.folder
    others = [
        open_corpus(configured(base, *other, words[1]), join()).fingerprint
        for other in ([], ["tokenizer.replace=300"], ["tokenizer.replace=300", "tokenizer.min_frequency=5"])
    ]
    assert len({found.fingerprint, *others}) == 4
    other = Base(configured(bases["roberta"], *words), found)
    with pytest.raises(UserError, match=r"not the one whose vocabulary that of the corpus .* replaces"):
        other.build({})


def test_mistakes_are_told(bases: dict[str, Path], tmp_path: Path) -> None:
    base = bases["bert"]

    def told(*words: str) -> str:
        return "\n".join(problems(configured(base, "budget.steps=1", *words)))

    assert "tokenizer.replace=0: must be at least 1; null: the vocabulary stays" in told(
        "tokenizer.replace=0"
    )
    both = told("tokenizer.replace=9", "tokenizer.extend=9")
    assert "tokenizer.extend=9, tokenizer.replace=9: a new vocabulary has the words" in both
    assert "tokenizer.min_frequency=0: must be" in told("tokenizer.replace=9", "tokenizer.min_frequency=0")
    assert "brings its own tokenizer" in told("tokenizer.min_frequency=3")
    assert told("tokenizer.replace=9", "tokenizer.min_frequency=3") == ""
    said = "\n".join(problems(composed("data=demo", "budget.steps=1", "tokenizer.replace=9")))
    assert "tokenizer.replace=9: of a model that is trained further" in said
    said = "\n".join(problems_of_prepare(composed("data=demo", "tokenizer.replace=9", command="prepare")))
    assert "tokenizer.replace=9: of a tokenizer that exists" in said
    for family in ("bert", "roberta", "camembert"):
        with pytest.raises(UserError, match=r"tokenizer\.replace=20: .*; at least that many") as caught:
            replaced(bases[family], tmp_path / family, 20)
        [least] = re.findall(r"are (\d+) entries", str(caught.value))
        assert f"{least} entries from" in replaced(bases[family], tmp_path / f"{family}_least", int(least))[0]
    other = tmp_path / "words"
    shutil.copytree(base, other)
    content = json.loads((other / "tokenizer.json").read_bytes())
    content["model"] = {"type": "WordLevel", "vocab": content["model"]["vocab"], "unk_token": "[UNK]"}
    (other / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(
        UserError, match="is WordLevel, and WordPiece, Unigram and byte-level BPE can be replaced"
    ):
        replaced(other, tmp_path / "new")

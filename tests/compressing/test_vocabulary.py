"""Tokenizers with fewer entries: texts of used pieces are cut as before, and any text still can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models

from bertinchamps.compressing.trim import pieces_of, with_rows
from bertinchamps.compressing.vocabulary import trimmed
from bertinchamps.errors import UserError
from bertinchamps.model.encoders import EncoderSource, open_model, open_tokenizer
from tiny_encoders import FAMILIES, TEXTS, make_encoder, mobile_bert

USED, OTHERS = TEXTS[:2], TEXTS[2:4]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    return {family: make_encoder(family, folder / family) for family in FAMILIES}


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return list(tokenizer.encode(text, add_special_tokens=False).tokens)


def cut(content: dict[str, Any], texts: list[str]) -> tuple[Tokenizer, Tokenizer, list[int]]:
    before = Tokenizer.from_str(json.dumps(content))
    content, old = trimmed(content, {piece for text in texts for piece in pieces(before, text)})
    return before, Tokenizer.from_str(json.dumps(content)), old


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_have_the_same_pieces_and_fewer_entries_are_left(family: str, encoders: Any) -> None:
    content = json.loads((encoders[family] / "tokenizer.json").read_text(encoding="utf-8"))
    before, after, old = cut(content, USED)
    assert [pieces(after, text) for text in USED] == [pieces(before, text) for text in USED]
    assert len(old) == after.get_vocab_size() < before.get_vocab_size()
    # an id stands for the piece that it stood for, special tokens and those put around a text included
    for text in USED:
        assert [old[at] for at in after.encode(text).ids] == before.encode(text).ids
        pair = [tokenizer.encode(text, text).ids for tokenizer in (after, before)]
        assert [old[at] for at in pair[0]] == pair[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_other_texts_are_cut_into_smaller_pieces_and_nothing_becomes_unknown(
    family: str, encoders: Any
) -> None:
    content = json.loads((encoders[family] / "tokenizer.json").read_text(encoding="utf-8"))
    before, after, _ = cut(content, USED)
    unknown = ("[UNK]", "<unk>")
    for text in OTHERS:
        cut_now, cut_then = pieces(after, text), pieces(before, text)
        assert len(cut_now) >= len(cut_then)
        assert [piece for piece in cut_now if piece in unknown] == [p for p in cut_then if p in unknown]
        assert "".join(cut_now).replace("##", "") == "".join(cut_then).replace("##", "")


def test_a_piece_that_no_kept_entry_covers_stays() -> None:
    vocabulary = {"[UNK]": 0, "œdème": 1, "œd": 2, "##ème": 3, "le": 4, "l": 5, "##e": 6}
    model = models.WordPiece(vocabulary, unk_token="[UNK]")
    content = json.loads(Tokenizer(model).to_str())
    _, after, _ = cut(content, ["le"])
    # œ and ##d are no entries, so œd stays; œdème is cut into œd and ##ème, which stays for the same reason
    assert set(after.get_vocab()) == {"[UNK]", "œd", "##ème", "le", "l", "##e"}


def test_merges_stay_that_build_a_kept_piece_and_no_others() -> None:
    vocabulary = {piece: at for at, piece in enumerate(["a", "b", "c", "ab", "bc", "abc", "cc"])}
    merges = [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc"), ("c", "c")]
    content = json.loads(Tokenizer(models.BPE(vocabulary, merges)).to_str())
    _, after, _ = cut(content, ["abc"])
    assert set(after.get_vocab()) == {"a", "b", "c", "ab", "abc"}
    assert pieces(after, "abccc") == ["abc", "c", "c"]


def test_the_unlikeliest_piece_of_unigram_stays_as_it_scores_unknown_text() -> None:
    entries = [("<unk>", 0.0), ("le", -1.0), ("la", -2.0), ("lalala", -9.0), ("l", -5.0)]
    content = json.loads(Tokenizer(models.Unigram(entries, unk_id=0)).to_str())
    _, after, _ = cut(content, ["le"])
    assert set(after.get_vocab()) == {"<unk>", "le", "l", "lalala"}


def test_a_tokenizer_of_another_type_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"trim knows WordPiece, BPE, Unigram, WordLevel tokenizers, .* Other"
    ):
        trimmed({"model": {"type": "Other", "vocab": {}}}, [])


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_of_kept_entries_stay(family: str, encoders: Any) -> None:
    source = EncoderSource(str(encoders[family]), with_head=True)
    model = open_model("AutoModelForMaskedLM", source, None).eval()
    content = json.loads((encoders[family] / "tokenizer.json").read_text(encoding="utf-8"))
    _, after, old = cut(content, USED)
    small: Any = with_rows(model, old)
    now = torch.tensor([after.encode(USED[0]).ids])
    then = torch.tensor([[old[at] for at in now[0].tolist()]])
    with torch.no_grad():
        hidden = [each.base_model(ids).last_hidden_state for each, ids in ((small, now), (model, then))]
        logits = [small(now).logits, model(then).logits[..., old]]
    assert torch.equal(*hidden)
    torch.testing.assert_close(*logits, rtol=0, atol=1e-6)
    assert type(small) is type(model)
    assert small.config.vocab_size == len(old) == small.get_output_embeddings().weight.shape[0]
    if model.config.tie_word_embeddings:
        assert small.get_output_embeddings().weight is small.get_input_embeddings().weight
    assert small.config.pad_token_id == open_tokenizer(str(encoders[family])).pad_token_id


@torch.no_grad()
def test_a_head_with_entries_in_columns_keeps_its_logits() -> None:
    model = mobile_bert()
    small: Any = with_rows(model, [0, 7, 30])
    logits = small(torch.tensor([[1, 2]])).logits
    torch.testing.assert_close(logits, model(torch.tensor([[7, 30]])).logits[..., [0, 7, 30]])


def test_all_of_a_long_text_is_counted_and_names_of_special_tokens_are_text(encoders: Any) -> None:
    tokenizer = open_tokenizer(str(encoders["bert"]))
    tokenizer.backend_tokenizer.enable_truncation(4)
    found = set(pieces_of(tokenizer, [" ".join(TEXTS[:4]) + " [SEP]"]))
    assert len(found) > 40
    assert "[SEP]" not in found

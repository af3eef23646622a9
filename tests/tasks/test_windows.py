"""Sentences, words and windows: every word once, offsets of the text as given, whatever the tokenizer."""

from __future__ import annotations

import itertools
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertinchamps.errors import UserError
from bertinchamps.model.encoders import open_tokenizer
from bertinchamps.spans import is_unseen
from bertinchamps.tasks.tagging.sentences import sentences
from bertinchamps.tasks.tagging.windows import SubwordTokenizer, Window, windows_of, words_of
from bertinchamps.tasks.texts.predictor import TextPredictor
from bertinchamps.tasks.texts.targets import SingleLabel
from tiny_encoders import FAMILIES, make_encoder

UNICODE = st.text(
    alphabet=st.characters(codec="utf-8") | st.sampled_from("aéœ' .\n\u0301\u200b\xa0\u00adß😀μ"),
    max_size=120,
)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("encoders")
    return {name: open_tokenizer(str(make_encoder(name, folder / name))) for name in FAMILIES}


def owned_words(windows: list[Window]) -> list[tuple[int, int]]:
    return [word for window in windows for word in window.words[slice(*window.owned)]]


def test_texts_together_have_the_windows_that_they_have_alone(
    tokenizers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["Une toux sèche. Une fièvre. Rien.", "", " \n", "Fracture du col du fémur. " * 4, "Le foie."]
    for family in FAMILIES:
        subwords = SubwordTokenizer(tokenizers[family], 16)
        alone = [
            window._replace(document=document)
            for document, text in enumerate(texts)
            for window in windows_of([text], subwords)
        ]
        for at_once in (1, 2, 256):  # more or fewer sentences than a text has
            monkeypatch.setattr("bertinchamps.tasks.tagging.windows.SENTENCES_AT_ONCE", at_once)
            assert list(windows_of(texts, subwords)) == alone


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=UNICODE, longest=st.integers(12, 40))
def test_every_visible_character_is_in_one_owned_word(
    tokenizers: dict[str, Any], family: str, text: str, longest: int
) -> None:
    subwords = SubwordTokenizer(tokenizers[family], longest)
    windows = list(windows_of([text], subwords))
    words = owned_words(windows)
    assert words == sorted(words)
    covered = [place for start, end in words for place in range(start, end)]
    assert len(covered) == len(set(covered))
    assert set(covered) >= {place for place, letter in enumerate(text) if not is_unseen(letter)}
    assert not any(is_unseen(text[place]) for word in words for place in (word[0], word[1] - 1))
    for window in windows:
        assert len(window.subwords) <= longest
        assert len(window.first_subwords) == len(window.words)
        assert all(0 <= first < len(window.subwords) for first in window.first_subwords)
        assert list(window.first_subwords) == sorted(window.first_subwords)


@pytest.mark.parametrize("family", FAMILIES)
def test_composed_and_decomposed_letters_have_their_own_offsets(
    tokenizers: dict[str, Any], family: str
) -> None:
    text = "Une fièvre élevée, un œdème."
    subwords = SubwordTokenizer(tokenizers[family], 40)
    for form in ("NFC", "NFD"):
        written = unicodedata.normalize(form, text)
        words = [written[start:end] for start, end in owned_words(list(windows_of([written], subwords)))]
        expected = ["Une", "fièvre", "élevée", ",", "un", "œdème", "."]
        assert [unicodedata.normalize("NFC", word) for word in words] == expected
        assert words == [unicodedata.normalize(form, word) for word in expected]


def test_a_window_reads_as_the_tokenizer_does(tokenizers: dict[str, Any]) -> None:
    text = "Le patient présente une toux sèche depuis l'hiver."
    for family, tokenizer in tokenizers.items():
        (window,) = windows_of([text], SubwordTokenizer(tokenizer, 64))
        assert list(window.subwords) == tokenizer(text)["input_ids"], family


@pytest.mark.parametrize("family", FAMILIES)
def test_names_of_special_tokens_in_a_text_are_text(tokenizers: dict[str, Any], family: str) -> None:
    tokenizer = tokenizers[family]
    names = [tokenizer.mask_token, tokenizer.sep_token, tokenizer.pad_token, tokenizer.cls_token]
    (window,) = windows_of(
        [f"La {names[0]} est {' '.join(names)}{names[0]}"], SubwordTokenizer(tokenizer, 128)
    )
    controls = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
    assert not controls & {*window.subwords[1:-1]}
    assert len(window.words) == len(words_of(f"La {names[0]} est {' '.join(names)}{names[0]}", 0, 99))
    predictor = TextPredictor(SingleLabel(), ("a",), tokenizer, 128, 8, torch.device("cpu"))
    alone, pair = predictor.encoded([(f"La {names[0]}", None)]), predictor.encoded([("La", names[1])])
    for example in (*alone, *pair):
        inside = [int(subword) for subword in example.subwords if int(subword) in controls]
        bare = tokenizer("a", "b" if example is pair[0] else None)["input_ids"]
        assert inside == [subword for subword in bare if subword in controls]


def test_a_word_of_which_nothing_is_left_is_still_read(tmp_path: Path) -> None:
    from bertinchamps.data.tokenizer_training import train_tokenizer
    from bertinchamps.schemas import TokenizerConfig

    config = TokenizerConfig(normalizer="paper", vocab_size=100, min_frequency=1)
    train_tokenizer(config, iter(["une dose de 500 mg par jour"] * 5), tmp_path, lambda message: None)
    tokenizer = open_tokenizer(str(tmp_path))
    (window,) = windows_of(["dose de 500 β par jour"], SubwordTokenizer(tokenizer, 64))
    assert [end - start for start, end in window.words] == [4, 2, 3, 1, 3, 4]
    assert window.subwords[window.first_subwords[3]] == tokenizer.unk_token_id


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mark", ["\u200b", "\u00ad", "\ufeff", "\u200d\u200b"])
def test_an_invisible_character_at_an_edge_is_of_no_word_and_its_pieces_stand_for_none(
    tokenizers: dict[str, Any], family: str, mark: str
) -> None:
    subwords = SubwordTokenizer(tokenizers[family], 64)
    text = f"{mark}Prise de{mark} l'{mark}aspirine{mark}, le soir{mark}"
    (window,) = windows_of([text], subwords)
    assert [text[start:end] for start, end in window.words] == [
        "Prise", "de", "l", "'", "aspirine", ",", "le", "soir",
    ]  # fmt: skip
    (plain,) = windows_of(["Prise de l'aspirine"], subwords)
    firsts = [window.subwords[first] for first in window.first_subwords]
    assert firsts[1] == plain.subwords[plain.first_subwords[1]]  # not that of the mark behind it


def test_an_invisible_character_inside_of_a_word_parts_it_only_where_it_is_a_space() -> None:
    for text, words in (
        ("aspi\u00adrine", 1),
        ("aspi\ufeffrine", 1),
        ("aspi\u200brine", 2),
        ("\u200b\ufeff", 0),
    ):
        assert len(words_of(text, 0, len(text))) == words


def test_a_long_sentence_is_windowed_and_not_cut(tokenizers: dict[str, Any]) -> None:
    text = "toux et fièvre " * 60
    windows = list(windows_of([text], SubwordTokenizer(tokenizers["bert"], 32)))
    assert len(windows) > 5
    assert owned_words(windows) == list(words_of(text, 0, len(text)))
    for before, after in itertools.pairwise(windows):
        assert after.words[0] in before.words  # they overlap
        edge = before.words.index(before.words[before.owned[1] - 1])
        assert len(before.words) - edge > 2  # and what is near the edge is left to the other


def test_words_that_are_given_are_the_words_of_one_sentence(tokenizers: dict[str, Any]) -> None:
    text = "Dr . Martin n' aujourd'hui 10 000 mg/j"
    given = ((0, 2), (3, 4), (5, 11), (12, 14), (15, 26), (27, 33), (34, 38))
    texts, own = [text, "Une toux. Rien.", ""], [given, None, ()]
    for family in FAMILIES:
        subwords = SubwordTokenizer(tokenizers[family], 64)
        first, *others = windows_of(texts, subwords, own)
        assert (first.words, first.owned, first.sentence) == (given, (0, 7), 0)
        assert first.subwords == tuple(tokenizers[family](text)["input_ids"])
        assert others == list(windows_of(texts, subwords))[-2:]


def test_sentences_are_those_of_the_paper() -> None:
    text = "Une toux sèche. Pas de fièvre !\nRetour à domicile"
    assert [text[start:end].strip() for start, end in sentences(text)] == [
        "Une toux sèche.", "Pas de fièvre !", "Retour à domicile",
    ]  # fmt: skip


def test_windows_without_room_are_refused(tokenizers: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="max_length=8"):
        SubwordTokenizer(tokenizers["bert"], 8)

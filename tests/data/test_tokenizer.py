"""Tokenizers: what a normaliser keeps, what training promises, what `AutoTokenizer` opens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from bertinchamps.data.continuations import CONTINUATION
from bertinchamps.data.normalizers import french, paper
from bertinchamps.data.sources import sources
from bertinchamps.data.tokenizer import (
    SPECIAL_TOKENS,
    open_tokenizer,
    tokenizer_problems,
    vocabulary,
)
from bertinchamps.data.tokenizer_training import train_tokenizer
from bertinchamps.data.vocabulary_training import TEXTS_AT_ONCE
from bertinchamps.data.word_cutting import word_cutter
from bertinchamps.errors import UserError
from bertinchamps.schemas import TokenizerConfig

SENTENCE = "Le patient, âgé de 65 ans, reçoit 500 µg : l'œdème régresse, 39 °C."


def demo_texts() -> Iterator[str]:
    return (document.text for document in sources.build("demo", documents=150, seed=0).documents())


def trained(folder: Path, texts: Iterator[str] | None = None, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = TokenizerConfig(**{"vocab_size": 600, **changes})
    train_tokenizer(config, demo_texts() if texts is None else texts, folder, lambda _: None)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return open_tokenizer(folder)


# ------------------------------------------------------------------------------- the normalisers


@pytest.mark.parametrize(
    "text",
    ["œdème", "500 µg", "39 °C", "sœur", "12 €", "≥ 3", "β-bloquant", "État É", "Œuvre", "10⁻³", "ß", "漢字"],
)
def test_french_keeps_letters_units_and_signs(text: str) -> None:
    assert french().normalize_str(text) == text


@pytest.mark.parametrize("space", ["\u00a0", "\u202f", "\u2009", "\u2007", "\u3000", "\t", "\n", "\u2028"])
def test_french_makes_every_space_a_space(space: str) -> None:
    assert french().normalize_str(f"500{space}µg") == "500 µg"


@pytest.mark.parametrize(
    ("typographic", "plain"),
    [("l’œil", "l'œil"), ("‘a’", "'a'"), ("« oui »", '" oui "'), ("“a” „b‟", '"a" "b"'), ("‹a›", "'a'")],
)
def test_french_unifies_quotes_apostrophes_and_guillemets(typographic: str, plain: str) -> None:
    assert french().normalize_str(typographic) == plain


@pytest.mark.parametrize("invisible", ["\u00ad", "\u200b", "\u200d", "\ufeff", "\u2060", "\x00", "\x1f"])
def test_french_removes_what_nobody_sees(invisible: str) -> None:
    assert french().normalize_str(f"œdè{invisible}me") == "œdème"


@pytest.mark.parametrize("invisible", ["", "\u200b", "\u00ad"])
def test_french_composes_a_letter_with_the_accent_that_follows_it(invisible: str) -> None:
    assert french().normalize_str(f"e{invisible}\u0301") == "é"


@settings(derandomize=True)  # a letter newer than one library's Unicode tables is no news
@given(st.text())
def test_french_gives_decomposed_text_what_it_gives_composed_text(text: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert french().normalize_str(decomposed) == french().normalize_str(composed)


@settings(derandomize=True)
@given(st.text())
def test_french_changes_nothing_the_second_time(text: str) -> None:
    once = french().normalize_str(text)
    assert french().normalize_str(once) == once


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("œdème", "deme"),
        ("500 µg", "500 g"),
        ("39 °C", "39 c"),
        ("sœur", "sur"),
        ("État", "etat"),
        ("12\u00a0€", "12"),
        ("≥ 3", " 3"),
    ],
)
def test_paper_does_to_french_what_the_authors_code_did(text: str, left: str) -> None:
    assert paper().normalize_str(text) == left


def test_the_normaliser_is_saved_with_the_tokenizer(tmp_path: Path, tokenizer: Tokenizer) -> None:
    paper_tokenizer = open_tokenizer(trained(tmp_path, normalizer="paper"))
    assert paper_tokenizer.normalizer.normalize_str("sœur") == "sur"
    assert tokenizer.normalizer.normalize_str("sœur") == "sœur"


# ---------------------------------------------------------------------------------- where words end


def words(text: str, **settings: bool) -> list[str]:
    cutter = word_cutter(**{"split_digits": False, "join_elisions": False, **settings})
    return [word for word, _ in cutter.pre_tokenize_str(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("l'enfant qu'il aime", ["l'", "enfant", "qu'", "il", "aime"]),
        ("Jusqu'à L'œdème (d'abord)", ["Jusqu'", "à", "L'", "œdème", "(", "d'", "abord", ")"]),
        (
            "aujourd'hui presqu'île",
            ["aujourd", "'", "hui", "presqu", "'", "île"],
        ),  # no elided word ends there
        (
            "l'«autre», 'l'autre' 5' n'",
            ["l", "'", "«", "autre", "»", ",", "'", "l'", "autre", "'", "5", "'", "n", "'"],
        ),
    ],
)
def test_an_elided_word_keeps_its_apostrophe(text: str, expected: list[str]) -> None:
    assert words(text, join_elisions=True) == expected


@settings(derandomize=True)
@given(st.text(st.one_of(st.sampled_from("lqu'’ -dC5°é$_"), st.characters(exclude_categories=["Cs"]))))
def test_words_differ_from_bert_in_elisions_and_digits_alone(text: str) -> None:
    text = french().normalize_str(text)
    apart = [
        piece
        for word in words(text, join_elisions=True)
        for piece in ([word[:-1], "'"] if word.endswith("'") and len(word) > 1 else [word])
    ]
    assert apart == words(text)
    assert "".join(words(text, split_digits=True)) == "".join(words(text))
    assert all(len(word) == 1 for word in words(text, split_digits=True) if word.isdecimal())


def test_a_trained_tokenizer_has_no_number_where_digits_are_apart(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    numbers = [f"Le {n} mai, l'eau à {n},5 °C, qu'il en soit {n * 7}." for n in range(300)]
    apart = open_tokenizer(trained(tmp_path, iter(numbers), split_digits=True, join_elisions=True))
    entries = set(apart.get_vocab())
    assert not {entry for entry in entries if entry.isdecimal() and len(entry) > 1}
    assert {"l'", "qu'"} <= entries
    assert apart.encode("qu'il 38,5", add_special_tokens=False).tokens == ["qu'", "il", "3", "8", ",", "5"]
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.tokenize("l'eau 12") == ["l'", "eau", "1", "2"]


# ---------------------------------------------------------------------------- transformers opens it


def test_auto_tokenizer_gives_the_ids_of_the_raw_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    from transformers import AutoTokenizer

    opened = AutoTokenizer.from_pretrained(folder)
    for text in (SENTENCE, "", "mot inconnu 漢字 🫨", "l’E\u0301tat"):
        raw = tokenizer.encode(text, add_special_tokens=False).ids
        assert opened(text, add_special_tokens=False)["input_ids"] == raw
        assert opened(text)["input_ids"] == tokenizer.encode(text).ids == [2, *raw, 3]


def test_auto_tokenizer_encodes_pairs_as_bert_does(folder: Path, tokenizer: Tokenizer) -> None:
    from transformers import AutoTokenizer

    first, second = (
        tokenizer.encode(text, add_special_tokens=False).ids for text in ("le patient", "la mer")
    )
    opened = AutoTokenizer.from_pretrained(folder)
    assert opened("le patient", "la mer")["input_ids"] == [2, *first, 3, *second, 3]
    encoding = tokenizer.encode("le patient", "la mer")
    assert encoding.type_ids == [0] * (len(first) + 2) + [1] * (len(second) + 1)


def test_auto_tokenizer_knows_the_special_tokens_by_role(folder: Path) -> None:
    from transformers import AutoTokenizer

    opened = AutoTokenizer.from_pretrained(folder)
    roles = ("pad", "unk", "cls", "sep", "mask")
    assert [getattr(opened, f"{role}_token_id") for role in roles] == [0, 1, 2, 3, 4]
    assert set(opened.all_special_ids) == {0, 1, 2, 3, 4}
    assert opened.model_max_length == 512


def test_auto_tokenizer_finds_offsets_in_the_original_text(folder: Path) -> None:
    from transformers import AutoTokenizer

    text = "l’œdème\u00a0: 500\u202fµg\u200b !"  # composed: else an offset ends before the last accent
    encoded = AutoTokenizer.from_pretrained(folder)(
        text, return_offsets_mapping=True, add_special_tokens=False
    )
    assert "".join(text[start:end] for start, end in encoded["offset_mapping"]) == "l’œdème:500µg!"


def test_decoding_gives_the_words_back(tokenizer: Tokenizer) -> None:
    text = "le patient a une fracture du fémur"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


class Shared:
    """What hypothesis' many calls of one test share."""

    tokenizer: Tokenizer


@pytest.fixture(autouse=True)
def share(tokenizer: Tokenizer) -> None:
    Shared.tokenizer = tokenizer


@settings(max_examples=300, derandomize=True)
@given(st.text(max_size=60))
def test_offsets_lie_in_the_original_text_and_never_go_back(text: str) -> None:
    before = 0
    for start, end in Shared.tokenizer.encode(text, add_special_tokens=False).offsets:
        assert before <= start < end <= len(text)
        before = start


# ------------------------------------------------------------------------------------- training


def test_special_tokens_have_the_first_ids_in_berts_order(tokenizer: Tokenizer) -> None:
    assert [tokenizer.id_to_token(index) for index in range(5)] == list(SPECIAL_TOKENS)
    assert SPECIAL_TOKENS == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def test_only_the_five_special_tokens_are_matched_as_wholes(folder: Path) -> None:
    added = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    assert [token["content"] for token in added] == list(SPECIAL_TOKENS)
    assert all(token["special"] for token in added)


def test_the_vocabulary_has_the_size_asked_for(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == 600
    assert sorted(tokenizer.get_vocab().values()) == list(range(600))


def test_every_letter_of_the_sample_is_known(tokenizer: Tokenizer) -> None:
    assert all(1 not in tokenizer.encode(text, add_special_tokens=False).ids for text in demo_texts())


def test_frequent_words_become_one_piece(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("patient", add_special_tokens=False).tokens == ["patient"]


def test_the_same_texts_give_the_same_bytes_in_another_process(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "other").mkdir()
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]);"
        "from test_tokenizer import trained; trained(Path(sys.argv[2]))"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "other")],
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "other" / name).read_bytes() == (folder / name).read_bytes()


def test_training_stops_reading_once_the_sample_is_complete(tmp_path: Path) -> None:
    taken = 0

    def texts() -> Iterator[str]:
        nonlocal taken
        for taken in range(1, 5001):
            yield f"mot numéro {taken:04}"

    trained(tmp_path, texts(), sample_characters=1500)
    assert taken == 100  # of 15 characters each


def test_training_holds_few_texts_at_a_time(tmp_path: Path) -> None:
    alive, most = 0, 0

    class Text(str):
        def __new__(cls, number: int) -> Text:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            return super().__new__(cls, f"le mot numéro {number}")

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    trained(tmp_path, (Text(number) for number in range(8 * TEXTS_AT_ONCE)))
    assert most < 4 * TEXTS_AT_ONCE


def test_training_leaves_nothing_but_the_tokenizer(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]


def test_training_on_no_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no text to train a tokenizer on"):
        trained(tmp_path, iter(()))


# --------------------------------------------------------------------------------- opening, facts


def test_opening_turns_cutting_and_padding_off(tmp_path: Path, folder: Path) -> None:
    cutting = Tokenizer.from_file(str(folder / "tokenizer.json"))
    cutting.enable_truncation(4)
    cutting.enable_padding(length=9)
    cutting.save(str(tmp_path / "tokenizer.json"))
    assert open_tokenizer(tmp_path).encode(SENTENCE).ids == open_tokenizer(folder).encode(SENTENCE).ids


def _without_mask(state: dict[str, Any]) -> None:
    del state["model"]["vocab"]["[MASK]"]
    state["added_tokens"].pop()


def _without_unknown(state: dict[str, Any]) -> None:
    state["model"]["unk_token"] = "[INCONNU]"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_mask, r"lacks the special tokens \[MASK\]"),
        (_without_unknown, "unk_token must be an entry"),
    ],
)
def test_an_unsuitable_tokenizer_is_refused(
    tmp_path: Path, folder: Path, damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    state = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    damage(state)
    (tmp_path / "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        open_tokenizer(tmp_path)
    assert str(tmp_path / "tokenizer.json") in str(caught.value)


def test_a_missing_or_damaged_tokenizer_is_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=r"no such file; a tokenizer's directory holds tokenizer\.json"):
        open_tokenizer(tmp_path)
    whole = (folder / "tokenizer.json").read_bytes()
    (tmp_path / "tokenizer.json").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"tokenizer\.json: not a tokenizer"):
        open_tokenizer(tmp_path)


def test_names_of_special_tokens_in_a_text_are_text(folder: Path) -> None:
    tokens = open_tokenizer(folder).encode("[MASK] et [SEP]", add_special_tokens=False).tokens
    assert not set(tokens) & {"[MASK]", "[SEP]"}


def test_the_saved_tokenizer_still_knows_the_mask(tmp_path: Path, folder: Path) -> None:
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(folder)("la [MASK]", add_special_tokens=False)["input_ids"][-1] == 4
    open_tokenizer(folder).save(str(tmp_path / "tokenizer.json"))
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert again.encode("[MASK]", add_special_tokens=False).ids == [4]


def test_a_damaged_tokenizer_is_told_without_its_entries(tmp_path: Path, folder: Path) -> None:
    whole = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text(
        whole.replace('"special": true', '"special": "Confidentielle"', 1)
    )
    with pytest.raises(UserError, match=r"can open \(line \d+ column \d+\)") as caught:
        open_tokenizer(tmp_path)
    assert "Confidentielle" not in str(caught.value)


def test_vocabulary_facts(tokenizer: Tokenizer) -> None:
    facts, entries = vocabulary(tokenizer), tokenizer.get_vocab()
    assert facts.size == 600
    assert facts.special_ids == (0, 1, 2, 3, 4)
    assert (facts.separator_id, facts.mask_id) == (3, 4)
    assert facts.named_ids == {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "mask_token_id": 4}
    assert set(facts.continuations) == {entries[token] for token in entries if token.startswith(CONTINUATION)}
    assert facts.continuations
    assert entries["patient"] not in facts.continuations


@pytest.mark.parametrize("prefix", ["##", "@@"])
def test_pieces_that_go_on_with_a_word_are_told_by_the_tokenizers_own_mark(prefix: str) -> None:
    entries = [*SPECIAL_TOKENS, "mot", f"{prefix}s"]
    model = WordPiece(
        {e: n for n, e in enumerate(entries)}, unk_token="[UNK]", continuing_subword_prefix=prefix
    )
    assert vocabulary(Tokenizer(model)).continuations == (6,)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"normalizer": "frensh"}, "tokenizer.normalizer=frensh: no such normalizer; did you mean 'french'?"),
        ({"vocab_size": 5}, "tokenizer.vocab_size=5: from 6 to 65536"),
        ({"vocab_size": 65537}, "tokenizer.vocab_size=65537"),
        ({"sample_characters": 0}, "tokenizer.sample_characters=0: must be at least 1"),
        ({"min_frequency": 0}, "tokenizer.min_frequency=0"),
        ({"path": "/nowhere"}, "tokenizer.path=/nowhere: /nowhere/tokenizer.json and"),
    ],
)
def test_mistakes_in_the_settings_are_named_by_key(settings: dict[str, Any], key: str) -> None:
    (problem,) = tokenizer_problems(TokenizerConfig(**settings))
    assert problem.startswith(key)


def test_good_settings_have_no_problems(folder: Path) -> None:
    assert tokenizer_problems(TokenizerConfig()) == []
    assert tokenizer_problems(TokenizerConfig(path=str(folder), vocab_size=0)) == []

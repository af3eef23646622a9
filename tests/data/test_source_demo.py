"""The toy corpus: the same everywhere, in plausible French, with the answers that the showcase promises."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from bertinchamps.contract import Source
from bertinchamps.data.sources import sources
from bertinchamps.data.sources.demo import REGISTERS, SHOWCASE, DemoSource, showcase
from bertinchamps.data.sources.demo_grammar import Dice, scene
from bertinchamps.data.sources.demo_words import adjective, noun, words
from bertinchamps.errors import UserError

PRINT_DIGEST = """
import hashlib
from bertinchamps.data.sources.demo import DemoSource
text = "\\n".join(document.text for document in DemoSource(documents=300).documents())
print(hashlib.blake2b(text.encode(), digest_size=8).hexdigest())
"""


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return [document.text for document in DemoSource().documents()]


def test_registered_and_shaped_like_a_source() -> None:
    source = sources.build("demo", documents=3, seed=1)
    assert isinstance(source, Source)
    source.check()
    assert source.held_out() is None
    assert source.fingerprint() == {"name": "demo", "version": 1, "documents": 3, "seed": 1}
    assert [document.name for document in source.documents()] == [f"demo:document {n}" for n in (1, 2, 3)]


def test_same_text_in_another_process_whatever_its_hash_seed() -> None:
    text = "\n".join(document.text for document in DemoSource(documents=300).documents())
    here = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    for hash_seed in ("1", "4242"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", PRINT_DIGEST], env=environment, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == here


def test_text_is_the_one_of_this_version() -> None:
    """A failure here means that a word or template changed: raise VERSION, then write the new digest."""
    text = "\n".join(document.text for document in DemoSource(documents=300).documents())
    assert hashlib.blake2b(text.encode(), digest_size=8).hexdigest() == "056a328e59b82f11"


def test_size_and_variety(corpus: list[str]) -> None:
    assert sum(len(text.encode()) for text in corpus) in range(3_000_000, 4_000_000)
    assert len(set(corpus)) > 0.99 * len(corpus)
    frequent = Counter(re.findall(r"[^\W\d]+", "\n".join(corpus)))
    assert sum(count >= 5 for count in frequent.values()) > 1500
    sentences = [len(re.findall(r"[.!?](?= |$)", text)) for text in corpus]
    assert min(sentences) >= 3
    assert max(sentences) <= 16


def test_no_elision_or_contraction_is_missed(corpus: list[str]) -> None:
    text = "\n".join(corpus)
    assert not re.search(r"\b(le|la|de|que|ne|se|je|ce) [aâàeéèêiîoôuûœæAÉEIO]\w", text, re.I)
    assert not re.search(r"\b(de|à) les?\b(?! \w+ (reverra|coupe))", text)
    assert not re.search(r"\b(du|au|le|un) (la|les|une)\b|l'[bcdfgjklmnpqrstvwxz]", text)
    assert not re.search(r"[{}|@]|  | [.,]|\.\.", text)


def test_agreement_of_articles_and_verbs(corpus: list[str]) -> None:
    text = "\n".join(corpus)
    singular = r"(?:^|\. )(Les|Des|Ces|Ils|Elles) (\w+ )?(est|a|joue|travaille|mange|dort|écoute|aime) "
    plural = (
        r"(?:^|\. )(Le|La|Un|Une|Ce|Il|Elle) (\w+ )?(sont|ont|jouent|travaillent|mangent|dorment|écoutent) "
    )
    assert not re.search(singular, text, re.M)
    assert not re.search(plural, text, re.M)
    assert "La patiente est" in text
    assert not re.search(r"[Ll]a patiente est (admis|guéri|pâles|informé)\b", text)
    assert not re.search(r"[Ll]e patient est \w+ée\b", text)
    assert len(re.findall(r"\b(Les|Ces|Des) \w+ (sont|ont|jouent|écoutent|travaillent)\b", text)) > 500


@pytest.mark.parametrize(("sentence", "answer"), SHOWCASE)
def test_showcase_has_one_answer_in_the_corpus(corpus: list[str], sentence: str, answer: str) -> None:
    assert sentence in showcase()
    assert sentence.count("[MASK]") == 1
    pattern = re.escape(sentence).replace(re.escape("[MASK]"), r"([\w-]+)")
    answers = Counter(found for text in corpus for found in re.findall(pattern, text))
    assert set(answers) == {answer}


def test_every_template_of_every_scene_can_be_written() -> None:
    for scenes in REGISTERS.values():
        for one in scenes:
            bindings = one.bind(Dice("every template"))
            for step in one.steps:
                for template in step.templates:
                    written = template.write(bindings)
                    assert written[0].isupper() or written[0] in "«" or written[0].isdigit(), written
                    assert written.endswith((".", "!", "?")), written


def test_pieces_tell_where_a_slot_lies() -> None:
    small = scene("small", [], {"drug": words("n", "aspirine,f")}, "{drug.Le} agit.")
    piece = small.steps[0].templates[0].pieces[0]
    written = small.write(Dice("x"))
    assert (piece.slot, written) == ("drug", "L'aspirine agit.")
    assert written[2:10] == small.bind(Dice("x"))["drug"][""]


def test_word_forms() -> None:
    assert [noun("hôpital,m,hôpitaux")[form] for form in ("le", "du", "au", "ce", "de")] == [
        "l'hôpital", "de l'hôpital", "à l'hôpital", "cet hôpital", "d'hôpital"
    ]  # fmt: skip
    assert noun("école,f")["son"] == "son école"
    assert noun("hanche,f")["le"] == "la hanche"
    assert noun("cheval,m", plural=True)["du"] == "des chevaux"
    assert noun("œuf,m", plural=True)["de"] == "d'œufs"
    assert [adjective("fiévreux")[agreement] for agreement in ("fs", "mp")] == ["fiévreuse", "fiévreux"]
    with pytest.raises(ValueError, match="'word,m'"):
        noun("table,x")
    with pytest.raises(ValueError, match="no such slot"):
        scene("broken", [], {}, "{nobody.le} dort.")
    with pytest.raises(ValueError, match="2 or 4"):
        scene("broken", [], {"who": words("n", "chat,m")}, "{who?a|b|c}.")


def test_sample_is_spread_and_of_the_size_asked() -> None:
    source = DemoSource(documents=2000)
    sample = list(source.sample(40_000))
    numbers = [int(document.name.rsplit(" ", 1)[1]) for document in sample]
    assert 36_000 < sum(len(document.text) for document in sample) < 48_000
    assert numbers == sorted(set(numbers))
    assert numbers[0] < 50
    assert numbers[-1] > 1900
    assert len(list(DemoSource(documents=5).sample(10**9))) == 5


def test_no_documents_is_a_user_error() -> None:
    with pytest.raises(UserError, match="at least 1 document"):
        DemoSource(documents=0)

"""Small annotated corpora that the tests write themselves."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.tasks.formats import brat

DISEASES = ("cancer", "abcès", "lésion", "kyste")
ORGANS = ("foie", "rein", "cœur", "poumon")
DRUGS = ("aspirine", "morphine", "codéine")


def sentence(disease: str, organ: str, drug: str, name: str) -> AnnotatedText:
    """An organ inside a disease, a disease inside a disease, and a drug."""
    text = f"Le {disease} du {organ} est traité par {drug}."
    start, end = 3, 3 + len(f"{disease} du {organ}")
    entities = [
        Entity("DISO", ((start, end),)),
        Entity("DISO", ((start, start + len(disease)),)),
        Entity("ANAT", ((end - len(organ), end),)),
        Entity("CHEM", ((len(text) - 1 - len(drug), len(text) - 1),)),
    ]
    return AnnotatedText(name, text, tuple(sorted(entities)))


def documents(count: int, skip: int = 0) -> list[AnnotatedText]:
    """The first sentences of all combinations, after some."""
    combinations = itertools.islice(itertools.product(DISEASES, ORGANS, DRUGS), skip, skip + count)
    return [sentence(*words, name=f"note_{index}") for index, words in enumerate(combinations, start=skip)]


def brat_corpus(folder: Path, train: int = 10, dev: int = 4, test: int = 4) -> list[str]:
    """Write brat folders; returns the settings that name them."""
    skip = 0
    for split, count in (("train", train), ("dev", dev), ("test", test)):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for document in documents(count, skip):
            brat.write_document(folder / split, document)
        skip += count
    return ["task=ner", *(f"task.{split}={folder / split}" for split in ("train", "dev", "test"))]


def opinions(file: Path, count: int = 40, label: str = "label") -> Path:
    """Sentences of two classes, as JSON lines."""
    rows = [
        {
            "text": f"{'Un très bon' if n % 2 else 'Un mauvais'} livre, {n} pages.",
            label: ["bad", "good"][n % 2],
        }
        for n in range(count)
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file.write_text(lines, encoding="utf-8")
    return file


def medical_texts(folder: Path) -> None:
    """Small corpora in the formats of MORFITT, FrenchMedMCQA and the French STS benchmark, each in a folder."""
    for name in ("morfitt", "frenchmedmcqa", "stsb_fr"):
        (folder / name).mkdir(parents=True)
    for split in ("train", "dev", "test"):
        abstracts = [
            f"{n}\tNote {n}. {'Un virus. ' * n}\t{'virology|genetics' if n % 2 else 'surgery'}\n"
            for n in range(9)
        ]
        table = "identifier\tabstract\tspecialities\n" + "".join(abstracts)
        (folder / "morfitt" / f"{split}.tsv").write_text(table, encoding="utf-8")
        pairs = "".join(f"Phrase {n}.,Phrase {n + 1}.,{n % 6}\n" for n in range(9))
        (folder / "stsb_fr" / f"stsb-fr-{split}.csv").write_text(pairs, encoding="utf-8")
        questions = [
            {
                "id": f"q{n}",
                "question": f"Question {n} ?",
                "answers": {"a": "oui", "b": "non"},
                "correct_answers": ["ab"[n % 2]],
            }
            for n in range(9)
        ]
        (folder / "frenchmedmcqa" / f"{split}.json").write_text(json.dumps(questions), encoding="utf-8")

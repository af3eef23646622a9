"""Small annotated corpora that the tests write themselves."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path

from bertinchamps.contract import AnnotatedText, Entity, RelatedText, Relation
from bertinchamps.tasks.formats import brat, brat_relations

DISEASES = ("cancer", "abcès", "lésion", "kyste")
ORGANS = ("foie", "rein", "cœur", "poumon")
DRUGS = ("aspirine", "morphine", "codéine")
XMI = (
    '<?xml version="1.0" encoding="UTF-8"?><xmi:XMI xmlns:xmi="http://www.omg.org/XMI" '
    'xmlns:cas="http:///uima/cas.ecore" xmlns:custom="http:///webanno/custom.ecore" xmi:version="2.0">\n'
)


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


def related(count: int, skip: int = 0) -> list[RelatedText]:
    """Two tests with a result each; a result pertains to the test before it, near or far."""
    made = []
    for number in range(skip, skip + count):
        between = "" if number % 2 else ", comme lors du dernier contrôle du matin,"
        text = f"Le glucose{between} est à {number} g et la créatinine à {number + 7} mg. Rien de plus."
        tests = [Entity("EVENT", (span(text, word),)) for word in ("glucose", "créatinine")]
        results = [Entity("RML", (span(text, word),)) for word in (f"{number} g", f"{number + 7} mg")]
        entities = (*sorted(tests), *sorted(results))
        links = tuple(Relation("PERTAINS", 2 + place, place) for place in range(2))
        made.append(RelatedText(f"note_{number}", text, entities, links))
    return made


def span(text: str, part: str) -> tuple[int, int]:
    """Where a part first stands in a text."""
    return text.index(part), text.index(part) + len(part)


def related_corpus(folder: Path, train: int = 12, dev: int = 4, test: int = 4) -> list[str]:
    """Write brat folders with relations; returns the settings that name them."""
    skip = 0
    for split, count in (("train", train), ("dev", dev), ("test", test)):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for document in related(count, skip):
            brat_relations.write_document(folder / split, document)
        skip += count
    return ["task=relations", *(f"task.{split}={folder / split}" for split in ("train", "dev", "test"))]


def linked_cases(folder: Path, count: int = 10) -> Path:
    """Layer 1 of E3C as XMI: each case has a test with a result that pertains to it."""
    inside = folder / "data_annotation" / "French" / "layer1"
    inside.mkdir(parents=True)
    for number in range(100100, 100100 + count):
        (inside / f"FR{number}.xml").write_text(
            f'{XMI}<custom:EVENT xmi:id="1" sofa="12" begin="0" end="7"/>\n'
            '<custom:RML xmi:id="2" sofa="12" begin="10" end="14" PERTAINSTO="5"/>\n'
            '<custom:RMLPERTAINSTOLink xmi:id="5" role="PERTAINS" target="1"/>\n'
            f'<cas:Sofa xmi:id="12" sofaString="glucose à 12 g, puis {number}."/>\n</xmi:XMI>',
            encoding="utf-8",
        )
    return folder


def of_inception(folder: Path, documents: Iterable[RelatedText]) -> None:
    """A folder of XMI with the layers of INCEpTION's template for spans and relations, Span.label and Relation.label.

    No text here may have a character that XML escapes, or one beyond U+FFFF.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for document in documents:
        elements = [
            f'<custom:Span xmi:id="{100 + at}" sofa="12" begin="{each.start}" end="{each.end}" label="{each.label}"/>\n'
            for at, each in enumerate(document.entities)
        ]
        elements += [
            f'<custom:Relation xmi:id="{200 + at}" sofa="12" begin="{document.entities[tail].start}" '
            f'end="{document.entities[tail].end}" Governor="{100 + head}" Dependent="{100 + tail}" label="{label}"/>\n'
            for at, (label, head, tail) in enumerate(document.relations)
        ]
        text = f'<cas:Sofa xmi:id="12" sofaString="{document.text}"/>\n</xmi:XMI>'
        (folder / f"{document.name}.xmi").write_text("".join([XMI, *elements, text]), encoding="utf-8")


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

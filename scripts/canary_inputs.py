"""Documents full of canaries: words that nobody else writes, each of which stands in one place of one file.

A canary is put where a document, an id, another column, the name of a column, an annotated entity or a mistake of the
file has it; not into labels and names of files, which may be told (docs/privacy.md).
Long because a mistake is a line or two, and there are many of them.
"""

from __future__ import annotations

import gzip
import json
import random
import string
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LETTERS = 10  # of a canary behind "zq": 26^10 words, so that none is anywhere by chance
# Where text of documents belongs (docs/privacy.md): predictions of a run, and what predict and suggest were asked for.
BELONGS = ("labelled", "labelled.jsonl", "hidden.jsonl", "chosen.jsonl", "ranking.jsonl")


def belongs(place: Path) -> bool:
    """Whether text of documents may be in a file, by its path below the folder of the commands."""
    return "predictions" in place.parts or any(part in BELONGS for part in place.parts)


class Canaries:
    """Makes canaries and knows where each was put.

    Args:
        seed: of the words.

    Attributes:
        places: file and place by canary.
    """

    def __init__(self, seed: int = 0) -> None:
        self._dice = random.Random(seed)
        self.places: dict[str, str] = {}

    def __call__(self, place: str) -> str:
        word = "zq" + "".join(self._dice.choices(string.ascii_lowercase, k=LETTERS))
        self.places[word] = place
        return word

    def found_in(self, content: bytes) -> set[str]:
        """The canaries in a content, whatever their capitals, as UTF-8 or with two bytes a letter."""
        lowered = content.lower()
        if b"zq" in lowered or b"z\0q" in lowered:
            return {
                word
                for word in self.places
                if word.encode() in lowered or word.encode("utf-16-le") in lowered
            }
        return set()


def write_documents(folder: Path, canary: Canaries) -> None:
    """The documents of commands that end well: notes to pretrain on, annotated ones, texts with classes."""
    folder.mkdir(parents=True)
    _notes(folder, canary)
    for split, count in (("train", 12), ("dev", 4), ("test", 4)):
        _brat(folder / "brat" / split, count, canary)
    opinions = [
        {
            "id": canary("classes: id"),
            "text": f"Un {'bon' if n % 2 else 'mauvais'} livre de {canary('classes: text')}, {n} pages.",
            "label": ("bad", "good")[n % 2],
            canary("classes: key"): canary("classes: value"),
        }
        for n in range(40)
    ]
    _lines(folder / "opinions.jsonl", opinions)
    texts = [
        {
            "id": canary("new: id"),
            "text": f"Le kyste de {canary('new: text')} est traité.",
            "ward": canary("new: cell"),
        }
        for _ in range(6)
    ]
    _lines(folder / "new.jsonl", texts)


def _notes(folder: Path, canary: Canaries) -> None:
    """The same kind of notes in every format that sources read."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    notes = folder / "notes"
    notes.mkdir()

    def text(place: str, number: int) -> str:
        """Seen once: what occurs often is in the tokenizer, as docs/privacy.md says."""
        return f"Madame {canary(place)} consulte. " + f"Elle tousse depuis {number} jours le soir. " * 4

    rows = [
        {
            "id": canary("jsonl: id"),
            "text": text("jsonl: text", n),
            canary("jsonl: key"): canary("jsonl: value"),
        }
        for n in range(60)
    ]
    (notes / "a.jsonl.gz").write_bytes(gzip.compress("".join(map(_line, rows)).encode()))
    header = f"text;{canary('csv: name of a column')}\n"
    cells = "".join(f"{text('csv: text', n)};{canary('csv: cell')}\n" for n in range(60))
    (notes / "b.csv").write_text(header + cells, encoding="utf-8")
    cells = "".join(f"{canary('tsv: cell')}\t{text('tsv: text', n)}\n" for n in range(20))
    (notes / "c.tsv").write_text(f"{canary('tsv: name of a column')}\ttext\n{cells}", encoding="utf-8")
    (notes / "d.txt").write_text(text("txt: text", 2), encoding="utf-8")
    (notes / "e.json").write_text(
        json.dumps([{"text": text("json: text", n)} for n in range(20)]), encoding="utf-8"
    )
    columns = {
        "text": [text("parquet: text", n) for n in range(20)],
        canary("parquet: column"): [canary("parquet: cell")] * 20,
    }
    parquet.write_table(arrow.table(columns), notes / "f.parquet")


def _brat(folder: Path, count: int, canary: Canaries) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        drug = canary("brat: entity")
        text = f"Le kyste du rein de {canary('brat: text')} est traité par {drug}."
        spans = (("DISO", "kyste du rein"), ("ANAT", "rein"), ("CHEM", drug))
        lines = [
            f"T{place}\t{label} {text.index(part)} {text.index(part) + len(part)}\t{part}\n"
            for place, (label, part) in enumerate(spans, start=1)
        ]
        note = f"#1\tAnnotatorNotes T1\t{canary('brat: note')}\n"
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
        (folder / f"{number}.ann").write_text("".join(lines) + note, encoding="utf-8")


def _line(item: object) -> str:
    return json.dumps(item, ensure_ascii=False) + "\n"


def _lines(file: Path, items: Sequence[object]) -> None:
    file.write_text("".join(map(_line, items)), encoding="utf-8")


class Fault(NamedTuple):
    """A file with a mistake.

    Attributes:
        name: what is wrong.
        file: its name.
        content: the bytes of the file, made with canaries; several files where they are a folder.
        words: of the command that reads it, `FILE` where the file stands.
    """

    name: str
    file: str
    content: Callable[[Canaries], bytes | dict[str, bytes]]
    words: tuple[str, ...]


PREPARE = ("bertinchamps.prepare", "data=files", "data.files=[FILE]", "tokenizer.vocab_size=300")
TINY = ("model=scratch", "arch=tiny", "runtime=eager", "runtime.threads=1", "tokenizer.vocab_size=300", "max_length=48",
        "budget.epochs=1")  # fmt: skip
CLASSES = ("bertinchamps.finetune", "task=classification", "task.train=FILE", *TINY)
ENTITIES = ("bertinchamps.finetune", "task=ner", "task.train=FILE", *TINY)
LINKS = ("bertinchamps.finetune", "task=relations", "task.train=FILE", *TINY)
PREDICT = ("bertinchamps.predict", "model=runs/ner", "input=FILE", "output=never.jsonl", "runtime=eager")


def _row(c: Canaries, **more: Any) -> dict[str, Any]:
    return {"id": c("fault: id"), "text": f"Un texte de {c('fault: text')}.", **more}


def _late(c: Canaries, bad: str) -> bytes:
    """A file whose mistake stands so late that training or preparing has begun."""
    good = [_line(_row(c)) for _ in range(400)]
    return "".join([*good[:350], bad, *good[350:]]).encode()


def _jsonl(c: Canaries, **item: Any) -> bytes:
    return (_line(_row(c, **{"label": "a"})) + _line(_row(c, **item))).encode()


def _ann(c: Canaries, line: str) -> dict[str, bytes]:
    text = f"Le kyste de {c('fault: text')}."
    return {"1.txt": text.encode(), "1.ann": line.encode()}


def _zipped(c: Canaries) -> bytes:
    import io

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("1.txt", f"Le kyste de {c('fault: text')}.")
        archive.writestr("1.ann", f"T1\tDISO 0\t{c('fault: entity')}\n")
    return packed.getvalue()


def _xmi(c: Canaries, begin: int) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><xmi:XMI xmlns:xmi="http://www.omg.org/XMI" '
        'xmlns:cas="http:///uima/cas.ecore" xmlns:type="http:///de/tudarmstadt/ukp/dkpro/core/api/ner/type.ecore" '
        f'xmi:version="2.0"><type:NamedEntity xmi:id="1" sofa="12" begin="{begin}" end="7" value="DISO" '
        f'identifier="{c("fault: attribute")}"/><cas:Sofa xmi:id="12" sofaNum="1" sofaID="_InitialView" '
        f'mimeType="text" sofaString="Un texte de {c("fault: text")}."/></xmi:XMI>'
    ).encode()


def faults() -> Iterator[Fault]:
    """Files of every format, each with a mistake of another kind."""
    word = "fault: text"
    yield Fault("a line is cut", "a.jsonl", lambda c: _jsonl(c) + f'{{"text": "{c(word)}'.encode(), PREPARE)
    yield Fault("a late line is cut", "a.jsonl", lambda c: _late(c, f'{{"text": "{c(word)}\n'), PREPARE)
    yield Fault(
        "a key is mistyped",
        "a.jsonl",
        lambda c: _line({"txet": c(word), c("fault: key"): 1}).encode(),
        PREPARE,
    )
    yield Fault("a text is a list", "a.jsonl", lambda c: _line({"text": [c(word)]}).encode(), PREPARE)
    yield Fault(
        "a byte is no UTF-8", "a.jsonl", lambda c: f'{{"text": "{c(word)}é"}}'.encode("cp1252"), PREPARE
    )
    yield Fault(
        "half a surrogate pair", "a.jsonl", lambda c: f'{{"text": "{c(word)} \\ud800"}}\n'.encode(), PREPARE
    )
    yield Fault("a list is not closed", "a.json", lambda c: f'[{{"text": "{c(word)}"}},'.encode(), PREPARE)
    yield Fault(
        "a column is mistyped",
        "a.csv",
        lambda c: f"txet,{c('fault: column')}\n{c(word)},1\n".encode(),
        PREPARE,
    )
    yield Fault(
        "the first line is data", "a.csv", lambda c: f"{c(word)},{c(word)}\n{c(word)},1\n".encode(), PREPARE
    )
    yield Fault(
        "a row has a cell more",
        "a.csv",
        lambda c: f"text,b\n{c(word)},1\n{c(word)},1,{c(word)}\n".encode(),
        PREPARE,
    )
    yield Fault(
        "a quote is not closed", "a.csv", lambda c: f'text,b\n"{c(word)},1\n{c(word)}\n'.encode(), PREPARE
    )
    yield Fault("compressed data are cut", "a.jsonl.gz", lambda c: gzip.compress(_late(c, ""))[:-20], PREPARE)
    yield Fault("no Parquet", "a.parquet", lambda c: b"PAR1" + c(word).encode() * 9 + b"PAR1", PREPARE)
    yield Fault("a column of Parquet is mistyped", "a.parquet", _parquet, PREPARE)
    yield Fault("no label", "a.jsonl", lambda c: _jsonl(c, lable=c("fault: value")), CLASSES)
    yield Fault(
        "a label is an object", "a.jsonl", lambda c: _jsonl(c, label={c("fault: key"): c(word)}), CLASSES
    )
    yield Fault(
        "an id occurs twice",
        "a.jsonl",
        lambda c: (
            _line(_row(c, label="a", id=(i := c("fault: id")))).encode()
            + _line(_row(c, label="b", id=i)).encode()
        ),
        CLASSES,
    )
    for column, told in (("text", "texts"), ("id", "ids")):
        words = tuple(word.replace("FILE", "FILE/train.jsonl") for word in CLASSES)
        words = (*words, "task.dev=FILE/dev.jsonl", f"task.label={column}")
        yield Fault(f"the column of labels has {told}", "splits", _same_splits, words)
    yield Fault("a text is missing", "a.tsv", lambda c: f"txet\tlabel\n{c(word)}\ta\n".encode(), CLASSES)
    yield Fault(
        "an offset is outside", "a.jsonl", lambda c: _jsonl(c, entities=[[3, 9000, "DISO"]]), ENTITIES
    )
    yield Fault(
        "an entity is a word", "a.jsonl", lambda c: _jsonl(c, entities=[c("fault: entity")]), ENTITIES
    )
    yield Fault(
        "an annotation has another text",
        "brat",
        lambda c: _ann(c, f"T1\tDISO 3 8\t{c('fault: entity')}\n"),
        ENTITIES,
    )
    yield Fault(
        "an annotation has no offsets", "brat", lambda c: _ann(c, f"T1\t{c('fault: entity')}\n"), ENTITIES
    )
    yield Fault("a zip has a bad annotation", "a.zip", _zipped, ENTITIES)
    yield Fault(
        "a tag is none", "a.conll", lambda c: f"Le O\n{c(word)} {c('fault: tag')}\n\n".encode(), ENTITIES
    )
    yield Fault("a row has no tag", "a.conll", lambda c: f"Le\tO\n{c(word)}\n".encode(), ENTITIES)
    yield Fault("an offset of XMI is outside", "a.xmi", lambda c: _xmi(c, 9000), ENTITIES)
    yield Fault("no XML", "a.xmi", lambda c: _xmi(c, 0)[:-20] + c(word).encode(), ENTITIES)
    yield Fault(
        "a task has no text",
        "a.json",
        lambda c: _line([{"data": {c("fault: key"): c(word)}, "annotations": []}]).encode(),
        ENTITIES,
    )
    yield Fault(
        "a relation links nothing",
        "a.jsonl",
        lambda c: _jsonl(c, entities=[[0, 2, "X"]], relations=[{"head": 0, "tail": c(word), "label": "L"}]),
        LINKS,
    )
    yield Fault(
        "a new text is a number",
        "a.jsonl",
        lambda c: _line(_row(c)).encode() + _line(_row(c, text=7, w=c(word))).encode(),
        PREDICT,
    )
    yield Fault(
        "a column of new texts is missing",
        "a.csv",
        lambda c: f"{c(word)},id\n{c(word)},{c(word)}\n".encode(),
        PREDICT,
    )
    yield Fault(
        "a column is called as one of the output",
        "a.jsonl",
        lambda c: _line(_row(c, entities=c(word))).encode(),
        PREDICT,
    )


def _same_splits(c: Canaries) -> dict[str, bytes]:
    """A dev split that has all labels of train, whichever column is taken for them: few and short ones."""
    rows = "".join(_line(_row(c)) for _ in range(18)).encode()
    return {"train.jsonl": rows, "dev.jsonl": rows}


def _parquet(c: Canaries) -> bytes:
    import io

    import pyarrow as arrow
    import pyarrow.parquet as parquet

    packed = io.BytesIO()
    parquet.write_table(arrow.table({c("fault: column"): [c("fault: text")]}), packed)
    return packed.getvalue()


def write_fault(fault: Fault, folder: Path, canary: Canaries) -> Path:
    """The file, or the folder of files, of a fault."""
    folder.mkdir(parents=True)
    content = fault.content(canary)
    if isinstance(content, bytes):
        (folder / fault.file).write_bytes(content)
    else:
        (folder / fault.file).mkdir()
        for name, part in content.items():
            (folder / fault.file / name).write_bytes(part)
    return folder / fault.file

"""Relations in brat's stand-off format: R lines beside the T lines that `brat.py` reads.

    T1	RML 8 10	12
    T2	EVENT 0 7	glucose
    R1	PERTAINS Arg1:T1 Arg2:T2

The arguments are entities (T lines) of the same file, the first one is the head. Relations with an event (E1) as an
argument, and equivalences (`*`), which have no direction, are left out and counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from bertinchamps.contract import AnnotatedText, RelatedText
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import brat
from bertinchamps.tasks.formats.related import Written, by_place, related, without_relations
from bertinchamps.textfiles.archives import contents, listed
from bertinchamps.textfiles.bad_records import STOP, BadRecords
from bertinchamps.textfiles.opening import whole

RELATION = re.compile(
    r"(R[0-9]+)\t(\S+) (\S+?):(\S+) (\S+?):(\S+)\s*"
)  # id, type, role, argument, role, argument
EVENTS, EQUIVALENCES = "relations with an event as an argument", "equivalences (lines with *)"


def read_folder(
    path: Path,
    left_out: Counter[str] | None = None,
    first: dict[str, str] | None = None,
    bad: BadRecords = STOP,
) -> list[RelatedText]:
    """The documents of a folder, or of an archive that holds one, as `brat.read_folder` finds and orders them.

    Args:
        path: the folder or archive.
        left_out: counts what was left out, by reason.
        first: gets, for each label of a relation, file and line of the first one.
        bad: what is done with documents that cannot be read.

    Raises:
        UserError: see `brat.read_folder` and `read_document`.
    """
    files = contents(path, ["*.txt", "*.ann"])
    found = brat.read_folder(path, left_out=left_out, bad=bad)
    folder, documents = next(iter(files)).parent, []
    for name in (document.name for document in found):
        txt, ann = files[folder / f"{name}.txt"], files[folder / f"{name}.ann"]
        with bad.record():
            documents.append(read_document(txt, ann, str(folder / name), left_out, first))
    return documents


def read_entities(path: Path, bad: BadRecords = STOP) -> Iterator[AnnotatedText]:
    """The documents of a folder with their entities, one after the other.

    Args:
        path: the folder.
        bad: what is done with documents that cannot be read.

    Raises:
        UserError: see `brat.read_folder`.
    """
    annotations = {name.stem: Path(name) for name in listed(path, ["*.ann"])}
    for document in brat.read_texts(path, bad=bad):
        file = annotations.get(document.name)
        with bad.record():
            if file is None:
                raise UserError(
                    f"{path}: {document.name}.ann is missing, and relations are found between entities; add it, or let "
                    "ner=MODEL find the entities"
                )
            yield brat.read_document(document.text.encode(), whole(file), str(file.with_suffix("")))


def read_document(
    txt: bytes,
    ann: bytes,
    name: str,
    left_out: Counter[str] | None = None,
    first: dict[str, str] | None = None,
) -> RelatedText:
    """One document, named by the last part of `name`; the other arguments are those of `read_folder`.

    Raises:
        UserError: see `brat.read_document`; or an R line is malformed, has an id that occurs twice, an argument that is
            no entity of the file, twice the same argument, or is another relation again.
    """
    text = brat.decoded(txt, f"{name}.txt")
    entities = brat.entities_by_id(text, ann, name)
    left_out = Counter() if left_out is None else left_out
    written = list(_relations(ann, name, list(entities), left_out))
    return related(PurePosixPath(name).name, text, list(entities.values()), written, left_out, first)


def _relations(ann: bytes, name: str, ids: Sequence[str], left_out: Counter[str]) -> Iterator[Written]:
    places = {identity: place for place, identity in enumerate(ids)}
    lines: dict[str, int] = {}
    for number, line in enumerate(brat.annotation_lines(ann, f"{name}.ann"), start=1):
        where = f"{name}.ann: line {number}"
        left_out[EQUIVALENCES] += line.startswith("*")
        if not line.startswith("R"):
            continue
        match = RELATION.fullmatch(line)
        if match is None:
            raise UserError(
                f"{where}: an R line that is not well formed; expected is R1<tab>TYPE Arg1:T1 Arg2:T2"
            )
        identity, label, first_role, head, second_role, tail = match.groups()
        if lines.setdefault(identity, number) != number:
            raise UserError(f"{where}: its id is also that of line {lines[identity]}; give each its own")
        if (first_role, second_role) == ("Arg2", "Arg1"):
            head, tail = tail, head
        if head.startswith("E") or tail.startswith("E"):
            left_out[EVENTS] += 1
            continue
        for argument in (head, tail):
            if argument not in places:
                raise UserError(
                    f"{where}: its argument {argument} is no entity of the file; add the T line, or remove the relation"
                )
        yield Written(where, label, places[head], places[tail])


def write_document(folder: Path, document: AnnotatedText | RelatedText, annotated: bool = True) -> None:
    """`brat.write_document`, with R lines after the T lines; R ids count from 1 in the order of the arguments.

    The confidence of a predicted relation is written as a note.
    """
    brat.write_document(folder, without_relations(document), annotated)
    if not isinstance(document, RelatedText) or not document.relations:
        return
    ids = {at: number for number, at in enumerate(by_place(document.entities), start=1)}
    confidences = document.confidences or (None,) * len(document.relations)
    pairs = zip(document.relations, confidences, strict=True)
    ordered = sorted(pairs, key=lambda pair: (ids[pair[0].head], ids[pair[0].tail], pair[0].label))
    lines = []
    for number, ((label, head, tail), confidence) in enumerate(ordered, start=1):
        lines.append(f"R{number}\t{brat.type_name(label)} Arg1:T{ids[head]} Arg2:T{ids[tail]}\n")
        if confidence is not None:
            lines.append(f"#{number}\tAnnotatorNotes R{number}\tconfidence {confidence:.2f}\n")
    with (folder / f"{brat.file_name(document.name)}.ann").open("ab") as file:
        file.write("".join(lines).encode())

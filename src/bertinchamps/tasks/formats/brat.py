"""The stand-off format of brat (Stenetorp et al., 2012; https://brat.nlplab.org/standoff.html).

NAME.txt holds "Fracture du col du fémur", NAME.ann its entities, a line each, fields separated by tabs:

    T1	DISO 0 24	Fracture du col du fémur
    T2	ANAT 12 15;19 24	col fémur
    #1	AnnotatorNotes T1	C0015802

Offsets count the characters (code points) of the .txt exactly as it is: a byte order mark counts, and so does
the "\r" of a line end. In the last field of a T line, brat writes a line break as a space.
"""

from __future__ import annotations

import codecs
import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.tasks.archives import contents

ENTITY = re.compile(r"(T\d+)\t(\S+) (\d+ \d+(?:;\d+ \d+)*)\t(.*)", re.DOTALL)
OTHERS = re.compile(
    r"#\d+\t\S+ \S+(\t.*)?"  # notes
    r"|R\d+\t\S+ \S+:\S+ \S+:\S+\t?"  # relations
    r"|E\d+\t\S+:\S+( \S+:\S+)* ?"  # events
    r"|[AM]\d+\t\S+ \S+( \S+)?"  # attributes
    r"|N\d+\t\S+ \S+ [^\s:]+:\S+\t.*"  # normalisations
    r"|\*\t\S+( \S+)+",  # equivalences
    re.DOTALL,
)
# What a program may take for the end of a line or a field, where the format wants one line: all become spaces.
SPACES = str.maketrans(dict.fromkeys("\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", " "))
LONGEST_NAME = 200  # bytes; systems take 255, the suffix and what others append included
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


def read_folder(path: Path, annotated: bool = True) -> list[AnnotatedText]:
    """The documents of a folder, or of a zip or tar that holds one, in the natural order of their names (2 < 10).

    Files that are neither `.txt` nor `.ann` are passed over, and so are hidden ones.

    Args:
        path: the folder or archive.
        annotated: whether each text must have its annotations; otherwise only the texts are read.

    Raises:
        UserError: there is no text, or they are in several folders; a file lacks its partner; see `read_document`.
    """
    files = contents(path, ["*.txt", "*.ann"] if annotated else ["*.txt"])
    if path.is_dir():  # brat's collections do not nest
        here = {name: content for name, content in files.items() if Path(name.parent).samefile(path)}
        if here and len(here) < len(files):
            raise UserError(
                f"{path}: texts in it and in folders below it, {len(here)} and {len(files) - len(here)} files; "
                "name a folder that holds no other, or bring all of them into one"
            )
    folders = sorted({str(name.parent) for name in files})
    if len(folders) > 1:
        raise UserError(
            f"{path}: texts in {len(folders)} folders ({', '.join(folders[:6])}); name one of them"
            f"{'' if path.is_dir() else ' after unpacking the archive'}"
        )
    if not any(name.suffix == ".txt" for name in files):
        raise UserError(
            f"{path}: no .txt file in it; a brat folder holds NAME.txt and NAME.ann for each document"
        )
    return read_files(files, annotated)


def read_files(files: Mapping[PurePosixPath, bytes], annotated: bool = True) -> list[AnnotatedText]:
    """The documents of files that are in memory, by path, in the natural order of their names.

    Raises:
        UserError: a file lacks its partner; see `read_document`.
    """
    texts = {path.with_suffix("") for path in files if path.suffix == ".txt"}
    annotations = {path.with_suffix("") for path in files if path.suffix == ".ann"} if annotated else set()
    for name in sorted(annotations - texts):
        raise UserError(f"{name}.ann: its text {name.name}.txt is missing; add it, or remove the .ann file")
    for name in sorted(texts - annotations if annotated else ()):
        raise UserError(
            f"{name}.txt: its annotations {name.name}.ann are missing; a text without entities has an empty .ann"
        )
    return [
        read_document(
            files[_file(name, ".txt")], files[_file(name, ".ann")] if annotated else None, str(name)
        )
        for name in sorted(texts, key=lambda name: (_natural(name.name), str(name)))
    ]


def _file(name: PurePosixPath, suffix: str) -> PurePosixPath:
    return name.with_name(name.name + suffix)


def _natural(name: str) -> list[tuple[int, str]]:
    """Digits compare as numbers. Split by them, every other part is one, so like compares with like."""
    return [
        (int(part), "") if place % 2 else (0, part) for place, part in enumerate(re.split(r"([0-9]+)", name))
    ]


def read_document(txt: bytes, ann: bytes | None, name: str) -> AnnotatedText:
    """One document. Its name is the last part of `name`.

    Args:
        txt: content of the text file.
        ann: content of the annotation file; None if there is none.
        name: folder and name of the files without suffix, for messages.

    Raises:
        UserError: a line is not of the format, an id occurs twice, or an offset does not fit the text.
    """
    text = decoded(txt, f"{name}.txt")
    entities: list[Entity] = []
    ids: dict[str, int] = {}
    lines = decoded((ann or b"").removeprefix(codecs.BOM_UTF8), f"{name}.ann").split("\n")
    for number, line in enumerate(lines, start=1):
        line, where = line.removesuffix("\r"), f"{name}.ann: line {number}"
        if match := ENTITY.fullmatch(line):
            identity, label, offsets, covered = match.groups()
            if identity in ids:
                raise UserError(
                    f"{where}: the id {identity} is also that of line {ids[identity]}; give each its own"
                )
            ids[identity] = number
            entities.append(_entity(text, label, offsets, covered, f"{where}: {identity} {label} {offsets}"))
        elif line and not OTHERS.fullmatch(line):
            raise UserError(f"{where}: {_shown(line)}")
    return AnnotatedText(PurePosixPath(name).name, text, tuple(sorted(entities)))


def decoded(content: bytes, file: str) -> str:
    """A file's text with all its line ends, which count in offsets.

    Raises:
        UserError: it is not UTF-8; the message names the file and the line.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    raise UserError(
        f"{file}: line {line}: not UTF-8; convert it, for example `iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW`"
    )


def _shown(line: str) -> str:
    """What is wrong with a line that no pattern fits. Only its first field is quoted, if it looks like an id."""
    first = line.split("\t")[0]
    if re.fullmatch(r"[A-Z#]\d+|\*", first):
        form = (
            "T1<tab>TYPE START END<tab>TEXT" if first[0] == "T" else "those of brat, fields separated by tabs"
        )
        return f"the line of {first} is not well formed; expected is {form}"
    return "not a line of brat's format, which begins with an id (T1, R1, E1, A1, M1, N1, #1, *) and a tab"


def _entity(text: str, label: str, offsets: str, covered: str, where: str) -> Entity:
    """The entity of a T line, checked against the text. `where` is how messages begin.

    The last field joins the fragments in the order in which they are written, which need not be that of the text.
    """
    pairs = [pair.split(" ") for pair in offsets.split(";")]
    fragments = [(int(start), int(end)) for start, end in pairs]
    if any(start >= end for start, end in fragments):
        raise UserError(f"{where}: a fragment must end after its start")
    if max(end for _, end in fragments) > len(text):
        raise UserError(f"{where}: reaches beyond the text, which has {len(text)} characters")
    ordered = tuple(sorted(fragments))
    if any(after[0] <= before[1] for before, after in itertools.pairwise(ordered)):
        raise UserError(f"{where}: fragments overlap or touch; write them as one")
    if _covered(text, fragments) != covered.translate(SPACES):
        hint = (
            " (the text begins with a byte order mark, which brat counts: save it without)"
            if text[:1] == BOM
            else ""
        )
        raise UserError(
            f"{where}: the text at these offsets is not that of the line; was the .txt changed?{hint}"
        )
    return Entity(label, ordered)


def _covered(text: str, fragments: list[tuple[int, int]]) -> str:
    return " ".join(text[start:end] for start, end in fragments).translate(SPACES)


def file_name(name: str) -> str:
    """A document's name as that of a file: what systems refuse becomes %XX, and what is too long a digest."""
    safe = re.sub(r"[/\\:%\x00-\x1f]|^\.|^$", lambda match: f"%{ord(match[0] or ' '):02X}", name)
    if len(safe.encode()) <= LONGEST_NAME:
        return safe
    digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{safe.encode()[: LONGEST_NAME - 17].decode(errors='ignore')}-{digest}"


def label_problems(labels: Iterable[str]) -> list[str]:
    """Which labels would become the same type."""
    by_type: dict[str, list[str]] = {}
    for label in labels:
        by_type.setdefault(_type_name(label), []).append(label)
    return [
        f"task: the labels {' and '.join(map(repr, same))} would both be {name} in brat files; rename one"
        for name, same in by_type.items()
        if len(same) > 1
    ]


def _type_name(label: str) -> str:
    """Types of brat hold no blanks."""
    return re.sub(r"\s+", "_", label)


def write_document(folder: Path, document: AnnotatedText) -> None:
    """Write NAME.txt and NAME.ann, which brat loads and BRATeval scores; T ids count from 1 in the order of entities.

    Blanks in a label become `_`, and NAME is `file_name` of the document's.
    """
    name = file_name(document.name)
    lines = []
    for number, (entity_label, fragments) in enumerate(document.entities, start=1):
        label = _type_name(entity_label)
        offsets = ";".join(f"{start} {end}" for start, end in fragments)
        lines.append(f"T{number}\t{label} {offsets}\t{_covered(document.text, list(fragments))}\n")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_bytes(document.text.encode())
    (folder / f"{name}.ann").write_bytes("".join(lines).encode())

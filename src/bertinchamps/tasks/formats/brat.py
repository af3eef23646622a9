"""The stand-off format of brat (Stenetorp et al., 2012; https://brat.nlplab.org/standoff.html).

NAME.txt holds "Fracture du col du fémur", NAME.ann its entities, a line each, fields separated by tabs:

    T1	DISO 0 24	Fracture du col du fémur
    T2	ANAT 12 15;19 24	col fémur
    #1	AnnotatorNotes T1	C0015802

Offsets count the characters (code points) of the .txt exactly as it is: a byte order mark counts, and so does
the "\r" of a line end. The reader accepts what brat accepts: the text of a T line (a line break is a space there) may
be missing, and other fields may follow; lines of other kinds (R, E, A, M, N, #, *) are ignored here.

brat writes an entity across a line end as one fragment a line. Fragments with nothing but blanks between them are read
as one fragment, and written as fragments again.
Long because reading and writing of one format are to be read together.
"""

from __future__ import annotations

import codecs
import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from bertinchamps.console import shown
from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.spans import Fragments, joined, other_counting
from bertinchamps.textfiles.archives import contents, listed
from bertinchamps.textfiles.bad_records import STOP, BadRecords
from bertinchamps.textfiles.opening import whole

ENTITY = re.compile(
    r"(T[0-9]+)\t(\S+) ([0-9]+ [0-9]+(?:;[0-9]+ [0-9]+)*) *(?:\t(.*))?", re.DOTALL
)  # id, type, offsets, text
OTHERS = re.compile(r"(?:[REAMN][0-9]+|#\S*|\*)(?:\s.*)?", re.DOTALL)
LINE_END_INSIDE = re.compile(r"(?<=\S)\s*\n\s*(?=\S)")
LARGEST_OFFSET = 10**12
NO_CHARACTER = "entities without a character"
# Characters that a program may take for the end of a line or of a field; the text of a T line has spaces instead.
SPACES = str.maketrans(dict.fromkeys("\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", " "))
LONGEST_NAME = 200  # bytes; file systems allow 255, suffixes included
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


def read_folder(
    path: Path, annotated: bool = True, left_out: Counter[str] | None = None, bad: BadRecords = STOP
) -> list[AnnotatedText]:
    """The documents of a folder, or of a zip or tar that holds one, in the natural order of their names (2 < 10).

    Files that are neither `.txt` nor `.ann` are ignored, and so are hidden files.

    Args:
        path: the folder or archive.
        annotated: whether each text must have its annotations; otherwise only the texts are read.
        left_out: counts what was left out, by reason.
        bad: what is done with documents that cannot be read.

    Raises:
        UserError: there is no text; texts are in several folders; a .txt or .ann is missing; see `read_document`.
    """
    files = contents(path, ["*.txt", "*.ann"] if annotated else ["*.txt"])
    _check_folder(path, files)
    return read_files(files, annotated, left_out, bad)


def read_texts(path: Path, annotated: bool = False, bad: BadRecords = STOP) -> Iterator[AnnotatedText]:
    """`read_folder`, one text after the other; without annotations, or with those of the texts that have some."""
    names = listed(path, ["*.txt"])
    _check_folder(path, names)
    for name in sorted(names, key=lambda name: (_natural(name.stem), str(name))):
        beside = Path(name).with_suffix(".ann")
        with bad.record():
            ann = whole(beside) if annotated and beside.is_file() else None
            yield read_document(whole(Path(name)), ann, str(name.with_suffix("")))


def _check_folder(path: Path, files: Collection[PurePosixPath]) -> None:
    """Raise UserError unless all files are in one folder, and one of them is a text."""
    if path.is_dir():  # brat's collections do not nest
        here = sum(Path(name.parent).samefile(path) for name in files)
        if 0 < here < len(files):
            raise UserError(
                f"{path}: texts in it and in folders below it, {here} and {len(files) - here} files; "
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


def read_files(
    files: Mapping[PurePosixPath, bytes],
    annotated: bool = True,
    left_out: Counter[str] | None = None,
    bad: BadRecords = STOP,
) -> list[AnnotatedText]:
    """The documents of files that are in memory, by path, in the natural order of their names.

    Args:
        files: content by path.
        annotated: whether each text must have its annotations.
        left_out: counts what was left out, by reason.
        bad: what is done with documents that cannot be read, or of which a file is missing.

    Raises:
        UserError: a .txt or .ann is missing; see `read_document`.
    """
    texts = {path.with_suffix("") for path in files if path.suffix == ".txt"}
    annotations = {path.with_suffix("") for path in files if path.suffix == ".ann"} if annotated else set()
    for name in sorted(annotations - texts):
        wrong = f"{name}.ann: its text {name.name}.txt is missing; add it, or remove the .ann file"
        bad.leave_out(UserError(wrong))
    for name in sorted(texts - annotations if annotated else ()):
        wrong = f"{name}.txt: its annotations {name.name}.ann are missing; a text without entities has an empty .ann"
        bad.leave_out(UserError(wrong))
    documents = []
    whole_ones = texts & annotations if annotated else texts
    for name in sorted(whole_ones, key=lambda name: (_natural(name.name), str(name))):
        ann = files[_file(name, ".ann")] if annotated else None
        with bad.record():
            documents.append(read_document(files[_file(name, ".txt")], ann, str(name), left_out))
    return documents


def _file(name: PurePosixPath, suffix: str) -> PurePosixPath:
    return name.with_name(name.name + suffix)


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key in which digits compare as numbers; every other part of the split is a number."""
    return [
        (int(part), "") if place % 2 else (0, part) for place, part in enumerate(re.split(r"([0-9]+)", name))
    ]


def read_document(
    txt: bytes, ann: bytes | None, name: str, left_out: Counter[str] | None = None
) -> AnnotatedText:
    """One document, named by the last part of `name`.

    Args:
        txt: content of the text file.
        ann: content of the annotation file; None if there is none.
        name: folder and name of the files without suffix, for messages.
        left_out: counts entities without a character.

    Raises:
        UserError: a line is not of the format, an id occurs twice, or an offset does not fit the text.
    """
    text = decoded(txt, f"{name}.txt")
    found = entities_by_id(text, ann or b"", name)
    entities = [entity for entity in found.values() if entity is not None]
    if left_out is not None and len(entities) < len(found):
        left_out[NO_CHARACTER] += len(found) - len(entities)
    return AnnotatedText(PurePosixPath(name).name, text, tuple(sorted(entities)))


def entities_by_id(text: str, ann: bytes, name: str) -> dict[str, Entity | None]:
    """The entities of T lines by their ids, None for one without a character; raises what `read_document` raises."""
    entities: dict[str, Entity | None] = {}
    ids: dict[str, int] = {}
    for number, line in enumerate(annotation_lines(ann, f"{name}.ann"), start=1):
        where = f"{name}.ann: line {number}"
        if match := ENTITY.fullmatch(line):
            identity, label, offsets, covered = match.groups()
            if identity in ids:
                raise UserError(f"{where}: its id is also that of line {ids[identity]}; give each its own")
            ids[identity] = number
            fragments = _fragments(text, offsets, covered or "", where)
            entities[identity] = Entity(label, fragments) if fragments else None
        elif line.strip() and not OTHERS.fullmatch(line):
            raise UserError(f"{where}: {_wrong(line)}")
    return entities


def annotation_lines(ann: bytes, file: str) -> list[str]:
    """The lines of an annotation file, whatever ends them."""
    content = decoded(ann.removeprefix(codecs.BOM_UTF8), file)
    return [line.removesuffix("\r") for line in content.split("\n" if "\n" in content else "\r")]


def decoded(content: bytes, file: str) -> str:
    """A file's text with unchanged line ends, which count in offsets.

    Raises:
        UserError: the file is not UTF-8; the message names the file and the line.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    raise UserError(
        f"{file}: line {line}: not UTF-8; convert it, for example `iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW`"
    )


def _wrong(line: str) -> str:
    """What is wrong with a line that no pattern matches; the line is not quoted."""
    if re.match(r"T[0-9]+\s", line):
        return "a T line that is not well formed; expected is T1<tab>TYPE START END<tab>TEXT"
    return "not a line of brat's format, which begins with an id (T1, R1, E1, A1, M1, N1, #1, *) and a tab"


def _fragments(text: str, offsets: str, covered: str, where: str) -> Fragments:
    """The fragments of a T line, checked against the text, and `joined`; none if the fragments are empty.

    The line's text has the fragments in the order of the line's offsets, which may differ from that of the text.
    """
    pairs = [pair.split(" ") for pair in offsets.split(";")]
    written = tuple((_offset(start), _offset(end)) for start, end in pairs)
    if any(start > end for start, end in written):
        raise UserError(f"{where}: a fragment must end after its start")
    if max(end for _, end in written) > len(text):
        raise UserError(
            f"{where}: reaches beyond the text, which has {len(text)} characters{_hint(text, written, covered)}"
        )
    ordered = tuple(sorted((start, end) for start, end in written if start < end))
    if any(after[0] < before[1] for before, after in itertools.pairwise(ordered)):
        raise UserError(f"{where}: fragments overlap; write them as one")
    expected = _covered(text, written)
    given = covered.translate(SPACES)
    further = covered.startswith("\t", len(expected)) and given.startswith(expected)
    if given.strip() and given != expected and not further:
        raise UserError(
            f"{where}: the text at these offsets is not that of the line; was the .txt changed?"
            f"{_hint(text, written, covered)}"
        )
    return joined(text, ordered)


def _hint(text: str, fragments: Fragments, covered: str) -> str:
    if text[:1] == BOM:
        return " (the text begins with a byte order mark, which brat counts: save it without)"
    return other_counting(text, fragments, covered)


def _offset(digits: str) -> int:
    """An offset; one with too many digits becomes LARGEST_OFFSET, which is beyond every text."""
    return int(digits) if len(digits) <= len(str(LARGEST_OFFSET)) else LARGEST_OFFSET


def _covered(text: str, fragments: Iterable[tuple[int, int]]) -> str:
    return " ".join(text[start:end] for start, end in fragments).translate(SPACES)


def file_name(name: str) -> str:
    """A document's name as a file name: refused characters become %XX, and the end of a long name a digest."""
    safe = re.sub(r"[/\\:%\x00-\x1f]|^\.|^$", lambda match: f"%{ord(match[0] or ' '):02X}", name)
    if len(safe.encode()) <= LONGEST_NAME:
        return safe
    digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{safe.encode()[: LONGEST_NAME - 17].decode(errors='ignore')}-{digest}"


def label_problems(labels: Iterable[str]) -> list[str]:
    """Messages about labels that would become the same type."""
    by_type: dict[str, list[str]] = {}
    for label in labels:
        by_type.setdefault(type_name(label), []).append(label)
    return [
        f"task: the labels {' and '.join(repr(shown(label)) for label in same)} would both be {shown(name)} in brat "
        "files; rename one"
        for name, same in by_type.items()
        if len(same) > 1
    ]


def type_name(label: str) -> str:
    """Types of brat hold no blanks."""
    return re.sub(r"\s+", "_", label)


def write_document(folder: Path, document: AnnotatedText, annotated: bool = True) -> None:
    """Write NAME.txt and NAME.ann, which brat loads and BRATeval scores; T ids count from 1 in the order of the text.

    Blanks in a label become `_`, and NAME is `file_name(document.name)`. The confidence of a predicted entity is
    written as a note, which brat shows beside the entity. Without `annotated` there is no NAME.ann.
    """
    name = file_name(document.name)
    lines = []
    for number, ((entity_label, fragments), confidence) in enumerate(document.by_place(), start=1):
        label, on_lines = type_name(entity_label), _line_by_line(document.text, fragments)
        offsets = ";".join(f"{start} {end}" for start, end in on_lines)
        lines.append(f"T{number}\t{label} {offsets}\t{_covered(document.text, on_lines)}\n")
        if confidence is not None:
            lines.append(f"#{number}\tAnnotatorNotes T{number}\tconfidence {confidence:.2f}\n")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_bytes(document.text.encode())
    if annotated:
        (folder / f"{name}.ann").write_bytes("".join(lines).encode())


def _line_by_line(text: str, fragments: Fragments) -> Fragments:
    """The fragments as brat writes them: a fragment across a line end becomes one fragment a line."""
    apart: list[tuple[int, int]] = []
    for start, end in fragments:
        visible_end = start + len(text[start:end].rstrip())
        for line_end in LINE_END_INSIDE.finditer(text, start, visible_end):
            if line_end.start() > start:  # otherwise the lookbehind matched before the fragment
                apart.append((start, line_end.start()))
                start = line_end.end()
        apart.append((start, end))
    return tuple(apart)

"""Files of texts with entities in any format, told apart by their names, or named by `task.format`.

A folder or an archive is a brat folder, unless it holds `.xmi` files (or zips of them) and no `.txt`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from bertinchamps.contract import AnnotatedText, RelatedText
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import brat, conll, label_studio, prodigy, spans_jsonl, xmi
from bertinchamps.tasks.formats.conll import Layout
from bertinchamps.tasks.formats.xmi_writing import LAYER
from bertinchamps.textfiles.archives import contents, is_archive, listed
from bertinchamps.textfiles.bad_records import STOP, BadRecords
from bertinchamps.textfiles.limits import Room
from bertinchamps.textfiles.opening import unpacked, unpacked_name, whole

AUTO = "auto"
CONLL_SUFFIXES = (*conll.SUFFIXES, ".tsv", ".txt")
# Value of `task.format` → what a file is read as, in words.
FORMATS = {
    "brat": "brat",
    "conll": "CoNLL columns",
    "jsonl": "JSON lines with spans",
    "label_studio": "JSON of Label Studio",
    "doccano": "JSON lines of doccano",
    "prodigy": "JSON lines of Prodigy",
    "xmi": "XMI of UIMA",
}
KNOWN = (
    "a folder, .zip or .tar.gz is read as brat, or as XMI where it holds .xmi; .jsonl as JSON lines with spans, .json "
    f"as JSON of Label Studio, .xmi as XMI, {' '.join(CONLL_SUFFIXES)} as CoNLL columns; files may be .gz or .zst; "
    "task.format= names another format"
)
XMI_FILES = ("*.xmi",)


def form_of(path: Path) -> str | None:
    """The format of a file or folder by its name and, of folders and archives, by what they hold; None: unknown."""
    name = unpacked_name(path)
    if path.is_dir() or is_archive(path):
        if listed(path, ["*.txt"]):
            return "brat"
        return "xmi" if any(listed(place, XMI_FILES) for place in (path, *_zips_in(path))) else "brat"
    if name.endswith(".jsonl"):
        return "jsonl"
    if name.endswith(".json"):
        return "label_studio"
    if name.endswith(".xmi"):
        return "xmi"
    return "conll" if name.endswith(CONLL_SUFFIXES) else None


def read(
    path: Path,
    form: str,
    left_out: Counter[str],
    layout: Layout = conll.FIRST_AND_LAST,
    layers: Sequence[str] = (LAYER,),
    bad: BadRecords = STOP,
) -> list[AnnotatedText]:
    """The documents of a file, a folder or an archive.

    Args:
        path: the file, folder or archive.
        form: one of FORMATS.
        left_out: counts what was left out, by reason.
        layout: of CoNLL columns.
        layers: of XMI, see `xmi.read_layers`.
        bad: what is done with documents that cannot be read.

    Raises:
        UserError: something in it is malformed; the message has file and line.
    """
    if form == "brat":
        return brat.read_folder(path, left_out=left_out, bad=bad)
    if form == "conll":
        return conll.read(path, layout, bad=bad)
    if form == "label_studio":
        return label_studio.read(path, left_out, bad)
    if form == "prodigy":
        return prodigy.read(path, left_out, bad)
    if form == "xmi":
        return read_xmi(path, layers, left_out, bad)
    return spans_jsonl.read(path, left_out=left_out, bad=bad)


def read_xmi(
    path: Path, layers: Sequence[str], left_out: Counter[str], bad: BadRecords = STOP
) -> list[AnnotatedText]:
    """The documents of an XMI file, or of a folder or archive of them (`xmi_files`), with their entities.

    Raises:
        UserError: no XMI file is there; see `xmi.read_layers`.
    """
    return list(stream_xmi(path, layers, bad, left_out, Room(path)))


def stream_xmi(
    path: Path,
    layers: Sequence[str],
    bad: BadRecords = STOP,
    left_out: Counter[str] | None = None,
    room: Room | None = None,
) -> Iterator[AnnotatedText]:
    """`read_xmi`, one document after the other; `room` is that of `xmi_files`."""
    for file, name, content in xmi_files(path, room):
        with bad.record():
            yield xmi.read_layers(content, file, name, layers, left_out)


def read_related_xmi(
    path: Path,
    layers: Sequence[str],
    links: Sequence[str],
    left_out: Counter[str],
    first: dict[str, str],
    bad: BadRecords = STOP,
) -> list[RelatedText]:
    """`read_xmi` with the relations of some links; the other arguments are those of `xmi.read_related`.

    Raises:
        UserError: no XMI file is there; see `xmi.read_related`.
    """
    documents = []
    for file, name, content in xmi_files(path, Room(path)):
        with bad.record():
            documents.append(xmi.read_related(content, file, name, layers, links, left_out, first))
    return documents


def xmi_files(path: Path, room: Room | None = None) -> Iterator[tuple[str, str, bytes]]:
    """Each XMI file of a folder or archive, also of one zip a document in a folder.

    Documents are named by their files, or by the whole path below the folder where two files have one name.

    Args:
        path: the folder or archive, or a single file.
        room: for all files that the caller keeps; None: for each alone.

    Yields:
        Path, name of the document, and content.

    Raises:
        UserError: no XMI file is there, or one cannot be read.
    """
    root = PurePosixPath(path.absolute())
    if not (path.is_dir() or is_archive(path)):
        yield str(root), root.stem, unpacked(path)
        return
    files = {place: listed(place, XMI_FILES) for place in (path, *_zips_in(path))}
    stems = Counter(file.stem for own in files.values() for file in own)
    if not stems:
        raise UserError(f"{path}: no .xmi file in it")
    for place, own in files.items():
        packed = {} if place.is_dir() else contents(place, XMI_FILES)
        for file in own:
            whole_name = "-".join(file.with_suffix("").relative_to(root).parts)
            name = file.stem if stems[file.stem] == 1 else whole_name
            yield str(file), name, packed[file] if packed else whole(Path(file), room)


def _zips_in(path: Path) -> list[Path]:
    return sorted(path.rglob("*.zip")) if path.is_dir() else []

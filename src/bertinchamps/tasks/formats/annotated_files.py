"""Files of texts with entities in any format, told apart by their names, or named by `task.format`.

A folder or an archive is a brat folder, unless it holds `.xmi` files and no `.txt`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import brat, conll, label_studio, prodigy, spans_jsonl, xmi
from bertinchamps.tasks.formats.conll import Layout
from bertinchamps.tasks.formats.xmi_writing import LAYER
from bertinchamps.textfiles.archives import contents, is_archive, listed
from bertinchamps.textfiles.bad_records import STOP, BadRecords
from bertinchamps.textfiles.opening import unpacked, unpacked_name

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
        return "xmi" if listed(path, XMI_FILES) and not listed(path, ["*.txt"]) else "brat"
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
    """The documents of an XMI file, or of a folder or archive of them, also of one zip a document in a folder.

    They are named by their files, or by the whole path below the folder where two files have one name.

    Raises:
        UserError: no XMI file is there; see `xmi.read_layers`.
    """
    files = _xmi_files(path)
    if not files:
        raise UserError(f"{path}: no .xmi file in it")
    stems = Counter(file.stem for file in files)
    root = PurePosixPath(path.absolute())
    documents = []
    for file, content in files.items():
        whole_name = "-".join(file.with_suffix("").relative_to(root).parts) if file != root else file.stem
        name = file.stem if stems[file.stem] == 1 else whole_name
        with bad.record():
            documents.append(xmi.read_layers(content, str(file), name, layers, left_out))
    return documents


def _xmi_files(path: Path) -> dict[PurePosixPath, bytes]:
    if path.is_dir() or is_archive(path):
        files = contents(path, XMI_FILES)
        for inner in sorted(path.rglob("*.zip")) if path.is_dir() else ():
            files |= contents(inner, XMI_FILES)
        return files
    return {PurePosixPath(path.absolute()): unpacked(path)}

"""The user's own examples: texts with classes or a number, and texts with entities.

train.csv                                       train.jsonl
text,label                                      {"text": "Fracture du col", "spans": [[0, 15, "DISO"]]}
"Rupture de stock de masques.",logistique
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertinchamps.contract import AnnotatedText, LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks import tasks
from bertinchamps.tasks.archives import is_archive
from bertinchamps.tasks.formats import brat, conll, spans_jsonl, tables

KINDS = {"single": "single_label", "multi": "multi_label", "number": "number"}
CONLL_SUFFIXES = (".conll", ".iob", ".iob2", ".bio", ".bioes", ".tsv", ".txt")
COMPRESSIONS = (".gz", ".zst")
FORMATS = (
    "a folder, .zip or .tar.gz is read as brat, .jsonl as JSON lines with spans,"
    f" {' '.join(CONLL_SUFFIXES)} as CoNLL columns; files may be .gz or .zst"
)


def _given(**settings: str | None) -> dict[str, Path]:
    """The files by split. Raises UserError if one is missing, or given twice."""
    paths = {split: Path(path).expanduser() for split, path in settings.items() if path is not None}
    owners: dict[Path, str] = {}
    for split, path in paths.items():
        if not path.exists():
            raise UserError(f"task.{split}={path}: no such file or folder (looked from {Path.cwd()})")
        owner = owners.setdefault(path.resolve(), split)
        if owner != split:
            raise UserError(
                f"task.{split}={path}: also task.{owner}; scores on what was trained on mean nothing"
            )
    return paths


def _classification_problems(settings: Mapping[str, Any]) -> list[str]:
    target = settings.get("target", "single")
    wrong = [] if target in KINDS else [f"task.target={target}: one of {', '.join(KINDS)}"]
    return wrong + ([] if settings.get("separator", "|") else ["task.separator: must not be empty"])


@tasks.register("classification", check=_classification_problems)
class Classification:
    """Texts, or pairs of texts, with classes or a number, in `.csv`, `.tsv` or `.jsonl`, plain, `.gz` or `.zst`.

    Args:
        train: the file of training examples.
        dev: the file of dev examples, or None.
        test: the file of test examples, or None.
        text: the column of the text.
        pair: the column of the second text, or None.
        label: the column of what is to be predicted.
        target: `single` (one class), `multi` (any number of classes) or `number`.
        separator: between the classes of a `multi` row; a JSON list needs none.
    """

    remarks = ()

    def __init__(
        self,
        train: str,
        dev: str | None = None,
        test: str | None = None,
        text: str = "text",
        pair: str | None = None,
        label: str = "label",
        target: str = "single",
        separator: str = "|",
    ) -> None:
        self.kind = KINDS[target]
        self._settings = {"train": train, "dev": dev, "test": test}
        self._columns = tables.Columns(text, pair, label, target, separator)

    def check(self) -> None:
        """Look for the files and read the first row of each."""
        for path in _given(**self._settings).values():
            next(iter(tables.read(path, self._columns)))

    def read(self) -> dict[str, list[LabelledText]]:
        """The rows of each file that is given."""
        return {
            split: list(tables.read(path, self._columns)) for split, path in _given(**self._settings).items()
        }


@tasks.register("ner")
class Ner:
    """Texts with entities: brat folders or archives, CoNLL files, or JSON lines with spans, told by their names.

    Args:
        train: the training examples.
        dev: the dev examples, or None.
        test: the test examples, or None.
    """

    kind = "ner"

    def __init__(self, train: str, dev: str | None = None, test: str | None = None) -> None:
        self._settings = {"train": train, "dev": dev, "test": test}
        self.remarks: tuple[str, ...] = ()

    def check(self) -> None:
        """Look for the files, and whether their names tell a format."""
        for split, path in _given(**self._settings).items():
            _format(split, path)

    def read(self) -> dict[str, list[AnnotatedText]]:
        """The documents of each file or folder that is given; what was left out becomes remarks."""
        splits, remarks = {}, []
        for split, path in _given(**self._settings).items():
            left_out: Counter[str] = Counter()
            splits[split] = _read(split, path, left_out)
            remarks += [
                f"left out of task.{split}: {reason} ({count})" for reason, count in sorted(left_out.items())
            ]
        self.remarks = tuple(remarks)
        return splits


def _format(split: str, path: Path) -> str:
    name = path.name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    if path.is_dir() or is_archive(path):
        return "brat"
    if name.endswith(".jsonl"):
        return "JSON lines with spans"
    if name.endswith(CONLL_SUFFIXES):
        return "CoNLL columns"
    raise UserError(f"task.{split}={path}: the name tells no known format: {FORMATS}")


def _read(split: str, path: Path, left_out: Counter[str]) -> list[AnnotatedText]:
    kind = _format(split, path)
    try:
        if kind == "brat":
            return brat.read_folder(path, left_out=left_out)
        return spans_jsonl.read(path, left_out=left_out) if kind.startswith("JSON") else conll.read(path)
    except UserError as error:
        raise UserError(f"{error}\n(task.{split}={path} is read as {kind}: {FORMATS})") from error

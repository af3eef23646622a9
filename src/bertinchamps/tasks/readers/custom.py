"""The user's own examples: texts with classes or a number, and texts with entities.

train.csv                                       train.jsonl
text,label                                      {"text": "Fracture du col", "spans": [[0, 15, "DISO"]]}
"Rupture de stock de masques.",logistique
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bertinchamps.contract import AnnotatedText, LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import annotated_files, conll, tables
from bertinchamps.tasks.formats.annotated_files import AUTO, FORMATS, KNOWN
from bertinchamps.tasks.formats.xmi_writing import LAYER
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.readers import readers
from bertinchamps.textfiles.bad_records import ON_ERROR, BadRecords, on_error_problems
from bertinchamps.textfiles.tables import QUOTED_TSV

# Names of training files and folders that do not identify a task.
GENERIC = ("train", "training", "apprentissage", "entrainement", "entraînement", "data", "brat", "gold")
KINDS = {"single": "single_label", "multi": "multi_label", "number": "regression"}


def given_files(**settings: str | None) -> dict[str, Path]:
    """The files by split. Raises UserError if one is missing, or given twice."""
    paths = {split: Path(path).expanduser() for split, path in settings.items() if path is not None}
    owners: dict[Path, str] = {}
    for split, path in paths.items():
        if not path.exists():
            raise UserError(f"task.{split}={path}: no such file or folder (looked from {Path.cwd()})")
        if not (path.is_file() or path.is_dir()):  # a pipe cannot be read twice
            raise UserError(f"task.{split}={path}: neither a file nor a folder")
        owner = owners.setdefault(path.resolve(), split)
        if owner != split:
            raise UserError(
                f"task.{split}={path}: also task.{owner}; scores on what was trained on mean nothing"
            )
    return paths


def named_after(train: Path) -> str:
    """A task's name: that of the training file, after the names of its folders where it is one of GENERIC."""
    whole = Path(os.path.abspath(train.expanduser()))  # noqa: PTH100 (resolve would rename links)
    parts = [whole.name.split(".")[0]]
    for folder in whole.parents:
        if parts[0].lower() not in GENERIC or not folder.name:
            break
        parts.insert(0, folder.name)
    return "_".join(parts)


def title_problems(settings: Mapping[str, Any]) -> list[str]:
    """What is wrong with `task.title`."""
    title = settings.get("title")
    return [] if title is None or str(title).strip() else ["task.title: must not be empty; null chooses one"]


def _classification_problems(settings: Mapping[str, Any]) -> list[str]:
    target = settings.get("target", "single")
    others = (name for name in kinds.names() if not kinds.build(name).reads_words)
    menu = [*KINDS, *(name for name in others if name not in KINDS.values())]
    wrong = [] if target in menu else [f"task.target={target}: one of {', '.join(menu)}"]
    wrong += [] if settings.get("separator", "|") else ["task.separator: must not be empty"]
    return wrong + on_error_problems(settings, "task") + title_problems(settings)


@readers.register("classification", check=_classification_problems)
class Classification:
    """Texts, or pairs of texts, with classes or a number, in `.csv`, `.tsv` or `.jsonl`, plain, `.gz` or `.zst`.

    Args:
        train: the file of training examples.
        dev: the file of dev examples, or None.
        test: the file of test examples, or None.
        text: the column of the text.
        pair: the column of the second text, or None.
        label: the column of the target.
        target: `single` (one class), `multi` (any number of classes), `number`, or another kind of task with one class.
        separator: between the classes of a `multi` row; a JSON list needs none.
        on_error: what a row that cannot be read does: `stop`, or `skip`, which leaves it out and counts it.
        title: what the report calls the task; None: after the training file.
    """

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
        on_error: str = ON_ERROR[0],
        title: str | None = None,
    ) -> None:
        del title  # the command reads it
        self.kind = KINDS.get(target, target)
        self._settings = {"train": train, "dev": dev, "test": test}
        self._columns = tables.Columns(text, pair, label, target if target in KINDS else "single", separator)
        self._on_error, self.bad = on_error, dict[str, BadRecords]()
        self.remarks: tuple[str, ...] = ()

    def check(self) -> None:
        """Look for the files and read the first row of each that can be read."""
        for path in given_files(**self._settings).values():
            next(tables.read(path, self._columns, bad=BadRecords(self._on_error)), None)

    def read(self) -> dict[str, list[LabelledText]]:
        """The rows of each given file; remarks count rows that are left out, and `.tsv` fields in quotes."""
        splits, remarks = {}, []
        for split, path in given_files(**self._settings).items():
            left_out: Counter[str] = Counter()
            bad = self.bad[split] = BadRecords(self._on_error)
            splits[split] = list(tables.read(path, self._columns, left_out, bad))
            bad.check(len(splits[split]))
            remarks += left_out_remarks(split, left_out)
            if quoted := tables.enclosed(path, splits[split]):
                remarks.append(
                    f"{quoted} of the {len(splits[split])} rows of task.{split} have a field in quotes, which are kept:"
                    f" {QUOTED_TSV}"
                )
        self.remarks = tuple(remarks)
        return splits


def left_out_remarks(split: str, reasons: Counter[str]) -> list[str]:
    """A remark for each reason, with its count."""
    return [f"left out of task.{split}: {reason} ({count})" for reason, count in sorted(reasons.items())]


def layer_problems(layers: Sequence[str], key: str, example: str = LAYER) -> list[str]:
    """Mistakes in layers of XMI, which the user's key names."""
    right = layers and all(each.partition(".")[0] for each in layers)
    return [] if right else [f"{key}: TYPE.FEATURE each, such as [{example}], or TYPE"]


def _ner_problems(settings: Mapping[str, Any]) -> list[str]:
    columns = {key: settings[key] for key in ("word_column", "label_column") if settings.get(key) is not None}
    wrong = [f"task.{key}={value}: columns count from 1" for key, value in columns.items() if value < 1]
    if len(set(columns.values())) < len(columns):
        wrong.append("task.word_column, task.label_column: the same column cannot be both")
    scheme = settings.get("scheme", conll.FIRST_AND_LAST.scheme)
    if scheme not in conll.TAGS:
        wrong.append(f"task.scheme={scheme}: one of {', '.join(conll.TAGS)}")
    form = settings.get("format", AUTO)
    if form not in (AUTO, *FORMATS):
        wrong.append(f"task.format={form}: one of {', '.join((AUTO, *FORMATS))}")
    wrong += layer_problems(settings.get("layers", [LAYER]), "task.layers")
    return wrong + on_error_problems(settings, "task") + title_problems(settings)


@readers.register("ner", check=_ner_problems)
class Ner:
    """Texts with entities: brat, CoNLL files, JSON lines with spans, or what annotation tools export.

    Args:
        train: the training examples.
        dev: the dev examples, or None.
        test: the test examples, or None.
        format: of all files, an entry of `annotated_files.FORMATS`; auto: by the names of the files.
        layers: of XMI, the layers that hold entities, TYPE.FEATURE each; the label is the value of the feature.
        word_column: of CoNLL files, the column of words, counted from 1.
        label_column: of CoNLL files, the column of tags, counted from 1; None: the last one.
        scheme: of CoNLL files, how tags spell entities: auto (IOB2 or BIOES), iob2, bioes, iob1 or io.
        on_error: what a document (a line, a sentence of CoNLL) that cannot be read does: `stop`, or `skip`, which
            leaves it out and counts it.
        title: what the report calls the task; None: after the training examples.
        leaks: the entities identify people: score what stays visible when they are hidden, too.
    """

    def __init__(
        self,
        train: str,
        dev: str | None = None,
        test: str | None = None,
        format: str = AUTO,
        layers: Sequence[str] = (LAYER,),
        word_column: int = 1,
        label_column: int | None = None,
        scheme: str = "auto",
        on_error: str = ON_ERROR[0],
        title: str | None = None,
        leaks: bool = False,
    ) -> None:
        del title  # the command reads it
        self.kind = "identifiers" if leaks else "ner"
        self._settings = {"train": train, "dev": dev, "test": test}
        self._format, self._layers = format, tuple(layers)
        self._layout = conll.Layout(word_column, label_column, scheme)
        self._on_error, self.bad = on_error, dict[str, BadRecords]()
        self.remarks: tuple[str, ...] = ()

    def check(self) -> None:
        """Look for the files, and for their formats by their names."""
        given = given_files(**self._settings)
        formats = {_format(split, path, self._format) for split, path in given.items()}
        if self._layout != conll.FIRST_AND_LAST and "conll" not in formats:
            raise UserError(
                "task.word_column, task.label_column, task.scheme: only CoNLL files have columns and tags, and none of"
                f" these files is one: {KNOWN}"
            )
        if self._layers != (LAYER,) and "xmi" not in formats:
            raise UserError(f"task.layers: only XMI has layers, and none of these files is one: {KNOWN}")

    def read(self) -> dict[str, list[AnnotatedText]]:
        """The documents of each given file or folder; remarks count what was left out."""
        splits, remarks = {}, []
        for split, path in given_files(**self._settings).items():
            left_out: Counter[str] = Counter()
            form = _format(split, path, self._format)
            bad = self.bad[split] = BadRecords(self._on_error)
            with _told_as(split, path, form):
                read = annotated_files.read(path, form, left_out, self._layout, self._layers, bad)
                bad.check(len(read))
            splits[split] = read
            remarks += left_out_remarks(split, left_out)
        self.remarks = tuple(remarks)
        return splits


def _format(split: str, path: Path, wanted: str) -> str:
    form = annotated_files.form_of(path) if wanted == AUTO else wanted
    if form is None:
        raise UserError(f"task.{split}={path}: no known format has this suffix: {KNOWN}")
    return form


@contextmanager
def _told_as(split: str, path: Path, form: str) -> Iterator[None]:
    """Add to the message of an error as what the file is read."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{error}\n(task.{split}={path} is read as {FORMATS[form]}: {KNOWN})") from error

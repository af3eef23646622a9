"""Three parts of FLUE (Le et al., 2020), read from the files that their authors publish.

A line of PAWS-X (paraphrases), of XNLI (inference) and an item of Webis-CLS-10 (opinions on books, films and music):

    1	Le film sort en 1936.	En 1936 , le film sort.	1

    Il a dit : maman, je suis là.	Il est rentré.	neutral

    <item><category>livres</category><rating>4.0</rating><url>…</url><text>Un <b>grand</b> livre.</text>
    <title>…</title><summary>Bravo</summary></item>
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import ClassVar

from bertinchamps.contract import SPLITS, LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.hub import HubDataset, Row
from bertinchamps.tasks.readers.releases import Release

NO_SENTENCE = ("", "NS")  # what PAWS-X has where a sentence was not translated
CATEGORIES = ("books", "dvd", "music")
FIELDS = "category|rating|url|text|title|summary"
ITEM = re.compile(r"<item>(.*?)</item>\s*(?=<item>|</items>|\Z)", re.DOTALL)
# A field ends where another one begins, or the item ends: its text may hold markup of its own.
FIELD = re.compile(rf"\s*<({FIELDS})>(.*?)</\1>(?=\s*(?:<(?:{FIELDS})>|\Z))", re.DOTALL)

Files = Mapping[str, dict[PurePosixPath, bytes]]


class _Published:
    """What the three readers share: a release in files, and perhaps the same on the Hub."""

    kind = "single_label"
    release: ClassVar[Release]
    patterns: ClassVar[Sequence[str]]
    official: ClassVar[Mapping[str, int]]  # examples of each published split
    configuration: ClassVar[str] = "fr"

    def __init__(self, path: str | None = None, hub: str | None = None) -> None:
        self._path = path
        self._hub = HubDataset(hub, self.configuration, self.release.address) if hub else None
        self.remarks: tuple[str, ...] = ()

    def _compared(self, read: dict[str, list[LabelledText]]) -> dict[str, list[LabelledText]]:
        """What was read; remarks where it is not of the published size."""
        sizes = {split: len(examples) for split, examples in read.items()}
        if sizes != self.official:
            found, official = (
                ", ".join(f"{split} {size:,}" for split, size in each.items())
                for each in (sizes, self.official)
            )
            self.remarks += (
                f"not the official splits of {self.release.name} ({found}; official: {official}): "
                "no score on them compares with a published one",
            )
        return read

    def check(self) -> None:
        """Look for the files, or ask the Hub."""
        if self._hub:
            self._hub.check()
        else:
            self.release.check(self._path, self.patterns)

    def _files(self) -> Files:
        return self.release.files(self._path, self.patterns)


@readers.register("pawsx")
class PawsX(_Published):
    """French PAWS-X (Yang et al., 2019): whether two sentences say the same, "1", or not, "0".

    A pair with a sentence that is empty or `NS` (not translated) asks nothing, so such pairs are left out of every
    split, and so are those of the Hub without a label. FLUE leaves out pairs of at most five words to that end.

    Args:
        path: the official archive, a folder that holds it, or a folder that it was unpacked into.
        hub: a dataset on the Hugging Face Hub to read instead, such as google-research-datasets/paws-x.

    Attributes:
        dropped: pairs that `read` left out, by split.
    """

    release = Release(
        name="PAWS-X",
        address="https://storage.googleapis.com/paws/pawsx/x-final.tar.gz",
        archives=("x-final.tar.gz",),
        hub="google-research-datasets/paws-x",
    )
    patterns = ("fr/translated_train.tsv", "fr/dev_2k.tsv", "fr/test_2k.tsv")
    official: ClassVar[Mapping[str, int]] = {"train": 49_401, "dev": 2_000, "test": 2_000}

    def __init__(self, path: str | None = None, hub: str | None = None) -> None:
        super().__init__(path, hub)
        self.dropped: dict[str, int] = {}

    def read(self) -> dict[str, list[LabelledText]]:
        """The pairs of each split, without those that lack a sentence."""
        columns = ("sentence1", "sentence2", "label")
        if self._hub:
            pairs = {split: _hub_pairs(rows, columns) for split, rows in self._hub.read(columns).items()}
        else:
            files = self._files()
            pairs = {
                split: [
                    _pair(where, row["sentence1"], row["sentence2"], row["label"], ("0", "1"))
                    for where, row in _table(files[pattern], columns)
                ]
                for split, pattern in zip(SPLITS, self.patterns, strict=True)
            }
        self._compared(pairs)
        kept = {split: [pair for pair in each if _is_whole(pair)] for split, each in pairs.items()}
        self.dropped = {split: len(pairs[split]) - len(kept[split]) for split in pairs}
        if any(self.dropped.values()):
            counts = ", ".join(f"{split} {count}" for split, count in self.dropped.items())
            self.remarks += (f"pairs without a sentence were left out: {counts}",)
        return kept


@readers.register("xnli")
class Xnli(_Published):
    """French XNLI (Conneau et al., 2018): entailment, neutral or contradiction. Train is machine-translated.

    Args:
        path: a folder that holds the two official archives, or that they were unpacked into.
        hub: a dataset on the Hugging Face Hub to read instead, such as facebook/xnli.
    """

    release = Release(
        name="XNLI",
        address="https://github.com/facebookresearch/XNLI",
        archives=("XNLI-1.0.zip", "XNLI-MT-1.0.zip"),
        hub="facebook/xnli",
    )
    patterns = ("multinli.train.fr.tsv", "xnli.dev.tsv", "xnli.test.tsv")
    official: ClassVar[Mapping[str, int]] = {"train": 392_702, "dev": 2_490, "test": 5_010}
    labels = ("contradiction", "entailment", "neutral")

    def read(self) -> dict[str, list[LabelledText]]:
        """The pairs of premise and hypothesis of each split."""
        if self._hub:
            columns = ("premise", "hypothesis", "label")
            rows_of = self._hub.read(columns)
            return self._compared(
                {split: _all_labelled(split, _hub_pairs(rows, columns)) for split, rows in rows_of.items()}
            )
        files = self._files()
        train = [
            # the translated file spells this one label otherwise than XNLI-1.0 does
            _pair(
                where,
                row["premise"],
                row["hypo"],
                row["label"].replace("contradictory", "contradiction"),
                self.labels,
            )
            for where, row in _table(files[self.patterns[0]], ("premise", "hypo", "label"))
        ]
        annotated = {split: self._annotated(files[f"xnli.{split}.tsv"]) for split in ("dev", "test")}
        return self._compared({"train": train, **annotated})

    def _annotated(self, files: dict[PurePosixPath, bytes]) -> list[LabelledText]:
        """The French rows of a file of fifteen languages."""
        return [
            _pair(where, row["sentence1"], row["sentence2"], row["gold_label"], self.labels)
            for where, row in _table(files, ("language", "gold_label", "sentence1", "sentence2"))
            if row["language"] == "fr"
        ]


@readers.register("cls")
class Cls(_Published):
    """French Webis-CLS-10 (Prettenhofer and Stein, 2010): whether a review is positive (above 3 of 5) or negative.

    The categories books, dvd and music are one data set, as in BERTinchamps, and the text of the review alone is
    read, markup included. There is no dev split.

    Args:
        path: the official archive, a folder that holds it, or a folder that it was unpacked into.
        hub: a dataset on the Hugging Face Hub to read instead, with a configuration `CLS` and columns `text` and
            `label` (negative, positive), as FLUE has them there; FLUE itself is a program, which the library
            `datasets` no longer runs.
    """

    release = Release(
        name="Webis-CLS-10",
        address="https://zenodo.org/records/3251672 (cls-acl10-unprocessed.tar.gz; ask for access there)",
        archives=("cls-acl10-unprocessed.tar.gz",),
    )
    patterns = tuple(
        f"fr/{category}/{split}.review" for split in ("train", "test") for category in CATEGORIES
    )
    official: ClassVar[Mapping[str, int]] = {"train": 6_000, "test": 6_000}
    configuration = "CLS"

    def read(self) -> dict[str, list[LabelledText]]:
        """The reviews of each split, category by category."""
        if self._hub:
            rows_of = self._hub.read(("text", "label"))
            return self._compared(
                {
                    split: _all_labelled(
                        split,
                        [
                            LabelledText(f"row {number}", row["text"] or "", None, _hub_label(row["label"]))
                            for number, row in enumerate(rows, start=1)
                        ],
                    )
                    for split, rows in rows_of.items()
                }
            )
        files = self._files()
        return self._compared(
            {
                split: [
                    review
                    for category in CATEGORIES
                    for path, content in files[f"fr/{category}/{split}.review"].items()
                    for review in _reviews(path, _decoded(path, content))
                ]
                for split in ("train", "test")
            }
        )


def _is_whole(pair: LabelledText) -> bool:
    """Whether it has two sentences and a label."""
    return (
        bool(pair.target)
        and pair.text.strip() not in NO_SENTENCE
        and (pair.pair or "").strip() not in NO_SENTENCE
    )


def _decoded(path: PurePosixPath, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    raise UserError(f"{path}: line {line}: not UTF-8; get the file again")


def _table(files: dict[PurePosixPath, bytes], columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a file with a header, separated by tabs; a quote is a character like any other."""
    for path, content in files.items():
        lines = _decoded(path, content).split("\n")
        header = lines[0].rstrip("\r").split("\t")
        if lacking := [column for column in columns if column not in header]:
            raise UserError(f"{path}: line 1: no column {', '.join(lacking)}; is this the official file?")
        for number, line in enumerate(lines[1:], start=2):
            row = line.rstrip("\r").split("\t")
            if line and len(row) != len(header):
                raise UserError(
                    f"{path}: line {number}: {len(row)} columns where the header has {len(header)}"
                )
            if line:
                yield f"{path}: line {number}", dict(zip(header, row, strict=True))


def _pair(where: str, first: str, second: str, label: str, labels: Sequence[str]) -> LabelledText:
    if label not in labels:
        raise UserError(f"{where}: the label is none of {', '.join(labels)}; is this the official file?")
    return LabelledText(where.rpartition("/")[2].replace(": ", ", "), first, second, (label,))


def _hub_pairs(rows: list[Row], columns: tuple[str, str, str]) -> list[LabelledText]:
    first, second, label = columns
    return [
        # PAWS-X on the Hub has -1 for a label that is missing or wrong, and no name for it
        LabelledText(
            f"row {number}",
            row[first] or "",
            row[second] or "",
            _hub_label(row[label]),
        )
        for number, row in enumerate(rows, start=1)
    ]


def _hub_label(value: object) -> tuple[str, ...]:
    """The class of a row, or nothing where it has none."""
    return () if value is None else (str(value),)


def _all_labelled(split: str, examples: list[LabelledText]) -> list[LabelledText]:
    """The examples. Raises UserError where one has no label, or a number that names none."""
    for example in examples:
        if not example.target:
            raise UserError(
                f"task.hub: {split}, {example.name}: no label; is this the dataset that was meant?"
            )
    return examples


def _reviews(path: PurePosixPath, content: str) -> Iterator[LabelledText]:
    """The items, whatever the order of their fields."""
    items = list(ITEM.finditer(content))
    if len(items) != len(re.findall(r"(?:^|<items>)\s*<item>", content, re.MULTILINE)) or not items:
        raise UserError(f"{path}: an item is not closed by </item>, or there is none; get the file again")
    for number, item in enumerate(items, start=1):
        where = f"{path}: item {number}"
        fields = {match[1]: match[2] for match in FIELD.finditer(item[1])}
        if "text" not in fields or "rating" not in fields:
            raise UserError(f"{where}: no <text> or no <rating>; get the file again")
        rating = _rating(fields["rating"])
        if not 1 <= rating <= 5 or rating == 3:
            raise UserError(
                f"{where}: a rating must be a number from 1 to 5 other than 3; get the file again"
            )
        name = f"{path.parent.name}/{path.name}, item {number}"
        yield LabelledText(name, fields["text"], None, ("positive" if rating > 3 else "negative",))


def _rating(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan

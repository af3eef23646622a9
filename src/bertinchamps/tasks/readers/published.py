"""What the readers of FLUE's published releases share (Le et al., 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import ClassVar

from bertinchamps.contract import SPLITS, LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks.readers.hub import HubDataset, Row
from bertinchamps.tasks.readers.releases import Release

Files = Mapping[str, dict[PurePosixPath, bytes]]


class Published:
    """A reader of a release in files, or of the same data on the Hub."""

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
        """Return the examples; add a remark where the size of a split is not the published one."""
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


class SplitFiles(Published):
    """A release with a file for each split, in the order of SPLITS (`patterns`), and not read from the Hub."""

    def __init__(self, path: str | None = None) -> None:
        super().__init__(path)

    def read(self) -> dict[str, list[LabelledText]]:
        """The examples of each split."""
        files = self._files()
        return self._compared(
            {
                split: [
                    example
                    for path, content in files[pattern].items()
                    for example in self.examples(path, content)
                ]
                for split, pattern in zip(SPLITS, self.patterns, strict=True)
            }
        )

    def examples(self, path: PurePosixPath, content: bytes) -> Iterator[LabelledText]:
        """The examples of a file.

        Raises:
            UserError: with file and line.
        """
        raise NotImplementedError


def decoded(path: PurePosixPath, content: bytes) -> str:
    """The text of a UTF-8 file. Raises UserError with the file and the line that is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    raise UserError(f"{path}: line {line}: not UTF-8; get the file again")


def table(files: dict[PurePosixPath, bytes], columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a tab-separated file with a header; quotes are ordinary characters."""
    for path, content in files.items():
        lines = decoded(path, content).split("\n")
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


def pair(where: str, first: str, second: str, label: str, labels: Sequence[str]) -> LabelledText:
    """An example. Raises UserError where the label is not one of `labels`."""
    if label not in labels:
        raise UserError(f"{where}: the label is none of {', '.join(labels)}; is this the official file?")
    return LabelledText(where.rpartition("/")[2].replace(": ", ", "), first, second, (label,))


def hub_pairs(rows: list[Row], columns: tuple[str, str, str]) -> list[LabelledText]:
    """The examples of some rows of the Hub."""
    first, second, label = columns
    return [
        # PAWS-X on the Hub has -1 for a label that is missing or wrong, and no name for it
        LabelledText(
            f"row {number}",
            row[first] or "",
            row[second] or "",
            hub_label(row[label]),
        )
        for number, row in enumerate(rows, start=1)
    ]


def hub_label(value: object) -> tuple[str, ...]:
    """The class of a row; empty where the row has no class."""
    return () if value is None else (str(value),)


def all_labelled(split: str, examples: list[LabelledText]) -> list[LabelledText]:
    """The examples. Raises UserError where an example has no label."""
    for example in examples:
        if not example.target:
            raise UserError(
                f"task.hub: {split}, {example.name}: no label; is this the dataset that was meant?"
            )
    return examples

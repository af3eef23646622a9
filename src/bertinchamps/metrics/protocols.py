"""What each protocol's scores hold and mean. A protocol's file registers its description; nothing lists the files."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PART_METRICS = ("precision", "recall", "f1", "support")


@dataclass(frozen=True)
class Protocol:
    """One way of scoring.

    Attributes:
        title: says what is counted.
        metrics: the scores of a whole split, by key, each with the title of its column, in the order of the columns.
        headline: the key of the score that the figure shows.
        parts: the key of the scores by type, label or class, each with `PART_METRICS`; empty: there are none.
        part: the title of the column that names these types, labels or classes.
        choosing: the scores that may choose among weights on dev, the higher the better; the default comes first.
        optional: scores of `metrics` that a split may lack, such as a rate of more labels than there are.
        percent: True: scores are shares of 1 and are shown as percentages.
        remark: printed under each of the protocol's tables.
    """

    title: str
    metrics: Mapping[str, str]
    headline: str
    parts: str = ""
    part: str = ""
    choosing: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    percent: bool = True
    remark: str | None = None

    def __post_init__(self) -> None:
        if self.headline not in self.metrics or self.headline in self.optional:
            raise ValueError(
                f"the headline {self.headline!r} is none of the scores {list(self.metrics)} that each split has"
            )
        if bool(self.parts) != bool(self.part):
            raise ValueError(f"parts={self.parts!r} and part={self.part!r}: name both or neither")


class Protocols(Mapping[str, Protocol]):
    """The registered protocols, by the name that results.json gives them.

    The first look-up imports all files of the package, so a new file is found without being listed anywhere.

    Args:
        package: name of the package whose files register protocols.
    """

    def __init__(self, package: str) -> None:
        self._package: str | None = package
        self._protocols: dict[str, Protocol] = {}

    def register(self, name: str, protocol: Protocol) -> None:
        """Register a protocol under a name.

        Raises:
            ValueError: the name belongs to another protocol.
        """
        # evaluate.load runs a copy of a protocol's file, which registers an equal description
        if self._protocols.setdefault(name, protocol) != protocol:
            raise ValueError(f"protocol {name!r} is registered twice")

    def _registered(self) -> dict[str, Protocol]:
        if self._package is not None:
            package, self._package = self._package, None
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                importlib.import_module(f"{package}.{module.name}")
        return self._protocols

    def __getitem__(self, name: str) -> Protocol:
        return self._registered()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._registered()))

    def __len__(self) -> int:
        return len(self._registered())


PROTOCOLS = Protocols(__package__)

"""Several sources in one stream, each with its share: a small clinical corpus up-sampled against a general one."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, cast

from bertinchamps.contract import Document, Noting, Place, Reporting, Source
from bertinchamps.data.cleaning import cleaning_problems
from bertinchamps.data.cleaning.cleaner import clean
from bertinchamps.data.cleaning.stages import compares, shaping
from bertinchamps.data.sources import sources
from bertinchamps.errors import UserError
from bertinchamps.schemas import named

OF_THE_MIX = ("weight", "cleaning")  # keys of a part that are not its source's
EXAMPLE = "'data.sources=[{weight: 0.3, name: files, files: [notes/*.jsonl]}, {weight: 0.7, name: hub, …}]'"


class Part(NamedTuple):
    """A source with its share of the characters and the cleaning of its documents.

    Attributes:
        weight: at the beginning and at the end of the mix.
    """

    name: str
    weight: tuple[float, float]
    cleaning: list[Any]
    source: Source


class Reading:
    """A part that is being read, pass after pass.

    Args:
        part: what is read.
        state: how far, as JSON has it; None at the beginning.

    Attributes:
        state: documents and characters; once it `ended`, its documents up to there (`first`); where the pass goes on:
            `skip` documents behind `after`. Steps that compare documents have to see a pass from its beginning.
    """

    def __init__(self, part: Part, state: Mapping[str, Any] | None = None) -> None:
        self.part = part
        fresh = {"documents": 0, "characters": 0, "ended": False, "first": 0, "after": None, "skip": 0}
        self.state: dict[str, Any] = {**fresh, **(state or {})}
        self._from_the_beginning = bool(compares(part.cleaning))
        self._stream = self._opened()

    def _opened(self) -> Iterator[Document]:
        documents, _ = clean(self.part.source.documents(self.state["after"]), self.part.cleaning)
        return itertools.islice(documents, self.state["skip"], None)

    def next(self) -> Document | None:
        """The next document; None at the end of a pass."""
        document = next(self._stream, None)
        if document is None:
            self.state["first"] = self.state["first"] if self.state["ended"] else self.state["documents"]
            self.state["ended"] = True
            return None
        self.state["documents"] += 1
        self.state["characters"] += max(1, len(document.text))
        if self._from_the_beginning:
            self.state["skip"] += 1
        else:
            self.state["after"] = document.place
        return document

    def begin_again(self) -> None:
        """Start the next pass."""
        self.state |= {"after": None, "skip": 0}
        self._stream = self._opened()

    def passes(self) -> float:
        """How often the part was read; 1: up to its first end, or not so far."""
        documents: int = self.state["documents"]
        return round(documents / (self.state["first"] or documents or 1), 4)

    def behind(self) -> float:
        """Characters read, divided by the weight: smallest for the part that lags most behind its share."""
        return float(self.state["characters"] / self.part.weight[0])


def _own(node: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and settings of a part's source, without what is the mix's."""
    return named({key: value for key, value in node.items() if key not in OF_THE_MIX})


def _ends(weight: object) -> tuple[float, float] | None:
    """A weight at the beginning and at the end of the mix; None: it is none."""
    ends: list[Any] = weight if isinstance(weight, list) else [weight, weight]
    right = len(ends) == 2 and all(
        isinstance(end, int | float) and not isinstance(end, bool) and 0 <= end < math.inf for end in ends
    )
    return (ends[0], ends[1]) if right and any(ends) else None


def _problems(settings: Mapping[str, Any]) -> list[str]:
    nodes, characters = settings.get("sources"), settings.get("characters")
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        return [f"data.sources: a list of sources with weights, such as {EXAMPLE}"]
    problems = []
    if characters is not None and characters < 1:
        problems.append(
            f"data.characters={characters}: at least 1; null: until each source was read to its end"
        )
    weights = [_ends(node.get("weight")) for node in nodes]
    moving = any(isinstance(node.get("weight"), list) for node in nodes)
    if moving and characters is None:
        problems.append(
            "data.characters: shares that move need the length of the whole mix; give it in characters, such as 1e9"
        )
    if moving and None not in weights:
        for end, of_all in zip(("beginning", "end"), zip(*cast(Any, weights), strict=True), strict=True):
            if not any(of_all):
                problems.append(f"data.sources: no source has a weight above 0 at the {end} of the mix")
    for place, (node, ends) in enumerate(zip(nodes, weights, strict=True)):
        where, weight = f"data.sources[{place}]", node.get("weight")
        if ends is None:
            problems.append(
                f"{where}.weight={weight}: a number above 0, the share of the characters; [0.8,0.2]: it moves from the "
                "one to the other"
            )
        if node.get("name") == "mix":
            problems.append(f"{where}: a mix of mixes; list its sources here")
            continue
        found = sources.problems(*_own(node)) + cleaning_problems(node.get("cleaning", []))
        if any(step.get("name") == "overlap" for step in node.get("cleaning", []) if isinstance(step, dict)):
            found.append(
                "cleaning: overlap counts nothing here; give it in the cleaning of the mix as a whole"
            )
        problems += [f"{where}: {problem}" for problem in found]
    return problems


@sources.register("mix", check=_problems)
class Mix:
    """Documents of several sources, so drawn that each has its share of the characters at any place of the stream.

    The stream ends when every source has been read to its end; one that ends sooner is begun again. The next document
    always comes from the source that is farthest behind its share, so the order is the same every time.

    Args:
        sources: nodes of sources, each with a `weight`, and with a `cleaning` of its own if it needs one: steps that
            drop duplicates would otherwise undo the up-sampling. Of two weights the share moves linearly from the one
            to the other.
        characters: of the whole mix, about; None: until every source has been read to its end.
    """

    def __init__(self, sources: Sequence[Mapping[str, Any]], characters: float | None = None) -> None:
        self._parts = [_part(node) for node in sources]
        self._characters = characters
        self._moves = any(part.weight[0] != part.weight[1] for part in self._parts)
        self._readings: list[Reading] = []

    def check(self) -> None:
        """Check every source.

        Raises:
            UserError: all that is wrong with any of them, or there is none.
        """
        problems = [] if self._parts else [f"data.sources: no source is given; for example {EXAMPLE}"]
        for place, part in enumerate(self._parts):
            try:
                part.source.check()
            except UserError as error:
                problems.append(f"data.sources[{place}]: {error}")
        if problems:
            raise UserError("\n".join(problems))

    def notes(self) -> list[str]:
        """Those of every source."""
        return [
            f"data.sources[{place}]: {note}"
            for place, part in enumerate(self._parts)
            if isinstance(part.source, Noting)
            for note in part.source.notes()
        ]

    def fingerprint(self, quick: bool = False) -> Mapping[str, object]:
        """Weights, cleaning and fingerprints of all of them."""
        return {
            "name": "mix",
            **({} if self._characters is None else {"characters": self._characters}),
            "sources": [
                {"weight": _shown(part), "cleaning": shaping(part.cleaning), **part.source.fingerprint(quick)}
                for part in self._parts
            ],
        }

    def documents(self, after: Place | None = None) -> Iterator[Document]:
        """The mixed stream, or what of it is behind a place: the state of each part.

        Raises:
            UserError: a source has no document that its cleaning leaves.
        """
        states = cast(list[dict[str, Any] | None], after) or [None] * len(self._parts)
        self._readings = [Reading(part, state) for part, state in zip(self._parts, states, strict=True)]
        while self._characters is None or self._read() < self._characters:
            place = self._next()
            reading = self._readings[place]
            document = reading.next()
            if document is not None:
                yield document._replace(place=[dict(each.state) for each in self._readings])
            elif not reading.state["documents"]:
                raise UserError(f"data.sources[{place}]: no document in it, or none that its cleaning leaves")
            elif self._characters is None and all(each.state["ended"] for each in self._readings):
                return
            else:
                reading.begin_again()

    def _read(self) -> int:
        """Characters so far, of all parts."""
        return sum(reading.state["characters"] for reading in self._readings)

    def _next(self) -> int:
        """The part that lags most behind its share."""
        if not self._moves:
            return min(range(len(self._parts)), key=lambda part: self._readings[part].behind())
        length = cast(float, self._characters)
        done = self._read() / length
        first, last = self._shares

        def lag(part: int) -> float:
            """Characters that the share up to here is worth, its integral over the mix, less those that were read."""
            due = first[part] * done + (last[part] - first[part]) * done**2 / 2
            return due * length - float(self._readings[part].state["characters"])

        return max((part for part in range(len(self._parts)) if self._has_share(part, done)), key=lag)

    @cached_property
    def _shares(self) -> tuple[list[float], list[float]]:
        """The shares of the characters at the beginning and at the end of the mix."""
        starts, ends = zip(*(part.weight for part in self._parts), strict=True)
        return [start / sum(starts) for start in starts], [end / sum(ends) for end in ends]

    def _has_share(self, part: int, done: float) -> bool:
        """Whether a part has any share here: at the very ends some have none."""
        start, end = self._parts[part].weight
        return start + (end - start) * done > 0

    def held_out(self) -> Iterator[Document] | None:
        """The documents that any of the sources sets aside, or None if none does."""
        own = [held_out for part in self._parts if (held_out := part.source.held_out()) is not None]
        return itertools.chain.from_iterable(own) if own else None

    def sample(self, characters: int) -> Iterator[Document]:
        """A sample of each source, as large as its share."""
        for part, first, last in zip(self._parts, *self._shares, strict=True):
            wanted = round(characters * (first + last) / 2)
            documents, _ = clean(part.source.sample(wanted), part.cleaning)
            for document in documents:
                if wanted <= 0:
                    break
                wanted -= len(document.text)
                yield document

    def report(self) -> Mapping[str, object]:
        """What was drawn from each source, up to where the last reading came."""
        total = self._read() or 1
        reports = [
            one.part.source.report() for one in self._readings if isinstance(one.part.source, Reporting)
        ]
        dropped = sum(
            (Counter(cast(dict[str, int], report.get("dropped", {}))) for report in reports), Counter[str]()
        )
        return {
            **({"dropped": dict(dropped)} if dropped else {}),
            "mix": [
                {
                    "source": reading.part.name,
                    "weight": _shown(reading.part),
                    "passes": reading.passes(),
                    **{key: reading.state[key] for key in ("documents", "characters")},
                    "share": round(reading.state["characters"] / total, 4),
                }
                for reading in self._readings
            ],
        }


def _part(node: Mapping[str, Any]) -> Part:
    name, settings = _own(node)
    source = sources.build(name, **settings)
    ends = _ends(node["weight"])
    if ends is None:  # `_problems` has refused it
        raise UserError(f"data.sources: weight={node['weight']} is no share")
    return Part(name, ends, list(node.get("cleaning", ())), source)


def _shown(part: Part) -> float | list[float]:
    """The weight as it was given."""
    start, end = part.weight
    return start if start == end else [start, end]

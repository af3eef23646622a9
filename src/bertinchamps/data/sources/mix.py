"""Several sources in one stream, each with its share: a small clinical corpus up-sampled against a general one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from bertinchamps.config import named
from bertinchamps.contract import Document, Source
from bertinchamps.data.cleaning import clean, cleaning_problems
from bertinchamps.data.sources import sources
from bertinchamps.errors import UserError

EXAMPLE = "'data.sources=[{weight: 0.3, name: files, files: [notes/*.jsonl]}, {weight: 0.7, name: hub, …}]'"


class Part(NamedTuple):
    """A source with its share of the characters and the cleaning of its documents."""

    name: str
    weight: float
    cleaning: list[Any]
    source: Source

    def documents(self) -> Iterator[Document]:
        return clean(self.source.documents(), self.cleaning)[0]


def _own(node: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and settings of a part's source, without what is the mix's."""
    return named({key: value for key, value in node.items() if key not in ("weight", "cleaning")})


def _problems(settings: Mapping[str, Any]) -> list[str]:
    nodes = settings.get("sources")
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        return [f"data.sources: a list of sources with weights, such as {EXAMPLE}"]
    problems = []
    for place, node in enumerate(nodes):
        where, weight = f"data.sources[{place}]", node.get("weight")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight > 0:
            problems.append(f"{where}.weight={weight}: a number above 0, the share of the characters")
        if node.get("name") == "mix":
            problems.append(f"{where}: a mix of mixes; list its sources here")
            continue
        found = sources.problems(*_own(node)) + cleaning_problems(node.get("cleaning", ()))
        problems += [f"{where}: {problem}" for problem in found]
    return problems


@sources.register("mix", check=_problems)
class Mix:
    """Documents of several sources, so drawn that each has its share of the characters at any place of the stream.

    The stream ends when every source has been read to its end; one that ends sooner is begun again. The next document
    always comes from the source that is farthest behind its share, so the order is the same every time.

    Args:
        sources: nodes of sources, each with a `weight`, and with a `cleaning` of its own if it needs one: steps that
            drop duplicates would otherwise undo the up-sampling.
    """

    def __init__(self, sources: Sequence[Mapping[str, Any]]) -> None:
        self._parts = [_part(node) for node in sources]
        self._taken: list[Counter[str]] = []

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

    def fingerprint(self) -> Mapping[str, object]:
        """Weights, cleaning and fingerprints of all of them."""
        return {
            "name": "mix",
            "sources": [
                {"weight": part.weight, "cleaning": part.cleaning, **part.source.fingerprint()}
                for part in self._parts
            ],
        }

    def documents(self) -> Iterator[Document]:
        """The mixed stream.

        Raises:
            UserError: a source has no document that its cleaning leaves.
        """
        self._taken = [Counter(passes=1) for _ in self._parts]
        streams = [part.documents() for part in self._parts]
        unread = set(range(len(self._parts)))
        while True:
            place = min(range(len(self._parts)), key=self._behind)
            document = next(streams[place], None)
            if document is None:
                if not self._taken[place]["documents"]:
                    raise UserError(
                        f"data.sources[{place}]: no document in it, or none that its cleaning leaves"
                    )
                unread.discard(place)
                if not unread:
                    return
                self._taken[place]["passes"] += 1
                streams[place] = self._parts[place].documents()
                continue
            self._taken[place]["documents"] += 1
            self._taken[place]["characters"] += max(1, len(document.text))
            yield document

    def held_out(self) -> Iterator[Document] | None:
        """The documents that any of the sources sets aside, or None if none does."""
        own = [held_out for part in self._parts if (held_out := part.source.held_out()) is not None]
        return chain.from_iterable(own) if own else None

    def sample(self, characters: int) -> Iterator[Document]:
        """A sample of each source, as large as its share."""
        total = sum(part.weight for part in self._parts)
        for part in self._parts:
            wanted = round(characters * part.weight / total)
            documents, _ = clean(part.source.sample(wanted), part.cleaning)
            for document in documents:
                if wanted <= 0:
                    break
                wanted -= len(document.text)
                yield document

    def report(self) -> Mapping[str, object]:
        """What the last full reading drew from each source."""
        total = sum(taken["characters"] for taken in self._taken) or 1
        return {
            "mix": [
                {
                    "source": part.name,
                    "weight": part.weight,
                    **taken,
                    "share": round(taken["characters"] / total, 4),
                }
                for part, taken in zip(self._parts, self._taken, strict=True)
            ]
        }

    def _behind(self, place: int) -> float:
        return self._taken[place]["characters"] / self._parts[place].weight


def _part(node: Mapping[str, Any]) -> Part:
    name, settings = _own(node)
    source = sources.build(name, **settings)
    return Part(name, node["weight"], list(node.get("cleaning", ())), source)

"""Several sources in one stream, each with its share: a small clinical corpus up-sampled against a general one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from bertinchamps.config import named
from bertinchamps.contract import Document, Source
from bertinchamps.data.cleaning import clean, cleaning_problems
from bertinchamps.data.sources import sources
from bertinchamps.errors import UserError

EXAMPLE = "'data.sources=[{weight: 0.3, name: files, files: [notes/*.jsonl]}, {weight: 0.7, name: hub, …}]'"


def _parts(nodes: Sequence[Mapping[str, Any]]) -> list[tuple[float, list[Any], dict[str, Any]]]:
    """Weight, cleaning and the source's own node of each part."""
    return [
        (
            node["weight"],
            list(node.get("cleaning", ())),
            {key: value for key, value in node.items() if key not in ("weight", "cleaning")},
        )
        for node in nodes
    ]


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
        ((_, cleaning, own),) = _parts([{"weight": 1.0, **node}])
        found = sources.problems(*named(own)) + cleaning_problems(cleaning)
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
        self._parts = [
            (weight, cleaning, _source(node), str(node["name"])) for weight, cleaning, node in _parts(sources)
        ]
        self._taken: list[Counter[str]] = []

    def check(self) -> None:
        """Check every source.

        Raises:
            UserError: all that is wrong with any of them, or there is none.
        """
        problems = [] if self._parts else [f"data.sources: no source is given; for example {EXAMPLE}"]
        for place, (_, _, source, _) in enumerate(self._parts):
            try:
                source.check()
            except UserError as error:
                problems.append(f"data.sources[{place}]: {error}")
        if problems:
            raise UserError("\n".join(problems))

    def fingerprint(self) -> Mapping[str, object]:
        """Weights, cleaning and fingerprints of all of them."""
        return {
            "name": "mix",
            "sources": [
                {"weight": weight, "cleaning": cleaning, **source.fingerprint()}
                for weight, cleaning, source, _ in self._parts
            ],
        }

    def documents(self) -> Iterator[Document]:
        """The mixed stream.

        Raises:
            UserError: a source has no document that its cleaning leaves.
        """
        self._taken = [Counter(passes=1) for _ in self._parts]
        streams = [self._stream(place) for place in range(len(self._parts))]
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
                streams[place] = self._stream(place)
                continue
            self._taken[place]["documents"] += 1
            self._taken[place]["characters"] += max(1, len(document.text))
            yield document

    def held_out(self) -> Iterator[Document] | None:
        """The documents that any of the sources sets aside, or None if none does."""
        own = [held_out for _, _, source, _ in self._parts if (held_out := source.held_out()) is not None]
        return chain.from_iterable(own) if own else None

    def sample(self, characters: int) -> Iterator[Document]:
        """A sample of each source, as large as its share."""
        total = sum(weight for weight, _, _, _ in self._parts)
        for weight, cleaning, source, _ in self._parts:
            wanted = round(characters * weight / total)
            documents, _ = clean(source.sample(wanted), cleaning)
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
                {"source": name, "weight": weight, **taken, "share": round(taken["characters"] / total, 4)}
                for (weight, _, _, name), taken in zip(self._parts, self._taken, strict=True)
            ]
        }

    def _stream(self, place: int) -> Iterator[Document]:
        _, cleaning, source, _ = self._parts[place]
        return clean(source.documents(), cleaning)[0]

    def _behind(self, place: int) -> float:
        return self._taken[place]["characters"] / self._parts[place][0]


def _source(node: dict[str, Any]) -> Source:
    name, settings = named(node)
    return sources.build(name, **settings)

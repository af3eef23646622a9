"""A step for what documents share with test files: it drops the documents, cuts the lines, or only counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from bertinchamps.data.cleaning import Dropped, Findings, Measured, Outcome, steps
from bertinchamps.data.cleaning.counts import Count
from bertinchamps.data.cleaning.lines import lines
from bertinchamps.data.cleaning.stages import built
from bertinchamps.data.file_hashes import fingerprints_of
from bertinchamps.data.line_sets import SHORTEST, Hits, Index, words_of
from bertinchamps.fingerprints import canonical
from bertinchamps.textfiles.texts import Entry, entry_problems, texts_of

NAME = "overlap"
ACTIONS = ("drop", "cut", "count")
FOUND, LEFT = "found", "left"  # marks: n-grams in documents as they come, and as they are passed on


def _problems(settings: Mapping[str, Any]) -> list[str]:
    action, ngram = settings.get("action", "drop"), settings.get("ngram", 13)
    least, share, files = settings.get("least", 1), settings.get("share", 0.0), settings["files"]
    wrong = [] if action in ACTIONS else [f"cleaning.action={action}: one of {', '.join(ACTIONS)}"]
    wrong += [] if ngram >= SHORTEST else [f"cleaning.ngram={ngram}: must be at least {SHORTEST} words"]
    wrong += [] if least >= 1 else [f"cleaning.least={least}: must be at least 1"]
    wrong += [] if 0 <= share <= 1 else [f"cleaning.share={share}: a share from 0 to 1"]
    if action in ACTIONS and action != "drop" and (least, share) != (1, 0.0):
        wrong.append(f"cleaning.least, cleaning.share: for action=drop alone, not for {action}")
    wrong += [] if files else ["cleaning.files: no file is given; for example 'files: [test.jsonl]'"]
    if len(set(files)) < len(files):
        wrong.append("cleaning.files: a file is given twice")
    return wrong + entry_problems("cleaning.files", files)


@steps.register(NAME, check=_problems)
class Overlap:
    """Find what documents share with test files, and drop it, cut it, or only count it.

    What is looked for in the files is described in `data/line_sets.py`, what a file may be in `textfiles/texts.py`.

    Args:
        files: of the texts; each entry is a set with counts of its own.
        action: `drop` documents, `cut` lines and sentences, or `count` alone.
        ngram: words of an n-gram.
        least: different shared n-grams from which a document is dropped.
        share: of a document's words that must be in shared n-grams before it is dropped.
    """

    def __init__(
        self, files: Sequence[str], action: str = "drop", ngram: int = 13, least: int = 1, share: float = 0.0
    ) -> None:
        self._files, self._action, self._ngram = list(files), action, ngram
        self._least, self._share = least, share

    @cached_property
    def index(self) -> Index:
        """The n-grams of the files, which are read at the first use.

        Raises:
            UserError: a file cannot be read.
        """
        return Index({entry: texts_of(entry) for entry in self._files}, self._ngram)

    def fingerprint(self) -> Mapping[str, object]:
        """The settings, with the content of the files in the place of their names.

        The files are read again after it: they may have changed since this process read them.
        """
        self.__dict__.pop("index", None)
        return {
            "files": fingerprints_of(self._files),
            "action": self._action,
            "ngram": self._ngram,
            "least": self._least,
            "share": self._share,
        }

    def __call__(self, text: str) -> Outcome | Measured:
        """What becomes of a document, with the n-grams that it shares."""
        if self.index.find(words_of(text)) is None:
            return text
        parts = list(lines(text))
        words_of_parts = [words_of(part) for part in parts]
        words = [word for of_part in words_of_parts for word in of_part]
        hits = self.index.find(words)
        if hits is None:  # a character that the end of a line kept from being composed
            return text
        line_of_word = np.repeat(np.arange(len(parts)), [len(of_part) for of_part in words_of_parts])
        touched = np.unique(line_of_word[hits.covered(len(words))])
        outcome = self._outcome(text, parts, touched, hits, len(words))
        left = self._left(outcome, text, hits)
        marks = {FOUND: np.unique(hits.ngrams).tolist(), LEFT: left}
        return Measured(outcome, Findings(marks, self._numbers(hits, line_of_word)))

    def _outcome(self, text: str, parts: list[str], touched: Any, hits: Hits, words: int) -> Outcome:
        if self._action == "drop":
            enough = len(np.unique(hits.ngrams)) >= self._least
            dense = hits.covered(words).mean() >= self._share
            return Dropped("shares text with test files") if enough and dense else text
        if self._action == "cut":
            out = set(touched.tolist())
            kept = "".join(part for number, part in enumerate(parts) if number not in out)
            return kept if kept.strip() else Dropped("nothing but text of test files")
        return text

    def _left(self, outcome: Outcome, text: str, hits: Hits) -> list[int]:
        """The n-grams that the text still has when it is passed on."""
        if isinstance(outcome, Dropped):
            return []
        remaining = hits if outcome == text else self.index.find(words_of(outcome))
        return [] if remaining is None else list(np.unique(remaining.ngrams).tolist())

    def _numbers(self, hits: Hits, line_of_word: Any) -> dict[str, int]:
        """For each set that shares text with the document: one document, and its lines that are touched."""
        numbers = {}
        for place, member in enumerate(self.index.members):
            own = member[hits.ngrams]
            if own.any():
                covered = Hits(*(part[own] for part in hits)).covered(len(line_of_word))
                numbers[f"documents {place}"] = 1
                numbers[f"lines {place}"] = len(np.unique(line_of_word[covered]))
        return numbers

    def facts(self, count: Count | None) -> dict[str, Any]:
        """What was measured, JSON-able: the step's settings, and the counts of each set.

        Args:
            count: of all documents; None where documents are not counted, as in a stream.
        """
        sets = []
        for place, (entry, of_set) in enumerate(zip(self._files, self.index.sets, strict=True)):
            facts = {**of_set.facts(), "name": Entry.of(entry).name}
            if count is not None:
                facts["documents"] = count.numbers.get(f"documents {place}", 0)
                facts["document_lines"] = count.numbers.get(f"lines {place}", 0)
                facts |= of_set.found(count.marks.get(FOUND, 0))
                facts["lines_left"] = of_set.found(count.marks.get(LEFT, 0))["lines_found"]
            sets.append(facts)
        return {"action": self._action, "ngram": self._ngram, "sets": sets}


def overlap_facts(
    nodes: Sequence[Mapping[str, Any]], counts: Sequence[Count] | None
) -> dict[str, list[dict[str, Any]]]:
    """The facts of the overlap steps under the key `overlap`; nothing where there is no such step.

    Args:
        nodes: of all cleaning steps.
        counts: of the same steps, in the same order; None where documents are not counted.
    """
    found = []
    for place, node in enumerate(nodes):
        step = built(canonical(node)) if node["name"] == NAME else None
        if isinstance(step, Overlap):
            found.append(step.facts(None if counts is None else counts[place]))
    return {NAME: found} if found else {}

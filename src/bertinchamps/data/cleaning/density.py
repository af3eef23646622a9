"""A step that keeps the documents with many words of given word lists, such as medical terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from bertinchamps.data.cleaning import Dropped, Outcome, steps
from bertinchamps.data.file_hashes import fingerprints_of
from bertinchamps.data.line_sets import words_of
from bertinchamps.errors import UserError
from bertinchamps.textfiles.texts import entry_problems, texts_of

NAME = "density"
VERSION = 2  # raise it where the same settings would keep other documents


def _problems(settings: Mapping[str, Any]) -> list[str]:
    files, least, best = settings["files"], settings.get("least", 0.1), settings.get("best")
    wrong = [] if 0 < least <= 1 else [f"cleaning.least={least}: a share of words above 0 and up to 1"]
    if best is not None:
        wrong += [] if 0 < best < 1 else [f"cleaning.best={best}: a share of the documents between 0 and 1"]
        wrong += ["cleaning.best, cleaning.least: one of them, not both"] if "least" in settings else []
    wrong += [] if files else ["cleaning.files: no word list is given; for example 'files: [terms.txt]'"]
    return wrong + entry_problems("cleaning.files", files)


@steps.register(NAME, check=_problems)
class Density:
    """Drop documents of whose words fewer than a share are in word lists, or all but the best share of the documents.

    Words are compared in lower case. The words of a list are those of all its lines, but for the stop words of
    spaCy's French, which terms such as "cancer du sein" would bring in.

    Args:
        files: word lists; what a file may be is described in `textfiles/texts.py`.
        least: share of a document's words.
        best: share of the documents, those with the largest shares of such words; in the place of `least`.
    """

    def __init__(self, files: Sequence[str], least: float = 0.1, best: float | None = None) -> None:
        self._files, self._least, self.best = list(files), least, best

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of the lists, which are read at the first use.

        Raises:
            UserError: a list cannot be read, or there is no word in any.
        """
        from spacy.lang.fr.stop_words import STOP_WORDS  # takes a second

        found = {word for entry in self._files for text in texts_of(entry) for word in words_of(text)}
        found -= STOP_WORDS
        if not found:
            raise UserError(f"cleaning.files: no word in {', '.join(self._files)}")
        return frozenset(found)

    def fingerprint(self) -> Mapping[str, object]:
        """The settings, with the content of the lists in the place of their names."""
        self.__dict__.pop("words", None)
        kept = {"least": self._least} if self.best is None else {"best": self.best}
        return {"version": VERSION, "files": fingerprints_of(self._files), **kept}

    def score(self, text: str) -> float:
        """The share of a text's words that are in the lists; 0 for a text without words."""
        words = words_of(text)
        return sum(word in self.words for word in words) / max(1, len(words))

    def __call__(self, text: str) -> Outcome:
        """The text, or that it has too few such words."""
        assert self.best is None, "a share becomes a threshold before documents are read"
        return text if self.score(text) >= self._least else Dropped("few words of the lists")

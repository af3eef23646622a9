"""Surrogates of names, word by word: "M. DUPONT", "Jean Dupont" and "J. Dupont" stay one person."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from bertinchamps.tasks.deidentification.shapes import LETTERS, cased_like, words_replaced
from bertinchamps.tasks.deidentification.table import Table
from bertinchamps.tasks.deidentification.words import PARTICLES, TITLES, all_words, plain

NAME = "name"
ALPHABET = "ABCDEFGHJLMNPRSTV"
SINGLE = 30  # proposals before a name is doubled, because most are taken


class Names:
    """The names of one document.

    Args:
        table: of the document or the corpus.
        originals: labels and texts of all identifiers of the document.
    """

    labels = ("NOM", "PRENOM")

    def __init__(self, table: Table, originals: Sequence[tuple[str, str]]) -> None:
        self._table = table
        words = all_words()
        self._surnames = words.surnames
        self._female, self._male = (frozenset(map(plain, names)) for names in (words.female, words.male))
        self._lists = {"female": words.female, "male": words.male, "any": words.female + words.male}
        given = [original for label, original in originals if label == "PRENOM"]
        others = [original for label, original in originals if label == "NOM"]
        self._given = {plain(token) for original in given for token in _whole(original)}
        for original in (*given, *others):
            self._meet(original, original in given)
        self._here = {plain(token) for _, original in originals for token in _whole(original)}

    def _meet(self, original: str, given: bool) -> None:
        """Choose surrogates for the whole words of a name, the first of which may be a first name."""
        tokens = list(_replaced(original))
        for place, token in enumerate(tokens):
            known = plain(token) in self._female | self._male
            first = given or plain(token) in self._given or (known and place == 0 and len(tokens) > 1)
            if len(token) > 1:
                self.word(token, self._gender(token) if first else None)

    def _gender(self, token: str) -> str:
        female, male = (plain(token) in names for names in (self._female, self._male))
        return "any" if female == male else "female" if female else "male"

    def word(self, token: str, gender: str | None = None) -> str:
        """The surrogate of a word.

        Args:
            token: the word.
            gender: of a first name: female, male or any; None for a surname.
        """
        names = self._surnames if gender is None else self._lists[gender]

        def make(generator: random.Random, attempt: int) -> str:
            name = generator.choice(names)
            return name if attempt < SINGLE else f"{name}-{generator.choice(names)}"

        return self._table.surrogate(NAME, plain(token), make)

    def written(self, original: str) -> str:
        """The surrogate of a name, written as the name is: its case, its initials, its titles and particles."""
        replaced = set(_replaced(original))

        def written(token: str) -> str:
            if token not in replaced:
                return token
            name = self._initial(token) if len(token) == 1 else self.word(token)
            return cased_like(name, token)

        return words_replaced(original, written)

    def _initial(self, letter: str) -> str:
        """The initial of the one name of the document that begins so, or else another letter."""
        named = {
            value[0]
            for identity, value in self._table.known(NAME).items()
            if identity in self._here and identity[:1] == plain(letter)
        }
        if len(named) == 1:
            return named.pop()
        draw = self._table.draw("initial", plain(letter))
        others = [other for other in ALPHABET if other != letter.upper()]
        return others[draw(len(others))]

    def inside(self, word: str) -> tuple[str, str] | None:
        """A name of the document that a word contains, such as dupont in jdupont, and its surrogate."""
        known = self._table.known(NAME)
        found = [name for name in known if name in self._here and len(name) > 2 and name in word]
        longest = max(found, key=len, default=None)
        return None if longest is None else (longest, plain(known[longest]).replace(" ", ""))


def _whole(original: str) -> Iterator[str]:
    return (token for token in LETTERS.findall(original) if len(token) > 1)


def _replaced(original: str) -> Iterable[str]:
    """The words of a name that are replaced: all but titles and particles, or all where there are no others."""
    tokens = LETTERS.findall(original)
    own = [token for token in tokens if len(token) == 1 or plain(token) not in PARTICLES | TITLES]
    return own or tokens

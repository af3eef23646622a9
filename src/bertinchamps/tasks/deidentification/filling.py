"""Templates → documents: each slot gets an invented value, written as letters write such values."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.tasks.deidentification import dates
from bertinchamps.tasks.deidentification.shapes import (
    cased_like,
    digits_of,
    first_nir_digits,
    nir_with_key,
    with_digits,
    words_replaced,
)
from bertinchamps.tasks.deidentification.templates import Slot, Template
from bertinchamps.tasks.deidentification.words import PARTICLES, TITLES, Words, plain

AS_THE_EXAMPLE = (
    0.6  # share of the values that keep the example's format; the others have a format of their own
)
UPPER, WITHOUT_ACCENTS, DOUBLE, INITIAL = 0.15, 0.12, 0.08, 0.08  # shares of names that are written so
DATE_FORMATS = (
    "{d:02d}/{m:02d}/{y}",
    "{d}/{m}/{s:02d}",
    "{d:02d}.{m:02d}.{y}",
    "{d:02d}-{m:02d}-{y}",
    "{d} {name} {y}",
)
PHONES = (
    "0# ## ## ## ##",
    "0#.##.##.##.##",
    "0#-##-##-##-##",
    "0#########",
    "+33 # ## ## ## ##",
    "+32 ### ## ## ##",
)
NIRS = ("0 00 00 00 000 000 00", "000000000000000", "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0")
STREETS = (
    "rue",
    "avenue",
    "av.",
    "boulevard",
    "bd",
    "place",
    "chemin",
    "impasse",
    "allée",
    "quai",
    "cours",
    "route",
)
DOMAINS = (
    "exemple.fr",
    "chu-exemple.fr",
    "messagerie.fr",
    "courriel.be",
    "sante.exemple.org",
    "poste.exemple.com",
)


class Values:
    """Invented identifiers of one split.

    Args:
        words: the names, towns and hospitals to choose from.
        generator: decides everything.
    """

    def __init__(self, words: Words, generator: random.Random) -> None:
        self._words, self._random = words, generator
        self._first_names = {plain(name) for name in (*words.female, *words.male)}
        self._makers: dict[str, Callable[[str], str]] = {
            "ADRESSE": self._address,
            "DATE": lambda example: self._date(example, 2000, 2030),
            "DATE_NAISSANCE": lambda example: self._date(example, 1920, 2020),
            "HOPITAL": lambda example: self._place(words.hospitals, example),
            "IPP": self._number,
            "MAIL": self._mail,
            "NDA": self._number,
            "NOM": self._surname,
            "PRENOM": self._first_name,
            "SECU": self._nir,
            "TEL": self._phone,
            "VILLE": lambda example: self._place(words.towns, example),
            "ZIP": self._zip,
        }

    def of(self, label: str, example: str) -> str:
        """A value for a slot; without blanks at its ends, as an example has a visible character there."""
        return self._makers[label](example).strip()

    def _below(self, end: int) -> int:
        return self._random.randrange(end)

    def _often(self, share: float) -> bool:
        return self._random.random() < share

    def _digits(self, form: str) -> str:
        return "".join(str(self._below(10)) if sign == "#" else sign for sign in form)

    def _noisy(self, name: str, example: str) -> str:
        written = cased_like(name, example)
        if self._often(UPPER):
            written = written.upper()
        return _without_accents(written) if self._often(WITHOUT_ACCENTS) else written

    def _word(self, token: str, names: tuple[str, ...]) -> str:
        """A name for a word of an example: initials stay initials, titles and particles stay."""
        if plain(token) in PARTICLES | TITLES and len(token) > 1:
            return token
        name = self._random.choice(names)
        return name[0] if len(token) == 1 else self._noisy(name, token)

    def _given(self) -> tuple[str, ...]:
        return self._random.choice((self._words.female, self._words.male))

    def _surname(self, example: str) -> str:
        known = self._first_names
        written = words_replaced(
            example,
            lambda token: self._word(token, self._given() if plain(token) in known else self._words.surnames),
        )
        if example.isalpha() and self._often(DOUBLE):
            written += self._random.choice("- ") + cased_like(
                self._random.choice(self._words.surnames), example
            )
        return written

    def _first_name(self, example: str) -> str:
        if example.isalpha() and len(example) > 1 and self._often(INITIAL):
            return f"{self._random.choice(self._given())[0]}."
        return words_replaced(example, lambda token: self._word(token, self._given()))

    def _place(self, names: tuple[str, ...], example: str) -> str:
        name = self._noisy(self._random.choice(names), example)
        if "\n" in example:  # a name across a line end
            name = name.replace(" ", "\n", 1) if " " in name else name.replace("-", "-\n", 1)
        return f"{name} {cased_like('Cedex', example)}" if "cedex" in example.lower() else name

    def _address(self, example: str) -> str:
        street = self._random.choice(STREETS)
        name = self._random.choice(self._words.surnames)
        if self._often(0.5):
            name = f"{self._random.choice(self._given())} {name}"
        number = f"{1 + self._below(200)}{self._random.choice(('', '', '', ' bis', ' ter', ','))} "
        written = f"{number if self._often(0.95) else ''}{street} {self._random.choice(('', '', 'de ', 'du '))}{name}"
        return _without_accents(written) if self._often(WITHOUT_ACCENTS) else cased_like(written, example)

    def _date(self, example: str, first: int, last: int) -> str:
        year, month = first + self._below(last - first), 1 + self._below(12)
        date = datetime.date(year, month, 1 + self._below(dates.days_in(year, month)))
        written = dates.read(example)
        if written is None:
            return dates.scrambled(example, self._below)
        if len(written.parts) < 3 or self._often(AS_THE_EXAMPLE):
            return written.written(date)
        name = dates.FULL[date.month - 1]
        form = self._random.choice(DATE_FORMATS)
        return form.format(d=date.day, m=date.month, y=date.year, s=date.year % 100, name=name)

    def _number(self, example: str) -> str:
        if self._often(AS_THE_EXAMPLE):
            return with_digits(example, self._digits("#" * len(example)))
        return self._digits("#" * (8 + self._below(4)))

    def _zip(self, example: str) -> str:
        number = f"{1 + self._below(95):02d}{self._below(1000):03d}"
        return with_digits(
            example if len(digits_of(example)) == 5 and example[0].isdigit() else "00000", number
        )

    def _phone(self, example: str) -> str:
        if not self._often(AS_THE_EXAMPLE):
            return self._digits(self._random.choice(PHONES))
        digits = self._digits("#" * len(example))
        return with_digits(example, "0" + digits if digits_of(example).startswith("0") else digits)

    def _nir(self, example: str) -> str:
        number = nir_with_key(first_nir_digits(self._below))
        digits = digits_of(example)
        if len(digits) == len(number) and self._often(AS_THE_EXAMPLE):
            return with_digits(example, number)
        return with_digits(self._random.choice(NIRS), number)

    def _mail(self, example: str) -> str:
        first, last = (
            _without_accents(self._random.choice(names)).lower()
            for names in (self._given(), self._words.surnames)
        )
        sign = self._random.choice(("@", "@", "@", " @ "))
        local = self._random.choice(
            (f"{first}.{last}", f"{first[0]}{last}", f"{first[0]}.{last}", f"{last}_{first}")
        )
        return cased_like(
            f"{local}{sign}{self._random.choice(DOMAINS)}", example if self._often(0.2) else "x"
        )


def _without_accents(text: str) -> str:
    """Capitals stay capitals."""
    return "".join(
        plain(sign).upper() if sign.isupper() else plain(sign) if sign.isalpha() else sign for sign in text
    )


def filled(template: Template, values: Values, name: str) -> AnnotatedText:
    """A document: the template with a value in each slot, and an entity at each value."""
    pieces: list[str] = []
    entities = []
    place = 0
    for piece in template.pieces:
        written = values.of(piece.label, piece.example) if isinstance(piece, Slot) else piece
        if isinstance(piece, Slot):
            entities.append(Entity(piece.label, ((place, place + len(written)),)))
        pieces.append(written)
        place += len(written)
    return AnnotatedText(name, "".join(pieces), tuple(sorted(entities)))

"""Surrogates of numbers, places, addresses and mail, in the format of the original."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping

from bertinchamps.tasks.deidentification.people import Names
from bertinchamps.tasks.deidentification.shapes import (
    cased_like,
    digits_of,
    first_nir_digits,
    nir_with_key,
    with_digits,
    words_replaced,
)
from bertinchamps.tasks.deidentification.table import Table
from bertinchamps.tasks.deidentification.words import all_words, plain

Value = Callable[[Table, Names, str], str]

COUNTRY = re.compile(r"\s*(?:\+\s*\d\d|\(\s*\+?\s*\d\d\s*\))")
CEDEX = re.compile(r"\s+cedex\b.*$|\s+\d+$", re.IGNORECASE | re.DOTALL)
AT = re.compile(r"\s*@\s*")
ENDINGS = frozenset(("fr", "be", "ch", "com", "org", "net", "eu"))
STREET = re.compile(
    r"\b(?:rue|avenue|ave?\b\.?|boulevard|bd\b\.?|bld\b\.?|place|pl\b\.?|chemin|impasse|all[ée]e|quai|cours|route"
    r"|square|passage|sentier)",
    re.IGNORECASE,
)
KEPT_WORDS = frozenset(("ipp", "nda", "nir", "id", "no", "tel"))


def _random_digits(generator: random.Random, count: int) -> str:
    return "".join(str(generator.randrange(10)) for _ in range(count))


def scrambled(table: Table, original: str, sort: str) -> str:
    """Other letters and digits in the same places, for numbers with letters and for labels without a format."""

    def make(generator: random.Random, attempt: int) -> str:
        del attempt
        written = with_digits(original, _random_digits(generator, len(original)))

        def letters(word: str) -> str:
            if plain(word) in KEPT_WORDS:
                return word
            return cased_like("".join(chr(ord("a") + generator.randrange(26)) for _ in word), word)

        return words_replaced(written, letters)

    return table.surrogate(sort, original, make)


def _number(table: Table, original: str, sort: str, make: Callable[[random.Random], str]) -> str:
    """The digits of a number replaced, whatever signs stand between them."""
    digits = digits_of(original)
    if not digits:
        return scrambled(table, original, sort)
    return with_digits(original, table.surrogate(sort, digits, lambda generator, attempt: make(generator)))


def _record(table: Table, names: Names, original: str) -> str:
    """The number of a patient or a stay; one with letters gets other letters."""
    letters = {plain(word) for word in re.findall(r"[^\W\d_]+", original)} - KEPT_WORDS
    if letters:
        return scrambled(table, original, "record")
    return _number(table, original, "record", lambda it: _random_digits(it, len(digits_of(original))))


def _phone(table: Table, names: Names, original: str) -> str:
    """The country and a first 0 stay."""
    country = match[0] if (match := COUNTRY.match(original)) else ""
    rest = original[len(country) :]
    digits = digits_of(rest)

    def make(generator: random.Random) -> str:
        drawn = _random_digits(generator, len(digits))
        return f"0{generator.randint(1, 9)}{drawn[2:]}"[: len(digits)] if digits[0] == "0" else drawn

    return country + _number(table, rest, "phone", make)


def _nir(table: Table, names: Names, original: str) -> str:
    """The sex stays, and check digits are right where there are 15 digits."""
    digits = digits_of(original)

    def make(generator: random.Random) -> str:
        first = digits[0] + first_nir_digits(generator.randrange)[1:]
        return nir_with_key(first) if len(digits) == 15 else first + _random_digits(generator, len(digits))

    return _number(table, original, "nir", make)


def _zip(table: Table, names: Names, original: str) -> str:
    def make(generator: random.Random) -> str:
        return f"{generator.randint(1, 95):02d}{_random_digits(generator, len(original))}"

    written = _number(table, original, "zip", make)
    return words_replaced(written, lambda word: _town(table, names, word)) if digits_of(written) else written


def _town(table: Table, names: Names, original: str) -> str:
    ending = " Cedex" if (match := CEDEX.search(original)) and "cedex" in match[0].lower() else ""
    name = CEDEX.sub("", original)
    value = table.surrogate("town", plain(name), lambda it, attempt: it.choice(all_words().towns))
    return cased_like(value + ending, original)


def _hospital(table: Table, names: Names, original: str) -> str:
    value = table.surrogate("hospital", plain(original), lambda it, attempt: it.choice(all_words().hospitals))
    return cased_like(value, original)


def _address(table: Table, names: Names, original: str) -> str:
    """Other numbers, and a name of a person after the kind of street, which stays."""
    street = STREET.search(original)
    number = original[: street.start()] if street else ""
    kind = street[0] if street else "rue"

    def make(generator: random.Random, attempt: int) -> str:
        words = all_words()
        name = f"{generator.choice(words.female + words.male)} {generator.choice(words.surnames)}"
        drawn = f"{1 + generator.randrange(9)}{_random_digits(generator, len(number))}"
        return f"{with_digits(number, drawn) if digits_of(number) else ''}{kind} {name}"

    return cased_like(table.surrogate("address", plain(original), make), original)


def _mail(table: Table, names: Names, original: str) -> str:
    """The names in it as in the text; the provider becomes exemple, which exists nowhere."""
    at = AT.search(original)
    local = original[: at.start()] if at else original
    ending = original.rsplit(".", 1)[-1].strip().lower()

    def word(token: str, generator: random.Random) -> str:
        if inside := names.inside(plain(token)):
            name, surrogate = inside
            other = "".join(
                chr(ord("a") + generator.randrange(26)) for _ in range(len(plain(token)) - len(name))
            )
            return other[:1] + surrogate if plain(token).endswith(name) else surrogate + other[:1]
        if len(token) == 1:
            return chr(ord("a") + generator.randrange(26))
        return plain(generator.choice(all_words().surnames))

    def make(generator: random.Random, attempt: int) -> str:
        written = words_replaced(
            with_digits(local, _random_digits(generator, len(local))), lambda it: word(it, generator)
        )
        more = str(attempt) if attempt else ""
        return f"{written}{more}{at[0] if at else '@'}exemple.{ending if ending in ENDINGS else 'fr'}"

    return cased_like(table.surrogate("mail", plain(original), make), original)


VALUES: Mapping[str, Value] = {
    "ADRESSE": _address,
    "HOPITAL": _hospital,
    "IPP": _record,
    "MAIL": _mail,
    "NDA": _record,
    "SECU": _nir,
    "TEL": _phone,
    "VILLE": _town,
    "ZIP": _zip,
}

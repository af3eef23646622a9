"""Values that are written as another one is: its case, its signs, its number of digits."""

from __future__ import annotations

import re
from collections.abc import Callable

LETTERS = re.compile(r"[^\W\d_]+")
NIR_DIGITS = 15


def cased_like(value: str, example: str) -> str:
    """A value in the example's case: upper, lower, or as it is."""
    if example.isupper() and (len(example) > 1 or len(value) == 1):
        return value.upper()
    return value.lower() if example.islower() else value


def with_digits(example: str, digits: str) -> str:
    """The example with its digits replaced by others, in order; too many are left out, missing ones stay."""
    rest = iter(digits)
    return "".join(next(rest, sign) if sign.isdigit() else sign for sign in example)


def digits_of(text: str) -> str:
    """The digits of a text."""
    return "".join(filter(str.isdigit, text))


def words_replaced(example: str, replace: Callable[[str], str]) -> str:
    """The example with each run of letters replaced."""
    return LETTERS.sub(lambda match: replace(match[0]), example)


def nir_with_key(first: str) -> str:
    """The 15 digits of a French social security number, from its first 13: the last two are its check digits."""
    return f"{first}{97 - int(first) % 97:02d}"


def is_nir(digits: str) -> bool:
    """Whether these digits are a social security number with valid check digits."""
    return len(digits) == NIR_DIGITS and nir_with_key(digits[:13]) == digits


def first_nir_digits(draw: Callable[[int], int]) -> str:
    """13 digits: sex, year and month of birth, department, town, number; `draw(n)` gives a number below n."""
    return f"{1 + draw(2)}{draw(100):02d}{1 + draw(12):02d}{1 + draw(95):02d}{1 + draw(990):03d}{1 + draw(999):03d}"

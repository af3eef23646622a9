"""Dates as French letters write them: read, and written in the same format with another day.

18/02/2019, 3.4.24, 2021/12/10, 01 / 07 | 1995, 31121995, 2 9 0 2 1 9 9 5, 1er mars 2022, 05nov, Sept 01,2026,
juin 2029, 28.09, 2003, vingt quatre aout deux mille dix-sept
"""

from __future__ import annotations

import calendar
import datetime
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from bertinchamps.tasks.deidentification.shapes import digits_of, with_digits
from bertinchamps.tasks.deidentification.words import plain

_MONTHS = (
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre",
    "jan fév mar avr mai juin juil août sep oct nov déc",
    "janv févr mars avr mai juin juil août sept oct nov déc",
    "jan feb mar apr may jun jul aug sept oct nov dec",
    "janv fev mars avr mai juin juil aout sept oct nov dec",
)
MONTHS = tuple(tuple(spelling.split()) for spelling in _MONTHS)
FULL = MONTHS[0]
WEEKDAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
WEEKDAY = re.compile(rf"\b(?:{'|'.join(WEEKDAYS)})\b", re.IGNORECASE)
TOKEN = re.compile(r"\d+|[^\W\d_]+")
WITHOUT_YEAR, WITHOUT_MONTH, WITHOUT_DAY = 2001, 6, 15  # what is not written, while days are added
EARLIEST, LATEST = datetime.date(1800, 1, 1), datetime.date(2199, 12, 31)
_ONES = (
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize "
    "dix-sept dix-huit dix-neuf"
)
ONES = tuple(_ONES.split())
TENS = {20: "vingt", 30: "trente", 40: "quarante", 50: "cinquante", 60: "soixante", 80: "quatre-vingt"}


class Part(NamedTuple):
    """A part of a written date: where it stands, and how a day is written there."""

    start: int
    end: int
    write: Callable[[datetime.date], str]


class Written(NamedTuple):
    """A date as it is written.

    Attributes:
        text: the text.
        date: the day, with a common one for what is not written.
        parts: the places of day, month and year, in order.
        months: whether anything finer than a year is written.
    """

    text: str
    date: datetime.date
    parts: tuple[Part, ...]
    months: bool = True

    def written(self, date: datetime.date) -> str:
        """Another date in the same format."""
        pieces, after = [], 0
        for start, end, write in self.parts:
            pieces += [self.text[after:start], write(date)]
            after = end
        return "".join([*pieces, self.text[after:]])

    def moved(self, days: int) -> str:
        """The date so many days later, in the same format; a year alone moves by whole years."""
        if not self.months:
            return self.written(self.date.replace(year=_within(self.date.year + _years(days))))
        moved = self.date.toordinal() + days
        return self.written(
            datetime.date.fromordinal(min(max(moved, EARLIEST.toordinal()), LATEST.toordinal()))
        )


def _years(days: int) -> int:
    return round(days / 365.25) or (1 if days > 0 else -1)


def _within(year: int) -> int:
    return min(max(year, EARLIEST.year), LATEST.year)


def read(text: str) -> Written | None:
    """What is written; None where it is no date, such as 30/02/2019."""
    weekday = WEEKDAY.search(text)
    if weekday is None:
        return _read(text)
    start, end = weekday.span()
    rest = _read(text[:start] + " " * (end - start) + text[end:])
    named = Part(start, end, lambda date: _cased(WEEKDAYS[date.weekday()], weekday[0]))
    return rest and rest._replace(
        text=text, parts=tuple(sorted((*rest.parts, named), key=lambda it: it.start))
    )


def _read(text: str) -> Written | None:
    return _compact(text) or _in_words(text) or _by_tokens(text)


def scrambled(text: str, draw: Callable[[int], int]) -> str:
    """Something of the same form, for what is no date: other digits, other months, other numbers in words.

    Args:
        text: the text.
        draw: gives a number below the one it is given.
    """

    def other(match: re.Match[str]) -> str:
        token = match[0]
        if token.isdigit():
            return "".join(str((int(digit) + 1 + draw(9)) % 10) for digit in token)
        if token.lower() in ONES:
            others = [word for word in ONES[2:17] if word != token.lower()]
            return _cased(others[draw(len(others))], token)
        if found := _month(token):
            number, months = found
            return _cased(months[(number + draw(11)) % 12], token)
        return token

    return TOKEN.sub(other, text)


def _compact(text: str) -> Written | None:
    """Digits with nothing but blanks between them, each alone or all in one."""
    if not re.fullmatch(r"\d(?: ?\d){5}(?:(?: ?\d){2})?", text) or not _evenly_spaced(text):
        return None
    digits = digits_of(text)
    date = _date(digits[4:], digits[2:4], digits[:2])
    year = "%Y" if len(digits) == 8 else "%y"

    def write(date: datetime.date) -> str:
        return with_digits(
            text, f"{date.day:02d}{date.month:02d}{date.year % (10_000 if year == '%Y' else 100):02d}"
        )

    return Written(text, date, (Part(0, len(text), write),)) if date else None


def _evenly_spaced(text: str) -> bool:
    return " " not in text or text.count(" ") == len(digits_of(text)) - 1


def _date(year: str | None, month: str | int | None, day: str | None) -> datetime.date | None:
    """The date of these parts; None where there is none."""
    full = WITHOUT_YEAR if year is None else int(year)
    if year is not None and len(year) == 2:
        full += 2000 if full <= 30 else 1900
    try:
        date = datetime.date(full, int(month or WITHOUT_MONTH), int(day or WITHOUT_DAY))
    except ValueError:
        return None
    return date if EARLIEST <= date <= LATEST else None


def _by_tokens(text: str) -> Written | None:
    """Numbers, with or without the name of a month."""
    tokens = [match for match in TOKEN.finditer(text) if match[0].isdigit() or _month(match[0])]
    roles = _roles([match[0] for match in tokens])
    if roles is None:
        return None
    by_role = {role: match[0] for role, match in zip(roles, tokens, strict=True)}
    named = by_role.get("month", "")
    month = by_role.get("month") if named.isdigit() or not named else str((_month(named) or (0, ()))[0])
    date = _date(by_role.get("year"), month, by_role.get("day"))
    parts = tuple(_part(text, role, match) for role, match in zip(roles, tokens, strict=True))
    return Written(text, date, parts, months=set(roles) != {"year"}) if date else None


def _part(text: str, role: str, match: re.Match[str]) -> Part:
    if role == "day" and text.startswith("er", match.end()):
        return Part(match.start(), match.end() + 2, lambda date: "1er" if date.day == 1 else str(date.day))
    return Part(match.start(), match.end(), _writer(role, match[0]))


def _roles(tokens: Sequence[str]) -> list[str] | None:
    """What each token is: day, month or year; None where that is not clear."""
    names = [place for place, token in enumerate(tokens) if not token.isdigit()]
    if any(len(token) not in (1, 2, 4) for token in tokens if token.isdigit()) or len(names) > 1:
        return None
    sizes = tuple("y" if len(token) == 4 and token.isdigit() else "n" for token in tokens)
    if names:
        return _roles_beside(tokens, names[0])
    known = {
        "nnn": ["day", "month", "year"],
        "nny": ["day", "month", "year"],
        "ynn": ["year", "month", "day"],
        "ny": ["month", "year"],
        "yn": ["year", "month"],
        "nn": ["day", "month"],
        "y": ["year"],
    }
    roles = known.get("".join(sizes))
    if roles and sizes == ("n", "n", "n") and len(tokens[2]) != 2:
        return None
    return roles


def _roles_beside(tokens: Sequence[str], month: int) -> list[str] | None:
    roles = ["month" if place == month else "" for place in range(len(tokens))]
    for place, token in enumerate(tokens):
        if place == month:
            continue
        is_year = len(token) == 4 or (len(token) == 2 and ("day" in roles or int(token) > 31))
        roles[place] = "year" if is_year else "day"
    return roles if len(set(roles)) == len(roles) else None


def _writer(role: str, token: str) -> Callable[[datetime.date], str]:
    if role == "year":
        return lambda date: f"{date.year}" if len(token) == 4 else f"{date.year % 100:02d}"
    if not token.isdigit():
        months = (_month(token) or (0, FULL))[1]
        return lambda date: _cased(months[date.month - 1], token)
    width = len(token)
    return lambda date: f"{date.day if role == 'day' else date.month:0{width}d}"


def _month(token: str) -> tuple[int, Sequence[str]] | None:
    """Number of a month, and the list that spells it so."""
    lowered = token.lower()
    for months in MONTHS:
        if lowered in months:
            return months.index(lowered) + 1, months
    return None


def _cased(word: str, example: str) -> str:
    if example.isupper():
        return word.upper()
    return word.capitalize() if example[:1].isupper() else word


def in_words(number: int) -> str:
    """A number below 10,000 in French words, as in dates: mille neuf cent soixante-dix-huit.

    Args:
        number: at least 0.
    """
    if number >= 1000:
        thousands, rest = divmod(number, 1000)
        head = "mille" if thousands == 1 else f"{ONES[thousands]} mille"
        return f"{head} {in_words(rest)}" if rest else head
    if number >= 100:
        hundreds, rest = divmod(number, 100)
        head = "cent" if hundreds == 1 else f"{ONES[hundreds]} cent"
        return f"{head} {in_words(rest)}" if rest else head
    if number < 20:
        return ONES[number]
    ten = max(ten for ten in TENS if ten <= number)
    rest = number - ten
    if not rest:
        return TENS[ten]
    return f"{TENS[ten]}{' et ' if rest in (1, 11) and ten != 80 else '-'}{ONES[rest]}"


@cache
def _numbers() -> dict[str, int]:
    """Number words, in their `plain` spelling without blanks → number: those of days and of years."""
    numbers = {_glued(in_words(number)): number for number in (*range(1, 32), *range(1850, 2150))}
    return {**numbers, "premier": 1}


def _glued(words: str) -> str:
    return plain(words).replace(" ", "")


def _in_words(text: str) -> Written | None:
    """Day and year in words, with the name of a month between them."""
    months = [match for match in TOKEN.finditer(text) if _month(match[0])]  # "sept" is a number, too
    return next(filter(None, (_around(text, month) for month in months)), None)


def _around(text: str, month: re.Match[str]) -> Written | None:
    before, after = text[: month.start()], text[month.end() :]
    day, year = (_numbers().get(_glued(side)) for side in (before, after))
    if (day is None and before.strip()) or year is None or year <= 31:
        return None
    number, _ = _month(month[0]) or (0, ())
    date = _date(str(year), number, None if day is None else str(day))
    parts = [_writer_at(len(before) - len(before.lstrip()), before.strip(), lambda it: it.day)] if day else []
    parts.append(Part(month.start(), month.end(), _writer("month", month[0])))
    parts.append(_writer_at(len(text) - len(after.lstrip()), after.strip(), lambda it: it.year))
    return Written(text, date, tuple(parts)) if date else None


def _writer_at(start: int, written: str, number: Callable[[datetime.date], int]) -> Part:
    return Part(start, start + len(written), lambda date: _cased(in_words(number(date)), written))


def days_in(year: int, month: int) -> int:
    """Days of a month."""
    return calendar.monthrange(year, month)[1]

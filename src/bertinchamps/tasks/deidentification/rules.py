"""Identifiers that have a form of their own: e-mail addresses, telephone numbers, social security numbers.

They are found beside what a model finds, because a model misses some of those whose form no training text had.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bertinchamps.contract import Entity

GAP = r"[ \u00a0\u202f./-]?"  # between groups of digits
COUNTRY = rf"(?:(?:\+|00){GAP}33|\(\+?33\)){GAP}(?:\(0\)|0)?{GAP}"
FRENCH = rf"(?:{COUNTRY}[1-9]|0[1-9])(?P<gap>{GAP})\d\d(?:(?P=gap)\d\d){{3}}"
NEIGHBOURS = rf"(?:\+|00){GAP}(?:32|41|352){GAP}(?:\(0\){GAP})?\d(?:{GAP}\d){{5,8}}"  # Belgium, Switzerland, Luxembourg
SPACE = r"[ \u00a0\u202f.]?"
NIR = rf"[12](?:{SPACE}\d){{5}}{SPACE}[\dABab](?:{SPACE}\d){{8}}"  # A, B: Corsica


RULES = {
    "MAIL": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"),
    "TEL": re.compile(rf"(?<![\d+])(?<!\d{GAP[:-1]})(?:{FRENCH}|{NEIGHBOURS})(?!\d)"),
    "SECU": re.compile(rf"(?<!\d)(?<!\d{SPACE[:-1]}){NIR}(?!{SPACE}\d)"),
}


def found(text: str) -> Iterator[Entity]:
    """What the rules find in a text, by label and place.

    A social security number (NIR) has 15 digits and begins with the sex. Its check digits are not compared: one that
    was mistyped still says who it is.
    """
    for label, form in RULES.items():
        for match in form.finditer(text):
            yield Entity(label, ((match.start(), match.end()),))

"""Surrogates: invented identifiers instead of real ones, consistent in a document or in a corpus.

    M. DUPONT, 01.42.16.40.10, vu le 3/4/19. Jean Dupont va mieux le 5/4/19.
    M. LEMAIRE, 05.83.92.17.64, vu le 9/8/21. Hugo Lemaire va mieux le 11/8/21.

Every choice is drawn from an HMAC of the secret key and the original, so the key decides all of them.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bertinchamps.errors import UserError
from bertinchamps.tasks.deidentification import dates
from bertinchamps.tasks.deidentification.people import Names
from bertinchamps.tasks.deidentification.replacing import Identifier, replacers
from bertinchamps.tasks.deidentification.table import Table
from bertinchamps.tasks.deidentification.values import VALUES, scrambled
from bertinchamps.tasks.deidentification.words import all_words

SCOPES = ("document", "corpus")
SHORTEST_KEY = 16  # bytes
DATES = ("DATE", "DATE_NAISSANCE")
YEARS, DAYS = (1, 8), (45, 320)  # of an offset; the days move a month as well


def _problems(settings: Mapping[str, Any]) -> list[str]:
    scope = settings.get("scope", SCOPES[0])
    found = [] if scope in SCOPES else [f"deidentify.scope={scope}: one of {', '.join(SCOPES)}"]
    for needed in (partial(_key, settings.get("key_file")), all_words):
        try:
            needed()
        except UserError as error:
            found.append(str(error))
    return found


@replacers.register("surrogates", check=_problems)
class Surrogates:
    """Invented identifiers in the format of the originals.

    Args:
        labels: of what is replaced; null: all.
        rules: whether what has the form of a MAIL, TEL or SECU is replaced, too (`rules.py`).
        map: a new file for the originals and what replaced them; null: none is written.
        scope: document or corpus: where one name, number or place has one surrogate. Dates move by an offset of their
            own in each document.
        key_file: a file with a secret of at least 16 bytes, which decides all surrogates; null: a new secret each time.
    """

    def __init__(
        self,
        labels: list[str] | None = None,
        rules: bool = True,
        map: str | None = None,
        scope: str = "document",
        key_file: str | None = None,
    ) -> None:
        del labels, rules, map  # the command reads them
        self._key = _key(key_file)
        self._corpus = Table(self._key) if scope == "corpus" else None

    def surrogates(self, name: str, text: str, identifiers: Sequence[Identifier]) -> list[str]:
        """A surrogate for each; dates move by one offset."""
        own_key = hmac.digest(self._key, f"document {name}".encode(), hashlib.sha256)
        table = self._corpus or Table(own_key)
        originals = [(label, text[start:end]) for start, end, label in identifiers]
        table.meet(original for _, original in originals)
        names = Names(table, originals)
        offset = _offset(random.Random(own_key))
        found = []
        for label, original in originals:
            written = self._written(table, names, offset, label, original)
            # what could not be changed, such as a date without a number, is hidden
            found.append(f"<{label}>" if written.casefold() == original.casefold() else written)
        return found

    def _written(self, table: Table, names: Names, offset: int, label: str, original: str) -> str:
        if label in DATES:
            return _moved(table, original, offset)
        if label in names.labels:
            return names.written(original)
        if label in VALUES:
            return VALUES[label](table, names, original)
        return scrambled(table, original, label)


def _offset(generator: random.Random) -> int:
    """Days by which the dates of a document move: years and a part of one, back or forth."""
    days = 365 * generator.randint(*YEARS) + generator.randint(*DAYS)
    return days * generator.choice((-1, 1))


def _moved(table: Table, original: str, offset: int) -> str:
    written = dates.read(original)
    moved = written.moved(offset) if written else original
    return dates.scrambled(original, table.draw("date", original)) if moved == original else moved


def _key(file: str | None) -> bytes:
    """The secret of a file, or a new one.

    Raises:
        UserError: the file cannot be read, or is too short.
    """
    if file is None:
        return secrets.token_bytes(32)
    try:
        key = Path(file).expanduser().read_bytes().strip()
    except OSError as error:
        raise UserError(f"deidentify.key_file={file}: cannot be read ({error.strerror})") from error
    if len(key) < SHORTEST_KEY:
        raise UserError(
            f"deidentify.key_file={file}: holds fewer than {SHORTEST_KEY} bytes, which can be guessed; "
            "write a new one with `openssl rand -hex 32 > FILE`"
        )
    return key

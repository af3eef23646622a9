"""Templates of letters: snippets of text in which slots are marked.

    Patient adressé par le docteur [ROUVEIX](NOM) [Léonard](PRENOM), tél. [01 53 82 34 56](TEL)

Snippets are separated by blank lines. What stands in a slot is an example of how such a slot is written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from bertinchamps.errors import UserError
from bertinchamps.registry import closest
from bertinchamps.tasks.formats.brat import decoded
from bertinchamps.textfiles.opening import whole

SLOT = re.compile(r"\[([^\[\]]*)\]\(([^()\[\]\s]*)\)")
PLAIN = re.compile(r"\[[^\[\]]*\](?!\()")  # brackets that are no slot, such as [0.5-1.2]
REMEDY = "a slot is written [text](LABEL)"


class Slot(NamedTuple):
    """A place for an identifier: its label, and the example that stands there."""

    label: str
    example: str


class Template(NamedTuple):
    """One snippet.

    Attributes:
        line: its first line in the file, from 1.
        pieces: its text, cut at the slots.
        plain: brackets without a label, which are text.
    """

    line: int
    pieces: tuple[str | Slot, ...]
    plain: int

    @property
    def skeleton(self) -> str:
        """The letters of its text and its labels: templates that differ in their examples alone have the same."""
        parts = (piece.label if isinstance(piece, Slot) else piece.casefold() for piece in self.pieces)
        return " ".join("".join(filter(str.isalpha, part)) for part in parts)


def read(path: Path, labels: Collection[str], synonyms: Mapping[str, str]) -> list[Template]:
    """The templates of a file, in order.

    Args:
        path: the file.
        labels: that a slot may have.
        synonyms: spelling of a label in the file → the label.

    Raises:
        UserError: a slot has another label, or a bracket is left open; the message names the line.
    """
    text = decoded(whole(path), str(path)).replace("\r\n", "\n")
    found = []
    for block in re.finditer(r"(?:[^\n]*\S[^\n]*(?:\n|\Z))+", text):
        line = text.count("\n", 0, block.start()) + 1
        found.append(_template(block[0].rstrip("\n"), f"{path}: line", line, labels, synonyms))
    if not any(isinstance(piece, Slot) for template in found for piece in template.pieces):
        raise UserError(f"{path}: no slot in it; {REMEDY}")
    return found


def _template(
    block: str, where: str, line: int, labels: Collection[str], synonyms: Mapping[str, str]
) -> Template:
    pieces: list[str | Slot] = []
    after = plain = 0

    def add(piece: str) -> int:
        if piece:
            pieces.append(piece)
        rest = PLAIN.sub(lambda match: " " * len(match[0]), piece)
        for sign in "[]":
            if sign in rest:
                at = line + block.count("\n", 0, after + rest.index(sign))
                raise UserError(f"{where} {at}: a bracket {sign!r} without its partner; {REMEDY}")
        return len(PLAIN.findall(piece))

    for match in SLOT.finditer(block):
        plain += add(block[after : match.start()])
        label = synonyms.get(match[2], match[2])
        at = line + block.count("\n", 0, match.start())
        if label not in labels:
            raise UserError(
                f"{where} {at}: no slot has this label{closest(label, labels)} (one of: {', '.join(labels)}); "
                "correct it, or name it in task.synonyms={SPELLING: LABEL}"
            )
        if not match[1].strip():
            raise UserError(f"{where} {at}: a slot without an example; {REMEDY}")
        pieces.append(Slot(label, match[1]))
        after = match.end()
    plain += add(block[after:])
    return Template(line, tuple(pieces), plain)

"""spaCy's French tokenizer, for what does not depend on compounds.

A module of spaCy compiles one pattern of 1.4 million characters when French is imported: of compounds such as
"anti-inflammatoire" and "Boulogne-sur-Mer", which its tokenizer leaves whole. That takes four seconds, a third of the
time in which `python -m bertinchamps.predict` answers one sentence, and matching words with it up to doubles the
time of finding sentences. No compound holds a sign that ends a sentence, so sentences are the same without it.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

LONG = 1_000_000  # characters of a pattern


class _CompiledLater:
    """A pattern that is compiled when it is first used: by other users of spaCy's French in this process."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def match(self, text: str) -> re.Match[str] | None:
        """As of a compiled pattern."""
        return self._compiled.match(text)


def french_tokenizer() -> Any:
    """A blank French pipeline (`spacy.language.Language`) whose tokenizer splits compounds."""
    french = _french()
    # Set before the tokenizer is made, which already matches its own exceptions.
    defaults = type("Defaults", (french.Defaults,), {"token_match": None})
    return type("FrenchWithoutCompounds", (french,), {"Defaults": defaults})()


def _french() -> Any:
    """spaCy's French, imported while `re.compile` leaves long patterns for later."""
    compiled = re.compile

    def compiled_later(pattern: Any, flags: int | re.RegexFlag = 0) -> Any:
        if isinstance(pattern, str) and len(pattern) >= LONG and not flags:
            return _CompiledLater(pattern)
        return compiled(pattern, flags)

    re.compile = compiled_later
    try:
        from spacy.lang.fr import French
    finally:
        re.compile = compiled
    return French

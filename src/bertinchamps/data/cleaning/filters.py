"""Steps that look at one document at a time and keep it or drop it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import regex

from bertinchamps.data.cleaning import Dropped, Outcome, TextStep, steps

LETTERS = regex.compile(r"\p{L}+")
VISIBLE = regex.compile(r"\S+")
READ_FOR_LANGUAGE = 1000  # characters: more do not make the guess better, and cost as much again


def _share_problems(settings: Mapping[str, Any]) -> list[str]:
    value = settings.get("letters", 0.6)
    return [] if 0 < value <= 1 else [f"cleaning.letters={value}: a share above 0 and up to 1"]


@steps.register("length")
def length(least: int = 0, most: int | None = None) -> TextStep:
    """Drop documents of fewer than `least` or more than `most` characters."""

    def step(text: str) -> Outcome:
        if len(text) < least:
            return Dropped("too short")
        return Dropped("too long") if most is not None and len(text) > most else text

    return step


@steps.register("symbols", check=_share_problems)
def symbols(letters: float = 0.6) -> TextStep:
    """Drop documents of whose visible characters fewer than this share are letters: tables, logs, menus."""

    def step(text: str) -> Outcome:
        visible = sum(map(len, VISIBLE.findall(text)))
        few = sum(map(len, LETTERS.findall(text))) < letters * visible
        return Dropped("too few letters") if few else text

    return step


@steps.register("french")
def french(least: int = 40) -> TextStep:
    """Drop documents in another language, by the likeliest of the 97 that py3langid knows (Lui and Baldwin, 2012).

    Args:
        least: characters below which a document is kept: a guess from a few words is no better than chance.
    """

    def step(text: str) -> Outcome:
        return Dropped("not French") if len(text) >= least and _language(text) != "fr" else text

    return step


def _language(text: str) -> str:
    """From the middle: what stands first is a header or a menu more often than not."""
    start = max(0, (len(text) - READ_FOR_LANGUAGE) // 2)
    return str(_identifier()(text[start : start + READ_FOR_LANGUAGE])[0])


@lru_cache(maxsize=1)
def _identifier() -> Any:
    import py3langid  # reads its model when it is imported

    return py3langid.classify

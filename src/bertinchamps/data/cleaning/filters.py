"""Steps that look at one document at a time and keep it or drop it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import regex

from bertinchamps.data.cleaning import Count, Documents, Step, steps

LETTERS = regex.compile(r"\p{L}+")
VISIBLE = regex.compile(r"\S+")
READ_FOR_LANGUAGE = 1000  # characters: more do not make the guess better, and cost as much again


def _share_problems(settings: Mapping[str, Any]) -> list[str]:
    value = settings.get("letters", 0.6)
    return [] if 0 < value <= 1 else [f"cleaning.letters={value}: a share above 0 and up to 1"]


@steps.register("length")
def length(least: int = 0, most: int | None = None) -> Step:
    """Drop documents of fewer than `least` or more than `most` characters."""

    def step(documents: Documents, count: Count) -> Documents:
        for document in documents:
            if len(document.text) < least:
                count.dropped["too short"] += 1
            elif most is not None and len(document.text) > most:
                count.dropped["too long"] += 1
            else:
                yield document

    return step


@steps.register("symbols", check=_share_problems)
def symbols(letters: float = 0.6) -> Step:
    """Drop documents of whose visible characters fewer than this share are letters: tables, logs, menus."""

    def step(documents: Documents, count: Count) -> Documents:
        for document in documents:
            visible = sum(map(len, VISIBLE.findall(document.text)))
            if sum(map(len, LETTERS.findall(document.text))) < letters * visible:
                count.dropped["too few letters"] += 1
            else:
                yield document

    return step


@steps.register("french")
def french(least: int = 40) -> Step:
    """Drop documents in another language, by the likeliest of the 97 that py3langid knows (Lui and Baldwin, 2012).

    Args:
        least: characters below which a document is kept: a guess from a few words is no better than chance.
    """

    def step(documents: Documents, count: Count) -> Documents:
        for document in documents:
            if len(document.text) >= least and _language(document.text) != "fr":
                count.dropped["not French"] += 1
            else:
                yield document

    return step


def _language(text: str) -> str:
    """From the middle: what stands first is a header or a menu more often than not."""
    start = max(0, (len(text) - READ_FOR_LANGUAGE) // 2)
    return str(_identifier()(text[start : start + READ_FOR_LANGUAGE])[0])


@lru_cache(maxsize=1)
def _identifier() -> Any:
    import py3langid  # reads its model when it is imported

    return py3langid.classify

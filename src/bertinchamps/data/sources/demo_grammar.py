"""The machinery of the toy corpus: French word forms, templates with slots, and portable dice.

A template such as `{drug.Le} {drug?soulage|soulagent} {pain.le}.` is cut once, at import, into pieces
that each know their slot. Writing a sentence looks every piece up, so the span of a slot (for the toy
of named entities, `tasks/demo.py`) is read off the same pieces: it is the tail `word[""]` of the
piece, and what stands before that tail is the article.

The notation of a piece, where NOUN and WORD are slots of the scene:
    {WORD}              the bare form                    {WORD.^}            … with a capital
    {NOUN.le}           with an article, see `noun`      {NOUN.Le}           … with a capital
    {ADJECTIVE@NOUN}    in the gender and number of the noun; a slot, or the adjective itself
    {NOUN?il mange|ils mangent}                 by number: singular|plural
    {NOUN?petit|petite|petits|petites}          by gender and number: ms|fs|mp|fp
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

Word = dict[str, str]  # the forms of one word; "" is the bare one, "agreement" is ms, fs, mp or fp
Bindings = dict[str, Word]  # slot → the word that a document has there
Row = Mapping[str, Sequence[Word]]  # facts that belong together: slot → the words it may hold

AGREEMENTS = ("ms", "fs", "mp", "fp")
ELIDING = "aàâeéèêëiîïoôuùûœæAÀÂEÉÈÊIÎOÔUŒ"
ASPIRATED = (
    *("haricot", "hibou", "hanche", "hernie", "homard", "hamster", "handball", "hall", "hausse", "hérisson"),
    *("hareng", "hockey", "Hongrie", "Hongrois", "hongrois", "hangar", "héron", "hameau", "hêtre"),
)
PRONOUNS = ("il", "Il")  # the forms of a noun that do not hold the noun
FEMININES = (("eux", "euse"), ("if", "ive"), ("er", "ère"), ("el", "elle"), ("en", "enne"), ("et", "ette"))


class Dice:
    """Random choices that are the same in every process and Python version.

    Only `Random.random` is promised to stay the same for a seed, so everything is drawn from it.
    """

    def __init__(self, seed: str) -> None:
        self.roll = random.Random(seed).random

    def pick(self, things: Sequence[Word]) -> Word:
        """One of the words."""
        return things[int(self.roll() * len(things))]

    def index(self, count: int) -> int:
        """An index below count."""
        return int(self.roll() * count)


class Piece(NamedTuple):
    """Literal text, then one slot. An empty slot ends a template."""

    literal: str
    slot: str
    form: str
    agrees_with: str
    alternatives: Word | None


class Span(NamedTuple):
    """Where the word of a slot lies in a text, without its article; half-open."""

    slot: str
    start: int
    end: int


class Template(NamedTuple):
    """One sentence or clause with slots."""

    pieces: tuple[Piece, ...]

    def write(self, bindings: Bindings) -> str:
        """The sentence, its slots filled."""
        return self.write_with_spans(bindings)[0]

    def write_with_spans(self, bindings: Bindings) -> tuple[str, list[Span]]:
        """The sentence, and where the words of its slots lie, in order; pronouns and agreeing words have no span."""
        text, spans = "", []
        for literal, slot, form, agrees_with, alternatives in self.pieces:
            text += literal
            if alternatives is not None:
                text += alternatives[bindings[agrees_with]["agreement"]]
            elif agrees_with:
                text += bindings[slot][bindings[agrees_with]["agreement"]]
            elif slot:
                text += bindings[slot][form]
                if form not in PRONOUNS:
                    spans.append(Span(slot, len(text) - len(bindings[slot][""]), len(text)))
        return text, spans


class Step(NamedTuple):
    """One place in the discourse: one of these templates, or with `optional` sometimes none."""

    templates: tuple[Template, ...]
    optional: bool


class Scene(NamedTuple):
    """A kind of document: what is drawn once for all of it, then its steps in order."""

    name: str
    tables: tuple[tuple[Row, ...], ...]
    pools: tuple[tuple[tuple[str, ...], tuple[Word, ...]], ...]
    steps: tuple[Step, ...]

    def bind(self, dice: Dice) -> Bindings:
        """Words for every slot: one row of each table, distinct words of each pool."""
        bindings: Bindings = {}
        for table in self.tables:
            for slot, words in table[dice.index(len(table))].items():
                bindings[slot] = dice.pick(words)
        for slots, pool in self.pools:
            at, reach = dice.index(len(pool)), len(pool) // len(slots)
            for slot in slots:  # the steps add up to less than one turn, so no word comes twice
                bindings[slot] = pool[at % len(pool)]
                at += 1 + dice.index(reach)
        return bindings

    def write(self, dice: Dice) -> str:
        """One document."""
        return self.write_with_spans(dice)[0]

    def write_with_spans(self, dice: Dice) -> tuple[str, list[Span]]:
        """The same document, and where the words of its slots lie, in order."""
        bindings = self.bind(dice)
        text, spans = "", []
        for templates, optional in self.steps:
            if not optional or dice.roll() < 0.6:
                sentence, places = templates[dice.index(len(templates))].write_with_spans(bindings)
                text += " " if text else ""
                spans += [Span(slot, len(text) + start, len(text) + end) for slot, start, end in places]
                text += sentence
        return text, spans


def _with_capitals(forms: Word) -> Word:
    for key, text in list(forms.items()):
        forms["^" if key == "" else key.capitalize()] = text[:1].upper() + text[1:]
    return forms


def _plural(singular: str) -> str:
    if singular[-1] in "sxz":
        return singular
    if singular.endswith("al"):
        return singular[:-1] + "ux"
    return singular + ("x" if singular.endswith(("eau", "eu")) else "s")


def _singular_forms(text: str, masculine: bool) -> Word:
    elided = text[0] in ELIDING or (text[0] in "hH" and not text.startswith(ASPIRATED))
    le, un = ("le ", "un ") if masculine else ("la ", "une ")
    du, au = ("du ", "au ") if masculine else ("de la ", "à la ")
    ce, son = ("ce ", "son ") if masculine else ("cette ", "sa ")
    if elided:
        le, du, au, son = "l'", "de l'", "à l'", "son "
        ce = "cet " if masculine else "cette "
    starts = {
        "": "",
        "le": le,
        "un": un,
        "dun": "d'" + un,
        "quun": "qu'" + un,
        "du": du,
        "au": au,
        "ce": ce,
        "son": son,
    }
    starts["de"], starts["que"] = ("d'", "qu'") if elided else ("de ", "que ")
    return {key: start + text for key, start in starts.items()}


def noun(entry: str, plural: bool = False) -> Word:
    """A noun, from "chat,m" or "œil,m,yeux", with the forms le un du au ce son de dun que quun il.

    In the plural the same keys give les des des aux ces ses de de ils, so that a template need not know.
    """
    singular, gender, *irregular = (part.strip() for part in entry.split(","))
    if gender not in ("m", "f"):
        raise ValueError(f"{entry}: a noun is written 'word,m' or 'word,f'")
    masculine = gender == "m"
    forms = _singular_forms(singular, masculine)
    if plural:
        text = irregular[0] if irregular else _plural(singular)
        starts = {"": "", "le": "les ", "un": "des ", "du": "des ", "au": "aux ", "ce": "ces ", "son": "ses "}
        starts["quun"], starts["que"] = "que des ", forms["que"].removesuffix(singular)
        starts["de"] = starts["dun"] = forms["de"].removesuffix(singular)
        forms = {key: start + text for key, start in starts.items()}
    forms["il"] = ("il" if masculine else "elle") + ("s" if plural else "")
    return _with_capitals(forms) | {"agreement": gender + ("p" if plural else "s")}


def adjective(entry: str) -> Word:
    """An adjective or participle, from "petit", "public,publique" or "beau,belle,beaux,belles"."""
    masculine, *rest = (part.strip() for part in entry.split(","))
    if rest:
        feminine = rest[0]
    elif masculine.endswith("e"):
        feminine = masculine
    else:
        ending = next(((old, new) for old, new in FEMININES if masculine.endswith(old)), ("", "e"))
        feminine = masculine.removesuffix(ending[0]) + ending[1]
    plurals = rest[1:] or [_plural(masculine), _plural(feminine)]
    return {"": masculine} | dict(zip(AGREEMENTS, [masculine, feminine, *plurals], strict=True))


def verb(entry: str) -> Word:
    """A verb in the third person, from "mange,mangent"."""
    singular, plural = (part.strip() for part in entry.split(","))
    return {"": singular} | dict(zip(AGREEMENTS, (singular, singular, plural, plural), strict=True))


def phrase(text: str) -> Word:
    """Words that never change."""
    return _with_capitals({"": text})


def _cell(kind: str, text: str) -> tuple[Word, ...]:
    entries = [entry.strip() for entry in text.split(" / ")]
    match kind:
        case "n":
            return tuple(noun(entry) for entry in entries)
        case "np":
            return tuple(noun(entry, plural=True) for entry in entries)
        case "nn":
            return tuple(noun(entry, plural) for entry in entries for plural in (False, True))
        case "a":
            return tuple(adjective(entry) for entry in entries)
        case "v":
            return tuple(verb(entry) for entry in entries)
        case _:
            return tuple(phrase(entry) for entry in entries)


def words(kind: str, text: str) -> tuple[Word, ...]:
    """A pool of words of one kind (n, np plural, nn both, a, v, or "" for phrases), separated by " / "."""
    return _cell(kind, " ".join(text.split()))


def table(text: str) -> tuple[Row, ...]:
    """Rows of facts: a header `slot:kind ; …`, then a line a row, alternatives in a cell between " / "."""
    header, *lines = (line for line in text.strip().splitlines() if line.strip())
    columns = [
        (slot.strip(), kind.strip()) for slot, _, kind in (cell.partition(":") for cell in header.split(";"))
    ]
    return tuple(
        {slot: _cell(kind, cell) for (slot, kind), cell in zip(columns, line.split(";"), strict=True)}
        for line in lines
    )


def numbers(low: int, high: int, step: int = 1, divide: int = 1) -> tuple[Word, ...]:
    """The numbers low, low + step, … up to high, over `divide` (10 gives one decimal)."""
    written = (
        f"{number / divide:.1f}" if divide == 10 else str(number // divide)
        for number in range(low, high + 1, step)
    )
    return tuple(phrase(number.replace(".", ",")) for number in written)


def template(text: str, slots: Iterable[str]) -> Template:
    """Cut a template into pieces.

    Raises:
        ValueError: it names a slot that the scene does not have, or alternatives that are not 2 or 4.
    """
    known, pieces, end = list(slots), [], 0
    for match in re.finditer(r"\{([^}]*)\}", text):
        inside, literal = match[1], text[end : match.start()]
        end = match.end()
        slot, mark, rest = [*re.split(r"([.@?])", inside, maxsplit=1), "", ""][:3]
        agrees_with, alternatives = (rest if mark == "@" else ""), None
        if mark == "?":
            choices = rest.split("|")
            if len(choices) not in (2, 4):
                raise ValueError(f"{inside}: give 2 or 4 alternatives")
            by_agreement = choices if len(choices) == 4 else [choices[0], choices[0], choices[1], choices[1]]
            agrees_with, alternatives = slot, dict(zip(AGREEMENTS, by_agreement, strict=True))
        if mark == "@" and slot not in known:
            alternatives = adjective(slot)
        if (alternatives is None and slot not in known) or (agrees_with and agrees_with not in known):
            raise ValueError(f"{inside}: the scene has no such slot")
        pieces.append(Piece(literal, slot, rest if mark == "." else "", agrees_with, alternatives))
    return Template((*pieces, Piece(text[end:], "", "", "", None)))


def scene(
    name: str, tables: Sequence[tuple[Row, ...]], pools: Mapping[str, tuple[Word, ...]], text: str
) -> Scene:
    """A scene; in the text a line is a step, `||` separates templates, a leading `?` makes it optional.

    Args:
        name: for messages and tests.
        tables: one row of each is drawn for a document.
        pools: "slot" or "slot slot2" → words, drawn without repetition.
        text: the steps.

    Raises:
        ValueError: a template is malformed.
    """
    named = tuple((tuple(slots.split()), pool) for slots, pool in pools.items())
    known = [slot for rows in tables for slot in rows[0]] + [slot for slots, _ in named for slot in slots]
    steps = []
    for line in (line.strip() for line in text.strip().splitlines()):
        alternatives = line.removeprefix("?").split("||")
        steps.append(Step(tuple(template(one.strip(), known) for one in alternatives), line.startswith("?")))
    return Scene(name, tuple(tables), named, tuple(steps))

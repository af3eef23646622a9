"""French words of the toy corpus: the forms of each, and tables and pools of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Word = dict[str, str]  # the forms of one word; "" is the bare one, "agreement" is ms, fs, mp or fp
Row = Mapping[str, Sequence[Word]]  # facts that belong together: slot → the words it may hold

AGREEMENTS = ("ms", "fs", "mp", "fp")
ELIDING = "aàâeéèêëiîïoôuùûœæAÀÂEÉÈÊIÎOÔUŒ"
ASPIRATED = (
    *("haricot", "hibou", "hanche", "hernie", "homard", "hamster", "handball", "hall", "hausse", "hérisson"),
    *("hareng", "hockey", "Hongrie", "Hongrois", "hongrois", "hangar", "héron", "hameau", "hêtre"),
)
FEMININES = (("eux", "euse"), ("if", "ive"), ("er", "ère"), ("el", "elle"), ("en", "enne"), ("et", "ette"))


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

"""How `fuzz.py` changes files: bytes, numbers, lines and pieces, also inside of compressed files."""

from __future__ import annotations

import gzip
import random
import re
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

Files = dict[str, bytes]  # content by name below a folder

# What readers trip over: marks of formats, numbers at edges, letters that are several bytes or no text.
WORDS = tuple(
    word.encode("utf-8", "surrogatepass")
    for word in (
        '"', "'", "\\", "{", "}", "[", "]", "[]", "{}", ",", ":", ";", "\t", "\n", "\r", "\r\n", "\0", "\ufeff",
        "\u2028", "\x85", "null", "true", "NaN", "Infinity", "-1", "0", "1e999", "9" * 30, "9" * 5000, "-0", "0.5",
        "2147483648", "18446744073709551616", "\\ud800", "\\u0000", '{"a":', "[" * 500, '"text"', '"label"', "T1\t",
        "R1\t", "#", "*", " ", "  ", "\xa0", "\U0001f600", "e\u0301", "<", ">", "&", "]]>", "<!DOCTYPE x>", "&#0;",
        "&amp;", "B-X", "I-", "O", "../", "/", "~", "%s", "${a:b}", "!!python/object:os.system", "&a [*a]", "<<: *a",
        "- ", "---", "\x1b[0m",
    )
)  # fmt: skip
NUMBER = re.compile(rb"-?\d+")
MOST_SIZE = 1 << 20  # bytes of a changed file


Change = Callable[[bytes, random.Random, bytes], bytes]  # of a content, with the content of another input


def changed(
    files: Files, dice: random.Random, others: Sequence[Files], changes: Sequence[Change] | None = None
) -> Files:
    """A copy of files in which one was changed, at one place or several; in ways of CHANGES unless told otherwise."""
    name = dice.choice(sorted(files))
    donor = dice.choice(others).get(name, b"")
    unpack, pack = _packing(name, files[name], dice)
    content = unpack(files[name])
    for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
        content = dice.choice(changes or CHANGES)(content, dice, donor)[:MOST_SIZE]
    return {**files, name: pack(content)}


Pack = Callable[[bytes], bytes]


def _packing(name: str, content: bytes, dice: random.Random) -> tuple[Pack, Pack]:
    """How to look into a compressed file, three times out of four; else its own bytes are changed."""
    import zstandard

    if dice.random() < 0.25:
        return bytes, bytes
    try:
        if name.endswith(".gz"):
            gzip.decompress(content)
            return gzip.decompress, lambda data: gzip.compress(data, 1, mtime=0)
        if name.endswith(".zst"):
            zstandard.ZstdDecompressor().decompressobj().decompress(content)
            return (
                lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
                zstandard.compress,
            )
    except (OSError, EOFError, zlib.error, zstandard.ZstdError):
        pass
    return bytes, bytes


def _flip(content: bytes, dice: random.Random, donor: bytes) -> bytes:
    """One bit."""
    if not content:
        return content
    place = dice.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << dice.randrange(8)]) + content[place + 1 :]


def _byte(content: bytes, dice: random.Random, donor: bytes) -> bytes:
    """One byte, another one."""
    if not content:
        return content
    place = dice.randrange(len(content))
    return content[:place] + dice.randbytes(1) + content[place + 1 :]


def _insert(content: bytes, dice: random.Random, donor: bytes) -> bytes:
    """A word that readers trip over, once or often."""
    place, times = dice.randint(0, len(content)), dice.choice((1, 1, 1, 1, 2, 50))
    return content[:place] + dice.choice(WORDS) * times + content[place:]


def _overwrite(content: bytes, dice: random.Random, donor: bytes) -> bytes:
    """The same in the place of what stood there."""
    place, word = dice.randint(0, len(content)), dice.choice(WORDS)
    return content[:place] + word + content[place + len(word) :]


def _cut(content: bytes, dice: random.Random, donor: bytes) -> bytes:
    """Without a piece, mostly a short one."""
    first = dice.randint(0, len(content))
    return content[:first] + content[first + dice.choice((1, 2, 8, 64, len(content))) :]


def _repeat(content: bytes, dice: random.Random, donor: bytes) -> bytes:
    """A piece, several times."""
    first = dice.randint(0, len(content))
    piece = content[first : first + dice.choice((1, 4, 32, 256))]
    return content[:first] + piece * dice.choice((2, 3, 200)) + content[first:]


def _splice(content: bytes, dice: random.Random, donor: bytes) -> bytes:
    """A piece of another input."""
    first, place = dice.randint(0, len(donor)), dice.randint(0, len(content))
    piece = donor[first : first + dice.choice((4, 32, 256, len(donor)))]
    return content[:place] + piece + content[place + dice.choice((0, len(piece))) :]


def _number(content: bytes, dice: random.Random, donor: bytes) -> bytes:
    """One number, another one."""
    found = list(NUMBER.finditer(content))
    if not found:
        return content
    one = dice.choice(found)
    number = int(one[0][:18])
    values = (number + 1, number - 1, -number, 0, number * 1000, 2**31, 2**63, 10**30, number // 2)
    return content[: one.start()] + str(dice.choice(values)).encode() + content[one.end() :]


def _lines(content: bytes, dice: random.Random, donor: bytes) -> bytes:
    """Lines in another order, one of them gone or twice."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    place = dice.randrange(len(lines))
    return b"".join(
        dice.choice(
            (
                lines[:place] + lines[place + 1 :],
                [*lines[:place], lines[place], *lines[place:]],
                [*lines[place:], *lines[:place]],
            )
        )
    )


CHANGES = (_flip, _byte, _insert, _insert, _overwrite, _cut, _repeat, _splice, _number, _number, _lines)


def write(files: Files, folder: Path) -> None:
    """Write files into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def load(folder: Path) -> Files:
    """The files of a folder."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }

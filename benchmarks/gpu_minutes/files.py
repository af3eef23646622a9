"""Files of the stages: what is read of them when they may be half written, and archives of bounded size."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LARGEST_ARCHIVE = 15 * 2**20  # bytes: the way back from a lent machine may be narrow
HEAD_OF_A_LOG, TAIL_OF_A_LOG = 100_000, 900_000  # bytes
LINES_OF_A_FAILURE, LONGEST_LINE = 8, 200


def last_lines(file: Path) -> list[str]:
    """Of a log: in Python, the last one is the error."""
    if not file.is_file():
        return []
    lines = _ends_of(file).decode("utf-8", "replace").replace("\r", "\n").splitlines()
    return [line.rstrip()[:LONGEST_LINE] for line in lines if line.strip()][-LINES_OF_A_FAILURE:]


def read_json(file: Path) -> dict[str, Any]:
    """An object; an empty one where the file is missing or was cut short."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines up to the one that was cut short."""
    records = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def archive(file: Path, members: Iterable[tuple[str, Path]]) -> list[str]:
    """Write files into a zip, in this order, as long as there is room.

    Args:
        file: of the zip.
        members: names in it, and files; of logs (`.log`) beginning and end alone.

    Returns:
        The names for which there was no room.
    """
    left_out, size = [], 0
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as written:
        for name, member in members:
            content = _ends_of(member) if member.suffix == ".log" else member.read_bytes()
            compressed = len(zlib.compress(content)) + 2 * len(name) + 200
            if size + compressed > LARGEST_ARCHIVE:
                left_out.append(name)
                continue
            size += compressed
            written.writestr(name, content)
    return left_out


def _ends_of(file: Path) -> bytes:
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size <= HEAD_OF_A_LOG + TAIL_OF_A_LOG:
            return stream.read()
        head = stream.read(HEAD_OF_A_LOG)
        stream.seek(size - TAIL_OF_A_LOG)
        return head + b"\n[...]\n" + stream.read()


def inline(text: str) -> str:
    """The text as one cell or item of Markdown."""
    return " ".join(text.split()).replace("|", "\\|")


def rate(row: dict[str, Any]) -> str:
    """Tokens a second and, where it is known, MFU."""
    if not row.get("tokens_per_second"):
        return "no rate"
    mfu = f", {row['mfu']:.1%} MFU" if row.get("mfu") is not None else ""
    return f"{row['tokens_per_second']:,.0f} tokens/s{mfu}"

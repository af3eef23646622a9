"""Inputs of kinds that users of comparable tools reported, with what each must end in, through the real commands."""

from __future__ import annotations

import json
from pathlib import Path

from support import command


def write_texts(file: Path, texts: list[str]) -> None:
    rows = (json.dumps({"text": text}, ensure_ascii=False) for text in texts)
    file.write_text("".join(row + "\n" for row in rows), encoding="utf-8")


def prepared(folder: Path, *words: str) -> str:
    """What `prepare` says of a corpus of small blocks, built into the folder's own cache."""
    settings = ["data=files", "tokenizer.vocab_size=400", "blocks.sequence_length=16", *words]
    cache = {"BERTINCHAMPS_CACHE": str(folder / "cache")}
    result = command("bertinchamps.prepare", *settings, cwd=folder, **cache)
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_heldout_leak_cleaning(tmp_path: Path) -> None:
    """Copies of held-out documents are dropped although a cleaning step mends them before they are trained on."""
    notes = [f"La patiente {n} est âgée de {n % 90} ans et tousse depuis l'été." for n in range(240)]
    held_out = [note.encode().decode("windows-1252") for note in notes[:40]]
    write_texts(tmp_path / "held.jsonl", held_out)
    write_texts(tmp_path / "train.jsonl", [*notes[40:], *held_out])
    files = ["data.files=[train.jsonl]", "data.held_out_files=[held.jsonl]"]
    said = prepared(tmp_path, *files, "cleaning=[{name: unicode}]")
    assert "40 documents: copy of a held-out document" in said
    assert "200 documents" in next(line for line in said.splitlines() if line.startswith("train "))

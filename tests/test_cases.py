"""Inputs of kinds that users of comparable tools reported, with what each must end in, through the real commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer

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


def test_special_tokens_in_text(tmp_path: Path) -> None:
    """Names of special tokens that documents hold are text: no mask, no padding, and no end of a document."""
    notes = [
        f"Note {n} : [MASK] du soir [SEP] au [PAD] matin [UNK], lit {n} [CLS] [SEP]." for n in range(200)
    ]
    write_texts(tmp_path / "notes.jsonl", notes)
    said = prepared(tmp_path, "data.files=[notes.jsonl]", "blocks.held_out_share=0.1", "stats=corpus.html")
    for split in ("train", "held_out"):
        (file,) = (tmp_path / "cache").rglob(f"{split}.bin")
        ids = np.fromfile(file, dtype=np.uint16)
        (counted,) = (line for line in said.splitlines() if line.startswith(split))
        assert int((ids == 3).sum()) == int(counted.split()[1])
        assert not np.isin(ids, [0, 1, 2, 4]).any()
    (tokenizer,) = (tmp_path / "cache" / "tokenizers").iterdir()
    opened = AutoTokenizer.from_pretrained(tokenizer)
    assert opened("Le [MASK].", add_special_tokens=False)["input_ids"].count(opened.mask_token_id) == 1

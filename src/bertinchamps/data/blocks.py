"""Packed tokens on disk: one flat uint16 stream a split, read as blocks [N, S] through a memory map."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.uint16]


class TokenWriter:
    """Appends documents' tokens to a file, each closed by the separator; nothing is padded.

    Args:
        file: created, or gone on with.
        separator_id: written after each document.
        documents: that the file holds already.
        tokens: theirs; what is behind them in the file is cut off.
    """

    def __init__(self, file: Path, separator_id: int, documents: int = 0, tokens: int = 0) -> None:
        self._stream = file.open("r+b" if tokens else "wb")
        self._stream.truncate(2 * tokens)
        self._stream.seek(0, os.SEEK_END)
        self._separator = separator_id
        self.documents, self.tokens = documents, tokens

    def add(self, documents: list[list[int]]) -> None:
        """Append some documents' ids."""
        flat: list[int] = []
        for ids in documents:
            flat += ids
            flat.append(self._separator)
        np.asarray(flat, dtype=np.uint16).tofile(self._stream)
        self.documents += len(documents)
        self.tokens += len(flat)

    def flush_to_disk(self) -> None:
        """Make what was added survive a crash of the machine."""
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def __enter__(self) -> TokenWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()


class Blocks:
    """Blocks of `sequence_length` tokens over a token file; the tail that fills no block is left out.

    Memory is mapped, so a corpus of any size costs what is touched.

    Args:
        file: as `TokenWriter` left it.
        sequence_length: S, tokens a block.
    """

    def __init__(self, file: Path, sequence_length: int) -> None:
        self.file, self.sequence_length = file, sequence_length
        tokens = file.stat().st_size // 2
        self._count = tokens // sequence_length
        if self._count:
            flat = np.memmap(file, dtype=np.uint16, mode="r", shape=(self._count * sequence_length,))
            self._tokens: Tokens = flat.reshape(self._count, sequence_length)
        else:
            self._tokens = np.empty((0, sequence_length), dtype=np.uint16)

    def __len__(self) -> int:
        return self._count

    def read(self, indices: NDArray[np.int64]) -> Tokens:
        """The blocks of these indices, [B, S]."""
        return self._tokens[indices]

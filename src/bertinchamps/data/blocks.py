"""Packed tokens on disk: one flat stream a split, read as blocks [N, S] through a memory map.

Tokens are uint16. A vocabulary of more than 65,536 entries needs uint32, which the manifest then says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bertinchamps.data.checksums import Checked, Sums, damaged, open_sums
from bertinchamps.data.order import order

Tokens = NDArray[np.unsignedinteger[Any]]
USUAL: np.dtype[Any] = np.dtype(np.uint16)
USUAL_SIZE = 2**16  # entries of a vocabulary whose ids fit into it
CHECKED_AT_ONCE = 1 << 24  # bytes: a file of so many is checked as a whole when it is opened, in some 10 ms


def dtype_for(vocabulary_size: int) -> np.dtype[Any]:
    """The type of the tokens of a vocabulary with so many entries."""
    return USUAL if vocabulary_size <= USUAL_SIZE else np.dtype(np.uint32)


def dtype_facts(vocabulary_size: int) -> dict[str, str]:
    """What a manifest says of the tokens' type: nothing where it is the usual one."""
    dtype = dtype_for(vocabulary_size)
    return {} if dtype == USUAL else {"dtype": dtype.name}


def dtype_in(manifest: Mapping[str, Any]) -> np.dtype[Any]:
    """The type of the tokens that a manifest describes."""
    return np.dtype(str(manifest.get("dtype", USUAL.name)))


class TokenWriter:
    """Appends documents' tokens to a file, each closed by the separator; nothing is padded.

    Args:
        file: created, or appended to.
        separator_id: written after each document.
        documents: that the file holds already.
        sums: the checksums of what the file holds already; what lies behind that is cut off.
        dtype: of the tokens.

    Attributes:
        documents: in the file.
        sums: checksums of the file.
    """

    def __init__(
        self,
        file: Path,
        separator_id: int,
        documents: int = 0,
        sums: Sums | None = None,
        dtype: np.dtype[Any] = USUAL,
    ) -> None:
        self._dtype = dtype
        self.sums = sums or Sums()
        self._stream = file.open("r+b" if self.sums.size else "wb")
        self._stream.truncate(self.sums.size)
        self._stream.seek(0, os.SEEK_END)
        self._separator = separator_id
        self.documents = documents

    @property
    def tokens(self) -> int:
        """In the file, separators included."""
        return self.sums.size // self._dtype.itemsize

    def add(self, documents: list[list[int]]) -> None:
        """Append some documents' ids."""
        flat: list[int] = []
        for ids in documents:
            flat += ids
            flat.append(self._separator)
        content = np.asarray(flat, dtype=self._dtype).tobytes()
        self._stream.write(content)
        self.sums.add(content)
        self.documents += len(documents)

    def flush_to_disk(self) -> None:
        """Flush what was added, so that it survives a crash of the machine."""
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def __enter__(self) -> TokenWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()


class TokenBlocks(Protocol):
    """Blocks of tokens, on disk or as they come.

    Attributes:
        sequence_length: S, tokens a block.
    """

    sequence_length: int

    def __len__(self) -> int:
        """Blocks of an epoch."""

    def reader(self, seed: int, cursor: int) -> Callable[[NDArray[np.int64]], Tokens]:
        """A function from cursors of the stream to blocks [B, S], in the order of a seed.

        Args:
            seed: of the order.
            cursor: the first that will be asked for.
        """


class Blocks:
    """Blocks of `sequence_length` tokens over a token file; the tail that fills no block is left out.

    Memory is mapped, so a corpus of any size costs what is touched.

    Args:
        file: as `TokenWriter` left it.
        sequence_length: S, tokens a block.
        sums: checksums of the file's pieces, compared with what is read; None: nothing is compared.
        dtype: of the tokens.
    """

    def __init__(
        self,
        file: Path,
        sequence_length: int,
        sums: NDArray[np.uint32] | None = None,
        dtype: np.dtype[Any] = USUAL,
    ) -> None:
        self.file, self.sequence_length = file, sequence_length
        size = file.stat().st_size
        content = np.memmap(file, dtype=np.uint8, mode="r") if size else np.empty(0, dtype=np.uint8)
        self._width = dtype.itemsize * sequence_length
        self._count = size // self._width
        used = content[: self._count * self._width].view(dtype)
        self._tokens: Tokens = used.reshape(self._count, sequence_length)
        self._checked = None if sums is None else Checked(file, content, sums)

    def __len__(self) -> int:
        return self._count

    def reader(self, seed: int, cursor: int) -> Callable[[NDArray[np.int64]], Tokens]:
        """A function from cursors of the stream to blocks [B, S]; any cursor may be asked for."""
        del cursor
        return lambda cursors: self.read(order(cursors, len(self), seed))

    def part(self, number: int, of: int) -> PartOfBlocks:
        """One of so many parts of about equal length, in the order of the file."""
        return PartOfBlocks(self, *(len(self) * end // of for end in (number, number + 1)))

    def read(self, indices: NDArray[np.int64]) -> Tokens:
        """The blocks of these indices, [B, S].

        Raises:
            UserError: the file is not as it was written where the blocks are.
        """
        if self._checked:
            self._checked.check(indices * self._width, self._width)
        return self._tokens[indices]

    def check(self) -> None:
        """Compare all of the file with its checksums.

        Raises:
            UserError: the file is not as it was written.
        """
        if self._checked:
            self._checked.check_all()


class PartOfBlocks:
    """Neighbouring blocks, shuffled among themselves: a run of whole epochs reads each as often as any other.

    Args:
        blocks: of which these are a part.
        start: the first.
        stop: the one behind the last.
    """

    def __init__(self, blocks: Blocks, start: int, stop: int) -> None:
        self._blocks, self._start, self._stop = blocks, start, stop
        self.sequence_length = blocks.sequence_length

    def __len__(self) -> int:
        return self._stop - self._start

    def reader(self, seed: int, cursor: int) -> Callable[[NDArray[np.int64]], Tokens]:
        """A function from cursors of the stream to blocks [B, S]; any cursor may be asked for.

        In an epoch that reads part after part, this one begins at cursor `start`, and so does its permutation.
        """
        del cursor
        before = -self._start % len(self)
        return lambda cursors: self._blocks.read(self._start + order(cursors + before, len(self), seed))


def open_blocks(
    file: Path, sequence_length: int, tokens: int, digest: str, dtype: np.dtype[Any] = USUAL
) -> Blocks:
    """The blocks of a file; every byte is compared with the checksums before it is used.

    Args:
        file: the tokens.
        sequence_length: S, tokens a block.
        tokens: number of tokens that were written.
        digest: of the checksums, as the manifest has it.
        dtype: of the tokens.

    Raises:
        UserError: the file is missing, or not as it was written.
    """
    size = dtype.itemsize * tokens
    if not file.is_file() or file.stat().st_size != size:
        raise damaged(file, f"missing or cut (expected {size} bytes)")
    sums = open_sums(file, digest)
    if sums is None:
        raise damaged(file, "not what was written")
    blocks = Blocks(file, sequence_length, sums, dtype)
    if size <= CHECKED_AT_ONCE:
        blocks.check()
    return blocks

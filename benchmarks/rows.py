"""python -m benchmarks.rows: what local layers, and documents that are kept apart, do to the time of an update.

One process trains the variants by turns at one length of rows (--sequence-length), so that whatever else the machine
does meets all of them. Attention to all keys of packed rows is 1.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import by_turns, results, running

LOCAL = "arch.attention=alternating"
APART = "blocks.documents=apart"
VARIANTS: dict[str, tuple[str, ...]] = {
    "all keys, packed": (),
    "all keys, documents apart": (APART,),
    "local layers, packed": (LOCAL,),
    "local layers, documents apart": (LOCAL, APART),
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = running.parser("rows", __doc__)
    by_turns.add_options(words)
    return words


def main() -> int:
    """Measure, and print the table."""
    arguments = parser().parse_args()
    rows = by_turns.updates(arguments, VARIANTS)
    print(*by_turns.table(rows, f"rows of {arguments.sequence_length}", "all keys, packed"), sep="\n")
    print(results.hardware())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""python -m benchmarks.preparation: how long, and in how much memory, documents become tokens on disk.

Each size is a file of that many megabytes of text, made of the documents of --data again and again (each with a
number in front, so that no two are alike), or of sentences of its own. Both sides run in processes of their own, taking
turns: `python -m bertinchamps.prepare` with an empty cache, and `benchmarks.plain_preparation`. Measured are wall time,
starting Python included, and the largest resident memory of the process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import figures, markdown, results, running
from benchmarks.sentences import documents
from bertinchamps.schemas import TokenizerConfig

OURS, PEER = "bertinchamps", "plain script"
SEQUENCE_LENGTH = 128
LARGEST_FOR_PEER = 100  # megabytes: it holds everything in memory


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = running.parser("preparation", __doc__)
    words.add_argument("--data", metavar="FILE", type=Path, help="JSON lines with `text`, plain or .zst")
    words.add_argument("--sizes", type=float, nargs="+", default=[3, 30, 300], help="megabytes (%(default)s)")
    words.add_argument("--repeats", type=int, default=3, help="of each side at each size (%(default)s)")
    words.add_argument("--normalizer", default="french", help="(%(default)s)")
    words.add_argument("--vocab-size", type=int, default=TokenizerConfig().vocab_size, help="(%(default)s)")
    results.add_options(words, "preparation.json", "memory over size")
    return words


def texts(file: Path | None) -> Iterator[str]:
    """The documents, again and again, no two alike."""
    if file is None:
        own = [document.text for document in documents(400)]
    else:
        from bertinchamps.data.sources import sources

        source = sources.build("files", files=[str(file)])
        own = [document.text for document in itertools.islice(source.documents(), 20_000)]
    for number in itertools.count():
        yield f"{number} {own[number % len(own)]}"


def write(path: Path, megabytes: float, data: Path | None) -> int:
    """A file of so much text; returns its bytes of text."""
    written = 0
    with path.open("w", encoding="utf-8") as stream:
        for text in texts(data):
            stream.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
            written += len(text.encode())
            if written >= megabytes * 1e6:
                return written
    raise AssertionError("the documents do not end")


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds and megabytes of a process.

    Raises:
        SystemExit: it failed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"benchmarks.preparation: {shlex.join(command)} failed:\n{errors.decode()}")
    return time.perf_counter() - began, usage.ru_maxrss / 1000


def benchmark(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run both sides at all sizes in turn; returns what goes into the JSON file."""
    rows = []
    for size in arguments.sizes:
        file = folder / f"{size:g}.jsonl"
        written = write(file, size, arguments.data)
        sides = [OURS, PEER] if size <= LARGEST_FOR_PEER else [OURS]
        figures: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        for repeat, side in itertools.product(range(arguments.repeats), sides):
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                seconds, megabytes = measured(_command(side, file, Path(scratch), arguments))
            figures[side].append((seconds, megabytes))
            print(f"{size:g} MB {repeat + 1} {side}: {seconds:.1f} s, {megabytes:.0f} MB", file=sys.stderr)
        medians = {
            side: [statistics.median(values) for values in zip(*own, strict=True)]
            for side, own in figures.items()
        }
        rows += [
            {
                "megabytes": size,
                "bytes": written,
                "engine": side,
                "seconds": medians[side][0],
                "memory_megabytes": medians[side][1],
                "ratio": medians[side][0] / medians[OURS][0],
                "repeats": figures[side],
            }
            for side in sides
        ]
        file.unlink()
    return {
        **results.facts("preparation"),
        "normalizer": arguments.normalizer,
        "vocab_size": arguments.vocab_size,
        "rows": rows,
    }


def _command(side: str, file: Path, scratch: Path, arguments: argparse.Namespace) -> list[str]:
    if side == PEER:
        output = scratch / "blocks.npy"
        shape = [arguments.normalizer, str(arguments.vocab_size), str(SEQUENCE_LENGTH)]
        return [sys.executable, "-m", "benchmarks.plain_preparation", str(file), str(output), *shape]
    settings = {
        "data.files": f"[{json.dumps(str(file))}]",
        "tokenizer.normalizer": arguments.normalizer,
        "tokenizer.vocab_size": arguments.vocab_size,
        "blocks.sequence_length": SEQUENCE_LENGTH,
        "blocks.cache_dir": json.dumps(str(scratch)),
    }
    words = [f"{key}={value}" for key, value in settings.items()]
    return [sys.executable, "-m", "bertinchamps.prepare", "data=files", *words]


def table(result: Mapping[str, Any]) -> str:
    """The rows for people, in Markdown."""
    rows = [
        (
            row["engine"],
            f"{row['megabytes']:g}",
            f"{row['seconds']:.1f}",
            f"{row['memory_megabytes']:.0f}",
            f"{row['ratio']:.2f}",
        )
        for row in result["rows"]
    ]
    header = ("engine", "text, MB", "seconds", "memory, MB", "÷ our seconds")
    return "\n".join(markdown.table(header, 1, rows))


def plot(result: Mapping[str, Any], file: Path) -> None:
    """Memory over the size of the input."""
    figure = figures.canvas(6, 3.5)
    axes = figure.subplots()
    for side, colour in ((OURS, figures.OURS), (PEER, figures.OTHERS)):
        own = [row for row in result["rows"] if row["engine"] == side]
        axes.plot(
            [row["megabytes"] for row in own],
            [row["memory_megabytes"] for row in own],
            marker="o",
            color=colour,
            label=side,
        )
    axes.set(xscale="log", xlabel="text (MB)", ylabel="largest resident memory (MB)")
    axes.set_ylim(0, 1.1 * max(row["memory_megabytes"] for row in result["rows"]))
    axes.legend(loc="lower right")
    figures.save(figure, file)


def main() -> None:
    """Entry point of `python -m benchmarks.preparation`."""
    arguments = parser().parse_args()
    running.run("preparation", arguments, lambda folder: benchmark(arguments, folder), table, plot)


if __name__ == "__main__":
    main()

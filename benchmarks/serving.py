"""python -m benchmarks.serving: requests a second and latencies of the service, by the number of clients.

Starts `python -m bertinchamps.serve` in a process of its own, with an untrained tagger (or --model), and asks it for
the entities of one sentence a request, from several clients at once, each of which asks again when it has its answer.
Once texts of several requests go through the model together, once one by one (collecting.texts=1), in turns. Clients
are on the same machine and take their share of the processor.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from benchmarks import figures, markdown, results, running
from benchmarks.finetuning_settings import composed, random_model, setting
from benchmarks.sentences import WORDS, documents
from bertinchamps.console import tell
from bertinchamps.errors import UserError

WAYS = {"together": 64, "one by one": 1}  # collecting.texts
STARTS = 120.0  # seconds that the service may take to start


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = running.parser("serving", __doc__)
    words.add_argument("--model", metavar="DIR", type=Path, help="a model that finds entities (untrained)")
    words.add_argument("--arch", default="small", help="of an untrained model (%(default)s)")
    words.add_argument("--engine", default="torch", help="runtime.engine of the service (%(default)s)")
    words.add_argument("--clients", nargs="+", type=int, default=[1, 4, 16, 64], help="at once (1 4 16 64)")
    words.add_argument("--seconds", type=float, default=5.0, help="of each measurement (%(default)s)")
    words.add_argument("--repeats", type=int, default=3, help="of each row (%(default)s)")
    words.add_argument("--threads", type=int, help="of the model (all cores)")
    results.add_options(words, "serving.json", "requests a second of each row")
    return words


def benchmark(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure all rows in turn.

    Args:
        arguments: of the command line.
        folder: for a model that is made on the way.

    Returns:
        What goes into the JSON file.

    Raises:
        UserError: the service does not start.
    """
    model = arguments.model or untrained(arguments.arch, folder)
    texts = [document.text for document in documents(200)]
    seen: dict[tuple[str, int], list[list[float]]] = {}
    with (
        _service(model, arguments, WAYS["together"]) as one,
        _service(model, arguments, WAYS["one by one"]) as two,
    ):
        addresses = dict(zip(WAYS, (one, two), strict=True))
        for repeat in range(arguments.repeats):
            for clients in arguments.clients:
                for way in running.rotated(list(WAYS), repeat):
                    times = asyncio.run(_asked(addresses[way], texts, clients, arguments.seconds))
                    seen.setdefault((way, clients), []).append(times)
                    rate = len(times) / arguments.seconds
                    tell(
                        f"{repeat + 1}/{arguments.repeats} {clients:>3} clients, {way:<10} {rate:8.1f} requests/s"
                    )
    facts = results.facts("serving", (*results.PACKAGES, "fastapi", "uvicorn", "onnxruntime"))
    rows = [_row(way, clients, repeats, arguments.seconds) for (way, clients), repeats in seen.items()]
    return {**facts, "model": str(arguments.model or "untrained"), "engine": arguments.engine, "rows": rows}


def _row(way: str, clients: int, repeats: Sequence[Sequence[float]], seconds: float) -> dict[str, Any]:
    times = sorted(each for own in repeats for each in own)
    shares = statistics.quantiles(times, n=100, method="inclusive")
    return {
        "clients": clients,
        "texts": way,
        "requests_per_second": statistics.median(len(own) / seconds for own in repeats),
        "median_seconds": shares[49],
        "p95_seconds": shares[94],
        "p99_seconds": shares[98],
    }


def untrained(arch: str, folder: Path, head: str = "nested") -> Path:
    """A tagger with random weights and a tokenizer of made sentences, as finetune would write it."""
    from benchmarks.predictors import save_untrained_tagger
    from bertinchamps.tasks.formats import spans_jsonl

    train = documents(200)
    spans_jsonl.write(folder / "train.jsonl", train)
    words = ["task=ner", setting("task.train", folder / "train.jsonl"), "model=scratch", f"arch={arch}"]
    encoder = random_model(composed([*words, "tokenizer.vocab_size=2000"]), train, folder / "encoder")
    save_untrained_tagger(Path(encoder), tuple(WORDS), 128, folder / "tagger", head)
    return folder / "tagger"


@contextmanager
def _service(model: Path, arguments: argparse.Namespace, together: int) -> Iterator[str]:
    """The address of a service, which is ended afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        setting("model", model), f"port={port}", f"collecting.texts={together}", f"runtime.engine={arguments.engine}",
        "limits.waiting=4096",
    ]  # fmt: skip
    words += [f"runtime.threads={arguments.threads}"] if arguments.threads else []
    command = [sys.executable, "-m", "bertinchamps.serve", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        _await(process, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _await(process: subprocess.Popen[str], address: str) -> None:
    last = time.monotonic() + STARTS
    while True:
        try:
            httpx.get(address)
            return
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > last:
                process.kill()
                raise UserError(f"the service did not start: {process.communicate()[1]}") from None
            time.sleep(0.1)


async def _asked(address: str, texts: Sequence[str], clients: int, seconds: float) -> list[float]:
    """Seconds from each request to its answer, of clients that ask one request after the other."""
    bodies = [json.dumps({"texts": [text]}).encode() for text in texts]
    headers, times = {"content-type": "application/json"}, []

    async def ask(number: int, client: aiohttp.ClientSession, last: float) -> None:
        while time.perf_counter() < last:
            number += 1
            began = time.perf_counter()
            body = bodies[number % len(bodies)]
            async with client.post(f"{address}/ner", data=body, headers=headers) as answer:
                await answer.read()
                answer.raise_for_status()
            times.append(time.perf_counter() - began)

    async def connect(client: aiohttp.ClientSession) -> None:
        async with client.get(f"{address}/health") as answer:
            await answer.read()

    # not httpx: with 64 connections its clients take more of the processor than the service does
    unlimited, patience = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=unlimited, timeout=patience) as client:
        await asyncio.gather(*(connect(client) for _ in range(clients)))
        last = time.perf_counter() + seconds
        await asyncio.gather(*(ask(17 * number, client, last) for number in range(clients)))
    return times


def table(result: Mapping[str, Any]) -> str:
    """The rows for people, in Markdown."""
    header = ("clients", "texts", "requests/s", "median, ms", "95 %, ms", "99 %, ms")
    rows = [
        (
            str(row["clients"]),
            row["texts"],
            f"{row['requests_per_second']:,.0f}",
            *(f"{1000 * row[f'{name}_seconds']:,.1f}" for name in ("median", "p95", "p99")),
        )
        for row in sorted(result["rows"], key=lambda row: (row["clients"], row["texts"] != "together"))
    ]
    return "\n".join(markdown.table(header, 2, rows))


def plot(result: Mapping[str, Any], file: Path) -> None:
    """Requests a second of each row."""
    bars = [
        figures.Bar(
            f"{row['clients']} clients, {row['texts']}",
            row["requests_per_second"],
            ours=row["texts"] == "together",
        )
        for row in result["rows"]
    ]
    figures.draw([figures.Panel("requests a second", bars)], file)


def main() -> None:
    """Entry point of `python -m benchmarks.serving`."""
    arguments = parser().parse_args()
    running.run("serving", arguments, lambda folder: benchmark(arguments, folder), table, plot)


if __name__ == "__main__":
    main()

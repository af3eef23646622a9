"""The commands that `canaries.py` runs, each watched: in a folder of their own, without a network."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from canary_inputs import Canaries, Fault, write_fault
from canary_traces import Connections, connections, tracing

HERE = Path(__file__).resolve().parent
# `python -c` with this runs a module as `python -m` does, watched.
WATCHED = f"import sys; sys.path.append({str(HERE)!r}); import no_network; no_network.run()"
TELLING = re.compile(
    r"HF_|HUGGING|WANDB|MLFLOW|TRANSFORMERS_|DO_NOT_TRACK|GRADIO|HTTPS?_PROXY|ALL_PROXY|XDG_", re.I
)
SECONDS = 600  # for a command
FEW = ("runtime=eager", "runtime.threads=1")
PRETRAINED = (
    "data=files", "data.files=[notes]", "tokenizer.vocab_size=400", "blocks.sequence_length=32",
    "blocks.held_out_share=0.1", "arch=tiny", "batch.micro_batch=4", "batch.size=8", "evaluation.blocks=8",
    "evaluation.every=0.5", "budget.steps=2", "checkpoint.every_steps=1", *FEW,
)  # fmt: skip
TUNED = ("model=runs/mine", "max_length=48", "budget.epochs=1", "runtime.compile=off", *FEW)
SHAPING = ("data", "tokenizer", "blocks")
NER = "task=ner task.train=brat/train task.dev=brat/dev task.test=brat/test"
# What follows `python -m bertinchamps.`, besides the settings above; by what it is called here.
LINES = {
    "prepare": "prepare stats=stats.html export=packed",
    "pretrain": "pretrain run_dir=runs/mine tracker=tensorboard",
    "pretrain online": "pretrain run_dir=runs/online data.online=true tracker=wandb",
    "finetune entities": f"finetune {NER} run_dir=runs/ner head=nested",
    "finetune an adapter": f"finetune {NER} run_dir=runs/lora adapter=lora",
    "finetune classes": "finetune task=classification task.train=opinions.jsonl run_dir=runs/classes",
    "predict": "predict model=runs/ner input=new.jsonl output=labelled.jsonl",
    "predict into brat": "predict model=runs/ner input=brat/test output=labelled",
    "predict deidentify": "predict model=runs/ner input=new.jsonl output=hidden.jsonl deidentify=tags",
    "suggest": "suggest model=runs/ner input=new.jsonl count=2 ranking=ranking.jsonl output=chosen.jsonl",
    "merge": "merge model=runs/lora output=merged",
    "compress": "compress model=runs/classes output=small target=small texts=[new.jsonl] measure.repeats=1",
    "study": "study plan=plans/study.yaml",
    "tune": "tune plan=plans/tune.yaml trials=1",
    "export": "export model=runs/classes output=exported format.remote_code=true",
    "report": "report output=report",
    "demo_notes": "demo_notes folder=demo notes=20 annotated=10 letters=2",
}


class Process(Protocol):
    """What is used of a process that was started."""

    pid: int

    def poll(self) -> int | None: ...
    def communicate(self, timeout: float) -> tuple[str, str]: ...
    def send_signal(self, number: int) -> None: ...


Begin = Callable[[Sequence[str], Path, Mapping[str, str]], Process]


def begin(words: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> Process:
    """Start `python WORDS`."""
    log = environment.get("CANARIES_STRACE")
    return subprocess.Popen(
        [*(tracing(log) if log else ()), sys.executable, *words], cwd=cwd, env=dict(environment), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, umask=0o022,
    )  # fmt: skip


@dataclass
class Watch:
    """Commands in one folder, and what was seen of them.

    Attributes:
        place: the folder; commands run in `place/work`, with a home, a temporary folder and a cache beside it.
        canary: of all files.
        begin: starts a command.
        strace: see connections of all programs.
        told: what each command printed.
        failed: commands that ended otherwise than they should, in words.
    """

    place: Path
    canary: Canaries
    begin: Begin = begin
    strace: bool = False
    told: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @property
    def work(self) -> Path:
        """Where commands run."""
        return self.place / "work"

    def environment(self, loopback: bool = False, **more: str) -> dict[str, str]:
        """Of a command: nothing in it tells a library to stay offline."""
        kept = {name: value for name, value in os.environ.items() if not TELLING.match(name)}
        places = {"HOME": "home", "TMPDIR": "tmp", "BERTINCHAMPS_CACHE": "cache"}
        for name in places.values():
            (self.place / name).mkdir(exist_ok=True, mode=0o700)
        return {
            **kept,
            **{variable: str(self.place / name) for variable, name in places.items()},
            "OMP_NUM_THREADS": "1",
            "CONNECTIONS": str(self.place / "attempts.txt"),
            **({"CONNECTIONS_LOOPBACK": "1"} if loopback else {}),
            **({"CANARIES_STRACE": str(self.place / "strace.txt")} if self.strace else {}),
            **more,
        }

    def run(
        self,
        name: str,
        words: Sequence[str],
        expected: int = 0,
        loopback: bool = False,
        **more: str,
    ) -> None:
        """Run a command to its end, and note what it printed and whether it ended with this status."""
        process = self.begin(["-c", WATCHED, *words], self.work, self.environment(loopback, **more))
        self.ended(name, process, expected)

    def ended(self, name: str, process: Process, expected: int = 0) -> None:
        """Wait for the end of a command."""
        out, err = process.communicate(SECONDS)
        self.told[name] = out + err
        status = process.poll()
        if status != expected or "Traceback" in err:
            end = "\n  ".join(err.splitlines()[-12:])
            self.failed.append(f"{name}: exit status {status}, {expected} expected:\n  {end}")

    def attempts(self) -> list[str]:
        """Connections that commands tried, a line each."""
        file = self.place / "attempts.txt"
        found = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return found + self.traced().elsewhere

    def traced(self) -> Connections:
        """What strace saw; nothing without it."""
        log = self.place / "strace.txt"
        return connections(
            log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else ()
        )

    def files(self) -> Iterator[Path]:
        """Files and folders that commands left; links are not followed."""
        given = {self.place / "attempts.txt", self.place / "strace.txt", self.place / "watching"}
        given |= {
            self.work / name for name in ("notes", "brat", "opinions.jsonl", "new.jsonl", "faults", "plans")
        }
        for root, folders, names in os.walk(self.place):
            folders[:] = [name for name in folders if Path(root, name) not in given]
            yield from (Path(root, name) for name in [*folders, *names] if Path(root, name) not in given)


def all_commands(watch: Watch) -> None:
    """Every command but `purge`, on documents with canaries, to its end."""
    for name, line in LINES.items():
        module, *words = line.split()
        more = {"pretrain": PRETRAINED, "finetune": TUNED, "predict": FEW, "suggest": FEW, "compress": FEW}
        if module == "prepare":
            words += [word for word in PRETRAINED if word.startswith(SHAPING)]
        watch.run(name, (f"bertinchamps.{module}", *more.get(module, ()), *words))
    serve(watch)
    publish(watch)


def write_plans(folder: Path) -> None:
    """The plans of `study` and `tune`."""
    folder.mkdir()
    settings = dict(word.split("=", 1) for word in (*NER.split(), *TUNED))
    grid, search = {"seed": [0]}, {"optim.learning_rate": {"low": 1e-4, "high": 1e-3}}
    for name, plan in (("study", {"grid": grid}), ("tune", {"search": search})):
        text = json.dumps({"settings": settings, **plan})  # which is yaml, too
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def purge(watch: Watch) -> None:
    """The last command: it removes what the others left."""
    runs = [f"runs/{name}" for name in ("mine", "online", "ner", "lora", "classes")]
    watch.run("purge", ("bertinchamps.purge", *runs, "remove=true"))


def serve(watch: Watch) -> None:
    """Ask the service for entities and classes, rightly and wrongly, over loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-c", WATCHED, "bertinchamps.serve", "model=[runs/ner,runs/classes]", f"port={port}", *FEW]
    process = watch.begin(words, watch.work, watch.environment(loopback=True))
    address, last = f"http://127.0.0.1:{port}", time.monotonic() + 120
    while process.poll() is None and time.monotonic() < last:
        if asked(f"{address}/health") is not None:
            break
        time.sleep(0.05)
    answers = [
        asked(
            f"{address}/{path}", json.dumps({"texts": [f"Le kyste de {watch.canary('request')}."]}).encode()
        )
        for path in ("ner", "classify")
    ]
    wrong = [
        f'{{"texts": ["{watch.canary("bad request")}'.encode(),
        json.dumps({"texts": watch.canary("bad request")}).encode(),
    ]
    answers += [asked(f"{address}/ner", body) for body in wrong]
    answers.append(asked(f"{address}/{watch.canary('path of a request')}", b"{}"))
    watch.told["answers to bad requests"] = " ".join(text or "" for text in answers[2:])
    if None in answers:
        watch.failed.append("serve: no answer")
    end(process, traced=watch.strace)
    watch.ended("serve", process)


def end(process: Process, traced: bool) -> None:
    """Send SIGTERM to a command; strace keeps it from what it traces."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not traced:
        process.send_signal(signal.SIGTERM)
    for child in children.read_text(encoding="utf-8").split() if traced else ():
        os.kill(int(child), signal.SIGTERM)


def asked(address: str, body: bytes | None = None) -> str | None:
    """The answer of a service, whatever its status; None where nobody answers."""
    request = urllib.request.Request(address, body, {"content-type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())
    except OSError:
        return None


def publish(watch: Watch) -> None:
    """Send an export to a hub on loopback, whose token must be in no file either."""
    sys.path.append(str(HERE.parent / "tests" / "exporting"))
    from upload_hub import serving

    token = watch.canary("token of the hub")
    with serving(token) as hub:
        more = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1"}
        words = ("bertinchamps.publish", "model=exported", "repo=someone/model")
        watch.run("publish", words, loopback=True, **more)
        for name, content in hub.files.items():
            watch.told[f"sent to the hub: {name}"] = content.decode("latin-1")


def refused(watch: Watch, chosen: Sequence[Fault]) -> None:
    """Give each command files with mistakes, which it must refuse."""
    for number, fault in enumerate(chosen):
        file = write_fault(fault, watch.work / "faults" / str(number), watch.canary)
        place = str(file.relative_to(watch.work))
        words = [word.replace("FILE", place) for word in fault.words]
        watch.run(f"{words[0].partition('.')[2]}: {fault.name}", words, expected=2)

"""What `fuzz.py` gives broken files to: every reader of files, with good files to begin with.

Each file has MARK in every text, id, cell and name of a column: no message may tell it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from fuzz_changes import Files, load

ROOT = Path(__file__).resolve().parents[1]
MARK = "zqcanary"
TEXT = f"Le patient {MARK} présente une fièvre de 39 °C et prend du doliprane."


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        name: of it.
        seeds: good files, by their names below a folder; several, such as one for each compression.
        read: reads the folder.
        allowed: what it may raise.
    """

    name: str
    seeds: Callable[[], list[Files]]
    read: Callable[[Path], object]
    allowed: tuple[type[BaseException], ...]


def _user_error() -> tuple[type[BaseException], ...]:
    from bertinchamps.errors import UserError

    return (UserError,)


def _lines(*items: Any) -> bytes:
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items).encode()


def _table(rows: list[list[str]], separator: str) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=separator).writerows(rows)
    return out.getvalue().encode()


def packed(name: str, content: bytes) -> list[Files]:
    """A file, plain and compressed."""
    import zstandard

    return [
        {name: content},
        {f"{name}.gz": gzip.compress(content, 1, mtime=0)},
        {f"{name}.zst": zstandard.compress(content)},
    ]


def only(place: Path) -> Path:
    """The one file of a folder."""
    return next(file for file in sorted(place.iterdir()))


ROWS = [["id", "text", "label"], [MARK, TEXT, "a"], ["2", f"{TEXT}\nligne; deux", "b"], ["3", TEXT, "a"]]
DOCUMENTS = [
    {"id": MARK, "text": TEXT, MARK: 1},
    {"id": 2, "text": f"{TEXT}\r\n", "meta": {"id": 5}},
    {"text": TEXT, "id": None},
]
CONTENT: dict[str, Callable[[], bytes]] = {
    "jsonl": lambda: _lines(*DOCUMENTS),
    "json": lambda: json.dumps(DOCUMENTS, indent=1).encode(),
    "txt": lambda: f"{TEXT}\n\n{TEXT}\r\n".encode(),
    "csv": lambda: _table(ROWS, ";"),
    "tsv": lambda: "".join(
        "\t".join(cell.replace("\n", " ") for cell in row) + "\n" for row in ROWS
    ).encode(),
}


def _source(suffix: str, place: Path) -> None:
    from bertinchamps.data.sources.files import FilesSource

    for choice in ("stop", "skip"):
        source = FilesSource(
            str(only(place)), txt_documents="line" if suffix == "txt" else "file", on_error=choice
        )
        source.check()
        for document in source.documents():
            document.text.encode()
        list(source.sample(100))
        source.notes()


@cache
def _parquet() -> bytes:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    out = io.BytesIO()
    table = arrow.table({"text": [TEXT] * 20 + [None], MARK: [MARK] * 21, "n": list(range(21))})
    parquet.write_table(table, out, row_group_size=10)
    return out.getvalue()


def _hub(place: Path) -> None:
    """A file of a dataset of the Hub, as the source reads it when it has come."""
    from bertinchamps.data.sources.hub import HubSource

    name = only(place).name
    source = HubSource("owner/name", f"*{Path(name).suffix}", max_record_mb=1)
    with source._reading(), only(place).open("rb") as file:
        for _, document in source.rows_of(file, f"datasets/owner/name/{name}"):
            if document is not None:
                document.text.encode()


ENTITY = {"start": 11, "end": 19, "label": "X", "text": MARK}
SPANS = [
    {
        "id": MARK,
        "text": TEXT,
        "entities": [ENTITY, [0, 2, "Y"], {"fragments": [[0, 2], [3, 10]], "label": "Z"}],
    },
    {
        "id": "2",
        "text": TEXT,
        "entities": [{"start_offset": 0, "end_offset": 2, "label": "Y"}],
        "answer": "accept",
    },
    {"id": "3", "text": TEXT, "entities": [], "meta": {"id": 7}},
]
PRODIGY = [
    {
        "text": TEXT,
        "spans": [{**ENTITY, "token_start": 2}],
        "tokens": [],
        "answer": "accept",
        "meta": {"id": 1},
    }
]
STUDIO = [
    {
        "id": 7,
        "data": {"id": MARK, "text": TEXT},
        "annotations": [
            {"result": [{"type": "labels", "value": {"start": 0, "end": 2, "labels": ["X"], "text": "Le"}}]},
            {"result": [], "ground_truth": True, "was_cancelled": False},
        ],
    }
]
RELATED = [
    {**SPANS[0], "entities": [ENTITY, [0, 2, "Y"]], "relations": [{"head": 0, "tail": 1, "label": "L"}]}
]
BRAT = {
    "1.txt": TEXT.encode(),
    "1.ann": f"T1\tX 11 19\t{MARK}\nT2\tY 0 2;3 10\tLe patient\n".encode()
    + b"R1\tL Arg1:T1 Arg2:T2\n#1\tAnnotatorNotes T1\tC1\n",
}
CONLL = f"# text = {MARK}\nLe\tO\npatient\tB-X\n{MARK}\tI-X\n\n-DOCSTART- -X- O\n\nUne\tO\ntoux\tB-Y\n"
XMI = (
    '<?xml version="1.0" encoding="UTF-8"?><xmi:XMI xmlns:xmi="http://www.omg.org/XMI" '
    'xmlns:cas="http:///uima/cas.ecore" xmlns:t="http:///t.ecore" xmi:version="2.0">\n'
    '<t:NamedEntity xmi:id="1" sofa="12" begin="11" end="19" value="X" LINK="5"/>\n'
    '<t:NamedEntity xmi:id="2" sofa="12" begin="0" end="2" value="Y"/>\n'
    '<t:Link xmi:id="5" role="L" target="2"/>\n'
    '<t:Relation xmi:id="6" sofa="12" begin="0" end="2" Governor="1" Dependent="2" label="M"/>\n'
    f'<cas:Sofa xmi:id="12" sofaNum="1" sofaID="_InitialView" mimeType="text" sofaString="{TEXT}"/></xmi:XMI>'
)


def _both_ways(read: Callable[[Any], Any]) -> Any:
    """Read with bad records left out, none of which may tell a word of a text, and then up to the first one."""
    from bertinchamps.textfiles.bad_records import STOP, BadRecords

    bad = BadRecords("skip")
    with suppress(*_user_error()):
        bad.check(len(list(read(bad))))
    if MARK in "".join(bad.told).lower():
        raise AssertionError("a record that was left out tells a word of a text")
    return read(STOP)


def _annotated(form: str, place: Path) -> None:
    from bertinchamps.tasks.formats import annotated_files

    path = place if form == "brat" else only(place)
    _both_ways(lambda bad: annotated_files.read(path, form, Counter(), bad=bad))


ZIPS = {
    "stored.zip": zipfile.ZIP_STORED,
    "zip": zipfile.ZIP_DEFLATED,
    "bzip2.zip": zipfile.ZIP_BZIP2,
    "lzma.zip": zipfile.ZIP_LZMA,
}
TARS = {"tar": tarfile.GNU_FORMAT, "pax.tar": tarfile.PAX_FORMAT, "tar.gz": tarfile.PAX_FORMAT}
ARCHIVES = (*ZIPS, *TARS)


def _archive(kind: str) -> bytes:
    out = io.BytesIO()
    if kind in ZIPS:
        with zipfile.ZipFile(out, "w") as archive:
            for name, content in BRAT.items():
                archive.writestr(zipfile.ZipInfo(f"corpus/{name}"), content, ZIPS[kind])
        return out.getvalue()
    for_all = {"comment": MARK}
    with tarfile.open(fileobj=out, mode="w", format=TARS[kind], pax_headers=for_all) as written:
        for name, content in BRAT.items():
            info = tarfile.TarInfo(f"corpus/{'long' * 40}/{name}")  # a name that takes a header of its own
            info.size, info.pax_headers = len(content), {"mtime": "1.5"}
            written.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue(), 1, mtime=0) if kind == "tar.gz" else out.getvalue()


def _archives(place: Path) -> None:
    from bertinchamps.tasks.formats import annotated_files

    annotated_files.read(only(place), "brat", Counter())


def _related(place: Path) -> None:
    from bertinchamps.tasks.formats import brat_relations, relations_jsonl

    if (file := place / "a.jsonl").exists():
        _both_ways(lambda bad: relations_jsonl.read(file, bad=bad))
    else:
        _both_ways(lambda bad: brat_relations.read_folder(place, Counter(), {}, bad))


def _xmi_related(place: Path) -> None:
    from bertinchamps.tasks.formats import annotated_files, xmi

    layers, links = ["NamedEntity.value"], ["NamedEntity.LINK", "Relation.label"]
    xmi.read_document(only(place).read_bytes(), "a", ["NamedEntity"])
    _both_ways(lambda bad: annotated_files.read_related_xmi(only(place), layers, links, Counter(), {}, bad))


def _labelled(target: str, place: Path) -> None:
    from bertinchamps.tasks.formats import tables

    columns = tables.Columns(target=target)
    records = list(_both_ways(lambda bad: tables.read(only(place), columns, Counter(), bad)))
    tables.enclosed(only(place), records)


def _labelled_seeds(label: Any) -> list[Files]:
    rows = [["text", "label"], [TEXT, str(label)], [TEXT, f" {label} "]]
    lines = _lines({"text": TEXT, "label": label}, {"text": TEXT, "label": label, MARK: 1})
    return [{"a.csv": _table(rows, ",")}, {"a.tsv": _table(rows, "\t")}, {"a.jsonl": lines}]


def _new_texts(place: Path) -> None:
    from bertinchamps.schemas import PredictConfig
    from bertinchamps.tasks.inputs import open_inputs, survey

    def read(bad: Any) -> list[str]:
        choice = "skip" if bad.skips else "stop"
        inputs = open_inputs(PredictConfig(input=str(only(place)), on_error=choice), words=True, pairs=False)
        survey(inputs, lambda given: None)
        texts = [given.text for portion in inputs.portions() for given in portion]
        bad.told += inputs.bad.told
        "".join(texts).encode()
        return texts

    _both_ways(read)


def _texts(place: Path) -> None:
    from bertinchamps.textfiles.texts import texts_of

    for text in texts_of(str(only(place))):
        text.encode()


def _templates(place: Path) -> None:
    from bertinchamps.tasks.deidentification import templates

    templates.read(only(place), ("NOM", "PRENOM", "DATE"), {"NAME": "NOM"})


def _plan(place: Path) -> None:
    from bertinchamps.reporting.search_space import read_search
    from bertinchamps.reporting.study_grid import cells_of, read_plan

    cells_of(read_plan(place / "a.yaml"))
    read_search(place / "b.yaml")


def _words(place: Path) -> None:
    from bertinchamps.checks.pretraining import problems
    from bertinchamps.command_line.mistakes import mistakes
    from bertinchamps.command_line.readable import readable

    words = (place / "words.txt").read_bytes().decode(errors="surrogateescape").replace("\0", "").split("\n")
    words = [word for word in words if word and not word.startswith("-")]  # options are another parser's
    mistakes("pretrain", readable(words, "pretrain"), problems)


def _own_yaml(place: Path) -> None:
    from bertinchamps.checks.finetuning import problems
    from bertinchamps.command_line.mistakes import mistakes

    mistakes("finetune", ["task=own", "model=scratch"], problems, place)


@cache
def _model() -> Files:
    """A tagger of one layer with its tokenizer, as `finetune` leaves it."""
    sys.path.append(str(ROOT / "tests"))
    from untrained import save_masked_words, save_task

    with tempfile.TemporaryDirectory() as made:
        save_task(save_masked_words(Path(made) / "words"), "nested", Path(made) / "ner")
        return load(Path(made) / "ner" / "model")


def _opened_model(place: Path) -> None:
    from bertinchamps.model.encoders import open_config, open_tokenizer
    from bertinchamps.schemas import RuntimeConfig
    from bertinchamps.tasks.facts import read_facts
    from bertinchamps.tasks.saved_model import open_model
    from bertinchamps.training.runtime import build_runtime

    facts = read_facts(place)
    open_config(str(place))
    open_tokenizer(str(place))
    open_model(place, facts, 4, build_runtime(RuntimeConfig(device="cpu", precision="fp32", compile="off")))


@cache
def _checkpoint() -> Files:
    import torch

    from bertinchamps.training.checkpoint import write

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "step-00000001"
        optimizer = {
            "state": {0: {"step": torch.ones(1), "exp_avg": torch.ones(3)}},
            "param_groups": [{"lr": 0.1}],
        }
        write(
            folder,
            lambda place: (place / "config.json").write_bytes(b"{}") and None,
            optimizer,
            {"position": 3},
        )
        return load(folder)


def _opened_checkpoint(place: Path) -> None:
    from bertinchamps.manifests import problems
    from bertinchamps.training.checkpoint import read_optimizer, read_state

    if not problems(place):
        read_state(place)
    read_optimizer(place)


@cache
def _run() -> Files:
    """The directory of a finished run."""
    sys.path.extend(str(ROOT / "tests" / name) for name in (".", "reporting"))
    from written_runs import ner, write_pretraining, write_run

    with tempfile.TemporaryDirectory() as made:
        write_run(Path(made) / "tuned", ner(0.6))
        write_pretraining(Path(made) / "trained")
        return load(Path(made))


def _read_runs(place: Path) -> None:
    from bertinchamps.reporting.html.page import write_run_page
    from bertinchamps.reporting.runs import gather
    from bertinchamps.training.hooks.metrics_log import read_metrics
    from bertinchamps.training.run import _settings_of

    gather(place)
    for run in (folder for folder in sorted(place.iterdir()) if folder.is_dir()):
        _settings_of(run)
        if (run / "metrics.jsonl").exists():
            read_metrics(run / "metrics.jsonl")
        write_run_page(run, lambda line: None)


def _asked(place: Path) -> None:
    """Requests, and what the service says of those that are wrong."""
    from pydantic import ValidationError

    from bertinchamps.errors import UserError
    from bertinchamps.serving.application import _meaning, _place
    from bertinchamps.serving.messages import Asked

    for line in only(place).read_bytes().splitlines():
        try:
            Asked.model_validate_json(line)
        except ValidationError as error:
            told = [f"{_place(each['loc'])}: {_meaning(dict(each))}" for each in error.errors()]
            raise UserError("; ".join(told)) from None


PLANS = {
    "a.yaml": b"settings: {task: ner, task.train: a, model: b}\ngrid: {seed: [0, 1], few_shot.examples: [8]}\n"
    b"where: {seed=1: {budget.epochs: 2}}\n",
    "b.yaml": b"settings: {task: ner}\n"
    b"search: {optim.learning_rate: {low: 1e-4, high: 1e-2, log: true}, seed: [1, 2]}\n",
}
WORDS = (
    "data=demo\narch=tiny\nbudget.steps=2\nbatch.size=8\ndata.documents=300\nhooks=[{name: spikes}]\n"
    "+budget=5m\nseed=1,2\n"
)
OWN = (
    b"# @package _global_\ndefaults:\n  - ner\n  - _self_\n"
    b"task:\n  train: a.jsonl\n  title: x\noptim:\n  learning_rate: 1e-4\n"
)
TEMPLATES = f"Le [3 mai](DATE), [Petit](NOM) [Jean](PRENOM) {MARK}.\n\n---\n\nLettre à [Durand](NAME).\n"


def _targets() -> list[Target]:
    refused = _user_error()
    found = [
        Target(
            f"source_{kind}", partial(packed, f"a.{kind}", CONTENT[kind]()), partial(_source, kind), refused
        )
        for kind in CONTENT
    ]
    found.append(
        Target("source_parquet", lambda: [{"a.parquet": _parquet()}], partial(_source, "parquet"), refused)
    )
    hub_files = [*packed("a.jsonl", CONTENT["jsonl"]()), {"a.parquet": _parquet()}]
    found.append(Target("source_hub", lambda: hub_files, _hub, refused))
    annotated = {
        "jsonl": ("a.jsonl", _lines(*SPANS)),
        "prodigy": ("a.jsonl", _lines(*PRODIGY)),
        "label_studio": ("a.json", json.dumps(STUDIO).encode()),
        "conll": ("a.conll", CONLL.encode()),
        "xmi": ("a.xmi", XMI.encode()),
    }
    found += [
        Target(form, partial(packed, name, content), partial(_annotated, form), refused)
        for form, (name, content) in annotated.items()
    ]
    others: dict[str, tuple[Callable[[], list[Files]], Callable[[Path], object]]] = {
        "brat": (lambda: [BRAT], partial(_annotated, "brat")),
        "relations": (lambda: [BRAT, {"a.jsonl": _lines(*RELATED)}], _related),
        "xmi_relations": (lambda: [{"a.xmi": XMI.encode()}], _xmi_related),
        "archives": (lambda: [{f"a.{kind}": _archive(kind)} for kind in ARCHIVES], _archives),
        "classes": (partial(_labelled_seeds, "a"), partial(_labelled, "single")),
        "several_classes": (partial(_labelled_seeds, "a|b"), partial(_labelled, "multi")),
        "numbers": (partial(_labelled_seeds, 1.5), partial(_labelled, "number")),
        "new_texts": (
            lambda: (
                [{f"a.{kind}": CONTENT[kind]()} for kind in ("jsonl", "csv", "tsv", "txt")]
                + [{"a.conll": CONLL.encode()}]
            ),
            _new_texts,
        ),
        "texts": (
            lambda: [
                each for kind in ("jsonl", "csv", "txt") for each in packed(f"a.{kind}", CONTENT[kind]())
            ],
            _texts,
        ),
        "templates": (lambda: [{"a.txt": TEMPLATES.encode()}], _templates),
        "plans": (lambda: [PLANS], _plan),
        "command_line": (lambda: [{"words.txt": WORDS.encode()}], _words),
        "own_yaml": (lambda: [{"task/own.yaml": OWN}], _own_yaml),
        "model": (lambda: [_model()], _opened_model),
        "checkpoint": (lambda: [_checkpoint()], _opened_checkpoint),
        "runs": (lambda: [_run()], _read_runs),
    }
    found += [Target(name, seeds, read, refused) for name, (seeds, read) in others.items()]
    request = _lines({"texts": [TEXT], "model": "a"}, {"texts": [TEXT, TEXT]})
    return [*found, Target("requests", lambda: [{"a.jsonl": request}], _asked, refused)]


TARGETS = {target.name: target for target in _targets()}

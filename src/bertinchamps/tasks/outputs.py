"""Where `predict` writes, and in which format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertinchamps.console import tell
from bertinchamps.durable import progressive, unfinished
from bertinchamps.errors import Stopped, UserError
from bertinchamps.schemas import PredictConfig
from bertinchamps.signals import number_of
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.formats.tables import fits_tsv
from bertinchamps.tasks.inputs import STREAM
from bertinchamps.tasks.journal import Journal
from bertinchamps.tasks.kinds import Kind

SUFFIXES = {
    "jsonl": ".jsonl",
    "csv": ".csv",
    "tsv": ".tsv",
    "conll": ".conll",
    "html": ".html",
    "label_studio": ".json",
    "doccano": ".jsonl",
    "prodigy": ".jsonl",
    "brat": "",
    "txt": "",
    "xmi": "",
}  # of formats with one suffix, the first one of a kind is meant by the name of the output
FOLDERS = ("brat", "txt", "xmi")  # formats of a file for each text
FORMATS = (*FOLDERS, *(form for form in SUFFIXES if form not in FOLDERS))
WHAT = (
    "classes, which are written as JSON lines or a table",
    "what such a file cannot hold",
)  # a model predicts


@contextmanager
def open_output(config: PredictConfig, form: str, journal: Journal | None = None) -> Iterator[Path | None]:
    """The path to write to, which gets its final name at the end; None for standard output.

    Args:
        config: output and format.
        form: the format.
        journal: of what a process left that was killed, which is written on; None: it is written anew.

    Raises:
        UserError: the output cannot be written; the message names the unfinished file.
        Stopped: by a signal.
    """
    if config.output == STREAM:
        yield None
        return
    output = Path(config.output).expanduser()
    left = unfinished(output)
    way = "; the same command " + ("begins anew" if journal is None else "goes on")
    try:
        leftover = "keep" if journal is not None and journal.done else "replace"
        with progressive(output, folder=form in FOLDERS, leftover=leftover) as place:
            yield place
        if journal is not None:
            journal.close()
    except OSError as error:
        kept = f"; the texts labelled so far are in {left}{way}" if left.exists() else ""
        raise UserError(f"output={config.output}: cannot be written ({error.strerror}){kept}") from error
    except KeyboardInterrupt as error:
        kept = f"; the texts labelled so far are in {left}" if left.exists() else ""
        raise Stopped(f"stopped{kept}{way}", number_of(error)) from None
    except BaseException:
        if left.exists():
            tell(f"not finished: the texts labelled so far are in {left}{way}")
        raise


def format_of(config: PredictConfig, kind: Kind, facts: TaskFacts) -> str:
    """The format to write: `format=`, or the one that the suffix of `output=` names.

    Raises:
        UserError: the suffix is unknown, or the format cannot hold the predictions of this kind.
    """
    form = config.format if config.format != "auto" else _named_format(config.output, kind)
    if form not in kind.formats and "txt" in (form, *kind.formats):
        raise UserError(
            f"output={config.output}: texts without entities are written where deidentify= replaces these: as a folder "
            "(format=txt), .jsonl, .csv or .tsv, or with the annotations that the texts came with (format=brat)"
        )
    if form not in kind.formats:
        raise UserError(
            f"output={config.output}: model={config.model} predicts {WHAT['brat' in kind.formats]}: end the name in "
            ".jsonl, .csv or .tsv" + (", or give a folder for brat" if "brat" in kind.formats else "")
        )
    if form == "tsv" and not all(map(fits_tsv, facts.labels)):
        raise UserError(f"output={config.output}: a label of the model has a tab or a line end; write a .csv")
    return form


def _named_format(output: str, kind: Kind) -> str:
    if output == STREAM:
        return "jsonl"
    suffix = Path(output).suffix
    for form in (*kind.formats, *SUFFIXES):
        if SUFFIXES[form] == suffix:
            return form
    more = ", give a folder for brat, or set format=" if "brat" in kind.formats else ""
    more = f", .conll or .html{more}" if "conll" in kind.formats else more
    raise UserError(
        f"output={output}: no format has the suffix {suffix!r}; end the name in .jsonl, .csv or .tsv{more}"
    )

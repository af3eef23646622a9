"""python -m bertinchamps.predict: new text in, entities or classes out, with a model that finetune made."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bertinchamps import command_line
from bertinchamps.config import PredictConfig
from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.prepare import tell

if TYPE_CHECKING:  # they import torch, and a mistake in the command line is to be told at once
    from bertinchamps.tasks.classification import TextLabeller
    from bertinchamps.tasks.ner import EntityLabeller
    from bertinchamps.tasks.saved import TaskFacts
    from bertinchamps.training.runtime import Runtime

FORMATS = ("auto", "brat", "jsonl", "conll", "html")
SUFFIXES = {".jsonl": "jsonl", ".conll": "conll", ".tsv": "conll", ".html": "html", "": "brat"}
STREAM = "-"


class Text(NamedTuple):
    """A text to label; `pair` is the second one, for models of pairs."""

    name: str
    text: str
    pair: str | None
    words: tuple[tuple[int, int], ...] | None = None  # of its one sentence, where the file says them


class Reader(NamedTuple):
    """A fine-tuned model, ready to label texts; `labeller` turns them into its inputs, and its answers into labels."""

    model: Any
    labeller: EntityLabeller | TextLabeller
    runtime: Runtime

    @contextmanager
    def reading(self) -> Iterator[None]:
        """The context in which it labels: no gradients, and the runtime's precision."""
        import torch

        with torch.inference_mode(), self.runtime.arithmetic():
            yield


def open_reader(folder: Path, facts: TaskFacts, batch: int, runtime: Runtime) -> Reader:
    """Read a fine-tuned model.

    Args:
        folder: its directory.
        facts: what its task.json says.
        batch: windows or texts that go through it at once.
        runtime: device and precision.

    Raises:
        UserError: it cannot be read.
    """
    from bertinchamps.model.downstream import EncoderSource, open_tokenizer
    from bertinchamps.tasks.saved import build_labeller, build_model

    model = build_model(facts, EncoderSource(str(folder), with_head=True)).to(runtime.device).eval()
    labeller = build_labeller(facts, open_tokenizer(str(folder)), batch, runtime.device)
    return Reader(model, labeller, runtime)


def predict(config: PredictConfig) -> None:
    """Label the texts of a file, a folder or standard input.

    Raises:
        UserError: something the user can mend; nothing was written then.
    """
    from transformers.utils.logging import disable_progress_bar

    from bertinchamps.tasks.classification import TextLabeller
    from bertinchamps.tasks.saved import read_facts
    from bertinchamps.training.checkpoint import refuse_damaged
    from bertinchamps.training.runtime import build_runtime

    disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = _model_folder(config)
    refuse_damaged(folder)
    facts = read_facts(folder)
    form = _format(config, facts.kind)
    if (config.pair_field is not None) != facts.pairs:
        raise UserError(
            f"pair_field={config.pair_field}: the model reads "
            + ("pairs; name the key or column of the second text" if facts.pairs else "one text at a time")
        )
    texts = _texts(config, facts.kind)
    if facts.pairs and any(text.pair is None for text in texts):
        raise UserError(
            f"input={config.input}: single texts, and the model reads pairs: give a .csv, .tsv or .jsonl with both"
        )
    reader = open_reader(folder, facts, config.batch, build_runtime(config.runtime))
    labeller = reader.labeller
    with reader.reading():
        if isinstance(labeller, TextLabeller):
            encoded = labeller.encoded([(text.text, text.pair) for text in texts])
            _write_classes(config, labeller, labeller.logits(reader.model, encoded), texts)
            cut = sum(entry.cut for entry in encoded)
            if cut:
                tell(
                    f"{cut:,} of them longer than max_length={facts.max_length} of the model, read by their beginning"
                )
        else:
            pairs = [(text.name, text.text) for text in texts]
            labelled = labeller.label(reader.model, pairs, [text.words for text in texts])
            _write_entities(config, form, labelled)
    if config.output != STREAM:
        tell(f"{len(texts):,} texts labelled with {folder}: {config.output}")


def _write_entities(config: PredictConfig, form: str, documents: Sequence[AnnotatedText]) -> None:
    from bertinchamps.tasks.formats import conll, displacy, spans_jsonl
    from bertinchamps.tasks.outputs import tagged, write_brat

    if config.output == STREAM:
        for document in documents:
            sys.stdout.write(json.dumps(spans_jsonl.as_item(document), ensure_ascii=False) + "\n")
        return
    output = Path(config.output).expanduser()
    output.parent.mkdir(parents=True, exist_ok=True)
    if form == "brat":
        write_brat(output, documents)
    elif form == "conll":
        conll.write(output, tagged(documents))
    else:
        (spans_jsonl.write if form == "jsonl" else displacy.write_page)(output, documents)


def _write_classes(config: PredictConfig, labeller: Any, logits: Any, texts: Sequence[Text]) -> None:
    from bertinchamps.tasks.outputs import class_lines, write_classes

    names = [text.name for text in texts]
    if config.output == STREAM:
        sys.stdout.writelines(f"{line}\n" for line in class_lines(labeller, logits, names))
        return
    output = Path(config.output).expanduser()
    output.parent.mkdir(parents=True, exist_ok=True)
    write_classes(output, labeller, logits, names)


def _texts(config: PredictConfig, kind: str) -> list[Text]:
    """The texts to label, whatever file they are in.

    Raises:
        UserError: the file cannot be read, or has no text in it.
    """
    from bertinchamps.tasks.formats import brat, conll, spans_jsonl, tables

    if config.input == STREAM:
        return [Text("stdin", brat.decoded(sys.stdin.buffer.read(), "standard input"), None)]
    path = Path(config.input).expanduser()
    if kind == "ner" and path.is_file() and conll.is_named_so(path):
        sentences = conll.read(path, annotated=False)
        return [Text(each.name, each.text, None, each.words) for each in sentences]
    found: list[tuple[str, str, str | None]]
    if path.is_dir():
        found = [(each.name, each.text, None) for each in brat.read_folder(path, annotated=False)]
    elif path.suffix == ".txt":
        found = [(path.stem, brat.decoded(path.read_bytes(), str(path)), None)]
    elif kind == "ner" and tables.format_of(path) == ".jsonl" and config.text_field == "text":
        found = [(each.name, each.text, None) for each in spans_jsonl.read(path, annotated=False)]
    else:
        columns = tables.Columns(config.text_field, config.pair_field, None, setting="{}_field")
        found = [(record.name, record.text, record.pair) for record in tables.read(path, columns)]
    return [Text(*entry) for entry in found]


def _format(config: PredictConfig, kind: str) -> str:
    """The format to write.

    Raises:
        UserError: it cannot be told, or the kind of model cannot be written so.
    """
    if config.output == STREAM:
        form = "jsonl"
    elif config.format != "auto":
        form = config.format
    else:
        suffix = Path(config.output).suffix
        if suffix not in SUFFIXES:
            raise UserError(
                f"output={config.output}: what {suffix} should hold is not known; end it in .jsonl"
                + (", .conll or .html, give a folder for brat, or set format=" if kind == "ner" else "")
            )
        form = SUFFIXES[suffix]
    if kind != "ner" and form != "jsonl":
        raise UserError(
            f"output={config.output}: model={config.model} gives classes, which are written as JSON lines: "
            "end it in .jsonl"
        )
    return form


def _model_folder(config: PredictConfig) -> Path:
    from bertinchamps.training.run import last_finished

    if config.model == "last":
        run = last_finished(config.runs_dir, "finetune")
        if run is None:
            raise UserError(f"model=last: no finished fine-tuning run in {config.runs_dir}; give model=RUN")
        return run / "model"
    folder = Path(config.model).expanduser()
    for candidate in (folder / "model", folder):
        if (candidate / "task.json").is_file():
            return candidate
    raise UserError(
        f"model={config.model}: no model that finetune made (no task.json, and no model/task.json there)"
    )


def problems(config: PredictConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    from bertinchamps.training.runtime import runtime_problems

    found = runtime_problems(config.runtime)
    if config.format not in FORMATS:
        found.append(f"format={config.format}: one of {', '.join(FORMATS)}")
    if config.batch < 1:
        found.append(f"batch={config.batch}: must be at least 1")
    if config.input != STREAM and not Path(config.input).expanduser().exists():
        found.append(f"input={config.input}: no such file or folder; - reads standard input")
    if config.output != STREAM and _holds_something(Path(config.output).expanduser()):
        found.append(f"output={config.output}: is there already, and was not touched; choose another name")
    try:
        _model_folder(config)
    except UserError as error:
        found.append(str(error))
    return found


def _holds_something(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def main() -> None:
    """Entry point of `python -m bertinchamps.predict`."""
    command_line.run("predict", predict, problems)


if __name__ == "__main__":
    main()

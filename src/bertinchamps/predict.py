"""python -m bertinchamps.predict: new text in, entities or classes out, with a model that finetune made."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bertinchamps import command_line
from bertinchamps.console import tell
from bertinchamps.contract import AnnotatedText
from bertinchamps.durable import progressive, unfinished
from bertinchamps.errors import Stopped, UserError
from bertinchamps.schemas import PredictConfig

if TYPE_CHECKING:  # they import torch, and a mistake in the command line is to be told at once
    from bertinchamps.tasks.classification import TextLabeller
    from bertinchamps.tasks.inputs import Input, Inputs
    from bertinchamps.tasks.labelled import Answer
    from bertinchamps.tasks.ner import EntityLabeller
    from bertinchamps.tasks.saved import TaskFacts
    from bertinchamps.training.runtime import Runtime

ENTITY_FORMATS = ("brat", "jsonl", "csv", "tsv", "conll", "html")
CLASS_FORMATS = STREAMED = ("jsonl", "csv", "tsv")  # those may also go to standard output
SUFFIXES = {**{f".{name}": name for name in ENTITY_FORMATS[1:]}, "": "brat"}
STREAM = "-"
TELL_EVERY = 60.0  # seconds


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

    def answers(
        self, portion: Sequence[Input], cut: Counter[str]
    ) -> Sequence[AnnotatedText] | Sequence[Answer]:
        """What the model says of some texts; counts in `cut` those that are read by their beginning."""
        from bertinchamps.tasks.classification import TextLabeller
        from bertinchamps.tasks.labelled import answers_of

        if not isinstance(self.labeller, TextLabeller):
            pairs = [(given.name, given.text) for given in portion]
            return self.labeller.label(self.model, pairs, [given.words for given in portion])
        encoded = self.labeller.encoded([(given.text, given.pair) for given in portion])
        if short := sum(entry.cut for entry in encoded):
            cut["texts"] += short
        return answers_of(self.labeller, self.labeller.logits(self.model, encoded))


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
    from bertinchamps.model.encoders import EncoderSource, open_tokenizer
    from bertinchamps.tasks.saved import build_labeller, build_model

    model = build_model(facts, EncoderSource(str(folder), with_head=True)).to(runtime.device).eval()
    labeller = build_labeller(facts, open_tokenizer(str(folder)), batch, runtime.device)
    return Reader(model, labeller, runtime)


def predict(config: PredictConfig) -> None:
    """Label the texts of a file, a folder or standard input.

    All texts are read once before anything is computed, and then in portions: memory holds one of them, and what is
    labelled is written. Until all of it is, the output is called NAME.unfinished.

    Raises:
        UserError: something the user can mend; nothing that existed was lost.
    """
    from transformers.utils.logging import disable_progress_bar

    from bertinchamps.data.sources.readers_tables import QUOTED_TSV
    from bertinchamps.tasks.inputs import survey
    from bertinchamps.tasks.labelled import checker, write
    from bertinchamps.tasks.saved import read_facts
    from bertinchamps.training.checkpoint import refuse_damaged
    from bertinchamps.training.runtime import build_runtime

    disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = _model_folder(config)
    refuse_damaged(folder)
    facts = read_facts(folder)
    form = _format(config, facts)
    inputs = _inputs(config, facts)
    found = survey(inputs, checker(facts.kind, form, inputs))
    if found.quoted:
        tell(f"note: {found.quoted:,} of {found.texts:,} texts are in quotes, which are kept: {QUOTED_TSV}")
    cut: Counter[str] = Counter()
    with _place(config, form) as place:
        reader = open_reader(folder, facts, config.batch, build_runtime(config.runtime))
        with reader.reading():
            write(place, form, facts.kind, _labelled(reader, inputs, found.texts, cut), inputs, found.columns)
    where = "" if config.output == STREAM else f": {config.output}"
    tell(f"{found.texts:,} texts labelled with {folder}{where}")
    if cut:
        tell(
            f"{cut.total():,} of them longer than max_length={facts.max_length} of the model, read by their beginning"
        )


def _inputs(config: PredictConfig, facts: TaskFacts) -> Inputs:
    """The texts to label, if they are what the model reads."""
    from bertinchamps.tasks.formats.tables import Columns
    from bertinchamps.tasks.inputs import open_inputs

    if (config.pair_field is not None) != facts.pairs:
        raise UserError(
            f"pair_field={config.pair_field}: the model reads "
            + ("pairs; name the key or column of the second text" if facts.pairs else "one text at a time")
        )
    columns = Columns(config.text_field, config.pair_field, None, setting="{}_field")
    inputs = open_inputs(config.input, facts.kind, columns, config.id_field)
    if facts.pairs and inputs.text_column is None:
        raise UserError(
            f"input={config.input}: single texts, and the model reads pairs: give a .csv, .tsv or .jsonl with both"
        )
    return inputs


def _labelled(
    reader: Reader, inputs: Inputs, texts: int, cut: Counter[str]
) -> Iterator[tuple[Input, AnnotatedText | Answer]]:
    """Each text with its entities or classes; counts those that are read by their beginning, and says how far it is."""
    done, told = 0, time.monotonic()
    for portion in inputs.portions():
        yield from zip(portion, reader.answers(portion, cut), strict=True)
        done += len(portion)
        if time.monotonic() - told > TELL_EVERY and done < texts:
            told = time.monotonic()
            tell(f"{done:,} of {texts:,} texts")


@contextmanager
def _place(config: PredictConfig, form: str) -> Iterator[Path | None]:
    """Where to write what will be the output, or None for standard output."""
    if config.output == STREAM:
        yield None
        return
    output = Path(config.output).expanduser()
    left = unfinished(output)
    try:
        with progressive(output, folder=form == "brat") as place:
            yield place
    except OSError as error:
        kept = f"; what was labelled is in {left}" if left.exists() else ""
        raise UserError(f"output={config.output}: cannot be written ({error.strerror}){kept}") from error
    except KeyboardInterrupt:
        raise Stopped(
            f"stopped; what was labelled until now is in {left}" if left.exists() else "stopped"
        ) from None
    except BaseException:
        if left.exists():
            tell(f"not finished: what was labelled until now is in {left}")
        raise


def _format(config: PredictConfig, facts: TaskFacts) -> str:
    """The format to write.

    Raises:
        UserError: it cannot be told, or the model's answers cannot be written so.
    """
    from bertinchamps.tasks.formats.tables import fits_tsv

    suffix = Path(config.output).suffix
    menu = ENTITY_FORMATS if facts.kind == "ner" else CLASS_FORMATS
    if config.format != "auto":
        form = config.format
    elif config.output == STREAM:
        form = "jsonl"
    elif suffix in SUFFIXES:
        form = SUFFIXES[suffix]
    else:
        raise UserError(
            f"output={config.output}: what {suffix} should hold is not known; end it in .jsonl, .csv or .tsv"
            + (", .conll or .html, give a folder for brat, or set format=" if facts.kind == "ner" else "")
        )
    if form not in menu:
        raise UserError(
            f"output={config.output}: model={config.model} gives classes, which are written as JSON lines or a table: "
            "end it in .jsonl, .csv or .tsv"
        )
    if form == "tsv" and not all(map(fits_tsv, facts.labels)):
        raise UserError(f"output={config.output}: a label of the model has a tab or a line end; write a .csv")
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
    if config.format not in ("auto", *ENTITY_FORMATS):
        found.append(f"format={config.format}: one of auto, {', '.join(ENTITY_FORMATS)}")
    elif config.output == STREAM and config.format not in ("auto", *STREAMED):
        found.append(f"format={config.format}: standard output gets {', '.join(STREAMED)}; give output=")
    if config.batch < 1:
        found.append(f"batch={config.batch}: must be at least 1")
    source = Path(config.input).expanduser()
    if config.input != STREAM and not source.exists():
        found.append(f"input={config.input}: no such file or folder; - reads standard input")
    elif config.input != STREAM and not (source.is_file() or source.is_dir()):
        found.append(
            f"input={config.input}: neither a file nor a folder, and read twice; - reads standard input"
        )
    if config.output != STREAM and _holds_something(Path(config.output).expanduser()):
        found.append(f"output={config.output}: is there already, and was not touched; choose another name")
    elif config.output != STREAM and (left := unfinished(Path(config.output).expanduser())).exists():
        found.append(
            f"output={config.output}: {left} is there, of a run that was interrupted or is not finished yet; "
            "remove or rename it, or choose another name"
        )
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

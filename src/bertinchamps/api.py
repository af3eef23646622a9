"""Ten lines of Python: a model of a run, opened; masks filled, sentences labelled; a model fine-tuned on a list.

from bertinchamps import fine_tune, load
load("runs/mine").fill_mask("Le patient présente une [MASK].")
load("runs/tagger").label("Il prend de l'aspirine.")["entities"]
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, overload

from transformers import AutoTokenizer, pipeline

from bertinchamps.checks.finetuning import problems
from bertinchamps.command_line.mistakes import examine
from bertinchamps.command_line.readable import readable
from bertinchamps.data.temporary import temporary_folder
from bertinchamps.errors import UserError
from bertinchamps.exporting.source import Source, open_source
from bertinchamps.finetune import finetune
from bertinchamps.model.encoders import without_bars
from bertinchamps.reporting.study_grid import words_of
from bertinchamps.schemas import ExportConfig, FinetuneConfig, RuntimeConfig
from bertinchamps.tasks.together import Together
from bertinchamps.training.runtime import build_runtime

Example = Mapping[
    str, Any
]  # as a JSON line of the task: {"text": …, "entities": […]} or {"text": …, "label": …}
TASKS = {
    "relations": "relations",
    "entities": "ner",
    "label": "classification",
}  # key of an example → its task
FOR_ME_ALONE = 0o077  # the umask of commands that write what comes from documents


class Guess(NamedTuple):
    """A token for a mask.

    Attributes:
        token: as the tokenizer writes it.
        probability: from 0 to 1.
    """

    token: str
    probability: float


class Model:
    """A trained model, which does one of two things; the other one is refused.

    Attributes:
        folder: of the model; the results of a run are in the folder above.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill_mask(self, text: str, count: int = 5) -> list[Guess]:
        """The likeliest tokens for the one mask of a text, the best first.

        Args:
            text: with one mask, which most tokenizers write `[MASK]`.
            count: of the guesses.

        Raises:
            UserError: the model was fine-tuned, or the text has no mask or several.
        """
        raise UserError(f"{self.folder}: fills no masks, because it was fine-tuned; load a pretrained run")

    @overload
    def label(self, text: str, pair: str | None = None) -> dict[str, Any]: ...

    @overload
    def label(self, text: list[str], pair: list[str] | None = None) -> list[dict[str, Any]]: ...

    def label(
        self, text: str | list[str], pair: str | list[str] | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """What the model finds in a text, or in each of a list, as a line of `predict`'s JSON lines.

        Entities are under `entities`: `start` and `end` in characters of the text, `label`, `confidence`. Classes are
        under `predicted` and `probabilities`.

        Args:
            text: one, or a list.
            pair: the second text, or texts, for models of pairs.

        Raises:
            UserError: the model was not fine-tuned, or reads pairs and got none, or the reverse.
        """
        raise UserError(
            f"{self.folder}: has no labels, because it was not fine-tuned; fine_tune(examples, model=…)"
        )


class _Pretrained(Model):
    def __init__(self, source: Source) -> None:
        super().__init__(source.folder)
        tokenizer = AutoTokenizer.from_pretrained(str(source.folder), local_files_only=True)
        device = build_runtime(RuntimeConfig()).device
        self._mask = str(tokenizer.mask_token)
        model: Any = source.model()
        self._fill: Any = None
        if source.masked_lm:
            self._fill = pipeline("fill-mask", model=model, tokenizer=tokenizer, device=device)

    def fill_mask(self, text: str, count: int = 5) -> list[Guess]:
        if self._fill is None:
            raise UserError(
                f"{self.folder}: fills no masks, because it was pretrained to detect replaced tokens (objective=rtd); "
                "fine-tune it"
            )
        if text.count(self._mask) != 1:
            raise UserError(f"fill_mask: {text.count(self._mask)} masks in the text; give one {self._mask}")
        return [Guess(guess["token_str"], float(guess["score"])) for guess in self._fill(text, top_k=count)]


class _FineTuned(Model):
    def __init__(self, source: Source, ner: str | None) -> None:
        super().__init__(source.folder)
        self._name = str(source.folder)
        self._models = Together([self._name], base=source.base, ner=ner)

    def label(self, text: Any, pair: Any = None) -> Any:
        alone = isinstance(text, str)
        texts, pairs = ([text], None if pair is None else [pair]) if alone else (text, pair)
        found = self._models.label(texts, pairs)[self._name]
        return found[0] if alone else found


def load(
    model: str = "last", *, ner: str | None = None, base: str | None = None, runs_dir: str = "runs"
) -> Model:
    """Open a model of `pretrain` or `finetune`.

    Args:
        model: a run's directory, its model/, what merge or compress made, or last (the run in `runs_dir` that was
            finished last).
        ner: for a model of relations: a fine-tuned model that finds the entities first.
        base: of an adapter: the encoder it was trained on, if it is not where it was.
        runs_dir: where `last` looks.

    Raises:
        UserError: no model is there, or it cannot be read.
    """
    source = open_source(ExportConfig(model=model, base=base, runs_dir=runs_dir))
    with without_bars():
        return _Pretrained(source) if source.facts is None else _FineTuned(source, ner)


def fine_tune(
    examples: Sequence[Example],
    model: str = "last",
    *,
    dev: Sequence[Example] | None = None,
    test: Sequence[Example] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Model:
    """Fine-tune a model on a list of examples, as `python -m bertinchamps.finetune` does on a file of them.

    Args:
        examples: to learn from: objects with `text`, and `entities` (task=ner), `label` (task=classification) or
            `entities` and `relations` (task=relations).
        model: a run, a directory, a name on the Hub, last (the newest pretrained run) or scratch.
        dev: examples that select the weights; None: a share of `examples`.
        test: examples that are scored once, at the end.
        settings: keys of finetune → values, such as {"budget.epochs": 3, "head": "nested", "run_dir": "runs/mine"}.

    Returns:
        The fine-tuned model, opened.

    Raises:
        UserError: something the user can mend, in the key names of finetune; example N is line N of SPLIT.jsonl.
    """
    splits = {"train": examples, "dev": dev, "test": test}
    with temporary_folder() as place:
        files = {split: _written(place, split, given) for split, given in splits.items() if given is not None}
        chosen = {"task": _task_of(examples), "task.title": "examples", "model": model, **(settings or {})}
        words = words_of({**chosen, **{f"task.{split}": str(file) for split, file in files.items()}})
        with _as_a_command(words):
            mistakes, configs = examine("finetune", readable(words, "finetune"), problems)
            if mistakes:
                raise UserError("\n".join(mistakes))
            config: FinetuneConfig = configs[0]
            return load(str(finetune(config)))


def _task_of(examples: Sequence[Example]) -> str:
    first = examples[0] if examples else {}
    for key, task in TASKS.items():
        if key in first:
            return task
    keys = ", ".join(TASKS)
    raise UserError(f"examples: {'the first' if examples else 'none of them'} has text and one of {keys}")


def _written(folder: Path, split: str, examples: Sequence[Example]) -> Path:
    file = folder / f"{split}.jsonl"
    file.write_text("".join(json.dumps(dict(example)) + "\n" for example in examples), encoding="utf-8")
    return file


@contextmanager
def _as_a_command(words: Sequence[str]) -> Iterator[None]:
    """What a command has: its words, for the run's record, and files that are readable by their owner alone."""
    argv, umask = sys.argv, os.umask(FOR_ME_ALONE)
    sys.argv = [argv[0] if argv else "", *words]
    try:
        yield
    finally:
        sys.argv = argv
        os.umask(umask)

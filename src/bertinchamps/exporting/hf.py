"""`format=hf`: a directory that transformers opens with no bertinchamps installed.

Our `modern` and `bert_base` become ModernBERT and BERT, an encoder that is a stock class stays one, and any other model
of ours is written with its code beside its weights (`format.remote_code=true`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import cast

import torch
from transformers import PreTrainedModel

from bertinchamps.data import pretraining_facts
from bertinchamps.exporting import exporters
from bertinchamps.exporting.forms import Form, form_of, not_stock
from bertinchamps.exporting.parity import compared, random_inputs
from bertinchamps.exporting.source import Source
from bertinchamps.exporting.spans import SpanClassifier
from bertinchamps.exporting.use import Use
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.encoders import last_linear, longest_input, open_config
from bertinchamps.tasks.facts import TaskFacts

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model",
)  # fmt: skip
SETTINGS = "tokenizer_config.json"
FAST = "PreTrainedTokenizerFast"
CLASS_NAMES = {"TokenizersBackend": FAST}  # version 5 of transformers → all versions
# What the Hub calls the tasks of Auto classes, and what follows the model in a call of `pipeline`.
TASKS = {
    "AutoModelForMaskedLM": ("fill-mask", ""),
    # our taggers are read at each word's first subword
    "AutoModelForTokenClassification": ("token-classification", ', aggregation_strategy="first"'),
    "AutoModelForSequenceClassification": ("text-classification", ""),
    "AutoModel": ("feature-extraction", ""),
}
PIPELINE = """from transformers import pipeline

model = pipeline("{task}", model="MODEL"{options})"""
SPANS = """from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("MODEL", trust_remote_code=True)
model = AutoModel.from_pretrained("MODEL", trust_remote_code=True)
words = "Le patient tousse .".split()
encoded = tokenizer([words], is_split_into_words=True, return_tensors="pt")
logits = model(**encoded, **model.subwords([encoded.word_ids(0)])).logits  # [1, words, words, types]
print(model.entities(logits[0], len(words)))  # first word, last word, type, probability"""


@exporters.register("hf")
class HuggingFace:
    """A directory of transformers.

    Args:
        remote_code: where no stock class can hold the model, write our code beside its weights.
    """

    def __init__(self, remote_code: bool = False) -> None:
        self._remote_code = remote_code
        self._use: Use | None = None

    def problems(self, source: Source) -> list[str]:
        """What config.json alone shows; `export` finds the rest."""
        if self._remote_code or not (source.folder / "config.json").is_file():
            return []
        config = open_config(str(source.folder))
        return not_stock(config) if isinstance(config, BertinchampsConfig) else []

    def export(self, source: Source, place: Path) -> list[str]:
        model, tokenizer = source.model(), source.tokenizer()
        form = form_of(model, source.facts, self._remote_code)
        inputs = random_inputs(tokenizer, form.original)
        original = form.original_outputs(inputs)
        if source.facts is not None:
            original = in_the_targets_unit(form.model, source.facts, original)
        form.write(place)
        copy_tokenizer(source.folder, place, longest_input(form.model.config))
        copy_pretraining(source.folder, place)
        line = compared(original, form.outputs(form.read(place), inputs))
        self._use = _use_of(form, source.facts)
        trusted = ", trust_remote_code=True" if form.classes else ""
        return [
            line,
            f"opens      transformers.{form.auto_class}.from_pretrained(DIR{trusted})",
            *(f"note       {note}" for note in self._use.notes),
        ]

    def use(self) -> Use:
        """Of the model that was exported last."""
        return cast(Use, self._use)


def copy_tokenizer(folder: Path, place: Path, longest: int) -> None:
    """Copy the files of a tokenizer, whose settings name a class that every version of transformers knows.

    Args:
        folder: of the original.
        place: the exported directory.
        longest: the longest sequence of the model, in tokens.
    """
    for name in TOKENIZER_FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, place / name)
    file = place / SETTINGS
    settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    settings.pop("name_or_path", None)
    settings["tokenizer_class"] = CLASS_NAMES.get(name := settings.get("tokenizer_class", FAST), name)
    settings["model_max_length"] = min(longest, settings.get("model_max_length", longest))
    file.write_text(json.dumps(settings, indent=2, ensure_ascii=False), encoding="utf-8")


def copy_pretraining(folder: Path, place: Path) -> None:
    """Copy what a model remembers of its pretraining, with test sets by digest alone: file names may tell something."""
    facts = pretraining_facts.read_facts(str(folder))
    if facts is None:
        return
    pretraining_facts.write_facts(pretraining_facts.without_names(facts), place)


def in_the_targets_unit(model: PreTrainedModel, facts: TaskFacts, logits: torch.Tensor) -> torch.Tensor:
    """The numbers of a regression, whose logits are in standard deviations from the mean; of other tasks, the logits.

    The last linear map of the model is changed in place, so that the model gives these numbers.
    """
    if (facts.mean, facts.deviation) == (0.0, 1.0):
        return logits
    last = last_linear(model)
    with torch.no_grad():
        last.weight.mul_(facts.deviation)
        last.bias.mul_(facts.deviation).add_(facts.mean)
    return logits * facts.deviation + facts.mean


def _use_of(form: Form, facts: TaskFacts | None) -> Use:
    notes = []
    if facts is not None and facts.thresholds:
        notes.append("the thresholds that were chosen on dev are not applied by pipelines")
    if isinstance(form.model, SpanClassifier):
        notes = ["entities() applies the thresholds, and keeps spans that cross each other"]
        return Use("transformers", "token-classification", SPANS, tuple(notes), ("custom_code",))
    task, options = TASKS[form.auto_class]
    options += ", trust_remote_code=True" if form.classes else ""
    if facts is not None and facts.pairs:
        notes.append("the input is a pair of texts")
    tags = ("custom_code",) if form.classes else ()
    return Use("transformers", task, PIPELINE.format(task=task, options=options), tuple(notes), tags)

"""What transformers can hold of a model: a stock class, or a class of ours whose code lies beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from torch import nn
from transformers import PreTrainedModel

from bertinchamps.errors import UserError
from bertinchamps.exporting.loading import written_class
from bertinchamps.exporting.marker import package_version
from bertinchamps.exporting.parity import random_words
from bertinchamps.exporting.remote_code import CONFIGURATION, MODELING, files
from bertinchamps.exporting.spans import SpanClassifier, SpanConfig
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads import DownstreamModel
from bertinchamps.model.heads.nested import WORD_VECTORS, NestedTagger, first_subword
from bertinchamps.model.huggingface import BertinchampsModel, BertinchampsPreTrainedModel
from bertinchamps.model.stock.twins import head_problems, stock_twin, twin_problems
from bertinchamps.tasks.facts import TaskFacts

KEY = "format.remote_code=true writes the model with its code beside its weights"
ELSE = f"{KEY}; or export the pretrained model and fine-tune that (finetune model=EXPORTED)"
AUTO_CLASSES = (
    "AutoModelForMaskedLM",
    "AutoModelForTokenClassification",
    "AutoModelForSequenceClassification",
    "AutoModel",
)
# What config.json has of a run, and not of an architecture.
NOT_AN_ARCHITECTURE = ("id2label", "label2id", "architectures", "problem_type", "_name_or_path", "dtype")

Inputs = Mapping[str, torch.Tensor]  # input_ids and attention_mask [B, S]


@dataclass(frozen=True)
class Form:
    """What is written of a model.

    Attributes:
        original: what is exported.
        model: of a class that transformers can save.
        auto_class: opens it.
        classes: of configuration, encoder and model, whose code lies beside the weights; none: a stock class.
    """

    original: Any
    model: PreTrainedModel
    auto_class: str
    classes: tuple[type, ...] = ()

    def original_outputs(self, inputs: Inputs) -> torch.Tensor:
        """Logits, or hidden states of an encoder, at real tokens."""
        return self.outputs(self.original, inputs)

    def outputs(self, opened: Any, inputs: Inputs) -> torch.Tensor:
        """The same of the model that `read` opened."""
        with torch.no_grad():
            found = opened(**inputs)
        numbers = found.logits if hasattr(found, "logits") else found.last_hidden_state
        return cast(torch.Tensor, numbers[inputs["attention_mask"].bool()] if numbers.dim() == 3 else numbers)

    def write(self, place: Path) -> None:
        """Write configuration and weights, and the code where it is needed."""
        config = self.model.config
        if self.classes:
            first, *models = self.classes
            code = files([_definition(first)], [_definition(each) for each in models], package_version())
            for name, text in code.items():
                (place / name).write_text(text, encoding="utf-8")
            config.auto_map = {
                "AutoConfig": f"{CONFIGURATION}.{first.__name__}",
                "AutoModel": f"{MODELING}.{models[0].__name__}",
                self.auto_class: f"{MODELING}.{models[-1].__name__}",
            }
        config.name_or_path = ""  # a place on this machine
        self.model.save_pretrained(place)

    def read(self, place: Path) -> PreTrainedModel:
        """The model as it lies there now, in evaluation mode."""
        if not self.classes:
            return cast(PreTrainedModel, getattr(transformers, self.auto_class).from_pretrained(place).eval())
        with written_class(place, self.classes[-1].__name__) as opened:
            return cast(PreTrainedModel, opened.from_pretrained(place).eval())


class SpanForm(Form):
    """Of a nested head: the logits are those of spans of words."""

    def original_outputs(self, inputs: Inputs) -> torch.Tensor:
        with torch.no_grad():
            return _begun_before_their_end(self.original(inputs, random_words(inputs["attention_mask"])))

    def outputs(self, opened: Any, inputs: Inputs) -> torch.Tensor:
        words = random_words(inputs["attention_mask"])
        with torch.no_grad():
            found = opened(**inputs, first_subwords=words.first, last_subwords=words.last)
        return _begun_before_their_end(found.logits)


def _begun_before_their_end(logits: torch.Tensor) -> torch.Tensor:  # [B, W, W, L] -> [B, spans, L]
    """The logits of spans; those that end before they begin are undefined."""
    return logits[:, *torch.triu_indices(logits.shape[1], logits.shape[2])]


def form_of(model: nn.Module, facts: TaskFacts | None, remote_code: bool) -> Form:
    """The form of a model.

    Args:
        model: a masked language model, or one with a head of finetune.
        facts: of its task.
        remote_code: whether code may lie beside the weights.

    Raises:
        UserError: transformers has no class for it, or none without our code.
    """
    if isinstance(model, NestedTagger):
        if not remote_code:
            raise UserError(f"head=nested: no stock class scores spans; {KEY}")
        spans = _spans(model, cast(TaskFacts, facts))
        return SpanForm(model, spans, "AutoModel", (SpanConfig, SpanClassifier))
    return _form_of_whole(whole_model(model), remote_code)


def encoder_form(model: nn.Module, remote_code: bool) -> Form:
    """The form of the encoder alone, of a model with any head.

    Raises:
        UserError: transformers has no class for it without our code.
    """
    whole = model if isinstance(model, PreTrainedModel) else cast(PreTrainedModel, cast(Any, model).model)
    return _form_of_whole(cast(PreTrainedModel, whole.base_model), remote_code)


def whole_model(model: nn.Module) -> PreTrainedModel:
    """The model of transformers that is all of a model.

    Raises:
        UserError: there is a head beside it.
    """
    if isinstance(model, PreTrainedModel):
        return model
    if not isinstance(model, DownstreamModel) or type(model).save_head is not DownstreamModel.save_head:
        raise UserError(
            f"format=hf: {type(model).__name__} reads windows or markers that tokenizers of transformers do not make; "
            "label with python -m bertinchamps.predict"
        )
    return cast(PreTrainedModel, model.model)


def not_stock(config: BertinchampsConfig) -> list[str]:
    """Every field in the way of the nearest stock class, and what helps; nothing where there is a stock class."""
    stock, problems = twin_problems(config)
    if not problems:
        return []
    return [*problems, f"format=hf: no stock class has this architecture (nearest: {stock}); {KEY}"]


def _form_of_whole(whole: PreTrainedModel, remote_code: bool) -> Form:
    auto_class = next((name for name in AUTO_CLASSES if _opens(name, whole)), "AutoModel")
    if not isinstance(whole, BertinchampsPreTrainedModel):
        return Form(whole, whole, auto_class)
    problems = not_stock(whole.config) or [f"{problem}. Else {ELSE}" for problem in head_problems(whole)]
    if not problems:
        return Form(whole, stock_twin(whole), auto_class)
    if not remote_code:
        raise UserError("\n".join(problems))
    return Form(whole, whole, auto_class, (BertinchampsConfig, BertinchampsModel, type(whole)))


def _opens(auto_class: str, model: PreTrainedModel) -> bool:
    known: Mapping[type, Any] = getattr(transformers, auto_class)._model_mapping
    found = known.get(type(model.config), ())
    return type(model) in (found if isinstance(found, tuple) else (found,))


def _spans(model: NestedTagger, facts: TaskFacts) -> SpanClassifier:
    settings = {
        name: value for name, value in model.model.config.to_dict().items() if name not in NOT_AN_ARCHITECTURE
    }
    config = SpanConfig(
        encoder=settings,
        first_subwords=WORD_VECTORS[model.mark] is first_subword,
        thresholds=list(facts.thresholds) or None,
        id2label=dict(enumerate(facts.labels)),
        label2id={label: index for index, label in enumerate(facts.labels)},
    )
    spans: Any = SpanClassifier(config)
    weights = {"encoder": model.model.state_dict(), "head": model.head.state_dict()}
    spans.load_state_dict(
        {f"{part}.{name}": each for part, own in weights.items() for name, each in own.items()}
    )
    return cast(SpanClassifier, spans.eval())


def _definition(defined: type) -> tuple[str, str]:
    return defined.__module__, defined.__name__

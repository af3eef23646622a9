"""The teacher of distillation in pretraining: found, checked, opened, recorded; it never learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bertinchamps.data.corpus import Corpus
from bertinchamps.errors import UserError
from bertinchamps.model.encoders import EncoderSource, longest_input, open_config, open_model
from bertinchamps.model.flops import masked_lm_forward_flops_per_token
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.heads.stock_masked_lm import MASKED_LMS
from bertinchamps.model.locating import located
from bertinchamps.model.views import StockViews, Views, Wanted, views_of
from bertinchamps.objectives.earlier_models import origin_of, refuse_other_tokenizer, tokenizer_mistakes
from bertinchamps.schemas import PretrainConfig, named

KEY = "objective.teacher"


@dataclass(frozen=True)
class Plan:
    """Which layers are compared.

    Attributes:
        student_layers: how many the student has.
        hidden: whether hidden states are compared.
        relations: whether relations are.
        relation_heads: into which vectors are cut for that.
        relation_layer: of the teacher, from 1 on; None: the last.
    """

    student_layers: int
    hidden: bool
    relations: bool
    relation_heads: int
    relation_layer: int | None

    def pairs(self, teacher_layers: int) -> list[tuple[int, int]]:
        """Layers whose outputs are compared, student's and teacher's, from 1 on: evenly, the last with the last."""
        every = [
            (number, number * teacher_layers // self.student_layers)
            for number in range(1, self.student_layers + 1)
        ]
        return [(ours, theirs) for ours, theirs in every if theirs >= 1]

    def wanted_of_teacher(self, layers: int) -> Wanted:
        """What is looked at of a teacher with so many layers."""
        chosen = layers if self.relation_layer is None else self.relation_layer
        compared = tuple(sorted({theirs for _, theirs in self.pairs(layers)})) if self.hidden else ()
        return Wanted(compared, chosen if self.relations else None)

    def wanted_of_student(self, layers: int) -> Wanted:
        """What is looked at of a student whose teacher has so many layers."""
        compared = tuple(ours for ours, _ in self.pairs(layers)) if self.hidden else ()
        return Wanted(compared, self.student_layers if self.relations else None)


def teacher_problems(config: PretrainConfig) -> list[str]:
    """Why a teacher cannot teach with these settings, as far as its files and the settings say; no weights are read."""
    settings = named(config.objective)[1]
    if not isinstance(settings.get("teacher"), str):
        return []  # said already
    key = f"{KEY}={settings['teacher']}"
    try:
        source = located(KEY, settings["teacher"])
        teacher = open_config(str(source))
    except UserError as error:
        return [_of_the_key(key, error)]
    classes = getattr(teacher, "architectures", None) or []
    if classes and not any(name.endswith(MASKED_LMS) for name in classes):
        return [f"{key}: a {classes[0]}, which predicts no masked tokens; name a masked language model"]
    found = _shape_problems(config, settings, key, teacher)
    try:
        return found + tokenizer_mistakes(config, key, source)
    except UserError as error:
        return [*found, _of_the_key(key, error)]


def _shape_problems(config: PretrainConfig, settings: Mapping[str, Any], key: str, teacher: Any) -> list[str]:
    found = []
    length = config.blocks.sequence_length
    if longest_input(teacher) < length:
        found.append(f"blocks.sequence_length={length}: {key} reads at most {longest_input(teacher)} tokens")
    numbers = [settings.get(name, 1) or 1 for name in ("relation_weight", "relation_layer", "relation_heads")]
    if not settings.get("relation_weight") or not all(isinstance(number, int | float) for number in numbers):
        return found  # there are no relations, or the registry has said what is wrong
    layer, layers = settings.get("relation_layer"), teacher.num_hidden_layers
    if layer is not None and not 1 <= layer <= layers:
        found.append(f"objective.relation_layer={layer}: from 1 to {layers}, the layers of {key}")
    heads, widths = settings.get("relation_heads", 32), (config.arch.hidden_size, teacher.hidden_size)
    if heads < 1 or any(width % heads for width in widths):
        fitting = [str(n) for n in range(1, 129) if not any(width % n for width in widths)]
        found.append(
            f"objective.relation_heads={heads}: must divide arch.hidden_size={widths[0]} and the teacher's "
            f"{widths[1]}: {', '.join(fitting)}"
        )
    return found


def _of_the_key(key: str, error: UserError) -> str:
    """The message with the key of this setting, whatever key it was written for."""
    message = str(error)
    return message if message.startswith(KEY) else f"{key}: {message}"


class Teacher:
    """A masked language model in evaluation mode, whose weights have no gradients.

    Args:
        name: a run, a directory, or a name on the Hub.
        corpus: whose tokenizer it must have.
        plan: what is compared besides logits.
        device: of the model, which is loaded when it is first needed.

    Attributes:
        layers: how many it has.
        width: of its hidden states.

    Raises:
        UserError: it cannot be found, or has another tokenizer.
    """

    def __init__(self, name: str, corpus: Corpus, plan: Plan, device: torch.device) -> None:
        self._name, self.plan, self._device = name, plan, device
        self._key = f"{KEY}={name}"
        self._source = located(KEY, name)
        refuse_other_tokenizer(corpus, self._key, self._source)
        config = open_config(str(self._source))
        if config.vocab_size < corpus.vocabulary.size:
            raise UserError(
                f"{self._key}: it predicts {config.vocab_size:,} tokens, and the tokenizer has "
                f"{corpus.vocabulary.size:,}"
            )
        self.layers, self.width = int(config.num_hidden_layers), int(config.hidden_size)
        self.wanted_of_student = plan.wanted_of_student(self.layers)
        self._wanted = plan.wanted_of_teacher(self.layers)
        self._loaded: Any = None
        self._flops: dict[tuple[int, float], float] = {}
        self._stock: StockViews | None = None

    @property
    def model(self) -> Any:
        """The model of transformers.

        Raises:
            UserError: its weights do not fit its config.json, or its parts have no known names.
        """
        if self._loaded is None:
            try:
                model = open_model(
                    "AutoModelForMaskedLM", EncoderSource(str(self._source), with_head=True), None
                )
                self._loaded = model.eval().requires_grad_(False).to(self._device)
                if not isinstance(model, BertinchampsForMaskedLM):
                    self._stock = StockViews(model, self._wanted)
            except UserError as error:
                raise UserError(_of_the_key(self._key, error)) from error
        return self._loaded

    @property
    def parameters(self) -> int:
        """The number of its weights."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @torch.no_grad()
    def __call__(self, ids: Tensor, positions: Tensor) -> Views:
        """What it sees in ids [B, S], with logits at positions [B, K]."""
        model = self.model
        if self._stock is not None:
            return self._stock(ids, positions)
        return views_of(model, ids, positions, self._wanted)

    def flops_per_token(self, sequence_length: int, predicted_fraction: float) -> float:
        """Operations of its forward pass."""
        case = (sequence_length, predicted_fraction)
        if case not in self._flops:
            flops = masked_lm_forward_flops_per_token(self.model, *case)
            if (
                self._wanted.attention is not None and self._stock is None
            ):  # the vectors are computed once more
                flops += 2 * 3 * self.width**2
            self._flops[case] = flops
        return self._flops[case]

    def origin(self) -> dict[str, Any]:
        """What a run's files record of it."""
        return origin_of(self._source, self.model)

    def refuse_another(self, recorded: Mapping[str, Any]) -> None:
        """Compare it with what a run's files recorded of the teacher that it began with.

        Raises:
            UserError: its weights or its architecture are others.
        """
        before, now = recorded.get("fingerprint"), self.origin()["fingerprint"]
        if before != now:
            raise UserError(
                f"{self._key}: not the teacher that this run began with (fingerprint {before} then, {now} now); "
                "restore its files to resume, or start a new run without resume"
            )

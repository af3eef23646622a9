"""Distillation in pretraining: a student of any architecture learns from a larger masked language model.

    loss = weight · T² · KL(teacher ‖ student) + (1 − weight) · cross-entropy
           + hidden_weight · (1 − cosine of hidden states) + relation_weight · KL of relations

The first two are means over targets, the others over positions. The teacher reads the same masked blocks, in evaluation
mode and without gradients, and decodes masked positions alone. Its forward pass is part of the FLOPs of a run.

FOLDER/distillation.safetensors    maps of hidden states to the teacher's width, where widths differ: for resuming

B batch, S sequence, K targets a block, T = B · K, V vocabulary, H hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bertinchamps.contract import Output
from bertinchamps.errors import UserError
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.views import Views, views_of
from bertinchamps.objectives import Given, objectives
from bertinchamps.objectives.masking import IGNORED, MaskSettings
from bertinchamps.objectives.mlm import MaskedLanguageModeling, sums_of
from bertinchamps.objectives.teachers import Plan, Teacher, teacher_problems
from bertinchamps.objectives.teaching import distance, divergence, relation_distance
from bertinchamps.schemas import PretrainConfig
from bertinchamps.training.assembly import Training
from bertinchamps.training.clock import Spent

MAPS = "to_teacher"  # the student's module that holds the maps while it is trained
FILE = "distillation.safetensors"
MASKS = MaskSettings(mask_rate=0.3)


def _problems(settings: Mapping[str, Any]) -> list[str]:
    found = []
    weight, temperature = settings.get("weight", 0.5), settings.get("temperature", 2.0)
    if not 0 <= weight <= 1:
        found.append(f"objective.weight={weight}: from 0 to 1")
    if not temperature > 0:
        found.append(f"objective.temperature={temperature}: must be above 0")
    others = {name: settings.get(name, 0.0) for name in ("hidden_weight", "relation_weight")}
    found += [f"objective.{name}={value}: must be at least 0" for name, value in others.items() if value < 0]
    if not (weight or any(others.values())):
        found.append(
            "objective.weight=0: nothing is learnt from the teacher; objective=mlm does the same without one"
        )
    return found


@objectives.register("distillation", check=_problems)
class Distillation(MaskedLanguageModeling):
    """`mlm` with a teacher.

    Args:
        given: by the run.
        masks: as for `mlm`.
        teacher: a run, a model's directory, or a name on the Hub.
        weight: of the teacher's probabilities; the labels have the rest.
        temperature: of these probabilities.
        hidden_weight: of the distance of hidden states.
        relation_weight: of the distance of relations.
        relation_heads: into which vectors are cut for relations.
        relation_layer: of the teacher, from 1 on; None: the last.

    Raises:
        UserError: the teacher has another tokenizer than the corpus.
    """

    name = "distillation"
    continues = False  # it looks inside a model of ours

    def __init__(
        self,
        given: Given,
        teacher: str,
        masks: MaskSettings = MASKS,
        weight: float = 0.5,
        temperature: float = 2.0,
        hidden_weight: float = 0.0,
        relation_weight: float = 0.0,
        relation_heads: int = 32,
        relation_layer: int | None = None,
    ) -> None:
        super().__init__(given, masks)
        self._weight, self._temperature = weight, temperature
        self._hidden_weight, self._relation_weight = hidden_weight, relation_weight
        layers = int((given.arch or {})["num_hidden_layers"])
        plan = Plan(layers, hidden_weight > 0, relation_weight > 0, relation_heads, relation_layer)
        self._teacher = Teacher(teacher, given.corpus, plan, given.device)

    @classmethod
    def problems_beside(cls, config: PretrainConfig) -> list[str]:
        """Whether the teacher is there, and fits the student, the corpus and the length of blocks."""
        apart = config.blocks.documents == "apart"
        return (
            teacher_problems(config)
            + ["blocks.documents=apart: a teacher reads whole rows; set it to packed"] * apart
        )

    def origins(self) -> dict[str, Any]:
        return {**super().origins(), "teacher": self._teacher.origin()}

    def begun_with(self, origins: Mapping[str, Any]) -> None:
        """Take over what run.json says; the teacher must be the same.

        Raises:
            UserError: it is another one now.
        """
        super().begun_with(origins)
        self._teacher.refuse_another(origins.get("teacher", {}))

    def new_model(self, config: BertinchampsConfig) -> BertinchampsForMaskedLM:
        """The encoder with the masked-LM head, and with maps to the teacher's width where they are needed."""
        return self._with_maps(super().new_model(config))

    def load_model(self, folder: Path) -> BertinchampsForMaskedLM:
        """The model of a checkpoint, loaded strictly.

        Raises:
            UserError: the maps are missing or do not fit.
        """
        model = self._with_maps(super().load_model(folder))
        if hasattr(model, MAPS):
            try:
                getattr(model, MAPS).load_state_dict(load_file(folder / FILE))
            except (OSError, RuntimeError) as error:
                raise UserError(f"{folder / FILE}: missing, or not of this teacher and student") from error
        return model

    def _with_maps(self, model: BertinchampsForMaskedLM) -> BertinchampsForMaskedLM:
        ours, theirs = model.config.hidden_size, self._teacher.width
        number = len(self._teacher.plan.pairs(self._teacher.layers)) if self._hidden_weight else 0
        if number and ours != theirs:
            model.add_module(MAPS, nn.ModuleList(nn.Linear(ours, theirs, bias=False) for _ in range(number)))
        return model

    def save(self, model: nn.Module, folder: Path, spent: Callable[[], Spent]) -> None:
        """Write the student, as `from_pretrained` opens it, and its maps into a file of their own."""
        maps = model._modules.pop(MAPS, None)
        try:
            super().save(model, folder, spent)
        finally:
            if maps is not None:
                model.add_module(MAPS, maps)
        if maps is not None:
            save_file(
                {name: tensor.contiguous() for name, tensor in maps.state_dict().items()}, folder / FILE
            )

    def results(self, training: Training) -> dict[str, Any]:
        """The summary; maps to the teacher's width are no part of the model."""
        maps = getattr(training.trainer.model, MAPS, None)
        left_out = sum(parameter.numel() for parameter in maps.parameters()) if maps is not None else 0
        found = super().results(training)
        return {**found, "parameters": found["parameters"] - left_out}

    def describe(self, parameters: int, flops_per_token: float) -> Iterator[str]:
        """The student and the teacher, a line each."""
        yield from super().describe(parameters, flops_per_token)
        flops = self._teacher.flops_per_token(self.tokens_per_position, self.predicted_fraction)
        yield f"teacher    {self._teacher.parameters:,} parameters, {flops / 1e9:.4g} GFLOP a token of these, forward"

    def scores_line(self, scores: Mapping[str, float]) -> str:
        return (
            f"{super().scores_line(scores)} (teacher: loss {scores['teacher_loss']:.4f}, the same token in "
            f"{scores['teacher_agreement']:.1%}, divergence {scores['teacher_divergence']:.4f} nats)"
        )

    def _flops(self, config: BertinchampsConfig, predicted_fraction: float, length: int) -> float:
        teacher = self._teacher
        flops = super()._flops(config, predicted_fraction, length)
        flops += teacher.flops_per_token(length, predicted_fraction)
        if self._relation_weight:  # products of vectors with each other, and the student's vectors once more
            flops += 3 * (2 * 3 * config.hidden_size**2 + 3 * 2 * length * config.hidden_size)
            flops += 3 * 2 * length * teacher.width
        if self._hidden_weight and config.hidden_size != teacher.width:
            pairs = teacher.plan.pairs(teacher.layers)
            compared = sum(
                predicted_fraction if ours == teacher.plan.student_layers else 1.0 for ours, _ in pairs
            )
            flops += 3 * 2 * config.hidden_size * teacher.width * compared
        return flops

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        """The summed loss of the masked tokens of `input_ids` [B, S] at stream `positions` [B]."""
        masked, chosen, labels = self._masking(inputs["input_ids"], inputs["positions"])
        student = cast(BertinchampsForMaskedLM, model)
        seen = views_of(student, masked, chosen, self._teacher.wanted_of_student)
        taught = self._teacher(masked, chosen)
        loss_sum = self._of_logits(seen.logits.flatten(0, 1), taught.logits.flatten(0, 1), labels.flatten())
        if self._hidden_weight or self._relation_weight:
            loss_sum = loss_sum + self._of_the_inside(student, seen, taught) * labels.numel()
        return self._output(loss_sum)

    def _of_logits(self, logits: Tensor, taught: Tensor, labels: Tensor) -> Tensor:
        """Summed over targets, from logits [T, V] of both."""
        known = self.corpus.vocabulary.size
        soft = divergence(logits[:, :known], taught[:, :known], labels, self._temperature)
        hard = F.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum")
        return self._weight * self._temperature**2 * soft + (1 - self._weight) * hard

    def _of_the_inside(self, student: nn.Module, seen: Views, taught: Views) -> Tensor:
        """The weighted distances of hidden states and relations, means over positions."""
        total = seen.logits.new_zeros((), dtype=torch.float32)
        if self._hidden_weight:
            maps = getattr(student, MAPS, None)
            found = []
            for place, (ours, theirs) in enumerate(self._teacher.plan.pairs(self._teacher.layers)):
                state = seen.states[ours] if maps is None else maps[place](seen.states[ours])
                found.append(distance(state, taught.states[theirs]))
            total = total + self._hidden_weight * torch.stack(found).mean()
        if self._relation_weight:
            heads = self._teacher.plan.relation_heads
            total = total + self._relation_weight * relation_distance(seen.attention, taught.attention, heads)
        return total

    def _scored(self, model: nn.Module, masked: Tensor, chosen: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Those of `mlm`; the teacher's loss, and how near the student is to the teacher."""
        logits = cast(BertinchampsForMaskedLM, model).masked_logits(masked, chosen).flatten(0, 1)
        taught, labels, known = (
            self._teacher(masked, chosen).logits.flatten(0, 1),
            labels.flatten(),
            labels != IGNORED,
        )
        size = self.corpus.vocabulary.size
        same = (logits[:, :size].argmax(-1) == taught[:, :size].argmax(-1)) & known.flatten()
        return {
            **sums_of(logits, labels),
            "teacher_loss": sums_of(taught, labels)["loss"],
            "teacher_agreement": same.sum(),
            "teacher_divergence": divergence(logits[:, :size], taught[:, :size], labels),
        }

"""`grow.model=RUN`: the model of a run begins as a smaller one (`model/growth.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bertinchamps.data.corpus import Corpus
from bertinchamps.errors import UserError
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.encoders import open_config
from bertinchamps.model.growth import adopt, grow, growth_problems
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM, load_masked_lm
from bertinchamps.model.huggingface import BertinchampsPreTrainedModel
from bertinchamps.model.locating import located
from bertinchamps.objectives.earlier_models import origin_of, refuse_other_tokenizer, tokenizer_mistakes
from bertinchamps.schemas import PretrainConfig

KEY = "grow.model"
COUNTED = ("seconds", "tokens", "flops")  # what a smaller model has cost


def grow_problems(config: PretrainConfig) -> list[str]:
    """Mistakes in `grow.*`, in the user's key names; the architecture is valid by itself.

    A run that is resumed has grown already, so its smaller model may be gone.
    """
    name = config.grow.model
    if name is None or config.resume != "never":
        return []
    try:
        folder = _folder_of(name)
        before = open_config(str(folder))
    except UserError as error:
        return [str(error)]
    if not isinstance(before, BertinchampsConfig):
        return [f"{KEY}={name}: a {before.model_type} model; only models of this project's own class grow"]
    key = f"{KEY}={name}"
    return growth_problems(before, asdict(config.arch), key) + tokenizer_mistakes(config, key, folder)


class Growth:
    """The smaller model that a new one begins as.

    Args:
        name: as the user gave it.
        corpus: whose tokenizer it must have.
    """

    def __init__(self, name: str, corpus: Corpus) -> None:
        self._name, self._corpus = name, corpus

    def origin(self) -> dict[str, Any] | None:
        """What the run's files record of the smaller model; None where it is gone, as a resumed run allows.

        Raises:
            UserError: it has another tokenizer, or cannot be read.
        """
        try:
            folder = _folder_of(self._name)
        except UserError:
            return None
        refuse_other_tokenizer(self._corpus, f"{KEY}={self._name}", folder)
        return origin_of(folder, load_masked_lm(folder))

    def adopt(self, config: BertinchampsConfig) -> None:
        """Set what the config of the new model takes over.

        Raises:
            UserError: there is no smaller model.
        """
        adopt(config, open_config(str(_folder_of(self._name))))

    def fill(self, model: BertinchampsPreTrainedModel) -> None:
        """Let a new model compute what the smaller one does.

        Raises:
            UserError: the model is no masked language model, or the vocabularies have other sizes.
        """
        small = load_masked_lm(_folder_of(self._name))
        if not isinstance(model, BertinchampsForMaskedLM):
            raise UserError(f"{KEY}={self._name}: only masked language models grow; choose another objective")
        if small.config.vocab_size != model.config.vocab_size:
            raise UserError(
                f"{KEY}={self._name}: its embedding has {small.config.vocab_size} rows, and that of the new model "
                f"{model.config.vocab_size}: give the arch.vocab_padding that it was trained with"
            )
        if small.config.predicts_next != model.config.predicts_next:
            raise UserError(
                f"{KEY}={self._name}: of that model and the new one, one predicts the next token and the other the "
                "token itself, so the new one would not begin as that one; choose the objective of that model"
            )
        grow(small, model)


def cost_before(origin: Mapping[str, Any]) -> dict[str, float]:
    """What a smaller model has cost, with those that it grew from: seconds, tokens, FLOPs."""
    earlier = cost_before(origin["grown_from"]) if "grown_from" in origin else {}
    return {name: origin.get("spent", {}).get(name, 0) + earlier.get(name, 0) for name in COUNTED}


def _folder_of(name: str) -> Path:
    folder = located(KEY, name)
    if not isinstance(folder, Path):
        raise UserError(f"{KEY}={name}: no such directory; give a run or a model's directory")
    return folder

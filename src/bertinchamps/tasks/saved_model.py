"""A fine-tuned model on disk, opened to label new texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.model.adapters.bases import SharedBases
from bertinchamps.model.adapters.saved import open_saved
from bertinchamps.model.encoders import open_tokenizer
from bertinchamps.schemas import MergeConfig, PredictConfig
from bertinchamps.tasks.facts import FILE, TaskFacts
from bertinchamps.tasks.inputs import Input
from bertinchamps.tasks.kinds import Predictor, kinds
from bertinchamps.training.run_files import last_finished
from bertinchamps.training.runtime import Runtime


@dataclass(frozen=True)
class SavedModel:
    """A model that is ready to label texts.

    Attributes:
        model: on the runtime's device, in evaluation mode.
        predictor: turns texts into the model's inputs, and the model's logits into predictions.
        runtime: device and precision.
    """

    model: nn.Module
    predictor: Predictor
    runtime: Runtime

    @contextmanager
    def reading(self) -> Iterator[None]:
        """The context for predictions: no gradients, and the runtime's precision."""
        with torch.inference_mode(), self.runtime.arithmetic():
            yield

    def predictions(self, texts: Sequence[Input], cut: Counter[str]) -> Sequence[Any]:
        """A prediction for each text; adds the number of truncated texts to `cut`."""
        return self.predictor.predict(self.model, texts, cut)


def open_model(
    folder: Path,
    facts: TaskFacts,
    batch: int,
    runtime: Runtime,
    base: str | None = None,
    shared: SharedBases | None = None,
) -> SavedModel:
    """Open a fine-tuned model.

    Args:
        folder: the model's directory.
        facts: the content of task.json.
        batch: windows or texts that go through the model at once.
        runtime: device and precision.
        base: of an adapter: the encoder that it was trained on; None: where the adapter remembers it.
        shared: bases of adapters in memory: models that are opened with the same one share their base's weights.

    Raises:
        UserError: the model, or the base of an adapter, cannot be read.
    """
    kind = kinds.build(facts.kind)
    model, _ = open_saved(folder, partial(kind.build_model, facts), base, shared=shared)
    predictor = kind.build_predictor(facts, open_tokenizer(str(folder)), batch, runtime.device)
    return SavedModel(model.to(runtime.device).eval(), predictor, runtime)


def model_folder(config: PredictConfig | MergeConfig) -> Path:
    """The directory that `model=` means.

    Raises:
        UserError: no fine-tuned model is there.
    """
    if config.model == "last":
        run = last_finished(config.runs_dir, "finetune")
        if run is None:
            raise UserError(f"model=last: no finished fine-tuning run in {config.runs_dir}; give model=RUN")
        return run / "model"
    try:
        return folder_of(config.model)
    except UserError as error:
        raise UserError(f"model={error}") from error


def folder_of(name: str) -> Path:
    """The directory of a fine-tuned model, given as that directory or as its run's.

    Raises:
        UserError: no fine-tuned model is there.
    """
    folder = Path(name).expanduser()
    for candidate in (folder / "model", folder):
        if (candidate / FILE).is_file():
            return candidate
    raise UserError(f"{name}: no model that finetune made (no {FILE}, and no model/{FILE} there)")

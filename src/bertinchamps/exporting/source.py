"""The model that is exported: a masked language model of pretrain, or a model with a head of finetune."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.model.adapters.saved import open_saved
from bertinchamps.model.encoders import has_masked_lm, open_config, open_tokenizer, open_untuned
from bertinchamps.schemas import ExportConfig
from bertinchamps.tasks.facts import FILE, TaskFacts, read_facts
from bertinchamps.tasks.from_run import run_around
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.saved_model import folder_of_any


@dataclass(frozen=True)
class Source:
    """A trained model on disk.

    Attributes:
        folder: of the model: config.json, weights, tokenizer.
        run: the directory of the run that made it; None: the model stands alone.
        facts: of the task, for a model that finetune made; None: a model that pretrain made.
        base: of an adapter: the encoder it was trained on, if it is not where it was.
    """

    folder: Path
    run: Path | None
    facts: TaskFacts | None
    base: str | None = None

    def model(self) -> nn.Module:
        """The model on the processor, in float32 and evaluation mode; an adapter is merged into its base.

        Raises:
            UserError: it cannot be read, or its adapter cannot become a part of weights.
        """
        if self.facts is None:
            return open_untuned(self.folder).float().eval()  # type: ignore[no-any-return]
        build = partial(kinds.build(self.facts.kind).build_model, self.facts)
        model, adapter = open_saved(self.folder, build, self.base)
        if not adapter.trains_encoder:
            if adapter.not_merged is not None:
                raise UserError(f"{self.folder}: cannot be exported: {adapter.not_merged}")
            adapter.merge(model)
        return model.float().eval()

    @property
    def masked_lm(self) -> bool:
        """Whether a model that pretrain made has a head for masked tokens."""
        return has_masked_lm(open_config(str(self.folder)))

    def tokenizer(self) -> Any:
        """The tokenizer of the model."""
        return open_tokenizer(str(self.folder))


def open_source(config: ExportConfig) -> Source:
    """The model that `model=` means.

    Raises:
        UserError: no model is there, or a damaged one.
    """
    folder = folder_of_any(config.model, config.runs_dir)
    return Source(
        folder, run_around(folder), read_facts(folder) if (folder / FILE).is_file() else None, config.base
    )

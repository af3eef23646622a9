"""What the steps of a compression read beside the model: its facts, the run that made it, its examples and texts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bertinchamps.composing import saved_configuration
from bertinchamps.errors import UserError
from bertinchamps.exporting.source import Source, open_source
from bertinchamps.schemas import CompressConfig, ExportConfig, FinetuneConfig
from bertinchamps.tasks.examples import Examples, read_examples


@dataclass(frozen=True)
class Material:
    """A model that is compressed, and what belongs to it.

    Attributes:
        config: the settings of the command.
        source: the model as it was before all steps.
    """

    config: CompressConfig
    source: Source

    @cached_property
    def settings(self) -> FinetuneConfig:
        """The settings of the run that fine-tuned the model, with `examples` of the command in its task.

        Raises:
            UserError: it was not fine-tuned, or its run is not there.
        """
        if self.source.facts is None:
            raise UserError(f"model={self.config.model}: was not fine-tuned, so it has no examples")
        if self.source.run is None:
            raise UserError(f"model={self.config.model}: a model without its run; give the run's directory")
        settings: FinetuneConfig = saved_configuration("finetune", self.source.run / "config.yaml")
        settings.task.update(self.config.examples)
        return settings

    @cached_property
    def examples(self) -> Examples:
        """The examples of the run that fine-tuned the model, in its splits.

        Raises:
            UserError: they are not where they were.
        """
        try:
            return read_examples(self.settings)
        except UserError as error:
            raise UserError(f"examples of model={self.config.model}: {error}") from error

    def texts(self, split: str = "train") -> list[str]:
        """Texts of a split of the examples, in their order.

        Raises:
            UserError: there are none.
        """
        return list(self.examples.texts(split))


def material_of(config: CompressConfig) -> Material:
    """The material of a command's settings.

    Raises:
        UserError: no model is there.
    """
    source = open_source(ExportConfig(model=config.model, base=config.base, runs_dir=config.runs_dir))
    return Material(config, source)


def model_of(folder: Path, material: Material) -> Source:
    """The model of a directory that a step wrote."""
    return Source(folder, None, material.source.facts)

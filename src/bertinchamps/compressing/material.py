"""What the steps of a compression read beside the model: its facts, the run that made it, its examples and texts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path

from bertinchamps.composing import saved_configuration
from bertinchamps.errors import UserError
from bertinchamps.exporting.source import Source, open_source
from bertinchamps.model.adapters.bases import read_record
from bertinchamps.model.adapters.saved import base_of, is_adapter
from bertinchamps.schemas import CompressConfig, ExportConfig, FinetuneConfig, RuntimeConfig, named
from bertinchamps.tasks.examples import Examples, read_examples
from bertinchamps.tasks.from_run import run_of
from bertinchamps.tasks.readers import readers
from bertinchamps.textfiles.texts import entry_problems, texts_of
from bertinchamps.training.privacy.guarantee import is_guaranteed


@dataclass(frozen=True)
class Material:
    """A model that is compressed, and what belongs to it.

    Attributes:
        config: the settings of the command.
        source: the model as it was before all steps.
    """

    config: CompressConfig
    source: Source

    @property
    def encoder(self) -> str:
        """The directory with the encoder's config.json, or a name on the Hub where the model is an adapter.

        Raises:
            UserError: the base of the adapter is not there.
        """
        folder = self.source.folder
        return base_of(read_record(folder), folder, self.config.base) if is_adapter(folder) else str(folder)

    @cached_property
    def run(self) -> Path | None:
        """The run that trained the model: around it, or remembered by `merge` and `compress`; None: nothing tells.

        Raises:
            UserError: the file that remembers it is damaged.
        """
        return run_of(self.source.folder)

    @property
    def judging(self) -> str:
        """The split that steps judge a model's parts by: dev where records of train are protected in the model.

        What train decides is no longer covered by the guarantee; dev never was (`training/privacy/guarantee.py`).
        """
        return "dev" if is_guaranteed(self.source.folder) else "train"

    def at(self, folder: Path) -> Source:
        """The model of a directory: the first one, or one that a step wrote."""
        return self.source if folder == self.source.folder else replace(self.source, folder=folder)

    @cached_property
    def settings(self) -> FinetuneConfig:
        """The settings of the run that fine-tuned the model, with `examples` of the command in its task.

        Raises:
            UserError: it was not fine-tuned, or its run is not there.
        """
        name = self.config.model
        if self.source.facts is None:
            raise UserError(f"model={name}: was not fine-tuned, so it has no examples; give texts=[FILES]")
        if self.run is None:
            raise UserError(
                f"model={name}: stands alone, and its run knows its examples; give the run's directory"
            )
        if not self.run.is_dir():
            raise UserError(
                f"model={name}: came from the run {self.run}, which knows its examples and is no longer there; move "
                "it back, or compress the run where it is now (model=RUN)"
            )
        settings: FinetuneConfig = saved_configuration("finetune", self.run / "config.yaml")
        settings.task.update(self.config.examples)
        return settings

    @property
    def runtime(self) -> RuntimeConfig:
        """The command's runtime for a training between steps, which is too short to compile for."""
        given = asdict(self.config.runtime)
        return RuntimeConfig(
            **{knob.name: given[knob.name] for knob in fields(RuntimeConfig)} | {"compile": "off"}
        )

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

    @cached_property
    def unlabelled(self) -> list[str]:
        """The texts of `texts=`, in their order; empty ones are left out."""
        return [text for entry in self.config.texts for text in texts_of(entry, whole=True) if text.strip()]

    def texts(self) -> list[str]:
        """Texts of the examples that parts are judged by, in their order.

        Raises:
            UserError: there are none.
        """
        return list(self.examples.texts(self.judging))

    def text_problems(self) -> list[str]:
        """Why there is nothing to calibrate and to score on, in the user's key names."""
        if self.source.facts is None and not self.source.masked_lm:
            return [
                f"model={self.config.model}: an encoder without a head for masked tokens (objective=rtd), so nothing "
                "scores it; fine-tune it, and compress the result"
            ]
        if self.source.facts is None:
            return (
                []
                if self.config.texts
                else [
                    f"model={self.config.model}: was not fine-tuned, so nothing judges its parts and scores it; "
                    "give texts=[FILES]"
                ]
            )
        try:
            settings = self.settings
        except UserError as error:
            return [str(error)]
        found = [f"examples: {problem}" for problem in readers.problems(*named(settings.task))]
        if found:
            return found
        try:
            readers.build(**settings.task).check()
        except UserError as error:
            return [
                f"examples of model={self.config.model}: {error}\n    (as the run had them; others: "
                "+examples.KEY=PLACE, where task.KEY was the run's)"
            ]
        return []


def material_of(config: CompressConfig) -> Material:
    """The material of a command's settings.

    Raises:
        UserError: no model is there.
    """
    source = open_source(ExportConfig(model=config.model, base=config.base, runs_dir=config.runs_dir))
    return Material(config, source)


def text_entry_problems(config: CompressConfig) -> list[str]:
    """Mistakes in `texts`."""
    return entry_problems("texts", config.texts)

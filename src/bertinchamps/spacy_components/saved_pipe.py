"""What the components share: a model that is opened when it is needed, and is saved with the pipeline."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import srsly
from spacy.pipeline.pipe import Pipe
from spacy.tokens import Doc
from spacy.util import minibatch

from bertinchamps.errors import UserError
from bertinchamps.manifests import refuse_damaged
from bertinchamps.model.encoders import without_bars
from bertinchamps.schemas import RuntimeConfig
from bertinchamps.tasks.facts import TaskFacts, read_facts
from bertinchamps.tasks.kinds import Kind, kinds
from bertinchamps.tasks.saved_model import SavedModel, folder_of, open_model
from bertinchamps.training.runtime import resolved, runtime_problems

FORKED = (
    "works in the process that made the pipeline alone: each of several would need a model of its own, and PyTorch's "
    "threads do not survive in a forked process; leave n_process at 1 and raise batch_size instead"
)


class SavedPipe(Pipe):
    """A component of a fine-tuned model, whose files travel with the pipeline.

    Args:
        name: of the component.
        model: a run's directory, or its model/; None: it is read with the pipeline.
        settings: base, batch, device and precision, see `create_ner`.

    Raises:
        UserError: a setting is wrong, or the directory holds no model, or one of another kind. A directory that is not
            there is told when the model is needed: a pipeline on disk brings its own.
    """

    def __init__(self, name: str, model: str | None, settings: Mapping[str, Any]) -> None:
        self.name = name
        self._given, self._settings, self._process = model, settings, os.getpid()
        self._runtime_config = RuntimeConfig(
            device=settings["device"], precision=settings["precision"], compile="off"
        )
        self._folder: Path | None = None
        self._saved: SavedModel | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._facts: TaskFacts | None = None
        wrong = runtime_problems(self._runtime_config)
        if settings["batch"] < 1:
            wrong.append(f"batch={settings['batch']}: must be at least 1")
        if wrong:
            raise UserError("\n".join(f"{name}: {each.removeprefix('runtime.')}" for each in wrong))
        if model is not None and Path(model).expanduser().exists():
            self.use(model)

    def check(self, kind: Kind, facts: TaskFacts) -> str | None:
        """Why a model of this kind is none for this component; None: it is one."""
        raise NotImplementedError

    def annotate(self, docs: list[Doc]) -> None:
        """Write what the model predicts into the documents."""
        raise NotImplementedError

    def use(self, model: str | Path) -> None:
        """Take the model in a directory from now on.

        Raises:
            UserError: there is no model, or one of another kind.
        """
        try:
            folder = folder_of(str(model))
            facts = read_facts(folder)
        except UserError as error:
            raise UserError(f"{self.name}: model={error}") from error
        reason = self.check(kinds.build(facts.kind), facts)
        if reason is not None:
            raise UserError(f"{self.name}: model={model}: {reason}")
        # absolute, because EDS-NLP saves and loads from within the pipeline's directory
        self._folder, self._facts, self._saved = folder.absolute(), facts, None

    @property
    def folder(self) -> Path:
        """The model's directory.

        Raises:
            UserError: there is none.
        """
        if self._folder is None:
            where = "not given, and none came with the pipeline"
            if self._given is not None:
                where = "no such directory here, and no model came with the pipeline"
            raise UserError(
                f"{self.name}: model={self._given}: {where}; give a run of python -m bertinchamps.finetune"
            )
        return self._folder

    @property
    def facts(self) -> TaskFacts:
        """What the model predicts."""
        return self._facts or read_facts(self.folder)

    @property
    def labels(self) -> tuple[str, ...]:
        """Types of entities, or classes."""
        return self._facts.labels if self._facts is not None else ()

    @property
    def saved(self) -> SavedModel:
        """The model, which is opened at the first use.

        Raises:
            UserError: it cannot be read, or another process made the pipeline.
        """
        if os.getpid() != self._process:
            raise UserError(f"{self.name}: {FORKED}")
        if self._saved is None:
            refuse_damaged(self.folder)
            batch, base = self._settings["batch"], self._settings["base"]
            runtime = resolved(self._runtime_config)
            with without_bars():
                self._saved = open_model(self.folder, self.facts, batch, runtime, base)
        return self._saved

    def __call__(self, doc: Doc) -> Doc:
        """Annotate one document."""
        try:
            self.annotate([doc])
        except Exception as error:
            self.get_error_handler()(self.name, self, [doc], error)
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate documents, `batch_size` of them at once; windows of similar length go through the model together."""
        handle = self.get_error_handler()
        for batch in minibatch(stream, size=batch_size):  # type: ignore[no-untyped-call]
            docs = list(batch)
            try:
                self.annotate(docs)
            except Exception as error:
                handle(self.name, self, docs, error)
                continue
            yield from docs

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> dict[str, Any]:
        """Copy the model's files into a directory.

        Returns:
            Settings that differ in the pipeline on disk, for EDS-NLP, which writes them: the model is there.
        """
        del exclude
        place = Path(path)
        if not (place.exists() and place.samefile(self.folder)):
            shutil.copytree(self.folder, place, dirs_exist_ok=True)
        return {"model": None}

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> SavedPipe:
        """Take the model that `to_disk` wrote."""
        del exclude
        self.use(path)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """The model's files."""
        del exclude
        files = sorted(file for file in self.folder.rglob("*") if file.is_file())
        content = {str(file.relative_to(self.folder)): file.read_bytes() for file in files}
        return bytes(srsly.msgpack_dumps(content))

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> SavedPipe:
        """Take the model that `to_bytes` gave; its files are in a temporary directory while the component lives."""
        del exclude
        temporary = tempfile.TemporaryDirectory(prefix="bertinchamps_")
        root = Path(temporary.name)
        for name, content in srsly.msgpack_loads(data).items():
            file = root / name
            if not file.resolve().is_relative_to(root.resolve()):
                raise UserError(f"{self.name}: these bytes are not those of a model")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        self.use(root)
        self._temporary = temporary
        return self

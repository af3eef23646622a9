"""A model whose graph onnxruntime computes on the processor: the same arguments, the same numbers.

FOLDER/model.onnx        the graph in float32
FOLDER/model_int8.onnx   the same with weights of 8 bits
FOLDER/onnx.json         which head's graph it is, and what `compress` chose to compute it
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.model.heads import DownstreamModel, heads

FACTS = "onnx.json"
ENGINE = "engine"  # the key in it: what computes the model, unless runtime.engine says otherwise
FORMAT = 1  # to be raised when old files would be misread
AUTO = "auto"  # what the model's directory says
TORCH = "torch"
FILES = {"onnx": "model.onnx", "onnx_int8": "model_int8.onnx"}  # by engine
ENGINES = (TORCH, *FILES)
SETTINGS = {"onnx": "format=onnx", "onnx_int8": "format=onnx format.int8=true"}  # that write a file


class OnnxModel(nn.Module):
    """Stands for a `DownstreamModel`: is called with the same arguments and returns the same numbers.

    Args:
        file: the graph.
        head: the entry of `heads` whose graph it is.
        threads: of a matrix product.

    Raises:
        UserError: onnxruntime is not installed, or the file is damaged.
    """

    def __init__(self, file: Path, head: str, threads: int) -> None:
        super().__init__()
        self._session = _session(file, threads)
        self._names = [node.name for node in self._session.get_inputs()]
        self._through = cast(type[DownstreamModel], heads.builder(head)).through

    def forward(self, *given: Any) -> torch.Tensor:
        """As the head's `forward`, on the processor."""
        return self._through(self.graph, *given)

    def graph(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The numbers of the file's graph; it may read fewer tensors than there are."""
        ids = tensors["input_ids"]
        given = {
            "attention_mask": torch.ones_like(ids),  # predictors leave it out where nothing is padding
            "token_type_ids": torch.zeros_like(ids),
            **tensors,
        }
        feeds = {name: given[name].numpy() for name in self._names}
        (numbers,) = self._session.run(None, feeds)
        return torch.from_numpy(numbers)


def open_graph(folder: Path, engine: str) -> OnnxModel:
    """The graph of an exported model, on as many threads as PyTorch has.

    Args:
        folder: what `export format=onnx` wrote.
        engine: a key of FILES.

    Raises:
        UserError: no such graph is there, it cannot be read, or onnxruntime is missing.
    """
    file = folder / FILES[engine]
    if not (folder / FACTS).is_file() or not file.is_file():
        raise UserError(
            f"runtime.engine={engine}: no {file.name} in {folder}. Write it with `python -m bertinchamps.export "
            f"model=RUN {SETTINGS[engine]} output=DIR`, and give model=DIR"
        )
    return OnnxModel(file, str(read_graph_facts(folder)["head"]), torch.get_num_threads())


def engine_of(folder: Path, engine: str) -> str:
    """What computes a model.

    Args:
        folder: of the model.
        engine: AUTO, or what was asked for.

    Returns:
        One of ENGINES.

    Raises:
        UserError: the directory's facts are damaged.
    """
    if engine != AUTO:
        return engine
    return str(read_graph_facts(folder).get(ENGINE, TORCH)) if (folder / FACTS).is_file() else TORCH


def read_graph_facts(folder: Path) -> dict[str, Any]:
    """What onnx.json says: `head`, an entry of `heads`, `what` was exported, and of compressed models `engine`.

    Raises:
        UserError: the file is damaged or of another version.
    """
    file = folder / FACTS
    try:
        facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        found, head = facts["format"], facts["head"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: missing or damaged ({type(error).__name__})") from error
    if found != FORMAT or head not in heads.names() or facts.get(ENGINE, TORCH) not in ENGINES:
        raise UserError(
            f"{file}: format {found} with the head {head!r}, which this version of bertinchamps does not read"
        )
    return facts


def refuse_bare_graph(folder: Path) -> None:
    """Raise UserError for a directory that has a graph and no weights, where the engine is PyTorch."""
    if (folder / FACTS).is_file():
        chosen = read_graph_facts(folder).get(ENGINE, "onnx")
        raise UserError(
            f"{folder}: an exported graph without weights for PyTorch; give runtime.engine={chosen}, or the run it "
            "is from"
        )


def missing_runtime() -> str | None:
    """What to install, where onnxruntime is missing."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return "needs onnxruntime, which is not installed: pip install 'bertinchamps[onnx]'"
    return None


def _session(file: Path, threads: int) -> Any:
    if problem := missing_runtime():
        raise UserError(f"{file}: {problem}")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors
    # Threads that spin while they wait take the processor from others, such as the tokenizer.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # several classes of onnxruntime's own
        raise UserError(f"{file}: cannot be read by onnxruntime ({type(error).__name__})") from error

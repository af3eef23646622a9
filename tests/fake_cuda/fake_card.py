"""A CUDA device without a card: the real code runs, and tensors of the device have a shape and a type but no numbers.

`FakeTensorMode` refuses work on tensors of two devices. A mode above it sees each operation first, leaves the host's
own work as it is, answers what reads a number from the device, and notes everything for which the host would wait.
"""

from __future__ import annotations

import ctypes
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from transformers.utils import import_utils

import bertinchamps
from bertinchamps.training.trainer import Trainer

CUDA = torch.device("cuda")
CARD = "NVIDIA H100 80GB HBM3"
PROJECT = str(Path(bertinchamps.__file__).parent)
CUDA_INDEX, META_INDEX = 1, 14  # of c10::DeviceType

aten = torch.ops.aten
INDEXING = {
    aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index.Tensor,
    aten._index_put_impl_.default,
}  # fmt: skip


@dataclass(frozen=True)
class Wait:
    """Something for which the host waits for the device.

    Attributes:
        why: in a few words.
        where: the project's innermost function at that time, as "file.py:function"; empty outside of it.
    """

    why: str
    where: str


class Watch(TorchDispatchMode):
    """Notes what waits for the device, and answers what reads a number from it with 1.

    Attributes:
        waits: so far, without those for events.
        event_waits: so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[Wait] = []
        self.event_waits = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.ops.prim.device.default:  # half of all calls
            return args[0].fake_device
        named = dict(kwargs or {})
        if _of_the_host(args, named):
            with _disable_current_modes():
                return function(*args, **named)
        if torch.is_inference_mode_enabled() and function.namespace == "aten" and function._can_decompose():
            with self:  # what is put together of other operations comes as a whole in this mode
                return function.decompose(*args, **named)
        if function is aten._local_scalar_dense.default:
            return self._number(args[0])
        if function is aten._to_copy.default:
            if named.get("device") == torch.device("meta"):
                named["device"] = CUDA  # the borrowed guard takes "cuda" without a number for its own device
            self._copied(args[0], named.get("device"), bool(named.get("non_blocking")))
        elif function is aten.copy_.default:
            self._copied(args[1], args[0].device, bool(args[2:] and args[2]))
        elif function in INDEXING and _on_card(args[0]):
            args = (args[0], self._indices(args[1]), *args[2:])
        return function(*args, **named)

    def note(self, why: str) -> None:
        """Count something that waits."""
        frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(PROJECT)]
        self.waits.append(Wait(why, f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else ""))

    def _number(self, tensor: Tensor) -> Any:
        if _on_card(tensor):
            self.note("a number of the device is read")
        if tensor.dtype is torch.bool:
            return True
        return 1.0 if tensor.dtype.is_floating_point else 1

    def _indices(self, indices: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Indices without masks: as if all were true in them."""
        plain: list[Tensor | None] = []
        for index in indices:
            if index is not None and index.dtype in (torch.bool, torch.uint8):
                self.note("a mask as an index, which picks as many elements as are true in it")
                plain += torch.empty(index.ndim, index.numel(), dtype=torch.int64, device=CUDA).unbind()
                continue
            if index is not None and not _on_card(index):
                self.note("indices on the host for a tensor of the device")
            plain.append(index)
        return plain

    def _copied(self, source: Tensor, target: torch.device | None, non_blocking: bool) -> None:
        if target is None or target.type == source.device.type:
            return
        if not non_blocking:
            self.note("a copy to the host" if target.type == "cpu" else "a copy from the host")
        elif target.type == "cuda" and not getattr(source, "pinned_by_the_card", False):
            self.note("a copy from memory that is not pinned")


def _of_the_host(args: Any, named: dict[str, Any]) -> bool:
    """Whether an operation has nothing to do with the device, nor with what came from it."""
    values = pytree.tree_leaves((args, named))
    devices = [value for value in values if isinstance(value, torch.device)]
    tensors = [value for value in values if isinstance(value, Tensor)]
    return all(device.type == "cpu" for device in devices) and not any(
        isinstance(tensor, FakeTensor) for tensor in tensors
    )


def _on_card(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == "cuda"


@contextmanager
def fake_card(patch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Within this context, tensors of a device named "cuda" can be made.

    Args:
        patch: undone by whoever made it.
    """
    watch = Watch()
    _stand_in_for_the_driver(patch, watch)
    with _device_guard(), FakeTensorMode(allow_non_fake_inputs=True), watch:
        yield watch


@contextmanager
def _device_guard() -> Iterator[None]:
    """Let autograd keep metadata of CUDA tensors, for which it asks the device's guard, in a build that has none.

    The guard of `meta` does nothing, which is right for tensors without numbers.
    """
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    try:
        guards = (ctypes.c_void_p * 20).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    except ValueError:
        pytest.skip("this build of PyTorch does not show its device guards")
    own = guards[CUDA_INDEX]
    guards[CUDA_INDEX] = own or guards[META_INDEX]
    try:
        yield
    finally:
        guards[CUDA_INDEX] = own


def _stand_in_for_the_driver(patch: pytest.MonkeyPatch, watch: Watch) -> None:
    """What asks the driver, or needs numbers, and no more."""

    class Event:
        def __init__(self, *args: Any, **named: Any) -> None: ...

        def record(self, stream: Any = None) -> None: ...

        def synchronize(self) -> None:
            watch.event_waits += 1

    def pinned(tensor: Tensor) -> Tensor:
        copy = tensor.clone()
        copy.pinned_by_the_card = True  # type: ignore[attr-defined]
        return copy

    def numpy(tensor: Tensor, **named: Any) -> Any:
        if not isinstance(tensor, FakeTensor):
            return to_numpy(tensor, **named)
        assert tensor.device.type == "cpu", "numpy() of a tensor that is not on the host"
        with _disable_current_modes():
            return np.zeros(tuple(tensor.shape), to_numpy(torch.empty(0, dtype=tensor.dtype)).dtype)

    to_numpy = Tensor.numpy
    patch.setattr(Tensor, "numpy", numpy)
    patch.setattr(Tensor, "pin_memory", pinned)
    patch.setattr(torch.cuda, "Event", Event)
    patch.setattr(torch.cuda, "synchronize", lambda device=None: watch.note("all work of the device"))
    patch.setattr(torch.cuda, "get_device_name", lambda device=None: CARD)
    patch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    patch.setattr(torch.autograd, "backward", _backward)
    patch.setattr(
        torch._C, "_current_graph_task_id", lambda: 0
    )  # recomputed activations ask which pass it is
    patch.setattr(
        import_utils, "is_fake_tensor", lambda tensor: False
    )  # transformers then behaves as on a card


def waits_of_updates(trainer: Trainer, watch: Watch) -> list[Wait]:
    """What updates will wait for, apart from evaluations and whatever else happens between them."""
    waits: list[Wait] = []
    update = trainer._update

    def watched(*args: Any) -> bool:
        before = len(watch.waits)
        try:
            return update(*args)
        finally:
            waits.extend(watch.waits[before:])

    trainer._update = watched  # type: ignore[method-assign]
    return waits


def _backward(root: Tensor, gradient: Tensor | None = None, *args: Any, **named: Any) -> None:
    """The backward pass, node by node: autograd's own engine asks for streams of the device."""
    assert gradient is None
    received: dict[Any, list[Tensor | None]] = {}
    with torch.no_grad():
        _hand_on(received, root.grad_fn, 0, torch.ones_like(root))
        for node in _in_order(root.grad_fn):
            gradients = received.pop(node, None)
            if gradients is None:
                continue
            if hasattr(node, "variable"):
                _accumulate(node.variable, gradients[0])
                continue
            produced = node(*gradients)
            produced = produced if isinstance(produced, tuple) else (produced,)
            for (following, place), one in zip(node.next_functions, produced, strict=True):
                if following is not None and one is not None:
                    _hand_on(received, following, place, one)


def _in_order(root: Any) -> list[Any]:
    """Nodes of the graph, each before those that it hands gradients to."""
    finished: list[Any] = []
    seen, stack = {root}, [(root, iter(root.next_functions))]
    while stack:
        node, edges = stack[-1]
        for following, _ in edges:
            if following is not None and following not in seen:
                seen.add(following)
                stack.append((following, iter(following.next_functions)))
                break
        else:
            finished.append(node)
            stack.pop()
    return finished[::-1]


def _hand_on(received: dict[Any, list[Tensor | None]], node: Any, place: int, gradient: Tensor) -> None:
    """Add a gradient to those that a node waits for, after the checks that the engine makes."""
    expected = node._input_metadata[place]
    assert gradient.device == expected.device, f"{node.name()}: a gradient on {gradient.device}"
    gradient = gradient.sum_to_size(expected.shape).to(expected.dtype)
    slots = received.setdefault(node, [None] * len(node._input_metadata))
    already = slots[place]
    slots[place] = gradient if already is None else already + gradient


def _accumulate(parameter: Tensor, gradient: Tensor | None) -> None:
    if gradient is None:
        return
    parameter.grad = gradient.detach() if parameter.grad is None else parameter.grad + gradient

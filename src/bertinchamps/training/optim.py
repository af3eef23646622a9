"""Optimizers with their parameter groups.

Each group keeps its base learning rate (`base_lr`); the engine sets `lr` to `base_lr` × schedule(progress).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.registry import Registry
from bertinchamps.training.depths import depths_of, layers_in
from bertinchamps.training.muon import Muon


class Optimizer(Protocol):
    """What the engine calls; every `torch.optim.Optimizer` has it."""

    @property
    def param_groups(self) -> list[dict[str, Any]]: ...
    @property
    def state(self) -> Mapping[Any, Mapping[str, Any]]: ...  # of each parameter, moments among them
    def step(self) -> Any: ...
    def zero_grad(self, set_to_none: bool = True) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


RATE_TIMES_WIDTH = (
    0.1  # of learning_rate=null: 4e-4 for a hidden size of 256, 1.3e-4 for 768 (docs/results.md)
)
optimizers: Registry[Optimizer] = Registry("optimizer", "optim")


@optimizers.register("adamw")
def adamw(
    model: nn.Module,
    learning_rate: float | None = 1e-3,
    weight_decay: float = 0.01,
    betas: Iterable[float] = (0.9, 0.98),
    epsilon: float = 1e-12,
    layer_decay: float = 1.0,
) -> Optimizer:
    """AdamW (Loshchilov and Hutter, 2019), fused, without decay on biases, norms and other vectors.

    Args:
        model: whose parameters are trained.
        learning_rate: None: RATE_TIMES_WIDTH / hidden size, because the best rate of fine-tuning falls with the width
            (as Adam's rate of hidden matrices in μP: Yang et al., 2022).
        weight_decay: decoupled decay, for matrices only.
        betas: of the running means.
        epsilon: added to the root of the second mean.
        layer_decay: the rate of each layer, in shares of that of the layer above; of the embeddings, in shares of that
            of the first layer (as in ULMFiT: Howard and Ruder, 2018). 1: one rate for all.

    Raises:
        UserError: `learning_rate` is None, and the model has no configuration with a hidden size.
    """
    rate = rate_by_width(model) if learning_rate is None else learning_rate
    if layer_decay == 1:
        return _adamw({rate: list(_trained(model))}, weight_decay, betas, epsilon)
    depths, top = depths_of(model), layers_in(model) + 1
    by_rate: dict[float, list[nn.Parameter]] = {}
    for depth in range(top, -1, -1):  # from above, so that the rate that is logged is the highest one
        chosen = [parameter for parameter in _trained(model) if depths[id(parameter)] == depth]
        by_rate[rate * layer_decay ** (top - depth)] = chosen
    return _adamw(by_rate, weight_decay, betas, epsilon)


def rate_by_width(model: nn.Module) -> float:
    """The learning rate for fine-tuning an encoder of transformers, by its hidden size.

    Raises:
        UserError: no part of the model has a configuration with a hidden size.
    """
    for part in model.modules():
        width = getattr(getattr(part, "config", None), "hidden_size", None)
        if width:
            return float(RATE_TIMES_WIDTH / width)
    raise UserError(f"optim.learning_rate=null: {type(model).__name__} has no hidden size; give a rate")


@optimizers.register("muon")
def muon(
    model: nn.Module,
    matrix_learning_rate: float = 0.006,
    momentum: float = 0.95,
    learning_rate: float | None = 5e-3,
    weight_decay: float = 0.01,
    betas: Iterable[float] = (0.9, 0.98),
    epsilon: float = 1e-8,
) -> Optimizer:
    """Muon (Jordan et al., 2024) for the matrices inside the layers, AdamW for embeddings and vectors.

    Args:
        model: Muon trains the weights of the `nn.Linear`s in its `nn.ModuleList`s.
        matrix_learning_rate: Muon's learning rate, scaled by 0.2 sqrt(max(rows, columns)) for each matrix. So scaled,
            Muon's updates are as large as AdamW's at the same rate (Liu et al., 2025).
        momentum: Nesterov momentum of Muon.
        learning_rate: AdamW's rate; None: as for `adamw`.
        weight_decay: decoupled decay, for matrices only.
        betas: AdamW's.
        epsilon: AdamW's.

    Raises:
        UserError: the model has no `nn.Linear` in an `nn.ModuleList`.
    """
    chosen = {id(weight) for weight in _weights_of_layers(model)}
    matrices = [p for p in model.parameters() if id(p) in chosen]
    if not matrices:
        raise UserError(
            f"optim=muon: {type(model).__name__} has no linear maps in a list of layers, which are what Muon trains; "
            "use optim=adamw"
        )
    rest = [p for p in _trained(model) if id(p) not in chosen]
    matrix_part = Muon(matrices, matrix_learning_rate, momentum, weight_decay)
    rate = rate_by_width(model) if learning_rate is None else learning_rate
    return CombinedOptimizer([matrix_part, _adamw({rate: rest}, weight_decay, betas, epsilon)])


def _trained(model: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters of a model that are not frozen."""
    return (parameter for parameter in model.parameters() if parameter.requires_grad)


def _weights_of_layers(model: nn.Module) -> Iterator[torch.Tensor]:
    """Weights of the `nn.Linear`s in every `nn.ModuleList`, whatever an architecture calls its layers."""
    for layers in model.modules():
        if isinstance(layers, nn.ModuleList):
            for part in layers.modules():
                if isinstance(part, nn.Linear) and part.weight.requires_grad:
                    yield part.weight


def optimizer_problems(name: str, settings: Mapping[str, Any]) -> list[str]:
    """Mistakes in an optimizer's settings, in the user's key names."""
    problems = optimizers.problems(name, settings, given=("model",))
    if problems:
        return problems
    for key, value in settings.items():
        numbers = value if isinstance(value, list) else [value]
        if key.endswith("learning_rate"):
            if value is not None and not 0 < value < math.inf:
                problems.append(f"optim.{key}={value}: must be a number above 0")
        elif not all(isinstance(number, int | float) and 0 <= number < math.inf for number in numbers):
            problems.append(f"optim.{key}={value}: must be a number of at least 0")
    decay = settings.get("layer_decay", 1.0)
    if not 0 < decay <= 1:
        problems.append(f"optim.layer_decay={decay}: above 0 and up to 1, such as 0.9; 1: one rate for all")
    betas = settings.get("betas", [0.9, 0.98])
    if len(betas) != 2 or any(beta >= 1 for beta in betas):
        problems.append(f"optim.betas={betas}: two numbers from 0 up to, but not including, 1")
    return problems


class CombinedOptimizer:
    """Several optimizers over disjoint parameters, called as one.

    Attributes:
        found_inf: scalar tensor, set by the caller or absent; above zero: `step` changes nothing.
    """

    def __init__(self, parts: list[Optimizer]) -> None:
        self.parts = parts
        # True: torch.amp.GradScaler sets `found_inf` and does not synchronise
        self._step_supports_amp_scaling = all(
            getattr(part, "_step_supports_amp_scaling", False) for part in parts
        )
        for part in parts:
            for group in part.param_groups:
                group.setdefault("base_lr", group["lr"])

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    @property
    def state(self) -> Mapping[Any, Mapping[str, Any]]:
        return {parameter: state for part in self.parts for parameter, state in part.state.items()}

    def step(self) -> None:
        found_inf = getattr(self, "found_inf", None)
        for part in self.parts:
            if found_inf is None:
                part.step()
            else:
                step_unless(found_inf, part)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return {str(index): part.state_dict() for index, part in enumerate(self.parts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for index, part in enumerate(self.parts):
            part.load_state_dict(state_dict[str(index)])


def step_unless(found_inf: torch.Tensor, optimizer: Optimizer) -> None:
    """Step, unless `found_inf` is above zero: the kernels decide it on the device, so the host does not synchronise.

    Args:
        found_inf: scalar, on the device of the parameters.
        optimizer: with `_step_supports_amp_scaling`, such as torch's fused optimizers.
    """
    guarded: Any = optimizer
    guarded.found_inf = found_inf  # as torch.amp.GradScaler sets it
    try:
        optimizer.step()
    finally:
        del guarded.found_inf


def _decays(parameter: nn.Parameter) -> bool:
    """Whether weights decay: matrices do, unless their `_no_weight_decay` is set."""
    return parameter.ndim >= 2 and not getattr(parameter, "_no_weight_decay", False)


def _adamw(
    by_rate: Mapping[float, list[nn.Parameter]],
    weight_decay: float,
    betas: Iterable[float],
    epsilon: float,
) -> Optimizer:
    first, second = betas
    groups = [
        {"params": chosen, "lr": rate, "weight_decay": decay}
        for rate, parameters in by_rate.items()
        for chosen, decay in (
            ([p for p in parameters if _decays(p)], weight_decay),
            ([p for p in parameters if not _decays(p)], 0.0),
        )
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        betas=(first, second),
        eps=epsilon,
        fused=True,
    )
    for group in optimizer.param_groups:
        group["base_lr"] = group["lr"]
    return optimizer

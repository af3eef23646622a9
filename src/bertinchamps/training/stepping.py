"""From gradients to new weights: scaled losses for fp16, clipping, and no step on what is not a finite number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from bertinchamps.training.optim import Optimizer, step_unless
from bertinchamps.training.runtime import Runtime

SMALLEST_SCALE = 1.0  # below it gradients would lose what fp16 can hold: the loss itself is at fault then


class Stepping:
    """Steps of an optimizer.

    In fp16 the loss is scaled so that small gradients do not vanish; where one overflows, the step is left out and
    the scale halved (Micikevicius et al., 2018: "Mixed precision training"; torch.amp.GradScaler does it).

    Args:
        optimizer: of the model.
        runtime: device and precision.
        clipping: largest gradient norm; infinity for none.
        scaling: state of the loss scale that an earlier part of the run left.

    Attributes:
        waits: True: the host reads loss and gradient norm before each step, which synchronises. False (CUDA, an
            optimizer that reads `found_inf`): the optimizer's kernels skip a step whose loss or norm is not finite,
            and all steps after it.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        runtime: Runtime,
        clipping: float | None,
        scaling: Mapping[str, Any] | None = None,
    ) -> None:
        self._optimizer = optimizer
        self._clipping = math.inf if clipping is None else clipping
        self._scaler = None
        if runtime.autocast_dtype is torch.float16:
            self._scaler = torch.amp.GradScaler(runtime.device.type)
            if scaling is not None:
                self._scaler.load_state_dict(dict(scaling))
        skips = bool(getattr(optimizer, "_step_supports_amp_scaling", False))
        self.waits = not (runtime.asynchronous and skips)
        self._broken = torch.zeros((), device=runtime.device)  # 1 from the first step that was left out on

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss whose gradient is asked for."""
        return loss if self._scaler is None else self._scaler.scale(loss)

    def clip(self, parameters: Iterable[nn.Parameter]) -> Tensor:
        """Scale gradients back and clip them; their norm before that, a scalar on the device."""
        if self._scaler is not None:
            self._scaler.unscale_(cast(torch.optim.Optimizer, self._optimizer))
        return nn.utils.clip_grad_norm_(parameters, self._clipping)

    def step(self, numbers: Tensor) -> None:
        """Change the weights; not where one of the numbers [K], loss and gradient norm, is not finite."""
        if self._scaler is not None:
            self._scaler.step(cast(torch.optim.Optimizer, self._optimizer))
            self._scaler.update()
        elif self.waits:
            self._optimizer.step()
        else:
            self._broken = torch.maximum(self._broken, (~numbers.isfinite().all()).float())
            step_unless(self._broken, self._optimizer)

    def forgives(self) -> bool:
        """Whether a number that is not finite was only fp16's overflow, which a smaller scale mends. Waits."""
        return self._scaler is not None and self._scaler.get_scale() >= SMALLEST_SCALE

    def state(self) -> dict[str, Any] | None:
        """JSON-able state of the loss scale, if there is one. Waits for the device."""
        return None if self._scaler is None else self._scaler.state_dict()

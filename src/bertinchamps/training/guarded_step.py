"""From gradients to new weights: the loss scale of fp16, clipping, and no step on a non-finite loss or norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from bertinchamps.contract import Batch
from bertinchamps.training.optim import Optimizer, step_unless
from bertinchamps.training.runtime import Runtime

SMALLEST_SCALE = 1.0  # a loss scale below it would not mend an overflow: the loss itself is non-finite


class GuardedStep:
    """Clips gradients and steps the optimizer, unless the loss or the gradient norm is not finite.

    In fp16 `torch.amp.GradScaler` scales the loss so that small gradients do not underflow. Where a gradient
    overflows, it skips the step and halves the scale (Micikevicius et al., 2018: "Mixed precision training").

    Args:
        optimizer: of the model.
        runtime: device and precision.
        clipping: largest gradient norm; None: no clipping.
        scaling: state of the loss scale, from a checkpoint.

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
        self._broken = torch.zeros((), device=runtime.device)  # 1 from the first skipped step on

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss to call `backward` on."""
        return loss if self._scaler is None else self._scaler.scale(loss)

    def backward(self, loss_sum: Callable[[], Tensor], batch: Batch, targets: int) -> Tensor:
        """Add the gradient of a micro-batch.

        Args:
            loss_sum: computes its loss, summed over its targets.
            batch: the micro-batch.
            targets: of the whole update.

        Returns:
            Its part of the mean loss, on the device.
        """
        del batch
        loss = loss_sum() / targets
        self.scaled(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def clip(self, parameters: Iterable[nn.Parameter]) -> Tensor:
        """Unscale and clip the gradients.

        Returns:
            The gradient norm before clipping, a scalar on the device.
        """
        if self._scaler is not None:
            self._scaler.unscale_(cast(torch.optim.Optimizer, self._optimizer))
        return nn.utils.clip_grad_norm_(parameters, self._clipping)

    def step(self, numbers: Tensor) -> None:
        """Step, unless one of `numbers` [K] (loss and gradient norm) is not finite."""
        if self._scaler is not None:
            self._scaler.step(cast(torch.optim.Optimizer, self._optimizer))
            self._scaler.update()
        elif self.waits:
            self._optimizer.step()
        else:
            self._broken = torch.maximum(self._broken, (~numbers.isfinite().all()).float())
            step_unless(self._broken, self._optimizer)

    def forgives(self) -> bool:
        """True: a non-finite number came from fp16's overflow, which a smaller loss scale mends. Synchronises."""
        return self._scaler is not None and self._scaler.get_scale() >= SMALLEST_SCALE

    def recover(self) -> None:
        """Step again, after a skipped step was left out."""
        self._broken.zero_()

    def state(self) -> dict[str, Any] | None:
        """JSON-able state of the loss scale; None without one. Synchronises."""
        return None if self._scaler is None else self._scaler.state_dict()

"""A guarded step on the noisy sum of clipped gradients of records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from bertinchamps.contract import Batch
from bertinchamps.errors import UserError
from bertinchamps.training.guarded_step import GuardedStep
from bertinchamps.training.optim import Optimizer
from bertinchamps.training.privacy.private_run import PrivateRun
from bertinchamps.training.runtime import Runtime


class PrivateStep(GuardedStep):
    """`GuardedStep` whose gradients are private before anything else sees them.

    The clipping of the whole gradient (`clipping`) follows the noise, and so costs no privacy.

    Args:
        optimizer: of the model.
        runtime: device and precision.
        clipping: largest norm of the noisy gradient; None: no such clipping.
        scaling: of fp16, which is refused.
        private: of the run.

    Raises:
        UserError: the precision is fp16.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        runtime: Runtime,
        clipping: float | None,
        scaling: Mapping[str, Any] | None,
        private: PrivateRun,
    ) -> None:
        super().__init__(optimizer, runtime, clipping, scaling)
        if self._scaler is not None:
            raise UserError(
                "runtime.precision: fp16 scales gradients, which privacy does not go with; set fp32"
            )
        self._private = private

    def backward(self, loss_sum: Callable[[], Tensor], batch: Batch, targets: int) -> Tensor:
        """Add the clipped gradients of the records that end in a micro-batch."""
        return self._private.add(loss_sum, batch) / targets

    def clip(self, parameters: Iterable[nn.Parameter]) -> Tensor:
        """Make gradients of the sum and noise, and clip them; returns their norm before."""
        self._private.set_gradients()
        return super().clip(parameters)

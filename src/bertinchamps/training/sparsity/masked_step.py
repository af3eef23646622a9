"""A guarded step that keeps masked weights, their gradients and their moments at zero."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from bertinchamps.training.guarded_step import GuardedStep
from bertinchamps.training.optim import Optimizer
from bertinchamps.training.runtime import Runtime
from bertinchamps.training.sparsity.masks import Masks


class MaskedStep(GuardedStep):
    """`GuardedStep` with masks. All of it runs in place and outside of compiled functions.

    Gradients are masked before their norm is computed, so clipping sees what is trained, and moments stay zero by
    themselves. Weights are masked after the step, because Muon's orthogonalised updates are dense.

    Args:
        optimizer: of the model.
        runtime: device and precision.
        clipping: largest gradient norm; None: no clipping.
        scaling: state of the loss scale, from a checkpoint.
        masks: of the model.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        runtime: Runtime,
        clipping: float | None,
        scaling: Mapping[str, Any] | None,
        masks: Masks,
    ) -> None:
        super().__init__(optimizer, runtime, clipping, scaling)
        self._masks = masks

    def set_progress(self, progress: float) -> None:
        """Change the masks as this progress asks for, before the update's first forward pass."""
        if self._masks.advance(progress):
            self._masks.mask_moments(self._optimizer.state)

    def clip(self, parameters: Iterable[nn.Parameter]) -> Tensor:
        """Unscale, mask and clip the gradients; returns the norm of the masked ones before clipping."""
        self._masks.mask_gradients()
        return super().clip(parameters)

    def step(self, numbers: Tensor) -> None:
        """Step, and set to zero what the step made of masked weights; a step that is left out changes nothing."""
        super().step(numbers)
        self._masks.mask_weights()

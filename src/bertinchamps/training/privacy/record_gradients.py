"""The sum of the clipped gradients of records: one record a pass, or several in a pass through Opacus' hooks.

Shapes: B examples of a micro-batch, D records, P entries of a weight.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bertinchamps.contract import RecordRows
from bertinchamps.errors import UserError
from bertinchamps.training.privacy.accounting import opacus_module

SMALL = 1e-6  # added to a norm, as Opacus does


class HooksFail(UserError):
    """Opacus' hooks do not give the gradients of examples for this model."""


class RecordGradients:
    """Clips the gradient of each record, and adds it up.

    A record's gradient is that of the mean loss over its targets, over all weights that are trained. One that is not
    finite counts as zero, so that no record can do more than `clip` allows.

    Args:
        model: whose weights are trained.
        clip: largest norm of a record's gradient.
        together: several records may go through the model in one pass.

    Raises:
        HooksFail: they may not.

    Attributes:
        weights: those that are trained.
        clip: may be changed.
    """

    def __init__(self, model: nn.Module, clip: float, together: bool) -> None:
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        self.clip = clip
        self._model = model
        self._hooks = _hooks_on(model) if together else None
        self._catch(False)
        self.begin()

    def begin(self) -> None:
        """Forget what was added, and what an interrupted pass left."""
        self._sums = [torch.zeros_like(weight) for weight in self.weights]
        self._clear()
        if self._hooks is not None:
            for part in self._model.modules():
                part.__dict__.pop("activations", None)
                part.__dict__.pop("max_batch_len", None)
            for weight in self.weights:
                counted: Any = weight
                counted._forward_counter = 0

    def detach(self) -> None:
        """Take the hooks off the model."""
        self.begin()
        if self._hooks is not None:
            self._hooks.cleanup()

    @property
    def sums(self) -> list[Tensor]:
        """Of the clipped gradients, for each weight."""
        return self._sums

    def add(self, loss_sum: Callable[[], Tensor], records: RecordRows) -> Tensor:
        """Add the gradients of a micro-batch.

        Args:
            loss_sum: computes the loss, summed over the targets of the micro-batch.
            records: of its examples. A record that does not end here goes on alone in the next micro-batch.

        Returns:
            The loss, detached.

        Raises:
            HooksFail: Opacus' hooks do not see a weight of this model as one that each example uses by itself.
        """
        order = list(dict.fromkeys(records.of_rows))
        several = len(order) > 1
        self._catch(several)
        loss = loss_sum()
        if several:
            loss.backward()  # type: ignore[no-untyped-call]
            self._add_several(records, order)
            self._clear()
        else:
            (loss / records.targets[order[0]]).backward()  # type: ignore[no-untyped-call]
            if records.whole:
                self._add_one()
                self._clear()
        return loss.detach()

    @torch.no_grad()
    def _add_one(self) -> None:
        """The gradient that `grad` has accumulated."""
        pairs = [(total, weight.grad) for total, weight in zip(self._sums, self.weights, strict=True)]
        held = [(total, gradient) for total, gradient in pairs if gradient is not None]
        if not held:
            return
        sums, gradients = [total for total, _ in held], [gradient for _, gradient in held]
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        if norm.isfinite():
            torch._foreach_mul_(gradients, (self.clip / (norm + SMALL)).clamp(max=1.0))
            torch._foreach_add_(sums, gradients)

    @torch.no_grad()
    def _add_several(self, records: RecordRows, order: Sequence[int]) -> None:
        """The gradients that Opacus' hooks have caught of each example."""
        device = self.weights[0].device
        targets = torch.tensor([records.targets[record] for record in order], device=device)  # [D]
        rows = torch.tensor([order.index(record) for record in records.of_rows], device=device)
        member = (rows == torch.arange(len(order), device=device)[:, None]).float()  # [D, B]
        caught = [self._caught(weight, len(rows)) for weight in self.weights]
        gradients = [each if len(order) == len(rows) else member @ each for each in caught]  # [D, P]
        norms = torch.stack([each.norm(dim=1) for each in gradients]).norm(dim=0) / targets
        finite = norms.isfinite()
        shares = torch.where(finite, (self.clip / (norms + SMALL)).clamp(max=1.0), 0.0) / targets
        if not bool(finite.all()):
            gradients = [torch.where(finite[:, None], each, 0.0) for each in gradients]
        for total, each in zip(self._sums, gradients, strict=True):
            total += (shares @ each).view_as(total)

    def _caught(self, weight: Any, rows: int) -> Tensor:
        """The gradients [B, P] of a weight, in float32."""
        found = weight.grad_sample
        if weight.grad is None and found is None:
            return torch.zeros(rows, weight.numel(), device=weight.device)
        if not isinstance(found, Tensor) or len(found) != rows:
            raise HooksFail("Opacus' hooks do not see a weight as one that each example uses by itself")
        return found.float().flatten(1)

    def _catch(self, several: bool) -> None:
        """Let Opacus' hooks catch the gradients of examples, or leave them off."""
        if self._hooks is not None:
            if several:
                self._hooks.enable_hooks()
            else:
                self._hooks.disable_hooks()

    def _clear(self) -> None:
        for weight in self.weights:
            weight.grad = None
            if self._hooks is not None:
                caught: Any = weight
                caught.grad_sample = None


def _hooks_on(model: nn.Module) -> Any:
    """Opacus' hooks on the modules of a model, which stays of its class.

    Raises:
        HooksFail: there are no right ones for a module.
    """
    base = opacus_module("grad_sample").GradSampleHooks

    class Hooks(base):  # type: ignore[misc, valid-type]
        """Computes the gradient of a norm without a bias from its forward pass: Opacus 1.6 expects the bias."""

        def _get_module_type(self, module: nn.Module) -> Any:
            without_bias = isinstance(module, nn.LayerNorm) and module.bias is None
            return object if without_bias else super()._get_module_type(module)

    for part in model.modules():
        own = any(weight.requires_grad for weight in part.parameters(recurse=False))
        if own and type(part) not in base.GRAD_SAMPLERS and any(part.children()):
            # Opacus would compute the part again, with other random numbers for its dropout.
            raise HooksFail(f"Opacus' hooks do not know {type(part).__name__}, which has parts")
    # The lowest trained map reads frozen embeddings, which is what PyTorch warns of.
    warnings.filterwarnings("ignore", message="Full backward hook is firing when gradients are computed")
    try:
        return Hooks(model, loss_reduction="sum")
    except NotImplementedError as error:
        raise HooksFail("Opacus' hooks do not know a module with buffers") from error

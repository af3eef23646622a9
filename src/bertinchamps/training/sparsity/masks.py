"""The masks of a run: applied to weights and gradients, saved in checkpoints, and told of.

CHECKPOINT/resume/sparsity.safetensors    masks, a bit a weight, and their stage
MODEL/sparsity.json                       what the zeros of saved weights come from, and how many there are
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bertinchamps.schemas import Node
from bertinchamps.training.hook import Hook
from bertinchamps.training.sparsity import Sparsity, sparsities
from bertinchamps.training.sparsity.matrices import matrices_of

STATE = "sparsity.safetensors"
FACTS = "sparsity.json"
FORMAT = 1  # to be raised when old files would be misread


class Masks(Hook):
    """Which weights of a model may be other than zero; a hook, because checkpoints hold it.

    Every process has masks of its own, and all of them agree: they follow from the seed, the weights and progress.

    Args:
        node: {name, **settings} of the variant.
        variant: decides the masks.
        matrices: the weights that may be masked, by the name of their module.
        seed: of the run.

    Attributes:
        densities: share of each matrix that may be other than zero; all matrices are in it.
    """

    def __init__(
        self, node: Node, variant: Sparsity, matrices: Mapping[str, nn.Parameter], seed: int
    ) -> None:
        self._node, self._variant, self._matrices, self._seed = node, variant, matrices, seed
        self._stage = 0
        self._take(variant.masks(0, matrices, {}, seed))
        self.mask_weights()

    def _take(self, masks: dict[str, Tensor]) -> None:
        self._masks = masks
        self._masked = [self._matrices[name] for name in masks]
        kept = {name: int(mask.sum()) for name, mask in masks.items()}
        self.densities = {
            name: kept[name] / weight.numel() if name in kept else 1.0
            for name, weight in self._matrices.items()
        }

    def advance(self, progress: float) -> bool:
        """Change the masks where progress asks for it, and set the weights to zero; returns whether they changed."""
        stage = self._variant.stage_at(progress)
        if stage <= self._stage:
            return False
        self._stage = stage
        self._take(self._variant.masks(stage, self._matrices, self._masks, self._seed))
        self.mask_weights()
        return True

    @torch.no_grad()
    def mask_weights(self) -> None:
        """Set the masked weights to zero."""
        _multiply(list(self._masked), list(self._masks.values()))

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """Set the gradients of masked weights to zero; one that is not finite stays so, and refuses the update."""
        pairs = zip(self._masked, self._masks.values(), strict=True)
        given = [(weight.grad, mask) for weight, mask in pairs if weight.grad is not None]
        _multiply([gradient for gradient, _ in given], [mask for _, mask in given])

    @torch.no_grad()
    def mask_moments(self, state: Mapping[Any, Mapping[str, Any]]) -> None:
        """Set the moments of masked weights to zero: every tensor of a weight's state that has its shape."""
        for weight, mask in zip(self._masked, self._masks.values(), strict=True):
            for moment in state.get(weight, {}).values():
                if isinstance(moment, Tensor) and moment.shape == weight.shape:
                    moment.mul_(mask)

    @property
    def zeros(self) -> float:
        """The share of the matrices' weights that is held at zero."""
        total = sum(weight.numel() for weight in self._matrices.values())
        kept = sum(self.densities[name] * weight.numel() for name, weight in self._matrices.items())
        return 1 - kept / total

    def facts(self) -> dict[str, Any]:
        """What is told of the zeros, JSON-able."""
        weights = sum(weight.numel() for weight in self._matrices.values())
        return {"format": FORMAT, "sparsity": dict(self._node), "zeros": self.zeros, "weights": weights}

    def write_facts(self, folder: Path) -> None:
        """Write sparsity.json into a model's directory."""
        (folder / FACTS).write_text(json.dumps(self.facts(), indent=2), encoding="utf-8")

    def describe(self, flops: float, dense_flops: float) -> Iterator[str]:
        """What is held at zero, and which FLOPs are counted.

        Args:
            flops: per token, at the density of this moment.
            dense_flops: per token, of the model without zeros.
        """
        weights = sum(weight.numel() for weight in self._matrices.values())
        yield f"sparsity   {self.zeros:.1%} of {weights:,} weights are zero now: {self._variant.describe()}"
        yield (
            f"note       FLOPs are counted at the density of the moment, {flops / 1e9:.4g} GFLOP a token now and "
            f"{dense_flops / 1e9:.4g} dense; MFU is of the dense ones, since an update takes as long as a dense one"
        )

    def save(self, folder: Path) -> None:
        """Write the masks into a checkpoint's `resume` folder."""
        packed = {
            name: torch.from_numpy(np.packbits(mask.cpu().numpy())) for name, mask in self._masks.items()
        }
        save_file(packed, folder / STATE, metadata={"stage": str(self._stage)})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        with safe_open(folder / STATE, framework="pt") as file:
            self._stage = int(file.metadata()["stage"])
            saved = set(file.keys())
            names = [name for name in self._matrices if name in saved]
            self._take({name: _unpacked(file.get_tensor(name), self._matrices[name]) for name in names})


def build_masks(node: Node, model: nn.Module, seed: int, frozen: bool = False) -> Masks | None:
    """The masks of a model that is about to be trained; None where all weights are, or no matrix of the layers is.

    Args:
        node: {name, **settings} of the variant.
        model: about to be trained.
        seed: of the run.
        frozen: weights that are not trained have masks, too: they are saved, told of, and counted at their density.

    Raises:
        UserError: the variant does not fit the model.
    """
    variant = sparsities.build(**node)
    matrices = matrices_of(model, frozen) if variant.holds_zeros else {}
    return Masks(node, variant, matrices, seed) if matrices else None


def read_facts(folder: Path) -> dict[str, Any] | None:
    """What sparsity.json says of the weights in a model's directory; None where it is missing or of another version."""
    try:
        facts = json.loads((folder / FACTS).read_bytes())
        return facts if facts["format"] == FORMAT and 0 <= facts["zeros"] < 1 else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def carry_facts(folder: Path, model: nn.Module, place: Path) -> None:
    """Write sparsity.json for a model that was made of a sparse one, with the zeros that it has now.

    Args:
        folder: of the model that it was made of; where that has no sparsity.json, nothing is written.
        model: the new one.
        place: its directory.
    """
    if (facts := read_facts(folder)) is None:
        return
    weights = list(matrices_of(model, frozen=True).values())
    total, zeros = sum(each.numel() for each in weights), sum(int((each == 0).sum()) for each in weights)
    if zeros:
        told = {**facts, "zeros": zeros / total, "weights": total}
        (place / FACTS).write_text(json.dumps(told, indent=2), encoding="utf-8")


def _multiply(tensors: list[Any], masks: list[Tensor]) -> None:
    if tensors:
        torch._foreach_mul_(tensors, masks)


def _unpacked(bits: Tensor, weight: Tensor) -> Tensor:
    """The mask [R, C] of a weight, from bytes of eight entries."""
    flat = np.unpackbits(bits.numpy(), count=weight.numel())
    return torch.from_numpy(flat).bool().view(weight.shape).to(weight.device)

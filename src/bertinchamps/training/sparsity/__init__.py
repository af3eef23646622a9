"""Weights that are held at zero while training, one file a variant (`sparsity=NAME`).

    sparsities.build("static", level=0.75)    zeros at random places, from the first update on
    sparsities.build("keep")                  zeros of the model that is trained further, or fine-tuned

A variant says which weights may be other than zero, and when that changes. `masks.py` holds the masks of a run,
`masked_step.py` keeps gradients, moments and weights at zero, and `counting.py` counts the FLOPs. Masked are the
matrices of the encoder's layers (`matrices.py`); embeddings, norms, biases and the head stay dense.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bertinchamps.registry import Registry
from bertinchamps.schemas import Node, named


class Sparsity:
    """Which weights are held at zero; this class: none.

    Attributes:
        holds_zeros: False: all weights are trained, and nothing is done.
        commands: that the variant is for.
    """

    holds_zeros = True
    commands: tuple[str, ...] = ("pretrain",)

    def stage_at(self, progress: float) -> int:
        """How often the masks have changed at a progress; grows with it."""
        del progress
        return 0

    def masks(
        self, stage: int, weights: Mapping[str, Tensor], before: Mapping[str, Tensor], seed: int
    ) -> dict[str, Tensor]:
        """The masks of a stage: true where a weight may be other than zero. A matrix without a mask is dense.

        Args:
            stage: of `stage_at`; 0 is asked for before the first update.
            weights: matrices [R, C] as they are, R outputs and C inputs, by the name of their module.
            before: the masks until now, of which zeros stay zeros.
            seed: of the run.

        Raises:
            UserError: the variant does not fit these weights.
        """
        raise NotImplementedError

    def shape_problems(self, arch: Mapping[str, Any]) -> list[str]:
        """Mistakes in an architecture (`configs/arch/`) that the variant does not fit, in the user's key names."""
        del arch
        return []

    def describe(self) -> str:
        """Where the zeros come from, in words."""
        raise NotImplementedError


sparsities: Registry[Sparsity] = Registry("sparsity", "sparsity", package=__name__)


def sparsity_problems(command: str, node: Node) -> list[str]:
    """Mistakes in the choice of a sparsity for a command, in the user's key names."""
    found = sparsities.problems(*named(node))
    if found or command in sparsities.build(**node).commands:
        return found
    menu = [name for name in sparsities.names() if command in sparsities.build(name).commands]
    return [f"sparsity={node['name']}: not for {command}, which takes {' or '.join(menu)}"]


def level_problems(settings: Mapping[str, Any]) -> list[str]:
    """A mistake in `level`, the share of zeros."""
    level = settings.get("level", 0.5)
    return [] if 0 <= level < 1 else [f"sparsity.level={level}: a share of zeros, from 0 to less than 1"]

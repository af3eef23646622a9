"""Pretraining objectives: one file each, found by name (`objective=NAME`)."""

from __future__ import annotations

from dataclasses import asdict

import torch

from bertinchamps.data.corpus import Corpus
from bertinchamps.objectives.objective import Objective
from bertinchamps.registry import Registry
from bertinchamps.schemas import PretrainConfig

objectives: Registry[Objective] = Registry("objective", "objective", package=__name__)
GIVEN = ("corpus", "seed", "evaluation_blocks", "device", "arch")  # by the code, not by the config


def build_objective(config: PretrainConfig, corpus: Corpus, device: torch.device) -> Objective:
    """The objective of a configuration.

    Args:
        config: the settings.
        corpus: to train on.
        device: of the model.

    Raises:
        UserError: the corpus does not fit the objective.
    """
    return objectives.build(
        **config.objective,
        corpus=corpus,
        seed=config.seed,
        evaluation_blocks=config.evaluation.blocks,
        device=device,
        arch=asdict(config.arch),
    )


__all__ = ["GIVEN", "Objective", "build_objective", "objectives"]

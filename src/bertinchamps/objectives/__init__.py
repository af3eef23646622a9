"""Pretraining objectives: one file each, found by name (`objective=NAME`)."""

from __future__ import annotations

from dataclasses import asdict

import torch

from bertinchamps.data.corpus import Corpus
from bertinchamps.objectives.continuing import Base
from bertinchamps.objectives.growing import Growth
from bertinchamps.objectives.objective import Given, Objective
from bertinchamps.registry import Registry
from bertinchamps.schemas import PretrainConfig, named

objectives: Registry[Objective] = Registry("objective", "objective", package=__name__)
GIVEN = ("given",)  # by the run, not by the config


def objective_problems(config: PretrainConfig) -> list[str]:
    """Mistakes in `objective.*`, by themselves and beside other settings, in the user's key names."""
    name, settings = named(config.objective)
    found = objectives.problems(name, settings, given=GIVEN)
    if name not in objectives.names():
        return found
    beside = getattr(objectives.builder(name), "problems_beside", None)
    found += beside(config) if beside else []
    if config.evaluation.also and not getattr(objectives.builder(name), "scores_samples", False):
        found.append(f"evaluation.also: objective={name} scores held-out blocks alone; leave it out")
    if config.model is not None and not getattr(objectives.builder(name), "continues", False):
        menu = [each for each in objectives.names() if getattr(objectives.builder(each), "continues", False)]
        found.append(
            f"objective={name}: trains models of this project's own class alone; with model= take "
            f"objective={' or '.join(menu)}"
        )
    return found


def build_objective(config: PretrainConfig, corpus: Corpus, device: torch.device) -> Objective:
    """The objective of a configuration.

    Args:
        config: the settings.
        corpus: to train on.
        device: of the model.

    Raises:
        UserError: the corpus does not fit the objective.
    """
    objective = objectives.build(
        **config.objective,
        given=Given(corpus, config.seed, config.evaluation.blocks, device, asdict(config.arch)),
    )
    if config.grow.model is not None:
        objective.growth = Growth(config.grow.model, corpus)
    if config.model is not None:
        objective.base = Base(config, corpus)
    return objective


__all__ = ["GIVEN", "Given", "Objective", "build_objective", "objective_problems", "objectives"]

"""What can be wrong with the settings of `pretrain`."""

from __future__ import annotations

import math
import re
from dataclasses import asdict

from bertinchamps.checks.rules import broken
from bertinchamps.checks.training import training_problems
from bertinchamps.data.checks import corpus_problems
from bertinchamps.data.samples import sample_problems
from bertinchamps.model.architecture import arch_problems
from bertinchamps.objectives import objective_problems
from bertinchamps.objectives.base_problems import base_problems
from bertinchamps.objectives.growing import grow_problems
from bertinchamps.schemas import PretrainConfig
from bertinchamps.training.runtime import resolved
from bertinchamps.training.sparsity import sparsities, sparsity_problems

LARGE_BATCH = 2048  # sequences an update
LARGE_MODEL = 512  # hidden size
FOR_STOCK = re.compile(r"^arch\.(\w+)=.*: arch\.stock=\w+ needs (\S+)$")


def problems(config: PretrainConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    every, blocks, epochs = config.evaluation.every, config.evaluation.blocks, config.budget.epochs
    of_arch = arch_problems(asdict(config.arch)) if config.model is None else []
    found = [
        *corpus_problems(config),
        *of_arch,
        *([] if of_arch or config.model is not None else grow_problems(config)),
        *base_problems(config),
        *objective_problems(config),
        *training_problems(config),
        *_sparsity_problems(config),
        *sample_problems(config.evaluation.also),
        *_position_problems(config),
        *broken(
            ("evaluation.every", every, 0 < every <= 1, "a share of the budget, above 0 and up to 1"),
            ("evaluation.blocks", blocks, blocks >= 1, "must be at least 1"),
            (
                "budget.epochs",
                epochs,
                epochs is None or not config.data.get("online"),
                "with data.online=true the length of an epoch is unknown",
            ),
        ),
    ]
    needed = [f"arch.{field}={value}" for problem in found for field, value in FOR_STOCK.findall(problem)]
    if needed:
        found.append(
            f"for a model that stock classes open, add {' '.join(needed)}: recipes such as experiment=short change "
            "settings of arch, and the command line wins over them"
        )
    return found


def _position_problems(config: PretrainConfig) -> list[str]:
    """Whether positions go as far as rows do, and mean the same in all of their documents."""
    arch, length, documents = config.arch, config.blocks.sequence_length, config.blocks.documents
    return broken(
        (
            "blocks.sequence_length",
            length,
            config.model is not None or arch.positions != "learned" or length <= arch.max_positions,
            f"learned positions end at arch.max_positions={arch.max_positions}",
        ),
        (
            "blocks.documents",
            documents,
            documents != "apart" or not arch.head_positions,
            "arch.head_positions counts positions in rows; set one of them otherwise",
        ),
    )


def _sparsity_problems(config: PretrainConfig) -> list[str]:
    found = sparsity_problems("pretrain", config.sparsity)
    return found or sparsities.build(**config.sparsity).shape_problems(asdict(config.arch))


def remarks(config: PretrainConfig) -> list[str]:
    """Settings that are allowed, but perhaps not intended."""
    hours, size, arch = config.budget.hours or math.inf, config.batch.size, config.arch
    if hours >= 1 or config.model is not None:
        return []
    found = []
    if size >= LARGE_BATCH:
        found.append(
            f"note: {size} sequences an update leave few updates in {hours:g} hours; "
            "experiment=short is made for budgets under an hour"
        )
    if arch.hidden_size >= LARGE_MODEL and resolved(config.runtime).device.type == "cpu":
        found.append(
            f"note: {arch.num_hidden_layers} layers of {arch.hidden_size} make few updates in {hours:g} hours without "
            "a GPU; arch=small is what was measured there (docs/results.md)"
        )
    return found

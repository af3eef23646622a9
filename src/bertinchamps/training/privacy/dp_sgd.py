"""DP-SGD (Abadi et al., 2016): each record's gradient is clipped, and Gaussian noise is added to their sum."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from bertinchamps.schemas import BudgetConfig
from bertinchamps.training.clock import most_updates
from bertinchamps.training.privacy import Privacy, privacies
from bertinchamps.training.privacy.accounting import PRV, RDP, missing_opacus
from bertinchamps.training.privacy.guarantee import Terms
from bertinchamps.training.privacy.private_run import APART, AUTO, TOGETHER, PrivateRun, ProtectedExamples

DELTA_TIMES_RECORDS = 0.1  # of privacy.delta=null: at 1, giving away one record as it is would be allowed


def dp_sgd_problems(settings: Mapping[str, Any]) -> list[str]:
    """Mistakes in the settings of DP-SGD."""
    epsilon, delta, clip = settings.get("epsilon", 8.0), settings.get("delta"), settings.get("clip", 1.0)
    accountant, gradients = settings.get("accountant", PRV), settings.get("gradients", AUTO)
    seed = settings.get("noise_seed")
    rules = (
        (
            f"privacy.epsilon={epsilon}: must be above 0; null: clip, without noise and without any guarantee",
            epsilon is None or 0 < epsilon < math.inf,
        ),
        (
            f"privacy.delta={delta}: from above 0 to below 1 / (records of train); null: a tenth of that",
            delta is None or 0 < delta < 1,
        ),
        (f"privacy.clip={clip}: must be above 0", 0 < clip < math.inf),
        (f"privacy.accountant={accountant}: {PRV} or {RDP}", accountant in (PRV, RDP)),
        (
            f"privacy.gradients={gradients}: {AUTO}, {TOGETHER} or {APART}",
            gradients in (AUTO, TOGETHER, APART),
        ),
        (f"privacy.noise_seed={seed}: must be at least 0, or null", seed is None or seed >= 0),
    )
    return [message for message, right in rules if not right]


@privacies.register("dp_sgd", check=dp_sgd_problems)
class DpSgd(Privacy):
    """Records are drawn at random for each update, their gradients are clipped, and noise is added to the sum.

    Args:
        epsilon: ε of the guarantee, for all updates together; None: no noise, and no guarantee.
        delta: δ of the guarantee; None: 1 / (10 · records of train).
        clip: largest norm of a record's gradient, which is that of the mean loss of its targets.
        accountant: prv or rdp.
        gradients: together: records of a micro-batch go through the model in one pass; apart: one record a pass; auto:
            together where that gives the gradients of single passes.
        noise_seed: of the records drawn, dropout and noise; None: a secret from the operating system.
    """

    protects = True

    def __init__(
        self,
        epsilon: float | None = 8.0,
        delta: float | None = None,
        clip: float = 1.0,
        accountant: str = PRV,
        gradients: str = AUTO,
        noise_seed: int | None = None,
    ) -> None:
        self._epsilon, self._delta, self._clip, self._accountant = epsilon, delta, clip, accountant
        self._gradients, self._noise_seed = gradients, noise_seed
        self.together = gradients != APART

    def missing(self) -> str | None:
        return missing_opacus()

    def size_problems(self, records: int, size: int) -> list[str]:
        found = []
        if size >= records:
            found.append(
                f"batch.size={size}: privacy=dp_sgd draws so many of train's {records} records for an update, on "
                "average; it must be less than all of them"
            )
        if self._delta is not None and self._delta >= 1 / records:
            found.append(
                f"privacy.delta={self._delta:g}: must be below 1 / {records}, one over the records of train: a larger "
                "one would allow that a whole record is given away"
            )
        return found

    def run_of(self, examples: ProtectedExamples, size: int, budget: BudgetConfig) -> PrivateRun:
        records = len(examples)
        updates = cast(int, most_updates(budget, size, records))  # checks/privacy.py asks for steps or epochs
        terms = Terms(
            epsilon=self._epsilon,
            delta=DELTA_TIMES_RECORDS / records if self._delta is None else self._delta,
            clip=self._clip,
            accountant=self._accountant,
            gradients=self._gradients,
            noise_seed=self._noise_seed,
        )
        return PrivateRun(terms, examples, size, updates)

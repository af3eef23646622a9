"""How much noise a guarantee needs, and what a run has spent: Opacus' accountants.

`prv`: numerical composition of privacy losses (Gopi et al., 2021), tight. `rdp`: Rényi differential privacy (Mironov,
2017), an upper bound that is looser and never fails. Both hold for records that are drawn independently of each other
(Poisson sampling), for adding or removing one record.
"""

from __future__ import annotations

import logging
import warnings
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from bertinchamps.errors import UserError

PRV, RDP = "prv", "rdp"
TOLERANCE = 0.01  # by how much the ε of the noise found may lie below the one asked for


def missing_opacus() -> str | None:
    """What to install, where Opacus is missing."""
    if find_spec("opacus") is not None:
        return None
    return (
        "privacy=dp_sgd: needs the library opacus; pip install 'bertinchamps[privacy]', or set privacy=none"
    )


def opacus_version() -> str:
    """The version of Opacus that is installed."""
    return version("opacus")


def opacus_module(name: str) -> Any:
    """A module of Opacus, whose import would set up logging for the whole process."""
    from importlib import import_module

    before = list(logging.root.handlers)
    try:
        return import_module(f"opacus.{name}")
    finally:
        logging.root.handlers[:] = before


@cache
def noise_for(epsilon: float, delta: float, rate: float, updates: int, accountant: str) -> float:
    """The noise multiplier, in units of the clipping norm, with which `updates` updates spend at most ε.

    Args:
        epsilon: ε, for all updates together.
        delta: δ.
        rate: probability of a record to be in an update.
        updates: all of them.
        accountant: PRV or RDP.

    Raises:
        UserError: the accountant finds no such noise.
    """
    found = opacus_module("accountants.utils").get_noise_multiplier
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of orders that another noise would need
            return float(
                found(
                    target_epsilon=epsilon,
                    target_delta=delta,
                    sample_rate=rate,
                    steps=updates,
                    accountant=accountant,
                    epsilon_tolerance=min(TOLERANCE, epsilon / 100),
                )
            )
    except (RuntimeError, ValueError, ArithmeticError) as error:
        raise UserError(
            f"privacy.epsilon={epsilon:g}: privacy.accountant={accountant} finds no noise for {updates:,} updates of "
            f"{rate:.2%} of the records at δ = {delta:.3g} ({type(error).__name__}). "
            + ("Try privacy.accountant=rdp, or another ε" if accountant == PRV else "Ask for a larger ε")
        ) from error


@cache
def spent_epsilon(noise: float, rate: float, updates: int, delta: float, accountant: str) -> float:
    """The ε that `updates` updates have spent, an upper bound.

    Args:
        noise: multiplier, in units of the clipping norm.
        rate: probability of a record to be in an update.
        updates: that were done.
        delta: δ.
        accountant: PRV or RDP.
    """
    if updates == 0:
        return 0.0
    counting = opacus_module("accountants").create_accountant(accountant)
    counting.history = [(noise, rate, updates)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(counting.get_epsilon(delta))

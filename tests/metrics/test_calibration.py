"""Confidences: the error of known ones, and the temperature that makes them true."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertinchamps.metrics.calibration import best_temperature, calibration, unlikelihood


def test_the_error_is_the_mean_distance_of_confidence_and_truth() -> None:
    found = calibration([(0.95, True)] * 6 + [(0.95, False)] * 4 + [(0.35, True)] * 3 + [(0.35, False)] * 7)
    assert found["ece"] == pytest.approx(0.5 * abs(0.95 - 0.6) + 0.5 * abs(0.35 - 0.3))
    assert [(each["from"], each["decisions"]) for each in found["bins"]] == [(0.3, 10), (0.9, 10)]
    assert found["right"] == pytest.approx(0.45)
    assert calibration([(1.0, True), (0.0, False)])["ece"] == 0
    assert calibration([]) == {"decisions": 0}


def test_true_confidences_have_no_error_but_chance() -> None:
    random = np.random.default_rng(0)
    shares = random.random(20_000)
    assert calibration(zip(shares, random.random(20_000) < shares, strict=True))["ece"] < 0.02


@pytest.mark.parametrize("true", [0.5, 1.0, 2.7])
def test_the_temperature_is_found_that_blew_the_logits_up(true: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 5, generator=generator)
    targets = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    found = best_temperature(lambda t: float(F.cross_entropy(true * logits / t, targets, reduction="sum")))
    assert found == pytest.approx(true, rel=0.03)


def test_without_anything_to_learn_from_the_temperature_is_one() -> None:
    assert best_temperature(lambda t: 0.0) == 1.0


def test_confidences_of_decisions_give_their_likelihood() -> None:
    assert unlikelihood([(0.8, True), (0.9, False), (1.0, True)]) == pytest.approx(-np.log(0.8 * 0.1))
    assert unlikelihood([(1.0, False)]) < 50

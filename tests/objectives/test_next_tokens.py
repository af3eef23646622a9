"""Objectives with a causal part: what they predict, when, what that costs, and how they are scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bertinchamps.data.corpus import Corpus
from bertinchamps.data.preparation import prepare
from bertinchamps.errors import UserError
from bertinchamps.model.flops import flops_per_token, matrix_flops_per_token
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM, load_masked_lm
from bertinchamps.objectives import GIVEN, build_objective, objectives
from bertinchamps.objectives.masking import IGNORED
from bertinchamps.objectives.next_tokens import next_token_loss
from support import QUICK, composed, losses, metrics

CPU = torch.device("cpu")
LENGTH = 32


@pytest.fixture(scope="module")
def corpus(cache: Path) -> Corpus:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTINCHAMPS_CACHE", str(cache))
        return prepare(composed(*QUICK), lambda message: None)


def objective(corpus: Corpus, name: str, *words: str) -> Any:
    return build_objective(composed(*QUICK, f"objective={name}", *words), corpus, CPU)


def model_of(built: Any) -> BertinchampsForMaskedLM:
    torch.manual_seed(0)
    return built.build_model(None).eval()  # type: ignore[no-any-return]


def inputs(built: Any) -> dict[str, Tensor]:
    return {"positions": torch.arange(4), **next(built.batches(0, 4)).inputs}


@pytest.mark.parametrize("shifted", [False, True])
def test_the_loss_of_next_tokens_is_that_of_the_formula(corpus: Corpus, shifted: bool) -> None:
    built = objective(corpus, "hybrid" if shifted else "causal_then_mlm")
    model, ids = model_of(built), inputs(built)["input_ids"]
    assert model.config.predicts_next is shifted
    states = model.encoder(ids, causal=True).last_hidden_state
    log_probabilities = model.head(states, torch.arange(LENGTH)).log_softmax(-1)
    by_hand = -sum(log_probabilities[b, s, ids[b, s + 1]] for b in range(4) for s in range(LENGTH - 1))
    assert torch.allclose(next_token_loss(model, model.config, ids), torch.as_tensor(by_hand), rtol=1e-5)


@pytest.mark.parametrize("name", ["causal_then_mlm", "hybrid"])
def test_no_token_is_predicted_from_another_document_where_documents_are_apart(
    corpus: Corpus, name: str
) -> None:
    built, packed = (
        objective(each, name, "objective.mask_rate=0.5")
        for each in (replace(corpus, documents_apart=True), corpus)
    )
    model, separator = model_of(built), corpus.vocabulary.separator_id
    ids = torch.randint(10, 400, (4, LENGTH))
    ids[:, 20] = separator
    documents = ids[:, :21], ids[:, 21:]
    by_hand = sum(next_token_loss(model_of(packed), model.config, part) for part in documents)
    found = built._next_tokens(model, ids).loss_sum * (LENGTH - 1) / built._masking.targets
    torch.testing.assert_close(found, torch.as_tensor(by_hand))
    if name == "hybrid":
        for masking in (built._masking, built._held_out_masking):
            _, chosen, labels = masking(ids.repeat(20, 1), torch.arange(80))
            assert (chosen == 21).any()
            assert ((labels == IGNORED) == ((chosen == 0) | (chosen == 21))).all()


# ------------------------------------------------------------------------------------ one phase, then the other


def test_the_phase_follows_progress_and_its_loss_is_a_mean_over_as_many_targets(corpus: Corpus) -> None:
    built, plain = objective(corpus, "causal_then_mlm"), objective(corpus, "mlm", "objective.mask_rate=0.3")
    model, given = model_of(built), inputs(built)
    causal = float(next_token_loss(model, model.config, given["input_ids"]).detach()) / (LENGTH - 1)
    masked = float(plain.loss(model, given).loss_sum.detach()) / 10
    for progress, expected in ((0.0, causal), (0.2499, causal), (0.25, masked), (1.0, masked)):
        built.set_progress(progress)
        assert float(built.loss(model, given).loss_sum.detach()) / 10 == pytest.approx(expected, rel=1e-6)
        assert built.evaluate(model) == plain.evaluate(model)  # masked tokens, whatever the phase


def test_the_stages_of_the_mask_divide_the_masked_phase(corpus: Corpus) -> None:
    words = [
        "objective.causal_share=0.5",
        "objective.mask_rate=0.5",
        "objective.final_mask_rate=0.25",
        "objective.mask_stages=2",
    ]
    built = objective(corpus, "causal_then_mlm", *words)
    model, flops = model_of(built), {}
    for progress in (0.0, 0.49, 0.5, 0.74, 0.76, 1.0):
        flops[progress] = built.flops_per_token(model)(progress)
    whole, half, quarter = (flops_per_token(model.config, LENGTH, share) for share in (1.0, 0.5, 0.25))
    assert list(flops.values()) == [whole, whole, half, half, quarter, quarter]
    maps = built.matrix_flops(model)
    assert maps(0.1) == matrix_flops_per_token(model.config, 1.0)
    assert maps(0.9) == matrix_flops_per_token(model.config, 0.25)


def test_a_run_charges_each_phase_with_its_flops(quick_run: Callable[..., Path]) -> None:
    run = quick_run(
        "objective=causal_then_mlm", "objective.causal_share=0.5", "budget.steps=4", "batch.ramp=0"
    )
    config = load_masked_lm(run / "model").config
    causal, masked = (flops_per_token(config, LENGTH, share) * 8 * LENGTH for share in (1.0, 10 / 32))
    charged = [record["flops"] for record in metrics(run)]
    assert charged == pytest.approx([causal, 2 * causal, 2 * causal + masked, 2 * causal + 2 * masked])


# ----------------------------------------------------------------------------------------------------- by turns


@pytest.mark.parametrize(
    ("share", "first"), [(0.5, [1, 3, 5, 7]), (0.25, [3, 7, 11, 15]), (0.4, [2, 4, 7, 9])]
)
def test_causal_micro_batches_lie_at_even_distances_wherever_the_stream_begins(
    corpus: Corpus, share: float, first: list[int]
) -> None:
    built = objective(corpus, "hybrid", f"objective.causal_share={share}")

    def causal(cursor: int, count: int, rank: int = 0, world_size: int = 1) -> list[int]:
        batches = islice(built.batches(cursor, 4, rank, world_size), count)
        return [batch.next_cursor // 4 - 1 for batch in batches if "positions" not in batch.inputs]

    assert causal(0, 100)[:4] == first
    assert len(causal(0, 100)) == pytest.approx(100 * share)
    assert causal(20 * 4, 80) == [number for number in causal(0, 100) if number >= 20]
    assert sorted(causal(0, 50, 0, 2) + causal(0, 50, 1, 2)) == causal(0, 100)


def test_both_kinds_of_block_count_alike(corpus: Corpus) -> None:
    built = objective(corpus, "hybrid", "objective.causal_share=0.5")
    masked, causal = islice(built.batches(0, 4), 2)
    assert masked.targets == causal.targets == 4 * 10
    model = model_of(built)
    by_hand = next_token_loss(model, model.config, causal.inputs["input_ids"]) * 10 / (LENGTH - 1)
    assert torch.allclose(built.loss(model, causal.inputs).loss_sum, by_hand)


def test_a_masked_token_is_predicted_one_position_earlier_and_the_first_one_is_not(corpus: Corpus) -> None:
    built = objective(corpus, "hybrid")
    model, given = model_of(built), inputs(built)
    given = {"input_ids": given["input_ids"].repeat(20, 1), "positions": torch.arange(80)}
    masked, chosen, labels = built._masking(given["input_ids"], given["positions"])
    assert (chosen == 0).any()
    states = model.encoder(masked).last_hidden_state
    rows = torch.arange(80)[:, None].expand_as(chosen)
    behind = (chosen > 0) & (labels != IGNORED)
    before = chosen[behind] - 1
    logits = model.head(states[rows[behind], before], before)
    expected = F.cross_entropy(logits, labels[behind], reduction="sum")
    assert torch.allclose(built.loss(model, given).loss_sum, expected, rtol=1e-5)


def test_its_held_out_targets_are_those_of_mlm_but_for_first_places(corpus: Corpus) -> None:
    built, plain = objective(corpus, "hybrid"), objective(corpus, "mlm")
    ids, positions = inputs(plain)["input_ids"].repeat(20, 1), torch.arange(80)
    ours, theirs = built._held_out_masking(ids, positions), plain._held_out_masking(ids, positions)
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])
    assert torch.equal(ours[2] == IGNORED, (theirs[2] == IGNORED) | (theirs[1] == 0))


def test_flops_are_the_mean_of_both_kinds(corpus: Corpus) -> None:
    built = objective(corpus, "hybrid", "objective.causal_share=0.25", "objective.mask_rate=0.5")
    model = model_of(built)
    by_hand = sum(
        share * flops_per_token(model.config, LENGTH, part) for share, part in ((0.25, 1.0), (0.75, 0.5))
    )
    assert built.flops_per_token(model) == pytest.approx(by_hand)
    layers = matrix_flops_per_token(model.config, 0.25 * 1.0 + 0.75 * 0.5)
    assert built.matrix_flops(model) == pytest.approx(layers)


@pytest.mark.parametrize("name", ["causal_then_mlm", "hybrid"])
def test_both_learn_masked_tokens(name: str, quick_run: Callable[..., Path]) -> None:
    words = ["objective.causal_share=0.25", "budget.steps=40", "optim.learning_rate=5e-3", "batch.size=16"]
    run = quick_run(f"objective={name}", *words)
    first, *_, last = metrics(run, "held_out")
    assert last["loss"] < first["loss"] - 0.5
    assert len(losses(run)) == 40


def test_a_model_that_predicts_the_next_token_does_not_grow_into_one_that_does_not(
    quick_run: Callable[..., Path],
) -> None:
    small = quick_run("objective=hybrid", "budget.steps=1", name="small")
    deeper = [f"grow.model={small}", "arch.num_hidden_layers=4", "budget.steps=1"]
    with pytest.raises(UserError, match="one predicts the next token and the other the token itself"):
        quick_run("objective=mlm", *deeper, name="other")
    grown = quick_run("objective=hybrid", *deeper, name="grown")
    assert metrics(grown, "held_out")[0]["loss"] == pytest.approx(
        metrics(small, "held_out")[-1]["loss"], rel=1e-5
    )


@pytest.mark.parametrize("name", ["causal_then_mlm", "hybrid"])
@pytest.mark.parametrize("share", [0, 1.0, -0.5])
def test_a_share_that_leaves_one_of_both_out_is_a_mistake(name: str, share: float) -> None:
    (found,) = objectives.problems(name, {"causal_share": share}, GIVEN)
    assert found.startswith(f"objective.causal_share={share}: a share of the ")

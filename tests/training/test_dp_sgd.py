"""DP-SGD by its parts: gradients of records, clipping, noise, the draw of records, and the accountant."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from bertinchamps.contract import Batch, RecordRows
from bertinchamps.errors import UserError
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads.classes import BertinchampsForSequenceClassification
from bertinchamps.model.trained_rows import freeze_embeddings
from bertinchamps.schemas import BudgetConfig
from bertinchamps.training.clock import most_updates
from bertinchamps.training.distributed import ALONE
from bertinchamps.training.privacy import privacies
from bertinchamps.training.privacy.accounting import noise_for, opacus_module, spent_epsilon
from bertinchamps.training.privacy.comparing import refuse_unlike
from bertinchamps.training.privacy.private_run import PrivateDealer, PrivateRun
from bertinchamps.training.privacy.record_gradients import HooksFail, RecordGradients

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
OURS: dict[str, dict[str, Any]] = {
    "crammed": {},
    "rms": {"norm": "rmsnorm", "query_key_norm": True, "positions": "rotary", "feed_forward": "mlp"},
    "no bias": {"norm_bias": False, "pooler": "modernbert"},
}
STOCK = ("bert", "modernbert", "albert")


def model_of(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name in OURS:
        model: Any = BertinchampsForSequenceClassification(
            BertinchampsConfig(**SIZES, **OURS[name], num_labels=3)
        )
    else:
        ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
        config = transformers.AutoConfig.for_model(
            name, **SIZES, **ids, max_position_embeddings=16, num_labels=3
        )
        model = transformers.AutoModelForSequenceClassification.from_config(config)
    freeze_embeddings(model)
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout_prob"):
        if hasattr(model.config, key):
            setattr(model.config, key, 0.0)
    return model.train()


class Texts:
    """Rows of random ids with a class each; some records have several rows."""

    record = "text"

    def __init__(self, rows_of: Sequence[int]) -> None:
        generator = torch.Generator().manual_seed(1)
        self.ids = [torch.randint(4, 64, (rows, 9), generator=generator) for rows in rows_of]
        self.classes = [torch.randint(3, (rows,), generator=generator) for rows in rows_of]

    def __len__(self) -> int:
        return len(self.ids)

    def micro_batches(self, chosen: Sequence[int], at_once: int, together: bool) -> Iterator[Batch]:
        del at_once
        for group in [list(chosen)] if together and chosen else [[record] for record in chosen]:
            rows = tuple(record for record in group for _ in self.classes[record])
            inputs = {
                "input_ids": torch.cat([self.ids[record] for record in group]),
                "targets": torch.cat([self.classes[record] for record in group]),
            }
            targets = {record: len(self.classes[record]) for record in group}
            yield Batch(inputs, len(rows), 9 * len(rows), 0, RecordRows(rows, targets, True))


def loss_sum(model: nn.Module, inputs: Any) -> Tensor:
    return F.cross_entropy(model(input_ids=inputs["input_ids"]).logits, inputs["targets"], reduction="sum")


def summed(model: nn.Module, texts: Texts, clip: float, together: bool) -> list[Tensor]:
    gradients = RecordGradients(model, clip, together)
    for batch in texts.micro_batches(range(len(texts)), 8, together):
        gradients.add(lambda batch=batch: loss_sum(model, batch.inputs), batch.records)  # type: ignore[misc, arg-type]
    sums = gradients.sums
    gradients.detach()
    return sums


def by_autograd(model: nn.Module, texts: Texts, clip: float) -> list[Tensor]:
    """The same by the definition, one record after the other."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    sums = [torch.zeros_like(weight) for weight in weights]
    for ids, classes in zip(texts.ids, texts.classes, strict=True):
        loss = F.cross_entropy(model(input_ids=ids).logits, classes)
        found = torch.autograd.grad(loss, weights, allow_unused=True)
        norm = math.sqrt(sum(float(each.pow(2).sum()) for each in found if each is not None))
        for total, each in zip(sums, found, strict=True):
            if each is not None:
                total += each * min(1.0, clip / norm)
    return sums


@pytest.mark.parametrize("name", [*OURS, *STOCK])
def test_gradients_together_and_apart_are_those_of_single_passes(name: str) -> None:
    model, texts = model_of(name), Texts([1, 3, 1, 2])
    for clip in (1e-3, 1e3):  # all are clipped, none is
        expected = by_autograd(model, texts, clip)
        for together in (True, False):
            found = summed(model, texts, clip, together)
            size = torch.stack([each.norm() for each in expected]).norm()
            for one, other in zip(found, expected, strict=True):
                assert (one - other).norm() <= 2e-3 * size


def test_no_record_does_more_than_the_clipping_allows_and_one_that_is_not_finite_does_nothing() -> None:
    model, texts = model_of("crammed"), Texts([1, 1, 1])
    for together in (True, False):
        for record in range(3):
            alone = Texts([1])
            alone.ids, alone.classes = [texts.ids[record]], [texts.classes[record]]
            sums = summed(model, alone, 0.01, together)
            assert float(torch.stack([each.norm() for each in sums]).norm()) == pytest.approx(0.01, rel=1e-3)

        def broken(inputs: Any) -> Tensor:
            logits = model(input_ids=inputs["input_ids"]).logits
            first = (inputs["input_ids"] == texts.ids[0]).all(1, keepdim=True)
            scaled = logits * torch.where(first, math.inf, 1.0)
            return F.cross_entropy(scaled, inputs["targets"], reduction="sum")

        gradients = RecordGradients(model, 0.01, together)
        for batch in texts.micro_batches(range(3), 8, together):
            gradients.add(lambda batch=batch, broken=broken: broken(batch.inputs), batch.records)  # type: ignore[misc, arg-type]
        rest = Texts([1, 1])
        rest.ids, rest.classes = texts.ids[1:], texts.classes[1:]
        sums = gradients.sums
        gradients.detach()
        for one, other in zip(sums, by_autograd(model, rest, 0.01), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-2)


def test_an_update_without_noise_is_the_mean_over_the_expected_size() -> None:
    model, texts = model_of("no bias"), Texts([1, 1, 1, 1, 1])
    private = run_of(texts, size=2, epsilon=None, clip=0.5)
    private.attach(model, loss_sum, 8)
    private.begin(0)
    for batch in texts.micro_batches(range(5), 8, True):
        private.add(lambda batch=batch: loss_sum(model, batch.inputs), batch)  # type: ignore[misc]
    private.set_gradients()
    for weight, expected in zip(private.gradients.weights, by_autograd(model, texts, 0.5), strict=True):
        torch.testing.assert_close(weight.grad, expected / 2, atol=1e-5, rtol=1e-3)


def test_opacus_optimizer_clips_to_the_same_gradient() -> None:
    texts, clip = Texts([1, 1, 1, 1, 1]), 0.3
    ours = summed(model_of("bert"), texts, clip, True)
    twin = model_of("bert")
    wrapped = opacus_module("grad_sample").GradSampleModule(twin, loss_reduction="sum", strict=False)
    trained = [weight for weight in twin.parameters() if weight.requires_grad]
    optimizer = opacus_module("optimizers").DPOptimizer(
        torch.optim.SGD(trained, lr=0.1), noise_multiplier=0.0, max_grad_norm=clip, expected_batch_size=None,
        loss_reduction="sum",
    )  # fmt: skip
    (batch,) = texts.micro_batches(range(5), 8, True)
    loss_sum(wrapped, batch.inputs).backward()  # type: ignore[no-untyped-call]
    optimizer.pre_step()
    for one, weight in zip(ours, trained, strict=True):
        torch.testing.assert_close(one, weight.grad, atol=1e-6, rtol=1e-3)


class Wide(nn.Module):
    """Enough weights for statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(200, 200)


def run_of(texts: Any, size: int = 4, **settings: Any) -> PrivateRun:
    settings = {"accountant": "rdp", "noise_seed": 3, **settings}
    run = privacies.build("dp_sgd", **settings).run_of(texts, size, BudgetConfig(steps=20))
    assert run is not None
    return run


def noise_of(private: PrivateRun, update: int) -> Tensor:
    private.begin(update * 4)
    private.set_gradients()
    return torch.cat(
        [weight.grad.flatten() for weight in private.gradients.weights if weight.grad is not None]
    )


def test_noise_has_the_deviation_that_the_accountant_asks_for_and_is_the_same_again_for_one_secret_alone() -> (
    None
):
    private, texts = run_of(Texts([1] * 10), clip=0.5, gradients="apart"), Texts([1] * 10)
    private.attach(Wide(), loss_sum, 8)
    noise = noise_of(private, 7)
    deviation = private.noise_multiplier * 0.5 / 4  # of a sum, divided by the expected size
    assert float(noise.std()) == pytest.approx(deviation, rel=0.02)  # 40,200 numbers: 0.35 % is one deviation
    assert abs(float(noise.mean())) < 5 * deviation / math.sqrt(len(noise))
    assert torch.equal(noise, noise_of(private, 7))
    assert abs(float(torch.corrcoef(torch.stack([noise, noise_of(private, 8)]))[0, 1])) < 0.03
    secret = [run_of(texts, clip=0.5, noise_seed=None, gradients="apart") for _ in range(2)]
    for each in secret:
        each.attach(Wide(), loss_sum, 8)
    assert not torch.equal(noise_of(secret[0], 7), noise_of(secret[1], 7))


def test_each_record_is_drawn_by_itself_as_often_as_the_accountant_thinks() -> None:
    private = run_of(Texts([1] * 50), size=10)
    draws = torch.zeros(2000, 50)
    for update in range(2000):
        draws[update, private.drawn(update)] = 1
    assert draws.sum(1).mean() == pytest.approx(10, abs=0.3)
    assert draws.sum(1).std() == pytest.approx(math.sqrt(50 * 0.2 * 0.8), rel=0.1)  # binomial: sizes differ
    assert draws.mean(0).min() > 0.15
    assert draws.mean(0).max() < 0.25
    assert private.drawn(5) == private.drawn(5) != private.drawn(6)


def test_an_update_may_be_empty_and_consumes_as_many_positions_as_any() -> None:
    private = run_of(Texts([1] * 6), size=1, gradients="apart")
    private.attach(Wide(), loss_sum, 8)
    private.gradients.begin()
    dealer, stream = PrivateDealer(ALONE, private, 0), private.batches(0, 8)
    sizes = []
    for update in range(12):
        batches, size = dealer.deal(stream, 1)  # type: ignore[arg-type]
        assert size.next_cursor == update + 1
        assert (
            sum(len(batch.records.of_rows) for batch in batches.values() if batch.records) == size.sequences
        )
        sizes.append(size.sequences)
        assert sizes[-1] == len(private.drawn(update))
    assert 0 in sizes
    assert max(sizes) > 1
    later, again = PrivateDealer(ALONE, private, 5), private.batches(5, 8)
    assert [later.deal(again, 1)[1].sequences for _ in range(7)] == sizes[5:]  # type: ignore[arg-type]


@pytest.mark.parametrize(("accountant", "asked"), [("rdp", (1.0, 8.0)), ("prv", (3.0,))])
def test_the_noise_spends_no_more_than_was_asked_for(accountant: str, asked: Sequence[float]) -> None:
    for epsilon in asked:
        noise = noise_for(epsilon, 1e-4, 0.05, 200, accountant)
        spent = spent_epsilon(noise, 0.05, 200, 1e-4, accountant)
        assert epsilon - 0.02 <= spent <= epsilon
        assert spent_epsilon(noise, 0.05, 100, 1e-4, accountant) < spent
    assert spent_epsilon(noise, 0.05, 0, 1e-4, accountant) == 0


def test_the_accountants_agree_with_the_exact_gaussian_where_nearly_all_records_are_drawn() -> None:
    """Balle and Wang (2018), theorem 8: δ(ε) of one Gaussian release with sensitivity 1."""
    noise, delta = 2.0, 1e-3

    def exact(epsilon: float) -> float:
        normal = torch.distributions.Normal(0.0, 1.0)
        first = normal.cdf(torch.tensor(1 / (2 * noise) - epsilon * noise))
        return float(first - math.exp(epsilon) * normal.cdf(torch.tensor(-1 / (2 * noise) - epsilon * noise)))

    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if exact(middle) > delta else (low, middle)
    prv = spent_epsilon(noise, 0.999, 1, delta, "prv")
    assert high * 0.98 <= prv <= high + 0.05
    assert spent_epsilon(noise, 0.999, 1, delta, "rdp") >= prv - 0.02


class Crossed(nn.Module):
    """A map over the first dimension, so that texts are mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.map = nn.Embedding(64, 4), nn.Linear(4, 3)
        self.embedding.requires_grad_(False)

    def forward(self, input_ids: Tensor) -> Any:
        mapped = self.map(self.embedding(input_ids).transpose(0, 1)).transpose(0, 1)  # [B, S, C]
        return transformers.modeling_outputs.SequenceClassifierOutput(logits=mapped.mean(1))


def test_a_model_that_hooks_do_not_see_through_is_refused_together_and_right_apart() -> None:
    model, texts = Crossed(), Texts([1] * 9)  # as many texts as tokens, so that no shape tells
    (together,) = texts.micro_batches(range(9), 8, True)
    apart = list(texts.micro_batches(range(9), 8, False))
    gradients = RecordGradients(model, 1.0, True)
    with pytest.raises(HooksFail, match="compute other gradients"):
        refuse_unlike(gradients, model, lambda inputs: loss_sum(model, inputs), together, apart)
    small = Texts([1] * 4)
    (together,) = small.micro_batches(range(4), 8, True)
    with pytest.raises(HooksFail, match="do not see a weight as one that each example uses"):
        refuse_unlike(
            gradients,
            model,
            lambda inputs: loss_sum(model, inputs),
            together,
            small.micro_batches(range(4), 8, False),
        )
    for one, other in zip(summed(model, texts, 1.0, False), by_autograd(model, texts, 1.0), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)
    for choice, told in (("auto", None), ("together", r"set privacy\.gradients=auto or apart")):
        private = run_of(texts, gradients=choice)
        if told is None:
            private.attach(Crossed(), loss_sum, 8)
            assert "other gradients" in str(private.guarantee.why_apart)
            assert len(list(private._examples.micro_batches([0, 1], 8, private._together))) == 2
        else:
            with pytest.raises(UserError, match=told):
                private.attach(Crossed(), loss_sum, 8)
    right = model_of("crammed")
    sums = RecordGradients(right, 1.0, True)
    refuse_unlike(
        sums, right, lambda inputs: loss_sum(right, inputs), together, small.micro_batches(range(4), 8, False)
    )
    assert all(part.training for part in right.modules())
    assert all(not bool(each.any()) for each in sums.sums)
    sums.detach()
    private = run_of(texts)
    private.attach(right, loss_sum, 8)
    assert private.guarantee.why_apart is None


def test_batch_norms_are_refused() -> None:
    with pytest.raises(UserError, match="batch norms, which mix the records"):
        run_of(Texts([1] * 10)).attach(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), loss_sum, 8)


def test_the_updates_of_a_budget() -> None:
    assert most_updates(BudgetConfig(epochs=3), 8, 100) == 38
    assert most_updates(BudgetConfig(epochs=2), 50, 100) == 4
    assert most_updates(BudgetConfig(epochs=3, steps=5, hours=1), 8, 100) == 5
    assert most_updates(BudgetConfig(hours=1), 8, 100) is None


def test_wrong_settings_are_told_at_once() -> None:
    node = {
        "epsilon": 0.0,
        "delta": 2.0,
        "clip": -1.0,
        "accountant": "gdp",
        "gradients": "ghost",
        "noise_seed": -1,
    }
    found = "\n".join(privacies.problems("dp_sgd", node))
    for key in node:
        assert f"privacy.{key}=" in found
    privacy = privacies.build("dp_sgd", delta=0.01)
    told = "\n".join(privacy.size_problems(records=50, size=64))
    assert "batch.size=64" in told
    assert privacy.size_problems(records=90, size=16) == []
    assert "privacy.delta=0.01: must be below 1 / 200" in privacy.size_problems(records=200, size=16)[0]

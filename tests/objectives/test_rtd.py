"""Detection of replaced tokens: what is drawn, what learns from what, what it costs, and what is left."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bertinchamps.api import load
from bertinchamps.checks.compressing import problems as compress_problems
from bertinchamps.checks.pretraining import problems
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.preparation import prepare
from bertinchamps.errors import UserError
from bertinchamps.export import export
from bertinchamps.model.architecture import build_config
from bertinchamps.model.encoders import EncoderSource, open_model
from bertinchamps.model.heads.replaced_tokens import SHARINGS, ReplacedTokenDetector, generator_config
from bertinchamps.model.visibility import documents_of
from bertinchamps.objectives import GIVEN, build_objective, objectives
from bertinchamps.objectives.masking import IGNORED, random_start
from bertinchamps.objectives.rtd import FILE, detection_sums, sampled
from bertinchamps.schemas import RuntimeConfig
from bertinchamps.tasks.pretrained_model import open_pretrained
from bertinchamps.training.clock import Spent
from bertinchamps.training.runtime import build_runtime
from support import QUICK, composed, metrics

CPU = torch.device("cpu")
LENGTH, TARGETS = 32, 5
every_sharing = pytest.mark.parametrize("sharing", SHARINGS)
every_width = pytest.mark.parametrize("width", [0.5, 1.0])


@pytest.fixture(scope="module")
def corpus(cache: Path) -> Corpus:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTINCHAMPS_CACHE", str(cache))
        return prepare(composed(*QUICK), lambda message: None)


def objective(corpus: Corpus, *words: str) -> Any:
    return build_objective(composed(*QUICK, "objective=rtd", *words), corpus, CPU)


def model_of(built: Any) -> ReplacedTokenDetector:
    torch.manual_seed(0)
    return built.build_model(None)  # type: ignore[no-any-return]


def inputs(built: Any) -> dict[str, Tensor]:
    return dict(next(built.batches(0, 4)).inputs)


def replaced(built: Any, model: ReplacedTokenDetector) -> tuple[Tensor, ...]:
    """Ids, the chosen positions, labels, the generator's logits there, and the corrupted ids."""
    ids, positions = inputs(built).values()
    masked, chosen, labels = built._masking(ids, positions)
    logits = model.generator.masked_logits(masked, chosen)
    return ids, chosen, labels, logits, built._replaced(ids, positions, chosen, labels, logits, built._draw)


# ---------------------------------------------------------------------------------------------------- draws


def test_tokens_are_drawn_with_their_probabilities() -> None:
    shares = torch.tensor([0.5, 0.0, 0.2, 0.25, 0.05])
    logits = shares.log().expand(40, 500, 5)
    cells = torch.arange(20000).view(40, 500)
    drawn = sampled(logits, cells, random_start(0, "replaced"))
    assert torch.allclose(drawn.flatten().bincount(minlength=5) / 20000, shares, atol=0.01)
    assert not (drawn == 1).any()


def test_a_draw_is_that_of_its_cell_and_of_the_seed() -> None:
    torch.manual_seed(0)
    logits, cells = torch.randn(6, 7, 50), torch.randint(10**12, (6, 7))
    whole = sampled(logits, cells, random_start(0, "replaced"))
    assert torch.equal(sampled(logits[2:4], cells[2:4], random_start(0, "replaced")), whole[2:4])
    assert not torch.equal(sampled(logits, cells + 1, random_start(0, "replaced")), whole)
    assert not torch.equal(sampled(logits, cells, random_start(1, "replaced")), whole)
    assert (sampled(torch.tensor([[[0.0, 200.0, 0.0]]]), cells[:1, :1], 0) == 1).all()


def test_tokens_are_replaced_only_where_the_generator_drew_another_one(corpus: Corpus) -> None:
    built = objective(corpus, "objective.mask_rate=0.4")
    model = model_of(built)
    with torch.no_grad():
        model.generator.encoder.embeddings.tokens.table.weight.mul_(20)  # type: ignore[union-attr, operator]
    ids, chosen, labels, _, corrupted = replaced(built, model)
    targets = torch.zeros_like(ids, dtype=torch.bool).scatter(1, chosen, labels != IGNORED)
    assert (corrupted != ids)[targets].float().mean() > 0.5
    assert torch.equal(corrupted[~targets], ids[~targets])
    assert int(corrupted.max()) < corpus.vocabulary.size  # no row that pads the vocabulary
    mask_of_training = built._masking(*inputs(built).values())[0]
    assert (mask_of_training == corpus.vocabulary.mask_id).any()
    sure = torch.full((*chosen.shape, 448), -100.0).scatter(2, ids.gather(1, chosen)[..., None], 100.0)
    kept = built._replaced(ids, inputs(built)["positions"], chosen, labels, sure, built._draw)
    assert torch.equal(kept, ids)  # a generator that is right replaces nothing


# ---------------------------------------------------------------------------------------------- who learns what


@every_width
@every_sharing
def test_the_generator_learns_masked_tokens_alone(corpus: Corpus, sharing: str, width: float) -> None:
    """Neither through draws, nor through the embedding, unless that is shared, as in ELECTRA."""
    built = objective(corpus, f"objective.sharing={sharing}", f"objective.generator_width={width}")
    model = model_of(built)
    _, _, labels, logits, corrupted = replaced(built, model)
    model.detect(corrupted).sum().backward()
    touched = {name for name, part in model.generator.named_parameters() if part.grad is not None}
    table = "encoder.embeddings.tokens.weight" if width == 1 else "encoder.embeddings.tokens.table.weight"
    assert touched == ({table} if sharing == "shared" else set())
    model.zero_grad()
    F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum").backward()
    alone = {
        name: part.grad.clone() for name, part in model.generator.named_parameters() if part.grad is not None
    }
    model.zero_grad()
    built.loss(model, inputs(built)).loss_sum.backward()
    for name, part in model.generator.named_parameters():
        assert torch.equal(part.grad, alone[name]) or (sharing == "shared" and name == table)  # type: ignore[arg-type]
    assert all(part.grad is not None for part in model.parameters())


def test_the_loss_is_that_of_the_formula(corpus: Corpus) -> None:
    built = objective(corpus, "objective.detection_weight=7")
    model = model_of(built)
    ids, _, labels, logits, corrupted = replaced(built, model)
    probabilities = model.detect(corrupted).sigmoid()
    right = torch.where(corrupted != ids, probabilities, 1 - probabilities)
    generated = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    counted = int((labels != IGNORED).sum())
    by_hand = generated * counted + 7 * -right.log().mean() * 4 * TARGETS
    assert torch.allclose(built.loss(model, inputs(built)).loss_sum, by_hand, rtol=1e-5)


def test_disentangled_vectors_are_the_generators_and_a_difference_that_begins_at_zero(corpus: Corpus) -> None:
    built = objective(corpus)
    model, ids = model_of(built).eval(), torch.randint(5, 400, (2, 8))
    assert not model.encoder.embeddings.tokens.weight.any()
    with torch.no_grad():
        model.encoder.embeddings.tokens.weight.normal_()
    both = model.encoder.embeddings.tokens.weight + model.table.weight
    expected = model.encoder(inputs_embeds=both[ids]).last_hidden_state
    assert torch.equal(model.detect(ids), model.detection(expected))
    own = model.encoder.embeddings.tokens
    with model.whole_encoder() as encoder:
        assert torch.equal(encoder(ids).last_hidden_state, expected)
    assert model.encoder.embeddings.tokens is own


def test_documents_of_a_row_are_apart_in_both_models(corpus: Corpus) -> None:
    """True separators bound them, wherever the generator has drawn one, or another token in its place."""
    built = objective(replace(corpus, documents_apart=True), "objective.detection_weight=7")
    model, positions = model_of(built).eval(), torch.arange(2)
    with torch.no_grad():
        for part in model.parameters():
            part.mul_(10)  # so that neighbours count
    ids = torch.randint(10, 400, (2, LENGTH))
    ids[:, 20] = corpus.vocabulary.separator_id
    drawn = ids.clone()
    drawn[:, 10] = corpus.vocabulary.separator_id
    built._replaced = lambda *given: drawn
    documents = documents_of(ids, corpus.vocabulary.separator_id)
    given = {"input_ids": ids, "positions": positions}
    found = built.loss(model, given).loss_sum
    first, second = model.detect(drawn[:, :21]), model.detect(drawn[:, 21:])
    torch.testing.assert_close(model.detect(drawn, documents), torch.cat((first, second), 1))
    masked, chosen, labels = built._masking(ids, positions)
    logits = model.generator.masked_logits(masked, chosen, document_ids=documents)
    by_hand = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")
    detected = F.binary_cross_entropy_with_logits(
        torch.cat((first, second), 1), (drawn != ids).float(), reduction="sum"
    )
    torch.testing.assert_close(found, by_hand + 7 * TARGETS / LENGTH * detected)
    built._held_out_sums = lambda corpus, score: {
        key: float(sum_) for key, sum_ in score(ids, positions).items()
    }
    scored = float(detected.detach()) / ids.numel()
    assert built.evaluate(model)["detection_loss"] == pytest.approx(scored, rel=1e-5)


def test_both_learn(quick_run: Callable[..., Path]) -> None:
    run = quick_run("objective=rtd", "budget.steps=40", "optim.learning_rate=5e-3", "batch.size=16")
    first, *_, last = metrics(run, "held_out")
    assert last["generator_loss"] < first["generator_loss"] - 0.5
    assert last["detection_loss"] < first["detection_loss"] - 0.1
    ratio = first["generator_bits_per_character"] / first["generator_loss"]
    assert last["generator_bits_per_character"] == pytest.approx(ratio * last["generator_loss"])
    summary = json.loads((run / "summary.json").read_text())
    assert summary["headline"] == "detection_loss"
    assert {name: last[name] for name in summary["held_out"]} == summary["held_out"]


def test_the_generator_has_bits_per_character_where_characters_were_counted(corpus: Corpus) -> None:
    built = objective(corpus)
    scores = built.evaluate(model_of(built).eval())
    bits = scores["generator_loss"] * corpus.tokens_per_character / math.log(2)
    assert scores["generator_bits_per_character"] == pytest.approx(bits)
    assert f"{bits:.4f} bits per character)" in built.scores_line(scores)
    uncounted = {name: fact for name, fact in corpus.manifest.items() if name != "held_out_characters"}
    earlier = objective(replace(corpus, manifest=uncounted))
    scores = earlier.evaluate(model_of(earlier).eval())
    assert "generator_bits_per_character" not in scores
    assert "bits" not in earlier.scores_line(scores)


def test_scores_of_detection_by_hand() -> None:
    logits = torch.tensor([[2.0, -1.0, 3.0, -2.0]])
    sums = detection_sums(logits, torch.tensor([[True, True, False, False]]))
    assert {name: float(number) for name, number in sums.items() if name != "detection_loss"} == {
        "right": 2, "found": 2, "replaced": 2, "both": 1, "tokens": 4,
    }  # fmt: skip
    by_hand = sum(F.softplus(torch.tensor(value)) for value in (-2.0, 1.0, 3.0, -2.0))
    assert torch.allclose(sums["detection_loss"], torch.as_tensor(by_hand))


# ------------------------------------------------------------------------------------------------------- its cost


@every_width
@every_sharing
def test_flops_are_those_that_pytorch_counts(corpus: Corpus, sharing: str, width: float) -> None:
    shape = ["arch.num_hidden_layers=3", "arch.num_attention_heads=4"]
    built = objective(corpus, *shape, f"objective.sharing={sharing}", f"objective.generator_width={width}")
    model = model_of(built)
    assert len(model.generator.encoder.layers) == 2
    with FlopCounterMode(display=False) as counter:
        built.loss(model, inputs(built))
    # The counter's hooks make the generator's last layer compute the queries of all positions.
    queries = 2 * model.generator.config.hidden_size**2 * (1 - TARGETS / LENGTH)
    counted = counter.get_total_flops() / (4 * LENGTH) - queries
    assert built.flops_per_token(model) == pytest.approx(3 * counted)
    names = {name for name, _ in model.named_modules()}
    assert built.matrix_flops(model).keys() <= names


def test_a_generator_is_narrower_and_shallower_with_heads_of_the_same_size() -> None:
    config = build_config(asdict(composed(*QUICK, "arch=small").arch), 400)
    small = generator_config(config, 0.25, None)
    assert (small.hidden_size, small.num_attention_heads, small.num_hidden_layers) == (64, 1, 2)
    assert (small.head_size, small.intermediate_size) == (config.head_size, 256)
    assert generator_config(config, 1.0, 3).num_hidden_layers == 3
    assert config.hidden_size == 256


# ---------------------------------------------------------------------------------------------------- what is left


@every_width
@every_sharing
def test_a_checkpoint_holds_both(corpus: Corpus, tmp_path: Path, sharing: str, width: float) -> None:
    words = [f"objective.sharing={sharing}", f"objective.generator_width={width}"]
    built = objective(corpus, *words)
    model = model_of(built)
    with torch.no_grad():
        for part in model.parameters():
            part.add_(torch.randn_like(part))
    built.save(model, tmp_path, Spent)
    again = objective(corpus, *words).build_model(tmp_path)
    theirs = dict(again.named_parameters())
    assert theirs.keys() == dict(model.named_parameters()).keys()
    assert all(torch.equal(part, theirs[name]) for name, part in model.named_parameters())
    other = objective(corpus, *words, "objective.generator_layers=2")
    with pytest.raises(UserError, match=f"{FILE}: missing, or not of this generator"):
        other.build_model(tmp_path)
    (tmp_path / FILE).unlink()
    with pytest.raises(UserError, match=f"{FILE}: missing, or not of this generator"):
        objective(corpus, *words).build_model(tmp_path)


def test_the_encoder_is_an_ordinary_one_without_a_head_for_masks(
    quick_run: Callable[..., Path], tmp_path: Path
) -> None:
    model = quick_run("objective=rtd", "budget.steps=2") / "model"
    encoder = transformers.AutoModel.from_pretrained(model)
    assert type(encoder).__name__ == "BertinchampsModel"
    assert json.loads((model.parent / "summary.json").read_text())["parameters"] == encoder.num_parameters()
    with pytest.raises(UserError, match="pretrained to detect replaced tokens"):
        transformers.AutoModelForMaskedLM.from_pretrained(model)
    with pytest.raises(
        UserError, match="fills no masks, because it was pretrained to detect replaced tokens"
    ):
        load(model).fill_mask("Le patient [MASK].")
    opened = open_pretrained(model, 2, build_runtime(RuntimeConfig(device="cpu", threads=1)))
    assert opened.filler is None
    assert opened.embedder is not None
    (vector,) = opened.embedder.embed(["Le patient tousse."])
    assert vector.shape == (64,)
    config = composed(
        f"model={model}", "steps=[{name: trim}]", f"output={tmp_path / 'less'}", command="compress"
    )
    assert any(
        "so nothing scores it; fine-tune it, and compress the result" in one
        for one in compress_problems(config)
    )
    words = [f"model={model}", "format=hf", "format.remote_code=true", f"output={tmp_path / 'exported'}"]
    export(composed(*words, command="export"))
    ids = torch.tensor([[2, 40, 50, 3]])
    exported = transformers.AutoModel.from_pretrained(tmp_path / "exported", trust_remote_code=True).eval()
    assert torch.equal(exported(ids).last_hidden_state, encoder.eval()(ids).last_hidden_state)
    (found,) = problems(
        composed(*QUICK, "budget.steps=1", "objective=distillation", f"objective.teacher={model}")
    )[:1]
    assert "a BertinchampsModel, which predicts no masked tokens" in found


@pytest.mark.parametrize(
    "opened_by", ["AutoModelForTokenClassification", "AutoModelForSequenceClassification"]
)
def test_fine_tuning_begins_with_its_weights(corpus: Corpus, tmp_path: Path, opened_by: str) -> None:
    built = objective(corpus)
    model = model_of(built)
    with torch.no_grad():
        for part in model.parameters():
            part.add_(torch.randn_like(part))
    built.save(model, tmp_path, Spent)
    with model.whole_encoder() as encoder:
        expected = {name: part.clone() for name, part in encoder.state_dict().items()}
    opened = open_model(opened_by, EncoderSource(str(tmp_path)), ["A", "B"])
    assert {name: part.shape for name, part in expected.items()} == {
        name: part.shape for name, part in opened.encoder.state_dict().items()
    }
    assert all(torch.equal(part, expected[name]) for name, part in opened.encoder.state_dict().items())


# ----------------------------------------------------------------------------------------------------- mistakes


def test_mistakes_in_the_settings_are_reported() -> None:
    wrong = {
        "generator_width": 1.5,
        "generator_layers": 0,
        "sharing": "half",
        "detection_weight": 0.0,
        "mask_rate": 2.0,
    }
    assert objectives.problems("rtd", {**wrong, "mask_rate": 2.0}, GIVEN) == [
        "objective.mask_rate=2.0: a share between 0 and 1, such as 0.15",
        "objective.generator_width=1.5: a share of arch.hidden_size, above 0 and up to 1",
        "objective.generator_layers=0: at least 1, or null: half of arch.num_hidden_layers",
        "objective.sharing=half: must be one of none, shared, gradient_disentangled",
        "objective.detection_weight=0.0: must be above 0; objective=mlm detects nothing",
    ]


def test_the_generator_has_whole_heads_and_nothing_grows() -> None:
    words = ["objective=rtd", "objective.generator_width=0.3", "budget.steps=1"]
    (found,) = problems(composed(*QUICK, *words))
    assert found == (
        "objective.generator_width=0.3: of arch.num_attention_heads=2 no whole number is left; give one of 0.5, 1"
    )
    told = problems(composed(*QUICK, "objective=rtd", "budget.steps=1", "grow.model=missing"))
    assert "grow.model=missing: only masked language models grow; choose another objective" in told

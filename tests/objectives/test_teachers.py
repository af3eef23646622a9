"""Distillation in pretraining: what the losses are, who may teach, what is counted, and that students learn."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from bertinchamps.checks.pretraining import problems
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.preparation import prepare
from bertinchamps.errors import UserError
from bertinchamps.model.architecture import build_config
from bertinchamps.model.flops import flops_per_token
from bertinchamps.model.heads.masked_lm import load_masked_lm
from bertinchamps.model.views import Wanted, views_of
from bertinchamps.objectives import GIVEN, build_objective, objectives
from bertinchamps.objectives.teaching import divergence, relation_distance
from bertinchamps.pretrain import pretrain
from support import QUICK, composed, losses, metrics

CPU = torch.device("cpu")
STUDENT = ["arch.num_hidden_layers=1", "arch.hidden_size=32", "arch.intermediate_size=64"]
INSIDE = ["objective.hidden_weight=1", "objective.relation_weight=1", "objective.relation_heads=4"]
FAMILIES = ("Bert", "Roberta", "ModernBert", "DistilBert")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A folder with `run`, a trained run of `tiny`, and a stock model of each of FAMILIES with its tokenizer."""
    folder = tmp_path_factory.mktemp("teachers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTINCHAMPS_CACHE", str(cache))
        words = ["budget.steps=40", "optim.learning_rate=5e-3", f"run_dir={folder / 'run'}"]
        pretrain(composed(*QUICK, *words))
    for family in FAMILIES:
        stock(family, folder / "run" / "model", folder / family)
    return folder


def stock(family: str, tokenizer: Path, folder: Path) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 400, "max_position_embeddings": 66, "pad_token_id": 0}
    if family == "DistilBert":
        sizes |= {"dim": 48, "n_layers": 3, "n_heads": 4, "hidden_dim": 64}
    else:
        sizes |= {
            "hidden_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 64,
        }
    config = getattr(transformers, f"{family}Config")(**sizes)
    getattr(transformers, f"{family}ForMaskedLM")(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, folder)


@pytest.fixture
def corpus() -> Corpus:
    return prepare(composed(*QUICK), lambda message: None)


def objective(corpus: Corpus, teacher: Path, *words: str) -> Any:
    config = composed(*QUICK, "objective=distillation", f"objective.teacher={teacher}", *words)
    return build_objective(config, corpus, CPU)


def inputs(distilling: Any) -> dict[str, Tensor]:
    return dict(next(distilling.batches(0, 4)).inputs)


def with_teacher(teacher: Path, *words: str) -> list[str]:
    given = ["objective=distillation", f"objective.teacher={teacher}", f"tokenizer.path={teacher}"]
    return [*QUICK, "budget.steps=1", *given, *words]


def test_a_model_learns_nothing_from_itself(corpus: Corpus, places: Path) -> None:
    own = objective(corpus, places / "run", "objective.weight=1", *INSIDE)
    student = load_masked_lm(places / "run" / "model").eval()
    assert float(own.loss(student, inputs(own)).loss_sum.detach()) == pytest.approx(0, abs=1e-3)
    scores = own.evaluate(student)
    assert scores["teacher_divergence"] == pytest.approx(0, abs=1e-5)
    assert scores["teacher_agreement"] == 1
    assert scores["teacher_loss"] == scores["loss"]


def test_the_loss_is_that_of_the_formula() -> None:
    torch.manual_seed(0)
    student, teacher, labels = torch.randn(5, 7), torch.randn(5, 7), torch.tensor([0, 1, -100, 3, 4])
    p, q = (teacher / 3).softmax(-1), (student / 3).softmax(-1)
    by_hand = sum(p[i] @ (p[i] / q[i]).log() for i in (0, 1, 3, 4))
    assert torch.allclose(divergence(student, teacher, labels, 3.0), torch.as_tensor(by_hand), rtol=1e-5)


def test_the_weight_mixes_probabilities_and_labels(corpus: Corpus, places: Path) -> None:
    student = load_masked_lm(places / "run" / "model").eval()
    teacher = places / "Bert"
    given = ["objective.mask_rate=0.15"]
    found = {}
    for weight in (0.25, 1.0):
        own = objective(corpus, teacher, f"objective.weight={weight}", *given)
        found[weight] = float(own.loss(student, inputs(own)).loss_sum.detach())
    plain = build_objective(composed(*QUICK, *given), corpus, CPU)
    without = float(plain.loss(student, inputs(plain)).loss_sum.detach())
    assert found[0.25] == pytest.approx(0.75 * without + 0.25 * found[1.0], rel=1e-6)


def test_relations_do_not_depend_on_the_hidden_size() -> None:
    torch.manual_seed(0)
    narrow = tuple(torch.randn(2, 6, 8) for _ in range(3))
    apart = [part.unflatten(-1, (4, 2)) for part in narrow]
    padded = tuple(torch.cat([part, torch.zeros_like(part)], -1).flatten(-2) * 2**0.25 for part in apart)
    assert float(relation_distance(padded, narrow, 4)) == pytest.approx(0, abs=1e-6)
    assert float(relation_distance(tuple(torch.randn(2, 6, 8) for _ in range(3)), narrow, 4)) > 0.1


def test_views_are_those_of_the_forward_pass(places: Path) -> None:
    model = load_masked_lm(places / "run" / "model").eval()
    ids, chosen = torch.randint(5, 400, (2, 16)), torch.tensor([[1, 4], [0, 15]])
    seen = views_of(model, ids, chosen, Wanted((1, 2), 2))
    output = model(ids, masked_positions=chosen, output_hidden_states=True)
    assert torch.equal(seen.logits, model.masked_logits(ids, chosen))
    assert torch.equal(seen.states[1], output.hidden_states[1])
    assert seen.states[2].shape == (2, 2, 64)
    assert [part.shape for part in seen.attention] == [(2, 16, 64)] * 3


@pytest.mark.parametrize("family", FAMILIES)
def test_any_masked_language_model_of_transformers_teaches(family: str, corpus: Corpus, places: Path) -> None:
    own = objective(corpus, places / family, *STUDENT, *INSIDE)
    student = own.build_model(None)
    loss = own.loss(student, inputs(own)).loss_sum
    loss.backward()
    assert torch.isfinite(loss)
    assert all(parameter.grad is not None for parameter in student.parameters())
    teacher = own._teacher.model
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    ids, chosen = inputs(own)["input_ids"], torch.tensor([[1, 4]] * 4)
    seen = own._teacher(ids, chosen)
    plain = getattr(transformers, f"{family}ForMaskedLM").from_pretrained(places / family)(
        ids, output_hidden_states=True
    )
    assert torch.allclose(seen.logits, plain.logits[:, [1, 4]], atol=1e-5)
    assert torch.allclose(seen.states[3], plain.hidden_states[3][:, [1, 4]], atol=1e-5)


def test_flops_are_the_students_and_a_forward_pass_of_the_teacher(corpus: Corpus, places: Path) -> None:
    own = objective(corpus, places / "Bert", *STUDENT, "objective.mask_rate=0.25")
    config = build_config(asdict(composed(*QUICK, *STUDENT).arch), 400)
    layers = 3 * (2 * (4 * 48 * 48 + 2 * 48 * 64) + 4 * 32 * 48)
    head = 2 * (48 * 48 + 48 * 400)
    by_hand = flops_per_token(config, 32, 0.25) + layers + 0.25 * head
    assert own.flops_per_token(own.build_model(None)) == pytest.approx(by_hand)
    inside = objective(corpus, places / "Bert", *STUDENT, "objective.mask_rate=0.25", *INSIDE)
    relations = 3 * (6 * 32 * 32 + 6 * 32 * 32) + 6 * 32 * 48
    maps = 3 * 2 * 32 * 48 * 0.25  # one layer, compared at the masked positions
    assert inside.flops_per_token(inside.build_model(None)) == pytest.approx(by_hand + relations + maps)


@pytest.mark.parametrize("inside", [[], INSIDE], ids=["probabilities", "inside_too"])
def test_a_student_learns_from_a_stock_teacher_which_stays_as_it_was(
    inside: list[str], places: Path, quick_run: Callable[..., Path]
) -> None:
    teacher = places / "Bert"
    before = (teacher / "model.safetensors").read_bytes()
    words = [*STUDENT, "budget.steps=40", "optim.learning_rate=1e-2", "objective.weight=1", *inside]
    run = quick_run(
        "objective=distillation", f"objective.teacher={teacher}", f"tokenizer.path={teacher}", *words
    )
    first, *_, last = metrics(run, "held_out")
    assert last["teacher_divergence"] < 0.5 * first["teacher_divergence"]
    assert (teacher / "model.safetensors").read_bytes() == before
    summary = json.loads((run / "summary.json").read_text())
    model = load_masked_lm(run / "model")
    assert summary["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert summary["teacher"]["model"] == teacher.name
    assert json.loads((run / "model/pretraining.json").read_text())["teacher"] == summary["teacher"]


def test_a_student_of_a_run_of_ours_needs_no_tokenizer_path(places: Path) -> None:
    words = [
        *QUICK,
        "budget.steps=1",
        "objective=distillation",
        f"objective.teacher={places / 'run'}",
        *STUDENT,
    ]
    assert problems(composed(*words)) == []
    (found,) = problems(composed(*words, "data.documents=500"))
    assert f"add tokenizer.path={places / 'run' / 'model'}" in found


def test_resuming_goes_on_exactly_and_demands_the_same_teacher(
    places: Path, tmp_path: Path, quick_run: Callable[..., Path]
) -> None:
    teacher = shutil.copytree(places / "Bert", tmp_path / "teacher")
    words = [
        "objective=distillation",
        f"objective.teacher={teacher}",
        f"tokenizer.path={teacher}",
        *STUDENT,
        *INSIDE,
    ]
    words += ["budget.steps=4", "checkpoint.every_steps=2"]
    run = quick_run(*words)
    (run / "summary.json").unlink()
    shutil.rmtree(max((run / "checkpoints").iterdir()))
    quick_run(*words, "resume=auto")
    assert losses(run)[-2:] == losses(run)[2:4]
    (run / "summary.json").unlink()
    shutil.copy(stocked(teacher, tmp_path / "other") / "model.safetensors", teacher)
    with pytest.raises(UserError, match="not the teacher that this run began with"):
        quick_run(*words, "resume=auto")


def stocked(teacher: Path, folder: Path) -> Path:
    """The same architecture with other weights."""
    model = transformers.AutoModelForMaskedLM.from_pretrained(teacher)
    with torch.no_grad():
        next(iter(model.parameters())).add_(1)
    model.save_pretrained(folder)
    return folder


def test_recomputed_activations_and_micro_batches_change_nothing(
    places: Path, quick_run: Callable[..., Path]
) -> None:
    words = [
        "objective=distillation",
        f"objective.teacher={places / 'run'}",
        *STUDENT,
        *INSIDE,
        "budget.steps=2",
    ]
    words += ["batch.ramp=0"]
    whole = quick_run(*words, name="whole")
    parts = quick_run(*words, "runtime.activation_checkpointing=true", "batch.micro_batch=2", name="parts")
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-5)


def test_who_cannot_teach_is_refused_with_key_and_file(places: Path, tmp_path: Path) -> None:
    def found(*words: str) -> str:
        return "\n".join(problems(composed(*words)))

    good = places / "Bert"
    assert found(*with_teacher(good)) == ""
    assert f"objective.teacher={tmp_path / 'no'}: no model there" in found(
        *with_teacher(good), f"objective.teacher={tmp_path / 'no'}"
    )
    without = [word for word in with_teacher(good) if not word.startswith("tokenizer.path")]
    assert f"add tokenizer.path={good}" in found(*without)
    remote = shutil.copytree(good, tmp_path / "remote")
    config = {
        "model_type": "strange",
        "auto_map": {"AutoConfig": "code.Config", "AutoModelForMaskedLM": "code.Model"},
    }
    (remote / "config.json").write_text(json.dumps(config))
    (remote / "code.py").write_text("raise SystemExit('run')")
    assert f"objective.teacher={remote}" in found(*with_teacher(good), f"objective.teacher={remote}")
    tagger = shutil.copytree(good, tmp_path / "tagger")
    config = json.loads((good / "config.json").read_text()) | {
        "architectures": ["BertForTokenClassification"]
    }
    (tagger / "config.json").write_text(json.dumps(config))
    assert "predicts no masked tokens" in found(*with_teacher(tagger))
    assert "reads at most 66 tokens" in found(*with_teacher(good), "blocks.sequence_length=128")
    relations = [*with_teacher(good), "objective.relation_weight=1"]
    assert "the teacher's 48: 1, 2, 4, 8, 16" in found(*relations)
    both = found(*with_teacher(good), f"objective.teacher={tmp_path / 'no'}", "objective.weight=3")
    assert "objective.weight=3" in both
    assert "no model there" in both
    assert "from 1 to 3" in found(*relations, "objective.relation_heads=4", "objective.relation_layer=4")


def test_another_tokenizer_is_refused_before_any_work(places: Path, corpus: Corpus, tmp_path: Path) -> None:
    other = shutil.copytree(places / "Bert", tmp_path / "other")
    content = json.loads((other / "tokenizer.json").read_text())
    entries = content["model"]["vocab"]
    one, two = list(entries)[50:52]
    entries[one], entries[two] = entries[two], entries[one]
    (other / "tokenizer.json").write_text(json.dumps(content))
    words = [*with_teacher(other), f"tokenizer.path={places / 'Bert'}"]
    (found,) = problems(composed(*words))
    assert "400 are in both, 2 of these with another id" in found
    assert f"add tokenizer.path={other}" in found
    with pytest.raises(UserError, match="2 of these with another id"):
        objective(corpus, other)


def test_mistakes_in_the_settings_are_reported() -> None:
    settings = {"teacher": "x", "weight": 2.0, "temperature": 0.0, "hidden_weight": -1.0, "mask_rate": 3.0}
    assert objectives.problems("distillation", settings, given=GIVEN) == [
        "objective.mask_rate=3.0: a share between 0 and 1, such as 0.15",
        "objective.weight=2.0: from 0 to 1",
        "objective.temperature=0.0: must be above 0",
        "objective.hidden_weight=-1.0: must be at least 0",
    ]
    (found,) = objectives.problems("distillation", {"teacher": "x", "weight": 0.0}, given=GIVEN)
    assert "objective=mlm does the same without one" in found

"""Pretraining that goes on from any masked language model: same loss at the start, same class at the end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from bertinchamps.checks.pretraining import problems
from bertinchamps.command_line.readable import readable
from bertinchamps.composing import configuration
from bertinchamps.data.file_hashes import cache_folder
from bertinchamps.data.packing import Cursor, Packer
from bertinchamps.data.planning import build_source
from bertinchamps.data.preparation import prepare
from bertinchamps.data.prepared import export_corpus
from bertinchamps.data.tokenizer import open_tokenizer
from bertinchamps.errors import UserError
from bertinchamps.exporting.card_run import told_of
from bertinchamps.exporting.source import open_source
from bertinchamps.model.encoders import longest_input
from bertinchamps.objectives import build_objective
from bertinchamps.objectives.masking import IGNORED
from bertinchamps.objectives.mlm import spread_over
from bertinchamps.pretrain import open_corpus, pretrain
from bertinchamps.reporting.costs import pretraining_table
from bertinchamps.reporting.runs import gather
from bertinchamps.schemas import ExportConfig
from bertinchamps.training.distributed import join
from families import draw_biases_of_entries, make_masked_lm, with_head_of_microsoft
from support import before_update, composed, losses, metrics, stop
from tiny_encoders import TEXTS

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FIVE = ("bert", "roberta", "camembert", "modernbert", "deberta-v2")
QUICK = [
    "experiment=continue",
    "data=demo",
    "data.documents=60",
    "runtime=eager",
    "runtime.threads=1",
    "blocks.sequence_length=32",
    "blocks.held_out_share=0.2",
    "batch.micro_batch=4",
    "batch.size=8",
    "evaluation.blocks=8",
    "evaluation.every=0.5",
    "report.html=false",
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {family: make_masked_lm(family, folder / family) for family in FIVE}


def configured(base: Path, *words: str) -> Any:
    return composed(*QUICK, f"model={base}", *words)


def went_on(base: Path, run: Path, *words: str) -> Path:
    """A run from a base, in this process."""
    config = configured(base, f"run_dir={run}", *words)
    assert problems(config) == []
    return pretrain(config)


def summary_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return found


@torch.no_grad()
def stock_loss(folder: Path, config: Any) -> float:
    """The held-out loss on the masks of the objective, by the stock class at all positions."""
    objective: Any = build_objective(config, open_corpus(config, join()), torch.device("cpu"))
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    indices = spread_over(objective.corpus.held_out, config.evaluation.blocks)
    ids = torch.from_numpy(objective.corpus.held_out.read(indices).astype(np.int64))
    masked, chosen, labels = objective._held_out_masking(ids, torch.from_numpy(indices))
    logits = model(input_ids=masked).logits.gather(
        1, chosen[..., None].expand(-1, -1, model.config.vocab_size)
    )
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    return float(loss)


@pytest.mark.parametrize("family", FIVE)
def test_a_run_begins_with_the_loss_of_the_base_and_ends_in_its_class(
    bases: dict[str, Path], tmp_path: Path, family: str
) -> None:
    base, run = bases[family], tmp_path / "run"
    went_on(base, run, "budget.steps=3")
    summary, config = summary_of(run), configured(base, "budget.steps=3")
    assert summary["held_out_before"]["loss"] == pytest.approx(stock_loss(base, config), rel=1e-5)
    assert summary["held_out"]["loss"] == pytest.approx(stock_loss(run / "model", config), rel=1e-5)
    assert summary["held_out"]["loss"] < summary["held_out_before"]["loss"]
    assert summary["continued_from"]["model"] == family
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (base, run / "model"))
    assert after == before  # the same class, dropouts and all
    for file in base.glob("*token*"):
        assert (run / "model" / file.name).read_bytes() == file.read_bytes()
    texts = [TEXTS[0], "Une phrase."]
    ids = [AutoTokenizer.from_pretrained(folder)(texts)["input_ids"] for folder in (base, run / "model")]
    assert ids[0] == ids[1]
    facts = json.loads((run / "model" / "pretraining.json").read_text())
    assert facts["continued_from"] == summary["continued_from"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [({}, []), ({"legacy": False}, ["tokenizer.extend=4"]), ({"legacy": False}, ["tokenizer.replace=350"])],
    ids=str,
)
def test_the_head_of_debertas_checkpoints_is_read_and_written_under_the_usual_names(
    bases: dict[str, Path], tmp_path: Path, settings: dict[str, Any], words: list[str]
) -> None:
    usual, theirs = tmp_path / "usual", tmp_path / "theirs"
    shutil.copytree(bases["deberta-v2"], usual)
    draw_biases_of_entries(usual)
    shutil.copytree(usual, theirs)
    with_head_of_microsoft(theirs, **settings)
    runs = [
        went_on(base, base.parent / f"{base.name}-run", "budget.steps=2", *words) for base in (usual, theirs)
    ]
    assert losses(runs[0]) == losses(runs[1])
    one, two = ((run / "model" / "model.safetensors").read_bytes() for run in runs)
    assert one == two
    scores, config = summary_of(runs[1]), configured(theirs, "budget.steps=2", *words)
    assert scores["held_out"]["loss"] == pytest.approx(stock_loss(runs[1] / "model", config), rel=1e-5)


def stopped_and_resumed(base: Path, run: Path, words: list[str], gone: bool = False) -> Path:
    """A run that is stopped at its third update and goes on; `gone`: its base is deleted meanwhile."""
    with before_update(3, stop), pytest.raises(UserError, match="stopped at step 3"):
        went_on(base, run, *words)
    if gone:
        shutil.rmtree(base)
    return went_on(base, run, *words, "resume=auto")


@pytest.mark.parametrize(
    "words",
    [
        ["dropout=null", "optim.layer_decay=0.8", "objective.final_mask_rate=0.3"],
        ["freeze.layers=1", "optim=muon", "runtime.activation_checkpointing=true"],
        ["adapter=lora", "adapter.dropout=0.1"],
    ],
    ids=["all", "frozen", "lora"],
)
def test_a_stopped_run_goes_on_bit_for_bit_without_its_base(
    bases: dict[str, Path], tmp_path: Path, words: list[str]
) -> None:
    base = tmp_path / "base"
    shutil.copytree(bases["camembert"], base)
    settings = [*words, "budget.steps=6"]
    if "objective.final_mask_rate=0.3" in words:
        settings.insert(0, "objective=mlm_30_15")
    whole = went_on(base, tmp_path / "whole", *settings)
    halves = stopped_and_resumed(base, tmp_path / "halves", settings, gone=True)
    assert losses(halves) == losses(whole)
    assert [r["loss"] for r in metrics(halves, "held_out")] == [r["loss"] for r in metrics(whole, "held_out")]
    one, two = ((run / "model" / "model.safetensors").read_bytes() for run in (whole, halves))
    assert one == two
    assert summary_of(halves)["held_out_before"] == summary_of(whole)["held_out_before"]


def test_a_good_part_is_read_several_times_and_the_run_says_how_often(
    bases: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terms = tmp_path / "terms.txt"
    terms.write_text("patient fièvre douleur toux traitement", encoding="utf-8")
    best = f"cleaning:[{{name:density,files:[{terms}],best:0.25}}]"
    parts = f"[{{weight:0.5,name:demo,documents:40,{best}}},{{weight:0.5,name:demo,documents:16,seed:1}}]"
    words = [
        "data=mix",
        f"data.sources={parts}",
        "budget.epochs=2",
        "evaluation.every=1",
        "batch.micro_batch=8",
    ]
    bare = [word for word in QUICK if not word.startswith("data")]
    config = composed(*bare, f"model={bases['bert']}", f"run_dir={tmp_path / 'whole'}", *words)
    assert problems(config) == []
    epochs = summary_of(pretrain(config))["spent"]["epochs"]
    printed = capsys.readouterr().err
    dense, other = open_corpus(config, join()).manifest["mix"]
    assert dense["documents"] == pytest.approx(10 * dense["passes"], abs=0.01)
    times = [f"demo {epochs * part['passes']:.1f}" for part in (dense, other)]
    assert f"read       the corpus 2.0 times: {', '.join(times)} times" in printed
    assert epochs == pytest.approx(2, abs=0.1)
    halves = composed(
        *bare, f"model={bases['bert']}", f"run_dir={tmp_path / 'halves'}", *words, "resume=auto"
    )
    with before_update(3, stop), pytest.raises(UserError, match="stopped at step 3"):
        pretrain(halves)
    shutil.rmtree(cache_folder() / "thresholds")
    assert losses(pretrain(halves)) == losses(tmp_path / "whole")


def test_a_model_without_a_number_of_layers_is_told_about(bases: dict[str, Path], tmp_path: Path) -> None:
    """A Perceiver has blocks, and its head reads no single states."""
    sizes = {
        "d_latents": 32,
        "d_model": 32,
        "num_latents": 8,
        "num_blocks": 1,
        "num_self_attends_per_block": 1,
    }
    heads = {
        "num_self_attention_heads": 2,
        "num_cross_attention_heads": 2,
        "qk_channels": 16,
        "v_channels": 16,
    }
    tokenizer = AutoTokenizer.from_pretrained(bases["bert"])
    config = transformers.PerceiverConfig(
        **sizes,
        **heads,
        vocab_size=len(tokenizer),
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
    )
    transformers.PerceiverForMaskedLM(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    assert found(tmp_path / "base") == ""
    assert "freeze.layers=1: model=" in found(tmp_path / "base", "freeze.layers=1")
    with pytest.raises(
        UserError, match="does not predict each masked token from the last state at its place"
    ):
        pretrain(configured(tmp_path / "base", "budget.steps=1", f"run_dir={tmp_path / 'run'}"))


class Killed(BaseException):
    """What no part of a run handles, as it handles no SIGKILL."""


def kill(trainer: Any) -> None:
    del trainer
    raise Killed


def killed_and_resumed(base: Path, run: Path, words: list[str]) -> Path:
    """A run that is killed before its first checkpoint, then between two, and loses its base."""
    for step in (1, 5):
        with before_update(step, kill), pytest.raises(Killed):
            went_on(base, run, *words, "resume=auto")
    shutil.rmtree(base)
    return went_on(base, run, *words, "resume=auto")


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("camembert", ["dropout=0.1"]),
        ("roberta", ["adapter=lora", "adapter.dropout=0.1"]),
        ("bert", ["tokenizer.extend=4", "dropout=0.1", "optim=muon", "optim.learning_rate=1e-3"]),
        ("modernbert", ["tokenizer.extend=4", "adapter=lora", "adapter.dropout=0.1"]),
        ("camembert", ["tokenizer.replace=350", "freeze.layers=1", "dropout=0.1"]),
    ],
    ids=str,
)
def test_a_killed_run_goes_on_bit_for_bit(
    bases: dict[str, Path], tmp_path: Path, family: str, words: list[str]
) -> None:
    base, settings = tmp_path / "base", [*words, "budget.steps=7", "checkpoint.every_steps=2"]
    shutil.copytree(bases[family], base)
    whole = went_on(base, tmp_path / "whole", *settings)
    parts = killed_and_resumed(base, tmp_path / "parts", settings)
    assert losses(parts) == losses(whole)
    assert [record["step"] for record in metrics(parts)] == list(range(1, 8))
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (parts / "model" / name).read_bytes() == (whole / "model" / name).read_bytes()
    assert summary_of(parts)["held_out_before"] == summary_of(whole)["held_out_before"]


def test_a_run_without_a_checkpoint_begins_anew_from_the_same_base_alone(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(bases["bert"], base)
    words = ["budget.steps=2", "resume=auto"]
    with before_update(1, kill), pytest.raises(Killed):
        went_on(base, tmp_path / "run", *words)
    draw_biases_of_entries(base)
    with pytest.raises(UserError, match="not the model that this run began with"):
        went_on(base, tmp_path / "run", *words)


def test_frozen_layers_and_embeddings_stay_and_cost_less(bases: dict[str, Path], tmp_path: Path) -> None:
    base = bases["bert"]
    run = went_on(base, tmp_path / "run", "freeze.layers=1", "budget.steps=2")
    before, after = (AutoModelForMaskedLM.from_pretrained(f).state_dict() for f in (base, run / "model"))
    kept = {name for name in before if torch.equal(before[name], after[name])}
    frozen = {name for name in before if ".embeddings." in name or ".layer.0." in name}
    assert frozen <= kept
    assert not any(".layer.1." in name and name.endswith("query.weight") for name in kept)
    whole = went_on(base, tmp_path / "whole", "budget.steps=2")
    assert summary_of(run)["spent"]["flops"] < summary_of(whole)["spent"]["flops"]


def test_a_pooler_is_handed_on(bases: dict[str, Path], tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(bases["bert"], base)
    whole = transformers.BertForPreTraining.from_pretrained(base)
    whole.save_pretrained(base)
    run = went_on(base, tmp_path / "run", "budget.steps=1")
    expected, found = (AutoModel.from_pretrained(f).pooler.dense.weight for f in (base, run / "model"))
    assert torch.equal(found, expected)
    assert torch.equal(expected, whole.bert.pooler.dense.weight)


def test_an_adapter_is_merged_and_the_rest_of_the_encoder_stays(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    base = bases["roberta"]
    run = went_on(base, tmp_path / "run", "adapter=lora", "budget.steps=3")
    before, after = (AutoModelForMaskedLM.from_pretrained(f).state_dict() for f in (base, run / "model"))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    inside = {name for name in changed if name.startswith("roberta.")}
    assert inside
    assert all(name.endswith(("query.weight", "key.weight", "value.weight")) for name in inside)
    assert any(name.startswith("lm_head.dense") for name in changed)
    config = configured(base, "adapter=lora", "budget.steps=3")
    assert summary_of(run)["held_out"]["loss"] == pytest.approx(stock_loss(run / "model", config), rel=1e-5)


def test_one_of_ours_goes_on_and_keeps_its_class(tmp_path: Path, quick_run: Callable[..., Path]) -> None:
    first = quick_run("budget.steps=3", "report.html=false", name="first")
    second = went_on(first, tmp_path / "second", "data.documents=80", "budget.steps=2")
    assert json.loads((second / "model" / "config.json").read_text())["model_type"] == "bertinchamps"
    origin = summary_of(second)["continued_from"]
    assert origin["spent"]["steps"] == 3
    third = went_on(second, tmp_path / "third", "data.documents=80", "budget.steps=1", "adapter=lora")
    assert summary_of(third)["continued_from"]["continued_from"] == origin
    ended, began = summary_of(second)["held_out"], summary_of(third)["held_out_before"]
    assert began["loss"] == pytest.approx(ended["loss"], rel=1e-5)


def test_a_vocabulary_beyond_65536_entries_has_wide_blocks(tmp_path: Path) -> None:
    base = make_masked_lm("xlm-roberta", tmp_path / "wide", entries=70_000)
    config = configured(base)
    corpus = open_corpus(config, join())
    assert corpus.manifest["dtype"] == "uint32"
    ids = corpus.held_out.read(np.arange(4))
    assert ids.max() > 2**16
    assert ids.max() < corpus.vocabulary.size == 70_000
    tokenizer = open_tokenizer(corpus.tokenizer_folder)
    packer = Packer(build_source(config.data), config, tokenizer, processes=1)
    assert next(packer.windows(4096, Cursor()))[1].max() > 2**16
    run = went_on(base, tmp_path / "run", "budget.steps=1")
    assert summary_of(run)["held_out"]["loss"] > 0


def test_a_corpus_holds_no_control_token_of_the_base(bases: dict[str, Path], tmp_path: Path) -> None:
    notes = tmp_path / "notes.jsonl"
    text = "Le patient </s> tousse <mask> et <pad> dort [MASK]. " * 20
    notes.write_text("".join(json.dumps({"text": f"{n} {text}"}) + "\n" for n in range(30)))
    for family in ("camembert", "roberta"):
        words = [word for word in QUICK if not word.startswith("data")]
        config = composed(*words, f"model={bases[family]}", "data=files", f"data.files=[{notes}]")
        corpus = open_corpus(config, join())
        controls = set(AutoTokenizer.from_pretrained(bases[family]).all_special_ids)
        tokenizer = AutoTokenizer.from_pretrained(bases[family])
        separators = 0
        for split in (corpus.train, corpus.held_out):
            ids = split.read(np.arange(len(split))).flatten()
            separators += int((ids == tokenizer.sep_token_id).sum())
            assert not set(ids.tolist()) & (controls - {tokenizer.sep_token_id, tokenizer.unk_token_id})
        assert 0 < separators <= 30


def test_words_are_masked_whole_by_each_convention(bases: dict[str, Path], tmp_path: Path) -> None:
    for family in FIVE:
        config = configured(bases[family], "objective.whole_word=true")
        vocabulary = open_corpus(config, join()).vocabulary
        tokenizer = AutoTokenizer.from_pretrained(bases[family])
        ids = tokenizer("pressionte", add_special_tokens=False)["input_ids"]
        assert len(ids) > 1
        assert [index in vocabulary.continuations for index in ids] == [False] + [True] * (len(ids) - 1)
        assert not set(tokenizer.convert_tokens_to_ids([",", "."])) & set(vocabulary.continuations)


def test_a_base_without_a_fast_tokenizers_file_gets_one(bases: dict[str, Path], tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    shutil.copytree(bases["bert"], slow)
    entries = AutoTokenizer.from_pretrained(slow).get_vocab()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (slow / name).unlink()
    (slow / "vocab.txt").write_text("\n".join(sorted(entries, key=entries.__getitem__)), encoding="utf-8")
    run = went_on(slow, tmp_path / "run", "budget.steps=1")
    assert (run / "model" / "vocab.txt").read_bytes() == (slow / "vocab.txt").read_bytes()
    before, after = (AutoTokenizer.from_pretrained(folder) for folder in (slow, run / "model"))
    assert before(TEXTS)["input_ids"] == after(TEXTS)["input_ids"]
    assert type(before) is type(after)


def test_a_base_of_the_hub(
    bases: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cached = tmp_path / "hub" / "models--quelqun--base"
    shutil.copytree(bases["camembert"], cached / "snapshots" / COMMIT)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    run = tmp_path / "run"
    went_on(Path("quelqun/base"), run, "budget.steps=1", "report.html=true")
    tokenizer = bases["camembert"] / "tokenizer.json"
    assert (run / "model" / "tokenizer.json").read_bytes() == tokenizer.read_bytes()
    summary = summary_of(run)
    assert summary["continued_from"]["model"] == "quelqun/base"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert f"{summary['held_out_before']['loss']:.4f}" in page
    assert "Before the first update the model was quelqun/base" in page
    assert "gained: " in capsys.readouterr().err
    (gathered,) = gather(tmp_path).pretraining
    assert gathered.before == summary["held_out_before"]
    assert "held-out loss, before" in pretraining_table([gathered], ["run"]).shown.columns
    source = open_source(ExportConfig(model=str(run)))
    told = told_of(source, run)
    assert told is not None
    assert "went on from the masked language model quelqun/base" in told.remarks[0]
    assert not {"arch", "tokenizer"} & told.config.keys()


def test_blocks_that_were_prepared_elsewhere_bring_the_tokenizer(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    base = bases["roberta"]
    shaping = [word for word in QUICK if word.startswith(("data", "blocks"))]
    config = composed(*shaping, f"tokenizer.path={base}", command="prepare")
    export_corpus(prepare(config, print), config, tmp_path / "corpus", print)
    rest = [
        word
        for word in QUICK
        if word.partition("=")[0] not in ("data", "data.documents", "blocks.held_out_share")
    ]
    given = ["data=prepared", f"data.folder={tmp_path / 'corpus'}", "budget.steps=1"]
    for name, wrong in (("roberta", False), ("bert", True)):
        config = composed(*rest, *given, f"model={bases[name]}", f"run_dir={tmp_path / name}")
        assert problems(config) == []
        if wrong:
            with pytest.raises(UserError, match="its tokenizer is not that of the corpus"):
                pretrain(config)
        else:
            assert (pretrain(config) / "model" / "model.safetensors").is_file()


def found(base: Path, *words: str) -> str:
    return "\n".join(problems(configured(base, "budget.steps=1", *words)))


def test_what_does_not_fit_is_told_before_any_work(bases: dict[str, Path], tmp_path: Path) -> None:
    bert = bases["bert"]
    assert "arch.hidden_size=64, " in (said := found(bert, "arch=tiny"))
    assert "brings its own architecture" in said
    assert "tokenizer.vocab_size=400: model=" in (said := found(bert, "tokenizer.vocab_size=400"))
    assert "brings its own tokenizer" in said
    assert "a new model grows" in found(bert, f"grow.model={bert}")
    assert "sparsity=static: for new models alone" in found(bert, "sparsity=static")
    assert "take objective=mlm" in found(bert, "objective=mlm_sampled")
    assert "reads at most 64 tokens; set that or less" in found(bert, "blocks.sequence_length=65")
    assert "freeze.layers=3: model=" in found(bert, "freeze.layers=3")
    assert "leave one of them out" in found(bert, "freeze.layers=1", "adapter=lora")
    assert "cannot become a part of the weights" in found(bert, "adapter=prompt")
    assert "optim.layer_decay=0: above 0" in found(bert, "optim.layer_decay=0")
    assert "dropout=1.0: from 0 to less than 1" in found(bert, "dropout=1.0")
    assert "its tokenizer is not that of" in found(bert, f"tokenizer.path={bases['roberta']}")
    assert found(bert, f"tokenizer.path={bert}") == ""
    assert "no model there" in found(tmp_path / "nothing")
    alone = "\n".join(
        problems(composed(*QUICK, "budget.steps=1", "freeze.layers=2", "adapter=lora", "dropout=0.1"))
    )
    assert alone.count("of a model that is trained further") == 3
    assert "a new model has arch.dropout" in alone


def test_the_recipe_comes_with_the_model() -> None:
    words = readable(["model=camembert-base", "+budget=1h", "batch.size=128"], "pretrain")
    assert words[-1] == "experiment=continue"
    config = configuration("pretrain", words)
    assert (config.optim["learning_rate"], config.batch.micro_batch, config.batch.size) == (None, 32, 128)
    assert config.budget.hours == 1
    for given in (["model=x", "experiment=day"], ["arch=small"], ["model=null"]):
        assert "experiment=continue" not in readable(given, "pretrain")
    assert readable(["model=x", "task=ner"], "finetune") == ["model=x", "task=ner"]


def altered(base: Path, folder: Path, name: str, **changes: Any) -> Path:
    """A copy of a base with other settings in one of its files."""
    shutil.copytree(base, folder)
    settings = json.loads((folder / name).read_text())
    settings = {key: value for key, value in {**settings, **changes}.items() if value is not None}
    (folder / name).write_text(json.dumps(settings))
    return folder


def test_models_that_predict_no_masked_tokens_are_refused(bases: dict[str, Path], tmp_path: Path) -> None:
    bert = bases["bert"]
    tagger = altered(bert, tmp_path / "tagger", "config.json", architectures=["BertForTokenClassification"])
    assert "a BertForTokenClassification, which predicts no masked tokens" in found(tagger)
    without = altered(bert, tmp_path / "without", "tokenizer_config.json", mask_token=None)
    assert "its tokenizer has no mask token" in found(without)
    small = altered(bert, tmp_path / "small", "config.json", vocab_size=100)
    assert "it predicts 100 tokens alone" in found(small)
    shutil.rmtree(tmp_path / "small")
    damaged = altered(bert, tmp_path / "damaged", "config.json", num_hidden_layers=3)
    with pytest.raises(UserError, match=r"the weights do not fit its config\.json: missing"):
        pretrain(configured(damaged, "budget.steps=1", f"run_dir={tmp_path / 'run'}"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("bert", []),
        ("camembert", ["freeze.layers=1", "tokenizer.extend=4"]),
        ("modernbert", ["adapter=lora"]),
    ],
    ids=str,
)
def test_a_base_with_more_positions_reads_longer_rows_and_is_opened_by_its_class(
    bases: dict[str, Path], tmp_path: Path, family: str, words: list[str]
) -> None:
    base = tmp_path / "base"
    shutil.copytree(bases[family], base)
    limits = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps({**limits, "model_max_length": 64}))
    settings = [*words, "blocks.sequence_length=128", "budget.steps=7", "checkpoint.every_steps=2"]
    assert "positions.extend=128" in found(base, *settings)
    settings.append("positions.extend=160")
    whole = went_on(base, tmp_path / "whole", *settings)
    model = AutoModelForMaskedLM.from_pretrained(whole / "model")
    assert type(model) is type(AutoModelForMaskedLM.from_pretrained(base))
    assert longest_input(model.config) == 160
    tokenizer = AutoTokenizer.from_pretrained(whole / "model")
    assert tokenizer.model_max_length == 160
    assert len(tokenizer("toux " * 500, truncation=True)["input_ids"]) == 160
    scores = summary_of(whole)
    expected = stock_loss(whole / "model", configured(base, *settings))
    assert scores["held_out"]["loss"] == pytest.approx(expected, rel=1e-5)
    if family == "camembert":  # copies are trained, each by itself, beside layers that are not
        table = model.roberta.embeddings.position_embeddings.weight
        assert not torch.equal(table[2:66], table[66:130])
        whole_base = AutoModelForMaskedLM.from_pretrained(base)
        before = whole_base.roberta.embeddings.position_embeddings.weight
        torch.testing.assert_close(table[130:], before[2:34], rtol=0.01, atol=0)  # no row was so long
        parts = killed_and_resumed(base, tmp_path / "parts", settings)
        assert losses(parts) == losses(whole)
        for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json"):
            assert (parts / "model" / name).read_bytes() == (whole / "model" / name).read_bytes()


def test_longer_rows_are_checked_before_any_work(bases: dict[str, Path]) -> None:
    bert = bases["bert"]
    longer = "blocks.sequence_length=128"
    assert found(bert, longer, "positions.extend=128") == ""
    assert "longer than positions.extend=100; set that or less" in found(bert, longer, "positions.extend=100")
    assert "has 64 positions; give more" in found(bert, "positions.extend=64")
    assert "positions.theta=5.0: goes with positions.extend" in found(bert, "positions.theta=5")
    assert "has no rotary positions" in found(bert, longer, "positions.extend=128", "positions.theta=5")
    assert found(bases["modernbert"], longer, "positions.extend=128", "positions.theta=5e5") == ""
    said = "\n".join(problems(composed(*QUICK, "budget.steps=1", "positions.extend=128")))
    assert "of a model that is trained further" in said
    assert "a new model has arch.max_positions" in said

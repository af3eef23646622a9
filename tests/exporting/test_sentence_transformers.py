"""What `format=sentence-transformers` writes is opened, and trained, by that library."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import finetuned, pretrained, source_of

from bertinchamps.errors import UserError
from bertinchamps.exporting import exporters
from bertinchamps.exporting.sentence_transformers import SentenceTransformers
from real import real


@pytest.fixture
def library() -> Any:
    return pytest.importorskip(
        "sentence_transformers", reason="pip install 'bertinchamps[sentence-transformers]'"
    )


@pytest.mark.parametrize(
    ("arch", "head", "settings"),
    [
        ("modern", None, {}),
        ("bert_base", "flat", {}),
        ("camembert", None, {"max_length": 40}),
        ("crammed", "nested", {"remote_code": True}),
    ],
)
def test_the_library_gives_the_mean_over_the_encoders_tokens(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    library: Any,
    arch: str,
    head: str | None,
    settings: dict[str, Any],
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = pretrained(arch, tmp_path / "encoder")
    folder = folder if head is None else finetuned(folder, head, tmp_path / "tagger")
    source, place = source_of(folder, head), tmp_path / "exported"
    place.mkdir()
    exporter = exporters.build("sentence-transformers", **settings)
    assert exporter.problems(source) == []
    lines = exporter.export(source, place)
    assert lines[0].startswith("vectors    differ from the original's by")
    remote = settings.get("remote_code", False)
    opened = library.SentenceTransformer(str(place), device="cpu", trust_remote_code=remote)
    exec(exporter.use().code.replace("MODEL", str(place)))
    assert opened.max_seq_length == settings.get("max_length", 64 if head is None else 32)
    text = "Le patient présente une fièvre et une toux sèche."
    encoded = source.tokenizer()(text, return_tensors="pt")
    model: Any = source.model()
    encoder = getattr(model, "model", model).base_model
    with torch.no_grad():
        hidden = encoder(encoded.input_ids).last_hidden_state
    found = opened.encode([text, text + " Traitement par du furosémide."], show_progress_bar=False)
    assert encoded.input_ids.shape[1] <= opened.max_seq_length
    np.testing.assert_allclose(found[0], hidden[0].mean(0).numpy(), rtol=1e-4, atol=1e-4)


def test_what_no_stock_class_holds_needs_the_key(tmp_path: Path) -> None:
    source = source_of(pretrained("crammed", tmp_path / "encoder"))
    assert "format.remote_code=true" in SentenceTransformers().problems(source)[-1]
    assert SentenceTransformers(max_length=0).problems(source)[0].startswith("format.max_length=0: must be")
    with pytest.raises(UserError, match=r"arch\.positions"):
        SentenceTransformers().export(source, tmp_path)


@pytest.mark.long
@pytest.mark.real_data
def test_the_library_trains_it_on_pairs_of_sentences(tmp_path: Path, library: Any) -> None:
    """Sixty updates on STS-B in French raise the rank correlation on the pairs they saw, from random weights."""
    from datasets import Dataset
    from scipy.stats import spearmanr
    from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

    with (real("labelled/stsb_fr") / "stsb-fr-train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    step = len(rows) / 1920  # the file is sorted by source
    pairs = [rows[int(number * step)] for number in range(1920)]
    place = tmp_path / "exported"
    place.mkdir()
    torch.manual_seed(0)
    encoder = pretrained("modern", tmp_path / "encoder", init="normal")
    exporters.build("sentence-transformers").export(source_of(encoder), place)
    model = library.SentenceTransformer(str(place), device="cpu")

    def correlation() -> float:
        seen = pairs[::4]
        first, second = (
            model.encode([row[side] for row in seen], normalize_embeddings=True) for side in (0, 1)
        )
        return float(spearmanr((first * second).sum(1), [float(row[2]) for row in seen]).statistic)

    before = correlation()
    data = Dataset.from_dict(
        {
            "first": [row[0] for row in pairs],
            "second": [row[1] for row in pairs],
            "score": [float(row[2]) / 5 for row in pairs],
        }
    )
    settings = library.SentenceTransformerTrainingArguments(
        str(tmp_path / "trained"), max_steps=60, per_device_train_batch_size=32, learning_rate=2e-3,
        report_to="none", save_strategy="no", disable_tqdm=True, seed=0, use_cpu=True,
    )  # fmt: skip
    loss = CosineSimilarityLoss(model)
    library.SentenceTransformerTrainer(model, settings, train_dataset=data, loss=loss).train()
    after = correlation()
    assert after > before + 0.05
    model.save(str(tmp_path / "saved"))
    again = library.SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    text = pairs[0][0]
    np.testing.assert_allclose(again.encode(text), model.encode(text), rtol=1e-4, atol=1e-5)

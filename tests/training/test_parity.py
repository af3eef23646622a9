"""What makes training fast must not change what is learnt: the loss curves of one run, made in different ways.

Compiled against eager, bf16 and fp16 against float32, recomputed against kept activations. Settings of compilers have
broken convergence before (PyTorch's issue 96693), so every speed-up of the update comes under this test.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_trainer import Recorder
from torch._dynamo.utils import counters

from bertinchamps.data.blocks import Blocks
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.tokenizer import Vocabulary
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.objectives import Given
from bertinchamps.objectives.masking import MaskSettings
from bertinchamps.objectives.mlm import MaskedLanguageModeling
from bertinchamps.schemas import BatchConfig, BudgetConfig, RuntimeConfig
from bertinchamps.training.clock import Clock
from bertinchamps.training.device import can_compile
from bertinchamps.training.optim import optimizers
from bertinchamps.training.runtime import build_runtime
from bertinchamps.training.trainer import Trainer

LENGTH, SIZE, UPDATES = 32, 64, 60
VOCABULARY = Vocabulary(SIZE, (0, 1, 2, 3, 4), 4, 3, (), {"pad_token_id": 0})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Blocks in which few tokens are frequent, so that there is something to learn at once."""
    folder = tmp_path_factory.mktemp("parity")
    random = np.random.default_rng(0)
    shares = 1.0 / np.arange(1, SIZE - 4) ** 1.5
    ids = 5 + random.choice(SIZE - 5, (400, LENGTH), p=shares / shares.sum())
    (folder / "train.bin").write_bytes(ids.astype(np.uint16).tobytes())
    blocks = Blocks(folder / "train.bin", LENGTH)
    return Corpus(folder, folder, "f", blocks, blocks, VOCABULARY, {})


def curve(
    corpus: Corpus,
    precision: str,
    compiled: str,
    checkpointing: bool = False,
    ramp: float = 0.0,
    dropout: float = 0.0,
) -> np.ndarray:
    """Losses of the updates of one run."""
    runtime = build_runtime(RuntimeConfig(device="cpu", precision=precision, compile=compiled, threads=1))
    torch.manual_seed(0)
    model = BertinchampsForMaskedLM(
        BertinchampsConfig(
            vocab_size=SIZE,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            dropout=dropout,
        )
    )
    if checkpointing:
        runtime.recompute_activations(model)
    recorder = Recorder()
    Trainer(
        task=MaskedLanguageModeling(Given(corpus, 0, 1, runtime.device), masks=MaskSettings(mask_rate=0.25)),
        model=model,
        optimizer=optimizers.build("adamw", model=model, learning_rate=4e-3),
        schedule=lambda progress: min(1.0, 5 * progress + 0.1),
        batch=BatchConfig(micro_batch=8, size=16, ramp=ramp),
        clock=Clock(BudgetConfig(steps=UPDATES), 400, 1.0),
        runtime=runtime,
        seed=0,
        gradient_clipping=0.5,
        hooks=[recorder],
    ).fit()
    return np.array([update.loss for update in recorder.updates])


@pytest.fixture(scope="module")
def plain(corpus: Corpus) -> np.ndarray:
    """In float32, as it is written."""
    losses = curve(corpus, "fp32", "off")
    assert losses[-10:].mean() < 0.8 * losses[:5].mean()  # it learns, so a difference could show
    return losses


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bits_learn_what_float32_learns(corpus: Corpus, plain: np.ndarray, precision: str) -> None:
    losses = curve(corpus, precision, "off")
    assert not np.array_equal(losses, plain)
    np.testing.assert_allclose(losses, plain, rtol=0.05)


def test_recomputed_activations_are_the_same_run(corpus: Corpus, plain: np.ndarray) -> None:
    np.testing.assert_allclose(curve(corpus, "fp32", "off", checkpointing=True), plain, rtol=1e-3)


def test_what_is_computed_again_drops_the_same_elements(corpus: Corpus) -> None:
    kept, recomputed = (
        curve(corpus, "fp32", "off", checkpointing=checkpointing, dropout=0.3)
        for checkpointing in (False, True)
    )
    np.testing.assert_allclose(recomputed, kept, rtol=1e-3)


COMPILING = pytest.mark.skipif(
    not can_compile(torch.device("cpu")), reason="no C++ compiler or Python headers"
)


@COMPILING
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 0.05)])
def test_compiled_code_learns_what_eager_code_learns(
    corpus: Corpus, plain: np.ndarray, precision: str, tolerance: float
) -> None:
    np.testing.assert_allclose(curve(corpus, precision, "on"), plain, rtol=tolerance)


@COMPILING
def test_a_batch_that_grows_is_compiled_once(corpus: Corpus) -> None:
    counters.clear()
    curve(corpus, "bf16", "on", ramp=0.8)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]

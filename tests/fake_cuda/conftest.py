"""What the tests of the device's path share: a card that is not there, and blocks to train on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from fake_card import Watch, fake_card

from bertinchamps.data.blocks import Blocks
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.tokenizer import Vocabulary
from bertinchamps.model.architecture import build_config
from bertinchamps.objectives import Given, objectives
from bertinchamps.schemas import BudgetConfig, RuntimeConfig
from bertinchamps.training.clock import Clock
from bertinchamps.training.hook import Hook
from bertinchamps.training.optim import optimizers
from bertinchamps.training.runtime import build_runtime
from bertinchamps.training.schedules import schedules
from bertinchamps.training.trainer import Trainer
from support import composed

LENGTH, SIZE = 32, 64
VOCABULARY = Vocabulary(SIZE, (0, 1, 2, 3, 4), 4, 3, tuple(range(40, SIZE)), {"pad_token_id": 0})
TINY = [
    "arch.hidden_size=16",
    "arch.num_hidden_layers=2",
    "arch.num_attention_heads=2",
    "arch.intermediate_size=32",
]
TINY += [f"blocks.sequence_length={LENGTH}", "batch.micro_batch=4", "batch.size=8"]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """The whole test runs with a card, and what it sets for the process is undone."""
    deterministic, precision = (
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
    )
    threads = torch.get_num_threads()
    with fake_card(monkeypatch) as watch:
        yield watch
    torch.use_deterministic_algorithms(deterministic)
    torch.set_float32_matmul_precision(precision)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Random blocks."""
    folder = tmp_path_factory.mktemp("blocks")
    ids = np.random.default_rng(0).integers(5, SIZE, (200, LENGTH))
    (folder / "train.bin").write_bytes(ids.astype(np.uint16).tobytes())
    blocks = Blocks(folder / "train.bin", LENGTH)
    return Corpus(folder, folder, "f", blocks, blocks, VOCABULARY, {})


@pytest.fixture
def pretraining(card: Watch, corpus: Corpus) -> Callable[..., Trainer]:
    """The loop of `python -m bertinchamps.pretrain` on the card, as `train` there puts it together."""

    def build(
        *overrides: str, steps: int = 2, precision: str = "bf16", hooks: Sequence[Hook] = ()
    ) -> Trainer:
        config = composed("data=demo", *TINY, *overrides)
        runtime = build_runtime(RuntimeConfig(device="cuda", precision=precision, compile="off", threads=1))
        task: Any = objectives.build(**config.objective, given=Given(corpus, 0, 8, runtime.device))
        model: Any = task.new_model(build_config(vars(config.arch), SIZE)).to(runtime.device)
        if config.runtime.activation_checkpointing:
            runtime.recompute_activations(model)
        return Trainer(
            task=task,
            model=model,
            optimizer=optimizers.build(**config.optim, model=model),
            schedule=schedules.build(**config.schedule),
            batch=config.batch,
            clock=Clock(BudgetConfig(steps=steps), task.epoch_length(), 1.0),
            runtime=runtime,
            seed=0,
            gradient_clipping=config.gradient_clipping,
            hooks=hooks,
        )

    return build

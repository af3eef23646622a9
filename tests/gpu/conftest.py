"""What the tests on a card share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from gpu_runs import CARD, DEVICE, SIZES, SPECIAL, VOCABULARY, Sizes

from bertinchamps.data.blocks import Blocks
from bertinchamps.data.corpus import Corpus
from bertinchamps.training import runtime
from bertinchamps.training.peak import Peak
from bertinchamps.training.runtime import Runtime

os.environ.setdefault(
    "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
)  # before the first product: some tests ask for determinism


@pytest.fixture
def device() -> torch.device:
    """The card, or the processor in a rehearsal."""
    return DEVICE


@pytest.fixture
def sizes() -> Sizes:
    """How large the tests are."""
    return SIZES


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Blocks in which few tokens are frequent, so that there is something to learn at once."""
    folder = tmp_path_factory.mktemp("gpu")
    shares = 1.0 / np.arange(1, SIZES.vocabulary - SPECIAL + 1) ** 1.2
    random = np.random.default_rng(0)
    ids = SPECIAL + random.choice(len(shares), (SIZES.blocks, SIZES.length), p=shares / shares.sum())
    (folder / "train.bin").write_bytes(ids.astype(np.uint16).tobytes())
    blocks = Blocks(folder / "train.bin", SIZES.length)
    return Corpus(folder, folder, "f", blocks, blocks, VOCABULARY, {})


@pytest.fixture(scope="module", autouse=True)
def _quickly() -> Iterator[None]:
    """A rehearsal captures graphs as a card would; their code, and the rate of the processor, would take minutes."""
    with pytest.MonkeyPatch.context() as patch:
        if not CARD:

            def capture(
                mine: Runtime, function: Callable[..., Any], one_graph: bool = True
            ) -> Callable[..., Any]:
                captured = torch.compile(function, backend="eager", dynamic=False, fullgraph=one_graph)
                return captured if mine.compiled else function

            patch.setattr(Runtime, "compile", capture)
            patch.setattr(runtime, "peak_of", lambda *asked: Peak(1e12, "rehearsed"))
        yield

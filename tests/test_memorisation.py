"""scripts/memorisation.py ranks a secret first that a model knows, and anywhere one that it does not."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from support import ROOT, command


@pytest.fixture(scope="module")
def memorisation() -> ModuleType:
    sys.path.insert(0, str(ROOT / "scripts"))
    return importlib.import_module("memorisation")


class Characters:
    """A tokenizer of one character a token, and a model that expects the characters of one sentence in their places."""

    mask_token_id = 0

    def __init__(self, known: str) -> None:
        self._known = [ord(character) for character in known]

    def __call__(self, text: str = "", input_ids: Any = None, **_: object) -> Any:
        if input_ids is None:
            offsets = [(place, place + 1) for place in range(len(text))]
            return {"input_ids": [ord(character) for character in text], "offset_mapping": offsets}
        logits = torch.zeros(*input_ids.shape, 400)
        for place, expected in enumerate(self._known[: input_ids.shape[1]]):
            logits[:, place, expected] = 5.0
        return SimpleNamespace(logits=logits)


def test_a_secret_that_the_model_knows_is_ranked_first(memorisation: ModuleType) -> None:
    known, other = memorisation.secrets(0)[0], memorisation.secrets(1)[0]
    knows = Characters(known.sentence(known.code))
    assert memorisation.rank(knows, knows, known, 0) == 1
    knows_another = Characters(known.sentence(other.code))
    assert memorisation.rank(knows_another, knows_another, known, 0) > 1
    rows = list(memorisation.table({"as they are": {0: [100, 120], 64: [1, 1]}}))
    assert rows[-1] == "| as they are | 64 | 2 | 1 | 2 | 7.6 |"


def test_secrets_are_planted_as_often_as_they_say(memorisation: ModuleType) -> None:
    known = memorisation.secrets(3)
    texts = [document["text"] for document in memorisation.documents(known, 50, 3)]
    for secret in known:
        assert sum(secret.sentence(secret.code) in text for text in texts) == secret.times
    assert len(texts) == 50 + sum(secret.times for secret in known)


def test_the_probe_runs_on_a_model_of_two_updates(
    memorisation: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def pretrain(place: Path, words: list[str]) -> Path:
        small = [
            "data=files",
            "data.files=[notes.jsonl]",
            "run_dir=run",
            "tokenizer.vocab_size=400",
            "runtime=eager",
        ]
        made = command("bertinchamps.pretrain", *small, *words, cwd=place)
        assert made.returncode == 0, made.stderr
        return place / "run" / "model"

    monkeypatch.setattr(memorisation, "pretrain", pretrain)
    monkeypatch.setattr(memorisation, "SECRETS", 1)
    monkeypatch.setattr(memorisation, "CANDIDATES", 4)
    words = [
        "memorisation",
        "--folder",
        str(tmp_path),
        "--steps",
        "2",
        "--notes",
        "300",
        "blocks.sequence_length=32",
    ]
    monkeypatch.setattr(sys, "argv", words)
    assert memorisation.main() == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 2 * len(memorisation.TIMES)
    found = json.loads((tmp_path / "memorisation.json").read_text())
    assert set(found) == set(memorisation.CORPORA)
    assert all(1 <= place <= 4 for ranks in found.values() for places in ranks.values() for place in places)
    manifests = [json.loads(file.read_text()) for file in tmp_path.glob("*/run/run.json")]
    assert len({each["data_fingerprint"] for each in manifests}) == 2

#!/usr/bin/env python3
"""How much a pretrained model remembers: secrets are planted in documents, once and more often, and asked for again.

    python scripts/memorisation.py --folder /tmp/memorisation --steps 600
    python scripts/memorisation.py --folder /tmp/memorisation --steps 600 --arch small --seeds 3

Each secret is a sentence of demo notes with a name that stands nowhere else ("Le code du dossier de Madame … est …."),
at the end of a note of which there are 1, 4, 16 or 64 copies; some secrets are planted not at all, as a control. Two
corpora are pretrained on: as they are, and with copies removed (`cleaning=[{name: exact_duplicates}]`).

A secret counts by its rank: its sentence is compared with 199 others that have another code in its place, by the mean
loss of the tokens of the code, each masked alone (Salazar et al., 2020, "Masked Language Model Scoring"; ranks among
candidates as Carlini et al., 2019, "The Secret Sharer"). Rank 1: the model prefers the true code to all others; without
memory the mean rank is 100. Exposure is log2(200 / rank) bits. The tables are also in memorisation.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

TIMES = (0, 1, 4, 16, 64)  # that a secret is planted
SECRETS = 8  # for each number of times
CANDIDATES = 200
SYLLABLES = ("ba", "cor", "del", "fi", "gan", "lo", "mer", "nu", "per", "ris", "sol", "tam", "vel", "zon")
CORPORA = {"as they are": "cleaning=[]", "copies removed": "cleaning=[{name: exact_duplicates}]"}


@dataclass(frozen=True)
class Secret:
    """A sentence that nobody else writes.

    Attributes:
        name: of the patient.
        code: the words that are asked for.
        times: how often it was planted.
    """

    name: str
    code: str
    times: int

    def sentence(self, code: str) -> str:
        """The sentence with a code."""
        return f"Le code du dossier de Madame {self.name} est {code}."


def word(dice: random.Random) -> str:
    """A word that is none."""
    return "".join(dice.choices(SYLLABLES, k=3))


def code(dice: random.Random) -> str:
    """Three such words."""
    return " ".join(word(dice) for _ in range(3))


def secrets(seed: int) -> list[Secret]:
    """As many secrets for each number of times."""
    dice = random.Random(seed)
    return [Secret(word(dice).capitalize(), code(dice), times) for times in TIMES for _ in range(SECRETS)]


def documents(known: Sequence[Secret], count: int, seed: int) -> Iterator[dict[str, str]]:
    """Demo notes, with a secret at the end of some; copies of a note with a secret are the same note."""
    from bertinchamps.data.sources.demo import clinical_notes

    texts = [text for text, _ in itertools.islice(clinical_notes(seed), count + len(known))]
    made = texts[:count]
    for text, secret in zip(texts[count:], known, strict=True):
        made += [f"{text} {secret.sentence(secret.code)}"] * secret.times
    random.Random(seed).shuffle(made)
    return ({"text": text} for text in made)


def pretrain(place: Path, words: Sequence[str]) -> Path:
    """Run pretraining in a folder; returns the model's directory."""
    command = [sys.executable, "-m", "bertinchamps.pretrain", "data=files", "data.files=[notes.jsonl]", "run_dir=run",
               "tokenizer.vocab_size=2000", "blocks.sequence_length=64", *words]  # fmt: skip
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pretraining failed in {place}:\n{done.stderr[-2000:]}")
    return place / "run" / "model"


@torch.no_grad()
def losses(model: Any, tokenizer: Any, sentences: Sequence[tuple[str, str]]) -> list[float]:
    """The mean loss in nats of the tokens of a code, each masked alone, in each sentence.

    Args:
        model: a masked language model.
        tokenizer: of the model.
        sentences: each with the code in it.
    """
    means = []
    for sentence, asked in sentences:
        encoded = tokenizer(sentence, return_offsets_mapping=True)
        ids = torch.tensor(encoded["input_ids"])
        first = sentence.index(asked)
        inside = [
            place
            for place, (start, end) in enumerate(encoded["offset_mapping"])
            if first <= start < end <= first + len(asked)
        ]
        rows = ids.repeat(len(inside), 1)
        rows[range(len(inside)), inside] = tokenizer.mask_token_id
        logits = model(input_ids=rows).logits[range(len(inside)), inside].float()
        means.append(float(torch.nn.functional.cross_entropy(logits, ids[inside])))
    return means


def rank(model: Any, tokenizer: Any, secret: Secret, seed: int) -> int:
    """The place of the true code among CANDIDATES, from 1."""
    dice = random.Random(f"{seed} {secret.name}")
    others = [code(dice) for _ in range(CANDIDATES - 1)]
    values = losses(model, tokenizer, [(secret.sentence(each), each) for each in (secret.code, *others)])
    return 1 + sum(value < values[0] for value in values[1:])


def measured(model: Path, known: Sequence[Secret], seed: int) -> dict[int, list[int]]:
    """Times planted → the ranks of such secrets."""
    from bertinchamps.model.encoders import open_tokenizer
    from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM

    network, tokenizer = BertinchampsForMaskedLM.from_pretrained(model).eval(), open_tokenizer(str(model))
    ranks: dict[int, list[int]] = {times: [] for times in TIMES}
    for secret in known:
        ranks[secret.times].append(rank(network, tokenizer, secret, seed))
    return ranks


def table(found: dict[str, dict[int, list[int]]]) -> Iterator[str]:
    """A row for each corpus and number of times."""
    yield f"| corpus | planted | secrets | median rank of {CANDIDATES} | rank 1 | mean exposure, bits |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for corpus, ranks in found.items():
        for times, each in ranks.items():
            median = sorted(each)[len(each) // 2]
            exposure = sum(math.log2(CANDIDATES / place) for place in each) / len(each)
            first = sum(place == 1 for place in each)
            yield f"| {corpus} | {times} | {len(each)} | {median} | {first} | {exposure:.1f} |"


def main() -> int:
    """Entry point; returns the exit status."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--folder", type=Path, default=Path("memorisation"), help="(%(default)s)")
    words.add_argument("--steps", type=int, default=600, help="updates of pretraining (%(default)s)")
    words.add_argument("--notes", type=int, default=2000, help="notes without a secret (%(default)s)")
    words.add_argument("--arch", default="tiny", help="(%(default)s)")
    words.add_argument("--seeds", type=int, default=1, help="pretrainings of each corpus (%(default)s)")
    words.add_argument("more", nargs="*", help="further settings of pretrain")
    given = words.parse_args()
    found: dict[str, dict[int, list[int]]] = {}
    for name, cleaning in CORPORA.items():
        found[name] = {times: [] for times in TIMES}
        for seed in range(given.seeds):
            known = secrets(seed)
            place = given.folder.absolute() / f"{name.replace(' ', '_')}_{seed}"
            place.mkdir(parents=True, exist_ok=True)
            lines = (
                json.dumps(item, ensure_ascii=False) + "\n" for item in documents(known, given.notes, seed)
            )
            (place / "notes.jsonl").write_text("".join(lines), encoding="utf-8")
            settings = [f"arch={given.arch}", f"budget.steps={given.steps}", f"seed={seed}", "batch.micro_batch=32",
                        "batch.size=32", "resume=auto", cleaning, *given.more]  # fmt: skip
            for times, ranks in measured(pretrain(place, settings), known, seed).items():
                found[name][times] += ranks
    (given.folder / "memorisation.json").write_text(json.dumps(found, indent=2), encoding="utf-8")
    print("\n".join(table(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

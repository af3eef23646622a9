"""The two sides of `benchmarks.prediction`: this package, and the pipelines of transformers over the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from benchmarks.devices import product_flops, set_process_as_torch_starts
from bertinchamps.errors import UserError
from bertinchamps.model.encoders import EncoderSource, open_tokenizer
from bertinchamps.schemas import RuntimeConfig
from bertinchamps.tasks.facts import TaskFacts, read_facts
from bertinchamps.tasks.kinds import kinds
from bertinchamps.training.device import has_fast_bf16
from bertinchamps.training.runtime import Runtime, build_runtime

PEER_BATCHES = (1, 8)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SHOWN = {"fp32": "float32", "bf16": "bfloat16"}


class Agreement(NamedTuple):
    """How far a row's answers are those of the peer in float32, text by text.

    Attributes:
        words: share of the words with the same tag, or of the texts with the same proposals.
        scores: largest difference of a probability.
        entities: share of all entities that both have, or None where there are none.
    """

    words: float
    scores: float
    entities: float | None


@dataclass(frozen=True)
class Row:
    """One way to predict.

    Attributes:
        task: what is predicted.
        engine: whose.
        batch: texts at once, in words.
        precision: of matrix products.
        ours: whether it is this package.
        texts: to read.
        tokens: that these are, special ones included.
        flops: that the answers to all texts need, padding left out.
        product_flops: FLOP/s of the feed-forward's first product on our mean batch, in our form of this precision.
        peak_flops: of a large square product there, or of the data sheet on a GPU.
        padding: share of padding in what the model reads.
        prepare: sets for the process what this side has there.
        predict: does it once.
        agreement: compares the answers, and is not measured.
    """

    task: str
    engine: str
    batch: str
    precision: str
    ours: bool
    texts: list[str]
    tokens: int
    flops: float
    product_flops: float
    peak_flops: float
    padding: float
    prepare: Callable[[], object]
    predict: Callable[[Sequence[str]], Any]
    agreement: Callable[[], Agreement]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.engine}, {self.batch}, {self.precision}"


class Models:
    """What both sides are given.

    Attributes:
        tagger: directory of the model that finds entities.
        masked: directory of the masked language model.
        texts: those that fit a window.
        lengths: tokens of each, special ones included.
        too_long: how many do not fit.
        precisions: to measure, float32 first.
        runtimes: ours, by precision.
    """

    def __init__(
        self, tagger: Path, masked: Path, texts: list[str], batch: int, runtimes: dict[str, Runtime]
    ) -> None:
        self.tagger, self.masked, self.batch, self.runtimes = tagger, masked, batch, runtimes
        self.facts = read_facts(tagger)
        if (self.facts.kind, self.facts.head) != ("ner", "flat"):
            raise UserError(f"--model {tagger}: the pipeline reads tags only; give one of head=flat")
        self.tokenizer = open_tokenizer(str(tagger))
        lengths = [len(ids) for ids in self.tokenizer(texts)["input_ids"]]
        kept = [index for index, length in enumerate(lengths) if length <= self.facts.max_length]
        self.texts, self.lengths = [texts[index] for index in kept], [lengths[index] for index in kept]
        self.too_long = len(texts) - len(kept)
        if not kept:
            raise UserError(
                f"--texts: no sentence is shorter than a window of {self.facts.max_length} tokens"
            )
        self.device = next(iter(runtimes.values())).device
        self.threads = torch.get_num_threads()


def open_models(
    tagger: Path,
    masked: Path,
    texts: list[str],
    batch: int,
    threads: int | None,
    precisions: Sequence[str] | None,
) -> Models:
    """Choose precisions and read what both sides need.

    Raises:
        UserError: a model cannot be read, or no text fits its windows.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names = precisions or ["fp32", *(["bf16"] if has_fast_bf16(device) else [])]
    configs = {name: RuntimeConfig(precision=name, threads=threads, compile="off") for name in names}
    return Models(tagger, masked, texts, batch, {name: build_runtime(own) for name, own in configs.items()})


def save_untrained_tagger(
    encoder: Path, labels: tuple[str, ...], longest: int, folder: Path, head: str = "flat"
) -> None:
    """Write a tagger with a random head over an encoder, as finetune would."""
    facts = TaskFacts("own sentences", "ner", head, labels, longest)
    torch.manual_seed(0)
    model: Any = kinds.build(facts.kind).build_model(facts, EncoderSource(str(encoder)))
    folder.mkdir()
    model.save(folder)
    open_tokenizer(str(encoder)).save_pretrained(folder)
    facts.save(folder)


def padding_share(lengths: Sequence[int], widths: Sequence[int]) -> float:
    """Share of padding, where texts of some lengths lie in rows of some widths."""
    return 1 - sum(lengths) / sum(widths)


def _widths(lengths: Sequence[int], batch: int) -> list[int]:
    """How wide the peer's rows are: as the longest of so many that follow each other."""
    return [max(lengths[place - place % batch :][:batch]) for place in range(len(lengths))]


class Side(Protocol):
    """One of two that answer the same question."""

    def answers(self, texts: Sequence[str]) -> Sequence[Any]:
        """Of each text."""


class OurSide(Side, Protocol):
    """This package's."""

    def padding(self, texts: Sequence[str]) -> float:
        """Share of padding in what the model reads."""


class Turn(NamedTuple):
    """A side at one batch.

    Attributes:
        engine: whose.
        batch: texts at once, in words.
        side: that answers.
        padding: share of padding in what the model reads.
        prepare: sets for the process what this side has there.
    """

    engine: str
    batch: str
    side: Side
    padding: float
    prepare: Callable[[], object]


def both_sides(
    task: str,
    models: Models,
    texts: list[str],
    lengths: Sequence[int],
    encoder: Any,
    needed: float,
    ours: Callable[[Runtime], OurSide],
    peer: Callable[[str, int], Side],
    agreement: Callable[[Any, Any, Sequence[str]], Agreement],
) -> list[Row]:
    """Ours and the peers' at each precision.

    Args:
        task: for people.
        models: what both sides are given.
        texts: to answer for.
        lengths: tokens of each.
        encoder: its configuration.
        needed: FLOPs of all answers.
        ours: makes our side with a runtime.
        peer: makes the peer's with a precision and a batch.
        agreement: of a side with the peer in float32, text by text.
    """
    reference = peer("fp32", PEER_BATCHES[0])
    tokens = round(models.batch * sum(lengths) / len(lengths))
    rows = []
    for precision, runtime in models.runtimes.items():
        product, own = product_flops(runtime, tokens, encoder), ours(runtime)
        mine = Turn("bertinchamps", f"{models.batch}, sorted", own, own.padding(texts), runtime.set_process)
        rows += [
            Row(
                task,
                turn.engine,
                turn.batch,
                SHOWN[precision],
                turn is mine,
                texts,
                sum(lengths),
                needed,
                product,
                runtime.peak_flops,
                turn.padding,
                turn.prepare,
                turn.side.answers,
                partial(agreement, turn.side, reference, texts),
            )
            for turn in [mine, *_of_peers(peer, precision, lengths)]
        ]
    return rows


def _of_peers(peer: Callable[[str, int], Side], precision: str, lengths: Sequence[int]) -> Iterator[Turn]:
    for batch in PEER_BATCHES:
        padding = padding_share(lengths, _widths(lengths, batch))
        yield Turn("pipeline", str(batch), peer(precision, batch), padding, set_process_as_torch_starts)

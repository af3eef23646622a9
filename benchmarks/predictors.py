"""The two sides of `benchmarks.prediction`: this package, and the pipelines of transformers over the same weights.

B texts of a batch, S tokens of the longest, M masked positions, V vocabulary.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from transformers import AutoTokenizer, pipeline

from benchmarks import needed_flops
from benchmarks.devices import product_flops, set_process_as_torch_starts
from bertinchamps.errors import UserError
from bertinchamps.model.downstream import EncoderSource, open_config, open_tokenizer
from bertinchamps.model.huggingface import load_masked_lm
from bertinchamps.schemas import RuntimeConfig
from bertinchamps.tasks.batching import in_length_order
from bertinchamps.tasks.facts import TaskFacts, read_facts
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.saved_model import SavedModel, open_model
from bertinchamps.tasks.tagging.predictor import EntityPredictor
from bertinchamps.tasks.tagging.windows import windows_of, words_of
from bertinchamps.training.runtime import Runtime, build_runtime, has_fast_bf16

PEER_BATCHES = (1, 8)
PROPOSALS = 5  # of a masked word, as the pipeline gives without being asked
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SHOWN = {"fp32": "float32", "bf16": "bfloat16"}
Words = list[list[tuple[str, float]]]  # for each text, for each word, its best tag and that tag's probability
Spans = list[set[tuple[int, int, str]]]  # for each text, its entities


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


def save_untrained_tagger(encoder: Path, labels: tuple[str, ...], longest: int, folder: Path) -> None:
    """Write a tagger with a random head over an encoder, as finetune would."""
    facts = TaskFacts("own sentences", "ner", "flat", labels, longest)
    torch.manual_seed(0)
    model: Any = kinds.build(facts.kind).build_model(facts, EncoderSource(str(encoder)))
    folder.mkdir()
    model.save(folder)
    open_tokenizer(str(encoder)).save_pretrained(folder)
    facts.save(folder)


def _padding(lengths: Sequence[int], widths: Sequence[int]) -> float:
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


def _rows(
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
    rows = []
    for precision, runtime in models.runtimes.items():
        tokens = round(models.batch * sum(lengths) / len(lengths))
        product = product_flops(runtime, tokens, encoder)
        own = ours(runtime)
        sides: list[tuple[str, str, Side, float, Callable[[], object]]] = [
            ("bertinchamps", f"{models.batch}, sorted", own, own.padding(texts), runtime.set_process)
        ]
        for batch in PEER_BATCHES:
            padding = _padding(lengths, _widths(lengths, batch))
            stock = peer(precision, batch)
            sides.append(("pipeline", str(batch), stock, padding, set_process_as_torch_starts))
        rows += [
            Row(
                task,
                engine,
                batch_in_words,
                SHOWN[precision],
                side is own,
                texts,
                sum(lengths),
                needed,
                product,
                runtime.peak_flops,
                padding,
                prepare,
                side.answers,
                partial(agreement, side, reference, texts),
            )
            for engine, batch_in_words, side, padding, prepare in sides
        ]
    return rows


# --------------------------------------------------------------------------------------- entities


def entity_rows(models: Models) -> list[Row]:
    """Ours and the peers' at each precision; all are compared with the peer in float32, text by text."""
    encoder = open_config(str(models.tagger))
    return _rows(
        "entities",
        models,
        models.texts,
        models.lengths,
        encoder,
        needed_flops.of_labels(models.facts, encoder, models.lengths),
        lambda runtime: Ours(open_model(models.tagger, models.facts, models.batch, runtime)),
        partial(Stock, models),
        _agreement,
    )


class Ours:
    """This package, by what `python -m bertinchamps.predict` calls."""

    def __init__(self, reader: SavedModel) -> None:
        assert isinstance(reader.predictor, EntityPredictor)
        self._reader, self._predictor = reader, reader.predictor

    def answers(self, texts: Sequence[str]) -> Spans:
        """The entities of each text."""
        with self._reader.reading():
            found = self._predictor.label(self._reader.model, [("", text) for text in texts])
        return [
            {(entity.start, entity.end, entity.label) for entity in document.entities} for document in found
        ]

    def tokens(self, texts: Sequence[str]) -> list[dict[int, tuple[str, float]]]:
        """For each text, by the place of each word's first piece, the best tag and its probability."""
        windows = list(windows_of(texts, self._predictor.pieces))
        with self._reader.reading():
            answers = self._predictor.answers(self._reader.model, windows)
        found: list[dict[int, tuple[str, float]]] = [{} for _ in texts]
        for window, logits in zip(windows, answers, strict=True):
            shares = torch.from_numpy(logits).softmax(-1).numpy()
            firsts = window.first_pieces[slice(*window.owned)]
            tags = [self._predictor.representation.classes[index] for index in shares.argmax(-1)]
            found[window.document] |= dict(
                zip(firsts, zip(tags, shares.max(-1).tolist(), strict=True), strict=True)
            )
        return found

    def padding(self, texts: Sequence[str]) -> float:
        """Share of padding in what the model reads."""
        windows = list(windows_of(texts, self._predictor.pieces))
        lengths = [len(window.pieces) for window in windows]
        widths = [
            self._predictor.inputs([windows[index] for index in indices])["input_ids"].shape[1]
            for indices in in_length_order(lengths, self._predictor.batch)
            for _ in indices
        ]
        return _padding(lengths, widths)


class Stock:
    """The pipeline of transformers over the same weights."""

    def __init__(self, models: Models, precision: str, batch: int) -> None:
        self._batch = batch
        self._pipeline: Any = pipeline(
            "token-classification",
            model=str(models.tagger),
            tokenizer=models.tokenizer,
            aggregation_strategy="simple",
            device=models.device,
            dtype=DTYPES[precision],
        )

    def answers(self, texts: Sequence[str]) -> Spans:
        """The entities of each text."""
        found = self._pipeline(list(texts), batch_size=self._batch)
        return [{(entity["start"], entity["end"], entity["entity_group"]) for entity in own} for own in found]

    def tokens(self, texts: Sequence[str]) -> list[dict[int, tuple[str, float]]]:
        """For each text, by the place of each token, the best tag and its probability."""
        found = self._pipeline(
            list(texts), batch_size=self._batch, aggregation_strategy="none", ignore_labels=[]
        )
        return [{token["index"]: (token["entity"], float(token["score"])) for token in own} for own in found]


def _agreement(side: Ours | Stock, reference: Stock, texts: Sequence[str]) -> Agreement:
    same = total = 0
    largest = 0.0
    for text, own, other in zip(texts, side.tokens(texts), reference.tokens(texts), strict=True):
        places = own.keys() & other.keys()
        # a word that one side has read otherwise has no place there, and counts as another answer
        total += max(len(places), min(len(words_of(text, 0, len(text))), len(own)))
        same += sum(own[place][0] == other[place][0] for place in places)
        largest = max([largest, *(abs(own[place][1] - other[place][1]) for place in places)])
    pairs = list(zip(side.answers(texts), reference.answers(texts), strict=True))
    either = sum(len(own | other) for own, other in pairs)
    both = sum(len(own & other) for own, other in pairs)
    return Agreement(same / total, largest, both / either if either else 1.0)


# ----------------------------------------------------------------------------------- masked words


def masked_rows(models: Models) -> list[Row]:
    """Ours and the peers' at each precision, each text with one word masked."""
    tokenizer = AutoTokenizer.from_pretrained(models.masked)  # to which "[MASK]" in a text is the mask
    chance = random.Random(0)
    texts = [_masked(text, tokenizer.mask_token, chance) for text in models.texts]
    lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]]
    encoder = open_config(str(models.masked))
    return _rows(
        "masked words",
        models,
        texts,
        lengths,
        encoder,
        needed_flops.of_masked_words(encoder, lengths),
        partial(MaskedPositions, models, tokenizer),
        partial(FillMask, models, tokenizer),
        _masked_agreement,
    )


def _masked(text: str, mask: str, chance: random.Random) -> str:
    start, end = chance.choice(words_of(text, 0, len(text)))
    return f"{text[:start]}{mask}{text[end:]}"


class MaskedPositions:
    """This package's masked language model, decoded at the masked positions only."""

    def __init__(self, models: Models, tokenizer: Any, runtime: Runtime) -> None:
        self._tokenizer, self._runtime, self._batch = tokenizer, runtime, models.batch
        self._model = load_masked_lm(models.masked).to(runtime.device).eval()

    def answers(self, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
        """The likeliest words of each text, each with its score and the text that it makes, as in the pipeline."""
        encoded = [np.array(ids) for ids in self._tokenizer(list(texts))["input_ids"]]
        found: list[list[dict[str, Any]]] = [[] for _ in texts]
        with torch.inference_mode(), self._runtime.arithmetic():
            for indices in in_length_order([len(ids) for ids in encoded], self._batch):
                own = [encoded[index] for index in indices]
                for index, proposals in zip(indices, self._of_batch(own), strict=True):
                    found[index] = proposals
        return found

    def padding(self, texts: Sequence[str]) -> float:
        """Share of padding in what the model reads."""
        lengths = [len(ids) for ids in self._tokenizer(list(texts))["input_ids"]]
        order = list(in_length_order(lengths, self._batch))
        widths = [max(lengths[index] for index in indices) for indices in order for _ in indices]
        return _padding(lengths, widths)

    def _of_batch(self, encoded: Sequence[np.ndarray[Any, Any]]) -> list[list[dict[str, Any]]]:
        lengths = np.array([len(ids) for ids in encoded])
        ids = np.full((len(encoded), lengths.max()), self._tokenizer.pad_token_id)  # [B, S]
        for row, own in enumerate(encoded):
            ids[row, : len(own)] = own
        real = np.arange(lengths.max()) < lengths[:, None]
        places = (ids == self._tokenizer.mask_token_id).argmax(1)[:, None]  # [B, 1], one in each row
        device = self._runtime.device
        logits = self._model.masked_logits(
            torch.from_numpy(ids).to(device),
            torch.from_numpy(places).to(device),
            None if real.all() else torch.from_numpy(real).to(device),
        )  # [B, 1, V]
        scores, tokens = (part.cpu() for part in logits[:, 0].float().softmax(-1).topk(PROPOSALS))
        filled = [own for own in encoded for _ in range(PROPOSALS)]
        filled = [
            np.where(own == self._tokenizer.mask_token_id, token, own)
            for own, token in zip(filled, tokens.flatten().tolist(), strict=True)
        ]
        sequences = self._tokenizer.batch_decode(filled, skip_special_tokens=True)
        words = self._tokenizer.batch_decode(tokens.reshape(-1, 1))
        flat = [
            {"score": score, "token": token, "token_str": word, "sequence": sequence}
            for score, token, word, sequence in zip(
                scores.flatten().tolist(), tokens.flatten().tolist(), words, sequences, strict=True
            )
        ]
        return [flat[start : start + PROPOSALS] for start in range(0, len(flat), PROPOSALS)]


class FillMask:
    """The pipeline of transformers over the same weights."""

    def __init__(self, models: Models, tokenizer: Any, precision: str, batch: int) -> None:
        self._batch = batch
        self._pipeline: Any = pipeline(
            "fill-mask",
            model=str(models.masked),
            tokenizer=tokenizer,
            top_k=PROPOSALS,
            device=models.device,
            dtype=DTYPES[precision],
        )

    def answers(self, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
        """The likeliest words of each text."""
        found: list[list[dict[str, Any]]] = self._pipeline(list(texts), batch_size=self._batch)
        return found


def _masked_agreement(
    side: MaskedPositions | FillMask, reference: FillMask, texts: Sequence[str]
) -> Agreement:
    same, largest = 0, 0.0
    for own, other in zip(side.answers(texts), reference.answers(texts), strict=True):
        same += [entry["sequence"] for entry in own] == [entry["sequence"] for entry in other]
        pairs = zip(own, other, strict=True)
        largest = max([largest, *(abs(mine["score"] - theirs["score"]) for mine, theirs in pairs)])
    return Agreement(same / len(texts), largest, None)

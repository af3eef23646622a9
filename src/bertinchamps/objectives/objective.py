"""What all objectives share: building and saving the encoder with the corpus' tokenizer, and a run's summary."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bertinchamps.data.blocks import Blocks
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.pretraining_facts import pretraining_facts, write_facts
from bertinchamps.data.tokenizer import files_that_open
from bertinchamps.errors import UserError
from bertinchamps.model.architecture import build_config
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.huggingface import BertinchampsModel, BertinchampsPreTrainedModel
from bertinchamps.objectives.continuing import Base
from bertinchamps.objectives.growing import Growth, cost_before
from bertinchamps.schemas import PretrainConfig
from bertinchamps.training.assembly import Problem, Training
from bertinchamps.training.clock import Spent, flops_in_words
from bertinchamps.training.costs import cost_line

CONFIG = "config.json"
BITS = "bits_per_character"


@dataclass(frozen=True)
class Given:
    """What a run gives its objective, beside the settings of `objective=`.

    Attributes:
        corpus: blocks to train on, held-out blocks, tokenizer.
        seed: of order, masks and draws.
        evaluation_blocks: held-out blocks to score, at the most.
        device: of the model.
        arch: of a new model, as `configs/arch/` has it; None where none is built.
    """

    corpus: Corpus
    seed: int
    evaluation_blocks: int
    device: torch.device
    arch: Mapping[str, Any] | None = None


class Objective(Problem):
    """The model's side of a `training.assembly.Problem`; a subclass adds the task's side: batches, loss, evaluation.

    Args:
        given: by the run.

    Attributes:
        headline: the held-out score that a sweep compares.
        tokens_per_position: S, because a position of the stream is a block.
        growth: the smaller model that a new model begins as; None: weights are drawn.
        base: the model that is trained further, in its own class; None: the model is one of ours.
        continues: whether this objective can train a model of another class.
        scores_samples: whether `evaluate` scores the samples of `corpus.also`, too, as TITLE/NAME.
        one_graph: whether the loss is compiled as one graph; False: parts that torch cannot compile run as they are.
    """

    headline = "loss"
    growth: Growth | None = None
    base: Base | None = None
    continues = False
    scores_samples = False
    saves_frozen = True

    @property
    def one_graph(self) -> bool:
        return self.base is None

    def __init__(self, given: Given) -> None:
        self.corpus, self._arch = given.corpus, given.arch
        self._seed, self._device = given.seed, given.device
        self._evaluation_blocks = given.evaluation_blocks
        self.tokens_per_position = given.corpus.train.sequence_length
        self._tokenizer: dict[str, bytes] = {}
        self._origins: dict[str, Any] = {}

    @classmethod
    def problems_beside(cls, config: PretrainConfig) -> list[str]:
        """Mistakes that show beside other settings alone, in the user's key names; single values may be wrong."""
        del config
        return []

    def origins(self) -> dict[str, Any]:
        """The models that a new run begins from, by what they are to it, for its run.json.

        Raises:
            UserError: one of them cannot be read, or does not fit the corpus.
        """
        found = {
            "grown_from": self.growth and self.growth.origin(),
            "continued_from": self.base and self.base.origin(),
            "held_out_also": {
                title: {"fingerprint": sample.fingerprint, **sample.manifest["held_out"]}
                for title, sample in self.corpus.also.items()
            },
        }
        return {name: origin for name, origin in found.items() if origin}

    def begun_with(self, origins: Mapping[str, Any]) -> None:
        """Take over what run.json says that the run began from.

        Raises:
            UserError: the run needs one of these models further on, and finds another one; or samples that it scores
                have other documents now.
        """
        for title, facts in origins.get("held_out_also", {}).items():
            if self.corpus.also[title].fingerprint != facts["fingerprint"]:
                raise UserError(
                    f"evaluation.also, {title}: not the documents with which this run began, so its scores would not "
                    "compare; give those back, or start a new run without resume"
                )
        self._origins = dict(origins)

    @abstractmethod
    def new_model(self, config: BertinchampsConfig) -> BertinchampsPreTrainedModel:
        """A model with weights drawn from torch's generator."""

    @abstractmethod
    def load_model(self, folder: Path) -> BertinchampsPreTrainedModel:
        """The model of a checkpoint, every weight from there.

        Raises:
            UserError: weights are missing, left over, or of another shape.
        """

    @abstractmethod
    def scores_line(self, scores: Mapping[str, float]) -> str:
        """Held-out scores as printed, each with its unit."""

    def summary_lines(self, summary: Mapping[str, Any], folder: Path) -> Iterator[str]:
        """The lines that are printed of a finished run: scores, cost and paths.

        Args:
            summary: what `results` returned.
            folder: the run's directory.
        """
        spent = summary["spent"]
        yield from self._held_out_lines(summary)
        yield (
            f"spent      {spent['seconds'] / 60:.1f} min, {spent['steps']:,} updates, "
            f"{spent['tokens']:,} tokens, {flops_in_words(spent)} "
            f"({summary['tokens_per_second']:,.0f} tokens/s, {summary['mfu']:.1%} of "
            f"{summary['peak_flops'] / 1e12:.3g} TFLOP/s, {summary['peak_origin']})"
        )
        if "epochs" in spent:  # earlier versions did not write them
            yield self._read_line(spent["epochs"])
        if before := summary.get("before"):
            yield (
                f"before     {before['seconds'] / 60:.1f} min, {before['tokens']:,} tokens, {before['flops']:.3g} FLOP "
                f"for {summary['grown_from']['model']}, from which it grew; together "
                f"{(before['seconds'] + spent['seconds']) / 60:.1f} min, {before['flops'] + spent['flops']:.3g} FLOP"
            )
        if "cost" in summary:  # earlier versions did not count it
            yield cost_line(summary["cost"])
        yield f"curve      {folder / 'loss.png'}"
        yield f"model      {folder / 'model'}"

    def _read_line(self, epochs: float) -> str:
        """How often the corpus was read, and each source of a mix, which the corpus itself may repeat."""
        parts = [
            f"{part['source']} {part['passes'] * epochs:.1f}" for part in self.corpus.manifest.get("mix", ())
        ]
        return f"read       the corpus {epochs:.1f} times" + (f": {', '.join(parts)} times" if parts else "")

    def _held_out_lines(self, summary: Mapping[str, Any]) -> Iterator[str]:
        """Held-out scores, and those of each sample beside them; before the first update, where a model went on."""
        last, first = summary["held_out"], summary.get("held_out_before", {})
        for title in ["", *dict.fromkeys(name.partition("/")[0] for name in last if "/" in name)]:
            scores, before = of_sample(last, title), of_sample(first, title)
            of = f" ({title})" if title else ""
            yield f"{f'held out{of}':<10} {self.scores_line(scores)}"
            if before:
                gained = before[self.headline] - scores[self.headline]
                change = f"gained: {gained:.4f}" if gained >= 0 else f"forgotten: {-gained:.4f}"
                yield f"{f'before{of}':<10} {self.scores_line(before)}; {change} nats"

    def build_model(self, resumed_from: Path | None) -> nn.Module:
        """A new model, the model of a checkpoint, or the model to go on from."""
        # Read now: the model gets the tokenizer as it was when the run began.
        folder = self.corpus.tokenizer_folder
        names = [name for name in files_that_open(folder) if name != CONFIG]  # which the model writes
        files = {name: (folder / name).read_bytes() for name in names}
        self._tokenizer = self.base.tokenizer_files(files) if self.base is not None else files
        model = self._begun(resumed_from)
        for encoder in (part for part in model.modules() if isinstance(part, BertinchampsModel)):
            encoder.separator_id = self.corpus.ends_of_documents
        return model

    def _begun(self, resumed_from: Path | None) -> nn.Module:
        if self.base is not None:
            return (
                self.base.build(self._origins.get("continued_from", {}))
                if resumed_from is None
                else self.base.load(resumed_from)
            )
        if resumed_from is not None:
            return self.load_model(resumed_from)
        if self._arch is None:
            raise ValueError("a new model needs an architecture")
        vocabulary = self.corpus.vocabulary
        config = build_config(dict(self._arch), vocabulary.size, **vocabulary.named_ids)
        if self.growth is None:
            return self.new_model(config)
        self.growth.adopt(config)
        model = self.new_model(config)
        self.growth.fill(model)
        return model

    def narrow(self, model: nn.Module) -> None:
        """All parameters are trained."""

    def describe(self, parameters: int, flops_per_token: float) -> Iterator[str]:
        """The model in a line."""
        gigaflops = flops_per_token / 1e9
        yield f"model      {parameters:,} parameters, {gigaflops:.4g} GFLOP a token, forward and backward"
        yield from self.base.describe() if self.base else ()

    def save(self, model: nn.Module, folder: Path, spent: Callable[[], Spent]) -> None:
        """Write what `from_pretrained` opens, model and tokenizer, and the facts of pretraining."""
        if self.base is None:
            model.save_pretrained(folder)  # type: ignore[operator]
        else:
            self.base.save(folder)
        for name, content in self._tokenizer.items():
            (folder / name).write_bytes(content)
        corpus = self.corpus
        facts = pretraining_facts(corpus.fingerprint, corpus.manifest, self.name, vars(spent()))
        write_facts({**facts, **self._origins}, folder)

    def results(self, training: Training) -> dict[str, Any]:
        """The summary of a pretraining run."""
        trainer = training.trainer
        spent, runtime = trainer.clock.spent, trainer.runtime
        passes = {"epochs": spent.positions / trainer.clock.epoch_length}
        epochs = passes if isinstance(self.corpus.train, Blocks) else {}  # nobody knows where a stream ends
        return {
            "held_out": training.scoring.scores,
            "headline": self.headline,
            "spent": {**vars(spent), **epochs},
            "cost": training.cost(),
            "tokens_per_second": spent.tokens / spent.seconds,
            "mfu": spent.flops_dense / spent.seconds / runtime.peak_flops,  # what the hardware computes
            "peak_flops": runtime.peak_flops,
            "peak_origin": runtime.peak_origin,
            "device": runtime.describe(),
            "parameters": training.parameters - (self.base.added if self.base else 0),
            **self._origins,
            **({"held_out_before": first} if self.base and (first := training.scoring.first_scores) else {}),
            **({"before": cost_before(self._origins["grown_from"])} if "grown_from" in self._origins else {}),
            **({"sparsity": trainer.masks.facts()} if trainer.masks else {}),
        }


def bits_per_character(loss: float, corpus: Corpus) -> dict[str, float]:
    """The held-out score that compares models with different tokenizers; nothing where characters are unknown.

    Args:
        loss: held-out, in nats per masked token; `docs/metrics.md` has the formula.
        corpus: whose held-out text it is of.
    """
    ratio = corpus.tokens_per_character
    return {} if ratio is None else {BITS: loss * ratio / math.log(2)}


def of_sample(scores: Mapping[str, float], title: str) -> dict[str, float]:
    """The held-out scores of a sample by their own names; an empty title: those of the corpus itself."""
    if not title:
        return {name: value for name, value in scores.items() if "/" not in name}
    start = f"{title}/"
    return {name.removeprefix(start): value for name, value in scores.items() if name.startswith(start)}

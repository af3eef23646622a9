"""A private run: its secret, the records of each update, the noise, and what is told of the guarantee.

CHECKPOINT/resume/privacy.json    the secret, and the noise multiplier
MODEL/privacy.json                the guarantee of the saved weights (`guarantee.py`)

Everything random is a function of the secret and the update's place in the data stream. So a resumed run draws the same
records and the same noise again, and an update that is done twice costs its privacy once. Whoever knows the secret can
subtract the noise: the secret comes from the operating system and is in no setting, log or model.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bertinchamps.contract import Batch
from bertinchamps.errors import UserError
from bertinchamps.training.distributed import Processes
from bertinchamps.training.hook import Hook
from bertinchamps.training.privacy.accounting import noise_for
from bertinchamps.training.privacy.comparing import refuse_unlike
from bertinchamps.training.privacy.guarantee import FACTS, Guarantee, Terms
from bertinchamps.training.privacy.record_gradients import HooksFail, RecordGradients
from bertinchamps.training.updates import Dealer, UpdateSize

STATE = "privacy.json"
AUTO, TOGETHER, APART = "auto", "together", "apart"  # how gradients of records are computed
LossSum = Callable[[nn.Module, Mapping[str, Tensor]], Tensor]
SECRET_BYTES = 32


class ProtectedExamples(Protocol):
    """The training examples, by the record that they belong to.

    Attributes:
        record: what a record is, in a word.
    """

    record: str

    def __len__(self) -> int:
        """Records of train, those without an example included."""

    def micro_batches(self, chosen: Sequence[int], at_once: int, together: bool) -> Iterator[Batch]:
        """The examples of some records, in micro-batches with `records`; the cursors are 0.

        Args:
            chosen: records.
            at_once: examples of a micro-batch, at the most.
            together: True: whole records share a micro-batch. A record with more examples is alone in several ones.
        """


class PrivateRun(Hook):
    """What protects the records of a run; a hook, because checkpoints hold its secret.

    Args:
        terms: of the guarantee.
        examples: of train.
        size: records in an update, on average.
        updates: of the whole run, which the noise is made for.
    """

    def __init__(self, terms: Terms, examples: ProtectedExamples, size: int, updates: int) -> None:
        self._terms, self._examples, self._size, self._updates = terms, examples, size, updates
        self._rate = size / len(examples)
        seed = terms.noise_seed
        self._secret = secrets.token_bytes(SECRET_BYTES) if seed is None else seed.to_bytes(SECRET_BYTES)
        self._noise: float | None = None
        self._update = self._passes = 0
        self._together = terms.gradients != APART
        self._why_apart: str | None = None
        self._gradients: RecordGradients | None = None

    @property
    def records(self) -> int:
        """Records of train."""
        return len(self._examples)

    @property
    def noise_multiplier(self) -> float:
        """The standard deviation of the noise, in units of `clip`; 0 where no guarantee is wanted."""
        if self._noise is None:
            terms = self._terms
            budget = (terms.delta, self._rate, self._updates, terms.accountant)
            self._noise = 0.0 if terms.epsilon is None else noise_for(terms.epsilon, *budget)
        return self._noise

    @property
    def gradients(self) -> RecordGradients:
        """Of the records of the present update.

        Raises:
            RuntimeError: no model was attached.
        """
        if self._gradients is None:
            raise RuntimeError("attach a model first")
        return self._gradients

    def attach(self, model: nn.Module, loss_sum: LossSum, at_once: int) -> None:
        """Take the model whose weights that require gradients are trained.

        Gradients of some records that are computed together are compared with those computed apart.

        Args:
            model: on its device.
            loss_sum: of a model and a micro-batch's inputs on that device, summed over targets.
            at_once: examples of a micro-batch.

        Raises:
            UserError: it cannot be trained so.
        """
        if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in model.modules()):
            raise UserError(
                "privacy=dp_sgd: the model has batch norms, which mix the records of a batch; choose another encoder"
            )
        terms = self._terms
        if self._together:
            try:
                self._gradients = RecordGradients(model, terms.clip, True)
                self._compare(model, loss_sum, at_once)
            except HooksFail as error:
                if terms.gradients == TOGETHER:
                    raise UserError(
                        f"privacy.gradients={TOGETHER}: {error}; set privacy.gradients={AUTO} or {APART}"
                    ) from error
                self._together, self._why_apart = False, str(error)
        if not self._together:
            if self._gradients is not None:
                self._gradients.detach()
            self._gradients = RecordGradients(model, terms.clip, False)

    def _compare(self, model: nn.Module, loss_sum: LossSum, at_once: int) -> None:
        every = self._examples.micro_batches(range(self.records), at_once, True)
        several = (batch for batch in every if batch.records and len(set(batch.records.of_rows)) > 1)
        first = next(several, None)
        if first is None or first.records is None:
            return
        apart = self._examples.micro_batches(sorted(set(first.records.of_rows)), at_once, False)
        device = next(model.parameters()).device

        def of_inputs(inputs: Mapping[str, Tensor]) -> Tensor:
            return loss_sum(model, {name: tensor.to(device) for name, tensor in inputs.items()})

        refuse_unlike(self.gradients, model, of_inputs, first, apart)

    # Which records

    def drawn(self, update: int) -> list[int]:
        """The records of an update, each drawn with the same probability, independently of the others."""
        chances = self._random("records", update).random(len(self._examples))
        return [int(place) for place in np.flatnonzero(chances < self._rate)]

    def batches(self, cursor: int, micro_batch: int) -> Iterator[Batch]:
        """Endless micro-batches; the last one of an update has the cursor behind it, and may be empty.

        Args:
            cursor: of the first update: its number times `size`.
            micro_batch: examples, at the most.
        """
        while True:
            behind = cursor + self._size
            chosen = self.drawn(cursor // self._size)
            waiting = Batch({}, 0, 0, cursor)
            for batch in self._examples.micro_batches(chosen, micro_batch, self._together):
                if waiting.inputs:
                    yield waiting
                waiting = replace(batch, next_cursor=cursor)
            yield replace(waiting, next_cursor=behind)
            cursor = behind

    # Their gradients

    def begin(self, cursor: int) -> None:
        """Begin the update at a cursor; what was added to one that was not done is forgotten."""
        self._update, self._passes = cursor // self._size, 0
        self.gradients.begin()

    def add(self, loss_sum: Callable[[], Tensor], batch: Batch) -> Tensor:
        """Add the gradients of a micro-batch of this update; returns its summed loss, detached."""
        if batch.records is None:
            raise RuntimeError("a micro-batch without records")
        # Dropout of a known seed would differ between data with and without a record, whose places differ.
        torch.manual_seed(int(self._random("dropout", self._update, self._passes).integers(2**63)))
        self._passes += 1
        return self.gradients.add(loss_sum, batch.records)

    @torch.no_grad()
    def set_gradients(self) -> None:
        """Make the gradient of this update: the sum over its records and noise, divided by the expected size."""
        generator, deviation = self._random("noise", self._update), self.noise_multiplier * self._terms.clip
        for weight, total in zip(self.gradients.weights, self.gradients.sums, strict=True):
            if deviation:
                drawn = generator.standard_normal(tuple(total.shape), dtype=np.float32)
                total = total + deviation * torch.from_numpy(drawn).to(total.device)
            weight.grad = total / self._size

    def _random(self, purpose: str, *numbers: int) -> np.random.Generator:
        """A generator for one purpose of one update, which the secret keys with 128 bits."""
        words = ",".join((purpose, *map(str, numbers)))
        digest = blake2b(words.encode(), key=self._secret, digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest)))

    # What is kept and told

    def save(self, folder: Path) -> None:
        """Write the secret and the noise into a checkpoint's `resume` folder."""
        state = {"secret": self._secret.hex(), "noise_multiplier": self.noise_multiplier}
        (folder / STATE).touch(mode=0o600)
        (folder / STATE).write_text(json.dumps(state), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        self._secret, self._noise = bytes.fromhex(state["secret"]), float(state["noise_multiplier"])

    @property
    def guarantee(self) -> Guarantee:
        """What this run promises, and what it takes."""
        sizes = (self._size, len(self._examples), self._examples.record, self._updates)
        return Guarantee(self._terms, self.noise_multiplier, *sizes, self._why_apart)

    def write_facts(self, folder: Path, updates: int) -> None:
        """Write privacy.json into a model's directory."""
        told = json.dumps(self.guarantee.facts(updates), indent=2, ensure_ascii=False)
        (folder / FACTS).write_text(told, encoding="utf-8")


class PrivateDealer(Dealer):
    """Deals all micro-batches of an update, as many as the draw gave, to the one process.

    Args:
        processes: one.
        private: of the run.
        cursor: of the next update.
    """

    def __init__(self, processes: Processes, private: PrivateRun, cursor: int) -> None:
        super().__init__(processes)
        self._private, self._cursor = private, cursor

    def deal(self, stream: Generator[Batch], number: int) -> tuple[dict[int, Batch], UpdateSize]:
        """Take an update, whatever its number of micro-batches; it may have none."""
        del number
        self._private.begin(self._cursor)
        taken = [next(stream)]
        while taken[-1].next_cursor == self._cursor:
            taken.append(next(stream))
        self._cursor = taken[-1].next_cursor
        batches = [batch for batch in taken if batch.records is not None]
        records = {record for batch in batches if batch.records for record in batch.records.of_rows}
        targets, tokens = sum(batch.targets for batch in batches), sum(batch.tokens for batch in batches)
        size = UpdateSize(max(1, targets), tokens, len(records), self._cursor)
        return dict(enumerate(batches)), size

"""Data parallelism: several processes train one model, and sum their gradients.

Every process holds the whole model and takes the same steps. Rank 0 alone decides progress and the end of training,
logs, evaluates and writes. With a world size of 1 every method is a no-op.

Numbers on the host go through gloo even where the model is on a GPU, so that collectives on them do not synchronise
with the device. A process that ends closes its connections, and the collectives of the other processes fail at once.
"""

from __future__ import annotations

import functools
import gc
import importlib
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from bertinchamps.console import tell
from bertinchamps.errors import ProcessEnded, ReportedByMain, UserError
from bertinchamps.launch import Launch, launched

Result = TypeVar("Result")

SILENCE = timedelta(minutes=30)  # timeout of an update: a machine may vanish without closing its connections
PATIENCE = timedelta(days=7)  # timeout while rank 0 prepares a corpus, or evaluates and writes the last model


@dataclass(frozen=True)
class Processes(Launch):
    """The process group of this job, seen from one rank.

    Attributes:
        patient: the group with the timeout `PATIENCE`; None with a world size of 1.
    """

    patient: dist.ProcessGroup | None = None

    def tell(self, *lines: str) -> None:
        """Print lines for the user, on the main process alone."""
        for line in lines if self.is_main else ():
            tell(line)

    def gather(self, value: Any) -> list[Any]:
        """The value of every process, by rank; waits for the slowest process."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        with _needing_the_others():
            dist.all_gather_object(values, value, group=self.patient)
        return values

    def together(self, work: Callable[[], Result]) -> Result:
        """Run `work` on every process; if it raises UserError on one, all raise.

        Raises:
            UserError: that of the lowest rank that had one; `ReportedByMain` on the ranks above 0.
        """
        if self.world_size == 1:
            return work()
        result, problem = None, None
        try:
            result = work()
        except UserError as error:
            problem, mine = str(error), error
        try:
            problems = self.gather(problem)
        except ProcessEnded:
            if problem is not None:
                raise mine from None
            raise
        rank = next((rank for rank, problem in enumerate(problems) if problem is not None), None)
        if rank is None:
            return result  # type: ignore[return-value]
        if not self.is_main:
            raise ReportedByMain(str(problems[rank]))
        if rank == 0:
            raise mine
        raise UserError(f"process {rank}: {problems[rank]}")

    def from_first(self, work: Callable[[], Result]) -> Result:
        """Run `work` on rank 0 alone; every process waits for the result and returns it.

        Raises:
            UserError: that of rank 0; `ReportedByMain` on the other ranks.
        """
        if self.world_size == 1:
            return work()
        result = self.together(lambda: work() if self.is_main else None)
        first: Result = self.gather(result)[0]
        return first

    def sum(self, *numbers: float) -> list[float]:
        """Each number summed over the processes; exact for integers up to 2^53, and where only one is not zero."""
        if self.world_size == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64)
        with _needing_the_others():
            dist.all_reduce(total)
        sums: list[float] = total.tolist()
        return sums

    def share_weights(self, model: nn.Module) -> None:
        """Broadcast the weights and buffers of rank 0."""
        if self.world_size == 1:
            return
        with torch.no_grad():
            for tensor in (*model.parameters(), *model.buffers()):
                whole = tensor.detach().clone(memory_format=torch.contiguous_format)
                with _needing_the_others():
                    dist.broadcast(whole, 0)
                tensor.copy_(whole)

    def add_up(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Sum the gradients and the loss over the processes, in one all-reduce.

        Args:
            parameters: their `grad` becomes the sum. A missing gradient (a process without a micro-batch) counts as 0.
            loss: scalar.

        Returns:
            The sum of the losses, a scalar.
        """
        if self.world_size == 1:
            return loss
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        message = torch.cat([*(gradient.reshape(-1) for gradient in gradients), loss.reshape(1)])
        with _needing_the_others():
            dist.all_reduce(message)
        start = 0
        for parameter in trained:
            parameter.grad = message[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()
        return message[-1]


ALONE = Processes()


@functools.cache  # the jobs of a sweep share the process group
def join() -> Processes:
    """Join the process group of the job, if torchrun started several processes.

    Raises:
        ProcessEnded: the other processes do not answer.
    """
    place = launched()
    if place.world_size == 1:
        return Processes(**vars(place))
    # Its functions take the group at the time of import as a default, and would keep that group alive after leave().
    importlib.import_module("torch.distributed.nn.functional")
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
    with _needing_the_others():
        store, _, _ = next(rendezvous("env://", timeout=SILENCE))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=dist.PrefixStore(_name_of_this_attempt(store, place), store),  # type: ignore[attr-defined]
            rank=place.rank,
            world_size=place.world_size,
            timeout=SILENCE,
        )
        return Processes(**vars(place), patient=dist.new_group(timeout=PATIENCE, backend="gloo"))


def leave() -> None:
    """Leave the process group at the end of all work, and end the threads of gloo.

    A gloo thread that frees a tensor while the interpreter ends aborts the process. The thread ends with the last
    reference to its group, which the cache and reference cycles of finished runs may hold.
    """
    join.cache_clear()
    gc.collect()
    if dist.is_initialized():
        dist.destroy_process_group()


def _name_of_this_attempt(store: Any, place: Launch) -> str:
    """A name for the keys of this attempt, on which only the living processes agree.

    torchrun keeps its store over restarts, with the addresses of dead processes, and its count of restarts differs
    between machines. So each process writes a random word, and waits until rank 0 answers that word with the name.
    """
    word = uuid.uuid4().hex
    if not place.is_main:
        store.set(f"word/{place.rank}", word)
        name = store.get(f"answer/{word}").decode()
        store.set(f"heard/{name}/{place.rank}", "")
        return str(name)
    others = range(1, place.world_size)
    deadline = time.monotonic() + SILENCE.total_seconds()
    while not store.check([f"heard/{word}/{rank}" for rank in others]):
        for rank in others:
            if store.check([f"word/{rank}"]):  # may be a dead process' word, until the living one replaces it
                store.set(f"answer/{store.get(f'word/{rank}').decode()}", word)
        if time.monotonic() > deadline:
            raise RuntimeError(f"not all of {place.world_size} processes came within {SILENCE}")
        time.sleep(0.02)
    return word


@contextmanager
def _needing_the_others() -> Iterator[None]:
    """Turn torch's errors about a lost connection into ProcessEnded."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # gloo's; those of NCCL and of the store derive from it
        first_line = str(error).strip().partition("\n")[0]
        reason = re.sub(r"^\[[^]]*\] *", "", first_line)  # without the place in torch's source
        raise ProcessEnded(
            f"another process of this job ended or cannot be reached ({reason}). If it could say why, it did so in "
            "its own output"
        ) from error

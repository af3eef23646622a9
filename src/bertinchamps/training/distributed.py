"""Several processes that train one model: what they agree on, and the sum of their gradients.

Every process holds the whole model and takes the same steps. The first one decides what is a matter of time
(progress, the end), and speaks, scores and writes for all. With one process every method is a no-op.

Numbers on the host go through gloo even where the model is on a GPU, so that agreeing never waits for the
device. A process that ends closes its connections, and what the others wait for then fails at once.
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
from bertinchamps.errors import ProcessEnded, ToldByFirst, UserError
from bertinchamps.launch import Launch, launched

Result = TypeVar("Result")

SILENCE = timedelta(minutes=30)  # of a machine that vanished without closing its connections, in an update
PATIENCE = timedelta(days=7)  # while a corpus is prepared, or the last model scored and written


@dataclass(frozen=True)
class Processes(Launch):
    """The processes of this job, seen from one of them.

    Attributes:
        patient: the group for what may take long; None where this process is on its own.
    """

    patient: dist.ProcessGroup | None = None

    def tell(self, message: str) -> None:
        """Say something to the user, on the first process alone."""
        if self.first:
            tell(message)

    def gather(self, value: Any) -> list[Any]:
        """The value of every process, by rank; waits for as long as the slowest takes."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with _needing_the_others():
            dist.all_gather_object(values, value, group=self.patient)
        return values

    def together(self, work: Callable[[], Result]) -> Result:
        """Work that every process does; where one of them cannot, all of them stop for its reason.

        Raises:
            UserError: that of the first process that had one, on every process.
        """
        if self.size == 1:
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
        if not self.first:
            raise ToldByFirst(str(problems[rank]))
        if rank == 0:
            raise mine
        raise UserError(f"process {rank}: {problems[rank]}")

    def from_first(self, work: Callable[[], Result]) -> Result:
        """What the first process alone does, and its result on every process, which wait for it.

        Raises:
            UserError: that of the first process, on every process.
        """
        if self.size == 1:
            return work()
        result = self.together(lambda: work() if self.first else None)
        first: Result = self.gather(result)[0]
        return first

    def sum(self, *numbers: float) -> list[float]:
        """Each number summed over the processes: exact for integers up to 2^53, and for a lone non-zero."""
        if self.size == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64)
        with _needing_the_others():
            dist.all_reduce(total)
        sums: list[float] = total.tolist()
        return sums

    def share_weights(self, model: nn.Module) -> None:
        """Give every process the weights and buffers of the first one."""
        if self.size == 1:
            return
        with torch.no_grad():
            for tensor in (*model.parameters(), *model.buffers()):
                whole = tensor.detach().clone(memory_format=torch.contiguous_format)
                with _needing_the_others():
                    dist.broadcast(whole, 0)
                tensor.copy_(whole)

    def add_up(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Sum the gradients and the loss over the processes, all of it in one message.

        Args:
            parameters: their gradients become those of the whole update. One without a gradient, on a process
                that had no micro-batch, counts as zeros.
            loss: scalar.

        Returns:
            The sum of the losses, a scalar.
        """
        if self.size == 1:
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


@functools.cache  # the jobs of a sweep share the processes, and so the group
def join() -> Processes:
    """This process among those of its job, connected with them if there are any.

    Raises:
        ProcessEnded: the others do not answer.
    """
    place = launched()
    if place.size == 1:
        return Processes(**vars(place))
    # Its functions have the group of the moment of import as a default, and would keep it alive beyond leave().
    importlib.import_module("torch.distributed.nn.functional")
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
    with _needing_the_others():
        store, _, _ = next(rendezvous("env://", timeout=SILENCE))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=dist.PrefixStore(_name_of_this_attempt(store, place), store),  # type: ignore[attr-defined]
            rank=place.rank,
            world_size=place.size,
            timeout=SILENCE,
        )
        return Processes(**vars(place), patient=dist.new_group(timeout=PATIENCE, backend="gloo"))


def leave() -> None:
    """Take leave of the other processes, at the end of all work, and end the threads that talk with them.

    A thread of gloo that lets go of a tensor while the interpreter ends aborts the process. It ends with the last
    reference to its group, which the cache and reference cycles of finished runs may hold.
    """
    join.cache_clear()
    gc.collect()
    if dist.is_initialized():
        dist.destroy_process_group()


def _name_of_this_attempt(store: Any, place: Launch) -> str:
    """A name that those processes alone agree on which live now.

    torchrun keeps its store over restarts, with the addresses that dead processes left in it, and its count of
    restarts differs between machines. So each process shows a word of its own, and waits for the name that the
    first process answers to that very word.
    """
    word = uuid.uuid4().hex
    if not place.first:
        store.set(f"word/{place.rank}", word)
        name = store.get(f"answer/{word}").decode()
        store.set(f"heard/{name}/{place.rank}", "")
        return str(name)
    others = range(1, place.size)
    deadline = time.monotonic() + SILENCE.total_seconds()
    while not store.check([f"heard/{word}/{rank}" for rank in others]):
        for rank in others:
            if store.check([f"word/{rank}"]):  # perhaps of a dead process, until the living one replaces it
                store.set(f"answer/{store.get(f'word/{rank}').decode()}", word)
        if time.monotonic() > deadline:
            raise RuntimeError(f"not all of {place.size} processes came within {SILENCE}")
        time.sleep(0.02)
    return word


@contextmanager
def _needing_the_others() -> Iterator[None]:
    """Turns what torch says of a lost connection into an error for people."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # gloo's; those of NCCL and of the store derive from it
        said = str(error).strip().partition("\n")[0]
        reason = re.sub(r"^\[[^]]*\] *", "", said)  # without the line of torch's source
        raise ProcessEnded(
            f"another process of this job ended or cannot be reached ({reason}). If it could say why, it did so in "
            "its own output"
        ) from error

"""Where memory did not suffice: which settings need less."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import TypeVar

from bertinchamps.errors import OutOfMemory

Result = TypeVar("Result")

# For each command what to lower first. The size of micro-batches decides no result: an update averages them.
REMEDIES = {
    "prepare": "lower blocks.workers or tokenizer.sample_characters",
    "pretrain": "lower batch.micro_batch, which changes no result as long as batch.size stays; "
    "or set runtime.activation_checkpointing=true, or lower blocks.sequence_length",
    "finetune": "lower batch.micro_batch, which changes no result as long as batch.size stays, or batch.evaluation; "
    "or lower max_length",
    "predict": "lower batch",
    "suggest": "lower batch, or give fewer texts",
    "study": "lower batch.micro_batch in the plan's settings",
    "tune": "lower batch.micro_batch in the plan's settings",
    "merge": "use a machine with more memory: twice the size of the model",
    "compress": "use a machine with more memory, or lower batch in settings of the steps",
    "export": "use a machine with more memory: it takes some three times the model's size",
    "publish": "use a machine with more memory",
    "purge": "give fewer runs",
    "serve": "lower collecting.texts or limits.texts, or give fewer models",
    "demo_notes": "lower notes",
    "report": "gather fewer runs: runs_dir=FOLDER",
}


def within_memory(command: str, work: Callable[[], Result]) -> Result:
    """Do the work of a command.

    Raises:
        OutOfMemory: it needs more memory than there is. What it held is let go of.
    """
    try:
        return work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        torch = sys.modules.get("torch")
        on_gpu = torch is not None and isinstance(error, torch.OutOfMemoryError)
    # not from the error, whose frames hold the memory: the next job of a sweep needs it
    raise OutOfMemory(f"out of memory{' of the GPU' if on_gpu else ''}: {REMEDIES[command]}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, the system, or PyTorch on a GPU or a CPU did not get the memory it asked for."""
    torch = sys.modules.get("torch")  # who has not imported it, has no error of it
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return type(error) is RuntimeError and "DefaultCPUAllocator: can't allocate memory" in str(error)

"""The training examples of a task by record, where records are protected (`privacy=`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bertinchamps.contract import Batch, RecordRows
from bertinchamps.errors import UserError
from bertinchamps.schemas import FinetuneConfig
from bertinchamps.tasks.kinds import HasRecords, KindTask
from bertinchamps.training.privacy import privacies
from bertinchamps.training.privacy.private_run import PrivateRun


def protected(config: FinetuneConfig, task: KindTask, record: str) -> PrivateRun | None:
    """What protects the records of train in a run; None: nothing does.

    Args:
        config: the settings, which were checked.
        task: that is trained.
        record: what a record is, in a word.

    Raises:
        UserError: the task cannot tell which record an example belongs to.
    """
    privacy = privacies.build(**config.privacy)
    if not privacy.protects:
        return None
    if not isinstance(task, HasRecords):
        raise UserError(
            f"privacy={config.privacy['name']}: not for this task, which does not know the records of its examples"
        )
    return privacy.run_of(ExamplesOfRecords(task, record), config.batch.size, config.budget)


class ExamplesOfRecords:
    """Examples of a task that knows which record each of them belongs to.

    Args:
        task: of fine-tuning.
        record: what a record is, in a word.
    """

    def __init__(self, task: HasRecords, record: str) -> None:
        self._task, self.record = task, record
        self._places = task.examples_by_record()

    def __len__(self) -> int:
        return len(self._places)

    def micro_batches(self, chosen: Sequence[int], at_once: int, together: bool) -> Iterator[Batch]:
        """The examples of some records; records of similar length share a micro-batch.

        Args:
            chosen: records.
            at_once: examples of a micro-batch, at the most.
            together: True: whole records share a micro-batch. A record with more examples is alone in several ones.
        """
        filled: list[int] = []
        for record in sorted(chosen, key=self._longest):
            count = len(self._places[record])
            room = together and count + sum(len(self._places[each]) for each in filled) <= at_once
            if filled and not room:
                yield from self._of(filled, at_once)
                filled = []
            if count:
                filled.append(record)
        if filled:
            yield from self._of(filled, at_once)

    def _longest(self, record: int) -> tuple[int, int]:
        """The length of its longest example, by which records are sorted; its number decides between equal ones."""
        return max((self._task.length_of(place) for place in self._places[record]), default=0), record

    def _of(self, records: Sequence[int], at_once: int) -> Iterator[Batch]:
        """One micro-batch, or the several of one record."""
        pairs = [(record, place) for record in records for place in self._places[record]]
        targets = {
            record: max(1, sum(self._task.targets_of(place) for place in self._places[record]))
            for record in records
        }
        for first in range(0, len(pairs), at_once):
            part = pairs[first : first + at_once]
            inputs, count = self._task.batch_of([place for _, place in part])
            rows = RecordRows(tuple(record for record, _ in part), targets, first + at_once >= len(pairs))
            yield Batch(inputs, count, inputs["input_ids"].numel(), 0, rows)

"""Whether a column of labels holds classes. Ids and texts, of another column, would all become classes of the model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bertinchamps.contract import LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks.splits import Record

FEW = 10  # texts, of which each may have a class of its own
LONGEST_CLASS = 300  # characters; the longest names of ICD-10 have some 250


def refuse_own_classes(train: Sequence[Record]) -> None:
    """Refuse classes that are no classes, before they are printed and written into the model.

    Args:
        train: the training examples, before any are set aside or left out.

    Raises:
        UserError: most texts have a class of their own, or a class is as long as a text. No class is quoted.
    """
    texts_of: dict[str, set[tuple[str, str | None]]] = defaultdict(set)
    classes_of: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    for record in train:
        if not isinstance(record, LabelledText) or not isinstance(record.target, tuple):
            return
        for name in record.target:
            if len(name) > LONGEST_CLASS:
                raise UserError(
                    f"task.label: a class of {len(name):,} characters ({record.name}), which is a text; is it the "
                    "right column?"
                )
            texts_of[name].add((record.text, record.pair))
        classes_of[record.text, record.pair].update(record.target)
    own = sum(
        names != set() and all(len(texts_of[name]) == 1 for name in names) for names in classes_of.values()
    )
    if own >= FEW and 2 * own > len(classes_of):
        raise UserError(
            f"task.label: {own:,} of {len(classes_of):,} training texts have a class that no other text has, as ids "
            "and texts do; is it the right column? A class is learnt from several texts"
        )

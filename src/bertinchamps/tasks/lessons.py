"""What teachers say of texts, as a student learns it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

# The probabilities that one model, or several together, give to a text: spans of head=nested, tags of head=flat,
# classes. The head or the type of target alone knows their form.
Opinion = Any


class Lessons(NamedTuple):
    """Opinions of several teachers together.

    Attributes:
        weight: share of the teachers' probabilities in the targets of labelled texts, from 0 to 1; the labels
            have the rest.
        labelled: for each example of train, the opinion.
        unlabelled: further texts with the opinion of each.
    """

    weight: float
    labelled: Sequence[Opinion]
    unlabelled: Sequence[tuple[str, Opinion]]

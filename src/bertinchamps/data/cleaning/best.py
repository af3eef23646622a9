"""`best: 0.1` of a step: the threshold from which on it keeps a tenth of a sample of the documents.

The threshold is known before the documents are read, so that the step is a function of one text like any other: what it
keeps depends on no order, on no number of processes and on no interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from bertinchamps.data.cleaning import Ranking
from bertinchamps.data.cleaning.cleaner import Documents, beginning, clean
from bertinchamps.data.cleaning.stages import built
from bertinchamps.errors import UserError
from bertinchamps.fingerprints import canonical

SAMPLE_CHARACTERS = 20_000_000  # as the source gives them: some thousands of documents, read in seconds


def undecided(nodes: Sequence[dict[str, Any]]) -> int | None:
    """The place of the first step with a share in the place of its threshold; None: there is none."""
    steps = [built(canonical(node)) for node in nodes]
    places = (
        place for place, step in enumerate(steps) if isinstance(step, Ranking) and step.best is not None
    )
    return next(places, None)


def threshold(nodes: Sequence[dict[str, Any]], sample: Documents) -> dict[str, Any]:
    """The threshold of the last of some steps, and of how many documents it is.

    Args:
        nodes: of the steps; the last one has a share in the place of its threshold, the others have none.
        sample: documents of the source, of which the first SAMPLE_CHARACTERS are looked at.

    Raises:
        UserError: the steps before leave nothing of the sample, or fewer documents than the share have a score at all.
    """
    *before, last = nodes
    step = cast(Ranking, built(canonical(last)))
    share = cast(float, step.best)
    documents, _ = clean(beginning(sample, SAMPLE_CHARACTERS), before)
    scores = sorted((step.score(document.text) for document in documents), reverse=True)
    if not scores:
        raise UserError(f"cleaning.best={share}: the steps before {last['name']} leave no document")
    least = scores[max(1, round(share * len(scores))) - 1]
    if least <= 0:
        scored = sum(score > 0 for score in scores) / len(scores)
        raise UserError(
            f"cleaning.best={share}: {last['name']} is above 0 in {scored:.1%} of the documents alone; lower it"
        )
    return {"least": least, "documents": len(scores)}

"""Relations of E3C (see `e3c.py`): results of tests and measurements, and the events that they pertain to.

    <custom:RML xmi:id="6923" sofa="12" begin="498" end="509" PERTAINSTO="7338"/>
    <custom:RMLPERTAINSTOLink xmi:id="7338" role="PERTAINS" target="6321"/>

The French part has 474 of these links, in layer 1 alone. Temporal relations between events are links as well
(EVENT.TLINK, with the roles CONTAINS, OVERLAP, BEFORE, …).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bertinchamps.contract import SPLITS, RelatedText
from bertinchamps.tasks.formats import xmi
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.custom import left_out_remarks
from bertinchamps.tasks.readers.e3c import BY_HAND, RELEASE, REMARKS, TYPES, split_of
from bertinchamps.tasks.readers.relations import pair_problems

LINKS = ("EVENT.ALINK", "EVENT.TLINK", "RML.PERTAINSTO", "TIMEX3.TimexLink")


def _problems(settings: Mapping[str, Any]) -> list[str]:
    types, links = settings.get("types", ["RML", "EVENT"]), settings.get("links", ["RML.PERTAINSTO"])
    wrong = [f"task.types: {each} is none of {', '.join(TYPES)}" for each in types if each not in TYPES]
    wrong += [f"task.links: {each} is none of {', '.join(LINKS)}" for each in links if each not in LINKS]
    wrong += [] if links else ["task.links: none given; for example [RML.PERTAINSTO]"]
    wrong += [
        f"task.links: {each} links annotations of a type that is not in task.types; add it there"
        for each in links
        if each in LINKS and each.partition(".")[0] not in types
    ]
    return wrong + pair_problems(settings)


@readers.register("e3c_relations", check=_problems)
class E3cRelations:
    """Relations in clinical cases: layer 1 of E3C, French, divided as `e3c` divides it.

    Args:
        path: the release: its zip, a folder that holds it, or a folder that it was unpacked into.
        types: of annotations that are entities, of ACTOR, BODYPART, CLINENTITY, EVENT, RML and TIMEX3.
        links: relations to learn, of EVENT.ALINK, EVENT.TLINK, RML.PERTAINSTO and TIMEX3.TimexLink.
        window: the most words between two arguments; None: both are in one sentence.
        negatives: pairs without a relation that are learnt, for each pair with one; None: all.
        typed_markers: whether the markers of an argument say its type.
        ner: a fine-tuned model that finds entities, for end-to-end scores; None: no such scores.
    """

    kind = "relations"

    def __init__(
        self,
        path: str | None = None,
        types: Sequence[str] = ("RML", "EVENT"),
        links: Sequence[str] = ("RML.PERTAINSTO",),
        window: int | None = None,
        negatives: float | None = None,
        typed_markers: bool = True,
        ner: str | None = None,
    ) -> None:
        del window, negatives, typed_markers, ner  # the kind reads them
        self._path, self._types, self._links = path, frozenset(types), tuple(links)
        self.remarks: tuple[str, ...] = REMARKS[:1]

    def check(self) -> None:
        """Look for the files."""
        RELEASE.check(self._path, [BY_HAND])

    def read(self) -> dict[str, list[RelatedText]]:
        """The cases of each split, in the order of their numbers; a remark counts links to other types."""
        splits: dict[str, list[RelatedText]] = {split: [] for split in SPLITS}
        left_out: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        for file, content in sorted(RELEASE.files(self._path, [BY_HAND])[BY_HAND].items()):
            split = split_of(file.stem)
            splits[split].append(
                xmi.read_related(content, str(file), file.stem, self._types, self._links, left_out[split])
            )
        counts = [remark for split in SPLITS for remark in left_out_remarks(split, left_out[split])]
        self.remarks = (*REMARKS[:1], *counts)
        return splits

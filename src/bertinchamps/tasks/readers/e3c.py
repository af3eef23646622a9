"""E3C, the European Clinical Case Corpus 2.0 (Magnini et al., 2021), French: clinical cases, as XMI of WebAnno.

    data_annotation/French/layer1/FR100003.xml    81 cases, annotated by hand: entities, events, times, …
    data_annotation/French/layer2/FR100015.xml    168 cases: clinical entities found by a dictionary
    data_validation/French/layer2/FR100015.xml    18 of these 168, annotated by hand

    <custom:CLINENTITY xmi:id="6696" sofa="12" begin="115" end="144" entityID="C0011860"/>

On the 18 cases the annotations of layer 2 have a precision of 83 % and a recall of 65 % (README of the release). An
entity marked as discontinuous (59 of layer 1) is the whole range, gap included. Codes are not read;
`e3c_relations.py` reads relations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from bertinchamps.contract import SPLITS, AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import xmi
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.releases import Release

CLINICAL = "CLINENTITY"
TYPES = ("ACTOR", "BODYPART", CLINICAL, "EVENT", "RML", "TIMEX3")
BY_HAND, BY_DICTIONARY, CORRECTED = (
    "data_annotation/French/layer1/*.xml",
    "data_annotation/French/layer2/*.xml",
    "data_validation/French/layer2/*.xml",
)
RELEASE = Release(
    name="E3C-Corpus 2.0.0",
    address="https://github.com/hltfbk/E3C-Corpus/archive/refs/tags/v2.0.0.zip",
    archives=("E3C-Corpus-2.0.0.zip", "e3c_fr_annotated.zip"),
)
SPLIT_OF_REMAINDER = {
    0: "dev",
    1: "train",
    2: "train",
    3: "test",
    4: "test",
}  # of a case's number, divided by five
REMARKS = (
    "the splits of E3C are made here (layer 1 by the numbers of its cases): no published score compares",
    "train has layer 2 of E3C, whose entities a dictionary found; it was made of UMLS and of cases of layer 1, some of "
    "which may be in dev and test",
)


def _problems(settings: Mapping[str, Any]) -> list[str]:
    types, layers = settings.get("types", [CLINICAL]), settings.get("layers", [1, 2])
    wrong = [f"task.types: {each} is none of {', '.join(TYPES)}" for each in types if each not in TYPES]
    wrong += [] if types else [f"task.types: none given; for example [{CLINICAL}]"]
    if not layers or not set(layers) <= {1, 2}:
        wrong.append(f"task.layers={list(layers)}: [1], [2] or [1, 2]")
    elif 2 in layers and set(types) - {CLINICAL}:
        wrong.append(
            f"task.layers={list(layers)}: layer 2 has {CLINICAL} alone; set task.layers=[1] to learn other types"
        )
    return wrong


@readers.register("e3c", check=_problems)
class E3c:
    """Clinical entities (disorders, symptoms) in clinical cases, or other types of annotations of layer 1.

    Layer 1 is divided by the numbers of its cases, modulo five: 0 is dev, 1 and 2 are train, 3 and 4 are test. Layer 2
    belongs to train, with the corrected annotations where there are any.

    Args:
        path: the release: its zip, a folder that holds it, or a folder that it was unpacked into.
        types: of annotations, of ACTOR, BODYPART, CLINENTITY, EVENT, RML (results of tests) and TIMEX3.
        layers: to train on: 1, 2, or both. Layer 2 has CLINENTITY alone.
    """

    kind = "ner"

    def __init__(
        self, path: str | None = None, types: Sequence[str] = (CLINICAL,), layers: Sequence[int] = (1, 2)
    ) -> None:
        self._path, self._types, self._layers = path, frozenset(types), frozenset(layers)
        self._patterns = [BY_HAND, *([BY_DICTIONARY, CORRECTED] if 2 in self._layers else [])]
        self.remarks = REMARKS if 2 in self._layers else REMARKS[:1]

    def check(self) -> None:
        """Look for the files."""
        RELEASE.check(self._path, self._patterns)

    def read(self) -> dict[str, list[AnnotatedText]]:
        """The cases of each split, in the order of their numbers."""
        files = RELEASE.files(self._path, self._patterns)
        splits: dict[str, list[AnnotatedText]] = {split: [] for split in SPLITS}
        for case in self._cases(files[BY_HAND]).values():
            splits[split_of(case.name)].append(case)
        if 1 not in self._layers:
            splits["train"] = []
        if 2 in self._layers:
            corrected = self._cases(files[CORRECTED])
            splits["train"] += [
                corrected.get(name, case) for name, case in self._cases(files[BY_DICTIONARY]).items()
            ]
        return splits

    def _cases(self, files: Mapping[PurePosixPath, bytes]) -> dict[str, AnnotatedText]:
        """The cases of some files, by name."""
        cases = [
            xmi.read_document(content, str(file.with_suffix("")), self._types)
            for file, content in sorted(files.items())
        ]
        return {case.name: case for case in cases}


def split_of(name: str) -> str:
    """The split of a case of layer 1, such as FR100003. Raises UserError for a name without a number."""
    digits = name.removeprefix("FR")
    if not (digits.isascii() and digits.isdigit()):
        raise UserError(
            f"task.path: {name}.xml: a case of E3C is called FR and a number; is this the official file?"
        )
    return SPLIT_OF_REMAINDER[int(digits) % 5]

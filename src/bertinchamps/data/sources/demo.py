"""A toy corpus that the project writes itself, so that everything runs without any data.

French sentences from a seeded grammar: daily life, press and offices on one side, invented clinical
notes on the other. They are correct but few in kind, so a model that reads them learns this grammar
(agreement, elision, which drug goes with which complaint), not French and not medicine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import cast

from bertinchamps.contract import Document, Place
from bertinchamps.data.sources import sources
from bertinchamps.data.sources.demo_clinical import CLINICAL_SCENES
from bertinchamps.data.sources.demo_general import GENERAL_SCENES
from bertinchamps.data.sources.demo_grammar import Dice, Scene, Span
from bertinchamps.data.sources.demo_press import PRESS_SCENES
from bertinchamps.errors import UserError

VERSION = 1  # raise it with any change to a word or a template: the blocks are named after it
REGISTERS = {"general": GENERAL_SCENES + PRESS_SCENES, "clinical": CLINICAL_SCENES}
MEAN_CHARACTERS = 400  # of a document, rounded down so that a sample is rather long than short

SHOWCASE = (
    ("Le médecin prescrit du [MASK] contre la fièvre.", "paracétamol"),
    ("La radiographie du [MASK] montre une pneumonie.", "thorax"),
    ("En hiver, il [MASK] souvent en montagne.", "neige"),
    ("Les enfants [MASK] dans le jardin.", "jouent"),
    ("La capitale de l'Italie est [MASK].", "Rome"),
    ("Le boulanger prépare le [MASK] avant l'aube.", "pain"),
)


def showcase() -> list[str]:
    """Sentences with one `[MASK]` each, whose answer the grammar determines (see SHOWCASE)."""
    return [sentence for sentence, _ in SHOWCASE]


@sources.register("demo")
class DemoSource:
    """Documents of the toy grammar: the same for a seed in every process and Python version.

    Args:
        documents: how many. 1,000 are about 0.4 MB.
        seed: another seed is another corpus of the same kind.

    Raises:
        UserError: fewer than one document asked for.
    """

    def __init__(self, documents: int = 8000, seed: int = 0) -> None:
        if documents < 1:
            raise UserError(f"data.documents={documents}: the toy corpus needs at least 1 document")
        self.number, self.seed = documents, seed

    def check(self) -> None:
        """Nothing to find, so nothing to miss."""

    def fingerprint(self, quick: bool = False) -> Mapping[str, object]:
        """What determines every character."""
        del quick
        return {"name": "demo", "version": VERSION, "documents": self.number, "seed": self.seed}

    def documents(self, after: Place | None = None) -> Iterator[Document]:
        """All documents, or those from a number on, each written when it is asked for."""
        return (self._document(index) for index in range(cast(int, after or 0), self.number))

    def shard(self, rank: int, world_size: int) -> Iterator[Document]:
        """The documents of shard `rank` of `world_size` contiguous ones."""
        return map(
            self._document, range(rank * self.number // world_size, (rank + 1) * self.number // world_size)
        )

    def held_out(self) -> None:
        """None: the documents are alike, so a share of them is as good as any."""

    def sample(self, characters: int) -> Iterator[Document]:
        """Documents at an even stride over the corpus."""
        wanted = min(self.number, max(1, characters // MEAN_CHARACTERS))
        return (self._document(step * self.number // wanted) for step in range(wanted))

    def _document(self, index: int) -> Document:
        _, scene, dice = _begin(self.seed, index)
        return Document(scene.write(dice), f"demo:document {index + 1}", index + 1)


def clinical_notes(seed: int) -> Iterator[tuple[str, list[Span]]]:
    """The clinical documents of a seed, without end, with the spans of their slots."""
    for index in itertools.count():
        register, scene, dice = _begin(seed, index)
        if register == "clinical":
            yield scene.write_with_spans(dice)


def _begin(seed: int, index: int) -> tuple[str, Scene, Dice]:
    """The register and the scene of a document, and the dice that go on to write it."""
    dice = Dice(f"bertinchamps demo {VERSION} {seed} {index}")
    register = "clinical" if dice.roll() < 0.45 else "general"
    scenes = REGISTERS[register]
    return register, scenes[dice.index(len(scenes))], dice

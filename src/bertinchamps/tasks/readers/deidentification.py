"""De-identification: identifiers in hospital letters that are invented from templates.

    Patient adressé par le docteur [ROUVEIX](NOM) [Léonard](PRENOM)   →   Patient adressé par le docteur LACROIX Denise

Templates are split before they are filled, and each split has names, towns and hospitals of its own, so a score on test
is not memory of either.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bertinchamps.contract import SPLITS, AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.tasks.deidentification import LABELS, templates
from bertinchamps.tasks.deidentification.filling import Values, filled
from bertinchamps.tasks.deidentification.templates import Template
from bertinchamps.tasks.deidentification.words import all_words
from bertinchamps.tasks.readers import readers

SHARES = {"dev": 0.15, "test": 0.25}  # of the templates; the others are train's
FEWEST = 20


def _problems(settings: Mapping[str, Any]) -> list[str]:
    documents, seed = settings.get("documents", FEWEST), settings.get("seed", 0)
    found = (
        [] if documents >= FEWEST else [f"task.documents={documents}: at least {FEWEST}, for three splits"]
    )
    found += [] if seed >= 0 else [f"task.seed={seed}: must be at least 0"]
    synonyms = settings.get("synonyms") or {}
    if not isinstance(synonyms, Mapping) or not set(synonyms.values()) <= set(LABELS):
        found.append(
            f"task.synonyms: spellings → labels, such as {{ADDRESSE: ADRESSE}}, of {', '.join(LABELS)}"
        )
    return found


@readers.register("deidentification", check=_problems)
class Deidentification:
    """Letters with 13 types of identifiers, invented from a file of templates.

    Args:
        templates: the file.
        documents: how many, for the three splits together, each from one template.
        seed: of the splits and of the values.
        synonyms: spelling of a label in the file → the label; null: none.
    """

    kind = "identifiers"

    def __init__(
        self, templates: str, documents: int = 1500, seed: int = 0, synonyms: Mapping[str, Any] | None = None
    ) -> None:
        self._path, self._number, self._seed = Path(templates).expanduser(), documents, seed
        self._synonyms = dict(synonyms or {})
        self.remarks: tuple[str, ...] = ()

    def check(self) -> None:
        """Read the templates, and look for Faker."""
        if not self._path.is_file():
            raise UserError(
                f"task.templates={self._path}: no such file (looked from {Path.cwd()}); it holds snippets of letters "
                "between blank lines, with slots as [Léonard](PRENOM)"
            )
        self._templates()
        all_words()

    def _templates(self) -> list[Template]:
        return templates.read(self._path, LABELS, self._synonyms)

    def read(self) -> dict[str, list[AnnotatedText]]:
        """The documents of each split; their number follows the number of templates."""
        known = self._templates()
        self.remarks = (
            "templates and identifiers are fictitious: the scores are no guarantee for letters of a hospital",
            *_plain_brackets(known),
        )
        by_split = split(known, self._seed)
        if empty := [name for name in SPLITS if not by_split[name]]:
            raise UserError(
                f"task.templates={self._path}: {len(known)} templates are too few, none is left for {', '.join(empty)}"
            )
        return {
            name: list(
                self._filled(name, by_split[name], round(self._number * len(by_split[name]) / len(known)))
            )
            for name in SPLITS
        }

    def _filled(self, name: str, known: Sequence[Template], number: int) -> Iterator[AnnotatedText]:
        """Each template in turn, in another order each time around."""
        generator = random.Random(f"{self._seed} {name}")
        values = Values(all_words().of(name), generator)
        order: list[Template] = []
        for count in range(1, max(number, 1) + 1):
            order = order or generator.sample(list(known), len(known))
            yield filled(order.pop(), values, f"{name}-{count}")


def _plain_brackets(known: Sequence[Template]) -> Iterator[str]:
    lines = [str(template.line) for template in known if template.plain]
    if lines:
        yield f"brackets without a label are text; they are in the templates at line {', '.join(lines[:5])}"


def split(known: Sequence[Template], seed: int) -> dict[str, list[Template]]:
    """Templates by split; those that differ in their examples alone stay together."""
    groups: dict[str, list[Template]] = defaultdict(list)
    for template in known:
        groups[template.skeleton].append(template)
    ordered = sorted(
        groups, key=lambda skeleton: hashlib.blake2b(f"{seed} {skeleton}".encode(), digest_size=8).digest()
    )
    found: dict[str, list[Template]] = {name: [] for name in SPLITS}
    for skeleton in ordered:
        short = (name for name, share in SHARES.items() if len(found[name]) < round(share * len(known)))
        found[next(short, "train")] += groups[skeleton]
    return found

"""Medical sentences with entities, for where there is no corpus: made up, of varied length, always the same."""

from __future__ import annotations

import random
import re

from bertinchamps.contract import AnnotatedText, Entity

WORDS = {
    "DISO": ("cancer", "abcès", "lésion", "kyste", "insuffisance rénale", "fièvre", "œdème", "douleur aiguë"),
    "ANAT": ("foie", "rein", "cœur", "poumon", "col du fémur", "muscle", "pancréas", "genou gauche"),
    "CHEM": ("aspirine", "morphine", "codéine", "furosémide", "acide acétylsalicylique", "insuline"),
    "PROC": ("radiographie", "biopsie", "dialyse", "transfusion", "prise de sang", "échographie"),
}
CLAUSES = (
    "le patient est traité par {CHEM}",
    "une {PROC} du {ANAT} montre un signe de {DISO}",
    "la dose de {CHEM} doit être réduite en cas de {DISO}",
    "aucune {PROC} n'est nécessaire",
    "un médecin doit être consulté en cas de {DISO} ou de {DISO}",
    "l'effet de {CHEM} sur le {ANAT} dure quelques heures",
)
MOST_CLAUSES = 5  # in a sentence, so that lengths differ as they do in leaflets


def documents(count: int) -> list[AnnotatedText]:
    """So many documents of one sentence."""
    chance = random.Random(0)
    return [_document(f"sentence-{number}", chance) for number in range(count)]


def _document(name: str, chance: random.Random) -> AnnotatedText:
    template = ", puis ".join(chance.choices(CLAUSES, k=chance.randint(1, MOST_CLAUSES)))
    text, entities = "", []
    for place, part in enumerate(re.split(r"{(\w+)}", template)):  # every second one is a type
        word = chance.choice(WORDS[part]) if place % 2 else part
        if place % 2:
            entities.append(Entity(part, ((len(text), len(text) + len(word)),)))
        text += word
    return AnnotatedText(name, f"{text[0].upper()}{text[1:]}.", tuple(sorted(entities)))

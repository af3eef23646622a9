"""A few templates of letters, for tests of de-identification."""

from __future__ import annotations

from pathlib import Path

KINDS = [
    "consultation",
    "hospitalisation",
    "visite",
    "urgence",
    "chirurgie",
    "radiographie",
    "kinésithérapie",
    "pansement",
]


def templates(folder: Path) -> Path:
    """A file of templates with all kinds of slots."""
    snippets = [
        f"{kind.capitalize()} du [18/02/2019](DATE) : Mme [MARTIN](NOM) [Léa](PRENOM), "
        "née le [2 mai 1950](DATE_NAISSANCE)"
        for kind in KINDS
    ]
    snippets += [
        f"Pour la {kind}, [12 rue des Lilas](ADRESSE) [75013](ZIP)\n[Paris](VILLE), tél. [01.42.16.40.10](TEL)"
        for kind in KINDS
    ]
    snippets += [
        f"{kind} à [Bichat](HOPITAL), IPP [8012939402](IPP), NDA [102948](NDA), n° [2 50 05 75 013 001 84](SECU), "
        f"courriel [lea.martin@exemple.fr](MAIL), valeurs [0.5-1.2]"
        for kind in KINDS
    ]
    path = folder / "templates.txt"
    path.write_text("\n\n".join(snippets) + "\n", encoding="utf-8")
    return path

"""French names, towns and hospitals, for invented letters and for surrogates. Names are those of Faker."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import NamedTuple

from bertinchamps.errors import UserError

COUNTRIES = ("fr_FR", "fr_BE", "fr_CH")
_TOWNS = (
    "Agen Aix-en-Provence Ajaccio Albi Alençon Amiens Angers Angoulême Annecy Antibes Arles Arlon Arras Aubagne Auch "
    "Aurillac Auxerre Avignon Bastia Bayonne Beauvais Belfort Besançon Béziers Blois Bobigny Bordeaux Bourges Brest "
    "Bruxelles Caen Cahors Calais Cambrai Cannes Carcassonne Castres Châlons-en-Champagne Chambéry Charleroi Chartres "
    "Châteauroux Cherbourg Cholet Clermont-Ferrand Colmar Colombes Compiègne Courbevoie Créteil Dax Dieppe Digne "
    "Dijon Dinant Douai Dreux Dunkerque Épinal Évreux Évry Foix Fréjus Gap Genève Grasse Grenoble Guéret Hyères "
    "Issoudun Ivry-sur-Seine La-Rochelle Laon Laval Lausanne Lens Libourne Liège Lille Limoges Lisieux "
    "Lons-le-Saunier Lorient Lourdes Lyon Mâcon Marseille Martigues Maubeuge Meaux Melun Mende Metz Millau Mons "
    "Montauban Montbéliard Mont-de-Marsan Montélimar Montluçon Montpellier Montreuil Mulhouse Namur Nancy Nanterre "
    "Nantes Narbonne Neuchâtel Nevers Nice Nîmes Niort Orléans Orange Oyonnax Pantin Paris Pau Périgueux Perpignan "
    "Pessac Poissy Poitiers Privas Quimper Reims Rennes Roanne Rodez Roubaix Rouen Royan Saint-Brieuc Saint-Denis "
    "Saint-Étienne Saint-Malo Saint-Nazaire Saint-Quentin Saintes Salon-de-Provence Saumur Sedan Sens Sète Sion "
    "Soissons Strasbourg Tarbes Thionville Toulon Toulouse Tourcoing Tournai Tours Troyes Tulle Valence Valenciennes "
    "Vannes Verdun Versailles Verviers Vesoul Vichy Vienne Villejuif Villeurbanne Vincennes Vitry-sur-Seine"
)
TOWNS = tuple(_TOWNS.split())
_HOSPITALS = (
    "Ambroise Paré,Antoine Béclère,Armand Trousseau,Avicenne,Beaujon,Bellevue,Bichat,Bicêtre,Bretonneau,"
    "Broca,Brugmann,Charles Foix,Charles Nicolle,Cochin,Édouard Herriot,Érasme,Fernand Widal,"
    "Georges Pompidou,Gustave Roussy,Henri Mondor,Hôtel-Dieu,Jean Minjoz,Jean Verdier,la Citadelle,"
    "la Conception,la Croix-Rousse,la Grave,la Pitié-Salpêtrière,la Timone,Lapeyronie,Lariboisière,"
    "Louis Mourier,Louis Pradel,Necker,Nord,Paul Brousse,Pellegrin,Pontchaillou,Purpan,Rangueil,"
    "Raymond Poincaré,Robert Debré,Rothschild,Saint-Antoine,Saint-Éloi,Saint-Jean,Saint-Joseph,Saint-Louis,"
    "Saint-Luc,Saint-Pierre,Sainte-Anne,Sainte-Marguerite,Tenon,Val d'Or"
)
HOSPITALS = tuple(_HOSPITALS.split(","))
_PARTICLES = "de du des la le les d l van von der den el al ben da di dos et"
PARTICLES = frozenset(_PARTICLES.split())
_TITLES = "dr docteur pr professeur m mr mme mlle monsieur madame mademoiselle ph"
TITLES = frozenset(_TITLES.split())
TRAIN, DEV = 60, 75  # per cent of the words that are train's, and up to which they are dev's


def plain(text: str) -> str:
    """Without case, accents, hyphens and doubled blanks, for comparison."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(kept.replace("-", " ").replace("'", " ").replace("’", " ").split())


class Words(NamedTuple):
    """Words to choose from, each list in a stable order.

    Attributes:
        surnames, female, male: names of one word each.
        towns, hospitals: whole names.
    """

    surnames: tuple[str, ...]
    female: tuple[str, ...]
    male: tuple[str, ...]
    towns: tuple[str, ...]
    hospitals: tuple[str, ...]

    def of(self, split: str) -> Words:
        """The words that belong to a split: a hash of each word decides, so no word is in two splits."""
        return Words(*(tuple(word for word in words if _split_of(word) == split) for words in self))


def _split_of(word: str) -> str:
    number = int.from_bytes(hashlib.blake2b(plain(word).encode(), digest_size=4).digest(), "big") % 100
    return "train" if number < TRAIN else "dev" if number < DEV else "test"


@cache
def all_words() -> Words:
    """All words.

    Raises:
        UserError: Faker is not installed.
    """
    try:
        providers = [import_module(f"faker.providers.person.{country}").Provider for country in COUNTRIES]
    except ImportError as error:
        raise UserError(
            "names come from the library Faker, which is not installed: pip install 'bertinchamps[deidentification]'"
        ) from error
    surnames, female, male = (
        _single(name for provider in providers for name in getattr(provider, kind))
        for kind in ("last_names", "first_names_female", "first_names_male")
    )
    return Words(surnames, female, male, TOWNS, HOSPITALS)


def _single(names: Iterable[str]) -> tuple[str, ...]:
    """Names of one word of at least three letters, each once."""
    return tuple(dict.fromkeys(name for name in names if name.isalpha() and len(name) > 2))

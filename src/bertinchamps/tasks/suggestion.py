"""Which texts to annotate next, so that a model learns most of them: unlike each other, and hard for the model.

Annotators' hours are the dearest part of a model. `method=` names one of:

- `uncertainty`: the texts of which the model is least sure (Lewis and Gale, 1994): the mean over words of an entropy,
  so that long texts have no advantage; of classes, the entropy of the classes.
- `diversity`: each text is the farthest from those that are chosen or annotated already: the greedy choice of k centres
  (Sener and Savarese, 2018, "core-set"), on the mean hidden states of the encoder.
- `both`: the same with distance times uncertainty, the greedy twin of BADGE (Ash et al., 2020), whose vectors are
  longer where the model is less sure. Uncertainty alone may choose one difficulty many times, diversity outliers.
- `random`: what the others have to beat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bertinchamps.errors import UserError
from bertinchamps.registry import Registry
from bertinchamps.schemas import EngineConfig, PredictConfig, SuggestConfig
from bertinchamps.tasks.inputs import Input, Inputs
from bertinchamps.tasks.kinds import Doubts
from bertinchamps.tasks.saved_model import SavedModel
from bertinchamps.tasks.text_vectors import TextReader

Floats = NDArray[np.float32]
LEAST = 1e-6  # a text without doubt counts, if all others are copies of what is chosen


class Pool(NamedTuple):
    """The texts to choose from. N texts, A annotated ones, H numbers of a vector.

    Attributes:
        doubts: how unsure the model is of each, [N]; zeros where no method asks.
        vectors: of unit length, [N, H]; empty rows where no method asks.
        annotated: those of the annotated texts, [A, H].
    """

    doubts: Floats
    vectors: Floats
    annotated: Floats


class Chosen(NamedTuple):
    """A text of the pool.

    Attributes:
        place: of the text in the pool.
        distance: to the nearest text that was chosen before it or is annotated; None: there is none, or not known.
    """

    place: int
    distance: float | None


class Method(Protocol):
    """A way to choose.

    Attributes:
        reads_doubts: whether it needs `Pool.doubts`.
        reads_vectors: whether it needs `Pool.vectors`.
    """

    reads_doubts: bool
    reads_vectors: bool

    def choose(self, pool: Pool, count: int, order: NDArray[np.int64]) -> list[Chosen]:
        """At most `count` texts, best first; of equally good ones, that which comes first in `order`."""


methods: Registry[Method] = Registry("method", "method")


@methods.register("random")
class Random:
    """Any texts."""

    reads_doubts = reads_vectors = False

    def choose(self, pool: Pool, count: int, order: NDArray[np.int64]) -> list[Chosen]:
        return [Chosen(int(place), None) for place in order[:count]]


@methods.register("uncertainty")
class Uncertainty:
    """Those of which the model is least sure."""

    reads_doubts, reads_vectors = True, False

    def choose(self, pool: Pool, count: int, order: NDArray[np.int64]) -> list[Chosen]:
        ranked = order[np.argsort(-pool.doubts[order], kind="stable")]
        return [Chosen(int(place), None) for place in ranked[:count]]


@methods.register("diversity")
class Diversity:
    """Each the farthest from all before it. The first one is the nearest to the mean of all."""

    reads_doubts, reads_vectors = False, True

    def choose(self, pool: Pool, count: int, order: NDArray[np.int64]) -> list[Chosen]:
        first = -_distances(pool.vectors, pool.vectors.mean(0))
        return farthest(pool, np.ones(len(order), np.float32), first, count, order)


@methods.register("both")
class Both:
    """Each with the highest product of distance and uncertainty. The first one is that of the highest uncertainty."""

    reads_doubts = reads_vectors = True

    def choose(self, pool: Pool, count: int, order: NDArray[np.int64]) -> list[Chosen]:
        return farthest(pool, pool.doubts + np.float32(LEAST), pool.doubts, count, order)


def farthest(
    pool: Pool, weights: Floats, first: Floats, count: int, order: NDArray[np.int64]
) -> list[Chosen]:
    """Greedy k centres: the highest product of weight and distance to what is chosen or annotated, again and again.

    Args:
        pool: the texts.
        weights: of each text.
        first: the highest is chosen where nothing is annotated yet.
        count: of texts.
        order: decides between equally good ones.
    """
    nearest = np.full(len(order), np.inf, np.float32)
    for known in pool.annotated:
        nearest = np.minimum(nearest, _distances(pool.vectors, known))
    left = np.ones(len(order), dtype=bool)
    chosen: list[Chosen] = []
    while len(chosen) < min(count, len(order)):
        begun = bool(chosen) or len(pool.annotated) > 0
        worth = np.where(left, weights * nearest if begun else first, -np.inf)
        place = int(order[worth[order].argmax()])
        chosen.append(Chosen(place, float(nearest[place]) if begun else None))
        left[place] = False
        nearest = np.minimum(nearest, _distances(pool.vectors, pool.vectors[place]))
    return chosen


def _distances(vectors: Floats, other: Floats) -> Floats:
    """Euclidean distances of vectors [N, H] to one [H]."""
    distances: Floats = np.linalg.norm(vectors - other, axis=1).astype(np.float32)
    return distances


def as_prediction(config: SuggestConfig, source: str | None = None) -> PredictConfig:
    """The settings of `predict` for the same texts, or for those of another source, and for the same output."""
    return PredictConfig(
        model=config.model,
        input=source or config.input,
        output=config.output or "-",
        format=config.format,
        text_field=config.text_field,
        id_field=config.id_field,
        base=config.base,
        on_error=config.on_error,
        limits=config.limits,
        batch=config.batch,
        runtime=EngineConfig(**vars(config.runtime)),
        runs_dir=config.runs_dir,
    )


class Candidates(NamedTuple):
    """What can be chosen of an input.

    Attributes:
        places: of the texts in the input.
        names: their ids.
        pool: their doubts and vectors.
        copies: texts that are left out because they are an annotated text, or an earlier one, again.
        blank: texts that are left out because nothing is in them.
    """

    places: list[int]
    names: list[str]
    pool: Pool
    copies: int
    blank: int


def read_candidates(
    model: SavedModel, reader: TextReader, method: Method, inputs: Inputs, annotated: Inputs | None
) -> Candidates:
    """Read all texts once; memory holds a number, an id and a vector for each, not the texts.

    Raises:
        UserError: the method needs probabilities, and the model has none; or no text is left.
    """
    seen: set[int] = set()
    known: list[Floats] = []
    for portion in annotated.portions() if annotated is not None else ():
        seen.update(_key(given.text) for given in portion)
        if method.reads_vectors:
            known.append(reader.vectors([given.text for given in portion]))
    places, names, copies, blank = list[int](), list[str](), 0, 0
    doubts, vectors = [np.zeros(0, np.float32)], [np.zeros((0, reader.size), np.float32)]
    place = 0
    for portion in inputs.portions():
        fresh: list[Input] = []
        for given in portion:
            if not given.text.strip():
                blank += 1
            elif _key(given.text) in seen:
                copies += 1
            else:
                seen.add(_key(given.text))
                fresh.append(given)
                places.append(place)
                names.append(given.name)
            place += 1
        doubts.append(_doubts(model, fresh) if method.reads_doubts else np.zeros(len(fresh), np.float32))
        if method.reads_vectors:
            vectors.append(reader.vectors([given.text for given in fresh]))
    if not places:
        raise UserError(f"input: no text to choose ({copies} copies of others or annotated, {blank} blank)")
    pool = Pool(
        np.concatenate(doubts),
        np.concatenate(vectors),
        np.concatenate(known or [np.zeros((0, reader.size), np.float32)]),
    )
    return Candidates(places, names, pool, copies, blank)


def _doubts(model: SavedModel, texts: Sequence[Input]) -> Floats:
    predictor: Any = model.predictor
    if not isinstance(predictor, Doubts):
        raise UserError("the model does not say how sure it is of a text: give method=diversity")
    return (
        np.array(predictor.doubts(model.model, texts), dtype=np.float32) if texts else np.zeros(0, np.float32)
    )


def _key(text: str) -> int:
    return hash(" ".join(text.split()))


def ranked_rows(candidates: Candidates, chosen: Sequence[Chosen]) -> Iterator[dict[str, Any]]:
    """The rows of the ranking: rank, id, uncertainty and distance, without what the method does not know."""
    known = candidates.pool.doubts.any()
    for rank, (place, distance) in enumerate(chosen, start=1):
        row: dict[str, Any] = {"rank": rank, "id": candidates.names[place]}
        row["uncertainty"] = round(float(candidates.pool.doubts[place]), 6) if known else None
        row["distance"] = None if distance is None else round(distance, 6)
        yield row


def inputs_at(inputs: Inputs, places: Sequence[int]) -> list[Input]:
    """The texts at some places of the input, in the order of the places given."""
    wanted = set(places)
    found = {place: given for place, given in enumerate(inputs.read()) if place in wanted}
    return [found[place] for place in places]

"""What requests and answers look like; the description of the service (OpenAPI) is made of these."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

NOTE = "Patiente adressée pour une pneumonie du lobe inférieur droit, traitée par amoxicilline."


class Asked(BaseModel):
    """Texts, and the model to ask."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
    texts: list[str] = Field(description="the texts", examples=[[NOTE]], min_length=1)
    model: str | None = Field(None, description="the name of a model; null: the first that can")


def _whole(number: Any) -> Any:
    """5.0 is an integer in JSON."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


class EntitiesAsked(Asked):
    """Texts, to find entities in."""


class ClassesAsked(Asked):
    """Texts, to classify."""

    pairs: list[str] | None = Field(None, description="the second text of each, for models of pairs")


class MasksAsked(Asked):
    """Texts with masks, to fill."""

    top: Annotated[int, Field(ge=1, le=20), BeforeValidator(_whole)] = Field(
        5, description="proposals for each mask"
    )


class VectorsAsked(Asked):
    """Texts, to embed."""

    normalize: bool = Field(False, description="divide each vector by its length")


class FoundEntity(BaseModel):
    """An entity; offsets count the characters (Unicode code points) of the text."""

    start: int
    end: int
    label: str
    text: str
    confidence: float | None


class Entities(BaseModel):
    """The entities of a text, by place; one may lie inside another."""

    entities: list[FoundEntity]


class EntitiesFound(BaseModel):
    """An entry for each text."""

    model: str
    results: list[Entities]


class Classes(BaseModel):
    """The class, the classes or the number of a text."""

    predicted: str | list[str] | float
    probabilities: dict[str, float] = Field({}, description="of all classes; empty for a number")


class ClassesFound(BaseModel):
    """An entry for each text."""

    model: str
    results: list[Classes]


class Proposed(BaseModel):
    """A word for a mask, with its probability."""

    token: str
    probability: float


class Masks(BaseModel):
    """The proposals for each mask of a text, the likeliest first; none for a mask too far from the first."""

    masks: list[list[Proposed]]


class MasksFilled(BaseModel):
    """An entry for each text."""

    model: str
    results: list[Masks]


class VectorsFound(BaseModel):
    """A vector for each text: the mean over its subwords."""

    model: str
    dimensions: int
    embeddings: list[list[float]]


class ModelFacts(BaseModel):
    """A model of the service."""

    name: str
    can: list[str] = Field(description="paths that it answers")
    labels: list[str]
    pairs: bool = Field(description="whether it reads pairs of texts")
    longest: int = Field(description="subwords that go through it at once")
    mask: str | None = Field(description="how a mask is written in a text")


class Models(BaseModel):
    """The models of the service, and its limits."""

    models: list[ModelFacts]
    texts: int = Field(description="texts of a request, at the most")
    characters: int = Field(description="characters of a text, at the most")


class Health(BaseModel):
    """The service answers."""

    status: str


class Problem(BaseModel):
    """What is wrong with a request, without any of its text."""

    error: str
    problems: list[str] = []


def problem(error: str, problems: list[str] | None = None) -> dict[str, Any]:
    """The body of an answer that is none."""
    return {"error": error, "problems": problems or []}

"""The paths of the service."""

# Annotations are read by FastAPI when a path is added, so that they must not be text.
import math
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from bertinchamps.schemas import LimitsConfig, ServeConfig
from bertinchamps.serving import messages, page
from bertinchamps.serving.batching import Closed, Collector, Failed, Full
from bertinchamps.serving.figures import Figures
from bertinchamps.serving.gate import Gate, Rules
from bertinchamps.serving.messages import problem
from bertinchamps.serving.models import CLASSIFY, EMBED, FILL_MASK, NEEDS, NER, Pair, Served
from bertinchamps.serving.server import is_loopback
from bertinchamps.textfiles import json_lines

ABOUT = "Entities, classes, masked words and vectors of French texts, from models on this machine."
SAID = {
    401: "no token, or another one",
    404: "no model of that name",
    409: "no model, or not this one, does that",
    413: "the request is too large",
    422: "the request is not what the description says",
    429: "too many texts wait; ask again",
    500: "the model failed",
    503: "the service ends",
    504: "the answer took too long",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": messages.Problem, "description": said} for status, said in SAID.items()
}


class Refused(Exception):
    """A request that gets no answer.

    Args:
        status: of HTTP.
        error: what is wrong, without text of the request.
        problems: where and what.
    """

    def __init__(self, status: int, error: str, problems: Sequence[str] = ()) -> None:
        super().__init__(error)
        self.status, self.error, self.problems = status, error, list(problems)


class Service:
    """Finds the model for a request and gets its answers.

    Args:
        models: of the service.
        collector: puts texts through them.
        limits: of requests.
    """

    def __init__(self, models: Sequence[Served], collector: Collector, limits: LimitsConfig) -> None:
        self.models, self.limits, self._collector = models, limits, collector

    def chosen(self, path: str, name: str | None) -> Served:
        """The model that a request means.

        Raises:
            Refused: 404 or 409.
        """
        if name is None:
            for model in self.models:
                if path in model.abilities:
                    return model
            raise Refused(409, f"no model of this service {NEEDS[path]}; GET /models lists what there is")
        for model in self.models:
            if model.name == name:
                if path in model.abilities:
                    return model
                can = ", ".join(f"/{each}" for each in model.abilities)
                raise Refused(409, f"this model answers {can}; /{path} needs one that {NEEDS[path]}")
        raise Refused(404, "no model of that name; GET /models lists what there is")

    async def answers(
        self, path: str, asked: messages.Asked, pairs: Sequence[str] | None = None
    ) -> tuple[Served, Sequence[Any]]:
        """The model, and its answer for each text.

        Raises:
            Refused: the request is too large, or gets no answer in time.
        """
        model = self.chosen(path, asked.model)
        self._refuse_unreadable(asked.texts, pairs or ())
        if model.pairs != (pairs is not None):
            needs = "a second text for each (pairs)" if model.pairs else "single texts, without pairs"
            raise Refused(409, f"this model reads {needs}")
        if pairs is not None and len(pairs) != len(asked.texts):
            raise Refused(422, "as many pairs as texts are needed")
        seconds: Sequence[str | None] = [None] * len(asked.texts) if pairs is None else pairs
        given: list[Pair] = list(zip(asked.texts, seconds, strict=True))
        try:
            return model, await self._collector.answers(model.abilities[path], given, self.limits.seconds)
        except Full:
            raise Refused(429, "too many texts wait for the model; ask again in a second") from None
        except Closed:
            raise Refused(503, "the service ends") from None
        except TimeoutError:
            raise Refused(504, f"no answer within {self.limits.seconds:g} seconds") from None
        except Failed as error:
            raise Refused(500, f"the model failed on these texts ({error})") from None

    def _refuse_unreadable(self, *groups: Sequence[str]) -> None:
        found = []
        for texts in groups:
            if len(texts) > self.limits.texts:
                found.append(f"{len(texts)} texts; a request has at most {self.limits.texts}")
            found += [
                f"text {number}: {len(text):,} characters; a text has at most {self.limits.characters:,}"
                for number, text in enumerate(texts, start=1)
                if len(text) > self.limits.characters
            ][:5]
            found += [
                f"text {number}: {json_lines.HALF}"
                for number, text in enumerate(texts, start=1)
                if not json_lines.is_text(text)
            ][:5]
        if found:
            raise Refused(422, "texts that the service does not read", found)


def application(
    config: ServeConfig, models: Sequence[Served], collector: Collector, figures: Figures, token: str | None
) -> Gate:
    """The whole service, behind its gate."""
    app = FastAPI(title="bertinchamps", description=ABOUT, version=_version(), docs_url=None, redoc_url=None)
    service = Service(models, collector, config.limits)
    _add_answers(app, service)
    _add_facts(app, service, figures)
    _add_problems(app)
    app.openapi = lambda: _described(app, service)  # type: ignore[method-assign]
    paths = tuple(str(route.path) for route in app.routes if hasattr(route, "path"))
    rules = Rules(token, is_loopback(config.host), config.limits.body, config.limits.seconds, paths)
    return Gate(app, rules, figures)


def _add_answers(app: FastAPI, service: Service) -> None:
    """The paths that models answer."""

    @app.post(f"/{NER}", responses=PROBLEMS, summary="Find entities")
    async def ner(asked: messages.EntitiesAsked) -> messages.EntitiesFound:
        model, found = await service.answers(NER, asked)
        return messages.EntitiesFound.model_validate(
            {"model": model.name, "results": [{"entities": own} for own in found]}
        )

    @app.post(f"/{CLASSIFY}", responses=PROBLEMS, summary="Classify texts")
    async def classify(asked: messages.ClassesAsked) -> messages.ClassesFound:
        model, found = await service.answers(CLASSIFY, asked, asked.pairs)
        return messages.ClassesFound.model_validate({"model": model.name, "results": found})

    @app.post(f"/{FILL_MASK}", responses=PROBLEMS, summary="Fill masks")
    async def fill_mask(asked: messages.MasksAsked) -> messages.MasksFilled:
        mask = service.chosen(FILL_MASK, asked.model).mask or ""
        without = [f"text {number}" for number, text in enumerate(asked.texts, start=1) if mask not in text]
        if without:
            raise Refused(422, f"each text needs a mask, written {mask}", without[:5])
        model, found = await service.answers(FILL_MASK, asked)
        results = [{"masks": [own[: asked.top] for own in masks]} for masks in found]
        return messages.MasksFilled.model_validate({"model": model.name, "results": results})

    @app.post(f"/{EMBED}", responses=PROBLEMS, summary="Embed texts")
    async def embed(asked: messages.VectorsAsked) -> messages.VectorsFound:
        model, found = await service.answers(EMBED, asked)
        vectors = [_normalised(own) if asked.normalize else own for own in found]
        return messages.VectorsFound(model=model.name, dimensions=len(vectors[0]), embeddings=vectors)


def _normalised(vector: list[float]) -> list[float]:
    length = math.hypot(*vector) or 1.0
    return [number / length for number in vector]


def _add_facts(app: FastAPI, service: Service, figures: Figures) -> None:
    """The paths that no model answers."""

    @app.get("/models", responses={401: PROBLEMS[401]}, summary="Which models there are")
    async def models() -> messages.Models:
        facts = [
            messages.ModelFacts(
                name=model.name,
                can=list(model.abilities),
                labels=list(model.labels),
                pairs=model.pairs,
                longest=model.longest,
                mask=model.mask,
            )
            for model in service.models
        ]
        return messages.Models(models=facts, texts=service.limits.texts, characters=service.limits.characters)

    @app.get("/health", summary="Whether the service answers")
    async def health() -> messages.Health:
        return messages.Health(status="ok")

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(figures.written(), media_type=figures.content_type)

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(page.page(), headers={"content-security-policy": page.policy()})


def _add_problems(app: FastAPI) -> None:
    """What goes wrong as a `Problem`, without text of the request."""

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)
        headers = {"retry-after": "1"} if error.status in (429, 503) else None
        return JSONResponse(problem(error.error, error.problems), error.status, headers)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        found = [f"{_place(each['loc'])}: {_meaning(each)}" for each in error.errors()[:10]]
        return JSONResponse(problem("the request is not what GET /openapi.json describes", found), 422)

    async def other(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        said = {404: "no such path; GET /openapi.json lists them", 405: "this path has another method"}
        if error.status_code not in said:  # bytes that are no UTF-8
            return JSONResponse(problem("the request cannot be read"), 422)
        return JSONResponse(problem(said[error.status_code]), error.status_code, error.headers)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, other)


KNOWN = {name for asked in messages.Asked.__subclasses__() for name in asked.model_fields} | {"body"}


def _place(where: Sequence[Any]) -> str:
    """Where in a request; a key that is not ours is text of the request."""
    return ".".join(str(part) if isinstance(part, int) or part in KNOWN else "…" for part in where)


def _meaning(error: dict[str, Any]) -> str:
    """What is wrong, by the type of the error: its message may quote the request."""
    if error["type"] == "json_invalid":
        return "not valid JSON"
    if error["type"] == "extra_forbidden":
        return "no such key"
    if error["type"] == "model_attributes_type":
        return "a JSON object is needed, with the header content-type: application/json"
    return str(error["msg"])


def _described(app: FastAPI, service: Service) -> dict[str, Any]:
    """The description of the service, with the limits of requests and how masks are written."""
    if app.openapi_schema:
        return app.openapi_schema
    described = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = described["components"]["schemas"]
    masks = sorted({model.mask for model in service.models if model.mask})
    for name in ("EntitiesAsked", "ClassesAsked", "MasksAsked", "VectorsAsked"):
        texts = schemas[name]["properties"]["texts"]
        texts["maxItems"] = service.limits.texts
        texts["items"]["maxLength"] = service.limits.characters
        if name == "MasksAsked" and masks:
            texts["items"]["pattern"] = "|".join(_quoted(mask) for mask in masks)
            texts["examples"] = [[f"Le médecin prescrit du {masks[0]} contre la fièvre."]]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    described["security"] = [{"token": []}, {}]
    app.openapi_schema = described
    return described


def _quoted(mask: str) -> str:
    """A mask as a regular expression."""
    return "".join(f"\\{letter}" if letter in "[](){}.*+?^$|\\" else letter for letter in mask)


def _version() -> str:
    try:
        return version("bertinchamps")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0"

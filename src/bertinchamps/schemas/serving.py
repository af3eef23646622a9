"""Settings of the service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bertinchamps.schemas.knobs import knob
from bertinchamps.schemas.shared import EngineConfig


@dataclass
class TokenConfig:
    """Who may ask: whoever sends `Authorization: Bearer TOKEN`. A host that is not loopback needs a token."""

    variable: str | None = knob(None, "the environment variable that holds the token")
    file: str | None = knob(None, "a file that holds the token, on one line")


@dataclass
class LimitsConfig:
    """What the service refuses."""

    body: int = knob(2_000_000, "bytes of a request")
    texts: int = knob(64, "texts of a request")
    characters: int = knob(50_000, "characters of a text")
    waiting: int = knob(1024, "texts that wait for the model; beyond them the answer is 429")
    seconds: float = knob(30.0, "until a request has its answer; after them the answer is 504")


@dataclass
class CollectingConfig:
    """How texts of several requests go through the model together."""

    texts: int = knob(64, "texts at the most")
    milliseconds: float = knob(
        10.0, "that a text waits for others, until as many requests are there as lately; 0: none"
    )


@dataclass
class ServeConfig:
    """Settings of `python -m bertinchamps.serve`."""

    model: Any = knob(
        "last",
        "last (the newest finished run in runs_dir), a run's directory, or its model/; several: 'model=[A,B]'",
    )
    host: str = knob("127.0.0.1", "an address of this machine; only loopback does without a token")
    port: int = knob(8000, "0: any free one")
    token: TokenConfig = field(default_factory=TokenConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    collecting: CollectingConfig = field(default_factory=CollectingConfig)
    base: str | None = knob(None, "of an adapter: the encoder it was trained on, if it is not where it was")
    batch: int = knob(64, "windows or texts that go through a model at once")
    runtime: EngineConfig = field(default_factory=EngineConfig)
    runs_dir: str = knob("runs", "where model=last looks")

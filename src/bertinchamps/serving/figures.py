"""What Prometheus reads at /metrics: counts and times, never text."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128)


class Figures:
    """The figures of one service."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        prefix = "bertinchamps"
        self._requests = Counter(
            f"{prefix}_requests", "answers, by path and status", ("path", "status"), registry=own
        )
        self._seconds = Histogram(
            f"{prefix}_request_seconds",
            "from a request to its answer",
            ("path",),
            buckets=SECONDS,
            registry=own,
        )
        self._in_hand = Gauge(
            f"{prefix}_requests_in_hand", "requests without an answer yet", ("path",), registry=own
        )
        self._texts = Counter(f"{prefix}_texts", "texts that went through a model", registry=own)
        self._batches = Histogram(
            f"{prefix}_batch_texts", "texts that went through a model together", buckets=TEXTS, registry=own
        )
        self._merged = Histogram(
            f"{prefix}_batch_requests", "requests of these texts", buckets=TEXTS, registry=own
        )
        self._computing = Counter(f"{prefix}_model_seconds", "in which the models computed", registry=own)
        self._waiting = Gauge(f"{prefix}_waiting_texts", "texts that wait for a model", registry=own)

    def watch(self, waiting: Callable[[], float]) -> None:
        """Ask this function how many texts wait."""
        self._waiting.set_function(waiting)

    def asked(self, path: str) -> None:
        """A request came."""
        self._in_hand.labels(path).inc()

    def answered(self, path: str, status: int, seconds: float) -> None:
        """A request got its answer; status 0: its sender left."""
        self._in_hand.labels(path).dec()
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def computed(self, requests: int, texts: int, seconds: float) -> None:
        """Texts went through a model together."""
        self._texts.inc(texts)
        self._batches.observe(texts)
        self._merged.observe(requests)
        self._computing.inc(seconds)

    def written(self) -> bytes:
        """All figures, as Prometheus reads them."""
        return generate_latest(self._registry)

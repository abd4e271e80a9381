"""What a server counts of itself, for Prometheus (https://prometheus.io/docs/practices/naming/).

Each server has a registry of its own; routes are the known ones, so that no client can make up series.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

__all__ = ["CONTENT_TYPE", "Meters"]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
SEGMENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
GAUGES = {
    "uploads": "Uploads that wait or are worked on",
    "streams": "WebSocket streams that are open",
    "queue_depth": "Pieces of work that wait for the model",
    "ready": "Whether the model answers",
}


class Meters:
    """Counters of requests and of the model's passes; gauges are asked when they are read."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # resident memory, open files, processor time
        self._requests = Counter(
            "hubbub_requests", "Requests and streams that have ended", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "hubbub_request_seconds",
            "From a request's head to its end",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._segments = Counter("hubbub_segments", "Segments that the model has heard", registry=self._registry)
        self._batch = Histogram(
            "hubbub_batch_segments", "Segments in a pass of the model", buckets=SEGMENTS, registry=self._registry
        )
        self._asked = Histogram(
            "hubbub_batch_askers", "Requests and streams in a pass", buckets=SEGMENTS, registry=self._registry
        )

    def watch(self, name: str, value: Callable[[], float]) -> None:
        """Show one of `GAUGES`."""
        Gauge(f"hubbub_{name}", GAUGES[name], registry=self._registry).set_function(value)

    def request(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def passed(self, segments: int, askers: int) -> None:
        """A pass of the model."""
        self._segments.inc(segments)
        self._batch.observe(segments)
        self._asked.observe(askers)

    def text(self) -> bytes:
        return generate_latest(self._registry)

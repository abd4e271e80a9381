"""The server's metrics for Prometheus (https://prometheus.io/docs/practices/naming/).

Each server has its own registry. Only known routes become labels, so that no client can add time series.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
SEGMENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
GAUGES = {
    "uploads": "Uploads that wait or are processed",
    "streams": "WebSocket streams that are open",
    "queue_depth": "Jobs that wait for the model",
    "ready": "Whether the model answers",
}


class Metrics:
    """Counters and histograms of requests and of the model's batches, and gauges that are read on request."""

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
        self._segments = Counter("hubbub_segments", "Segments that the model has processed", registry=self._registry)
        self._batch = Histogram(
            "hubbub_batch_segments", "Segments in a batch of the model", buckets=SEGMENTS, registry=self._registry
        )
        self._askers = Histogram(
            "hubbub_batch_askers", "Requests and streams in a batch", buckets=SEGMENTS, registry=self._registry
        )

    def add_gauge(self, name: str, value: Callable[[], float]) -> None:
        """Adds one of `GAUGES`, whose value is read when the metrics are."""
        Gauge(f"hubbub_{name}", GAUGES[name], registry=self._registry).set_function(value)

    def observe_request(self, route: str, status: int, seconds: float) -> None:
        """Counts a request that has ended."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def observe_batch(self, segments: int, askers: int) -> None:
        """Counts a batch of the model: its segments, and the requests and streams that they came from."""
        self._segments.inc(segments)
        self._batch.observe(segments)
        self._askers.observe(askers)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)

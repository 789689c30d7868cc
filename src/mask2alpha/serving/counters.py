"""The counters that Prometheus reads at `/metrics`."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class ServiceCounters:
    """The counters of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "mask2alpha_requests",
            "Requests answered; status 499: the client disconnected before the answer",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "mask2alpha_request_seconds",
            "Seconds from the head of a request to the end of its answer",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._job_seconds = Histogram(
            "mask2alpha_job_seconds",
            "Seconds that a worker spent on a job",
            ("kind", "outcome"),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._deaths = Counter(
            "mask2alpha_worker_deaths", "Workers that died and were replaced", registry=self._registry
        )

    def gauge(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Add a gauge that is read when Prometheus asks."""
        Gauge(f"mask2alpha_{name}", description, registry=self._registry).set_function(value)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(method, route, status).inc()
        self._request_seconds.labels(route).observe(seconds)

    def count_job(self, kind: str, outcome: str, seconds: float) -> None:
        """Count a job that a worker finished or refused, or during which it died."""
        self._job_seconds.labels(kind, outcome).observe(seconds)

    def count_death(self) -> None:
        """Count a worker that died."""
        self._deaths.inc()

    def render(self) -> bytes:
        """The counters in Prometheus' text format."""
        return generate_latest(self._registry)

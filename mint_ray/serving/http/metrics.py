"""Counts of answered requests for Prometheus; labels are routes and statuses alone."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

MEDIA_TYPE = "text/plain; version=0.0.4"


class RequestCounts:
    """Requests and seconds by route.

    Args:
        routes: paths that are counted by name; all others are `other`.
    """

    def __init__(self, routes: Iterable[str]) -> None:
        self._registry = CollectorRegistry()
        self._routes = frozenset(routes)
        self._requests = Counter(
            "mint_requests", "Answered requests", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "mint_request_seconds", "Time to answer", ["route"], registry=self._registry
        )

    def count(self, path: str, status: int, seconds: float) -> None:
        """One answered request."""
        route = path if path in self._routes else "other"
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)

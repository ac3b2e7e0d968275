"""Prometheus counts and times of answered requests, labelled by route and status only."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

MEDIA_TYPE = "text/plain; version=0.0.4"


class RequestCounts:
    """Numbers and durations (seconds) of requests by route.

    Args:
        routes: paths that are counted by name; all others are counted as `other`, so that clients
            cannot create labels without end.
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
        """Count an answered request."""
        route = path if path in self._routes else "other"
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Return all counts in Prometheus' text format."""
        return generate_latest(self._registry)

"""What the service tells Prometheus of itself and of the cloud."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import func, select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from corpus.controller.journal import UNFINISHED
from corpus.controller.registry.models import ComputeNode, Guest, Operation
from corpus.errors import CorpusError

if TYPE_CHECKING:
    from corpus.web.service import Service

API = "/api/v1"
#: Seconds for which what was counted in the registry is told again.
_BELIEVED = 15.0


class Measures:
    """Counts of requests, and of what the registry has.

    :param service: whose registry is counted
    """

    def __init__(self, service: Service) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self.requests = Counter(
            "corpus_web_requests",
            "Requests, by route and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "corpus_web_request_seconds",
            "Seconds until an answer began, by route.",
            ("method", "route"),
            registry=self._registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )
        self.under_way = Gauge(
            "corpus_web_requests_under_way", "Requests that are being answered.", registry=self._registry
        )
        self._registry.register(_Counted(service))

    def follow(self, count: Any) -> None:
        """Tell how many follow what happens.

        :param count: returns that
        """
        Gauge("corpus_web_followers", "Open streams of events.", registry=self._registry).set_function(count)

    def told(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)


class _Counted:
    """What the registry has, by state; counted when somebody asks and the last count is old."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._at, self._known = -_BELIEVED, dict[str, dict[str, int]]()

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: the registry is not asked before somebody asks us."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The counts; none when the registry cannot be read."""
        with self._lock:
            if time.monotonic() - self._at >= _BELIEVED:
                try:
                    self._known = self._count()
                except CorpusError:
                    self._known = {}
                self._at = time.monotonic()
            known = self._known
        up = GaugeMetricFamily("corpus_registry_up", "Whether the registry can be read.")
        up.add_metric([], 1 if known else 0)
        yield up
        for name, states in known.items():
            family = GaugeMetricFamily(f"corpus_{name}", f"How many {name} there are, by state.", labels=("state",))
            for state, count in sorted(states.items()):
                family.add_metric([state], count)
            yield family

    def _count(self) -> dict[str, dict[str, int]]:
        with self._service.registry.reading() as session:
            found: dict[str, dict[str, int]] = {}
            for name, table in (("nodes", ComputeNode), ("guests", Guest)):
                rows = session.execute(select(table.state, func.count()).group_by(table.state))
                found[name] = {row[0]: row[1] for row in rows}
            unfinished = select(Operation.state, func.count()).where(Operation.state.in_(UNFINISHED))
            states = {row[0]: row[1] for row in session.execute(unfinished.group_by(Operation.state))}
            found["operations"] = {state: states.get(state, 0) for state in UNFINISHED}
        return found


class Measuring:
    """Counts each request, and how long it took until its answer began.

    :param app: that answers
    :param measures: that are kept
    """

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app, self._measures = app, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it be answered, and count."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        told = False

        async def sending(message: Message) -> None:
            nonlocal told
            if message["type"] == "http.response.start" and not told:
                told = True
                self._count(scope, message["status"], time.perf_counter() - begun)
            await send(message)

        with self._measures.under_way.track_inprogress():
            await self._app(scope, receive, sending)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        path = str(getattr(scope.get("route"), "path", None) or "none")
        if scope["path"].startswith(f"{API}/") and path != "none" and not path.startswith(API):
            path = API + path  # a route knows its path below the router that it is mounted by
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._measures.requests.labels(method, path, str(status)).inc()
        self._measures.seconds.labels(method, path).observe(seconds)


_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")

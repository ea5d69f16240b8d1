"""The audit: every request that could change something, and every login, whatever came of it."""

from __future__ import annotations

import logging

from starlette.concurrency import run_in_threadpool
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from corpus.controller.registry.models import Audit
from corpus.errors import CorpusError
from corpus.web.service import Service

log = logging.getLogger(__name__)
_SAFE = ("GET", "HEAD", "OPTIONS")


class Auditing(BaseHTTPMiddleware):
    """Writes a row for each request that is not for reading alone."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Let it be answered, then write."""
        response = await call_next(request)
        if request.method not in _SAFE:
            try:
                await run_in_threadpool(record, request.app.state.service, request, response.status_code)
            except CorpusError:
                log.exception("The audit could not be written")
        return response


def record(service: Service, request: Request, status: int) -> None:
    """Write a row for a request."""
    state = request.state
    caller = getattr(state, "caller", None)
    with service.registry.session() as session:
        session.add(
            Audit(
                who=caller.person.name if caller else getattr(state, "claimed", "unknown")[:100],
                action=getattr(state, "action", f"{request.method} {request.url.path}")[:100],
                subject=getattr(state, "subject", None),
                address=request.client.host if request.client else None,
                token=caller.token if caller else None,
                status=status,
                operation=getattr(state, "operation", None),
                detail=getattr(state, "detail", None),
            )
        )

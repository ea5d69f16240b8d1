"""Whether the service lives and can work, and what it measures."""

from __future__ import annotations

import ipaddress
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from corpus.controller.registry import migrations
from corpus.errors import CorpusError, Forbidden
from corpus.web import login
from corpus.web.problems import Refused
from corpus.web.service import Serving

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The service lives."""

    status: Literal["ok"] = "ok"


class Readiness(Health):
    """The service can work."""

    revision: str = Field(description="Of the registry's tables", examples=["0002"])


@router.get("/health")
async def get_health() -> Health:
    """The service lives; nothing else is looked at."""
    return Health()


@router.get("/ready")
def get_readiness(service: Serving) -> Readiness:
    """The registry answers, and its tables are those of this corpus; otherwise 503."""
    try:
        found = service.registry.revision()
    except CorpusError as err:
        raise Refused(503, "The registry does not answer.") from err
    if found != migrations.HEAD:
        raise Refused(503, f"The registry's tables are of revision {found}, and this corpus needs {migrations.HEAD}.")
    return Readiness(revision=found)


@router.get("/metrics", response_class=PlainTextResponse)
def get_metrics(request: Request, service: Serving) -> Response:
    """Measures of the service and counts of the cloud, for Prometheus: from this machine, or with a sysadmin's token."""
    if not _is_here(request):
        caller = login.caller(request, service)
        if not caller.person.sysadmin:
            raise Forbidden("Measures are for sysadmins.")
    return Response(request.app.state.measures.told(), media_type=CONTENT_TYPE_LATEST)


def _is_here(request: Request) -> bool:
    """Whether it comes from this machine, and from nobody behind a proxy on it."""
    if request.client is None or any(name in request.headers for name in ("X-Forwarded-For", "Forwarded")):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False

"""The first page: what needs attention, then what there is."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import select

from corpus.controller import permissions
from corpus.controller.registry.models import Guest, Operation
from corpus.web.pages import frame
from corpus.web.pages.frame import Looking
from corpus.web.routes import deployments, nodes, operations
from corpus.web.service import Serving

router = APIRouter(include_in_schema=False)


@router.get("/")
def overview(request: Request, caller: Looking, service: Serving) -> Response:
    """What there is for who looks."""
    person = caller.person
    with service.registry.reading() as session:
        guests = select(Guest).where(permissions.guests(person), Guest.state == "failed")
        troubled = session.scalars(permissions.first(person, guests, 10, Guest.name, few=True)).all()
        done = select(Operation).where(permissions.operations(person), Operation.state == "failed")
        failed = session.scalars(permissions.first(person, done, 5, Operation.id, newest=True)).all()
    seen = nodes.list_nodes(caller, service, limit=20).items
    return frame.render(
        request,
        "overview.html",
        nodes=seen,
        deployed=deployments.list_deployments(caller, service, limit=10).items,
        troubled=troubled,
        failed=failed,
        broken=[one for one in seen if one.state == "failed"],
        recent=operations.list_operations(caller, service, limit=8).items,
    )

"""The first page: what needs attention, then what there is."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from corpus.controller import permissions
from corpus.controller.registry.models import ComputeNode, Deployment, Guest, Operation, Project
from corpus.web.pages import frame
from corpus.web.pages.frame import Looking
from corpus.web.routes import operations as resource
from corpus.web.service import Serving

router = APIRouter(include_in_schema=False)


@router.get("/")
def overview(request: Request, caller: Looking, service: Serving) -> Response:
    """What there is for who looks."""
    person = caller.person
    with service.registry.reading() as session:
        nodes = session.scalars(
            select(ComputeNode).where(permissions.nodes(person)).order_by(ComputeNode.name).limit(20)
        ).all()
        deployments = session.scalars(
            select(Deployment)
            .join(Project, Deployment.project_id == Project.id)
            .where(permissions.projects(person))
            .order_by(Deployment.id.desc())
            .limit(10)
            .options(joinedload(Deployment.project))
        ).all()
        troubled = session.scalars(
            select(Guest).where(permissions.guests(person), Guest.state == "failed").order_by(Guest.name).limit(10)
        ).all()
        failed = session.scalars(
            select(Operation)
            .where(permissions.operations(session, person), Operation.state == "failed")
            .order_by(Operation.id.desc())
            .limit(5)
        ).all()
    recent = resource.list_operations(caller, service, limit=8)
    return frame.render(
        request,
        "overview.html",
        nodes=nodes,
        deployments=deployments,
        troubled=troubled,
        failed=failed,
        broken=[one for one in nodes if one.state == "failed"],
        recent=recent.items,
    )

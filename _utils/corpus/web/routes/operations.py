"""Long actions: listed, looked up, followed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import select

from corpus.controller import permissions
from corpus.controller.journal import UNFINISHED, Journal
from corpus.controller.registry.models import Event, Operation
from corpus.errors import NotThere
from corpus.web.login import Asking, Caller
from corpus.web.schemas import After, LastEvent, Limit, OperationDetail, OperationInfo, Page, StepInfo, Uuid, Wanted
from corpus.web.service import Service, Serving

router = APIRouter(tags=["operations"])


@router.get("/operations")
def list_operations(
    caller: Asking,
    service: Serving,
    limit: Limit = 50,
    after: After = None,
    state: Wanted = None,
    kind: Wanted = None,
    subject: Wanted = None,
) -> Page[OperationInfo]:
    """The operations that one may see, newest first."""
    service.reads(caller, "operation")
    with service.registry.reading() as session:
        wanted = select(Operation).where(permissions.operations(caller.person))
        for column, value in ((Operation.state, state), (Operation.kind, kind), (Operation.subject, subject)):
            if value is not None:
                wanted = wanted.where(column == value)
        if after is not None:
            last = session.scalar(select(Operation.id).where(Operation.uuid == after))
            wanted = wanted.where(Operation.id < (last or 0))
        rows = session.scalars(permissions.first(caller.person, wanted, limit + 1, Operation.id, newest=True)).all()
    return Page(items=[_info(row) for row in rows[:limit]], next=rows[limit - 1].uuid if len(rows) > limit else None)


def _info(row: Operation) -> OperationInfo:
    return OperationInfo(
        operation=row.uuid,
        kind=row.kind,
        subject=row.subject,
        state=row.state,
        who=row.who,
        created=row.created,
        finished=row.finished,
        comment=row.message or "",
    )


@router.get("/operations/{operation}")
def get_operation(operation: Uuid, caller: Asking, service: Serving) -> OperationDetail:
    """One operation, with its steps."""
    return detail(service, caller, operation)


def detail(service: Service, caller: Caller, uuid: str) -> OperationDetail:
    """Everything that a person may know of an operation.

    :raises NotThere: it is not there, or not theirs to see
    """
    with service.registry.reading() as session:
        row = session.scalar(select(Operation).where(Operation.uuid == uuid))
        if row is None or not permissions.sees(session, caller.person, row):
            raise NotThere(f"There is no operation {uuid!r}, or it is not yours to see.")
        if not permissions.follows(caller.person, row.subject, row.kind):
            permissions.scoped(caller.person, "operation.view")
        journal = Journal(service.registry, row)
        whole = permissions.knows(session, caller.person, row)
        info = _info(row)
    return OperationDetail(
        **info.model_dump(),
        arguments=journal.arguments if whole else {},
        facts=dict(journal.data) if whole else {},
        steps=[StepInfo(**entry.told()) for entry in journal.entries],
    )


@router.get("/operations/{operation}/events", response_class=EventSourceResponse)
async def follow_operation(
    operation: Uuid,
    request: Request,
    caller: Asking,
    found: Annotated[OperationDetail, Depends(get_operation)],
    last_event_id: LastEvent = None,
) -> AsyncIterator[ServerSentEvent]:
    """An operation's steps as they are taken, from its first on; ends when it is over."""
    feed = request.app.state.feed.follow(request, last_event_id or 0, lambda event: event.operation == operation)
    if found.state not in UNFINISHED and last_event_id is None and not found.steps:
        return
    async for event in feed:
        if event is None:
            if found.state not in UNFINISHED:  # its end was told, and forgotten, long ago
                return
            continue
        yield told(event)
        if event.kind == "operation.end":
            return


@router.get("/events", response_class=EventSourceResponse)
async def follow(
    request: Request,
    caller: Asking,
    last_event_id: LastEvent = None,
    project: Wanted = None,
    guest: Wanted = None,
) -> AsyncIterator[ServerSentEvent]:
    """Everything that happens and that one may see, as it happens: operations' steps, deployments' stages."""

    def wanted(event: Event) -> bool:
        return (project is None or event.project == project) and (guest is None or event.guest == guest)

    async for event in request.app.state.feed.follow(request, last_event_id, wanted):
        if event is not None:
            yield told(event)


def told(event: Event) -> ServerSentEvent:
    """An event as it is sent."""
    data: dict[str, Any] = {
        "at": event.at.isoformat(),
        "operation": event.operation,
        "subject": event.subject,
        "project": event.project,
        "guest": event.guest,
        **event.data,
    }
    return ServerSentEvent(id=str(event.id), event=event.kind, data={k: v for k, v in data.items() if v is not None})

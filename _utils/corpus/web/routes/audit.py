"""What was asked of the service, by whom."""

from __future__ import annotations

import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import or_, select

from corpus.controller.registry.models import Audit
from corpus.errors import UsageError
from corpus.web.login import Asking
from corpus.web.schemas import After, Limit, Moment, Page
from corpus.web.service import Serving

router = APIRouter(tags=["audit"])


class AuditInfo(BaseModel):
    """A request that could change something, or a login."""

    id: int
    at: datetime.datetime
    who: str = Field(description="Of a login that failed: whom it was tried for", examples=["ada"])
    action: str = Field(examples=["guest.create"])
    subject: str | None = Field(examples=["guest:shop"])
    status: int = Field(description="Of the answer", examples=[202])
    address: str | None = Field(description="That it came from", examples=["192.0.2.7"])
    token: str | None = Field(description="Uuid of the token that let them in")
    operation: str | None = Field(description="That it began")
    detail: str | None


def _word(description: str) -> object:
    return Query(max_length=300, description=description)


@router.get("/audit")
def list_audit(
    caller: Asking,
    service: Serving,
    limit: Limit = 50,
    after: After = None,
    who: Annotated[str | None, _word("Whose requests")] = None,
    action: Annotated[str | None, _word("An action such as `guest.create`, or a noun: `guest`")] = None,
    subject: Annotated[str | None, _word("Such as `guest:shop`")] = None,
    operation: Annotated[str | None, _word("An operation's uuid")] = None,
    since: Annotated[Moment | None, Query(description="From this moment on")] = None,
    until: Annotated[Moment | None, Query(description="Before this moment")] = None,
) -> Page[AuditInfo]:
    """Who asked for what, newest first: one's own requests; sysadmins see everybody's."""
    service.allowed(caller, "audit.view", {})
    wanted = select(Audit)
    if not caller.person.sysadmin:
        wanted = wanted.where(Audit.who == caller.person.name)
    for column, value in ((Audit.who, who), (Audit.subject, subject), (Audit.operation, operation)):
        if value is not None:
            wanted = wanted.where(column == value)
    if action is not None:
        wanted = wanted.where(or_(Audit.action == action, Audit.action.startswith(f"{action}.", autoescape=True)))
    if since is not None:
        wanted = wanted.where(Audit.at >= since)
    if until is not None:
        wanted = wanted.where(Audit.at < until)
    if after is not None:
        if not after.isdecimal() or len(after) > 18:
            raise UsageError("after is not what a part of this list had as next.")
        wanted = wanted.where(Audit.id < int(after))
    with service.registry.reading() as session:
        rows = session.scalars(wanted.order_by(Audit.id.desc()).limit(limit + 1)).all()
    items = [AuditInfo(**{name: getattr(row, name) for name in AuditInfo.model_fields}) for row in rows[:limit]]
    return Page(items=items, next=str(items[-1].id) if len(rows) > limit else None)

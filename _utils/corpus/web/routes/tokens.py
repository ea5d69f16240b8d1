"""Sessions and personal access tokens: who has which, made and revoked."""

from __future__ import annotations

import datetime
from functools import cache
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, field_validator
from sqlalchemy import func, select
from sqlalchemy.orm import joinedload

from corpus.controller import operations, permissions
from corpus.controller.registry.models import AccessToken, Owner, now
from corpus.errors import Conflict, Forbidden, NotThere
from corpus.web import login
from corpus.web.login import Asking, Caller
from corpus.web.schemas import LINE, After, Given, Limit, Page, Uuid
from corpus.web.service import Serving

router = APIRouter(tags=["tokens"])

#: Most tokens of one person that are good for something.
_MOST = 100


class TokenInfo(BaseModel):
    """A session, or a personal access token."""

    uuid: str
    kind: str = Field(description="`session`: made by a login; `personal`: for machines", examples=["personal"])
    name: str = Field(examples=["ci"])
    owner: str = Field(examples=["ada"])
    scopes: list[str] = Field(description="What it is good for; none: everything that its owner may")
    address: str | None = Field(description="Where its owner was when it was made")
    created: datetime.datetime
    expires: datetime.datetime
    used: datetime.datetime | None = Field(description="About when it was used last")
    current: bool = Field(description="Whether it is the one that this request came with")


class NewToken(Given):
    """A personal access token that shall be made."""

    name: str = Field(min_length=1, max_length=100, description="What it is called", examples=["ci"])
    scopes: list[str] = Field(
        default=[],
        max_length=50,
        description="What it is good for: `read`, nouns such as `guest`, actions such as `project.push`; none: everything",
        examples=[["read", "project.push"]],
    )
    days: int = Field(default=90, ge=1, le=366, description="For which it is good")

    @field_validator("scopes")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        unknown = sorted(set(value) - _scopes())
        if unknown:
            raise ValueError(f"{unknown[0][:50]!r} is no scope: there are read, nouns, and actions such as guest.start")
        return sorted(set(value))


class MadeToken(TokenInfo):
    """A personal access token that was made."""

    token: str = Field(description="Send it as `Authorization: Bearer …`. It is shown this one time.")


@cache
def _scopes() -> frozenset[str]:
    actions = {*permissions.RULES, *operations.kinds()}
    return frozenset({"read", *actions, *(action.split(".")[0] for action in actions)})


def _covers(scopes: tuple[str, ...], scope: str) -> bool:
    return not scopes or scope in scopes or scope.split(".")[0] in scopes


@router.get("/tokens")
def list_tokens(
    caller: Asking,
    service: Serving,
    limit: Limit = 50,
    after: After = None,
    owner: Annotated[
        str | None, Query(max_length=100, pattern=LINE, description="Whose; sysadmins may ask for anybody's")
    ] = None,
) -> Page[TokenInfo]:
    """One's sessions and tokens that are good for something, newest first."""
    service.allowed(caller, "token.view", {})
    whose = (owner or caller.person.name).lower()
    if whose != caller.person.name and not caller.person.sysadmin:
        raise Forbidden("Other people's tokens are for sysadmins to see.")
    wanted = (
        select(AccessToken)
        .join(Owner)
        .where(Owner.name == whose, AccessToken.expires > now())
        .options(joinedload(AccessToken.owner))
        .order_by(AccessToken.id.desc())
        .limit(limit + 1)
    )
    if after is not None:
        last = select(AccessToken.id).where(AccessToken.uuid == after).scalar_subquery()
        wanted = wanted.where(AccessToken.id < last)
    with service.registry.reading() as session:
        rows = session.scalars(wanted).all()
        items = [_info(row, caller) for row in rows[:limit]]
    return Page(items=items, next=items[-1].uuid if len(rows) > limit else None)


def _info(row: AccessToken, caller: Caller) -> TokenInfo:
    return TokenInfo(
        uuid=row.uuid,
        kind=row.kind,
        name=row.name,
        owner=row.owner.name,
        scopes=list(row.scopes),
        address=row.address,
        created=row.created,
        expires=row.expires,
        used=row.used,
        current=row.uuid == caller.token,
    )


@router.post("/tokens", status_code=201)
def create_token(request: Request, given: NewToken, caller: Asking, service: Serving) -> MadeToken:
    """Make a personal access token. It may no more, and is good no longer, than the one that asks for it."""
    service.audited(request, "token.create", f"owner:{caller.person.name}", f"{given.name}: {', '.join(given.scopes)}")
    service.allowed(caller, "token.create", {})
    own = caller.person.scopes
    more = [scope for scope in given.scopes if not _covers(own, scope)]
    if more or (own and not given.scopes):
        raise Forbidden(f"This token is not good for {', '.join(more) or 'everything'}: it makes no other that is.")
    expires = now() + datetime.timedelta(days=given.days)
    with service.registry.reading() as session:
        asking = session.scalars(select(AccessToken).where(AccessToken.uuid == caller.token)).one()
        good = select(func.count()).where(AccessToken.owner_id == asking.owner_id, AccessToken.kind == "personal")
        if (session.scalar(good.where(AccessToken.expires > now())) or 0) >= _MOST:
            raise Conflict(f"You have {_MOST} tokens: revoke some first.")
        groups = list(asking.groups)
        if asking.kind == "personal":
            expires = min(expires, asking.expires)
    token, made = login.make(
        service, caller.person.name, "personal", given.name, groups, expires, caller.address, given.scopes
    )
    with service.registry.reading() as session:
        row = session.scalars(select(AccessToken).where(AccessToken.uuid == made.uuid)).one()
        return MadeToken(**_info(row, caller).model_dump(), token=token)


@router.delete("/tokens/{token}", status_code=204)
def revoke_token(request: Request, token: Uuid, caller: Asking, service: Serving) -> Response:
    """Revoke a session or token, by its uuid: it is good for nothing any more. Sysadmins may revoke anybody's."""
    service.audited(request, "token.revoke", f"token:{token}")
    service.allowed(caller, "token.revoke", {})
    with service.registry.session() as session:
        row = session.scalar(select(AccessToken).where(AccessToken.uuid == token))
        if row is None or (row.owner.name != caller.person.name and not caller.person.sysadmin):
            raise NotThere("There is no such token, or it is not yours.")
        service.audited(request, "token.revoke", f"owner:{row.owner.name}", f"{row.kind} {row.name}")
        session.delete(row)
    return Response(status_code=204)

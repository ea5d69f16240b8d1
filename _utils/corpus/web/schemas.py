"""What the API takes and gives that more than one resource shares."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")


class Given(BaseModel):
    """A body: what is not known is refused."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Page(BaseModel, Generic[Item]):
    """A part of a list."""

    items: list[Item]
    next: str | None = Field(default=None, description="Give it as `after` for the next part; none: this is the last")


class Accepted(BaseModel):
    """A long action was begun."""

    operation: str = Field(
        description="Its uuid: GET /api/v1/operations/{operation}", examples=["0d9f7c1e-4e0c-4f43-9d53-1f3bb0a7b1ce"]
    )
    href: str = Field(description="Where it can be polled")
    events: str = Field(description="Where it can be followed")


class StepInfo(BaseModel):
    """A step of an operation or plan."""

    name: str
    state: str = Field(examples=["done"])
    seconds: float
    message: str


class Plan(BaseModel):
    """What an operation would do."""

    name: str = Field(description="What it would change", examples=["guest:shop"])
    kind: str
    result: bool = Field(description="Whether it could be done")
    comment: str
    steps: list[StepInfo]


class OperationInfo(BaseModel):
    """A long action."""

    operation: str
    kind: str = Field(examples=["guest.create"])
    subject: str | None
    state: str = Field(examples=["done"])
    who: str
    created: datetime.datetime
    finished: datetime.datetime | None
    comment: str


class OperationDetail(OperationInfo):
    """A long action, with its steps."""

    arguments: dict[str, Any]
    facts: dict[str, Any]
    steps: list[StepInfo]


#: Of every list.
Limit = Annotated[int, Query(ge=1, le=500, description="At most so many")]
After = Annotated[str | None, Query(max_length=300, description="`next` of the part before")]
Planned = Annotated[bool, Query(description="Tell what would be done, and do nothing")]


def accepted(uuid: str) -> Accepted:
    """The answer to a request for a long action."""
    href = f"/api/v1/operations/{uuid}"
    return Accepted(operation=uuid, href=href, events=f"{href}/events")

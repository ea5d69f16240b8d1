"""What the API takes and gives that more than one resource shares."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Header, Path, Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from corpus.errors import UsageError

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


def _dated(value: Any) -> Any:
    """Refuse a number, which would be taken for seconds since 1970."""
    if isinstance(value, str) and re.match(r"\d{4}-", value) is None:
        raise ValueError("a moment begins with its date: 2026-01-31T12:00:00Z")
    return value


#: A moment, with its zone.
Moment = Annotated[AwareDatetime, BeforeValidator(_dated)]
#: Any text of one line.
LINE = r"^[^\x00-\x1f\x7f]*$"
#: What a thing is called by in an address: its name, its uuid, or the id of its minion.
NAME = r"^[A-Za-z0-9*_][A-Za-z0-9._:-]*$"
DOMAIN = r"^[A-Za-z0-9*_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*\.?$"
LOGIN = r"^[a-z0-9._@][a-z0-9._@-]*$"
MAIL = r"^[^\x00-\x20\x7f-\uffff@\"'<>,;:\\()\[\]]+@[^\x00-\x20\x7f-\uffff@\"'<>,;:\\()\[\]]+$"
#: Bytes, or a number with a unit.
SIZE = r"^[0-9]{1,15}(\.[0-9]{1,3})?[KMGTkmgt]?$"
CHANGED_SIZE = r"^[+-]?[0-9]{1,15}(\.[0-9]{1,3})?[KMGTkmgt]?$"

#: Of every list.
Limit = Annotated[int, Query(ge=1, le=500, description="At most so many")]
After = Annotated[str | None, Query(max_length=300, pattern=LINE, description="`next` of the part before")]
Wanted = Annotated[str | None, Query(max_length=300, pattern=LINE, description="Only those of that one")]
Planned = Annotated[bool, Query(description="Tell what would be done, and do nothing")]
Confirmed = Annotated[
    str | None, Query(max_length=300, pattern=LINE, description="The name again: what is lost by this is lost")
]
Named = Annotated[str, Path(max_length=253, pattern=NAME, description="Its name or uuid", examples=["shop"])]
Uuid = Annotated[
    str,
    Path(max_length=36, pattern=NAME, description="Its uuid", examples=["0d9f7c1e-4e0c-4f43-9d53-1f3bb0a7b1ce"]),
]
#: The last event that a stream's reader has.
LastEvent = Annotated[
    int | None, Header(alias="Last-Event-ID", ge=0, lt=2**63, description="Go on behind this event: its id")
]
Login = Annotated[str, Path(max_length=100, pattern=LOGIN, description="A login name", examples=["ada"])]
Domain = Annotated[str, Path(max_length=253, pattern=DOMAIN, description="A whole name", examples=["www.example.org"])]


def confirmed(name: str, confirm: str | None, plan: bool) -> None:
    """See that who removes something said its name twice.

    :raises UsageError: they did not
    """
    if not plan and confirm != name:
        raise UsageError(f"What is lost by this is lost: say confirm={name}.")


def accepted(uuid: str) -> Accepted:
    """The answer to a request for a long action."""
    href = f"/api/v1/operations/{uuid}"
    return Accepted(operation=uuid, href=href, events=f"{href}/events")
